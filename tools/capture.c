/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "capture.h"

#include <inttypes.h>
#include <string.h>

#include "deadline.h"

#define STATE_MAX 32
#define STATE_CHANGE_MS 30000
#define CANCEL_MS 10000
/* The name under which the monitor knows the passed descriptor. */
#define FD_NAME "libresume-capture"

int capture_stop(struct qmp *qmp, bool *ret_was_running, struct report_failure *failure)
{
    static const char *const stopped[] = {"paused", "prelaunch", "debug"};
    char state[STATE_MAX];
    int result = qmp_run_state(qmp, state, sizeof(state), failure);
    if (result < 0)
        return result;
    if (strcmp(state, "running") == 0) {
        qmp_forget_events(qmp, "STOP");
        result = qmp_execute(qmp, "stop", NULL, NULL, failure);
        if (result == 0)
            result = qmp_wait_event(qmp, "STOP", STATE_CHANGE_MS, NULL, failure);
        if (result == 0 && ret_was_running != NULL)
            *ret_was_running = true;
        return result;
    }
    for (size_t i = 0; i < sizeof(stopped) / sizeof(stopped[0]); i++) {
        if (strcmp(state, stopped[i]) == 0) {
            if (ret_was_running != NULL)
                *ret_was_running = false;
            return 0;
        }
    }
    return report_fail(failure, EXIT_CODE_REFUSED, "stop the VM", "the VM",
                       "wait until it runs, or find out what happened to it",
                       "its run state is \"%s\"; only a running or paused VM can be captured",
                       state);
}

int capture_continue(struct qmp *qmp, struct report_failure *failure)
{
    qmp_forget_events(qmp, "RESUME");
    int result = qmp_execute(qmp, "cont", NULL, NULL, failure);
    if (result == 0)
        result = qmp_wait_event(qmp, "RESUME", STATE_CHANGE_MS, NULL, failure);
    return result;
}

static int apply_settings(struct qmp *qmp, bool events, int64_t max_bandwidth,
                          struct report_failure *failure)
{
    int result = qmp_execute(qmp, "migrate-set-capabilities",
                             json_pack("{s:[{s:s,s:b}]}", "capabilities", "capability", "events",
                                       "state", events ? 1 : 0),
                             NULL, failure);
    if (result < 0)
        return result;
    return qmp_execute(qmp, "migrate-set-parameters",
                       json_pack("{s:I}", "max-bandwidth", (json_int_t)max_bandwidth), NULL,
                       failure);
}

int capture_settings_read(struct qmp *qmp, struct capture_settings *out,
                          struct report_failure *failure)
{
    struct capture_settings settings = {.known = true};
    json_t *value = NULL;
    int result = qmp_execute(qmp, "query-migrate-capabilities", NULL, &value, failure);
    if (result < 0)
        return result;
    size_t index;
    const json_t *entry;
    json_array_foreach(value, index, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "capability"));
        if (name != NULL && strcmp(name, "events") == 0)
            settings.events = json_is_true(json_object_get(entry, "state"));
    }
    json_decref(value);
    result = qmp_execute(qmp, "query-migrate-parameters", NULL, &value, failure);
    if (result < 0)
        return result;
    settings.max_bandwidth = json_integer_value(json_object_get(value, "max-bandwidth"));
    json_decref(value);
    *out = settings;
    return 0;
}

void capture_settings_restore(struct qmp *qmp, const struct capture_settings *settings)
{
    struct report_failure ignored = {0};
    if (settings->known)
        (void)apply_settings(qmp, settings->events, settings->max_bandwidth, &ignored);
}

/* Refuses what would give the stream a form that its readers do not take, turns events on. */
int capture_prepare(struct qmp *qmp, struct report_failure *failure)
{
    /* These change what the stream consists of, or where it goes. */
    static const char *const unwanted[] = {
        "xbzrle",
        "compress",
        "multifd",
        "postcopy-ram",
        "x-colo",
        "x-ignore-shared",
        "background-snapshot",
        "mapped-ram",
        "release-ram",
        "dirty-bitmaps",
        "block",
        "zero-blocks",
    };
    json_t *value = NULL;
    int result = qmp_execute(qmp, "query-migrate-capabilities", NULL, &value, failure);
    if (result < 0)
        return result;
    size_t index;
    const json_t *entry;
    json_array_foreach(value, index, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "capability"));
        if (name == NULL || !json_is_true(json_object_get(entry, "state")))
            continue;
        for (size_t i = 0; i < sizeof(unwanted) / sizeof(unwanted[0]); i++) {
            if (strcmp(name, unwanted[i]) == 0) {
                result = report_fail(failure, EXIT_CODE_REFUSED, "capture", "the VM",
                                     "turn it off with migrate-set-capabilities",
                                     "QEMU's migration capability \"%s\" is on", name);
                json_decref(value);
                return result;
            }
        }
    }
    json_decref(value);
    /* 0 is refused by some versions; this is beyond what any machine writes. */
    return apply_settings(qmp, true, INT64_C(1) << 50, failure);
}

int capture_start(struct qmp *qmp, int fd, struct report_failure *failure)
{
    int result =
        qmp_execute_fd(qmp, "getfd", json_pack("{s:s}", "fdname", FD_NAME), fd, NULL, failure);
    if (result < 0)
        return result;
    qmp_forget_events(qmp, "MIGRATION");
    result = qmp_execute(qmp, "migrate", json_pack("{s:s}", "uri", "fd:" FD_NAME), NULL, failure);
    if (result < 0) {
        struct report_failure ignored = {0};
        (void)qmp_execute(qmp, "closefd", json_pack("{s:s}", "fdname", FD_NAME), NULL, &ignored);
    }
    return result;
}

int capture_begin(struct qmp *qmp, int fd, struct report_failure *failure)
{
    int result = capture_prepare(qmp, failure);
    return result == 0 ? capture_start(qmp, fd, failure) : result;
}

static uint64_t get_unsigned(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value < 0 ? 0 : (uint64_t)value;
}

static int read_migration(const json_t *value, struct capture_status *out,
                          struct report_failure *failure)
{
    const char *status = json_string_value(json_object_get(value, "status"));
    struct capture_status read = {0};
    if (status == NULL)
        status = "none";
    if (strcmp(status, "failed") == 0 || strcmp(status, "cancelled") == 0 ||
        strcmp(status, "cancelling") == 0 || strcmp(status, "none") == 0) {
        const char *reason = json_string_value(json_object_get(value, "error-desc"));
        return report_fail(
            failure, EXIT_CODE_ENVIRONMENT, "capture", "the VM",
            "see what QEMU printed; a device that cannot be migrated has to be left out",
            "QEMU's migration %s%s%s", strcmp(status, "none") == 0 ? "did not start" : status,
            reason != NULL ? ": " : "", reason != NULL ? reason : "");
    }
    const json_t *ram = json_object_get(value, "ram");
    uint64_t remaining = get_unsigned(ram, "remaining");
    read.done = strcmp(status, "completed") == 0;
    read.transferred = get_unsigned(ram, "transferred");
    read.ram_total = get_unsigned(ram, "total");
    read.ram_done = remaining <= read.ram_total ? read.ram_total - remaining : 0;
    *out = read;
    return 0;
}

int capture_poll(struct qmp *qmp, int timeout_ms, struct capture_status *out,
                 struct report_failure *failure)
{
    json_t *event;
    int result = qmp_poll_event(qmp, "MIGRATION", timeout_ms, &event, failure);
    if (result < 0)
        return result;
    json_decref(event);
    json_t *value = NULL;
    result = qmp_execute(qmp, "query-migrate", NULL, &value, failure);
    if (result < 0)
        return result;
    result = read_migration(value, out, failure);
    json_decref(value);
    return result;
}

int capture_wait(struct qmp *qmp, int idle_ms, struct progress *progress,
                 struct report_failure *failure)
{
    struct capture_status status = {0};
    uint64_t last = 0;
    deadline_t deadline = deadline_in(idle_ms);
    for (;;) {
        int result = capture_poll(qmp, 100, &status, failure);
        if (result < 0)
            return result;
        progress_step_update(progress, status.ram_done, status.ram_total);
        if (status.done)
            return 0;
        uint64_t sum = status.transferred + status.ram_done;
        if (sum != last)
            deadline = deadline_in(idle_ms);
        else if (deadline_now() >= deadline)
            return report_fail(failure, EXIT_CODE_TIMEOUT, "capture", "the VM",
                               "try again when the machine and its disk are less busy",
                               "no progress for %d s, %" PRIu64 " of %" PRIu64 " bytes of RAM done",
                               idle_ms / 1000, status.ram_done, status.ram_total);
        last = sum;
    }
}

void capture_cancel(struct qmp *qmp)
{
    struct report_failure ignored = {0};
    if (qmp_execute(qmp, "migrate_cancel", NULL, NULL, &ignored) < 0)
        return;
    deadline_t deadline = deadline_in(CANCEL_MS);
    while (deadline_now() < deadline) {
        json_t *value;
        if (qmp_execute(qmp, "query-migrate", NULL, &value, &ignored) < 0)
            return;
        const char *status = json_string_value(json_object_get(value, "status"));
        bool gone = status == NULL || strcmp(status, "cancelled") == 0 ||
                    strcmp(status, "failed") == 0 || strcmp(status, "completed") == 0;
        json_decref(value);
        if (gone)
            return;
        json_t *event;
        if (qmp_poll_event(qmp, "MIGRATION", 100, &event, &ignored) < 0)
            return;
        json_decref(event);
    }
}
