/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Compares two vCPUs, from inputs of whatever formats, field by field. */
#ifndef RESUME_TOOLS_DIFF_H
#define RESUME_TOOLS_DIFF_H

#include "fields.h"

enum diff_verdict {
    DIFF_SAME,
    DIFF_DIFFERENT,
    DIFF_ONLY_A, /* B does not carry it: no difference */
    DIFF_ONLY_B,
    DIFF_NEITHER
};

/* One field; of the two at least one is there. */
struct diff_entry {
    enum diff_verdict verdict;
    const struct field *a; /* NULL: not in its table */
    const struct field *b;
};

/* Large: not for the stack. */
struct diff {
    uint32_t count;
    uint32_t totals[DIFF_NEITHER + 1]; /* by verdict */
    struct diff_entry entry[2 * FIELDS_MAX];
};

/*
 * diff_fields - compare. @a, @b: borrowed as long as @out is used.
 * The entries are in the order of @a, then what only @b has. An interrupt shadow that one side knows
 * only the existence of is the same as the other side's.
 */
void diff_fields(const struct fields *a, const struct fields *b, struct diff *out);

/* The field of an entry, for its name and group. */
const struct field *diff_field(const struct diff_entry *entry);

#endif
