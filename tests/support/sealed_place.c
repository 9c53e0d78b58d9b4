/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "sealed_place.h"

#include <stdio.h>
#include <stdlib.h>

#include <resume/moving.h>

#define OVERLAYS 12u /* pieces of the machine that are not free */
#define STEPS_MAX (1u << 18)
#define FRAMES_BELOW_1_MIB 256u
#define FRAMES_BELOW_4_GIB (UINT64_C(1) << 20)
#define STEPS_OF_PAGE (4096u / sizeof(struct resume_placement_step))

struct place {
    const struct resume_sealed *image;
    struct resume_vcpu vcpu;
    struct resume_guest guest;
    bool has_guest;
    struct resume_placement_area areas[RESUME_MOVING_AREAS];
    struct resume_placement_input input;
    struct resume_placement plan;
};

/* A property that must hold, whatever the image says. */
static void must(bool holds, const char *what, const struct resume_diag *diag)
{
    if (holds)
        return;
    fprintf(stderr, "placement: %s: %s at 0x%llx\n", what, diag->field != NULL ? diag->field : "",
            (unsigned long long)diag->offset);
    abort();
}

/* Zeroed, at least one byte. */
static void *room(uint64_t count, size_t size)
{
    void *memory = calloc(count != 0 ? (size_t)count : 1, size);
    if (memory == NULL)
        abort();
    return memory;
}

static struct resume_page_run *runs_of(const struct resume_sealed *image, bool content)
{
    const uint64_t count = content ? image->run_count : image->map_count;
    struct resume_page_run *out = room(count, sizeof(*out));
    for (uint64_t i = 0; i < count; i++) {
        const struct resume_sealed_run run =
            content ? resume_sealed_run(image, i) : resume_sealed_map(image, i);
        out[i] = (struct resume_page_run){run.page, run.count};
    }
    return out;
}

/* The map is free, but for frame 0 and some pieces of it; behind it there is more. */
static struct resume_frames *make_frames(struct place *place, uint32_t variant)
{
    const struct resume_page_run *ram = place->input.ram;
    const uint32_t count = place->input.ram_count;
    struct resume_frames_descriptor *descriptors = room(count + OVERLAYS + 2, sizeof(*descriptors));
    struct resume_frames *frames = room(2 * (uint64_t)(count + OVERLAYS + 2), sizeof(*frames));
    const uint64_t end = ram[count - 1].first + ram[count - 1].count;
    uint32_t used = 0;
    uint64_t random = variant;
    struct resume_diag diag = {0};
    for (uint32_t i = 0; i < count; i++)
        descriptors[used++] = (struct resume_frames_descriptor){ram[i].first << 12, ram[i].count,
                                                                RESUME_FRAME_FREE, 0};
    descriptors[used++] = (struct resume_frames_descriptor){0, 1, RESUME_FRAME_FIRMWARE, 0};
    if (end < RESUME_FRAMES_END - 4096)
        descriptors[used++] = (struct resume_frames_descriptor){end << 12, variant >> 8 & 0xfff,
                                                                RESUME_FRAME_FREE, 0};
    for (uint32_t i = 0; i < (variant & 15u) && i < OVERLAYS; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        const struct resume_page_run *in = &ram[(random >> 33) % count];
        const uint64_t first = in->first + (random >> 20) % in->count;
        const uint64_t rest = in->first + in->count - first;
        const uint64_t pages = 1 + (random >> 40) % (rest < 64 ? rest : 64);
        descriptors[used++] = (struct resume_frames_descriptor){
            first << 12, pages,
            (variant & 16u) != 0 && i == 0 ? RESUME_FRAME_UNUSABLE : RESUME_FRAME_FIRMWARE, 0};
    }
    must(resume_frames_from_descriptors(descriptors, used, frames, 2 * used,
                                        &place->input.frames_count, &diag) == RESUME_OK,
         "frames", &diag);
    free(descriptors);
    return frames;
}

static void open_guest(struct place *place)
{
    size_t length = 0;
    struct resume_diag diag;
    const uint8_t *part = resume_sealed_part(place->image, RESUME_SEALED_PART_STATE, &length);
    if (resume_guest_open(part, length, &place->vcpu, &place->guest, &diag) != RESUME_OK)
        return;
    part = resume_sealed_part(place->image, RESUME_SEALED_PART_PLAN, &length);
    place->has_guest = resume_guest_plan(&place->guest, part, length, &diag) == RESUME_OK;
    if (place->has_guest)
        place->input.home = (struct resume_page_run){place->guest.plan.home.pa >> 12,
                                                     place->guest.plan.home.length >> 12};
}

/* As long as resume_moving_areas makes them, for an image without a state that can be resumed. */
static int make_areas(struct place *place, struct resume_diag *diag)
{
    struct resume_placement_bound bound;
    if (place->has_guest)
        return resume_moving_areas(&place->guest, &place->input, place->areas, diag);
    const struct resume_placement_area areas[RESUME_MOVING_AREAS] = {
        {1, FRAMES_BELOW_1_MIB, 0, 0},
        {57, FRAMES_BELOW_4_GIB, 0, 0},
        {9, FRAMES_BELOW_4_GIB, RESUME_PLACEMENT_LAST, 0},
        {1, RESUME_FRAMES_END, 0, 0},
        {1, RESUME_FRAMES_END, RESUME_PLACEMENT_LAST, 0}};
    for (unsigned i = 0; i < RESUME_MOVING_AREAS; i++)
        place->areas[i] = areas[i];
    for (unsigned i = 0; i < 2; i++) {
        const int error = resume_placement_bound_compute(&place->input, &bound, diag);
        if (error != RESUME_OK)
            return error;
        if (i == 0)
            place->areas[RESUME_MOVING_STEPS].pages = bound.steps / STEPS_OF_PAGE + 1;
        else
            place->areas[RESUME_MOVING_FINAL].pages = bound.final / STEPS_OF_PAGE + 1;
    }
    return RESUME_OK;
}

static bool is_free(const struct resume_placement_input *input, uint64_t first, uint64_t pages)
{
    for (uint32_t i = 0; i < input->frames_count; i++) {
        const struct resume_frames *range = &input->frames[i];
        if (range->kind == RESUME_FRAME_FREE && first >= range->first &&
            first - range->first < range->count)
            return pages <= range->count - (first - range->first);
    }
    return false;
}

/* Every page has a place, and it is one that may be written to. */
static uint64_t locate(const struct place *place)
{
    const struct resume_placement_input *input = &place->input;
    uint64_t pages = 0;
    const struct resume_diag diag = {0};
    for (uint32_t i = 0; i < input->content_count; i++) {
        const struct resume_page_run *run = &input->content[i];
        for (uint64_t done = 0; done < run->count;) {
            struct resume_placement_spot spot;
            must(resume_placement_locate(&place->plan, run->first + done, run->count - done,
                                         &spot) == RESUME_OK &&
                     spot.pages > 0 && spot.pages <= run->count - done,
                 "no place", &diag);
            must(spot.where == RESUME_PLACEMENT_DROPPED || is_free(input, spot.frame, spot.pages),
                 "a frame that is not free", &diag);
            done += spot.pages;
            pages += spot.pages;
        }
    }
    return pages;
}

static uint64_t make_plan(struct place *place)
{
    struct resume_placement_bound bound;
    struct resume_diag diag = {0};
    uint64_t pages = 0;
    place->input.areas = place->areas;
    place->input.area_count = RESUME_MOVING_AREAS;
    if (make_areas(place, &diag) != RESUME_OK ||
        resume_placement_bound_compute(&place->input, &bound, &diag) != RESUME_OK ||
        bound.steps > STEPS_MAX || bound.final > STEPS_MAX || bound.clear > STEPS_MAX)
        return 0;
    struct resume_placement_step *steps = room(bound.steps, sizeof(*steps));
    struct resume_placement_step *final = room(bound.final, sizeof(*final));
    struct resume_page_run *clear = room(bound.clear, sizeof(*clear));
    place->plan = (struct resume_placement){.steps = steps,
                                            .final = final,
                                            .clear = clear,
                                            .step_capacity = bound.steps,
                                            .final_capacity = bound.final,
                                            .clear_capacity = bound.clear};
    if (resume_placement_make(&place->input, &place->plan, &diag) == RESUME_OK) {
        const uint64_t size = resume_placement_check_size(&place->plan);
        void *scratch = room(size, 1);
        must(resume_placement_check(&place->input, &place->plan, scratch, size, &diag) == RESUME_OK,
             "the plan is wrong", &diag);
        free(scratch);
        pages = locate(place);
    }
    free(steps);
    free(final);
    free(clear);
    return pages;
}

uint64_t sealed_place(const struct resume_sealed *image, uint32_t variant)
{
    struct place *place = room(1, sizeof(*place));
    struct resume_page_run *ram = runs_of(image, false);
    struct resume_page_run *content = runs_of(image, true);
    place->image = image;
    place->input.ram = ram;
    place->input.ram_count = (uint32_t)image->map_count;
    place->input.content = content;
    place->input.content_count = (uint32_t)image->run_count;
    struct resume_frames *frames = make_frames(place, variant);
    place->input.frames = frames;
    open_guest(place);
    const uint64_t pages = make_plan(place);
    free(frames);
    free(content);
    free(ram);
    free(place);
    return pages;
}
