/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A guest whose state is put into inputs of several formats, and is expected from their importers:
 * every field of the record has a value of its own, whatever a CPU would say to it.
 */
#ifndef RESUME_TESTS_IMPORT_BUILD_GUEST_H
#define RESUME_TESTS_IMPORT_BUILD_GUEST_H

#include <stddef.h>
#include <stdint.h>

#include <resume/import.h>

/* Bytes that grow. Zeroed to begin with; bytes_free at the end. */
struct bytes {
    uint8_t *data;
    size_t length;
};
void bytes_add(struct bytes *bytes, const void *data, size_t length);
void bytes_add_u8(struct bytes *bytes, uint8_t value);
void bytes_add_u16(struct bytes *bytes, uint16_t value);
void bytes_add_u32(struct bytes *bytes, uint32_t value);
void bytes_add_u64(struct bytes *bytes, uint64_t value);
void bytes_add_be32(struct bytes *bytes, uint32_t value);
void bytes_add_zeros(struct bytes *bytes, size_t count);
void bytes_add_text(struct bytes *bytes, const char *text);
void bytes_free(struct bytes *bytes);

/* The value of a field by its name in the record ("rax", "cs.limit"), of vCPU @n. */
uint64_t guest_value(unsigned n, const char *field);

/* The value of an MSR: of 64 bits, the top one set. */
uint64_t guest_msr(unsigned n, uint32_t index);

/* Segment attributes as SVM has them: bits 7:0 and, in 11:8, AVL, L, D/B, G. */
uint16_t guest_attributes(unsigned n, const char *segment);

/* The 512 bytes of FXSAVE: the control words, and of each register bytes that tell it apart. */
void guest_fxsave(unsigned n, uint8_t area[512]);

/* A component of the XSAVE image: @size bytes that tell it apart. */
void guest_component(unsigned n, uint32_t id, uint8_t *to, size_t size);

/*
 * guest_expect - fail the test unless each field of @vcpu is as guest_value says, and those that
 * begin with one of the words in @lacking (ending in NULL) are not valid.
 */
void guest_expect(const struct resume_vcpu *vcpu, unsigned n, const char *const *lacking);
void guest_expect_msr(const struct resume_vcpu *vcpu, unsigned n, uint32_t index);
void guest_expect_field(const struct resume_vcpu *vcpu, const char *field, uint64_t value);
/* Legacy region, XSTATE_BV, and each of the components in @ids (0 ends them), from @mask's bits. */
void guest_expect_xsave(const struct resume_vcpu *vcpu, unsigned n, uint64_t xstate_bv,
                        const uint32_t *ids);

/* An input in memory, opened. It is expected to open, as format @name, with @vcpus vCPUs. */
struct resume_import *guest_open(const struct bytes *bytes, const char *name, uint32_t vcpus);

/* What opening it, and reading all of its vCPUs, ends with; @error may be NULL. */
int guest_try(const struct bytes *bytes, struct resume_import_error *error);

/* Compare with a file, or write it when @write is set. */
void guest_golden_at(const struct bytes *bytes, const char *path, int write);
#define guest_golden(bytes, name, write)                                                           \
    guest_golden_at(bytes, RESUME_TEST_GOLDEN_DIR "/import/" name, write)

#endif
