/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The parked target's end, wherever it is: in place of QEMU there is a script. What a real one does is
 * looked at by the QEMU tests.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "park.h"

#define LONG_MS 20000

struct fixture {
    char directory[64];
    char script[96];
    char work[96]; /* what it gets as its private directory */
    struct qemu_command *command;
    struct manifest *manifest;
    struct splice_home home;
    struct splice_parked parked;
    struct report_failure failure;
    struct park *park;
    char *shown;
    size_t shown_length;
    FILE *stream;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    strcpy(f->directory, "/tmp/test-park-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->script, sizeof(f->script), "%s/qemu", f->directory);
    snprintf(f->work, sizeof(f->work), "%s/work", f->directory);
    assert_int_equal(mkdir(f->work, 0700), 0);
    f->manifest = calloc(1, sizeof(*f->manifest));
    assert_non_null(f->manifest);
    strcpy(f->home.block, "pc.ram");
    f->home.length = 4096;
    f->stream = open_memstream(&f->shown, &f->shown_length);
    assert_non_null(f->stream);
    report_use_stream(f->stream);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    park_close(f->park);
    splice_parked_close(&f->parked);
    qemu_command_free(f->command);
    report_use_stream(NULL);
    fclose(f->stream);
    free(f->shown);
    free(f->manifest);
    /* Also shows that nothing was left there. */
    int left = rmdir(f->work);
    unlink(f->script);
    rmdir(f->directory);
    free(f);
    return left;
}

/* Starts the target with a shell's @commands in place of QEMU. */
static void start(struct fixture *f, const char *commands)
{
    int fd = open(f->script, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    assert_true(fd >= 0);
    dprintf(fd, "#!/bin/sh\n%s\n", commands);
    close(fd);
    const char *argv[] = {f->script, "-m", "512M"};
    assert_int_equal(qemu_command_parse(&f->command, 3, argv, &f->failure), 0);
    const struct park_options options = {
        .command = f->command,
        .kernel = "/dev/null",
        .bios = "none.rom",
        .state_file = "/dev/null",
        .plan_file = "/dev/null",
        .directory = f->work,
        .manifest = f->manifest,
        .home = &f->home,
        .timeout_ms = LONG_MS,
    };
    if (park_start(&f->park, &options, &f->failure) != 0)
        fail_msg("%s: %s", f->failure.where, f->failure.why);
}

static bool has_failed(const struct fixture *f, int timeout_ms)
{
    struct pollfd entry = {.fd = park_failed_fd(f->park), .events = POLLIN};
    return poll(&entry, 1, timeout_ms) == 1;
}

static void tells_of_an_early_end(void **state)
{
    struct fixture *f = *state;
    start(f, "echo no such CPU >&2; exit 1");
    assert_true(has_failed(f, LONG_MS));
    assert_false(park_waited(f->park));
    park_show(f->park);
    assert_int_equal(park_wait(f->park, &f->parked, &f->failure), -EXIT_CODE_ENVIRONMENT);
    assert_true(park_waited(f->park));
    assert_string_equal(f->failure.where, "the parked target");
    assert_string_equal(f->failure.why, "QEMU ended with status 1");
    assert_int_equal(park_times(f->park)->parked_ns, 0);
    /* Whoever waits may be in the middle of a line: nothing is shown until it asks. */
    fflush(f->stream);
    assert_int_equal(f->shown_length, 0);
    park_show(f->park);
    fflush(f->stream);
    assert_non_null(strstr(f->shown, "    no such CPU\n"));
}

static void tells_of_a_program_that_is_not_there(void **state)
{
    struct fixture *f = *state;
    const char *argv[] = {"/nonexistent/qemu", "-m", "512M"};
    assert_int_equal(qemu_command_parse(&f->command, 3, argv, &f->failure), 0);
    const struct park_options options = {.command = f->command,
                                         .kernel = "/dev/null",
                                         .bios = "none.rom",
                                         .state_file = "/dev/null",
                                         .plan_file = "/dev/null",
                                         .directory = f->work,
                                         .manifest = f->manifest,
                                         .home = &f->home,
                                         .timeout_ms = LONG_MS};
    assert_int_equal(park_start(&f->park, &options, &f->failure), -EXIT_CODE_ENVIRONMENT);
    assert_null(f->park);
    assert_non_null(strstr(f->failure.why, "No such file"));
}

/* It would stay for ever, and nobody wants it any more: that is no wait for its time limit. */
static void ends_one_that_is_still_on_its_way(void **state)
{
    struct fixture *f = *state;
    char path[128];
    char text[32] = "";
    start(f, "echo $$ > \"$0.pid\"; exec sleep 1000");
    snprintf(path, sizeof(path), "%s.pid", f->script);
    FILE *file = NULL;
    while (file == NULL || fgets(text, sizeof(text), file) == NULL) {
        assert_false(has_failed(f, 1));
        if (file != NULL)
            fclose(file);
        file = fopen(path, "re");
    }
    fclose(file);
    unlink(path);
    assert_false(has_failed(f, 0));
    park_close(f->park);
    f->park = NULL;
    snprintf(path, sizeof(path), "/proc/%d", atoi(text));
    assert_int_not_equal(access(path, F_OK), 0);
    fflush(f->stream);
    assert_int_equal(f->shown_length, 0);
}

#define PARK_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        PARK_TEST(tells_of_an_early_end),
        PARK_TEST(tells_of_a_program_that_is_not_there),
        PARK_TEST(ends_one_that_is_still_on_its_way),
    };
    return cmocka_run_group_tests_name("park", tests, NULL, NULL);
}
