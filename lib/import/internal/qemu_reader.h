/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Fetching fields of one section by name, with one place for what goes wrong. */
#ifndef RESUME_IMPORT_QEMU_READER_H
#define RESUME_IMPORT_QEMU_READER_H

#include "vmdesc.h"

/* After a failure every further fetch gives 0. */
struct qemu_reader {
    const struct vmdesc *desc;
    const struct vmdesc_section *section;
    struct stream_error *error;
    int *ret; /* the first failure; shared by readers that belong together */
};

/*
 * qemu_need - the value of a field that every such section has.
 * @max: the largest value that is believed (UINT64_MAX: any). The rest is the path, as for printf.
 * Failures: EMISSING, EREGISTER (too large, or not a number).
 */
uint64_t qemu_need(struct qemu_reader *reader, uint64_t max, const char *path, ...)
    __attribute__((format(printf, 3, 4)));

/* qemu_may - the value of a field of an optional subsection; @absent when it is not there. */
uint64_t qemu_may(struct qemu_reader *reader, uint64_t max, uint64_t absent, const char *path, ...)
    __attribute__((format(printf, 4, 5)));

/* The value of a field that has been looked up; ret is set if it is no number or above @max. */
uint64_t qemu_value(struct qemu_reader *reader, uint64_t max, const struct vmdesc_field *field);

#endif
