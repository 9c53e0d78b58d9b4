/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * What resume.efi and the trampoline say on the debug console: lines that start with "libresume: ".
 * Everything else there is the firmware's own and goes to the log only.
 */
#ifndef RESUME_TOOLS_DOORBELL_H
#define RESUME_TOOLS_DOORBELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "process.h"
#include "report.h"

#define DOORBELL_LINE_MAX 512u
/* So much is taken before it is looked at: more than 256 vCPUs say. */
#define DOORBELL_PENDING_MAX 65536u
/* Other descriptors that a wait can watch. */
#define DOORBELL_ALSO_MAX 4u

/* doorbell_line_fn - takes each line for us, without its prefix, in the order they come. */
typedef void (*doorbell_line_fn)(void *ctx, const char *line);

/* One debug console. Owned by the caller. */
struct doorbell {
    int fd;     /* socket to the debug console; owned, -1 = none */
    int log_fd; /* everything is written there; owned, -1 = none */
    bool eof;
    size_t length; /* of the line being received */
    char line[DOORBELL_LINE_MAX];
    size_t start; /* what was received but not looked at: pending[start .. end) */
    size_t end;
    char pending[DOORBELL_PENDING_MAX];
    char last[DOORBELL_LINE_MAX]; /* the last line for us, without its prefix; "" = none yet */
    doorbell_line_fn line_fn;     /* optional; set it after doorbell_open */
    void *line_ctx;
};

/*
 * doorbell_open - listen on @fd (owned from here on).
 * @log_path: a file to write everything to, created anew; NULL = none.
 * Failure: EXIT_CODE_ENVIRONMENT.
 */
int doorbell_open(struct doorbell *bell, int fd, const char *log_path,
                  struct report_failure *failure);

/* doorbell_close - fine on one that was never opened with fd and log_fd at -1. */
void doorbell_close(struct doorbell *bell);

/*
 * doorbell_wait - wait for the line "libresume: @wanted".
 * @vm: the machine it comes from. @what: what is being done, for messages ("park the target").
 * @timeout_ms: limit, counted from @since (deadline_now() at some moment).
 * @also: returns 1 as soon as one of these @also_count (up to DOORBELL_ALSO_MAX) descriptors can
 * be read; negative ones are left out.
 * Returns 0 when the line came, 1 see @also, or a failure: EXIT_CODE_REFUSED (a "refused" line),
 * EXIT_CODE_DIFFERENT (a "differs" line), EXIT_CODE_ENVIRONMENT (a "fault" line, a processor that
 * does not start, the VM ended, the console went away), EXIT_CODE_TIMEOUT (with the last line that
 * came).
 */
int doorbell_wait(struct doorbell *bell, struct process *vm, const char *wanted, const char *what,
                  uint64_t since, int timeout_ms, const int *also, size_t also_count,
                  struct report_failure *failure);

/*
 * doorbell_take - take what has come, without waiting and without looking at it yet, so that the VM
 * need not wait for room. @bell: a struct doorbell (the type fits qmp_take_fn).
 * Returns false when no more can be taken: the console was closed, or DOORBELL_PENDING_MAX is reached.
 */
bool doorbell_take(void *bell);

#endif
