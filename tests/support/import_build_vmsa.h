/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#ifndef RESUME_TESTS_IMPORT_BUILD_VMSA_H
#define RESUME_TESTS_IMPORT_BUILD_VMSA_H

#include "import_build_guest.h"

/* What differs between the VMSAs that tests need. */
struct vmsa_options {
    uint64_t sev_features; /* bit 5: DR0 to DR3 are swapped */
    uint64_t cr4_set;      /* bits to set in CR4 */
    uint64_t event;        /* that was being delivered */
};

/* The page of vCPU @n, filled with the guest's values. */
void build_vmsa(struct bytes *out, unsigned n, const struct vmsa_options *options);

/* The offset of RAX in a page, by the compiler's count. */
size_t build_vmsa_rax(void);

#endif
