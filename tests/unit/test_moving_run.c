/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Moving as a whole, in a machine of 16 MiB: plan, areas, image and transit are made as a firmware would,
 * the lists carried out in the memory as it is then, through the page tables as they are then, and all
 * memory compared with what the guest should have.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <resume/moving.h>

#include "linux_vcpu.h"
#include "pt_oracle.h"

#include <trampoline.h>

#define FRAMES 0x1000u
#define PAGE 4096u
#define STEPS 4096u
#define HOME 0x345u
#define APIC_PA UINT64_C(0xfee00000)

enum { PAGE_NONE, PAGE_ZERO, PAGE_CONTENT };

struct machine {
    uint8_t kind[FRAMES];
    uint8_t page[FRAMES]; /* what the guest has there */
    uint8_t *memory;

    struct resume_guest guest;
    struct resume_frames frames[FRAMES];
    struct resume_page_run ram[FRAMES];
    struct resume_page_run content[FRAMES];
    struct resume_placement_area areas[RESUME_MOVING_AREAS];
    struct resume_placement_input input;
    struct resume_placement plan;
    struct resume_placement_step steps[STEPS];
    struct resume_placement_step final[STEPS];
    struct resume_page_run clear[STEPS];
    uint64_t scratch[1 << 16];
    struct resume_moving moving;
};

static uint64_t draw_state;

static uint32_t draw(uint32_t end)
{
    draw_state = draw_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(draw_state >> 33) % end;
}

static uint8_t *frame_at(const struct machine *m, uint64_t frame)
{
    assert_in_range(frame, 0, FRAMES - 1);
    return m->memory + frame * PAGE;
}

static void mark(uint8_t *page, uint64_t frame, uint8_t with)
{
    memset(page, with, PAGE);
    memcpy(page, &frame, sizeof(frame));
}

/* Stretches of everything, by @seed. */
static void invent(struct machine *m, uint64_t seed)
{
    const uint32_t share = (uint32_t)seed % 5 * 12;
    const uint32_t beyond = seed % 3 == 0 ? 0x200 : 0;

    draw_state = seed;
    for (uint32_t at = 0; at < FRAMES;) {
        static const uint32_t lengths[] = {1, 3, 40, 200, 512};
        const uint32_t length = lengths[draw(5)];
        const uint32_t what = draw(100);

        for (uint32_t end = at + length; at < end && at < FRAMES; at++)
            m->kind[at] = what < 70   ? RESUME_FRAME_FREE
                          : what < 97 ? RESUME_FRAME_FIRMWARE
                                      : RESUME_FRAME_UNUSABLE;
    }
    for (uint32_t at = HOME; at < HOME + m->guest.layout.length / PAGE; at++)
        m->kind[at] = at % 8 < 4 ? RESUME_FRAME_FREE : RESUME_FRAME_FIRMWARE;
    m->kind[0] = RESUME_FRAME_FIRMWARE;
    m->kind[0x87] = RESUME_FRAME_FREE;
    memset(m->kind + 0xa0, RESUME_FRAME_UNUSABLE, 0x60);
    for (uint32_t at = 0; at < FRAMES;) {
        static const uint32_t lengths[] = {1, 2, 5, 30, 100};
        const uint32_t length = lengths[draw(5)];
        const uint32_t content = draw(100) < share;

        for (uint32_t end = at + length; at < end && at < FRAMES; at++)
            m->page[at] = m->kind[at] == RESUME_FRAME_UNUSABLE || at >= FRAMES - beyond ? PAGE_NONE
                          : content ? PAGE_CONTENT
                                    : PAGE_ZERO;
    }
    /* Now and then what is free is not in one piece, and areas have to take what has content. */
    for (uint32_t at = 0; seed % 6 == 1 && at < FRAMES; at++) {
        if (m->page[at] != PAGE_NONE)
            m->page[at] =
                m->kind[at] == RESUME_FRAME_FREE && at % 24 >= 3 ? PAGE_CONTENT : PAGE_ZERO;
    }
}

static void make_ranges(struct machine *m)
{
    struct resume_placement_input *input = &m->input;

    *input = (struct resume_placement_input){
        .frames = m->frames,
        .ram = m->ram,
        .content = m->content,
        .home = {HOME, m->guest.layout.length / PAGE},
    };
    for (uint32_t at = 0; at < FRAMES; at++) {
        if (m->kind[at] != RESUME_FRAME_UNUSABLE) {
            if (at > 0 && m->kind[at - 1] == m->kind[at])
                m->frames[input->frames_count - 1].count++;
            else
                m->frames[input->frames_count++] = (struct resume_frames){at, 1, m->kind[at], 0};
        }
        if (m->page[at] != PAGE_NONE) {
            if (at > 0 && m->page[at - 1] != PAGE_NONE)
                m->ram[input->ram_count - 1].count++;
            else
                m->ram[input->ram_count++] = (struct resume_page_run){at, 1};
        }
        if (m->page[at] == PAGE_CONTENT) {
            if (at > 0 && m->page[at - 1] == PAGE_CONTENT)
                m->content[input->content_count - 1].count++;
            else
                m->content[input->content_count++] = (struct resume_page_run){at, 1};
        }
    }
}

/* Before the end of boot services. Returns 0 when there is no plan: too little memory. */
static int make_plan(struct machine *m)
{
    struct resume_diag diag;
    int err;

    assert_int_equal(resume_moving_areas(&m->guest, &m->input, m->areas, &diag), 0);
    m->input.areas = m->areas;
    m->input.area_count = RESUME_MOVING_AREAS;
    m->plan.steps = m->steps;
    m->plan.final = m->final;
    m->plan.clear = m->clear;
    m->plan.step_capacity = STEPS;
    m->plan.final_capacity = STEPS;
    m->plan.clear_capacity = STEPS;
    err = resume_placement_make(&m->input, &m->plan, &diag);
    if (err == RESUME_ENOSPC)
        return 0;
    assert_int_equal(err, 0);
    assert_int_equal(
        resume_placement_check(&m->input, &m->plan, m->scratch, sizeof(m->scratch), &diag), 0);
    return 1;
}

static void load(struct machine *m)
{
    struct resume_placement_spot spot;

    for (uint64_t at = 0; at < FRAMES; at++) {
        if (m->kind[at] != RESUME_FRAME_UNUSABLE)
            mark(frame_at(m, at), at, 0xde);
    }
    for (uint32_t at = 0; at < FRAMES; at++) {
        if (m->page[at] != PAGE_CONTENT)
            continue;
        assert_int_equal(resume_placement_locate(&m->plan, at, 1, &spot), 0);
        if (spot.where != RESUME_PLACEMENT_DROPPED)
            mark(frame_at(m, spot.frame), at, 0xc0);
    }
    for (uint32_t i = 0; i < m->plan.clear_count; i++) {
        for (uint64_t j = 0; j < m->clear[i].count; j++)
            memset(frame_at(m, m->clear[i].first + j), 0, PAGE);
    }
}

/* Lists, image and transit, in their areas. Returns the address of struct resume_transit. */
static uint64_t prepare(struct machine *m)
{
    static struct resume_vcpu vcpu;
    const struct resume_cpu cpu = {
        .xsave = 1, .rdtscp = 1, .comp_count = 1, .comp = {{.id = 2, .offset = 576, .size = 256}}};
    const uint64_t staging_pa = m->plan.area[RESUME_MOVING_STAGING] * PAGE;
    const uint64_t startup_pa = m->plan.area[RESUME_MOVING_STARTUP] * PAGE;
    uint8_t *staging = m->memory + staging_pa;
    struct resume_diag diag = {0};
    struct resume_transit_input transit = {.home = &m->guest.plan.home,
                                           .area = &m->guest.staging,
                                           .trampoline = resume_trampoline,
                                           .trampoline_length = resume_trampoline_length,
                                           .staging_pa = staging_pa,
                                           .startup_pa = startup_pa,
                                           .apic_pa = APIC_PA,
                                           .cr4 = 0x668,
                                           .levels = m->guest.set.levels,
                                           .moving = &m->moving};
    struct resume_image_input image = {.home = &m->guest.plan.home,
                                       .layout = &m->guest.layout,
                                       .cpu = &cpu,
                                       .trampoline = resume_trampoline,
                                       .trampoline_length = resume_trampoline_length,
                                       .levels = m->guest.set.levels,
                                       .active_count = 1,
                                       .moving = &m->moving};

    resume_moving_from_plan(&m->input, &m->plan, frame_at(m, m->plan.area[RESUME_MOVING_TABLES]),
                            &m->moving);
    memcpy(m->memory + m->moving.steps.steps, m->steps, m->plan.step_count * sizeof(m->steps[0]));
    memcpy(m->memory + m->moving.final.steps, m->final, m->plan.final_count * sizeof(m->final[0]));
    assert_int_equal(resume_transit_build(&transit, staging, m->memory + startup_pa, &diag), 0);
    linux_vcpu_user(&vcpu);
    assert_int_equal(resume_image_begin(&image, staging, &diag), 0);
    assert_int_equal(resume_image_vcpu(&image, 0, &vcpu, staging, &diag), 0);
    assert_int_equal(resume_image_finish(&image, staging, &diag), 0);
    return staging_pa + m->guest.staging.transit;
}

/* ---- What the trampoline does, in C, through the tables at @cr3 ---- */

struct view {
    const struct machine *machine;
    struct pt_machine tables;
};

static struct view look(const struct machine *m, uint64_t cr3)
{
    return (struct view){m,
                         {.ram = m->memory,
                          .ram_size = (uint64_t)FRAMES * PAGE,
                          .cr3 = cr3,
                          .la57 = m->guest.set.levels == 5,
                          .maxphyaddr = 40}};
}

/* One page at a time: the tables may be overwritten by the page before. */
static uint8_t *page_at(const struct view *view, uint64_t address)
{
    struct pt_mapping mapping;

    assert_int_equal(pt_oracle_translate(&view->tables, address, &mapping), PT_MAPPED);
    assert_true(mapping.writable);
    assert_true(mapping.physical / PAGE < FRAMES);
    assert_int_not_equal(view->machine->kind[mapping.physical / PAGE], RESUME_FRAME_UNUSABLE);
    return view->machine->memory + mapping.physical;
}

static void carry_out(const struct view *view, uint64_t list, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++, list += sizeof(struct resume_placement_step)) {
        struct resume_placement_step step;
        uint8_t bytes[sizeof(step)];

        for (uint32_t j = 0; j < sizeof(step); j++)
            bytes[j] = page_at(view, (list + j) & ~UINT64_C(0xfff))[(list + j) & 0xfff];
        memcpy(&step, bytes, sizeof(step));
        assert_in_range(step.pages, 1, FRAMES);
        for (uint64_t j = 0; j < step.pages && step.source != RESUME_PLACEMENT_ZERO; j++)
            memcpy(page_at(view, (step.destination + j) * PAGE),
                   page_at(view, (step.source + j) * PAGE), PAGE);
        for (uint64_t j = 0; j < step.pages; j++)
            memset(page_at(view, ((step.source == RESUME_PLACEMENT_ZERO ? step.destination
                                                                        : step.source) +
                                  j) *
                                     PAGE),
                   0, PAGE);
    }
}

static void move(struct machine *m, uint64_t transit_pa)
{
    struct resume_transit transit;
    struct resume_control control;
    struct resume_placement_last last;
    struct view view;
    const uint64_t home_va = m->guest.plan.home.va;

    memcpy(&transit, m->memory + transit_pa, sizeof(transit));
    view = look(m, transit.cr3);
    assert_true(transit.cr3 < UINT64_C(0x100000000));
    carry_out(&view, transit.steps.steps, transit.steps.count);
    /* What it needs until here is as it was. */
    for (uint64_t at = 0; at < transit.home_length; at += PAGE)
        memcpy(page_at(&view, transit.home_pa + at), page_at(&view, transit.image_pa + at), PAGE);
    assert_memory_equal(&transit, m->memory + transit_pa, sizeof(transit));
    carry_out(&view, transit.final.steps, transit.final.count);
    for (uint64_t at = 0; at < transit.home_length; at += PAGE)
        assert_ptr_equal(page_at(&view, home_va + at), frame_at(m, HOME + at / PAGE));
    memcpy(&control, page_at(&view, home_va), sizeof(control));
    view = look(m, control.tables_cr3);
    memcpy(&last, page_at(&view, home_va) + RESUME_HOME_LAST, sizeof(last));
    carry_out(&view, home_va + RESUME_HOME_LAST + offsetof(struct resume_placement_last, steps),
              last.count);
}

static void compare(const struct machine *m)
{
    uint8_t content[PAGE];
    uint8_t soiled[PAGE];
    uint8_t zero[PAGE] = {0};

    for (uint64_t at = 0; at < FRAMES; at++) {
        const uint8_t *page = frame_at(m, at);

        mark(content, at, 0xc0);
        mark(soiled, at, 0xde);
        if (m->kind[at] == RESUME_FRAME_UNUSABLE)
            assert_memory_equal(page, zero, PAGE);
        else if (at >= HOME && at < HOME + m->guest.layout.length / PAGE)
            continue;
        else if (m->page[at] == PAGE_CONTENT)
            assert_memory_equal(page, content, PAGE);
        else if (m->page[at] == PAGE_ZERO || memcmp(page, soiled, PAGE) != 0)
            assert_memory_equal(page, zero, PAGE);
    }
}

static void the_guest_gets_its_memory(void **context)
{
    uint32_t done = 0;
    uint32_t moved_last = 0;

    (void)context;
    for (uint64_t seed = 1; seed <= 120; seed++) {
        struct machine *m = calloc(1, sizeof(*m));

        assert_non_null(m);
        m->memory = aligned_alloc(PAGE, (size_t)FRAMES * PAGE);
        assert_non_null(m->memory);
        memset(m->memory, 0, (size_t)FRAMES * PAGE);
        assert_int_equal(resume_image_layout_compute(1, 832, &m->guest.layout), 0);
        resume_staging_compute(&m->guest.layout, &m->guest.staging);
        m->guest.set.levels = 4 + (uint32_t)seed % 2;
        m->guest.plan.home = (struct resume_home){.va = LINUX_HOME_VA,
                                                  .pa = HOME * PAGE,
                                                  .length = m->guest.layout.length,
                                                  .kind = RESUME_HOME_PADDING,
                                                  .fill = 0xcc};
        invent(m, seed);
        make_ranges(m);
        if (make_plan(m)) {
            load(m);
            move(m, prepare(m));
            compare(m);
            done++;
            for (uint32_t i = 0; i < m->plan.last.count; i++)
                moved_last += m->plan.last.steps[i].source != RESUME_PLACEMENT_ZERO;
        }
        free(m->memory);
        free(m);
    }
    print_message("%u machines, %u moves by last steps\n", done, moved_last);
    assert_true(done > 60);
    assert_true(moved_last > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_guest_gets_its_memory),
    };

    return cmocka_run_group_tests_name("moving_run", tests, NULL, NULL);
}
