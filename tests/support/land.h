/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Landings put to the test: composed, executed by the interpreter, compared with the vCPU. What the
 * unit tests of the landing share.
 */
#ifndef TEST_LAND_H
#define TEST_LAND_H

#include <resume/landing.h>

#include "landing_machine.h"

#define LAND_FILL 0xcc
#define LAND_SLOTS (LANDING_MACHINE_MEMORY - 3 * RESUME_LANDING_MAX) /* offset of three slots */

#define RFLAGS_TF UINT64_C(0x100)
#define RFLAGS_IF UINT64_C(0x200)
#define RFLAGS_RF UINT64_C(0x10000)
#define CR0_WP UINT64_C(0x10000)
#define CR4_CET UINT64_C(0x800000)
#define ACCESS_L 0x2000u
#define ACCESS_DB 0x4000u

/* A home of one page with three slots; the landing gets the middle one, and is not the last out. */
struct resume_landing_place land_place(uint64_t home);

/*
 * Compose a landing, execute it from what the trampoline hands over, and fail the test unless the
 * registers are the vCPU's, and memory holds fill and what remains.
 * @entry_flags: RFLAGS to come with.
 */
void land(const struct resume_vcpu *vcpu, const struct resume_landing_place *place,
          uint64_t entry_flags, struct resume_landing *landing);

#endif
