/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The calls that load the memory of a snapshot image, as a firmware makes them. */
#ifndef LOAD_H
#define LOAD_H

#include <resume/sealed.h>

/* What the firmware provides. */
struct load_inputs {
    struct resume_sealed_source source;
    const uint8_t *key;      /* RESUME_SEALED_KEY bytes; NULL for an image that is not sealed */
    const uint8_t *identity; /* of the only image that will do, or NULL */
    void *(*page)(void *context, uint64_t number); /* where a page of the guest is to go */
    void *context;
};

/* Buffers of one processor. */
struct load_buffers {
    uint8_t *stored; /* header.chunk_pages pages each */
    uint8_t *pages;
    void *work; /* RESUME_SEALED_WORK bytes, 16-byte aligned */
};

/* Chunk @index, by any processor, in any order. */
int load_chunk(const struct load_inputs *inputs, const struct resume_sealed *image, uint64_t index,
               const struct load_buffers *buffers, struct resume_diag *diag);

#endif
