/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * What the trampoline read back: before it leaves, each vCPU reads every register that it has
 * restored, compares, and says the result on the debug console, one character per register. (What is
 * seen of the same from outside is in tools/ledger.h.)
 */
#ifndef RESUME_TOOLS_READBACK_H
#define RESUME_TOOLS_READBACK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include <resume/handoff.h>

#include "report.h"
#include "splice.h"

#define READBACK_FIELD_MAX (RESUME_LEDGER_COUNT + RESUME_HANDOFF_MSRS)
#define READBACK_NAME_MAX 64

/* One vCPU. */
struct readback_vcpu {
    bool active;                    /* it is resumed */
    bool came;                      /* its line has come */
    bool bad;                       /* its line cannot be read, or came twice */
    uint32_t wanted_count;          /* fields that its line must have */
    char field[READBACK_FIELD_MAX]; /* RESUME_LEDGER_* of each */
};

/* The field that stopped the resume. */
struct readback_difference {
    bool came;
    uint32_t vcpu;
    uint32_t field;
    bool told; /* the next two; not when they may not be known outside */
    uint64_t wanted;
    uint64_t got;
};

/* Owned by the caller, freed with readback_close; members are read-only. */
struct readback {
    const struct splice_parked *parked; /* borrowed */
    bool heard;                         /* the debug console is ours: nothing is known otherwise */
    uint32_t vcpu_count;
    struct readback_vcpu *vcpu; /* owned */
    struct readback_difference differs;
};

/* How many fields of each kind. */
struct readback_counts {
    uint32_t exact;
    uint32_t approximate;
    uint32_t refused;
    uint32_t different;
    uint32_t unchecked;
};

/*
 * readback_open - nothing has come so far.
 * @parked: the handoffs in it say which fields there are; must outlive @out.
 * @heard: will lines come?
 * Failure: EXIT_CODE_ENVIRONMENT (memory).
 */
int readback_open(struct readback *out, const struct splice_parked *parked, bool heard,
                  struct report_failure *failure);

/* readback_close - free; a zeroed one is fine. */
void readback_close(struct readback *readback);

/* readback_take - a doorbell_line_fn, @ctx a struct readback: look at one line of the debug console.
 * Lines of other kinds are passed over. */
void readback_take(void *ctx, const char *line);

/*
 * readback_check - did all active vCPUs say that what they must restore is as wanted?
 * Nothing to check when nothing can be heard.
 * Failures: EXIT_CODE_DIFFERENT (vCPU, field, wanted, got), EXIT_CODE_ENVIRONMENT (a line is missing
 * or cannot be read).
 */
int readback_check(const struct readback *readback, struct report_failure *failure);

/* readback_differs - the failure that stands for a "differs" line; returns like report_fail. */
int readback_differs(const struct readback *readback, const struct readback_difference *differs,
                     struct report_failure *failure);

/*
 * readback_name - "cr0", "msr 0xc0000102 KERNEL_GS_BASE".
 * @field: its place in the ledger, any number.  @buffer: READBACK_NAME_MAX bytes. Returns @buffer.
 */
char *readback_name(const struct readback *readback, uint32_t vcpu, uint32_t field, char *buffer);

/* readback_wanted - what a field shall read back as; false when there is no such number. */
bool readback_wanted(const struct readback *readback, uint32_t vcpu, uint32_t field,
                     uint64_t *ret_value);

/* readback_count - of one vCPU; all zero as long as its line has not come. */
struct readback_counts readback_count(const struct readback *readback, uint32_t vcpu);

/* readback_summary - one line: "4 vCPUs, 212 fields exact, 2 approximate (...)". Cut to @capacity.
 * Returns @buffer. */
char *readback_summary(const struct readback *readback, char *buffer, size_t capacity);

/* readback_print - a table with a row for each vCPU. @fields: and each field by name. */
void readback_print(const struct readback *readback, FILE *out, bool fields);

/* readback_json - for programs: a new reference, NULL when memory runs out. */
json_t *readback_json(const struct readback *readback);

#endif
