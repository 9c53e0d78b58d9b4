/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "placement_world.h"

#include <stddef.h>
#include <string.h>

uint64_t world_seed;

uint64_t world_random(void)
{
    uint64_t value = world_seed += UINT64_C(0x9e3779b97f4a7c15);

    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

uint32_t world_below(uint32_t end)
{
    return (uint32_t)(world_random() >> 32) % end;
}

/* ---- Random machines ---- */

enum { FREE = RESUME_FRAME_FREE, FIRMWARE = RESUME_FRAME_FIRMWARE, NONE = RESUME_FRAME_UNUSABLE };

static void make_kinds(struct world *w)
{
    const uint32_t style = world_below(6);
    const uint32_t hole = world_below(w->frames);
    uint32_t at = 0;

    while (at < w->frames) {
        const uint32_t length = style == 1 ? 1 : 1 + world_below(style == 2 ? 60 : 12);
        uint8_t kind = world_below(3) != 0 ? FREE : FIRMWARE;

        if (style == 1) { /* alternating */
            kind = at % 2 == 0 ? FREE : FIRMWARE;
        } else if (style == 3) { /* nearly all is free */
            kind = world_below(12) != 0 ? FREE : FIRMWARE;
        } else if (style == 4 && world_below(8) == 0) { /* holes */
            kind = NONE;
        }
        for (uint32_t i = 0; i < length && at < w->frames; i++) {
            w->kind[at++] = kind;
        }
    }
    if (style == 5) { /* as below 4 GiB on a PC: a hole, then RAM again */
        for (uint32_t i = hole; i < hole + 8 && i < w->frames; i++) {
            w->kind[i] = NONE;
        }
    }
}

static void make_ram(struct world *w)
{
    const uint32_t style = world_below(5);
    /* All of it, or less: the target has more. */
    const uint32_t end = style == 0 ? w->frames : w->frames / 2 + world_below(w->frames / 2);
    const int conflicts = world_below(20) == 0;
    int on = 1;

    for (uint32_t i = 0; i < end; i++) {
        if (style == 4 && world_below(10) == 0) {
            on = !on;
        }
        w->ram[i] = on && (conflicts || w->kind[i] != NONE);
    }
}

static void make_content(struct world *w)
{
    const uint32_t style = world_below(8);
    const uint32_t share = 1 + world_below(20);
    int on = 0;

    for (uint32_t i = 0; i < w->frames; i++) {
        int content = 0;

        if (world_below(5) == 0) {
            on = !on;
        }
        switch (style) {
        case 0:
            content = 1;
            break;
        case 1:
            break;
        case 2:
            content = world_below(share) == 0;
            break;
        case 3:
            content = world_below(share) != 0;
            break;
        case 4:
            content = i % 2 == 0;
            break;
        case 5: /* the firmware is exactly where the content is */
            content = w->kind[i] == FIRMWARE;
            break;
        case 6: /* it is exactly where there is none */
            content = w->kind[i] == FREE;
            break;
        default:
            content = on;
            break;
        }
        w->content[i] = content && w->ram[i];
    }
}

static void make_home(struct world *w)
{
    const uint32_t first = world_below(w->frames);
    const uint32_t length = world_below(6);
    const uint32_t kind = world_below(4);

    for (uint32_t i = first; i < first + length && i < w->frames && w->ram[i]; i++) {
        w->home[i] = 1;
        if (kind == 0 && w->kind[i] != NONE) {
            w->kind[i] = FIRMWARE; /* a home within the firmware */
        }
    }
}

static void make_areas(struct world *w)
{
    w->area_count = world_below(5) == 0 ? world_below(RESUME_PLACEMENT_AREAS + 1) : world_below(4);
    for (uint32_t i = 0; i < w->area_count; i++) {
        w->areas[i].pages = 1 + world_below(world_below(4) == 0 ? 24 : 6);
        w->areas[i].below =
            world_below(2) == 0 ? RESUME_FRAMES_END : w->base + world_below(w->frames);
        w->areas[i].flags = world_below(3) == 0 ? RESUME_PLACEMENT_LAST : 0;
    }
}

void world_make(struct world *w)
{
    memset(w, 0, sizeof(*w));
    w->frames = world_below(3) == 0 ? 8 + world_below(24) : 32 + world_below(WORLD_FRAMES - 31);
    switch (world_below(4)) {
    case 0: /* the end of all memory */
        w->base = RESUME_FRAMES_END - w->frames;
        break;
    case 1:
        w->base = world_random() % (RESUME_FRAMES_END - w->frames);
        break;
    default:
        break;
    }
    make_kinds(w);
    make_ram(w);
    make_content(w);
    make_home(w);
    make_areas(w);
    world_ranges(w);
}

/* ---- Ranges ---- */

static uint32_t runs_of(const struct world *w, const uint8_t *set, int split,
                        struct resume_page_run *out)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < w->frames; i++) {
        if (!set[i]) {
            continue;
        }
        if (i > 0 && set[i - 1] && !(split && world_below(8) == 0)) {
            out[count - 1].count++;
        } else {
            out[count].first = w->base + i;
            out[count++].count = 1;
        }
    }
    return count;
}

void world_ranges(struct world *w)
{
    const int split = world_below(4) == 0;
    struct resume_page_run home[WORLD_FRAMES];
    uint32_t ranges = 0;

    for (uint32_t i = 0; i < w->frames; i++) {
        if (w->kind[i] == NONE && !split) {
            continue;
        }
        if (i > 0 && ranges > 0 && w->kind[i - 1] == w->kind[i] &&
            !(split && world_below(8) == 0)) {
            w->frame_ranges[ranges - 1].count++;
        } else {
            w->frame_ranges[ranges].first = w->base + i;
            w->frame_ranges[ranges].count = 1;
            w->frame_ranges[ranges++].kind = w->kind[i];
        }
    }
    memset(&w->input, 0, sizeof(w->input));
    w->input.frames = w->frame_ranges;
    w->input.frames_count = ranges;
    w->input.ram = w->ram_runs;
    w->input.ram_count = runs_of(w, w->ram, split, w->ram_runs);
    w->input.content = w->content_runs;
    w->input.content_count = runs_of(w, w->content, split, w->content_runs);
    w->input.areas = w->areas;
    w->input.area_count = w->area_count;
    if (runs_of(w, w->home, 0, home) > 0) {
        w->input.home = home[0];
    }
}

void world_plan_room(struct world *w, uint32_t steps, uint32_t final, uint32_t clear)
{
    memset(&w->plan, 0, sizeof(w->plan));
    w->plan.steps = w->steps;
    w->plan.step_capacity = steps;
    w->plan.final = w->final;
    w->plan.final_capacity = final;
    w->plan.clear = w->clear;
    w->plan.clear_capacity = clear;
}

uint32_t world_free(const struct world *w)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < w->frames; i++) {
        count += w->kind[i] == FREE && !w->home[i];
    }
    return count;
}

uint64_t world_needed(const struct world *w)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < w->frames; i++) {
        count += w->content[i] && !w->home[i];
    }
    for (uint32_t i = 0; i < w->area_count; i++) {
        count += w->areas[i].pages;
    }
    return count;
}

/* ---- Carrying a plan out ---- */

/* What a frame holds; n > 0: the content of page base + n - 1. */
enum { HOLDS_ZERO = 0, HOLDS_OLD = -1, HOLDS_AREA = -2, HOLDS_HOME = -3 };

struct run {
    const struct world *world;
    const struct resume_placement *plan;
    int32_t holds[WORLD_FRAMES];
    int32_t area[WORLD_FRAMES]; /* number of the area that the frame is in, or -1 */
    uint8_t early[WORLD_FRAMES];
    uint8_t written[WORLD_FRAMES];
    uint8_t read[WORLD_FRAMES];
    const char *error;
    uint64_t frame;
};

/* The first error is the one that counts. */
static int fail(struct run *run, const char *error, uint64_t frame)
{
    if (run->error == NULL) {
        run->error = error;
        run->frame = frame;
    }
    return 0;
}

static int inside(const struct world *w, uint64_t first, uint64_t count)
{
    return count > 0 && first >= w->base && first - w->base < w->frames &&
           count <= w->frames - (first - w->base);
}

static int32_t wanted(const struct world *w, uint32_t i)
{
    return w->content[i] ? (int32_t)i + 1 : HOLDS_ZERO;
}

static int write_early(struct run *run, uint64_t frame, int32_t value)
{
    const struct world *w = run->world;
    uint32_t i;

    if (!inside(w, frame, 1)) {
        return fail(run, "a frame outside is written", frame);
    }
    i = (uint32_t)(frame - w->base);
    if (w->kind[i] != FREE) {
        return fail(run, "the firmware's frame is written", frame);
    }
    if (w->home[i]) {
        return fail(run, "the home is written", frame);
    }
    if (run->early[i]++ != 0) {
        return fail(run, "a frame is written twice before the firmware ends", frame);
    }
    run->holds[i] = value;
    return 1;
}

static int write_once(struct run *run, uint64_t frame)
{
    return run->written[frame - run->world->base]++ == 0 ||
           fail(run, "a frame is written twice", frame);
}

static int check_structure(struct run *run)
{
    const struct world *w = run->world;
    const struct resume_placement *plan = run->plan;
    const uint32_t listed = plan->step_count + plan->final_count;
    uint64_t end = 0;

    if (plan->move_count > plan->step_count || plan->last.count > RESUME_PLACEMENT_LAST_STEPS ||
        plan->area_count != w->area_count || plan->home.first != w->input.home.first ||
        plan->home.count != w->input.home.count) {
        return fail(run, "structure", 0);
    }
    for (uint32_t i = 0; i < listed + plan->last.count; i++) {
        const struct resume_placement_step *step = i >= listed ? &plan->last.steps[i - listed]
                                                   : i >= plan->step_count
                                                       ? &plan->final[i - plan->step_count]
                                                       : &plan->steps[i];
        const int moves = step->source != RESUME_PLACEMENT_ZERO;

        if (!inside(w, step->destination, step->pages) ||
            (moves && !inside(w, step->source, step->pages))) {
            return fail(run, "structure", step->destination);
        }
        for (uint64_t page = 0; moves && page < step->pages; page++) {
            if (step->destination + page >= step->source &&
                step->destination + page < step->source + step->pages) {
                return fail(run, "structure", step->destination);
            }
        }
        if (i < plan->step_count && moves != (i < plan->move_count)) {
            return fail(run, "structure", step->destination);
        }
        /* Moves ascend, and so do final steps. */
        end = i == plan->step_count ? 0 : end;
        if (i < plan->move_count || (i >= plan->step_count && i < listed)) {
            if (step->destination < end) {
                return fail(run, "structure", step->destination);
            }
            end = step->destination + step->pages;
        }
    }
    return 1;
}

static int load_content(struct run *run)
{
    const struct world *w = run->world;
    uint32_t i = 0;

    while (i < w->frames) {
        struct resume_placement_spot spot;
        uint32_t pages = 0;

        while (i + pages < w->frames && w->content[i + pages] && pages < 20) {
            pages++;
        }
        if (pages == 0) {
            i++;
            continue;
        }
        if (resume_placement_locate(run->plan, w->base + i, pages, &spot) != RESUME_OK ||
            spot.pages == 0 || spot.pages > pages) {
            return fail(run, "a page has no place", w->base + i);
        }
        for (uint32_t page = 0; page < spot.pages; page++, i++) {
            const uint64_t frame = spot.frame + page;

            if ((spot.where == RESUME_PLACEMENT_DROPPED) != w->home[i]) {
                return fail(run, "the home is loaded, or more than it dropped", frame);
            }
            if (spot.where == RESUME_PLACEMENT_DROPPED) {
                continue;
            }
            if ((spot.where == RESUME_PLACEMENT_IN_PLACE) != (frame == w->base + i)) {
                return fail(run, "a page is not where it is said to be", frame);
            }
            if (!write_early(run, frame, (int32_t)i + 1) ||
                (spot.where == RESUME_PLACEMENT_IN_PLACE && !write_once(run, frame))) {
                return 0;
            }
        }
    }
    return 1;
}

static int before_exit(struct run *run)
{
    const struct world *w = run->world;
    const struct resume_placement *plan = run->plan;

    for (uint32_t i = 0; i < plan->area_count; i++) {
        if (!inside(w, plan->area[i], w->areas[i].pages) ||
            plan->area[i] + w->areas[i].pages > w->areas[i].below) {
            return fail(run, "structure", plan->area[i]);
        }
        for (uint64_t page = 0; page < w->areas[i].pages; page++) {
            if (!write_early(run, plan->area[i] + page, HOLDS_AREA)) {
                return 0;
            }
            run->area[plan->area[i] + page - w->base] = (int32_t)i;
        }
    }
    for (uint32_t i = 0; i < plan->clear_count; i++) {
        if (!inside(w, plan->clear[i].first, plan->clear[i].count) ||
            (i > 0 && plan->clear[i].first < plan->clear[i - 1].first + plan->clear[i - 1].count)) {
            return fail(run, "structure", plan->clear[i].first);
        }
        for (uint64_t page = 0; page < plan->clear[i].count; page++) {
            if (!write_early(run, plan->clear[i].first + page, HOLDS_ZERO) ||
                !write_once(run, plan->clear[i].first + page)) {
                return 0;
            }
        }
    }
    return load_content(run);
}

enum when { AFTER_EXIT, FINAL, LAST };

static int destination_is_right(struct run *run, uint64_t frame, enum when when)
{
    const struct world *w = run->world;
    const uint32_t i = (uint32_t)(frame - w->base);

    if (w->kind[i] == NONE || w->home[i]) {
        return fail(run, "what is not to be written is", frame);
    }
    if ((run->area[i] >= 0) != (when != AFTER_EXIT)) {
        return fail(run, "an area is written too early, or something else too late", frame);
    }
    if (when == AFTER_EXIT) {
        return w->ram[i] || fail(run, "what the guest does not have is written", frame);
    }
    return ((w->areas[run->area[i]].flags & RESUME_PLACEMENT_LAST) != 0) == (when == LAST) ||
           fail(run, "an area is written too early or too late", frame);
}

static int take_step(struct run *run, const struct resume_placement_step *step, enum when when)
{
    const struct world *w = run->world;
    const int moves = step->source != RESUME_PLACEMENT_ZERO;

    for (uint64_t page = 0; page < step->pages; page++) {
        const uint64_t to = step->destination + page;
        int32_t value = HOLDS_ZERO;

        if (!destination_is_right(run, to, when) || !write_once(run, to)) {
            return 0;
        }
        if (moves) {
            const uint32_t from = (uint32_t)(step->source + page - w->base);

            if (w->kind[from] == NONE || w->home[from] || run->area[from] >= 0 ||
                run->read[from]++ != 0) {
                return fail(run, "what is not to be read is", w->base + from);
            }
            value = run->holds[from];
            if (value != wanted(w, (uint32_t)(to - w->base))) {
                return fail(run, "a source does not hold what is wanted", w->base + from);
            }
        }
        run->holds[to - w->base] = value;
    }
    for (uint64_t page = 0; moves && page < step->pages; page++) {
        run->holds[step->source + page - w->base] = HOLDS_ZERO;
    }
    return 1;
}

static int after_exit(struct run *run)
{
    const struct world *w = run->world;
    const struct resume_placement *plan = run->plan;

    for (uint32_t i = 0; i < plan->step_count; i++) {
        if (!take_step(run, &plan->steps[i], AFTER_EXIT)) {
            return 0;
        }
    }
    for (uint32_t i = 0; i < w->frames; i++) {
        if (w->home[i]) {
            if (w->kind[i] == NONE) {
                return fail(run, "the home is not RAM", w->base + i);
            }
            run->holds[i] = HOLDS_HOME;
        }
    }
    for (uint32_t i = 0; i < plan->final_count; i++) {
        if (!take_step(run, &plan->final[i], FINAL)) {
            return 0;
        }
    }
    for (uint32_t i = 0; i < plan->last.count; i++) {
        if (!take_step(run, &plan->last.steps[i], LAST)) {
            return 0;
        }
    }
    return 1;
}

static int check_end(struct run *run)
{
    const struct world *w = run->world;

    for (uint32_t i = 0; i < w->frames; i++) {
        if (w->home[i]) {
            if (run->holds[i] != HOLDS_HOME) {
                return fail(run, "the home is gone", w->base + i);
            }
        } else if (w->ram[i]) {
            if (w->kind[i] == NONE || run->holds[i] != wanted(w, i)) {
                return fail(run, "a page is wrong in the end", w->base + i);
            }
        } else if (run->holds[i] != HOLDS_OLD && run->holds[i] != HOLDS_ZERO) {
            return fail(run, "something is left beyond the guest's RAM", w->base + i);
        }
    }
    return 1;
}

const char *world_run(const struct world *w, const struct resume_placement *plan,
                      uint64_t *ret_frame)
{
    struct run run = {.world = w, .plan = plan};

    for (uint32_t i = 0; i < WORLD_FRAMES; i++) {
        run.holds[i] = HOLDS_OLD;
        run.area[i] = -1;
    }
    if (check_structure(&run) && before_exit(&run) && after_exit(&run)) {
        check_end(&run);
    }
    if (ret_frame != NULL) {
        *ret_frame = run.frame;
    }
    return run.error;
}
