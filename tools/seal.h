/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Writing a snapshot image (docs/IMAGE.md) from a snapshot directory: one pass over the stream, in
 * which the device part is written and the RAM indexed, then the chunks, then what describes them.
 */
#ifndef TOOLS_SEAL_H
#define TOOLS_SEAL_H

#include <stdint.h>

#include <resume/sealed.h>

#include "progress.h"
#include "report.h"

/* Measured: docs/IMAGE.md. */
#define SEAL_CHUNK_PAGES 64u

struct seal_options {
    const char *directory;
    const char *output;   /* must not exist */
    const uint8_t *key;   /* RESUME_SEALED_KEY bytes, or NULL: integrity only */
    uint32_t cipher;      /* with a key: RESUME_SEALED_AES_256_GCM or CHACHA20_POLY1305, or 0:
                             what seal_cipher says of the snapshot's machine */
    uint32_t compression; /* RESUME_SEALED_NONE, LZ4 or ZSTD */
    uint32_t chunk_pages;
    struct progress *progress; /* optional */
};

struct seal_result {
    uint8_t identity[RESUME_SEALED_IDENTITY];
    uint32_t protection;
    uint64_t total;   /* bytes of the image */
    uint64_t devices; /* of them, the device part */
    uint64_t content; /* pages that are not zero */
    uint64_t pages;   /* all pages of RAM */
};

struct manifest;

/* seal_cipher - the cipher that firmware is fastest with on a machine like this one. Measured:
 * docs/IMAGE.md. */
uint32_t seal_cipher(const struct manifest *machine);

/*
 * seal_run - write the image. It appears under its name when it is complete and on the disk.
 * Failures: EXIT_CODE_REFUSED (the snapshot, or the output exists), EXIT_CODE_ENVIRONMENT.
 */
int seal_run(const struct seal_options *options, struct seal_result *out,
             struct report_failure *failure);

#endif
