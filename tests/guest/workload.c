/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * What runs in the userland of the Linux guest while it is snapshotted and resumed.
 *
 *   workload run [DIRECTORY]  print a numbered line at a steady cadence, each after a round of
 *                             work that checks itself; DIRECTORY is on the disk to be used
 *   workload idle [DIRECTORY] the same, but sleep for most of the time
 *   workload cpu N NAME [idle]
 *                             as run or idle, bound to CPU N, with lines that begin with NAME
 *   workload kmsg             print every new kernel message as a line
 *
 * SIGTERM ends it after its next line. A wrong result is a line "workload: WRONG what". Values are kept in the SSE, AVX and x87
 * registers over whole time slices, so that a snapshot nearly always finds them live; what they
 * must come to is computed with integers only.
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define LINE_NS 250000000LL /* one line in this time, when the machine is fast enough */
#define JUMP_S 5            /* the clock may not move more than this between two looks */
#define TICK_US 10000       /* the interval timer's period */
#define QUIET_LINES 6u      /* without a tick: there will be none; a busy host delays one line */
#define LOOPS 20000u        /* iterations between two looks at the clock */
#define FILE_BYTES 65536u   /* written and read back for each line */
#define MXCSR_USED 0x7fa0u  /* not the default: round to zero, all masked, PE set */
#define FCW_USED 0x0f7fu    /* not the default: round to zero, extended precision */
#define GS_BASE_USED 0x123456789000u

struct sse_block {
    uint64_t sum[8][2];
    uint64_t step[8][2];
};

struct avx_block {
    double sum[8][4];
    double step[8][4];
};

static const char *name = "workload";
static volatile sig_atomic_t ticks;
static volatile sig_atomic_t ending;
static int64_t clock_last;
static unsigned wrong;

static void wrong_result(const char *what, uint64_t line, uint64_t want, uint64_t got)
{
    wrong++;
    dprintf(STDOUT_FILENO, "%s: WRONG %s line %llu want %#llx got %#llx\n", name, what,
            (unsigned long long)line, (unsigned long long)want, (unsigned long long)got);
}

static void tick(int number)
{
    (void)number;
    ticks++;
}

static void end(int number)
{
    (void)number;
    ending = 1;
}

/* The seconds that a busy host may hold up the guest: "patience" on the kernel's command line, which
 * reaches all programs in their environment, makes room for many CPUs on a machine with few. */
static int patience_s(int otherwise)
{
    const char *patience = getenv("patience");
    int seconds = patience != NULL ? atoi(patience) : 0;

    return seconds > 0 ? seconds : otherwise;
}

/* The monotonic clock in ns; complains when it went back, or far ahead. */
static int64_t clock_look(uint64_t line)
{
    struct timespec now;
    int64_t ns;

    clock_gettime(CLOCK_MONOTONIC, &now);
    ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    if (clock_last != 0 &&
        (ns < clock_last || ns - clock_last > patience_s(JUMP_S) * INT64_C(1000000000)))
        wrong_result("clock", line, (uint64_t)clock_last, (uint64_t)ns);
    clock_last = ns;
    return ns;
}

/* A small generator (SplitMix64), so that no two lines use the same values. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* All of XMM0 to XMM15 are live through the loop: eight sums and eight steps. */
static void sse_loop(struct sse_block *block, uint64_t loops)
{
    __asm__ volatile("movdqu 0x00(%[b]), %%xmm0\n\t"
                     "movdqu 0x10(%[b]), %%xmm1\n\t"
                     "movdqu 0x20(%[b]), %%xmm2\n\t"
                     "movdqu 0x30(%[b]), %%xmm3\n\t"
                     "movdqu 0x40(%[b]), %%xmm4\n\t"
                     "movdqu 0x50(%[b]), %%xmm5\n\t"
                     "movdqu 0x60(%[b]), %%xmm6\n\t"
                     "movdqu 0x70(%[b]), %%xmm7\n\t"
                     "movdqu 0x80(%[b]), %%xmm8\n\t"
                     "movdqu 0x90(%[b]), %%xmm9\n\t"
                     "movdqu 0xa0(%[b]), %%xmm10\n\t"
                     "movdqu 0xb0(%[b]), %%xmm11\n\t"
                     "movdqu 0xc0(%[b]), %%xmm12\n\t"
                     "movdqu 0xd0(%[b]), %%xmm13\n\t"
                     "movdqu 0xe0(%[b]), %%xmm14\n\t"
                     "movdqu 0xf0(%[b]), %%xmm15\n\t"
                     "1:\n\t"
                     "paddq %%xmm8, %%xmm0\n\t"
                     "paddq %%xmm9, %%xmm1\n\t"
                     "paddq %%xmm10, %%xmm2\n\t"
                     "paddq %%xmm11, %%xmm3\n\t"
                     "paddq %%xmm12, %%xmm4\n\t"
                     "paddq %%xmm13, %%xmm5\n\t"
                     "paddq %%xmm14, %%xmm6\n\t"
                     "paddq %%xmm15, %%xmm7\n\t"
                     "dec %[n]\n\t"
                     "jnz 1b\n\t"
                     "movdqu %%xmm0, 0x00(%[b])\n\t"
                     "movdqu %%xmm1, 0x10(%[b])\n\t"
                     "movdqu %%xmm2, 0x20(%[b])\n\t"
                     "movdqu %%xmm3, 0x30(%[b])\n\t"
                     "movdqu %%xmm4, 0x40(%[b])\n\t"
                     "movdqu %%xmm5, 0x50(%[b])\n\t"
                     "movdqu %%xmm6, 0x60(%[b])\n\t"
                     "movdqu %%xmm7, 0x70(%[b])\n\t"
                     "movdqu %%xmm8, 0x80(%[b])\n\t"
                     "movdqu %%xmm9, 0x90(%[b])\n\t"
                     "movdqu %%xmm10, 0xa0(%[b])\n\t"
                     "movdqu %%xmm11, 0xb0(%[b])\n\t"
                     "movdqu %%xmm12, 0xc0(%[b])\n\t"
                     "movdqu %%xmm13, 0xd0(%[b])\n\t"
                     "movdqu %%xmm14, 0xe0(%[b])\n\t"
                     "movdqu %%xmm15, 0xf0(%[b])\n\t"
                     : [n] "+r"(loops)
                     : [b] "r"(block)
                     : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
                       "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
                       "xmm15");
}

/* The same with YMM0 to YMM15: whole numbers below 2^53, so that the sums are exact. */
static void avx_loop(struct avx_block *block, uint64_t loops)
{
    __asm__ volatile("vmovupd 0x000(%[b]), %%ymm0\n\t"
                     "vmovupd 0x020(%[b]), %%ymm1\n\t"
                     "vmovupd 0x040(%[b]), %%ymm2\n\t"
                     "vmovupd 0x060(%[b]), %%ymm3\n\t"
                     "vmovupd 0x080(%[b]), %%ymm4\n\t"
                     "vmovupd 0x0a0(%[b]), %%ymm5\n\t"
                     "vmovupd 0x0c0(%[b]), %%ymm6\n\t"
                     "vmovupd 0x0e0(%[b]), %%ymm7\n\t"
                     "vmovupd 0x100(%[b]), %%ymm8\n\t"
                     "vmovupd 0x120(%[b]), %%ymm9\n\t"
                     "vmovupd 0x140(%[b]), %%ymm10\n\t"
                     "vmovupd 0x160(%[b]), %%ymm11\n\t"
                     "vmovupd 0x180(%[b]), %%ymm12\n\t"
                     "vmovupd 0x1a0(%[b]), %%ymm13\n\t"
                     "vmovupd 0x1c0(%[b]), %%ymm14\n\t"
                     "vmovupd 0x1e0(%[b]), %%ymm15\n\t"
                     "1:\n\t"
                     "vaddpd %%ymm8, %%ymm0, %%ymm0\n\t"
                     "vaddpd %%ymm9, %%ymm1, %%ymm1\n\t"
                     "vaddpd %%ymm10, %%ymm2, %%ymm2\n\t"
                     "vaddpd %%ymm11, %%ymm3, %%ymm3\n\t"
                     "vaddpd %%ymm12, %%ymm4, %%ymm4\n\t"
                     "vaddpd %%ymm13, %%ymm5, %%ymm5\n\t"
                     "vaddpd %%ymm14, %%ymm6, %%ymm6\n\t"
                     "vaddpd %%ymm15, %%ymm7, %%ymm7\n\t"
                     "dec %[n]\n\t"
                     "jnz 1b\n\t"
                     "vmovupd %%ymm0, 0x000(%[b])\n\t"
                     "vmovupd %%ymm1, 0x020(%[b])\n\t"
                     "vmovupd %%ymm2, 0x040(%[b])\n\t"
                     "vmovupd %%ymm3, 0x060(%[b])\n\t"
                     "vmovupd %%ymm4, 0x080(%[b])\n\t"
                     "vmovupd %%ymm5, 0x0a0(%[b])\n\t"
                     "vmovupd %%ymm6, 0x0c0(%[b])\n\t"
                     "vmovupd %%ymm7, 0x0e0(%[b])\n\t"
                     "vmovupd %%ymm8, 0x100(%[b])\n\t"
                     "vmovupd %%ymm9, 0x120(%[b])\n\t"
                     "vmovupd %%ymm10, 0x140(%[b])\n\t"
                     "vmovupd %%ymm11, 0x160(%[b])\n\t"
                     "vmovupd %%ymm12, 0x180(%[b])\n\t"
                     "vmovupd %%ymm13, 0x1a0(%[b])\n\t"
                     "vmovupd %%ymm14, 0x1c0(%[b])\n\t"
                     "vmovupd %%ymm15, 0x1e0(%[b])\n\t"
                     "vzeroupper\n\t"
                     : [n] "+r"(loops)
                     : [b] "r"(block)
                     : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
                       "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
                       "xmm15");
}

static void sse_round(uint64_t line)
{
    struct sse_block block;
    uint64_t seed = mix(line);

    for (unsigned i = 0; i < 8; i++)
        for (unsigned k = 0; k < 2; k++) {
            block.sum[i][k] = mix(seed + 2 * i + k);
            block.step[i][k] = mix(seed + 100 + 2 * i + k);
        }
    sse_loop(&block, LOOPS);
    for (unsigned i = 0; i < 8; i++)
        for (unsigned k = 0; k < 2; k++) {
            uint64_t step = mix(seed + 100 + 2 * i + k);
            uint64_t want = mix(seed + 2 * i + k) + LOOPS * step;

            if (block.sum[i][k] != want)
                wrong_result("sse sum", line, want, block.sum[i][k]);
            if (block.step[i][k] != step)
                wrong_result("sse register", line, step, block.step[i][k]);
        }
}

static void avx_round(uint64_t line)
{
    struct avx_block block;
    uint64_t seed = mix(~line);

    for (unsigned i = 0; i < 8; i++)
        for (unsigned k = 0; k < 4; k++) {
            block.sum[i][k] = (double)(mix(seed + 4 * i + k) >> 34);
            block.step[i][k] = (double)(mix(seed + 100 + 4 * i + k) >> 34);
        }
    avx_loop(&block, LOOPS);
    for (unsigned i = 0; i < 8; i++)
        for (unsigned k = 0; k < 4; k++) {
            uint64_t step = mix(seed + 100 + 4 * i + k) >> 34;
            uint64_t want = (mix(seed + 4 * i + k) >> 34) + LOOPS * step;

            if ((uint64_t)block.sum[i][k] != want)
                wrong_result("avx sum", line, want, (uint64_t)block.sum[i][k]);
            if ((uint64_t)block.step[i][k] != step)
                wrong_result("avx register", line, step, (uint64_t)block.step[i][k]);
        }
}

/*
 * Three values stay on the x87 stack for the life of the process: nothing else in it uses the x87.
 * st(0) counts rounds, st(1) is 1, st(2) is a value that is only looked at.
 */
static void x87_start(void)
{
    const uint16_t fcw = FCW_USED;
    const int64_t constant = 0x123456789abcdefLL;

    __asm__ volatile("fninit\n\t"
                     "fldcw %0\n\t"
                     "fildll %1\n\t"
                     "fld1\n\t"
                     "fldz"
                     :
                     : "m"(fcw), "m"(constant));
}

static void x87_round(uint64_t line, uint64_t count)
{
    int64_t counted, constant;
    uint16_t fcw, fsw;

    __asm__ volatile("fadd %%st(1), %%st\n\t"
                     "fld %%st(0)\n\t"
                     "fistpll %0\n\t"
                     "fld %%st(2)\n\t"
                     "fistpll %1\n\t"
                     "fnstcw %2\n\t"
                     "fnstsw %3"
                     : "=m"(counted), "=m"(constant), "=m"(fcw), "=m"(fsw));
    if ((uint64_t)counted != count)
        wrong_result("x87 count", line, count, (uint64_t)counted);
    if (constant != 0x123456789abcdefLL)
        wrong_result("x87 constant", line, 0x123456789abcdefu, (uint64_t)constant);
    if (fcw != FCW_USED)
        wrong_result("x87 control word", line, FCW_USED, fcw);
    if (((fsw >> 11) & 7) != 5)
        wrong_result("x87 top", line, 5, (fsw >> 11) & 7);
}

static void control_round(uint64_t line)
{
    uint32_t mxcsr;
    unsigned long gs = 0;

    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    /* The exact sums set no exception flag, so that the whole register is known. */
    if (mxcsr != MXCSR_USED)
        wrong_result("mxcsr", line, MXCSR_USED, mxcsr);
    syscall(SYS_arch_prctl, ARCH_GET_GS, &gs);
    if (gs != GS_BASE_USED)
        wrong_result("gs base", line, GS_BASE_USED, gs);
}

/* Writes a file, has it put on the disk, and reads it back from there. False: no disk. */
static int disk_round(const char *directory, uint64_t line)
{
    static uint64_t *buffer;
    char path[256];
    ssize_t done;
    int fd;

    if (directory == NULL)
        return 0;
    if (buffer == NULL && posix_memalign((void **)&buffer, 4096, FILE_BYTES) != 0)
        abort();
    for (unsigned i = 0; i < FILE_BYTES / 8; i++)
        buffer[i] = mix(line * 1000003 + i);
    snprintf(path, sizeof path, "%s/file-%llu", directory, (unsigned long long)(line % 4));
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, buffer, FILE_BYTES) != (ssize_t)FILE_BYTES || fsync(fd) != 0)
        wrong_result("disk write", line, 0, (uint64_t)errno);
    if (fd >= 0)
        close(fd);
    memset(buffer, 0, FILE_BYTES);
    fd = open(path, O_RDONLY | O_DIRECT);
    done = fd < 0 ? -1 : read(fd, buffer, FILE_BYTES);
    if (done != (ssize_t)FILE_BYTES)
        wrong_result("disk read", line, FILE_BYTES, (uint64_t)done);
    if (fd >= 0)
        close(fd);
    for (unsigned i = 0; i < FILE_BYTES / 8; i++)
        if (buffer[i] != mix(line * 1000003 + i)) {
            wrong_result("disk data", line, mix(line * 1000003 + i), buffer[i]);
            break;
        }
    return 1;
}

static int have_avx(void)
{
    unsigned a, b, c, d, xcr0_low, xcr0_high;

    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & bit_OSXSAVE) == 0 || (c & bit_AVX) == 0)
        return 0;
    __asm__ volatile("xgetbv" : "=a"(xcr0_low), "=d"(xcr0_high) : "c"(0));
    return (xcr0_low & 6) == 6;
}

/* cpu: -1, or the only one that it may run on. */
static int run(const char *directory, int idle, int cpu)
{
    const uint32_t mxcsr = MXCSR_USED;
    const struct itimerval period = {{0, TICK_US}, {0, TICK_US}};
    struct sigaction action;
    int avx = have_avx(), disk;
    const unsigned patient = (unsigned)(patience_s(0) * (INT64_C(1000000000) / LINE_NS));
    const unsigned quiet_lines = patient > QUIET_LINES ? patient : QUIET_LINES;
    unsigned quiet = 0;
    uint64_t rounds = 0;
    int64_t next;

    memset(&action, 0, sizeof action);
    action.sa_handler = tick;
    action.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &action, NULL);
    action.sa_handler = end;
    sigaction(SIGTERM, &action, NULL);
    setitimer(ITIMER_REAL, &period, NULL);
    x87_start();
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
    syscall(SYS_arch_prctl, ARCH_SET_GS, GS_BASE_USED);

    next = clock_look(0);
    for (uint64_t line = 1; !ending; line++) {
        int64_t began = clock_last, elapsed;
        long ticks_before = ticks, ticked;
        unsigned wrong_before = wrong;

        next += LINE_NS;
        if (next < began)
            next = began;
        disk = disk_round(directory, line);
        do {
            sse_round(line);
            if (avx)
                avx_round(line);
            x87_round(line, ++rounds);
            control_round(line);
            if (cpu >= 0 && sched_getcpu() != cpu)
                wrong_result("cpu", line, (uint64_t)cpu, (uint64_t)sched_getcpu());
            if (idle) {
                int64_t left = next - clock_look(line);
                struct timespec pause = {0, left > 0 ? left : 0};

                nanosleep(&pause, NULL); /* the tick ends it early: many short sleeps */
            }
        } while (clock_look(line) < next);

        /* A tick is due in each period; some may be merged while the guest is busy. */
        elapsed = clock_last - began;
        ticked = ticks - ticks_before;
        if (ticked > elapsed / (TICK_US * 1000) + 3)
            wrong_result("too many ticks", line, (uint64_t)elapsed, (uint64_t)ticked);
        quiet = ticked == 0 ? quiet + 1 : 0;
        if (quiet == quiet_lines)
            wrong_result("no ticks", line, quiet_lines, 0);
        dprintf(STDOUT_FILENO, "%s: line %llu sse=%s avx=%s disk=%s ticks=%ld\n", name,
                (unsigned long long)line, wrong == wrong_before ? "ok" : "bad",
                !avx                    ? "none"
                : wrong == wrong_before ? "ok"
                                        : "bad",
                !disk                   ? "none"
                : wrong == wrong_before ? "ok"
                                        : "bad",
                (long)ticks);
    }
    return 0;
}

/* Each record of /dev/kmsg is "priority,sequence,time,flags;text" and further lines. */
static int kmsg(void)
{
    char record[8192];
    ssize_t length;
    int fd = open("/dev/kmsg", O_RDONLY);

    if (fd < 0 || lseek(fd, 0, SEEK_END) < 0) {
        perror("workload: /dev/kmsg");
        return 1;
    }
    dprintf(STDOUT_FILENO, "kernel: following\n");
    for (;;) {
        char *text, *end;

        length = read(fd, record, sizeof record - 1);
        if (length < 0) {
            if (errno == EPIPE) /* overtaken: some messages are gone */
                dprintf(STDOUT_FILENO, "kernel: 4 messages were lost\n");
            continue;
        }
        record[length] = '\0';
        text = strchr(record, ';');
        if (text == NULL)
            continue;
        end = strchr(++text, '\n');
        if (end != NULL)
            *end = '\0';
        dprintf(STDOUT_FILENO, "kernel: %lu %s\n", strtoul(record, NULL, 10) & 7, text);
    }
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "kmsg") == 0)
        return kmsg();
    if ((argc == 2 || argc == 3) && (strcmp(argv[1], "run") == 0 || strcmp(argv[1], "idle") == 0))
        return run(argc == 3 ? argv[2] : NULL, strcmp(argv[1], "idle") == 0, -1);
    if ((argc == 4 || (argc == 5 && strcmp(argv[4], "idle") == 0)) && strcmp(argv[1], "cpu") == 0) {
        int cpu = atoi(argv[2]);
        cpu_set_t set;

        CPU_ZERO(&set);
        CPU_SET((unsigned)cpu, &set);
        if (sched_setaffinity(0, sizeof set, &set) != 0) {
            perror("workload: sched_setaffinity");
            return 1;
        }
        name = argv[3];
        return run(NULL, argc == 5, cpu);
    }
    fprintf(stderr,
            "Usage: workload run|idle [DIRECTORY] | workload cpu N NAME [idle] | workload kmsg\n");
    return 2;
}
