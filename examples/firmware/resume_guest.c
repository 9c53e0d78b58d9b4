/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "resume_guest.h"

#include <resume/trampoline.h>

#define CR4_LA57 (UINT64_C(1) << 12)

int resume_guest_prepare(const struct resume_guest_inputs *inputs, struct resume_vcpu *vcpu,
                         struct resume_home *ret_home, struct resume_diag *diag)
{
    struct resume_state state;
    struct resume_plan plan;
    struct resume_cpu cpu;
    int err;

    /* The state: well formed, a state that a CPU can be in, and one that this version restores. */
    err = resume_state_open(inputs->state, inputs->state_length, &state, diag);
    if (err == RESUME_OK && state.vcpu_count != 1)
        err = RESUME_EUNSUPPORTED;
    if (err == RESUME_OK)
        err = resume_state_vcpu(&state, 0, vcpu, diag);
    if (err == RESUME_OK)
        err = resume_vcpu_validate(vcpu, 0, diag);
    if (err == RESUME_OK)
        err = resume_vcpu_check_scope(vcpu, 0, diag);
    /* The plan: well formed, and made for this very state. */
    if (err == RESUME_OK)
        err = resume_plan_read(inputs->plan, inputs->plan_length, &plan, diag);
    if (err == RESUME_OK && plan.state_crc32c != state.crc32c)
        err = RESUME_ECONSISTENT;
    /* The machine: this CPU can hold it. Firmware with 5-level paging is not supported. */
    if (err == RESUME_OK && (inputs->cr4 & CR4_LA57) != 0)
        err = RESUME_EUNSUPPORTED;
    if (err == RESUME_OK)
        err = resume_cpu_identify(&inputs->cpuid, &cpu, diag);
    if (err == RESUME_OK)
        err = resume_cpu_check(&cpu, vcpu, 0, diag);
    /* The way into the home, and the home's image. */
    if (err == RESUME_OK)
        err = resume_transit_build(&plan.home, inputs->staging, inputs->staging_pa, 4, inputs->cr4,
                                   diag);
    if (err == RESUME_OK) {
        const struct resume_image_input image = {
            .vcpu = vcpu,
            .home = &plan.home,
            .trampoline = resume_trampoline,
            .trampoline_length = resume_trampoline_length,
            .cpu = &cpu,
            .debug_port = inputs->debug_port,
        };

        err = resume_image_build(&image, inputs->staging + RESUME_STAGING_IMAGE, RESUME_HOME_LENGTH,
                                 diag);
    }
    if (err == RESUME_OK)
        *ret_home = plan.home;
    return err;
}

/* The trampoline takes its argument in RDI. */
typedef void(__attribute__((sysv_abi)) * enter_fn)(struct resume_transit *transit);

void resume_guest_enter(const struct resume_guest_inputs *inputs)
{
    const uintptr_t code = (uintptr_t)inputs->staging_pa + RESUME_STAGING_IMAGE + RESUME_HOME_CODE;
    const struct resume_trampoline_header *header = (const struct resume_trampoline_header *)code;
    enter_fn enter = (enter_fn)(code + header->enter);

    enter((struct resume_transit *)((uintptr_t)inputs->staging_pa + RESUME_STAGING_TRANSIT));
}
