/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What the vCPUs of one machine must have in common, to be resumed together. */
#ifndef RESUME_VCPU_SET_H
#define RESUME_VCPU_SET_H

#include <resume/handoff.h>
#include <resume/state.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zero at first: `struct resume_vcpu_set set = {0}`. */
struct resume_vcpu_set {
    uint32_t count;        /* vCPUs added */
    uint32_t active;       /* of them, those to be resumed: not dormant */
    uint32_t levels;       /* of the page tables of those: 4 or 5 */
    uint32_t first;        /* index of the first of those */
    uint32_t xsave_length; /* bytes of their longest XSAVE image */
    uint32_t known;        /* entries of apic_id[] */
    uint32_t apic_id[RESUME_HOME_VCPUS];
};

/*
 * resume_vcpu_set_add - take the next vCPU in, if it goes with those that are there.
 * @vcpu: vCPU number set->count of the blob, validated and in scope.
 * Processors are told apart by their APIC IDs, so each needs one of its own as soon as there are
 * two. @set is untouched on failure.
 * Errors: EINVAL, EUNSUPPORTED (more than RESUME_HOME_VCPUS; another CR4.LA57 than the others:
 * the trampoline's page tables are common to all), EMISSING (apic_id), ECONSISTENT (an APIC ID twice).
 */
int resume_vcpu_set_add(struct resume_vcpu_set *set, const struct resume_vcpu *vcpu,
                        struct resume_diag *diag);

/*
 * resume_vcpu_set_finish - is it enough to resume? After the last has been added.
 * Errors: EINVAL (NULL), EUNSUPPORTED (no vCPU is active).
 */
int resume_vcpu_set_finish(const struct resume_vcpu_set *set, struct resume_diag *diag);

#ifdef __cplusplus
}
#endif
#endif
