/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "load.h"

void *memcpy(void *restrict to, const void *restrict from, size_t count);

int load_chunk(const struct load_inputs *inputs, const struct resume_sealed *image, uint64_t index,
               const struct load_buffers *buffers, struct resume_diag *diag)
{
    const size_t capacity = (size_t)image->header->chunk_pages * RESUME_SEALED_PAGE;
    const struct resume_sealed_chunk chunk = resume_sealed_chunk(image, index);
    const uint8_t *pages;
    int err =
        resume_sealed_chunk_read(image, index, &inputs->source, buffers->stored, capacity, diag);
    if (err == RESUME_OK)
        err = resume_sealed_chunk_open(image, index, buffers->stored, buffers->pages, capacity,
                                       buffers->work, &pages, diag);
    /* Its pages follow each other among those with content, not in the guest's memory. */
    for (uint32_t i = 0; err == RESUME_OK && i < chunk.pages; i++) {
        const uint64_t content = chunk.content + i;
        const struct resume_sealed_run run =
            resume_sealed_run(image, resume_sealed_find(image, content));
        memcpy(inputs->page(inputs->context, run.page + (content - run.content)),
               pages + (size_t)i * RESUME_SEALED_PAGE, RESUME_SEALED_PAGE);
    }
    return err;
}
