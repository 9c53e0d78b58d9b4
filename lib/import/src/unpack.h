/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Compressed parts of files, unpacked into a temporary file that has no name. */
#ifndef RESUME_IMPORT_UNPACK_H
#define RESUME_IMPORT_UNPACK_H

#include "importer.h"

enum unpack_method {
    UNPACK_GZIP,
    UNPACK_BZIP2,
    UNPACK_XZ,
    UNPACK_ZSTD,
};

/* unpack_name - "gzip". */
const char *unpack_name(enum unpack_method method);

/*
 * unpack_file - unpack all from @offset to the end of @file.
 * One compressed file after another is fine, as it is for the programs of these names, and so are
 * zeroes after the last.
 * The output may have 16 MiB, and 1024 bytes for each byte of the input. That is the most that gzip
 * can do; the others can do more, but not with streams of RAM, in which pages of zeroes are left out.
 * zstd may use a window of 128 MiB, xz 128 MiB of memory: what the programs take without being asked.
 * Runs of zeroes in the output are holes in the temporary file, which is made in TMPDIR or else /tmp.
 * @out: to be closed with import_file_close; its name is @file's.
 * Errors: ETRUNC (it ends too early), ECRC (damaged), ELENGTH (beyond the limit), EUNSUPPORTED
 * (more memory), EMAGIC (not compressed in this way), RESUME_IMPORT_ERRNO (TMPDIR is full).
 */
int unpack_file(const struct import_file *file, uint64_t offset, enum unpack_method method,
                struct import_file *out, struct resume_import_error *error);

#endif
