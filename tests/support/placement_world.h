/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Small machines, frame by frame: random ones, and what really happens to each frame when a plan is
 * carried out. This is the oracle for planner and checker: it uses arrays where they use ranges.
 */
#ifndef RESUME_TEST_PLACEMENT_WORLD_H
#define RESUME_TEST_PLACEMENT_WORLD_H

#include <stdint.h>

#include <resume/placement.h>

#define WORLD_FRAMES 192u
#define WORLD_STEPS 512u

struct world {
    uint64_t base;   /* number of the first frame */
    uint32_t frames; /* at most WORLD_FRAMES; everything outside is UNUSABLE and no RAM */
    uint8_t kind[WORLD_FRAMES];
    uint8_t ram[WORLD_FRAMES];
    uint8_t content[WORLD_FRAMES];
    uint8_t home[WORLD_FRAMES];
    struct resume_placement_area areas[RESUME_PLACEMENT_AREAS];
    uint32_t area_count;

    /* The same as ranges, by world_ranges. */
    struct resume_frames frame_ranges[WORLD_FRAMES];
    struct resume_page_run ram_runs[WORLD_FRAMES];
    struct resume_page_run content_runs[WORLD_FRAMES];
    struct resume_placement_input input;

    /* Room for a plan. */
    struct resume_placement_step steps[WORLD_STEPS];
    struct resume_placement_step final[WORLD_STEPS];
    struct resume_page_run clear[WORLD_STEPS];
    struct resume_placement plan;
};

/* SplitMix64. */
extern uint64_t world_seed;
uint64_t world_random(void);
/* world_below - 0 to @end - 1. */
uint32_t world_below(uint32_t end);

/* world_make - a machine of one of many kinds, with its ranges; by world_seed. */
void world_make(struct world *world);

/* world_ranges - write the ranges and the input; some touching ranges are left unmerged. */
void world_ranges(struct world *world);

/* world_plan_room - set the plan's room to so many entries; at most WORLD_STEPS. */
void world_plan_room(struct world *world, uint32_t steps, uint32_t final, uint32_t clear);

/*
 * world_run - carry the plan out. Returns NULL, or what went wrong first: "structure" (lists or areas
 * are not as described), or a sentence; @ret_frame then says where.
 */
const char *world_run(const struct world *world, const struct resume_placement *plan,
                      uint64_t *ret_frame);

/* world_free, world_needed - FREE frames outside the home; content pages and areas' pages. */
uint32_t world_free(const struct world *world);
uint64_t world_needed(const struct world *world);

#endif
