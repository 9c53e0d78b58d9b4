/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The files in a tar archive: POSIX ustar, as GNU tar and others write it for short names. */
#ifndef RESUME_IMPORT_TAR_H
#define RESUME_IMPORT_TAR_H

#include "importer.h"

#define TAR_NAME_MAX 101

struct tar_entry {
    char name[TAR_NAME_MAX]; /* without directories */
    int regular;             /* 0: a directory, a link, a header for the next entry */
    uint64_t offset;
    uint64_t size;
};

/*
 * tar_next - the entry whose header is at *@at, which is moved behind it.
 * Returns 1, or 0 at the end of the archive. Errors: ETRUNC, EMAGIC (no header there), ECRC, ELENGTH.
 */
int tar_next(const struct import_file *file, uint64_t *at, struct tar_entry *out,
             struct resume_import_error *error);

#endif
