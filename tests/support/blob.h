/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Builds state blobs by hand, from docs/FORMAT.md and not with the library's writer, and breaks
 * them at one place.
 */
#ifndef BLOB_H
#define BLOB_H

#include <stdbool.h>

#include <resume/state.h>

#define BLOB_MAX 32768

struct blob {
    size_t length;
    bool keep_total; /* set by a mutation: sealing leaves the header's total size alone */
    bool keep_crc;   /* set by a mutation: sealing leaves the checksum alone */
    uint8_t data[BLOB_MAX];
};

/* What to do to a blob before it is sealed. @arg is the caller's. */
typedef void blob_mutation(struct blob *blob, const void *arg);

/* Lay out and seal; @mutation may be NULL. */
void blob_build(struct blob *blob, const struct resume_machine *machine,
                const struct resume_vcpu *vcpus, uint32_t count, blob_mutation *mutation,
                const void *arg);

/* Put the total size and the checksum into the header. */
void blob_seal(struct blob *blob);

/* Where the header of a record starts. The record must be there. */
size_t blob_record(const struct blob *blob, uint16_t tag, uint32_t vcpu);

/* Where the record after the one at @at starts. */
size_t blob_after(const struct blob *blob, size_t at);

uint64_t blob_get(const struct blob *blob, size_t at, unsigned size);
void blob_put(struct blob *blob, size_t at, unsigned size, uint64_t value);

/* Make room for @count zero bytes at @at, or take bytes away. */
void blob_insert(struct blob *blob, size_t at, size_t count);
void blob_remove(struct blob *blob, size_t at, size_t count);

#endif
