/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "doorbell.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "deadline.h"

#define PREFIX "libresume: "
/* How long an ended VM's exit status may take to arrive after its console is closed. */
#define END_MS 5000

int doorbell_open(struct doorbell *bell, int fd, const char *log_path,
                  struct report_failure *failure)
{
    memset(bell, 0, sizeof(*bell));
    bell->fd = fd;
    bell->log_fd = -1;
    if (log_path == NULL)
        return 0;
    bell->log_fd = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (bell->log_fd >= 0)
        return 0;
    int result = report_fail_errno(failure, errno, "open the log", log_path);
    doorbell_close(bell);
    return result;
}

void doorbell_close(struct doorbell *bell)
{
    if (bell->fd >= 0)
        close(bell->fd);
    if (bell->log_fd >= 0)
        close(bell->log_fd);
    bell->fd = -1;
    bell->log_fd = -1;
}

/* Takes what is there now, as far as there is room; call it when the descriptor is readable. */
static int receive(struct doorbell *bell, struct report_failure *failure)
{
    if (bell->start == bell->end)
        bell->start = bell->end = 0;
    if (bell->end == sizeof(bell->pending))
        return 0;
    char *to = bell->pending + bell->end;
    ssize_t got = recv(bell->fd, to, sizeof(bell->pending) - bell->end, MSG_DONTWAIT);
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    /* A VM that is killed resets the connection: to us that is its end. */
    if (got < 0 && errno != ECONNRESET)
        return report_fail_errno(failure, errno, "read", "the debug console");
    if (got <= 0) {
        bell->eof = true;
        return 0;
    }
    bell->end += (size_t)got;
    if (bell->log_fd >= 0 && write(bell->log_fd, to, (size_t)got) < 0) {
        /* The log is a help for failures, not worth one. */
        close(bell->log_fd);
        bell->log_fd = -1;
    }
    return 0;
}

/* The next complete line for us of what was received; false when there is none left. */
static bool next_line(struct doorbell *bell)
{
    while (bell->start < bell->end) {
        char c = bell->pending[bell->start++];
        if (c == '\r')
            continue;
        if (c != '\n') {
            /* What is too long is cut. */
            if (bell->length + 1 < sizeof(bell->line))
                bell->line[bell->length++] = c;
            continue;
        }
        bell->line[bell->length] = '\0';
        bell->length = 0;
        const char *found = strstr(bell->line, PREFIX);
        if (found != NULL) {
            memmove(bell->last, found + strlen(PREFIX), strlen(found + strlen(PREFIX)) + 1);
            return true;
        }
    }
    return false;
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool ends_with(const char *text, const char *suffix)
{
    size_t length = strlen(text);
    size_t wanted = strlen(suffix);
    return length >= wanted && strcmp(text + length - wanted, suffix) == 0;
}

static int ended(struct doorbell *bell, struct process *vm, const char *what,
                 struct report_failure *failure)
{
    int code;
    struct report_failure ignored = {0};
    if (process_wait(vm, END_MS, &code, &ignored) == 0)
        return process_fail(vm, what, failure);
    return report_fail(failure, EXIT_CODE_ENVIRONMENT, what, vm->name, "see what it printed above",
                       "its debug console was closed%s%s", bell->last[0] != '\0' ? " after: " : "",
                       bell->last);
}

/* Looks at all lines that are there. 1 = the wanted one came, 0 = not yet. */
static int look(struct doorbell *bell, const struct process *vm, const char *wanted,
                const char *what, struct report_failure *failure)
{
    while (next_line(bell)) {
        if (bell->line_fn != NULL)
            bell->line_fn(bell->line_ctx, bell->last);
        if (strcmp(bell->last, wanted) == 0)
            return 1;
        if (starts_with(bell->last, "refused"))
            return report_fail(failure, EXIT_CODE_REFUSED, what, vm->name,
                               "the snapshot is as it was; give the command line of the source",
                               "the firmware says: %s", bell->last);
        if (starts_with(bell->last, "fault"))
            return report_fail(failure, EXIT_CODE_ENVIRONMENT, what, vm->name,
                               "the guest was not entered; the snapshot is as it was",
                               "the trampoline met a %s", bell->last);
        if (starts_with(bell->last, "differs"))
            return report_fail(failure, EXIT_CODE_DIFFERENT, what, vm->name,
                               "the guest was not entered; the snapshot is as it was",
                               "the trampoline says: %s", bell->last);
        if (starts_with(bell->last, "processor") && ends_with(bell->last, "does not start"))
            return report_fail(failure, EXIT_CODE_ENVIRONMENT, what, vm->name,
                               "try again, with a longer --timeout when the machine is busy; "
                               "give the source's -smp and -cpu",
                               "%s (the number is its APIC ID)", bell->last);
    }
    return 0;
}

/* Waits until one of them can be read. 1 = the console, 2 = another, 0 = too late. */
static int wait_readable(const struct doorbell *bell, const int *also, size_t also_count,
                         deadline_t deadline)
{
    struct pollfd entries[1 + DOORBELL_ALSO_MAX] = {{.fd = bell->fd, .events = POLLIN}};
    nfds_t used = 1;
    for (size_t i = 0; i < also_count && i < DOORBELL_ALSO_MAX; i++)
        entries[used++] = (struct pollfd){.fd = also[i], .events = POLLIN};
    for (;;) {
        uint64_t now = deadline_now();
        uint64_t left = now < deadline ? (deadline - now + 999999) / 1000000 : 0;
        int count = poll(entries, used, left > INT_MAX ? INT_MAX : (int)left);
        if (count < 0 && errno != EINTR)
            return -errno;
        if (count > 0)
            return entries[0].revents != 0 ? 1 : 2;
        if (count == 0 && left == 0)
            return 0;
    }
}

int doorbell_wait(struct doorbell *bell, struct process *vm, const char *wanted, const char *what,
                  uint64_t since, int timeout_ms, const int *also, size_t also_count,
                  struct report_failure *failure)
{
    deadline_t deadline = since + (uint64_t)timeout_ms * UINT64_C(1000000);
    for (;;) {
        int result = look(bell, vm, wanted, what, failure);
        if (result != 0)
            return result < 0 ? result : 0;
        if (bell->eof)
            return ended(bell, vm, what, failure);
        /* The console closes when the VM ends, so this sees both. */
        int ready = wait_readable(bell, also, also_count, deadline);
        if (ready < 0)
            return report_fail_errno(failure, -ready, what, vm->name);
        if (ready == 2)
            return 1;
        if (ready == 0)
            return report_fail(
                failure, EXIT_CODE_TIMEOUT, what, vm->name, "allow more time with --timeout",
                "\"" PREFIX "%s\" did not come on the debug console within %d s%s%s%s", wanted,
                timeout_ms / 1000, bell->last[0] != '\0' ? "; the last line was \"" : "",
                bell->last, bell->last[0] != '\0' ? "\"" : "; nothing came at all");
        result = receive(bell, failure);
        if (result < 0)
            return result;
    }
}

bool doorbell_take(void *ctx)
{
    struct doorbell *bell = ctx;
    struct report_failure ignored = {0};
    /* A failure shows again to whoever waits. */
    return receive(bell, &ignored) == 0 && !bell->eof && bell->end < sizeof(bell->pending);
}
