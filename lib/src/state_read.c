/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "state_records.h"

/* Where a decoder is: everything a diagnosis needs. */
struct reader {
    struct resume_container container;
    struct resume_record record;
    struct resume_diag *diag;
};

static int fail(const struct reader *reader, int err, const char *field, size_t at, uint64_t found,
                uint64_t expected)
{
    return resume_fail(reader->diag, err, resume_state_record_name(reader->record.tag), field,
                       reader->record.offset + at, found, expected, reader->record.vcpu);
}

/* A later minor version may have appended to a record, and may use more validity bits. */
static bool newer(const struct reader *reader)
{
    return reader->container.minor > resume_state_kind.minor;
}

static int check_length(const struct reader *reader, uint64_t expected)
{
    uint64_t length = reader->record.length;

    if (length < expected || (length > expected && !newer(reader))) {
        return fail(reader, RESUME_ELENGTH, "length", 0, length, expected);
    }
    return RESUME_OK;
}

static int check_zero(const struct reader *reader, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        if (reader->record.payload[i] != 0) {
            return fail(reader, RESUME_ERESERVED, "reserved", i, reader->record.payload[i], 0);
        }
    }
    return RESUME_OK;
}

/* The validity word starts every record; the caller has checked that it is there. */
static int read_valid(const struct reader *reader, uint64_t known, uint64_t *ret_valid)
{
    uint64_t valid = resume_load_le64(reader->record.payload);

    if ((valid & ~known) != 0 && !newer(reader)) {
        return fail(reader, RESUME_ERESERVED, "valid", 0, valid, known);
    }
    *ret_valid = valid & known;
    return RESUME_OK;
}

static int fail_not_valid(const struct reader *reader, const char *field, size_t at, uint64_t found)
{
    return fail(reader, RESUME_ERESERVED, field, at, found, 0);
}

static uint64_t load_sized(const uint8_t *from, uint16_t size)
{
    switch (size) {
    case 2:
        return resume_load_le16(from);
    case 4:
        return resume_load_le32(from);
    default:
        return resume_load_le64(from);
    }
}

/* One of the records that the field table describes. */
static int read_fields(const struct reader *reader, const struct resume_field_record *layout,
                       struct resume_vcpu *vcpu)
{
    size_t count;
    const struct resume_field *table = resume_field_table(&count);
    size_t covered = sizeof(uint64_t);
    /* What a later version has appended is not there, and not valid, in a file of the first. */
    bool first = reader->container.minor == 0;
    size_t size = first ? layout->first_size : layout->size;
    uint64_t valid;
    int err = check_length(reader, size);

    if (err == RESUME_OK) {
        err = read_valid(reader, first ? layout->first_valid : layout->valid, &valid);
    }
    for (size_t i = 0; err == RESUME_OK && i < count; i++) {
        size_t at = table[i].offset - layout->offset;
        uint64_t value;

        if (table[i].tag != layout->tag || at >= size) {
            continue;
        }
        err = check_zero(reader, covered, at);
        if (err != RESUME_OK) {
            return err;
        }
        covered = at + table[i].size;
        value = load_sized(reader->record.payload + at, table[i].size);
        if ((valid >> table[i].valid_bit & 1) != 0) {
            resume_field_set(vcpu, &table[i], value);
        } else if (value != 0) {
            return fail_not_valid(reader, table[i].name, at, value);
        }
    }
    if (err == RESUME_OK) {
        err = check_zero(reader, covered, size);
    }
    return err;
}

/* The prefix of MEMMAP and MSR: validity, count, reserved. */
static int read_list(const struct reader *reader, uint32_t entry_size, uint32_t max,
                     uint32_t *ret_count)
{
    uint64_t valid;
    uint32_t count;
    int err;

    if (reader->record.length < RESUME_FORMAT_LIST_SIZE) {
        return fail(reader, RESUME_ELENGTH, "length", 0, reader->record.length,
                    RESUME_FORMAT_LIST_SIZE);
    }
    count = resume_load_le32(reader->record.payload + RESUME_FORMAT_LIST_COUNT);
    if (count > max) {
        return fail(reader, RESUME_ELENGTH, "count", RESUME_FORMAT_LIST_COUNT, count, max);
    }
    err = check_length(reader, RESUME_FORMAT_LIST_SIZE + (uint64_t)count * entry_size);
    if (err == RESUME_OK) {
        err = read_valid(reader, 1, &valid);
    }
    if (err == RESUME_OK) {
        err = check_zero(reader, RESUME_FORMAT_LIST_RESERVED, RESUME_FORMAT_LIST_SIZE);
    }
    if (err == RESUME_OK && valid == 0 && count != 0) {
        err = fail_not_valid(reader, "count", RESUME_FORMAT_LIST_COUNT, count);
    }
    if (err == RESUME_OK) {
        *ret_count = count;
    }
    return err;
}

static int read_msrs(const struct reader *reader, struct resume_vcpu *vcpu)
{
    uint32_t count;
    int err = read_list(reader, RESUME_FORMAT_MSR_SIZE, RESUME_MSR_MAX, &count);

    if (err != RESUME_OK) {
        return err;
    }
    for (uint32_t i = 0; i < count; i++) {
        size_t at = RESUME_FORMAT_LIST_SIZE + (size_t)i * RESUME_FORMAT_MSR_SIZE;
        const uint8_t *from = reader->record.payload + at;
        struct resume_msr *msr = &vcpu->msr[i];

        msr->index = resume_load_le32(from + RESUME_FORMAT_MSR_INDEX);
        msr->flags = resume_load_le32(from + RESUME_FORMAT_MSR_FLAGS);
        msr->value = resume_load_le64(from + RESUME_FORMAT_MSR_VALUE);
        if (i != 0 && msr->index <= msr[-1].index) {
            return fail(reader, msr->index == msr[-1].index ? RESUME_EDUPLICATE : RESUME_EORDER,
                        "index", at + RESUME_FORMAT_MSR_INDEX, msr->index, msr[-1].index);
        }
        if ((msr->flags & ~RESUME_MSR_OPTIONAL) != 0) {
            return fail(reader, RESUME_ERESERVED, "flags", at + RESUME_FORMAT_MSR_FLAGS, msr->flags,
                        RESUME_MSR_OPTIONAL);
        }
    }
    vcpu->msr_count = count;
    return RESUME_OK;
}

static int read_xsave(const struct reader *reader, struct resume_vcpu *vcpu)
{
    const uint8_t *payload = reader->record.payload;
    struct resume_xsave *xsave = &vcpu->xsave;
    uint64_t valid;
    uint32_t count;
    uint32_t length;
    size_t image;
    int err;

    if (reader->record.length < RESUME_FORMAT_XSAVE_SIZE) {
        return fail(reader, RESUME_ELENGTH, "length", 0, reader->record.length,
                    RESUME_FORMAT_XSAVE_SIZE);
    }
    count = resume_load_le32(payload + RESUME_FORMAT_XSAVE_COMPS);
    length = resume_load_le32(payload + RESUME_FORMAT_XSAVE_LENGTH);
    if (count > RESUME_XCOMP_MAX) {
        return fail(reader, RESUME_ELENGTH, "components", RESUME_FORMAT_XSAVE_COMPS, count,
                    RESUME_XCOMP_MAX);
    }
    if (length > RESUME_XSAVE_MAX || (length != 0 && length < RESUME_XSAVE_MIN)) {
        return fail(reader, RESUME_ELENGTH, "image length", RESUME_FORMAT_XSAVE_LENGTH, length,
                    length > RESUME_XSAVE_MAX ? RESUME_XSAVE_MAX : RESUME_XSAVE_MIN);
    }
    image = RESUME_FORMAT_XSAVE_SIZE + (size_t)count * RESUME_FORMAT_XCOMP_SIZE;
    err = check_length(reader, image + length);
    if (err == RESUME_OK) {
        err = read_valid(reader, 1, &valid);
    }
    if (err != RESUME_OK) {
        return err;
    }
    /* An image that is valid is there, and one that is not has neither bytes nor components. */
    if (valid != 0 && length == 0) {
        return fail(reader, RESUME_ELENGTH, "image length", RESUME_FORMAT_XSAVE_LENGTH, length,
                    RESUME_XSAVE_MIN);
    }
    if (valid == 0 && (length != 0 || count != 0)) {
        return fail_not_valid(reader, "image length", RESUME_FORMAT_XSAVE_LENGTH, length);
    }
    for (uint32_t i = 0; i < count; i++) {
        size_t at = RESUME_FORMAT_XSAVE_SIZE + (size_t)i * RESUME_FORMAT_XCOMP_SIZE;
        const uint8_t *from = payload + at;

        xsave->comp[i].id = resume_load_le32(from + RESUME_FORMAT_XCOMP_ID);
        xsave->comp[i].offset = resume_load_le32(from + RESUME_FORMAT_XCOMP_OFFSET);
        xsave->comp[i].size = resume_load_le32(from + RESUME_FORMAT_XCOMP_LENGTH);
        err = check_zero(reader, at + RESUME_FORMAT_XCOMP_RESERVED, at + RESUME_FORMAT_XCOMP_SIZE);
        if (err != RESUME_OK) {
            return err;
        }
    }
    xsave->comp_count = count;
    xsave->length = length;
    xsave->area = valid != 0 ? payload + image : NULL;
    return RESUME_OK;
}

static int read_name(const struct reader *reader, size_t at, bool valid, const char *field,
                     char *name)
{
    int bad;

    memcpy(name, reader->record.payload + at, RESUME_NAME_MAX);
    bad = resume_name_check(name);
    if (bad >= 0) {
        return fail(reader, RESUME_ERESERVED, field, at + (size_t)bad, (uint8_t)name[bad], 0);
    }
    if (!valid && name[0] != '\0') {
        return fail_not_valid(reader, field, at, (uint8_t)name[0]);
    }
    return RESUME_OK;
}

static int read_machine(const struct reader *reader, struct resume_machine *machine)
{
    const uint8_t *payload = reader->record.payload;
    uint64_t valid;
    int err = check_length(reader, RESUME_FORMAT_MACHINE_SIZE);

    if (err == RESUME_OK) {
        err = read_valid(reader, 0xf, &valid);
    }
    if (err != RESUME_OK) {
        return err;
    }
    machine->source = resume_load_le32(payload + RESUME_FORMAT_MACHINE_SOURCE);
    machine->accel = resume_load_le32(payload + RESUME_FORMAT_MACHINE_ACCEL);
    if ((valid & 1) == 0 && machine->source != 0) {
        return fail_not_valid(reader, "source", RESUME_FORMAT_MACHINE_SOURCE, machine->source);
    }
    if ((valid & 2) == 0 && machine->accel != 0) {
        return fail_not_valid(reader, "accel", RESUME_FORMAT_MACHINE_ACCEL, machine->accel);
    }
    err = read_name(reader, RESUME_FORMAT_MACHINE_TYPE, (valid & 4) != 0, "type", machine->type);
    if (err != RESUME_OK) {
        return err;
    }
    return read_name(reader, RESUME_FORMAT_MACHINE_PRODUCER, (valid & 8) != 0, "producer",
                     machine->producer);
}

static int read_memmap(const struct reader *reader, struct resume_machine *machine)
{
    uint32_t count;
    int err = read_list(reader, RESUME_FORMAT_RANGE_SIZE, RESUME_RANGE_MAX, &count);

    if (err != RESUME_OK) {
        return err;
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *from =
            reader->record.payload + RESUME_FORMAT_LIST_SIZE + (size_t)i * RESUME_FORMAT_RANGE_SIZE;

        machine->range[i].base_pa = resume_load_le64(from + RESUME_FORMAT_RANGE_BASE);
        machine->range[i].length = resume_load_le64(from + RESUME_FORMAT_RANGE_LENGTH);
    }
    machine->range_count = count;
    return resume_ranges_check(machine->range, count,
                               reader->record.offset + RESUME_FORMAT_LIST_SIZE, reader->diag);
}

static int read_vcpu_record(const struct reader *reader, struct resume_vcpu *vcpu)
{
    switch (reader->record.tag) {
    case RESUME_FORMAT_TAG_MSR:
        return read_msrs(reader, vcpu);
    case RESUME_FORMAT_TAG_XSAVE:
        return read_xsave(reader, vcpu);
    default:
        break;
    }
    for (size_t i = 0; i < RESUME_FIELD_RECORD_COUNT; i++) {
        if (resume_field_records[i].tag == reader->record.tag) {
            int err = read_fields(reader, &resume_field_records[i], vcpu);

            if (err == RESUME_OK && reader->record.tag == RESUME_FORMAT_TAG_RUN) {
                err = resume_run_check(vcpu, reader->record.vcpu, reader->record.offset,
                                       reader->diag);
            }
            return err;
        }
    }
    return RESUME_OK;
}

static int read_machine_record(const struct reader *reader, struct resume_machine *machine)
{
    switch (reader->record.tag) {
    case RESUME_FORMAT_TAG_MACHINE:
        return read_machine(reader, machine);
    case RESUME_FORMAT_TAG_MEMMAP:
        return read_memmap(reader, machine);
    default:
        return RESUME_OK;
    }
}

int resume_state_open(const void *data, size_t length, struct resume_state *out,
                      struct resume_diag *diag)
{
    struct resume_container container;
    int err;

    if (out == NULL) {
        return resume_fail(diag, RESUME_EINVAL, "arguments", "out", 0, 0, 0, RESUME_NO_VCPU);
    }
    err = resume_container_open(&resume_state_kind, data, length, &container, diag);
    if (err == RESUME_OK) {
        *out = (struct resume_state){
            .data = container.data,
            .length = container.length,
            .vcpu_count = container.vcpu_count,
            .crc32c = container.crc32c,
            .major = container.major,
            .minor = container.minor,
            .header_size = container.header_size,
        };
    }
    return err;
}

/*
 * Decode all records of one group: those of vCPU @vcpu into @out_vcpu, or, with RESUME_FORMAT_VM,
 * those of the machine into @out_machine.
 */
static int read_group(const struct resume_state *state, uint32_t vcpu, struct resume_vcpu *out_vcpu,
                      struct resume_machine *out_machine, struct resume_diag *diag)
{
    struct reader reader = {
        .container = {.data = state->data,
                      .length = state->length,
                      .vcpu_count = state->vcpu_count,
                      .crc32c = state->crc32c,
                      .major = state->major,
                      .minor = state->minor,
                      .header_size = state->header_size},
        .diag = diag,
    };
    size_t offset = 0;

    /* Every step moves on by a record header at least, so this ends. */
    for (;;) {
        int err = resume_container_next(&reader.container, &offset, &reader.record, diag);

        if (err != RESUME_OK || reader.record.payload == NULL) {
            return err;
        }
        /* A record in a version that is not known was found to be optional when opening. */
        if (reader.record.vcpu != vcpu ||
            resume_container_rule(&resume_state_kind, reader.record.tag, reader.record.version) ==
                NULL) {
            continue;
        }
        err = vcpu == RESUME_FORMAT_VM ? read_machine_record(&reader, out_machine)
                                       : read_vcpu_record(&reader, out_vcpu);
        if (err != RESUME_OK) {
            return err;
        }
    }
}

int resume_state_vcpu(const struct resume_state *state, uint32_t index, struct resume_vcpu *out,
                      struct resume_diag *diag)
{
    struct resume_vcpu vcpu = {0};
    int err;

    if (state == NULL || state->data == NULL || out == NULL || index >= state->vcpu_count) {
        return resume_fail(diag, RESUME_EINVAL, "arguments", "index", 0, index,
                           state != NULL ? state->vcpu_count : 0, index);
    }
    err = read_group(state, index, &vcpu, NULL, diag);
    if (err == RESUME_OK) {
        *out = vcpu;
    }
    return err;
}

int resume_state_machine(const struct resume_state *state, struct resume_machine *out,
                         struct resume_diag *diag)
{
    struct resume_machine machine = {0};
    int err;

    if (state == NULL || state->data == NULL || out == NULL) {
        return resume_fail(diag, RESUME_EINVAL, "arguments", "state", 0, 0, 0, RESUME_NO_VCPU);
    }
    err = read_group(state, RESUME_FORMAT_VM, NULL, &machine, diag);
    if (err == RESUME_OK) {
        *out = machine;
    }
    return err;
}
