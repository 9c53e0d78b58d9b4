/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What the parts of resumed.h share. */
#ifndef RESUME_TOOLS_RESUMED_INTERNAL_H
#define RESUME_TOOLS_RESUMED_INTERNAL_H

#include "resumed.h"

#define RESUMED_NAME "the resumed VM"
#define RESUMED_RESTORE "restore the CPUs"
#define RESUMED_ADVICE "the snapshot is as it was; report a defect"

/*
 * resumed_explain - when a failure's reason is that QEMU has ended, say that instead.
 * @result: of what was done; returned as it is unless it is -EXIT_CODE_ENVIRONMENT.
 */
int resumed_explain(struct resumed *resumed, const char *what, int result,
                    struct report_failure *failure);

/* resumed_prepare - remember the parked target, and listen to the trampoline. */
int resumed_prepare(struct resumed *resumed, const struct splice_parked *parked,
                    struct readback *readback, struct report_failure *failure);

/*
 * resumed_await - wait until the last vCPU is about to leave.
 * @since: deadline_now() when the VM was let run; the limit counts from there.
 * @also_fd: returns 1 as soon as this descriptor can be read; -1 = none.
 * Returns 0 when the landing has been announced (or, without a debug console of ours, when the home
 * has been refilled), 1 see @also_fd, or a failure as resumed_run.
 */
int resumed_await(struct resumed *resumed, uint64_t since, int also_fd,
                  struct report_failure *failure);

/* resumed_list - "vCPU 3" or "vCPUs 0, 2, 5", cut to @capacity. Returns @buffer. */
char *resumed_list(const uint32_t *indexes, uint32_t count, char *buffer, size_t capacity);

#endif
