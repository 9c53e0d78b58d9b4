/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "checksum.h"

#include <resume/sealed_format.h>

#include "internal.h"

#define XXH_INLINE_ALL
#define XXH_NO_PREFETCH
#include <xxhash.h>

/* In xxHash's canonical form: the high half first, big-endian. */
static void store(uint8_t *out, XXH128_hash_t hash)
{
    for (unsigned i = 0; i < 8; i++) {
        out[i] = (uint8_t)(hash.high64 >> (56 - 8 * i));
        out[8 + i] = (uint8_t)(hash.low64 >> (56 - 8 * i));
    }
}

void checksum_tag(const uint8_t *aad, size_t aad_length, const uint8_t *data, size_t length,
                  uint8_t *tag)
{
    uint8_t bound[RESUME_SEALED_HEADER_SIZE + RESUME_SEALED_TAG];
    if (aad_length > RESUME_SEALED_HEADER_SIZE)
        aad_length = RESUME_SEALED_HEADER_SIZE;
    memcpy(bound, aad, aad_length);
    store(bound + aad_length, XXH3_128bits(data, length));
    store(tag, XXH3_128bits(bound, aad_length + RESUME_SEALED_TAG));
}
