/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "state_records.h"

static uint8_t *begin_record(struct resume_container_writer *writer, uint16_t tag, uint32_t vcpu,
                             size_t length)
{
    return resume_container_record(writer, tag, RESUME_FORMAT_RECORD_VERSION_1,
                                   RESUME_FORMAT_MANDATORY, vcpu, (uint32_t)length);
}

static size_t list_length(uint32_t count, uint32_t entry_size)
{
    return RESUME_FORMAT_LIST_SIZE + (size_t)count * entry_size;
}

static void write_list(uint8_t *payload, uint32_t count)
{
    resume_store_le64(payload, 1);
    resume_store_le32(payload + RESUME_FORMAT_LIST_COUNT, count);
}

static void write_machine(struct resume_container_writer *writer,
                          const struct resume_machine *machine)
{
    uint8_t *payload = begin_record(writer, RESUME_FORMAT_TAG_MACHINE, RESUME_FORMAT_VM,
                                    RESUME_FORMAT_MACHINE_SIZE);
    uint64_t valid = (machine->source != 0 ? 1u : 0u) | (machine->accel != 0 ? 2u : 0u) |
                     (machine->type[0] != '\0' ? 4u : 0u) |
                     (machine->producer[0] != '\0' ? 8u : 0u);

    if (payload != NULL) {
        resume_store_le64(payload, valid);
        resume_store_le32(payload + RESUME_FORMAT_MACHINE_SOURCE, machine->source);
        resume_store_le32(payload + RESUME_FORMAT_MACHINE_ACCEL, machine->accel);
        memcpy(payload + RESUME_FORMAT_MACHINE_TYPE, machine->type, RESUME_NAME_MAX);
        memcpy(payload + RESUME_FORMAT_MACHINE_PRODUCER, machine->producer, RESUME_NAME_MAX);
    }

    payload = begin_record(writer, RESUME_FORMAT_TAG_MEMMAP, RESUME_FORMAT_VM,
                           list_length(machine->range_count, RESUME_FORMAT_RANGE_SIZE));
    if (payload == NULL) {
        return;
    }
    /* No range means that the memory map is not known. */
    if (machine->range_count != 0) {
        write_list(payload, machine->range_count);
    }
    for (uint32_t i = 0; i < machine->range_count; i++) {
        uint8_t *to = payload + list_length(i, RESUME_FORMAT_RANGE_SIZE);

        resume_store_le64(to + RESUME_FORMAT_RANGE_BASE, machine->range[i].base_pa);
        resume_store_le64(to + RESUME_FORMAT_RANGE_LENGTH, machine->range[i].length);
    }
}

static void store_sized(uint8_t *to, uint16_t size, uint64_t value)
{
    switch (size) {
    case 2:
        resume_store_le16(to, (uint16_t)value);
        break;
    case 4:
        resume_store_le32(to, (uint32_t)value);
        break;
    default:
        resume_store_le64(to, value);
        break;
    }
}

static void write_fields(struct resume_container_writer *writer,
                         const struct resume_field_record *layout, const struct resume_vcpu *vcpu,
                         uint32_t index)
{
    size_t count;
    const struct resume_field *table = resume_field_table(&count);
    uint8_t *payload = begin_record(writer, layout->tag, index, layout->size);

    if (payload == NULL) {
        return;
    }
    resume_store_le64(payload, resume_field_load_valid(vcpu, layout->offset) & layout->valid);
    for (size_t i = 0; i < count; i++) {
        if (table[i].tag == layout->tag && resume_field_valid(vcpu, &table[i])) {
            store_sized(payload + (table[i].offset - layout->offset), table[i].size,
                        resume_field_get(vcpu, &table[i]));
        }
    }
}

/* The MSR with the lowest index of at least @from; the indices are known to differ. */
static const struct resume_msr *next_msr(const struct resume_vcpu *vcpu, uint64_t from)
{
    const struct resume_msr *next = NULL;

    for (uint32_t i = 0; i < vcpu->msr_count; i++) {
        const struct resume_msr *msr = &vcpu->msr[i];

        if (msr->index >= from && (next == NULL || msr->index < next->index)) {
            next = msr;
        }
    }
    return next;
}

static void write_msrs(struct resume_container_writer *writer, const struct resume_vcpu *vcpu,
                       uint32_t index)
{
    uint8_t *payload = begin_record(writer, RESUME_FORMAT_TAG_MSR, index,
                                    list_length(vcpu->msr_count, RESUME_FORMAT_MSR_SIZE));
    const struct resume_msr *msr = NULL;

    if (payload == NULL) {
        return;
    }
    write_list(payload, vcpu->msr_count);
    for (uint32_t i = 0; i < vcpu->msr_count; i++) {
        uint8_t *to = payload + list_length(i, RESUME_FORMAT_MSR_SIZE);

        msr = next_msr(vcpu, msr == NULL ? 0 : (uint64_t)msr->index + 1);
        if (msr == NULL) {
            return;
        }
        resume_store_le32(to + RESUME_FORMAT_MSR_INDEX, msr->index);
        resume_store_le32(to + RESUME_FORMAT_MSR_FLAGS, msr->flags);
        resume_store_le64(to + RESUME_FORMAT_MSR_VALUE, msr->value);
    }
}

static void write_xsave(struct resume_container_writer *writer, const struct resume_xsave *xsave,
                        uint32_t index)
{
    size_t image = RESUME_FORMAT_XSAVE_SIZE + (size_t)xsave->comp_count * RESUME_FORMAT_XCOMP_SIZE;
    uint8_t *payload;

    if (xsave->length == 0) {
        return;
    }
    payload = begin_record(writer, RESUME_FORMAT_TAG_XSAVE, index, image + xsave->length);
    if (payload == NULL) {
        return;
    }
    resume_store_le64(payload, 1);
    resume_store_le32(payload + RESUME_FORMAT_XSAVE_COMPS, xsave->comp_count);
    resume_store_le32(payload + RESUME_FORMAT_XSAVE_LENGTH, xsave->length);
    for (uint32_t i = 0; i < xsave->comp_count; i++) {
        uint8_t *to = payload + RESUME_FORMAT_XSAVE_SIZE + (size_t)i * RESUME_FORMAT_XCOMP_SIZE;

        resume_store_le32(to + RESUME_FORMAT_XCOMP_ID, xsave->comp[i].id);
        resume_store_le32(to + RESUME_FORMAT_XCOMP_OFFSET, xsave->comp[i].offset);
        resume_store_le32(to + RESUME_FORMAT_XCOMP_LENGTH, xsave->comp[i].size);
    }
    memcpy(payload + image, xsave->area, xsave->length);
}

static void write_all(struct resume_container_writer *writer, const struct resume_machine *machine,
                      const struct resume_vcpu *vcpus, uint32_t count)
{
    resume_container_begin(writer);
    write_machine(writer, machine);
    for (uint32_t i = 0; i < count; i++) {
        for (size_t k = 0; k < RESUME_FIELD_RECORD_COUNT; k++) {
            write_fields(writer, &resume_field_records[k], &vcpus[i], i);
        }
        write_msrs(writer, &vcpus[i], i);
        write_xsave(writer, &vcpus[i].xsave, i);
    }
    resume_container_end(writer, &resume_state_kind, count);
}

static int check_vcpu(const struct resume_vcpu *vcpu, uint32_t index)
{
    const struct resume_xsave *xsave = &vcpu->xsave;

    if (vcpu->msr_count > RESUME_MSR_MAX || xsave->comp_count > RESUME_XCOMP_MAX ||
        xsave->length > RESUME_XSAVE_MAX ||
        (xsave->length != 0 && xsave->length < RESUME_XSAVE_MIN)) {
        return RESUME_ELENGTH;
    }
    if ((xsave->length == 0) != (xsave->area == NULL)) {
        return RESUME_EINVAL;
    }
    for (uint32_t i = 0; i < vcpu->msr_count; i++) {
        if ((vcpu->msr[i].flags & ~RESUME_MSR_OPTIONAL) != 0) {
            return RESUME_ERESERVED;
        }
        for (uint32_t k = 0; k < i; k++) {
            if (vcpu->msr[i].index == vcpu->msr[k].index) {
                return RESUME_EDUPLICATE;
            }
        }
    }
    return resume_run_check(vcpu, index, 0, NULL);
}

int resume_state_size(const struct resume_machine *machine, const struct resume_vcpu *vcpus,
                      uint32_t count, size_t *ret_size)
{
    struct resume_container_writer writer = {0};
    int err;

    if (machine == NULL || vcpus == NULL || ret_size == NULL || count == 0 ||
        count > RESUME_VCPU_MAX || resume_name_check(machine->type) >= 0 ||
        resume_name_check(machine->producer) >= 0) {
        return RESUME_EINVAL;
    }
    if (machine->range_count > RESUME_RANGE_MAX) {
        return RESUME_ELENGTH;
    }
    err = resume_ranges_check(machine->range, machine->range_count, 0, NULL);
    for (uint32_t i = 0; err == RESUME_OK && i < count; i++) {
        err = check_vcpu(&vcpus[i], i);
    }
    if (err == RESUME_OK) {
        write_all(&writer, machine, vcpus, count);
        *ret_size = writer.used;
    }
    return err;
}

/* So that the counts above never need a check for overflow. */
_Static_assert(RESUME_VCPU_MAX *(UINT64_C(8192) + RESUME_XSAVE_MAX) < RESUME_FORMAT_SIZE_MAX,
               "the largest blob fits");

int resume_state_write(const struct resume_machine *machine, const struct resume_vcpu *vcpus,
                       uint32_t count, void *buffer, size_t capacity, size_t *ret_size)
{
    struct resume_container_writer writer = {.data = buffer};
    size_t size;
    int err;

    if (buffer == NULL || ret_size == NULL) {
        return RESUME_EINVAL;
    }
    err = resume_state_size(machine, vcpus, count, &size);
    if (err != RESUME_OK) {
        return err;
    }
    if (size > capacity) {
        return RESUME_ENOSPC;
    }
    write_all(&writer, machine, vcpus, count);
    *ret_size = size;
    return RESUME_OK;
}
