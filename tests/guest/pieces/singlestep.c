/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A process that is single-stepped (RFLAGS.TF): after each step its RIP has to be the next
 * instruction's, and its own count what the tracer has counted. When a step is lost the process runs
 * on, which it notices itself: the tracer says in shared memory how far it may come.
 */
#define _GNU_SOURCE
#include "pieces.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/* The addresses of the loop's instructions, and the count in RBX. */
extern const char step_1[], step_2[], step_3[], step_4[], step_5[], step_6[];
static const char *const steps[] = {step_1, step_2, step_3, step_4, step_5, step_6};
#define STEPS (sizeof steps / sizeof steps[0])

__attribute__((noinline, noclone)) static void stepped(const volatile uint64_t *allowed)
{
    /*
     * PAUSE makes QEMU look whether the VM is to stop, with TF set: it is there that a snapshot finds
     * it. Some versions of QEMU take no step there.
     */
    __asm__ volatile("xor %%ebx, %%ebx\n"
                     ".globl step_1, step_2, step_3, step_4, step_5, step_6\n"
                     "step_1: pause\n"
                     "step_2: lea 1(%%rbx), %%rbx\n"
                     "step_3: mov (%0), %%rax\n"
                     "step_4: cmp %%rax, %%rbx\n"
                     "step_5: ja 1f\n"
                     "step_6: jmp step_1\n"
                     "1:"
                     :
                     : "r"(allowed)
                     : "rax", "rbx", "cc", "memory");
}

static _Noreturn void run_child(const volatile uint64_t *allowed)
{
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    stepped(allowed);
    piece_wrong("ran on without being stepped", *allowed, 1);
    for (;;)
        pause();
}

int piece_singlestep(void)
{
    volatile uint64_t *allowed =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct user_regs_struct registers;
    unsigned place = 0;
    uint64_t count = 0;
    int status;
    pid_t child;

    if (allowed == MAP_FAILED)
        return 1;
    *allowed = 1;
    child = fork();
    if (child == 0)
        run_child(allowed);
    waitpid(child, &status, 0);
    /* To the loop's first instruction; the way there is not looked at. */
    do {
        ptrace(PTRACE_SINGLESTEP, child, NULL, NULL);
        waitpid(child, &status, 0);
        ptrace(PTRACE_GETREGS, child, NULL, &registers);
    } while (WIFSTOPPED(status) && registers.rip != (uint64_t)(uintptr_t)steps[0]);
    for (;;) {
        uint64_t want;

        ptrace(PTRACE_SINGLESTEP, child, NULL, NULL);
        if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status) ||
            WSTOPSIG(status) != SIGTRAP) {
            piece_wrong("stop of the process", SIGTRAP, (uint64_t)status);
            return 1;
        }
        ptrace(PTRACE_GETREGS, child, NULL, &registers);
        place = (place + 1) % STEPS;
        if (place == 1 && registers.rip == (uint64_t)(uintptr_t)steps[2])
            place = 2;
        want = (uint64_t)(uintptr_t)steps[place];
        if (registers.rip != want) {
            piece_wrong("rip after a step", want, registers.rip);
            return 1;
        }
        if (place == 2)
            count++;
        if (registers.rbx != count)
            piece_wrong("count of the process", count, registers.rbx);
        if (place == 0) {
            *allowed = count + 1;
            if (piece_due())
                piece_line("steps=exact");
        }
    }
}
