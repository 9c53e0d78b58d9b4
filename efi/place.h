/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Who gets which memory: the loader takes all that is free, and plans where the guest's pages go.
 *
 * Of the free memory some is left to the firmware: its drivers allocate while they read. What lies
 * there is loaded elsewhere and moved when the firmware has gone, like all that lies in memory in use.
 */
#ifndef RESUME_EFI_PLACE_H
#define RESUME_EFI_PLACE_H

#include <efi.h>
#include <stdint.h>

#include <resume/moving.h>
#include <resume/sealed.h>

#include "memory.h"

struct place {
    struct resume_placement plan;
    struct resume_placement_input input;
    struct resume_moving moving;

    /* Its own affairs. */
    EFI_SYSTEM_TABLE *system;
    struct resume_placement_area areas[RESUME_MOVING_AREAS];
    struct resume_frames_descriptor *descriptors;
    struct resume_page_run *owned; /* frames that have been allocated one by one */
    struct resume_frames *frames;
    struct resume_range *ranges; /* the frames once more, for a check */
    struct resume_page_run *ram;
    struct resume_page_run *content;
    void *scratch;
    uint64_t scratch_length;
    uint64_t inputs_pa; /* memory of the input's arrays */
    uint64_t inputs_length;
    uint64_t lists_pa; /* memory of the plan's lists and of scratch */
    uint64_t lists_length;
    struct resume_page_run reserve; /* the firmware's */
    uint32_t capacity;              /* of descriptors and owned; of frames twice that */
    uint32_t descriptor_count;
    uint32_t owned_count;
    int planned;
};

/*
 * place_make - own the free memory, plan, check the plan, and write the trampoline's lists.
 * @map: with room; taken some times. @guest: with its plan. @image: opened. Both are only read.
 * Afterwards no memory can be allocated but what the firmware has been left.
 * Says on the console what is wrong, or how much goes where. On failure place_undo is to be called.
 */
EFI_STATUS place_make(EFI_SYSTEM_TABLE *system, const struct resume_sealed *image,
                      const struct resume_guest *guest, struct memory_map *map, struct place *out);

/* place_area - physical address of one of the trampoline's areas. */
uint64_t place_area(const struct place *place, enum resume_moving_area area);

/* place_forget - wipe what is known of the guest: boot services have ended, all is loaded, and there is
 * no way back. A zeroed one is fine. */
void place_forget(struct place *place);

/* place_undo - wipe all pages of the guest and the areas, and give the memory back. A zeroed one is
 * fine, and one that place_make has failed on. */
void place_undo(struct place *place);

#endif
