/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The part of load.h that all processors execute. Nothing of it calls the firmware. */
#ifndef RESUME_EFI_LOAD_WORK_H
#define RESUME_EFI_LOAD_WORK_H

#include "load.h"

/* load_work_direct - where the bytes of @chunk can be read to at once: it is not compressed, and its
 * pages belong into consecutive frames. NULL: they cannot. */
uint8_t *load_work_direct(const struct load *load, const struct resume_sealed_chunk *chunk);

/* load_work_offer - the slot that has been filled last may be worked on. */
void load_work_offer(struct load *load);

/* load_work_finish - no more slots will come. @failed: and nothing is to be done any more. */
void load_work_finish(struct load *load, int failed);

int load_work_failed(const struct load *load);

/* load_work_one - do one piece of work. Returns 0 when there is none now. */
int load_work_one(struct load *load, struct load_worker *worker);

/* load_work_wipe_stack - overwrite what the work has left below: pieces of keys and of the guest. */
void load_work_wipe_stack(void);

/* load_work_processor - what the other processors do until all is done. @load: struct load. */
void EFIAPI load_work_processor(void *load);

#endif
