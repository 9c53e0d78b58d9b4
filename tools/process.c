/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "deadline.h"

#define LOG_TAIL_LINES 30u

/* How the child tells that it never became the program. */
struct start_error {
    int error; /* errno */
    char step; /* 'd' descriptors, 'e' execution, 'p' the parent is gone already */
};

static void child_fail(int error_fd, int error, char step)
{
    struct start_error message;
    memset(&message, 0, sizeof(message));
    message.error = error;
    message.step = step;
    ssize_t written = write(error_fd, &message, sizeof(message));
    (void)written; /* nobody is left to be told */
    _exit(127);
}

/* In the child: only what is safe after fork. */
static void run_child(const struct process_options *options, int log_fd, int null_fd, int error_fd,
                      pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (options->die_with_parent) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        /* The parent may have ended before this took effect. */
        if (getppid() != parent)
            child_fail(error_fd, 0, 'p');
    }
    if (options->own_group)
        setsid();
    if (null_fd >= 0 && dup2(null_fd, STDIN_FILENO) < 0)
        child_fail(error_fd, errno, 'd');
    if (log_fd >= 0 && (dup2(log_fd, STDOUT_FILENO) < 0 || dup2(log_fd, STDERR_FILENO) < 0))
        child_fail(error_fd, errno, 'd');
    if (options->close_others)
        (void)syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
    for (size_t i = 0; i < options->fd_count; i++) {
        int flags = fcntl(options->fds[i], F_GETFD);
        if (flags < 0 || fcntl(options->fds[i], F_SETFD, flags & ~FD_CLOEXEC) < 0)
            child_fail(error_fd, errno, 'd');
    }
    /* execvp does not write to the strings; its prototype is older than const. */
    execvp(options->argv[0], (char *const *)(uintptr_t)options->argv);
    child_fail(error_fd, errno, 'e');
}

static int fail_start(const struct process_options *options, const struct start_error *message,
                      struct report_failure *failure)
{
    if (message->step == 'e')
        return report_fail(failure, EXIT_CODE_ENVIRONMENT, "start", options->argv[0],
                           message->error == ENOENT ? "is it installed, and in PATH?"
                                                    : "name a program that this user may execute",
                           "cannot execute it as %s: %s", options->name, strerror(message->error));
    if (message->step == 'p')
        return report_fail(failure, EXIT_CODE_ENVIRONMENT, "start", options->name, "try again",
                           "this process ended meanwhile");
    return report_fail(failure, EXIT_CODE_ENVIRONMENT, "start", options->name,
                       "raise the limit of open files (ulimit -n), and try again",
                       "a file descriptor cannot be handed over: %s", strerror(message->error));
}

/* Waits for the child's exec: EOF on the pipe means that it happened. */
static bool read_start_error(int fd, struct start_error *message)
{
    ssize_t got;
    do
        got = read(fd, message, sizeof(*message));
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)sizeof(*message);
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

static int spawn(struct process *process, const struct process_options *options, int log_fd,
                 int null_fd, struct report_failure *failure)
{
    int error_pipe[2];
    if (pipe2(error_pipe, O_CLOEXEC) < 0)
        return report_fail_errno(failure, errno, "start", options->name);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        run_child(options, log_fd, null_fd, error_pipe[1], parent);
    int error = errno;
    close(error_pipe[1]);
    if (pid < 0) {
        close(error_pipe[0]);
        return report_fail_errno(failure, error, "start", options->name);
    }
    struct start_error message;
    bool failed = read_start_error(error_pipe[0], &message);
    close(error_pipe[0]);
    /* close-on-exec is implied */
    int pidfd = failed ? -1 : (int)syscall(SYS_pidfd_open, pid, 0U);
    if (pidfd < 0) {
        error = errno;
        if (!failed)
            kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        return failed ? fail_start(options, &message, failure)
                      : report_fail_errno(failure, error, "start", options->name);
    }
    process->pid = pid;
    process->pidfd = pidfd;
    process->ended = false;
    process->status = 0;
    return 0;
}

int process_start(struct process *process, const struct process_options *options,
                  struct report_failure *failure)
{
    struct process started;
    memset(&started, 0, sizeof(started));
    started.quiet = options->quiet;
    snprintf(started.name, sizeof(started.name), "%s", options->name);
    snprintf(started.log_path, sizeof(started.log_path), "%s",
             options->log_path != NULL ? options->log_path : "");
    int log_fd = -1;
    int null_fd = -1;
    if (options->log_path != NULL) {
        log_fd = open(options->log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
        if (log_fd < 0)
            return report_fail_errno(failure, errno, "start", options->log_path);
    }
    if (options->null_stdin) {
        null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (null_fd < 0) {
            int error = errno;
            close_if_open(log_fd);
            return report_fail_errno(failure, error, "start", "/dev/null");
        }
    }
    int result = spawn(&started, options, log_fd, null_fd, failure);
    close_if_open(log_fd);
    close_if_open(null_fd);
    if (result == 0)
        *process = started;
    return result;
}

bool process_poll(struct process *process)
{
    if (process->pid == 0 || process->ended)
        return process->ended;
    int status;
    pid_t pid;
    do
        pid = waitpid(process->pid, &status, WNOHANG);
    while (pid < 0 && errno == EINTR);
    if (pid != process->pid)
        return false;
    process->ended = true;
    process->status = status;
    return true;
}

static int exit_status(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int process_wait(struct process *process, int timeout_ms, int *ret_code,
                 struct report_failure *failure)
{
    if (!process->ended) {
        int ready = deadline_poll(deadline_in(timeout_ms), process->pidfd, POLLIN);
        if (ready < 0)
            return report_fail_errno(failure, -ready, "wait", process->name);
        if (ready == 0)
            return report_fail(failure, EXIT_CODE_TIMEOUT, "wait", process->name,
                               "try again when the machine is less busy",
                               "it did not end within %d ms", timeout_ms);
        if (!process_poll(process))
            return report_fail(failure, EXIT_CODE_ENVIRONMENT, "wait", process->name,
                               "let no other part of this process wait for it",
                               "its exit status cannot be had");
    }
    if (ret_code != NULL)
        *ret_code = exit_status(process->status);
    return 0;
}

void process_kill(const struct process *process)
{
    /* By its descriptor: its number may be another's once somebody has waited for it. */
    if (process->pid != 0 && process->pidfd >= 0)
        (void)syscall(SYS_pidfd_send_signal, process->pidfd, SIGKILL, NULL, 0U);
}

void process_stop(struct process *process, int grace_ms)
{
    if (process->pid == 0)
        return;
    if (!process_poll(process)) {
        kill(process->pid, SIGTERM);
        if (deadline_poll(deadline_in(grace_ms), process->pidfd, POLLIN) != 1)
            kill(process->pid, SIGKILL);
        int status;
        pid_t pid;
        do
            pid = waitpid(process->pid, &status, 0);
        while (pid < 0 && errno == EINTR);
        if (pid == process->pid)
            process->status = status;
        process->ended = true;
    }
    if (process->pidfd >= 0)
        close(process->pidfd);
    process->pidfd = -1;
    process->pid = 0;
}

void process_release(struct process *process)
{
    if (process->pid != 0 && process->pidfd >= 0)
        close(process->pidfd);
    memset(process, 0, sizeof(*process));
}

char *process_explain(const struct process *process, char *buffer, size_t capacity)
{
    if (!process->ended)
        snprintf(buffer, capacity, process->pid != 0 ? "is running" : "was not started");
    else if (WIFSIGNALED(process->status))
        snprintf(buffer, capacity, "was killed by signal %d (%s)", WTERMSIG(process->status),
                 strsignal(WTERMSIG(process->status)));
    else
        snprintf(buffer, capacity, "ended with status %d", WEXITSTATUS(process->status));
    return buffer;
}

void process_show_log(const struct process *process)
{
    if (process->log_path[0] != '\0')
        report_log_tail("last lines of its log", process->log_path, LOG_TAIL_LINES);
}

int process_fail(const struct process *process, const char *what, struct report_failure *failure)
{
    char how[96];
    process_explain(process, how, sizeof(how));
    if (!process->quiet)
        process_show_log(process);
    return report_fail(failure, EXIT_CODE_ENVIRONMENT, what, process->name,
                       process->log_path[0] != '\0' ? "its log is shown above"
                                                    : "see what it printed above",
                       "QEMU %s", how);
}
