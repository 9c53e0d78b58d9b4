/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A client of the QEMU Machine Protocol (QEMU manual, "QEMU Machine Protocol Specification").
 *
 * One command is under way at a time; events that arrive meanwhile are queued. Every wait has a
 * limit, and the failure says what was waited for. The other side is not trusted: a message may be
 * 16 MiB long at most, at most 1024 events are queued (the oldest go first), JSON depth is
 * jansson's limit. All failures: EXIT_CODE_TIMEOUT when nothing came in time,
 * EXIT_CODE_ENVIRONMENT when QEMU went away or speaks nonsense, EXIT_CODE_REFUSED when QEMU
 * answered with an error (the reason is then its description).
 */
#ifndef TOOLS_QMP_H
#define TOOLS_QMP_H

#include <stdbool.h>

#include <jansson.h>

#include "report.h"

#define QMP_MESSAGE_MAX (16u << 20)
#define QMP_EVENT_MAX 1024u
#define QMP_TIMEOUT_MS 30000

struct qmp;

/* QEMU's version, from the greeting. */
struct qmp_version {
    int major;
    int minor;
    int micro;
    char package[128]; /* "Debian 1:7.2+dfsg-7+deb12u18"; may be empty */
};

/*
 * qmp_open_path - connect to the unix socket at @path, read the greeting, negotiate capabilities.
 * @timeout_ms: limit for all of it. A path that does not exist, is no socket, or refuses the
 * connection is told apart. A QMP server serves one client at a time: when the greeting does not
 * come, the failure says so.
 * @ret: an object to be closed with qmp_close.
 */
int qmp_open_path(struct qmp **ret, const char *path, int timeout_ms,
                  struct report_failure *failure);

/*
 * qmp_open_fd - the same on a connected stream socket.
 * @fd: owned by the object from here on; closed also on failure.
 * @name: how to call the other side in messages ("the parked target"); copied.
 */
int qmp_open_fd(struct qmp **ret, int fd, const char *name, int timeout_ms,
                struct report_failure *failure);

/* qmp_close - close the connection and free. NULL is fine. */
void qmp_close(struct qmp *qmp);

/* qmp_version - what the greeting said; valid as long as @qmp. */
const struct qmp_version *qmp_version(const struct qmp *qmp);

/* qmp_fd - the socket, to poll together with other descriptors. qmp_event_pending says whether
 * there are queued events which poll would not show. */
int qmp_fd(const struct qmp *qmp);
bool qmp_event_pending(const struct qmp *qmp);

/* qmp_gone - has the other side been seen to close the connection? */
bool qmp_gone(const struct qmp *qmp);

/*
 * qmp_keep_empty - call @take whenever @fd can be read while something is awaited from QEMU; it takes
 * what is there, and returns false when it wants to be called no more. QEMU stops, with its big lock
 * held, where nobody reads what it has to say elsewhere, and then answers nothing here either.
 * @fd: -1 ends it. @ctx is handed to @take; both have to stay valid.
 */
typedef bool (*qmp_take_fn)(void *ctx);
void qmp_keep_empty(struct qmp *qmp, int fd, qmp_take_fn take, void *ctx);

/* qmp_set_timeout - limit for the reply to each command from now on; QMP_TIMEOUT_MS at first. */
void qmp_set_timeout(struct qmp *qmp, int timeout_ms);

/*
 * qmp_execute - run a command and wait for its reply.
 * @arguments: a JSON object, whose reference is taken also on failure; NULL for none.
 * @ret_value: the reply's "return" value, a new reference; NULL when not wanted.
 */
int qmp_execute(struct qmp *qmp, const char *command, json_t *arguments, json_t **ret_value,
                struct report_failure *failure);

/* qmp_execute_fd - the same, passing a descriptor along (SCM_RIGHTS), as `getfd` wants it. @fd
 * stays the caller's and may be closed afterwards. */
int qmp_execute_fd(struct qmp *qmp, const char *command, json_t *arguments, int fd,
                   json_t **ret_value, struct report_failure *failure);

/* qmp_error_class - the class of the error that QEMU answered the last command with
 * ("CommandNotFound"), "" when it did not. */
const char *qmp_error_class(const struct qmp *qmp);

/*
 * qmp_wait_event - take the oldest event called @name, waiting for it when none is queued. Other
 * events stay queued.
 * @ret_event: the whole event object, a new reference; NULL when not wanted.
 */
int qmp_wait_event(struct qmp *qmp, const char *name, int timeout_ms, json_t **ret_event,
                   struct report_failure *failure);

/* qmp_poll_event - the same, but that nothing comes in time is no failure: *@ret_event is then
 * NULL. */
int qmp_poll_event(struct qmp *qmp, const char *name, int timeout_ms, json_t **ret_event,
                   struct report_failure *failure);

/* qmp_forget_events - drop queued events called @name, or all when @name is NULL. Reads nothing. */
void qmp_forget_events(struct qmp *qmp, const char *name);

/* qmp_monitor_command - run a command of the human monitor. @ret_text: its output, to be freed. */
int qmp_monitor_command(struct qmp *qmp, const char *command_line, char **ret_text,
                        struct report_failure *failure);

/* qmp_run_state - the VM's run state by `query-status` ("running", "paused", …).
 * @state: at least 32 bytes. */
int qmp_run_state(struct qmp *qmp, char *state, size_t capacity, struct report_failure *failure);

#endif
