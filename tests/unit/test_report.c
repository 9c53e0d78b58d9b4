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
    assert_string_equal(report_format(&failure, text, sizeof(text)),
                        "resumectl: a: this process: b (try again when the machine is less busy)");
    /* its own text may be part of the new one */
    assert_int_equal(report_fail(&failure, EXIT_CODE_USAGE, failure.what, failure.why, "",
                                 "after %s", failure.why),
                     -2);
    assert_string_equal(report_format(&failure, text, sizeof(text)),
                        "resumectl: a: b: after b (see --help)");
    assert_int_equal(report_fail_errno(&failure, ENOSPC, "snapshot", "dir"), -3);
    assert_string_equal(report_format(&failure, text, sizeof(text)),
                        "resumectl: snapshot: dir: the disk is full (free some space there, or "
                        "choose another directory)");
    assert_int_equal(report_fail_errno(&failure, EACCES, "a", "b"), -3);
    assert_string_equal(
        report_format(&failure, text, sizeof(text)),
        "resumectl: a: b: Permission denied (give this user access to it, or choose "
        "another path)");
    assert_int_equal(report_fail_memory(&failure, "a"), -3);
    assert_string_equal(
        report_format(&failure, text, sizeof(text)),
        "resumectl: a: this process: out of memory (free some memory, or raise the limit "
        "(ulimit -v))");
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
             "expected 0x20 (no CPU can hold this state: take the snapshot again)",
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
             "resumectl: a: b?]0;c?: d?e (check what was given to resumectl against its --help)\n"
             "resumectl: finish: this process: failed without saying why (report this as a "
             "defect of resumectl)\n"
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

/* WHAT: WHERE: WHY (what to do), none of them empty. */
static void assert_four_parts(const struct report_failure *failure, int exit_code)
{
    char text[2048];
    assert_int_equal(failure->exit_code, exit_code);
    report_format(failure, text, sizeof(text));
    assert_memory_equal(text, "resumectl: ", 11);
    const char *where = strstr(text + 11, ": ");
    assert_non_null(where);
    assert_true(where > text + 11);
    const char *why = strstr(where + 2, ": ");
    assert_non_null(why);
    assert_true(why > where + 2);
    const char *advice = strstr(why + 2, " (");
    assert_non_null(advice);
    assert_true(advice > why + 2);
    /* some words, not just the parentheses */
    size_t length = strlen(advice);
    assert_true(length > 8);
    assert_int_equal(advice[length - 1], ')');
}

static void no_failure_lacks_the_advice(void **context)
{
    (void)context;
    static const char *const none[] = {NULL, ""};
    struct report_failure failure = {0};
    const struct resume_diag diag = {
        .where = "CTRL record", .field = "cr3", .vcpu = RESUME_NO_VCPU};
    for (size_t i = 0; i < 2; i++) {
        for (int code = EXIT_CODE_REFUSED; code <= EXIT_CODE_TIMEOUT; code++) {
            assert_int_equal(report_fail(&failure, code, "a", "b", none[i], "c"), -code);
            assert_four_parts(&failure, code);
            report_fail(&failure, code, "a", "", none[i], "c");
            assert_four_parts(&failure, code);
        }
        /* all that the library returns, and what it does not */
        for (int error = 0; error >= -64; error--) {
            report_fail_diag(&failure, error, NULL, "a", "b", none[i]);
            assert_four_parts(&failure, EXIT_CODE_REFUSED);
            report_fail_diag(&failure, error, &diag, "a", "b", none[i]);
            assert_four_parts(&failure, EXIT_CODE_REFUSED);
        }
    }
    for (int error = 1; error < 200; error++) {
        report_fail_errno(&failure, error, "a", "b");
        assert_four_parts(&failure, EXIT_CODE_ENVIRONMENT);
    }
    report_fail_memory(&failure, "a");
    assert_four_parts(&failure, EXIT_CODE_ENVIRONMENT);
}

static void the_advice_fits_the_error(void **context)
{
    (void)context;
    static const struct {
        int error;
        const char *advice;
    } of_the_system[] = {{ENOENT, "path"},
                         {EACCES, "access"},
                         {EEXIST, "another name"},
                         {EMFILE, "ulimit -n"},
                         {EROFS, "written"}},
      of_the_library[] = {{RESUME_ECRC, "snapshot again"},
                          {RESUME_EVERSION, "version"},
                          {RESUME_EUNSUPPORTED, "outside what this version resumes"},
                          {RESUME_ECPU, "-cpu"},
                          {RESUME_EINVAL, "defect"}};
    struct report_failure failure = {0};
    for (size_t i = 0; i < sizeof(of_the_system) / sizeof(of_the_system[0]); i++) {
        report_fail_errno(&failure, of_the_system[i].error, "a", "b");
        assert_non_null(strstr(failure.advice, of_the_system[i].advice));
    }
    for (size_t i = 0; i < sizeof(of_the_library) / sizeof(of_the_library[0]); i++) {
        report_fail_diag(&failure, of_the_library[i].error, NULL, "a", "b", NULL);
        assert_non_null(strstr(failure.advice, of_the_library[i].advice));
    }
}

static void refused_control_bits_are_named(void **context)
{
    (void)context;
    struct report_failure failure = {0};
    struct resume_diag diag = {.where = "CTRL record",
                               .field = "cr4",
                               .found = 0x1020,
                               .expected = ~UINT64_C(0x3000),
                               .vcpu = 0};
    report_fail_diag(&failure, RESUME_EUNSUPPORTED, &diag, "a", "b", NULL);
    assert_non_null(strstr(failure.why, "5-level paging: CR4.LA57 is set"));
    assert_non_null(strstr(failure.advice, "4-level paging"));
    diag.found = 0x2020;
    report_fail_diag(&failure, RESUME_EUNSUPPORTED, &diag, "a", "b", NULL);
    assert_non_null(strstr(failure.why, "CR4 VMXE"));
    assert_null(strstr(failure.why, "PAE"));
    diag.field = "efer";
    diag.found = 0x1500;
    diag.expected = ~UINT64_C(0x1000);
    report_fail_diag(&failure, RESUME_EUNSUPPORTED, &diag, "a", "b", NULL);
    assert_non_null(strstr(failure.why, "EFER SVME"));
    /* another error's numbers are no mask */
    report_fail_diag(&failure, RESUME_EREGISTER, &diag, "a", "b", NULL);
    assert_null(strstr(failure.why, "SVME"));
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
        cmocka_unit_test(no_failure_lacks_the_advice),
        cmocka_unit_test(the_advice_fits_the_error),
        cmocka_unit_test(refused_control_bits_are_named),
        cmocka_unit_test(overlong_texts_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
