/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The firmware's memory map, sorted, merged and without overlaps. Each range becomes two edges; in
 * their order, a count for each kind says what a frame is claimed to be.
 */
#include <resume/placement.h>

#include "internal.h"

#define MEMORY_END (RESUME_FRAMES_END << RESUME_PAGE_SHIFT)
#define KINDS 3u

/* An edge is kept in a range of the output: `first` is where, `kind` whose, `count` 1 at a start. */
static int edge_before(const struct resume_frames *left, const struct resume_frames *right)
{
    return left->first < right->first;
}

static void sift(struct resume_frames *edges, uint32_t root, uint32_t count)
{
    for (;;) {
        uint32_t child = root;

        /* Children are 2 * root + 1 and + 2; that they exist is asked without overflow. */
        if (root < count / 2) {
            const uint32_t left = 2 * root + 1;

            if (left < count && edge_before(&edges[child], &edges[left])) {
                child = left;
            }
            if (left + 1 < count && edge_before(&edges[child], &edges[left + 1])) {
                child = left + 1;
            }
        }
        if (child == root) {
            return;
        }
        {
            const struct resume_frames swap = edges[root];

            edges[root] = edges[child];
            edges[child] = swap;
        }
        root = child;
    }
}

static void sort(struct resume_frames *edges, uint32_t count)
{
    for (uint32_t i = count / 2; i > 0; i--) {
        sift(edges, i - 1, count);
    }
    for (uint32_t last = count; last > 1; last--) {
        const struct resume_frames top = edges[0];

        edges[0] = edges[last - 1];
        edges[last - 1] = top;
        sift(edges, 0, last - 1);
    }
}

static int refuse(struct resume_diag *diag, int err, const char *field,
                  const struct resume_frames_descriptor *descriptor, uint64_t found)
{
    return resume_fail(diag, err, "memory map", field, descriptor->start, found, MEMORY_END,
                       RESUME_NO_VCPU);
}

static uint32_t worst(const uint32_t *claims)
{
    if (claims[RESUME_FRAME_UNUSABLE] != 0) {
        return RESUME_FRAME_UNUSABLE;
    }
    if (claims[RESUME_FRAME_FIRMWARE] != 0) {
        return RESUME_FRAME_FIRMWARE;
    }
    return claims[RESUME_FRAME_FREE] != 0 ? RESUME_FRAME_FREE : RESUME_FRAME_UNUSABLE;
}

/* From edges to ranges, in the same memory: with edge i at hand, at most i ranges are written. */
static uint32_t merge(struct resume_frames *out, uint32_t edges)
{
    uint32_t claims[KINDS] = {0};
    uint64_t at = 0;
    uint32_t count = 0;

    for (uint32_t i = 0; i < edges; i++) {
        const struct resume_frames edge = out[i];
        const uint32_t kind = worst(claims);

        if (kind != RESUME_FRAME_UNUSABLE && edge.first != at) {
            struct resume_frames *last = count > 0 ? &out[count - 1] : NULL;

            if (last != NULL && last->kind == kind && last->first + last->count == at) {
                last->count += edge.first - at;
            } else {
                const struct resume_frames range = {at, edge.first - at, kind, 0};

                out[count++] = range;
            }
        }
        at = edge.first;
        if (edge.count != 0) {
            claims[edge.kind]++;
        } else {
            claims[edge.kind]--;
        }
    }
    return count;
}

int resume_frames_from_descriptors(const struct resume_frames_descriptor *descriptors,
                                   uint32_t count, struct resume_frames *out, uint32_t capacity,
                                   uint32_t *ret_count, struct resume_diag *diag)
{
    uint32_t edges = 0;

    if ((descriptors == NULL && count != 0) || out == NULL || ret_count == NULL) {
        return RESUME_EINVAL;
    }
    if (count > capacity / 2) {
        return resume_fail(diag, RESUME_ENOSPC, "memory map", "ranges", 0, capacity,
                           UINT64_C(2) * count, RESUME_NO_VCPU);
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct resume_frames_descriptor *d = &descriptors[i];
        const uint64_t first = d->start >> RESUME_PAGE_SHIFT;

        if (d->kind >= KINDS) {
            return refuse(diag, RESUME_EINVAL, "kind", d, d->kind);
        }
        if (!resume_aligned(d->start, RESUME_PAGE_SIZE)) {
            return refuse(diag, RESUME_EINVAL, "start", d, d->start);
        }
        if (!resume_range_within(first, d->pages, RESUME_FRAMES_END)) {
            return refuse(diag, RESUME_ELENGTH, "pages", d, d->pages);
        }
        if (d->pages != 0) {
            const struct resume_frames start = {first, 1, d->kind, 0};
            const struct resume_frames end = {first + d->pages, 0, d->kind, 0};

            out[edges++] = start;
            out[edges++] = end;
        }
    }
    sort(out, edges);
    *ret_count = merge(out, edges);
    return RESUME_OK;
}
