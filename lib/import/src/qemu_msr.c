/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Numbers: Intel SDM vol. 4, AMD APM vol. 2 ("MSR Registers"), Hyper-V TLFS, and KVM's documentation
 * ("KVM-specific MSRs").
 */
#include "qemu_msr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <resume/msr.h>

#define ALWAYS QEMU_MSR_ALWAYS
#define PRESENT QEMU_MSR_PRESENT
#define PARAVIRT QEMU_MSR_PARAVIRT
#define BANK QEMU_MSR_BANK

#define MCG_CAP "cpu/env.mcg_cap"
#define MCG_CAP_COUNT 0xffu
#define MCG_CAP_CTL (UINT64_C(1) << 8)

#define MSR_MCG_STATUS 0x17au
#define MSR_MCG_CTL 0x17bu
#define MSR_MTRR_PHYSMASK 0x201u
#define MTRR_VALID (UINT64_C(1) << 11)
#define MTRR_PAIRS 8u
#define MSR_PL3_SSP 0x6a7u
#define FIELD_SSP "cpu/cet/cpu/cet_shstk/env.guest_ssp"

/* index, count, step, first, step of the element, flags, reset, path */
static const struct qemu_msr table[] = {
    {0x10, 1, 0, 0, 0, PARAVIRT, 0, "cpu/env.tsc"},
    {0x3a, 1, 0, 0, 0, 0, 0, "cpu/msr_ia32_feature_control/env.msr_ia32_feature_control"},
    {0x3b, 1, 0, 0, 0, 0, 0, "cpu/msr_tsc_adjust/env.tsc_adjust"},
    {0x48, 1, 0, 0, 0, 0, 0, "cpu/spec_ctrl/env.spec_ctrl"},
    {0x8c, 4, 1, 0, 1, 0, 0, "cpu/intel_sgx/env.msr_ia32_sgxlepubkeyhash[%u]"},
    {0xc1, 18, 1, 0, 1, 0, 0, "cpu/msr_architectural_pmu/env.msr_gp_counters[%u]"},
    {0xe1, 1, 0, 0, 0, 0, 0, "cpu/umwait/env.umwait"},
    {0x122, 1, 0, 0, 0, 0, 0, "cpu/msr_tsx_ctrl/env.tsx_ctrl"},
    {0x174, 1, 0, 0, 0, ALWAYS, 0, "cpu/env.sysenter_cs"},
    {0x175, 1, 0, 0, 0, ALWAYS, 0, "cpu/env.sysenter_esp"},
    {0x176, 1, 0, 0, 0, ALWAYS, 0, "cpu/env.sysenter_eip"},
    {MSR_MCG_STATUS, 1, 0, 0, 0, 0, 0, "cpu/env.mcg_status"},
    {MSR_MCG_CTL, 1, 0, 0, 0, 0, UINT64_MAX, "cpu/env.mcg_ctl"},
    {0x186, 18, 1, 0, 1, 0, 0, "cpu/msr_architectural_pmu/env.msr_gp_evtsel[%u]"},
    {0x1a0, 1, 0, 0, 0, ALWAYS, 1, "cpu/msr_ia32_misc_enable/env.msr_ia32_misc_enable"},
    {0x1c4, 1, 0, 0, 0, 0, 0, "cpu/msr_xfd/env.msr_xfd"},
    {0x1c5, 1, 0, 0, 0, 0, 0, "cpu/msr_xfd/env.msr_xfd_err"},
    {0x1cc, 1, 0, 0, 0, 0, 0, "cpu/fred/env.fred_rsp0"},
    {0x1cd, 1, 0, 0, 0, 0, 0, "cpu/fred/env.fred_rsp1"},
    {0x1ce, 1, 0, 0, 0, 0, 0, "cpu/fred/env.fred_rsp2"},
    {0x1cf, 1, 0, 0, 0, 0, 0, "cpu/fred/env.fred_rsp3"},
    {0x1d0, 1, 0, 0, 0, 0, 0, "cpu/fred/env.fred_stklvls"},
    {0x1d1, 1, 0, 0, 0, 0, 0, "cpu/fred/env.fred_ssp1"},
    {0x1d2, 1, 0, 0, 0, 0, 0, "cpu/fred/env.fred_ssp2"},
    {0x1d3, 1, 0, 0, 0, 0, 0, "cpu/fred/env.fred_ssp3"},
    {0x1d4, 1, 0, 0, 0, 0, 0, "cpu/fred/env.fred_config"},
    {0x200, 8, 2, 0, 1, ALWAYS, 0, "cpu/env.mtrr_var[%u].base"},
    {0x201, 8, 2, 0, 1, ALWAYS, 0, "cpu/env.mtrr_var[%u].mask"},
    {0x250, 1, 0, 0, 0, ALWAYS, 0, "cpu/env.mtrr_fixed[%u]"},
    {0x258, 2, 1, 1, 1, ALWAYS, 0, "cpu/env.mtrr_fixed[%u]"},
    {0x268, 8, 1, 3, 1, ALWAYS, 0, "cpu/env.mtrr_fixed[%u]"},
    {0x277, 1, 0, 0, 0, ALWAYS, 0, "cpu/env.pat"},
    {0x2ff, 1, 0, 0, 0, ALWAYS, 0, "cpu/env.mtrr_deftype"},
    {0x309, 3, 1, 0, 1, 0, 0, "cpu/msr_architectural_pmu/env.msr_fixed_counters[%u]"},
    {0x38d, 1, 0, 0, 0, 0, 0, "cpu/msr_architectural_pmu/env.msr_fixed_ctr_ctrl"},
    {0x38e, 1, 0, 0, 0, 0, 0, "cpu/msr_architectural_pmu/env.msr_global_status"},
    {0x38f, 1, 0, 0, 0, 0, 0, "cpu/msr_architectural_pmu/env.msr_global_ctrl"},
    {0x400, 10, 4, 0, 4, BANK, UINT64_MAX, "cpu/env.mce_banks[%u]"}, /* MCi_CTL */
    {0x401, 10, 4, 1, 4, BANK, 0, "cpu/env.mce_banks[%u]"},          /* MCi_STATUS */
    {0x402, 10, 4, 2, 4, BANK, 0, "cpu/env.mce_banks[%u]"},          /* MCi_ADDR */
    {0x403, 10, 4, 3, 4, BANK, 0, "cpu/env.mce_banks[%u]"},          /* MCi_MISC */
    {0x4d0, 1, 0, 0, 0, 0, 0, "cpu/mcg_ext_ctl/env.mcg_ext_ctl"},
    {0x6a0, 1, 0, 0, 0, 0, 0, "cpu/cet/env.u_cet"},
    {0x6a2, 1, 0, 0, 0, 0, 0, "cpu/cet/env.s_cet"},
    {0x6a4, 1, 0, 0, 0, 0, 0, "cpu/pl0_ssp/env.pl0_ssp"},
    {0x6a5, 1, 0, 0, 0, 0, 0, "cpu/cet/cpu/cet_shstk/env.pl1_ssp"},
    {0x6a6, 1, 0, 0, 0, 0, 0, "cpu/cet/cpu/cet_shstk/env.pl2_ssp"},
    {MSR_PL3_SSP, 1, 0, 0, 0, 0, 0, "cpu/cet/cpu/cet_shstk/env.pl3_ssp"},
    {0x6a8, 1, 0, 0, 0, 0, 0, "cpu/cet/cpu/cet_shstk/env.int_ssp_table"},
    {0x6e0, 1, 0, 0, 0, 0, 0, "cpu/msr_tscdeadline/env.tsc_deadline"},
    {0x6e1, 1, 0, 0, 0, 0, 0, "cpu/pkrs/env.pkrs"},
    {0xd90, 1, 0, 0, 0, 0, 0, "cpu/mpx/env.msr_bndcfgs"},
    {0xda0, 1, 0, 0, 0, 0, 0, "cpu/xss/env.xss"},
    {0x40000000, 1, 0, 0, 0, PARAVIRT, 0, "cpu/msr_hyperv_hypercall/env.msr_hv_guest_os_id"},
    {0x40000001, 1, 0, 0, 0, PARAVIRT, 0, "cpu/msr_hyperv_hypercall/env.msr_hv_hypercall"},
    {0x40000021, 1, 0, 0, 0, PARAVIRT, 0, "cpu/msr_hyperv_time/env.msr_hv_tsc"},
    {0x40000073, 1, 0, 0, 0, PARAVIRT, 0, "cpu/msr_hyperv_vapic/env.msr_hv_vapic"},
    {0x40000080, 1, 0, 0, 0, PARAVIRT, 0, "cpu/msr_hyperv_synic/env.msr_hv_synic_control"},
    {0x40000082, 1, 0, 0, 0, PARAVIRT, 0, "cpu/msr_hyperv_synic/env.msr_hv_synic_evt_page"},
    {0x40000083, 1, 0, 0, 0, PARAVIRT, 0, "cpu/msr_hyperv_synic/env.msr_hv_synic_msg_page"},
    {0x40000090, 16, 1, 0, 1, PARAVIRT | PRESENT, 0x10000,
     "cpu/msr_hyperv_synic/env.msr_hv_synic_sint[%u]"},
    {0x400000b0, 4, 2, 0, 1, PARAVIRT, 0, "cpu/msr_hyperv_stimer/env.msr_hv_stimer_config[%u]"},
    {0x400000b1, 4, 2, 0, 1, PARAVIRT, 0, "cpu/msr_hyperv_stimer/env.msr_hv_stimer_count[%u]"},
    {0x40000100, 5, 1, 0, 1, PARAVIRT, 0, "cpu/msr_hyperv_crash/env.msr_hv_crash_params[%u]"},
    {0x40000106, 1, 0, 0, 0, PARAVIRT, 0,
     "cpu/msr_hyperv_reenlightenment/env.msr_hv_reenlightenment_control"},
    {0x40000107, 1, 0, 0, 0, PARAVIRT, 0,
     "cpu/msr_hyperv_reenlightenment/env.msr_hv_tsc_emulation_control"},
    {0x40000108, 1, 0, 0, 0, PARAVIRT, 0,
     "cpu/msr_hyperv_reenlightenment/env.msr_hv_tsc_emulation_status"},
    /*
     * By their newer numbers: a write to the older ones (11H and 12H) tells KVM that the guest is an
     * old one, and changes how it keeps the clock.
     */
    {0x4b564d00, 1, 0, 0, 0, PARAVIRT, 0, "cpu/env.wall_clock_msr"},
    {0x4b564d01, 1, 0, 0, 0, PARAVIRT, 0, "cpu/env.system_time_msr"},
    {0x4b564d02, 1, 0, 0, 0, PARAVIRT, 0, "cpu/async_pf_msr/env.async_pf_en_msr"},
    {0x4b564d03, 1, 0, 0, 0, PARAVIRT, 0, "cpu/steal_time_msr/env.steal_time_msr"},
    {0x4b564d04, 1, 0, 0, 0, PARAVIRT, 0, "cpu/async_pv_eoi_msr/env.pv_eoi_en_msr"},
    {0x4b564d05, 1, 0, 0, 0, PARAVIRT, 1, "cpu/poll_control_msr/env.poll_control_msr"},
    {0x4b564d06, 1, 0, 0, 0, PARAVIRT, 0, "cpu/async_pf_int_msr/env.async_pf_int_msr"},
    {0xc0000081, 1, 0, 0, 0, ALWAYS, 0, "cpu/env.star"},
    {0xc0000082, 1, 0, 0, 0, ALWAYS, 0, "cpu/env.lstar"},
    {0xc0000083, 1, 0, 0, 0, ALWAYS, 0, "cpu/env.cstar"},
    {0xc0000084, 1, 0, 0, 0, ALWAYS, 0, "cpu/env.fmask"},
    {0xc0000102, 1, 0, 0, 0, ALWAYS, 0, "cpu/env.kernelgsbase"},
    {0xc0000103, 1, 0, 0, 0, ALWAYS, 0, "cpu/env.tsc_aux"},
    {0xc0000104, 1, 0, 0, 0, 0, UINT64_C(1) << 32, "cpu/amd_tsc_scale_msr/env.amd_tsc_scale_msr"},
    {0xc0010015, 1, 0, 0, 0, 0, 0, "cpu/msr_hwcr/env.msr_hwcr"},
    {0xc0010117, 1, 0, 0, 0, 0, 0, "cpu/env.vm_hsave"},
    {0xc001011f, 1, 0, 0, 0, 0, 0, "cpu/virt_ssbd/env.virt_ssbd"},
};
#define TABLE_COUNT (sizeof(table) / sizeof(table[0]))

const struct qemu_msr *qemu_msr_table(size_t *ret_count)
{
    *ret_count = TABLE_COUNT;
    return table;
}

/* Is @path that of one of the row's fields? @ret_number: which of them. */
static bool fits(const struct qemu_msr *msr, const char *path, uint32_t *ret_number)
{
    const char *element = strstr(msr->path, "%u");
    *ret_number = 0;
    if (element == NULL)
        return strcmp(msr->path, path) == 0;
    size_t before = (size_t)(element - msr->path);
    if (strncmp(msr->path, path, before) != 0 || path[before] < '0' || path[before] > '9')
        return false;
    char *end;
    unsigned long number = strtoul(path + before, &end, 10);
    if (strcmp(end, element + 2) != 0 || number < msr->first)
        return false;
    number -= msr->first;
    if (msr->count > 1) {
        if (number % msr->step_element != 0)
            return false;
        number /= msr->step_element;
    }
    *ret_number = (uint32_t)number;
    return number < msr->count;
}

const struct qemu_msr *qemu_msr_find(const char *path, uint32_t *ret_index)
{
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        uint32_t number;
        if (!fits(&table[i], path, &number))
            continue;
        *ret_index = table[i].index + number * table[i].step;
        return &table[i];
    }
    return NULL;
}

/* Does a register with this value go into the record? */
static bool is_kept(const struct qemu_msr *msr, uint32_t accel, bool present, uint64_t value)
{
    if ((msr->flags & PARAVIRT) != 0 && accel != RESUME_ACCEL_KVM)
        return false;
    if ((msr->flags & ALWAYS) != 0)
        return true;
    return present && ((msr->flags & PRESENT) != 0 || value != msr->reset);
}

bool qemu_msr_left_out(uint32_t accel, const struct vmdesc_field *source,
                       const struct vmdesc_field *target)
{
    uint32_t index;
    uint64_t value = 0;
    const struct qemu_msr *msr =
        qemu_msr_find(source != NULL ? source->path : target->path, &index);
    if (msr == NULL)
        return false;
    if (source != NULL && vmdesc_field_u64(source, &value) != 0)
        return true;
    return !is_kept(msr, accel, source != NULL, value);
}

static void add(struct qemu_reader *cpu, struct resume_vcpu *out, uint32_t index, uint32_t flags,
                uint64_t value)
{
    if (*cpu->ret != 0)
        return;
    if (out->msr_count == RESUME_MSR_MAX) {
        *cpu->ret =
            stream_fail(cpu->error, RESUME_ENOSPC, cpu->desc->tail_offset + cpu->section->start,
                        NULL, "more than %d model-specific registers", RESUME_MSR_MAX);
        return;
    }
    uint32_t at = out->msr_count++;
    while (at > 0 && out->msr[at - 1].index > index) {
        out->msr[at] = out->msr[at - 1];
        at--;
    }
    out->msr[at] = (struct resume_msr){.index = index, .flags = flags, .value = value};
}

/* The value of a field; subsections may be absent, and then stand for the reset value. */
static uint64_t fetch(struct qemu_reader *cpu, const struct qemu_msr *msr, uint32_t number,
                      bool *ret_present)
{
    char numbered[128];
    const char *path = msr->path;
    const char *element = strstr(path, "%u");
    if (element != NULL) {
        snprintf(numbered, sizeof(numbered), "%.*s%u%s", (int)(element - path), path,
                 msr->first + number * msr->step_element, element + 2);
        path = numbered;
    }
    const struct vmdesc_field *field = vmdesc_field_find(cpu->desc, cpu->section, path);
    *ret_present = field != NULL;
    if (*ret_present)
        return qemu_value(cpu, UINT64_MAX, field);
    /* Only fields of the section itself are in every stream. */
    return strncmp(path, "cpu/env.", 8) == 0 ? qemu_need(cpu, UINT64_MAX, "%s", path) : msr->reset;
}

/* How many registers of this row the CPU has. */
static uint32_t count_of(const struct qemu_msr *msr, uint64_t mcg_cap)
{
    uint64_t banks = mcg_cap & MCG_CAP_COUNT;
    if ((msr->index == MSR_MCG_STATUS && banks == 0) ||
        (msr->index == MSR_MCG_CTL && (mcg_cap & MCG_CAP_CTL) == 0))
        return 0;
    return (msr->flags & BANK) != 0 && banks < msr->count ? (uint32_t)banks : msr->count;
}

/* The pointer of the shadow stack that is in use, for a guest at CPL 3 by way of PL3_SSP. */
static uint64_t shadow_stack(struct qemu_reader *cpu, const struct resume_vcpu *vcpu,
                             uint64_t pl3_ssp)
{
    unsigned cpl = (vcpu->segs.seg[RESUME_SS].access & RESUME_SEG_DPL) >> RESUME_SEG_DPL_SHIFT;
    return cpl == 3 ? qemu_may(cpu, UINT64_MAX, pl3_ssp, FIELD_SSP) : pl3_ssp;
}

/*
 * Under KVM, QEMU sets the bits of MTRR masks beyond the guest's physical addresses, up to bit 51,
 * so that a wider host may take them. No CPU lets them be written. They are set in all masks
 * alike, and they are all that an unused one has.
 */
static uint64_t mtrr_fill(struct qemu_reader *cpu, uint32_t accel)
{
    uint64_t common = UINT64_MAX;
    uint64_t fill = 0;
    bool unused = false;
    if (accel != RESUME_ACCEL_KVM)
        return 0;
    for (uint32_t i = 0; i < MTRR_PAIRS; i++) {
        uint64_t mask = qemu_need(cpu, UINT64_MAX, "cpu/env.mtrr_var[%u].mask", i);
        common &= mask;
        unused = unused || (mask & MTRR_VALID) == 0;
    }
    for (uint32_t bit = 51; unused && bit >= 36 && (common >> bit & 1) != 0; bit--)
        fill |= UINT64_C(1) << bit;
    return fill;
}

void qemu_msr_read(struct qemu_reader *cpu, uint32_t accel, struct resume_vcpu *out)
{
    uint64_t mcg_cap = qemu_may(cpu, UINT64_MAX, 0, MCG_CAP);
    uint64_t fill = mtrr_fill(cpu, accel);
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        const struct qemu_msr *msr = &table[i];
        uint32_t count = count_of(msr, mcg_cap);
        for (uint32_t n = 0; n < count && *cpu->ret == 0; n++) {
            bool present;
            uint64_t value = fetch(cpu, msr, n, &present);
            if (msr->index == MSR_MTRR_PHYSMASK)
                value &= ~fill;
            if (msr->index == MSR_PL3_SSP)
                value = shadow_stack(cpu, out, value);
            if (!is_kept(msr, accel, present, value))
                continue;
            uint32_t index = msr->index + n * msr->step;
            add(cpu, out, index, resume_msr_flags(index, value), value);
        }
    }
}
