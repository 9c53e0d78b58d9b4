/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The structures of KVM's ioctls for a vCPU of x86 (linux/kvm.h, asm/kvm.h), as bytes, to a record.
 * Several monitors keep these structures as they are.
 */
#ifndef RESUME_IMPORT_KVM_STRUCTS_H
#define RESUME_IMPORT_KVM_STRUCTS_H

#include "importer.h"

/* The structures; each may be missing. Lengths in bytes: exact, unless it says otherwise. */
enum import_kvm_part {
    IMPORT_KVM_REGS,      /* struct kvm_regs, 144 */
    IMPORT_KVM_SREGS,     /* struct kvm_sregs, 312 */
    IMPORT_KVM_SREGS2,    /* struct kvm_sregs2, 320; goes before kvm_sregs */
    IMPORT_KVM_FPU,       /* struct kvm_fpu, 416; used when there is no kvm_xsave */
    IMPORT_KVM_XSAVE,     /* struct kvm_xsave, 4096, or more with KVM_GET_XSAVE2 */
    IMPORT_KVM_XCRS,      /* struct kvm_xcrs, 392 */
    IMPORT_KVM_MSRS,      /* struct kvm_msr_entry, n * 16, without the header of struct kvm_msrs */
    IMPORT_KVM_DEBUGREGS, /* struct kvm_debugregs, 128 */
    IMPORT_KVM_EVENTS,    /* struct kvm_vcpu_events, 64 */
    IMPORT_KVM_MP_STATE,  /* struct kvm_mp_state, 4 */
    IMPORT_KVM_LAPIC,     /* struct kvm_lapic_state, 1024 */
    IMPORT_KVM_CPUID, /* struct kvm_cpuid_entry2, n * 40, without the header of struct kvm_cpuid2:
                             says where the components of kvm_xsave lie */
    IMPORT_KVM_PARTS
};

/* Borrowed bytes of one vCPU. Zero: nothing there. */
struct import_kvm_vcpu {
    struct {
        const uint8_t *data; /* any alignment; NULL when missing */
        size_t length;
        uint64_t offset; /* in the file, for messages */
    } part[IMPORT_KVM_PARTS];
    const char *where; /* for messages */
};

/* import_kvm_part_name - "kvm_regs". */
const char *import_kvm_part_name(enum import_kvm_part part);

/*
 * import_kvm_decode - fill @out, zeroed before, from what is there.
 * @area: for the XSAVE image, which @out refers to.
 * Without CPUID only x87, SSE and AVX can be found in kvm_xsave: when others are in use, it is refused.
 * Errors: ELENGTH (a structure of another size), EREGISTER (a value that no vCPU holds),
 * EUNSUPPORTED (a compacted image; components whose place is not known; a pending SMI, INIT or
 * triple fault; too many MSRs), EDUPLICATE (an MSR twice with different values).
 */
int import_kvm_decode(const struct import_kvm_vcpu *in, uint8_t area[RESUME_XSAVE_MAX],
                      struct resume_vcpu *out, struct resume_import_error *error);

#endif
