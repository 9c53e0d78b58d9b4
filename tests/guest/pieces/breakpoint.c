/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The four hardware breakpoints in use, one of each kind: what they count has to be exactly what the
 * program did. The kernel loads DR0 to DR3 and DR7 when it switches to this process and not again
 * while it runs: when one of them is lost, hits are missing.
 */
#define _GNU_SOURCE
#include "pieces.h"

#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROUNDS 40u /* in one turn, each with a spin in it that the snapshot may hit */

static volatile uint64_t written __attribute__((aligned(8)));
static volatile uint32_t touched __attribute__((aligned(4)));

__attribute__((noinline, noclone)) static void executed(void)
{
    __asm__ volatile("nop" : : : "memory");
}

__attribute__((noinline, noclone)) static void executed_twice(void)
{
    __asm__ volatile("nop\n\tnop" : : : "memory");
}

static int watch(uint32_t type, const volatile void *address, uint64_t length)
{
    struct perf_event_attr attr;

    memset(&attr, 0, sizeof attr);
    attr.type = PERF_TYPE_BREAKPOINT;
    attr.size = sizeof attr;
    attr.bp_type = type;
    attr.bp_addr = (uint64_t)(uintptr_t)address;
    attr.bp_len = length;
    attr.exclude_kernel = 1;
    attr.exclude_hv = 1;
    attr.pinned = 1;
    return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

int piece_breakpoint(void)
{
    static const char *const names[4] = {"executions", "writes", "accesses", "executions (2)"};
    static const uint64_t each[4] = {1, 1, 2, 2};
    uint64_t want[4] = {0, 0, 0, 0};
    int fds[4];

    fds[0] = watch(HW_BREAKPOINT_X, (const void *)(uintptr_t)executed, sizeof(long));
    fds[1] = watch(HW_BREAKPOINT_W, &written, HW_BREAKPOINT_LEN_8);
    fds[2] = watch(HW_BREAKPOINT_RW, &touched, HW_BREAKPOINT_LEN_4);
    fds[3] = watch(HW_BREAKPOINT_X, (const void *)(uintptr_t)executed_twice, sizeof(long));
    for (unsigned i = 0; i < 4; i++)
        if (fds[i] < 0) {
            piece_wrong("breakpoint cannot be had", 0, i);
            return 1;
        }
    for (;;) {
        uint64_t loops;

        for (unsigned i = 0; i < ROUNDS; i++) {
            executed();
            written = i;
            touched = i;
            (void)touched;
            executed_twice();
            executed_twice();
            /* Registers only: nothing that a page with a watchpoint in it would slow down. */
            loops = 40000;
            __asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(loops) : : "cc");
        }
        for (unsigned i = 0; i < 4; i++) {
            uint64_t got = 0;

            want[i] += ROUNDS * each[i];
            if (read(fds[i], &got, sizeof got) != (ssize_t)sizeof got || got != want[i]) {
                piece_wrong(names[i], want[i], got);
                want[i] = got;
            }
        }
        if (piece_due())
            piece_line("hits=exact");
    }
}
