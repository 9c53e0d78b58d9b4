/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* From a stream to state blob and plan: several vCPUs, and a home that all of them can use. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "snapshot_guest.h"

/* As docs/HANDOFF.md has it, for XSAVE images of one page; the run of padding spares its ends. */
#define HOME_LENGTH(vcpus)                                                                         \
    ((UINT64_C(0x10000) + (vcpus)*UINT64_C(0x7100) + 0xfff) / 0x1000 * 0x1000)

static void assert_good(struct guest *guest)
{
    if (guest_snapshot(guest) != 0)
        fail_msg("refused: %s", guest->failure.why);
}

static struct resume_vcpu vcpu_of(const struct guest *guest, uint32_t index)
{
    struct resume_state state;
    struct resume_vcpu vcpu;
    assert_int_equal(resume_state_open(guest->made.blob, guest->made.blob_length, &state, NULL), 0);
    assert_int_equal(resume_state_vcpu(&state, index, &vcpu, NULL), 0);
    return vcpu;
}

static void takes_all_vcpus(void **state)
{
    static const uint32_t counts[] = {1, 2, 4, 8};
    (void)state;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct guest *guest = guest_open(counts[i]);
        struct resume_plan plan;
        assert_good(guest);
        assert_int_equal(guest->made.vcpu_count, counts[i]);
        assert_int_equal(guest->made.active_count, counts[i]);
        assert_int_equal(resume_plan_read(guest->made.plan, guest->made.plan_length, &plan, NULL),
                         0);
        assert_int_equal(plan.home.length, HOME_LENGTH(counts[i]));
        assert_true(plan.home.va ==
                    GUEST_TEXT_VA + GUEST_TEXT_LENGTH - 0x1000 - HOME_LENGTH(counts[i]));
        assert_int_equal(plan.home.pa, plan.home.va - GUEST_TEXT_VA + GUEST_TEXT_PA);
        for (uint32_t k = 0; k < counts[i]; k++) {
            const struct resume_vcpu vcpu = vcpu_of(guest, k);
            assert_int_equal(vcpu.regs.gpr[RESUME_RBX], 0x1000 + k);
            assert_int_equal(vcpu.run.apic_id, k);
        }
        guest_close(guest);
    }
}

/* The kernel's longest padding is not in the tables that a process runs on. */
static void finds_a_home_that_isolated_tables_map_too(void **state)
{
    (void)state;
    struct guest *guest = guest_open(4);
    guest_use(guest, 2, &guest->user);
    assert_good(guest);
    assert_true(guest->made.home.va ==
                GUEST_ENTRY_VA + GUEST_ENTRY_LENGTH - 0x1000 - HOME_LENGTH(4));
    guest_use(guest, 0, &guest->user);
    guest_use(guest, 2, &guest->kernel);
    assert_good(guest);
    assert_true(guest->made.home.va ==
                GUEST_ENTRY_VA + GUEST_ENTRY_LENGTH - 0x1000 - HOME_LENGTH(4));
    guest_close(guest);
}

static void says_whose_tables_lack_the_home(void **state)
{
    (void)state;
    struct guest *guest = guest_open(4);
    guest_use(guest, 3, &guest->other);
    int result = guest_snapshot(guest);
    guest_assert_refused(guest, result, "page tables of vCPU 0 (CPL 3, CR3 0x10000)");
    guest_assert_refused(guest, result, "that vCPU 3 (CPL 3, CR3 0x50000) has");
    assert_true(guest->transient);
    guest_use(guest, 3, &guest->bare);
    result = guest_snapshot(guest);
    guest_assert_refused(guest, result, "no place for the trampoline");
    guest_assert_refused(guest, result, "vCPU 3 (CPL 3, CR3 0x70000) maps");
    assert_true(guest->transient);
    guest_close(guest);
}

/* In the kernel the tables are what they are; in user mode the kernel may have others. */
static void does_not_wait_for_padding_in_vain(void **state)
{
    (void)state;
    struct guest *guest = guest_open(1);
    guest_use(guest, 0, &guest->bare);
    guest_assert_refused(guest, guest_snapshot(guest), "no place for the trampoline");
    assert_true(guest->transient);
    guest_in_kernel(guest, 0);
    guest_assert_refused(guest, guest_snapshot(guest), "no place for the trampoline");
    assert_false(guest->transient);
    guest_close(guest);
}

/* It moves out of the way of nothing: what a dormant vCPU's CR3 maps does not count. */
static void leaves_dormant_vcpus_out(void **state)
{
    (void)state;
    struct guest *guest = guest_open(4);
    guest_sleep(guest, 0);
    guest_sleep(guest, 3);
    assert_good(guest);
    assert_int_equal(guest->made.vcpu_count, 4);
    assert_int_equal(guest->made.active_count, 2);
    assert_int_equal(guest->made.home.length, HOME_LENGTH(4));
    const struct resume_vcpu vcpu = vcpu_of(guest, 3);
    assert_int_equal(resume_vcpu_dormant(&vcpu), 1);
    guest_sleep(guest, 1);
    guest_sleep(guest, 2);
    assert_int_equal(guest_snapshot(guest), -EXIT_CODE_REFUSED);
    guest_close(guest);
}

static void refuses_vcpus_that_do_not_go_together(void **state)
{
    (void)state;
    struct guest *guest = guest_open(2);
    machine_set(guest->vcpu[1], "cpu/env.cr[4]", 0x001516b0);
    guest_assert_refused(guest, guest_snapshot(guest), "cr4");
    machine_set(guest->vcpu[1], "cpu/env.cr[4]", 0x001506b0);
    machine_set(guest->vcpu[1], "apic/id", 0);
    guest_assert_refused(guest, guest_snapshot(guest), "apic_id");
    machine_set(guest->vcpu[1], "apic/id", 1);
    assert_good(guest);
    guest_close(guest);
}

/* One table more above the others. */
static void finds_a_home_with_5_level_paging(void **state)
{
    (void)state;
    struct guest *guest = guest_open(2);
    phys_poke(&guest->phys, 0x90ff8, 0x10000 | FORGE_P | FORGE_RW | FORGE_US | FORGE_A);
    for (uint32_t i = 0; i < 2; i++) {
        machine_set(guest->vcpu[i], "cpu/env.cr[4]", 0x001516b0);
        machine_set(guest->vcpu[i], "cpu/env.cr[3]", 0x90000);
    }
    assert_good(guest);
    assert_true(guest->made.home.va == GUEST_TEXT_VA + GUEST_TEXT_LENGTH - 0x1000 - HOME_LENGTH(2));
    guest_close(guest);
}

/* RETFQ and IRETQ load CS and SS from the guest's GDT, at the time of the landing. */
static void compares_only_descriptors_that_the_landing_loads(void **state)
{
    (void)state;
    struct guest *guest = guest_open(2);
    /* TR's is all zeroes as it is, and DS's is changed: these come from the record. */
    machine_set(guest->vcpu[1], "cpu/env.segs[3].selector", 0x23);
    machine_set(guest->vcpu[1], "cpu/env.segs[3].limit", 0xffffffff);
    machine_set(guest->vcpu[1], "cpu/env.segs[3].flags", 0x00cff300);
    assert_good(guest);
    phys_poke(&guest->phys, GUEST_GDT_PA + 0x30, 0x00cffb000000ffff);
    guest_assert_refused(guest, guest_snapshot(guest), "CS");
    phys_poke(&guest->phys, GUEST_GDT_PA + 0x30, 0x00affb000000ffff);
    phys_poke(&guest->phys, GUEST_GDT_PA + 0x28, 0x00cff1000000ffff);
    guest_assert_refused(guest, guest_snapshot(guest), "SS");
    guest_in_kernel(guest, 0);
    guest_in_kernel(guest, 1);
    phys_poke(&guest->phys, GUEST_GDT_PA + 0x10, 0);
    phys_poke(&guest->phys, GUEST_GDT_PA + 0x18, 0);
    assert_good(guest);
    guest_close(guest);
}

static void looks_up_what_made_an_interrupt_shadow(void **state)
{
    (void)state;
    struct guest *guest = guest_open(2);
    machine_set(guest->vcpu[1], "cpu/env.hflags", 0x1040c2b3 | 8);
    guest_assert_refused(guest, guest_snapshot(guest), "interrupt_shadow");
    assert_true(guest->transient);
    guest->phys.bytes[GUEST_CODE_PA + 0x5ab] = 0xfb; /* STI before RIP */
    assert_good(guest);
    struct resume_vcpu vcpu = vcpu_of(guest, 1);
    assert_int_equal(vcpu.run.interrupt_shadow, 1);
    assert_int_equal(vcpu.run.shadow_length, 1);
    guest->phys.bytes[GUEST_CODE_PA + 0x5aa] = 0x8e; /* MOV SS, AX */
    guest->phys.bytes[GUEST_CODE_PA + 0x5ab] = 0xd0;
    machine_set(guest->vcpu[1], "cpu/env.regs[0]", 0x2b);
    assert_good(guest);
    vcpu = vcpu_of(guest, 1);
    assert_int_equal(vcpu.run.interrupt_shadow, 2);
    assert_int_equal(vcpu.run.shadow_length, 2);
    vcpu = vcpu_of(guest, 0);
    assert_int_equal(vcpu.run.interrupt_shadow, 0);
    guest_close(guest);
}

static void tries_again_when_an_event_is_in_the_way(void **state)
{
    (void)state;
    struct guest *guest = guest_open(2);
    machine_set(guest->vcpu[1], "cpu_common/interrupt_request", 0x800); /* SIPI */
    assert_int_equal(guest_snapshot(guest), -EXIT_CODE_REFUSED);
    assert_true(guest->transient);
    machine_set(guest->vcpu[1], "cpu_common/interrupt_request", 0);
    machine_set(guest->vcpu[1], "cpu/env.fpregs_format_vmstate", 7);
    assert_int_equal(guest_snapshot(guest), -EXIT_CODE_REFUSED);
    assert_false(guest->transient);
    guest_close(guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_all_vcpus),
        cmocka_unit_test(finds_a_home_that_isolated_tables_map_too),
        cmocka_unit_test(says_whose_tables_lack_the_home),
        cmocka_unit_test(does_not_wait_for_padding_in_vain),
        cmocka_unit_test(leaves_dormant_vcpus_out),
        cmocka_unit_test(refuses_vcpus_that_do_not_go_together),
        cmocka_unit_test(finds_a_home_with_5_level_paging),
        cmocka_unit_test(compares_only_descriptors_that_the_landing_loads),
        cmocka_unit_test(looks_up_what_made_an_interrupt_shadow),
        cmocka_unit_test(tries_again_when_an_event_is_in_the_way),
    };
    return cmocka_run_group_tests_name("snapshot state", tests, NULL, NULL);
}
