/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compare_internal.h"

#define WHAT "compare"
#define ADVICE "start the resume again"

static int read_tail(struct compare_side *side, uint64_t offset, uint64_t length,
                     struct report_failure *failure)
{
    if (length > STREAM_TAIL_MAX)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, side->name, ADVICE,
                           "device sections of %" PRIu64 " bytes", length);
    side->tail = malloc(length == 0 ? 1 : (size_t)length);
    if (side->tail == NULL)
        return report_fail_memory(failure, WHAT);
    size_t done = 0;
    while (done < length) {
        ssize_t got =
            pread(side->fd, side->tail + done, (size_t)length - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return report_fail_errno(failure, errno, WHAT, side->name);
        if (got == 0)
            return report_fail(failure, EXIT_CODE_REFUSED, WHAT, side->name, ADVICE,
                               "the stream became shorter while it was read");
        done += (size_t)got;
    }
    return 0;
}

static int open_side(struct compare_side *side, struct report_failure *failure)
{
    struct stream_error error;
    struct stat status;
    uint64_t offset;
    memset(&error, 0, sizeof(error));
    if (fstat(side->fd, &status) != 0)
        return report_fail_errno(failure, errno, WHAT, side->name);
    if (ram_open(&side->ram, side->fd, &offset, &error) != 0)
        return splice_report(failure, &error, WHAT, side->name);
    uint64_t size = (uint64_t)status.st_size;
    uint64_t length = size > offset ? size - offset : 0;
    int result = read_tail(side, offset, length, failure);
    if (result < 0)
        return result;
    if (vmdesc_open(&side->desc, side->tail, (size_t)length, offset, &error) != 0)
        return splice_report(failure, &error, WHAT, side->name);
    return 0;
}

static void close_side(struct compare_side *side)
{
    vmdesc_close(&side->desc);
    ram_close(&side->ram);
    free(side->tail);
}

/* "0x10" for a number, up to 32 bytes in hexadecimal for anything else. */
static void format_value(const struct vmdesc_field *field, char out[LEDGER_VALUE_MAX])
{
    uint64_t value;
    if (field == NULL) {
        snprintf(out, LEDGER_VALUE_MAX, "absent");
    } else if (vmdesc_field_u64(field, &value) == 0) {
        snprintf(out, LEDGER_VALUE_MAX, "0x%" PRIx64, value);
    } else {
        uint64_t length = (uint64_t)field->size * field->array_len;
        uint64_t shown = length > 32 ? 32 : length;
        for (uint64_t i = 0; i < shown; i++)
            snprintf(out + 2 * i, 3, "%02x", field->data[i]);
        snprintf(out + 2 * shown, LEDGER_VALUE_MAX - 2 * shown, "%s", length > shown ? "..." : "");
    }
}

static bool is_cpu(const char *section)
{
    return strcmp(section, "cpu") == 0 || strcmp(section, "cpu_common") == 0;
}

/* Enters a field that differs, and counts it. */
static int note_field(struct ledger *ledger, const struct vmdesc_section *section,
                      const struct vmdesc_field *source, const struct vmdesc_field *resumed,
                      const char *reason)
{
    struct ledger_field entry;
    memset(&entry, 0, sizeof(entry));
    entry.path = (char *)(uintptr_t)(source != NULL ? source->path : resumed->path);
    entry.instance = section->instance;
    entry.reason = reason;
    format_value(source, entry.source);
    format_value(resumed, entry.resumed);
    uint64_t *explained = &ledger->device_explained;
    uint64_t *unexpected = &ledger->device_unexpected;
    if (is_cpu(section->name)) {
        explained = &ledger->cpu_explained;
        unexpected = &ledger->cpu_unexpected;
    }
    ++*(reason != NULL ? explained : unexpected);
    return ledger_add_field(ledger, &entry);
}

/* A section that only one side has, or has in another version. */
static int note_section(struct ledger *ledger, const struct vmdesc_section *section,
                        const char *source, const char *resumed)
{
    struct ledger_field entry;
    memset(&entry, 0, sizeof(entry));
    entry.path = (char *)(uintptr_t)section->name;
    entry.instance = section->instance;
    snprintf(entry.source, sizeof(entry.source), "%s", source);
    snprintf(entry.resumed, sizeof(entry.resumed), "%s", resumed);
    ++*(is_cpu(section->name) ? &ledger->cpu_unexpected : &ledger->device_unexpected);
    return ledger_add_field(ledger, &entry);
}

static bool same_path(const struct vmdesc_field *a, const struct vmdesc_field *b)
{
    return a->duplicate == b->duplicate && strcmp(a->path, b->path) == 0;
}

static bool is_dormant(const struct compare_options *options, uint32_t instance)
{
    for (uint32_t i = 0; i < options->vcpu_count; i++) {
        if (options->vcpu[i].instance == instance)
            return !options->vcpu[i].active;
    }
    return false;
}

/*
 * Why may it differ? The registers of a vCPU that was not resumed are the source's, with their
 * section; only lines that QEMU raises and lowers itself may have changed.
 */
static const char *field_reason(const struct compare_options *options, const struct vmdesc *desc,
                                const struct vmdesc_section *section,
                                const struct vmdesc_field *field, const struct vmdesc_field *other)
{
    const char *path = field != NULL ? field->path : other->path;
    if (is_cpu(section->name) && is_dormant(options, section->instance) &&
        strcmp(path, "cpu_common/interrupt_request") != 0)
        return NULL;
    return compare_reason(desc, section, field, other);
}

static int compare_section(struct ledger *ledger, const struct compare_options *options,
                           const struct vmdesc *a, const struct vmdesc_section *ours,
                           const struct vmdesc *b, const struct vmdesc_section *theirs)
{
    bool *matched = calloc(theirs->field_count + 1, sizeof(*matched));
    if (matched == NULL)
        return -1;
    const struct vmdesc_field *others = b->fields + theirs->first_field;
    uint64_t *identical = is_cpu(ours->name) ? &ledger->cpu_identical : &ledger->device_identical;
    uint32_t guess = 0;
    int ret = 0;
    for (uint32_t i = 0; ret == 0 && i < ours->field_count; i++) {
        const struct vmdesc_field *field = &a->fields[ours->first_field + i];
        const struct vmdesc_field *other = NULL;
        /* The same order, but for subsections that one side lacks. */
        for (uint32_t n = 0; other == NULL && n < theirs->field_count; n++) {
            uint32_t at = (uint32_t)(((uint64_t)guess + n) % theirs->field_count);
            if (!matched[at] && same_path(field, &others[at])) {
                other = &others[at];
                matched[at] = true;
                guess = at + 1;
            }
        }
        if (other != NULL && field->size == other->size && field->array_len == other->array_len &&
            memcmp(field->data, other->data, (size_t)field->size * field->array_len) == 0)
            ++*identical;
        else
            ret = note_field(ledger, ours, field, other,
                             field_reason(options, a, ours, field, other));
    }
    for (uint32_t i = 0; ret == 0 && i < theirs->field_count; i++) {
        if (!matched[i])
            ret = note_field(ledger, theirs, NULL, &others[i],
                             field_reason(options, a, ours, NULL, &others[i]));
    }
    free(matched);
    return ret;
}

static int compare_sections(struct ledger *ledger, const struct compare_options *options,
                            const struct vmdesc *a, const struct vmdesc *b)
{
    int ret = 0;
    for (uint32_t i = 0; ret == 0 && i < a->section_count; i++) {
        const struct vmdesc_section *ours = &a->sections[i];
        const struct vmdesc_section *theirs = vmdesc_section_find(b, ours->name, ours->instance);
        ledger->sections++;
        if (theirs == NULL) {
            ret = note_section(ledger, ours, "present", "absent");
        } else if (theirs->version != ours->version) {
            char source[32];
            char resumed[32];
            snprintf(source, sizeof(source), "version %" PRIu32, ours->version);
            snprintf(resumed, sizeof(resumed), "version %" PRIu32, theirs->version);
            ret = note_section(ledger, ours, source, resumed);
        } else {
            ret = compare_section(ledger, options, a, ours, b, theirs);
        }
    }
    for (uint32_t i = 0; ret == 0 && i < b->section_count; i++) {
        const struct vmdesc_section *theirs = &b->sections[i];
        if (vmdesc_section_find(a, theirs->name, theirs->instance) == NULL)
            ret = note_section(ledger, theirs, "absent", "present");
    }
    return ret;
}

static int make_landings(struct ledger *ledger, const struct compare_options *options)
{
    uint32_t count = options->vcpu_count;
    ledger->landing = calloc(count != 0 ? count : 1, sizeof(*ledger->landing));
    if (ledger->landing == NULL)
        return -1;
    ledger->landing_count = count;
    for (uint32_t i = 0; i < count; i++) {
        ledger->landing[i].vcpu = i;
        ledger->landing[i].active = options->vcpu[i].active;
    }
    return 0;
}

int compare_streams(const struct compare_options *options, struct ledger *out,
                    struct report_failure *failure)
{
    struct compare_side source = {.fd = options->source_fd, .name = "the snapshot's stream"};
    struct compare_side resumed = {.fd = options->resumed_fd, .name = "the resumed VM's stream"};
    struct stream_error error;
    struct ledger ledger;
    memset(&ledger, 0, sizeof(ledger));
    memset(&error, 0, sizeof(error));
    int result = open_side(&source, failure);
    if (result == 0)
        result = open_side(&resumed, failure);
    if (result == 0) {
        int ret = make_landings(&ledger, options);
        if (ret == 0)
            ret = compare_sections(&ledger, options, &source.desc, &resumed.desc);
        if (ret == 0)
            ret = compare_ram(&ledger, options, &source, &resumed, &error);
        if (ret < 0)
            result = report_fail_memory(failure, WHAT);
        else if (ret > 0)
            result = splice_report(failure, &error, WHAT, "RAM");
    }
    close_side(&source);
    close_side(&resumed);
    if (result < 0)
        ledger_free(&ledger);
    else
        *out = ledger;
    return result;
}
