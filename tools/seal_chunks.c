/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The chunks: some at a time are read, compressed and encrypted by as many threads, and written in
 * order. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <lz4.h>
#include <zstd.h>

#include "seal_private.h"
#include "sealed.h"
#include "splice.h"

#define ZSTD_LEVEL 1

/* A chunk in work. */
struct job {
    uint64_t number;
    uint64_t page; /* guest-physical, of its first page */
    uint32_t pages;
    uint32_t stored;
    uint8_t *plain;
    uint8_t *packed;
    const uint8_t *data; /* what is to be stored: one of the two */
    uint8_t tag[RESUME_SEALED_TAG];
    bool failed; /* the compressor */
};

struct batch {
    const struct seal *seal;
    const uint8_t *salt;
    unsigned count;
    atomic_uint next;
    struct job job[SEALED_THREADS];
};

static void pack(const struct seal *seal, const uint8_t *salt, struct job *job)
{
    const size_t plain = (size_t)job->pages * RESUME_SEALED_PAGE;
    size_t length = 0;
    /* Room for one byte less: what does not get shorter is stored as it is. */
    if (seal->options->compression == RESUME_SEALED_LZ4) {
        int got = LZ4_compress_default((const char *)job->plain, (char *)job->packed, (int)plain,
                                       (int)plain - 1);
        length = got > 0 ? (size_t)got : 0;
    } else if (seal->options->compression == RESUME_SEALED_ZSTD) {
        size_t got = ZSTD_compress(job->packed, plain - 1, job->plain, plain, ZSTD_LEVEL);
        length = ZSTD_isError(got) ? 0 : got;
    }
    uint8_t *data = length != 0 ? job->packed : job->plain;
    uint8_t aad[RESUME_SEALED_AAD];
    job->stored = (uint32_t)(length != 0 ? length : plain);
    job->data = data;
    protect_chunk_aad(aad, salt, job->number, seal->chunks, job->page, job->pages, job->stored);
    protect_apply(seal->method, seal->keys.chunks, PROTECT_CHUNK, job->number, aad, sizeof(aad),
                  data, job->stored, job->tag);
}

static void *work(void *context)
{
    struct batch *batch = context;
    for (;;) {
        unsigned at = atomic_fetch_add(&batch->next, 1);
        if (at >= batch->count)
            return NULL;
        pack(batch->seal, batch->salt, &batch->job[at]);
    }
}

/* Reads the pages of the next chunk. */
static int fill(struct seal *seal, struct seal_cursor *cursor, struct job *job)
{
    const struct seal_area *area = NULL;
    uint64_t page = 0;
    struct stream_error error;
    memset(&error, 0, sizeof(error));
    job->pages = 0;
    while (job->pages < seal->options->chunk_pages && seal_next(seal, cursor, &area, &page)) {
        if (job->pages == 0)
            job->page = area->page + page;
        if (ram_read_page(&seal->ram, area->block, (area->offset + page) * RESUME_SEALED_PAGE,
                          job->plain + (size_t)job->pages * RESUME_SEALED_PAGE, &error) != 0)
            return splice_report(seal->failure, &error, SEAL_WHAT, "the snapshot's stream");
        job->pages++;
    }
    return 0;
}

static int write_job(struct seal *seal, const struct job *job)
{
    uint8_t *entry = seal->index + job->number * RESUME_SEALED_INDEX_SIZE;
    seal_put(entry + RESUME_SEALED_INDEX_OFFSET, seal->out.position, 8);
    seal_put(entry + RESUME_SEALED_INDEX_STORED, job->stored, 4);
    memcpy(entry + RESUME_SEALED_INDEX_TAG, job->tag, RESUME_SEALED_TAG);
    return seal_output_append(&seal->out, job->data, job->stored, seal->failure);
}

static int run(struct seal *seal, struct batch *batch, unsigned threads)
{
    struct seal_cursor cursor = {0};
    uint64_t done = 0;
    int result = 0;
    while (result == 0 && done < seal->chunks) {
        batch->count = 0;
        atomic_store(&batch->next, 0);
        while (result == 0 && batch->count < threads && done + batch->count < seal->chunks) {
            struct job *job = &batch->job[batch->count];
            job->number = done + batch->count;
            result = fill(seal, &cursor, job);
            batch->count++;
        }
        if (result != 0)
            break;
        sealed_run(batch->count, work, batch);
        for (unsigned i = 0; result == 0 && i < batch->count; i++)
            result = write_job(seal, &batch->job[i]);
        done += batch->count;
        progress_step_update(seal->options->progress,
                             done * seal->options->chunk_pages * RESUME_SEALED_PAGE,
                             seal->content * RESUME_SEALED_PAGE);
    }
    return result;
}

int seal_chunks(struct seal *seal)
{
    const size_t size = (size_t)seal->options->chunk_pages * RESUME_SEALED_PAGE;
    const unsigned threads = sealed_threads(2 * size);
    struct batch *batch = calloc(1, sizeof(*batch));
    bool made = batch != NULL;
    for (unsigned i = 0; made && i < threads; i++) {
        batch->job[i].plain = malloc(size);
        batch->job[i].packed = malloc(size);
        made = batch->job[i].plain != NULL && batch->job[i].packed != NULL;
    }
    int result = 0;
    if (made) {
        batch->seal = seal;
        batch->salt = seal->header + RESUME_SEALED_HEADER_SALT;
        result = run(seal, batch, threads);
    } else {
        result = report_fail_memory(seal->failure, SEAL_WHAT);
    }
    for (unsigned i = 0; batch != NULL && i < threads; i++) {
        free(batch->job[i].plain);
        free(batch->job[i].packed);
    }
    free(batch);
    return result;
}
