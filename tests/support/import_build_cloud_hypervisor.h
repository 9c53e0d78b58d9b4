/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#ifndef RESUME_TESTS_IMPORT_BUILD_CLOUD_HYPERVISOR_H
#define RESUME_TESTS_IMPORT_BUILD_CLOUD_HYPERVISOR_H

#include "import_build_guest.h"

/* What differs between the files that tests need. */
struct cloud_hypervisor_options {
    unsigned extra;      /* 32-bit words behind the XSAVE image's first 4096 bytes */
    int in_vm;           /* the parts stand in a part "vm" */
    int byte_vectors;    /* as before version 39 */
    int microsoft;       /* on Microsoft's hypervisor */
    const char *replace; /* put @with in place of this text in a vCPU's state, once */
    const char *with;
};

/* The text of state.json. */
void build_cloud_hypervisor(struct bytes *out, unsigned vcpus,
                            const struct cloud_hypervisor_options *options);

#endif
