/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The guest that is to be resumed: its state blob and plan, checked against each other. */
#ifndef RESUME_EFI_GUEST_H
#define RESUME_EFI_GUEST_H

#include <efi.h>

#include <resume/cpu.h>
#include <resume/image.h>
#include <resume/plan.h>

#include "source.h"

struct guest {
    struct resume_state state;
    struct resume_plan plan;
    struct resume_image_layout layout;
    uint32_t active_count; /* vCPUs that are resumed; the others are dormant */
    uint32_t last_out;     /* one of them */
    uint32_t levels;       /* of the guest's page tables */
};

/*
 * guest_open - parse and check both inputs, and every vCPU.
 * @state, @plan: borrowed as long as @out is used.
 * Says what is wrong on the console.
 */
EFI_STATUS guest_open(const struct source_input *state, const struct source_input *plan,
                      struct guest *out);

/*
 * guest_vcpu - one vCPU of an opened guest. Returns a buffer that the next call overwrites, or NULL
 * for one that is dormant: it is not touched.
 */
const struct resume_vcpu *guest_vcpu(const struct guest *guest, uint32_t index);

/* guest_check_cpu - can this machine's CPUs hold every vCPU's state? Says what they cannot. */
EFI_STATUS guest_check_cpu(const struct guest *guest, const struct resume_cpu *cpu);

/* guest_forget - wipe what guest_vcpu has left. */
void guest_forget(void);

/* guest_refuse - "refused: WHAT: WHY" on the console; returns EFI_LOAD_ERROR. */
EFI_STATUS guest_refuse(const char *what, int err, const struct resume_diag *diag);

#endif
