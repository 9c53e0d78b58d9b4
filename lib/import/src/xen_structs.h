/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Xen's HVM context (xen/include/public/hvm/save.h, arch-x86/hvm/save.h): typed entries, one of each
 * type for every vCPU.
 */
#ifndef RESUME_IMPORT_XEN_STRUCTS_H
#define RESUME_IMPORT_XEN_STRUCTS_H

#include "importer.h"

/* Types of entries that are of use here. */
enum xen_entry {
    XEN_CPU,
    XEN_LAPIC,
    XEN_LAPIC_REGS,
    XEN_MTRR,
    XEN_XSAVE,
    XEN_TSC_ADJUST,
    XEN_MSR,
    XEN_ENTRIES
};

/* Where a vCPU's entries lie in the context; an offset of 0 is none. */
struct xen_vcpu {
    size_t offset[XEN_ENTRIES];
    uint32_t length[XEN_ENTRIES];
};

struct xen_context {
    uint8_t *data; /* owned */
    size_t length;
    uint64_t offset;        /* in the file, for messages */
    struct xen_vcpu *vcpus; /* owned */
    uint32_t vcpu_count;
    /* Where the components of the XSAVE image lie, when the input says so. */
    struct resume_xcomp layout[RESUME_XCOMP_MAX];
    size_t layout_count;
};

/*
 * xen_context_starts - do the first 32 bytes of a context stand here?
 */
int xen_context_starts(const uint8_t bytes[32]);

/*
 * xen_context_index - find the entries in context->data. Sets vcpus and vcpu_count, which the caller
 * frees whatever happens, as data. Errors: EMAGIC, EVERSION, ETRUNC, ELENGTH, EDUPLICATE, EMISSING.
 */
int xen_context_index(struct xen_context *context, struct resume_import_error *error);

/*
 * xen_context_vcpu - fill @out, zeroed before. @area: for the XSAVE image, which @out refers to.
 * A vCPU that Xen has left without a CPU entry is down: it waits for SIPI.
 */
int xen_context_vcpu(const struct xen_context *context, uint32_t index,
                     uint8_t area[RESUME_XSAVE_MAX], struct resume_vcpu *out,
                     struct resume_import_error *error);

#endif
