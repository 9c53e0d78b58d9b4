/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "blob.h"

#include <stdlib.h>
#include <string.h>

/* Bit by bit, from the definition: shares nothing with the library's checksum. */
static uint32_t crc32c(const uint8_t *data, size_t length)
{
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < length * 8; i++) {
        uint32_t bit = (uint32_t)data[i / 8] >> (i % 8) & 1u;
        uint32_t low = (crc ^ bit) & 1u;

        crc >>= 1;
        if (low != 0) {
            crc ^= 0x82f63b78;
        }
    }
    return crc ^ 0xffffffff;
}

uint64_t blob_get(const struct blob *blob, size_t at, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)blob->data[at + i] << (8 * i);
    }
    return value;
}

void blob_put(struct blob *blob, size_t at, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++) {
        blob->data[at + i] = (uint8_t)(value >> (8 * i));
    }
}

void blob_insert(struct blob *blob, size_t at, size_t count)
{
    if (at > blob->length || count > BLOB_MAX - blob->length) {
        abort();
    }
    memmove(blob->data + at + count, blob->data + at, blob->length - at);
    memset(blob->data + at, 0, count);
    blob->length += count;
}

void blob_remove(struct blob *blob, size_t at, size_t count)
{
    if (at > blob->length || count > blob->length - at) {
        abort();
    }
    memmove(blob->data + at, blob->data + at + count, blob->length - at - count);
    blob->length -= count;
}

size_t blob_after(const struct blob *blob, size_t at)
{
    return at + 16 + ((size_t)blob_get(blob, at + 12, 4) + 7) / 8 * 8;
}

size_t blob_record(const struct blob *blob, uint16_t tag, uint32_t vcpu)
{
    for (size_t at = 64; at + 16 <= blob->length; at = blob_after(blob, at)) {
        if (blob_get(blob, at, 2) == tag && blob_get(blob, at + 8, 4) == vcpu) {
            return at;
        }
    }
    abort();
}

void blob_seal(struct blob *blob)
{
    if (!blob->keep_total) {
        blob_put(blob, 16, 8, blob->length);
    }
    if (!blob->keep_crc) {
        blob_put(blob, 32, 4, 0);
        blob_put(blob, 32, 4, crc32c(blob->data, blob->length));
    }
}

/* Append a number, a text, a record header. */
static void add(struct blob *blob, unsigned size, uint64_t value)
{
    blob_insert(blob, blob->length, size);
    blob_put(blob, blob->length - size, size, value);
}

static void add_bytes(struct blob *blob, const void *bytes, size_t length)
{
    blob_insert(blob, blob->length, length);
    memcpy(blob->data + blob->length - length, bytes, length);
}

static void add_header(struct blob *blob, uint16_t tag, uint32_t vcpu, uint32_t length)
{
    add(blob, 2, tag);
    add(blob, 2, 1);
    add(blob, 4, 1);
    add(blob, 4, vcpu);
    add(blob, 4, length);
}

/* A value counts when bit @bit of @valid is set, and is zero in the file otherwise. */
static void add_if(struct blob *blob, uint64_t valid, unsigned bit, unsigned size, uint64_t value)
{
    add(blob, size, (valid >> bit & 1) != 0 ? value : 0);
}

static void add_machine(struct blob *blob, const struct resume_machine *machine)
{
    uint64_t valid = 0;

    valid |= machine->source != 0 ? 1 : 0;
    valid |= machine->accel != 0 ? 2 : 0;
    valid |= machine->type[0] != 0 ? 4 : 0;
    valid |= machine->producer[0] != 0 ? 8 : 0;
    add_header(blob, 0x0001, 0xffffffff, 144);
    add(blob, 8, valid);
    add(blob, 4, machine->source);
    add(blob, 4, machine->accel);
    add_bytes(blob, machine->type, 64);
    add_bytes(blob, machine->producer, 64);

    add_header(blob, 0x0002, 0xffffffff, 16 + 16 * machine->range_count);
    add(blob, 8, machine->range_count != 0);
    add(blob, 4, machine->range_count);
    add(blob, 4, 0);
    for (uint32_t i = 0; i < machine->range_count; i++) {
        add(blob, 8, machine->range[i].base_pa);
        add(blob, 8, machine->range[i].length);
    }
}

static void add_registers(struct blob *blob, const struct resume_vcpu *vcpu, uint32_t index)
{
    uint64_t valid = vcpu->regs.valid;

    add_header(blob, 0x0100, index, 152);
    add(blob, 8, valid);
    for (unsigned i = 0; i < 16; i++) {
        add_if(blob, valid, i, 8, vcpu->regs.gpr[i]);
    }
    add_if(blob, valid, 16, 8, vcpu->regs.rip);
    add_if(blob, valid, 17, 8, vcpu->regs.rflags);

    valid = vcpu->segs.valid;
    add_header(blob, 0x0101, index, 248);
    add(blob, 8, valid);
    for (unsigned i = 0; i < 10; i++) {
        const struct resume_segment *segment = &vcpu->segs.seg[i];

        add_if(blob, valid, i, 8, segment->base);
        add_if(blob, valid, i, 4, segment->limit);
        add_if(blob, valid, i, 4, i < 8 ? segment->access : 0);
        add_if(blob, valid, i, 2, i < 8 ? segment->selector : 0);
        add(blob, 2, 0);
        add(blob, 4, 0);
    }
}

static void add_control(struct blob *blob, const struct resume_vcpu *vcpu, uint32_t index)
{
    const struct resume_ctrl *ctrl = &vcpu->ctrl;
    const uint64_t controls[9] = {ctrl->cr0,  ctrl->cr2,  ctrl->cr3, ctrl->cr4,      ctrl->cr8,
                                  ctrl->efer, ctrl->xcr0, ctrl->xss, ctrl->apic_base};
    const struct resume_run *run = &vcpu->run;
    const uint32_t events[10] = {run->mp_state,         run->sipi_vector,      run->smm,
                                 run->interrupt_shadow, run->nmi_masked,       run->nmi_pending,
                                 run->exception_vector, run->interrupt_vector, run->apic_id,
                                 run->shadow_length};

    add_header(blob, 0x0102, index, 80);
    add(blob, 8, ctrl->valid);
    for (unsigned i = 0; i < 9; i++) {
        add_if(blob, ctrl->valid, i, 8, controls[i]);
    }

    add_header(blob, 0x0103, index, 56);
    add(blob, 8, vcpu->debug.valid);
    for (unsigned i = 0; i < 4; i++) {
        add_if(blob, vcpu->debug.valid, i, 8, vcpu->debug.dr[i]);
    }
    add_if(blob, vcpu->debug.valid, 4, 8, vcpu->debug.dr6);
    add_if(blob, vcpu->debug.valid, 5, 8, vcpu->debug.dr7);

    add_header(blob, 0x0104, index, 48);
    add(blob, 8, run->valid);
    for (unsigned i = 0; i < 10; i++) {
        add_if(blob, run->valid, i, 4, events[i]);
    }
}

static void add_lists(struct blob *blob, const struct resume_vcpu *vcpu, uint32_t index)
{
    const struct resume_xsave *xsave = &vcpu->xsave;

    add_header(blob, 0x0105, index, 16 + 16 * vcpu->msr_count);
    add(blob, 8, 1);
    add(blob, 4, vcpu->msr_count);
    add(blob, 4, 0);
    for (uint32_t i = 0; i < vcpu->msr_count; i++) {
        add(blob, 4, vcpu->msr[i].index);
        add(blob, 4, vcpu->msr[i].flags);
        add(blob, 8, vcpu->msr[i].value);
    }
    if (xsave->length == 0) {
        return;
    }
    add_header(blob, 0x0106, index, 16 + 16 * xsave->comp_count + xsave->length);
    add(blob, 8, 1);
    add(blob, 4, xsave->comp_count);
    add(blob, 4, xsave->length);
    for (uint32_t i = 0; i < xsave->comp_count; i++) {
        add(blob, 4, xsave->comp[i].id);
        add(blob, 4, xsave->comp[i].offset);
        add(blob, 4, xsave->comp[i].size);
        add(blob, 4, 0);
    }
    add_bytes(blob, xsave->area, xsave->length);
    blob_insert(blob, blob->length, (8 - blob->length % 8) % 8);
}

void blob_build(struct blob *blob, const struct resume_machine *machine,
                const struct resume_vcpu *vcpus, uint32_t count, blob_mutation *mutation,
                const void *arg)
{
    memset(blob, 0, sizeof(*blob));
    add_bytes(blob, "RSMSTATE", 8);
    add(blob, 2, 1);
    add(blob, 2, 1);
    add(blob, 2, 0);
    add(blob, 2, 64);
    add(blob, 8, 0);
    add(blob, 4, count);
    blob_insert(blob, blob->length, 64 - blob->length);
    add_machine(blob, machine);
    for (uint32_t i = 0; i < count; i++) {
        add_registers(blob, &vcpus[i], i);
        add_control(blob, &vcpus[i], i);
        add_lists(blob, &vcpus[i], i);
    }
    if (mutation != NULL) {
        mutation(blob, arg);
    }
    blob_seal(blob);
}
