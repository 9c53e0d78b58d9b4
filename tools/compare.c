/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "compare.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ram.h"

#define WHAT "compare"
#define ADVICE "start the resume again"

/* One of the two streams. */
struct side {
    int fd;
    const char *name;
    struct ram ram;
    uint8_t *tail; /* owned */
    struct vmdesc desc;
};

static int read_tail(struct side *side, uint64_t offset, uint64_t length,
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

static int open_side(struct side *side, struct report_failure *failure)
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

static void close_side(struct side *side)
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

static int compare_section(struct ledger *ledger, const struct vmdesc *a,
                           const struct vmdesc_section *ours, const struct vmdesc *b,
                           const struct vmdesc_section *theirs)
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
            ret = note_field(ledger, ours, field, other, compare_reason(a, ours, field, other));
    }
    for (uint32_t i = 0; ret == 0 && i < theirs->field_count; i++) {
        if (!matched[i])
            ret = note_field(ledger, theirs, NULL, &others[i],
                             compare_reason(a, ours, NULL, &others[i]));
    }
    free(matched);
    return ret;
}

static int compare_sections(struct ledger *ledger, const struct vmdesc *a, const struct vmdesc *b)
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
            ret = compare_section(ledger, a, ours, b, theirs);
        }
    }
    for (uint32_t i = 0; ret == 0 && i < b->section_count; i++) {
        const struct vmdesc_section *theirs = &b->sections[i];
        if (vmdesc_section_find(a, theirs->name, theirs->instance) == NULL)
            ret = note_section(ledger, theirs, "absent", "present");
    }
    return ret;
}

/* Is all that differs in this page of the home what the landing consists of? */
static bool is_landing(const struct compare_options *options, const struct ledger_page *page,
                       const uint8_t *a, const uint8_t *b)
{
    uint64_t base = page->offset - options->home->offset;
    for (uint32_t i = 0; i < STREAM_PAGE_SIZE; i++) {
        if (a[i] == b[i])
            continue;
        uint64_t at = base + i;
        if (at < options->landing_offset ||
            at - options->landing_offset >= options->landing_length ||
            options->landing[at - options->landing_offset] != b[i])
            return false;
    }
    return true;
}

static bool physical(const struct manifest *manifest, const char *block, uint64_t offset,
                     uint64_t *ret_pa)
{
    for (uint32_t i = 0; manifest != NULL && i < manifest->range_count; i++) {
        const struct manifest_range *range = &manifest->range[i];
        if (strcmp(range->block, block) == 0 && offset >= range->offset &&
            offset - range->offset < range->length) {
            *ret_pa = range->base_pa + (offset - range->offset);
            return true;
        }
    }
    return false;
}

/*
 * Is all that differs the accessed or dirty flag of an entry that maps the home? The CPU sets them
 * when the trampoline runs in the home and refills it. Newer kernels clear the dirty flag of what
 * they map read-only.
 */
static bool is_flag_of_home(const struct compare_options *options, const uint8_t *a,
                            const uint8_t *b)
{
    const uint8_t flags = RESUME_PTE_A | RESUME_PTE_D;
    const uint64_t home = options->home->pa;
    for (uint32_t i = 0; i < STREAM_PAGE_SIZE; i++) {
        uint64_t entry = 0;
        if (a[i] == b[i])
            continue;
        if (i % 8 != 0 || (b[i] & ~(a[i] | flags)) != 0 || (a[i] & ~b[i]) != 0)
            return false;
        for (uint32_t byte = 8; byte-- > 0;)
            entry = entry << 8 | a[i + byte];
        uint64_t size = (entry & RESUME_PTE_PS) != 0 ? UINT64_C(1) << 21 : RESUME_PAGE_SIZE;
        uint64_t base = entry & UINT64_C(0x000ffffffffff000) & ~(size - 1);
        if ((entry & RESUME_PTE_P) == 0 || base >= home + options->home->length ||
            home >= base + size)
            return false;
    }
    return true;
}

/* What accounts for all that differs in this page, or NULL. */
static const char *page_reason(const struct compare_options *options,
                               const struct ledger_page *page, const uint8_t *a, const uint8_t *b)
{
    if (options->home == NULL)
        return NULL;
    if (page->in_home)
        return is_landing(options, page, a, b) ? "the landing, in the home" : NULL;
    return is_flag_of_home(options, a, b)
               ? "the dirty or accessed flag of the entry that maps the home: the CPU sets it"
               : NULL;
}

static void find_runs(struct ledger_page *page, const uint8_t *a, const uint8_t *b)
{
    for (uint32_t i = 0; i < STREAM_PAGE_SIZE; i++) {
        if (a[i] == b[i])
            continue;
        page->bytes++;
        struct ledger_run *last = page->run_count != 0 ? &page->run[page->run_count - 1] : NULL;
        if (last != NULL && (uint32_t)last->start + last->length == i) {
            last->length++;
        } else if (page->run_count < LEDGER_RUN_MAX) {
            page->run[page->run_count].start = (uint16_t)i;
            page->run[page->run_count].length = 1;
            page->run_count++;
        } else if (last != NULL) {
            last->length = (uint16_t)(i + 1 - last->start);
        }
    }
}

/* Enters a page that differs. @note: NULL when both sides have it. */
static int note_page(struct ledger *ledger, const struct compare_options *options,
                     const char *block, uint64_t offset, const uint8_t *a, const uint8_t *b,
                     const char *note)
{
    const struct splice_home *home = options->home;
    struct ledger_page page;
    memset(&page, 0, sizeof(page));
    snprintf(page.block, sizeof(page.block), "%s", block);
    page.offset = offset;
    page.note = note;
    page.in_home = home != NULL && strcmp(block, home->block) == 0 && offset >= home->offset &&
                   offset - home->offset < home->length;
    page.has_pa = physical(options->manifest, block, offset, &page.pa);
    if (note == NULL) {
        find_runs(&page, a, b);
        page.reason = page_reason(options, &page, a, b);
    }
    if (page.in_home)
        ledger->home_bytes += page.bytes;
    if (page.reason != NULL)
        ledger->pages_expected++;
    else
        ledger->pages_unexpected++;
    return ledger_add_page(ledger, &page);
}

/* Two sides of one page. Returns 0, -1 when memory ran out, 1 with @error filled. */
static int compare_page(struct ledger *ledger, const struct compare_options *options,
                        struct side *source, struct side *resumed, uint32_t block,
                        uint32_t other_block, uint64_t offset, struct stream_error *error)
{
    uint8_t a[STREAM_PAGE_SIZE];
    uint8_t b[STREAM_PAGE_SIZE];
    struct ram_page_info ours = {.kind = RAM_PAGE_ABSENT};
    struct ram_page_info theirs = {.kind = RAM_PAGE_ABSENT};
    const char *name = source->ram.blocks[block].name;
    ram_page_info(&source->ram, block, offset, &ours);
    ram_page_info(&resumed->ram, other_block, offset, &theirs);
    ledger->pages++;
    if (ours.kind != theirs.kind &&
        (ours.kind == RAM_PAGE_ABSENT || theirs.kind == RAM_PAGE_ABSENT))
        return note_page(ledger, options, name, offset, a, b,
                         ours.kind == RAM_PAGE_ABSENT ? "the snapshot does not have it"
                                                      : "the resumed VM does not have it");
    if ((ours.kind == RAM_PAGE_ABSENT) ||
        (ours.kind == RAM_PAGE_FILL && theirs.kind == RAM_PAGE_FILL && ours.fill == theirs.fill)) {
        ledger->pages_identical++;
        return 0;
    }
    if (ram_read_page(&source->ram, block, offset, a, error) != 0 ||
        ram_read_page(&resumed->ram, other_block, offset, b, error) != 0)
        return 1;
    if (memcmp(a, b, sizeof(a)) == 0) {
        ledger->pages_identical++;
        return 0;
    }
    return note_page(ledger, options, name, offset, a, b, NULL);
}

/* A block that only one side has, or has in another length: one entry stands for its pages. */
static int note_block(struct ledger *ledger, const struct compare_options *options,
                      const struct stream_block *block, const char *note)
{
    uint64_t pages = block->length / STREAM_PAGE_SIZE;
    ledger->pages += pages;
    if (pages != 0)
        ledger->pages_unexpected += pages - 1;
    return note_page(ledger, options, block->name, 0, NULL, NULL, note);
}

static int compare_ram(struct ledger *ledger, const struct compare_options *options,
                       struct side *source, struct side *resumed, struct stream_error *error)
{
    uint64_t total = source->ram.page_count * STREAM_PAGE_SIZE;
    int ret = 0;
    for (uint32_t i = 0; ret == 0 && i < source->ram.block_count; i++) {
        const struct stream_block *block = &source->ram.blocks[i];
        uint32_t other = ram_block_find(&resumed->ram, block->name);
        if (other == UINT32_MAX) {
            ret = note_block(ledger, options, block, "the resumed VM does not have this RAM block");
            continue;
        }
        if (resumed->ram.blocks[other].length != block->length) {
            ret = note_block(ledger, options, block, "the RAM block has another length");
            continue;
        }
        for (uint64_t at = 0; ret == 0 && at < block->length; at += STREAM_PAGE_SIZE) {
            ret = compare_page(ledger, options, source, resumed, i, other, at, error);
            progress_step_update(options->progress, ledger->pages * STREAM_PAGE_SIZE, total);
        }
    }
    for (uint32_t i = 0; ret == 0 && i < resumed->ram.block_count; i++) {
        const struct stream_block *block = &resumed->ram.blocks[i];
        if (ram_block_find(&source->ram, block->name) == UINT32_MAX)
            ret = note_block(ledger, options, block, "the snapshot does not have this RAM block");
    }
    return ret;
}

int compare_streams(const struct compare_options *options, struct ledger *out,
                    struct report_failure *failure)
{
    struct side source = {.fd = options->source_fd, .name = "the snapshot's stream"};
    struct side resumed = {.fd = options->resumed_fd, .name = "the resumed VM's stream"};
    struct stream_error error;
    struct ledger ledger;
    memset(&ledger, 0, sizeof(ledger));
    memset(&error, 0, sizeof(error));
    int result = open_side(&source, failure);
    if (result == 0)
        result = open_side(&resumed, failure);
    if (result == 0) {
        int ret = compare_sections(&ledger, &source.desc, &resumed.desc);
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
