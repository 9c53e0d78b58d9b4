/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What the programs of pieces.h have in common, and the choice of one of them. */
#define _GNU_SOURCE
#include "pieces.h"

#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_NS 250000000LL /* one line in this time, when the machine is fast enough */

static const struct {
    const char *name;
    int (*run)(void);
} pieces[] = {
    {"ac", piece_ac},
    {"bases", piece_bases},
    {"breakpoint", piece_breakpoint},
    {"ioperm", piece_ioperm},
    {"ldt", piece_ldt},
    {"pkey", piece_pkey},
    {"singlestep", piece_singlestep},
    {"threads", piece_threads},
};

static const char *name;
static sigjmp_buf back;
static volatile sig_atomic_t signal_code;

int piece_due(void)
{
    static int64_t next;
    struct timespec now;
    int64_t ns;

    clock_gettime(CLOCK_MONOTONIC, &now);
    ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    if (ns < next)
        return 0;
    next = ns + LINE_NS;
    return 1;
}

void piece_line(const char *details)
{
    static unsigned long line;

    dprintf(STDOUT_FILENO, "%s: line %lu %s\n", name, ++line, details);
}

void piece_wrong(const char *what, uint64_t want, uint64_t got)
{
    dprintf(STDOUT_FILENO, "%s: WRONG %s want %#llx got %#llx\n", name, what,
            (unsigned long long)want, (unsigned long long)got);
}

void piece_say(const char *text)
{
    dprintf(STDOUT_FILENO, "guest: %s says %s\n", name, text);
}

static void caught(int number, siginfo_t *info, void *context)
{
    (void)context;
    /* The handler starts with AC as it was, and the library's code is not made for that. */
    __asm__ volatile("pushfq\n\tandl %0, (%%rsp)\n\tpopfq" : : "i"(~0x40000) : "cc", "memory");
    signal_code = info->si_code;
    siglongjmp(back, number);
}

int piece_signal(void (*action)(void *), void *argument, int *code)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL};
    struct sigaction with, before[3];
    int number;

    memset(&with, 0, sizeof with);
    with.sa_sigaction = caught;
    with.sa_flags = SA_SIGINFO;
    for (unsigned i = 0; i < 3; i++)
        sigaction(signals[i], &with, &before[i]);
    number = sigsetjmp(back, 1);
    if (number == 0)
        action(argument);
    for (unsigned i = 0; i < 3; i++)
        sigaction(signals[i], &before[i], NULL);
    if (code != NULL)
        *code = signal_code;
    return number;
}

int main(int argc, char **argv)
{
    if (argc == 3) {
        cpu_set_t set;

        CPU_ZERO(&set);
        CPU_SET((unsigned)atoi(argv[2]), &set);
        if (sched_setaffinity(0, sizeof set, &set) != 0)
            perror("pieces: sched_setaffinity");
    }
    for (unsigned i = 0; i < sizeof pieces / sizeof pieces[0]; i++)
        if (argc >= 2 && strcmp(argv[1], pieces[i].name) == 0) {
            name = argv[1];
            return pieces[i].run();
        }
    fprintf(stderr, "Usage: pieces NAME [CPU]\n");
    return 2;
}
