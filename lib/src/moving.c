/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <resume/moving.h>

#include "internal.h"
#include "moving_map.h"
#include "paging_entry.h"
#include "placement_sweep.h"

#define FRAMES_BELOW_1_MIB (UINT64_C(1) << 8)
#define FRAMES_BELOW_4_GIB (UINT64_C(1) << 20)
#define LARGE_FRAMES UINT64_C(512) /* of a 2 MiB page */
#define RIGHTS (RESUME_MAP_WRITE | RESUME_MAP_EXEC)

/* ---- Stretches of RAM: ranges of either kind that touch, taken together ---- */

struct stretches {
    const struct resume_frames *frames;
    uint32_t count;
    uint32_t next;
};

/* The next one into @first and @end. Returns 0 when there is none. */
static int next_stretch(struct stretches *from, uint64_t *first, uint64_t *end)
{
    int found = 0;

    for (; from->next < from->count; from->next++) {
        const struct resume_frames *range = &from->frames[from->next];

        if (range->kind == RESUME_FRAME_UNUSABLE) {
            continue;
        }
        if (found && range->first != *end) {
            break;
        }
        if (!found) {
            *first = range->first;
        }
        *end = range->first + range->count;
        found = 1;
    }
    return found;
}

/* Are all frames of [first, end) RAM? */
static int all_ram(const struct resume_moving *moving, uint64_t first, uint64_t end)
{
    struct stretches ram = {moving->frames, moving->frames_count, 0};
    uint64_t ram_first;
    uint64_t ram_end;

    while (next_stretch(&ram, &ram_first, &ram_end)) {
        if (first >= ram_first && end <= ram_end) {
            return 1;
        }
    }
    return 0;
}

/* ---- How many tables ---- */

/* Entries of 2 MiB that need a table of 4 KiB pages: where a stretch covers a part only. */
static uint64_t count_page_tables(const struct resume_frames *frames, uint32_t count)
{
    struct stretches ram = {frames, count, 0};
    uint64_t counted = UINT64_MAX;
    uint64_t total = 0;
    uint64_t first;
    uint64_t end;

    while (next_stretch(&ram, &first, &end)) {
        if (first % LARGE_FRAMES != 0 && first / LARGE_FRAMES != counted) {
            counted = first / LARGE_FRAMES;
            total++;
        }
        if (end % LARGE_FRAMES != 0 && end / LARGE_FRAMES != counted) {
            counted = end / LARGE_FRAMES;
            total++;
        }
    }
    return total;
}

/* Tables of @level, 2 or higher: one wherever there is RAM in what it spans. */
static uint64_t count_upper_tables(const struct resume_frames *frames, uint32_t count,
                                   uint32_t level)
{
    const unsigned shift = 9u * level;
    struct stretches ram = {frames, count, 0};
    uint64_t beyond = 0; /* the first that is not counted yet */
    uint64_t total = 0;
    uint64_t first;
    uint64_t end;

    while (next_stretch(&ram, &first, &end)) {
        const uint64_t from = first >> shift > beyond ? first >> shift : beyond;

        if (((end - 1) >> shift) >= from) {
            total += ((end - 1) >> shift) + 1 - from;
        }
        beyond = ((end - 1) >> shift) + 1;
    }
    return total;
}

static uint64_t count_tables(const struct resume_placement_input *input,
                             const struct resume_home *home, uint32_t levels)
{
    uint64_t total = 1 + count_page_tables(input->frames, input->frames_count);

    for (uint32_t level = 2; level < levels; level++) {
        total += count_upper_tables(input->frames, input->frames_count, level);
    }
    /* The home at its guest address, and the local APIC, wherever they are. */
    return total + resume_paging_map_bound(home->length, levels) +
           resume_paging_map_bound(RESUME_PAGE_SIZE, levels);
}

/* ---- Areas ---- */

static uint64_t list_pages(uint32_t steps)
{
    const uint64_t length = (uint64_t)steps * sizeof(struct resume_placement_step);
    const uint64_t pages = (length + RESUME_PAGE_SIZE - 1) >> RESUME_PAGE_SHIFT;

    return pages == 0 ? 1 : pages;
}

int resume_moving_areas(const struct resume_guest *guest,
                        const struct resume_placement_input *input,
                        struct resume_placement_area out[RESUME_MOVING_AREAS],
                        struct resume_diag *diag)
{
    struct resume_placement_area areas[RESUME_MOVING_AREAS] = {
        [RESUME_MOVING_STARTUP] = {1, FRAMES_BELOW_1_MIB, 0, 0},
        [RESUME_MOVING_STAGING] = {1, FRAMES_BELOW_4_GIB, 0, 0},
        [RESUME_MOVING_TABLES] = {1, FRAMES_BELOW_4_GIB, RESUME_PLACEMENT_LAST, 0},
        [RESUME_MOVING_STEPS] = {1, RESUME_FRAMES_END, 0, 0},
        [RESUME_MOVING_FINAL] = {1, RESUME_FRAMES_END, RESUME_PLACEMENT_LAST, 0},
    };
    struct resume_placement_bound bound;
    struct resume_placement_input with_areas;
    const struct resume_home *home;
    int err;

    if (guest == NULL || input == NULL || out == NULL) {
        return RESUME_EINVAL;
    }
    home = &guest->plan.home;
    if (input->home.first != home->pa >> RESUME_PAGE_SHIFT ||
        input->home.count != home->length >> RESUME_PAGE_SHIFT) {
        return resume_fail(diag, RESUME_EINVAL, "moving", "home",
                           input->home.first << RESUME_PAGE_SHIFT, input->home.count,
                           home->length >> RESUME_PAGE_SHIFT, RESUME_NO_VCPU);
    }
    with_areas = *input;
    with_areas.areas = areas;
    with_areas.area_count = RESUME_MOVING_AREAS;
    /* The first call also checks what the counting of tables relies on. */
    err = resume_placement_bound_compute(&with_areas, &bound, diag);
    if (err != RESUME_OK) {
        return err;
    }
    if (input->frames_count > 0 && input->frames[0].first == 0 &&
        input->frames[0].kind == RESUME_FRAME_FREE) {
        return resume_fail(diag, RESUME_EINVAL, "moving", "frame 0", 0, RESUME_FRAME_FREE,
                           RESUME_FRAME_FIRMWARE, RESUME_NO_VCPU);
    }
    areas[RESUME_MOVING_STAGING].pages = guest->staging.length >> RESUME_PAGE_SHIFT;
    areas[RESUME_MOVING_TABLES].pages = count_tables(input, home, guest->set.levels);
    areas[RESUME_MOVING_STEPS].pages = list_pages(bound.steps);
    err = resume_placement_bound_compute(&with_areas, &bound, diag);
    if (err != RESUME_OK) {
        return err;
    }
    areas[RESUME_MOVING_FINAL].pages = list_pages(bound.final);
    memcpy(out, areas, sizeof(areas));
    return RESUME_OK;
}

void resume_moving_from_plan(const struct resume_placement_input *input,
                             const struct resume_placement *plan, uint8_t *tables,
                             struct resume_moving *out)
{
    memset(out, 0, sizeof(*out));
    out->steps.steps = plan->area[RESUME_MOVING_STEPS] << RESUME_PAGE_SHIFT;
    out->steps.count = plan->step_count;
    out->final.steps = plan->area[RESUME_MOVING_FINAL] << RESUME_PAGE_SHIFT;
    out->final.count = plan->final_count;
    out->last = &plan->last;
    out->frames = input->frames;
    out->frames_count = input->frames_count;
    out->tables_pa = plan->area[RESUME_MOVING_TABLES] << RESUME_PAGE_SHIFT;
    out->tables_pages = input->areas[RESUME_MOVING_TABLES].pages;
    out->tables = tables;
}

/* ---- What image and transit map ---- */

int resume_moving_is_sound(const struct resume_moving *moving)
{
    if (moving->last == NULL || moving->last->count > RESUME_PLACEMENT_LAST_STEPS ||
        (moving->frames == NULL && moving->frames_count != 0)) {
        return 0;
    }
    for (uint32_t i = 0; i < moving->frames_count; i++) {
        if (moving->frames[i].count == 0 ||
            !resume_range_within(moving->frames[i].first, moving->frames[i].count,
                                 RESUME_FRAMES_END)) {
            return 0;
        }
    }
    return 1;
}

int resume_moving_clashes(const struct resume_moving *moving, const struct resume_home *home,
                          uint64_t *ret_at)
{
    struct stretches ram = {moving->frames, moving->frames_count, 0};
    uint64_t first;
    uint64_t end;

    if (home->va == home->pa) {
        return 0; /* one mapping, which serves both */
    }
    while (next_stretch(&ram, &first, &end)) {
        const uint64_t start = first << RESUME_PAGE_SHIFT;

        if (home->va < end << RESUME_PAGE_SHIFT &&
            (home->va >= start || start - home->va < home->length)) {
            *ret_at = home->va > start ? home->va : start;
            return 1;
        }
    }
    return 0;
}

static int map_frames(struct resume_paging_builder *builder, uint64_t first, uint64_t end,
                      struct resume_diag *diag)
{
    const uint64_t start = first << RESUME_PAGE_SHIFT;

    return resume_paging_map(builder, start, start, (end - first) << RESUME_PAGE_SHIFT, RIGHTS,
                             diag);
}

int resume_moving_map_ram(const struct resume_moving *moving, struct resume_paging_builder *builder,
                          struct resume_diag *diag)
{
    struct stretches ram = {moving->frames, moving->frames_count, 0};
    uint64_t first;
    uint64_t end;
    int err = RESUME_OK;

    while (err == RESUME_OK && next_stretch(&ram, &first, &end)) {
        err = map_frames(builder, first, end, diag);
    }
    return err;
}

/* One range of a last step, 2 MiB by 2 MiB. */
static int map_generously(const struct resume_moving *moving, uint64_t first, uint64_t pages,
                          struct resume_paging_builder *builder, struct resume_diag *diag)
{
    uint64_t end;
    int err = RESUME_OK;

    if (pages == 0 || !resume_range_within(first, pages, RESUME_FRAMES_END) ||
        !all_ram(moving, first, first + pages)) {
        return resume_fail(diag, RESUME_ECONFLICT, "image", "last", first << RESUME_PAGE_SHIFT,
                           pages, 0, RESUME_NO_VCPU);
    }
    for (end = first + pages; err == RESUME_OK && first < end;) {
        const uint64_t large = first - first % LARGE_FRAMES;
        const uint64_t behind = large + LARGE_FRAMES;
        const uint64_t stop = end < behind ? end : behind;

        err = all_ram(moving, large, behind) ? map_frames(builder, large, behind, diag)
                                             : map_frames(builder, first, stop, diag);
        if (err == RESUME_ENOSPC) {
            return resume_fail(diag, RESUME_ENOSPC, "image", "last", first << RESUME_PAGE_SHIFT,
                               builder->arena->used, builder->arena->page_count, RESUME_NO_VCPU);
        }
        first = stop;
    }
    return err;
}

int resume_moving_map_last(const struct resume_moving *moving,
                           struct resume_paging_builder *builder, struct resume_diag *diag)
{
    int err = RESUME_OK;

    for (uint32_t i = 0; err == RESUME_OK && i < moving->last->count; i++) {
        const struct resume_placement_step *step = &moving->last->steps[i];

        err = map_generously(moving, step->destination, step->pages, builder, diag);
        if (err == RESUME_OK && step->source != RESUME_PLACEMENT_ZERO) {
            err = map_generously(moving, step->source, step->pages, builder, diag);
        }
    }
    return err;
}
