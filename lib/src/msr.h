/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The one list of the MSRs that a resume restores, and by which way. */
#ifndef RESUME_MSR_H
#define RESUME_MSR_H

#include <resume/state.h>

enum resume_msr_way {
    RESUME_MSR_NOT_RESTORED,
    RESUME_MSR_BY_LIST,     /* the trampoline's list of MSRs */
    RESUME_MSR_BY_FIELD,    /* the trampoline, from a field of its own and at its own moment */
    RESUME_MSR_WITH_DEVICES /* state that travels with the devices: clocks, the local APIC */
};

static inline enum resume_msr_way resume_msr_way(uint32_t index)
{
    switch (index) {
    case RESUME_MSR_SYSENTER_CS:
    case RESUME_MSR_SYSENTER_ESP:
    case RESUME_MSR_SYSENTER_EIP:
    case RESUME_MSR_PAT:
    case RESUME_MSR_STAR:
    case RESUME_MSR_LSTAR:
    case RESUME_MSR_CSTAR:
    case RESUME_MSR_FMASK:
    case RESUME_MSR_KERNEL_GS_BASE:
    case RESUME_MSR_TSC_AUX:
        return RESUME_MSR_BY_LIST;
    case RESUME_MSR_EFER:
    case RESUME_MSR_FS_BASE:
    case RESUME_MSR_GS_BASE:
        return RESUME_MSR_BY_FIELD;
    case RESUME_MSR_TSC:
    case RESUME_MSR_APIC_BASE:
        return RESUME_MSR_WITH_DEVICES;
    default:
        return RESUME_MSR_NOT_RESTORED;
    }
}

#endif
