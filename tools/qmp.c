/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "qmp.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "deadline.h"

#define READ_CHUNK 65536u
/* A reply may be preceded by this many other messages before the server is thought mad. */
#define MESSAGES_PER_REPLY_MAX 100000u

struct qmp {
    int fd;
    int timeout_ms;
    char name[128];
    struct qmp_version version;
    char error_class[64];
    bool gone; /* the other side closed the connection */
    uint64_t next_id;
    char *buffer; /* received, not yet taken apart */
    size_t length;
    size_t capacity;
    size_t scanned; /* so many bytes of it hold no newline */
    json_t *events; /* array, oldest first */
    int other_fd;   /* to be kept empty, -1 = none */
    qmp_take_fn other_take;
    void *other_ctx;
};

static int fail_gone(struct qmp *qmp, const char *waited_for, struct report_failure *failure)
{
    qmp->gone = true;
    return report_fail(failure, EXIT_CODE_ENVIRONMENT, "QMP", qmp->name,
                       "find out why QEMU ended, and try again",
                       "QEMU closed the connection while waiting for %s", waited_for);
}

static int fail_nonsense(const struct qmp *qmp, const char *why, struct report_failure *failure)
{
    return report_fail(failure, EXIT_CODE_ENVIRONMENT, "QMP", qmp->name,
                       "is this the socket of a -qmp option?", "not QMP: %s", why);
}

static int fail_timeout(const struct qmp *qmp, const char *waited_for,
                        struct report_failure *failure)
{
    return report_fail(failure, EXIT_CODE_TIMEOUT, "QMP", qmp->name,
                       "is another client connected, or QEMU hung?",
                       "no answer in time while waiting for %s", waited_for);
}

/* Reads what there is into the buffer; the descriptor is known to be readable. */
static int receive(struct qmp *qmp, const char *waited_for, struct report_failure *failure)
{
    if (qmp->length >= QMP_MESSAGE_MAX)
        return fail_nonsense(qmp, "a message longer than 16 MiB", failure);
    if (qmp->capacity - qmp->length < READ_CHUNK) {
        size_t capacity = qmp->capacity == 0 ? READ_CHUNK : qmp->capacity * 2;
        char *buffer = realloc(qmp->buffer, capacity);
        if (buffer == NULL)
            return report_fail_memory(failure, "QMP");
        qmp->buffer = buffer;
        qmp->capacity = capacity;
    }
    ssize_t got =
        recv(qmp->fd, qmp->buffer + qmp->length, qmp->capacity - qmp->length, MSG_DONTWAIT);
    if (got > 0) {
        qmp->length += (size_t)got;
        return 0;
    }
    if (got == 0 || errno == ECONNRESET)
        return fail_gone(qmp, waited_for, failure);
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    return report_fail_errno(failure, errno, "QMP", qmp->name);
}

/* Takes the next complete line out of the buffer. *@ret_message is NULL when there is none yet. */
static int take_message(struct qmp *qmp, json_t **ret_message, struct report_failure *failure)
{
    *ret_message = NULL;
    for (;;) {
        char *newline = qmp->length > qmp->scanned
                            ? memchr(qmp->buffer + qmp->scanned, '\n', qmp->length - qmp->scanned)
                            : NULL;
        if (newline == NULL) {
            qmp->scanned = qmp->length;
            return 0;
        }
        size_t line = (size_t)(newline - qmp->buffer);
        json_error_t error;
        bool blank = line == 0 || (line == 1 && qmp->buffer[0] == '\r');
        json_t *message = NULL;
        if (!blank)
            message = json_loadb(qmp->buffer, line, 0, &error);
        qmp->length -= line + 1;
        memmove(qmp->buffer, newline + 1, qmp->length);
        qmp->scanned = 0;
        if (blank)
            continue;
        if (message == NULL)
            return fail_nonsense(qmp, error.text, failure);
        if (!json_is_object(message)) {
            json_decref(message);
            return fail_nonsense(qmp, "a message that is no object", failure);
        }
        *ret_message = message;
        return 0;
    }
}

/* Waits for the next message. @may_time_out: nothing in time is then *@ret_message == NULL. */
static int next_message(struct qmp *qmp, deadline_t deadline, const char *waited_for,
                        bool may_time_out, json_t **ret_message, struct report_failure *failure)
{
    for (;;) {
        int result = take_message(qmp, ret_message, failure);
        if (result < 0 || *ret_message != NULL)
            return result;
        int ready = deadline_poll_either(deadline, qmp->fd, qmp->other_fd);
        if (ready < 0)
            return report_fail_errno(failure, -ready, "QMP", qmp->name);
        if (ready == 2) {
            if (!qmp->other_take(qmp->other_ctx))
                qmp->other_fd = -1;
            if (deadline_now() < deadline)
                continue;
            ready = 0;
        }
        if (ready == 0)
            return may_time_out ? 0 : fail_timeout(qmp, waited_for, failure);
        result = receive(qmp, waited_for, failure);
        if (result < 0)
            return result;
    }
}

/* Queues an event; takes the reference. */
static int queue_event(struct qmp *qmp, json_t *event, struct report_failure *failure)
{
    if (json_array_size(qmp->events) >= QMP_EVENT_MAX)
        json_array_remove(qmp->events, 0);
    if (json_array_append_new(qmp->events, event) != 0)
        return report_fail_memory(failure, "QMP");
    return 0;
}

static int send_all(struct qmp *qmp, const char *data, size_t length, int passed_fd,
                    deadline_t deadline, const char *waited_for, struct report_failure *failure)
{
    size_t sent = 0;
    while (sent < length) {
        struct iovec part = {.iov_base = (void *)(uintptr_t)(data + sent),
                             .iov_len = length - sent};
        union {
            struct cmsghdr header;
            char space[CMSG_SPACE(sizeof(int))];
        } control;
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
        if (passed_fd >= 0 && sent == 0) {
            memset(&control, 0, sizeof(control));
            message.msg_control = &control;
            message.msg_controllen = sizeof(control.space);
            struct cmsghdr *header = CMSG_FIRSTHDR(&message);
            header->cmsg_level = SOL_SOCKET;
            header->cmsg_type = SCM_RIGHTS;
            header->cmsg_len = CMSG_LEN(sizeof(int));
            memcpy(CMSG_DATA(header), &passed_fd, sizeof(int));
        }
        ssize_t count = sendmsg(qmp->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count > 0) {
            sent += (size_t)count;
            continue;
        }
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && errno != EAGAIN) {
            if (errno == EPIPE || errno == ECONNRESET)
                return fail_gone(qmp, waited_for, failure);
            return report_fail_errno(failure, errno, "QMP", qmp->name);
        }
        int ready = deadline_poll(deadline, qmp->fd, POLLOUT);
        if (ready < 0)
            return report_fail_errno(failure, -ready, "QMP", qmp->name);
        if (ready == 0)
            return fail_timeout(qmp, waited_for, failure);
    }
    return 0;
}

static int send_command(struct qmp *qmp, const char *command, json_t *arguments, int passed_fd,
                        deadline_t deadline, const char *waited_for, struct report_failure *failure)
{
    json_t *request = json_object();
    if (request == NULL)
        return report_fail_memory(failure, "QMP");
    int bad = json_object_set_new(request, "execute", json_string(command));
    bad |= json_object_set_new(request, "id", json_integer((json_int_t)qmp->next_id));
    if (arguments != NULL)
        bad |= json_object_set(request, "arguments", arguments);
    char *text = bad == 0 ? json_dumps(request, JSON_COMPACT) : NULL;
    json_decref(request);
    if (text == NULL)
        return report_fail_memory(failure, "QMP");
    size_t length = strlen(text);
    int result = send_all(qmp, text, length, passed_fd, deadline, waited_for, failure);
    if (result == 0)
        result = send_all(qmp, "\n", 1, -1, deadline, waited_for, failure);
    free(text);
    return result;
}

static int fail_error_reply(struct qmp *qmp, const char *command, const json_t *error,
                            struct report_failure *failure)
{
    const char *class_name = json_string_value(json_object_get(error, "class"));
    const char *description = json_string_value(json_object_get(error, "desc"));
    snprintf(qmp->error_class, sizeof(qmp->error_class), "%s",
             class_name != NULL ? class_name : "GenericError");
    return report_fail(failure, EXIT_CODE_REFUSED, "QMP", qmp->name,
                       "use QEMU 7.2 to 10 for x86-64; its message says what it minds", "%s: %s",
                       command,
                       description != NULL ? description : "an error without a description");
}

/* Is @message the reply to the command under way? A reply to an earlier one, whose wait was given
 * up, is not; QEMU leaves the id out when it could not read the command. */
static bool is_our_reply(const struct qmp *qmp, const json_t *message)
{
    const json_t *id = json_object_get(message, "id");
    if (json_object_get(message, "error") != NULL && id == NULL)
        return true;
    return json_is_integer(id) && (uint64_t)json_integer_value(id) == qmp->next_id;
}

int qmp_execute_fd(struct qmp *qmp, const char *command, json_t *arguments, int fd,
                   json_t **ret_value, struct report_failure *failure)
{
    char waited_for[96];
    snprintf(waited_for, sizeof(waited_for), "the reply to %s", command);
    deadline_t deadline = deadline_in(qmp->timeout_ms);
    qmp->error_class[0] = '\0';
    qmp->next_id++;
    int result = send_command(qmp, command, arguments, fd, deadline, waited_for, failure);
    json_decref(arguments);
    if (result < 0)
        return result;
    for (unsigned count = 0; count < MESSAGES_PER_REPLY_MAX; count++) {
        json_t *message;
        result = next_message(qmp, deadline, waited_for, false, &message, failure);
        if (result < 0)
            return result;
        if (json_object_get(message, "event") != NULL) {
            result = queue_event(qmp, message, failure);
            if (result < 0)
                return result;
            continue;
        }
        json_t *value = json_object_get(message, "return");
        const json_t *error = json_object_get(message, "error");
        if (value == NULL && error == NULL) {
            json_decref(message);
            return fail_nonsense(qmp, "a message that is neither reply nor event", failure);
        }
        if (is_our_reply(qmp, message)) {
            if (error != NULL)
                result = fail_error_reply(qmp, command, error, failure);
            else if (ret_value != NULL)
                *ret_value = json_incref(value);
            json_decref(message);
            return result;
        }
        json_decref(message);
    }
    return fail_nonsense(qmp, "messages without end before a reply", failure);
}

int qmp_execute(struct qmp *qmp, const char *command, json_t *arguments, json_t **ret_value,
                struct report_failure *failure)
{
    return qmp_execute_fd(qmp, command, arguments, -1, ret_value, failure);
}

const char *qmp_error_class(const struct qmp *qmp)
{
    return qmp->error_class;
}

void qmp_keep_empty(struct qmp *qmp, int fd, qmp_take_fn take, void *ctx)
{
    qmp->other_fd = fd;
    qmp->other_take = take;
    qmp->other_ctx = ctx;
}

void qmp_set_timeout(struct qmp *qmp, int timeout_ms)
{
    qmp->timeout_ms = timeout_ms;
}

/* Takes the oldest queued event called @name, or NULL. */
static json_t *dequeue_event(struct qmp *qmp, const char *name)
{
    for (size_t i = 0; i < json_array_size(qmp->events); i++) {
        json_t *event = json_array_get(qmp->events, i);
        const char *found = json_string_value(json_object_get(event, "event"));
        if (found != NULL && strcmp(found, name) == 0) {
            json_incref(event);
            json_array_remove(qmp->events, i);
            return event;
        }
    }
    return NULL;
}

static int take_event(struct qmp *qmp, const char *name, int timeout_ms, bool may_time_out,
                      json_t **ret_event, struct report_failure *failure)
{
    char waited_for[96];
    snprintf(waited_for, sizeof(waited_for), "the event %s", name);
    deadline_t deadline = deadline_in(timeout_ms);
    for (;;) {
        json_t *event = dequeue_event(qmp, name);
        if (event != NULL) {
            *ret_event = event;
            return 0;
        }
        json_t *message;
        int result = next_message(qmp, deadline, waited_for, may_time_out, &message, failure);
        if (result < 0)
            return result;
        if (message == NULL) {
            *ret_event = NULL;
            return 0;
        }
        if (json_object_get(message, "event") == NULL) {
            json_decref(message); /* the reply to a command that was given up */
            continue;
        }
        result = queue_event(qmp, message, failure);
        if (result < 0)
            return result;
    }
}

int qmp_wait_event(struct qmp *qmp, const char *name, int timeout_ms, json_t **ret_event,
                   struct report_failure *failure)
{
    json_t *event;
    int result = take_event(qmp, name, timeout_ms, false, &event, failure);
    if (result < 0)
        return result;
    if (ret_event != NULL)
        *ret_event = event;
    else
        json_decref(event);
    return 0;
}

int qmp_poll_event(struct qmp *qmp, const char *name, int timeout_ms, json_t **ret_event,
                   struct report_failure *failure)
{
    return take_event(qmp, name, timeout_ms, true, ret_event, failure);
}

void qmp_forget_events(struct qmp *qmp, const char *name)
{
    if (name == NULL) {
        json_array_clear(qmp->events);
        return;
    }
    json_t *event;
    while ((event = dequeue_event(qmp, name)) != NULL)
        json_decref(event);
}

bool qmp_event_pending(const struct qmp *qmp)
{
    return json_array_size(qmp->events) > 0;
}

bool qmp_gone(const struct qmp *qmp)
{
    return qmp->gone;
}

int qmp_fd(const struct qmp *qmp)
{
    return qmp->fd;
}

const struct qmp_version *qmp_version(const struct qmp *qmp)
{
    return &qmp->version;
}

static int read_greeting(struct qmp *qmp, deadline_t deadline, struct report_failure *failure)
{
    json_t *message;
    int result = next_message(qmp, deadline, "the greeting", false, &message, failure);
    if (result == -EXIT_CODE_TIMEOUT)
        return report_fail(failure, EXIT_CODE_TIMEOUT, "QMP", qmp->name,
                           "QEMU serves one client at a time: close the other one",
                           "no greeting in time");
    if (result < 0)
        return result;
    const json_t *version = json_object_get(json_object_get(message, "QMP"), "version");
    const json_t *numbers = json_object_get(version, "qemu");
    const json_t *major = json_object_get(numbers, "major");
    const json_t *minor = json_object_get(numbers, "minor");
    const json_t *micro = json_object_get(numbers, "micro");
    const char *package = json_string_value(json_object_get(version, "package"));
    if (!json_is_integer(major) || !json_is_integer(minor) || !json_is_integer(micro)) {
        json_decref(message);
        return fail_nonsense(qmp, "no greeting with a version", failure);
    }
    qmp->version.major = (int)json_integer_value(major);
    qmp->version.minor = (int)json_integer_value(minor);
    qmp->version.micro = (int)json_integer_value(micro);
    snprintf(qmp->version.package, sizeof(qmp->version.package), "%s",
             package != NULL ? package : "");
    json_decref(message);
    return 0;
}

int qmp_open_fd(struct qmp **ret, int fd, const char *name, int timeout_ms,
                struct report_failure *failure)
{
    struct qmp *qmp = calloc(1, sizeof(*qmp));
    if (qmp == NULL) {
        close(fd);
        return report_fail_memory(failure, "QMP");
    }
    qmp->fd = fd;
    qmp->other_fd = -1;
    qmp->timeout_ms = timeout_ms;
    snprintf(qmp->name, sizeof(qmp->name), "%s", name);
    qmp->events = json_array();
    int result = qmp->events != NULL ? 0 : report_fail_memory(failure, "QMP");
    if (result == 0)
        result = read_greeting(qmp, deadline_in(timeout_ms), failure);
    if (result == 0)
        result = qmp_execute(qmp, "qmp_capabilities", NULL, NULL, failure);
    if (result < 0) {
        qmp_close(qmp);
        return result;
    }
    qmp->timeout_ms = QMP_TIMEOUT_MS;
    *ret = qmp;
    return 0;
}

static int connect_path(int fd, const char *path, struct report_failure *failure)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length >= sizeof(address.sun_path))
        return report_fail(failure, EXIT_CODE_REFUSED, "QMP", path,
                           "give it by a shorter, relative path",
                           "a socket's path may have %zu characters, this has %zu",
                           sizeof(address.sun_path) - 1, length);
    memcpy(address.sun_path, path, length + 1);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return 0;
    int error = errno;
    if (error == ENOENT)
        return report_fail(failure, EXIT_CODE_REFUSED, "QMP", path,
                           "start QEMU with -qmp unix:PATH,server=on,wait=off",
                           "there is no such socket");
    struct stat status;
    if (stat(path, &status) == 0 && !S_ISSOCK(status.st_mode))
        return report_fail(failure, EXIT_CODE_REFUSED, "QMP", path,
                           "name the socket of QEMU's -qmp option", "this is not a socket");
    if (error == ECONNREFUSED)
        return report_fail(failure, EXIT_CODE_REFUSED, "QMP", path, "is QEMU still running?",
                           "nobody listens on this socket");
    if (error == EAGAIN)
        return report_fail(failure, EXIT_CODE_REFUSED, "QMP", path,
                           "QEMU serves one client at a time: close the other one",
                           "too many clients are waiting");
    return report_fail(failure, EXIT_CODE_REFUSED, "QMP", path,
                       "give this user access to the socket of QEMU's -qmp option",
                       "cannot connect: %s", strerror(error));
}

int qmp_open_path(struct qmp **ret, const char *path, int timeout_ms,
                  struct report_failure *failure)
{
    /* Non-blocking, since connecting to a socket whose backlog is full would wait without limit. */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return report_fail_errno(failure, errno, "QMP", path);
    int result = connect_path(fd, path, failure);
    if (result < 0) {
        close(fd);
        return result;
    }
    return qmp_open_fd(ret, fd, path, timeout_ms, failure);
}

void qmp_close(struct qmp *qmp)
{
    if (qmp == NULL)
        return;
    close(qmp->fd);
    json_decref(qmp->events);
    free(qmp->buffer);
    free(qmp);
}

int qmp_monitor_command(struct qmp *qmp, const char *command_line, char **ret_text,
                        struct report_failure *failure)
{
    json_t *value;
    int result = qmp_execute(qmp, "human-monitor-command",
                             json_pack("{s:s}", "command-line", command_line), &value, failure);
    if (result < 0)
        return result;
    const char *text = json_string_value(value);
    if (text == NULL) {
        json_decref(value);
        return fail_nonsense(qmp, "the monitor's answer is no string", failure);
    }
    char *copy = strdup(text);
    json_decref(value);
    if (copy == NULL)
        return report_fail_memory(failure, "QMP");
    *ret_text = copy;
    return 0;
}

int qmp_run_state(struct qmp *qmp, char *state, size_t capacity, struct report_failure *failure)
{
    json_t *value;
    int result = qmp_execute(qmp, "query-status", NULL, &value, failure);
    if (result < 0)
        return result;
    const char *text = json_string_value(json_object_get(value, "status"));
    if (text == NULL)
        result = fail_nonsense(qmp, "query-status tells no status", failure);
    else
        snprintf(state, capacity, "%s", text);
    json_decref(value);
    return result;
}
