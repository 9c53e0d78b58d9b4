/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The instructions that landings are made of. None of them changes RFLAGS but POPFQ and the waiting. */
#ifndef RESUME_LANDING_CODE_H
#define RESUME_LANDING_CODE_H

#include <resume/handoff.h>
#include <resume/state.h>

/* Bytes under construction. What does not fit is dropped, but counted. */
struct resume_code {
    uint8_t bytes[RESUME_LANDING_MAX];
    uint32_t length;
};

void resume_code_put(struct resume_code *code, const uint8_t *bytes, uint32_t count);

#define RESUME_CODE(code, ...)                                                                     \
    do {                                                                                           \
        const uint8_t code_[] = {__VA_ARGS__};                                                     \
        resume_code_put((code), code_, (uint32_t)sizeof(code_));                                   \
    } while (0)

/* @count bytes of @value, little-endian. */
void resume_code_value(struct resume_code *code, uint64_t value, uint32_t count);

/* OPCODE reg, rm, both registers. @wide: 64-bit operands. */
void resume_code_register(struct resume_code *code, int wide, uint8_t opcode, uint32_t reg,
                          uint32_t rm);

/* OPCODE reg, [base + disp8], 64-bit operands. */
void resume_code_memory(struct resume_code *code, uint8_t opcode, uint32_t reg, uint32_t base,
                        int32_t disp);

/* A byte that no code is compared with: every byte counts. */
#define RESUME_CODE_NO_FILL 0x100u

/* How many bytes are not @fill. */
uint32_t resume_code_differs(const uint8_t *bytes, uint32_t count, uint32_t fill);

/* What is there to make a register's value from. */
struct resume_code_sources {
    const struct resume_vcpu *vcpu;
    uint32_t registers; /* bit n: the general register n holds the vCPU's value */
    uint32_t segments;  /* bit n: the segment register n (enum resume_seg) does */
    uint32_t fill;      /* bytes equal to it cost nothing, or RESUME_CODE_NO_FILL */
    int stack;          /* 1 = the value may be popped */
};

/*
 * resume_code_load - give register @reg the value @value at the least cost, then with the fewest
 * bytes; RFLAGS stay. *@popped: 1 when the code is a POP, and the value is to lie on the stack.
 * Returns the cost: bytes of code and stack that differ from the fill.
 */
uint32_t resume_code_load(struct resume_code *code, const struct resume_code_sources *from,
                          uint32_t reg, uint64_t value, int *popped);

static inline int resume_fits_signed(uint64_t value, uint32_t bits)
{
    uint64_t high = value >> (bits - 1);

    return high == 0 || high == UINT64_MAX >> (bits - 1);
}

#endif
