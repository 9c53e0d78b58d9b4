/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Moving: the way into the home when firmware puts the guest's memory back itself.
 *
 * The placement (resume/placement.h) says what is moved; here is what a firmware does with a plan, so
 * that the trampoline executes it. In this order:
 *
 *   1. resume_moving_areas, for the input of resume_placement_make.
 *   2. resume_placement_make, resume_placement_check; own all FREE frames.
 *   3. Copy plan->steps and plan->final into their areas; resume_moving_from_plan.
 *   4. resume_guest_set_moving, then resume_guest_build into the start of the staging area.
 *   5. resume_transit_build, with `moving` in its input: it fills the transit tables too.
 *   6. Load all pages, end boot services, enter the trampoline.
 *
 * The trampoline then stops all other processors with INIT, which are in the firmware's hands until
 * then, executes `steps`, copies the home, starts the others, waits until they are in the home,
 * executes `final`, and `last` on the home's own tables. The doorbell comes after that.
 */
#ifndef RESUME_MOVING_H
#define RESUME_MOVING_H

#include <resume/guest.h>
#include <resume/placement.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The areas that the trampoline needs, in the order in which they are placed. */
enum resume_moving_area {
    RESUME_MOVING_STARTUP, /* one page below 1 MiB, where other processors begin */
    RESUME_MOVING_STAGING, /* guest->staging.length, below 4 GiB */
    RESUME_MOVING_TABLES,  /* the transit tables, below 4 GiB; in use until the end */
    RESUME_MOVING_STEPS,   /* the list of steps, anywhere */
    RESUME_MOVING_FINAL,   /* the list of final steps, anywhere; in use until the end */
    RESUME_MOVING_AREAS
};

/*
 * resume_moving_areas - how long the areas have to be.
 * @guest: with its plan.
 * @input: all but `areas` and `area_count`, which are ignored. `home` is the guest's. No FREE frame
 * is number 0: the page for started processors cannot be there, and a list not at address 0.
 * @out: for input->areas; area_count is RESUME_MOVING_AREAS.
 * The tables are as many as identity-map the RAM of input->frames, with 2 MiB pages where they fit:
 * two or so for each stretch of RAM, and one for each GiB.
 * Errors: EINVAL (NULL, frame 0, a home that is not the guest's), those of
 * resume_placement_bound_compute.
 */
int resume_moving_areas(const struct resume_guest *guest,
                        const struct resume_placement_input *input,
                        struct resume_placement_area out[RESUME_MOVING_AREAS],
                        struct resume_diag *diag);

/* What image and transit are told of it. Everything is borrowed until both are built. */
struct resume_moving {
    struct resume_placement_list steps; /* where the trampoline finds them */
    struct resume_placement_list final;
    const struct resume_placement_last *last;
    const struct resume_frames *frames; /* RAM, identity mapped meanwhile: the planner's input */
    uint32_t frames_count;
    uint32_t reserved;
    resume_pa_t tables_pa; /* the area RESUME_MOVING_TABLES: 4 KiB aligned, below 4 GiB */
    uint64_t tables_pages;
    uint8_t *tables; /* where it can be written: tables_pages * 4 KiB; contents do not matter */
};

/*
 * resume_moving_from_plan - fill @out from a plan whose areas are those of resume_moving_areas.
 * @tables: where the area RESUME_MOVING_TABLES can be written.
 * The addresses are those of the areas: the caller puts plan->steps and plan->final there.
 */
void resume_moving_from_plan(const struct resume_placement_input *input,
                             const struct resume_placement *plan, uint8_t *tables,
                             struct resume_moving *out);

/*
 * resume_guest_set_moving - have resume_guest_build build an image of the home that executes
 * moving->last.  @moving: borrowed as long as @guest is used; NULL: as before.
 */
void resume_guest_set_moving(struct resume_guest *guest, const struct resume_moving *moving);

#ifdef __cplusplus
}
#endif
#endif
