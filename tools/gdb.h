/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A small client of the GDB remote serial protocol (GDB manual, "Remote Protocol"), enough to stop
 * a VM at an instruction and to look at it. Spoken over a connected stream socket to QEMU's gdbstub.
 * Packets carry checksums and are acknowledged; every wait has a limit. Failures:
 * EXIT_CODE_TIMEOUT, EXIT_CODE_ENVIRONMENT (went away, speaks nonsense), EXIT_CODE_REFUSED (the
 * server answered with an error, or does not know the request).
 *
 * QEMU stops the VM when the connection is made; gdb_open_fd leaves it stopped.
 */
#ifndef TOOLS_GDB_H
#define TOOLS_GDB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "report.h"

#define GDB_PACKET_MAX 65536u
#define GDB_TIMEOUT_MS 10000

struct gdb;

/* Values of the `kind` of a breakpoint, as the protocol numbers them. */
enum gdb_breakpoint { GDB_BREAK_SOFTWARE = 0, GDB_BREAK_HARDWARE = 1 };

/* Why the VM stopped. */
struct gdb_stop {
    int signal;      /* 5 = SIGTRAP (breakpoint, step), 2 = SIGINT (interrupted, stopped) */
    uint64_t thread; /* GDB_THREAD of the vCPU that did it; 0 = not told. When several do at about
                        the same time, it is one of them. */
    bool exited;     /* the VM is gone */
};

/* QEMU's number for the thread that stands for the vCPU with this index. */
#define GDB_THREAD(index) ((uint32_t)(index) + 1)

/* Bits of QEMU's single-step mode. */
#define GDB_STEP_ENABLE 1u
#define GDB_STEP_NOIRQ 2u   /* no interrupts while stepping */
#define GDB_STEP_NOTIMER 4u /* no timers while stepping */

/* Numbers of registers in QEMU's x86-64 description: 0 to 15 are the general registers in GDB's
 * order (rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8 …), then: */
#define GDB_REGISTER_RIP 16u
#define GDB_REGISTER_EFLAGS 17u

/*
 * gdb_open_fd - start talking on @fd (owned from here on, closed also on failure).
 * @name: how to call the other side in messages; copied.
 */
int gdb_open_fd(struct gdb **ret, int fd, const char *name, struct report_failure *failure);

/* gdb_close - close the connection and free. To QEMU nothing happens: breakpoints stay, and a VM that
 * was stopped stays so (its run state is "debug"). NULL is fine. */
void gdb_close(struct gdb *gdb);

/* gdb_detach - have QEMU remove all breakpoints and let the VM run. Follow it with gdb_close. */
int gdb_detach(struct gdb *gdb, struct report_failure *failure);

/* gdb_fd - the socket. */
int gdb_fd(const struct gdb *gdb);

/* gdb_pending - is something received already that was not looked at? Then the socket need not become
 * readable for it. */
bool gdb_pending(const struct gdb *gdb);

/*
 * gdb_request - send one request and receive its reply.
 * @reply: NUL-terminated, unescaped, at most @capacity - 1 bytes; a longer one is a failure.
 * @ret_length: optional.
 */
int gdb_request(struct gdb *gdb, const char *request, char *reply, size_t capacity,
                size_t *ret_length, struct report_failure *failure);

/* gdb_stop_reason - `?`: why it is stopped now. */
int gdb_stop_reason(struct gdb *gdb, struct gdb_stop *out, struct report_failure *failure);

/* gdb_break_set, gdb_break_clear - a breakpoint at the guest-virtual address @va, on all vCPUs. Both
 * kinds leave the guest's memory alone under TCG; under KVM a software breakpoint writes INT3 into it. */
int gdb_break_set(struct gdb *gdb, enum gdb_breakpoint kind, uint64_t va,
                  struct report_failure *failure);
int gdb_break_clear(struct gdb *gdb, enum gdb_breakpoint kind, uint64_t va,
                    struct report_failure *failure);

/* gdb_continue - let all vCPUs run. Follow it with gdb_wait_stop. */
int gdb_continue(struct gdb *gdb, struct report_failure *failure);

/*
 * gdb_continue_threads - let these vCPUs run, and hold all others. Follow it with gdb_wait_stop.
 * When one of them stops, all do.
 * @threads: @count numbers as GDB_THREAD gives them, at least 1.
 */
int gdb_continue_threads(struct gdb *gdb, const uint32_t *threads, size_t count,
                         struct report_failure *failure);

/* gdb_wait_stop - wait until the VM stops. @waited_for: for the message ("the landing"). */
int gdb_wait_stop(struct gdb *gdb, int timeout_ms, const char *waited_for, struct gdb_stop *out,
                  struct report_failure *failure);

/* gdb_interrupt - ask a running VM to stop. Follow it with gdb_wait_stop. */
int gdb_interrupt(struct gdb *gdb, struct report_failure *failure);

/* gdb_step - run one instruction of one vCPU, hold the others, and wait for the stop. */
int gdb_step(struct gdb *gdb, uint32_t thread, struct gdb_stop *out,
             struct report_failure *failure);

/* gdb_thread_select - which vCPU gdb_read_register and gdb_read_memory look at. A stop selects the
 * one that is told with it. */
int gdb_thread_select(struct gdb *gdb, uint32_t thread, struct report_failure *failure);

/* gdb_step_mode - query / set GDB_STEP_* (`qqemu.sstep`, `Qqemu.sstep`). */
int gdb_step_mode_get(struct gdb *gdb, uint32_t *ret_flags, struct report_failure *failure);
int gdb_step_mode_set(struct gdb *gdb, uint32_t flags, struct report_failure *failure);

/* gdb_physical_mode - are addresses of memory reads guest-physical (QEMU's `PhyMemMode`)?
 * gdb_open_fd leaves them virtual. Breakpoints stay virtual. */
int gdb_physical_mode_set(struct gdb *gdb, bool physical, struct report_failure *failure);

/* gdb_read_memory - @length bytes at @address into @buffer; all or nothing. */
int gdb_read_memory(struct gdb *gdb, uint64_t address, void *buffer, size_t length,
                    struct report_failure *failure);

/* gdb_read_register - register @number (`p`), at most 8 bytes, little-endian value. */
int gdb_read_register(struct gdb *gdb, uint32_t number, uint64_t *ret_value,
                      struct report_failure *failure);

#endif
