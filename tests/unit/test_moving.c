/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What moving adds: areas, and the tables of transit and home, by an independent walker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <resume/moving.h>

#include "linux_vcpu.h"
#include "pt_oracle.h"

#include <trampoline.h>

#define STAGING_PA UINT64_C(0x3000000)
#define STARTUP_PA UINT64_C(0x87000)
#define TABLES_PA UINT64_C(0x2800000)
#define APIC_PA UINT64_C(0xfee00000)
#define TABLES_ROOM 512u
#define UNTOUCHED 0x5a
#define HOME_FRAME (LINUX_HOME_PA >> 12)

struct fixture {
    struct resume_guest guest;
    struct resume_cpu cpu;
    struct resume_frames frames[64];
    struct resume_page_run ram;
    struct resume_placement_input input;
    struct resume_placement_area areas[RESUME_MOVING_AREAS];
    struct resume_placement_last last;
    struct resume_moving moving;
    struct resume_transit_input transit;
    uint8_t *staging;
    uint8_t *tables;
    uint8_t startup[4096];
};

/* A PC with 2 GiB below 4 GiB and 6 above: 10 stretches of RAM, by nine ranges and more. */
static void use_pc(struct fixture *f)
{
    const struct resume_frames pc[] = {
        {0, 1, RESUME_FRAME_FIRMWARE, 0},
        {1, 0x9e, RESUME_FRAME_FREE, 0},
        {0x100, 0x700, RESUME_FRAME_FREE, 0},
        {0x800, 0x8, RESUME_FRAME_FIRMWARE, 0},
        {0x808, 0x7d7f8 - 0x1000, RESUME_FRAME_FREE, 0},
        {0x7d000, 0x2000, RESUME_FRAME_FIRMWARE, 0},
        {0x7f300, 0xd00, RESUME_FRAME_FREE, 0},
        {0x100000, 0x180000, RESUME_FRAME_FREE, 0},
    };

    memcpy(f->frames, pc, sizeof(pc));
    f->input.frames_count = sizeof(pc) / sizeof(pc[0]);
}

static int setup(void **context)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (f == NULL || resume_image_layout_compute(4, 832, &f->guest.layout) != 0)
        return -1;
    resume_staging_compute(&f->guest.layout, &f->guest.staging);
    f->guest.set.levels = 4;
    f->guest.plan.home = (struct resume_home){.va = LINUX_HOME_VA,
                                              .pa = LINUX_HOME_PA,
                                              .length = f->guest.layout.length,
                                              .kind = RESUME_HOME_PADDING,
                                              .fill = 0xcc};
    f->staging = aligned_alloc(4096, f->guest.staging.length);
    f->tables = aligned_alloc(4096, TABLES_ROOM * 4096);
    if (f->staging == NULL || f->tables == NULL)
        return -1;
    use_pc(f);
    f->ram = (struct resume_page_run){0x100, 0x7000};
    f->ram.count = HOME_FRAME + 0x1000 - 0x100;
    f->input.frames = f->frames;
    f->input.ram = &f->ram;
    f->input.ram_count = 1;
    f->input.content = &f->ram;
    f->input.home = (struct resume_page_run){HOME_FRAME, f->guest.layout.length >> 12};
    f->last.count = 1;
    f->last.steps[0] = (struct resume_placement_step){RESUME_PLACEMENT_ZERO, TABLES_PA >> 12, 24};
    f->moving = (struct resume_moving){.steps = {0x2000000, 7},
                                       .final = {0x2100000, 3},
                                       .last = &f->last,
                                       .frames = f->frames,
                                       .frames_count = f->input.frames_count,
                                       .tables_pa = TABLES_PA,
                                       .tables_pages = TABLES_ROOM,
                                       .tables = f->tables};
    f->transit = (struct resume_transit_input){.home = &f->guest.plan.home,
                                               .area = &f->guest.staging,
                                               .trampoline = resume_trampoline,
                                               .trampoline_length = resume_trampoline_length,
                                               .staging_pa = STAGING_PA,
                                               .startup_pa = STARTUP_PA,
                                               .apic_pa = APIC_PA,
                                               .cr4 = 0x8216a0,
                                               .levels = 4,
                                               .moving = &f->moving};
    *context = f;
    return 0;
}

static int teardown(void **context)
{
    struct fixture *f = *context;

    free(f->staging);
    free(f->tables);
    free(f);
    return 0;
}

static int build(struct fixture *f, struct resume_diag *diag)
{
    memset(f->staging, UNTOUCHED, f->guest.staging.length);
    memset(f->tables, UNTOUCHED, TABLES_ROOM * 4096);
    f->moving.frames_count = f->input.frames_count;
    f->transit.levels = f->guest.set.levels;
    return resume_transit_build(&f->transit, f->staging, f->startup, diag);
}

static const struct resume_transit *transit(const struct fixture *f)
{
    return (const struct resume_transit *)(const void *)(f->staging + f->guest.staging.transit);
}

/* Tables that have been taken: the builder zeroes each. */
static uint32_t tables_used(const struct fixture *f)
{
    uint8_t untouched[4096];
    uint32_t used = 0;

    memset(untouched, UNTOUCHED, sizeof(untouched));
    while (used < TABLES_ROOM && memcmp(f->tables + used * 4096u, untouched, 4096) != 0)
        used++;
    return used;
}

static void areas_are_as_long_as_what_goes_there(void **context)
{
    struct fixture *f = *context;
    const struct resume_page_run ram[] = {f->ram, {0x7d000, 0x2000}};
    struct resume_page_run content[1000];
    struct resume_placement_input input;
    struct resume_placement_bound bound;

    /* More steps than a page holds: every other page of the firmware's memory has content. */
    for (uint32_t i = 0; i < 1000; i++)
        content[i] = (struct resume_page_run){0x7d000 + 2 * i, 1};
    f->input.ram = ram;
    f->input.ram_count = 2;
    f->input.content = content;
    f->input.content_count = 1000;
    input = f->input;
    assert_int_equal(resume_moving_areas(&f->guest, &f->input, f->areas, NULL), 0);
    assert_true(f->areas[RESUME_MOVING_STEPS].pages > 5);
    assert_int_equal(f->areas[RESUME_MOVING_STARTUP].pages, 1);
    assert_int_equal(f->areas[RESUME_MOVING_STARTUP].below, 0x100);
    assert_int_equal(f->areas[RESUME_MOVING_STAGING].pages * 4096, f->guest.staging.length);
    assert_int_equal(f->areas[RESUME_MOVING_STAGING].below, 0x100000);
    assert_int_equal(f->areas[RESUME_MOVING_TABLES].below, 0x100000);
    for (uint32_t i = 0; i < RESUME_MOVING_AREAS; i++) {
        assert_int_equal(f->areas[i].flags, i == RESUME_MOVING_TABLES || i == RESUME_MOVING_FINAL
                                                ? RESUME_PLACEMENT_LAST
                                                : 0);
        assert_true(i < 3 || f->areas[i].below == RESUME_FRAMES_END);
    }
    /* With these areas the planner wants no longer lists. */
    input.areas = f->areas;
    input.area_count = RESUME_MOVING_AREAS;
    assert_int_equal(resume_placement_bound_compute(&input, &bound, NULL), 0);
    assert_in_range(f->areas[RESUME_MOVING_STEPS].pages * 4096, bound.steps * 24,
                    bound.steps * 24 + 4095);
    assert_in_range(f->areas[RESUME_MOVING_FINAL].pages * 4096, bound.final * 24,
                    bound.final * 24 + 4095);
}

/*
 * The root, 1 of the next level, 8 for each GiB with RAM, and one for each 2 MiB with RAM in a part of
 * it: the first two stretches share one, 0x7d000 to 0x7f000 ends at such a boundary as it does, and
 * 0x7f300 does not. Besides at most 6 for the home, 3 for the APIC.
 */
static void tables_are_few(void **context)
{
    struct fixture *f = *context;
    uint64_t pages;

    assert_int_equal(resume_moving_areas(&f->guest, &f->input, f->areas, NULL), 0);
    pages = f->areas[RESUME_MOVING_TABLES].pages;
    assert_int_equal(pages, 1 + 1 + 8 + 2 + 6 + 3);
    assert_int_equal(build(f, NULL), 0);
    /* of those 9: 4 for this home, over a boundary of 2 MiB, and 2 for the APIC */
    assert_int_equal(tables_used(f), 1 + 1 + 8 + 2 + 4 + 2);

    f->guest.set.levels = 5;
    assert_int_equal(resume_moving_areas(&f->guest, &f->input, f->areas, NULL), 0);
    assert_int_equal(f->areas[RESUME_MOVING_TABLES].pages, pages + 1 + 2 + 1);
    assert_int_equal(build(f, NULL), 0);
    assert_in_range(tables_used(f), 1, pages + 4);
}

/* Random stretches: the count always suffices, and more is not asked for than home and APIC might take. */
static void tables_suffice(void **context)
{
    struct fixture *f = *context;
    const uint32_t extra[2] = {6 + 3, 8 + 4};
    uint64_t draw = 1;

    f->ram = f->input.home;
    for (uint32_t turn = 0; turn < 400; turn++) {
        const uint32_t levels = 4 + turn % 2;
        uint64_t at = HOME_FRAME + 0x100 + turn % 513;

        f->input.frames_count = 1 + turn % 24;
        f->frames[0] = (struct resume_frames){1 + turn, at - 1 - turn, RESUME_FRAME_FREE, 0};
        for (uint32_t i = 1; i < f->input.frames_count; i++) {
            static const uint64_t unit[] = {1, 64, 511, 512, 513, 0x40000, 0x8000000};

            draw = draw * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            at += (draw >> 33) % 3 * unit[(draw >> 40) % 7];
            f->frames[i] = (struct resume_frames){at, unit[(draw >> 50) % 6],
                                                  1 + (uint32_t)(draw >> 60) % 2, 0};
            at += f->frames[i].count;
        }
        f->guest.set.levels = levels;
        assert_int_equal(resume_moving_areas(&f->guest, &f->input, f->areas, NULL), 0);
        f->moving.tables_pages = f->areas[RESUME_MOVING_TABLES].pages;
        if (f->moving.tables_pages > TABLES_ROOM)
            continue;
        assert_int_equal(build(f, NULL), 0);
        assert_in_range(tables_used(f) + extra[levels - 4], f->moving.tables_pages,
                        f->moving.tables_pages + extra[levels - 4]);
    }
}

static void all_ram_is_mapped_and_nothing_else(void **context)
{
    static const uint64_t holes[] = {0x9f,    0xff,    0x7cfff + 0x2001, 0x7f2ff,
                                     0x80000, 0xfffff, 0x280000};
    struct fixture *f = *context;
    struct pt_mapping m;

    for (uint32_t levels = 4; levels <= 5; levels++) {
        struct pt_machine machine = {.ram = f->tables,
                                     .ram_start = TABLES_PA,
                                     .ram_size = TABLES_ROOM * 4096,
                                     .maxphyaddr = 40,
                                     .la57 = levels == 5};

        f->guest.set.levels = levels;
        assert_int_equal(build(f, NULL), 0);
        machine.cr3 = transit(f)->cr3;
        assert_int_equal(machine.cr3, TABLES_PA);
        for (uint32_t i = 0; i < f->input.frames_count; i++) {
            for (uint64_t frame = f->frames[i].first;
                 frame < f->frames[i].first + f->frames[i].count; frame++) {
                assert_int_equal(pt_oracle_translate(&machine, frame << 12, &m), PT_MAPPED);
                assert_int_equal(m.physical, frame << 12);
                assert_true(m.writable);
                assert_true(m.executable);
            }
        }
        for (uint32_t i = 0; i < sizeof(holes) / sizeof(holes[0]); i++)
            assert_int_equal(pt_oracle_translate(&machine, holes[i] << 12, &m), PT_NOT_PRESENT);
        assert_int_equal(pt_oracle_translate(&machine, UINT64_C(0x140000000), &m), PT_MAPPED);
        assert_int_equal(m.page_size, 0x200000);
        assert_int_equal(pt_oracle_translate(&machine, LINUX_HOME_VA + 0x1000, &m), PT_MAPPED);
        assert_int_equal(m.physical, LINUX_HOME_PA + 0x1000);
        assert_int_equal(pt_oracle_translate(&machine, APIC_PA + 0x300, &m), PT_MAPPED);
        assert_int_equal(m.physical, APIC_PA + 0x300);
        assert_int_equal(pt_oracle_translate(&machine, APIC_PA + 0x1000, &m), PT_NOT_PRESENT);
    }
    /* The room for tables in the staging area is not needed. */
    assert_int_equal(f->staging[f->guest.staging.tables], UNTOUCHED);
}

static void the_lists_are_handed_over(void **context)
{
    struct fixture *f = *context;

    assert_int_equal(build(f, NULL), 0);
    assert_int_equal(transit(f)->flags, RESUME_TRANSIT_MOVING);
    assert_int_equal(transit(f)->steps.steps, 0x2000000);
    assert_int_equal(transit(f)->steps.count, 7);
    assert_int_equal(transit(f)->final.steps, 0x2100000);
    assert_int_equal(transit(f)->final.count, 3);
    f->transit.moving = NULL;
    assert_int_equal(build(f, NULL), 0);
    assert_int_equal(transit(f)->flags, 0);
    assert_int_equal(transit(f)->steps.steps, 0);
    assert_int_equal(tables_used(f), 0);
}

static void a_home_at_an_address_of_ram_is_refused(void **context)
{
    struct fixture *f = *context;
    const uint64_t length = f->guest.plan.home.length;
    const uint64_t clashing[] = {0x100000 - length + 0x1000, 0x10000000, 0x7efff000};
    const uint64_t fine[] = {0xa0000, 0x7f000000, 0x80000000, LINUX_HOME_PA};
    struct resume_diag diag;

    for (uint32_t i = 0; i < 3; i++) {
        f->guest.plan.home.va = clashing[i];
        memset(&diag, 0, sizeof(diag));
        assert_int_equal(build(f, &diag), RESUME_ECONFLICT);
        assert_string_equal(diag.field, "home");
        assert_int_equal(diag.offset, i == 0 ? 0x100000 : clashing[i]);
    }
    for (uint32_t i = 0; i < 4; i++) {
        f->guest.plan.home.va = fine[i];
        assert_int_equal(build(f, NULL), 0);
    }
}

static void bad_inputs_are_refused(void **context)
{
    struct fixture *f = *context;
    const struct resume_moving good = f->moving;
    struct resume_diag diag;

#define REFUSED(change)                                                                            \
    do {                                                                                           \
        f->moving = good;                                                                          \
        change;                                                                                    \
        assert_int_equal(build(f, NULL), RESUME_EINVAL);                                           \
    } while (0)

    REFUSED(f->moving.last = NULL);
    REFUSED(f->moving.frames = NULL);
    REFUSED(f->moving.tables = NULL);
    REFUSED(f->moving.tables_pa += 0x800);
    REFUSED(f->moving.tables_pa = UINT64_C(0x100000000));
    REFUSED(f->moving.tables_pages = 0x100000);
    REFUSED(f->moving.tables_pages = 0);
    REFUSED(f->moving.steps.steps = 0);
    REFUSED(f->moving.final.steps = 0);
    REFUSED(f->last.count = RESUME_PLACEMENT_LAST_STEPS + 1);
    f->last.count = 1;
    REFUSED(f->frames[2].count = RESUME_FRAMES_END);
    REFUSED(f->frames[2].count = 0);
    f->moving = good;
    use_pc(f);
    f->moving.tables_pages = 16;
    assert_int_equal(build(f, NULL), RESUME_ENOSPC);

    assert_int_equal(resume_moving_areas(NULL, &f->input, f->areas, NULL), RESUME_EINVAL);
    assert_int_equal(resume_moving_areas(&f->guest, NULL, f->areas, NULL), RESUME_EINVAL);
    assert_int_equal(resume_moving_areas(&f->guest, &f->input, NULL, NULL), RESUME_EINVAL);
    f->frames[0].kind = RESUME_FRAME_FREE;
    assert_int_equal(resume_moving_areas(&f->guest, &f->input, f->areas, &diag), RESUME_EINVAL);
    assert_string_equal(diag.field, "frame 0");
    f->frames[0].kind = RESUME_FRAME_FIRMWARE;
    f->input.home.first++;
    assert_int_equal(resume_moving_areas(&f->guest, &f->input, f->areas, &diag), RESUME_EINVAL);
    assert_string_equal(diag.field, "home");
    f->input.home.first--;
    f->frames[1].first = 0;
    assert_int_equal(resume_moving_areas(&f->guest, &f->input, f->areas, &diag), RESUME_EINVAL);
}

/* ---- The home's own tables ---- */

static int build_home(struct fixture *f, uint8_t *image, struct resume_diag *diag)
{
    const struct resume_image_input input = {.home = &f->guest.plan.home,
                                             .layout = &f->guest.layout,
                                             .cpu = &f->cpu,
                                             .trampoline = resume_trampoline,
                                             .trampoline_length = resume_trampoline_length,
                                             .levels = f->guest.set.levels,
                                             .active_count = 1,
                                             .moving = f->transit.moving};

    return resume_image_begin(&input, image, diag);
}

static void the_home_maps_what_the_last_steps_name(void **context)
{
    struct fixture *f = *context;
    const struct resume_control *control = (const struct resume_control *)(void *)f->staging;
    struct pt_mapping m;

    f->last.count = 3;
    /* 2 MiB that are RAM throughout; some that are not; and a move from above 4 GiB, over a boundary */
    f->last.steps[0] = (struct resume_placement_step){RESUME_PLACEMENT_ZERO, 0x2810, 3};
    f->last.steps[1] = (struct resume_placement_step){RESUME_PLACEMENT_ZERO, 0x98, 2};
    f->last.steps[2] = (struct resume_placement_step){0x1001ff, 0x2813, 2};
    for (uint32_t levels = 4; levels <= 5; levels++) {
        struct pt_machine machine = {.ram = f->staging,
                                     .ram_start = LINUX_HOME_PA,
                                     .ram_size = f->guest.layout.length,
                                     .maxphyaddr = 40,
                                     .la57 = levels == 5};

        f->guest.set.levels = levels;
        assert_int_equal(build_home(f, f->staging, NULL), 0);
        assert_int_equal(control->moving, 1);
        assert_memory_equal(f->staging + RESUME_HOME_LAST, &f->last, sizeof(f->last));
        machine.cr3 = control->tables_cr3;
        for (uint32_t i = 0; i < 3; i++) {
            const struct resume_placement_step *step = &f->last.steps[i];

            for (uint64_t j = 0; j < step->pages; j++) {
                assert_int_equal(pt_oracle_translate(&machine, (step->destination + j) << 12, &m),
                                 PT_MAPPED);
                assert_int_equal(m.physical, (step->destination + j) << 12);
                assert_true(m.writable);
                assert_int_equal(m.page_size, i == 1 ? 0x1000 : 0x200000);
                if (step->source == RESUME_PLACEMENT_ZERO)
                    continue;
                assert_int_equal(pt_oracle_translate(&machine, (step->source + j) << 12, &m),
                                 PT_MAPPED);
                assert_int_equal(m.physical, (step->source + j) << 12);
            }
        }
        assert_int_equal(pt_oracle_translate(&machine, 0x97000, &m), PT_NOT_PRESENT);
        assert_int_equal(pt_oracle_translate(&machine, 0x9a000, &m), PT_NOT_PRESENT);
        assert_int_equal(pt_oracle_translate(&machine, LINUX_HOME_VA, &m), PT_MAPPED);
        assert_int_equal(m.physical, LINUX_HOME_PA);
    }
    f->transit.moving = NULL;
    assert_int_equal(build_home(f, f->staging, NULL), 0);
    assert_int_equal(control->moving, 0);
    for (uint32_t i = 0; i < sizeof(f->last); i++)
        assert_int_equal(f->staging[RESUME_HOME_LAST + i], 0);
}

static void what_the_home_cannot_map_is_refused(void **context)
{
    struct fixture *f = *context;
    struct resume_diag diag = {0};

    f->last.count = 2;
    f->last.steps[1] = (struct resume_placement_step){RESUME_PLACEMENT_ZERO, 0x7f2ff, 2};
    assert_int_equal(build_home(f, f->staging, &diag), RESUME_ECONFLICT);
    assert_string_equal(diag.field, "last");
    assert_int_equal(diag.offset, 0x7f2ff000);
    /* Each in a GiB of its own: 12 pages are too few for it. */
    f->input.frames_count = 1;
    f->frames[0] = (struct resume_frames){1, UINT64_C(0x10000000), RESUME_FRAME_FREE, 0};
    f->moving.frames_count = 1;
    f->last.count = 12;
    for (uint32_t i = 0; i < 12; i++)
        f->last.steps[i] =
            (struct resume_placement_step){RESUME_PLACEMENT_ZERO, 0x40000 * (i + 1), 1};
    assert_int_equal(build_home(f, f->staging, &diag), RESUME_ENOSPC);
    assert_string_equal(diag.field, "last");
    assert_int_equal(diag.expected, RESUME_HOME_TABLE_PAGES);
    assert_int_equal(diag.offset % 0x40000000, 0);
    f->last.count = 6;
    assert_int_equal(build_home(f, f->staging, &diag), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(areas_are_as_long_as_what_goes_there),
        TEST(tables_are_few),
        TEST(tables_suffice),
        TEST(all_ram_is_mapped_and_nothing_else),
        TEST(the_lists_are_handed_over),
        TEST(a_home_at_an_address_of_ram_is_refused),
        TEST(bad_inputs_are_refused),
        TEST(the_home_maps_what_the_last_steps_name),
        TEST(what_the_home_cannot_map_is_refused),
    };

    return cmocka_run_group_tests_name("moving", tests, NULL, NULL);
}
