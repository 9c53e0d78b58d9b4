/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What the files of this library share. */
#ifndef RESUME_SEAL_READ_H
#define RESUME_SEAL_READ_H

#include <resume/sealed.h>

/* read_all - read exactly @length bytes, in as many pieces as the source likes. Errors: EIO, ETRUNC;
 * the diagnosis names @where. */
int read_all(const struct resume_sealed_source *source, uint64_t offset, void *buffer,
             size_t length, const char *where, struct resume_diag *diag);

/* tables_check - are map, runs and index of @image (whose members are set but for the counts) well
 * formed, and as the header announces? */
int tables_check(struct resume_sealed *image, struct resume_diag *diag);

#endif
