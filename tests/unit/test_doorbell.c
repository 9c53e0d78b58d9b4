/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What is heard on the debug console, and what is made of it. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "deadline.h"
#include "doorbell.h"
#include "fake_peer.h"

#define LONG_MS 20000
#define SHORT_MS 50

struct heard {
    uint32_t count;
    char line[8][DOORBELL_LINE_MAX];
};

static void hear(void *ctx, const char *line)
{
    struct heard *heard = ctx;
    assert_true(heard->count < 8);
    strcpy(heard->line[heard->count++], line);
}

static struct process vm = {.name = "the peer"};

static int wait_for(struct doorbell *bell, const char *wanted, int timeout_ms,
                    struct report_failure *failure)
{
    return doorbell_wait(bell, &vm, wanted, "test", deadline_now(), timeout_ms, NULL, 0, failure);
}

/* Lines of others, carriage returns, what precedes the prefix; byte by byte. */
static void hears_what_is_meant_for_it(void **context)
{
    (void)context;
    static const struct fake_step steps[] = {
        {.send = "SecCoreStartup\r\nlibresume:parked\nparked\nnoiselibresume: ledger cpu=1  ==\r\n"
                 "libresume: parked \nlibresume: parked\r\nlibresume: go\nlibresume: landing\n",
         .one_by_one = true},
    };
    struct fake_peer peer;
    struct doorbell bell;
    struct heard heard = {0};
    struct report_failure failure = {0};
    assert_int_equal(doorbell_open(&bell, fake_peer_start(&peer, steps, 1), NULL, &failure), 0);
    bell.line_fn = hear;
    bell.line_ctx = &heard;
    assert_int_equal(wait_for(&bell, "parked", LONG_MS, &failure), 0);
    assert_int_equal(heard.count, 3);
    assert_string_equal(heard.line[0], "ledger cpu=1  ==");
    assert_string_equal(heard.line[1], "parked ");
    assert_string_equal(heard.line[2], "parked");
    assert_int_equal(wait_for(&bell, "landing", LONG_MS, &failure), 0);
    assert_int_equal(heard.count, 5);
    assert_int_equal(wait_for(&bell, "landing", SHORT_MS, &failure), -EXIT_CODE_TIMEOUT);
    assert_non_null(strstr(failure.why, "the last line was \"landing\""));
    doorbell_close(&bell);
    fake_peer_finish(&peer);
}

/* The longest ledger is heard whole; what is longer than any line is cut, and the next is heard. */
static void bears_long_lines(void **context)
{
    (void)context;
    static char text[3000];
    static const char ledger[] = "libresume: ledger cpu=255       ";
    strcpy(text, ledger);
    memset(text + strlen(text), '=', 24 + 256);
    strcat(text, "\nlibresume: ");
    memset(text + strlen(text), 'x', 2000);
    strcat(text, "\nlibresume: parked\n");
    const struct fake_step steps[] = {{.send = text}};
    struct fake_peer peer;
    struct doorbell bell;
    struct heard heard = {0};
    struct report_failure failure = {0};
    assert_int_equal(doorbell_open(&bell, fake_peer_start(&peer, steps, 1), NULL, &failure), 0);
    bell.line_fn = hear;
    bell.line_ctx = &heard;
    assert_int_equal(wait_for(&bell, "parked", LONG_MS, &failure), 0);
    assert_int_equal(heard.count, 3);
    assert_int_equal(strlen(heard.line[0]), 32 - 11 + 24 + 256);
    assert_int_equal(strlen(heard.line[1]), DOORBELL_LINE_MAX - 1 - 11);
    doorbell_close(&bell);
    fake_peer_finish(&peer);
}

static void stops_at_bad_news(void **context)
{
    (void)context;
    static const struct {
        const char *line;
        int code;
        const char *why;
    } cases[] = {
        {"libresume: refused: no home\n", EXIT_CODE_REFUSED, "refused: no home"},
        {"libresume: fault cpu=0x0000000000000003 vector=0x000000000000000d\n",
         EXIT_CODE_ENVIRONMENT, "fault cpu=0x0000000000000003"},
        {"libresume: differs cpu=0x0000000000000003 field=0x0000000000000001\n",
         EXIT_CODE_DIFFERENT, "differs cpu=0x0000000000000003"},
        {"libresume: processor 0x0000000000000007 does not start\n", EXIT_CODE_ENVIRONMENT,
         "processor 0x0000000000000007 does not start"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct fake_step steps[] = {{.send = cases[i].line}};
        struct fake_peer peer;
        struct doorbell bell;
        struct report_failure failure = {0};
        assert_int_equal(doorbell_open(&bell, fake_peer_start(&peer, steps, 1), NULL, &failure), 0);
        assert_int_equal(wait_for(&bell, "parked", LONG_MS, &failure), -cases[i].code);
        if (strstr(failure.why, cases[i].why) == NULL)
            fail_msg("\"%s\" is not in \"%s\"", cases[i].why, failure.why);
        doorbell_close(&bell);
        fake_peer_finish(&peer);
    }
}

static void watches_others_too(void **context)
{
    (void)context;
    static const struct fake_step steps[] = {{.expect = "now", .send = "libresume: parked\n"}};
    struct fake_peer peer;
    struct doorbell bell;
    struct report_failure failure = {0};
    int pair[2];
    assert_int_equal(pipe(pair), 0);
    assert_int_equal(doorbell_open(&bell, fake_peer_start(&peer, steps, 1), NULL, &failure), 0);
    const int also[] = {-1, pair[0]};
    assert_int_equal(
        doorbell_wait(&bell, &vm, "parked", "test", deadline_now(), SHORT_MS, also, 2, &failure),
        -EXIT_CODE_TIMEOUT);
    assert_int_equal(write(pair[1], "x", 1), 1);
    assert_int_equal(
        doorbell_wait(&bell, &vm, "parked", "test", deadline_now(), LONG_MS, also, 2, &failure), 1);
    const int first[] = {pair[0], -1};
    assert_int_equal(
        doorbell_wait(&bell, &vm, "parked", "test", deadline_now(), LONG_MS, first, 2, &failure),
        1);
    assert_int_equal(write(bell.fd, "now", 3), 3);
    assert_int_equal(
        doorbell_wait(&bell, &vm, "parked", "test", deadline_now(), LONG_MS, also, 1, &failure), 0);
    close(pair[0]);
    close(pair[1]);
    doorbell_close(&bell);
    fake_peer_finish(&peer);
}

/* Taken while something else was awaited, looked at later, and in order with what comes then. */
static void takes_without_looking(void **context)
{
    (void)context;
    static const struct fake_step steps[] = {
        {.send = "libresume: ledger cpu=0 \nlibresume: led", .one_by_one = true},
        {.expect = "more", .send = "ger cpu=1 \nlibresume: landing\n"},
    };
    struct fake_peer peer;
    struct doorbell bell;
    struct heard heard = {0};
    struct report_failure failure = {0};
    assert_int_equal(doorbell_open(&bell, fake_peer_start(&peer, steps, 2), NULL, &failure), 0);
    bell.line_fn = hear;
    bell.line_ctx = &heard;
    while (bell.end < strlen(steps[0].send)) {
        assert_int_equal(deadline_poll(deadline_in(LONG_MS), bell.fd, POLLIN), 1);
        assert_true(doorbell_take(&bell));
    }
    assert_int_equal(heard.count, 0);
    assert_int_equal(write(bell.fd, "more", 4), 4);
    assert_int_equal(wait_for(&bell, "landing", LONG_MS, &failure), 0);
    assert_int_equal(heard.count, 3);
    assert_string_equal(heard.line[0], "ledger cpu=0 ");
    assert_string_equal(heard.line[1], "ledger cpu=1 ");
    doorbell_close(&bell);
    fake_peer_finish(&peer);
}

static void takes_no_more_than_there_is_room_for(void **context)
{
    (void)context;
    static const struct fake_step steps[] = {{.send = "0123456789abcde\n", .times = 8192}};
    static struct doorbell bell;
    struct fake_peer peer;
    struct report_failure failure = {0};
    assert_int_equal(doorbell_open(&bell, fake_peer_start(&peer, steps, 1), NULL, &failure), 0);
    do
        assert_int_equal(deadline_poll(deadline_in(LONG_MS), bell.fd, POLLIN), 1);
    while (doorbell_take(&bell));
    assert_int_equal(bell.end, DOORBELL_PENDING_MAX);
    assert_false(doorbell_take(&bell));
    assert_int_equal(bell.end, DOORBELL_PENDING_MAX);
    doorbell_close(&bell);
    fake_peer_finish(&peer);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(hears_what_is_meant_for_it),
        cmocka_unit_test(bears_long_lines),
        cmocka_unit_test(stops_at_bad_news),
        cmocka_unit_test(watches_others_too),
        cmocka_unit_test(takes_without_looking),
        cmocka_unit_test(takes_no_more_than_there_is_room_for),
    };
    return cmocka_run_group_tests_name("doorbell", tests, NULL, NULL);
}
