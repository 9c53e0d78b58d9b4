/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Protection keys: PKRU holds a pattern for whole time slices, and one key forbids writing. */
#define _GNU_SOURCE
#include "pieces.h"

#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>

#ifndef SEGV_PKUERR
#define SEGV_PKUERR 4
#endif

static uint32_t read_pkru(void)
{
    uint32_t value, high;

    __asm__ volatile(".byte 0x0f, 0x01, 0xee" : "=a"(value), "=d"(high) : "c"(0));
    return value;
}

static void write_pkru(uint32_t value)
{
    __asm__ volatile(".byte 0x0f, 0x01, 0xef" : : "a"(value), "d"(0), "c"(0) : "memory");
}

static void write_page(void *argument)
{
    *(volatile uint64_t *)argument = 1;
}

static void read_page(void *argument)
{
    (void)*(volatile uint64_t *)argument;
}

int piece_pkey(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int key = pkey_alloc(0, 0);
    uint32_t pattern;

    if (page == MAP_FAILED || key < 1 ||
        pkey_mprotect(page, 4096, PROT_READ | PROT_WRITE, key) != 0) {
        piece_wrong("protection keys are not there", 1, (uint64_t)key);
        return 1;
    }
    /* All other keys forbid all; key 0 is that of everything else. */
    pattern = (0x55555554u & ~(3u << 2 * key)) | 2u << 2 * key;
    for (;;) {
        int number, code;
        uint32_t got = pattern;

        write_pkru(pattern);
        for (unsigned i = 0; i < 200000 && got == pattern; i++)
            got = read_pkru();
        if (got != pattern)
            piece_wrong("pkru", pattern, got);
        number = piece_signal(read_page, page, NULL);
        if (number != 0)
            piece_wrong("signal at reading", 0, (uint64_t)number);
        write_pkru(pattern); /* signals put back the PKRU of before; be sure of it */
        number = piece_signal(write_page, page, &code);
        if (number != SIGSEGV || code != SEGV_PKUERR)
            piece_wrong("signal at writing", SIGSEGV, (uint64_t)number);
        if (piece_due())
            piece_line("pkru=ok");
    }
}
