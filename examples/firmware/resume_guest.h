/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The calls that a firmware makes, in their order. docs/INTEGRATION.md explains them. */
#ifndef RESUME_GUEST_H
#define RESUME_GUEST_H

#include <stddef.h>
#include <stdint.h>

#include <resume/plan.h>

/* What the firmware provides. */
struct resume_guest_inputs {
    const void *state; /* state.rsm */
    size_t state_length;
    const void *plan; /* plan.rsm */
    size_t plan_length;
    uint8_t *staging; /* RESUME_STAGING_LENGTH bytes at staging_pa, identity mapped, executable */
    resume_pa_t staging_pa;
    struct resume_cpuid cpuid; /* of the CPU that will run the trampoline */
    uint64_t cr4;              /* of that CPU, as it is now */
    uint16_t debug_port;       /* a port that takes text, or 0 */
};

/*
 * resume_guest_prepare - everything that can fail. Returns RESUME_OK, or an error with @diag; then
 * nothing has been changed but the staging memory. ECONFLICT: try again with other staging memory.
 * @vcpu: working memory, about 3 KiB.  @ret_home: where the trampoline will go; the firmware has to
 * make sure that this is RAM that nothing needs once its services have ended.
 */
int resume_guest_prepare(const struct resume_guest_inputs *inputs, struct resume_vcpu *vcpu,
                         struct resume_home *ret_home, struct resume_diag *diag);

/*
 * resume_guest_enter - go. Only after resume_guest_prepare, with the firmware's services ended and
 * interrupts off, at CPL 0.
 */
void resume_guest_enter(const struct resume_guest_inputs *inputs);

#endif
