/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Four vCPUs, one of them dormant, on their way into the guest: QEMU's gdbstub, its monitor and its
 * debug console are played from scripts.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_peer.h"
#include "resumed.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LONG_MS 20000
#define SHORT_MS 300
#define VCPUS 4u
#define DORMANT 1u
#define BLOCK 0x7000u

#define GREETING                                                                                   \
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, "             \
    "\"package\": \"\"}, \"capabilities\": []}}\r\n"
#define NEGOTIATION                                                                                \
    {.send = GREETING},                                                                            \
    {                                                                                              \
        .expect = "{\"execute\":\"qmp_capabilities\",\"id\":1}\n",                                 \
        .send = "{\"return\": {}, \"id\": 1}\r\n"                                                  \
    }

/* vCPU n leaves at 0xn10 and comes to 0xn20. */
#define OPENING                                                                                    \
    {.expect = "$?#3f", .send = "+$T05thread:01;#07"},                                             \
        {.expect = "+$Z0,10,1#74", .send = "+$OK#9a"},                                             \
        {.expect = "+$Z0,210,1#a6", .send = "+$OK#9a"},                                            \
    {                                                                                              \
        .expect = "+$Z0,310,1#a7", .send = "+$OK#9a"                                               \
    }
#define STEP_MODE                                                                                  \
    {                                                                                              \
        .expect = "+$Qqemu.sstep=7#da", .send = "+$OK#9a"                                          \
    }
#define CLOSING                                                                                    \
    {.expect = "+$z0,10,1#94", .send = "+$OK#9a"}, {.expect = "+$z0,210,1#c6", .send = "+$OK#9a"}, \
    {                                                                                              \
        .expect = "+$z0,310,1#c7", .send = "+$OK#9a"                                               \
    }
#define DESCRIPTION                                                                                \
    {                                                                                              \
        .expect = "+$qXfer:features:read:target.xml:0,800#e3", .send = "+$l<x/>#8d"                \
    }
#define SELECT_0                                                                                   \
    {                                                                                              \
        .expect = "+$Hg1#e0", .send = "+$OK#9a"                                                    \
    }
#define SELECT_2                                                                                   \
    {                                                                                              \
        .expect = "+$Hg3#e2", .send = "+$OK#9a"                                                    \
    }
#define SELECT_3                                                                                   \
    {                                                                                              \
        .expect = "+$Hg4#e3", .send = "+$OK#9a"                                                    \
    }
#define RIP(value)                                                                                 \
    {                                                                                              \
        .expect = "+$p10#d1", .send = "+$" value                                                   \
    }
#define ELSEWHERE RIP("0050000000000000#05")
#define LEAVE_0 RIP("1000000000000000#01")
#define LEAVE_2 RIP("1002000000000000#03")
#define LEAVE_3 RIP("1003000000000000#04")
#define GUEST_0 RIP("2000000000000000#02")
#define GUEST_2 RIP("2002000000000000#04")
#define GUEST_3 RIP("2003000000000000#05")

#define GOOD_LEDGER "========================\n"
#define LEDGERS                                                                                    \
    "libresume: ledger cpu=2         " GOOD_LEDGER "libresume: ledger cpu=0         " GOOD_LEDGER  \
    "libresume: ledger cpu=3         " GOOD_LEDGER

struct fixture {
    struct resumed resumed;
    struct splice_parked parked;
    struct resume_handoff handoff[VCPUS];
    struct readback readback;
    struct report_failure failure;
    struct fake_peer monitor;
    struct fake_peer console;
    struct fake_peer stub;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->parked.handoff = f->handoff;
    f->parked.control.vcpu_count = VCPUS;
    f->parked.control.active_count = VCPUS - 1;
    f->parked.control.block_length = BLOCK;
    f->parked.control.home_pa = 0x1000000;
    for (uint32_t i = 0; i < VCPUS; i++) {
        f->handoff[i].flags = i != DORMANT ? RESUME_HANDOFF_ACTIVE : 0;
        f->handoff[i].index = i;
        f->handoff[i].leave_va = i * 0x100 + 0x10;
        f->handoff[i].rip = i * 0x100 + 0x20;
    }
    f->resumed.gdb_fd = -1;
    f->resumed.give_up_fd = -1;
    f->resumed.log_fd = -1;
    f->resumed.pipe_fd = -1;
    f->resumed.bell.fd = -1;
    f->resumed.bell.log_fd = -1;
    f->resumed.timeout_ms = LONG_MS;
    *state = f;
    return 0;
}

static void connect_monitor(struct fixture *f, const struct fake_step *steps, size_t count)
{
    int fd = fake_peer_start(&f->monitor, steps, count);
    assert_int_equal(qmp_open_fd(&f->resumed.qmp, fd, "the peer", LONG_MS, &f->failure), 0);
}

static void connect_console(struct fixture *f, const struct fake_step *steps, size_t count)
{
    int fd = fake_peer_start(&f->console, steps, count);
    assert_int_equal(doorbell_open(&f->resumed.bell, fd, NULL, &f->failure), 0);
}

static int run_to_guest(struct fixture *f, const struct fake_step *steps, size_t count)
{
    f->resumed.gdb_fd = fake_peer_start(&f->stub, steps, count);
    return resumed_run_to_guest(&f->resumed, &f->parked, &f->readback, &f->failure);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    resumed_let_go(&f->resumed);
    readback_close(&f->readback);
    free(f);
    return 0;
}

static void assert_why(const struct fixture *f, const char *why)
{
    if (strstr(f->failure.why, why) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", why, f->failure.why);
}

/* Ends the peers; each says whether all went by its script. */
static void finish(struct fixture *f, bool console, bool stub)
{
    resumed_let_go(&f->resumed);
    fake_peer_finish(&f->monitor);
    if (console)
        fake_peer_finish(&f->console);
    if (stub)
        fake_peer_finish(&f->stub);
}

static const struct fake_step monitor_steps[] = {NEGOTIATION};
static const struct fake_step console_steps[] = {{.send = LEDGERS "libresume: landing\n"}};

/* The whole run, with a monitor and a console that say what they should: the result. */
static int play(struct fixture *f, const struct fake_step *steps, size_t count)
{
    connect_monitor(f, monitor_steps, COUNT(monitor_steps));
    connect_console(f, console_steps, COUNT(console_steps));
    int result = run_to_guest(f, steps, count);
    finish(f, true, true);
    return result;
}

/* vCPU 2 arrives first, then 0 and 3 at once: the stop tells of 3 only. */
static void holds_each_vcpu_that_has_arrived(void **state)
{
    static const struct fake_step steps[] = {
        OPENING,
        {.expect = "+$vCont;c:1;c:3;c:4#2a", .send = "+$T05thread:03;#09"},
        SELECT_0,
        DESCRIPTION,
        ELSEWHERE,
        SELECT_2,
        LEAVE_2,
        SELECT_3,
        ELSEWHERE,
        {.expect = "+$vCont;c:1;c:4#1f", .send = "+$T05thread:04;#0a"},
        SELECT_0,
        LEAVE_0,
        SELECT_3,
        LEAVE_3,
        STEP_MODE,
        {.expect = "+$vCont;s:1#23", .send = "+$T05thread:01;#07"},
        SELECT_0,
        GUEST_0,
        {.expect = "+$vCont;s:3#25", .send = "+$T05thread:03;#09"},
        SELECT_2,
        GUEST_2,
        {.expect = "+$vCont;s:4#26", .send = "+$T05thread:04;#0a"},
        SELECT_3,
        GUEST_3,
        CLOSING,
    };
    struct fixture *f = *state;
    int result = play(f, steps, COUNT(steps));
    assert_int_equal(result, 0);
    assert_int_equal(readback_count(&f->readback, 0).exact, 24);
    assert_int_equal(readback_count(&f->readback, DORMANT).exact, 0);
    assert_int_equal(readback_count(&f->readback, 3).exact, 24);
}

/* A stop that was told twice: nobody has arrived, nothing was stepped. */
static void bears_a_stop_too_many(void **state)
{
    static const struct fake_step steps[] = {
        OPENING,
        {.expect = "+$vCont;c:1;c:3;c:4#2a", .send = "+$T05thread:03;#09"},
        SELECT_0,
        DESCRIPTION,
        LEAVE_0,
        SELECT_2,
        LEAVE_2,
        SELECT_3,
        ELSEWHERE,
        {.expect = "+$vCont;c:4#16", .send = "+$T05thread:01;#07"},
        SELECT_3,
        ELSEWHERE,
        {.expect = "+$vCont;c:4#16", .send = "+$T05thread:04;#0a"},
        SELECT_3,
        LEAVE_3,
        STEP_MODE,
        {.expect = "+$vCont;s:1#23", .send = "+$T05thread:04;#0a"},
        SELECT_0,
        LEAVE_0,
        {.expect = "+$vCont;s:1#23", .send = "+$T05thread:01;#07"},
        SELECT_0,
        GUEST_0,
        {.expect = "+$vCont;s:3#25", .send = "+$T05thread:03;#09"},
        SELECT_2,
        GUEST_2,
        {.expect = "+$vCont;s:4#26", .send = "+$T05thread:04;#0a"},
        SELECT_3,
        GUEST_3,
        CLOSING,
    };
    struct fixture *f = *state;
    int result = play(f, steps, COUNT(steps));
    assert_int_equal(result, 0);
}

static void refuses_another_rip(void **state)
{
    static const struct fake_step steps[] = {
        OPENING,
        {.expect = "+$vCont;c:1;c:3;c:4#2a", .send = "+$T05thread:03;#09"},
        SELECT_0,
        DESCRIPTION,
        LEAVE_0,
        SELECT_2,
        LEAVE_2,
        SELECT_3,
        LEAVE_3,
        STEP_MODE,
        {.expect = "+$vCont;s:1#23", .send = "+$T05thread:01;#07"},
        SELECT_0,
        GUEST_0,
        {.expect = "+$vCont;s:3#25", .send = "+$T05thread:03;#09"},
        SELECT_2,
        GUEST_3,
    };
    struct fixture *f = *state;
    int result = play(f, steps, COUNT(steps));
    assert_int_equal(result, -EXIT_CODE_DIFFERENT);
    assert_why(f, "vCPU 2 stopped at RIP 0x320, expected 0x220");
}

/* What is not at its place is not stepped for ever. */
static void gives_up_on_stops_without_arrival(void **state)
{
    enum { TIMES = 8 };
    static const struct fake_step opening[] = {
        OPENING,   {.expect = "+$vCont;c:1;c:3;c:4#2a", .send = "+$T05thread:03;#09"},
        SELECT_0,  DESCRIPTION,
        ELSEWHERE, SELECT_2,
        ELSEWHERE, SELECT_3,
        ELSEWHERE,
    };
    static const struct fake_step again[] = {
        {.expect = "+$vCont;c:1;c:3;c:4#2a", .send = "+$T05thread:03;#09"},
        SELECT_0,
        ELSEWHERE,
        SELECT_2,
        ELSEWHERE,
        SELECT_3,
        ELSEWHERE,
    };
    struct fake_step steps[COUNT(opening) + (TIMES - 1) * COUNT(again)];
    struct fixture *f = *state;
    memcpy(steps, opening, sizeof(opening));
    for (size_t i = 0; i + 1 < TIMES; i++)
        memcpy(steps + COUNT(opening) + i * COUNT(again), again, sizeof(again));
    int result = play(f, steps, COUNT(steps));
    assert_int_equal(result, -EXIT_CODE_DIFFERENT);
    assert_why(f, "last instruction of vCPUs 0, 2, 3");
}

/* The gdbstub says nothing; the console tells of a difference. */
static void stops_at_a_difference(void **state)
{
    static const struct fake_step steps[] = {
        OPENING,
        {.expect = "+$vCont;c:1;c:3;c:4#2a", .send = "+"},
    };
    static const struct fake_step console[] = {
        {.send = "libresume: ledger cpu=2         ==!.....................\n"
                 "libresume: differs cpu=0x0000000000000002 field=0x0000000000000002 "
                 "wanted=0x0000000001234000 got=0x0000000001235000\n"}};
    struct fixture *f = *state;
    connect_monitor(f, monitor_steps, COUNT(monitor_steps));
    connect_console(f, console, COUNT(console));
    int result = run_to_guest(f, steps, COUNT(steps));
    finish(f, true, true);
    assert_int_equal(result, -EXIT_CODE_DIFFERENT);
    assert_why(f, "vCPU 2: cr3 does not read back as restored: wanted 0x1234000, got 0x1235000");
}

static void enters_nobody_without_every_ledger(void **state)
{
    static const struct fake_step steps[] = {
        OPENING,  {.expect = "+$vCont;c:1;c:3;c:4#2a", .send = "+$T05thread:03;#09"},
        SELECT_0, DESCRIPTION,
        LEAVE_0,  SELECT_2,
        LEAVE_2,  SELECT_3,
        LEAVE_3,
    };
    static const struct fake_step console[] = {
        {.send = "libresume: ledger cpu=2         " GOOD_LEDGER
                 "libresume: ledger cpu=0         " GOOD_LEDGER "libresume: landing\n"}};
    struct fixture *f = *state;
    connect_monitor(f, monitor_steps, COUNT(monitor_steps));
    connect_console(f, console, COUNT(console));
    int result = run_to_guest(f, steps, COUNT(steps));
    finish(f, true, true);
    assert_int_equal(result, -EXIT_CODE_ENVIRONMENT);
    assert_why(f, "ledger of vCPU 3 did not come");
}

/* What the monitor is asked after "cont", and how it answers. */
struct script {
    struct fake_step step[32];
    size_t count;
    char text[32][2][256];
};

#define MAGIC UINT64_C(0x4c4f52544e4f434d)
#define CONTROL(field) (0x1000000 + offsetof(struct resume_control, field))
/* The blocks begin at 0x1010000. */
#define HANDOFF(vcpu, field)                                                                       \
    (0x1010000 + (vcpu) * (uint64_t)BLOCK + offsetof(struct resume_handoff, field))

static void begin(struct script *script)
{
    static const struct fake_step steps[] = {
        NEGOTIATION,
        {.expect = "{\"execute\":\"cont\",\"id\":2}\n",
         .send =
             "{\"return\": {}, \"id\": 2}\r\n"
             "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"RESUME\"}\r\n"},
    };
    memset(script, 0, sizeof(*script));
    memcpy(script->step, steps, sizeof(steps));
    script->count = COUNT(steps);
}

/* A word of guest memory is read: of 4 ('w') or 8 ('g') bytes. */
static void expect_read(struct script *script, char size, uint64_t pa, uint64_t value)
{
    size_t i = script->count++; /* which is also the request's id: the greeting has none */
    assert_true(i < COUNT(script->step));
    snprintf(script->text[i][0], sizeof(script->text[i][0]),
             "{\"execute\":\"human-monitor-command\",\"id\":%zu,\"arguments\":"
             "{\"command-line\":\"xp /1%cx 0x%llx\"}}\n",
             i, size, (unsigned long long)pa);
    snprintf(script->text[i][1], sizeof(script->text[i][1]),
             "{\"return\": \"%016llx: 0x%0*llx\\r\\n\", \"id\": %zu}\r\n", (unsigned long long)pa,
             size == 'g' ? 16 : 8, (unsigned long long)value, i);
    script->step[i].expect = script->text[i][0];
    script->step[i].send = script->text[i][1];
}

static void tells_where_each_vcpu_hangs(void **state)
{
    static const struct fake_step console[] = {{.send = "libresume: go\n"}};
    struct fixture *f = *state;
    struct script script;
    begin(&script);
    expect_read(&script, 'g', CONTROL(magic), MAGIC);
    expect_read(&script, 'w', HANDOFF(0, stage), 10);
    expect_read(&script, 'w', HANDOFF(2, stage), 5);
    expect_read(&script, 'w', HANDOFF(3, stage), 10);
    connect_monitor(f, script.step, script.count);
    connect_console(f, console, COUNT(console));
    f->resumed.timeout_ms = SHORT_MS;
    int result = resumed_run(&f->resumed, &f->parked, &f->readback, &f->failure);
    finish(f, true, false);
    assert_int_equal(result, -EXIT_CODE_TIMEOUT);
    assert_why(f, "vCPU 2 in stage 5 (the MSRs); vCPUs 0, 3 in stage 10 (waiting for the other "
                  "vCPUs)");
}

/* Without a console: that one has failed is seen in the home, then the handoffs tell which. */
static void finds_a_silent_difference(void **state)
{
    struct fixture *f = *state;
    struct script script;
    begin(&script);
    expect_read(&script, 'g', CONTROL(magic), MAGIC);
    expect_read(&script, 'w', CONTROL(failed), 0);
    expect_read(&script, 'g', CONTROL(magic), MAGIC);
    expect_read(&script, 'w', CONTROL(failed), 1);
    expect_read(&script, 'w', HANDOFF(0, stage), 10);
    expect_read(&script, 'g', HANDOFF(0, fault.rip), 0);
    expect_read(&script, 'w', HANDOFF(2, stage), 12);
    expect_read(&script, 'g', HANDOFF(2, fault.rip), 0);
    expect_read(&script, 'w', HANDOFF(2, differs_field), 5);
    expect_read(&script, 'g', HANDOFF(2, differs_wanted), 0xd01);
    expect_read(&script, 'g', HANDOFF(2, differs_got), 0x500);
    connect_monitor(f, script.step, script.count);
    int result = resumed_run(&f->resumed, &f->parked, &f->readback, &f->failure);
    finish(f, false, false);
    assert_int_equal(result, -EXIT_CODE_DIFFERENT);
    assert_why(f, "vCPU 2: efer does not read back as restored: wanted 0xd01, got 0x500");
}

static void finds_a_silent_fault(void **state)
{
    struct fixture *f = *state;
    struct script script;
    begin(&script);
    expect_read(&script, 'g', CONTROL(magic), MAGIC);
    expect_read(&script, 'w', CONTROL(failed), 1);
    expect_read(&script, 'w', HANDOFF(0, stage), 4);
    expect_read(&script, 'g', HANDOFF(0, fault.rip), 0xffffffff81801234);
    expect_read(&script, 'g', HANDOFF(0, fault.vector), 13);
    expect_read(&script, 'g', HANDOFF(0, fault.cr2), 0);
    connect_monitor(f, script.step, script.count);
    int result = resumed_run(&f->resumed, &f->parked, &f->readback, &f->failure);
    finish(f, false, false);
    assert_int_equal(result, -EXIT_CODE_ENVIRONMENT);
    assert_why(f, "a fault on vCPU 0: vector 13, RIP 0xffffffff81801234, CR2 0x0, stage 4");
}

static void takes_a_refilled_home_for_the_landing(void **state)
{
    struct fixture *f = *state;
    struct script script;
    begin(&script);
    expect_read(&script, 'g', CONTROL(magic), 0xcccccccccccccccc);
    expect_read(&script, 'w', CONTROL(failed), 0xcccccccc);
    connect_monitor(f, script.step, script.count);
    int result = resumed_run(&f->resumed, &f->parked, &f->readback, &f->failure);
    finish(f, false, false);
    assert_int_equal(result, 0);
    assert_false(f->readback.heard);
}

/* Nobody reads what is written; something else says that there is no use in it any more. */
static void writes_no_more_when_it_is_to_give_up(void **state)
{
    struct fixture *f = *state;
    static const char data[4096];
    int stream[2];
    int other[2];
    assert_int_equal(pipe(stream), 0);
    assert_int_equal(pipe(other), 0);
    assert_int_equal(fcntl(stream[1], F_SETFL, O_NONBLOCK), 0);
    f->resumed.pipe_fd = stream[1];
    f->resumed.give_up_fd = other[0];
    assert_int_equal(resumed_write(&f->resumed, data, sizeof(data)), 0);
    assert_int_equal(write(other[1], "", 1), 1);
    /* There is room, and still. */
    assert_int_equal(resumed_write(&f->resumed, data, sizeof(data)), -1);
    assert_int_equal(f->resumed.write_error, ECANCELED);
    close(stream[0]);
    close(other[0]);
    close(other[1]);
}

struct later {
    int fd;
    int full_fd; /* the write end of a pipe that has to be full first */
};

static void *say_later(void *ctx)
{
    const struct later *later = ctx;
    struct pollfd entry = {.fd = later->full_fd, .events = POLLOUT};
    while (poll(&entry, 1, 0) > 0)
        sched_yield();
    assert_int_equal(write(later->fd, "", 1), 1);
    return NULL;
}

static void gives_up_while_it_waits_for_the_reader(void **state)
{
    struct fixture *f = *state;
    static const char data[1 << 17]; /* more than a pipe takes */
    int stream[2];
    int other[2];
    pthread_t thread;
    assert_int_equal(pipe(stream), 0);
    assert_int_equal(pipe(other), 0);
    assert_int_equal(fcntl(stream[1], F_SETFL, O_NONBLOCK), 0);
    f->resumed.pipe_fd = stream[1];
    f->resumed.give_up_fd = other[0];
    struct later later = {.fd = other[1], .full_fd = stream[1]};
    assert_int_equal(pthread_create(&thread, NULL, say_later, &later), 0);
    assert_int_equal(resumed_write(&f->resumed, data, sizeof(data)), -1);
    assert_int_equal(f->resumed.write_error, ECANCELED);
    assert_int_equal(pthread_join(thread, NULL), 0);
    close(stream[0]);
    close(other[0]);
    close(other[1]);
}

static void looks_at_the_machine_type(void **state)
{
    struct fixture *f = *state;
    static const struct fake_step steps[] = {
        NEGOTIATION,
        {.expect = "{\"execute\":\"qom-get\",\"id\":2,\"arguments\":{\"path\":\"/machine\","
                   "\"property\":\"type\"}}\n",
         .send = "{\"return\": \"pc-i440fx-7.2-machine\", \"id\": 2}\r\n"},
        {.expect = "{\"execute\":\"qom-get\",\"id\":3,\"arguments\":{\"path\":\"/machine\","
                   "\"property\":\"type\"}}\n",
         .send = "{\"return\": \"pc-i440fx-7.2-machine\", \"id\": 3}\r\n"},
    };
    struct manifest *manifest = calloc(1, sizeof(*manifest));
    assert_non_null(manifest);
    connect_monitor(f, steps, COUNT(steps));
    strcpy(manifest->machine_type, "pc-i440fx-7.2");
    assert_int_equal(resumed_check(&f->resumed, manifest, &f->failure), 0);
    strcpy(manifest->machine_type, "pc-q35-7.2");
    assert_int_equal(resumed_check(&f->resumed, manifest, &f->failure), -EXIT_CODE_REFUSED);
    assert_why(f, "the source is a pc-q35-7.2, the target a pc-i440fx-7.2");
    finish(f, false, false);
    free(manifest);
}

#define RESUMED_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RESUMED_TEST(holds_each_vcpu_that_has_arrived),
        RESUMED_TEST(bears_a_stop_too_many),
        RESUMED_TEST(refuses_another_rip),
        RESUMED_TEST(gives_up_on_stops_without_arrival),
        RESUMED_TEST(stops_at_a_difference),
        RESUMED_TEST(enters_nobody_without_every_ledger),
        RESUMED_TEST(tells_where_each_vcpu_hangs),
        RESUMED_TEST(finds_a_silent_difference),
        RESUMED_TEST(finds_a_silent_fault),
        RESUMED_TEST(takes_a_refilled_home_for_the_landing),
        RESUMED_TEST(writes_no_more_when_it_is_to_give_up),
        RESUMED_TEST(gives_up_while_it_waits_for_the_reader),
        RESUMED_TEST(looks_at_the_machine_type),
    };
    return cmocka_run_group_tests_name("resumed", tests, NULL, NULL);
}
