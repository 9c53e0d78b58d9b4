/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * An LDT in use: GS and ES are segments of it, memory is read through GS all the time, and both are
 * loaded again and again. Without the LDT a load is a general protection fault; with another base
 * in GS's hidden part the values read are others.
 */
#define _GNU_SOURCE
#include "pieces.h"

#include <asm/ldt.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SELECTOR(entry) ((uint16_t)((entry) << 3 | 7)) /* of the LDT, RPL 3 */
#define LIMIT 0x7ffu
#define SIGNATURE 0x1d71d71d71d71d7u

static int set_entry(unsigned number, const void *base)
{
    struct user_desc entry;

    memset(&entry, 0, sizeof entry);
    entry.entry_number = number;
    entry.base_addr = (unsigned)(uintptr_t)base;
    entry.limit = LIMIT;
    entry.seg_32bit = 1;
    entry.useable = 1;
    return (int)syscall(SYS_modify_ldt, 0x11, &entry, sizeof entry);
}

int piece_ldt(void)
{
    uint64_t *memory =
        mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

    /* The first entries stay empty: a selector that loses bits must not find another one. */
    if (memory == MAP_FAILED || set_entry(6, memory) != 0 || set_entry(13, memory + 512) != 0) {
        piece_wrong("modify_ldt is not there", 0, 1);
        return 1;
    }
    for (unsigned i = 0; i < 1024; i++)
        memory[i] = SIGNATURE + i;
    for (;;) {
        uint64_t value;
        uint16_t gs, es;
        uint32_t limit = 0;

        __asm__ volatile("mov %0, %%gs\n\tmov %1, %%es" : : "r"(SELECTOR(6)), "r"(SELECTOR(13)));
        for (unsigned i = 0; i < 40000; i++) {
            __asm__ volatile("movq %%gs:(%1), %0" : "=r"(value) : "r"((uint64_t)(i % 256) * 8));
            if (value != SIGNATURE + i % 256) {
                piece_wrong("value read through gs", SIGNATURE + i % 256, value);
                break;
            }
        }
        __asm__ volatile("mov %%gs, %0\n\tmov %%es, %1" : "=r"(gs), "=r"(es));
        if (gs != SELECTOR(6))
            piece_wrong("gs", SELECTOR(6), gs);
        if (es != SELECTOR(13))
            piece_wrong("es", SELECTOR(13), es);
        /* Of the table itself: a null LDT has no limit to tell. */
        __asm__ volatile("lsl %1, %0" : "+r"(limit) : "r"((uint32_t)SELECTOR(13)) : "cc");
        if (limit != LIMIT)
            piece_wrong("limit in the table", LIMIT, limit);
        if (piece_due())
            piece_line("gs=ok es=ok");
    }
}
