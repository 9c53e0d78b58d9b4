/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The client of the GDB remote protocol against a server that is played from a script. The
 * checksums are written out: the sum of the characters modulo 256. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_peer.h"
#include "gdb.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LONG_MS 20000
#define SHORT_MS 50

#define OPENING                                                                                    \
    {                                                                                              \
        .expect = "$?#3f", .send = "+$T05thread:01;#07"                                            \
    }

static struct gdb *open_peer(struct fake_peer *peer, const struct fake_step *steps, size_t count)
{
    struct gdb *gdb = NULL;
    struct report_failure failure = {0};
    int fd = fake_peer_start(peer, steps, count);
    int result = gdb_open_fd(&gdb, fd, "the peer", &failure);
    if (result != 0)
        fail_msg("%s", failure.why);
    return gdb;
}

static void sets_and_clears_breakpoints(void **context)
{
    (void)context;
    static const struct fake_step steps[] = {
        OPENING,
        {.expect = "+$Z0,ffffffff81000010,1#cd", .send = "+$OK#9a"},
        {.expect = "+$Z1,7fff,1#7d", .send = "+$OK#9a"},
        {.expect = "+$z0,ffffffff81000010,1#ed", .send = "+$OK#9a"},
        {.expect = "+$z1,1,1#65", .send = "+$E16#ac"},
        {.expect = "+$Z1,2,1#46", .send = "+$#00"},
    };
    struct fake_peer peer;
    struct report_failure failure = {0};
    struct gdb *gdb = open_peer(&peer, steps, COUNT(steps));
    uint64_t va = UINT64_C(0xffffffff81000010);
    assert_int_equal(gdb_break_set(gdb, GDB_BREAK_SOFTWARE, va, &failure), 0);
    assert_int_equal(gdb_break_set(gdb, GDB_BREAK_HARDWARE, 0x7fff, &failure), 0);
    assert_int_equal(gdb_break_clear(gdb, GDB_BREAK_SOFTWARE, va, &failure), 0);
    assert_int_equal(gdb_break_clear(gdb, GDB_BREAK_HARDWARE, 1, &failure), -EXIT_CODE_REFUSED);
    assert_string_equal(failure.why, "QEMU refuses the request \"z1,1,1\"");
    assert_int_equal(gdb_break_set(gdb, GDB_BREAK_HARDWARE, 2, &failure), -EXIT_CODE_REFUSED);
    assert_string_equal(failure.why, "QEMU does not know the request \"Z1,2,1\"");
    gdb_close(gdb);
    fake_peer_finish(&peer);
}

static void continues_and_waits_for_the_stop(void **context)
{
    (void)context;
    static const struct fake_step steps[] = {
        OPENING,
        {.expect = "+$vCont;c#a8", .send = "+$O48690a#bb$T02thread:p01.02;#04"},
        {.expect = "+$vCont;s:1#23", .send = "+$S05#b8"},
        {.expect = "+$vCont;c#a8", .send = "+"},
        {.expect = "\003", .send = "$W00#b7"},
    };
    struct fake_peer peer;
    struct report_failure failure = {0};
    struct gdb_stop stop;
    struct gdb *gdb = open_peer(&peer, steps, COUNT(steps));
    assert_int_equal(gdb_continue(gdb, &failure), 0);
    assert_int_equal(gdb_wait_stop(gdb, LONG_MS, "the landing", &stop, &failure), 0);
    assert_int_equal(stop.signal, 2);
    assert_int_equal(stop.thread, 2);
    assert_false(stop.exited);
    assert_int_equal(gdb_step(gdb, GDB_THREAD(0), &stop, &failure), 0);
    assert_int_equal(stop.signal, 5);
    assert_int_equal(stop.thread, 0);
    assert_int_equal(gdb_continue(gdb, &failure), 0);
    assert_int_equal(gdb_wait_stop(gdb, SHORT_MS, "the landing", &stop, &failure),
                     -EXIT_CODE_TIMEOUT);
    assert_non_null(strstr(failure.why, "waiting for the landing"));
    assert_int_equal(gdb_interrupt(gdb, &failure), 0);
    assert_int_equal(gdb_wait_stop(gdb, LONG_MS, "the stop", &stop, &failure), 0);
    assert_true(stop.exited);
    gdb_close(gdb);
    fake_peer_finish(&peer);
}

/* Threads are numbered from 1, in hexadecimal. */
static void holds_all_vcpus_but_those_named(void **context)
{
    (void)context;
    static const struct fake_step steps[] = {
        OPENING,
        {.expect = "+$vCont;c:1;c:a;c:100#b5", .send = "+$T05thread:0a;#37"},
        {.expect = "+$Hg100#40", .send = "+$OK#9a"},
        {.expect = "+$vCont;s:3#25", .send = "+$T05thread:03;#09"},
        {.expect = "+$Hg2#e1", .send = "+$E22#a9"},
        {.expect = "+$vCont;c:7#19", .send = "+$E22#a9"},
    };
    static const uint32_t threads[] = {GDB_THREAD(0), GDB_THREAD(9), GDB_THREAD(255)};
    static const uint32_t missing[] = {GDB_THREAD(6)};
    struct fake_peer peer;
    struct report_failure failure = {0};
    struct gdb_stop stop = {0};
    struct gdb *gdb = open_peer(&peer, steps, COUNT(steps));
    assert_false(gdb_pending(gdb));
    assert_int_equal(gdb_continue_threads(gdb, threads, 3, &failure), 0);
    assert_int_equal(gdb_wait_stop(gdb, LONG_MS, "the landing", &stop, &failure), 0);
    assert_int_equal(stop.thread, GDB_THREAD(9));
    assert_int_equal(gdb_thread_select(gdb, GDB_THREAD(255), &failure), 0);
    assert_int_equal(gdb_step(gdb, GDB_THREAD(2), &stop, &failure), 0);
    assert_int_equal(stop.thread, GDB_THREAD(2));
    assert_int_equal(gdb_thread_select(gdb, GDB_THREAD(1), &failure), -EXIT_CODE_REFUSED);
    /* The refusal comes in place of the stop. */
    assert_int_equal(gdb_continue_threads(gdb, missing, 1, &failure), 0);
    assert_int_equal(gdb_wait_stop(gdb, LONG_MS, "the landing", &stop, &failure),
                     -EXIT_CODE_REFUSED);
    gdb_close(gdb);
    fake_peer_finish(&peer);
}

/* What came together with an acknowledgement makes the socket no more readable. */
static void knows_what_came_already(void **context)
{
    (void)context;
    static const struct fake_step steps[] = {
        OPENING,
        {.expect = "+$vCont;c:1#13", .send = "+$T05thread:01;#07"},
    };
    static const uint32_t threads[] = {GDB_THREAD(0)};
    struct fake_peer peer;
    struct report_failure failure = {0};
    struct gdb_stop stop = {0};
    struct gdb *gdb = open_peer(&peer, steps, COUNT(steps));
    assert_int_equal(gdb_continue_threads(gdb, threads, 1, &failure), 0);
    assert_true(gdb_pending(gdb));
    assert_int_equal(gdb_wait_stop(gdb, SHORT_MS, "the landing", &stop, &failure), 0);
    assert_int_equal(stop.thread, GDB_THREAD(0));
    assert_false(gdb_pending(gdb));
    gdb_close(gdb);
    fake_peer_finish(&peer);
}

static void reads_memory_and_registers(void **context)
{
    (void)context;
    static const struct fake_step steps[] = {
        OPENING,
        {.expect = "+$mffffffff81000000,4#86", .send = "+$deadBEEF#a0"},
        {.expect = "+$m1000,3#8d", .send = "+$0* #7a"}, /* run length: "0000" is 2 bytes, not 3 */
        {.expect = "+$m1000,2#8c", .send = "+$0* #7a"},
        {.expect = "+$qXfer:features:read:target.xml:0,800#e3", .send = "+$l<x/>#8d"},
        {.expect = "+$p10#d1", .send = "+$f0ff000000000000#a2"},
        {.expect = "+$p11#d2", .send = "+$46020000#8c"},
        {.expect = "+$p12#d3", .send = "+$E14#aa"},
    };
    struct fake_peer peer;
    struct report_failure failure = {0};
    struct gdb *gdb = open_peer(&peer, steps, COUNT(steps));
    uint8_t bytes[4] = {0};
    static const uint8_t expected[4] = {0xde, 0xad, 0xbe, 0xef};
    assert_int_equal(
        gdb_read_memory(gdb, UINT64_C(0xffffffff81000000), bytes, sizeof(bytes), &failure), 0);
    assert_memory_equal(bytes, expected, sizeof(bytes));
    assert_int_equal(gdb_read_memory(gdb, 0x1000, bytes, 3, &failure), -EXIT_CODE_REFUSED);
    assert_memory_equal(bytes, expected, sizeof(bytes)); /* untouched by the failure */
    assert_int_equal(gdb_read_memory(gdb, 0x1000, bytes, 2, &failure), 0);
    assert_int_equal(bytes[0] | bytes[1], 0);
    uint64_t value = 1;
    assert_int_equal(gdb_read_register(gdb, GDB_REGISTER_RIP, &value, &failure), 0);
    assert_int_equal(value, 0xfff0);
    assert_int_equal(gdb_read_register(gdb, GDB_REGISTER_EFLAGS, &value, &failure), 0);
    assert_int_equal(value, 0x246);
    assert_int_equal(gdb_read_register(gdb, 18, &value, &failure), -EXIT_CODE_REFUSED);
    assert_int_equal(value, 0x246);
    gdb_close(gdb);
    fake_peer_finish(&peer);
}

static void sets_the_step_mode(void **context)
{
    (void)context;
    static const struct fake_step steps[] = {
        OPENING,
        {.expect = "+$qqemu.sstep#86", .send = "+$0x7#df"},
        {.expect = "+$Qqemu.sstep=1#d4", .send = "+$OK#9a"},
        {.expect = "+$Qqemu.PhyMemMode:1#77", .send = "+$OK#9a"},
        {.expect = "+$D#44", .send = "+$OK#9a"},
    };
    struct fake_peer peer;
    struct report_failure failure = {0};
    uint32_t flags = 0;
    struct gdb *gdb = open_peer(&peer, steps, COUNT(steps));
    assert_int_equal(gdb_step_mode_get(gdb, &flags, &failure), 0);
    assert_int_equal(flags, GDB_STEP_ENABLE | GDB_STEP_NOIRQ | GDB_STEP_NOTIMER);
    assert_int_equal(gdb_step_mode_set(gdb, GDB_STEP_ENABLE, &failure), 0);
    assert_int_equal(gdb_physical_mode_set(gdb, true, &failure), 0);
    assert_int_equal(gdb_detach(gdb, &failure), 0);
    gdb_close(gdb);
    fake_peer_finish(&peer);
}

static void bad_packets_are_asked_for_again(void **context)
{
    (void)context;
    static const struct fake_step steps[] = {
        {.expect = "$?#3f", .send = "-"},                  /* it did not understand */
        {.expect = "$?#3f", .send = "+$T05thread:01;#08"}, /* wrong checksum */
        {.expect = "-", .send = "noise$T05thread:01;#07"}, /* once more, after noise */
        {.expect = "+$qx#e9", .send = "+$a}\x03}]z#35", .one_by_one = true}, /* escaped # and } */
    };
    struct fake_peer peer;
    struct report_failure failure = {0};
    char reply[8];
    size_t length = 0;
    struct gdb *gdb = open_peer(&peer, steps, COUNT(steps));
    assert_int_equal(gdb_request(gdb, "qx", reply, sizeof(reply), &length, &failure), 0);
    assert_int_equal(length, 4);
    assert_string_equal(reply, "a#}z");
    gdb_close(gdb);
    fake_peer_finish(&peer);
}

static void assert_open_fails(const struct fake_step *steps, size_t count, int code,
                              const char *why)
{
    struct fake_peer peer;
    struct report_failure failure = {0};
    struct gdb *gdb = NULL;
    int fd = fake_peer_start(&peer, steps, count);
    assert_int_equal(gdb_open_fd(&gdb, fd, "the peer", &failure), -code);
    assert_null(gdb);
    if (strstr(failure.why, why) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", why, failure.why);
    fake_peer_finish(&peer);
}

static void nonsense_is_refused(void **context)
{
    (void)context;
    static char kilobyte[1025];
    memset(kilobyte, 'a', sizeof(kilobyte) - 1);
    const struct fake_step gone[] = {{.expect = "$?#3f", .send = "+$T05", .close = true}};
    assert_open_fails(gone, 1, EXIT_CODE_ENVIRONMENT, "closed the connection");
    const struct fake_step noise[] = {{.expect = "$?#3f", .send = kilobyte, .times = 16}};
    assert_open_fails(noise, 1, EXIT_CODE_ENVIRONMENT, "it takes no packet");
    const struct fake_step late_noise[] = {{.expect = "$?#3f", .send = "+"},
                                           {.send = kilobyte, .times = 8}};
    assert_open_fails(late_noise, 2, EXIT_CODE_ENVIRONMENT, "no packet begins");
    const struct fake_step endless[] = {{.expect = "$?#3f", .send = "+$"},
                                        {.send = kilobyte, .times = 65}};
    assert_open_fails(endless, 2, EXIT_CODE_ENVIRONMENT, "an overlong packet");
    const struct fake_step bomb[] = {{.expect = "$?#3f", .send = "+$a"},
                                     {.send = "*~", .times = 1000}};
    assert_open_fails(bomb, 2, EXIT_CODE_ENVIRONMENT, "an overlong packet");
    const struct fake_step empty_run[] = {{.expect = "$?#3f", .send = "+$* #4a"}};
    assert_open_fails(empty_run, 1, EXIT_CODE_ENVIRONMENT, "a bad run length");
    const struct fake_step sums[] = {{.expect = "$?#3f", .send = "+$S05#00$S05#zz$S05#b9"}};
    assert_open_fails(sums, 1, EXIT_CODE_ENVIRONMENT, "wrong checksums");
    const struct fake_step unreadable[] = {{.expect = "$?#3f", .send = "+$Tx5#01"}};
    assert_open_fails(unreadable, 1, EXIT_CODE_ENVIRONMENT, "a stop reply that cannot be read");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_and_clears_breakpoints),
        cmocka_unit_test(continues_and_waits_for_the_stop),
        cmocka_unit_test(holds_all_vcpus_but_those_named),
        cmocka_unit_test(knows_what_came_already),
        cmocka_unit_test(reads_memory_and_registers),
        cmocka_unit_test(sets_the_step_mode),
        cmocka_unit_test(bad_packets_are_asked_for_again),
        cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
