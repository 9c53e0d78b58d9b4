/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Images for another layout. Offsets are written out from Intel SDM vol. 1, "Format of an FXSAVE
 * Area"; the layouts are those of a Haswell, a Skylake server and what CPUs without MPX compact to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <resume/xsave.h>

#define BIT(n) (UINT64_C(1) << (n))

/* AVX, MPX, AVX-512, PKRU as Skylake servers have them; and as AMD's CPUs do, without MPX. */
static const struct resume_xcomp intel[] = {
    {2, 576, 256},  {3, 960, 64},    {4, 1024, 64}, {5, 1088, 64},
    {6, 1152, 512}, {7, 1664, 1024}, {9, 2688, 8},
};
static const struct resume_xcomp amd[] = {
    {2, 576, 256}, {5, 832, 64}, {6, 896, 512}, {7, 1408, 1024}, {9, 2432, 8},
};
#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof((array)[0])))

static uint8_t source[RESUME_XSAVE_MAX];
static uint8_t target[RESUME_XSAVE_MAX];
static struct resume_xsave from;

/* Every byte of the image says where it was. */
static uint8_t mark(size_t at)
{
    return (uint8_t)(1 + at * 7 % 251);
}

static void put64(uint8_t *to, uint64_t value)
{
    for (int i = 0; i < 8; i++) {
        to[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t get64(const uint8_t *bytes)
{
    uint64_t value = 0;

    for (int i = 7; i >= 0; i--) {
        value = value << 8 | bytes[i];
    }
    return value;
}

static int fill(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(source); i++) {
        source[i] = mark(i);
    }
    memset(source + 520, 0, 56);
    put64(source + 512, 0x2e7);
    memset(target, 0xee, sizeof(target));
    memset(&from, 0, sizeof(from));
    from.area = source;
    from.length = 2696;
    from.comp_count = COUNT(intel);
    memcpy(from.comp, intel, sizeof(intel));
    return 0;
}

static int transcode(const struct resume_xcomp *comp, uint32_t count, uint64_t xcr0,
                     uint32_t *ret_length, struct resume_diag *diag)
{
    return resume_xsave_transcode(&from, comp, count, xcr0, target, sizeof(target), ret_length,
                                  diag);
}

static void assert_zero(size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        if (target[i] != 0) {
            fail_msg("byte %zu is %#x", i, target[i]);
        }
    }
}

static void assert_copied(size_t to, size_t was, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (target[to + i] != mark(was + i)) {
            fail_msg("byte %zu is %#x instead of what was at %zu", to + i, target[to + i], was + i);
        }
    }
}

static void components_move(void **state)
{
    uint32_t length = 0;

    (void)state;
    assert_int_equal(transcode(amd, COUNT(amd), 0x2e7, &length, NULL), RESUME_OK);
    assert_int_equal(length, 2440);
    assert_true(get64(target + 512) == 0x2e7);
    assert_zero(520, 576);
    assert_copied(576, 576, 256);
    assert_copied(832, 1088, 64);
    assert_copied(896, 1152, 512);
    assert_copied(1408, 1664, 1024);
    assert_copied(2432, 2688, 8);
    assert_zero(2440, sizeof(target));
}

static void the_legacy_region_stays(void **state)
{
    uint32_t length;

    (void)state;
    assert_int_equal(transcode(amd, COUNT(amd), 0x2e7, &length, NULL), RESUME_OK);
    assert_copied(0, 0, 5);  /* FCW, FSW, FTW */
    assert_zero(5, 6);       /* reserved */
    assert_copied(6, 6, 22); /* FOP, FIP, FDP, MXCSR */
    assert_zero(28, 32);     /* MXCSR_MASK */
    for (size_t i = 0; i < 8; i++) {
        assert_copied(32 + 16 * i, 32 + 16 * i, 10);
        assert_zero(42 + 16 * i, 48 + 16 * i);
    }
    assert_copied(160, 160, 256);
    assert_zero(416, 512);
}

/* What is not in use has what FNINIT and XRSTOR would leave, in the bytes themselves. */
static void initial_configuration(void **state)
{
    uint32_t length;

    (void)state;
    put64(source + 512, 0);
    assert_int_equal(transcode(intel, COUNT(intel), 0x2ff, &length, NULL), RESUME_OK);
    assert_int_equal(length, 2696);
    assert_true(get64(target + 512) == 0);
    assert_int_equal(target[0], 0x7f);
    assert_int_equal(target[1], 0x03);
    assert_zero(2, 24);
    assert_copied(24, 24, 4); /* XRSTOR loads MXCSR all the same */
    assert_zero(28, sizeof(target));

    put64(source + 512, BIT(1) | BIT(9));
    assert_int_equal(transcode(intel, COUNT(intel), 0x2ff, &length, NULL), RESUME_OK);
    assert_int_equal(target[0], 0x7f);
    assert_zero(32, 160);
    assert_copied(160, 160, 256);
    assert_zero(576, 2688);
    assert_copied(2688, 2688, 8);
    assert_true(get64(target + 512) == (BIT(1) | BIT(9)));
}

static void xcr0_decides(void **state)
{
    uint32_t length;

    (void)state;
    assert_int_equal(transcode(intel, COUNT(intel), 7, &length, NULL), RESUME_OK);
    assert_int_equal(length, 832);
    assert_true(get64(target + 512) == 7);
    assert_copied(576, 576, 256);
    assert_zero(832, sizeof(target));
    /* x87 and SSE are there without XCR0, and without a component. */
    assert_int_equal(resume_xsave_transcode(&from, NULL, 0, 1, target, 576, &length, NULL),
                     RESUME_OK);
    assert_int_equal(length, 576);
    assert_true(get64(target + 512) == 3);
    assert_copied(160, 160, 256);
}

static void what_does_not_fit(void **state)
{
    struct resume_xcomp other[COUNT(intel)];
    struct resume_diag diag = {0};
    uint32_t length = 77;

    (void)state;
    memcpy(other, intel, sizeof(intel));
    /* AMD lacks MPX: no matter unless it is in use. */
    put64(source + 512, 0x2ff);
    assert_int_equal(transcode(amd, COUNT(amd), 0x2ff, &length, &diag), RESUME_ECPU);
    assert_string_equal(diag.field, "BNDREGS");
    assert_int_equal(diag.offset, 3);
    put64(source + 512, 0x2e7);
    assert_int_equal(transcode(amd, COUNT(amd), 0x2ff, &length, &diag), RESUME_OK);
    fill(NULL);
    length = 77;

    other[6].size = 16;
    assert_int_equal(transcode(other, COUNT(other), 0x2e7, &length, &diag), RESUME_EUNSUPPORTED);
    assert_string_equal(diag.field, "PKRU");
    assert_int_equal(diag.found, 8);
    assert_int_equal(diag.expected, 16);
    /* The guest has asked CPUID for the size, in use or not. */
    put64(source + 512, 7);
    assert_int_equal(transcode(other, COUNT(other), 0x2e7, &length, &diag), RESUME_EUNSUPPORTED);
    assert_int_equal(transcode(other, COUNT(other), 0xe7, &length, &diag), RESUME_OK);
    fill(NULL);
    length = 77;

    memcpy(other, intel, sizeof(intel));
    other[0].offset = 575;
    assert_int_equal(transcode(other, COUNT(other), 0x2e7, &length, &diag), RESUME_ECPU);
    assert_string_equal(diag.field, "AVX");
    other[0].offset = UINT32_MAX;
    assert_int_equal(transcode(other, COUNT(other), 0x2e7, &length, &diag), RESUME_ENOSPC);
    other[0].offset = RESUME_XSAVE_MAX - 255;
    assert_int_equal(transcode(other, COUNT(other), 0x2e7, &length, &diag), RESUME_ENOSPC);
    assert_int_equal(length, 77);
    assert_int_equal(target[0], 0xee); /* nothing was written so far */
    other[0].offset = RESUME_XSAVE_MAX - 256;
    assert_int_equal(transcode(other, COUNT(other), 0x2e7, &length, &diag), RESUME_OK);
    assert_int_equal(length, RESUME_XSAVE_MAX);
}

static void room(void **state)
{
    uint32_t length;

    (void)state;
    assert_int_equal(
        resume_xsave_transcode(&from, amd, COUNT(amd), 0x2e7, target, 2439, &length, NULL),
        RESUME_ENOSPC);
    assert_int_equal(target[0], 0xee);
    assert_int_equal(
        resume_xsave_transcode(&from, amd, COUNT(amd), 0x2e7, target, 2440, &length, NULL),
        RESUME_OK);
    assert_int_equal(target[2440], 0xee);
    assert_int_equal(resume_xsave_transcode(&from, NULL, 0, 3, target, 575, &length, NULL),
                     RESUME_ENOSPC);
}

static void bad_records(void **state)
{
    struct resume_diag diag = {0};
    uint32_t length;

    (void)state;
    from.comp[1].offset = 0;
    put64(source + 512, 0xf);
    assert_int_equal(transcode(intel, COUNT(intel), 0x2ff, &length, &diag), RESUME_EINVAL);
    fill(NULL);
    from.comp[0].offset = 2441;
    assert_int_equal(transcode(amd, COUNT(amd), 0x2e7, &length, &diag), RESUME_EINVAL);
    assert_string_equal(diag.field, "AVX");
    from.comp[0].offset = UINT32_MAX;
    assert_int_equal(transcode(amd, COUNT(amd), 0x2e7, &length, &diag), RESUME_EINVAL);
    from.comp_count = 0; /* in use, and nowhere */
    assert_int_equal(transcode(amd, COUNT(amd), 0x2e7, &length, &diag), RESUME_EINVAL);
    fill(NULL);
    from.length = 575;
    assert_int_equal(transcode(amd, COUNT(amd), 3, &length, &diag), RESUME_EINVAL);
    fill(NULL);
    from.area = NULL;
    assert_int_equal(transcode(amd, COUNT(amd), 0x2e7, &length, &diag), RESUME_EINVAL);
    fill(NULL);
    from.comp_count = RESUME_XCOMP_MAX + 1;
    assert_int_equal(transcode(amd, COUNT(amd), 0x2e7, &length, &diag), RESUME_EINVAL);
    fill(NULL);
    assert_int_equal(transcode(NULL, 1, 0x2e7, &length, &diag), RESUME_EINVAL);
    assert_int_equal(transcode(amd, RESUME_XCOMP_MAX + 1, 0x2e7, &length, &diag), RESUME_EINVAL);
    assert_int_equal(resume_xsave_transcode(NULL, amd, 1, 7, target, 576, &length, NULL),
                     RESUME_EINVAL);
    assert_int_equal(resume_xsave_transcode(&from, amd, 1, 7, NULL, 576, &length, NULL),
                     RESUME_EINVAL);
    assert_int_equal(resume_xsave_transcode(&from, amd, 1, 7, target, 576, NULL, NULL),
                     RESUME_EINVAL);
    assert_int_equal(target[0], 0xee);
}

static void spans(void **state)
{
    static const struct resume_span legacy[] = {
        {0, 5},   {24, 4},   {32, 10},  {48, 10},  {64, 10},   {80, 10},
        {96, 10}, {112, 10}, {128, 10}, {144, 10}, {160, 256},
    };
    static const struct resume_span extended[] = {
        {576, 256}, {960, 64}, {1024, 16}, {1088, 64}, {1152, 512}, {1664, 1024}, {2688, 4},
    };
    struct resume_xcomp reversed[COUNT(intel)];
    struct resume_span out[RESUME_SPANS];

    (void)state;
    assert_int_equal(resume_xsave_spans(NULL, 0, 1, out, RESUME_SPANS), COUNT(legacy));
    assert_memory_equal(out, legacy, sizeof(legacy));
    assert_int_equal(resume_xsave_spans(intel, COUNT(intel), 3, out, RESUME_SPANS), COUNT(legacy));
    assert_int_equal(resume_xsave_spans(intel, COUNT(intel), 0x2ff, out, RESUME_SPANS),
                     COUNT(legacy) + COUNT(extended));
    assert_memory_equal(out, legacy, sizeof(legacy));
    assert_memory_equal(out + COUNT(legacy), extended, sizeof(extended));
    /* Ascending, whatever the order of the components. */
    for (uint32_t i = 0; i < COUNT(intel); i++) {
        reversed[i] = intel[COUNT(intel) - 1 - i];
    }
    memset(out, 0, sizeof(out));
    assert_int_equal(resume_xsave_spans(reversed, COUNT(intel), 0x2ff, out, RESUME_SPANS),
                     COUNT(legacy) + COUNT(extended));
    assert_memory_equal(out + COUNT(legacy), extended, sizeof(extended));
    assert_int_equal(resume_xsave_spans(intel, COUNT(intel), 0x87, out, RESUME_SPANS),
                     COUNT(legacy) + 2);
}

static void spans_have_a_limit(void **state)
{
    struct resume_xcomp most[RESUME_XCOMP_MAX];
    struct resume_span out[RESUME_SPANS + 1];

    (void)state;
    for (uint32_t i = 0; i < RESUME_XCOMP_MAX; i++) {
        most[i] = (struct resume_xcomp){2 + i, 576 + 64 * i, 64};
    }
    memset(out, 0xee, sizeof(out));
    assert_true(resume_xsave_spans(most, RESUME_XCOMP_MAX, UINT64_MAX, out, RESUME_SPANS) <=
                RESUME_SPANS);
    assert_int_equal(out[RESUME_SPANS].offset, 0xeeeeeeee);
    memset(out, 0xee, sizeof(out));
    assert_int_equal(resume_xsave_spans(most, 2, UINT64_MAX, out, 3), 13);
    assert_int_equal(out[2].offset, 32);
    assert_int_equal(out[3].offset, 0xeeeeeeee);
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(resume_xsave_component_name(2), "AVX");
    assert_string_equal(resume_xsave_component_name(18), "XTILEDATA");
    assert_string_equal(resume_xsave_component_name(40), "component");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(components_move, fill),
        cmocka_unit_test_setup(the_legacy_region_stays, fill),
        cmocka_unit_test_setup(initial_configuration, fill),
        cmocka_unit_test_setup(xcr0_decides, fill),
        cmocka_unit_test_setup(what_does_not_fit, fill),
        cmocka_unit_test_setup(room, fill),
        cmocka_unit_test_setup(bad_records, fill),
        cmocka_unit_test(spans),
        cmocka_unit_test(spans_have_a_limit),
        cmocka_unit_test(names),
    };

    return cmocka_run_group_tests_name("xsave", tests, NULL, NULL);
}
