/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* A vCPU stopped in 64-bit user code, in literal values, that passes every check of the library. */
#ifndef GOOD_STATE_H
#define GOOD_STATE_H

#include <resume/state.h>

/* Length of the XSAVE image: legacy region, header, and AVX at 576. */
#define GOOD_AREA_LENGTH 832

/* Longer than the image, so that tests can lengthen it. */
#define GOOD_AREA_MAX RESUME_XSAVE_MAX

struct good_state {
    struct resume_machine machine;
    struct resume_vcpu vcpu;
    uint8_t area[GOOD_AREA_MAX];
};

/* Fills @good; its vcpu.xsave.area points at its own area, so copies must be re-pointed. */
void good_state_fill(struct good_state *good);

/* The value of that MSR, to be changed. It must be in the record. */
uint64_t *good_state_msr(struct good_state *good, uint32_t index);

/* Takes that MSR out of the record. */
void good_state_remove_msr(struct good_state *good, uint32_t index);

/* Puts one more MSR at the end. */
void good_state_add_msr(struct good_state *good, uint32_t index, uint32_t flags, uint64_t value);

/* Writes a little-endian number into the XSAVE image. */
void good_state_put_area(struct good_state *good, size_t at, unsigned size, uint64_t value);

#endif
