/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "resumed.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capture.h"
#include "deadline.h"
#include "facts.h"
#include "gdb.h"
#include "resumed_internal.h"

#define QMP_OPEN_MS 30000
#define GONE_MS 5000
/* QEMU ends on SIGTERM within milliseconds, unless it hangs. */
#define STOP_MS 1000
#define PIPE_SIZE (1 << 20)
#define CAPTURE_IDLE_MS 60000
static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/*
 * What a VM prints that is to be detached: a file in memory, so that a failure can be explained and
 * the user's own output does not stay open. resumed_let_go ends its growth.
 */
static int open_log(struct resumed *resumed, char *path, size_t capacity,
                    struct report_failure *failure)
{
    resumed->log_fd = memfd_create("qemu-output", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (resumed->log_fd < 0)
        return report_fail_errno(failure, errno, "start", RESUMED_NAME);
    snprintf(path, capacity, "/proc/self/fd/%d", resumed->log_fd);
    return 0;
}

static int make_pair(int fds[2], struct report_failure *failure)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0)
        return 0;
    fds[0] = -1;
    fds[1] = -1;
    return report_fail_errno(failure, errno, "start", RESUMED_NAME);
}

/* QEMU's ends of the connections, closed here once it runs. */
struct child_ends {
    int stream;
    int qmp;
    int debug;
    int gdb;
};

static int connect_all(struct resumed *resumed, const struct resumed_options *options,
                       struct child_ends *ends, int *qmp_fd, int *debug_fd,
                       struct report_failure *failure)
{
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) != 0)
        return report_fail_errno(failure, errno, "start", RESUMED_NAME);
    ends->stream = pair[0];
    resumed->pipe_fd = pair[1];
    /* A smaller pipe would do; without blocking, a reader that hangs can be told. */
    (void)fcntl(pair[1], F_SETPIPE_SZ, PIPE_SIZE);
    if (fcntl(pair[1], F_SETFL, O_NONBLOCK) != 0)
        return report_fail_errno(failure, errno, "start", RESUMED_NAME);
    int result = make_pair(pair, failure);
    *qmp_fd = pair[0];
    ends->qmp = pair[1];
    if (result == 0 && !qemu_command_facts(options->command)->has_debug_console) {
        result = make_pair(pair, failure);
        *debug_fd = pair[0];
        ends->debug = pair[1];
    }
    if (result == 0 && options->gdbstub) {
        result = make_pair(pair, failure);
        resumed->gdb_fd = pair[0];
        ends->gdb = pair[1];
    }
    return result;
}

static int start_process(struct resumed *resumed, const struct resumed_options *options,
                         const struct child_ends *ends, struct report_failure *failure)
{
    const struct qemu_resume_options added = {
        .incoming_fd = ends->stream,
        .qmp_fd = ends->qmp,
        .debug_fd = ends->debug,
        .gdb_fd = ends->gdb,
        /* The snapshot's run state could say otherwise if it was taken of a running VM. */
        .start_paused = true,
    };
    struct qemu_argv argv = {NULL, 0};
    char log_path[64] = "";
    int result = options->detach ? open_log(resumed, log_path, sizeof(log_path), failure) : 0;
    if (result < 0)
        return result;
    result = qemu_command_resume(options->command, &added, &argv, failure);
    if (result < 0)
        return result;
    int fds[4];
    size_t count = 0;
    const int all[] = {ends->stream, ends->qmp, ends->debug, ends->gdb};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (all[i] >= 0)
            fds[count++] = all[i];
    }
    const struct process_options process = {
        .name = RESUMED_NAME,
        .argv = (const char *const *)argv.argv,
        .fds = fds,
        .fd_count = count,
        .log_path = options->detach ? log_path : NULL,
        .null_stdin = options->detach,
        .die_with_parent = !options->detach,
        .own_group = options->detach,
    };
    result = process_start(&resumed->process, &process, failure);
    qemu_argv_free(&argv);
    return result;
}

int resumed_explain(struct resumed *resumed, const char *what, int result,
                    struct report_failure *failure)
{
    int code;
    struct report_failure ignored = {0};
    if (result == -EXIT_CODE_ENVIRONMENT && resumed->process.pid != 0 &&
        process_wait(&resumed->process, GONE_MS, &code, &ignored) == 0) {
        result = process_fail(&resumed->process, what, failure);
        snprintf(failure->advice, sizeof(failure->advice), "%s",
                 "see above what it printed; the snapshot is as it was");
    }
    return result;
}

/* Events, so that the end of loading need not be guessed. */
static int want_events(struct resumed *resumed, struct report_failure *failure)
{
    json_t *arguments =
        json_pack("{s:[{s:s, s:b}]}", "capabilities", "capability", "events", "state", 1);
    return qmp_execute(resumed->qmp, "migrate-set-capabilities", arguments, NULL, failure);
}

int resumed_start(struct resumed *out, const struct resumed_options *options,
                  struct report_failure *failure)
{
    struct child_ends ends = {-1, -1, -1, -1};
    int qmp_fd = -1;
    int debug_fd = -1;
    memset(out, 0, sizeof(*out));
    out->gdb_fd = -1;
    out->log_fd = -1;
    out->pipe_fd = -1;
    out->bell.fd = -1;
    out->bell.log_fd = -1;
    out->give_up_fd = options->give_up_fd;
    out->timeout_ms = options->timeout_ms;
    int result = connect_all(out, options, &ends, &qmp_fd, &debug_fd, failure);
    if (result == 0)
        result = start_process(out, options, &ends, failure);
    if (result == 0 && options->started != NULL)
        options->started(out->process.pid);
    close_fd(&ends.stream);
    close_fd(&ends.qmp);
    close_fd(&ends.debug);
    close_fd(&ends.gdb);
    if (result == 0 && debug_fd >= 0) {
        result = doorbell_open(&out->bell, debug_fd, NULL, failure);
        debug_fd = -1;
    }
    if (result == 0) {
        result = qmp_open_fd(&out->qmp, qmp_fd, RESUMED_NAME, QMP_OPEN_MS, failure);
        qmp_fd = -1;
        if (result == 0 && out->bell.fd >= 0)
            qmp_keep_empty(out->qmp, out->bell.fd, doorbell_take, &out->bell);
        if (result == 0)
            result = want_events(out, failure);
        result = resumed_explain(out, "start", result, failure);
    }
    close_fd(&qmp_fd);
    close_fd(&debug_fd);
    if (result < 0)
        resumed_end(out);
    return result;
}

int resumed_check(struct resumed *resumed, const struct manifest *source,
                  struct report_failure *failure)
{
    struct manifest *target = malloc(sizeof(*target));
    if (target == NULL)
        return report_fail_memory(failure, "compare machines");
    *target = *source;
    int result = facts_machine_type(resumed->qmp, target->machine_type,
                                    sizeof(target->machine_type), failure);
    if (result == 0)
        result = manifest_compare_machine(source, target, failure);
    free(target);
    return resumed_explain(resumed, "start", result, failure);
}

/* Waits until the pipe takes more. 1 = it does, 0 = too late, negated errno otherwise. */
static int wait_writable(const struct resumed *resumed, deadline_t deadline)
{
    struct pollfd entries[] = {{.fd = resumed->pipe_fd, .events = POLLOUT},
                               {.fd = resumed->give_up_fd, .events = POLLIN}};
    int ready = deadline_poll_all(deadline, entries, 2);
    if (ready > 0 && entries[1].revents != 0)
        return -ECANCELED;
    return ready > 0 ? 1 : ready;
}

int resumed_write(void *ctx, const void *data, size_t length)
{
    struct resumed *resumed = ctx;
    const uint8_t *from = data;
    deadline_t deadline = 0;
    /* Also of a reader that is never waited for. */
    if (resumed->give_up_fd >= 0 && deadline_poll(0, resumed->give_up_fd, POLLIN) != 0) {
        resumed->write_error = ECANCELED;
        return -1;
    }
    while (length > 0) {
        ssize_t done = write(resumed->pipe_fd, from, length);
        if (done > 0) {
            from += done;
            length -= (size_t)done;
            deadline = 0;
            continue;
        }
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && errno != EAGAIN) {
            resumed->write_error = errno;
            return -1;
        }
        if (deadline == 0)
            deadline = deadline_in(resumed->timeout_ms);
        int ready = wait_writable(resumed, deadline);
        if (ready <= 0) {
            resumed->write_error = ready == 0 ? ETIMEDOUT : -ready;
            return -1;
        }
    }
    return 0;
}

int resumed_write_failed(struct resumed *resumed, struct report_failure *failure)
{
    if (resumed->write_error == ETIMEDOUT)
        return report_fail(failure, EXIT_CODE_TIMEOUT, "load the stream", RESUMED_NAME,
                           "allow more time with --timeout", "it read nothing for %d s",
                           resumed->timeout_ms / 1000);
    int result = report_fail_errno(failure, resumed->write_error != 0 ? resumed->write_error : EIO,
                                   "load the stream", RESUMED_NAME);
    return resumed_explain(resumed, "load the stream", result, failure);
}

int resumed_loaded(struct resumed *resumed, struct report_failure *failure)
{
    static const char what[] = "load the stream";
    deadline_t deadline = deadline_in(resumed->timeout_ms);
    close_fd(&resumed->pipe_fd);
    for (;;) {
        json_t *event;
        int left = deadline_now() < deadline ? 1000 : 0;
        int result = qmp_poll_event(resumed->qmp, "MIGRATION", left, &event, failure);
        if (result < 0)
            return resumed_explain(resumed, what, result, failure);
        const char *status =
            json_string_value(json_object_get(json_object_get(event, "data"), "status"));
        bool done = status != NULL && strcmp(status, "completed") == 0;
        bool failed = status != NULL && strcmp(status, "failed") == 0;
        json_decref(event);
        if (done)
            return 0;
        if (failed) {
            result = report_fail(failure, EXIT_CODE_ENVIRONMENT, what, RESUMED_NAME,
                                 "see what it printed above", "it could not load the stream");
            return resumed_explain(resumed, what, result, failure);
        }
        if (left == 0)
            return report_fail(
                failure, EXIT_CODE_TIMEOUT, what, RESUMED_NAME, "allow more time with --timeout",
                "it did not say within %d s that the stream is loaded", resumed->timeout_ms / 1000);
    }
}

int resumed_capture(struct resumed *resumed, int fd, struct progress *progress,
                    struct report_failure *failure)
{
    int result = capture_begin(resumed->qmp, fd, failure);
    if (result == 0)
        result = capture_wait(resumed->qmp, CAPTURE_IDLE_MS, progress, failure);
    return resumed_explain(resumed, "capture the resumed VM", result, failure);
}

int resumed_continue(struct resumed *resumed, struct report_failure *failure)
{
    /* Through the monitor: after a capture it is that which gives the VM its drives back. */
    int result = capture_continue(resumed->qmp, failure);
    if (result == 0) {
        gdb_close(resumed->gdb);
        resumed->gdb = NULL;
    }
    return resumed_explain(resumed, "continue the guest", result, failure);
}

void resumed_let_go(struct resumed *resumed)
{
    gdb_close(resumed->gdb);
    resumed->gdb = NULL;
    close_fd(&resumed->gdb_fd);
    qmp_close(resumed->qmp);
    resumed->qmp = NULL;
    doorbell_close(&resumed->bell);
    close_fd(&resumed->pipe_fd);
    /* From here on nobody reads it: writing to it fails, which QEMU does not mind. */
    if (resumed->log_fd >= 0)
        (void)fcntl(resumed->log_fd, F_ADD_SEALS, F_SEAL_GROW);
    close_fd(&resumed->log_fd);
}

void resumed_end(struct resumed *resumed)
{
    if (resumed->process.pid == 0 && resumed->qmp == NULL && resumed->timeout_ms == 0)
        return; /* zeroed: its descriptors are none */
    /* Ended first: closing gdb's connection would let the guest run. */
    process_stop(&resumed->process, STOP_MS);
    /* It may have left an unfinished line on the terminal that it shares with this process: on
     * SIGTERM it ends with a line of its own, but not when it was killed. */
    if (resumed->log_fd < 0 && resumed->process.ended && WIFSIGNALED(resumed->process.status))
        fputc('\n', stderr);
    resumed_let_go(resumed);
}
