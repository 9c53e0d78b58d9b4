/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "placement_sweep.h"

#include "internal.h"

/* ---- Is the input what it should be? ---- */

static int in_bounds(uint64_t first, uint64_t count)
{
    return count != 0 && resume_range_within(first, count, RESUME_FRAMES_END);
}

static int refuse(struct resume_diag *diag, const char *field, uint64_t page, uint64_t found)
{
    return resume_fail(diag, RESUME_EINVAL, "placement", field, page << RESUME_PAGE_SHIFT, found, 0,
                       RESUME_NO_VCPU);
}

static int check_runs(const struct resume_page_run *runs, uint32_t count, const char *field,
                      struct resume_diag *diag)
{
    uint64_t end = 0;

    if (runs == NULL && count != 0) {
        return refuse(diag, field, 0, 0);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!in_bounds(runs[i].first, runs[i].count) || runs[i].first < end) {
            return refuse(diag, field, runs[i].first, i);
        }
        end = runs[i].first + runs[i].count;
    }
    return RESUME_OK;
}

static int check_frames(const struct resume_placement_input *input, struct resume_diag *diag)
{
    uint64_t end = 0;

    if (input->frames == NULL && input->frames_count != 0) {
        return refuse(diag, "frames", 0, 0);
    }
    for (uint32_t i = 0; i < input->frames_count; i++) {
        const struct resume_frames *range = &input->frames[i];

        if (!in_bounds(range->first, range->count) || range->first < end ||
            range->kind > RESUME_FRAME_FIRMWARE) {
            return refuse(diag, "frames", range->first, i);
        }
        end = range->first + range->count;
    }
    return RESUME_OK;
}

static int check_areas(const struct resume_placement_input *input, struct resume_diag *diag)
{
    if (input->area_count > RESUME_PLACEMENT_AREAS ||
        (input->areas == NULL && input->area_count != 0)) {
        return refuse(diag, "areas", 0, input->area_count);
    }
    for (uint32_t i = 0; i < input->area_count; i++) {
        const struct resume_placement_area *area = &input->areas[i];

        if (!in_bounds(0, area->pages) || area->below > RESUME_FRAMES_END ||
            (area->flags & ~RESUME_PLACEMENT_LAST) != 0) {
            return refuse(diag, "areas", area->below, i);
        }
    }
    return RESUME_OK;
}

/* Are all pages of @run in RAM? @ram_next moves on with ascending runs. */
static int in_ram(const struct resume_placement_input *input, struct resume_page_run run,
                  uint32_t *ram_next)
{
    const uint64_t end = run.first + run.count;
    uint64_t at = run.first;

    for (; *ram_next < input->ram_count; ++*ram_next) {
        const struct resume_page_run *ram = &input->ram[*ram_next];
        const uint64_t ram_end = ram->first + ram->count;

        if (ram->first > at) {
            return 0;
        }
        if (ram_end >= end) {
            return 1;
        }
        if (ram_end > at) {
            at = ram_end;
        }
    }
    return 0;
}

int resume_placement_input_check(const struct resume_placement_input *input,
                                 struct resume_diag *diag)
{
    uint32_t ram_next = 0;
    int err;

    if (input == NULL) {
        return refuse(diag, "input", 0, 0);
    }
    err = check_frames(input, diag);
    if (err == RESUME_OK) {
        err = check_runs(input->ram, input->ram_count, "ram", diag);
    }
    if (err == RESUME_OK) {
        err = check_runs(input->content, input->content_count, "content", diag);
    }
    if (err == RESUME_OK) {
        err = check_areas(input, diag);
    }
    if (err != RESUME_OK) {
        return err;
    }
    for (uint32_t i = 0; i < input->content_count; i++) {
        if (!in_ram(input, input->content[i], &ram_next)) {
            return refuse(diag, "content", input->content[i].first, i);
        }
    }
    ram_next = 0;
    if (input->home.count != 0 && (!in_bounds(input->home.first, input->home.count) ||
                                   !in_ram(input, input->home, &ram_next))) {
        return refuse(diag, "home", input->home.first, input->home.count);
    }
    return RESUME_OK;
}

/* ---- The sweep ---- */

/* The first of the runs that ends behind @page. */
static uint32_t search_runs(const struct resume_page_run *runs, uint32_t count, uint64_t page)
{
    uint32_t low = 0;
    uint32_t high = count;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;

        if (runs[middle].first + runs[middle].count <= page) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static uint32_t search_frames(const struct resume_frames *frames, uint32_t count, uint64_t frame)
{
    uint32_t low = 0;
    uint32_t high = count;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;

        if (frames[middle].first + frames[middle].count <= frame) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void resume_placement_sweep_begin(struct placement_sweep *sweep,
                                  const struct resume_placement_input *input,
                                  const struct placement_reserved *reserved, uint64_t first,
                                  uint64_t end)
{
    sweep->input = input;
    sweep->reserved = reserved;
    sweep->at = first;
    sweep->end = end;
    sweep->frames_next = search_frames(input->frames, input->frames_count, first);
    sweep->ram_next = search_runs(input->ram, input->ram_count, first);
    sweep->content_next = search_runs(input->content, input->content_count, first);
    sweep->reserved_next =
        reserved == NULL ? 0 : search_runs(reserved->runs, reserved->count, first);
}

/* Is @at in [first, first + count), which it is not behind? Cuts @end where that changes. */
static int within(uint64_t first, uint64_t count, uint64_t at, uint64_t *end)
{
    const uint64_t change = at < first ? first : first + count;

    if (change < *end) {
        *end = change;
    }
    return at >= first;
}

static int within_runs(const struct resume_page_run *runs, uint32_t count, uint32_t *next,
                       uint64_t at, uint64_t *end)
{
    while (*next < count && runs[*next].first + runs[*next].count <= at) {
        ++*next;
    }
    return *next < count && within(runs[*next].first, runs[*next].count, at, end);
}

static uint32_t kind_at(struct placement_sweep *sweep, uint64_t *end)
{
    const struct resume_frames *frames = sweep->input->frames;
    uint32_t *next = &sweep->frames_next;

    while (*next < sweep->input->frames_count &&
           frames[*next].first + frames[*next].count <= sweep->at) {
        ++*next;
    }
    if (*next < sweep->input->frames_count &&
        within(frames[*next].first, frames[*next].count, sweep->at, end)) {
        return frames[*next].kind;
    }
    return RESUME_FRAME_UNUSABLE;
}

static uint32_t destiny_at(struct placement_sweep *sweep, uint64_t *end)
{
    const struct resume_placement_input *input = sweep->input;
    const struct resume_page_run *home = &input->home;

    if (home->count != 0 && sweep->at < home->first + home->count &&
        within(home->first, home->count, sweep->at, end)) {
        return PLACEMENT_HOME;
    }
    if (within_runs(input->content, input->content_count, &sweep->content_next, sweep->at, end)) {
        return PLACEMENT_CONTENT;
    }
    if (within_runs(input->ram, input->ram_count, &sweep->ram_next, sweep->at, end)) {
        return PLACEMENT_ZERO;
    }
    return PLACEMENT_BEYOND;
}

int resume_placement_sweep_next(struct placement_sweep *sweep, struct placement_segment *out)
{
    while (sweep->at < sweep->end) {
        uint64_t end = sweep->end;

        out->first = sweep->at;
        out->kind = kind_at(sweep, &end);
        out->destiny = destiny_at(sweep, &end);
        out->purpose = PLACEMENT_UNRESERVED;
        if (sweep->reserved != NULL && within_runs(sweep->reserved->runs, sweep->reserved->count,
                                                   &sweep->reserved_next, sweep->at, &end)) {
            out->purpose = sweep->reserved->purpose[sweep->reserved_next];
        }
        out->count = end - sweep->at;
        sweep->at = end;
        if (out->kind != RESUME_FRAME_UNUSABLE || out->destiny != PLACEMENT_BEYOND) {
            return 1;
        }
    }
    return 0;
}
