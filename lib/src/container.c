/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "container.h"

#include <resume/state.h>

#include "checksum.h"

#define MAGIC_SIZE 8

static int fail_header(struct resume_diag *diag, int err, const char *field, uint64_t offset,
                       uint64_t found, uint64_t expected)
{
    return resume_fail(diag, err, "header", field, offset, found, expected, RESUME_NO_VCPU);
}

/* CRC-32C over the whole file, as if the field that holds it were zero. */
static uint32_t checksum(const uint8_t *data, size_t length)
{
    static const uint8_t zero[4];
    const size_t after = RESUME_FORMAT_HEADER_CRC + sizeof(zero);
    uint32_t crc = resume_crc32c(0, data, RESUME_FORMAT_HEADER_CRC);

    crc = resume_crc32c(crc, zero, sizeof(zero));
    return resume_crc32c(crc, data + after, length - after);
}

static int open_header(const struct resume_container_kind *kind, const uint8_t *data, size_t length,
                       struct resume_container *out, struct resume_diag *diag)
{
    struct resume_container view = {.data = data, .length = length};
    size_t known = length < MAGIC_SIZE ? length : MAGIC_SIZE;
    uint16_t compatible;
    uint32_t flags;
    uint32_t crc;
    uint64_t total;

    /* A short file that starts differently is another kind of file, not a truncated one. */
    for (size_t i = 0; i < known; i++) {
        if (data[i] != kind->magic[i]) {
            return fail_header(diag, RESUME_EMAGIC, "magic", i, data[i], kind->magic[i]);
        }
    }
    if (length < RESUME_FORMAT_HEADER_SIZE) {
        return fail_header(diag, RESUME_ETRUNC, "length", length, length,
                           RESUME_FORMAT_HEADER_SIZE);
    }

    /* The version comes before the checksum: another major may compute another one. */
    view.major = resume_load_le16(data + RESUME_FORMAT_HEADER_MAJOR);
    view.minor = resume_load_le16(data + RESUME_FORMAT_HEADER_MINOR);
    compatible = resume_load_le16(data + RESUME_FORMAT_HEADER_COMPATIBLE);
    if (view.major != kind->major) {
        return fail_header(diag, RESUME_EVERSION, "major", RESUME_FORMAT_HEADER_MAJOR, view.major,
                           kind->major);
    }
    if (compatible > kind->minor || compatible > view.minor) {
        return fail_header(diag, RESUME_EVERSION, "compatible", RESUME_FORMAT_HEADER_COMPATIBLE,
                           compatible, kind->minor < view.minor ? kind->minor : view.minor);
    }

    total = resume_load_le64(data + RESUME_FORMAT_HEADER_TOTAL);
    if (total < RESUME_FORMAT_HEADER_SIZE || total > RESUME_FORMAT_SIZE_MAX ||
        !resume_aligned(total, RESUME_FORMAT_ALIGN)) {
        return fail_header(diag, RESUME_ELENGTH, "total", RESUME_FORMAT_HEADER_TOTAL, total,
                           RESUME_FORMAT_SIZE_MAX);
    }
    if (total != length) {
        return fail_header(diag, total > length ? RESUME_ETRUNC : RESUME_ELENGTH, "total",
                           RESUME_FORMAT_HEADER_TOTAL, total, length);
    }
    view.header_size = resume_load_le16(data + RESUME_FORMAT_HEADER_LENGTH);
    if (view.header_size < RESUME_FORMAT_HEADER_SIZE || view.header_size > total ||
        !resume_aligned(view.header_size, RESUME_FORMAT_ALIGN) ||
        (view.minor <= kind->minor && view.header_size != RESUME_FORMAT_HEADER_SIZE)) {
        return fail_header(diag, RESUME_ELENGTH, "length", RESUME_FORMAT_HEADER_LENGTH,
                           view.header_size, RESUME_FORMAT_HEADER_SIZE);
    }

    view.crc32c = resume_load_le32(data + RESUME_FORMAT_HEADER_CRC);
    crc = checksum(data, length);
    if (view.crc32c != crc) {
        return fail_header(diag, RESUME_ECRC, "crc", RESUME_FORMAT_HEADER_CRC, view.crc32c, crc);
    }

    flags = resume_load_le32(data + RESUME_FORMAT_HEADER_FLAGS);
    if (flags != 0) {
        return fail_header(diag, RESUME_ERESERVED, "flags", RESUME_FORMAT_HEADER_FLAGS, flags, 0);
    }
    for (size_t i = RESUME_FORMAT_HEADER_RESERVED; i < RESUME_FORMAT_HEADER_SIZE; i++) {
        if (data[i] != 0) {
            return fail_header(diag, RESUME_ERESERVED, "reserved", i, data[i], 0);
        }
    }
    view.vcpu_count = resume_load_le32(data + RESUME_FORMAT_HEADER_VCPUS);
    if (view.vcpu_count == 0 || view.vcpu_count > RESUME_VCPU_MAX) {
        return fail_header(diag, RESUME_ELENGTH, "vcpus", RESUME_FORMAT_HEADER_VCPUS,
                           view.vcpu_count, RESUME_VCPU_MAX);
    }
    *out = view;
    return RESUME_OK;
}

const struct resume_container_rule *resume_container_rule(const struct resume_container_kind *kind,
                                                          uint16_t tag, uint16_t version)
{
    for (uint32_t i = 0; i < kind->rule_count; i++) {
        if (kind->rules[i].tag == tag && kind->rules[i].version == version) {
            return &kind->rules[i];
        }
    }
    return NULL;
}

int resume_container_next(const struct resume_container *container, size_t *offset,
                          struct resume_record *out, struct resume_diag *diag)
{
    size_t at = *offset == 0 ? container->header_size : *offset;
    struct resume_record record = {.vcpu = RESUME_FORMAT_VM};
    const uint8_t *header;
    uint64_t padded;

    if (at == container->length) {
        *out = record;
        return RESUME_OK;
    }
    if (!resume_range_within(at, RESUME_FORMAT_RECORD_SIZE, container->length)) {
        return resume_fail(diag, RESUME_ELENGTH, "record", "header", at,
                           at < container->length ? container->length - at : 0,
                           RESUME_FORMAT_RECORD_SIZE, RESUME_NO_VCPU);
    }
    header = container->data + at;
    record.tag = resume_load_le16(header + RESUME_FORMAT_RECORD_TAG);
    record.version = resume_load_le16(header + RESUME_FORMAT_RECORD_VERSION);
    record.flags = resume_load_le32(header + RESUME_FORMAT_RECORD_FLAGS);
    record.vcpu = resume_load_le32(header + RESUME_FORMAT_RECORD_VCPU);
    record.length = resume_load_le32(header + RESUME_FORMAT_RECORD_LENGTH);
    record.offset = at + RESUME_FORMAT_RECORD_SIZE;
    record.payload = header + RESUME_FORMAT_RECORD_SIZE;

    if (!resume_checked_align(record.length, RESUME_FORMAT_ALIGN, &padded) ||
        !resume_range_within(record.offset, padded, container->length)) {
        return resume_fail(diag, RESUME_ELENGTH, "record", "length",
                           at + RESUME_FORMAT_RECORD_LENGTH, record.length,
                           container->length - record.offset, record.vcpu);
    }
    for (size_t i = record.length; i < padded; i++) {
        if (record.payload[i] != 0) {
            return resume_fail(diag, RESUME_ERESERVED, "record", "padding", record.offset + i,
                               record.payload[i], 0, record.vcpu);
        }
    }
    *offset = record.offset + (size_t)padded;
    *out = record;
    return RESUME_OK;
}

/* Where the check of the order has got to. Group 0 is the machine's, group n + 1 that of vCPU n. */
struct progress {
    uint64_t group;
    uint16_t tag;  /* last one met in this group, 0 for none */
    uint32_t seen; /* which rules were met in this group */
};

static bool rule_of_group(const struct resume_container_rule *rule, uint64_t group)
{
    return (rule->tag >= RESUME_FORMAT_TAG_VCPU) == (group != 0);
}

/* Close the groups before @group: each must have had what it needs. */
static int advance(const struct resume_container_kind *kind, struct progress *progress,
                   uint64_t group, size_t offset, struct resume_diag *diag)
{
    for (; progress->group < group; progress->group++) {
        for (uint32_t i = 0; i < kind->rule_count; i++) {
            const struct resume_container_rule *rule = &kind->rules[i];

            if (rule->required && rule_of_group(rule, progress->group) &&
                (progress->seen & (UINT32_C(1) << i)) == 0) {
                /* Group 0 wraps around to RESUME_NO_VCPU. */
                return resume_fail(diag, RESUME_EMISSING, rule->name, "tag", offset, 0, rule->tag,
                                   (uint32_t)progress->group - 1);
            }
        }
        progress->seen = 0;
        progress->tag = 0;
    }
    return RESUME_OK;
}

static int check_record(const struct resume_container_kind *kind,
                        const struct resume_container *container, struct progress *progress,
                        const struct resume_record *record, struct resume_diag *diag)
{
    const struct resume_container_rule *rule =
        resume_container_rule(kind, record->tag, record->version);
    const char *where = rule != NULL ? rule->name : "record";
    size_t at = record->offset - RESUME_FORMAT_RECORD_SIZE;
    bool of_machine = record->vcpu == RESUME_FORMAT_VM;
    uint64_t group = of_machine ? 0 : (uint64_t)record->vcpu + 1;
    int err;

    if (record->tag == 0) {
        return resume_fail(diag, RESUME_ERESERVED, where, "tag", at + RESUME_FORMAT_RECORD_TAG, 0,
                           1, record->vcpu);
    }
    if ((record->flags & ~RESUME_FORMAT_MANDATORY) != 0) {
        return resume_fail(diag, RESUME_ERESERVED, where, "flags", at + RESUME_FORMAT_RECORD_FLAGS,
                           record->flags, RESUME_FORMAT_MANDATORY, record->vcpu);
    }
    if ((!of_machine && record->vcpu >= container->vcpu_count) ||
        of_machine != (record->tag < RESUME_FORMAT_TAG_VCPU)) {
        return resume_fail(diag, RESUME_EORDER, where, "vcpu", at + RESUME_FORMAT_RECORD_VCPU,
                           record->vcpu, container->vcpu_count - 1, record->vcpu);
    }
    if (group < progress->group) {
        return resume_fail(diag, RESUME_EORDER, where, "vcpu", at + RESUME_FORMAT_RECORD_VCPU,
                           record->vcpu, progress->group - 1, record->vcpu);
    }
    err = advance(kind, progress, group, at, diag);
    if (err != RESUME_OK) {
        return err;
    }
    if (record->tag <= progress->tag) {
        return resume_fail(diag, record->tag == progress->tag ? RESUME_EDUPLICATE : RESUME_EORDER,
                           where, "tag", at + RESUME_FORMAT_RECORD_TAG, record->tag, progress->tag,
                           record->vcpu);
    }
    progress->tag = record->tag;
    if (rule != NULL) {
        progress->seen |= UINT32_C(1) << (rule - kind->rules);
    } else if ((record->flags & RESUME_FORMAT_MANDATORY) != 0) {
        return resume_fail(diag, RESUME_EMANDATORY, where, "tag", at + RESUME_FORMAT_RECORD_TAG,
                           record->tag, record->version, record->vcpu);
    }
    return RESUME_OK;
}

int resume_container_open(const struct resume_container_kind *kind, const void *data, size_t length,
                          struct resume_container *out, struct resume_diag *diag)
{
    struct resume_container view;
    struct progress progress = {0};
    struct resume_record record;
    size_t offset = 0;
    int err;

    if (kind == NULL || out == NULL || (data == NULL && length != 0) ||
        kind->rule_count > RESUME_CONTAINER_RULE_MAX) {
        return resume_fail(diag, RESUME_EINVAL, "arguments", "data", 0, length, 0, RESUME_NO_VCPU);
    }
    err = open_header(kind, data, length, &view, diag);
    /* Every step moves on by a record header at least, so this ends. */
    while (err == RESUME_OK) {
        err = resume_container_next(&view, &offset, &record, diag);
        if (err != RESUME_OK || record.payload == NULL) {
            break;
        }
        err = check_record(kind, &view, &progress, &record, diag);
    }
    if (err == RESUME_OK) {
        err = advance(kind, &progress, (uint64_t)view.vcpu_count + 1, length, diag);
    }
    if (err == RESUME_OK) {
        *out = view;
    }
    return err;
}

void resume_container_begin(struct resume_container_writer *writer)
{
    if (writer->data != NULL) {
        memset(writer->data, 0, RESUME_FORMAT_HEADER_SIZE);
    }
    writer->used = RESUME_FORMAT_HEADER_SIZE;
}

uint8_t *resume_container_record(struct resume_container_writer *writer, uint16_t tag,
                                 uint16_t version, uint32_t flags, uint32_t vcpu, uint32_t length)
{
    size_t padded =
        ((size_t)length + RESUME_FORMAT_ALIGN - 1) / RESUME_FORMAT_ALIGN * RESUME_FORMAT_ALIGN;
    uint8_t *header = NULL;

    if (writer->data != NULL) {
        header = writer->data + writer->used;
        memset(header, 0, RESUME_FORMAT_RECORD_SIZE + padded);
        resume_store_le16(header + RESUME_FORMAT_RECORD_TAG, tag);
        resume_store_le16(header + RESUME_FORMAT_RECORD_VERSION, version);
        resume_store_le32(header + RESUME_FORMAT_RECORD_FLAGS, flags);
        resume_store_le32(header + RESUME_FORMAT_RECORD_VCPU, vcpu);
        resume_store_le32(header + RESUME_FORMAT_RECORD_LENGTH, length);
        header += RESUME_FORMAT_RECORD_SIZE;
    }
    writer->used += RESUME_FORMAT_RECORD_SIZE + padded;
    return header;
}

void resume_container_end(struct resume_container_writer *writer,
                          const struct resume_container_kind *kind, uint32_t vcpu_count)
{
    uint8_t *header = writer->data;

    if (header == NULL) {
        return;
    }
    memcpy(header + RESUME_FORMAT_HEADER_MAGIC, kind->magic, MAGIC_SIZE);
    resume_store_le16(header + RESUME_FORMAT_HEADER_MAJOR, kind->major);
    resume_store_le16(header + RESUME_FORMAT_HEADER_MINOR, kind->minor);
    resume_store_le16(header + RESUME_FORMAT_HEADER_COMPATIBLE, kind->compatible);
    resume_store_le16(header + RESUME_FORMAT_HEADER_LENGTH, RESUME_FORMAT_HEADER_SIZE);
    resume_store_le64(header + RESUME_FORMAT_HEADER_TOTAL, writer->used);
    resume_store_le32(header + RESUME_FORMAT_HEADER_VCPUS, vcpu_count);
    resume_store_le32(header + RESUME_FORMAT_HEADER_CRC, checksum(header, writer->used));
}
