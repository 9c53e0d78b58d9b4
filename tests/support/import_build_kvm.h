/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* A tar archive with KVM's structures of some vCPUs, filled in through the system's linux/kvm.h. */
#ifndef RESUME_TESTS_IMPORT_BUILD_KVM_H
#define RESUME_TESTS_IMPORT_BUILD_KVM_H

#include <stddef.h>
#include <stdint.h>

#define IMPORT_BUILD_KVM_MAX (UINT32_C(1) << 20)

/* One file of it. */
struct import_build_kvm_file {
    char name[32];
    size_t offset; /* of the contents in the archive */
    size_t length;
};

struct import_build_kvm {
    uint8_t *data; /* to be freed */
    size_t length;
    size_t file_count;
    struct import_build_kvm_file file[64];
};

/* @vcpus: at most 4. Every register has a value of its own. */
void import_build_kvm(struct import_build_kvm *out, unsigned vcpus);

/* The file of that name; aborts when there is none. */
struct import_build_kvm_file *import_build_kvm_find(struct import_build_kvm *archive,
                                                    const char *name);

#endif
