/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * What a CPU can do, as CPUID says, and whether a state fits it. A bit that a CPU lacks raises #GP
 * when it is loaded, after the point of no return; so it is asked before.
 */
#ifndef RESUME_CPU_H
#define RESUME_CPU_H

#include <resume/state.h>

#ifdef __cplusplus
extern "C" {
#endif

/* CPUID: leaf in EAX, subleaf in ECX; out = EAX, EBX, ECX, EDX. A recorded table serves as well. */
struct resume_cpuid {
    void (*query)(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
    void *ctx;
};

struct resume_cpu {
    uint64_t cr4_allowed;  /* bits that CR4 takes */
    uint64_t efer_allowed; /* bits that EFER takes */
    uint64_t xcr0_allowed; /* bits that XCR0 takes; 0 without XSAVE */
    uint32_t xsave;        /* 1 = XSAVE, XRSTOR, XSETBV exist */
    uint32_t rdtscp;       /* 1 = MSR TSC_AUX exists (RDTSCP or RDPID) */
    uint32_t pa_bits;      /* physical-address width */
    uint32_t page_1g;      /* 1 = 1 GiB pages */
    uint32_t comp_count;
    struct resume_xcomp comp[RESUME_XCOMP_MAX]; /* standard-form offsets of components 2 and up */
    uint64_t xss_allowed;                       /* bits that IA32_XSS takes; 0 without XSAVES */
};

/*
 * resume_cpu_identify - read the capabilities out of CPUID.
 * Context: any; in firmware, on the CPU that will run the trampoline.
 * Errors: EINVAL, ECPU (not an x86-64 CPU).
 * Implements Intel SDM vol. 2 "CPUID", vol. 1 "Enabling the XSAVE Feature Set".
 */
int resume_cpu_identify(const struct resume_cpuid *cpuid, struct resume_cpu *out,
                        struct resume_diag *diag);

/*
 * resume_cpu_check - can this CPU hold the state of @vcpu?
 * @vcpu: validated.  @index: the vCPU's number, for the diagnosis.
 * Where the CPU's XSAVE area has another layout than the record's is no obstacle: the image is
 * laid out anew (resume/xsave.h). A dormant vCPU fits everywhere.
 * Errors: EINVAL; ECPU: a bit of CR4, EFER, XCR0 or XSS, an enabled component of the extended state
 * that is absent or has another size, TSC_AUX, or an address beyond the physical-address width
 * (diag: found = the bits or value that do not fit, expected = what this CPU allows).
 */
int resume_cpu_check(const struct resume_cpu *cpu, const struct resume_vcpu *vcpu, uint32_t index,
                     struct resume_diag *diag);

#ifdef __cplusplus
}
#endif
#endif
