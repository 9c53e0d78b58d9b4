/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Layout of a landing in its slot, ascending; everything is aligned to the slot's end:
 *
 *   fill | data | head | wiping | tail | fill | frame
 *
 * data    the address of the head, that the trampoline's RET pops; RFLAGS; registers.
 * head    departure, refill, POPFQ and POPs.
 * wiping  overwrites everything up to its own end with fill. Each of its instructions is shorter
 *         than the eight bytes that it wipes, so that it catches up with the execution, and
 *         arrives at its own end exactly; it never wipes what has not been executed yet.
 * tail    CR0 (with it WP), the registers that the wiping needed, and the way out.
 * frame   what the tail pops; forms RETF and IRET only.
 */
#ifndef RESUME_LANDING_PARTS_H
#define RESUME_LANDING_PARTS_H

#include <resume/landing.h>

#include "arch.h"
#include "landing_code.h"

/* POPFQ at CPL 0 cannot set these (VIP, VIF, RF), or nothing can run under them (TF). */
#define RESUME_FLAGS_ONLY_IRET                                                                     \
    (RESUME_RFLAGS_TF | RESUME_RFLAGS_RF | RESUME_RFLAGS_VIF | RESUME_RFLAGS_VIP)

#define RESUME_NO_REGISTER RESUME_GPR_COUNT

/* All of a landing that does not depend on the choice of registers. */
struct resume_landing_course {
    const struct resume_vcpu *vcpu;
    const struct resume_landing_place *place;
    enum resume_landing_form form;
    uint64_t rip;    /* where the guest goes on: before the instruction that made a shadow */
    uint64_t rflags; /* with IF clear where that instruction is STI */
    int cet;         /* CR4.CET: can only be set after CR0.WP */
    int distant;     /* JMP through memory */
    int refills;     /* REP STOSB in the head: uses RDI, RCX, AL */
};

/* Registers that are not the guest's when the wiping begins; the tail restores all but `pointer`. */
struct resume_landing_registers {
    uint32_t cr0;     /* holds CR0, at the latest in the tail */
    uint32_t cr4;     /* CR4; RESUME_NO_REGISTER without CET; may be the same as cr0 */
    uint32_t fill;    /* form JUMP: holds fill bytes; may be the same as cr0 */
    uint32_t pointer; /* form JUMP: where the wiping is; restored in the midst of it */
};

struct resume_landing_tail {
    struct resume_code code;
    uint64_t data[3]; /* what it pops before the frame */
    uint32_t data_count;
    uint32_t leave;   /* offset of the last instruction in code */
    uint32_t differs; /* of code and data */
};

struct resume_landing_head {
    struct resume_code code;
    uint64_t data[6];
    uint32_t data_count;
};

static inline uint32_t resume_register_bit(uint32_t reg)
{
    return reg < RESUME_GPR_COUNT ? 1u << reg : 0;
}

/* What a register can be loaded from, without all that are in the mask @lost. */
struct resume_code_sources resume_landing_sources(const struct resume_landing_course *course,
                                                  uint32_t lost, uint32_t fill);

/* Is there an STI before the instruction that enters the guest? */
int resume_landing_needs_sti(const struct resume_landing_course *course);

/* @regs: `pointer` does not matter. */
void resume_landing_build_tail(const struct resume_landing_course *course,
                               const struct resume_landing_registers *regs,
                               struct resume_landing_tail *tail);

/* What the tail's RETFQ or IRETQ pops. */
void resume_landing_build_frame(const struct resume_landing_course *course,
                                struct resume_code *frame);

/*
 * @va: where the code is going to lie.  @pad: fill bytes before the data, that are wiped too.
 * The length depends on neither.
 */
void resume_landing_build_head(const struct resume_landing_course *course,
                               const struct resume_landing_registers *regs, uint64_t va,
                               uint32_t pad, struct resume_landing_head *head);

#endif
