/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "load_work.h"

#include "io.h"
#include "runtime.h"

#define PAGE ((uint64_t)RESUME_SEALED_PAGE)
#define STACK_USED                                                                                 \
    4096 /* docs/INTEGRATION.md: what opening a chunk takes, and the functions here */

/* ---- Who does what: handed out under a lock, piece by piece ---- */

enum piece_kind { NOTHING, CHUNK, CLEAR };

struct piece {
    enum piece_kind kind;
    struct load_slot *slot; /* CHUNK */
    uint64_t chunk;
    uint64_t frame; /* CLEAR */
    uint64_t pages;
};

static void lock(struct load *load)
{
    while (atomic_exchange_explicit(&load->lock, 1, memory_order_acquire) != 0) {
        cpu_pause();
    }
}

static void unlock(struct load *load)
{
    atomic_store_explicit(&load->lock, 0, memory_order_release);
}

static int take_chunk(struct load *load, struct piece *out)
{
    if (load->chunk_next == load->chunk_end) {
        const struct load_slot *slot = &load->slots[load->taken % load->slot_count];

        if (load->taken == load->ready) {
            return 0;
        }
        load->chunk_next = slot->first;
        load->chunk_end = slot->end;
        load->taken++;
    }
    *out = (struct piece){.kind = CHUNK,
                          .slot = &load->slots[(load->taken - 1) % load->slot_count],
                          .chunk = load->chunk_next++};
    return 1;
}

static int take_clear(struct load *load, struct piece *out)
{
    const struct resume_page_run *run = &load->plan->clear[load->clear_index];
    uint64_t pages;

    if (load->clear_index == load->plan->clear_count) {
        return 0;
    }
    pages = run->count - load->clear_done;
    if (pages > LOAD_CLEAR_PAGES) {
        pages = LOAD_CLEAR_PAGES;
    }
    *out = (struct piece){.kind = CLEAR, .frame = run->first + load->clear_done, .pages = pages};
    load->clear_done += pages;
    if (load->clear_done == run->count) {
        load->clear_done = 0;
        load->clear_index++;
    }
    return 1;
}

/* Returns 0 when nothing is left, now and for good. */
static int take(struct load *load, struct piece *out)
{
    int more = 1;

    *out = (struct piece){.kind = NOTHING};
    lock(load);
    if (load_work_failed(load)) {
        more = 0;
    } else if (!take_chunk(load, out) && !take_clear(load, out)) {
        more = !load->finished;
    }
    unlock(load);
    return more;
}

void load_work_offer(struct load *load)
{
    load->batch++;
    lock(load);
    load->ready = load->batch;
    unlock(load);
}

void load_work_finish(struct load *load, int failed)
{
    lock(load);
    load->finished = 1;
    unlock(load);
    if (failed) {
        atomic_store(&load->failed, 1);
    }
}

int load_work_failed(const struct load *load)
{
    return atomic_load_explicit(&load->failed, memory_order_relaxed) != 0;
}

static void fail(struct load *load, int err, const struct resume_diag *diag)
{
    lock(load);
    if (load->err == RESUME_OK) {
        load->err = err;
        load->diag = *diag;
    }
    unlock(load);
    atomic_store(&load->failed, 1);
}

/* ---- Where pages belong ---- */

/* Where all pages of a chunk belong, if these are consecutive frames, and not the home's. */
static uint8_t *whole_place(const struct load *load, const struct resume_sealed_chunk *chunk)
{
    const struct resume_sealed *sealed = &load->image->sealed;
    const struct resume_sealed_run run =
        resume_sealed_run(sealed, resume_sealed_find(sealed, chunk->content));
    const uint64_t into = chunk->content - run.content;
    struct resume_placement_spot spot;

    if (run.count - into < chunk->pages ||
        resume_placement_locate(load->plan, run.page + into, chunk->pages, &spot) != RESUME_OK ||
        spot.pages < chunk->pages || spot.where == RESUME_PLACEMENT_DROPPED) {
        return NULL;
    }
    return (uint8_t *)(spot.frame << RESUME_PAGE_SHIFT);
}

uint8_t *load_work_direct(const struct load *load, const struct resume_sealed_chunk *chunk)
{
    /* Where every chunk is stored as it is, all begin at a page. */
    if (load->image->header.compression != RESUME_SEALED_NONE) {
        return NULL;
    }
    return whole_place(load, chunk);
}

/* @pages: those of the chunk. */
static int put_pages(const struct load *load, const struct resume_sealed_chunk *chunk,
                     const uint8_t *pages)
{
    const struct resume_sealed *sealed = &load->image->sealed;
    uint64_t index = resume_sealed_find(sealed, chunk->content);
    uint64_t done = 0;

    while (done < chunk->pages) {
        const struct resume_sealed_run run = resume_sealed_run(sealed, index);
        const uint64_t into = chunk->content + done - run.content;
        const uint64_t left = chunk->pages - done;
        struct resume_placement_spot spot;
        uint64_t wanted = run.count - into;
        int err;

        if (wanted == 0) {
            index++;
            continue;
        }
        wanted = wanted < left ? wanted : left;
        err = resume_placement_locate(load->plan, run.page + into, wanted, &spot);
        if (err != RESUME_OK) {
            return err;
        }
        if (spot.where != RESUME_PLACEMENT_DROPPED) {
            memcpy((void *)(spot.frame << RESUME_PAGE_SHIFT), pages + done * PAGE,
                   (size_t)(spot.pages * PAGE));
        }
        done += spot.pages;
    }
    return RESUME_OK;
}

/* ---- The work ---- */

static int open_chunk(struct load *load, struct load_worker *worker, const struct piece *piece,
                      struct resume_diag *diag)
{
    const struct resume_sealed *sealed = &load->image->sealed;
    const struct resume_sealed_chunk chunk = resume_sealed_chunk(sealed, piece->chunk);
    uint8_t *stored = piece->slot->bytes + (chunk.offset - piece->slot->offset);
    uint8_t *place = whole_place(load, &chunk);
    const uint8_t *pages = NULL;
    int err = resume_sealed_chunk_open(sealed, piece->chunk, stored,
                                       place != NULL ? place : worker->pages, load->chunk_bytes,
                                       worker->work, &pages, diag);

    if (err == RESUME_OK && pages != place) {
        err = put_pages(load, &chunk, pages);
    }
    if (err == RESUME_OK) {
        atomic_fetch_add_explicit(&load->pages_done, chunk.pages, memory_order_relaxed);
    }
    return err;
}

/* Memory that is zero already is only read: on most hosts such memory has not even been allocated. */
static void clear(uint64_t frame, uint64_t pages)
{
    for (uint64_t i = 0; i < pages; i++) {
        uint64_t *words = (uint64_t *)((frame + i) << RESUME_PAGE_SHIFT);
        uint64_t found = 0;

        for (uint32_t at = 0; at < PAGE / sizeof(words[0]) && found == 0; at += 8) {
            found = words[at] | words[at + 1] | words[at + 2] | words[at + 3] | words[at + 4] |
                    words[at + 5] | words[at + 6] | words[at + 7];
        }
        if (found != 0) {
            memset(words, 0, PAGE);
        }
    }
}

static void do_piece(struct load *load, struct load_worker *worker, const struct piece *piece)
{
    struct resume_diag diag = {0};
    int err;

    if (piece->kind == CLEAR) {
        clear(piece->frame, piece->pages);
        return;
    }
    err = open_chunk(load, worker, piece, &diag);
    if (err != RESUME_OK) {
        fail(load, err, &diag);
    }
    atomic_fetch_sub_explicit(&piece->slot->left, 1, memory_order_release);
}

int load_work_one(struct load *load, struct load_worker *worker)
{
    struct piece piece;

    take(load, &piece);
    if (piece.kind == NOTHING) {
        return 0;
    }
    do_piece(load, worker, &piece);
    return 1;
}

__attribute__((noinline)) void load_work_wipe_stack(void)
{
    uint8_t below[STACK_USED];

    resume_sealed_wipe(below, sizeof(below));
}

void EFIAPI load_work_processor(void *argument)
{
    struct load *load = argument;
    const uint32_t number = 1 + atomic_fetch_add(&load->joined, 1);
    struct piece piece;

    if (number >= load->worker_count) {
        return;
    }
    while (take(load, &piece)) {
        if (piece.kind == NOTHING) {
            cpu_pause();
        } else {
            do_piece(load, &load->workers[number], &piece);
        }
    }
    load_work_wipe_stack();
}
