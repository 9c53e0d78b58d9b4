/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Which MSRs a resume restores, by which way, and in which order. */
#ifndef RESUME_MSR_H
#define RESUME_MSR_H

#include <resume/state.h>

#ifdef __cplusplus
extern "C" {
#endif

enum resume_msr_way {
    RESUME_MSR_NOT_RESTORED,
    RESUME_MSR_BY_LIST,     /* the trampoline's list of MSRs */
    RESUME_MSR_BY_FIELD,    /* the trampoline, from a field of its own and at its own moment */
    RESUME_MSR_WITH_DEVICES /* state that travels with the devices: clocks, the local APIC */
};

/* resume_msr_way - the way of MSR @index; RESUME_MSR_NOT_RESTORED for one that is not known. */
enum resume_msr_way resume_msr_way(uint32_t index);

/*
 * Moments in the list; within one, MSRs ascend by index. What enables something comes after what
 * it enables. The clock before the services that are computed from it; what can expire, last.
 */
enum resume_msr_order {
    RESUME_MSR_ORDER_MEMORY,            /* PAT, MTRRs */
    RESUME_MSR_ORDER_MEMORY_ENABLE,     /* IA32_MTRR_DEF_TYPE */
    RESUME_MSR_ORDER_GENERAL,           /* system calls, features */
    RESUME_MSR_ORDER_COUNTERS,          /* machine check banks, performance counters */
    RESUME_MSR_ORDER_COUNTERS_ENABLE,   /* IA32_PERF_GLOBAL_CTRL and its like */
    RESUME_MSR_ORDER_TSC_ADJUST,        /* before the TSC, which it moves */
    RESUME_MSR_ORDER_TSC,               /* TSC */
    RESUME_MSR_ORDER_HYPERVISOR,        /* paravirtual clocks, pages and message slots */
    RESUME_MSR_ORDER_HYPERVISOR_ENABLE, /* what makes them deliver */
    RESUME_MSR_ORDER_DEADLINE,          /* IA32_TSC_DEADLINE */
    RESUME_MSR_ORDERS
};

/* resume_msr_order - the moment of MSR @index; RESUME_MSR_ORDER_GENERAL for one that is not known. */
uint32_t resume_msr_order(uint32_t index);

/*
 * resume_msr_flags - how a producer of records should mark an MSR that holds @value.
 * 0 when a guest that lost the value would go wrong, not at once but for good: the entry points of
 * system calls, PAT, KERNEL_GS_BASE, TSC_AUX, what protects it or is enforced on it (XSS, XFD, CET,
 * SPEC_CTRL and so on), and services of the hypervisor that it relies on (its clock, hypercalls,
 * interrupts from the synthetic controller). RESUME_MSR_OPTIONAL for all others: clocks and
 * counters, which go on and never read back as written; logs; what the machine's own firmware sets
 * up; hints. RESUME_MSR_OPTIONAL too where @value is what a reset leaves: nothing is lost then.
 */
uint32_t resume_msr_flags(uint32_t index, uint64_t value);

/*
 * resume_msr_name - "LSTAR"; "MTRR_PHYSBASE" with the number 3 for the fourth of them.
 * @ret_number: which of several, or RESUME_MSR_NO_NUMBER; may be NULL.
 * Returns NULL for an MSR that is not known.
 */
const char *resume_msr_name(uint32_t index, uint32_t *ret_number);
#define RESUME_MSR_NO_NUMBER UINT32_MAX

/*
 * resume_msr_list - the list of MSRs that the trampoline loads for @vcpu, in its order.
 * @accel: enum resume_accel of the machine that the state is from. With TCG the TSC travels with
 * the devices; with KVM it belongs to the vCPU, and is in the list.
 * @out: @capacity entries; at most RESUME_MSR_MAX + 1 are needed.  @ret_count: entries written.
 * In it are the MSRs of the record that go by the list, with the record's flags, and XSS when
 * only ctrl.xss says that it is in use. The ledger's characters for MSRs have this order.
 * Deterministic. Errors: EINVAL (NULL, too many MSRs in the record), ENOSPC.
 */
int resume_msr_list(const struct resume_vcpu *vcpu, uint32_t accel, struct resume_msr *out,
                    uint32_t capacity, uint32_t *ret_count);

#ifdef __cplusplus
}
#endif
#endif
