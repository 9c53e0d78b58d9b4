/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Where the trampoline's areas go, and what becomes of the pages whose frames they take. */
#include "placement_job.h"

/* ---- Contiguous free frames ---- */

struct stretch {
    uint64_t first;
    uint64_t count;
};

/* The lowest stretches of @pages frames for each way to take them, and the longest ones met. */
struct found {
    struct stretch fit[TAKE_KINDS]; /* count 0: none */
    struct stretch longest[TAKE_KINDS];
};

static void find_stretches(const struct placement_job *job, uint64_t below, uint64_t pages,
                           struct found *out)
{
    struct stretch current[TAKE_KINDS] = {{0, 0}};
    struct placement_sweep sweep;
    struct placement_segment segment;

    memset(out, 0, sizeof(*out));
    resume_placement_sweep_begin(&sweep, job->input, &job->reserved, 0, below);
    while (out->fit[TAKE_BEYOND].count == 0 && resume_placement_sweep_next(&sweep, &segment)) {
        for (uint32_t kind = placement_take(&segment); kind < TAKE_KINDS; kind++) {
            struct stretch *run = &current[kind];

            if (run->first + run->count != segment.first || run->count == 0) {
                run->first = segment.first;
                run->count = 0;
            }
            run->count += segment.count;
            if (run->count > out->longest[kind].count) {
                out->longest[kind] = *run;
            }
            if (run->count >= pages && out->fit[kind].count == 0) {
                out->fit[kind] = (struct stretch){run->first, pages};
            }
        }
    }
}

/* There is room: areas come first, then as many entries as there may be last steps. */
static void reserve(struct placement_job *job, uint64_t first, uint64_t count, uint32_t purpose)
{
    struct placement_reserved *reserved = &job->reserved;
    uint32_t at = reserved->count++;

    while (at > 0 && reserved->runs[at - 1].first > first) {
        reserved->runs[at] = reserved->runs[at - 1];
        reserved->purpose[at] = reserved->purpose[at - 1];
        at--;
    }
    reserved->runs[at].first = first;
    reserved->runs[at].count = count;
    reserved->purpose[at] = purpose;
}

static int place_area(struct placement_job *job, uint32_t index)
{
    const struct resume_placement_area *area = &job->input->areas[index];
    struct found found;

    find_stretches(job, area->below, area->pages, &found);
    for (uint32_t kind = TAKE_BEYOND; kind < TAKE_KINDS; kind++) {
        if (found.fit[kind].count != 0) {
            job->plan->area[index] = found.fit[kind].first;
            reserve(job, found.fit[kind].first, area->pages,
                    (area->flags & RESUME_PLACEMENT_LAST) != 0 ? PLACEMENT_AREA_LAST
                                                               : PLACEMENT_AREA);
            return RESUME_OK;
        }
    }
    return resume_fail(job->diag, RESUME_ENOSPC, "placement", "area",
                       found.longest[TAKE_CONTENT].first << RESUME_PAGE_SHIFT,
                       found.longest[TAKE_CONTENT].count, area->pages, index);
}

/* ---- What areas displace, and how it comes back ---- */

static int emit_last(struct placement_job *job, uint64_t source, uint64_t destination,
                     uint64_t pages)
{
    struct resume_placement_last *list = &job->plan->last;
    struct resume_placement_step *last = list->count > 0 ? &list->steps[list->count - 1] : NULL;

    if (pages == 0) {
        return RESUME_OK;
    }
    if (source == RESUME_PLACEMENT_ZERO && last != NULL && last->source == RESUME_PLACEMENT_ZERO &&
        last->destination + last->pages == destination) {
        last->pages += pages;
        return RESUME_OK;
    }
    if (list->count == RESUME_PLACEMENT_LAST_STEPS) {
        return resume_placement_lacks(job->diag, "last", RESUME_PLACEMENT_LAST_STEPS,
                                      RESUME_PLACEMENT_LAST_STEPS + 1);
    }
    list->steps[list->count++] = (struct resume_placement_step){source, destination, pages};
    return RESUME_OK;
}

/* Bounce [first, first + count) of an area with as few pieces as there are free runs for. */
static int bounce_pieces(struct placement_job *job, uint64_t first, uint64_t count)
{
    int err = RESUME_OK;

    while (count > 0 && err == RESUME_OK) {
        struct found found;
        struct stretch piece;

        find_stretches(job, RESUME_FRAMES_END, count, &found);
        piece = found.longest[TAKE_ZERO];
        for (uint32_t kind = TAKE_KINDS - 1; kind-- > TAKE_BEYOND;) {
            if (found.fit[kind].count != 0) {
                piece = found.fit[kind];
            }
        }
        if (piece.count == 0) {
            return resume_placement_lacks(job->diag, "frames", 0,
                                          count); /* not met: they were counted */
        }
        piece.count = placement_lesser(piece.count, count);
        err = emit_last(job, piece.first, first, piece.count);
        if (err == RESUME_OK) {
            reserve(job, piece.first, piece.count, PLACEMENT_BOUNCE_LAST);
        }
        first += piece.count;
        count -= piece.count;
    }
    return err;
}

/*
 * Bounce everything from the first page with content to the last as a whole, zero pages between
 * them included. Returns 1 when that was possible.
 */
static int bounce_whole(struct placement_job *job, uint64_t first, uint64_t count, uint64_t content)
{
    struct found found;

    if (count - content > job->spare) {
        return 0;
    }
    find_stretches(job, RESUME_FRAMES_END, count, &found);
    for (uint32_t kind = TAKE_BEYOND; kind <= TAKE_ZERO; kind++) {
        if (found.fit[kind].count != 0 &&
            emit_last(job, found.fit[kind].first, first, count) == RESUME_OK) {
            reserve(job, found.fit[kind].first, count, PLACEMENT_BOUNCE_LAST);
            job->spare -= count - content;
            return 1;
        }
    }
    return 0;
}

static int finish_area_in_pieces(struct placement_job *job, uint64_t first, uint64_t end)
{
    struct placement_sweep sweep;
    struct placement_segment segment;
    int err = RESUME_OK;

    resume_placement_sweep_begin(&sweep, job->input, NULL, first, end);
    while (err == RESUME_OK && resume_placement_sweep_next(&sweep, &segment)) {
        if (segment.destiny == PLACEMENT_CONTENT) {
            err = bounce_pieces(job, segment.first, segment.count);
        } else {
            err = emit_last(job, RESUME_PLACEMENT_ZERO, segment.first, segment.count);
        }
    }
    return err;
}

/* The last steps for one area. */
static int finish_area(struct placement_job *job, uint32_t index)
{
    const uint64_t first = job->plan->area[index];
    const uint64_t end = first + job->input->areas[index].pages;
    struct placement_sweep sweep;
    struct placement_segment segment;
    uint64_t content_first = end;
    uint64_t content_end = end;
    uint64_t content = 0;
    int err;

    resume_placement_sweep_begin(&sweep, job->input, &job->reserved, first, end);
    while (resume_placement_sweep_next(&sweep, &segment)) {
        if (segment.destiny == PLACEMENT_CONTENT) {
            content_first = content == 0 ? segment.first : content_first;
            content_end = segment.first + segment.count;
            content += segment.count;
        }
    }
    job->displaced += content;
    err = emit_last(job, RESUME_PLACEMENT_ZERO, first, content_first - first);
    if (content == 0 || err != RESUME_OK) {
        return err;
    }
    if (!bounce_whole(job, content_first, content_end - content_first, content)) {
        err = finish_area_in_pieces(job, content_first, content_end);
    }
    if (err == RESUME_OK) {
        err = emit_last(job, RESUME_PLACEMENT_ZERO, content_end, end - content_end);
    }
    return err;
}

int resume_placement_areas_place(struct placement_job *job)
{
    int err = RESUME_OK;

    for (uint32_t i = 0; i < job->input->area_count && err == RESUME_OK; i++) {
        err = place_area(job, i);
    }
    return err;
}

int resume_placement_areas_finish(struct placement_job *job)
{
    int err = RESUME_OK;

    for (uint32_t i = 0; i < job->input->area_count && err == RESUME_OK; i++) {
        if ((job->input->areas[i].flags & RESUME_PLACEMENT_LAST) != 0) {
            err = finish_area(job, i);
        }
    }
    return err;
}
