/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The parked target's side of a splice: reading its capture, and whether it fits the source. */
#define _GNU_SOURCE
#include "splice.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"
#include "qemu_fields.h"

#define WHAT_PARKED "read the parked target"
#define WHAT_CHECK "compare source and parked target"
#define ADVICE_COMMAND "give the very command line that started the source VM"
#define ADVICE_QEMU "use the QEMU that the source ran under"
#define ADVICE_START "start the resume again; if it stays so, report a defect"
#define HOME_PAGES (RESUME_HOME_LENGTH / STREAM_PAGE_SIZE)

int splice_report(struct report_failure *failure, const struct stream_error *error,
                  const char *what, const char *where)
{
    int code = tool_error_is_io(error->code) ? EXIT_CODE_ENVIRONMENT : EXIT_CODE_REFUSED;
    const char *hint =
        error->hint != NULL
            ? error->hint
            : "the file is damaged or no stream of QEMU 7.2 to 10: take the snapshot again";
    if (error->offset == STREAM_NO_OFFSET)
        return report_fail(failure, code, what, where, hint, "%s", error->why);
    return report_fail(failure, code, what, where, hint, "at byte 0x%" PRIx64 ": %s", error->offset,
                       error->why);
}

const struct manifest_range *splice_locate(const struct manifest *manifest, resume_pa_t pa,
                                           uint64_t length, uint64_t *ret_offset)
{
    for (uint32_t i = 0; i < manifest->range_count; i++) {
        const struct manifest_range *range = &manifest->range[i];
        if (range->kind == MANIFEST_RANGE_RAM && pa >= range->base_pa &&
            pa - range->base_pa < range->length &&
            length <= range->length - (pa - range->base_pa)) {
            *ret_offset = range->offset + (pa - range->base_pa);
            return range;
        }
    }
    return NULL;
}

int splice_home_locate(struct splice_home *out, const struct resume_home *home,
                       const struct manifest *manifest, struct report_failure *failure)
{
    struct splice_home located;
    memset(&located, 0, sizeof(located));
    if (home->length != RESUME_HOME_LENGTH)
        return report_fail(failure, EXIT_CODE_REFUSED, "locate the home", MANIFEST_PLAN,
                           "take the snapshot again",
                           "the home has 0x%" PRIx64 " bytes, this version needs 0x%x",
                           home->length, RESUME_HOME_LENGTH);
    const struct manifest_range *range =
        splice_locate(manifest, home->pa, home->length, &located.offset);
    if (range == NULL || located.offset % STREAM_PAGE_SIZE != 0)
        return report_fail(
            failure, EXIT_CODE_REFUSED, "locate the home", MANIFEST_PLAN, "take the snapshot again",
            "the home at physical 0x%" PRIx64 " is not in RAM, says the memory map of the manifest",
            home->pa);
    located.va = home->va;
    located.pa = home->pa;
    located.length = home->length;
    memcpy(located.block, range->block, sizeof(located.block));
    *out = located;
    return 0;
}

/* Copies a page of the home; @seen has one entry per page of it. */
static void take_page(struct splice_parked *parked, const struct stream_event *event,
                      const struct splice_home *home, bool *seen)
{
    if (event->page_offset < home->offset || event->page_offset - home->offset >= home->length)
        return;
    uint64_t at = event->page_offset - home->offset;
    seen[at / STREAM_PAGE_SIZE] = true;
    if (event->kind == STREAM_PAGE)
        memcpy(parked->home + at, event->page, STREAM_PAGE_SIZE);
    else
        memset(parked->home + at, event->fill, STREAM_PAGE_SIZE);
}

static int read_capture(struct splice_parked *parked, const struct splice_home *home, bool *seen,
                        struct progress *progress, struct stream_error *error)
{
    struct stream *stream = &parked->stream;
    struct stream_event event;
    uint32_t block = UINT32_MAX;
    uint64_t done = 0;
    uint64_t total = 0;
    do {
        int ret = stream_next(stream, &event, error);
        if (ret != 0)
            return ret;
        if (event.kind == STREAM_MEMORY) {
            uint32_t count;
            const struct stream_block *blocks = stream_blocks(stream, &count);
            for (uint32_t i = 0; i < count; i++)
                total += blocks[i].length;
            block = stream_block_find(stream, home->block);
        } else if (event.kind == STREAM_PAGE || event.kind == STREAM_ZERO) {
            if (event.block == block)
                take_page(parked, &event, home, seen);
            done += STREAM_PAGE_SIZE;
            progress_step_update(progress, done, total);
        }
    } while (event.kind != STREAM_DEVICES);

    const uint8_t *tail;
    size_t length;
    uint64_t offset;
    int ret = stream_tail(stream, &tail, &length, &offset, error);
    if (ret != 0)
        return ret;
    return vmdesc_open(&parked->desc, tail, length, offset, error);
}

static int check_handoff(const struct splice_parked *parked, const struct splice_home *home,
                         struct report_failure *failure)
{
    const struct resume_handoff *handoff = &parked->handoff;
    static const char advice[] = "build resume.efi and resumectl from the same version";
    if (handoff->magic != RESUME_HANDOFF_MAGIC)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_PARKED, "handoff", advice,
                           "no handoff at physical 0x%" PRIx64 ": found magic 0x%" PRIx64
                           ", expected 0x%" PRIx64,
                           home->pa, handoff->magic, RESUME_HANDOFF_MAGIC);
    if (handoff->version != RESUME_HANDOFF_VERSION || handoff->size != sizeof(*handoff))
        return report_fail(
            failure, EXIT_CODE_REFUSED, WHAT_PARKED, "handoff", advice,
            "version %" PRIu32 " with %" PRIu32 " bytes, expected version %u with %zu bytes",
            handoff->version, handoff->size, RESUME_HANDOFF_VERSION, sizeof(*handoff));
    if (handoff->home_va != home->va || handoff->home_pa != home->pa ||
        handoff->home_length != home->length)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_PARKED, "handoff", ADVICE_START,
                           "it waits in another home: at 0x%" PRIx64 " (physical 0x%" PRIx64
                           ", 0x%" PRIx64 " bytes), expected 0x%" PRIx64 " (physical 0x%" PRIx64
                           ", 0x%" PRIx64 " bytes)",
                           handoff->home_va, handoff->home_pa, handoff->home_length, home->va,
                           home->pa, home->length);
    if (handoff->stage != RESUME_STAGE_PARKED || handoff->go != 0)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_PARKED, "handoff", ADVICE_START,
                           "it is not parked: stage %" PRIu32 ", go %" PRIu32
                           ", expected stage %d, go 0",
                           handoff->stage, handoff->go, (int)RESUME_STAGE_PARKED);
    return 0;
}

/* A number of a section, by its path. */
static int section_number(const struct vmdesc *desc, const struct vmdesc_section *section,
                          const char *path, uint64_t *ret, struct report_failure *failure)
{
    const struct vmdesc_field *field = vmdesc_field_find(desc, section, path);
    if (field == NULL || vmdesc_field_u64(field, ret) != 0)
        return report_fail(failure, EXIT_CODE_REFUSED, "read the device sections", path,
                           ADVICE_QEMU, "the section has no such number");
    return 0;
}

/* The vCPUs must be where the trampoline waits: what runs after the splice is what they execute. */
static int check_cpus(const struct splice_parked *parked, const struct splice_home *home,
                      struct report_failure *failure)
{
    const struct vmdesc *desc = &parked->desc;
    uint32_t count = vmdesc_section_count(desc, "cpu");
    if (count == 0)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_PARKED, "devices", ADVICE_QEMU,
                           "its stream has no \"cpu\" section");
    if (count != 1)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_PARKED, "devices",
                           "this version resumes machines with one vCPU",
                           "it has %" PRIu32 " vCPUs", count);
    const struct vmdesc_section *cpu = vmdesc_section_nth(desc, "cpu", 0);
    const struct vmdesc_section *common = vmdesc_section_find(desc, "cpu_common", cpu->instance);
    if (common == NULL)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_PARKED, "devices", ADVICE_QEMU,
                           "its stream has no \"cpu_common\" section of instance %" PRIu32,
                           cpu->instance);
    uint64_t rip = 0;
    uint64_t halted = 0;
    int result = section_number(desc, cpu, "cpu/env.eip", &rip, failure);
    if (result == 0)
        result = section_number(desc, common, "cpu_common/halted", &halted, failure);
    if (result < 0)
        return result;
    if (rip < home->va || rip - home->va >= home->length || halted != 0)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_PARKED, "cpu", ADVICE_START,
                           "its vCPU does not wait in the home: RIP 0x%" PRIx64 ", halted %" PRIu64
                           ", expected a RIP from 0x%" PRIx64 " to below 0x%" PRIx64 ", halted 0",
                           rip, halted, home->va, home->va + home->length);
    return 0;
}

int splice_parked_read(struct splice_parked *out, int fd, const struct splice_home *home,
                       struct progress *progress, struct report_failure *failure)
{
    struct splice_parked parked;
    struct stream_error error;
    bool seen[HOME_PAGES] = {false};
    memset(&parked, 0, sizeof(parked));
    memset(&error, 0, sizeof(error));
    parked.home = calloc(1, RESUME_HOME_LENGTH);
    if (parked.home == NULL)
        return report_fail_memory(failure, WHAT_PARKED);
    int result = stream_open_fd(&parked.stream, fd, &error);
    if (result == 0)
        result = read_capture(&parked, home, seen, progress, &error);
    if (result != 0) {
        result = splice_report(failure, &error, WHAT_PARKED, "its stream");
        goto out;
    }
    for (uint32_t i = 0; i < HOME_PAGES; i++) {
        if (!seen[i]) {
            result =
                report_fail(failure, EXIT_CODE_REFUSED, WHAT_PARKED, "its stream", ADVICE_START,
                            "page %" PRIu32 " of the home (offset 0x%" PRIx64
                            " of RAM block \"%s\") is not in it",
                            i, home->offset + (uint64_t)i * STREAM_PAGE_SIZE, home->block);
            goto out;
        }
    }
    memcpy(&parked.handoff, parked.home + RESUME_HOME_HANDOFF, sizeof(parked.handoff));
    result = check_handoff(&parked, home, failure);
    if (result == 0)
        result = check_cpus(&parked, home, failure);
out:
    if (result < 0)
        splice_parked_close(&parked);
    else
        *out = parked;
    return result;
}

void splice_parked_close(struct splice_parked *parked)
{
    vmdesc_close(&parked->desc);
    stream_close(&parked->stream);
    free(parked->home);
    memset(parked, 0, sizeof(*parked));
}

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
                        bool swapped, struct report_failure *failure)
{
    for (uint32_t i = 0; i < section->field_count; i++) {
        const struct vmdesc_field *field = &desc->fields[section->first_field + i];
        const char *reason;
        enum field_class class = qemu_field_class(field->path, &reason);
        if (class != FIELD_MUST_EQUAL && class != FIELD_UNKNOWN)
            continue;
        const struct vmdesc_field *twin = same_field(other_desc, other, field, i);
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
            "the source has %s, the parked target %s: %s", swapped ? theirs : mine,
            swapped ? mine : theirs, reason);
    }
    return 0;
}

/* Is there an event pending on the source's vCPU that cannot be kept? Better asked early. */
static int check_pending(const struct vmdesc *source, const struct vmdesc_section *section,
                         struct report_failure *failure)
{
    uint64_t request;
    uint32_t kept;
    int result = section_number(source, section, "cpu_common/interrupt_request", &request, failure);
    return result < 0 ? result : splice_interrupt_request((uint32_t)request, &kept, failure);
}

static int check_section(const struct vmdesc *source, const struct vmdesc_section *theirs,
                         const struct vmdesc *target, struct report_failure *failure)
{
    const struct vmdesc_section *ours = vmdesc_section_find(target, theirs->name, theirs->instance);
    if (ours == NULL)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_CHECK, theirs->name, ADVICE_COMMAND,
                           "instance %" PRIu32 " is in the source but not in the parked target",
                           theirs->instance);
    if (ours->version != theirs->version)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_CHECK, theirs->name,
                           "use the QEMU that the source ran under",
                           "section version %" PRIu32 " in the source, %" PRIu32
                           " in the parked target",
                           theirs->version, ours->version);
    int result = check_fields(source, theirs, target, ours, false, failure);
    if (result == 0)
        result = check_fields(target, ours, source, theirs, true, failure);
    if (result == 0 && strcmp(theirs->name, "cpu_common") == 0)
        result = check_pending(source, theirs, failure);
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
        /* ROMs of devices that the parked target has no need of are missing in it. */
        if (other == UINT32_MAX)
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

int splice_check(const struct vmdesc *source, const struct stream *source_stream,
                 const struct splice_parked *parked, struct report_failure *failure)
{
    static const char *const names[] = {"cpu", "cpu_common"};
    int result = 0;
    if (source_stream != NULL)
        result = check_machine(source_stream, &parked->stream, failure);
    for (size_t n = 0; result == 0 && n < sizeof(names) / sizeof(names[0]); n++) {
        uint32_t count = vmdesc_section_count(source, names[n]);
        uint32_t other = vmdesc_section_count(&parked->desc, names[n]);
        if (count == 0 || count != other)
            return report_fail(failure, EXIT_CODE_REFUSED, WHAT_CHECK, names[n], ADVICE_COMMAND,
                               "the source has %" PRIu32
                               " such sections, the parked target %" PRIu32,
                               count, other);
        for (uint32_t i = 0; result == 0 && i < count; i++)
            result = check_section(source, vmdesc_section_nth(source, names[n], i), &parked->desc,
                                   failure);
    }
    return result;
}

int splice_interrupt_request(uint32_t source, uint32_t *ret, struct report_failure *failure)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } names[] = {
        {SPLICE_IRQ_NMI, "a non-maskable interrupt"},
        {SPLICE_IRQ_SMI, "an SMI"},
        {SPLICE_IRQ_INIT, "an INIT"},
        {SPLICE_IRQ_SIPI, "a startup IPI"},
        {SPLICE_IRQ_MCE, "a machine check"},
        {SPLICE_IRQ_VIRQ, "a virtual interrupt (SVM)"},
        {SPLICE_IRQ_HALT, "a request to halt"},
        {SPLICE_IRQ_TPR, "a report of a TPR access"},
    };
    /* Neither has a meaning for the guest. */
    const uint32_t dropped = SPLICE_IRQ_EXITTB | SPLICE_IRQ_DEBUG;
    const uint32_t kept = SPLICE_IRQ_HARD | SPLICE_IRQ_POLL;
    uint32_t rest = source & ~(dropped | kept);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if ((rest & names[i].bit) != 0)
            return report_fail(failure, EXIT_CODE_REFUSED, "splice", "cpu_common/interrupt_request",
                               "take the snapshot again, a moment later",
                               "%s is pending; it would be delivered before the guest is back",
                               names[i].name);
    }
    if (rest != 0)
        return report_fail(failure, EXIT_CODE_REFUSED, "splice", "cpu_common/interrupt_request",
                           "take the snapshot again, a moment later",
                           "pending events 0x%" PRIx32 " that this version does not know", rest);
    *ret = source & kept;
    return 0;
}
