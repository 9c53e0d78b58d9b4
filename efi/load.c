/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "load.h"

#include "console.h"
#include "io.h"
#include "load_work.h"
#include "memory.h"
#include "processors.h"
#include "runtime.h"

#define PAGE ((uint64_t)RESUME_SEALED_PAGE)

static uint64_t page_down(uint64_t offset)
{
    return offset & ~(PAGE - 1);
}

static uint64_t page_up(uint64_t offset)
{
    return page_down(offset + PAGE - 1);
}

/* ---- Memory ---- */

EFI_STATUS load_allocate(EFI_SYSTEM_TABLE *system, struct image *image, uint64_t processors,
                         struct load *load)
{
    const uint64_t chunk = image->header.chunk_pages * PAGE;
    const uint64_t slot = (chunk > LOAD_READ ? chunk : LOAD_READ) + 2 * PAGE;
    const uint64_t worker = chunk + page_up(RESUME_SEALED_WORK);
    uint64_t at;
    EFI_STATUS status;

    memset(load, 0, sizeof(*load));
    load->image = image;
    load->chunk_bytes = chunk;
    load->worker_count = processors < LOAD_WORKERS ? (uint32_t)processors : LOAD_WORKERS;
    load->slot_count = 2 + load->worker_count / 2;
    if (load->slot_count > LOAD_SLOTS) {
        load->slot_count = LOAD_SLOTS;
    }
    while (load->slot_count > 2 && load->slot_count * slot > LOAD_MEMORY) {
        load->slot_count--;
    }
    load->memory_length = load->slot_count * slot + load->worker_count * worker;
    status = memory_allocate_data(system, load->memory_length, &load->memory_pa);
    if (status != EFI_SUCCESS) {
        load->memory_pa = 0;
        console_line("refused: memory: no %u bytes to load through (status %x)",
                     load->memory_length, (uint64_t)status);
        return status;
    }
    at = load->memory_pa;
    for (uint32_t i = 0; i < load->slot_count; i++) {
        load->slots[i].own = (uint8_t *)at;
        at += slot;
    }
    for (uint32_t i = 0; i < load->worker_count; i++) {
        load->workers[i].pages = (uint8_t *)at;
        load->workers[i].work = (uint8_t *)at + chunk;
        at += worker;
    }
    return EFI_SUCCESS;
}

void load_free(EFI_SYSTEM_TABLE *system, struct load *load)
{
    if (load->memory_pa != 0) {
        memory_free(system, load->memory_pa, load->memory_length);
    }
    resume_sealed_wipe(load, sizeof(*load));
    load_work_wipe_stack();
}

/* ---- Reading ---- */

/* Which chunks are read at once, and to where. */
struct batch {
    uint64_t first;
    uint64_t end;
    uint64_t file_end; /* offset behind the last one */
    uint8_t *place;    /* where they all belong, or NULL: into the slot */
};

static void extend(const struct load *load, struct batch *batch, uint64_t begin)
{
    const struct resume_sealed *sealed = &load->image->sealed;

    for (; batch->end < load->image->header.chunks; batch->end++) {
        const struct resume_sealed_chunk chunk = resume_sealed_chunk(sealed, batch->end);
        const uint64_t end = chunk.offset + chunk.stored;
        uint8_t *place = load_work_direct(load, &chunk);

        if (batch->end == batch->first) {
            batch->place = place;
        } else if (end - begin > LOAD_READ ||
                   place != (batch->place == NULL ? NULL : batch->place + (chunk.offset - begin))) {
            return;
        }
        batch->file_end = end;
    }
}

/* Reads the next chunks into a slot that is free. */
static EFI_STATUS fill(struct load *load, struct load_slot *slot)
{
    struct image *image = load->image;
    const struct resume_sealed_chunk chunk = resume_sealed_chunk(&image->sealed, load->read_next);
    const uint64_t begin = page_down(chunk.offset);
    struct batch batch = {load->read_next, load->read_next, 0, NULL};
    uint8_t *to = slot->own;
    uint64_t until;
    EFI_STATUS status;

    extend(load, &batch, begin);
    if (batch.place != NULL) {
        to = batch.place;
    }
    /* Whole pages, but for the image's end; what belongs to the next chunk is kept for it. */
    until = page_up(batch.file_end);
    if (until > image->header.total) {
        until = image->header.total;
    }
    memcpy(to + (load->position - load->carried - begin), load->carry, (size_t)load->carried);
    status = image_source_read(&image->source, load->position, to + (load->position - begin),
                               until - load->position);
    if (status != EFI_SUCCESS) {
        return status;
    }
    load->position = until;
    load->carried = until - batch.file_end;
    memcpy(load->carry, to + (batch.file_end - begin), (size_t)load->carried);
    load->read_next = batch.end;
    slot->bytes = to;
    slot->offset = begin;
    slot->first = batch.first;
    slot->end = batch.end;
    atomic_store_explicit(&slot->left, batch.end - batch.first, memory_order_release);
    load_work_offer(load);
    return EFI_SUCCESS;
}

static uint64_t memory_done(const struct load *load)
{
    return atomic_load_explicit(&load->pages_done, memory_order_relaxed) * PAGE;
}

static uint64_t image_done(const struct load *load)
{
    return load->position - load->image->header.data;
}

static void show(struct load *load)
{
    progress_update(&load->progress, memory_done(load), image_done(load));
}

/* All that the processor with the firmware does: read when there is room, else work like the others. */
static EFI_STATUS read_and_work(struct load *load)
{
    const uint64_t chunks = load->image->header.chunks;
    EFI_STATUS status = EFI_SUCCESS;

    while (status == EFI_SUCCESS && load->read_next < chunks && !load_work_failed(load)) {
        struct load_slot *slot = &load->slots[load->batch % load->slot_count];

        if (atomic_load_explicit(&slot->left, memory_order_acquire) == 0) {
            status = fill(load, slot);
        } else if (!load_work_one(load, &load->workers[0])) {
            cpu_pause();
        }
        show(load);
    }
    load_work_finish(load, status != EFI_SUCCESS);
    while (load_work_one(load, &load->workers[0])) {
        show(load);
    }
    return status;
}

static int all_done(const struct load *load)
{
    for (uint32_t i = 0; i < load->slot_count; i++) {
        if (atomic_load_explicit(&load->slots[i].left, memory_order_acquire) != 0) {
            return 0;
        }
    }
    return 1;
}

static void report(struct load *load, uint32_t workers)
{
    const uint64_t memory = memory_done(load);
    const uint64_t read = image_done(load);
    const uint64_t passed = progress_end(&load->progress, memory, read);

    console_line("loaded: %u bytes of memory from %u bytes of the image in %u ms on %u processors: "
                 "%u MB/s of memory, %u MB/s of the image",
                 memory, read, passed, (uint64_t)workers, memory / passed / 1000,
                 read / passed / 1000);
}

EFI_STATUS load_run(EFI_SYSTEM_TABLE *system, struct load *load,
                    const struct resume_placement *plan)
{
    const struct resume_sealed_header *header = &load->image->header;
    struct processors_team team;
    uint32_t workers = 1;
    int started;
    EFI_STATUS status;

    /* It would end a program that a boot manager has started after five minutes. */
    system->BootServices->SetWatchdogTimer(0, 0, 0, NULL);
    load->plan = plan;
    load->position = header->data;
    progress_begin(&load->progress, system, header->content * PAGE);
    console_line("loading: %u bytes of memory from %u bytes of the image, %u bytes at a time from "
                 "the %s %s",
                 header->content * PAGE, header->data_length, LOAD_READ,
                 image_source_name(&load->image->source), load->image->source.what);
    started = load->worker_count > 1 && processors_start(system, load_work_processor, load, &team);
    status = read_and_work(load);
    if (started) {
        processors_join(&team);
    }
    workers += atomic_load(&load->joined);
    if (workers > load->worker_count) {
        workers = load->worker_count;
    }
    if (status == EFI_SUCCESS && !load_work_failed(load) && all_done(load)) {
        report(load, workers);
        return EFI_SUCCESS;
    }
    progress_end(&load->progress, memory_done(load), image_done(load));
    if (status != EFI_SUCCESS) {
        image_source_complain(&load->image->source);
        return status;
    }
    return image_refuse(load->image, load->err, &load->diag);
}
