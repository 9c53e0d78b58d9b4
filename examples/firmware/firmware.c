/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "firmware.h"

#include <resume/trampoline.h>

int firmware_open(const struct firmware_inputs *inputs, struct resume_vcpu *scratch,
                  struct resume_guest *guest, struct resume_cpu *cpu, struct resume_diag *diag)
{
    /* The state: well formed, states that CPUs can be in, and that this version restores. */
    int err = resume_guest_open(inputs->state, inputs->state_length, scratch, guest, diag);

    /* The plan: well formed, and made for this very state. */
    if (err == RESUME_OK)
        err = resume_guest_plan(guest, inputs->plan, inputs->plan_length, diag);
    /* The machine: these CPUs can hold it. */
    if (err == RESUME_OK)
        err = resume_cpu_identify(&inputs->cpuid, cpu, diag);
    if (err == RESUME_OK)
        err = resume_guest_check_cpu(guest, cpu, scratch, diag);
    return err;
}

int firmware_prepare(const struct firmware_inputs *inputs, struct resume_vcpu *scratch,
                     const struct resume_guest *guest, const struct resume_cpu *cpu,
                     struct resume_diag *diag)
{
    const struct resume_transit_input transit = {
        .home = &guest->plan.home,
        .area = &guest->staging,
        .trampoline = resume_trampoline,
        .trampoline_length = resume_trampoline_length,
        .staging_pa = inputs->staging_pa,
        .startup_pa = inputs->startup_pa,
        .apic_pa = inputs->apic_pa,
        .cr4 = inputs->cr4,
        .levels = guest->set.levels,
    };
    int err = resume_transit_build(&transit, inputs->staging, inputs->startup, diag);

    if (err == RESUME_OK)
        err = resume_guest_build(guest, cpu, resume_trampoline, resume_trampoline_length,
                                 inputs->debug_port, scratch, inputs->staging, diag);
    return err;
}

/* The trampoline takes its argument in RDI. */
typedef void(__attribute__((sysv_abi)) * enter_fn)(struct resume_transit *transit);

void firmware_enter(const struct firmware_inputs *inputs, const struct resume_guest *guest)
{
    const uintptr_t code = (uintptr_t)inputs->staging_pa + RESUME_HOME_CODE;
    const struct resume_trampoline_header *header = (const struct resume_trampoline_header *)code;
    enter_fn enter = (enter_fn)(code + header->enter);

    enter((struct resume_transit *)((uintptr_t)inputs->staging_pa + guest->staging.transit));
}
