/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The checker of plans: each way to break a right plan is found, and what is found is broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "placement_world.h"

#define MACHINES 30000u
#define CHANGED 120000u
#define ZERO RESUME_PLACEMENT_ZERO

static struct world world;
static struct resume_placement *const plan = &world.plan;
static uint64_t scratch[65536];

static int check(struct resume_diag *diag)
{
    memset(diag, 0, sizeof(*diag));
    return resume_placement_check(&world.input, plan, scratch, sizeof(scratch), diag);
}

/* A random machine with a right plan, and room for more steps. */
static int make_plan(void)
{
    world_make(&world);
    world_plan_room(&world, WORLD_STEPS, WORLD_STEPS, WORLD_STEPS);
    return resume_placement_make(&world.input, plan, NULL) == RESUME_OK;
}

/* ---- Finding something to break. They return UINT32_MAX when there is none. ---- */

static uint32_t fills(void)
{
    return plan->step_count - plan->move_count;
}

/* A random frame of a kind, for which @test says yes. */
static uint64_t frame_where(int (*test)(uint32_t i))
{
    const uint32_t start = world_below(world.frames);

    for (uint32_t n = 0; n < world.frames; n++) {
        const uint32_t i = (start + n) % world.frames;

        if (test(i)) {
            return world.base + i;
        }
    }
    return UINT64_MAX;
}

static int in_area(uint32_t i)
{
    for (uint32_t n = 0; n < plan->area_count; n++) {
        if (world.base + i >= plan->area[n] &&
            world.base + i - plan->area[n] < world.areas[n].pages) {
            return 1;
        }
    }
    return 0;
}

static int is_in_place(uint32_t i)
{
    return world.content[i] && !world.home[i] && world.kind[i] == RESUME_FRAME_FREE && !in_area(i);
}

static int is_firmware_beyond(uint32_t i)
{
    return !world.ram[i] && world.kind[i] == RESUME_FRAME_FIRMWARE;
}

static int is_firmware_zero(uint32_t i)
{
    return world.ram[i] && !world.home[i] && !world.content[i] &&
           world.kind[i] == RESUME_FRAME_FIRMWARE;
}

static int is_home(uint32_t i)
{
    return world.home[i];
}

static int is_unusable(uint32_t i)
{
    return world.kind[i] == RESUME_FRAME_UNUSABLE;
}

static void remove_step(uint32_t at)
{
    memmove(&plan->steps[at], &plan->steps[at + 1],
            (plan->step_count - at - 1) * sizeof(plan->steps[0]));
    plan->step_count--;
    plan->move_count -= at < plan->move_count;
}

static void insert_step(uint32_t at, uint64_t source, uint64_t destination, uint64_t pages)
{
    memmove(&plan->steps[at + 1], &plan->steps[at],
            (plan->step_count - at) * sizeof(plan->steps[0]));
    plan->steps[at] = (struct resume_placement_step){source, destination, pages};
    plan->step_count++;
    plan->move_count += source != ZERO;
}

static int add_fill(uint64_t frame)
{
    if (frame == UINT64_MAX) {
        return 0;
    }
    insert_step(plan->step_count, ZERO, frame, 1);
    return 1;
}

static void remove_clear(uint32_t at)
{
    memmove(&plan->clear[at], &plan->clear[at + 1],
            (plan->clear_count - at - 1) * sizeof(plan->clear[0]));
    plan->clear_count--;
}

/* Where it belongs by its number. */
static void insert_clear(uint64_t first, uint64_t count)
{
    uint32_t at = plan->clear_count++;

    while (at > 0 && plan->clear[at - 1].first > first) {
        plan->clear[at] = plan->clear[at - 1];
        at--;
    }
    plan->clear[at] = (struct resume_page_run){first, count};
}

static int add_clear(uint64_t frame)
{
    if (frame == UINT64_MAX) {
        return 0;
    }
    insert_clear(frame, 1);
    return 1;
}

static struct resume_placement_step *any_move(void)
{
    return plan->move_count == 0 ? NULL : &plan->steps[world_below(plan->move_count)];
}

/* Of the final and the last steps. */
static struct resume_placement_step *any_late_move(void)
{
    for (uint32_t i = 0; i < plan->final_count; i++) {
        if (plan->final[i].source != ZERO) {
            return &plan->final[i];
        }
    }
    for (uint32_t i = 0; i < plan->last.count; i++) {
        if (plan->last.steps[i].source != ZERO) {
            return &plan->last.steps[i];
        }
    }
    return NULL;
}

/* ---- Ways to break a plan. They return 0 when this plan has nothing to break so. ---- */

static int drop_move(void)
{
    if (plan->move_count == 0) {
        return 0;
    }
    remove_step(world_below(plan->move_count));
    return 1;
}

static int double_move(void)
{
    const struct resume_placement_step *move = any_move();

    if (move == NULL) {
        return 0;
    }
    insert_step((uint32_t)(move - plan->steps), move->source, move->destination, move->pages);
    return 1;
}

static int swap_moves(void)
{
    struct resume_placement_step step;

    if (plan->move_count < 2) {
        return 0;
    }
    step = plan->steps[0];
    plan->steps[0] = plan->steps[plan->move_count - 1];
    plan->steps[plan->move_count - 1] = step;
    return 1;
}

static int swap_move_and_fill(void)
{
    struct resume_placement_step step;

    if (plan->move_count == 0 || fills() == 0) {
        return 0;
    }
    step = plan->steps[plan->move_count];
    plan->steps[plan->move_count] = plan->steps[0];
    plan->steps[0] = step;
    return 1;
}

static int miscount_moves(void)
{
    if (plan->step_count == 0) {
        return 0;
    }
    plan->move_count +=
        plan->move_count == 0 || (fills() > 0 && world_below(2) != 0) ? 1u : UINT32_MAX;
    return 1;
}

static int bounce_in_destination(void)
{
    struct resume_placement_step *move = any_move();
    const uint64_t frame = frame_where(is_firmware_zero);

    if (move == NULL || frame == UINT64_MAX) {
        return 0;
    }
    move->source = frame;
    move->pages = 1;
    return 1;
}

static int bounce_in_content(void)
{
    struct resume_placement_step *move = any_move();
    const uint64_t frame = frame_where(is_in_place);

    if (move == NULL || frame == UINT64_MAX) {
        return 0;
    }
    move->pages = 1;
    move->source = frame;
    return 1;
}

static int bounce_twice_in_one_frame(void)
{
    if (plan->move_count < 2) {
        return 0;
    }
    plan->steps[0].source = plan->steps[1].source;
    plan->steps[0].pages = 1;
    return 1;
}

static int bounce_in_itself(void)
{
    struct resume_placement_step *move = any_move();

    if (move == NULL) {
        return 0;
    }
    move->source = move->destination;
    return 1;
}

static int clear_a_source(void)
{
    const struct resume_placement_step *move = any_move();

    return move != NULL && add_clear(move->source);
}

static int fill_over_content(void)
{
    return add_fill(frame_where(is_in_place));
}

static int clear_over_content(void)
{
    return add_clear(frame_where(is_in_place));
}

static int fill_an_area(void)
{
    return add_fill(frame_where(in_area));
}

static int clear_an_area(void)
{
    return add_clear(frame_where(in_area));
}

static int read_an_area(void)
{
    struct resume_placement_step *move = any_move();
    const uint64_t frame = frame_where(in_area);

    if (move == NULL || frame == UINT64_MAX) {
        return 0;
    }
    move->pages = 1;
    move->source = frame;
    return 1;
}

static int fill_early(void)
{
    const struct resume_placement_step *fill = &plan->steps[plan->move_count];

    if (fills() == 0) {
        return 0;
    }
    insert_clear(fill->destination, fill->pages);
    remove_step(plan->move_count);
    return 1;
}

static int drop_fill(void)
{
    if (fills() == 0) {
        return 0;
    }
    remove_step(plan->move_count + world_below(fills()));
    return 1;
}

static int shorten_fill(void)
{
    if (fills() == 0) {
        return 0;
    }
    if (--plan->steps[plan->move_count].pages == 0) {
        remove_step(plan->move_count);
    }
    return 1;
}

/* Only what is not there for a final move: that would be read, and found missing. */
static int drop_clear(void)
{
    if (plan->clear_count == 0 || any_late_move() != NULL) {
        return 0;
    }
    remove_clear(world_below(plan->clear_count));
    return 1;
}

static int double_clear(void)
{
    if (plan->clear_count == 0) {
        return 0;
    }
    return add_clear(plan->clear[world_below(plan->clear_count)].first);
}

static int double_fill(void)
{
    if (fills() == 0) {
        return 0;
    }
    return add_fill(plan->steps[plan->move_count].destination);
}

static int fill_the_home(void)
{
    return add_fill(frame_where(is_home));
}

static int clear_the_home(void)
{
    return add_clear(frame_where(is_home));
}

static int fill_unusable(void)
{
    const uint64_t frame = frame_where(is_unusable);

    return add_fill(frame != UINT64_MAX || world.base == 0 ? frame : world.base - 1);
}

static int fill_beyond(void)
{
    return add_fill(frame_where(is_firmware_beyond));
}

static int raise_area(void)
{
    for (uint32_t i = 0; i < plan->area_count; i++) {
        if (world.areas[i].below < RESUME_FRAMES_END) {
            plan->area[i] = world.areas[i].below - world.areas[i].pages + 1;
            return 1;
        }
    }
    return 0;
}

static int area_beyond_everything(void)
{
    if (plan->area_count == 0) {
        return 0;
    }
    plan->area[0] = UINT64_MAX;
    return 1;
}

static int areas_in_one_place(void)
{
    if (plan->area_count < 2 || plan->area[1] >= world.areas[0].below ||
        world.areas[0].below - plan->area[1] < world.areas[0].pages) {
        return 0;
    }
    plan->area[0] = plan->area[1];
    return 1;
}

static int drop_final(void)
{
    if (plan->final_count == 0) {
        return 0;
    }
    plan->final_count--;
    return 1;
}

static int drop_last(void)
{
    if (plan->last.count == 0) {
        return 0;
    }
    plan->last.count--;
    return 1;
}

static int double_final(void)
{
    if (plan->final_count == 0) {
        return 0;
    }
    plan->final[plan->final_count] = plan->final[plan->final_count - 1];
    plan->final_count++;
    return 1;
}

static int double_last(void)
{
    const uint32_t count = plan->last.count;

    if (count == 0 || count == RESUME_PLACEMENT_LAST_STEPS) {
        return 0;
    }
    plan->last.steps[count] = plan->last.steps[count - 1];
    plan->last.count++;
    return 1;
}

static int swap_finals(void)
{
    struct resume_placement_step step;

    if (plan->final_count < 2) {
        return 0;
    }
    step = plan->final[0];
    plan->final[0] = plan->final[1];
    plan->final[1] = step;
    return 1;
}

static int final_too_late(void)
{
    if (plan->final_count == 0 || plan->last.count == RESUME_PLACEMENT_LAST_STEPS) {
        return 0;
    }
    plan->last.steps[plan->last.count++] = plan->final[--plan->final_count];
    return 1;
}

static int last_too_early(void)
{
    if (plan->last.count == 0 || plan->final_count != 0) {
        return 0;
    }
    plan->final[plan->final_count++] = plan->last.steps[--plan->last.count];
    return 1;
}

static int final_as_step(void)
{
    if (plan->final_count == 0 || plan->final[plan->final_count - 1].source != ZERO) {
        return 0;
    }
    plan->steps[plan->step_count++] = plan->final[--plan->final_count];
    return 1;
}

static int final_elsewhere(void)
{
    const uint64_t frame = frame_where(is_firmware_zero);

    if (frame == UINT64_MAX || plan->last.count == RESUME_PLACEMENT_LAST_STEPS) {
        return 0;
    }
    for (uint32_t i = plan->move_count; i < plan->step_count; i++) {
        if (plan->steps[i].destination == frame && plan->steps[i].pages == 1) {
            remove_step(i);
            plan->last.steps[plan->last.count++] = (struct resume_placement_step){ZERO, frame, 1};
            return 1;
        }
    }
    return 0;
}

/* Its content is then loaded in place, where the area is. */
static int late_move_made_a_fill(void)
{
    struct resume_placement_step *move = any_late_move();

    if (move == NULL) {
        return 0;
    }
    move->source = ZERO;
    return 1;
}

static int too_many_last(void)
{
    plan->last.count = RESUME_PLACEMENT_LAST_STEPS + 1;
    return 1;
}

static int area_forgotten(void)
{
    if (plan->area_count == 0) {
        return 0;
    }
    plan->area_count--;
    return 1;
}

static int home_elsewhere(void)
{
    plan->home.first++;
    return 1;
}

static int empty_step(void)
{
    if (plan->step_count == 0) {
        return 0;
    }
    plan->steps[world_below(plan->step_count)].pages = 0;
    return 1;
}

static int endless_step(void)
{
    if (plan->step_count == 0) {
        return 0;
    }
    plan->steps[world_below(plan->step_count)].pages = UINT64_MAX;
    return 1;
}

static int step_beyond_memory(void)
{
    if (plan->step_count == 0) {
        return 0;
    }
    plan->steps[world_below(plan->step_count)].destination = UINT64_MAX;
    return 1;
}

static int source_beyond_memory(void)
{
    struct resume_placement_step *move = any_move();

    if (move == NULL) {
        return 0;
    }
    move->source = ZERO - 1;
    return 1;
}

static int endless_clear(void)
{
    if (plan->clear_count == 0) {
        return 0;
    }
    plan->clear[0].count = UINT64_MAX;
    return 1;
}

/* Of several things that are wrong then, the one at the lowest frame is named. */
static const struct mutation {
    const char *name;
    int (*apply)(void);
    const char *fields; /* separated by commas */
} mutations[] = {
    {"drop a move", drop_move, "firmware,dirty"},
    {"double a move", double_move, "order"},
    {"swap moves", swap_moves, "order"},
    {"swap a move and a fill", swap_move_and_fill, "order"},
    {"miscount moves", miscount_moves, "order"},
    {"bounce in a destination", bounce_in_destination, "firmware,dirty"},
    {"bounce in content", bounce_in_content, "loaded twice,read twice,firmware,dirty"},
    {"bounce twice in one frame", bounce_twice_in_one_frame, "read twice,firmware,dirty"},
    {"bounce in itself", bounce_in_itself, "overlap"},
    {"clear a source", clear_a_source, "loaded twice"},
    {"fill over content", fill_over_content, "written twice"},
    {"clear over content", clear_over_content, "written twice"},
    {"fill an area", fill_an_area, "area in use,late"},
    {"clear an area", clear_an_area, "written twice,loaded twice"},
    {"read an area", read_an_area, "area in use,firmware,dirty"},
    {"fill before exit", fill_early, "firmware"},
    {"drop a fill", drop_fill, "dirty"},
    {"shorten a fill", shorten_fill, "dirty"},
    {"drop a clear", drop_clear, "dirty"},
    {"double a clear", double_clear, "order"},
    {"double a fill", double_fill, "written twice"},
    {"fill the home", fill_the_home, "home"},
    {"clear the home", clear_the_home, "home"},
    {"fill an unusable frame", fill_unusable, "unusable"},
    {"fill beyond the guest", fill_beyond, "destination"},
    {"raise an area", raise_area, "area"},
    {"area beyond everything", area_beyond_everything, "area"},
    {"areas in one place", areas_in_one_place, "area,area in use,loaded twice"},
    {"drop a final step", drop_final, "dirty,loaded twice"},
    {"drop a last step", drop_last, "dirty,loaded twice"},
    {"double a final step", double_final, "order"},
    {"double a last step", double_last, "written twice,read twice"},
    {"swap final steps", swap_finals, "order"},
    {"a final step among the last", final_too_late, "late"},
    {"a last step among the final", last_too_early, "late"},
    {"a final step at once", final_as_step, "area in use"},
    {"a last step elsewhere", final_elsewhere, "area in use"},
    {"a late move made a fill", late_move_made_a_fill, "written twice,dirty"},
    {"too many last steps", too_many_last, "order"},
    {"an area forgotten", area_forgotten, "order"},
    {"home elsewhere", home_elsewhere, "order"},
    {"an empty step", empty_step, "order"},
    {"an endless step", endless_step, "order"},
    {"a step beyond memory", step_beyond_memory, "order"},
    {"a source beyond memory", source_beyond_memory, "order"},
    {"an endless clear", endless_clear, "order"},
};
#define MUTATIONS (sizeof(mutations) / sizeof(mutations[0]))

static int listed(const char *fields, const char *field)
{
    const size_t length = strlen(field);

    while (fields != NULL) {
        if (strncmp(fields, field, length) == 0 && (fields[length] == ',' || fields[length] == 0)) {
            return 1;
        }
        fields = strchr(fields, ',');
        fields += fields != NULL;
    }
    return 0;
}

static void each_break_is_named(void **state)
{
    uint32_t applied[MUTATIONS] = {0};
    uint32_t first_named[MUTATIONS] = {0};

    (void)state;
    for (uint32_t i = 0; i < MACHINES; i++) {
        const uint32_t which = i % MUTATIONS;
        const struct mutation *mutation = &mutations[which];
        struct resume_diag diag;
        int err;

        world_seed = i;
        if (!make_plan()) {
            continue;
        }
        assert_int_equal(check(&diag), RESUME_OK);
        if (!mutation->apply()) {
            continue;
        }
        err = check(&diag);
        if (err != RESUME_ECONFLICT || !listed(mutation->fields, diag.field)) {
            fail_msg("machine %u: %s: error %d, \"%s\"", i, mutation->name, err,
                     err != RESUME_OK ? diag.field : "");
        }
        if (world_run(&world, plan, NULL) == NULL) {
            fail_msg("machine %u: %s: it is right", i, mutation->name);
        }
        applied[which]++;
        first_named[which] += strncmp(mutation->fields, diag.field, strlen(diag.field)) == 0;
    }
    for (uint32_t i = 0; i < MUTATIONS; i++) {
        if (applied[i] < 5 || first_named[i] == 0) {
            fail_msg("%s: tried %u times, named as expected first %u times", mutations[i].name,
                     applied[i], first_named[i]);
        }
    }
}

/* ---- Any change at all: checker and oracle agree ---- */

static uint64_t nudge(uint64_t value)
{
    switch (world_below(6)) {
    case 0:
        return value + 1;
    case 1:
        return value - 1;
    case 2:
        return value + world_below(8);
    case 3:
        return value - world_below(8);
    case 4:
        return ZERO;
    default:
        return world.base + world_below(world.frames);
    }
}

static void nudge_step(struct resume_placement_step *step)
{
    switch (world_below(3)) {
    case 0:
        step->source = nudge(step->source);
        break;
    case 1:
        step->destination = nudge(step->destination);
        break;
    default:
        step->pages = 1 + world_below(4);
        break;
    }
}

static void swap_steps(struct resume_placement_step *left, struct resume_placement_step *right)
{
    const struct resume_placement_step step = *left;

    *left = *right;
    *right = step;
}

/* Each random number is drawn in a statement of its own: the order must not be the compiler's. */
static struct resume_placement_step random_step(void)
{
    struct resume_placement_step step;

    step.source = world_below(2) ? ZERO : nudge(world.base);
    step.destination = world.base + world_below(world.frames);
    step.pages = 1 + world_below(3);
    return step;
}

static void change_a_list(void)
{
    struct resume_placement_step *lists[] = {plan->steps, plan->final, plan->last.steps};
    const uint32_t counts[] = {plan->step_count, plan->final_count, plan->last.count};
    const uint32_t from = world_below(3);
    const uint32_t to = world_below(2) ? from : world_below(3);
    struct resume_placement_step *left;
    struct resume_placement_step *right;

    if (counts[from] == 0 || counts[to] == 0) {
        return;
    }
    left = &lists[from][world_below(counts[from])];
    right = &lists[to][world_below(counts[to])];
    if (world_below(3) == 0) {
        swap_steps(left, right);
    } else {
        nudge_step(left);
    }
}

static void change_clear(void)
{
    struct resume_page_run *run;

    if (plan->clear_count == 0) {
        return;
    }
    run = &plan->clear[world_below(plan->clear_count)];
    if (world_below(2)) {
        run->first = nudge(run->first);
    } else {
        run->count = 1 + world_below(4);
    }
}

static void change(void)
{
    struct resume_placement_step step;

    switch (world_below(10)) {
    case 0:
        if (plan->step_count > 0) {
            remove_step(world_below(plan->step_count));
        }
        break;
    case 1:
        step = random_step();
        insert_step(plan->move_count, step.source, step.destination, step.pages);
        break;
    case 2:
        change_clear();
        break;
    case 3:
        add_clear(world.base + world_below(world.frames));
        break;
    case 4:
        if (plan->area_count > 0) {
            uint64_t *area = &plan->area[world_below(plan->area_count)];

            *area = nudge(*area);
        }
        break;
    case 5:
        if (plan->last.count < RESUME_PLACEMENT_LAST_STEPS) {
            plan->last.steps[plan->last.count++] = random_step();
        }
        break;
    case 6:
        plan->final[plan->final_count++] = random_step();
        break;
    default:
        change_a_list();
        break;
    }
}

/* Cut a step in two, and shift what can be shifted: many such plans are right. */
static void change_gently(void)
{
    const uint32_t at = plan->step_count == 0 ? 0 : world_below(plan->step_count);
    struct resume_placement_step *step = &plan->steps[at];

    if (plan->step_count > 0 && step->pages > 1 && plan->step_count + 1 < WORLD_STEPS) {
        const uint64_t pages = 1 + world_below((uint32_t)step->pages - 1);
        const struct resume_placement_step rest = {step->source == ZERO ? ZERO
                                                                        : step->source + pages,
                                                   step->destination + pages, step->pages - pages};

        step->pages = pages;
        insert_step(at + 1, rest.source, rest.destination, rest.pages);
    }
    if (plan->clear_count > 0 && world_below(2) == 0) {
        const struct resume_page_run run = plan->clear[plan->clear_count - 1];

        /* Zero it after the firmware instead. */
        plan->clear_count--;
        insert_step(plan->step_count, ZERO, run.first, run.count);
    }
}

static void checker_and_oracle_agree(void **state)
{
    uint32_t right = 0;
    uint32_t wrong = 0;

    (void)state;
    for (uint32_t i = 0; i < CHANGED; i++) {
        struct resume_diag diag;
        const char *error;
        uint32_t changes;
        int err;

        world_seed = UINT64_C(1) << 32 | i;
        if (!make_plan()) {
            continue;
        }
        if (world_below(3) == 0) {
            change_gently();
        }
        for (changes = world_below(3); changes > 0; changes--) {
            change();
        }
        err = check(&diag);
        error = world_run(&world, plan, NULL);
        if ((err == RESUME_OK) != (error == NULL) ||
            (err != RESUME_OK && err != RESUME_ECONFLICT)) {
            fail_msg("plan %u: the checker says %d \"%s\", the oracle \"%s\"", i, err,
                     err != RESUME_OK ? diag.field : "", error != NULL ? error : "right");
        }
        right += error == NULL;
        wrong += error != NULL;
    }
    print_message("%u plans: %u right, %u wrong\n", right + wrong, right, wrong);
    assert_true(right > CHANGED / 20 && wrong > CHANGED / 20);
}

/* ---- By hand ---- */

/*
 * Frames 0 to 3 FREE, 4 FIRMWARE; page 4 has content, and waits in 2. But a move before that brings
 * the zeroes of frame 0 to page 2.
 */
static void a_source_overwritten_before_it_is_read(void **state)
{
    static const struct resume_frames frames[] = {{0, 4, RESUME_FRAME_FREE, 0},
                                                  {4, 1, RESUME_FRAME_FIRMWARE, 0}};
    static const struct resume_page_run ram[] = {{0, 5}};
    static const struct resume_page_run content[] = {{4, 1}};
    struct resume_diag diag;

    (void)state;
    world.input = (struct resume_placement_input){.frames = frames,
                                                  .ram = ram,
                                                  .content = content,
                                                  .frames_count = 2,
                                                  .ram_count = 1,
                                                  .content_count = 1};
    world_plan_room(&world, WORLD_STEPS, WORLD_STEPS, WORLD_STEPS);
    plan->steps[0] = (struct resume_placement_step){2, 4, 1};
    plan->step_count = 1;
    plan->move_count = 1;
    plan->clear[0] = (struct resume_page_run){0, 2};
    plan->clear[1] = (struct resume_page_run){3, 1};
    plan->clear_count = 2;
    assert_int_equal(check(&diag), RESUME_OK);

    insert_step(0, 0, 2, 1);
    assert_int_equal(check(&diag), RESUME_ECONFLICT);
    assert_string_equal(diag.field, "source");
    assert_int_equal(diag.offset, 2 << RESUME_PAGE_SHIFT);

    /* Read before it is overwritten: page 4 would have to be the lower one. */
    plan->steps[0] = (struct resume_placement_step){0, 3, 1};
    plan->clear_count = 1;
    assert_int_equal(check(&diag), RESUME_OK);

    /* Page 4 not brought anywhere. */
    plan->clear[1] = (struct resume_page_run){2, 2};
    plan->clear_count = 2;
    plan->step_count = 0;
    plan->move_count = 0;
    assert_int_equal(check(&diag), RESUME_ECONFLICT);
    assert_string_equal(diag.field, "firmware");
    assert_int_equal(diag.offset, 4 << RESUME_PAGE_SHIFT);
}

static void guests_pages_in_unusable_frames(void **state)
{
    static const struct resume_frames frames[] = {{0, 4, RESUME_FRAME_FREE, 0}};
    static const struct resume_page_run ram[] = {{0, 5}};
    static const struct resume_page_run outside[] = {{5, 1}};
    struct resume_placement_input input = {
        .frames = frames, .ram = ram, .frames_count = 1, .ram_count = 1};
    struct resume_diag diag;

    (void)state;
    world_plan_room(&world, WORLD_STEPS, WORLD_STEPS, WORLD_STEPS);
    plan->clear[0] = (struct resume_page_run){0, 4};
    plan->clear_count = 1;
    world.input = input;
    assert_int_equal(check(&diag), RESUME_ECONFLICT);
    assert_string_equal(diag.field, "unusable");
    assert_int_equal(diag.offset, 4 << RESUME_PAGE_SHIFT);
    input.home = (struct resume_page_run){4, 1};
    plan->home = input.home;
    world.input = input;
    assert_int_equal(check(&diag), RESUME_ECONFLICT);
    assert_string_equal(diag.field, "unusable");
    /* Content or home where there is no RAM: that is no input. */
    input.content = outside;
    input.content_count = 1;
    input.ram_count = 0;
    input.home.count = 0;
    plan->home = input.home;
    world.input = input;
    plan->clear_count = 0;
    assert_int_equal(check(&diag), RESUME_EINVAL);
    input.content_count = 0;
    input.home = (struct resume_page_run){5, 1};
    plan->home = input.home;
    world.input = input;
    assert_int_equal(check(&diag), RESUME_EINVAL);
}

static void arguments_are_checked(void **state)
{
    static const struct resume_page_run descending[] = {{4, 1}, {2, 1}};
    static const struct resume_frames kind[] = {{0, 4, 9, 0}};
    const struct resume_placement_input right = {.frames = NULL};
    struct resume_placement_input input = right;
    struct resume_diag diag = {0};
    uint64_t size;

    (void)state;
    world_plan_room(&world, WORLD_STEPS, WORLD_STEPS, WORLD_STEPS);
    size = resume_placement_check_size(plan);
    assert_true(size <= sizeof(scratch));
    world.input = right;
    assert_int_equal(check(&diag), RESUME_OK);
    assert_int_equal(resume_placement_check(&right, plan, scratch, size, NULL), RESUME_OK);
    assert_int_equal(resume_placement_check(&right, plan, scratch, size - 1, &diag), RESUME_ENOSPC);
    assert_int_equal(diag.expected, size);
    assert_int_equal(resume_placement_check(NULL, plan, scratch, size, NULL), RESUME_EINVAL);
    assert_int_equal(resume_placement_check(&right, NULL, scratch, size, NULL), RESUME_EINVAL);
    assert_int_equal(resume_placement_check(&right, plan, NULL, size, NULL), RESUME_EINVAL);
    assert_int_equal(resume_placement_check(&right, plan, (uint8_t *)scratch + 4, size, NULL),
                     RESUME_EINVAL);
    input.ram = descending;
    input.ram_count = 2;
    assert_int_equal(resume_placement_check(&input, plan, scratch, size, NULL), RESUME_EINVAL);
    input = right;
    input.content = descending;
    input.content_count = 2;
    assert_int_equal(resume_placement_check(&input, plan, scratch, size, NULL), RESUME_EINVAL);
    input = right;
    input.frames = kind;
    input.frames_count = 1;
    assert_int_equal(resume_placement_check(&input, plan, scratch, size, NULL), RESUME_EINVAL);
    input = right;
    input.area_count = RESUME_PLACEMENT_AREAS + 1;
    assert_int_equal(resume_placement_check(&input, plan, scratch, size, NULL), RESUME_EINVAL);
    input = right;
    input.home = (struct resume_page_run){UINT64_MAX, 2};
    assert_int_equal(resume_placement_check(&input, plan, scratch, size, NULL), RESUME_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_source_overwritten_before_it_is_read),
        cmocka_unit_test(guests_pages_in_unusable_frames),
        cmocka_unit_test(each_break_is_named),
        cmocka_unit_test(checker_and_oracle_agree),
        cmocka_unit_test(arguments_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
