/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The blobs of tests/golden: what each is, and what reading it must lead to. The committed files
 * are made from this by make_golden, and a test compares the two.
 */
#ifndef GOLDEN_H
#define GOLDEN_H

#include "blob.h"

/* A number to write into a blob before it is sealed; with `tag` 0 into the file's header. */
struct golden_put {
    uint16_t tag;
    uint16_t at; /* from the start of the record's header, or of the file */
    uint32_t vcpu;
    uint32_t size;
    uint64_t value;
};

struct golden_case {
    const char *directory; /* "valid" or "invalid" */
    const char *name;      /* of the file, without ".rsm" */
    const char *base;      /* what it is made from: "minimal", "full", "two" */
    blob_mutation *mutation;
    struct golden_put put; /* used by mutations that need it */
    int err;               /* what reading all of it returns */
    const char *field;     /* what the diagnosis names; NULL for valid files */
};

extern const struct golden_case golden_cases[];
extern const size_t golden_case_count;

/* Build the file of a case. */
void golden_build(const struct golden_case *golden, struct blob *blob);

/* No error of the library: an output was written in spite of the error. */
#define GOLDEN_TOUCHED 1

/* Open, and decode the machine and every vCPU, up to the first error. */
int golden_read(const void *data, size_t length, struct resume_diag *diag);

#endif
