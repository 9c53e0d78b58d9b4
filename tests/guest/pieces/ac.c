/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * RFLAGS.AC set for whole time slices; CR0.AM is set by Linux. Whether an unaligned access then ends
 * with SIGBUS is asked once at the start (QEMU's TCG does not check alignment), and has to stay so.
 */
#define _GNU_SOURCE
#include "pieces.h"

#include <stddef.h>

#define AC_FLAG 0x40000u

static void unaligned(void *argument)
{
    /* With AC cleared in the same piece of code: nothing else may meet it. */
    __asm__ volatile("pushfq\n\t"
                     "orl %1, (%%rsp)\n\t"
                     "popfq\n\t"
                     "movl 1(%0), %%eax\n\t"
                     "pushfq\n\t"
                     "andl %2, (%%rsp)\n\t"
                     "popfq"
                     :
                     : "r"(argument), "i"(AC_FLAG), "i"(~AC_FLAG)
                     : "rax", "memory", "cc");
}

/* Spins with AC set and without touching memory; returns the RFLAGS after that. */
static uint64_t spin(uint64_t loops)
{
    uint64_t flags;

    __asm__ volatile("pushfq\n\t"
                     "orl %2, (%%rsp)\n\t"
                     "popfq\n\t"
                     "1:\n\t"
                     "dec %1\n\t"
                     "jnz 1b\n\t"
                     "pushfq\n\t"
                     "popq %0\n\t"
                     "pushfq\n\t"
                     "andl %3, (%%rsp)\n\t"
                     "popfq"
                     : "=&r"(flags), "+r"(loops)
                     : "i"(AC_FLAG), "i"(~AC_FLAG)
                     : "memory", "cc");
    return flags;
}

int piece_ac(void)
{
    uint64_t memory[2] = {0, 0};
    int at_start = piece_signal(unaligned, memory, NULL);

    piece_say(at_start != 0 ? "alignment is checked" : "alignment is not checked here");
    for (;;) {
        uint64_t flags = spin(400000);
        int now = piece_signal(unaligned, memory, NULL);

        if ((flags & AC_FLAG) == 0)
            piece_wrong("rflags.ac", AC_FLAG, flags & AC_FLAG);
        if (now != at_start)
            piece_wrong("signal of an unaligned access", (uint64_t)at_start, (uint64_t)now);
        if (piece_due())
            piece_line("ac=ok");
    }
}
