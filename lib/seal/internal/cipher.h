/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Authenticated encryption of one message, all of it BearSSL's work. Apart from protect.h so that tests
 * can try published vectors, which have nonces of their own.
 */
#ifndef RESUME_SEAL_CIPHER_H
#define RESUME_SEAL_CIPHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CIPHER_KEY 32
#define CIPHER_NONCE 12
#define CIPHER_TAG 16

/* A message. All pointers are borrowed for the call. */
struct cipher_message {
    const uint8_t *key;   /* CIPHER_KEY bytes */
    const uint8_t *nonce; /* CIPHER_NONCE bytes, never twice under one key */
    const uint8_t *aad;
    size_t aad_length;
    uint8_t *data; /* encrypted or decrypted in place */
    size_t length; /* below 64 GiB */
    uint8_t *tag;  /* CIPHER_TAG bytes: made, not compared */
    bool encrypt;
};

/* ChaCha20-Poly1305 (RFC 8439), in general registers. */
void cipher_chacha20_poly1305(const struct cipher_message *message);

/* AES-256-GCM (NIST SP 800-38D), in general registers and without tables. */
void cipher_aes_256_gcm(const struct cipher_message *message);

/* The same by the instructions AES-NI and PCLMULQDQ, in XMM registers, which must be usable (CR4.OSFXSR).
 * XMM6 to XMM15 are kept, the others cleared. Only where cipher_accelerated says so. */
void cipher_aes_256_gcm_accelerated(const struct cipher_message *message);

/* cipher_accelerated - has this CPU all the instructions that it takes? Asks CPUID, which is slow in a
 * virtual machine. */
bool cipher_accelerated(void);

#endif
