/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Descriptors, byte by byte from Intel SDM vol. 3, "Segment Descriptors", and read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "descriptor.h"

static void expect(const struct resume_segment *segment, int is_system, const uint8_t *bytes,
                   uint32_t size)
{
    uint8_t out[16];
    uint32_t got = 0;

    memset(out, 0xee, sizeof(out));
    assert_int_equal(resume_descriptor_encode(segment, is_system, out, &got), RESUME_OK);
    assert_int_equal(got, size);
    assert_memory_equal(out, bytes, 16);
}

static void known_descriptors(void **state)
{
    /* Linux's 64-bit kernel code, user data, and its 32-bit user code, as they are in its GDT. */
    static const uint8_t kernel_code[16] = {0xff, 0xff, 0, 0, 0, 0x9b, 0xaf, 0};
    static const uint8_t user_data[16] = {0xff, 0xff, 0, 0, 0, 0xf3, 0xcf, 0};
    static const uint8_t user_code32[16] = {0xff, 0xff, 0, 0, 0, 0xfb, 0xcf, 0};

    (void)state;
    expect(&(struct resume_segment){.limit = UINT32_MAX, .access = 0xa09b, .selector = 0x10}, 0,
           kernel_code, 8);
    expect(&(struct resume_segment){.limit = UINT32_MAX, .access = 0xc0f3, .selector = 0x2b}, 0,
           user_data, 8);
    expect(&(struct resume_segment){.limit = UINT32_MAX, .access = 0xc0fb, .selector = 0x23}, 0,
           user_code32, 8);
    /* Accessed, though the record has it otherwise: loading it writes nothing. */
    expect(&(struct resume_segment){.limit = UINT32_MAX, .access = 0xc0f2, .selector = 0x2b}, 0,
           user_data, 8);
}

static void bases_and_limits(void **state)
{
    static const uint8_t bytes[16] = {0xbc, 0x9a, 0x78, 0x56, 0x34, 0xf3, 0x5f, 0x12};
    static const uint8_t granular[16] = {0xcd, 0xab, 0, 0, 0, 0xf3, 0xce, 0};
    static const uint8_t low_half[16] = {0xff, 0xff, 0, 0xd0, 0xab, 0xf3, 0xcf, 0x12};

    (void)state;
    expect(&(struct resume_segment){.base = 0x12345678, .limit = 0xf9abc, .access = 0x50f3}, 0,
           bytes, 8);
    expect(&(struct resume_segment){.limit = 0xeabcdfff, .access = 0xc0f3}, 0, granular, 8);
    /* The upper half of a base is that of an MSR. */
    expect(
        &(struct resume_segment){.base = 0xffff888012abd000, .limit = UINT32_MAX, .access = 0xc0f3},
        0, low_half, 8);
}

static void system_descriptors(void **state)
{
    static const uint8_t tss[16] = {0x87, 0x40, 0, 0x30, 0, 0x89, 0, 0, 0, 0xfe, 0xff, 0xff};
    static const uint8_t ldt[16] = {0xff, 0xff, 0, 0, 0x07, 0x82, 0, 0, 0, 0xfe, 0xff, 0xff};

    (void)state;
    expect(
        &(struct resume_segment){
            .base = 0xfffffe0000003000, .limit = 0x4087, .access = 0x8b, .selector = 0x40},
        1, tss, 16);
    expect(
        &(struct resume_segment){
            .base = 0xfffffe0000003000, .limit = 0x4087, .access = 0x89, .selector = 0x40},
        1, tss, 16);
    expect(
        &(struct resume_segment){
            .base = 0xfffffe0000070000, .limit = 0xffff, .access = 0x82, .selector = 0x50},
        1, ldt, 16);
}

static void refuse(struct resume_segment segment, int is_system)
{
    uint8_t out[16] = {0xee};
    uint32_t size = 77;

    assert_int_equal(resume_descriptor_encode(&segment, is_system, out, &size),
                     RESUME_EUNSUPPORTED);
    assert_int_equal(size, 77);
    assert_int_equal(out[0], 0xee);
}

static void what_no_descriptor_gives(void **state)
{
    (void)state;
    refuse((struct resume_segment){.limit = 0xfffff, .access = 0x100f3}, 0); /* unusable */
    refuse((struct resume_segment){.limit = 0xfffff, .access = 0x0073}, 0);  /* not present */
    refuse((struct resume_segment){.limit = 0xfffff, .access = 0x0083}, 0);  /* a system segment */
    refuse((struct resume_segment){.limit = 0xffff, .access = 0x0093}, 1);   /* none */
    refuse((struct resume_segment){.limit = 0xffff, .access = 0x0083}, 1);   /* 16-bit TSS */
    refuse((struct resume_segment){.limit = 0xffff, .access = 0x008c}, 1);   /* call gate */
    refuse((struct resume_segment){.limit = 0x100000, .access = 0x40f3}, 0);
    refuse((struct resume_segment){.limit = 0x1ffffe, .access = 0xc0f3}, 0);
    refuse((struct resume_segment){.limit = 0, .access = 0xc0f3}, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_descriptors),
        cmocka_unit_test(bases_and_limits),
        cmocka_unit_test(system_descriptors),
        cmocka_unit_test(what_no_descriptor_gives),
    };

    return cmocka_run_group_tests_name("descriptor", tests, NULL, NULL);
}
