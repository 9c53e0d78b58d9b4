/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The image of the home and the way into it, in memory that has nothing to do with either. */
#ifndef RESUME_EFI_PREPARE_H
#define RESUME_EFI_PREPARE_H

#include <efi.h>
#include <stdint.h>

#include <resume/guest.h>

#include "place.h"

struct prepared {
    uint64_t staging_pa; /* guest->staging.length bytes */
    uint64_t startup_pa; /* 0 when there is only one processor to resume */
    int home_reserved;
    int placed; /* both are somebody else's */
};

/*
 * prepare_all - allocate, build the image, build the way. Says what is wrong on the console.
 * @cpu: of this machine.  On failure prepare_undo is to be called as well.
 */
EFI_STATUS prepare_all(EFI_SYSTEM_TABLE *system, const struct resume_guest *guest,
                       const struct resume_cpu *cpu, struct resume_vcpu *scratch,
                       struct prepared *out);

/*
 * prepare_placed - the same in the areas that a placement has, with the guest's memory put back on the
 * way. Allocates nothing.
 * @guest: is told of the placement.
 */
EFI_STATUS prepare_placed(struct resume_guest *guest, const struct resume_cpu *cpu,
                          struct resume_vcpu *scratch, const struct place *place,
                          struct prepared *out);

/* prepare_undo - wipe and free. A zeroed one is fine. */
void prepare_undo(EFI_SYSTEM_TABLE *system, const struct resume_guest *guest,
                  struct prepared *prepared);

/* prepare_enter - leave for the home. Boot services have ended; does not return. */
void prepare_enter(const struct resume_guest *guest, const struct prepared *prepared)
    __attribute__((noreturn));

#endif
