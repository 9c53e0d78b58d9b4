/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* A state blob out of a file: alone, or as a part of a snapshot directory. */
#ifndef RESUME_IMPORT_STATE_BLOB_H
#define RESUME_IMPORT_STATE_BLOB_H

#include "importer.h"

/* An opened blob; a zeroed one is empty. */
struct state_blob {
    uint8_t *data; /* owned */
    const char *where;
    struct resume_state state; /* points into data */
};

/*
 * state_blob_open - read all of @file and check it.
 * @blob: to be closed with state_blob_close; on failure it is as it was.
 * @detail: receives "format 1.0, written by PRODUCER".
 * Errors: those of import_load and resume_state_open.
 */
int state_blob_open(struct state_blob *blob, const struct import_file *file, char *detail,
                    size_t detail_size, struct resume_import_error *error);
void state_blob_close(struct state_blob *blob);

/* As struct importer's. */
int state_blob_vcpu(const struct state_blob *blob, uint32_t index, struct resume_vcpu *out,
                    struct resume_import_error *error);
int state_blob_machine(const struct state_blob *blob, struct resume_machine *out,
                       struct resume_import_error *error);

#endif
