/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * What is pending on a vCPU, or half delivered: interrupts, NMIs, exceptions, the interrupt shadow.
 * How each of them is put back, or why it cannot be.
 */
#ifndef RESUME_IMPORT_QEMU_EVENTS_H
#define RESUME_IMPORT_QEMU_EVENTS_H

#include <resume/state.h>

#include "qemu_reader.h"

/* The sections of one vCPU. */
struct qemu_sections {
    int ret; /* the first failure of any of the readers */
    struct qemu_reader cpu;
    struct qemu_reader common;
    struct qemu_reader apic; /* section NULL when there is none */
};

/* qemu_sections_open - find the sections of vCPU @index. Errors: those of qemu_cpu_decode. */
int qemu_sections_open(const struct vmdesc *desc, uint32_t index, struct qemu_sections *out,
                       struct stream_error *error);

/*
 * qemu_events_read - fill out->run. regs and ctrl are filled already; errors as for qemu_cpu_decode,
 * through in->ret.
 */
void qemu_events_read(struct qemu_sections *in, struct resume_vcpu *out);

/*
 * qemu_events_shadow_length - bytes of the instruction before RIP that made the interrupt shadow.
 * To run it again makes the shadow again: STI (FBH) of a guest with IF set, or MOV SS from a
 * general register that holds SS's selector (8EH D0H..D7H, without REX).
 * @before_rip: the three bytes before RIP. A byte that cannot be read is to be given as 40H, which
 * stands for a prefix.
 * Returns 1 or 2, which are the values of run.interrupt_shadow for the two, or 0: another instruction (POP SS, MOV SS from memory or from R8..R15), unknown.
 */
uint32_t qemu_events_shadow_length(const struct resume_vcpu *vcpu, const uint8_t before_rip[3]);

/*
 * qemu_events_injected - the interrupt that KVM was about to deliver when the vCPU was stopped.
 * The local APIC counts it as in service already.
 * @index: of the vCPU.  @ret_vector: RESUME_NO_EVENT when there is none.
 * Errors: those of qemu_cpu_decode, with the cases that cannot be put back.
 */
int qemu_events_injected(const struct vmdesc *desc, uint32_t index, uint32_t *ret_vector,
                         struct stream_error *error);

/*
 * qemu_events_uninject - give such an interrupt back to the local APIC: from in service (ISR) to
 * requested (IRR), so that the APIC raises it again once the guest has interrupts enabled.
 * @apic: section "apic" of the same vCPU in @desc.
 * @payload: a copy of the section's payload, apic->payload_length bytes; changed.
 * Errors: EINVAL (vector over 255), EMISSING (no ISR or IRR of the known form), ECONSISTENT (the
 * vector is not in service: it did not come from this APIC). @payload is unchanged then.
 */
int qemu_events_uninject(const struct vmdesc *desc, const struct vmdesc_section *apic,
                         uint32_t vector, uint8_t *payload, struct stream_error *error);

#endif
