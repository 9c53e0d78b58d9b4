/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The pass over the stream. What is guest RAM goes into chunks; everything else, which is the
 * hypervisor's to put back, goes into the device part: it is a stream of its own.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "image_memory.h"
#include "seal_private.h"
#include "splice.h"

/* How far a step may go before progress is shown. */
#define PROGRESS_EVENTS 256u

/* The block list is known: which guest-physical memory is RAM of the machine? */
static int find_areas(struct seal *seal)
{
    struct image_memory *memory = calloc(1, sizeof(*memory));
    if (memory == NULL)
        return report_fail_memory(seal->failure, SEAL_WHAT);
    int result = image_memory_find(memory, seal->manifest, &seal->stream, seal->failure);
    for (uint32_t i = 0; result == 0 && i < memory->count; i++) {
        const struct image_area *area = &memory->area[i];
        seal->area[seal->area_count++] = (struct seal_area){.page = area->page,
                                                            .count = area->count,
                                                            .offset = area->offset,
                                                            .bit = area->before,
                                                            .block = area->block};
    }
    seal->pages = memory->pages;
    free(memory);
    if (result != 0)
        return result;
    seal->bitmap = calloc((size_t)(seal->pages / 8 + 1), 1);
    return seal->bitmap == NULL ? report_fail_memory(seal->failure, SEAL_WHAT) : 0;
}

/* The area that a page of a block is in, or NULL. */
static struct seal_area *area_of(struct seal *seal, uint32_t block, uint64_t page)
{
    for (uint32_t i = 0; i < seal->area_count; i++) {
        struct seal_area *area = &seal->area[i];
        if (area->block == block && page >= area->offset && page - area->offset < area->count)
            return area;
    }
    return NULL;
}

bool seal_next(const struct seal *seal, struct seal_cursor *cursor, const struct seal_area **area,
               uint64_t *page)
{
    for (; cursor->area < seal->area_count; cursor->area++, cursor->page = 0) {
        const struct seal_area *at = &seal->area[cursor->area];
        while (cursor->page < at->count) {
            uint64_t bit = at->bit + cursor->page;
            if (bit % 8 == 0 && seal->bitmap[bit / 8] == 0 && at->count - cursor->page >= 8) {
                cursor->page += 8;
                continue;
            }
            cursor->page++;
            if ((seal->bitmap[bit / 8] >> (bit % 8) & 1) != 0) {
                *area = at;
                *page = cursor->page - 1;
                return true;
            }
        }
    }
    return false;
}

static bool is_zero(const uint8_t *page)
{
    return page[0] == 0 && memcmp(page, page + 1, RESUME_SEALED_PAGE - 1) == 0;
}

/* A later entry for a page replaces an earlier one. */
static void note(struct seal *seal, uint64_t bit, bool content)
{
    uint8_t *byte = &seal->bitmap[bit / 8];
    const uint8_t mask = (uint8_t)(1u << (bit % 8));
    const bool before = (*byte & mask) != 0;
    if (before == content)
        return;
    *byte ^= mask;
    seal->content = content ? seal->content + 1 : seal->content - 1;
}

/* A page that is the hypervisor's: one entry, which names its block unless the one before did. */
static int keep(struct seal *seal, const struct stream_event *event, uint32_t *last)
{
    uint8_t entry[8 + 1 + 255 + RESUME_SEALED_PAGE];
    uint32_t blocks = 0;
    const char *name = stream_blocks(&seal->stream, &blocks)[event->block].name;
    const size_t length = strlen(name);
    const bool data = event->kind == STREAM_PAGE;
    uint64_t flags = data ? STREAM_RAM_PAGE : STREAM_RAM_ZERO;
    size_t at = 8;
    if (event->block == *last)
        flags |= STREAM_RAM_CONTINUE;
    for (unsigned i = 0; i < 8; i++)
        entry[i] = (uint8_t)((event->page_offset | flags) >> (56 - 8 * i));
    if (event->block != *last) {
        entry[at++] = (uint8_t)length;
        memcpy(entry + at, name, length);
        at += length;
    }
    if (data) {
        memcpy(entry + at, event->page, RESUME_SEALED_PAGE);
        at += RESUME_SEALED_PAGE;
    } else {
        entry[at++] = event->fill;
    }
    *last = event->block;
    return seal_output_append(&seal->out, entry, at, seal->failure);
}

static int sink(void *ctx, const void *data, size_t length)
{
    struct seal *seal = ctx;
    return seal_output_append(&seal->out, data, length, seal->failure);
}

static void tap(void *ctx, const void *data, size_t length)
{
    struct seal *seal = ctx;
    XXH3_128bits_update(seal->checksum, data, length);
}

static int fail_stream(struct seal *seal, const struct stream_error *error)
{
    if (error->code == STREAM_ESINK)
        return -seal->failure->exit_code;
    return splice_report(seal->failure, error, SEAL_WHAT, "the snapshot's stream");
}

static int take_page(struct seal *seal, const struct stream_event *event, uint32_t *last,
                     struct stream_error *error)
{
    const uint64_t page = event->page_offset / RESUME_SEALED_PAGE;
    struct seal_area *area = area_of(seal, event->block, page);
    const bool content = event->kind == STREAM_PAGE ? !is_zero(event->page) : event->fill != 0;
    if (stream_sink_to(&seal->stream, event->offset, error) != 0 ||
        stream_sink_skip(&seal->stream, event->offset + event->length, error) != 0)
        return fail_stream(seal, error);
    if (area == NULL)
        return keep(seal, event, last);
    note(seal, area->bit + (page - area->offset), content);
    return content ? seal_places_add(seal, area, page - area->offset, event) : 0;
}

static int pass(struct seal *seal)
{
    struct stream_error error;
    struct stream_event event;
    const uint64_t size = manifest_find_file(seal->manifest, MANIFEST_STREAM)->size;
    uint32_t last = UINT32_MAX;
    unsigned events = 0;
    memset(&error, 0, sizeof(error));
    if (stream_open_fd(&seal->stream, seal->stream_fd, &error) != 0)
        return fail_stream(seal, &error);
    stream_set_sink(&seal->stream, sink, seal);
    stream_set_tap(&seal->stream, tap, seal);
    do {
        if (stream_next(&seal->stream, &event, &error) != 0)
            return fail_stream(seal, &error);
        int result = 0;
        if (event.kind == STREAM_MEMORY)
            result = find_areas(seal);
        else if (event.kind == STREAM_SECTION)
            last = UINT32_MAX;
        else if (event.kind == STREAM_PAGE || event.kind == STREAM_ZERO)
            result = take_page(seal, &event, &last, &error);
        if (result != 0)
            return result;
        if (++events % PROGRESS_EVENTS == 0)
            progress_step_update(seal->options->progress, event.offset, size);
    } while (event.kind != STREAM_DEVICES);
    seal_places_end(seal);
    if (seal->content == 0)
        return report_fail(seal->failure, EXIT_CODE_REFUSED, SEAL_WHAT, "the snapshot's stream",
                           "take the snapshot again", "all of the RAM is zero");
    return seal_devices(seal);
}

/* The checksum of what was read is the manifest's? */
static bool is_right(const struct seal *seal)
{
    const XXH128_hash_t hash = XXH3_128bits_digest(seal->checksum);
    char text[MANIFEST_HASH_LENGTH + 1];
    snprintf(text, sizeof(text), "%016" PRIx64 "%016" PRIx64, (uint64_t)hash.high64,
             (uint64_t)hash.low64);
    return strcmp(text, manifest_find_file(seal->manifest, MANIFEST_STREAM)->xxh3_128) == 0;
}

int seal_pass(struct seal *seal)
{
    struct report_failure damage = {0};
    seal->checksum = XXH3_createState();
    if (seal->checksum == NULL)
        return report_fail_memory(seal->failure, SEAL_WHAT);
    XXH3_128bits_reset(seal->checksum);
    int result = pass(seal);
    if (result == 0 && !is_right(seal))
        result =
            report_fail(seal->failure, EXIT_CODE_REFUSED, SEAL_WHAT, "the snapshot's stream",
                        "seal again when nothing writes to it", "it changed while it was read");
    XXH3_freeState(seal->checksum);
    seal->checksum = NULL;
    /* A file that is damaged is more worth knowing of than what that led to. */
    if (result == -EXIT_CODE_REFUSED &&
        manifest_verify(seal->manifest, seal->options->directory, NULL, &damage) < 0) {
        *seal->failure = damage;
        result = -damage.exit_code;
    }
    return result;
}
