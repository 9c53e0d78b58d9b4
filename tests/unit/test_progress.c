/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What the steps look like, on a terminal and elsewhere, with a clock of the test's own. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "progress.h"

#define MS UINT64_C(1000000)
#define MIB (UINT64_C(1) << 20)

static uint64_t clock_ns;

static uint64_t test_clock(void)
{
    return clock_ns;
}

struct screen {
    struct progress progress;
    char *text;
    size_t length;
    FILE *out;
};

static void open_screen(struct screen *screen, bool terminal)
{
    clock_ns = 5000 * MS;
    screen->out = open_memstream(&screen->text, &screen->length);
    assert_non_null(screen->out);
    screen->progress = (struct progress){.out = screen->out, .terminal = terminal};
    screen->progress.now = test_clock;
}

static void close_screen(struct screen *screen, const char *expected)
{
    fclose(screen->out);
    assert_string_equal(screen->text, expected);
    free(screen->text);
}

static void plain_lines_when_piped(void **context)
{
    (void)context;
    struct screen screen;
    struct progress *progress = &screen.progress;
    open_screen(&screen, false);
    progress_step_begin(progress, "stop the %s", "VM");
    clock_ns += 100 * MS;
    progress_step_end(progress, NULL);
    progress_step_begin(progress, "capture");
    clock_ns += 65400 * MS;
    progress_step_update(progress, 1, 2);
    progress_step_end(progress, "%d MiB", 7);
    progress_step_begin(progress, "one more");
    clock_ns += 2000 * MS;
    progress_step_fail(progress);
    progress_step_fail(progress); /* nothing is under way any more */
    progress_step_end(progress, NULL);
    assert_int_equal(progress->step_count, 3);
    assert_string_equal(progress->step[1].name, "capture");
    assert_int_equal(progress->step[1].duration_ns, 65400 * MS);
    assert_false(progress->step[1].failed);
    assert_true(progress->step[2].failed);
    assert_int_equal(progress_total_ns(progress), 67500 * MS);
    close_screen(&screen, "  stop the VM                          done      0.1 s\n"
                          "  capture                              done   1:05 min  7 MiB\n"
                          "  one more                             failed    2.0 s\n");
}

static void a_bar_after_a_second(void **context)
{
    (void)context;
    struct screen screen;
    struct progress *progress = &screen.progress;
    open_screen(&screen, true);
    progress_step_begin(progress, "capture");
    clock_ns += 999 * MS;
    progress_step_update(progress, 10 * MIB, 100 * MIB); /* too early for a bar */
    clock_ns += 1001 * MS;
    progress_step_update(progress, 50 * MIB, 100 * MIB);
    clock_ns += 99 * MS;
    progress_step_update(progress, 51 * MIB, 100 * MIB); /* too soon after the last */
    clock_ns += 1901 * MS;
    progress_step_update(progress, 200 * MIB, 100 * MIB); /* more than all is all */
    progress_step_end(progress, NULL);
    progress_step_begin(progress, "wait");
    clock_ns += 1500 * MS;
    progress_step_update(progress, 3, 0);
    progress_step_fail(progress);
    close_screen(&screen, "  capture                              "
                          "\r\033[K  capture                              "
                          "[############............]  50%  25.0 MiB/s  2.0 s left"
                          "\r\033[K  capture                              "
                          "[########################] 100%  25.0 MiB/s  0.0 s left"
                          "\r\033[K  capture                              done      4.0 s\n"
                          "  wait                                 "
                          "\r\033[K  wait                                 1.5 s"
                          "\r\033[K  wait                                 failed    1.5 s\n");
}

static void a_new_step_ends_the_one_before(void **context)
{
    (void)context;
    struct screen screen;
    open_screen(&screen, false);
    progress_step_begin(&screen.progress, "a");
    progress_step_begin(&screen.progress, "b");
    progress_step_end(&screen.progress, NULL);
    close_screen(&screen, "  a                                    done      0.0 s\n"
                          "  b                                    done      0.0 s\n");
    for (unsigned i = 0; i < 2 * PROGRESS_STEP_MAX; i++) {
        open_screen(&screen, false);
        screen.progress.step_count = i;
        progress_step_begin(&screen.progress, "a");
        progress_step_end(&screen.progress, NULL);
        assert_int_equal(screen.progress.step_count, i < PROGRESS_STEP_MAX ? i + 1 : i);
        fclose(screen.out);
        free(screen.text);
    }
}

static void without_progress_nothing_happens(void **context)
{
    (void)context;
    progress_init(NULL, stderr);
    progress_step_begin(NULL, "x");
    progress_step_update(NULL, 1, 2);
    progress_step_end(NULL, "x");
    progress_step_fail(NULL);
    assert_int_equal(progress_total_ns(NULL), 0);
}

static void amounts_read_well(void **context)
{
    (void)context;
    char text[32];
    assert_string_equal(progress_format_bytes(0, text, sizeof(text)), "0 B");
    assert_string_equal(progress_format_bytes(1023, text, sizeof(text)), "1023 B");
    assert_string_equal(progress_format_bytes(1024, text, sizeof(text)), "1.0 KiB");
    assert_string_equal(progress_format_bytes(MIB * 3 / 2, text, sizeof(text)), "1.5 MiB");
    assert_string_equal(progress_format_bytes(UINT64_MAX, text, sizeof(text)), "15.9 EiB");
    assert_string_equal(progress_format_time(0, text, sizeof(text)), "0.0 s");
    assert_string_equal(progress_format_time(59999 * MS, text, sizeof(text)), "59.9 s");
    assert_string_equal(progress_format_time(60000 * MS, text, sizeof(text)), "1:00 min");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_lines_when_piped),
        cmocka_unit_test(a_bar_after_a_second),
        cmocka_unit_test(a_new_step_ends_the_one_before),
        cmocka_unit_test(without_progress_nothing_happens),
        cmocka_unit_test(amounts_read_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
