/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* A snapshot directory is there as a whole or not at all. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "snapshot_directory.h"

struct fixture {
    char root[32];
    char path[64];
    char partial[64];
    FILE *out; /* warnings */
    char *text;
    size_t length;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    strcpy(fixture->root, "/tmp/test-snapshot-XXXXXX");
    assert_non_null(mkdtemp(fixture->root));
    snprintf(fixture->path, sizeof(fixture->path), "%s/s", fixture->root);
    snprintf(fixture->partial, sizeof(fixture->partial), "%s/s.partial", fixture->root);
    fixture->out = open_memstream(&fixture->text, &fixture->length);
    assert_non_null(fixture->out);
    report_use_stream(fixture->out);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    report_use_stream(NULL);
    fclose(fixture->out);
    free(fixture->text);
    /* fails the test if something was left in it */
    assert_int_equal(rmdir(fixture->root), 0);
    free(fixture);
    return 0;
}

static void touch(const char *directory, const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void remove_from(const char *directory, const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    assert_int_equal(unlink(path), 0);
}

static bool exists(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

static void begin(struct snapshot_directory *directory, const char *path)
{
    struct report_failure failure = {0};
    if (snapshot_directory_begin(directory, path, &failure) != 0)
        fail_msg("%s: %s", failure.where, failure.why);
}

static void assert_refused(const char *path, const char *why)
{
    struct snapshot_directory directory = {0};
    struct report_failure failure = {0};
    assert_int_equal(snapshot_directory_begin(&directory, path, &failure), -EXIT_CODE_REFUSED);
    if (strstr(failure.why, why) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", why, failure.why);
}

static void committed_it_has_its_name(void **state)
{
    struct fixture *fixture = *state;
    struct snapshot_directory directory = {0};
    struct report_failure failure = {0};
    char path[128];
    char text[8] = "";
    snprintf(path, sizeof(path), "%s//", fixture->path); /* slashes at the end are ignored */
    begin(&directory, path);
    assert_true(exists(fixture->partial));
    assert_false(exists(fixture->path));
    assert_true(snapshot_directory_space(&directory) > 0);
    assert_int_equal(snapshot_directory_write(&directory, "plan.rsm", "abc", 3, &failure), 0);
    assert_int_equal(snapshot_directory_write(&directory, "plan.rsm", "abc", 3, &failure),
                     -EXIT_CODE_ENVIRONMENT);
    assert_int_equal(snapshot_directory_commit(&directory, &failure), 0);
    snapshot_directory_end(&directory);
    assert_false(exists(fixture->partial));
    snprintf(path, sizeof(path), "%s/plan.rsm", fixture->path);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    fclose(file);
    assert_string_equal(text, "abc");

    assert_refused(fixture->path, "it exists already");
    remove_from(fixture->path, "plan.rsm");
    assert_int_equal(rmdir(fixture->path), 0);
}

static void abandoned_it_is_gone(void **state)
{
    struct fixture *fixture = *state;
    struct snapshot_directory directory = {0};
    struct report_failure failure = {0};
    begin(&directory, fixture->path);
    touch(fixture->partial, "stream");
    assert_int_equal(snapshot_directory_write(&directory, "state.rsm", "", 0, &failure), 0);
    snapshot_directory_end(&directory);
    snapshot_directory_end(&directory);
    assert_false(exists(fixture->partial));
    assert_false(exists(fixture->path));
}

static void what_an_interrupted_run_left_is_cleared_away(void **state)
{
    struct fixture *fixture = *state;
    struct snapshot_directory directory = {0};
    assert_int_equal(mkdir(fixture->partial, 0700), 0);
    touch(fixture->partial, "stream");
    touch(fixture->partial, "state.rsm");
    begin(&directory, fixture->path);
    fflush(fixture->out);
    assert_non_null(strstr(fixture->text, "s.partial was left by an interrupted run"));
    char path[128];
    snprintf(path, sizeof(path), "%s/stream", fixture->partial);
    assert_false(exists(path));
    snapshot_directory_end(&directory);
}

static void what_is_not_ours_is_left_alone(void **state)
{
    struct fixture *fixture = *state;
    struct snapshot_directory first = {0};
    struct report_failure failure = {0};
    assert_int_equal(mkdir(fixture->partial, 0700), 0);
    touch(fixture->partial, "thesis.tex");
    assert_refused(fixture->path, "cannot be removed");
    remove_from(fixture->partial, "thesis.tex");
    assert_int_equal(rmdir(fixture->partial), 0);

    /* another run is at it */
    begin(&first, fixture->path);
    touch(fixture->partial, "stream");
    assert_refused(fixture->path, "another resumectl is writing");
    remove_from(fixture->partial, "stream"); /* it is still there */

    /* someone was faster with the name: even an empty directory is not replaced */
    assert_int_equal(mkdir(fixture->path, 0700), 0);
    assert_int_equal(snapshot_directory_commit(&first, &failure), -EXIT_CODE_ENVIRONMENT);
    assert_string_equal(failure.why, strerror(EEXIST));
    snapshot_directory_end(&first);
    assert_int_equal(rmdir(fixture->path), 0);

    /* a link is no directory of ours */
    assert_int_equal(symlink("/tmp", fixture->partial), 0);
    struct snapshot_directory directory = {0};
    assert_true(snapshot_directory_begin(&directory, fixture->path, &failure) < 0);
    assert_int_equal(unlink(fixture->partial), 0);
}

static void names_that_are_none_are_refused(void **state)
{
    (void)state;
    struct snapshot_directory directory = {0};
    struct report_failure failure = {0};
    assert_refused("", "no name");
    assert_refused("///", "no name");
    assert_int_equal(snapshot_directory_begin(&directory, "/nonexistent/a/b", &failure),
                     -EXIT_CODE_ENVIRONMENT);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(committed_it_has_its_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(abandoned_it_is_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_an_interrupted_run_left_is_cleared_away, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_ours_is_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_that_are_none_are_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
