/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A bar, a percentage and two rates on the UEFI console while the guest's memory is loaded. For people
 * only: what is to stay is said by console_line.
 */
#ifndef RESUME_EFI_PROGRESS_H
#define RESUME_EFI_PROGRESS_H

#include <efi.h>
#include <stdint.h>

struct progress {
    uint64_t frequency; /* of the time-stamp counter: a measurement of some milliseconds */
    uint64_t begun;     /* value of the counter */
    uint64_t shown;
    uint64_t total; /* bytes of the guest's memory that are loaded */
    int visible;    /* something of the bar is on the screen */
};

/* progress_begin - start the clock. Takes some milliseconds. */
void progress_begin(struct progress *progress, EFI_SYSTEM_TABLE *system, uint64_t total);

/* progress_update - show how far it is, unless that was done a moment ago. May be called often, by the
 * processor that runs the firmware. @done: bytes of the guest's memory.  @read: bytes of the image. */
void progress_update(struct progress *progress, uint64_t done, uint64_t read);

/* progress_end - show how far it has come, and leave the line. Returns milliseconds since the begin,
 * at least 1. */
uint64_t progress_end(struct progress *progress, uint64_t done, uint64_t read);

#endif
