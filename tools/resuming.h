/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A run of `resumectl resume`, and its middle part: the parked target and the source's stream become
 * a VM that has loaded both.
 */
#ifndef RESUME_TOOLS_RESUMING_H
#define RESUME_TOOLS_RESUMING_H

#include "ledger.h"
#include "park.h"
#include "progress.h"
#include "readback.h"
#include "resume_arguments.h"
#include "resume_input.h"
#include "resumed.h"

/* Everything that a run owns. Zeroed before it is opened. */
struct resuming {
    const struct resume_arguments *arguments;
    struct progress progress;
    struct resume_input input;
    struct qemu_command *command;
    struct park *park; /* NULL = there is none: not yet, or a kept capture takes its place */
    int capture_fd;    /* with an image: the target's capture, or the kept one's file; -1 = none */
    struct splice_parked parked;
    struct resumed resumed;
    struct readback readback; /* what the trampoline has seen from inside */
    struct ledger ledger;     /* what was seen from outside; zeroed without a verification */
    bool compared;            /* `ledger` is filled */
    int timeout_ms;
    char kernel[PATH_MAX_LENGTH]; /* what the parked target's firmware starts */
};

/*
 * resuming_load - start the parked target and the resumed VM, and let the latter load the spliced
 * stream. It gets the source's RAM while the target still boots; with an image, what is the hypervisor's
 * of it, and the rest from the target. Whatever is wrong with the target is known before the first
 * device section is written.
 * When both go wrong, the failure is the target's.
 * Failures: those of park.h, resumed.h and splice.h. What was started is the caller's to end.
 */
int resuming_load(struct resuming *run, struct report_failure *failure);

/*
 * resuming_splice - start the parked target, wait for it, and write the spliced stream to where the
 * arguments say. Nothing is written when the target is not parked.
 */
int resuming_splice(struct resuming *run, struct report_failure *failure);

#endif
