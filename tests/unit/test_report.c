/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What errors look like. */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "report.h"

static void failures_have_one_form(void **context)
{
    (void)context;
    struct report_failure failure = {0};
    char text[2048];
    assert_int_equal(
        report_fail(&failure, EXIT_CODE_REFUSED, "snapshot", "dir", "remove it", "%s exists", "it"),
        -1);
    assert_string_equal(report_format(&failure, text, sizeof(text)),
                        "resumectl: snapshot: dir: it exists (remove it)");
    assert_int_equal(report_fail(&failure, EXIT_CODE_TIMEOUT, "a", "", NULL, "b"), -5);
    assert_string_equal(report_format(&failure, text, sizeof(text)), "resumectl: a: b");
    /* its own text may be part of the new one */
    assert_int_equal(report_fail(&failure, EXIT_CODE_USAGE, failure.what, failure.why, "",
                                 "after %s", failure.why),
                     -2);
    assert_string_equal(report_format(&failure, text, sizeof(text)), "resumectl: a: b: after b");
    assert_int_equal(report_fail_errno(&failure, ENOSPC, "snapshot", "dir"), -3);
    assert_string_equal(report_format(&failure, text, sizeof(text)),
                        "resumectl: snapshot: dir: the disk is full (free some space there, or "
                        "choose another directory)");
    assert_int_equal(report_fail_errno(&failure, EACCES, "a", "b"), -3);
    assert_string_equal(report_format(&failure, text, sizeof(text)),
                        "resumectl: a: b: Permission denied");
    assert_int_equal(report_fail_memory(&failure, "a"), -3);
    assert_string_equal(report_format(&failure, text, sizeof(text)), "resumectl: a: out of memory");
}

static void diagnoses_are_spelled_out(void **context)
{
    (void)context;
    struct report_failure failure = {0};
    char text[2048];
    char expected[512];
    const struct resume_diag diag = {.where = "CTRL record",
                                     .field = "cr4",
                                     .offset = 0x48,
                                     .found = 0x1000,
                                     .expected = 0x20,
                                     .vcpu = 0};
    assert_int_equal(
        report_fail_diag(&failure, RESUME_EREGISTER, &diag, "validate", "state.rsm", NULL), -1);
    snprintf(expected, sizeof(expected),
             "resumectl: validate: state.rsm: %s: vCPU 0, CTRL record, cr4 at 0x48: found 0x1000, "
             "expected 0x20",
             resume_strerror(RESUME_EREGISTER));
    assert_string_equal(report_format(&failure, text, sizeof(text)), expected);
    assert_int_equal(report_fail_diag(&failure, RESUME_ECRC, NULL, "read", "x", "again"), -1);
    snprintf(expected, sizeof(expected), "resumectl: read: x: %s (again)",
             resume_strerror(RESUME_ECRC));
    assert_string_equal(report_format(&failure, text, sizeof(text)), expected);
}

static void nothing_harmful_is_printed(void **context)
{
    (void)context;
    struct report_failure failure = {0};
    char path[] = "/tmp/test-report-XXXXXX";
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    int fd = mkstemp(path);
    assert_true(fd >= 0 && out != NULL);
    static const char log[] = "first\nsecond\r\nthi\033[31mrd\nlast\n\n";
    assert_int_equal(write(fd, log, sizeof(log) - 1), (ssize_t)sizeof(log) - 1);
    close(fd);
    report_use_stream(out);
    report_fail(&failure, EXIT_CODE_REFUSED, "a", "b\033]0;c\a", NULL, "d\ne");
    assert_int_equal(report_print(&failure), EXIT_CODE_REFUSED);
    failure = (struct report_failure){0};
    assert_int_equal(report_print(&failure), EXIT_CODE_ENVIRONMENT);
    report_warning("w", "%s", "x\ty\r");
    report_note("n\177");
    report_log_tail("log", path, 3);
    report_log_tail("log", "/nonexistent", 3);
    report_use_stream(NULL);
    fclose(out);
    char expected[512];
    snprintf(expected, sizeof(expected),
             "resumectl: a: b?]0;c?: d?e\n"
             "resumectl: failed without saying why: this is a defect of resumectl\n"
             "resumectl: warning: w: x y?\n"
             "resumectl: n?\n"
             "--- log (%s):\n"
             "    second\n"
             "    thi?[31mrd\n"
             "    last\n",
             path);
    assert_string_equal(text, expected);
    free(text);
    assert_int_equal(unlink(path), 0);
}

static void overlong_texts_are_cut(void **context)
{
    (void)context;
    struct report_failure failure = {0};
    static char overlong[5000];
    char text[32];
    memset(overlong, 'x', sizeof(overlong) - 1);
    report_fail(&failure, EXIT_CODE_REFUSED, overlong, overlong, overlong, "%s", overlong);
    assert_int_equal(strlen(failure.why), sizeof(failure.why) - 1);
    assert_int_equal(strlen(report_format(&failure, text, sizeof(text))), sizeof(text) - 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_have_one_form),
        cmocka_unit_test(diagnoses_are_spelled_out),
        cmocka_unit_test(nothing_harmful_is_printed),
        cmocka_unit_test(overlong_texts_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
