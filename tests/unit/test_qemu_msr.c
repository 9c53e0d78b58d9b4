/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <resume/msr.h>

#include "qemu_events.h"
#include "qemu_machine.h"
#include "qemu_msr.h"

/* Of the record: NULL when it is not in it. */
static const struct resume_msr *find(const struct machine *m, uint32_t index)
{
    for (uint32_t i = 0; i < m->vcpu.msr_count; i++) {
        if (m->vcpu.msr[i].index == index)
            return &m->vcpu.msr[i];
    }
    return NULL;
}

static void assert_msr(const struct machine *m, uint32_t index, uint64_t value)
{
    const struct resume_msr *msr = find(m, index);
    if (msr == NULL)
        fail_msg("MSR 0x%x is not in the record", index);
    else if (msr->value != value)
        fail_msg("MSR 0x%x has 0x%llx, not 0x%llx", index, (unsigned long long)msr->value,
                 (unsigned long long)value);
}

/* What every record has, with the values of the fields that are not set: all zero but these. */
static void a_plain_guest_has_the_usual_ones(void **state)
{
    static const struct {
        uint32_t index;
        uint64_t value;
    } want[] = {
        {0x174, 0x10},
        {0x175, 0xfffffe0000003001},
        {0x176, 0xffffffffbce017b0},
        {0x1a0, 1}, /* absent from the stream: as reset leaves it */
        {0x200, 0},
        {0x20f, 0},
        {0x250, 0},
        {0x26f, 0},
        {0x277, 0x0407050600070106},
        {0x2ff, 0},
        {0xc0000081, 0x0023001000000000},
        {0xc0000082, 0xffffffffbce00080},
        {0xc0000083, 0xffffffffbce01870},
        {0xc0000084, 0x257fd5},
        {0xc0000102, 0xffff8d52dca00000},
        {0xc0000103, 0},
    };
    struct machine *m = machine_make();
    (void)state;
    assert_int_equal(machine_decode(m), 0);
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
        assert_msr(m, want[i].index, want[i].value);
    /* SYSENTER 3, MISC_ENABLE, MTRRs 8 * 2 + 11 + 1, PAT, system calls 5, TSC_AUX */
    assert_int_equal(m->vcpu.msr_count, 3 + 1 + 28 + 1 + 5 + 1);
    for (uint32_t i = 0; i < m->vcpu.msr_count; i++) {
        const struct resume_msr *msr = &m->vcpu.msr[i];
        assert_true(i == 0 || msr[-1].index < msr->index);
        assert_int_equal(msr->flags, resume_msr_flags(msr->index, msr->value));
    }
    assert_int_equal(find(m, 0xc0000102)->flags, 0);
    assert_int_equal(find(m, 0xc0000103)->flags, RESUME_MSR_OPTIONAL);
    /* Under KVM no more, as long as none of its services is used. */
    m->device = "kvmclock";
    assert_int_equal(machine_decode(m), 0);
    assert_int_equal(m->vcpu.msr_count, 3 + 1 + 28 + 1 + 5 + 1);
    machine_free(m);
}

/* Field and number of every register that QEMU keeps, as the manuals number them. */
static const struct {
    const char *path;
    uint32_t index;
} fields[] = {
    {"cpu/env.tsc", 0x10},
    {"cpu/msr_ia32_feature_control/env.msr_ia32_feature_control", 0x3a},
    {"cpu/msr_tsc_adjust/env.tsc_adjust", 0x3b},
    {"cpu/spec_ctrl/env.spec_ctrl", 0x48},
    {"cpu/intel_sgx/env.msr_ia32_sgxlepubkeyhash[0]", 0x8c},
    {"cpu/intel_sgx/env.msr_ia32_sgxlepubkeyhash[3]", 0x8f},
    {"cpu/msr_architectural_pmu/env.msr_gp_counters[0]", 0xc1},
    {"cpu/msr_architectural_pmu/env.msr_gp_counters[7]", 0xc8},
    {"cpu/umwait/env.umwait", 0xe1},
    {"cpu/msr_tsx_ctrl/env.tsx_ctrl", 0x122},
    {"cpu/env.mcg_status", 0x17a},
    {"cpu/env.mcg_ctl", 0x17b},
    {"cpu/msr_architectural_pmu/env.msr_gp_evtsel[0]", 0x186},
    {"cpu/msr_architectural_pmu/env.msr_gp_evtsel[7]", 0x18d},
    {"cpu/msr_ia32_misc_enable/env.msr_ia32_misc_enable", 0x1a0},
    {"cpu/msr_xfd/env.msr_xfd", 0x1c4},
    {"cpu/msr_xfd/env.msr_xfd_err", 0x1c5},
    {"cpu/fred/env.fred_rsp0", 0x1cc},
    {"cpu/fred/env.fred_stklvls", 0x1d0},
    {"cpu/fred/env.fred_config", 0x1d4},
    {"cpu/env.mtrr_var[0].base", 0x200},
    {"cpu/env.mtrr_var[0].mask", 0x201},
    {"cpu/env.mtrr_var[7].base", 0x20e},
    {"cpu/env.mtrr_var[7].mask", 0x20f},
    {"cpu/env.mtrr_fixed[0]", 0x250},
    {"cpu/env.mtrr_fixed[1]", 0x258},
    {"cpu/env.mtrr_fixed[2]", 0x259},
    {"cpu/env.mtrr_fixed[3]", 0x268},
    {"cpu/env.mtrr_fixed[10]", 0x26f},
    {"cpu/env.mtrr_deftype", 0x2ff},
    {"cpu/msr_architectural_pmu/env.msr_fixed_counters[0]", 0x309},
    {"cpu/msr_architectural_pmu/env.msr_fixed_counters[2]", 0x30b},
    {"cpu/msr_architectural_pmu/env.msr_fixed_ctr_ctrl", 0x38d},
    {"cpu/msr_architectural_pmu/env.msr_global_status", 0x38e},
    {"cpu/msr_architectural_pmu/env.msr_global_ctrl", 0x38f},
    {"cpu/env.mce_banks[0]", 0x400},
    {"cpu/env.mce_banks[5]", 0x405},
    {"cpu/env.mce_banks[39]", 0x427},
    {"cpu/mcg_ext_ctl/env.mcg_ext_ctl", 0x4d0},
    {"cpu/cet/env.u_cet", 0x6a0},
    {"cpu/cet/env.s_cet", 0x6a2},
    {"cpu/pl0_ssp/env.pl0_ssp", 0x6a4},
    {"cpu/cet/cpu/cet_shstk/env.pl1_ssp", 0x6a5},
    {"cpu/cet/cpu/cet_shstk/env.pl2_ssp", 0x6a6},
    {"cpu/cet/cpu/cet_shstk/env.int_ssp_table", 0x6a8},
    {"cpu/msr_tscdeadline/env.tsc_deadline", 0x6e0},
    {"cpu/pkrs/env.pkrs", 0x6e1},
    {"cpu/mpx/env.msr_bndcfgs", 0xd90},
    {"cpu/xss/env.xss", 0xda0},
    {"cpu/msr_hyperv_hypercall/env.msr_hv_guest_os_id", 0x40000000},
    {"cpu/msr_hyperv_hypercall/env.msr_hv_hypercall", 0x40000001},
    {"cpu/msr_hyperv_time/env.msr_hv_tsc", 0x40000021},
    {"cpu/msr_hyperv_vapic/env.msr_hv_vapic", 0x40000073},
    {"cpu/msr_hyperv_synic/env.msr_hv_synic_control", 0x40000080},
    {"cpu/msr_hyperv_synic/env.msr_hv_synic_evt_page", 0x40000082},
    {"cpu/msr_hyperv_synic/env.msr_hv_synic_msg_page", 0x40000083},
    {"cpu/msr_hyperv_synic/env.msr_hv_synic_sint[0]", 0x40000090},
    {"cpu/msr_hyperv_synic/env.msr_hv_synic_sint[15]", 0x4000009f},
    {"cpu/msr_hyperv_stimer/env.msr_hv_stimer_config[0]", 0x400000b0},
    {"cpu/msr_hyperv_stimer/env.msr_hv_stimer_count[0]", 0x400000b1},
    {"cpu/msr_hyperv_stimer/env.msr_hv_stimer_config[3]", 0x400000b6},
    {"cpu/msr_hyperv_stimer/env.msr_hv_stimer_count[3]", 0x400000b7},
    {"cpu/msr_hyperv_crash/env.msr_hv_crash_params[4]", 0x40000104},
    {"cpu/msr_hyperv_reenlightenment/env.msr_hv_reenlightenment_control", 0x40000106},
    {"cpu/msr_hyperv_reenlightenment/env.msr_hv_tsc_emulation_control", 0x40000107},
    {"cpu/msr_hyperv_reenlightenment/env.msr_hv_tsc_emulation_status", 0x40000108},
    {"cpu/env.wall_clock_msr", 0x4b564d00},
    {"cpu/env.system_time_msr", 0x4b564d01},
    {"cpu/async_pf_msr/env.async_pf_en_msr", 0x4b564d02},
    {"cpu/steal_time_msr/env.steal_time_msr", 0x4b564d03},
    {"cpu/async_pv_eoi_msr/env.pv_eoi_en_msr", 0x4b564d04},
    {"cpu/poll_control_msr/env.poll_control_msr", 0x4b564d05},
    {"cpu/async_pf_int_msr/env.async_pf_int_msr", 0x4b564d06},
    {"cpu/amd_tsc_scale_msr/env.amd_tsc_scale_msr", 0xc0000104},
    {"cpu/msr_hwcr/env.msr_hwcr", 0xc0010015},
    {"cpu/env.vm_hsave", 0xc0010117},
    {"cpu/virt_ssbd/env.virt_ssbd", 0xc001011f},
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

static void every_field_becomes_its_register(void **state)
{
    struct machine *m = machine_make();
    (void)state;
    m->parts = BUILD_CPU_MSRS | BUILD_CPU_MPX | BUILD_CPU_XSS | BUILD_CPU_OTHERS;
    machine_set(m, "cpu/env.mcg_cap", 0x10a);
    for (size_t i = 0; i < FIELDS; i++)
        machine_set(m, fields[i].path, 0x1000 + i);
    assert_int_equal(machine_decode(m), 0);
    assert_int_equal(m->accel, RESUME_ACCEL_KVM);
    for (size_t i = 0; i < FIELDS; i++)
        assert_msr(m, fields[i].index, 0x1000 + i);
    for (uint32_t i = 1; i < m->vcpu.msr_count; i++)
        assert_true(m->vcpu.msr[i - 1].index < m->vcpu.msr[i].index);
    /* The hypervisor's own registers have no meaning in a guest of TCG. */
    machine_set(m, "cpu/env.tsc", 0);
    assert_int_equal(machine_decode(m), 0);
    assert_int_equal(m->accel, RESUME_ACCEL_TCG);
    for (uint32_t i = 0; i < m->vcpu.msr_count; i++) {
        assert_int_not_equal(m->vcpu.msr[i].index >> 28, 4);
        assert_int_not_equal(m->vcpu.msr[i].index, 0x10);
    }
    assert_msr(m, 0x3b, 0x1002);
    machine_free(m);
}

static void a_value_that_reset_leaves_is_left_out(void **state)
{
    static const struct {
        const char *path;
        uint32_t index;
        uint64_t reset;
    } cases[] = {
        {"cpu/spec_ctrl/env.spec_ctrl", 0x48, 0},
        {"cpu/env.mcg_ctl", 0x17b, UINT64_MAX},
        {"cpu/env.mce_banks[4]", 0x404, UINT64_MAX},
        {"cpu/env.mce_banks[6]", 0x406, 0},
        {"cpu/poll_control_msr/env.poll_control_msr", 0x4b564d05, 1},
        {"cpu/amd_tsc_scale_msr/env.amd_tsc_scale_msr", 0xc0000104, UINT64_C(1) << 32},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct machine *m = machine_make();
        m->parts = BUILD_CPU_MSRS;
        m->device = "kvmclock";
        machine_set(m, "cpu/env.mcg_cap", 0x10a);
        machine_set(m, cases[i].path, cases[i].reset);
        assert_int_equal(machine_decode(m), 0);
        assert_null(find(m, cases[i].index));
        machine_set(m, cases[i].path, 4);
        assert_int_equal(machine_decode(m), 0);
        assert_msr(m, cases[i].index, 4);
        machine_free(m);
    }
}

/* Banks of machine checks: as many as MCG_CAP says. */
static void only_banks_that_are_there_count(void **state)
{
    struct machine *m = machine_make();
    (void)state;
    machine_set(m, "cpu/env.mcg_ctl", 3);
    machine_set(m, "cpu/env.mcg_status", 5);
    machine_set(m, "cpu/env.mce_banks[7]", 7); /* MISC of bank 1 */
    machine_set(m, "cpu/env.mce_banks[8]", 8); /* CTL of bank 2 */
    assert_int_equal(machine_decode(m), 0);
    assert_null(find(m, 0x17a));
    assert_null(find(m, 0x17b));
    assert_null(find(m, 0x407));
    machine_set(m, "cpu/env.mcg_cap", 2);
    assert_int_equal(machine_decode(m), 0);
    assert_msr(m, 0x17a, 5);
    assert_null(find(m, 0x17b)); /* without MCG_CTL_P there is none */
    assert_msr(m, 0x407, 7);
    assert_null(find(m, 0x408));
    machine_set(m, "cpu/env.mcg_cap", 0x103);
    assert_int_equal(machine_decode(m), 0);
    assert_msr(m, 0x17b, 3);
    assert_msr(m, 0x408, 8);
    /* More banks than the stream has. */
    machine_set(m, "cpu/env.mcg_cap", 0x1ff);
    assert_int_equal(machine_decode(m), 0);
    machine_free(m);
}

/* QEMU's property fill-mtrr-mask: bits from the width of physical addresses to bit 51 are set. */
static void masks_end_where_physical_addresses_do(void **state)
{
    static const char *const masks[] = {"cpu/env.mtrr_var[0].mask", "cpu/env.mtrr_var[1].mask",
                                        "cpu/env.mtrr_var[2].mask", "cpu/env.mtrr_var[3].mask",
                                        "cpu/env.mtrr_var[4].mask", "cpu/env.mtrr_var[5].mask",
                                        "cpu/env.mtrr_var[6].mask", "cpu/env.mtrr_var[7].mask"};
    struct machine *m = machine_make();
    (void)state;
    m->device = "kvmclock";
    machine_set(m, masks[0], 0x000fffff80000800); /* 40 bits: FF80000800H */
    machine_set(m, masks[1], 0x000ffff800000800);
    for (size_t i = 2; i < 8; i++)
        machine_set(m, masks[i], 0x000fff0000000000);
    assert_int_equal(machine_decode(m), 0);
    assert_msr(m, 0x201, 0x000000ff80000800);
    assert_msr(m, 0x203, 0x000000f800000800);
    assert_msr(m, 0x205, 0);
    assert_msr(m, 0x20f, 0);
    /* All in use: where the addresses end cannot be told. */
    for (size_t i = 2; i < 8; i++)
        machine_set(m, masks[i], 0x000fffff00000800);
    assert_int_equal(machine_decode(m), 0);
    assert_msr(m, 0x201, 0x000fffff80000800);
    /* Nothing filled in. */
    machine_set(m, masks[5], 0);
    assert_int_equal(machine_decode(m), 0);
    assert_msr(m, 0x201, 0x000fffff80000800);
    /* TCG does not do it. */
    m->device = NULL;
    for (size_t i = 2; i < 8; i++)
        machine_set(m, masks[i], 0x000fff0000000000);
    assert_int_equal(machine_decode(m), 0);
    assert_msr(m, 0x201, 0x000fffff80000800);
    machine_free(m);
}

/* In user mode the shadow stack's pointer is what the return to CPL 3 takes from PL3_SSP. */
static void the_shadow_stack_comes_with_the_return(void **state)
{
    struct machine *m = machine_make();
    (void)state;
    m->parts = BUILD_CPU_MSRS;
    machine_set(m, "cpu/cet/cpu/cet_shstk/env.pl3_ssp", 0x7000);
    machine_set(m, "cpu/cet/cpu/cet_shstk/env.guest_ssp", 0x7f00);
    assert_int_equal(machine_decode(m), 0);
    assert_msr(m, 0x6a7, 0x7f00);
    machine_set(m, "cpu/env.segs[2].flags", 0x00cf9300);
    assert_int_equal(machine_decode(m), 0);
    assert_msr(m, 0x6a7, 0x7000);
    machine_free(m);
}

static const struct vmdesc_field *field_of(const struct machine *m, const char *path)
{
    const struct vmdesc_field *field =
        vmdesc_field_find(&m->desc, vmdesc_section_find(&m->desc, "cpu", 0), path);
    if (field == NULL)
        fail_msg("no field %s", path);
    return field;
}

/* Only what the record carries is loaded, so the rest has to be the same already. */
static void what_is_left_out_is_known(void **state)
{
    struct machine *m = machine_make();
    const uint32_t kvm = RESUME_ACCEL_KVM;
    (void)state;
    m->parts = BUILD_CPU_MSRS;
    machine_set(m, "cpu/spec_ctrl/env.spec_ctrl", 0);
    machine_set(m, "cpu/umwait/env.umwait", 4);
    machine_set(m, "cpu/msr_hyperv_synic/env.msr_hv_synic_sint[3]", 0x10000);
    machine_set(m, "cpu/env.system_time_msr", 0x1001);
    machine_open(m);
    const struct vmdesc_field *spec = field_of(m, "cpu/spec_ctrl/env.spec_ctrl");
    const struct vmdesc_field *umwait = field_of(m, "cpu/umwait/env.umwait");
    const struct vmdesc_field *clock = field_of(m, "cpu/env.system_time_msr");
    const struct vmdesc_field *misc =
        field_of(m, "cpu/msr_ia32_misc_enable/env.msr_ia32_misc_enable");
    const struct vmdesc_field *sint = field_of(m, "cpu/msr_hyperv_synic/env.msr_hv_synic_sint[3]");
    assert_true(qemu_msr_left_out(kvm, spec, spec));
    assert_true(qemu_msr_left_out(kvm, spec, NULL));
    assert_true(qemu_msr_left_out(kvm, NULL, spec));
    assert_false(qemu_msr_left_out(kvm, umwait, spec));
    assert_false(qemu_msr_left_out(kvm, umwait, NULL));
    assert_true(qemu_msr_left_out(kvm, NULL, umwait));
    assert_false(qemu_msr_left_out(kvm, clock, clock));
    assert_true(qemu_msr_left_out(RESUME_ACCEL_TCG, clock, clock));
    assert_false(qemu_msr_left_out(kvm, NULL, misc));
    assert_false(qemu_msr_left_out(kvm, sint, NULL)); /* there: carried even as reset leaves it */
    assert_true(qemu_msr_left_out(kvm, NULL, sint));
    assert_false(qemu_msr_left_out(kvm, field_of(m, "cpu/env.eip"), NULL)); /* no such register */
    machine_close(m);
    machine_free(m);
}

static void a_path_leads_to_its_register(void **state)
{
    static const char *const none[] = {
        "cpu/env.mtrr_var[8].base",
        "cpu/env.mtrr_fixed[11]",
        "cpu/env.mce_banks[40]",
        "cpu/env.mtrr_fixed[]",
        "cpu/env.mtrr_fixed[-1]",
        "cpu/env.mtrr_fixed[1]x",
        "cpu/env.starx",
        "cpu/env.regs[3]",
        "cpu/env.mtrr_var[0].bas",
    };
    uint32_t index = 0;
    (void)state;
    for (size_t i = 0; i < FIELDS; i++) {
        assert_non_null(qemu_msr_find(fields[i].path, &index));
        assert_int_equal(index, fields[i].index);
    }
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        assert_null(qemu_msr_find(none[i], &index));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_guest_has_the_usual_ones),
        cmocka_unit_test(every_field_becomes_its_register),
        cmocka_unit_test(a_value_that_reset_leaves_is_left_out),
        cmocka_unit_test(only_banks_that_are_there_count),
        cmocka_unit_test(masks_end_where_physical_addresses_do),
        cmocka_unit_test(the_shadow_stack_comes_with_the_return),
        cmocka_unit_test(what_is_left_out_is_known),
        cmocka_unit_test(a_path_leads_to_its_register),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
