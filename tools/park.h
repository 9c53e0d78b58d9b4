/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The parked target: a VM like the source's, but without drives and network, whose firmware runs
 * resume.efi (or examples/pvh-firmware) until its vCPUs wait in the home. It is captured and ended; what is kept of it is what
 * a splice needs.
 */
#ifndef RESUME_TOOLS_PARK_H
#define RESUME_TOOLS_PARK_H

#include "manifest.h"
#include "progress.h"
#include "qemu_command.h"
#include "report.h"
#include "splice.h"

struct park_options {
    const struct qemu_command *command;
    const char *kernel;     /* resume.efi, or the PVH firmware */
    const char *bios;       /* what is to start `kernel`; NULL = the source's firmware */
    const char *state_file; /* state blob and plan as the firmware gets them */
    const char *plan_file;
    const char *directory;           /* a private directory for logs and copies of flash images */
    const char *save_path;           /* keep the capture in this file as well; NULL = no */
    const struct manifest *manifest; /* the source's */
    const struct splice_home *home;
    int timeout_ms;            /* from the start of the VM until it is parked */
    struct progress *progress; /* optional */
};

/*
 * park_target - start it, wait until it is parked, compare its machine with the source's, capture
 * it, end it.
 * Its capture is read while QEMU writes it: no file is needed.
 * @out: to be closed with splice_parked_close.
 * Failures: EXIT_CODE_REFUSED (resume.efi refused; the machines differ), EXIT_CODE_TIMEOUT,
 * EXIT_CODE_ENVIRONMENT; each with the end of the VM's output shown on stderr.
 */
int park_target(const struct park_options *options, struct splice_parked *out,
                struct report_failure *failure);

/*
 * park_remove_files - remove what park_target leaves in its directory.
 * Only system calls that a signal handler may make.
 */
void park_remove_files(int directory_fd);

#endif
