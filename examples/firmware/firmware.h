/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The calls that a firmware makes, in their order. docs/INTEGRATION.md explains them. */
#ifndef FIRMWARE_H
#define FIRMWARE_H

#include <stddef.h>
#include <stdint.h>

#include <resume/guest.h>

/* What the firmware provides, first for firmware_open, then for firmware_prepare. */
struct firmware_inputs {
    const void *state; /* state.rsm */
    size_t state_length;
    const void *plan; /* plan.rsm */
    size_t plan_length;
    struct resume_cpuid cpuid; /* of the CPUs that will run the trampoline */
    uint64_t cr4;              /* of the CPU that runs this, as it is now */
    uint16_t debug_port;       /* a port that takes text, or 0 */

    uint8_t *staging; /* guest.staging.length bytes, identity mapped, executable, below 4 GiB */
    resume_pa_t staging_pa;
    uint8_t *startup; /* with several vCPUs: a page below 1 MiB, else NULL */
    resume_pa_t startup_pa;
    resume_pa_t apic_pa; /* registers of the local APIC, with one vCPU too; 0 in x2APIC mode */
};

/*
 * firmware_open - the inputs and this machine's CPUs. Returns RESUME_OK, or an error with @diag.
 * @scratch: working memory, some 5 KiB.  @guest: says how much staging memory is needed, and where
 * the trampoline will go (plan.home): the firmware has to make sure that this is RAM that nothing
 * needs once its services have ended.
 */
int firmware_open(const struct firmware_inputs *inputs, struct resume_vcpu *scratch,
                  struct resume_guest *guest, struct resume_cpu *cpu, struct resume_diag *diag);

/*
 * firmware_prepare - everything else that can fail. Nothing is changed but staging and startup memory.
 * ECONFLICT: try again with other memory.
 */
int firmware_prepare(const struct firmware_inputs *inputs, struct resume_vcpu *scratch,
                     const struct resume_guest *guest, const struct resume_cpu *cpu,
                     struct resume_diag *diag);

/*
 * firmware_enter - go. Only after firmware_prepare, with the firmware's services ended and interrupts
 * off, at CPL 0, on one processor; the others are started from there.
 */
void firmware_enter(const struct firmware_inputs *inputs, const struct resume_guest *guest);

#endif
