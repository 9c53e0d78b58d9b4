/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Plans for machines of the sizes that there are, with firmware where OVMF is; and how long they get. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "placement_world.h"

#define GIB (UINT64_C(1) << 18) /* in pages */
#define MIB (UINT64_C(1) << 8)
#define BELOW_1_MIB MIB
#define BELOW_4_GIB (4 * GIB)
#define LOW_RAM (2 * GIB) /* of a machine with more: then a hole up to 4 GiB */

struct large {
    struct resume_frames frames[4096];
    struct resume_page_run ram[3];
    struct resume_page_run *content;
    struct resume_placement_area areas[5];
    struct resume_placement_input input;
    struct resume_placement plan;
};

enum pattern { SPARSE, DENSE, ALTERNATING };

static void add_frames(struct large *m, uint64_t first, uint64_t end, uint32_t kind)
{
    struct resume_frames *range = &m->frames[m->input.frames_count];

    if (first < end) {
        *range = (struct resume_frames){first, end - first, kind, 0};
        m->input.frames_count++;
    }
}

/* As OVMF leaves it: some in the low 16 MiB, and 64 MiB in pieces at the top of low memory. */
static void make_frames(struct large *m, uint64_t pages)
{
    const uint64_t low = pages > LOW_RAM ? LOW_RAM : pages;
    uint64_t at = low - 64 * MIB;

    add_frames(m, 0x000, 0x001, RESUME_FRAME_FIRMWARE);
    add_frames(m, 0x001, 0x087, RESUME_FRAME_FREE);
    add_frames(m, 0x087, 0x0a0, RESUME_FRAME_FIRMWARE);
    add_frames(m, 0x100, 0x800, RESUME_FRAME_FREE);
    add_frames(m, 0x800, 0x808, RESUME_FRAME_FIRMWARE);
    add_frames(m, 0x808, 0x80b, RESUME_FRAME_FREE);
    add_frames(m, 0x80b, 0x80c, RESUME_FRAME_FIRMWARE);
    add_frames(m, 0x80c, 0x811, RESUME_FRAME_FREE);
    add_frames(m, 0x811, 0x1780, RESUME_FRAME_FIRMWARE);
    add_frames(m, 0x1780, at, RESUME_FRAME_FREE);
    while (at < low) {
        const uint64_t used = 1 + world_below(200);
        const uint64_t end = low - at < used ? low : at + used;
        const uint64_t gap = end + world_below(60) > low ? low : end + world_below(20);

        add_frames(m, at, end, RESUME_FRAME_FIRMWARE);
        add_frames(m, end, gap, RESUME_FRAME_FREE);
        at = gap > end ? gap : end;
    }
    if (pages > low) {
        add_frames(m, BELOW_4_GIB, BELOW_4_GIB + pages - low, RESUME_FRAME_FREE);
    }
}

static void add_content(struct large *m, uint64_t first, uint64_t end, enum pattern pattern)
{
    uint64_t at = first;

    while (at < end) {
        uint64_t length = 1;
        uint64_t gap = 1;

        if (pattern == SPARSE) {
            length = 1 + world_below(256);
            gap = 1 + world_below(world_below(64) == 0 ? 8192 : 64);
        } else if (pattern == DENSE) {
            length = 1 + world_below(4096);
            gap = 1 + world_below(8);
        }
        length = length > end - at ? end - at : length;
        m->content[m->input.content_count++] = (struct resume_page_run){at, length};
        at += length + gap;
    }
}

/* A guest with @guest pages on a machine with @target pages of RAM. */
static struct large *large_new(uint64_t guest, uint64_t target, enum pattern pattern)
{
    struct large *m = calloc(1, sizeof(*m));
    const uint64_t low = guest > LOW_RAM ? LOW_RAM : guest;
    /* The shortest run and gap on average: 2 pages when alternating, far more otherwise. */
    const uint64_t most = pattern == ALTERNATING ? guest / 2 + 8 : guest / 64 + 4096;

    assert_non_null(m);
    m->content = calloc(most, sizeof(*m->content));
    assert_non_null(m->content);
    world_seed = guest;
    make_frames(m, target);
    m->ram[0] = (struct resume_page_run){0, 0xa0};
    m->ram[1] = (struct resume_page_run){0x100, low - 0x100};
    m->ram[2] = (struct resume_page_run){BELOW_4_GIB, guest - low};
    m->input.frames = m->frames;
    m->input.ram = m->ram;
    m->input.ram_count = guest > low ? 3 : 2;
    m->input.content = m->content;
    for (uint32_t i = 0; i < m->input.ram_count; i++) {
        add_content(m, m->ram[i].first, m->ram[i].first + m->ram[i].count, pattern);
    }
    assert_true(m->input.content_count <= most);
    m->input.home = (struct resume_page_run){0x3000, 73};
    m->input.areas = m->areas;
    m->input.area_count = 5;
    m->areas[0] = (struct resume_placement_area){1, BELOW_1_MIB, 0, 0};
    m->areas[1] = (struct resume_placement_area){106, BELOW_4_GIB, 0, 0};
    /* Tables that map all memory with 2 MiB pages; where no two frames are free together, 1 GiB. */
    m->areas[2].pages = (pattern == ALTERNATING ? 1 : target / GIB) + 8;
    m->areas[2].below = BELOW_4_GIB;
    m->areas[2].flags = RESUME_PLACEMENT_LAST;
    /* The lists: as long as they have to be. */
    m->areas[3] = (struct resume_placement_area){1, RESUME_FRAMES_END, 0, 0};
    m->areas[4] = (struct resume_placement_area){1, RESUME_FRAMES_END, RESUME_PLACEMENT_LAST, 0};
    return m;
}

static void large_free(struct large *m)
{
    free(m->plan.steps);
    free(m->plan.final);
    free(m->plan.clear);
    free(m->content);
    free(m);
}

static uint64_t list_pages(uint32_t steps)
{
    const uint64_t length = steps * sizeof(struct resume_placement_step);

    return (length + RESUME_PAGE_SIZE - 1) / RESUME_PAGE_SIZE;
}

static void plan_large(const char *name, uint64_t guest, uint64_t target, enum pattern pattern)
{
    struct large *m = large_new(guest, target, pattern);
    struct resume_placement_bound bound;
    struct resume_diag diag = {0};
    uint64_t size;
    void *scratch;
    int err;

    assert_int_equal(resume_placement_bound_compute(&m->input, &bound, &diag), RESUME_OK);
    m->areas[3].pages = list_pages(bound.steps);
    assert_int_equal(resume_placement_bound_compute(&m->input, &bound, &diag), RESUME_OK);
    m->areas[4].pages = list_pages(bound.final);
    m->plan.steps = calloc(bound.steps, sizeof(*m->plan.steps));
    m->plan.final = calloc(bound.final, sizeof(*m->plan.final));
    m->plan.clear = calloc(bound.clear, sizeof(*m->plan.clear));
    assert_true(m->plan.steps != NULL && m->plan.final != NULL && m->plan.clear != NULL);
    m->plan.step_capacity = bound.steps;
    m->plan.final_capacity = bound.final;
    m->plan.clear_capacity = bound.clear;
    err = resume_placement_make(&m->input, &m->plan, &diag);
    if (err != RESUME_OK) {
        fail_msg("%s: %s at %#llx: %llu of %llu", name, diag.field, (unsigned long long)diag.offset,
                 (unsigned long long)diag.found, (unsigned long long)diag.expected);
    }
    size = resume_placement_check_size(&m->plan);
    scratch = malloc(size);
    assert_non_null(scratch);
    err = resume_placement_check(&m->input, &m->plan, scratch, size, &diag);
    if (err != RESUME_OK) {
        fail_msg("%s: the plan is wrong: %s at %#llx", name, diag.field,
                 (unsigned long long)diag.offset);
    }
    print_message("%-28s %8u runs of content, %u of frames: %u steps (%u moves) of at most %u, %u "
                  "final of %u, %u last, %u to clear of %u; %llu MiB moved\n",
                  name, m->input.content_count, m->input.frames_count, m->plan.step_count,
                  m->plan.move_count, bound.steps, m->plan.final_count, bound.final,
                  m->plan.last.count, m->plan.clear_count, bound.clear,
                  (unsigned long long)(m->plan.pages_moved / MIB));
    free(scratch);
    large_free(m);
}

static void machines_of_all_sizes(void **state)
{
    (void)state;
    plan_large("512 MiB", GIB / 2, GIB / 2, SPARSE);
    plan_large("1 GiB", GIB, GIB, SPARSE);
    plan_large("1 GiB, alternating", GIB, GIB, ALTERNATING);
    plan_large("1 GiB, dense, target 2 GiB", GIB, 2 * GIB, DENSE);
    plan_large("3 GiB, dense, target 4 GiB", 3 * GIB, 4 * GIB, DENSE);
    plan_large("64 GiB", 64 * GIB, 64 * GIB, SPARSE);
    plan_large("1 TiB", 1024 * GIB, 1024 * GIB, SPARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(machines_of_all_sizes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
