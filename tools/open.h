/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Verifying a whole snapshot image without a VM. */
#ifndef TOOLS_OPEN_H
#define TOOLS_OPEN_H

#include <resume/sealed.h>

#include "progress.h"
#include "report.h"

struct open_options {
    const char *path;
    const uint8_t *key;        /* RESUME_SEALED_KEY bytes, or NULL */
    const uint8_t *identity;   /* RESUME_SEALED_IDENTITY bytes that it must have, or NULL */
    struct progress *progress; /* optional */
};

/* What was verified. */
struct open_result {
    struct resume_sealed_header header;
    uint64_t ranges; /* of the memory map */
    uint64_t pages;  /* in them */
    uint64_t runs;
    uint64_t compressed; /* chunks that are */
    uint32_t active;     /* vCPUs that are resumed */
};

/*
 * open_run - read, authenticate, decrypt and decompress all of the image, and check the state and the
 * plan in it as firmware would.
 * Failures: EXIT_CODE_REFUSED (the structure is named), EXIT_CODE_ENVIRONMENT.
 */
int open_run(const struct open_options *options, struct open_result *out,
             struct report_failure *failure);

#endif
