/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "msr_name.h"

#include <inttypes.h>
#include <stdio.h>

static const struct {
    uint32_t index;
    const char *name;
} single[] = {
    {0x10, "TIME_STAMP_COUNTER"},
    {0x1b, "APIC_BASE"},
    {0x3a, "FEATURE_CONTROL"},
    {0x3b, "TSC_ADJUST"},
    {0x48, "SPEC_CTRL"},
    {0x8b, "BIOS_SIGN_ID"},
    {0x9e, "SMBASE"},
    {0xe1, "UMWAIT_CONTROL"},
    {0x122, "TSX_CTRL"},
    {0x140, "MISC_FEATURE_ENABLES"},
    {0x174, "SYSENTER_CS"},
    {0x175, "SYSENTER_ESP"},
    {0x176, "SYSENTER_EIP"},
    {0x179, "MCG_CAP"},
    {0x17a, "MCG_STATUS"},
    {0x17b, "MCG_CTL"},
    {0x1a0, "MISC_ENABLE"},
    {0x1c4, "XFD"},
    {0x1c5, "XFD_ERR"},
    {0x1d9, "DEBUGCTL"},
    {0x250, "MTRR_FIX64K_00000"},
    {0x258, "MTRR_FIX16K_80000"},
    {0x259, "MTRR_FIX16K_A0000"},
    {0x268, "MTRR_FIX4K_C0000"},
    {0x269, "MTRR_FIX4K_C8000"},
    {0x26a, "MTRR_FIX4K_D0000"},
    {0x26b, "MTRR_FIX4K_D8000"},
    {0x26c, "MTRR_FIX4K_E0000"},
    {0x26d, "MTRR_FIX4K_E8000"},
    {0x26e, "MTRR_FIX4K_F0000"},
    {0x26f, "MTRR_FIX4K_F8000"},
    {0x277, "PAT"},
    {0x2ff, "MTRR_DEF_TYPE"},
    {0x38d, "FIXED_CTR_CTRL"},
    {0x38e, "PERF_GLOBAL_STATUS"},
    {0x38f, "PERF_GLOBAL_CTRL"},
    {0x390, "PERF_GLOBAL_OVF_CTRL"},
    {0x4d0, "MCG_EXT_CTL"},
    {0x6a0, "U_CET"},
    {0x6a2, "S_CET"},
    {0x6a4, "PL0_SSP"},
    {0x6a5, "PL1_SSP"},
    {0x6a6, "PL2_SSP"},
    {0x6a7, "PL3_SSP"},
    {0x6a8, "INTERRUPT_SSP_TABLE_ADDR"},
    {0x6e0, "TSC_DEADLINE"},
    {0x6e1, "PKRS"},
    {0xd90, "BNDCFGS"},
    {0xda0, "XSS"},
    {0x40000000, "HV_GUEST_OS_ID"},
    {0x40000001, "HV_HYPERCALL"},
    {0x40000021, "HV_REFERENCE_TSC"},
    {0x40000073, "HV_VP_ASSIST_PAGE"},
    {0x40000105, "HV_CRASH_CTL"},
    {0x40000106, "HV_REENLIGHTENMENT_CONTROL"},
    {0x40000107, "HV_TSC_EMULATION_CONTROL"},
    {0x40000108, "HV_TSC_EMULATION_STATUS"},
    {0x4b564d00, "KVM_WALL_CLOCK_NEW"},
    {0x4b564d01, "KVM_SYSTEM_TIME_NEW"},
    {0x4b564d02, "KVM_ASYNC_PF_EN"},
    {0x4b564d03, "KVM_STEAL_TIME"},
    {0x4b564d04, "KVM_PV_EOI_EN"},
    {0x4b564d05, "KVM_POLL_CONTROL"},
    {0x4b564d06, "KVM_ASYNC_PF_INT"},
    {0xc0000080, "EFER"},
    {0xc0000081, "STAR"},
    {0xc0000082, "LSTAR"},
    {0xc0000083, "CSTAR"},
    {0xc0000084, "FMASK"},
    {0xc0000100, "FS_BASE"},
    {0xc0000101, "GS_BASE"},
    {0xc0000102, "KERNEL_GS_BASE"},
    {0xc0000103, "TSC_AUX"},
    {0xc0000104, "TSC_RATIO"},
    {0xc0010015, "HWCR"},
    {0xc0010114, "VM_CR"},
    {0xc0010117, "VM_HSAVE_PA"},
    {0xc001011f, "VIRT_SSBD"},
};

/* Rows of registers, numbered in between the two parts of their names. */
static const struct {
    uint32_t first;
    uint32_t last;
    uint32_t step; /* from one to the next of the same name */
    const char *before;
    const char *after;
} rows[] = {
    {0xc1, 0xc8, 1, "PMC", ""},
    {0x186, 0x18d, 1, "PERFEVTSEL", ""},
    {0x200, 0x21e, 2, "MTRR_PHYSBASE", ""},
    {0x201, 0x21f, 2, "MTRR_PHYSMASK", ""},
    {0x280, 0x29f, 1, "MC", "_CTL2"},
    {0x309, 0x30c, 1, "FIXED_CTR", ""},
    {0x400, 0x47c, 4, "MC", "_CTL"},
    {0x401, 0x47d, 4, "MC", "_STATUS"},
    {0x402, 0x47e, 4, "MC", "_ADDR"},
    {0x403, 0x47f, 4, "MC", "_MISC"},
};

const char *msr_name(uint32_t index, char *buffer)
{
    for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++) {
        if (single[i].index == index)
            return single[i].name;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (index < rows[i].first || index > rows[i].last ||
            (index - rows[i].first) % rows[i].step != 0)
            continue;
        snprintf(buffer, MSR_NAME_MAX, "%s%" PRIu32 "%s", rows[i].before,
                 (index - rows[i].first) / rows[i].step, rows[i].after);
        return buffer;
    }
    return "";
}
