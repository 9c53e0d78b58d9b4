/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Reads a whole snapshot image from memory, through a source that can be made to misbehave. */
#ifndef RESUME_TESTS_SEALED_READ_H
#define RESUME_TESTS_SEALED_READ_H

#include <resume/sealed.h>

/* Zero but for data and length: a source that works. */
struct sealed_fake {
    const uint8_t *data; /* borrowed */
    size_t length;
    size_t claimed;       /* length that the source claims, if not 0 */
    size_t piece;         /* most bytes of one reading; 0: no limit */
    unsigned fail_at;     /* number of the reading that fails, from 1; 0: none */
    unsigned end_at;      /* number of the reading that finds the end */
    unsigned lie_at;      /* number of the reading that claims more than was asked for */
    unsigned change_from; /* number of the reading from which on the data differs */
    /* Kept by the source. */
    unsigned reads;
    unsigned twice;   /* readings of bytes that had been read before */
    uint64_t highest; /* one past the last byte read */
};

/* Called for each page with content, in order. */
typedef void (*sealed_page_fn)(void *context, uint64_t number, const uint8_t *page);

/*
 * sealed_read - header, structures, and all chunks. Returns the first error.
 * @key, @identity: as for resume_sealed_open.  @page: may be NULL.
 */
int sealed_read(struct sealed_fake *fake, const uint8_t *key, const uint8_t *identity,
                sealed_page_fn page, void *context, struct resume_diag *diag);

struct resume_sealed_source sealed_source(struct sealed_fake *fake);

#endif
