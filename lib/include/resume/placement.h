/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Placement: who overwrites whom, when firmware puts the guest's memory back itself.
 *
 * Every page of the guest's RAM has to end in the frame of the same number: with its content, or
 * as zeroes. Until ExitBootServices some of these frames belong to the firmware; after it nothing
 * can be read from a disk, and nothing allocated. So the time goes like this:
 *
 *   1. Before ExitBootServices the loader owns every FREE frame. It loads each content page into
 *      the frame that resume_placement_locate says: its own one, or, where that is FIRMWARE or one
 *      that the trampoline needs, another, its bounce frame. It zeroes the frames of `clear`. It
 *      puts the trampoline, its tables and lists into the areas. All of this may be done in any
 *      order, on any processor: no frame is written twice.
 *   2. After ExitBootServices, before anything else, the trampoline executes `steps`.
 *   3. It copies the home to its place, starts the other processors, and all go there.
 *   4. In the home, when nobody needs the staging area any more, it executes `final`, which
 *      overwrites most areas; and then `last`, for those that even this needs.
 *
 * Frames and pages are counted in units of 4 KiB: the number of a frame is its physical address
 * shifted right by RESUME_PAGE_SHIFT. All numbers are below RESUME_FRAMES_END.
 */
#ifndef RESUME_PLACEMENT_H
#define RESUME_PLACEMENT_H

#include <resume/arena.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One past the last frame: physical addresses end at 2^52. */
#define RESUME_FRAMES_END (UINT64_C(1) << 40)

/* What may be done with a frame of the target. What no range names is UNUSABLE. */
enum resume_frame_kind {
    RESUME_FRAME_UNUSABLE = 0, /* reserved, a device's, or not there: never written */
    RESUME_FRAME_FREE = 1,     /* the loader owns it, or can, before ExitBootServices */
    RESUME_FRAME_FIRMWARE = 2  /* in use until ExitBootServices, by whomever; RAM after it */
};

/* A range of frames of one kind. */
struct resume_frames {
    uint64_t first;
    uint64_t count;
    uint32_t kind; /* enum resume_frame_kind */
    uint32_t reserved;
};

/* A range of pages, or of frames whose kind is known. */
struct resume_page_run {
    uint64_t first;
    uint64_t count;
};

/* ---- From the firmware's memory map to frames ---- */

/* One entry of the firmware's memory map, its type translated to a kind. */
struct resume_frames_descriptor {
    resume_pa_t start;
    uint64_t pages;
    uint32_t kind; /* enum resume_frame_kind */
    uint32_t reserved;
};

/*
 * resume_frames_from_descriptors - sort and merge what the firmware says of its memory.
 * @descriptors: @count of them, in any order; they may overlap: then the worst kind counts
 * (UNUSABLE before FIRMWARE before FREE), so that nothing is used that anybody else claims. Empty
 * ones are ignored.
 * @out: room for @capacity ranges, 2 * @count suffice and are required. Contents are undefined on
 * failure.
 * @ret_count: ranges written: ascending, disjoint, none empty, FREE and FIRMWARE only; neighbours
 * differ in kind or do not touch.
 * The kinds are the caller's to say. What is RAM, but declared as reserved by the firmware for
 * itself, is FIRMWARE if the guest may have it (a copy of the same firmware has reserved it in the
 * snapshot too); memory that must survive is UNUSABLE. To keep memory for the firmware's own
 * allocations while the image is read, add a descriptor of kind FIRMWARE over some free memory.
 * Errors: EINVAL (NULL, an unknown kind, an address that is not 4 KiB aligned), ENOSPC (capacity),
 * ELENGTH (a range passes 2^52); diag: offset = the descriptor's start.
 */
int resume_frames_from_descriptors(const struct resume_frames_descriptor *descriptors,
                                   uint32_t count, struct resume_frames *out, uint32_t capacity,
                                   uint32_t *ret_count, struct resume_diag *diag);

/* ---- What to place ---- */

#define RESUME_PLACEMENT_AREAS 8u

/* A contiguous stretch of memory that the trampoline needs after ExitBootServices. */
struct resume_placement_area {
    uint64_t pages; /* 1 or more */
    uint64_t below; /* no frame of it has this number or a higher one; at most RESUME_FRAMES_END */
    uint32_t flags; /* RESUME_PLACEMENT_LAST */
    uint32_t reserved;
};
/* In use until the very end: the list of final steps, and the tables that they are executed on. */
#define RESUME_PLACEMENT_LAST UINT32_C(1)

/*
 * All arrays are borrowed, ascending and disjoint, without empty ranges; neighbours may touch.
 * Areas are placed one after the other in the order given: the tightest first.
 */
struct resume_placement_input {
    const struct resume_frames *frames;
    const struct resume_page_run *ram;     /* all pages that the guest must find in place */
    const struct resume_page_run *content; /* those that are not zero; all of them within ram */
    const struct resume_placement_area *areas;
    uint32_t frames_count;
    uint32_t ram_count;
    uint32_t content_count;
    uint32_t area_count;         /* at most RESUME_PLACEMENT_AREAS */
    struct resume_page_run home; /* within ram, or empty; written by the trampoline only */
};

/* ---- The plan ---- */

/* `source` of a step that fills. */
#define RESUME_PLACEMENT_ZERO UINT64_MAX

/*
 * What the trampoline executes, one after the other. Source and destination do not overlap.
 *
 *   source == RESUME_PLACEMENT_ZERO:  destination[0 .. pages) = 0
 *   otherwise:                        destination[0 .. pages) = source[0 .. pages)
 *                                     source[0 .. pages) = 0
 *
 * That is REP STOSQ, or REP MOVSQ and then REP STOSQ, each with RCX = pages << 9, addresses being
 * frame numbers << RESUME_PAGE_SHIFT, and the direction flag clear. It needs no stack, and no memory
 * but the list.
 */
struct resume_placement_step {
    uint64_t source;
    uint64_t destination;
    uint64_t pages; /* 1 or more */
};

/*
 * Where the trampoline finds a list. That of `steps` is in an area; they are executed as soon as boot
 * services have ended. That of `final` is in an area with the flag LAST; they overwrite the areas
 * without that flag, executed by one processor when all are in the home. All this time paging maps
 * every source and destination (all RAM, best with large pages), the lists, and the code at the
 * address it runs at; these tables are in areas with the flag LAST.
 */
struct resume_placement_list {
    uint64_t steps; /* physical address of struct resume_placement_step[count] */
    uint64_t count;
};

/*
 * The last steps overwrite the areas with the flag LAST. They are executed by the same processor
 * after the final ones, from a copy of this structure in the home, and on the home's own tables,
 * which have to map what these few steps name.
 */
#define RESUME_PLACEMENT_LAST_STEPS 32u
struct resume_placement_last {
    uint32_t count;
    uint32_t reserved;
    struct resume_placement_step steps[RESUME_PLACEMENT_LAST_STEPS];
};

struct resume_placement {
    /* From the caller: room. */
    struct resume_placement_step *steps;
    struct resume_placement_step *final;
    struct resume_page_run *clear;
    uint32_t step_capacity;
    uint32_t final_capacity;
    uint32_t clear_capacity;

    /* `steps`: moves by ascending destination, then fills. */
    uint32_t move_count;
    uint32_t step_count;
    /* `final`: moves and fills by ascending destination. */
    uint32_t final_count;
    /* `clear`: frames that the loader zeroes before ExitBootServices, all FREE, ascending. */
    uint32_t clear_count;
    uint32_t area_count;
    uint64_t area[RESUME_PLACEMENT_AREAS]; /* first frame of each, in the input's order */
    struct resume_page_run home;
    struct resume_placement_last last;

    /* For messages: pages of the guest's RAM, the home's not counted. */
    uint64_t pages_in_place; /* content, loaded to where it belongs */
    uint64_t pages_moved;    /* content, loaded into a bounce frame; by any step */
    uint64_t pages_cleared;  /* zeroes, before ExitBootServices */
    uint64_t pages_filled;   /* zeroes, after it; a bounce frame's wiping counts, too */
};

/* How much room a plan needs at most. */
struct resume_placement_bound {
    uint32_t steps; /* whatever the lengths of areas */
    uint32_t clear; /* likewise */
    uint32_t final; /* whatever the lengths of areas with the flag LAST: as many as others' pages */
};

/*
 * resume_placement_bound_compute - how long the lists can get.
 * With it the caller knows how many pages the areas for the lists need: called with any length for
 * both it gives that for `steps`, and called again with that it gives that for `final`.
 * Errors: EINVAL (the input is not as described; diag: offset = the address where), ENOSPC (more
 * than UINT32_MAX).
 */
int resume_placement_bound_compute(const struct resume_placement_input *input,
                                   struct resume_placement_bound *out, struct resume_diag *diag);

/*
 * resume_placement_make - plan.
 * @plan: room given; everything else is written. On failure nothing but the room's contents is.
 * Deterministic. Some passes over the input, each linear in its ranges; no scratch memory.
 * Bounce frames and areas are taken from FREE frames beyond the guest's RAM or whose page is zero,
 * areas beyond RAM first. An area that finds no such place takes one with content, which is then
 * bounced and put back by final or last steps.
 * Errors:
 *   EINVAL     the input is not as described.
 *   ECONFLICT  a page of the guest is in an UNUSABLE frame (diag: offset = its address; field =
 *              "home", "content" or "zero", the first of these that occurs).
 *   ENOSPC     diag: field = what there is too little of, found = how much there is, expected = how
 *              much it takes:
 *     "frames"  FREE frames outside the home; expected - found more of them, anywhere, suffice
 *               (unless one of the following is met then).
 *     "area"    no contiguous FREE frames for an area; found = the longest run below its limit,
 *               offset = where that is, expected = the area's pages, vcpu = the area's number.
 *     "last"    more last steps than RESUME_PLACEMENT_LAST_STEPS: free frames are too scattered to
 *               bounce what areas with the flag LAST displace. That needs more pages in these areas
 *               than there are last steps, and does not happen where as many contiguous FREE frames
 *               are to spare.
 *     "steps", "final", "clear"  the room given; resume_placement_bound_compute prevents this.
 */
int resume_placement_make(const struct resume_placement_input *input, struct resume_placement *plan,
                          struct resume_diag *diag);

/* Where pages go before ExitBootServices. */
enum resume_placement_where {
    RESUME_PLACEMENT_IN_PLACE = 0,
    RESUME_PLACEMENT_BOUNCED = 1,
    RESUME_PLACEMENT_DROPPED = 2 /* the home: not loaded, the trampoline writes it */
};

struct resume_placement_spot {
    uint64_t frame;
    uint64_t pages; /* 1 or more: so many pages go to consecutive frames from there */
    uint32_t where; /* enum resume_placement_where */
    uint32_t reserved;
};

/*
 * resume_placement_locate - the frames for content pages [page, page + pages), or for as many of the
 * first of them as go to consecutive frames.
 * @page, @pages: content pages, 1 or more; what is no content has no place.
 * Binary search in the moves; reads @plan only, so that any number of processors may call it.
 * Errors: EINVAL (NULL, or beyond RESUME_FRAMES_END).
 */
int resume_placement_locate(const struct resume_placement *plan, uint64_t page, uint64_t pages,
                            struct resume_placement_spot *out);

/*
 * resume_placement_check_size - bytes of scratch memory that resume_placement_check needs for a plan.
 */
uint64_t resume_placement_check_size(const struct resume_placement *plan);

/*
 * resume_placement_check - verify a plan, whoever made it, by following each frame through the time.
 * @scratch: @scratch_size bytes, 8-byte aligned; overwritten. Time n log n in the plan's steps, and
 * linear in the input's ranges.
 * A plan is right when
 *   - moves ascend and do not overlap, behind them are fills only; `final` and `clear` ascend;
 *   - each area is where its input wants it, in FREE frames, apart from home and other areas;
 *   - before ExitBootServices nothing but FREE frames is written, and no frame twice;
 *   - no frame is twice the destination of a step, of `clear` or of its own content; none is twice
 *     a source; none is read when it does not hold what its destination wants;
 *   - final steps write areas only, last steps areas with the flag LAST, no other step touches any;
 *   - nothing but the copying of the home touches the home, and nothing an UNUSABLE frame;
 *   - in the end each page of RAM has its content or is zero, and all else is untouched or zero.
 * Errors: EINVAL (input, or arguments), ENOSPC (scratch; diag: found, expected = bytes), ECONFLICT
 * (the plan is wrong; diag: field = how, offset = address of the first frame concerned).
 * The fields: "order" (the lists), "area" (place of an area), "firmware" (a frame that is not FREE
 * written before ExitBootServices), "loaded twice", "written twice", "read twice", "source" (does
 * not hold what it should), "overlap" (within a step), "area in use" (touched too early, or by what
 * may not), "home" (touched), "unusable" (touched, or a page of the guest there), "destination" (no
 * page of the guest), "late" (a final step in an area with the flag LAST, or a last one in another),
 * "dirty" (a zero page, or an area, left as it is).
 */
int resume_placement_check(const struct resume_placement_input *input,
                           const struct resume_placement *plan, void *scratch,
                           uint64_t scratch_size, struct resume_diag *diag);

#ifdef __cplusplus
static_assert(sizeof(struct resume_placement_step) == 24, "the trampoline steps by this");
static_assert(sizeof(struct resume_placement_last) == 8 + 24 * RESUME_PLACEMENT_LAST_STEPS,
              "packed");
#else
_Static_assert(sizeof(struct resume_placement_step) == 24, "the trampoline steps by this");
_Static_assert(sizeof(struct resume_placement_last) == 8 + 24 * RESUME_PLACEMENT_LAST_STEPS,
               "packed");
#endif

#ifdef __cplusplus
}
#endif
#endif
