/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <resume/error.h>

#include "internal.h"

/* The numbers are part of the ABI: written out here so that a change of the enum is noticed. */
static const struct {
    int value;
    int number;
} errors[] = {
    {RESUME_OK, 0},
    {RESUME_EINVAL, -1},
    {RESUME_ENOSPC, -2},
    {RESUME_ETRUNC, -16},
    {RESUME_EMAGIC, -17},
    {RESUME_EVERSION, -18},
    {RESUME_ECRC, -19},
    {RESUME_ELENGTH, -20},
    {RESUME_ERESERVED, -21},
    {RESUME_EMANDATORY, -22},
    {RESUME_EDUPLICATE, -23},
    {RESUME_EMISSING, -24},
    {RESUME_EORDER, -25},
    {RESUME_ECANON, -32},
    {RESUME_EREGISTER, -33},
    {RESUME_ECONSISTENT, -34},
    {RESUME_EUNSUPPORTED, -35},
    {RESUME_ECPU, -36},
    {RESUME_EUNMAPPED, -48},
    {RESUME_EUNREACHABLE, -49},
    {RESUME_ENOHOME, -50},
    {RESUME_ECONFLICT, -51},
    {RESUME_EIO, -64},
    {RESUME_EAUTH, -65},
    {RESUME_EKEY, -66},
    {RESUME_ESTALE, -67},
    {RESUME_EDATA, -68},
};
#define COUNT (sizeof(errors) / sizeof(errors[0]))

static void numbers_are_pinned(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(errors[i].value, errors[i].number);
    }
}

static void every_error_has_a_sentence_of_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        const char *text = resume_strerror(errors[i].value);

        assert_string_not_equal(text, "unknown error");
        assert_true(strlen(text) > 5);
        assert_int_not_equal(text[strlen(text) - 1], '.');
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(text, resume_strerror(errors[k].value));
        }
    }
}

/* Whatever has a text is in the list above: a new error cannot be forgotten here. */
static void no_other_value_has_one(void **state)
{
    int known = 0;

    (void)state;
    for (int err = -1000; err <= 1000; err++) {
        known += strcmp(resume_strerror(err), "unknown error") != 0;
    }
    assert_int_equal(known, COUNT);
}

static void failing_fills_the_diagnosis(void **state)
{
    struct resume_diag diag = {0};

    (void)state;
    assert_int_equal(resume_fail(&diag, RESUME_ECRC, "header", "crc", 32, 1, 2, 3), RESUME_ECRC);
    assert_string_equal(diag.where, "header");
    assert_string_equal(diag.field, "crc");
    assert_int_equal(diag.offset, 32);
    assert_int_equal(diag.found, 1);
    assert_int_equal(diag.expected, 2);
    assert_int_equal(diag.vcpu, 3);
    assert_int_equal(diag.code, 19);
    assert_int_equal(resume_fail(NULL, RESUME_ECRC, "header", "crc", 32, 1, 2, 3), RESUME_ECRC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_pinned),
        cmocka_unit_test(every_error_has_a_sentence_of_its_own),
        cmocka_unit_test(no_other_value_has_one),
        cmocka_unit_test(failing_fills_the_diagnosis),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
