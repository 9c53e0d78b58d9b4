/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Where a page goes before ExitBootServices: its own frame, unless a step brings it there later. */
#include <resume/placement.h>

#include "internal.h"

/* The first of ascending steps whose destination ends behind @page. */
static uint32_t search(const struct resume_placement_step *steps, uint32_t count, uint64_t page)
{
    uint32_t low = 0;
    uint32_t high = count;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;

        if (steps[middle].destination + steps[middle].pages <= page) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/*
 * [first, first + count) is a place where pages do not go to their own frames. Cuts the spot where
 * that begins or ends. Returns 1 when @page is in it.
 */
static int cut(uint64_t first, uint64_t count, uint64_t page, struct resume_placement_spot *spot)
{
    uint64_t change = first;
    const int inside = page >= first && page - first < count;

    if (inside) {
        change = first + count;
    } else if (page >= first) {
        return 0;
    }
    if (change - page < spot->pages) {
        spot->pages = change - page;
    }
    return inside;
}

static void cut_at(const struct resume_placement_step *move, uint64_t page,
                   struct resume_placement_spot *spot)
{
    if (cut(move->destination, move->pages, page, spot) && move->source != RESUME_PLACEMENT_ZERO) {
        spot->where = RESUME_PLACEMENT_BOUNCED;
        spot->frame = move->source + (page - move->destination);
    }
}

static void cut_at_first(const struct resume_placement_step *steps, uint32_t count, uint64_t page,
                         struct resume_placement_spot *spot)
{
    const uint32_t next = search(steps, count, page);

    if (next < count) {
        cut_at(&steps[next], page, spot);
    }
}

int resume_placement_locate(const struct resume_placement *plan, uint64_t page, uint64_t pages,
                            struct resume_placement_spot *out)
{
    struct resume_placement_spot spot = {page, pages, RESUME_PLACEMENT_IN_PLACE, 0};

    if (plan == NULL || out == NULL || pages == 0 ||
        !resume_range_within(page, pages, RESUME_FRAMES_END)) {
        return RESUME_EINVAL;
    }
    cut_at_first(plan->steps, plan->move_count, page, &spot);
    cut_at_first(plan->final, plan->final_count, page, &spot);
    for (uint32_t i = 0; i < plan->last.count && i < RESUME_PLACEMENT_LAST_STEPS; i++) {
        cut_at(&plan->last.steps[i], page, &spot);
    }
    if (cut(plan->home.first, plan->home.count, page, &spot)) {
        spot.where = RESUME_PLACEMENT_DROPPED;
        spot.frame = page;
    }
    *out = spot;
    return RESUME_OK;
}
