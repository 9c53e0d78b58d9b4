/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Reads an input as its users do, all of it, and aborts when a promise of resume/import.h is broken.
 * For tests of bad input and for fuzz targets.
 */
#ifndef RESUME_TESTS_IMPORT_EXERCISE_H
#define RESUME_TESTS_IMPORT_EXERCISE_H

#include <stddef.h>
#include <stdint.h>

/* A file in memory with a path. */
struct import_memfile {
    int fd;
    char path[64];
    uint64_t size;
};

void import_memfile_open(struct import_memfile *file);
void import_memfile_close(struct import_memfile *file);

/* Make it hold these bytes and no others. */
void import_memfile_set(struct import_memfile *file, const void *data, size_t size);

/* Change some bytes, within its size. */
void import_memfile_patch(struct import_memfile *file, uint64_t offset, const void *data,
                          size_t size);

/*
 * import_exercise - open, decode up to 8 vCPUs (the last among them), the machine, some memory; close.
 * @format: a name, or NULL to have it found out. Returns 0 when all vCPUs that were tried could be
 * read, else the first error.
 */
int import_exercise(const char *path, const char *format);

#endif
