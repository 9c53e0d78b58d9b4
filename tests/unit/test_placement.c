/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The planner of placement, for thousands of random machines: tests/support/placement_world.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "placement_world.h"

#define MACHINES 60000u

static struct world world;
static uint64_t scratch[32768];

/* What became of the machines; all kinds have to occur, or the test would show little. */
static struct {
    uint32_t planned;
    uint32_t moved;
    uint32_t displaced;
    uint32_t displaced_last;
    uint32_t conflict[3];
    uint32_t frames;
    uint32_t area;
    uint32_t last;
} seen;

static void fail_machine(const char *what, uint64_t frame)
{
    fail_msg("seed %#llx: %s (frame %#llx)", (unsigned long long)world_seed, what,
             (unsigned long long)frame);
}

static int make(struct resume_diag *diag)
{
    memset(diag, 0, sizeof(*diag));
    return resume_placement_make(&world.input, &world.plan, diag);
}

static void assert_plan_is_right(void)
{
    struct resume_diag diag = {0};
    uint64_t frame;
    const char *error = world_run(&world, &world.plan, &frame);

    if (error != NULL) {
        fail_machine(error, frame);
    }
    assert_true(resume_placement_check_size(&world.plan) <= sizeof(scratch));
    if (resume_placement_check(&world.input, &world.plan, scratch, sizeof(scratch), &diag) !=
        RESUME_OK) {
        fail_machine(diag.field, diag.offset >> RESUME_PAGE_SHIFT);
    }
}

/* The numbers for messages, counted anew. */
static void assert_counts(void)
{
    uint64_t content = 0;
    uint64_t zero = 0;
    uint64_t elsewhere = 0;

    for (uint32_t i = 0; i < world.frames; i++) {
        struct resume_placement_spot spot;

        if (world.home[i] || !world.ram[i]) {
            continue;
        }
        if (!world.content[i]) {
            zero++;
            continue;
        }
        content++;
        assert_int_equal(resume_placement_locate(&world.plan, world.base + i, 1, &spot), RESUME_OK);
        elsewhere += spot.where == RESUME_PLACEMENT_BOUNCED;
    }
    assert_int_equal(world.plan.pages_moved, elsewhere);
    assert_int_equal(world.plan.pages_in_place + world.plan.pages_moved, content);
    assert_int_equal(world.plan.pages_cleared + world.plan.pages_filled, zero);
}

/* A machine with one kind of page in an UNUSABLE frame: 0 zero, 1 content, 2 home; the first one. */
static uint64_t first_unusable(uint32_t what)
{
    for (uint32_t i = 0; i < world.frames; i++) {
        const uint32_t is = world.home[i] ? 2 : world.content[i];

        if (world.ram[i] && world.kind[i] == RESUME_FRAME_UNUSABLE && is == what) {
            return world.base + i;
        }
    }
    return UINT64_MAX;
}

static int expect_conflict(int err, const struct resume_diag *diag)
{
    static const char *const field[] = {"zero", "content", "home"};

    for (uint32_t what = 3; what-- > 0;) {
        const uint64_t page = first_unusable(what);

        if (page != UINT64_MAX) {
            assert_int_equal(err, RESUME_ECONFLICT);
            assert_string_equal(diag->field, field[what]);
            assert_int_equal(diag->offset, page << RESUME_PAGE_SHIFT);
            seen.conflict[what]++;
            return 1;
        }
    }
    return 0;
}

/* Add @count FREE frames behind the machine; 0 if there is no room. */
static int grow(uint64_t count)
{
    if (count > WORLD_FRAMES - world.frames ||
        count > RESUME_FRAMES_END - world.base - world.frames) {
        return 0;
    }
    for (uint64_t i = 0; i < count; i++) {
        world.kind[world.frames] = RESUME_FRAME_FREE;
        world.frames++;
    }
    world_ranges(&world);
    return 1;
}

static int is_lack(int err, const struct resume_diag *diag, const char *field)
{
    return err == RESUME_ENOSPC && strcmp(diag->field, field) == 0;
}

/* One less than what is said to be missing is not enough; what is said is. */
static void missing_frames_are_exact(uint64_t missing)
{
    struct resume_diag diag;
    int err;

    if (!grow(missing - 1)) {
        return;
    }
    err = make(&diag);
    assert_true(is_lack(err, &diag, "frames"));
    assert_int_equal(diag.expected - diag.found, 1);
    if (!grow(1)) {
        return;
    }
    err = make(&diag);
    assert_true(err == RESUME_OK || is_lack(err, &diag, "area") || is_lack(err, &diag, "last"));
    if (err == RESUME_OK) {
        assert_plan_is_right();
    }
}

/* Areas before this one are where the same input without it puts them. */
static void missing_area_is_exact(const struct resume_diag *diag)
{
    const uint32_t index = diag->vcpu;
    const uint64_t first = diag->offset >> RESUME_PAGE_SHIFT;
    uint8_t taken[WORLD_FRAMES] = {0};
    struct resume_diag less;
    uint64_t longest = 0;
    uint64_t run = 0;
    int err;

    assert_int_equal(diag->expected, world.areas[index].pages);
    assert_true(diag->found < diag->expected);
    world.input.area_count = index;
    err = make(&less);
    if (err != RESUME_OK) {
        assert_true(is_lack(err, &less, "last"));
        return;
    }
    for (uint32_t i = 0; i < index; i++) {
        for (uint64_t page = 0; page < world.areas[i].pages; page++) {
            taken[world.plan.area[i] - world.base + page] = 1;
        }
    }
    for (uint32_t i = 0; i < world.frames && world.base + i < world.areas[index].below; i++) {
        const int usable = world.kind[i] == RESUME_FRAME_FREE && !world.home[i] && !taken[i];

        run = usable ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    assert_int_equal(diag->found, longest);
    if (index != 0 || longest == 0) {
        return;
    }
    /* Give it what is missing, behind the longest run. */
    for (uint64_t frame = first + longest; frame < first + diag->expected; frame++) {
        if (frame - world.base >= world.frames || world.home[frame - world.base] ||
            frame >= world.areas[0].below) {
            return;
        }
    }
    for (uint64_t frame = first + longest; frame < first + diag->expected; frame++) {
        world.kind[frame - world.base] = RESUME_FRAME_FREE;
    }
    world.area_count = 1;
    world_ranges(&world);
    assert_int_equal(make(&less), RESUME_OK);
    assert_plan_is_right();
}

static void last_steps_need_contiguous_frames(void)
{
    struct resume_diag diag;
    uint64_t pages = 0;

    for (uint32_t i = 0; i < world.area_count; i++) {
        pages += (world.areas[i].flags & RESUME_PLACEMENT_LAST) != 0 ? world.areas[i].pages : 0;
    }
    assert_true(pages > RESUME_PLACEMENT_LAST_STEPS);
    if (grow(pages)) {
        assert_int_equal(make(&diag), RESUME_OK);
        assert_plan_is_right();
    }
}

static void room_is_exact(const struct resume_placement_bound *bound)
{
    const uint32_t steps = world.plan.step_count;
    const uint32_t final = world.plan.final_count;
    const uint32_t clear = world.plan.clear_count;
    struct resume_diag diag;

    assert_true(steps <= bound->steps && final <= bound->final && clear <= bound->clear);
    world_plan_room(&world, steps, final, clear);
    assert_int_equal(make(&diag), RESUME_OK);
    assert_int_equal(world.plan.step_count, steps);
    assert_int_equal(world.plan.final_count, final);
    assert_int_equal(world.plan.clear_count, clear);
    if (steps > 0) {
        world_plan_room(&world, steps - 1, final, clear);
        assert_true(is_lack(make(&diag), &diag, "steps"));
        assert_int_equal(world.plan.step_count, 0);
    }
    if (final > 0) {
        world_plan_room(&world, steps, final - 1, clear);
        assert_true(is_lack(make(&diag), &diag, "final"));
    }
    if (clear > 0) {
        world_plan_room(&world, steps, final, clear - 1);
        assert_true(is_lack(make(&diag), &diag, "clear"));
    }
}

static uint32_t area_is_put_back(const struct resume_placement_step *steps, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (steps[i].source != RESUME_PLACEMENT_ZERO) {
            return 1;
        }
    }
    return 0;
}

static void try_machine(void)
{
    struct resume_placement_bound bound = {0, 0, 0};
    struct resume_placement before;
    struct resume_diag diag;
    const uint64_t seed = world_seed;
    int err;

    world_make(&world);
    world_plan_room(&world, WORLD_STEPS, WORLD_STEPS, WORLD_STEPS);
    before = world.plan;
    err = make(&diag);
    if (err != RESUME_OK) {
        assert_memory_equal(&world.plan, &before, sizeof(before));
    }
    if (expect_conflict(err, &diag)) {
        return;
    }
    assert_int_equal(resume_placement_bound_compute(&world.input, &bound, NULL), RESUME_OK);
    assert_true(bound.steps <= WORLD_STEPS && bound.clear <= WORLD_STEPS);
    assert_true(bound.final <= WORLD_STEPS);
    if (world_needed(&world) > world_free(&world)) {
        assert_true(is_lack(err, &diag, "frames"));
        assert_int_equal(diag.found, world_free(&world));
        assert_int_equal(diag.expected, world_needed(&world));
        seen.frames++;
        missing_frames_are_exact(diag.expected - diag.found);
        return;
    }
    if (is_lack(err, &diag, "area")) {
        seen.area++;
        missing_area_is_exact(&diag);
        return;
    }
    if (is_lack(err, &diag, "last")) {
        seen.last++;
        last_steps_need_contiguous_frames();
        return;
    }
    if (err != RESUME_OK) {
        world_seed = seed;
        fail_machine(diag.field, diag.offset >> RESUME_PAGE_SHIFT);
    }
    seen.planned++;
    seen.moved += world.plan.move_count > 0;
    seen.displaced += area_is_put_back(world.plan.final, world.plan.final_count);
    seen.displaced_last += area_is_put_back(world.plan.last.steps, world.plan.last.count);
    assert_plan_is_right();
    assert_counts();
    room_is_exact(&bound);
}

static void random_machines_are_planned_right(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof(seen));
    for (uint32_t i = 0; i < MACHINES; i++) {
        world_seed = i;
        try_machine();
    }
    print_message(
        "%u machines: %u planned (%u with moves, %u and %u with displaced content); "
        "conflicts: %u zero, %u content, %u home; too little: %u frames, %u area, %u last steps\n",
        MACHINES, seen.planned, seen.moved, seen.displaced, seen.displaced_last, seen.conflict[0],
        seen.conflict[1], seen.conflict[2], seen.frames, seen.area, seen.last);
    assert_true(seen.planned > MACHINES / 4 && seen.moved > MACHINES / 8);
    assert_true(seen.displaced > 100 && seen.displaced_last > 100 && seen.frames > 100 &&
                seen.area > 100);
    assert_true(seen.conflict[0] > 10 && seen.conflict[1] > 10 && seen.conflict[2] > 10);
}

/* Every answer for a run must be what the pages of it say one by one. */
static void locate_answers_for_runs_as_for_pages(void **state)
{
    struct resume_placement_spot spot;
    struct resume_placement_spot single;
    struct resume_diag diag;
    uint32_t longer = 0;

    (void)state;
    for (uint32_t n = 0; n < 3000; n++) {
        world_seed = n;
        world_make(&world);
        world_plan_room(&world, WORLD_STEPS, WORLD_STEPS, WORLD_STEPS);
        if (make(&diag) != RESUME_OK) {
            continue;
        }
        for (uint32_t i = 0; i < world.frames; i++) {
            const uint32_t pages = 1 + world_below(world.frames - i);

            assert_int_equal(resume_placement_locate(&world.plan, world.base + i, pages, &spot),
                             RESUME_OK);
            assert_true(spot.pages >= 1 && spot.pages <= pages);
            longer += spot.pages > 1;
            for (uint64_t page = 0; page < spot.pages; page++) {
                assert_int_equal(
                    resume_placement_locate(&world.plan, world.base + i + page, 1, &single),
                    RESUME_OK);
                assert_int_equal(single.frame, spot.frame + page);
                assert_int_equal(single.where, spot.where);
            }
        }
    }
    assert_true(longer > 10000);
    memset(&spot, 0x5a, sizeof(spot));
    single = spot;
    assert_int_equal(resume_placement_locate(NULL, 0, 1, &spot), RESUME_EINVAL);
    assert_int_equal(resume_placement_locate(&world.plan, 0, 1, NULL), RESUME_EINVAL);
    assert_int_equal(resume_placement_locate(&world.plan, 0, 0, &spot), RESUME_EINVAL);
    assert_int_equal(resume_placement_locate(&world.plan, RESUME_FRAMES_END - 1, 2, &spot),
                     RESUME_EINVAL);
    assert_int_equal(resume_placement_locate(&world.plan, UINT64_MAX, 2, &spot), RESUME_EINVAL);
    assert_memory_equal(&spot, &single, sizeof(spot));
}

/* ---- One machine by hand ---- */

/*
 * Ten frames: the firmware in 2 and 3; the guest has 0 to 7, with content in 1 and 2; the home is 5.
 * An area of one page below 1 MiB, and one of two pages, to be left last.
 */
static const struct resume_frames hand_frames[] = {
    {0, 2, RESUME_FRAME_FREE, 0}, {2, 2, RESUME_FRAME_FIRMWARE, 0}, {4, 6, RESUME_FRAME_FREE, 0}};
static const struct resume_page_run hand_ram[] = {{0, 8}};
static const struct resume_page_run hand_content[] = {{1, 2}, {5, 1}};
static const struct resume_placement_area hand_areas[] = {
    {1, 1, 0, 0}, {2, RESUME_FRAMES_END, RESUME_PLACEMENT_LAST, 0}};
static const struct resume_placement_input hand = {.frames = hand_frames,
                                                   .ram = hand_ram,
                                                   .content = hand_content,
                                                   .areas = hand_areas,
                                                   .frames_count = 3,
                                                   .ram_count = 1,
                                                   .content_count = 2,
                                                   .area_count = 2,
                                                   .home = {5, 1}};

static void a_small_machine_by_hand(void **state)
{
    struct resume_placement_spot spot;
    struct resume_diag diag;

    (void)state;
    world.input = hand;
    world_plan_room(&world, WORLD_STEPS, WORLD_STEPS, WORLD_STEPS);
    assert_int_equal(make(&diag), RESUME_OK);
    /* The areas: frame 0, which is zero in the end, and the two beyond the guest's RAM. */
    assert_int_equal(world.plan.area[0], 0);
    assert_int_equal(world.plan.area[1], 8);
    /* Page 2 waits in the first frame of a page that is zero, and frame 3 is zeroed. */
    assert_int_equal(world.plan.move_count, 1);
    assert_int_equal(world.plan.step_count, 2);
    assert_int_equal(world.plan.steps[0].source, 4);
    assert_int_equal(world.plan.steps[0].destination, 2);
    assert_int_equal(world.plan.steps[0].pages, 1);
    assert_true(world.plan.steps[1].source == RESUME_PLACEMENT_ZERO);
    assert_int_equal(world.plan.steps[1].destination, 3);
    assert_int_equal(world.plan.steps[1].pages, 1);
    assert_int_equal(world.plan.clear_count, 1);
    assert_int_equal(world.plan.clear[0].first, 6);
    assert_int_equal(world.plan.clear[0].count, 2);
    assert_int_equal(world.plan.final_count, 1);
    assert_true(world.plan.final[0].source == RESUME_PLACEMENT_ZERO);
    assert_int_equal(world.plan.final[0].destination, 0);
    assert_int_equal(world.plan.final[0].pages, 1);
    assert_int_equal(world.plan.last.count, 1);
    assert_true(world.plan.last.steps[0].source == RESUME_PLACEMENT_ZERO);
    assert_int_equal(world.plan.last.steps[0].destination, 8);
    assert_int_equal(world.plan.last.steps[0].pages, 2);
    assert_int_equal(world.plan.pages_in_place, 1);
    assert_int_equal(world.plan.pages_moved, 1);
    assert_int_equal(world.plan.pages_cleared, 2);
    assert_int_equal(world.plan.pages_filled, 3);

    assert_int_equal(resume_placement_locate(&world.plan, 1, 2, &spot), RESUME_OK);
    assert_int_equal(spot.where, RESUME_PLACEMENT_IN_PLACE);
    assert_int_equal(spot.frame, 1);
    assert_int_equal(spot.pages, 1);
    assert_int_equal(resume_placement_locate(&world.plan, 2, 1, &spot), RESUME_OK);
    assert_int_equal(spot.where, RESUME_PLACEMENT_BOUNCED);
    assert_int_equal(spot.frame, 4);
    assert_int_equal(resume_placement_locate(&world.plan, 5, 1, &spot), RESUME_OK);
    assert_int_equal(spot.where, RESUME_PLACEMENT_DROPPED);
}

/*
 * An area where the guest has content on both sides of a zero page. One that is overwritten by last
 * steps is bounced as a whole, for there must be few of them; another one's zero page is filled.
 */
static void displaced_content_comes_back(void **state)
{
    static const struct resume_frames frames[] = {{0, 3, RESUME_FRAME_FREE, 0},
                                                  {16, 3, RESUME_FRAME_FREE, 0}};
    static const struct resume_page_run ram[] = {{0, 3}};
    static const struct resume_page_run content[] = {{0, 1}, {2, 1}};
    struct resume_placement_area area = {3, 16, RESUME_PLACEMENT_LAST, 0};
    struct resume_diag diag;

    (void)state;
    world.input = (struct resume_placement_input){.frames = frames,
                                                  .ram = ram,
                                                  .content = content,
                                                  .areas = &area,
                                                  .frames_count = 2,
                                                  .ram_count = 1,
                                                  .content_count = 2,
                                                  .area_count = 1};
    world_plan_room(&world, WORLD_STEPS, WORLD_STEPS, WORLD_STEPS);
    assert_int_equal(make(&diag), RESUME_OK);
    assert_int_equal(world.plan.step_count + world.plan.final_count, 0);
    assert_int_equal(world.plan.last.count, 1);
    assert_int_equal(world.plan.last.steps[0].source, 16);
    assert_int_equal(world.plan.last.steps[0].destination, 0);
    assert_int_equal(world.plan.last.steps[0].pages, 3);
    assert_int_equal(world.plan.clear_count, 1);
    assert_int_equal(world.plan.clear[0].first, 17);
    assert_int_equal(world.plan.clear[0].count, 1);
    assert_int_equal(world.plan.pages_moved, 2);

    area.flags = 0;
    assert_int_equal(make(&diag), RESUME_OK);
    assert_int_equal(world.plan.step_count, 0);
    assert_int_equal(world.plan.last.count, 0);
    assert_int_equal(world.plan.clear_count, 0);
    assert_int_equal(world.plan.final_count, 3);
    assert_int_equal(world.plan.final[0].source, 16);
    assert_int_equal(world.plan.final[0].destination, 0);
    assert_true(world.plan.final[1].source == RESUME_PLACEMENT_ZERO);
    assert_int_equal(world.plan.final[1].destination, 1);
    assert_int_equal(world.plan.final[2].source, 17);
    assert_int_equal(world.plan.final[2].destination, 2);
    assert_int_equal(world.plan.pages_moved, 2);
}

/* So that moves are few; what is left of the short runs is zeroed, nothing of the long ones. */
static void long_runs_are_used_first(void **state)
{
    static const struct resume_frames frames[] = {{0, 10, RESUME_FRAME_FREE, 0},
                                                  {10, 70, RESUME_FRAME_FIRMWARE, 0},
                                                  {80, 64, RESUME_FRAME_FREE, 0}};
    static const struct resume_page_run ram[] = {{0, 144}};
    static const struct resume_page_run content[] = {{10, 70}};
    struct resume_diag diag;

    (void)state;
    world.input = (struct resume_placement_input){.frames = frames,
                                                  .ram = ram,
                                                  .content = content,
                                                  .frames_count = 3,
                                                  .ram_count = 1,
                                                  .content_count = 1};
    world_plan_room(&world, WORLD_STEPS, WORLD_STEPS, WORLD_STEPS);
    assert_int_equal(make(&diag), RESUME_OK);
    assert_int_equal(world.plan.step_count, 2);
    assert_int_equal(world.plan.steps[0].source, 80);
    assert_int_equal(world.plan.steps[0].destination, 10);
    assert_int_equal(world.plan.steps[0].pages, 64);
    assert_int_equal(world.plan.steps[1].source, 0);
    assert_int_equal(world.plan.steps[1].destination, 74);
    assert_int_equal(world.plan.steps[1].pages, 6);
    assert_int_equal(world.plan.clear_count, 1);
    assert_int_equal(world.plan.clear[0].first, 6);
    assert_int_equal(world.plan.clear[0].count, 4);
}

/* ---- Arguments ---- */

static void assert_refused(const struct resume_placement_input *input, const char *field)
{
    struct resume_placement_bound bound = {77, 77, 77};
    struct resume_placement before;
    struct resume_diag diag = {0};

    world_plan_room(&world, WORLD_STEPS, WORLD_STEPS, WORLD_STEPS);
    before = world.plan;
    assert_int_equal(resume_placement_make(input, &world.plan, &diag), RESUME_EINVAL);
    assert_string_equal(diag.field, field);
    assert_memory_equal(&before, &world.plan, sizeof(before));
    assert_int_equal(resume_placement_bound_compute(input, &bound, NULL), RESUME_EINVAL);
    assert_int_equal(bound.steps, 77);
}

static void wrong_runs_are_refused(void **state)
{
    static const struct resume_page_run runs[][2] = {
        {{0, 0}, {4, 1}},                     /* empty */
        {{4, 2}, {5, 1}},                     /* overlapping */
        {{4, 1}, {2, 1}},                     /* descending */
        {{RESUME_FRAMES_END - 1, 2}, {4, 1}}, /* beyond the end */
        {{4, UINT64_MAX}, {6, 1}},            /* wraps */
        {{UINT64_MAX, 2}, {6, 1}},            /* wraps */
        {{RESUME_FRAMES_END, 1}, {6, 1}},     /* at the end */
    };

    (void)state;
    for (uint32_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
        struct resume_placement_input input = hand;
        struct resume_frames frames[2];

        input.ram = runs[i];
        input.ram_count = 2;
        assert_refused(&input, "ram");
        input = hand;
        input.content = runs[i];
        input.content_count = 2;
        assert_refused(&input, "content");
        input = hand;
        for (uint32_t j = 0; j < 2; j++) {
            frames[j] =
                (struct resume_frames){runs[i][j].first, runs[i][j].count, RESUME_FRAME_FREE, 0};
        }
        input.frames = frames;
        input.frames_count = 2;
        assert_refused(&input, "frames");
    }
}

static void wrong_inputs_are_refused(void **state)
{
    static const struct resume_page_run outside[] = {{7, 2}};
    static const struct resume_page_run holes[] = {{2, 2}, {6, 2}};
    static const struct resume_page_run in_holes[] = {{1, 2}, {3, 2}, {3, 4},
                                                      {4, 1}, {5, 2}, {7, 2}};
    static const struct resume_frames kind[] = {{0, 1, 3, 0}};
    struct resume_placement_area area = {1, RESUME_FRAMES_END, 0, 0};
    struct resume_placement_input input = hand;
    struct resume_placement plan = {0};

    (void)state;
    input.content = outside;
    input.content_count = 1;
    assert_refused(&input, "content");
    input.ram = holes;
    input.ram_count = 2;
    input.home.count = 0;
    for (uint32_t i = 0; i < sizeof(in_holes) / sizeof(in_holes[0]); i++) {
        input.content = &in_holes[i];
        assert_refused(&input, "content");
    }
    input = hand;
    input.home = (struct resume_page_run){7, 2};
    assert_refused(&input, "home");
    input.home = (struct resume_page_run){UINT64_MAX, 2};
    assert_refused(&input, "home");
    input = hand;
    input.frames = kind;
    input.frames_count = 1;
    assert_refused(&input, "frames");
    input = hand;
    input.area_count = RESUME_PLACEMENT_AREAS + 1;
    assert_refused(&input, "areas");
    input.areas = &area;
    input.area_count = 1;
    area.pages = 0;
    assert_refused(&input, "areas");
    area.pages = UINT64_MAX;
    assert_refused(&input, "areas");
    area.pages = 1;
    area.below = RESUME_FRAMES_END + 1;
    assert_refused(&input, "areas");
    area.below = RESUME_FRAMES_END;
    area.flags = 2;
    assert_refused(&input, "areas");
    input = hand;
    input.ram = NULL;
    assert_refused(&input, "ram");
    input = hand;
    input.content = NULL;
    assert_refused(&input, "content");
    input = hand;
    input.areas = NULL;
    assert_refused(&input, "areas");
    input = hand;
    input.frames = NULL;
    assert_refused(&input, "frames");
    assert_refused(NULL, "input");
    assert_int_equal(resume_placement_make(&hand, NULL, NULL), RESUME_EINVAL);
    assert_int_equal(resume_placement_bound_compute(&hand, NULL, NULL), RESUME_EINVAL);
    plan.step_capacity = 1;
    assert_int_equal(resume_placement_make(&hand, &plan, NULL), RESUME_EINVAL);
    plan.step_capacity = 0;
    plan.final_capacity = 1;
    assert_int_equal(resume_placement_make(&hand, &plan, NULL), RESUME_EINVAL);
    plan.final_capacity = 0;
    plan.clear_capacity = 1;
    assert_int_equal(resume_placement_make(&hand, &plan, NULL), RESUME_EINVAL);
}

static void an_empty_machine_needs_nothing(void **state)
{
    const struct resume_placement_input nothing = {.frames = NULL};
    struct resume_placement plan = {0};
    uint64_t some[1024];

    (void)state;
    assert_int_equal(resume_placement_make(&nothing, &plan, NULL), RESUME_OK);
    assert_int_equal(plan.step_count + plan.clear_count + plan.last.count, 0);
    assert_true(resume_placement_check_size(&plan) <= sizeof(some));
    assert_int_equal(resume_placement_check(&nothing, &plan, some, sizeof(some), NULL), RESUME_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_machine_by_hand),
        cmocka_unit_test(displaced_content_comes_back),
        cmocka_unit_test(long_runs_are_used_first),
        cmocka_unit_test(random_machines_are_planned_right),
        cmocka_unit_test(locate_answers_for_runs_as_for_pages),
        cmocka_unit_test(wrong_runs_are_refused),
        cmocka_unit_test(wrong_inputs_are_refused),
        cmocka_unit_test(an_empty_machine_needs_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
