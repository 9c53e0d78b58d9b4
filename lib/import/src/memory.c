/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE UINT64_C(4096)

static void *page_of(void *ctx, resume_pa_t pa)
{
    struct import_pages *pages = ctx;
    uint64_t number = pa / PAGE;
    unsigned slot = 0;
    for (unsigned i = 0; i < IMPORT_PAGES; i++) {
        if (pages->at[i] == number + 1) {
            pages->used[i] = ++pages->clock;
            return pages->bytes + i * PAGE;
        }
        if (pages->used[i] < pages->used[slot])
            slot = i;
    }
    uint8_t *page = pages->bytes + slot * PAGE;
    pages->at[slot] = 0;
    pages->used[slot] = ++pages->clock;
    if (pages->read(pages->ctx, number * PAGE, page) != 0)
        return NULL;
    pages->at[slot] = number + 1;
    return page;
}

int import_pages_open(struct import_pages *pages, import_page_reader *read, void *ctx,
                      struct resume_phys *out, struct resume_import_error *error)
{
    if (pages->bytes == NULL) {
        pages->bytes = aligned_alloc(PAGE, IMPORT_PAGES * PAGE);
        if (pages->bytes == NULL)
            return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET,
                               "memory", "", "no memory");
    }
    pages->read = read;
    pages->ctx = ctx;
    *out = (struct resume_phys){.page = page_of, .ctx = pages};
    return 0;
}

void import_pages_close(struct import_pages *pages)
{
    free(pages->bytes);
    memset(pages, 0, sizeof(*pages));
}

int import_spans_read(const struct import_file *file, const struct import_span *spans, size_t count,
                      uint64_t pa, uint8_t *page)
{
    size_t low = 0;
    size_t high = count;
    int found = -1;
    /* The first span that ends behind the page's begin. */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (spans[middle].pa + spans[middle].length > pa)
            high = middle;
        else
            low = middle + 1;
    }
    memset(page, 0, PAGE);
    for (; low < count && spans[low].pa < pa + PAGE; low++) {
        const struct import_span *span = &spans[low];
        uint64_t from = span->pa > pa ? span->pa : pa;
        uint64_t end = span->pa + span->length;
        end = end < pa + PAGE ? end : pa + PAGE;
        if (import_read(file, span->offset + (from - span->pa), page + (from - pa),
                        (size_t)(end - from), NULL) != 0)
            return -1;
        found = 0;
    }
    return found;
}

static int compare(const void *left, const void *right)
{
    const struct import_span *a = left;
    const struct import_span *b = right;
    return a->pa < b->pa ? -1 : a->pa > b->pa;
}

int import_spans_sort(struct import_span *spans, size_t count)
{
    if (count > 1)
        qsort(spans, count, sizeof(*spans), compare);
    for (size_t i = 0; i < count; i++) {
        /* Room for a page behind the end keeps all later sums from wrapping. */
        if (spans[i].length > UINT64_MAX - PAGE - spans[i].pa)
            return -1;
        if (i > 0 && spans[i - 1].pa + spans[i - 1].length > spans[i].pa)
            return -1;
    }
    return 0;
}

void import_spans_ranges(const struct import_span *spans, size_t count, struct resume_machine *out)
{
    out->range_count = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t begin = (spans[i].pa + PAGE - 1) / PAGE * PAGE;
        uint64_t end = (spans[i].pa + spans[i].length) / PAGE * PAGE;
        struct resume_range *last = &out->range[out->range_count - (out->range_count != 0)];
        if (end <= begin)
            continue;
        if (out->range_count != 0 && last->base_pa + last->length == begin)
            last->length += end - begin;
        else if (out->range_count < RESUME_RANGE_MAX)
            out->range[out->range_count++] =
                (struct resume_range){.base_pa = begin, .length = end - begin};
        else
            return;
    }
}
