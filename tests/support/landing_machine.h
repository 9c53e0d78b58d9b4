/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A tiny x86-64 interpreter, written from the manual, for the handful of instructions that a landing
 * may consist of. It shares nothing with the composer: what it cannot decode is an error.
 */
#ifndef TEST_LANDING_MACHINE_H
#define TEST_LANDING_MACHINE_H

#include <stdint.h>

struct landing_machine {
    uint8_t *memory; /* the home, mapped at `base` */
    uint64_t base;
    uint64_t size;
    uint64_t reg[16]; /* encoding order */
    uint64_t rip;
    uint64_t rflags;
    uint64_t cr0;
    uint16_t cs;
    uint16_t ss;
    uint32_t cpl;
    const char *error;   /* what it could not do, or NULL */
    uint32_t shadow;     /* the last instruction was STI */
    uint32_t if_exposed; /* an instruction ran with IF set and no shadow: an interrupt could hit */
    uint32_t steps;
};

/* Run until RIP leaves the home, at most @limit instructions. Returns 1 when it left. */
int landing_machine_run(struct landing_machine *m, uint32_t limit);

#endif
