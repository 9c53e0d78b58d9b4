/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "protect.h"

#include <bearssl.h>

#include "checksum.h"
#include "cipher.h"
#include "internal.h"

#define INFO_PREFIX "libresume image v1 "

/* One key out of the image's secret, by what it is for. */
static void derive(const br_hkdf_context *secret, const char *info, size_t info_length,
                   uint8_t *out, size_t length)
{
    br_hkdf_context copy = *secret;
    (void)br_hkdf_produce(&copy, info, info_length, out, length);
    resume_sealed_wipe(&copy, sizeof(copy));
}

void protect_keys(struct protect_keys *out, uint32_t protection, const uint8_t *key,
                  const uint8_t *salt)
{
    static const char structures[] = INFO_PREFIX "structures";
    static const char chunks[] = INFO_PREFIX "chunks";
    /* No key is used with two ciphers, even if somebody changes the header. */
    static const char aes_structures[] = INFO_PREFIX "aes-256-gcm structures";
    static const char aes_chunks[] = INFO_PREFIX "aes-256-gcm chunks";
    static const char check[] = INFO_PREFIX "check";
    br_hkdf_context secret;
    br_hkdf_init(&secret, &br_sha256_vtable, salt, RESUME_SEALED_SALT);
    br_hkdf_inject(&secret, key, RESUME_SEALED_KEY);
    br_hkdf_flip(&secret);
    if (protection == RESUME_SEALED_AES_256_GCM) {
        derive(&secret, aes_structures, sizeof(aes_structures) - 1, out->structures,
               sizeof(out->structures));
        derive(&secret, aes_chunks, sizeof(aes_chunks) - 1, out->chunks, sizeof(out->chunks));
    } else {
        derive(&secret, structures, sizeof(structures) - 1, out->structures,
               sizeof(out->structures));
        derive(&secret, chunks, sizeof(chunks) - 1, out->chunks, sizeof(out->chunks));
    }
    derive(&secret, check, sizeof(check) - 1, out->check, sizeof(out->check));
    resume_sealed_wipe(&secret, sizeof(secret));
}

uint32_t protect_method(uint32_t protection)
{
    return protection == RESUME_SEALED_AES_256_GCM && cipher_accelerated()
               ? protection | PROTECT_ACCELERATED
               : protection;
}

/* Encrypts or decrypts, and makes the tag. */
static void run(uint32_t method, const uint8_t *key, enum protect_purpose purpose, uint64_t number,
                const uint8_t *aad, size_t aad_length, uint8_t *data, size_t length, uint8_t *tag,
                bool encrypt)
{
    uint8_t nonce[CIPHER_NONCE];
    const struct cipher_message message = {.key = key,
                                           .nonce = nonce,
                                           .aad = aad,
                                           .aad_length = aad_length,
                                           .data = data,
                                           .length = length,
                                           .tag = tag,
                                           .encrypt = encrypt};
    resume_store_le32(nonce, (uint32_t)purpose);
    resume_store_le64(nonce + 4, number);
    if (method == RESUME_SEALED_CHECKSUM)
        checksum_tag(aad, aad_length, data, length, tag);
    else if (method == RESUME_SEALED_CHACHA20_POLY1305)
        cipher_chacha20_poly1305(&message);
    else if (method == RESUME_SEALED_AES_256_GCM)
        cipher_aes_256_gcm(&message);
    else
        cipher_aes_256_gcm_accelerated(&message);
}

void protect_apply(uint32_t method, const uint8_t *key, enum protect_purpose purpose,
                   uint64_t number, const uint8_t *aad, size_t aad_length, uint8_t *data,
                   size_t length, uint8_t *tag)
{
    run(method, key, purpose, number, aad, aad_length, data, length, tag, true);
}

bool protect_remove(uint32_t method, const uint8_t *key, enum protect_purpose purpose,
                    uint64_t number, const uint8_t *aad, size_t aad_length, uint8_t *data,
                    size_t length, const uint8_t *tag)
{
    uint8_t made[RESUME_SEALED_TAG];
    run(method, key, purpose, number, aad, aad_length, data, length, made, false);
    /* In a time that does not depend on where they differ. */
    uint8_t difference = 0;
    for (size_t i = 0; i < RESUME_SEALED_TAG; i++)
        difference |= (uint8_t)(made[i] ^ tag[i]);
    if (difference == 0)
        return true;
    resume_sealed_wipe(data, length);
    return false;
}

void protect_chunk_aad(uint8_t *out, const uint8_t *salt, uint64_t number, uint64_t chunks,
                       uint64_t page, uint32_t pages, uint32_t stored)
{
    memcpy(out, salt, RESUME_SEALED_SALT);
    resume_store_le64(out + 32, number);
    resume_store_le64(out + 40, chunks);
    resume_store_le64(out + 48, page);
    resume_store_le32(out + 56, pages);
    resume_store_le32(out + 60, stored);
}

void protect_sha256(const void *data, size_t length, uint8_t *out)
{
    br_sha256_context context;
    br_sha256_init(&context);
    br_sha256_update(&context, data, length);
    br_sha256_out(&context, out);
}
