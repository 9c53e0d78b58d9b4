/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A vCPU as a flat table of named fields: the one place that knows what there is to show and to
 * compare. Text, JSON and comparison all work from it.
 */
#ifndef RESUME_TOOLS_FIELDS_H
#define RESUME_TOOLS_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <resume/state.h>

#include "decode.h"

enum field_group {
    FIELD_REGISTERS,
    FIELD_SEGMENTS, /* "cs.base", "cs.limit", "cs.access", "cs.selector" */
    FIELD_CONTROL,
    FIELD_DEBUG,
    FIELD_RUN,
    FIELD_MSRS,
    FIELD_FPU,
    FIELD_GROUP_COUNT
};

/* How the value is to be read. */
enum field_form {
    FIELD_HEX,
    FIELD_FLAGS,  /* bits with names, in `bits` */
    FIELD_NUMBER, /* decimal */
    FIELD_BOOL,
    FIELD_STATE,  /* enum resume_mp_state */
    FIELD_SHADOW, /* interrupt shadow */
    FIELD_EVENT,  /* a vector, or RESUME_NO_EVENT */
    FIELD_WIDE    /* more than 8 bytes */
};

#define FIELD_NAME_MAX 40
#define FIELD_BYTES_MAX 64
#define FIELD_TEXT_MAX 640

struct field {
    enum field_group group;
    enum field_form form;
    enum decode_register bits;      /* for FIELD_FLAGS */
    char name[FIELD_NAME_MAX];      /* unique in a vCPU: "rax", "cr4", "msr_c0000081", "xmm3" */
    uint32_t number;                /* of an MSR */
    uint32_t size;                  /* bytes of value, 1 to FIELD_BYTES_MAX */
    bool known;                     /* false: the input does not carry it, value is zero */
    uint8_t value[FIELD_BYTES_MAX]; /* low byte first */
};

/*
 * Registers, segments, control, debug and run fields: 96 at most; MSRs; x87 and vectors: at most 24
 * and 4 times 32, and what is in pieces of 64 bytes.
 */
#define FIELDS_MAX (96u + RESUME_MSR_MAX + 160u + RESUME_XSAVE_MAX / FIELD_BYTES_MAX)

/* Large: not for the stack. */
struct fields {
    uint32_t count;
    struct field field[FIELDS_MAX];
};

/*
 * fields_list - all fields of @vcpu, group by group.
 * MSRs are there if the record has them, vector registers beyond SSE if the image has them, all other
 * fields always. x87 and vector registers hold what XRSTOR would load: a component that is not in use
 * has its initial values.
 */
void fields_list(const struct resume_vcpu *vcpu, struct fields *out);

/*
 * fields_lack - mark what a format has no place for, though the record has one: the record knows of an
 * XSAVE image as a whole only.
 * @format: its name, as that of resume/import.h.
 */
void fields_lack(struct fields *fields, const char *format);

/* fields_find - by name, or NULL. */
const struct field *fields_find(const struct fields *fields, const char *name);

/* The same among the fields of a segment: fields_segment(fields, "cs", "base"). */
const struct field *fields_segment(const struct fields *fields, const char *segment,
                                   const char *part);

/* Its value, of 8 bytes or the low 8 of them. */
uint64_t field_value(const struct field *field);

/* "registers", "segments", "control", "debug", "run", "msrs", "fpu". */
const char *field_group_name(enum field_group group);

/* "none", "after STI", "after MOV SS or POP SS", "after an unknown instruction". */
const char *field_shadow_name(uint64_t interrupt_shadow);

/*
 * field_format - the value as people read it: "0x80050033 PE MP ET NE WP AM PG", "halted", "none".
 * @buffer: FIELD_TEXT_MAX bytes. Returns it.
 */
char *field_format(const struct field *field, char *buffer);

/*
 * fields_vector - vector register @index put together from its parts, low byte first.
 * @ret_width: bytes: 16, 32 or 64. Returns false when there is no such register, or it is not known.
 */
bool fields_vector(const struct fields *fields, unsigned index, uint8_t out[64],
                   unsigned *ret_width);

#endif
