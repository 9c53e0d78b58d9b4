/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The libraries that unpack, in one shape. */
#ifndef RESUME_IMPORT_UNPACK_CODEC_H
#define RESUME_IMPORT_UNPACK_CODEC_H

#include <stddef.h>
#include <stdint.h>

struct unpack_buffers {
    const uint8_t *in; /* advanced by what was taken */
    size_t in_left;
    uint8_t *out; /* advanced by what was given */
    size_t out_left;
};

/* What a step found. Below 0: an enum resume_err, or RESUME_IMPORT_ERRNO of ENOMEM. */
#define UNPACK_MORE 0 /* it goes on */
#define UNPACK_END 1  /* one compressed file is complete; the next step begins another one */

struct unpack_codec {
    const char *name;
    /* How each compressed file begins. */
    const uint8_t *magic;
    size_t magic_size;
    /* Returns NULL when there is no memory. */
    void *(*open)(void);
    /* Takes and gives what it can; neither, when it needs more of one or there is no more. */
    int (*step)(void *state, struct unpack_buffers *buffers);
    void (*close)(void *state);
};

extern const struct unpack_codec unpack_gzip;
extern const struct unpack_codec unpack_bzip2;
extern const struct unpack_codec unpack_xz;
extern const struct unpack_codec unpack_zstd;

#endif
