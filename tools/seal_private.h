/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What the files of the writer of snapshot images share. */
#ifndef TOOLS_SEAL_PRIVATE_H
#define TOOLS_SEAL_PRIVATE_H

#include <stdbool.h>

#include <bearssl.h>

#include <resume/guest.h>

#include "manifest.h"
#include "protect.h"
#include "seal.h"
#include "stream.h"

#define SEAL_WHAT "seal"

/* Pages that follow each other in the guest and, with STREAM_STRIDE from one to the next, in the stream. */
struct seal_extent {
    uint64_t page; /* in the area */
    uint64_t count;
    uint64_t offset; /* in the stream, of the first one's 4096 bytes */
};

/* Guest-physical memory that goes into the image's chunks, and where the stream has it. In pages. */
struct seal_area {
    uint64_t page; /* guest-physical */
    uint64_t count;
    uint64_t offset; /* in the block */
    uint64_t bit;    /* of its first page in the bitmap of pages with content */
    uint32_t block;
    struct seal_extent *extent; /* owned; ascending */
    size_t extents;
    size_t room;
};

/* A page that the stream has out of order or repeatedly, or as one byte. */
struct seal_stray {
    uint64_t bit; /* in the bitmap */
    uint64_t offset;
    uint64_t order; /* the last one counts */
    bool filled;    /* with the byte `fill`; else at `offset` */
    uint8_t fill;
};

/* What is appended comes in pieces of a few bytes. */
#define SEAL_OUTPUT_PENDING ((size_t)64 << 10)

/* The file that is written. */
struct seal_output {
    int fd;
    char *path;    /* the name in the end */
    char *partial; /* until then */
    uint64_t position;
    bool hashing;
    br_sha256_context hash;
    uint64_t pending_offset; /* of what was appended and is not written yet */
    size_t pending_length;
    uint8_t pending[SEAL_OUTPUT_PENDING];
};

struct seal {
    const struct seal_options *options;
    struct report_failure *failure;
    struct manifest *manifest;
    uint8_t *state; /* the state blob, and the plan */
    uint8_t *plan;
    size_t state_length;
    size_t plan_length;
    uint32_t vcpus;
    bool *active; /* [vcpus] */
    struct resume_home home;
    int stream_fd;
    struct XXH3_state_s *checksum; /* of the stream, while it is read */
    struct stream stream;
    uint32_t area_count;
    struct seal_area area[MANIFEST_RANGE_MAX + 1]; /* as image_memory.h has them */
    uint64_t pages;                                /* of all areas */
    uint64_t content;                              /* of them, not zero */
    uint8_t *bitmap;                               /* a bit for each page */
    struct seal_stray *stray; /* by seal_places_end in order of their bits, each once */
    size_t strays;
    size_t stray_room;
    uint8_t *index; /* entries of the chunk index */
    uint64_t chunks;
    uint32_t protection;
    uint32_t method; /* how that is done here */
    struct protect_keys keys;
    struct seal_output out;
    uint64_t part;    /* file offset of the piece for the host that is being written */
    uint8_t *changes; /* what it lacks, or has otherwise than the stream; secret */
    size_t changes_length;
    size_t changes_room;
    uint8_t header[RESUME_SEALED_HEADER_SIZE];
};

/* Goes through the pages with content in the order of their guest-physical addresses. Zero: begin. */
struct seal_cursor {
    uint32_t area;
    uint64_t page; /* in the area */
};

/* seal_next - the next page with content: its area, and its number there. False at the end. */
bool seal_next(const struct seal *seal, struct seal_cursor *cursor, const struct seal_area **area,
               uint64_t *page);

/* seal_skip - go on by @count of them, or as many as there are. */
void seal_skip(const struct seal *seal, struct seal_cursor *cursor, uint32_t count);

/*
 * Where the stream has the pages with content: extents, which are as many as runs of such pages, and
 * strays, of which a stream of a stopped guest has next to none.
 * seal_places_add - take down that the page @page of @area is where @event says.
 * seal_places_end - no more will come.
 * seal_places_read - read up to @count pages from @cursor on, one after the other, to @out. The number in
 * @ret_page is guest-physical, of the first.
 */
int seal_places_add(struct seal *seal, struct seal_area *area, uint64_t page,
                    const struct stream_event *event);
void seal_places_end(struct seal *seal);
int seal_places_read(const struct seal *seal, struct seal_cursor *cursor, uint32_t count,
                     uint8_t *out, uint32_t *ret_count, uint64_t *ret_page,
                     struct report_failure *failure);
void seal_places_free(struct seal *seal);

/* Output: made beside its name, appended to, written to elsewhere, named. All fail with a
 * description in @failure. seal_output_end removes what was not named. What has been appended may be
 * written as late as by seal_output_commit, which may so fail in its place. */
int seal_output_begin(struct seal_output *out, const char *path, struct report_failure *failure);
int seal_output_append(struct seal_output *out, const void *data, size_t length,
                       struct report_failure *failure);
int seal_output_write(struct seal_output *out, uint64_t offset, const void *data, size_t length,
                      struct report_failure *failure);
int seal_output_commit(struct seal_output *out, struct report_failure *failure);
void seal_output_end(struct seal_output *out);

/* seal_pass - read the stream once: index the RAM, note the pages with content, and append the
 * device part to the output. */
int seal_pass(struct seal *seal);

/* seal_devices - append the device sections to the output, but for the registers of active vCPUs. */
int seal_devices(struct seal *seal);

/*
 * seal_change - take down that the device part has @removed bytes where the next byte will be appended to
 * the output, in place of which the stream has the @added bytes at @bytes. Such a place is behind all
 * earlier ones. Call it before these @removed bytes are appended.
 */
int seal_change(struct seal *seal, size_t removed, const void *bytes, size_t added);

/* seal_chunks - append the chunks, and make the index. */
int seal_chunks(struct seal *seal);

/* Little-endian stores. */
static inline void seal_put(uint8_t *to, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

#endif
