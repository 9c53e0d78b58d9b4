/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The chunks: each thread reads one, compresses and encrypts it, and writes it behind the one
 * before. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <lz4.h>
#include <zstd.h>

#include "seal_private.h"
#include "sealed.h"

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
};

/* What the threads share. A failure ends all of them. */
struct works {
    struct seal *seal;
    pthread_mutex_t taking; /* of the next two */
    struct seal_cursor cursor;
    uint64_t next;           /* chunk to be read */
    pthread_mutex_t writing; /* of the output's position, the progress, and the members below */
    pthread_cond_t turned;
    uint64_t turn; /* chunk that gets its place next */
    int result;
};

static void pack(const struct seal *seal, struct job *job)
{
    const uint8_t *salt = seal->header + RESUME_SEALED_HEADER_SALT;
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

static void fail(struct works *works, int result, const struct report_failure *failure)
{
    pthread_mutex_lock(&works->writing);
    if (works->result == 0) {
        works->result = result;
        *works->seal->failure = *failure;
    }
    pthread_cond_broadcast(&works->turned);
    pthread_mutex_unlock(&works->writing);
}

/* Reads the pages of the next chunk. 1: there is none. */
static int take(struct works *works, struct job *job, struct report_failure *failure)
{
    const struct seal *seal = works->seal;
    const uint32_t pages = seal->options->chunk_pages;
    pthread_mutex_lock(&works->taking);
    struct seal_cursor cursor = works->cursor;
    job->number = works->next;
    if (job->number < seal->chunks) {
        works->next++;
        seal_skip(seal, &works->cursor, pages);
    }
    pthread_mutex_unlock(&works->taking);
    if (job->number == seal->chunks)
        return 1;
    return seal_places_read(seal, &cursor, pages, job->plain, &job->pages, &job->page, failure);
}

/* Finds the chunk's place, when it is its turn, and writes it while others do so too. 1: another one
 * has failed. */
static int put(struct works *works, const struct job *job, struct report_failure *failure)
{
    struct seal *seal = works->seal;
    const uint64_t chunk = (uint64_t)seal->options->chunk_pages * RESUME_SEALED_PAGE;
    uint8_t *entry = seal->index + job->number * RESUME_SEALED_INDEX_SIZE;
    pthread_mutex_lock(&works->writing);
    while (works->result == 0 && works->turn != job->number)
        pthread_cond_wait(&works->turned, &works->writing);
    const bool failed = works->result != 0;
    const uint64_t offset = seal->out.position;
    if (!failed) {
        seal->out.position += job->stored;
        works->turn++;
        progress_step_update(seal->options->progress, works->turn * chunk,
                             seal->content * RESUME_SEALED_PAGE);
        pthread_cond_broadcast(&works->turned);
    }
    pthread_mutex_unlock(&works->writing);
    if (failed)
        return 1;
    seal_put(entry + RESUME_SEALED_INDEX_OFFSET, offset, 8);
    seal_put(entry + RESUME_SEALED_INDEX_STORED, job->stored, 4);
    memcpy(entry + RESUME_SEALED_INDEX_TAG, job->tag, RESUME_SEALED_TAG);
    return seal_output_write(&seal->out, offset, job->data, job->stored, failure);
}

static void *work(void *context)
{
    struct works *works = context;
    const size_t size = (size_t)works->seal->options->chunk_pages * RESUME_SEALED_PAGE;
    struct report_failure failure = {0};
    struct job job = {.plain = malloc(size), .packed = malloc(size)};
    int result = 0;
    if (job.plain == NULL || job.packed == NULL)
        result = report_fail_memory(&failure, SEAL_WHAT);
    while (result == 0) {
        result = take(works, &job, &failure);
        if (result == 0) {
            pack(works->seal, &job);
            result = put(works, &job, &failure);
        }
    }
    if (result < 0)
        fail(works, result, &failure);
    free(job.plain);
    free(job.packed);
    return NULL;
}

int seal_chunks(struct seal *seal)
{
    const size_t size = (size_t)seal->options->chunk_pages * RESUME_SEALED_PAGE;
    struct works works = {.seal = seal};
    pthread_mutex_init(&works.taking, NULL);
    pthread_mutex_init(&works.writing, NULL);
    pthread_cond_init(&works.turned, NULL);
    sealed_run(sealed_threads(2 * size), work, &works);
    pthread_cond_destroy(&works.turned);
    pthread_mutex_destroy(&works.writing);
    pthread_mutex_destroy(&works.taking);
    return works.result;
}
