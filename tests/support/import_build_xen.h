/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#ifndef RESUME_TESTS_IMPORT_BUILD_XEN_H
#define RESUME_TESTS_IMPORT_BUILD_XEN_H

#include "import_build_guest.h"

/* What differs between the HVM contexts that tests need. */
struct xen_options {
    unsigned cpu_length; /* 1032, 1024 or 1016 */
    unsigned down;       /* number of the vCPU that is down, 0 for none */
    int xsave;           /* with an XSAVE entry, in Intel's layout */
    int amd;             /* which is in AMD's layout instead */
    int no_fpu;          /* the FPU's state is not there */
    uint32_t event;      /* pending on each vCPU */
    int x2apic;
};

/* The context of @vcpus vCPUs. */
void build_xen_context(struct bytes *out, unsigned vcpus, const struct xen_options *options);

enum xen_wrap { XEN_LIBXC, XEN_LIBXL, XEN_XL };

/* A save file around a context. @policy: with the leaves of CPUID that describe AMD's layout. */
void build_xen_stream(struct bytes *out, enum xen_wrap wrap, const struct bytes *context,
                      int policy);

/* Sizes of CPU and CPU_XSAVE entries, by the compiler's count. */
size_t build_xen_cpu_size(void);

#endif
