/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Taking a snapshot of a running VM. */
#ifndef TOOLS_SNAPSHOT_H
#define TOOLS_SNAPSHOT_H

#include "progress.h"
#include "qmp.h"
#include "report.h"

/* What becomes of the VM after a snapshot. */
enum snapshot_after {
    SNAPSHOT_AFTER_AS_FOUND = 0, /* it runs on if it ran, stays stopped if it was */
    SNAPSHOT_AFTER_CONTINUE = 1,
    SNAPSHOT_AFTER_QUIT = 2
};

struct snapshot_options {
    const char *qmp_path;  /* unix socket */
    const char *directory; /* the snapshot directory to make; must not exist */
    enum snapshot_after after;
    struct progress *progress; /* optional */
};

/*
 * snapshot_take - take a snapshot.
 * It is built as DIRECTORY.partial and renamed when complete and on the disk. On failure the VM is
 * put back as it was found, and DIRECTORY.partial is removed.
 */
int snapshot_take(const struct snapshot_options *options, struct report_failure *failure);

#endif
