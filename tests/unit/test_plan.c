/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The plan file: literal bytes, and every way of being wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <resume/format.h>
#include <resume/plan.h>

#include "linux_vcpu.h"

static const struct resume_plan sample = {
    .state_crc32c = 0x11223344,
    .home = {.va = LINUX_HOME_VA,
             .pa = LINUX_HOME_PA,
             .length = 0x49000, /* that of eight vCPUs */
             .kind = RESUME_HOME_PADDING,
             .fill = 0xcc},
};

/* docs/FORMAT.md, by hand: header, record header, HOME. */
static const uint8_t expected[120] = {
    'R',  'S',  'M',  'P',  'L',  'A',  'N',  0,    /* magic */
    1,    0,    0,    0,    0,    0,    64,   0,    /* 1.0, compatible 0, header 64 */
    120,  0,    0,    0,    0,    0,    0,    0,    /* total */
    1,    0,    0,    0,    0,    0,    0,    0,    /* vCPUs, flags */
    0,    0,    0,    0,    0,    0,    0,    0,    /* checksum: not compared here */
    0,    0,    0,    0,    0,    0,    0,    0,    /* reserved */
    0,    0,    0,    0,    0,    0,    0,    0,    /* reserved */
    0,    0,    0,    0,    0,    0,    0,    0,    /* reserved */
    1,    0,    1,    0,    1,    0,    0,    0,    /* tag HOME, version 1, mandatory */
    0xff, 0xff, 0xff, 0xff, 40,   0,    0,    0,    /* of the machine, 40 bytes */
    0x44, 0x33, 0x22, 0x11, 1,    0,    0,    0,    /* state checksum, kind padding */
    0x00, 0xf0, 0xde, 0xbc, 0xff, 0xff, 0xff, 0xff, /* VA */
    0x00, 0xf0, 0xfe, 0x08, 0,    0,    0,    0,    /* PA */
    0x00, 0x90, 0x04, 0x00, 0,    0,    0,    0,    /* length */
    0xcc, 0,    0,    0,    0,    0,    0,    0,    /* fill */
};

/* Bitwise CRC-32C (RFC 3720, appendix B.4), so that a test can mend what it breaks. */
static void mend(uint8_t *file, size_t length)
{
    uint32_t crc = UINT32_MAX;

    memset(file + 32, 0, 4);
    for (size_t i = 0; i < length; i++) {
        crc ^= file[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
    }
    crc = ~crc;
    for (uint32_t i = 0; i < 4; i++)
        file[32 + i] = (uint8_t)(crc >> (8 * i));
}

static void bytes_are_as_documented(void **context)
{
    uint8_t file[RESUME_PLAN_SIZE_MAX];
    uint8_t mended[sizeof(expected)];
    size_t size = 0;

    (void)context;
    assert_int_equal(resume_plan_write(&sample, file, sizeof(file), &size), 0);
    assert_int_equal(size, sizeof(expected));
    memcpy(mended, expected, sizeof(expected));
    mend(mended, sizeof(mended));
    assert_memory_equal(file, mended, size);
}

static void a_plan_is_read_back(void **context)
{
    struct resume_plan plan;
    uint8_t file[sizeof(expected)];

    (void)context;
    memcpy(file, expected, sizeof(file));
    mend(file, sizeof(file));
    memset(&plan, 0, sizeof(plan));
    assert_int_equal(resume_plan_read(file, sizeof(file), &plan, NULL), 0);
    assert_int_equal(plan.state_crc32c, 0x11223344);
    assert_int_equal(plan.home.va, LINUX_HOME_VA);
    assert_int_equal(plan.home.pa, LINUX_HOME_PA);
    assert_int_equal(plan.home.length, 0x49000);
    assert_int_equal(plan.home.kind, RESUME_HOME_PADDING);
    assert_int_equal(plan.home.fill, 0xcc);
}

static void writing_needs_room(void **context)
{
    uint8_t file[sizeof(expected)];
    size_t size = 77;

    (void)context;
    assert_int_equal(resume_plan_write(&sample, file, sizeof(file) - 1, &size), RESUME_ENOSPC);
    assert_int_equal(size, 77);
    assert_int_equal(resume_plan_write(NULL, file, sizeof(file), &size), RESUME_EINVAL);
    assert_int_equal(resume_plan_write(&sample, NULL, sizeof(file), &size), RESUME_EINVAL);
    assert_int_equal(resume_plan_write(&sample, file, sizeof(file), NULL), RESUME_EINVAL);
}

static void truncation_and_flips_are_found(void **context)
{
    uint8_t file[sizeof(expected)];
    struct resume_plan plan;
    struct resume_plan before;

    (void)context;
    memset(&plan, 0xa5, sizeof(plan));
    before = plan;
    memcpy(file, expected, sizeof(file));
    mend(file, sizeof(file));
    for (size_t length = 0; length < sizeof(file); length++)
        assert_int_not_equal(resume_plan_read(file, length, &plan, NULL), 0);
    for (size_t bit = 0; bit < sizeof(file) * 8; bit++) {
        file[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(resume_plan_read(file, sizeof(file), &plan, NULL), 0);
        file[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_memory_equal(&plan, &before, sizeof(plan));
}

static void wrong_values_are_named(void **context)
{
    static const struct {
        size_t offset;
        uint8_t value;
        int err;
        const char *field;
    } cases[] = {
        {64 + 16 + 4, 3, RESUME_EREGISTER, "kind"},
        {64 + 16 + 4, 2, RESUME_EREGISTER, "fill"},
        {64 + 16 + 8, 1, RESUME_EREGISTER, "va"},
        {64 + 16 + 16, 1, RESUME_EREGISTER, "pa"},
        {64 + 16 + 23, 1, RESUME_EREGISTER, "pa"},
        {64 + 16 + 24, 1, RESUME_EREGISTER, "length"},
        {64 + 16 + 25, 0x98, RESUME_EREGISTER, "length"},
        {64 + 16 + 27, 1, RESUME_EREGISTER, "length"},
        {64 + 16 + 32, 0, RESUME_EREGISTER, "fill"},
        {64 + 16 + 33, 1, RESUME_EREGISTER, "fill"},
        {64 + 12, 39, RESUME_ELENGTH, "length"},
        {64, 2, RESUME_EMANDATORY, "tag"},
        {0, 'X', RESUME_EMAGIC, "magic"},
        {8, 2, RESUME_EVERSION, "major"},
    };

    (void)context;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct resume_plan plan;
        struct resume_diag diag = {0};
        uint8_t file[sizeof(expected)];

        memcpy(file, expected, sizeof(file));
        file[cases[i].offset] = cases[i].value;
        mend(file, sizeof(file));
        assert_int_equal(resume_plan_read(file, sizeof(file), &plan, &diag), cases[i].err);
        assert_string_equal(diag.field, cases[i].field);
    }
}

static void put_length(uint8_t *file, uint64_t length)
{
    for (uint32_t i = 0; i < 8; i++)
        file[64 + 16 + 24 + i] = (uint8_t)(length >> (8 * i));
    mend(file, sizeof(expected));
}

/* Any home that can be found: from one page to 16 MiB. */
static void lengths_are_whole_pages(void **context)
{
    static const uint64_t good[] = {0x1000, 0x18000, 0xff0000, 0x1000000};
    static const uint64_t bad[] = {0, 0x800, 0x1001000, 0x100000000, UINT64_MAX - 0xfff};
    uint8_t file[sizeof(expected)];
    struct resume_plan plan;

    (void)context;
    memcpy(file, expected, sizeof(file));
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        put_length(file, good[i]);
        assert_int_equal(resume_plan_read(file, sizeof(file), &plan, NULL), 0);
        assert_true(plan.home.length == good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        put_length(file, bad[i]);
        assert_int_equal(resume_plan_read(file, sizeof(file), &plan, NULL), RESUME_EREGISTER);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_as_documented), cmocka_unit_test(a_plan_is_read_back),
        cmocka_unit_test(writing_needs_room),      cmocka_unit_test(truncation_and_flips_are_found),
        cmocka_unit_test(wrong_values_are_named),  cmocka_unit_test(lengths_are_whole_pages),
    };

    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
