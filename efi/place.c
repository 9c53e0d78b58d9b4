/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "place.h"

#include "console.h"
#include "place_memory.h"
#include "runtime.h"

#define TRIES 4
/* Lists of a plan may get longer than they would have been when the room for them was allocated:
 * that itself, and what drivers do, cuts memory in pieces. */
#define SPARE_STEPS 256u

/* ---- Room ---- */

/* @length more bytes at @at, 64-byte aligned. */
static uint64_t divide(uint64_t *at, uint64_t length)
{
    const uint64_t here = *at;

    *at += (length + 63) & ~UINT64_C(63);
    return here;
}

static EFI_STATUS no_room(uint64_t length, EFI_STATUS status)
{
    console_line("refused: memory: no %u bytes for the lists of what goes where (status %x)",
                 length, (uint64_t)status);
    return status;
}

static EFI_STATUS allocate_inputs(const struct resume_sealed *image, struct place *place)
{
    const uint64_t capacity = place->capacity;
    uint64_t length = 0;
    const uint64_t descriptors = divide(&length, capacity * sizeof(place->descriptors[0]));
    const uint64_t owned = divide(&length, capacity * sizeof(place->owned[0]));
    const uint64_t frames = divide(&length, 2 * capacity * sizeof(place->frames[0]));
    const uint64_t ranges = divide(&length, 2 * capacity * sizeof(place->ranges[0]));
    const uint64_t ram = divide(&length, image->map_count * sizeof(place->ram[0]));
    const uint64_t content = divide(&length, image->run_count * sizeof(place->content[0]));
    uint64_t pa;
    EFI_STATUS status = memory_allocate_data(place->system, length, &pa);

    if (status != EFI_SUCCESS) {
        return no_room(length, status);
    }
    place->inputs_pa = pa;
    place->inputs_length = length;
    place->descriptors = (struct resume_frames_descriptor *)(pa + descriptors);
    place->owned = (struct resume_page_run *)(pa + owned);
    place->frames = (struct resume_frames *)(pa + frames);
    place->ranges = (struct resume_range *)(pa + ranges);
    place->ram = (struct resume_page_run *)(pa + ram);
    place->content = (struct resume_page_run *)(pa + content);
    return EFI_SUCCESS;
}

static EFI_STATUS allocate_lists(const struct resume_placement_bound *bound, struct place *place)
{
    struct resume_placement *plan = &place->plan;
    struct resume_placement largest = {0};
    uint64_t length = 0;
    uint64_t steps;
    uint64_t final;
    uint64_t clear;
    uint64_t scratch;
    uint64_t pa;
    EFI_STATUS status;

    plan->step_capacity = bound->steps + bound->steps / 8 + SPARE_STEPS;
    plan->final_capacity = bound->final + SPARE_STEPS;
    plan->clear_capacity = bound->clear + bound->clear / 8 + SPARE_STEPS;
    if (plan->step_capacity < bound->steps || plan->clear_capacity < bound->clear) {
        return no_room(UINT32_MAX, EFI_OUT_OF_RESOURCES);
    }
    largest.step_count = plan->step_capacity;
    largest.final_count = plan->final_capacity;
    place->scratch_length = resume_placement_check_size(&largest);
    steps = divide(&length, (uint64_t)plan->step_capacity * sizeof(plan->steps[0]));
    final = divide(&length, (uint64_t)plan->final_capacity * sizeof(plan->final[0]));
    clear = divide(&length, (uint64_t)plan->clear_capacity * sizeof(plan->clear[0]));
    scratch = divide(&length, place->scratch_length);
    status = memory_allocate_data(place->system, length, &pa);
    if (status != EFI_SUCCESS) {
        return no_room(length, status);
    }
    place->lists_pa = pa;
    place->lists_length = length;
    plan->steps = (struct resume_placement_step *)(pa + steps);
    plan->final = (struct resume_placement_step *)(pa + final);
    plan->clear = (struct resume_page_run *)(pa + clear);
    place->scratch = (void *)(pa + scratch);
    return EFI_SUCCESS;
}

/* ---- What is to be placed, and where there is room for it ---- */

static EFI_STATUS list_pages(const struct resume_sealed *image, const struct resume_guest *guest,
                             struct place *place)
{
    struct resume_placement_input *input = &place->input;

    if (image->map_count > UINT32_MAX || image->run_count > UINT32_MAX) {
        return no_room(UINT32_MAX, EFI_OUT_OF_RESOURCES);
    }
    for (uint64_t i = 0; i < image->map_count; i++) {
        const struct resume_sealed_run range = resume_sealed_map(image, i);

        place->ram[i] = (struct resume_page_run){range.page, range.count};
    }
    for (uint64_t i = 0; i < image->run_count; i++) {
        const struct resume_sealed_run run = resume_sealed_run(image, i);

        place->content[i] = (struct resume_page_run){run.page, run.count};
    }
    input->frames = place->frames;
    input->ram = place->ram;
    input->content = place->content;
    input->areas = place->areas;
    input->ram_count = (uint32_t)image->map_count;
    input->content_count = (uint32_t)image->run_count;
    input->area_count = RESUME_MOVING_AREAS;
    input->home.first = guest->plan.home.pa >> RESUME_PAGE_SHIFT;
    input->home.count = guest->plan.home.length >> RESUME_PAGE_SHIFT;
    return EFI_SUCCESS;
}

/* Before anything is placed: RAM that is missing is to be named with where it begins. */
static EFI_STATUS check_machine(const struct resume_sealed *image, const struct resume_guest *guest,
                                struct place *place)
{
    struct resume_diag diag = {0};
    uint32_t count = 0;
    int err;

    for (uint32_t i = 0; i < place->input.frames_count; i++) {
        place->ranges[count++] = (struct resume_range){place->frames[i].first << RESUME_PAGE_SHIFT,
                                                       place->frames[i].count << RESUME_PAGE_SHIFT};
    }
    err = resume_sealed_check_machine(image, guest->state.vcpu_count, place->ranges, count, &diag);
    return err == RESUME_OK ? EFI_SUCCESS : console_refuse("this machine", err, &diag);
}

/* Frames and areas, from the memory map as it is now. */
static EFI_STATUS look(const struct resume_sealed *image, const struct resume_guest *guest,
                       struct memory_map *map, struct place *place)
{
    struct resume_diag diag = {0};
    EFI_STATUS status = memory_map_take(place->system, map);
    int err;

    if (status != EFI_SUCCESS) {
        console_line("refused: memory map: the firmware does not give it (status %x)",
                     (uint64_t)status);
        return status;
    }
    place->reserve = place_memory_reserve(map);
    status = place_memory_describe(place, map);
    if (status != EFI_SUCCESS) {
        return status;
    }
    err = resume_frames_from_descriptors(place->descriptors, place->descriptor_count, place->frames,
                                         2 * place->capacity, &place->input.frames_count, &diag);
    if (err != RESUME_OK) {
        return console_refuse("memory map", err, &diag);
    }
    status = check_machine(image, guest, place);
    if (status != EFI_SUCCESS) {
        return status;
    }
    err = resume_moving_areas(guest, &place->input, place->areas, &diag);
    return err == RESUME_OK ? EFI_SUCCESS : console_refuse("placement", err, &diag);
}

static EFI_STATUS plan(struct place *place)
{
    struct resume_diag diag = {0};
    int err = resume_placement_make(&place->input, &place->plan, &diag);

    if (err == RESUME_OK) {
        err = resume_placement_check(&place->input, &place->plan, place->scratch,
                                     place->scratch_length, &diag);
    }
    if (err == RESUME_ENOSPC && diag.field != NULL && memcmp(diag.field, "frames", 7) == 0) {
        console_line("refused: placement: %u KiB of memory are missing: give the machine more",
                     (diag.expected - diag.found) * (RESUME_PAGE_SIZE / 1024));
        return EFI_OUT_OF_RESOURCES;
    }
    return err == RESUME_OK ? EFI_SUCCESS : console_refuse("placement", err, &diag);
}

static void write_lists(struct place *place)
{
    struct resume_placement *plan = &place->plan;

    for (uint32_t i = 0; i < RESUME_MOVING_AREAS; i++) {
        memset((void *)(plan->area[i] << RESUME_PAGE_SHIFT), 0,
               place->areas[i].pages << RESUME_PAGE_SHIFT);
    }
    memcpy((void *)place_area(place, RESUME_MOVING_STEPS), plan->steps,
           plan->step_count * sizeof(plan->steps[0]));
    memcpy((void *)place_area(place, RESUME_MOVING_FINAL), plan->final,
           plan->final_count * sizeof(plan->final[0]));
    resume_moving_from_plan(&place->input, plan, (uint8_t *)place_area(place, RESUME_MOVING_TABLES),
                            &place->moving);
}

EFI_STATUS place_make(EFI_SYSTEM_TABLE *system, const struct resume_sealed *image,
                      const struct resume_guest *guest, struct memory_map *map, struct place *place)
{
    struct resume_placement_bound bound;
    struct resume_diag diag = {0};
    const struct resume_placement *made = &place->plan;
    EFI_STATUS status;
    int err;

    memset(place, 0, sizeof(*place));
    place->system = system;
    place->capacity = (uint32_t)(map->capacity / map->step + image->map_count) + PLACE_MEMORY_SPARE;
    status = allocate_inputs(image, place);
    if (status == EFI_SUCCESS) {
        status = list_pages(image, guest, place);
    }
    if (status == EFI_SUCCESS) {
        status = look(image, guest, map, place);
    }
    if (status != EFI_SUCCESS) {
        return status;
    }
    err = resume_placement_bound_compute(&place->input, &bound, &diag);
    if (err != RESUME_OK) {
        return console_refuse("placement", err, &diag);
    }
    status = allocate_lists(&bound, place);
    /* Something may allocate between looking and owning: then look again. */
    for (uint32_t i = 0; status == EFI_SUCCESS; i++) {
        status = look(image, guest, map, place);
        if (status == EFI_SUCCESS && place_memory_own(place, map)) {
            break;
        }
        if (status == EFI_SUCCESS && i == TRIES) {
            console_line("refused: memory: the firmware does not give what it says is free");
            status = EFI_OUT_OF_RESOURCES;
        }
    }
    if (status == EFI_SUCCESS) {
        status = plan(place);
    }
    if (status != EFI_SUCCESS) {
        return status;
    }
    place->planned = 1;
    write_lists(place);
    console_line(
        "placement: %u KiB in place, %u KiB moved and %u KiB cleared when the firmware has "
        "gone, %u KiB cleared before",
        made->pages_in_place * 4, made->pages_moved * 4, made->pages_filled * 4,
        made->pages_cleared * 4);
    return EFI_SUCCESS;
}

uint64_t place_area(const struct place *place, enum resume_moving_area area)
{
    return place->plan.area[area] << RESUME_PAGE_SHIFT;
}

/* ---- The end ---- */

void place_forget(struct place *place)
{
    if (place->inputs_pa != 0) {
        memset((void *)place->inputs_pa, 0, (size_t)place->inputs_length);
    }
    if (place->lists_pa != 0) {
        memset((void *)place->lists_pa, 0, (size_t)place->lists_length);
    }
}

static void wipe_pages(const struct place *place)
{
    for (uint32_t i = 0; i < place->input.content_count; i++) {
        const struct resume_page_run *run = &place->content[i];
        struct resume_placement_spot spot;

        for (uint64_t done = 0; done < run->count; done += spot.pages) {
            if (resume_placement_locate(&place->plan, run->first + done, run->count - done,
                                        &spot) != RESUME_OK) {
                return;
            }
            if (spot.where != RESUME_PLACEMENT_DROPPED) {
                memset((void *)(spot.frame << RESUME_PAGE_SHIFT), 0,
                       (size_t)(spot.pages << RESUME_PAGE_SHIFT));
            }
        }
    }
    for (uint32_t i = 0; i < RESUME_MOVING_AREAS; i++) {
        memset((void *)place_area(place, (enum resume_moving_area)i), 0,
               (size_t)(place->areas[i].pages << RESUME_PAGE_SHIFT));
    }
}

void place_undo(struct place *place)
{
    if (place->planned) {
        wipe_pages(place);
    }
    place_memory_disown(place);
    if (place->lists_pa != 0) {
        memory_free(place->system, place->lists_pa, place->lists_length);
    }
    if (place->inputs_pa != 0) {
        memory_free(place->system, place->inputs_pa, place->inputs_length);
    }
    memset(place, 0, sizeof(*place));
}
