/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "cipher.h"

#include <cpuid.h>

#include <bearssl.h>
#include <resume/sealed.h>

#include "registers.h"

/* CPUID leaf 1, ECX: what BearSSL's code for XMM registers uses. */
#define CPUID_PCLMULQDQ (1u << 1)
#define CPUID_SSSE3 (1u << 9)
#define CPUID_SSE41 (1u << 19)
#define CPUID_AES (1u << 25)

void cipher_chacha20_poly1305(const struct cipher_message *message)
{
    br_poly1305_ctmulq_run(message->key, message->nonce, message->data, message->length,
                           message->aad, message->aad_length, message->tag, br_chacha20_ct_run,
                           message->encrypt);
}

static void run_gcm(const struct cipher_message *message, const br_block_ctr_class **keys,
                    br_ghash ghash)
{
    br_gcm_context gcm;
    br_gcm_init(&gcm, keys, ghash);
    br_gcm_reset(&gcm, message->nonce, CIPHER_NONCE);
    br_gcm_aad_inject(&gcm, message->aad, message->aad_length);
    br_gcm_flip(&gcm);
    br_gcm_run(&gcm, message->encrypt, message->data, message->length);
    br_gcm_get_tag(&gcm, message->tag);
    resume_sealed_wipe(&gcm, sizeof(gcm));
}

void cipher_aes_256_gcm(const struct cipher_message *message)
{
    br_aes_ct64_ctr_keys keys;
    br_aes_ct64_ctr_init(&keys, message->key, CIPHER_KEY);
    run_gcm(message, &keys.vtable, br_ghash_ctmul64);
    resume_sealed_wipe(&keys, sizeof(keys));
}

static void accelerated(const void *context)
{
    const struct cipher_message *message = context;
    br_aes_x86ni_ctr_keys keys;
    br_aes_x86ni_ctr_init(&keys, message->key, CIPHER_KEY);
    run_gcm(message, &keys.vtable, br_ghash_pclmul);
    resume_sealed_wipe(&keys, sizeof(keys));
}

void cipher_aes_256_gcm_accelerated(const struct cipher_message *message)
{
    registers_keep(accelerated, message);
}

bool cipher_accelerated(void)
{
    /* All of them: BearSSL takes it that what has PCLMULQDQ has SSSE3, but a hypervisor may hide that. */
    const unsigned wanted = CPUID_PCLMULQDQ | CPUID_SSSE3 | CPUID_SSE41 | CPUID_AES;
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & wanted) == wanted &&
           br_aes_x86ni_ctr_get_vtable() != NULL && br_ghash_pclmul_get() != 0;
}
