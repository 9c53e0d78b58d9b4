/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "image_memory.h"

#include <inttypes.h>
#include <string.h>

#define WHAT "memory of the image"
/* Firmware cannot put back what lies here: the chipset shows other things than RAM. */
#define HOLE_BEGIN (UINT64_C(0xa0000) / STREAM_PAGE_SIZE)
#define HOLE_END (UINT64_C(0x100000) / STREAM_PAGE_SIZE)

/* RAM of a device has the device's path before its name; RAM of the machine has none, but for what
 * the user has named. */
static bool is_main(const char *block)
{
    return strchr(block, '/') == NULL || strncmp(block, "/objects/", 9) == 0;
}

static void add(struct image_memory *memory, uint64_t page, uint64_t end, uint64_t offset,
                const char *name, uint32_t block)
{
    if (page >= end)
        return;
    memory->area[memory->count++] = (struct image_area){.page = page,
                                                        .count = end - page,
                                                        .offset = offset,
                                                        .before = memory->pages,
                                                        .name = name,
                                                        .block = block};
    memory->pages += end - page;
}

int image_memory_find(struct image_memory *out, const struct manifest *manifest,
                      const struct stream *stream, struct report_failure *failure)
{
    uint32_t block_count;
    const struct stream_block *blocks = stream_blocks(stream, &block_count);
    out->count = 0;
    out->pages = 0;
    for (uint32_t i = 0; i < manifest->range_count; i++) {
        const struct manifest_range *range = &manifest->range[i];
        const uint32_t block = stream_block_find(stream, range->block);
        if (range->kind != MANIFEST_RANGE_RAM || block == UINT32_MAX || !is_main(range->block) ||
            (range->base_pa | range->length | range->offset) % STREAM_PAGE_SIZE != 0)
            continue;
        if (range->offset > blocks[block].length ||
            range->length > blocks[block].length - range->offset)
            return report_fail(failure, EXIT_CODE_REFUSED, WHAT, range->block,
                               "take the snapshot again",
                               "the memory map goes beyond the end of this RAM block");
        const uint64_t begin = range->base_pa / STREAM_PAGE_SIZE;
        const uint64_t end = begin + range->length / STREAM_PAGE_SIZE;
        const uint64_t offset = range->offset / STREAM_PAGE_SIZE;
        const uint64_t high = begin > HOLE_END ? begin : HOLE_END;
        /* Ranges ascend: at most one of them is on both sides of the hole. */
        add(out, begin, end < HOLE_BEGIN ? end : HOLE_BEGIN, offset, range->block, block);
        add(out, high, end, offset + (high - begin), range->block, block);
    }
    if (out->pages == 0)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, "memory map",
                           "take the snapshot again", "it has no RAM of the machine");
    return 0;
}

int image_memory_bind(struct image_memory *memory, const struct stream *stream,
                      struct report_failure *failure)
{
    static const char advice[] = "give the very command line that started the source VM";
    uint32_t block_count;
    const struct stream_block *blocks = stream_blocks(stream, &block_count);
    for (uint32_t i = 0; i < memory->count; i++) {
        struct image_area *area = &memory->area[i];
        const uint32_t block = stream_block_find(stream, area->name);
        if (block == UINT32_MAX)
            return report_fail(failure, EXIT_CODE_REFUSED, WHAT, area->name, advice,
                               "the parked target has no such RAM block, and the image has memory "
                               "for it");
        const uint64_t pages = blocks[block].length / STREAM_PAGE_SIZE;
        if (area->offset > pages || area->count > pages - area->offset)
            return report_fail(failure, EXIT_CODE_REFUSED, WHAT, area->name, advice,
                               "the parked target's RAM block of this name has 0x%" PRIx64
                               " bytes, too few for the image",
                               blocks[block].length);
        area->block = block;
    }
    return 0;
}

const struct image_area *image_memory_area(const struct image_memory *memory, uint32_t block,
                                           uint64_t page)
{
    for (uint32_t i = 0; i < memory->count; i++) {
        const struct image_area *area = &memory->area[i];
        if (area->block == block && page >= area->offset && page - area->offset < area->count)
            return area;
    }
    return NULL;
}

bool image_memory_has(const struct image_memory *memory, const char *block, uint64_t page)
{
    for (uint32_t i = 0; i < memory->count; i++) {
        const struct image_area *area = &memory->area[i];
        if (strcmp(area->name, block) == 0 && page >= area->offset &&
            page - area->offset < area->count)
            return true;
    }
    return false;
}
