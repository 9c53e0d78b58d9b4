/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Every vCPU stopped at the guest's next instruction, through QEMU's gdbstub. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <string.h>

#include "deadline.h"
#include "gdb.h"
#include "resumed_internal.h"

#define WHAT "verify"
/* The breakpoints come this much after the landing was announced: a handful of instructions of
 * each vCPU, of which one refills the home. */
#define BREAK_MS 30000
/* Stops at which no vCPU is where it has to be: one is possible for each vCPU, see below. */
#define IDLE_STOPS 4u
#define STEPS_MAX 4u
/* Bytes of the instructions that make an interrupt shadow: STI, MOV SS from a register. */
#define SHADOW_MAX 2u

/* The vCPUs on their way to the guest. */
struct entry {
    struct resumed *resumed;
    const struct splice_parked *parked;
    uint32_t active_count;
    uint32_t active[RESUME_HOME_VCPUS];
    uint32_t pending_count; /* not yet at their landing's last instruction */
    uint32_t pending[RESUME_HOME_VCPUS];
    bool landed; /* the last one has announced that it leaves */
};

static int read_rip(struct entry *entry, uint32_t index, uint64_t *ret,
                    struct report_failure *failure)
{
    struct gdb *gdb = entry->resumed->gdb;
    int result = gdb_thread_select(gdb, GDB_THREAD(index), failure);
    if (result == 0)
        result = gdb_read_register(gdb, GDB_REGISTER_RIP, ret, failure);
    return result;
}

/* Takes those out of `pending` that have arrived: several may do at about the same time, and the
 * stop names one of them. */
static int note_arrivals(struct entry *entry, struct report_failure *failure)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < entry->pending_count; i++) {
        uint32_t index = entry->pending[i];
        uint64_t rip;
        int result = read_rip(entry, index, &rip, failure);
        if (result < 0)
            return result;
        if (rip != entry->parked->handoff[index].leave_va)
            entry->pending[left++] = index;
    }
    entry->pending_count = left;
    return 0;
}

/* The VM runs. Waits until it stops again. */
static int wait_stop(struct entry *entry, uint64_t since, struct report_failure *failure)
{
    struct resumed *resumed = entry->resumed;
    struct gdb_stop stop;
    char list[200];
    char waited_for[256];
    if (!entry->landed && !gdb_pending(resumed->gdb)) {
        int result = resumed_await(resumed, since, gdb_fd(resumed->gdb), failure);
        if (result < 0)
            return result;
        entry->landed = result == 0;
    }
    snprintf(waited_for, sizeof(waited_for), "the landing's last instruction of %s",
             resumed_list(entry->pending, entry->pending_count, list, sizeof(list)));
    int result = gdb_wait_stop(resumed->gdb, BREAK_MS, waited_for, &stop, failure);
    if (result == 0 && stop.exited)
        result = report_fail(failure, EXIT_CODE_ENVIRONMENT, WHAT, RESUMED_NAME,
                             "see above what it printed; the snapshot is as it was",
                             "QEMU ended while waiting for %s", waited_for);
    return result;
}

/*
 * Each stops before the instruction that enters the guest, and is held there; the others go on. The
 * one that leaves last waits for the others in its landing, before its own last instruction, so
 * none is held that another one waits for. Dormant vCPUs are held all the time.
 */
static int run_to_leave(struct entry *entry, struct report_failure *failure)
{
    uint64_t since = deadline_now();
    uint32_t idle = 0;
    int result = 0;
    while (result == 0 && entry->pending_count != 0) {
        uint32_t threads[RESUME_HOME_VCPUS];
        uint32_t before = entry->pending_count;
        char list[200];
        for (uint32_t i = 0; i < entry->pending_count; i++)
            threads[i] = GDB_THREAD(entry->pending[i]);
        result = gdb_continue_threads(entry->resumed->gdb, threads, entry->pending_count, failure);
        if (result == 0)
            result = wait_stop(entry, since, failure);
        if (result == 0)
            result = note_arrivals(entry, failure);
        /* A vCPU that stops while QEMU stops for another has its own stop told once more. */
        idle = entry->pending_count != before ? 0 : idle + 1;
        if (result == 0 && idle > IDLE_STOPS + entry->active_count)
            result =
                report_fail(failure, EXIT_CODE_DIFFERENT, WHAT, RESUMED_NAME,
                            "the resumed VM was ended; the snapshot is as it was",
                            "it stops again and again before the landing's last instruction of %s",
                            resumed_list(entry->pending, entry->pending_count, list, sizeof(list)));
    }
    /* What the trampoline has said since is there already: it was said before. */
    if (result == 0 && !entry->landed && entry->resumed->bell.fd >= 0)
        result = resumed_await(entry->resumed, since, -1, failure);
    return result;
}

/* Is it before the guest's own STI or MOV SS, which makes the interrupt shadow again? */
static bool before_shadow(uint64_t rip, const struct resume_handoff *handoff)
{
    return rip < handoff->rip && handoff->rip - rip <= SHADOW_MAX;
}

/*
 * Runs the one instruction that enters the guest. A pending interrupt is delivered between the
 * landing and the guest's first instruction; what is compared must be before that.
 */
static int enter(struct entry *entry, uint32_t index, struct report_failure *failure)
{
    const struct resume_handoff *handoff = &entry->parked->handoff[index];
    struct gdb *gdb = entry->resumed->gdb;
    struct gdb_stop stop;
    uint64_t rip = handoff->leave_va;
    int result = 0;
    for (uint32_t steps = 0; result == 0 && steps < STEPS_MAX &&
                             (rip == handoff->leave_va || before_shadow(rip, handoff));
         steps++) {
        result = gdb_step(gdb, GDB_THREAD(index), &stop, failure);
        if (result == 0)
            result = read_rip(entry, index, &rip, failure);
    }
    if (result == 0 && rip != handoff->rip)
        result = report_fail(failure, EXIT_CODE_DIFFERENT, WHAT, "the guest's next instruction",
                             "the resumed VM was ended; the snapshot is as it was",
                             "vCPU %" PRIu32 " stopped at RIP 0x%" PRIx64 ", expected 0x%" PRIx64,
                             index, rip, handoff->rip);
    return result;
}

static int enter_all(struct entry *entry, struct report_failure *failure)
{
    struct gdb *gdb = entry->resumed->gdb;
    int result = 0;
    for (uint32_t i = 0; result == 0 && i < entry->active_count; i++)
        result = gdb_break_set(gdb, GDB_BREAK_SOFTWARE,
                               entry->parked->handoff[entry->active[i]].leave_va, failure);
    if (result == 0)
        result = run_to_leave(entry, failure);
    if (result == 0)
        result = readback_check(entry->resumed->readback, failure);
    if (result == 0)
        result =
            gdb_step_mode_set(gdb, GDB_STEP_ENABLE | GDB_STEP_NOIRQ | GDB_STEP_NOTIMER, failure);
    for (uint32_t i = 0; result == 0 && i < entry->active_count; i++)
        result = enter(entry, entry->active[i], failure);
    for (uint32_t i = 0; result == 0 && i < entry->active_count; i++)
        result = gdb_break_clear(gdb, GDB_BREAK_SOFTWARE,
                                 entry->parked->handoff[entry->active[i]].leave_va, failure);
    return result;
}

int resumed_run_to_guest(struct resumed *resumed, const struct splice_parked *parked,
                         struct readback *readback, struct report_failure *failure)
{
    struct entry entry = {.resumed = resumed, .parked = parked};
    int result = resumed_prepare(resumed, parked, readback, failure);
    if (result < 0)
        return result;
    for (uint32_t i = 0; i < parked->control.vcpu_count && i < RESUME_HOME_VCPUS; i++) {
        if (splice_parked_active(parked, i))
            entry.active[entry.active_count++] = i;
    }
    memcpy(entry.pending, entry.active, sizeof(entry.pending));
    entry.pending_count = entry.active_count;
    int fd = resumed->gdb_fd;
    resumed->gdb_fd = -1;
    result = gdb_open_fd(&resumed->gdb, fd, RESUMED_NAME, failure);
    if (result == 0)
        result = enter_all(&entry, failure);
    return resumed_explain(resumed, WHAT, result, failure);
}
