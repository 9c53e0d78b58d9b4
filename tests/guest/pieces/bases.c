/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* GS's base written by the program itself (CR4.FSGSBASE), another one in each turn. */
#define _GNU_SOURCE
#include "pieces.h"

#include <sys/auxv.h>

#define HWCAP2_FSGSBASE 2u

int piece_bases(void)
{
    uint64_t base = 0x7eadbeef0000u;

    if ((getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE) == 0) {
        piece_wrong("wrgsbase is not there", 1, 0);
        return 1;
    }
    for (;;) {
        uint64_t got, fs_want, fs_got;

        base = (base * 5 + 0x1234567) & 0x7fffffffffffu;
        __asm__ volatile("rdfsbase %0" : "=r"(fs_want));
        __asm__ volatile("wrgsbase %0" : : "r"(base));
        for (volatile unsigned i = 0; i < 50000; i++)
            ;
        __asm__ volatile("rdgsbase %0" : "=r"(got));
        __asm__ volatile("rdfsbase %0" : "=r"(fs_got));
        if (got != base)
            piece_wrong("gs base", base, got);
        if (fs_got != fs_want)
            piece_wrong("fs base", fs_want, fs_got);
        if (piece_due())
            piece_line("gs=ok fs=ok");
    }
}
