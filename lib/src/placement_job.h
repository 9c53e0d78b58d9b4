/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The work of the planner, in two files: areas with the last steps, and all the rest. */
#ifndef RESUME_PLACEMENT_JOB_H
#define RESUME_PLACEMENT_JOB_H

#include "internal.h"
#include "placement_sweep.h"

/* What the first pass counts. */
struct placement_tally {
    uint64_t free_frames; /* outside the home */
    uint64_t content;
    uint64_t content_in_firmware;
    uint64_t zero;
    uint64_t area_pages;
    uint64_t area_pages_early; /* of areas without the flag LAST */
    uint64_t content_segments; /* in firmware frames */
    uint64_t zero_segments;    /* likewise */
    uint64_t free_segments;    /* without content */
};

struct placement_job {
    const struct resume_placement_input *input;
    struct resume_placement *plan;
    struct resume_diag *diag;
    struct placement_reserved reserved;
    struct placement_tally tally;
    uint64_t spare;     /* FREE frames that nothing needs */
    uint64_t displaced; /* content pages in frames of areas */
};

/* How much a FREE frame is wanted otherwise: the lower, the better for other purposes. */
enum { TAKE_BEYOND, TAKE_ZERO, TAKE_CONTENT, TAKE_KINDS };

static inline uint32_t placement_take(const struct placement_segment *segment)
{
    if (segment->kind != RESUME_FRAME_FREE || segment->purpose != PLACEMENT_UNRESERVED ||
        segment->destiny == PLACEMENT_HOME) {
        return TAKE_KINDS;
    }
    if (segment->destiny == PLACEMENT_CONTENT) {
        return TAKE_CONTENT;
    }
    return segment->destiny == PLACEMENT_ZERO ? TAKE_ZERO : TAKE_BEYOND;
}

static inline uint64_t placement_lesser(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

/* resume_placement_lacks - ENOSPC: so much of @field, but it takes so much. */
int resume_placement_lacks(struct resume_diag *diag, const char *field, uint64_t found,
                           uint64_t expected);

/* resume_placement_areas_place - choose the frames of all areas, and reserve them. */
int resume_placement_areas_place(struct placement_job *job);

/*
 * resume_placement_areas_finish - write the last steps, and reserve bounce frames for the content that areas
 * with the flag LAST displace. To be called when all areas are placed and `spare` is known.
 */
int resume_placement_areas_finish(struct placement_job *job);

#endif
