/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Where a page goes before ExitBootServices: its own frame, unless a step brings it there later. */
#include <resume/placement.h>

#include "internal.h"

/* The first move whose destination ends behind @page. */
static uint32_t search_moves(const struct resume_placement *plan, uint64_t page)
{
    uint32_t low = 0;
    uint32_t high = plan->move_count;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const struct resume_placement_step *move = &plan->steps[middle];

        if (move->destination + move->pages <= page) {
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

static void cut_at_move(const struct resume_placement_step *move, uint64_t page,
                        struct resume_placement_spot *spot)
{
    if (move->source != RESUME_PLACEMENT_ZERO && cut(move->destination, move->pages, page, spot)) {
        spot->where = RESUME_PLACEMENT_BOUNCED;
        spot->frame = move->source + (page - move->destination);
    }
}

int resume_placement_locate(const struct resume_placement *plan, uint64_t page, uint64_t pages,
                            struct resume_placement_spot *out)
{
    struct resume_placement_spot spot = {page, pages, RESUME_PLACEMENT_IN_PLACE, 0};
    uint32_t next;

    if (plan == NULL || out == NULL || pages == 0 ||
        !resume_range_within(page, pages, RESUME_FRAMES_END)) {
        return RESUME_EINVAL;
    }
    next = search_moves(plan, page);
    if (next < plan->move_count) {
        cut_at_move(&plan->steps[next], page, &spot);
    }
    for (uint32_t i = 0; i < plan->final.count && i < RESUME_PLACEMENT_FINAL; i++) {
        cut_at_move(&plan->final.steps[i], page, &spot);
    }
    if (cut(plan->home.first, plan->home.count, page, &spot)) {
        spot.where = RESUME_PLACEMENT_DROPPED;
        spot.frame = page;
    }
    *out = spot;
    return RESUME_OK;
}
