/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "qemu_events.h"

#include <stdio.h>
#include <string.h>

#include "qemu_cpu.h"

/* Bits of QEMU's own flag words. */
#define HFLAGS_INHIBIT_IRQ (UINT64_C(1) << 3)
#define HFLAGS_SMM (UINT64_C(1) << 19)
#define HFLAGS2_NMI (UINT64_C(1) << 2)
#define INTERRUPT_SMI UINT64_C(0x40)
#define INTERRUPT_NMI UINT64_C(0x200)
#define INTERRUPT_INIT UINT64_C(0x400)
#define INTERRUPT_SIPI UINT64_C(0x800)
#define INTERRUPT_MCE UINT64_C(0x1000)

/* TCG's exception_index from here on steers its loop and is no exception of the guest. */
#define TCG_LOOP_CONTROL UINT64_C(0x10000)

#define RFLAGS_IF (UINT64_C(1) << 9)

#define AGAIN "take the snapshot at another moment"

/* KVM_GET_MP_STATE. */
enum { KVM_RUNNABLE = 0, KVM_UNINITIALIZED = 1, KVM_INIT_RECEIVED = 2, KVM_HALTED = 3 };

static int refuse(struct qemu_reader *reader, const char *what, uint64_t value)
{
    if (*reader->ret == 0)
        *reader->ret = stream_fail(
            reader->error, RESUME_EUNSUPPORTED, reader->desc->tail_offset + reader->section->start,
            AGAIN, "%s (0x%llx) cannot be carried over", what, (unsigned long long)value);
    return *reader->ret;
}

int qemu_sections_open(const struct vmdesc *desc, uint32_t index, struct qemu_sections *out,
                       struct stream_error *error)
{
    uint32_t count = qemu_cpu_count(desc);
    uint32_t apics = vmdesc_section_count(desc, "apic");
    memset(out, 0, sizeof(*out));
    if (index >= count)
        return stream_fail(error, count == 0 ? RESUME_EMISSING : RESUME_EINVAL, desc->tail_offset,
                           "give the stream of an x86 machine", "no vCPU %u: there are %u", index,
                           count);
    if (apics != 0 && apics != count)
        return stream_fail(error, RESUME_ECONSISTENT, desc->tail_offset, NULL,
                           "%u vCPUs and %u local APICs", count, apics);
    out->cpu = (struct qemu_reader){.desc = desc,
                                    .section = vmdesc_section_nth(desc, "cpu", index),
                                    .error = error,
                                    .ret = &out->ret};
    out->common = out->apic = out->cpu;
    out->common.section = vmdesc_section_nth(desc, "cpu_common", index);
    out->apic.section = vmdesc_section_nth(desc, "apic", index);
    if (out->common.section == NULL)
        return stream_fail(error, RESUME_EMISSING, desc->tail_offset + out->cpu.section->start,
                           NULL, "there is no section \"cpu_common\" for vCPU %u", index);
    return 0;
}

/* A vector; -1, as QEMU has it, is no event. */
static uint32_t event_of(struct qemu_reader *cpu, const char *path)
{
    uint64_t vector = qemu_need(cpu, UINT64_MAX, "%s", path);
    if (vector == UINT64_MAX)
        return RESUME_NO_EVENT;
    if (vector > UINT8_MAX) {
        refuse(cpu, path, vector);
        return RESUME_NO_EVENT;
    }
    return (uint32_t)vector;
}

static uint32_t mp_state_of(struct qemu_sections *in)
{
    uint64_t state = qemu_need(&in->cpu, UINT32_MAX, "cpu/env.mp_state");
    uint64_t halted = qemu_need(&in->common, UINT32_MAX, "cpu_common/halted");
    switch (state) {
    case KVM_RUNNABLE: /* TCG never says anything else */
        if (in->apic.section != NULL &&
            qemu_may(&in->apic, UINT64_MAX, 0, "apic/apic_sipi/wait_for_sipi") != 0)
            return RESUME_MP_WAIT_SIPI;
        return halted != 0 ? RESUME_MP_HALTED : RESUME_MP_RUNNING;
    case KVM_HALTED:
        return RESUME_MP_HALTED;
    case KVM_INIT_RECEIVED:
        return RESUME_MP_WAIT_SIPI;
    case KVM_UNINITIALIZED:
        return RESUME_MP_UNINITIALIZED;
    default:
        refuse(&in->cpu, "the vCPU's run state", state);
        return RESUME_MP_RUNNING;
    }
}

/* A pending exception, under KVM or (never seen) under TCG. */
static uint32_t exception_of(struct qemu_sections *in)
{
    uint64_t tcg =
        qemu_may(&in->common, UINT64_MAX, UINT64_MAX, "cpu_common/exception_index/exception_index");
    uint32_t vector = event_of(&in->cpu, "cpu/env.exception_nr");
    return tcg < TCG_LOOP_CONTROL && vector == RESUME_NO_EVENT ? (uint32_t)(tcg & UINT8_MAX)
                                                               : vector;
}

static uint64_t apic_word(struct qemu_sections *in, const char *name, uint32_t vector)
{
    return qemu_may(&in->apic, UINT32_MAX, 0, "apic/%s[%u]", name, vector / 32);
}

/* The interrupt that is being delivered; the local APIC must have it, to take it back. */
static uint32_t injected_of(struct qemu_sections *in)
{
    uint32_t vector = event_of(&in->cpu, "cpu/env.interrupt_injected");
    if (vector == RESUME_NO_EVENT)
        return vector;
    if (qemu_need(&in->cpu, UINT8_MAX, "cpu/env.soft_interrupt") != 0)
        refuse(&in->cpu, "a software interrupt that is being delivered", vector);
    else if (in->apic.section == NULL || (apic_word(in, "isr", vector) >> vector % 32 & 1) == 0)
        refuse(&in->cpu, "an interrupt of the PIC that is being delivered", vector);
    return vector;
}

/* Nothing is refused of a vCPU that stays with the devices. */
static void refuse_undeliverable(struct qemu_sections *in, const struct resume_vcpu *vcpu,
                                 uint64_t requests)
{
    uint64_t undeliverable =
        requests & (INTERRUPT_SMI | INTERRUPT_INIT | INTERRUPT_SIPI | INTERRUPT_MCE);
    if (resume_vcpu_dormant(vcpu))
        return;
    if (qemu_may(&in->cpu, UINT8_MAX, 0, "cpu/triple_fault/env.triple_fault_pending") != 0)
        refuse(&in->cpu, "a pending triple fault", 1);
    if (undeliverable != 0)
        refuse(&in->common, "a pending SMI, INIT, SIPI or machine check", undeliverable);
}

void qemu_events_read(struct qemu_sections *in, struct resume_vcpu *out)
{
    struct qemu_reader *cpu = &in->cpu;
    struct resume_run *run = &out->run;
    uint64_t hflags = qemu_need(cpu, UINT32_MAX, "cpu/env.hflags");
    uint64_t hflags2 = qemu_need(cpu, UINT32_MAX, "cpu/env.hflags2");
    uint64_t requests = qemu_need(&in->common, UINT32_MAX, "cpu_common/interrupt_request");

    run->mp_state = mp_state_of(in);
    run->sipi_vector = (uint32_t)qemu_need(cpu, UINT8_MAX, "cpu/env.sipi_vector");
    run->smm = (hflags & HFLAGS_SMM) != 0;
    run->interrupt_shadow = (hflags & HFLAGS_INHIBIT_IRQ) != 0 ? 3 : 0;
    run->nmi_masked = (hflags2 & HFLAGS2_NMI) != 0;
    /* One that is being injected is, for whoever reads the record, one that still waits. */
    run->nmi_pending = qemu_need(cpu, UINT8_MAX, "cpu/env.nmi_pending") != 0 ||
                       qemu_need(cpu, UINT8_MAX, "cpu/env.nmi_injected") != 0 ||
                       (requests & INTERRUPT_NMI) != 0;
    run->valid = RESUME_RUN_ALL;
    if (in->apic.section == NULL)
        run->valid &= ~RESUME_RUN_APIC_ID;
    else
        run->apic_id = (uint32_t)qemu_need(&in->apic, UINT8_MAX, "apic/id");
    run->exception_vector = exception_of(in);
    injected_of(in);
    run->interrupt_vector = RESUME_NO_EVENT;
    refuse_undeliverable(in, out, requests);
}

uint32_t qemu_events_shadow_length(const struct resume_vcpu *vcpu, const uint8_t before_rip[3])
{
    const uint8_t *at = before_rip;
    bool prefixed = (at[0] & 0xf0) == 0x40; /* REX, or unknown */
    if (at[1] == 0x8e && (at[2] & 0xf8) == 0xd0) {
        uint64_t value = vcpu->regs.gpr[at[2] & 7];
        bool same = (uint16_t)value == vcpu->segs.seg[RESUME_SS].selector;
        return !prefixed && same ? 2 : 0;
    }
    return at[2] == 0xfb && (vcpu->regs.rflags & RFLAGS_IF) != 0 ? 1 : 0;
}

int qemu_events_injected(const struct vmdesc *desc, uint32_t index, uint32_t *ret_vector,
                         struct stream_error *error)
{
    struct qemu_sections in;
    int ret = qemu_sections_open(desc, index, &in, error);
    if (ret != 0)
        return ret;
    uint32_t vector = injected_of(&in);
    if (in.ret == 0)
        *ret_vector = vector;
    return in.ret;
}

/* The 32 bits of an array of the APIC in which the vector is, as they lie in the payload. */
static uint8_t *locate(const struct vmdesc *desc, const struct vmdesc_section *apic,
                       const char *name, uint32_t vector, uint8_t *payload)
{
    char path[32];
    snprintf(path, sizeof(path), "apic/%s[%u]", name, vector / 32);
    const struct vmdesc_field *field = vmdesc_field_find(desc, apic, path);
    if (field == NULL || field->size != 4 || field->array_len != 1)
        return NULL;
    return payload + (field->data - (desc->tail + apic->payload));
}

int qemu_events_uninject(const struct vmdesc *desc, const struct vmdesc_section *apic,
                         uint32_t vector, uint8_t *payload, struct stream_error *error)
{
    uint64_t where = desc->tail_offset + apic->start;
    if (vector > UINT8_MAX)
        return stream_fail(error, RESUME_EINVAL, where, NULL, "no interrupt has vector 0x%x",
                           vector);
    uint8_t *isr = locate(desc, apic, "isr", vector, payload);
    uint8_t *irr = locate(desc, apic, "irr", vector, payload);
    if (isr == NULL || irr == NULL)
        return stream_fail(error, RESUME_EMISSING, where,
                           "use a QEMU version that this one was tested with",
                           "the local APIC has no ISR or IRR of 32-bit words");
    /* Big-endian: the byte with bits 31:24 comes first. */
    unsigned byte = 3 - vector % 32 / 8;
    uint8_t bit = (uint8_t)(1u << vector % 8);
    if ((isr[byte] & bit) == 0)
        return stream_fail(error, RESUME_ECONSISTENT, where, AGAIN,
                           "interrupt 0x%x is being delivered, but not from the local APIC",
                           vector);
    isr[byte] &= (uint8_t)~bit;
    irr[byte] |= bit;
    return 0;
}
