/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The resumed VM: QEMU as the user started it, reading the spliced stream; then from "go" to the
 * landing, and, for a verification, stopped at the guest's first instruction.
 */
#ifndef RESUME_TOOLS_RESUMED_H
#define RESUME_TOOLS_RESUMED_H

#include <stdbool.h>
#include <stdint.h>

#include "doorbell.h"
#include "process.h"
#include "progress.h"
#include "qemu_command.h"
#include "qmp.h"
#include "readback.h"
#include "report.h"
#include "splice.h"

struct gdb;

struct resumed_options {
    const struct qemu_command *command;
    bool gdbstub;   /* it will be stopped at an instruction */
    bool detach;    /* it goes on when this process ends */
    int give_up_fd; /* resumed_write gives up once this can be read; borrowed, -1 = none */
    void (*started)(pid_t pid); /* optional: called as soon as it has been started */
    int timeout_ms;
};

/* Owned by the caller; zero it, then set the descriptors with resumed_start. */
struct resumed {
    struct process process;
    struct doorbell bell;
    struct qmp *qmp;
    struct gdb *gdb;
    int gdb_fd;  /* until it is spoken to; -1 = none */
    int log_fd;  /* of one that is to be detached: what it prints; -1 = none */
    int pipe_fd; /* write end of the pipe that the stream goes through; -1 = closed */
    int timeout_ms;
    int give_up_fd;
    int write_error; /* errno of a failed resumed_write; ETIMEDOUT = the reader does not read,
                        ECANCELED = given up */
    const struct splice_parked *parked; /* borrowed, once it runs */
    struct readback *readback;          /* likewise: takes what the trampoline says */
};

/*
 * resumed_start - start QEMU, waiting for its stream.
 * Failures: EXIT_CODE_ENVIRONMENT; what QEMU prints goes to stderr, and is shown
 * when it fails if it is to be detached.
 */
int resumed_start(struct resumed *out, const struct resumed_options *options,
                  struct report_failure *failure);

/*
 * resumed_check - is it the machine type that the source's manifest names? QEMU would take no stream of
 * another one, and say so in its own words. Other differences come up in the parked target.
 * Failures: EXIT_CODE_REFUSED, EXIT_CODE_ENVIRONMENT.
 */
int resumed_check(struct resumed *resumed, const struct manifest *source,
                  struct report_failure *failure);

/*
 * resumed_write - a stream_sink_fn, @ctx a struct resumed: give QEMU a part of the stream. Fails
 * when QEMU is gone, does not read for the time limit, or when it is to give up.
 */
int resumed_write(void *ctx, const void *data, size_t length);

/* resumed_write_failed - explain why resumed_write failed; returns like report_fail. */
int resumed_write_failed(struct resumed *resumed, struct report_failure *failure);

/* resumed_loaded - the stream is complete: wait until QEMU has loaded it. */
int resumed_loaded(struct resumed *resumed, struct report_failure *failure);

/*
 * resumed_run - let it run, and wait until the last vCPU lands.
 * @parked: what was spliced; tells where to look when the landing does not come. Must outlive
 * @resumed, like @readback.
 * @readback: opened here and filled with what the trampoline says; to be closed with readback_close,
 * also after a failure.
 * Failures: EXIT_CODE_DIFFERENT (a register does not read back), EXIT_CODE_ENVIRONMENT (a fault in
 * the trampoline, QEMU ended), EXIT_CODE_TIMEOUT (with the stage of each vCPU).
 */
int resumed_run(struct resumed *resumed, const struct splice_parked *parked,
                struct readback *readback, struct report_failure *failure);

/*
 * resumed_run_to_guest - the same, but stop each active vCPU at the guest's next instruction, before
 * that and any pending interrupt. The dormant ones do not run.
 * Failures: those of resumed_run, EXIT_CODE_DIFFERENT (one is elsewhere than the snapshot's RIP).
 */
int resumed_run_to_guest(struct resumed *resumed, const struct splice_parked *parked,
                         struct readback *readback, struct report_failure *failure);

/* resumed_capture - write the stopped VM's stream to @fd. */
int resumed_capture(struct resumed *resumed, int fd, struct progress *progress,
                    struct report_failure *failure);

/* resumed_continue - let it go on after resumed_run_to_guest, with or without a capture. */
int resumed_continue(struct resumed *resumed, struct report_failure *failure);

/* resumed_let_go - close all connections to it; the VM goes on. */
void resumed_let_go(struct resumed *resumed);

/* resumed_end - end it, and close all connections. For failure paths; fine on a zeroed one. */
void resumed_end(struct resumed *resumed);

/* resumed_stage_name - a word for an enum resume_stage. */
const char *resumed_stage_name(uint32_t stage);

#endif
