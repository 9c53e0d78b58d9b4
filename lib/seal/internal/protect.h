/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The protection of an image's structures and chunks: keys, nonces, associated data. For the reading
 * side and for the tool that writes images, so that both agree by construction.
 */
#ifndef RESUME_SEAL_PROTECT_H
#define RESUME_SEAL_PROTECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <resume/sealed.h>

/* The keys of one image. Secret. */
struct protect_keys {
    uint8_t structures[RESUME_SEALED_KEY];
    uint8_t chunks[RESUME_SEALED_KEY];
    uint8_t check[RESUME_SEALED_CHECK]; /* not secret: says whether a key is the right one */
};

/* What is protected: a nonce is never used twice under one key. */
enum protect_purpose { PROTECT_STRUCTURES = 1, PROTECT_CHUNK = 2 };

/* Set in a method: this CPU has instructions for it. */
#define PROTECT_ACCELERATED 0x100u

/* protect_keys - derive the keys of the image with @protection (not a checksum) and @salt
 * (RESUME_SEALED_SALT bytes) from @key (RESUME_SEALED_KEY bytes). */
void protect_keys(struct protect_keys *out, uint32_t protection, const uint8_t *key,
                  const uint8_t *salt);

/* protect_method - how a protection is best done here: itself, or with PROTECT_ACCELERATED. To be
 * asked once: it takes long in a virtual machine. */
uint32_t protect_method(uint32_t protection);

/*
 * protect_apply - encrypt @data in place, if @method encrypts, and make its tag.
 * @method: from protect_method, or a protection.
 * @key: RESUME_SEALED_KEY bytes; not used for checksums.
 * @aad: at most RESUME_SEALED_HEADER_SIZE bytes.  @tag: RESUME_SEALED_TAG bytes.
 */
void protect_apply(uint32_t method, const uint8_t *key, enum protect_purpose purpose,
                   uint64_t number, const uint8_t *aad, size_t aad_length, uint8_t *data,
                   size_t length, uint8_t *tag);

/* protect_remove - the reverse. Returns whether @tag is right; if not, @data is wiped. */
bool protect_remove(uint32_t method, const uint8_t *key, enum protect_purpose purpose,
                    uint64_t number, const uint8_t *aad, size_t aad_length, uint8_t *data,
                    size_t length, const uint8_t *tag);

/* protect_chunk_aad - the associated data of a chunk. @out: RESUME_SEALED_AAD bytes. @page: number of
 * the guest-physical page that the chunk begins with. */
void protect_chunk_aad(uint8_t *out, const uint8_t *salt, uint64_t number, uint64_t chunks,
                       uint64_t page, uint32_t pages, uint32_t stored);

/* protect_sha256 - SHA-256 of @length bytes. @out: 32 bytes. */
void protect_sha256(const void *data, size_t length, uint8_t *out);

#endif
