/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The guest-physical memory that a snapshot image carries, and that firmware fills: RAM of the machine.
 * All else that a stream has is the hypervisor's to put back: device memory, ROMs, and RAM where the
 * chipset shows something else.
 */
#ifndef TOOLS_IMAGE_MEMORY_H
#define TOOLS_IMAGE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "manifest.h"
#include "report.h"
#include "stream.h"

/* A part of it that is contiguous for the guest and in its RAM block. In pages. */
struct image_area {
    uint64_t page; /* guest-physical */
    uint64_t count;
    uint64_t offset;  /* in the block */
    uint64_t before;  /* in all areas before */
    const char *name; /* of the block; the manifest's */
    uint32_t block;   /* its index in the stream that the areas were found for */
};

/* About 16 KiB: keep it off small stacks. */
struct image_memory {
    uint64_t pages; /* of all areas */
    uint32_t count;
    struct image_area area[MANIFEST_RANGE_MAX + 1]; /* ascending; they may touch */
};

/*
 * image_memory_find - what of the manifest's memory map an image carries.
 * @stream: has given STREAM_MEMORY; its blocks are those of the machine.
 * @out: borrows from @manifest.
 * Failure: EXIT_CODE_REFUSED (nothing, or beyond the end of a block).
 */
int image_memory_find(struct image_memory *out, const struct manifest *manifest,
                      const struct stream *stream, struct report_failure *failure);

/*
 * image_memory_bind - set the blocks' indices to those in @stream, another of the same machine.
 * Failure: EXIT_CODE_REFUSED (a block is missing, or shorter than the areas need).
 */
int image_memory_bind(struct image_memory *memory, const struct stream *stream,
                      struct report_failure *failure);

/* image_memory_area - the area that page @page of a block is in, or NULL. */
const struct image_area *image_memory_area(const struct image_memory *memory, uint32_t block,
                                           uint64_t page);

/* image_memory_has - is page @page of the block of this name in it? */
bool image_memory_has(const struct image_memory *memory, const char *block, uint64_t page);

#endif
