/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What is common to all importers: opening, finding the format, reading, memory, what is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <resume/import.h>

#include "import_exercise.h"

static void lists_each_format_once(void **state)
{
    (void)state;
    size_t count = 0;
    const struct resume_import_format *const *formats = resume_import_formats(&count);
    for (size_t i = 0; i < count; i++) {
        assert_non_null(formats[i]);
        assert_true(strlen(formats[i]->name) > 0 && strlen(formats[i]->title) > 0);
        assert_string_not_equal(formats[i]->name, formats[i]->title);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(formats[i]->name, formats[k]->name);
    }
}

static int open_path(const char *path, const char *format, struct resume_import_error *error)
{
    struct resume_import *import = NULL;
    memset(error, 0, sizeof(*error));
    int ret = resume_import_open(path, format, &import, error);
    if (ret == 0)
        resume_import_close(import);
    else
        assert_null(import);
    return ret;
}

static void refuses_what_is_no_input(void **state)
{
    (void)state;
    struct resume_import_error error;
    struct import_memfile file;
    assert_int_equal(open_path("/does/not/exist", NULL, &error), RESUME_IMPORT_ERRNO(2));
    assert_string_equal(error.where, "/does/not/exist");
    assert_int_equal(error.code, RESUME_IMPORT_ERRNO(2));
    assert_int_equal(open_path("/dev/null", NULL, &error), RESUME_EUNSUPPORTED);
    import_memfile_open(&file);
    assert_int_equal(open_path(file.path, NULL, &error), RESUME_EMAGIC);
    import_memfile_set(&file, "nothing that is known", 21);
    assert_int_equal(open_path(file.path, NULL, &error), RESUME_EMAGIC);
    assert_int_equal(open_path(file.path, "no-such-format", &error), RESUME_EMAGIC);
    assert_non_null(strstr(error.why, "no-such-format"));
    import_memfile_close(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_each_format_once),
        cmocka_unit_test(refuses_what_is_no_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
