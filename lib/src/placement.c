/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The planner: count, place the areas, find bounce frames for what they displace, then for what is
 * in the firmware's frames; what is left is zeroed. Each is one pass, or a few, over all memory.
 */
#include "placement_job.h"

/* Bounce frames are taken from long runs first, so that there are few moves: the least lengths. */
static const uint64_t bounce_class[] = {4096, 64, 1};
#define BOUNCE_CLASSES 3u

static int conflict(struct resume_diag *diag, const char *field, uint64_t page)
{
    return resume_fail(diag, RESUME_ECONFLICT, "placement", field, page << RESUME_PAGE_SHIFT,
                       RESUME_FRAME_UNUSABLE, RESUME_FRAME_FREE, RESUME_NO_VCPU);
}

int resume_placement_lacks(struct resume_diag *diag, const char *field, uint64_t found,
                           uint64_t expected)
{
    return resume_fail(diag, RESUME_ENOSPC, "placement", field, 0, found, expected, RESUME_NO_VCPU);
}

/* ---- Counting ---- */

static void count_segment(const struct placement_segment *segment, struct placement_tally *tally)
{
    const int firmware = segment->kind == RESUME_FRAME_FIRMWARE;
    const uint32_t take = placement_take(segment);

    if (take != TAKE_KINDS) {
        tally->free_frames += segment->count;
        tally->free_segments += take != TAKE_CONTENT ? 1 : 0;
    }
    if (segment->destiny == PLACEMENT_CONTENT) {
        tally->content += segment->count;
        tally->content_in_firmware += firmware ? segment->count : 0;
        tally->content_segments += firmware ? 1 : 0;
    } else if (segment->destiny == PLACEMENT_ZERO) {
        tally->zero += segment->count;
        tally->zero_segments += firmware ? 1 : 0;
    }
}

static int count_all(const struct resume_placement_input *input, struct placement_tally *tally,
                     struct resume_diag *diag)
{
    static const char *const field[] = {NULL, "zero", "content", "home"};
    uint64_t unusable[PLACEMENT_HOME + 1] = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
    struct placement_sweep sweep;
    struct placement_segment segment;
    int err = resume_placement_input_check(input, diag);

    if (err != RESUME_OK) {
        return err;
    }
    memset(tally, 0, sizeof(*tally));
    resume_placement_sweep_begin(&sweep, input, NULL, 0, RESUME_FRAMES_END);
    while (resume_placement_sweep_next(&sweep, &segment)) {
        count_segment(&segment, tally);
        if (segment.kind == RESUME_FRAME_UNUSABLE && segment.first < unusable[segment.destiny]) {
            unusable[segment.destiny] = segment.first;
        }
    }
    for (uint32_t destiny = PLACEMENT_HOME; destiny > PLACEMENT_BEYOND; destiny--) {
        if (unusable[destiny] != UINT64_MAX) {
            return conflict(diag, field[destiny], unusable[destiny]);
        }
    }
    for (uint32_t i = 0; i < input->area_count; i++) {
        tally->area_pages += input->areas[i].pages;
        if ((input->areas[i].flags & RESUME_PLACEMENT_LAST) == 0) {
            tally->area_pages_early += input->areas[i].pages;
        }
    }
    return RESUME_OK;
}

int resume_placement_bound_compute(const struct resume_placement_input *input,
                                   struct resume_placement_bound *out, struct resume_diag *diag)
{
    struct placement_tally tally;
    uint64_t steps;
    uint64_t runs;
    int err;

    if (out == NULL) {
        return RESUME_EINVAL;
    }
    err = count_all(input, &tally, diag);
    if (err != RESUME_OK) {
        return err;
    }
    /* What is reserved cuts a run of free frames in two; a move ends where either side's run does. */
    runs = tally.free_segments + input->area_count + RESUME_PLACEMENT_LAST_STEPS;
    steps = placement_lesser(tally.content_in_firmware, tally.content_segments + runs);
    steps += tally.zero_segments;
    if (steps > UINT32_MAX || runs > UINT32_MAX || tally.area_pages_early > UINT32_MAX) {
        return resume_placement_lacks(diag, "steps", UINT32_MAX, steps);
    }
    out->steps = (uint32_t)steps;
    out->clear = (uint32_t)runs;
    out->final = (uint32_t)tally.area_pages_early; /* a step has one page at least */
    return RESUME_OK;
}

/* ---- What is in the firmware's frames ---- */

/* Hands out free frames without content: run by run, long ones first. */
struct bounce {
    struct placement_sweep sweep;
    uint32_t class_now;
    uint64_t segment_first; /* of the run in use; the last one once all are handed out */
    uint64_t rest_first;
    uint64_t rest_count;
    int begun;
};

static uint32_t class_of(uint64_t count)
{
    uint32_t class_found = 0;

    while (count < bounce_class[class_found]) {
        class_found++;
    }
    return class_found;
}

static int bounce_more(const struct placement_job *job, struct bounce *bounce)
{
    while (bounce->class_now < BOUNCE_CLASSES) {
        struct placement_segment segment;

        while (resume_placement_sweep_next(&bounce->sweep, &segment)) {
            if (placement_take(&segment) <= TAKE_ZERO &&
                class_of(segment.count) == bounce->class_now) {
                bounce->segment_first = segment.first;
                bounce->rest_first = segment.first;
                bounce->rest_count = segment.count;
                bounce->begun = 1;
                return 1;
            }
        }
        bounce->class_now++;
        resume_placement_sweep_begin(&bounce->sweep, job->input, &job->reserved, 0,
                                     RESUME_FRAMES_END);
    }
    return 0;
}

/* A list that steps are added to. */
struct list {
    struct resume_placement_step *steps;
    uint32_t count;
    uint32_t capacity;
    const char *name;
};

static int emit_step(const struct placement_job *job, struct list *list, uint64_t source,
                     uint64_t destination, uint64_t pages)
{
    if (list->count > 0) {
        struct resume_placement_step *last = &list->steps[list->count - 1];
        const int fills = source == RESUME_PLACEMENT_ZERO;

        if (last->destination + last->pages == destination &&
            fills == (last->source == RESUME_PLACEMENT_ZERO) &&
            (fills || last->source + last->pages == source)) {
            last->pages += pages;
            return RESUME_OK;
        }
    }
    if (list->count == list->capacity) {
        return resume_placement_lacks(job->diag, list->name, list->capacity,
                                      (uint64_t)list->capacity + 1);
    }
    list->steps[list->count++] = (struct resume_placement_step){source, destination, pages};
    return RESUME_OK;
}

static int move_segment(const struct placement_job *job, struct bounce *bounce, struct list *list,
                        uint64_t first, uint64_t count)
{
    int err = RESUME_OK;

    while (count > 0 && err == RESUME_OK) {
        uint64_t pages;

        if (bounce->rest_count == 0 && !bounce_more(job, bounce)) {
            return resume_placement_lacks(job->diag, "frames", 0,
                                          count); /* not met: they were counted */
        }
        pages = placement_lesser(bounce->rest_count, count);
        err = emit_step(job, list, bounce->rest_first, first, pages);
        bounce->rest_first += pages;
        bounce->rest_count -= pages;
        first += pages;
        count -= pages;
    }
    return err;
}

/* What is written after ExitBootServices: three parts of all memory, each in ascending order. */
enum part { MOVES, FILLS, FINAL, NEITHER };

static enum part part_of(const struct placement_segment *segment)
{
    if (segment->purpose == PLACEMENT_AREA) {
        return FINAL;
    }
    if (segment->kind != RESUME_FRAME_FIRMWARE) {
        return NEITHER;
    }
    if (segment->destiny == PLACEMENT_CONTENT) {
        return MOVES;
    }
    return segment->destiny == PLACEMENT_ZERO ? FILLS : NEITHER;
}

static int make_part(struct placement_job *job, struct bounce *bounce, enum part part,
                     struct list *list)
{
    struct placement_sweep sweep;
    struct placement_segment segment;
    int err = RESUME_OK;

    resume_placement_sweep_begin(&sweep, job->input, &job->reserved, 0, RESUME_FRAMES_END);
    while (err == RESUME_OK && resume_placement_sweep_next(&sweep, &segment)) {
        if (part_of(&segment) != part) {
            continue;
        }
        if (segment.destiny == PLACEMENT_CONTENT) {
            job->displaced += part == FINAL ? segment.count : 0;
            err = move_segment(job, bounce, list, segment.first, segment.count);
        } else {
            err = emit_step(job, list, RESUME_PLACEMENT_ZERO, segment.first, segment.count);
        }
    }
    return err;
}

static int make_steps(struct placement_job *job, struct bounce *bounce)
{
    struct resume_placement *plan = job->plan;
    struct list steps = {plan->steps, 0, plan->step_capacity, "steps"};
    struct list final = {plan->final, 0, plan->final_capacity, "final"};
    int err = make_part(job, bounce, MOVES, &steps);

    plan->move_count = steps.count;
    if (err == RESUME_OK) {
        err = make_part(job, bounce, FILLS, &steps);
    }
    plan->step_count = steps.count;
    if (err == RESUME_OK) {
        err = make_part(job, bounce, FINAL, &final);
    }
    plan->final_count = final.count;
    return err;
}

/* ---- What is zeroed before ExitBootServices ---- */

static int emit_clear(struct placement_job *job, uint64_t first, uint64_t count)
{
    struct resume_placement *plan = job->plan;

    if (count == 0) {
        return RESUME_OK;
    }
    if (plan->clear_count > 0) {
        struct resume_page_run *last = &plan->clear[plan->clear_count - 1];

        if (last->first + last->count == first) {
            last->count += count;
            return RESUME_OK;
        }
    }
    if (plan->clear_count == plan->clear_capacity) {
        return resume_placement_lacks(job->diag, "clear", plan->clear_capacity,
                                      (uint64_t)plan->clear_count + 1);
    }
    plan->clear[plan->clear_count++] = (struct resume_page_run){first, count};
    return RESUME_OK;
}

/* How many of a free run's first frames are bounce frames? */
static uint64_t bounced_of(const struct bounce *bounce, const struct placement_segment *segment)
{
    const uint32_t class_found = class_of(segment->count);

    if (!bounce->begun || class_found > bounce->class_now) {
        return 0;
    }
    if (class_found < bounce->class_now || segment->first < bounce->segment_first) {
        return segment->count;
    }
    return segment->first == bounce->segment_first ? bounce->rest_first - segment->first : 0;
}

/* A reserved bounce frame whose page is zero is loaded with nothing: it is zeroed. */
static int clear_reserved(struct placement_job *job, const struct placement_segment *segment)
{
    const struct resume_placement_last *last = &job->plan->last;
    int err = RESUME_OK;

    for (uint32_t i = 0; i < last->count; i++) {
        const struct resume_placement_step *step = &last->steps[i];
        const uint64_t offset = segment->first - step->source;
        struct placement_sweep sweep;
        struct placement_segment page;

        if (step->source == RESUME_PLACEMENT_ZERO || segment->first < step->source ||
            offset >= step->pages) {
            continue;
        }
        resume_placement_sweep_begin(&sweep, job->input, NULL, step->destination + offset,
                                     step->destination + offset + segment->count);
        while (err == RESUME_OK && resume_placement_sweep_next(&sweep, &page)) {
            if (page.destiny != PLACEMENT_CONTENT) {
                err = emit_clear(job, step->source + (page.first - step->destination), page.count);
            }
        }
    }
    return err;
}

static int make_clear(struct placement_job *job, const struct bounce *bounce)
{
    struct placement_sweep sweep;
    struct placement_segment segment;
    int err = RESUME_OK;

    resume_placement_sweep_begin(&sweep, job->input, &job->reserved, 0, RESUME_FRAMES_END);
    while (err == RESUME_OK && resume_placement_sweep_next(&sweep, &segment)) {
        if (segment.purpose == PLACEMENT_BOUNCE_LAST) {
            err = clear_reserved(job, &segment);
        } else if (placement_take(&segment) == TAKE_ZERO) {
            const uint64_t bounced = bounced_of(bounce, &segment);

            job->plan->pages_cleared += segment.count - bounced;
            err = emit_clear(job, segment.first + bounced, segment.count - bounced);
        }
    }
    return err;
}

/* ---- All of it ---- */

static int make(struct placement_job *job)
{
    const struct resume_placement_input *input = job->input;
    struct resume_placement *plan = job->plan;
    struct bounce bounce = {.begun = 0};
    uint64_t needed;
    int err = count_all(input, &job->tally, job->diag);

    if (err != RESUME_OK) {
        return err;
    }
    /* Each content page is in one FREE frame when the firmware ends, wherever; each area has its. */
    needed = job->tally.content + job->tally.area_pages;
    if (job->tally.free_frames < needed) {
        return resume_placement_lacks(job->diag, "frames", job->tally.free_frames, needed);
    }
    job->spare = job->tally.free_frames - needed;
    plan->area_count = input->area_count;
    plan->home = input->home;
    err = resume_placement_areas_place(job);
    if (err == RESUME_OK) {
        err = resume_placement_areas_finish(job);
    }
    if (err == RESUME_OK) {
        resume_placement_sweep_begin(&bounce.sweep, input, &job->reserved, 0, RESUME_FRAMES_END);
        err = make_steps(job, &bounce);
    }
    if (err == RESUME_OK) {
        err = make_clear(job, &bounce);
    }
    plan->pages_moved = job->tally.content_in_firmware + job->displaced;
    plan->pages_in_place = job->tally.content - plan->pages_moved;
    plan->pages_filled = job->tally.zero - plan->pages_cleared;
    return err;
}

int resume_placement_make(const struct resume_placement_input *input, struct resume_placement *plan,
                          struct resume_diag *diag)
{
    struct resume_placement made = {0};
    struct placement_job job = {.input = input, .plan = &made, .diag = diag};
    int err;

    if (plan == NULL || (plan->steps == NULL && plan->step_capacity != 0) ||
        (plan->final == NULL && plan->final_capacity != 0) ||
        (plan->clear == NULL && plan->clear_capacity != 0)) {
        return RESUME_EINVAL;
    }
    made.steps = plan->steps;
    made.final = plan->final;
    made.clear = plan->clear;
    made.step_capacity = plan->step_capacity;
    made.final_capacity = plan->final_capacity;
    made.clear_capacity = plan->clear_capacity;
    err = make(&job);
    if (err == RESUME_OK) {
        *plan = made;
    }
    return err;
}
