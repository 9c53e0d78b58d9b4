/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * makedumpfile's flattened form: a file as pieces, each with the offset at which it belongs, so
 * that it could be written into a pipe. A file that is not flattened is one piece.
 */
#ifndef RESUME_IMPORT_FLATTENED_H
#define RESUME_IMPORT_FLATTENED_H

#include "importer.h"

struct flattened_piece {
    uint64_t offset; /* in the file as it is meant */
    uint64_t length;
    uint64_t at; /* in the file as it is */
};

struct flattened {
    const struct import_file *file;
    struct flattened_piece *pieces; /* owned; ascend by offset, do not overlap */
    size_t count;
    int is_flattened;
};

/* flattened_is - does the file begin as a flattened one? */
int flattened_is(const struct import_file *file);

/*
 * flattened_open - find the pieces. @file: borrowed.
 * Errors: ETRUNC (no end mark), EVERSION, ELENGTH, EUNSUPPORTED (pieces that overlap).
 */
int flattened_open(struct flattened *flattened, const struct import_file *file,
                   struct resume_import_error *error);
void flattened_close(struct flattened *flattened);

/*
 * flattened_read - read exactly @length bytes at @offset of the file as it is meant. What is in
 * no piece, but before the end of one, is zero. Errors: ETRUNC, RESUME_IMPORT_ERRNO.
 */
int flattened_read(const struct flattened *flattened, uint64_t offset, void *buffer, size_t length,
                   struct resume_import_error *error);

#endif
