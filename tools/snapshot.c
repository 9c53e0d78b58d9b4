/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Taking a snapshot: the order of things, and putting the VM back. */
#define _GNU_SOURCE
#include "snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <resume/handoff.h>

#include "capture.h"
#include "deadline.h"
#include "facts.h"
#include "snapshot_directory.h"
#include "snapshot_state.h"

#define WHAT "snapshot"
#define CONNECT_MS 10000
#define CAPTURE_IDLE_MS 60000
#define QUIT_MS 30000
#define ATTEMPT_MAX 10
/* With less than this left on the disk, a failed write is put down to the lack of it. */
#define SPACE_LEFT_MIN (UINT64_C(1) << 20)

struct job {
    const struct snapshot_options *options;
    struct qmp *qmp;
    bool was_running;
    bool stopped;   /* by us */
    bool capturing; /* a migration is under way */
    struct capture_settings settings;
    struct snapshot_directory directory;
    struct manifest *manifest;
    struct snapshot_state state;
    char *stream_path;
    int stream_fd;
};

/* The signal that asks to give up, 0 for none. Written by the handler. */
static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    interrupted = number;
}

/* Fails when the user pressed Ctrl-C or the like; asked between steps. */
static int check_interrupted(struct report_failure *failure)
{
    if (interrupted == 0)
        return 0;
    return report_fail(failure, EXIT_CODE_ENVIRONMENT, WHAT, "this process",
                       "start it again when it may take its time",
                       "interrupted by signal %d (%s); nothing was kept", (int)interrupted,
                       strsignal(interrupted));
}

/* The part that must leave the VM as it is: is this a VM that can be snapshotted? */
static int check_vm(struct job *job, struct report_failure *failure)
{
    char state[32];
    uint32_t cpu_count;
    int result = facts_cpu_count(job->qmp, &cpu_count, failure);
    if (result < 0)
        return result;
    if (cpu_count > RESUME_HOME_VCPUS)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, job->options->qmp_path,
                           "start the VM with fewer vCPUs",
                           "the VM has %" PRIu32 " vCPUs; this version resumes up to %u", cpu_count,
                           RESUME_HOME_VCPUS);
    result = qmp_run_state(job->qmp, state, sizeof(state), failure);
    if (result < 0)
        return result;
    job->was_running = strcmp(state, "running") == 0;
    if (strcmp(state, "postmigrate") == 0)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, job->options->qmp_path,
                           "let it run first: send it the QMP command cont",
                           "the VM is stopped since an earlier capture, and QEMU captures it again "
                           "only after it has run");
    if (!job->was_running && strcmp(state, "paused") != 0)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, job->options->qmp_path,
                           "wait until it runs, or find out what happened to it",
                           "the VM is neither running nor paused: its run state is \"%s\"", state);
    return capture_settings_read(job->qmp, &job->settings, failure);
}

/* A full disk shows as a migration that failed for some reason: look whether that is it. */
static int explain_capture(struct job *job, int result, struct report_failure *failure)
{
    if (result == -EXIT_CODE_ENVIRONMENT &&
        snapshot_directory_space(&job->directory) < SPACE_LEFT_MIN)
        return report_fail_errno(failure, ENOSPC, WHAT, job->directory.partial_path);
    return result;
}

static int wait_capture(struct job *job, struct report_failure *failure)
{
    uint64_t last = 0;
    deadline_t deadline = deadline_in(CAPTURE_IDLE_MS);
    for (;;) {
        struct capture_status status;
        int result = check_interrupted(failure);
        if (result == 0)
            result = capture_poll(job->qmp, 100, &status, failure);
        if (result < 0)
            return result;
        progress_step_update(job->options->progress, status.ram_done, status.ram_total);
        if (status.done)
            return 0;
        if (status.transferred + status.ram_done != last)
            deadline = deadline_in(CAPTURE_IDLE_MS);
        else if (deadline_now() >= deadline)
            return report_fail(failure, EXIT_CODE_TIMEOUT, WHAT, job->stream_path,
                               "try again when the machine and its disk are less busy",
                               "QEMU made no progress with the capture for %d s",
                               CAPTURE_IDLE_MS / 1000);
        last = status.transferred + status.ram_done;
    }
}

/* Memory and device state into the stream file. */
static int capture(struct job *job, struct report_failure *failure)
{
    char size_text[32];
    progress_step_begin(job->options->progress, "capture memory and devices");
    if (ftruncate(job->stream_fd, 0) < 0 || lseek(job->stream_fd, 0, SEEK_SET) != 0)
        return report_fail_errno(failure, errno, WHAT, job->stream_path);
    int result = capture_begin(job->qmp, job->stream_fd, failure);
    if (result < 0)
        return result;
    job->capturing = true;
    result = wait_capture(job, failure);
    if (result < 0)
        return explain_capture(job, result, failure);
    job->capturing = false;
    struct stat status;
    if (fstat(job->stream_fd, &status) < 0)
        return report_fail_errno(failure, errno, WHAT, job->stream_path);
    progress_step_end(
        job->options->progress, "%s",
        progress_format_bytes((uint64_t)status.st_size, size_text, sizeof(size_text)));
    return 0;
}

/* One try: capture a stopped VM and make its state and plan. */
static int attempt(struct job *job, bool *ret_transient, struct report_failure *failure)
{
    struct progress *progress = job->options->progress;
    *ret_transient = false;
    memset(job->manifest, 0, sizeof(*job->manifest));
    int result = facts_read(job->qmp, job->manifest, failure);
    if (result == 0)
        result = capture(job, failure);
    if (result < 0)
        return result;
    progress_step_begin(progress, "decode the CPU state, find the home");
    result = snapshot_state_make(&job->state, job->stream_fd, job->stream_path, job->manifest,
                                 ret_transient, failure);
    if (result == 0)
        progress_step_end(progress, "%" PRIu32 " vCPU%s, %" PRIu32 " dormant; home at 0x%" PRIx64,
                          job->state.vcpu_count, job->state.vcpu_count == 1 ? "" : "s",
                          job->state.vcpu_count - job->state.active_count, job->state.home.va);
    return result;
}

static int stop_vm(struct job *job, struct report_failure *failure)
{
    progress_step_begin(job->options->progress, "stop the VM");
    int result = capture_stop(job->qmp, NULL, failure);
    if (result < 0)
        return result;
    job->stopped = true;
    progress_step_end(job->options->progress, job->was_running ? NULL : "it was stopped already");
    return 0;
}

static int continue_vm(struct job *job, struct report_failure *failure)
{
    int result = capture_continue(job->qmp, failure);
    if (result == 0)
        job->stopped = false;
    return result;
}

static int capture_until_fit(struct job *job, struct report_failure *failure)
{
    for (unsigned count = 1;; count++) {
        bool transient;
        /* Set first: a failed wait leaves it open whether the VM stopped. */
        job->stopped = job->was_running;
        int result = stop_vm(job, failure);
        if (result == 0)
            result = attempt(job, &transient, failure);
        else
            return result;
        if (result == 0 || !transient || !job->was_running || count == ATTEMPT_MAX)
            return result;
        progress_step_end(job->options->progress, "stopped at an unfit moment: once more");
        report_note("attempt %u of %u: %s; the VM runs on a moment and is stopped again", count,
                    ATTEMPT_MAX, failure->why);
        result = check_interrupted(failure);
        if (result == 0)
            result = continue_vm(job, failure);
        if (result < 0)
            return result;
    }
}

/* The files beside the stream, and everything onto the disk. */
static int write_files(struct job *job, struct report_failure *failure)
{
    struct progress *progress = job->options->progress;
    const char *directory = job->directory.partial_path;
    progress_step_begin(progress, "write the snapshot to the disk");
    if (fsync(job->stream_fd) < 0)
        return report_fail_errno(failure, errno, WHAT, job->stream_path);
    int result = snapshot_directory_write(&job->directory, MANIFEST_STATE, job->state.blob,
                                          job->state.blob_length, failure);
    if (result == 0)
        result = snapshot_directory_write(&job->directory, MANIFEST_PLAN, job->state.plan,
                                          job->state.plan_length, failure);
    if (result == 0)
        progress_step_begin(progress, "checksum the snapshot");
    if (result == 0)
        result = manifest_add_file(job->manifest, directory, MANIFEST_STREAM, progress, failure);
    if (result == 0)
        result = manifest_add_file(job->manifest, directory, MANIFEST_STATE, NULL, failure);
    if (result == 0)
        result = manifest_add_file(job->manifest, directory, MANIFEST_PLAN, NULL, failure);
    if (result == 0)
        result = check_interrupted(failure);
    if (result == 0)
        result = manifest_write(job->manifest, directory, failure);
    if (result == 0)
        result = snapshot_directory_commit(&job->directory, failure);
    if (result == 0)
        progress_step_end(progress, "%s", job->directory.final_path);
    return result;
}

/* The snapshot is safe: what happens to the VM now. */
static int end_vm(struct job *job, struct report_failure *failure)
{
    if (job->options->after != SNAPSHOT_AFTER_QUIT)
        return 0;
    progress_step_begin(job->options->progress, "end the VM");
    int result = qmp_execute(job->qmp, "quit", NULL, NULL, failure);
    /* QEMU may be gone before its reply is. */
    if (result == -EXIT_CODE_ENVIRONMENT)
        result = 0;
    while (result == 0) {
        json_t *event = NULL;
        struct report_failure gone = {0};
        /* Its end closes the connection: that is the event waited for. */
        int poll_result = qmp_wait_event(job->qmp, "SHUTDOWN", QUIT_MS, &event, &gone);
        json_decref(event);
        if (poll_result == -EXIT_CODE_TIMEOUT)
            result = report_fail(failure, EXIT_CODE_TIMEOUT, WHAT, job->options->qmp_path,
                                 "the snapshot is complete; end QEMU yourself",
                                 "QEMU was told to quit and goes on");
        if (poll_result < 0)
            break;
    }
    progress_step_end(job->options->progress, NULL);
    return result;
}

static int run_vm_on(struct job *job, struct report_failure *failure)
{
    bool run = job->options->after == SNAPSHOT_AFTER_CONTINUE ||
               (job->options->after == SNAPSHOT_AFTER_AS_FOUND && job->was_running);
    if (!run)
        return 0;
    capture_settings_restore(job->qmp, &job->settings);
    job->settings.known = false;
    progress_step_begin(job->options->progress, "let the VM run on");
    int result = continue_vm(job, failure);
    if (result == 0)
        progress_step_end(job->options->progress, NULL);
    return result;
}

static int open_stream(struct job *job, struct report_failure *failure)
{
    uint64_t space = snapshot_directory_space(&job->directory);
    struct manifest *facts = job->manifest;
    char need_text[32];
    char space_text[32];
    int result = facts_read(job->qmp, facts, failure);
    if (result < 0)
        return result;
    if (space < facts->memory_size)
        report_warning(WHAT, "%s are free on the disk, up to %s may be needed",
                       progress_format_bytes(space, space_text, sizeof(space_text)),
                       progress_format_bytes(facts->memory_size, need_text, sizeof(need_text)));
    if (asprintf(&job->stream_path, "%s/" MANIFEST_STREAM, job->directory.partial_path) < 0) {
        job->stream_path = NULL;
        return report_fail_memory(failure, WHAT);
    }
    job->stream_fd = open(job->stream_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (job->stream_fd < 0)
        return report_fail_errno(failure, errno, WHAT, job->stream_path);
    return 0;
}

static int take(struct job *job, struct report_failure *failure)
{
    int result = qmp_open_path(&job->qmp, job->options->qmp_path, CONNECT_MS, failure);
    if (result == 0)
        result = check_vm(job, failure);
    if (result == 0)
        result = snapshot_directory_begin(&job->directory, job->options->directory, failure);
    if (result == 0)
        result = open_stream(job, failure);
    if (result == 0)
        result = check_interrupted(failure);
    if (result == 0)
        result = capture_until_fit(job, failure);
    if (result == 0)
        result = run_vm_on(job, failure);
    if (result == 0)
        result = write_files(job, failure);
    if (result == 0)
        result = end_vm(job, failure);
    return result;
}

/* After a failure: the VM as it was found. Best effort; says so when it does not work. */
static void put_back(struct job *job)
{
    struct report_failure failure = {0};
    if (job->qmp == NULL || qmp_gone(job->qmp))
        return;
    if (job->capturing)
        capture_cancel(job->qmp);
    capture_settings_restore(job->qmp, &job->settings);
    if (!job->was_running || !job->stopped)
        return;
    char state[32];
    int result = qmp_run_state(job->qmp, state, sizeof(state), &failure);
    if (result == 0 && strcmp(state, "running") != 0)
        result = capture_continue(job->qmp, &failure);
    if (result < 0)
        report_warning(WHAT, "the VM could not be set running again: %s", failure.why);
}

int snapshot_take(const struct snapshot_options *options, struct report_failure *failure)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    const size_t signal_count = sizeof(signals) / sizeof(signals[0]);
    struct sigaction before[sizeof(signals) / sizeof(signals[0])];
    struct job job = {.options = options, .stream_fd = -1, .directory = {.fd = -1}};
    job.manifest = calloc(1, sizeof(*job.manifest));
    if (job.manifest == NULL)
        return report_fail_memory(failure, WHAT);
    const struct sigaction action = {.sa_handler = on_signal};
    interrupted = 0;
    for (size_t i = 0; i < signal_count; i++)
        sigaction(signals[i], &action, &before[i]);

    int result = take(&job, failure);
    if (result < 0) {
        progress_step_fail(options->progress);
        put_back(&job);
    }

    snapshot_directory_end(&job.directory);
    if (job.stream_fd >= 0)
        close(job.stream_fd);
    qmp_close(job.qmp);
    snapshot_state_free(&job.state);
    free(job.stream_path);
    free(job.manifest);
    for (size_t i = 0; i < signal_count; i++)
        sigaction(signals[i], &before[i], NULL);
    return result;
}
