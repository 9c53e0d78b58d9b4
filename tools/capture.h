/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Captures a VM as QEMU's migration stream, into a descriptor (a file, or the write end of a pipe
 * or socket), and puts the VM back to work afterwards.
 */
#ifndef TOOLS_CAPTURE_H
#define TOOLS_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "progress.h"
#include "qmp.h"

/* How far a capture is. */
struct capture_status {
    bool done;
    uint64_t transferred; /* bytes written so far */
    uint64_t ram_done;    /* bytes of RAM dealt with */
    uint64_t ram_total;   /* bytes of RAM; 0 = not known yet */
};

/*
 * capture_stop - stop the VM and wait for the STOP event. Nothing when it is stopped already.
 * @ret_was_running: optional; whether it ran.
 * Refuses (EXIT_CODE_REFUSED) run states other than running, paused, prelaunch and debug. After a
 * capture the state is postmigrate, from which QEMU captures again only after the VM has run.
 */
int capture_stop(struct qmp *qmp, bool *ret_was_running, struct report_failure *failure);

/* capture_continue - let the VM run and wait for the RESUME event. Fits after capture_stop as well
 * as after a capture. */
int capture_continue(struct qmp *qmp, struct report_failure *failure);

/* The migration settings that capture_begin changes. Zeroed = nothing known, nothing to restore. */
struct capture_settings {
    bool known;
    bool events;
    int64_t max_bandwidth;
};

/* capture_settings_read - note them before a capture. capture_settings_restore - put them back: best
 * effort, reports nothing. Only of use where the VM goes on afterwards. */
int capture_settings_read(struct qmp *qmp, struct capture_settings *out,
                          struct report_failure *failure);
void capture_settings_restore(struct qmp *qmp, const struct capture_settings *settings);

/*
 * capture_prepare - what can be done while the VM runs: no rate limit, events on, no other capability
 * changed. Capabilities that would alter the stream's form are refused (EXIT_CODE_REFUSED).
 */
int capture_prepare(struct qmp *qmp, struct report_failure *failure);

/*
 * capture_start - after capture_prepare, start writing the stream to @fd (which QEMU duplicates: the caller closes its own
 * when it likes; a reader at the other end of a pipe sees EOF when QEMU is done and the caller has
 * closed). The VM should be stopped.
 */
int capture_start(struct qmp *qmp, int fd, struct report_failure *failure);

/* capture_begin - capture_prepare, then capture_start. */
int capture_begin(struct qmp *qmp, int fd, struct report_failure *failure);

/*
 * capture_poll - wait up to @timeout_ms for news, then tell how far it is. A migration that failed
 * is a failure (EXIT_CODE_ENVIRONMENT) with QEMU's reason.
 */
int capture_poll(struct qmp *qmp, int timeout_ms, struct capture_status *out,
                 struct report_failure *failure);

/*
 * capture_wait - wait until the capture is complete.
 * @idle_ms: fail (EXIT_CODE_TIMEOUT) when there was no progress for so long.
 * @progress: optional; its current step is updated.
 */
int capture_wait(struct qmp *qmp, int idle_ms, struct progress *progress,
                 struct report_failure *failure);

/* capture_cancel - stop a capture under way and wait for it to be gone. For failure paths: best
 * effort, reports nothing. */
void capture_cancel(struct qmp *qmp);

#endif
