/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What the subcommands that write and read snapshot images share. */
#ifndef TOOLS_SEALED_H
#define TOOLS_SEALED_H

#include <stdbool.h>
#include <stdint.h>

#include <resume/sealed.h>

#include "report.h"

/* What every tool says about an image that is not sealed. */
#define SEALED_INTEGRITY_ONLY                                                                      \
    "integrity only: anybody can read the image, and change it unnoticed (seal it with --key)"

/* Most threads that compress or decompress. */
#define SEALED_THREADS 8u

/*
 * sealed_key_read - read a key file: exactly RESUME_SEALED_KEY bytes. Warns when others may read it.
 * @key: wiped by the caller.
 * Failures: EXIT_CODE_REFUSED (another length), EXIT_CODE_ENVIRONMENT.
 */
int sealed_key_read(const char *path, uint8_t key[RESUME_SEALED_KEY],
                    struct report_failure *failure);

/* sealed_source_open - an image in a file. The descriptor in @ret_fd is the caller's to close.
 * @context: where the source keeps it, as long as the source is used. */
int sealed_source_open(const char *path, struct resume_sealed_source *out, int *context,
                       struct report_failure *failure);

/* sealed_fail_reading - describe a failed reading of @structure of the image at @path. @error: a
 * positive errno value. */
int sealed_fail_reading(struct report_failure *failure, int error, const char *structure,
                        const char *what, const char *path);

/* sealed_fail - describe an error of the library about the image at @path. */
int sealed_fail(struct report_failure *failure, int error, const struct resume_diag *diag,
                const char *what, const char *path);

/* "none", "chacha20-poly1305", "aes-256-gcm"; "none", "lz4", "zstd". Never NULL. */
const char *sealed_protection_name(uint32_t protection);
const char *sealed_compression_name(uint32_t compression);

/* sealed_hex - @length bytes as digits. @out: 2 * length + 1 bytes. Returns @out. */
char *sealed_hex(const uint8_t *bytes, size_t length, char *out);

/* sealed_hex_read - the reverse; false if @text is not exactly that many digits. */
bool sealed_hex_read(const char *text, uint8_t *out, size_t length);

/* sealed_threads - how many threads to use when each takes @memory bytes. */
unsigned sealed_threads(size_t memory);

/* sealed_run - run @work with @context @count times at once, once of them in this thread. Fewer when
 * threads cannot be had. */
void sealed_run(unsigned count, void *(*work)(void *context), void *context);

#endif
