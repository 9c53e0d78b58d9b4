/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The QMP client against a server that is played from a script. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_peer.h"
#include "qmp.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Limits that are only reached when the test fails. */
#define LONG_MS 20000
/* A limit that is meant to be reached. */
#define SHORT_MS 50

#define GREETING                                                                                   \
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, "             \
    "\"package\": \"Debian 1:7.2\"}, \"capabilities\": [\"oob\"]}}\r\n"
#define NEGOTIATION                                                                                \
    {.send = GREETING},                                                                            \
    {                                                                                              \
        .expect = "{\"execute\":\"qmp_capabilities\",\"id\":1}\n",                                 \
        .send = "{\"return\": {}, \"id\": 1}\r\n"                                                  \
    }

static struct qmp *open_peer(struct fake_peer *peer, const struct fake_step *steps, size_t count)
{
    struct qmp *qmp = NULL;
    struct report_failure failure = {0};
    int fd = fake_peer_start(peer, steps, count);
    assert_int_equal(qmp_open_fd(&qmp, fd, "the peer", LONG_MS, &failure), 0);
    return qmp;
}

static void greets_and_negotiates(void **context)
{
    (void)context;
    static const struct fake_step steps[] = {NEGOTIATION};
    struct fake_peer peer;
    struct qmp *qmp = open_peer(&peer, steps, COUNT(steps));
    assert_int_equal(qmp_version(qmp)->major, 7);
    assert_int_equal(qmp_version(qmp)->minor, 2);
    assert_int_equal(qmp_version(qmp)->micro, 22);
    assert_string_equal(qmp_version(qmp)->package, "Debian 1:7.2");
    qmp_close(qmp);
    fake_peer_finish(&peer);
}

static void takes_replies_and_queues_events(void **context)
{
    (void)context;
    static const struct fake_step steps[] = {
        NEGOTIATION,
        {.expect = "{\"execute\":\"query-status\",\"id\":2}\n",
         .send = "{\"event\": \"RESUME\", \"timestamp\": {}}\r\n"
                 "{\"event\": \"STOP\", \"data\": {\"n\": 1}}\n\r\n"
                 "{\"return\": {\"status\": \"paused\"}, \"id\": 2}\r\n"
                 "{\"event\": \"STOP\", \"data\": {\"n\": 2}}\r\n",
         .one_by_one = true},
        {.expect = "{\"execute\":\"qom-get\",\"id\":3,\"arguments\":{\"path\":\"/machine\"}}\n",
         .send = "{\"id\": 3, \"return\": \"x\"}\n"},
    };
    struct fake_peer peer;
    struct report_failure failure = {0};
    struct qmp *qmp = open_peer(&peer, steps, COUNT(steps));
    char state[32];
    assert_int_equal(qmp_run_state(qmp, state, sizeof(state), &failure), 0);
    assert_string_equal(state, "paused");
    assert_true(qmp_event_pending(qmp));
    for (int n = 1; n <= 2; n++) {
        json_t *event = NULL;
        assert_int_equal(qmp_wait_event(qmp, "STOP", LONG_MS, &event, &failure), 0);
        assert_int_equal(json_integer_value(json_object_get(json_object_get(event, "data"), "n")),
                         n);
        json_decref(event);
    }
    assert_true(qmp_event_pending(qmp)); /* RESUME is still there */
    qmp_forget_events(qmp, "STOP");
    assert_true(qmp_event_pending(qmp));
    qmp_forget_events(qmp, NULL);
    assert_false(qmp_event_pending(qmp));
    json_t *value = NULL;
    assert_int_equal(
        qmp_execute(qmp, "qom-get", json_pack("{s:s}", "path", "/machine"), &value, &failure), 0);
    assert_string_equal(json_string_value(value), "x");
    json_decref(value);
    qmp_close(qmp);
    fake_peer_finish(&peer);
}

static void an_error_reply_is_told_and_survived(void **context)
{
    (void)context;
    static const struct fake_step steps[] = {
        NEGOTIATION,
        {.expect = "{\"execute\":\"nix\",\"id\":2}\n",
         .send = "{\"id\": 2, \"error\": {\"class\": \"CommandNotFound\", "
                 "\"desc\": \"The command nix has not been found\"}}\r\n"},
        {.expect = "{\"execute\":\"human-monitor-command\",\"id\":3,"
                   "\"arguments\":{\"command-line\":\"info version\"}}\n",
         .send = "{\"id\": 3, \"return\": \"7.2\\r\\n\"}\r\n"},
    };
    struct fake_peer peer;
    struct report_failure failure = {0};
    char text[512];
    struct qmp *qmp = open_peer(&peer, steps, COUNT(steps));
    assert_int_equal(qmp_execute(qmp, "nix", NULL, NULL, &failure), -EXIT_CODE_REFUSED);
    assert_string_equal(qmp_error_class(qmp), "CommandNotFound");
    assert_string_equal(
        report_format(&failure, text, sizeof(text)),
        "resumectl: QMP: the peer: nix: The command nix has not been found (use QEMU "
        "7.2 to 10 for x86-64; its message says what it minds)");
    char *answer = NULL;
    assert_int_equal(qmp_monitor_command(qmp, "info version", &answer, &failure), 0);
    assert_string_equal(answer, "7.2\r\n");
    assert_string_equal(qmp_error_class(qmp), "");
    free(answer);
    qmp_close(qmp);
    fake_peer_finish(&peer);
}

static void a_late_reply_is_not_taken_for_another(void **context)
{
    (void)context;
    static const struct fake_step steps[] = {
        NEGOTIATION,
        {.expect = "{\"execute\":\"slow\",\"id\":2}\n"},
        {.expect = "{\"execute\":\"next\",\"id\":3}\n",
         .send = "{\"return\": \"late\", \"id\": 2}\n{\"return\": \"right\", \"id\": 3}\n"},
    };
    struct fake_peer peer;
    struct report_failure failure = {0};
    struct qmp *qmp = open_peer(&peer, steps, COUNT(steps));
    qmp_set_timeout(qmp, SHORT_MS);
    assert_int_equal(qmp_execute(qmp, "slow", NULL, NULL, &failure), -EXIT_CODE_TIMEOUT);
    assert_non_null(strstr(failure.why, "waiting for the reply to slow"));
    qmp_set_timeout(qmp, LONG_MS);
    json_t *value = NULL;
    assert_int_equal(qmp_execute(qmp, "next", NULL, &value, &failure), 0);
    assert_string_equal(json_string_value(value), "right");
    json_decref(value);
    qmp_close(qmp);
    fake_peer_finish(&peer);
}

static void waiting_for_an_event_has_a_limit(void **context)
{
    (void)context;
    static const struct fake_step steps[] = {
        NEGOTIATION,
        {.send = "{\"event\": \"OTHER\"}\n"},
    };
    struct fake_peer peer;
    struct report_failure failure = {0};
    struct qmp *qmp = open_peer(&peer, steps, COUNT(steps));
    assert_int_equal(qmp_wait_event(qmp, "STOP", SHORT_MS, NULL, &failure), -EXIT_CODE_TIMEOUT);
    assert_non_null(strstr(failure.why, "waiting for the event STOP"));
    json_t *event = json_null();
    assert_int_equal(qmp_poll_event(qmp, "STOP", 0, &event, &failure), 0);
    assert_null(event);
    assert_int_equal(qmp_wait_event(qmp, "OTHER", LONG_MS, NULL, &failure), 0);
    qmp_close(qmp);
    fake_peer_finish(&peer);
}

static void of_many_events_the_oldest_go(void **context)
{
    (void)context;
    static const struct fake_step steps[] = {
        NEGOTIATION,
        {.expect = "{\"execute\":\"flood\",\"id\":2}\n", .send = "{\"event\": \"FIRST\"}\n"},
        {.send = "{\"event\": \"E\"}\n", .times = QMP_EVENT_MAX},
        {.send = "{\"return\": {}, \"id\": 2}\n"},
    };
    struct fake_peer peer;
    struct report_failure failure = {0};
    struct qmp *qmp = open_peer(&peer, steps, COUNT(steps));
    assert_int_equal(qmp_execute(qmp, "flood", NULL, NULL, &failure), 0);
    json_t *event = json_null();
    assert_int_equal(qmp_poll_event(qmp, "FIRST", 0, &event, &failure), 0);
    assert_null(event);
    for (unsigned i = 0; i < QMP_EVENT_MAX; i++)
        assert_int_equal(qmp_wait_event(qmp, "E", LONG_MS, NULL, &failure), 0);
    assert_false(qmp_event_pending(qmp));
    qmp_close(qmp);
    fake_peer_finish(&peer);
}

static void a_descriptor_arrives(void **context)
{
    (void)context;
    static const struct fake_step steps[] = {
        NEGOTIATION,
        {.expect = "{\"execute\":\"getfd\",\"id\":2,\"arguments\":{\"fdname\":\"m\"}}\n",
         .send = "{\"return\": {}, \"id\": 2}\n"},
    };
    struct fake_peer peer;
    struct report_failure failure = {0};
    struct qmp *qmp = open_peer(&peer, steps, COUNT(steps));
    int ends[2];
    char byte = 0;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(
        qmp_execute_fd(qmp, "getfd", json_pack("{s:s}", "fdname", "m"), ends[1], NULL, &failure),
        0);
    qmp_close(qmp);
    fake_peer_finish(&peer);
    assert_true(peer.passed_fd >= 0);
    assert_int_equal(write(peer.passed_fd, "x", 1), 1);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(byte, 'x');
    close(peer.passed_fd);
    close(ends[0]);
    close(ends[1]);
}

static void the_end_of_qemu_is_noticed(void **context)
{
    (void)context;
    static const struct fake_step steps[] = {
        NEGOTIATION,
        {.expect = "{\"execute\":\"quit\",\"id\":2}\n", .send = "{\"retu", .close = true},
    };
    struct fake_peer peer;
    struct report_failure failure = {0};
    struct qmp *qmp = open_peer(&peer, steps, COUNT(steps));
    assert_false(qmp_gone(qmp));
    assert_int_equal(qmp_execute(qmp, "quit", NULL, NULL, &failure), -EXIT_CODE_ENVIRONMENT);
    assert_string_equal(failure.why,
                        "QEMU closed the connection while waiting for the reply to quit");
    assert_true(qmp_gone(qmp));
    assert_int_equal(qmp_execute(qmp, "stop", NULL, NULL, &failure), -EXIT_CODE_ENVIRONMENT);
    qmp_close(qmp);
    fake_peer_finish(&peer);
}

/* Opening a connection to a server that says @text must fail with @code and @why. */
static void assert_open_fails(const struct fake_step *step, int timeout_ms, int code,
                              const char *why)
{
    struct fake_peer peer;
    struct report_failure failure = {0};
    struct qmp *qmp = NULL;
    int fd = fake_peer_start(&peer, step, 1);
    assert_int_equal(qmp_open_fd(&qmp, fd, "the peer", timeout_ms, &failure), -code);
    assert_null(qmp);
    if (strstr(failure.why, why) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", why, failure.why);
    fake_peer_finish(&peer);
}

static void nonsense_is_refused(void **context)
{
    (void)context;
    static const char *const nonsense[] = {
        "220 mail.example.org ESMTP\r\n",
        "[1, 2]\n",
        "{\"QMP\": {}}\n",
        "{\"QMP\": {\"version\": {\"qemu\": {\"major\": \"7\", \"minor\": 2, \"micro\": 1}}}}\n",
        "\"\\ud800\"\n",
    };
    for (size_t i = 0; i < COUNT(nonsense); i++) {
        const struct fake_step step = {.send = nonsense[i]};
        assert_open_fails(&step, LONG_MS, EXIT_CODE_ENVIRONMENT, "not QMP");
    }
    const struct fake_step neither = {.send = GREETING "{\"hello\": 1}\n"};
    assert_open_fails(&neither, LONG_MS, EXIT_CODE_ENVIRONMENT, "neither reply nor event");
}

static void an_overlong_message_is_refused(void **context)
{
    (void)context;
    static char kilobyte[1025];
    memset(kilobyte, 'a', sizeof(kilobyte) - 1);
    const struct fake_step step = {.send = kilobyte, .times = (QMP_MESSAGE_MAX >> 10) + 1024};
    assert_open_fails(&step, LONG_MS, EXIT_CODE_ENVIRONMENT, "longer than 16 MiB");
}

static void a_silent_server_is_given_up(void **context)
{
    (void)context;
    const struct fake_step step = {.send = "{"};
    assert_open_fails(&step, SHORT_MS, EXIT_CODE_TIMEOUT, "no greeting in time");
}

static void assert_path_fails(const char *path, const char *why)
{
    struct report_failure failure = {0};
    struct qmp *qmp = NULL;
    assert_int_equal(qmp_open_path(&qmp, path, LONG_MS, &failure), -EXIT_CODE_REFUSED);
    if (strstr(failure.why, why) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", why, failure.why);
}

static void unfit_paths_are_told_apart(void **context)
{
    (void)context;
    char directory[] = "/tmp/test-qmp-XXXXXX";
    assert_non_null(mkdtemp(directory));
    char path[64];
    snprintf(path, sizeof(path), "%s/x", directory);
    assert_path_fails(path, "there is no such socket");
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_path_fails(path, "this is not a socket");
    assert_int_equal(unlink(path), 0);

    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_path_fails(path, "nobody listens");
    close(fd);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(directory), 0);

    char overlong[200];
    memset(overlong, 'p', sizeof(overlong) - 1);
    overlong[sizeof(overlong) - 1] = '\0';
    assert_path_fails(overlong, "may have 107 characters, this has 199");
}

/* What a unix socket takes of single bytes before it is full is far less. */
#define SAID 5000u

struct talker {
    int qmp;
    int console;
};

static void say(int fd, const char *text, size_t piece)
{
    size_t length = strlen(text);
    for (size_t at = 0; at < length; at += piece) {
        size_t count = length - at < piece ? length - at : piece;
        assert_int_equal(write(fd, text + at, count), (ssize_t)count);
    }
}

static void hear_line(int fd)
{
    char c = 0;
    while (c != '\n')
        assert_int_equal(read(fd, &c, 1), 1);
}

/* QEMU with its lock held: answers the second command when all that it said elsewhere has gone. */
static void *talk(void *ctx)
{
    const struct talker *talker = ctx;
    char line[SAID + 1];
    memset(line, 'x', SAID);
    line[SAID] = '\0';
    say(talker->qmp, GREETING, sizeof(GREETING));
    hear_line(talker->qmp);
    say(talker->qmp, "{\"return\": {}, \"id\": 1}\r\n", 64);
    hear_line(talker->qmp);
    say(talker->console, line, 1);
    say(talker->qmp, "{\"return\": {}, \"id\": 2}\r\n", 64);
    return NULL;
}

struct taken {
    int fd;
    size_t bytes;
};

static bool take(void *ctx)
{
    struct taken *taken = ctx;
    char buffer[512];
    ssize_t got = recv(taken->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (got > 0)
        taken->bytes += (size_t)got;
    return got > 0;
}

static void reads_elsewhere_while_it_waits(void **context)
{
    (void)context;
    int pairs[2][2];
    pthread_t thread;
    struct qmp *qmp = NULL;
    struct report_failure failure = {0};
    for (int i = 0; i < 2; i++)
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]), 0);
    struct talker talker = {.qmp = pairs[0][1], .console = pairs[1][1]};
    struct taken taken = {.fd = pairs[1][0]};
    assert_int_equal(pthread_create(&thread, NULL, talk, &talker), 0);
    assert_int_equal(qmp_open_fd(&qmp, pairs[0][0], "the talker", LONG_MS, &failure), 0);
    qmp_set_timeout(qmp, LONG_MS);
    qmp_keep_empty(qmp, taken.fd, take, &taken);
    assert_int_equal(qmp_execute(qmp, "cont", NULL, NULL, &failure), 0);
    assert_true(taken.bytes > SAID / 2);

    /* One that has been closed is left alone: nothing waits in a tight loop, nothing fails. */
    assert_int_equal(pthread_join(thread, NULL), 0);
    close(talker.console);
    qmp_set_timeout(qmp, SHORT_MS);
    assert_int_equal(qmp_execute(qmp, "stop", NULL, NULL, &failure), -EXIT_CODE_TIMEOUT);
    qmp_close(qmp);
    close(talker.qmp);
    close(taken.fd);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(greets_and_negotiates),
        cmocka_unit_test(takes_replies_and_queues_events),
        cmocka_unit_test(an_error_reply_is_told_and_survived),
        cmocka_unit_test(a_late_reply_is_not_taken_for_another),
        cmocka_unit_test(waiting_for_an_event_has_a_limit),
        cmocka_unit_test(of_many_events_the_oldest_go),
        cmocka_unit_test(a_descriptor_arrives),
        cmocka_unit_test(the_end_of_qemu_is_noticed),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(an_overlong_message_is_refused),
        cmocka_unit_test(a_silent_server_is_given_up),
        cmocka_unit_test(reads_elsewhere_while_it_waits),
        cmocka_unit_test(unfit_paths_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
