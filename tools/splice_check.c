/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Does the parked target fit the source? */
#define _GNU_SOURCE
#include "splice.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"
#include "qemu_cpu.h"
#include "qemu_fields.h"

#define WHAT_CHECK "compare source and parked target"
#define ADVICE_COMMAND "give the very command line that started the source VM"
#define ADVICE_IMAGE "build the loader and resumectl from the same version"
#define ADVICE_QEMU "use the QEMU that the source ran under"
/* What -bios names. */
#define FIRMWARE_BLOCK "pc.bios"

/* "0x10" for a number, the first bytes in hexadecimal for anything else. */
static char *format_value(const struct vmdesc_field *field, char *buffer, size_t capacity)
{
    uint64_t value;
    if (field == NULL) {
        snprintf(buffer, capacity, "absent");
    } else if (vmdesc_field_u64(field, &value) == 0) {
        snprintf(buffer, capacity, "0x%" PRIx64, value);
    } else {
        uint64_t length = (uint64_t)field->size * field->array_len;
        size_t at = 0;
        for (uint64_t i = 0; i < length && at + 6 < capacity; i++)
            at += (size_t)snprintf(buffer + at, capacity - at, "%02x", field->data[i]);
        if (length * 2 > at)
            snprintf(buffer + at, capacity - at, "...");
    }
    return buffer;
}

static const struct vmdesc_field *same_field(const struct vmdesc *desc,
                                             const struct vmdesc_section *section,
                                             const struct vmdesc_field *wanted, uint32_t guess)
{
    const struct vmdesc_field *fields = desc->fields + section->first_field;
    for (uint32_t i = 0; i < section->field_count; i++) {
        /* Sections of one QEMU version have the same order but for subsections. */
        const struct vmdesc_field *field = &fields[(guess + i) % section->field_count];
        if (field->duplicate == wanted->duplicate && strcmp(field->path, wanted->path) == 0)
            return field;
    }
    return NULL;
}

static bool equal_field(const struct vmdesc_field *a, const struct vmdesc_field *b)
{
    return a != NULL && b != NULL && a->size == b->size && a->array_len == b->array_len &&
           memcmp(a->data, b->data, (size_t)a->size * a->array_len) == 0;
}

/*
 * Every field of @section that nothing restores must be in @other with the same value.
 * @swapped: @section is the target's.
 */
static int check_fields(const struct vmdesc *desc, const struct vmdesc_section *section,
                        const struct vmdesc *other_desc, const struct vmdesc_section *other,
                        uint32_t index, bool swapped, uint32_t accel,
                        struct report_failure *failure)
{
    for (uint32_t i = 0; i < section->field_count; i++) {
        const struct vmdesc_field *field = &desc->fields[section->first_field + i];
        const struct vmdesc_field *twin = same_field(other_desc, other, field, i);
        const char *reason;
        enum field_class class = qemu_field_class_between(accel, swapped ? twin : field,
                                                          swapped ? field : twin, &reason);
        if (class != FIELD_MUST_EQUAL && class != FIELD_UNKNOWN)
            continue;
        if (swapped ? twin != NULL : equal_field(field, twin))
            continue; /* found in both: compared when looked at from the source's side */
        if (compare_tpr_copy(field, twin))
            continue;
        char mine[64];
        char theirs[64];
        format_value(field, mine, sizeof(mine));
        format_value(twin, theirs, sizeof(theirs));
        return report_fail(
            failure, EXIT_CODE_REFUSED, WHAT_CHECK, field->path,
            "if the command line is the source's, the guest changed something that this version "
            "does not restore",
            "vCPU %" PRIu32 ": the source has %s, the parked target %s: %s", index,
            swapped ? theirs : mine, swapped ? mine : theirs, reason);
    }
    return 0;
}

/* Can what is pending on the source's vCPU be kept? Better asked early. */
static int check_pending(const struct vmdesc *source, uint32_t index,
                         const struct splice_parked *parked, struct report_failure *failure)
{
    uint32_t kept;
    uint8_t *payload = NULL;
    int result = splice_pending(source, index, parked, &kept, failure);
    if (result == 0)
        result = splice_apic(source, index, &payload, failure);
    free(payload);
    return result;
}

/*
 * A section of vCPU @index. A dormant one takes nothing over, so that nothing needs to be equal.
 * @accel: of the source.
 */
static int check_section(const struct vmdesc *source, const struct vmdesc_section *theirs,
                         uint32_t index, uint32_t accel, const struct splice_parked *parked,
                         struct report_failure *failure)
{
    const struct vmdesc *target = &parked->desc;
    const char *name = theirs->name;
    const struct vmdesc_section *ours = vmdesc_section_find(target, name, theirs->instance);
    if (ours == NULL)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_CHECK, name, ADVICE_COMMAND,
                           "instance %" PRIu32 " is in the source but not in the parked target",
                           theirs->instance);
    if (splice_parked_index(parked, theirs->instance) != index)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_CHECK, name, ADVICE_COMMAND,
                           "instance %" PRIu32 " is vCPU %" PRIu32
                           " in the source, but another one in the parked target",
                           theirs->instance, index);
    if (ours->version != theirs->version)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_CHECK, name, ADVICE_QEMU,
                           "section version %" PRIu32 " in the source, %" PRIu32
                           " in the parked target",
                           theirs->version, ours->version);
    if (!splice_parked_active(parked, index))
        return 0;
    int result = check_fields(source, theirs, target, ours, index, false, accel, failure);
    if (result == 0)
        result = check_fields(target, ours, source, theirs, index, true, accel, failure);
    if (result == 0 && strcmp(name, "cpu_common") == 0)
        result = check_pending(source, index, parked, failure);
    return result;
}

static int check_machine(const struct stream *source, const struct stream *target,
                         struct report_failure *failure)
{
    if (strcmp(stream_machine(source), stream_machine(target)) != 0)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_CHECK, "machine type", ADVICE_COMMAND,
                           "the source is \"%s\", the parked target \"%s\"", stream_machine(source),
                           stream_machine(target));
    uint32_t count;
    const struct stream_block *blocks = stream_blocks(source, &count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t other = stream_block_find(target, blocks[i].name);
        /* ROMs of devices that the parked target has no need of are missing in it, and its firmware
         * may be another. */
        if (other == UINT32_MAX || strcmp(blocks[i].name, FIRMWARE_BLOCK) == 0)
            continue;
        uint32_t other_count;
        uint64_t length = stream_blocks(target, &other_count)[other].length;
        if (length != blocks[i].length)
            return report_fail(failure, EXIT_CODE_REFUSED, WHAT_CHECK, blocks[i].name,
                               ADVICE_COMMAND,
                               "the RAM block has 0x%" PRIx64 " bytes in the source, 0x%" PRIx64
                               " in the parked target",
                               blocks[i].length, length);
    }
    return 0;
}

static int check_count(const char *name, uint32_t source, uint32_t target,
                       struct report_failure *failure)
{
    if (source != 0 && source == target)
        return 0;
    return report_fail(failure, EXIT_CODE_REFUSED, WHAT_CHECK, name, ADVICE_COMMAND,
                       "the source has %" PRIu32 " such sections, the parked target %" PRIu32,
                       source, target);
}

/* The sections of one name, which come in the order of the vCPUs. */
static int check_sections(const struct vmdesc *source, const char *name, uint32_t accel,
                          const struct splice_parked *parked, struct report_failure *failure)
{
    const uint32_t count = vmdesc_section_count(source, name);
    int result = check_count(name, count, vmdesc_section_count(&parked->desc, name), failure);
    for (uint32_t i = 0; result == 0 && i < count; i++)
        result =
            check_section(source, vmdesc_section_nth(source, name, i), i, accel, parked, failure);
    return result;
}

/* Sections "cpu" of an image: those of dormant vCPUs, and of no others. */
static int check_dormant(const struct vmdesc *source, uint32_t accel,
                         const struct splice_parked *parked, struct report_failure *failure)
{
    const uint32_t count = vmdesc_section_count(source, "cpu_common");
    uint32_t found = 0;
    int result = 0;
    for (uint32_t i = 0; result == 0 && i < count; i++) {
        const uint32_t instance = vmdesc_section_nth(source, "cpu_common", i)->instance;
        const struct vmdesc_section *cpu = vmdesc_section_find(source, "cpu", instance);
        found += cpu != NULL;
        if (splice_parked_active(parked, i) != (cpu == NULL))
            return report_fail(failure, EXIT_CODE_REFUSED, WHAT_CHECK, "cpu", ADVICE_IMAGE,
                               "vCPU %" PRIu32 " is %s in the parked target, and the image has %s "
                               "section of it",
                               i, cpu == NULL ? "dormant" : "active", cpu == NULL ? "no" : "a");
        if (cpu != NULL)
            result = check_section(source, cpu, i, accel, parked, failure);
    }
    if (result == 0 && found != vmdesc_section_count(source, "cpu"))
        result = report_fail(failure, EXIT_CODE_REFUSED, WHAT_CHECK, "cpu", ADVICE_IMAGE,
                             "the image has such sections of vCPUs that are not there");
    return result;
}

int splice_check(const struct vmdesc *source, const struct stream *source_stream, bool image,
                 const struct splice_parked *parked, struct report_failure *failure)
{
    /* What tells the accelerator may be in the sections that an image does not have. */
    const uint32_t accel = qemu_cpu_accel(image ? &parked->desc : source);
    int result = 0;
    if (source_stream != NULL)
        result = check_machine(source_stream, &parked->stream, failure);
    if (result == 0 && !image)
        result = check_sections(source, "cpu", accel, parked, failure);
    if (result == 0)
        result = check_sections(source, "cpu_common", accel, parked, failure);
    return result == 0 && image ? check_dormant(source, accel, parked, failure) : result;
}
