/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The notes with CPU state that QEMU puts into its dumps, of either kind. */
#ifndef RESUME_IMPORT_QEMU_NOTES_H
#define RESUME_IMPORT_QEMU_NOTES_H

#include "importer.h"

/* More than what QEMU writes for the most vCPUs that a record may have. */
#define QEMU_NOTES_MAX (UINT64_C(8) << 20)

/* Found notes. Zeroed: none. */
struct qemu_notes {
    uint8_t *data; /* owned: all the notes */
    size_t length;
    uint64_t offset;   /* of data in the file, for messages */
    uint32_t count;    /* vCPUs */
    uint32_t *at;      /* owned: of each vCPU, its description in data */
    uint32_t *size;    /* owned: and the bytes of it */
    const char *where; /* for messages */
};

/*
 * qemu_notes_open - find the vCPUs.
 * @notes: with data (owned from now on, also on failure), length, offset and where; count 0.
 * Errors: EMISSING (none is QEMU's), ETRUNC, ELENGTH.
 */
int qemu_notes_open(struct qemu_notes *notes, struct resume_import_error *error);
void qemu_notes_close(struct qemu_notes *notes);

/* qemu_notes_vcpu - decode one. @index: below count. Errors: EVERSION, ELENGTH, EREGISTER. */
int qemu_notes_vcpu(const struct qemu_notes *notes, uint32_t index, struct resume_vcpu *out,
                    struct resume_import_error *error);

#endif
