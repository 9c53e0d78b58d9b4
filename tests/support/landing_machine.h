/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A tiny x86-64 interpreter, written from the manual, for the handful of instructions that a landing
 * may consist of. It shares nothing with the composer: what it cannot decode is an error. So is an
 * instruction of which a byte has been written since the start: a landing wipes only what it has
 * executed.
 */
#ifndef TEST_LANDING_MACHINE_H
#define TEST_LANDING_MACHINE_H

#include <stdint.h>

#define LANDING_MACHINE_MEMORY 4096

struct landing_machine {
    uint8_t
        memory[LANDING_MACHINE_MEMORY]; /* mapped at `base`, read-only: writable with WP clear */
    uint8_t written[LANDING_MACHINE_MEMORY]; /* 1 = stored to since the start */
    uint64_t base;
    uint64_t reg[16]; /* encoding order */
    uint64_t rip;
    uint64_t rflags;
    uint64_t cr0;
    uint64_t cr4;
    uint16_t seg[8]; /* ES CS SS DS FS GS LDTR TR */
    uint32_t cpl;
    uint32_t compat;     /* 1 = the code segment that is returned to is no 64-bit one */
    uint64_t left_va;    /* the counter of those that have left */
    uint32_t arriving;   /* other vCPUs that are still going to count: one at each look */
    uint32_t early;      /* stores to the memory of all, while others needed it */
    const char *error;   /* what it could not do, or NULL */
    uint32_t shadow;     /* the last instruction was STI, and IF was clear */
    uint32_t if_exposed; /* an instruction ran with IF set and no shadow: an interrupt could hit */
    uint32_t irets;      /* IRETs executed: they end the blocking of NMIs */
    uint32_t steps;
};

/* The RET by which the landing is reached. */
void landing_machine_return(struct landing_machine *m);

/* Run until RIP leaves the memory, at most @limit instructions. Returns 1 when it left. */
int landing_machine_run(struct landing_machine *m, uint32_t limit);

#endif
