/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What the files of the splice share. */
#ifndef TOOLS_SPLICE_PRIVATE_H
#define TOOLS_SPLICE_PRIVATE_H

#include <string.h>

#include <xxhash.h>

#include "splice.h"

#define SPLICE_WHAT "splice"

/* A splice under way. */
struct splice {
    const struct splice_options *options;
    struct stream stream;
    struct vmdesc desc;
    XXH3_state_t *hash;
    uint64_t hashed; /* bytes of the source so far */
    uint64_t written;
    uint32_t poke_block;
    uint64_t poke_page;
    uint8_t poke_content[STREAM_PAGE_SIZE]; /* the page's last copy */
    uint32_t last_added;                    /* section id that was given last */
    struct splice_result result;
};

/* splice_write - to the splice's sink. Returns 0, or what the sink did. */
int splice_write(struct splice *splice, const void *data, size_t length);

/* splice_fail_write - the failure that stands for a sink that stopped. */
int splice_fail_write(struct report_failure *failure);

/* splice_write_devices - all that follows the RAM: sections and description. */
int splice_write_devices(struct splice *splice, struct report_failure *failure);

/* What a capture's pages go through while it is read. */
struct splice_passing;

/* splice_passing_open - for a capture that is about to be read from @stream.
 * Failures: EXIT_CODE_REFUSED (the poke), EXIT_CODE_ENVIRONMENT. */
int splice_passing_open(struct splice_passing **ret, const struct splice_pass *pass,
                        const struct splice_home *home, struct stream *stream,
                        struct report_failure *failure);

/* splice_passing_take - after each event. Failure in @failure; STREAM errors in @error, which then has
 * a code. Returns 0, or a negative value. */
int splice_passing_take(struct splice_passing *passing, const struct stream_event *event,
                        struct stream_error *error, struct report_failure *failure);

/* splice_passing_check - did all pages of the memory come? Failure: EXIT_CODE_REFUSED. */
int splice_passing_check(const struct splice_passing *passing, struct report_failure *failure);

/* splice_passing_close - NULL is fine. */
void splice_passing_close(struct splice_passing *passing);

static inline void splice_put_be32(uint8_t *p, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* The begin of an entry for a page, with the name of its block: at most this many bytes. */
#define SPLICE_ENTRY_MAX (8u + 1u + 255u)

/* splice_entry - write it to @out. @block: at most 255 bytes, which the reader of streams has seen to.
 * Returns its length. */
static inline size_t splice_entry(uint8_t out[SPLICE_ENTRY_MAX], const char *block, uint64_t offset)
{
    const size_t length = strnlen(block, 255);
    const uint64_t word = offset | STREAM_RAM_PAGE;
    splice_put_be32(out, (uint32_t)(word >> 32));
    splice_put_be32(out + 4, (uint32_t)word);
    out[8] = (uint8_t)length;
    memcpy(out + 9, block, length);
    return 9 + length;
}

#endif
