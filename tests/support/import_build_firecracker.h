/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#ifndef RESUME_TESTS_IMPORT_BUILD_FIRECRACKER_H
#define RESUME_TESTS_IMPORT_BUILD_FIRECRACKER_H

#include "import_build_guest.h"

/* Structures of KVM's ioctls, as the kernel's headers declare them, with the guest's values. */
struct kvm_guest {
    struct {
        unsigned char regs[144], sregs[312], debugregs[128], events[64], xcrs[392], mp_state[4];
        unsigned char lapic[1024], xsave[4096];
    } bytes;
    uint32_t msrs[32]; /* numbers; values: guest_msr */
    size_t msr_count;
    uint32_t cpuid[4][7]; /* function, index, flags, EAX, EBX, ECX, EDX */
};
void build_kvm_guest(struct kvm_guest *out, unsigned n);

/* Firecracker 1.@minor, 8 to 14. */
void build_firecracker(struct bytes *out, unsigned minor, unsigned vcpus);

/* Set the checksum in the last 8 bytes. */
void build_firecracker_checksum(uint8_t *data, size_t length);

/* Where the first vCPU starts. */
size_t build_firecracker_vcpu(unsigned minor);

#endif
