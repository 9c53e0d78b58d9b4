/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What is made of the lines in which the trampoline tells what it read back. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "readback.h"

/* vCPU 1 is dormant; 0 and 2 have two MSRs each. */
#define VCPUS 3u
#define MSRS 2u
#define BLOCK 0x8000u
#define FIELDS 24u /* before the MSRs */

struct fixture {
    struct splice_parked parked;
    struct resume_handoff handoff[VCPUS];
    uint8_t home[0x10000 + VCPUS * BLOCK];
    struct readback readback;
    struct report_failure failure;
};

static void put_msr(uint8_t *at, uint32_t index, uint64_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(index >> 8 * i);
    for (unsigned i = 0; i < 8; i++)
        at[8 + i] = (uint8_t)(value >> 8 * i);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->parked.control.vcpu_count = VCPUS;
    f->parked.control.active_count = 2;
    f->parked.control.block_length = BLOCK;
    f->parked.handoff = f->handoff;
    f->parked.home = f->home;
    f->parked.home_length = sizeof(f->home);
    for (uint32_t i = 0; i < VCPUS; i += 2) {
        uint8_t *msrs = f->home + 0x10000 + i * BLOCK + 0x1000;
        f->handoff[i].flags = 1;
        f->handoff[i].msr_count = MSRS;
        f->handoff[i].cr3 = 0x1000 + i;
        put_msr(msrs, 0xc0000102, 0xffff888000000000 + i);
        put_msr(msrs + 16, 0x1234, 5);
    }
    assert_int_equal(readback_open(&f->readback, &f->parked, true, &f->failure), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    readback_close(&f->readback);
    free(f);
    return 0;
}

/* A line as the doorbell gives it: 21 characters, then the fields. */
static void take(struct fixture *f, const char *cpu, const char *fields)
{
    char line[256];
    snprintf(line, sizeof(line), "ledger cpu=%-10s%s", cpu, fields);
    readback_take(&f->readback, line);
}

static const char good[] = "======.....============="
                           "==";

static void counts_each_kind(void **state)
{
    struct fixture *f = *state;
    char text[256];
    take(f, "0",
         "======.....============="
         "=x");
    take(f, "2",
         "======.....============="
         "~x");
    assert_int_equal(readback_check(&f->readback, &f->failure), 0);
    struct readback_counts counts = readback_count(&f->readback, 0);
    assert_int_equal(counts.exact, 20);
    assert_int_equal(counts.unchecked, 5);
    assert_int_equal(counts.refused, 1);
    assert_int_equal(counts.approximate, 0);
    assert_int_equal(counts.different, 0);
    counts = readback_count(&f->readback, 2);
    assert_int_equal(counts.exact, 19);
    assert_int_equal(counts.approximate, 1);
    assert_string_equal(readback_summary(&f->readback, text, sizeof(text)),
                        "2 vCPUs, 39 fields exact, 1 approximate (msr 0xc0000102 KERNEL_GS_BASE), "
                        "2 refused by the CPU (msr 0x1234)");
    assert_int_equal(strlen(readback_summary(&f->readback, text, 20)), 19);
}

static void names_fields_and_what_is_wanted(void **state)
{
    struct fixture *f = *state;
    char name[READBACK_NAME_MAX];
    uint64_t value = 0;
    assert_string_equal(readback_name(&f->readback, 0, 2, name), "cr3");
    assert_string_equal(readback_name(&f->readback, 0, 23, name), "xsave");
    assert_string_equal(readback_name(&f->readback, 0, FIELDS, name),
                        "msr 0xc0000102 KERNEL_GS_BASE");
    assert_string_equal(readback_name(&f->readback, 2, FIELDS + 1, name), "msr 0x1234");
    assert_string_equal(readback_name(&f->readback, 2, FIELDS + 2, name), "field 26");
    assert_string_equal(readback_name(&f->readback, 1, FIELDS, name), "field 24");
    assert_string_equal(readback_name(&f->readback, 9, 4000000000, name), "field 4000000000");
    assert_true(readback_wanted(&f->readback, 2, FIELDS, &value));
    assert_int_equal(value, 0xffff888000000002);
    assert_false(readback_wanted(&f->readback, 2, 23, &value));
    assert_false(readback_wanted(&f->readback, 2, FIELDS + 2, &value));
    assert_false(readback_wanted(&f->readback, 1, 0, &value));
    /* a list of MSRs that would lie behind the home's end */
    f->parked.home_length = 0x10000 + 2 * BLOCK + 0x1000 + 31;
    assert_true(readback_wanted(&f->readback, 2, FIELDS, &value));
    assert_false(readback_wanted(&f->readback, 2, FIELDS + 1, &value));
}

static void names_the_field_that_stopped_it(void **state)
{
    struct fixture *f = *state;
    take(f, "2",
         "======.....============="
         "!.");
    readback_take(&f->readback, "differs cpu=0x0000000000000002 field=0x0000000000000018 "
                                "wanted=0xffff888000000002 got=0x00000000deadbeef");
    assert_int_equal(readback_check(&f->readback, &f->failure), -EXIT_CODE_DIFFERENT);
    assert_string_equal(f->failure.why,
                        "vCPU 2: msr 0xc0000102 KERNEL_GS_BASE does not read back as restored: "
                        "wanted 0xffff888000000002, got 0xdeadbeef");
    /* of the extended state: where it begins to differ */
    const struct readback_difference xsave = {true, 0, 23, true, 0, 0x241};
    assert_int_equal(readback_differs(&f->readback, &xsave, &f->failure), -EXIT_CODE_DIFFERENT);
    assert_non_null(strstr(f->failure.why, "vCPU 0: the extended state"));
    assert_non_null(strstr(f->failure.why, "byte 0x240 "));
}

static void values_may_be_withheld(void **state)
{
    struct fixture *f = *state;
    take(f, "2",
         "======.....============="
         "!.");
    readback_take(&f->readback, "differs cpu=0x0000000000000002 field=0x0000000000000018");
    assert_int_equal(readback_check(&f->readback, &f->failure), -EXIT_CODE_DIFFERENT);
    assert_string_equal(f->failure.why,
                        "vCPU 2: msr 0xc0000102 KERNEL_GS_BASE does not read back as restored; the "
                        "firmware does not tell a sealed guest's registers");
    json_t *json = readback_json(&f->readback);
    json_t *stopped = json_object_get(json, "stopped");
    assert_non_null(json_object_get(stopped, "field"));
    assert_null(json_object_get(stopped, "wanted"));
    assert_null(json_object_get(stopped, "got"));
    json_decref(json);
}

static void a_difference_needs_no_line_of_its_own(void **state)
{
    struct fixture *f = *state;
    take(f, "0", good);
    take(f, "2",
         "=!====.....============="
         "==");
    assert_int_equal(readback_check(&f->readback, &f->failure), -EXIT_CODE_DIFFERENT);
    assert_non_null(strstr(f->failure.why, "vCPU 2: cr2 "));
}

static void assert_bad(struct fixture *f, const char *why)
{
    assert_int_equal(readback_check(&f->readback, &f->failure), -EXIT_CODE_ENVIRONMENT);
    if (strstr(f->failure.why, why) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", why, f->failure.why);
}

static void misses_a_line(void **state)
{
    struct fixture *f = *state;
    take(f, "0", good);
    assert_bad(f, "of vCPU 2 did not come");
    /* what is not a number, or no vCPU's */
    take(f, "", good);
    take(f, "-1", good);
    take(f, "+2", good);
    take(f, "3", good);
    take(f, "4294967298", good);
    take(f, "99999999999999999999", good);
    assert_bad(f, "of vCPU 2 did not come");
    take(f, "2", good);
    assert_int_equal(readback_check(&f->readback, &f->failure), 0);
    take(f, "1", good); /* nobody has asked that one */
    assert_int_equal(readback_check(&f->readback, &f->failure), 0);
    take(f, "2", good); /* twice */
    assert_bad(f, "of vCPU 2 cannot be read");
}

static void finds_a_line_that_is_no_ledger(void **state)
{
    static const char *const lines[] = {
        "",
        "======.....============="
        "=",
        "======.....============="
        "===",
        "======.....============="
        "=?",
        " =====.....============="
        "==",
    };
    struct fixture *f = *state;
    take(f, "0", good);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        readback_close(&f->readback);
        assert_int_equal(readback_open(&f->readback, &f->parked, true, &f->failure), 0);
        take(f, "0", good);
        take(f, "0x2", lines[i]);
        assert_bad(f, "of vCPU 2 cannot be read");
    }
}

/* The command line has a debug console of its own: there is nothing to judge by. */
static void says_what_it_cannot_know(void **state)
{
    struct fixture *f = *state;
    char text[256];
    readback_close(&f->readback);
    assert_int_equal(readback_open(&f->readback, &f->parked, false, &f->failure), 0);
    assert_int_equal(readback_check(&f->readback, &f->failure), 0);
    assert_non_null(strstr(readback_summary(&f->readback, text, sizeof(text)), "not available"));
    json_t *json = readback_json(&f->readback);
    assert_true(json_is_false(json_object_get(json, "available")));
    json_decref(json);
}

static void prints_a_row_for_each_vcpu(void **state)
{
    struct fixture *f = *state;
    char *text = NULL;
    size_t length = 0;
    take(f, "0", good);
    take(f, "2",
         "======.....============="
         "~x");
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    readback_print(&f->readback, out, true);
    fclose(out);
    assert_non_null(
        strstr(text, "\n     0     21            0        0          0            5\n"));
    assert_non_null(strstr(text, "\n     1  not started by the guest"));
    assert_non_null(
        strstr(text, "\n     2     19            1        1          0            5\n"));
    assert_non_null(strstr(text, "\n  msr 0xc0000102 KERNEL_GS_BASE        approximate "
                                 "0xffff888000000002\n"));
    assert_non_null(strstr(text, "\n  cr3                                  exact       0x1002\n"));
    free(text);

    json_t *json = readback_json(&f->readback);
    json_t *vcpus = json_object_get(json, "vcpus");
    assert_int_equal(json_array_size(vcpus), VCPUS);
    assert_true(json_is_false(json_object_get(json_array_get(vcpus, 1), "active")));
    json_t *fields = json_object_get(json_array_get(vcpus, 2), "fields");
    assert_int_equal(json_array_size(fields), FIELDS + MSRS);
    json_t *last = json_array_get(fields, FIELDS + 1);
    assert_string_equal(json_string_value(json_object_get(last, "name")), "msr 0x1234");
    assert_string_equal(json_string_value(json_object_get(last, "result")), "refused");
    assert_string_equal(json_string_value(json_object_get(last, "wanted")), "0x5");
    assert_null(json_object_get(json, "stopped"));
    json_decref(json);

    readback_take(&f->readback, "differs cpu=0x2 field=0x2 wanted=0x1002 got=0x3");
    json = readback_json(&f->readback);
    json_t *stopped = json_object_get(json, "stopped");
    assert_string_equal(json_string_value(json_object_get(stopped, "field")), "cr3");
    assert_string_equal(json_string_value(json_object_get(stopped, "got")), "0x3");
    json_decref(json);
}

#define READBACK_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        READBACK_TEST(counts_each_kind),
        READBACK_TEST(names_fields_and_what_is_wanted),
        READBACK_TEST(names_the_field_that_stopped_it),
        READBACK_TEST(values_may_be_withheld),
        READBACK_TEST(a_difference_needs_no_line_of_its_own),
        READBACK_TEST(misses_a_line),
        READBACK_TEST(finds_a_line_that_is_no_ledger),
        READBACK_TEST(says_what_it_cannot_know),
        READBACK_TEST(prints_a_row_for_each_vcpu),
    };
    return cmocka_run_group_tests_name("readback", tests, NULL, NULL);
}
