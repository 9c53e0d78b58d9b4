/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What the files that take snapshot images apart share. */
#ifndef TOOLS_UNSEAL_PRIVATE_H
#define TOOLS_UNSEAL_PRIVATE_H

#include "ram.h"
#include "stream.h"
#include "unseal.h"

#define UNSEAL_WHAT "open image"

/* unseal_write - write all of it. */
int unseal_write(int fd, const void *data, size_t length, struct report_failure *failure);

/* unseal_file - an unlinked file in @directory. @ret_fd: the caller closes it. */
int unseal_file(const char *directory, int *ret_fd, struct report_failure *failure);

/* A piece of the image's memory map, and where the stream has it. In pages. */
struct unseal_area {
    uint64_t page; /* guest-physical */
    uint64_t count;
    uint64_t offset; /* in the block */
    uint32_t block;
};

/* A stream that is being rebuilt. */
struct unsealing {
    const struct unseal *unseal;
    const struct manifest *manifest;
    struct progress *progress;
    struct report_failure *failure;
    int fd;
    uint64_t written;
    struct stream stream; /* the device part */
    uint32_t area_count;
    struct unseal_area *area; /* ascending */
};

/* Longest entry of a page: its address, the name of its block, its content. */
#define UNSEAL_ENTRY_MAX (8u + 1u + 255u + RESUME_SEALED_PAGE)

/* unseal_areas - where does the memory map lie in the stream's blocks? Checks that all of it is there. */
int unseal_areas(struct unsealing *unsealing);

/* unseal_entry - the entry of a page. @last: block of the entry before, or UINT32_MAX: the block is named.
 * @content: NULL for a zero page. @out: UNSEAL_ENTRY_MAX bytes. Returns how many. */
size_t unseal_entry(const struct unsealing *unsealing, const struct unseal_area *area,
                    uint64_t page, uint32_t last, const uint8_t *content, uint8_t *out);

/* unseal_area_of - the area that has a page of the memory map. */
const struct unseal_area *unseal_area_of(const struct unsealing *unsealing, uint64_t page);

/* unseal_put - write a part of the stream. */
int unseal_put(struct unsealing *unsealing, const void *data, size_t length);

/* unseal_pages - write all pages of the memory map. Each piece begins with the name of a block. */
int unseal_pages(struct unsealing *unsealing);

#endif
