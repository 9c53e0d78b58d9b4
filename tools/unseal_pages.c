/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The pages of an image as entries of a stream: first those that are zero, then the chunks, some at a
 * time opened by as many threads. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "sealed.h"
#include "unseal_private.h"

/* A chunk in work. */
struct job {
    uint64_t number;
    uint8_t *stored;
    uint8_t *pages;
    uint8_t *work;
    uint8_t *entries;
    size_t length; /* of the entries */
    int result;
    struct report_failure failure;
};

struct batch {
    const struct unsealing *unsealing;
    unsigned count;
    atomic_uint next;
    struct job job[SEALED_THREADS];
};

static int add_area(struct unsealing *unsealing, const struct manifest_range *range, uint64_t page,
                    uint64_t count)
{
    uint32_t blocks = 0;
    const struct stream_block *list = stream_blocks(&unsealing->stream, &blocks);
    const uint32_t block = stream_block_find(&unsealing->stream, range->block);
    const uint64_t offset = range->offset + (page * RESUME_SEALED_PAGE - range->base_pa);
    if (block == UINT32_MAX || offset % RESUME_SEALED_PAGE != 0 || offset > list[block].length ||
        count > (list[block].length - offset) / RESUME_SEALED_PAGE)
        return report_fail(unsealing->failure, EXIT_CODE_REFUSED, UNSEAL_WHAT,
                           unsealing->unseal->path, "seal the snapshot again",
                           "memory map: RAM block \"%s\" of the device part does not have the "
                           "guest's memory at 0x%" PRIx64,
                           range->block, page * RESUME_SEALED_PAGE);
    unsealing->area[unsealing->area_count++] = (struct unseal_area){
        .page = page, .count = count, .offset = offset / RESUME_SEALED_PAGE, .block = block};
    return 0;
}

int unseal_areas(struct unsealing *unsealing)
{
    const struct resume_sealed *image = &unsealing->unseal->image;
    const struct manifest *manifest = unsealing->manifest;
    uint32_t at = 0;
    int result = 0;
    /* Each step ends a range of one of the two lists. */
    unsealing->area =
        calloc((size_t)image->map_count + manifest->range_count, sizeof(*unsealing->area));
    if (unsealing->area == NULL)
        return report_fail_memory(unsealing->failure, UNSEAL_WHAT);
    for (uint64_t i = 0; result == 0 && i < image->map_count; i++) {
        const struct resume_sealed_run map = resume_sealed_map(image, i);
        uint64_t page = map.page;
        const uint64_t end = map.page + map.count;
        while (result == 0 && page < end) {
            const uint64_t pa = page * RESUME_SEALED_PAGE;
            while (at < manifest->range_count && manifest->range[at].base_pa <= pa &&
                   pa - manifest->range[at].base_pa >= manifest->range[at].length)
                at++;
            const struct manifest_range *range = &manifest->range[at];
            const bool found = at < manifest->range_count && range->base_pa <= pa &&
                               range->kind == MANIFEST_RANGE_RAM;
            const uint64_t rest =
                found ? (range->length - (pa - range->base_pa)) / RESUME_SEALED_PAGE : 0;
            if (rest == 0)
                return report_fail(unsealing->failure, EXIT_CODE_REFUSED, UNSEAL_WHAT,
                                   unsealing->unseal->path, "seal the snapshot again",
                                   "memory map: the facts for the host have no RAM at 0x%" PRIx64,
                                   pa);
            const uint64_t count = rest < end - page ? rest : end - page;
            result = add_area(unsealing, range, page, count);
            page += count;
        }
    }
    return result;
}

const struct unseal_area *unseal_area_of(const struct unsealing *unsealing, uint64_t page)
{
    uint32_t low = 0;
    uint32_t high = unsealing->area_count;
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (unsealing->area[middle].page <= page)
            low = middle;
        else
            high = middle;
    }
    return &unsealing->area[low];
}

size_t unseal_entry(const struct unsealing *unsealing, const struct unseal_area *area,
                    uint64_t page, uint32_t last, const uint8_t *content, uint8_t *out)
{
    uint64_t word = (area->offset + (page - area->page)) * RESUME_SEALED_PAGE;
    size_t at = 8;
    word |= content != NULL ? STREAM_RAM_PAGE : STREAM_RAM_ZERO;
    if (area->block == last) {
        word |= STREAM_RAM_CONTINUE;
    } else {
        uint32_t count = 0;
        const char *name = stream_blocks(&unsealing->stream, &count)[area->block].name;
        const size_t length = strlen(name);
        out[at++] = (uint8_t)length;
        memcpy(out + at, name, length);
        at += length;
    }
    for (unsigned i = 0; i < 8; i++)
        out[i] = (uint8_t)(word >> (56 - 8 * i));
    if (content == NULL) {
        out[at++] = 0;
        return at;
    }
    memcpy(out + at, content, RESUME_SEALED_PAGE);
    return at + RESUME_SEALED_PAGE;
}

/* Opens a chunk, and makes entries of its pages. */
static int unpack(const struct unsealing *unsealing, struct job *job)
{
    const struct unseal *unseal = unsealing->unseal;
    const struct resume_sealed *image = &unseal->image;
    const size_t capacity = (size_t)image->header->chunk_pages * RESUME_SEALED_PAGE;
    const struct resume_sealed_chunk chunk = resume_sealed_chunk(image, job->number);
    const uint8_t *pages = NULL;
    struct resume_diag diag;
    memset(&diag, 0, sizeof(diag));
    int error =
        resume_sealed_chunk_read(image, job->number, &unseal->source, job->stored, capacity, &diag);
    if (error == RESUME_OK)
        error = resume_sealed_chunk_open(image, job->number, job->stored, job->pages, capacity,
                                         job->work, &pages, &diag);
    if (error != RESUME_OK)
        return sealed_fail(&job->failure, error, &diag, UNSEAL_WHAT, unseal->path);
    uint64_t at = resume_sealed_find(image, chunk.content);
    struct resume_sealed_run run = resume_sealed_run(image, at);
    uint64_t in = chunk.content - run.content;
    uint32_t last = UINT32_MAX;
    job->length = 0;
    for (uint32_t i = 0; i < chunk.pages; i++, in++) {
        if (in == run.count) {
            run = resume_sealed_run(image, ++at);
            in = 0;
        }
        const struct unseal_area *area = unseal_area_of(unsealing, run.page + in);
        job->length +=
            unseal_entry(unsealing, area, run.page + in, last,
                         pages + (size_t)i * RESUME_SEALED_PAGE, job->entries + job->length);
        last = area->block;
    }
    return 0;
}

static void *work(void *context)
{
    struct batch *batch = context;
    for (;;) {
        const unsigned at = atomic_fetch_add(&batch->next, 1);
        if (at >= batch->count)
            return NULL;
        batch->job[at].result = unpack(batch->unsealing, &batch->job[at]);
    }
}

static int write_chunks(struct unsealing *unsealing, struct batch *batch, unsigned threads)
{
    const struct resume_sealed_header *header = unsealing->unseal->image.header;
    for (uint64_t done = 0; done < header->chunks; done += batch->count) {
        const uint64_t rest = header->chunks - done;
        batch->count = rest < threads ? (unsigned)rest : threads;
        atomic_store(&batch->next, 0);
        for (unsigned i = 0; i < batch->count; i++)
            batch->job[i].number = done + i;
        sealed_run(batch->count, work, batch);
        for (unsigned i = 0; i < batch->count; i++) {
            const struct job *job = &batch->job[i];
            if (job->result != 0) {
                *unsealing->failure = job->failure;
                return job->result;
            }
            int result = unseal_put(unsealing, job->entries, job->length);
            if (result != 0)
                return result;
        }
        progress_step_update(unsealing->progress, done + batch->count, header->chunks);
    }
    return 0;
}

static int unpack_chunks(struct unsealing *unsealing)
{
    const uint32_t pages = unsealing->unseal->image.header->chunk_pages;
    const size_t size = (size_t)pages * RESUME_SEALED_PAGE;
    const size_t entries = (size_t)pages * UNSEAL_ENTRY_MAX;
    const unsigned threads = sealed_threads(2 * size + entries + RESUME_SEALED_WORK);
    struct batch *batch = calloc(1, sizeof(*batch));
    bool made = batch != NULL;
    for (unsigned i = 0; made && i < threads; i++) {
        struct job *job = &batch->job[i];
        job->stored = malloc(size);
        job->pages = malloc(size);
        job->entries = malloc(entries);
        job->work = aligned_alloc(16, RESUME_SEALED_WORK);
        made =
            job->stored != NULL && job->pages != NULL && job->entries != NULL && job->work != NULL;
    }
    int result = 0;
    if (made) {
        batch->unsealing = unsealing;
        result = write_chunks(unsealing, batch, threads);
    } else {
        result = report_fail_memory(unsealing->failure, UNSEAL_WHAT);
    }
    for (unsigned i = 0; batch != NULL && i < threads; i++) {
        free(batch->job[i].stored);
        free(batch->job[i].pages);
        free(batch->job[i].entries);
        free(batch->job[i].work);
    }
    free(batch);
    return result;
}

/* The pages of the memory map that are in no run. */
static int write_zeroes(struct unsealing *unsealing)
{
    const struct resume_sealed *image = &unsealing->unseal->image;
    uint8_t entries[64 * 1024];
    size_t length = 0;
    uint64_t at = 0;
    uint32_t last = UINT32_MAX;
    int result = 0;
    for (uint32_t i = 0; i < unsealing->area_count; i++) {
        const struct unseal_area *area = &unsealing->area[i];
        uint64_t page = area->page;
        while (result == 0 && page < area->page + area->count) {
            struct resume_sealed_run run = {0};
            while (at < image->run_count) {
                run = resume_sealed_run(image, at);
                if (page < run.page + run.count)
                    break;
                at++;
            }
            if (at < image->run_count && page >= run.page) {
                page = run.page + run.count;
                continue;
            }
            length += unseal_entry(unsealing, area, page, last, NULL, entries + length);
            last = area->block;
            page++;
            if (length > sizeof(entries) - UNSEAL_ENTRY_MAX) {
                result = unseal_put(unsealing, entries, length);
                length = 0;
            }
        }
    }
    return result == 0 ? unseal_put(unsealing, entries, length) : result;
}

int unseal_pages(struct unsealing *unsealing)
{
    int result = write_zeroes(unsealing);
    return result == 0 ? unpack_chunks(unsealing) : result;
}
