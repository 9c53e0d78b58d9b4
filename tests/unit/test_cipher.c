/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The ciphers of snapshot images, with published vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cipher.h"

#define LENGTH_MAX 1100

typedef void (*cipher_fn)(const struct cipher_message *message);

struct vector {
    const char *name;
    const char *key; /* hexadecimal digits */
    const char *nonce;
    const char *aad;
    const char *plain;
    const char *sealed;
    const char *tag;
};

static const struct vector chacha20_poly1305[] = {
    {"RFC 8439, 2.8.2", "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
     "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
     "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a20496620492"
     "0"
     "636f756c64206f6666657220796f75206f6e6c79206f6e652074697020666f7220746865206675747572652c20737"
     "5"
     "6e73637265656e20776f756c642062652069742e",
     "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da927"
     "2"
     "8b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b483"
     "1"
     "d7bc3ff4def08e4b7a9de576d26586cec64b6116",
     "1ae10b594f09e26a7e902ecbd0600691"},
};

/* The Galois/Counter Mode of Operation, by McGrew and Viega, as submitted to NIST: appendix B. */
static const struct vector aes_256_gcm[] = {
    {"test case 13", "0000000000000000000000000000000000000000000000000000000000000000",
     "000000000000000000000000", "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {"test case 14", "0000000000000000000000000000000000000000000000000000000000000000",
     "000000000000000000000000", "", "00000000000000000000000000000000",
     "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
    {"test case 15", "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
     "cafebabefacedbaddecaf888", "",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b"
     "5"
     "25b16aedf5aa0de657ba637b391aafd255",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828"
     "8"
     "38c5f61e6393ba7a0abcc9f662898015ad",
     "b094dac5d93471bdec1a502270e3cc6c"},
    {"test case 16", "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
     "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b"
     "5"
     "25b16aedf5aa0de657ba637b39",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828"
     "8"
     "38c5f61e6393ba7a0abcc9f662",
     "76fc6ece0f4e1768cddf8853bb2d551b"},
};

static size_t from_hex(const char *text, uint8_t *out)
{
    size_t length = strlen(text) / 2;
    assert_true(length <= LENGTH_MAX);
    for (size_t i = 0; i < length; i++) {
        unsigned byte = 0;
        assert_int_equal(sscanf(text + 2 * i, "%2x", &byte), 1);
        out[i] = (uint8_t)byte;
    }
    return length;
}

static void try_vectors(cipher_fn cipher, const struct vector *vectors, size_t count)
{
    static uint8_t aad[LENGTH_MAX];
    static uint8_t plain[LENGTH_MAX];
    static uint8_t sealed[LENGTH_MAX];
    static uint8_t data[LENGTH_MAX];
    for (size_t i = 0; i < count; i++) {
        const struct vector *vector = &vectors[i];
        uint8_t key[CIPHER_KEY];
        uint8_t nonce[CIPHER_NONCE];
        uint8_t expected[CIPHER_TAG];
        uint8_t tag[CIPHER_TAG];
        assert_int_equal(from_hex(vector->key, key), sizeof(key));
        assert_int_equal(from_hex(vector->nonce, nonce), sizeof(nonce));
        assert_int_equal(from_hex(vector->tag, expected), sizeof(expected));
        struct cipher_message message = {.key = key,
                                         .nonce = nonce,
                                         .aad = aad,
                                         .aad_length = from_hex(vector->aad, aad),
                                         .data = data,
                                         .length = from_hex(vector->plain, plain),
                                         .tag = tag,
                                         .encrypt = true};
        assert_int_equal(from_hex(vector->sealed, sealed), message.length);
        memcpy(data, plain, message.length);
        cipher(&message);
        if (memcmp(data, sealed, message.length) != 0 || memcmp(tag, expected, sizeof(tag)) != 0)
            fail_msg("%s: encrypted to something else", vector->name);
        message.encrypt = false;
        memset(tag, 0, sizeof(tag));
        cipher(&message);
        if (memcmp(data, plain, message.length) != 0 || memcmp(tag, expected, sizeof(tag)) != 0)
            fail_msg("%s: decrypted to something else", vector->name);
    }
}

static void chacha20_poly1305_is_the_published_one(void **state)
{
    (void)state;
    try_vectors(cipher_chacha20_poly1305, chacha20_poly1305,
                sizeof(chacha20_poly1305) / sizeof(chacha20_poly1305[0]));
}

static void aes_256_gcm_is_the_published_one(void **state)
{
    (void)state;
    try_vectors(cipher_aes_256_gcm, aes_256_gcm, sizeof(aes_256_gcm) / sizeof(aes_256_gcm[0]));
}

static void accelerated_aes_256_gcm_is_the_published_one(void **state)
{
    (void)state;
    if (!cipher_accelerated())
        skip();
    try_vectors(cipher_aes_256_gcm_accelerated, aes_256_gcm,
                sizeof(aes_256_gcm) / sizeof(aes_256_gcm[0]));
}

/* All lengths up to some blocks, and longer ones; so are those of the associated data. */
static void both_ways_give_the_same(void **state)
{
    static uint8_t data[2][LENGTH_MAX];
    uint8_t key[CIPHER_KEY];
    uint8_t aad[160];
    uint32_t random = 1;
    (void)state;
    if (!cipher_accelerated())
        skip();
    for (size_t length = 0; length < LENGTH_MAX; length += length < 200 ? 1 : 37) {
        uint8_t nonce[CIPHER_NONCE] = {0};
        uint8_t tag[2][CIPHER_TAG];
        for (size_t i = 0; i < length + sizeof(key) + sizeof(aad); i++) {
            random = random * 1664525u + 1013904223u;
            uint8_t byte = (uint8_t)(random >> 24);
            if (i < length)
                data[0][i] = data[1][i] = byte;
            else if (i < length + sizeof(key))
                key[i - length] = byte;
            else
                aad[i - length - sizeof(key)] = byte;
        }
        nonce[length % CIPHER_NONCE] = (uint8_t)length;
        for (unsigned way = 0; way < 2; way++) {
            const struct cipher_message message = {.key = key,
                                                   .nonce = nonce,
                                                   .aad = aad,
                                                   .aad_length = length % sizeof(aad),
                                                   .data = data[way],
                                                   .length = length,
                                                   .tag = tag[way],
                                                   .encrypt = length % 2 == 0};
            (way == 0 ? cipher_aes_256_gcm : cipher_aes_256_gcm_accelerated)(&message);
        }
        assert_memory_equal(data[0], data[1], length);
        assert_memory_equal(tag[0], tag[1], CIPHER_TAG);
    }
}

/* Firmware that calls the library may have something in them. */
static void registers_of_the_caller_are_kept_and_others_cleared(void **state)
{
    static uint8_t data[4096];
    static const uint8_t key[CIPHER_KEY];
    static const uint8_t nonce[CIPHER_NONCE];
    uint8_t tag[CIPHER_TAG];
    static const uint8_t nothing[6][16];
    uint8_t before[10][16];
    uint8_t after[16][16];
    const struct cipher_message message = {
        .key = key, .nonce = nonce, .aad = key, .data = data, .length = sizeof(data), .tag = tag};
    (void)state;
    if (!cipher_accelerated())
        skip();
    for (unsigned i = 0; i < sizeof(before); i++)
        before[i / 16][i % 16] = (uint8_t)(i + 1);
    memset(after, 0xff, sizeof(after));
    const void *arguments[] = {&message, before, after};
    cipher_fn function = cipher_aes_256_gcm_accelerated;
    /* The red zone, if the compiler uses it, lies below RSP. */
    __asm__ volatile("mov %%rsp, %%r12\n\t"
                     "sub $256, %%rsp\n\t"
                     "and $-16, %%rsp\n\t"
                     "mov %[function], %%r14\n\t"
                     "mov 16(%[arguments]), %%r13\n\t"
                     "mov 8(%[arguments]), %%rax\n\t"
                     "mov (%[arguments]), %%rdi\n\t"
                     "movdqu (%%rax), %%xmm6\n\t"
                     "movdqu 16(%%rax), %%xmm7\n\t"
                     "movdqu 32(%%rax), %%xmm8\n\t"
                     "movdqu 48(%%rax), %%xmm9\n\t"
                     "movdqu 64(%%rax), %%xmm10\n\t"
                     "movdqu 80(%%rax), %%xmm11\n\t"
                     "movdqu 96(%%rax), %%xmm12\n\t"
                     "movdqu 112(%%rax), %%xmm13\n\t"
                     "movdqu 128(%%rax), %%xmm14\n\t"
                     "movdqu 144(%%rax), %%xmm15\n\t"
                     "call *%%r14\n\t"
                     "movdqu %%xmm0, (%%r13)\n\t"
                     "movdqu %%xmm1, 16(%%r13)\n\t"
                     "movdqu %%xmm2, 32(%%r13)\n\t"
                     "movdqu %%xmm3, 48(%%r13)\n\t"
                     "movdqu %%xmm4, 64(%%r13)\n\t"
                     "movdqu %%xmm5, 80(%%r13)\n\t"
                     "movdqu %%xmm6, 96(%%r13)\n\t"
                     "movdqu %%xmm7, 112(%%r13)\n\t"
                     "movdqu %%xmm8, 128(%%r13)\n\t"
                     "movdqu %%xmm9, 144(%%r13)\n\t"
                     "movdqu %%xmm10, 160(%%r13)\n\t"
                     "movdqu %%xmm11, 176(%%r13)\n\t"
                     "movdqu %%xmm12, 192(%%r13)\n\t"
                     "movdqu %%xmm13, 208(%%r13)\n\t"
                     "movdqu %%xmm14, 224(%%r13)\n\t"
                     "movdqu %%xmm15, 240(%%r13)\n\t"
                     "mov %%r12, %%rsp"
                     :
                     : [function] "r"(function), [arguments] "r"(arguments)
                     : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
                       "r14", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
                       "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
                       "xmm15");
    assert_memory_equal(before, after[6], sizeof(before));
    assert_memory_equal(nothing, after, sizeof(nothing));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chacha20_poly1305_is_the_published_one),
        cmocka_unit_test(aes_256_gcm_is_the_published_one),
        cmocka_unit_test(accelerated_aes_256_gcm_is_the_published_one),
        cmocka_unit_test(both_ways_give_the_same),
        cmocka_unit_test(registers_of_the_caller_are_kept_and_others_cleared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
