/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Numbers: Intel SDM vol. 4; AMD APM vol. 2, "MSR Cross-Reference"; Linux, "KVM-specific MSRs";
 * Hypervisor Top Level Functional Specification, "Synthetic MSRs".
 */
#include <resume/msr.h>

#include "internal.h"

enum need { OPTIONAL, NEEDED };

/* MSRs first, first + stride, ... last. */
struct row {
    uint32_t first;
    uint32_t last;
    uint8_t stride;
    uint8_t way;
    uint8_t order;
    uint8_t need;
    uint32_t reset; /* for what is needed: the value that a reset leaves */
    char name[28];
};

#define LIST(first, last, stride, order, need, reset, name)                                        \
    {                                                                                              \
        (first), (last), (stride), RESUME_MSR_BY_LIST, RESUME_MSR_ORDER_##order, (need), (reset),  \
            name                                                                                   \
    }
#define ONE(index, order, need, name) LIST(index, index, 1, order, need, 0, name)
#define OTHER(first, last, way, need, name)                                                        \
    {                                                                                              \
        (first), (last), 1, RESUME_MSR_##way, RESUME_MSR_ORDER_GENERAL, (need), 0, name            \
    }

/*
 * Ascending. Not in it are commands, which hold no state to restore: IA32_PERF_GLOBAL_OVF_CTRL,
 * KVM's ASYNC_PF_ACK, Hyper-V's EOM, RESET and CRASH_CTL.
 */
static const struct row rows[] = {
    {RESUME_MSR_TSC, RESUME_MSR_TSC, 1, RESUME_MSR_WITH_DEVICES, RESUME_MSR_ORDER_TSC, OPTIONAL, 0,
     "TSC"},
    ONE(0x11, HYPERVISOR, OPTIONAL, "KVM_WALL_CLOCK"),
    ONE(0x12, HYPERVISOR, NEEDED, "KVM_SYSTEM_TIME"),
    OTHER(RESUME_MSR_APIC_BASE, RESUME_MSR_APIC_BASE, WITH_DEVICES, NEEDED, "APIC_BASE"),
    ONE(0x3a, GENERAL, OPTIONAL, "FEATURE_CONTROL"),
    ONE(0x3b, TSC_ADJUST, OPTIONAL, "TSC_ADJUST"),
    ONE(0x48, GENERAL, NEEDED, "SPEC_CTRL"),
    LIST(0x8c, 0x8f, 1, GENERAL, OPTIONAL, 0, "SGXLEPUBKEYHASH"),
    LIST(0xc1, 0xd2, 1, COUNTERS, OPTIONAL, 0, "PMC"),
    ONE(0xe1, GENERAL, OPTIONAL, "UMWAIT_CONTROL"),
    ONE(0x122, GENERAL, NEEDED, "TSX_CTRL"),
    ONE(0x140, GENERAL, NEEDED, "MISC_FEATURES_ENABLES"),
    ONE(RESUME_MSR_SYSENTER_CS, GENERAL, NEEDED, "SYSENTER_CS"),
    ONE(RESUME_MSR_SYSENTER_ESP, GENERAL, NEEDED, "SYSENTER_ESP"),
    ONE(RESUME_MSR_SYSENTER_EIP, GENERAL, NEEDED, "SYSENTER_EIP"),
    ONE(0x17a, COUNTERS, OPTIONAL, "MCG_STATUS"),
    ONE(0x17b, COUNTERS, OPTIONAL, "MCG_CTL"),
    LIST(0x186, 0x197, 1, COUNTERS, OPTIONAL, 0, "PERFEVTSEL"),
    ONE(0x1a0, GENERAL, OPTIONAL, "MISC_ENABLE"),
    ONE(0x1c4, GENERAL, NEEDED, "XFD"),
    ONE(0x1c5, GENERAL, NEEDED, "XFD_ERR"),
    LIST(0x1cc, 0x1d4, 1, GENERAL, OPTIONAL, 0, "FRED"), /* without CR4.FRED */
    LIST(0x200, 0x212, 2, MEMORY, OPTIONAL, 0, "MTRR_PHYSBASE"),
    LIST(0x201, 0x213, 2, MEMORY, OPTIONAL, 0, "MTRR_PHYSMASK"),
    ONE(0x250, MEMORY, OPTIONAL, "MTRR_FIX64K_00000"),
    ONE(0x258, MEMORY, OPTIONAL, "MTRR_FIX16K_80000"),
    ONE(0x259, MEMORY, OPTIONAL, "MTRR_FIX16K_A0000"),
    LIST(0x268, 0x26f, 1, MEMORY, OPTIONAL, 0, "MTRR_FIX4K"),
    ONE(RESUME_MSR_PAT, MEMORY, NEEDED, "PAT"),
    LIST(0x280, 0x29f, 1, COUNTERS, OPTIONAL, 0, "MC_CTL2"),
    ONE(0x2ff, MEMORY_ENABLE, OPTIONAL, "MTRR_DEF_TYPE"),
    LIST(0x309, 0x30f, 1, COUNTERS, OPTIONAL, 0, "FIXED_CTR"),
    ONE(0x38d, COUNTERS, OPTIONAL, "FIXED_CTR_CTRL"),
    ONE(0x38e, COUNTERS, OPTIONAL, "PERF_GLOBAL_STATUS"),
    ONE(0x38f, COUNTERS_ENABLE, OPTIONAL, "PERF_GLOBAL_CTRL"),
    LIST(0x400, 0x47c, 4, COUNTERS, OPTIONAL, 0, "MC_CTL"),
    LIST(0x401, 0x47d, 4, COUNTERS, OPTIONAL, 0, "MC_STATUS"),
    LIST(0x402, 0x47e, 4, COUNTERS, OPTIONAL, 0, "MC_ADDR"),
    LIST(0x403, 0x47f, 4, COUNTERS, OPTIONAL, 0, "MC_MISC"),
    ONE(0x4d0, COUNTERS, OPTIONAL, "MCG_EXT_CTL"),
    ONE(RESUME_MSR_U_CET, GENERAL, NEEDED, "U_CET"),
    ONE(RESUME_MSR_S_CET, GENERAL, NEEDED, "S_CET"),
    LIST(0x6a4, 0x6a7, 1, GENERAL, NEEDED, 0, "PL_SSP"),
    ONE(0x6a8, GENERAL, NEEDED, "INTERRUPT_SSP_TABLE"),
    ONE(0x6e0, DEADLINE, OPTIONAL, "TSC_DEADLINE"),
    ONE(0x6e1, GENERAL, NEEDED, "PKRS"),
    OTHER(0x800, 0x8ff, WITH_DEVICES, OPTIONAL, "X2APIC"),
    ONE(0xd90, GENERAL, NEEDED, "BNDCFGS"),
    ONE(RESUME_MSR_XSS, GENERAL, NEEDED, "XSS"),
    /* HYPERCALL takes effect only when GUEST_OS_ID is there: it has the higher index. */
    ONE(0x40000000, HYPERVISOR, NEEDED, "HV_GUEST_OS_ID"),
    ONE(0x40000001, HYPERVISOR, NEEDED, "HV_HYPERCALL"),
    ONE(0x40000021, HYPERVISOR, NEEDED, "HV_REFERENCE_TSC"),
    ONE(0x40000073, HYPERVISOR, OPTIONAL, "HV_VP_ASSIST_PAGE"),
    ONE(0x40000080, HYPERVISOR_ENABLE, NEEDED, "HV_SCONTROL"),
    ONE(0x40000081, HYPERVISOR, OPTIONAL, "HV_SVERSION"),
    ONE(0x40000082, HYPERVISOR, NEEDED, "HV_SIEFP"),
    ONE(0x40000083, HYPERVISOR, NEEDED, "HV_SIMP"),
    LIST(0x40000090, 0x4000009f, 1, HYPERVISOR, NEEDED, 0x10000, "HV_SINT"),
    LIST(0x400000b0, 0x400000b6, 2, HYPERVISOR_ENABLE, OPTIONAL, 0, "HV_STIMER_CONFIG"),
    LIST(0x400000b1, 0x400000b7, 2, HYPERVISOR, OPTIONAL, 0, "HV_STIMER_COUNT"),
    LIST(0x40000100, 0x40000104, 1, HYPERVISOR, OPTIONAL, 0, "HV_CRASH_P"),
    ONE(0x40000106, HYPERVISOR, OPTIONAL, "HV_REENLIGHTENMENT_CONTROL"),
    ONE(0x40000107, HYPERVISOR, OPTIONAL, "HV_TSC_EMULATION_CONTROL"),
    ONE(0x40000108, HYPERVISOR, OPTIONAL, "HV_TSC_EMULATION_STATUS"),
    ONE(0x4b564d00, HYPERVISOR, OPTIONAL, "KVM_WALL_CLOCK_NEW"),
    ONE(0x4b564d01, HYPERVISOR, NEEDED, "KVM_SYSTEM_TIME_NEW"),
    ONE(0x4b564d02, HYPERVISOR_ENABLE, OPTIONAL, "KVM_ASYNC_PF_EN"),
    ONE(0x4b564d03, HYPERVISOR, OPTIONAL, "KVM_STEAL_TIME"),
    ONE(0x4b564d04, HYPERVISOR, OPTIONAL, "KVM_PV_EOI_EN"),
    ONE(0x4b564d05, HYPERVISOR, OPTIONAL, "KVM_POLL_CONTROL"),
    ONE(0x4b564d06, HYPERVISOR, OPTIONAL, "KVM_ASYNC_PF_INT"),
    ONE(0x4b564d08, HYPERVISOR, OPTIONAL, "KVM_MIGRATION_CONTROL"),
    OTHER(RESUME_MSR_EFER, RESUME_MSR_EFER, BY_FIELD, NEEDED, "EFER"),
    ONE(RESUME_MSR_STAR, GENERAL, NEEDED, "STAR"),
    ONE(RESUME_MSR_LSTAR, GENERAL, NEEDED, "LSTAR"),
    ONE(RESUME_MSR_CSTAR, GENERAL, NEEDED, "CSTAR"),
    ONE(RESUME_MSR_FMASK, GENERAL, NEEDED, "FMASK"),
    OTHER(RESUME_MSR_FS_BASE, RESUME_MSR_FS_BASE, BY_FIELD, NEEDED, "FS_BASE"),
    OTHER(RESUME_MSR_GS_BASE, RESUME_MSR_GS_BASE, BY_FIELD, NEEDED, "GS_BASE"),
    ONE(RESUME_MSR_KERNEL_GS_BASE, GENERAL, NEEDED, "KERNEL_GS_BASE"),
    ONE(RESUME_MSR_TSC_AUX, GENERAL, NEEDED, "TSC_AUX"),
    ONE(0xc0000104, GENERAL, OPTIONAL, "TSC_RATIO"),
    LIST(0xc0010000, 0xc0010003, 1, COUNTERS_ENABLE, OPTIONAL, 0, "K7_PERFEVTSEL"),
    LIST(0xc0010004, 0xc0010007, 1, COUNTERS, OPTIONAL, 0, "K7_PERFCTR"),
    ONE(0xc0010015, GENERAL, OPTIONAL, "HWCR"),
    ONE(0xc0010117, GENERAL, OPTIONAL, "VM_HSAVE_PA"),
    ONE(0xc001011f, GENERAL, NEEDED, "VIRT_SSBD"),
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static const struct row *find(uint32_t index)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (index >= rows[i].first && index <= rows[i].last &&
            (index - rows[i].first) % rows[i].stride == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

enum resume_msr_way resume_msr_way(uint32_t index)
{
    const struct row *row = find(index);

    return row != NULL ? (enum resume_msr_way)row->way : RESUME_MSR_NOT_RESTORED;
}

uint32_t resume_msr_order(uint32_t index)
{
    const struct row *row = find(index);

    return row != NULL ? row->order : (uint32_t)RESUME_MSR_ORDER_GENERAL;
}

/* Whatever the value: every 64-bit guest sets them, every CPU has them. PAT's reset is not zero. */
static bool always_needed(uint32_t index)
{
    switch (index) {
    case RESUME_MSR_SYSENTER_CS:
    case RESUME_MSR_SYSENTER_ESP:
    case RESUME_MSR_SYSENTER_EIP:
    case RESUME_MSR_PAT:
    case RESUME_MSR_EFER:
    case RESUME_MSR_STAR:
    case RESUME_MSR_LSTAR:
    case RESUME_MSR_CSTAR:
    case RESUME_MSR_FMASK:
    case RESUME_MSR_FS_BASE:
    case RESUME_MSR_GS_BASE:
    case RESUME_MSR_KERNEL_GS_BASE:
        return true;
    default:
        return false;
    }
}

uint32_t resume_msr_flags(uint32_t index, uint64_t value)
{
    const struct row *row = find(index);

    if (always_needed(index) || (row != NULL && row->need == NEEDED && value != row->reset)) {
        return 0;
    }
    return RESUME_MSR_OPTIONAL;
}

const char *resume_msr_name(uint32_t index, uint32_t *ret_number)
{
    const struct row *row = find(index);

    if (row == NULL) {
        return NULL;
    }
    if (ret_number != NULL) {
        *ret_number =
            row->first == row->last ? RESUME_MSR_NO_NUMBER : (index - row->first) / row->stride;
    }
    return row->name;
}

static bool listed(uint32_t index, uint32_t accel)
{
    return resume_msr_way(index) == RESUME_MSR_BY_LIST ||
           (index == RESUME_MSR_TSC && accel == RESUME_ACCEL_KVM);
}

static uint64_t key(const struct resume_msr *msr)
{
    return (uint64_t)resume_msr_order(msr->index) << 32 | msr->index;
}

/* By order, then index. There are few enough for this to do. */
static void insert(const struct resume_msr *msr, struct resume_msr *out, uint32_t *count)
{
    uint32_t at = (*count)++;

    while (at > 0 && key(&out[at - 1]) > key(msr)) {
        out[at] = out[at - 1];
        at--;
    }
    out[at] = *msr;
}

int resume_msr_list(const struct resume_vcpu *vcpu, uint32_t accel, struct resume_msr *out,
                    uint32_t capacity, uint32_t *ret_count)
{
    struct resume_msr xss = {.index = RESUME_MSR_XSS};
    uint32_t needed = 0;
    uint32_t count = 0;

    if (vcpu == NULL || vcpu->msr_count > RESUME_MSR_MAX || out == NULL || ret_count == NULL) {
        return RESUME_EINVAL;
    }
    if ((vcpu->ctrl.valid & RESUME_CTRL_XSS) != 0 &&
        resume_vcpu_msr(vcpu, RESUME_MSR_XSS) == NULL) {
        xss.value = vcpu->ctrl.xss;
    }
    needed = xss.value != 0;
    for (uint32_t i = 0; i < vcpu->msr_count; i++) {
        needed += listed(vcpu->msr[i].index, accel);
    }
    if (needed > capacity) {
        return RESUME_ENOSPC;
    }
    for (uint32_t i = 0; i < vcpu->msr_count; i++) {
        if (listed(vcpu->msr[i].index, accel)) {
            insert(&vcpu->msr[i], out, &count);
        }
    }
    if (xss.value != 0) {
        insert(&xss, out, &count);
    }
    *ret_count = count;
    return RESUME_OK;
}
