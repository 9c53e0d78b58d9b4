/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The committed blobs: they are what the generator makes, and reading them leads where it says. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "golden.h"

static size_t load(const struct golden_case *golden, uint8_t *bytes, size_t capacity)
{
    char path[512];
    FILE *file;
    size_t length;

    snprintf(path, sizeof(path), "%s/%s/%s.rsm", RESUME_TEST_GOLDEN_DIR, golden->directory,
             golden->name);
    file = fopen(path, "rb");
    if (file == NULL) {
        fail_msg("%s is missing: run make_golden", path);
    }
    length = fread(bytes, 1, capacity, file);
    fclose(file);
    return length;
}

static void files_are_what_the_generator_makes(void **state)
{
    static struct blob blob;
    static uint8_t bytes[BLOB_MAX];

    (void)state;
    for (size_t i = 0; i < golden_case_count; i++) {
        size_t length = load(&golden_cases[i], bytes, sizeof(bytes));

        golden_build(&golden_cases[i], &blob);
        if (length != blob.length || memcmp(bytes, blob.data, length) != 0) {
            fail_msg("%s.rsm is not what make_golden makes", golden_cases[i].name);
        }
    }
}

static void reading_them_gives_the_named_error(void **state)
{
    static uint8_t bytes[BLOB_MAX];

    (void)state;
    for (size_t i = 0; i < golden_case_count; i++) {
        const struct golden_case *golden = &golden_cases[i];
        struct resume_diag diag = {0};
        size_t length = load(golden, bytes, sizeof(bytes));
        int err = golden_read(bytes, length, &diag);

        if (err != golden->err) {
            fail_msg("%s: %s (%s, %s) instead of %s", golden->name, resume_strerror(err),
                     diag.where != NULL ? diag.where : "-", diag.field != NULL ? diag.field : "-",
                     resume_strerror(golden->err));
        }
        assert_int_equal(diag.code, -err);
        if (err == RESUME_OK) {
            assert_null(diag.where);
        } else {
            assert_non_null(diag.where);
            if (strcmp(diag.field, golden->field) != 0) {
                fail_msg("%s: names %s instead of %s", golden->name, diag.field, golden->field);
            }
            assert_true(diag.offset <= length);
        }
        /* Without a diagnosis the verdict is the same. */
        assert_int_equal(golden_read(bytes, length, NULL), err);
    }
}

static size_t count_files(const char *directory)
{
    char path[512];
    size_t count = 0;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/%s", RESUME_TEST_GOLDEN_DIR, directory);
    dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        const char *dot = strrchr(entry->d_name, '.');

        count += dot != NULL && strcmp(dot, ".rsm") == 0;
    }
    closedir(dir);
    return count;
}

static void no_file_is_left_over(void **state)
{
    (void)state;
    assert_int_equal(count_files("valid") + count_files("invalid"), golden_case_count);
}

static void names_are_unique(void **state)
{
    (void)state;
    for (size_t i = 0; i < golden_case_count; i++) {
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(golden_cases[i].name, golden_cases[k].name);
        }
    }
}

/* Offsets and values written out from docs/FORMAT.md, on the bytes of the file. */
static void bytes_are_where_the_format_says(void **state)
{
    static uint8_t bytes[BLOB_MAX];
    static const uint8_t header[] = {'R', 'S', 'M',  'S', 'T', 'A', 'T', 'E', 1, 0, 1, 0, 0, 0,
                                     64,  0,   0xf8, 7,   0,   0,   0,   0,   0, 0, 1, 0, 0, 0};
    static const uint8_t rip[] = {0xac, 0xc5, 0x4e, 0, 0, 0, 0, 0, 6, 2, 0, 0, 0, 0, 0, 0};
    static const uint8_t machine[] = {1,   0, 1, 0, 1,   0, 0, 0, 0xff, 0xff, 0xff, 0xff,
                                      144, 0, 0, 0, 0xf, 0, 0, 0, 0,    0,    0,    0,
                                      1,   0, 0, 0, 1,   0, 0, 0, 'p',  'c'};
    size_t length = load(&golden_cases[1], bytes, sizeof(bytes));

    (void)state;
    assert_string_equal(golden_cases[1].name, "user_mode");
    /* 64 header, 160, 64, 168, 264, 96, 72, 64, 208 and 880 for the records. */
    assert_int_equal(length, 2040);
    assert_memory_equal(bytes, header, sizeof(header));
    assert_memory_equal(bytes + 64, machine, sizeof(machine));
    /* 64 header, 160 MACHINE, 64 MEMMAP, 16 header of GPR, 8 validity, 16 registers. */
    assert_memory_equal(bytes + 64 + 160 + 64 + 16 + 8 + 128, rip, sizeof(rip));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_what_the_generator_makes),
        cmocka_unit_test(reading_them_gives_the_named_error),
        cmocka_unit_test(no_file_is_left_over),
        cmocka_unit_test(names_are_unique),
        cmocka_unit_test(bytes_are_where_the_format_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
