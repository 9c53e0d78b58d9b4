/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The parked target: a VM like the source's, but without drives and network, whose firmware runs
 * resume.efi (or examples/pvh-firmware) until its vCPUs wait in the home. It is captured and ended;
 * what is kept of it is what a splice needs.
 *
 * From an image it loads the guest's memory, too. Then its capture is handed over while QEMU writes it,
 * for all of it to go through.
 *
 * It boots by itself, and its caller has other work to do meanwhile: a thread follows it from
 * park_start until it is captured, or has failed. That thread is the only one to touch the object in
 * between; park_wait ends it. It prints nothing, and creates no files.
 */
#ifndef RESUME_TOOLS_PARK_H
#define RESUME_TOOLS_PARK_H

#include "manifest.h"
#include "qemu_command.h"
#include "report.h"
#include "splice.h"

struct park;

struct park_options {
    const struct qemu_command *command;
    const char *kernel;     /* resume.efi, or the PVH firmware */
    const char *bios;       /* what is to start `kernel`; NULL = the source's firmware */
    const char *state_file; /* state blob and plan as the firmware gets them; NULL with an image */
    const char *plan_file;
    const char *image;               /* a snapshot image that it loads; NULL = none */
    const char *key_file;            /* with an image, see qemu_command.h; NULL = none */
    const char *identity_file;       /* likewise */
    const char *directory;           /* a private directory for logs and copies of flash images */
    const char *save_path;           /* keep the capture in this file as well; NULL = no */
    const struct manifest *manifest; /* the source's */
    const struct splice_home *home;
    int timeout_ms; /* from the start of the VM until it is parked */
};

/* How long it took, in nanoseconds from park_start; 0 = did not come so far. */
struct park_times {
    uint64_t parked_ns;
    uint64_t captured_ns;
};

/*
 * park_start - start it. From then on it boots, is waited for until it is parked, its machine is
 * compared with the source's, and it is captured.
 * Its capture is read while QEMU writes it: no file is needed.
 * @ret: to be closed with park_close, also after park_wait. What @options points to has to stay until
 * then.
 * Call it from the main thread.
 * Failures: EXIT_CODE_REFUSED, EXIT_CODE_ENVIRONMENT (it cannot be started at all).
 */
int park_start(struct park **ret, const struct park_options *options,
               struct report_failure *failure);

/* park_failed_fd - a descriptor that can be read once it has failed, and not when all is well. */
int park_failed_fd(const struct park *park);

/*
 * park_wait - wait until it is captured, and end it.
 * @out: to be closed with splice_parked_close.
 * May be called once.
 * Failures: EXIT_CODE_REFUSED (resume.efi refused; the machines differ), EXIT_CODE_TIMEOUT,
 * EXIT_CODE_ENVIRONMENT; park_show tells more.
 */
int park_wait(struct park *park, struct splice_parked *out, struct report_failure *failure);

/*
 * park_wait_capture - in place of park_wait, with an image: wait until it is parked, and its capture
 * begins. The VM goes on with that until park_captured.
 * @ret_fd: the capture, to be read once, front to back; the park's.
 * Failures: those of park_wait.
 */
int park_wait_capture(struct park *park, int *ret_fd, struct report_failure *failure);

/*
 * park_captured - after park_wait_capture: its capture has been read, or reading it has failed. Ends the
 * VM.
 * @result, @failure: what reading gave. When QEMU has ended too early, that is told in its place.
 * Returns @result, or the other failure.
 */
int park_captured(struct park *park, int result, struct report_failure *failure);

/* park_loaded - what the firmware has said of loading an image: "3221225472 bytes of memory from ...";
 * "" = nothing. Valid after either wait. */
const char *park_loaded(const struct park *park);

/* park_waited - has it been waited for? */
bool park_waited(const struct park *park);

/* park_times - valid after either wait; `captured_ns` with an image after park_captured. */
const struct park_times *park_times(const struct park *park);

/* park_show - the end of the VM's output on stderr, if it was waited for and has failed. */
void park_show(const struct park *park);

/* park_close - end it wherever it is, remove its files, free. NULL is fine. */
void park_close(struct park *park);

/*
 * park_remove_files - remove what it leaves in its directory.
 * Only system calls that a signal handler may make.
 */
void park_remove_files(int directory_fd);

#endif
