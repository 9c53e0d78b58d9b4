/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The landing for thousands of random states: its effect, and how much of it remains. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "land.h"
#include "linux_vcpu.h"

static uint64_t seed;

static uint64_t random64(void)
{
    uint64_t value = seed += UINT64_C(0x9e3779b97f4a7c15); /* SplitMix64 */

    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

static uint32_t below(uint32_t end)
{
    return (uint32_t)(random64() >> 32) % end;
}

/* Values at and around the boundaries between encodings. */
static uint64_t edge(void)
{
    static const uint64_t values[] = {0,
                                      1,
                                      0x7f,
                                      0x80,
                                      0xff,
                                      0x100,
                                      0x7fffffff,
                                      0x80000000,
                                      UINT32_MAX,
                                      UINT64_C(0x100000000),
                                      UINT64_MAX,
                                      UINT64_C(0xffffffffffffff80),
                                      UINT64_C(0xffffffffffffff7f),
                                      UINT64_C(0xffffffff80000000),
                                      UINT64_C(0xffffffff7fffffff),
                                      UINT64_C(0xcccccccccccccccc),
                                      UINT64_C(0x0123456789abcdef)};

    return values[below(sizeof(values) / sizeof(values[0]))];
}

/* All registers in one style, or each in its own. */
static void random_registers(struct resume_vcpu *v)
{
    uint32_t style = below(8);
    uint64_t common = random64();

    for (uint32_t i = 0; i < RESUME_GPR_COUNT; i++) {
        uint32_t kind = style == 7 ? below(7) : style;
        uint64_t values[] = {random64() | UINT64_C(1) << 62, /* never short */
                             below(3) != 0 ? 0 : random64(),
                             below(256),
                             random64() >> 32,
                             edge(),
                             UINT64_C(0xffffc90000000000) | (common & 0xfff000) | below(4096),
                             common + below(512) - 256};

        v->regs.gpr[i] = values[kind];
    }
}

enum level { KERNEL, KERNEL_COMPAT, USER, USER_COMPAT, MIDDLE, LEVELS };

static void random_vcpu(struct resume_vcpu *v, enum level level)
{
    static const uint16_t selectors[] = {0, 0, 0, 0x2b, 0x53, 0x18, 0x63};
    static const uint64_t flags = UINT64_C(0x247ed5); /* all but TF, RF, VM, VIF, VIP */
    struct resume_segment *cs = &v->segs.seg[RESUME_CS];
    struct resume_segment *ss = &v->segs.seg[RESUME_SS];
    uint32_t cpl = level <= KERNEL_COMPAT ? 0 : level == MIDDLE ? 1 + below(2) : 3;
    int compat = level == KERNEL_COMPAT || level == USER_COMPAT;

    linux_vcpu_user(v);
    random_registers(v);
    cs->selector = (uint16_t)((below(0x2000) | 1) << 3 | cpl);
    ss->selector = (uint16_t)((below(0x2000) | 1) << 3 | cpl);
    cs->access =
        (cs->access & ~(ACCESS_L | ACCESS_DB | 0x60)) | cpl << 5 | (compat ? ACCESS_DB : ACCESS_L);
    for (uint32_t i = 0; i < 4; i++) {
        static const uint8_t data[] = {RESUME_ES, RESUME_DS, RESUME_FS, RESUME_GS};

        v->segs.seg[data[i]].selector = selectors[below(7)];
    }
    if (below(4) == 0) { /* no null selector but LDTR's */
        v->segs.seg[RESUME_ES].selector = v->segs.seg[RESUME_DS].selector = 0x2b;
        v->segs.seg[RESUME_FS].selector = v->segs.seg[RESUME_GS].selector = 0x53;
    }
    v->segs.seg[RESUME_LDTR].selector = below(2) ? 0 : 0x50;
    v->regs.rflags = (random64() & flags) | 2;
    if (below(4) == 0)
        v->regs.rflags |= random64() & UINT64_C(0x190100); /* TF, RF, VIF, VIP */
    v->regs.rip = level == USER ? UINT64_C(0x7f0000000000) | random64() >> 24
                                : LINUX_HOME_VA + (uint64_t)below(0x10000000) - 0x20000000;
    v->ctrl.cr0 = below(2) ? 0x80050033 : 0x8005003b;
    if (below(8) == 0)
        v->ctrl.cr0 &= ~CR0_WP;
    if (compat) {
        v->regs.rip = (uint32_t)v->regs.rip;
        v->regs.gpr[RESUME_RSP] = (uint32_t)v->regs.gpr[RESUME_RSP];
    }
    if (level == KERNEL && below(8) == 0)
        v->regs.rip = UINT64_C(0xffff888000000000) | random64() >> 32; /* out of JMP's reach */
}

static void random_events(struct resume_vcpu *v)
{
    uint64_t special = v->regs.rflags & UINT64_C(0x190100);

    if (below(8) == 0)
        v->run.nmi_pending = 1;
    if (below(8) == 0 && special == 0 && (v->segs.seg[RESUME_CS].access & ACCESS_L) != 0)
        v->run.nmi_masked = 1;
    if (below(6) == 0) {
        v->run.interrupt_shadow = 1 + below(3);
        v->run.shadow_length =
            v->run.interrupt_shadow == 3 ? 1 + below(2) : v->run.interrupt_shadow;
        if (v->run.shadow_length == 1) {
            v->regs.rflags |= RFLAGS_IF;
            v->regs.rflags &= ~RFLAGS_TF;
        }
    }
}

static void random_place(struct resume_landing_place *place)
{
    static const uint32_t others[] = {0, 1, 7, 127, 128, 255};

    *place = land_place(LINUX_HOME_VA);
    place->slot_va = LINUX_HOME_VA + LAND_SLOTS + below(3) * RESUME_LANDING_MAX;
    place->fill = below(3) == 0 ? 0 : LAND_FILL;
    place->last_out = (uint8_t)below(2);
    place->others = others[below(6)];
}

/* ------------------------------------------------------------------------- how much remains */

/* RAX to RDI but RSP: the registers that need no prefix. */
static uint32_t short_registers(const struct resume_vcpu *v, uint64_t most)
{
    uint32_t count = 0;

    for (uint32_t i = RESUME_RAX; i <= RESUME_RDI; i++)
        count += i != RESUME_RSP && v->regs.gpr[i] <= most;
    return count;
}

/* There is a null selector that a register can be zeroed from in two bytes. */
static int null_selector(const struct resume_vcpu *v)
{
    return v->segs.seg[RESUME_ES].selector == 0 || v->segs.seg[RESUME_DS].selector == 0 ||
           v->segs.seg[RESUME_FS].selector == 0 || v->segs.seg[RESUME_GS].selector == 0;
}

/*
 * The most that may remain. MOV CR0: 3. A lost register: 2 when it and a selector are zero, 5 when
 * below 4 GiB, else 9 popped, or 10 where nothing can be popped. In form JUMP a second one, or the
 * same again with CR0 (5). STI: 1. Then the way out: JMP 5 or 14; RETFQ 2, with a frame of
 * 8 + 2 + 8 + 2; IRETQ the same, and 3 of RFLAGS.
 */
static uint32_t most(const struct resume_vcpu *v, const struct resume_landing *landing)
{
    uint32_t zeros = null_selector(v) ? short_registers(v, 0) : 0;
    uint32_t fours = short_registers(v, UINT32_MAX);
    uint32_t lost = zeros != 0 ? 2 : fours != 0 ? 5 : 9;
    uint32_t leave = 22;

    if (landing->form == RESUME_LANDING_JUMP) {
        lost = zeros >= 2 ? 4 : zeros == 1 ? 7 : fours != 0 ? 10 : 15;
        leave = landing->bytes[landing->leave] == 0xe9 ? 5 : 14;
    }
    return 3 + lost + (landing->form == RESUME_LANDING_IRET ? 3u : 1u) + leave;
}

#define MOST_EVER 48
static uint32_t histogram[4][LEVELS][MOST_EVER + 1];

static void print_histogram(void)
{
    static const char *const forms[] = {"", "JUMP", "RETF", "IRET"};
    static const char *const levels[] = {"kernel", "kernel compat", "user", "user compat",
                                         "CPL 1-2"};

    for (uint32_t f = 1; f < 4; f++) {
        for (uint32_t l = 0; l < LEVELS; l++) {
            int any = 0;

            for (uint32_t i = 0; i <= MOST_EVER; i++) {
                if (histogram[f][l][i] != 0) {
                    if (!any)
                        print_message("%s, %s: bytes x landings:", forms[f], levels[l]);
                    print_message(" %ux%u", i, histogram[f][l][i]);
                    any = 1;
                }
            }
            if (any)
                print_message("\n");
        }
    }
}

static void random_states_land(void **context)
{
    (void)context;
    for (uint32_t i = 0; i < 10000; i++) {
        struct resume_landing_place place;
        struct resume_landing landing;
        struct resume_vcpu vcpu;
        enum level level = (enum level)(i % LEVELS);

        seed = i;
        random_vcpu(&vcpu, level);
        random_events(&vcpu);
        random_place(&place);
        land(&vcpu, &place, (random64() & UINT64_C(0x2448d5)) | 2, &landing);
        if (landing.differs > most(&vcpu, &landing))
            fail_msg("seed %u, form %u: %u bytes remain, more than %u", i, landing.form,
                     landing.differs, most(&vcpu, &landing));
        assert_in_range(landing.differs, 0, MOST_EVER);
        if (place.fill == LAND_FILL)
            histogram[landing.form][level][landing.differs]++;
    }
    print_histogram();
}

/* With CR4.CET the landing sets CR4 after CR0. */
static void cet_states_land(void **context)
{
    (void)context;
    for (uint32_t i = 0; i < 1000; i++) {
        struct resume_landing_place place;
        struct resume_landing landing;
        struct resume_vcpu vcpu;

        seed = UINT64_C(0x100000000) + i;
        random_vcpu(&vcpu, (enum level)(i % LEVELS));
        random_events(&vcpu);
        random_place(&place);
        vcpu.ctrl.cr0 |= CR0_WP;
        vcpu.ctrl.cr4 |= CR4_CET;
        if (vcpu.run.nmi_masked && i % LEVELS == KERNEL)
            vcpu.regs.rip = LINUX_HOME_VA + 0x100000; /* only IRET goes further */
        land(&vcpu, &place, 2, &landing);
        /* MOV r32, imm32 (5) into the register that CR0 came from, MOV CR4 (3). */
        assert_in_range(landing.differs, 0, most(&vcpu, &landing) + 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_states_land),
        cmocka_unit_test(cet_states_land),
    };

    return cmocka_run_group_tests_name("landing_random", tests, NULL, NULL);
}
