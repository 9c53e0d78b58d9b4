/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The structures: read once, authenticated with the header as it was read, then looked at. */
#include <resume/sealed.h>

#include "internal.h"
#include "protect.h"
#include "read.h"

#define WHERE "image structures"

static bool same(const uint8_t *left, const uint8_t *right, size_t length)
{
    uint8_t difference = 0;
    for (size_t i = 0; i < length; i++)
        difference |= (uint8_t)(left[i] ^ right[i]);
    return difference == 0;
}

/* What is between and behind the parts. */
static int check_padding(const struct resume_sealed *image, struct resume_diag *diag)
{
    const struct resume_sealed_header *header = image->header;
    uint64_t at = 0;
    for (unsigned i = 0; i <= RESUME_SEALED_PARTS; i++) {
        uint64_t end = i < RESUME_SEALED_PARTS ? header->part[i]
                                               : header->structures_length - RESUME_SEALED_TAG;
        for (; at < end; at++)
            if (image->structures[at] != 0)
                return resume_fail(diag, RESUME_ERESERVED, WHERE, "padding", at,
                                   image->structures[at], 0, RESUME_NO_VCPU);
        if (i < RESUME_SEALED_PARTS)
            at = header->part[i] + header->part_length[i];
    }
    return RESUME_OK;
}

static int open_structures(struct resume_sealed *image, const struct resume_sealed_source *source,
                           const struct protect_keys *keys, uint8_t *structures,
                           struct resume_diag *diag)
{
    const struct resume_sealed_header *header = image->header;
    const size_t length = (size_t)header->structures_length;
    int result = read_all(source, header->structures, structures, length, WHERE, diag);
    if (result != RESUME_OK)
        return result;
    const size_t plain = length - RESUME_SEALED_TAG;
    if (!protect_remove(image->method, keys->structures, PROTECT_STRUCTURES, 0, header->raw,
                        RESUME_SEALED_HEADER_SIZE, structures, plain, structures + plain))
        return resume_fail(
            diag, header->protection == RESUME_SEALED_CHECKSUM ? RESUME_ECRC : RESUME_EAUTH,
            "image header and structures", "tag", header->structures, 0, 0, RESUME_NO_VCPU);
    result = check_padding(image, diag);
    if (result == RESUME_OK && header->part_length[RESUME_SEALED_PART_STATE] == 0)
        result = resume_fail(diag, RESUME_EMISSING, WHERE, "state blob", 0, 0, 1, RESUME_NO_VCPU);
    if (result == RESUME_OK)
        result = tables_check(image, diag);
    return result;
}

int resume_sealed_open(struct resume_sealed *out, const struct resume_sealed_source *source,
                       const struct resume_sealed_header *header, const uint8_t *key,
                       const uint8_t *identity, void *structures, size_t capacity,
                       struct resume_diag *diag)
{
    const bool sealed = header->protection != RESUME_SEALED_CHECKSUM;
    struct resume_sealed image = {
        .header = header, .structures = structures, .method = protect_method(header->protection)};
    struct protect_keys keys;
    if ((key != NULL) != sealed)
        return resume_fail(diag, RESUME_EINVAL, "image header", "protection",
                           RESUME_SEALED_HEADER_PROTECTION, header->protection, key != NULL,
                           RESUME_NO_VCPU);
    if (capacity < header->structures_length)
        return resume_fail(diag, RESUME_ENOSPC, WHERE, "memory", header->structures, capacity,
                           header->structures_length, RESUME_NO_VCPU);
    if (identity != NULL && !same(identity, header->identity, RESUME_SEALED_IDENTITY))
        return resume_fail(diag, RESUME_ESTALE, "image header", "identity", 0,
                           resume_load_le64(header->identity), resume_load_le64(identity),
                           RESUME_NO_VCPU);
    memset(&keys, 0, sizeof(keys));
    if (sealed) {
        protect_keys(&keys, header->protection, key, header->raw + RESUME_SEALED_HEADER_SALT);
        if (!same(keys.check, header->raw + RESUME_SEALED_HEADER_CHECK, RESUME_SEALED_CHECK)) {
            resume_sealed_wipe(&keys, sizeof(keys));
            return resume_fail(diag, RESUME_EKEY, "image header", "key check",
                               RESUME_SEALED_HEADER_CHECK, 0, 0, RESUME_NO_VCPU);
        }
        memcpy(image.chunk_key, keys.chunks, sizeof(image.chunk_key));
    }
    int result = open_structures(&image, source, &keys, structures, diag);
    resume_sealed_wipe(&keys, sizeof(keys));
    if (result == RESUME_OK)
        *out = image;
    else
        resume_sealed_wipe(structures, (size_t)header->structures_length);
    resume_sealed_close(&image);
    return result;
}

void resume_sealed_close(struct resume_sealed *image)
{
    resume_sealed_wipe(image->chunk_key, sizeof(image->chunk_key));
}

const uint8_t *resume_sealed_part(const struct resume_sealed *image, unsigned part,
                                  size_t *ret_length)
{
    *ret_length = (size_t)image->header->part_length[part];
    return image->structures + image->header->part[part];
}
