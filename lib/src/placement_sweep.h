/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The planner's view of memory: all frames in ascending order, cut wherever something changes. It
 * is computed anew on each pass, so that no list of it is needed.
 */
#ifndef RESUME_PLACEMENT_SWEEP_H
#define RESUME_PLACEMENT_SWEEP_H

#include <resume/placement.h>

/* What the page of a frame's number is in the end. */
enum placement_destiny {
    PLACEMENT_BEYOND, /* the guest has no such page */
    PLACEMENT_ZERO,
    PLACEMENT_CONTENT,
    PLACEMENT_HOME
};

/* What frames are reserved for. */
enum placement_purpose {
    PLACEMENT_UNRESERVED,
    PLACEMENT_AREA,
    PLACEMENT_AREA_LAST,  /* an area with the flag LAST */
    PLACEMENT_BOUNCE_LAST /* for what one of those displaces */
};

/* Ascending, disjoint. */
#define PLACEMENT_RESERVED (RESUME_PLACEMENT_AREAS + RESUME_PLACEMENT_LAST_STEPS)
struct placement_reserved {
    struct resume_page_run runs[PLACEMENT_RESERVED];
    uint32_t purpose[PLACEMENT_RESERVED]; /* enum placement_purpose */
    uint32_t count;
};

struct placement_segment {
    uint64_t first;
    uint64_t count;
    uint32_t kind;    /* enum resume_frame_kind */
    uint32_t destiny; /* enum placement_destiny */
    uint32_t purpose; /* enum placement_purpose */
};

struct placement_sweep {
    const struct resume_placement_input *input;
    const struct placement_reserved *reserved;
    uint64_t at;
    uint64_t end;
    /* The first range of each array that ends behind `at`. */
    uint32_t frames_next;
    uint32_t ram_next;
    uint32_t content_next;
    uint32_t reserved_next;
};

/* resume_placement_input_check - is the input as resume/placement.h describes it? */
int resume_placement_input_check(const struct resume_placement_input *input,
                                 struct resume_diag *diag);

/*
 * resume_placement_sweep_begin - look at frames [first, end). The pointers are kept.
 * @reserved: NULL means nothing; not to be changed while the sweep is used.
 */
void resume_placement_sweep_begin(struct placement_sweep *sweep,
                                  const struct resume_placement_input *input,
                                  const struct placement_reserved *reserved, uint64_t first,
                                  uint64_t end);

/*
 * resume_placement_sweep_next - the next segment that is a page of the guest or a frame in use of some kind.
 * Returns 0 at the end. Takes constant time on average.
 */
int resume_placement_sweep_next(struct placement_sweep *sweep, struct placement_segment *out);

#endif
