/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Names for what a vCPU record holds: bits of registers, segments, components (Intel SDM vol. 3 and 4). */
#ifndef RESUME_TOOLS_DECODE_H
#define RESUME_TOOLS_DECODE_H

#include <stddef.h>
#include <stdint.h>

#include <resume/state.h>

enum decode_register {
    DECODE_CR0,
    DECODE_CR4,
    DECODE_EFER,
    DECODE_RFLAGS,
    DECODE_XCR0,
    DECODE_DR6,
    DECODE_DR7,
    DECODE_APIC_BASE,
    DECODE_SEGMENT /* struct resume_segment.access, without type and DPL */
};

/*
 * decode_bit - the name of the next set bit of a register.
 * @bit: where to begin, 0 at first; afterwards the bit found.
 * Returns its name ("?" for one without a name; fields of several bits are passed over), or NULL
 * when there are no more. For the following one call again with *bit + 1.
 */
const char *decode_bit(enum decode_register reg, uint64_t value, unsigned *bit);

/* The names of all set bits, separated by blanks, into @buffer (always terminated). Returns it. */
char *decode_bits(enum decode_register reg, uint64_t value, char *buffer, size_t capacity);

/* "running", "halted", "waiting for SIPI", "uninitialized". */
const char *decode_run_state(uint32_t mp_state);

/* What kind of segment: "code, readable", "data, writable", "busy TSS", ... Static. */
const char *decode_segment_type(uint32_t access);

/* Names. Static; decode_component gives NULL for unknown numbers. */
const char *decode_gpr(unsigned index);
const char *decode_segment(unsigned index);
const char *decode_component(uint32_t id);

#endif
