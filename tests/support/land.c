/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "land.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define LEFT 0x9c /* where the counter is, in the home */

struct resume_landing_place land_place(uint64_t home)
{
    return (struct resume_landing_place){.slot_va = home + LAND_SLOTS + RESUME_LANDING_MAX,
                                         .fill = LAND_FILL,
                                         .left_va = home + LEFT,
                                         .refill_va = home,
                                         .refill_length = LAND_SLOTS};
}

void land(const struct resume_vcpu *vcpu, const struct resume_landing_place *place,
          uint64_t entry_flags, struct resume_landing *landing)
{
    static struct landing_machine m;
    static uint8_t expected[LANDING_MACHINE_MEMORY];
    uint64_t home = place->refill_va;
    uint64_t slot = place->slot_va - home;
    const struct resume_run *run = &vcpu->run;
    uint64_t rflags = vcpu->regs.rflags;
    uint32_t own = 0;

    assert_int_equal(resume_landing_compose(vcpu, place, landing), 0);
    assert_true(landing->remains < RESUME_LANDING_MAX);
    assert_true(landing->leave >= landing->remains);
    assert_true(!landing->sti || landing->bytes[landing->leave - 1] == 0xfb);
    memset(&m, 0, sizeof(m));
    memset(m.memory, 0x5a, LAND_SLOTS); /* what the trampoline left lying about */
    memset(m.memory + LAND_SLOTS, 0x77, 3 * RESUME_LANDING_MAX); /* the landings of others */
    memcpy(m.memory + slot, landing->bytes, RESUME_LANDING_MAX);
    m.base = home;
    m.left_va = place->left_va;
    memset(m.memory + LEFT, 0, 4);
    if (place->last_out) {
        m.arriving = place->others < 3 ? place->others : 3; /* the rest has left already */
        m.memory[LEFT] = (uint8_t)(place->others - m.arriving);
        m.memory[LEFT + 1] = (uint8_t)((place->others - m.arriving) >> 8);
    }
    memcpy(expected, m.memory, sizeof(expected));

    for (uint32_t i = 0; i < 16; i++)
        m.reg[i] = landing->gpr[i];
    m.reg[RESUME_RSP] = landing->rsp;
    m.rflags = entry_flags;
    m.cr0 = vcpu->ctrl.cr0 & ~CR0_WP;
    m.cr4 = vcpu->ctrl.cr4 & ~CR4_CET;
    for (uint32_t i = RESUME_ES; i <= RESUME_TR; i++)
        m.seg[i] = vcpu->segs.seg[i].selector;
    if (landing->form != RESUME_LANDING_JUMP) {
        m.seg[RESUME_CS] = RESUME_OWN_CS;
        m.seg[RESUME_SS] = 0;
    }
    m.compat = (vcpu->segs.seg[RESUME_CS].access & ACCESS_L) == 0;

    landing_machine_return(&m);
    assert_int_equal(m.rip, place->slot_va + landing->entry);
    if (!landing_machine_run(&m, 256) || m.error != NULL)
        fail_msg("after %u instructions: %s", m.steps, m.error != NULL ? m.error : "no end");
    assert_int_equal(m.if_exposed, 0);
    assert_int_equal(m.early, 0);
    assert_int_equal(m.irets, landing->form == RESUME_LANDING_IRET);
    for (uint32_t i = 0; i < 16; i++)
        assert_int_equal(m.reg[i], vcpu->regs.gpr[i]);
    assert_int_equal(m.rip, vcpu->regs.rip - run->shadow_length);
    if (run->shadow_length == 1)
        rflags &= ~RFLAGS_IF; /* the guest's own STI sets it */
    assert_int_equal(m.rflags, rflags);
    assert_int_equal(m.cr0, vcpu->ctrl.cr0);
    assert_int_equal(m.cr4, vcpu->ctrl.cr4);
    for (uint32_t i = RESUME_ES; i <= RESUME_TR; i++)
        assert_int_equal(m.seg[i], vcpu->segs.seg[i].selector);

    if (place->last_out)
        memset(expected, place->fill, LAND_SLOTS);
    else
        expected[LEFT] = 1;
    memset(expected + slot, place->fill, landing->remains);
    assert_memory_equal(m.memory, expected, sizeof(expected));
    for (uint32_t i = 0; i < RESUME_LANDING_MAX; i++)
        own += m.memory[slot + i] != place->fill;
    assert_int_equal(own, landing->differs);
}
