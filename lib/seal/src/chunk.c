/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Chunks: independent of each other, so that any processor may open any of them. */
#include <resume/sealed.h>

#include <limits.h>

#include <lz4.h>
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include "internal.h"
#include "protect.h"
#include "read.h"

#define WHERE "chunk"

struct resume_sealed_chunk resume_sealed_chunk(const struct resume_sealed *image, uint64_t index)
{
    const struct resume_sealed_header *header = image->header;
    const uint8_t *entry = image->structures + header->part[RESUME_SEALED_PART_INDEX] +
                           index * RESUME_SEALED_INDEX_SIZE;
    const uint64_t content = index * header->chunk_pages;
    const uint64_t rest = header->content - content;
    struct resume_sealed_chunk chunk = {
        .offset = resume_load_le64(entry + RESUME_SEALED_INDEX_OFFSET),
        .content = content,
        .stored = resume_load_le32(entry + RESUME_SEALED_INDEX_STORED),
        .pages = rest < header->chunk_pages ? (uint32_t)rest : header->chunk_pages,
        .tag = entry + RESUME_SEALED_INDEX_TAG};
    chunk.compressed = chunk.stored != chunk.pages * RESUME_SEALED_PAGE;
    return chunk;
}

static int fail(struct resume_diag *diag, int err, const char *field, uint64_t index,
                uint64_t found, uint64_t expected)
{
    return resume_fail(diag, err, WHERE, field, index, found, expected, RESUME_NO_VCPU);
}

int resume_sealed_chunk_read(const struct resume_sealed *image, uint64_t index,
                             const struct resume_sealed_source *source, void *stored,
                             size_t capacity, struct resume_diag *diag)
{
    if (index >= image->header->chunks)
        return fail(diag, RESUME_EINVAL, "number", index, index, image->header->chunks);
    const struct resume_sealed_chunk chunk = resume_sealed_chunk(image, index);
    if (capacity < chunk.stored)
        return fail(diag, RESUME_ENOSPC, "memory", index, capacity, chunk.stored);
    return read_all(source, chunk.offset, stored, chunk.stored, WHERE, diag);
}

/* Into exactly @length bytes. Returns whether it did. */
static bool decompress(uint32_t compression, const uint8_t *from, size_t stored, uint8_t *to,
                       size_t length, void *work)
{
    if (compression == RESUME_SEALED_LZ4) {
        int got = LZ4_decompress_safe((const char *)from, (char *)to, (int)stored, (int)length);
        return got >= 0 && (size_t)got == length;
    }
    ZSTD_DCtx *context = ZSTD_initStaticDCtx(work, RESUME_SEALED_WORK);
    if (context == NULL)
        return false;
    return ZSTD_decompressDCtx(context, to, length, from, stored) == length;
}

int resume_sealed_chunk_open(const struct resume_sealed *image, uint64_t index, void *stored,
                             void *pages, size_t capacity, void *work, const uint8_t **ret_pages,
                             struct resume_diag *diag)
{
    const struct resume_sealed_header *header = image->header;
    if (index >= header->chunks)
        return fail(diag, RESUME_EINVAL, "number", index, index, header->chunks);
    const struct resume_sealed_chunk chunk = resume_sealed_chunk(image, index);
    const size_t plain = (size_t)chunk.pages * RESUME_SEALED_PAGE;
    if (chunk.compressed && (pages == NULL || capacity < plain))
        return fail(diag, RESUME_ENOSPC, "memory", index, capacity, plain);
    if (chunk.compressed && header->compression == RESUME_SEALED_ZSTD && work == NULL)
        return fail(diag, RESUME_EINVAL, "working memory", index, 0, RESUME_SEALED_WORK);
    uint8_t aad[RESUME_SEALED_AAD];
    const struct resume_sealed_run run =
        resume_sealed_run(image, resume_sealed_find(image, chunk.content));
    protect_chunk_aad(aad, header->raw + RESUME_SEALED_HEADER_SALT, index, header->chunks,
                      run.page + (chunk.content - run.content), chunk.pages, chunk.stored);
    if (!protect_remove(image->method, image->chunk_key, PROTECT_CHUNK, index, aad, sizeof(aad),
                        stored, chunk.stored, chunk.tag))
        return fail(diag, header->protection == RESUME_SEALED_CHECKSUM ? RESUME_ECRC : RESUME_EAUTH,
                    "tag", index, 0, 0);
    if (!chunk.compressed) {
        *ret_pages = stored;
        return RESUME_OK;
    }
    if (!decompress(header->compression, stored, chunk.stored, pages, plain, work)) {
        resume_sealed_wipe(pages, plain);
        resume_sealed_wipe(stored, chunk.stored);
        return fail(diag, RESUME_EDATA, "compressed data", index, chunk.stored, plain);
    }
    *ret_pages = pages;
    return RESUME_OK;
}
