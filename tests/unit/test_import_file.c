/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Parts of a file that are shown as another file; and parts of a file that are asked for by name. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "import_exercise.h"
#include "importer.h"

#define FILE_SIZE 300u
#define VIEW_SIZE 500u

struct fixture {
    struct import_memfile memory;
    struct import_file file;
    uint8_t bytes[FILE_SIZE];
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (fixture == NULL)
        return -1;
    for (unsigned i = 0; i < FILE_SIZE; i++)
        fixture->bytes[i] = (uint8_t)(i % 255 + 1); /* never 0 */
    import_memfile_open(&fixture->memory);
    import_memfile_set(&fixture->memory, fixture->bytes, FILE_SIZE);
    fixture->file =
        (struct import_file){.fd = fixture->memory.fd, .size = FILE_SIZE, .name = "file"};
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    import_memfile_close(&fixture->memory);
    free(fixture);
    return 0;
}

/* A gap first, in the middle, at the end; two that touch; backwards in the file; an empty one. */
static const struct import_extent extents[] = {
    {10, 50, 200}, {60, 100, 3}, {160, 0, 7}, {200, 1, 299}, {300, 100, 103},
};
#define EXTENTS (sizeof(extents) / sizeof(extents[0]))

static void reads_every_part_of_a_view(void **state)
{
    const struct fixture *fixture = *state;
    struct import_file view;
    uint8_t expected[VIEW_SIZE] = {0};
    uint8_t got[VIEW_SIZE];
    for (size_t i = 0; i < EXTENTS; i++)
        memcpy(expected + extents[i].at, fixture->bytes + extents[i].offset, extents[i].length);
    assert_int_equal(import_file_view(&fixture->file, extents, EXTENTS, VIEW_SIZE, "view", &view),
                     0);
    assert_string_equal(view.name, "view");
    for (size_t start = 0; start <= VIEW_SIZE; start++) {
        for (size_t length = 0; length <= VIEW_SIZE - start; length++) {
            memset(got, 0xee, sizeof(got));
            assert_int_equal(import_read(&view, start, got, length, NULL), 0);
            if (memcmp(got, expected + start, length) != 0 ||
                (length < VIEW_SIZE && got[length] != 0xee))
                fail_msg("%zu bytes at %zu", length, start);
        }
    }
}

static void ends_where_it_ends(void **state)
{
    const struct fixture *fixture = *state;
    struct resume_import_error error;
    struct import_file view;
    uint8_t got[8];
    assert_int_equal(import_file_view(&fixture->file, extents, EXTENTS, VIEW_SIZE, "view", &view),
                     0);
    assert_int_equal(import_read(&view, VIEW_SIZE, got, 0, &error), 0);
    assert_int_equal(import_read(&view, VIEW_SIZE, got, 1, &error), RESUME_ETRUNC);
    assert_int_equal(import_read(&view, VIEW_SIZE - 7, got, 8, &error), RESUME_ETRUNC);
    assert_string_equal(error.where, "view");
    assert_int_equal(import_read(&view, UINT64_MAX, got, 8, &error), RESUME_ETRUNC);
    /* The file is cut while it is open: what is told is where in the view. */
    assert_int_equal(ftruncate(fixture->memory.fd, 150), 0);
    assert_int_equal(import_read(&view, 346, got, 1, &error), 0);
    assert_int_equal(import_read(&view, 346, got, 2, &error), RESUME_ETRUNC);
    assert_int_equal(error.offset, 347);
}

static void refuses_impossible_extents(void **state)
{
    const struct fixture *fixture = *state;
    static const struct import_extent bad[][2] = {
        {{0, 10, 0}, {9, 10, 0}},               /* they overlap */
        {{20, 10, 0}, {0, 10, 0}},              /* out of order */
        {{0, 10, 0}, {495, 6, 0}},              /* beyond the view */
        {{0, 10, 0}, {501, 0, 0}},              /* the same, empty */
        {{0, 10, 0}, {20, 10, 291}},            /* beyond the file */
        {{0, 10, 0}, {20, 10, UINT64_MAX - 5}}, /* its end wraps */
        {{0, 10, 0}, {20, UINT64_MAX, 10}},     /* so long that its end wraps */
        {{0, 10, 0}, {UINT64_MAX, 10, 10}},
    };
    struct import_file view = {.name = "before"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(import_file_view(&fixture->file, bad[i], 2, VIEW_SIZE, "", &view),
                         RESUME_EINVAL);
    assert_string_equal(view.name, "before");
    assert_int_equal(import_file_view(&fixture->file, NULL, 0, 0, "", &view), RESUME_EINVAL);
    assert_int_equal(import_file_view(&fixture->file, extents, 0, 5, "zeroes", &view), 0);
    /* No view of a view. */
    assert_int_equal(import_file_view(&view, extents, 0, 5, "", &view), RESUME_EINVAL);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int open_path(const char *path, struct resume_import_error *error)
{
    struct resume_import *import = NULL;
    int ret = resume_import_open(path, NULL, &import, error);
    resume_import_close(ret == 0 ? import : NULL);
    return ret;
}

/* Neither file is in a format: what matters is which one is opened. */
static void takes_the_longest_path_that_is_there(void **state)
{
    (void)state;
    char directory[] = "/tmp/libresume-parts-XXXXXX";
    char path[64];
    char with_mark[64];
    char asked[80];
    struct resume_import_error error;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/a", directory);
    snprintf(with_mark, sizeof(with_mark), "%s/a#b", directory);
    write_file(path, "one");
    snprintf(asked, sizeof(asked), "%s#b", path);
    int plain = open_path(path, &error);
    assert_int_equal(open_path(asked, &error), plain);
    assert_string_equal(error.where, path);
    snprintf(asked, sizeof(asked), "%s#b#c", path);
    open_path(asked, &error);
    assert_string_equal(error.where, path);
    write_file(with_mark, "another");
    snprintf(asked, sizeof(asked), "%s#b", path);
    open_path(asked, &error);
    assert_string_equal(error.where, with_mark);
    snprintf(asked, sizeof(asked), "%s#b#c", path);
    open_path(asked, &error);
    assert_string_equal(error.where, with_mark);
    unlink(with_mark);
    unlink(path);
    assert_int_equal(open_path(asked, &error), RESUME_IMPORT_ERRNO(2));
    assert_string_equal(error.where, asked);
    rmdir(directory);
}

static void refuses_parts_where_there_are_none(void **state)
{
    (void)state;
    struct resume_import_error error;
    const char *const listing =
        RESUME_TEST_GOLDEN_DIR "/import/registers_text/qemu-7.2-reset#anything";
    assert_int_equal(open_path(listing, &error), RESUME_EINVAL);
    assert_non_null(strstr(error.why, "no parts"));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reads_every_part_of_a_view),         TEST(ends_where_it_ends),
        TEST(refuses_impossible_extents),         TEST(takes_the_longest_path_that_is_there),
        TEST(refuses_parts_where_there_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
