/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#ifndef RESUME_TESTS_IMPORT_BUILD_IGVM_H
#define RESUME_TESTS_IMPORT_BUILD_IGVM_H

#include "import_build_guest.h"

enum igvm_kind {
    IGVM_SNP,    /* version 1: two VMSAs for SEV-SNP, in the wrong order; pages */
    IGVM_NATIVE, /* version 2: registers of one processor */
    IGVM_BOTH,   /* version 2: a state for each of both platforms */
};

/* Pages of guest memory in the files: this one, the next one (zeros), and 2 MiB further on. */
#define IGVM_PAGE_PA UINT64_C(0x00a00000)
#define IGVM_FAR_PAGE_PA UINT64_C(0x00c00000)

void build_igvm(struct bytes *out, enum igvm_kind kind);

/* Set the checksum of a file, whose headers may have been changed. Returns 0 if they are whole. */
int build_igvm_checksum(uint8_t *data, size_t length);

/* Where in the file the variable headers begin. */
size_t build_igvm_variable(enum igvm_kind kind);

#endif
