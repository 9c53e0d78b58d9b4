/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Bad input for an importer, made from a good one: cut at every offset, every byte changed, every
 * length field 0, 1, the most, and off by one. Nothing may crash, hang or break a promise of
 * resume/import.h; what is cut is refused unless the test says from where on it need not be.
 *
 * What is tried is much for some inputs, so large ones are tried in strides. With RESUME_TORTURE=all in
 * the environment there are none but for those of more than 512 KiB, or mostly holes.
 */
#ifndef RESUME_TESTS_IMPORT_TORTURE_H
#define RESUME_TESTS_IMPORT_TORTURE_H

#include <stddef.h>
#include <stdint.h>

/* A length, count or offset in the input. @size: 1, 2, 4 or 8 bytes. */
struct torture_field {
    size_t offset;
    unsigned size;
    int big_endian;
};

struct torture {
    const char *format; /* as for resume_import_open; NULL: found out anew each time */
    const uint8_t *data;
    size_t length;
    const struct torture_field *fields;
    size_t field_count;
    /* Cut to fewer bytes than this it must be refused; from here on it may be. 0: it always may. */
    size_t needed;
    /*
     * For large inputs: cut, and change, only each such byte beyond the first 4096. 0 means 1, and so
     * does every value with RESUME_TORTURE=all, if the input is not above 512 KiB.
     */
    size_t stride;
    int holes; /* most of it is zeroes that nobody reads: the stride counts whatever is wanted */
};

/* What came of it; for figures. */
struct torture_result {
    unsigned long tried;
    unsigned long refused;
};

/* import_torture_stride - @stride, or 1 with RESUME_TORTURE=all: for tests with loops of their own. */
size_t import_torture_stride(size_t stride);

/* import_torture - all of it. Aborts with a message when something is wrong. */
struct torture_result import_torture(const struct torture *torture);

#endif
