/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Where the stream has the guest's pages. A stream has the pages of a block in order, so that a few
 * extents say it for all; and what lies together is read at once.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "seal_private.h"

#define WHERE "the snapshot's stream"

/* A page and the entry's 8 bytes before it, when these do not name a block. */
#define STREAM_STRIDE (RESUME_SEALED_PAGE + 8u)

/* What lies between two pages and is read with them, at most: some entries of pages that are zero. */
#define GAP_MAX 1024u

/* Pages that one call reads, at most. There is a gap before each but the first one. */
#define BATCH 128u

/* Room for one more. */
static bool grow(void **array, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return true;
    const size_t wanted = *room == 0 ? 64 : 2 * *room;
    void *larger = wanted > SIZE_MAX / size ? NULL : realloc(*array, wanted * size);
    if (larger == NULL)
        return false;
    *array = larger;
    *room = wanted;
    return true;
}

int seal_places_add(struct seal *seal, struct seal_area *area, uint64_t page,
                    const struct stream_event *event)
{
    struct seal_extent *last = area->extents > 0 ? &area->extent[area->extents - 1] : NULL;
    const uint64_t next = last != NULL ? last->page + last->count : 0;
    if (event->kind != STREAM_PAGE || page < next) {
        if (!grow((void **)&seal->stray, seal->strays, &seal->stray_room, sizeof(*seal->stray)))
            return report_fail_memory(seal->failure, SEAL_WHAT);
        seal->stray[seal->strays] = (struct seal_stray){.bit = area->bit + page,
                                                        .offset = event->data_offset,
                                                        .order = seal->strays,
                                                        .filled = event->kind != STREAM_PAGE,
                                                        .fill = event->fill};
        seal->strays++;
        return 0;
    }
    if (last != NULL && page == next &&
        event->data_offset == last->offset + last->count * STREAM_STRIDE) {
        last->count++;
        return 0;
    }
    if (!grow((void **)&area->extent, area->extents, &area->room, sizeof(*area->extent)))
        return report_fail_memory(seal->failure, SEAL_WHAT);
    area->extent[area->extents++] =
        (struct seal_extent){.page = page, .count = 1, .offset = event->data_offset};
    return 0;
}

static int by_bit(const void *left, const void *right)
{
    const struct seal_stray *a = left;
    const struct seal_stray *b = right;
    if (a->bit != b->bit)
        return a->bit < b->bit ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

void seal_places_end(struct seal *seal)
{
    size_t kept = 0;
    if (seal->strays == 0)
        return;
    qsort(seal->stray, seal->strays, sizeof(*seal->stray), by_bit);
    for (size_t i = 0; i < seal->strays; i++) {
        if (kept > 0 && seal->stray[kept - 1].bit == seal->stray[i].bit)
            kept--;
        seal->stray[kept++] = seal->stray[i];
    }
    seal->strays = kept;
}

void seal_places_free(struct seal *seal)
{
    for (uint32_t i = 0; i < seal->area_count; i++)
        free(seal->area[i].extent);
    free(seal->stray);
}

void seal_skip(const struct seal *seal, struct seal_cursor *cursor, uint32_t count)
{
    const struct seal_area *area = NULL;
    uint64_t page = 0;
    while (count > 0 && seal_next(seal, cursor, &area, &page))
        count--;
}

/* The extent that has a page which no stray has. */
static const struct seal_extent *find_extent(const struct seal_area *area, uint64_t page)
{
    size_t low = 0;
    size_t high = area->extents;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (area->extent[middle].page <= page)
            low = middle;
        else
            high = middle;
    }
    return &area->extent[low];
}

static const struct seal_stray *find_stray(const struct seal *seal, uint64_t bit)
{
    size_t low = 0;
    size_t high = seal->strays;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (seal->stray[middle].bit < bit)
            low = middle + 1;
        else
            high = middle;
    }
    return low < seal->strays && seal->stray[low].bit == bit ? &seal->stray[low] : NULL;
}

/* Pieces of the stream, one after the other, that are read at once. */
struct batch {
    uint64_t begin; /* in the stream */
    uint64_t end;
    unsigned count;
    struct iovec piece[2 * BATCH];
    uint8_t gap[GAP_MAX];
};

static int flush(const struct seal *seal, struct batch *batch, struct report_failure *failure)
{
    struct iovec *piece = batch->piece;
    uint64_t at = batch->begin;
    while (at < batch->end) {
        ssize_t got = preadv(seal->stream_fd, piece, (int)batch->count, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return report_fail_errno(failure, errno, SEAL_WHAT, WHERE);
        if (got == 0)
            return report_fail(failure, EXIT_CODE_REFUSED, SEAL_WHAT, WHERE,
                               "take the snapshot again", "it has become shorter");
        at += (uint64_t)got;
        for (size_t rest = (size_t)got; rest > 0;) {
            const size_t taken = rest < piece->iov_len ? rest : piece->iov_len;
            piece->iov_base = (uint8_t *)piece->iov_base + taken;
            piece->iov_len -= taken;
            rest -= taken;
            if (piece->iov_len == 0) {
                piece++;
                batch->count--;
            }
        }
    }
    batch->count = 0;
    batch->begin = batch->end = 0;
    return 0;
}

static int read_at(const struct seal *seal, struct batch *batch, uint64_t offset, uint8_t *out,
                   struct report_failure *failure)
{
    if (batch->count + 2 > 2 * BATCH || offset < batch->end || offset - batch->end > GAP_MAX) {
        int result = flush(seal, batch, failure);
        if (result != 0)
            return result;
    }
    if (batch->count == 0)
        batch->begin = offset;
    else if (offset > batch->end)
        batch->piece[batch->count++] =
            (struct iovec){.iov_base = batch->gap, .iov_len = (size_t)(offset - batch->end)};
    batch->piece[batch->count++] = (struct iovec){.iov_base = out, .iov_len = RESUME_SEALED_PAGE};
    batch->end = offset + RESUME_SEALED_PAGE;
    return 0;
}

int seal_places_read(const struct seal *seal, struct seal_cursor *cursor, uint32_t count,
                     uint8_t *out, uint32_t *ret_count, uint64_t *ret_page,
                     struct report_failure *failure)
{
    struct batch batch;
    const struct seal_area *area = NULL;
    uint64_t page = 0;
    uint32_t done = 0;
    int result = 0;
    batch.count = 0;
    batch.begin = batch.end = 0;
    for (; result == 0 && done < count && seal_next(seal, cursor, &area, &page); done++) {
        uint8_t *to = out + (size_t)done * RESUME_SEALED_PAGE;
        const struct seal_stray *stray = find_stray(seal, area->bit + page);
        if (done == 0)
            *ret_page = area->page + page;
        if (stray != NULL && stray->filled) {
            memset(to, stray->fill, RESUME_SEALED_PAGE);
        } else if (stray != NULL) {
            result = read_at(seal, &batch, stray->offset, to, failure);
        } else {
            const struct seal_extent *extent = find_extent(area, page);
            result = read_at(seal, &batch, extent->offset + (page - extent->page) * STREAM_STRIDE,
                             to, failure);
        }
    }
    if (result == 0)
        result = flush(seal, &batch, failure);
    *ret_count = done;
    return result;
}
