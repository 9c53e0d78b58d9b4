/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * What only several CPUs do, all at once in one process:
 *   map      one thread puts another page at an address again and again, others read there: a CPU
 *            that has kept an old translation reads an old value
 *   lock     spinlocks in user space; what they protect has to add up
 *   futex    two threads on different CPUs that wake each other in turn
 *   barrier  membarrier(), an IPI to each CPU that runs a thread of this process
 *   migrate  a thread that moves from CPU to CPU and looks where it is
 *   files    descriptors made and closed by several threads: a spinlock of the kernel
 * A line is printed when all have come on since the last one. A lost IPI or wake-up stops one of them
 * for good, and the lines with it.
 */
#define _GNU_SOURCE
#include "pieces.h"

#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MAP, READ, LOCK, FUTEX, BARRIER, MIGRATE, FILES, PARTS };
static const char *const part_names[PARTS] = {"map",     "read",    "lock", "futex",
                                              "barrier", "migrate", "files"};

#define LOCKERS_MAX 8u
#define STUCK_SECONDS 15

static atomic_ulong progress[PARTS];
static unsigned cpus;

/* False when that CPU is not online; the thread is then bound as before. */
static int bind_to(unsigned cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
}

/* ---- map ---------------------------------------------------------------------------------------
 * Two pages of a file take turns at `shared`. Generation g is written into the one that is not
 * mapped there, that one is mapped there, and only then is g published. */
static volatile uint64_t *shared;
static atomic_ulong published;

static void *map_thread(void *argument)
{
    int fd = memfd_create("pages", 0);
    volatile uint64_t *pages;

    (void)argument;
    if (fd < 0 || ftruncate(fd, 8192) != 0)
        exit(1);
    pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    for (uint64_t g = 1;; g++) {
        pages[(g & 1) * 512] = g;
        if (mmap((void *)(uintptr_t)shared, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, fd,
                 (off_t)(g & 1) * 4096) == MAP_FAILED)
            piece_wrong("mmap", 0, g);
        atomic_store(&published, g);
        atomic_fetch_add(&progress[MAP], 1);
    }
    return NULL;
}

static void *read_thread(void *argument)
{
    bind_to((unsigned)(uintptr_t)argument % cpus);
    while (atomic_load(&published) == 0)
        ;
    for (;;) {
        uint64_t before = atomic_load(&published);
        uint64_t value = *shared;
        uint64_t after = atomic_load(&published);

        if (value < before)
            piece_wrong("value of a page that was there before", before, value);
        if (value > after + 1)
            piece_wrong("value of a page that is not yet there", after + 1, value);
        atomic_fetch_add(&progress[READ], 1);
    }
    return NULL;
}

/* ---- lock --------------------------------------------------------------------------------------*/
static struct {
    volatile uint32_t held;
    uint64_t total;
    uint64_t of[LOCKERS_MAX];
} lock;
extern const char lock_spin[], lock_spin_end[];

/* Takes the lock, or gives up after a while of waiting with PAUSE; returns 0 when it was taken. */
__attribute__((noinline, noclone)) static uint32_t lock_try(volatile uint32_t *held)
{
    uint32_t value = 1, patience = 100000;

    __asm__ volatile("jmp 2f\n"
                     ".globl lock_spin, lock_spin_end\n"
                     "lock_spin:\n\t"
                     "pause\n\t"
                     "dec %1\n\t"
                     "jz 3f\n\t"
                     "cmpl $0, %2\n\t"
                     "jne lock_spin\n"
                     "lock_spin_end:\n"
                     "2: xchg %0, %2\n\t"
                     "test %0, %0\n\t"
                     "jnz lock_spin\n"
                     "3:"
                     : "+r"(value), "+r"(patience), "+m"(*held)
                     :
                     : "cc", "memory");
    return value;
}

static void *lock_thread(void *argument)
{
    unsigned me = (unsigned)(uintptr_t)argument;
    uint64_t mine = 0;

    bind_to(me % cpus);
    for (;;) {
        uint64_t sum = 0;

        while (lock_try(&lock.held) != 0)
            sched_yield(); /* the holder may want this CPU */
        for (unsigned i = 0; i < LOCKERS_MAX; i++)
            sum += lock.of[i];
        if (sum != lock.total)
            piece_wrong("sum of what the lock protects", lock.total, sum);
        if (lock.of[me] != mine)
            piece_wrong("own count in what the lock protects", mine, lock.of[me]);
        lock.of[me] = ++mine;
        for (volatile unsigned i = 0; i < 3000; i++)
            ;
        lock.total++;
        __atomic_store_n(&lock.held, 0, __ATOMIC_RELEASE);
        atomic_fetch_add(&progress[LOCK], 1);
        for (volatile unsigned i = 0; i < 1000; i++)
            ;
    }
    return NULL;
}

/* ---- futex -------------------------------------------------------------------------------------*/
static atomic_uint ball; /* even: with thread 0; odd: with thread 1 */

static void *futex_thread(void *argument)
{
    unsigned me = (unsigned)(uintptr_t)argument;

    bind_to(me % cpus);
    for (;;) {
        unsigned value = atomic_load(&ball);

        if ((value & 1) != me) {
            syscall(SYS_futex, &ball, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
            continue;
        }
        if (!atomic_compare_exchange_strong(&ball, &value, value + 1))
            piece_wrong("futex word", value, atomic_load(&ball));
        syscall(SYS_futex, &ball, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
        atomic_fetch_add(&progress[FUTEX], 1);
    }
    return NULL;
}

/* ---- barrier, migrate, files -------------------------------------------------------------------*/
static void *barrier_thread(void *argument)
{
    (void)argument;
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0)
        piece_wrong("membarrier is not there", 0, 1);
    for (;;) {
        struct timespec pause = {0, 1000000};

        if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0)
            piece_wrong("membarrier", 0, 1);
        atomic_fetch_add(&progress[BARRIER], 1);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void *migrate_thread(void *argument)
{
    const unsigned configured = (unsigned)sysconf(_SC_NPROCESSORS_CONF);

    (void)argument;
    for (unsigned cpu = 0;; cpu = (cpu + 1) % configured) {
        struct timespec pause = {0, 1000000};
        int tries = 0, here = -1;

        /* A CPU that is just going offline sends this thread away. */
        while (tries < 5 && bind_to(cpu) && (here = sched_getcpu()) != (int)cpu)
            tries++;
        if (tries == 5)
            piece_wrong("cpu after moving there", cpu, (uint64_t)here);
        if (here == (int)cpu)
            atomic_fetch_add(&progress[MIGRATE], 1);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void *files_thread(void *argument)
{
    bind_to((unsigned)(uintptr_t)argument % cpus);
    for (;;) {
        int fd = dup(STDOUT_FILENO);

        if (fd < 0 || close(fd) != 0)
            piece_wrong("dup and close", 0, (uint64_t)fd);
        atomic_fetch_add(&progress[FILES], 1);
    }
    return NULL;
}

static void start(void *(*body)(void *), unsigned argument)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, body, (void *)(uintptr_t)argument) != 0) {
        piece_wrong("thread cannot be had", 0, argument);
        exit(1);
    }
}

int piece_threads(void)
{
    unsigned long seen[PARTS];
    unsigned lockers;

    cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    lockers = cpus < 2 ? 2 : cpus > LOCKERS_MAX ? LOCKERS_MAX : cpus;
    shared = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 1;
    dprintf(STDOUT_FILENO, "guest: range spin %lx %lx\n", (unsigned long)(uintptr_t)lock_spin,
            (unsigned long)(uintptr_t)lock_spin_end);
    start(map_thread, 0);
    start(read_thread, 1);
    start(read_thread, 2);
    for (unsigned i = 0; i < lockers; i++)
        start(lock_thread, i);
    start(futex_thread, 0);
    start(futex_thread, 1);
    start(barrier_thread, 0);
    start(migrate_thread, 0);
    for (unsigned i = 0; i < cpus; i++)
        start(files_thread, i);
    for (;;) {
        time_t began = time(NULL);
        int complained = 0;

        for (unsigned i = 0; i < PARTS; i++)
            seen[i] = atomic_load(&progress[i]);
        for (;;) {
            const struct timespec pause = {0, 20000000};
            const char *waiting = NULL;

            for (unsigned i = 0; i < PARTS; i++)
                if (atomic_load(&progress[i]) == seen[i])
                    waiting = part_names[i];
            if (waiting == NULL && piece_due())
                break;
            if (waiting != NULL && !complained && time(NULL) - began > STUCK_SECONDS) {
                char text[64];

                complained = 1;
                snprintf(text, sizeof text, "it still waits for %s", waiting);
                piece_say(text);
            }
            nanosleep(&pause, NULL);
        }
        piece_line("all=ok");
    }
}
