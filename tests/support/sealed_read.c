/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "sealed_read.h"

#include <stdlib.h>
#include <string.h>

/* More than any test has: a header that says so is not believed, but not refused either. */
#define STRUCTURES_LIMIT (16u << 20)

static int fake_read(void *context, uint64_t offset, void *buffer, size_t length, size_t *ret)
{
    struct sealed_fake *fake = context;
    fake->reads++;
    if (fake->reads == fake->fail_at)
        return -5;
    *ret = 0;
    if (offset >= fake->length || fake->reads == fake->end_at)
        return 0;
    size_t count = length < fake->length - offset ? length : fake->length - (size_t)offset;
    if (fake->piece != 0 && count > fake->piece)
        count = fake->piece;
    memcpy(buffer, fake->data + offset, count);
    if (fake->change_from != 0 && fake->reads >= fake->change_from)
        *(uint8_t *)buffer ^= 1;
    *ret = fake->reads == fake->lie_at ? length + 1 : count;
    if (offset < fake->highest)
        fake->twice++;
    if (offset + count > fake->highest)
        fake->highest = offset + count;
    return 0;
}

struct resume_sealed_source sealed_source(struct sealed_fake *fake)
{
    return (struct resume_sealed_source){.read = fake_read,
                                         .context = fake,
                                         .size = fake->claimed != 0 ? fake->claimed : fake->length};
}

static int read_chunks(const struct resume_sealed *image, const struct resume_sealed_source *source,
                       sealed_page_fn page, void *context, struct resume_diag *diag)
{
    const size_t capacity = (size_t)image->header->chunk_pages * RESUME_SEALED_PAGE;
    /* Exactly what is documented, so that a sanitizer sees one byte more. */
    uint8_t *stored = malloc(capacity);
    uint8_t *pages = malloc(capacity);
    void *work = aligned_alloc(16, RESUME_SEALED_WORK);
    int result = stored != NULL && pages != NULL && work != NULL ? RESUME_OK : RESUME_ENOSPC;
    for (uint64_t i = 0; result == RESUME_OK && i < image->header->chunks; i++) {
        const struct resume_sealed_chunk chunk = resume_sealed_chunk(image, i);
        const uint8_t *where = NULL;
        result = resume_sealed_chunk_read(image, i, source, stored, capacity, diag);
        if (result == RESUME_OK)
            result =
                resume_sealed_chunk_open(image, i, stored, pages, capacity, work, &where, diag);
        for (uint32_t k = 0; result == RESUME_OK && page != NULL && k < chunk.pages; k++) {
            const struct resume_sealed_run run =
                resume_sealed_run(image, resume_sealed_find(image, chunk.content + k));
            page(context, run.page + (chunk.content + k - run.content),
                 where + (size_t)k * RESUME_SEALED_PAGE);
        }
    }
    free(stored);
    free(pages);
    free(work);
    return result;
}

int sealed_read(struct sealed_fake *fake, const uint8_t *key, const uint8_t *identity,
                sealed_page_fn page, void *context, struct resume_diag *diag)
{
    const struct resume_sealed_source source = sealed_source(fake);
    struct resume_sealed_header header;
    struct resume_sealed image;
    int result = resume_sealed_header(&source, &header, diag);
    if (result != RESUME_OK)
        return result;
    if (header.structures_length > STRUCTURES_LIMIT)
        return RESUME_ENOSPC;
    void *structures = malloc((size_t)header.structures_length);
    if (structures == NULL)
        return RESUME_ENOSPC;
    result = resume_sealed_open(&image, &source, &header, key, identity, structures,
                                (size_t)header.structures_length, diag);
    if (result == RESUME_OK) {
        result = read_chunks(&image, &source, page, context, diag);
        resume_sealed_close(&image);
    }
    free(structures);
    return result;
}
