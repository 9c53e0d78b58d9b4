/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * QEMU's kdumps. The sample is of the machine, and the instant, of test_import_elf_dump.c's: made by
 * QEMU 7.2, cut by tests/support/cut_dumps.py. Both must give the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <resume/import.h>

#include "import_sample.h"
#include "import_torture.h"

#define GOLDEN RESUME_TEST_GOLDEN_DIR "/import/"
#define SAMPLE GOLDEN "kdump/qemu-7.2-two-vcpus-zlib"
#define ELF GOLDEN "elf_dump/qemu-7.2-two-vcpus"
#define FIRST_PIECE 4096u

static int setup(void **state)
{
    return import_sample_setup(state, SAMPLE);
}

static struct resume_import *open_bytes(struct import_sample *sample, const uint8_t *data,
                                        size_t length, int expected)
{
    struct resume_import *import = NULL;
    import_memfile_set(&sample->file, data, length);
    assert_int_equal(resume_import_open(sample->file.path, NULL, &import, &sample->error),
                     expected);
    return import;
}

static uint64_t be64(const uint8_t *data)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++)
        value = value << 8 | data[i];
    return value;
}

/* Puts the pieces where they belong. Returns the length. */
static size_t rebuild(const struct import_sample *sample, uint8_t out[IMPORT_SAMPLE_MAX])
{
    size_t at = FIRST_PIECE;
    size_t end = 0;
    memset(out, 0, IMPORT_SAMPLE_MAX);
    while (be64(sample->data + at) != UINT64_MAX) {
        size_t offset = (size_t)be64(sample->data + at);
        size_t length = (size_t)be64(sample->data + at + 8);
        assert_true(offset + length <= IMPORT_SAMPLE_MAX);
        memcpy(out + offset, sample->data + at + 16, length);
        end = offset + length > end ? offset + length : end;
        at += 16 + length;
    }
    return end;
}

static void agree(struct resume_import *import)
{
    static const uint64_t pages[] = {0x295b000, 0x2969000, 0x2971000, 0x2973000, 0x7a16000};
    struct resume_import *elf = NULL;
    struct resume_phys left;
    struct resume_phys right;
    assert_int_equal(resume_import_open(ELF, NULL, &elf, NULL), 0);
    assert_string_equal(resume_import_format(import)->name, "kdump");
    assert_int_equal(resume_import_vcpus(import), 2);
    for (uint32_t i = 0; i < 2; i++) {
        struct resume_vcpu a;
        struct resume_vcpu b;
        assert_int_equal(resume_import_vcpu(import, i, &a, NULL), 0);
        assert_int_equal(resume_import_vcpu(elf, i, &b, NULL), 0);
        assert_memory_equal(&a, &b, sizeof(a));
    }
    assert_int_equal(resume_import_memory(import, &left, NULL), 0);
    assert_int_equal(resume_import_memory(elf, &right, NULL), 0);
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        const void *a = left.page(left.ctx, pages[i]);
        const void *b = right.page(right.ctx, pages[i]);
        assert_non_null(a);
        assert_non_null(b);
        assert_memory_equal(a, b, 4096);
        assert_null(left.page(left.ctx, pages[i] + 0x1000));
    }
    assert_null(left.page(left.ctx, UINT64_C(1) << 51));
    resume_import_close(elf);
}

static void agrees_with_the_elf_dump(void **state)
{
    struct import_sample *sample = *state;
    uint8_t whole[IMPORT_SAMPLE_MAX];
    struct resume_import *import = open_bytes(sample, sample->data, sample->length, 0);
    assert_string_equal(resume_import_detail(import), "flattened, zlib");
    agree(import);
    resume_import_close(import);
    size_t length = rebuild(sample, whole);
    import = open_bytes(sample, whole, length, 0);
    assert_string_equal(resume_import_detail(import), "not flattened, zlib");
    agree(import);
    resume_import_close(import);
}

/* Where the descriptor of a page is: after both bitmaps. */
static size_t descriptors_of(const uint8_t *whole)
{
    return (1u + whole[432] + whole[436]) * 4096u;
}

static void names_other_compressions(void **state)
{
    struct import_sample *sample = *state;
    uint8_t whole[IMPORT_SAMPLE_MAX];
    struct resume_phys phys;
    struct resume_vcpu vcpu;
    size_t length = rebuild(sample, whole);
    size_t at = descriptors_of(whole);
    for (unsigned i = 1; i < 5; i++)
        whole[at + 24 * i + 12] = 2;
    struct resume_import *import = open_bytes(sample, whole, length, 0);
    assert_string_equal(resume_import_detail(import), "not flattened, LZO");
    assert_int_equal(resume_import_vcpu(import, 0, &vcpu, NULL), 0);
    assert_int_equal(resume_import_memory(import, &phys, &sample->error), RESUME_EUNREACHABLE);
    assert_non_null(strstr(sample->error.why, "LZO"));
    resume_import_close(import);
}

/* A page that unpacks to more, or less, than a page is none. */
static void bounds_what_is_unpacked(void **state)
{
    struct import_sample *sample = *state;
    uint8_t whole[IMPORT_SAMPLE_MAX];
    struct resume_phys phys;
    size_t length = rebuild(sample, whole);
    size_t at = descriptors_of(whole) + 24;
    whole[at + 8]--; /* the second page's size */
    struct resume_import *import = open_bytes(sample, whole, length, 0);
    assert_int_equal(resume_import_memory(import, &phys, NULL), 0);
    assert_null(phys.page(phys.ctx, 0x2969000));
    assert_non_null(phys.page(phys.ctx, 0x2971000));
    resume_import_close(import);
    whole[at + 8]++;
    /* More than a page, of which there is enough in the file. */
    whole[at + 9] = 0x13;
    import = open_bytes(sample, whole, sizeof(whole), 0);
    assert_int_equal(resume_import_memory(import, &phys, NULL), 0);
    assert_null(phys.page(phys.ctx, 0x2969000));
    resume_import_close(import);
}

static void refuses_what_is_not_read(void **state)
{
    struct import_sample *sample = *state;
    uint8_t whole[IMPORT_SAMPLE_MAX];
    size_t length = rebuild(sample, whole);
    whole[8] = 5;
    open_bytes(sample, whole, length, RESUME_EVERSION);
    whole[8] = 6;
    whole[272] = 'i';
    open_bytes(sample, whole, length, RESUME_EUNSUPPORTED);
    uint8_t empty[FIRST_PIECE + 16];
    memcpy(empty, sample->data, FIRST_PIECE);
    memset(empty + FIRST_PIECE, 0xff, 16);
    open_bytes(sample, empty, sizeof(empty), RESUME_EMISSING);
    sample->data[31] = 2; /* of the flattened form */
    open_bytes(sample, sample->data, sample->length, RESUME_EVERSION);
}

static void refuses_overlapping_pieces(void **state)
{
    struct import_sample *sample = *state;
    size_t second = FIRST_PIECE + 16 + (size_t)be64(sample->data + FIRST_PIECE + 8);
    /* The second one a byte before the end of the first. */
    sample->data[second + 6] = 0x01;
    sample->data[second + 7] = 0xcf;
    open_bytes(sample, sample->data, sample->length, RESUME_EUNSUPPORTED);
    assert_non_null(strstr(sample->error.hint, "makedumpfile -R"));
}

static void survives_torture(void **state)
{
    struct import_sample *sample = *state;
    struct torture_field fields[64];
    size_t count = 0;
    size_t at = FIRST_PIECE;
    while (be64(sample->data + at) != UINT64_MAX && count < 40) {
        fields[count++] = (struct torture_field){at, 8, 1};
        fields[count++] = (struct torture_field){at + 8, 8, 1};
        at += 16 + (size_t)be64(sample->data + at + 8);
    }
    /* Block size, lengths of sub-header and bitmaps; then the place and length of the notes. */
    for (size_t i = 428; i <= 440; i += 4)
        fields[count++] = (struct torture_field){FIRST_PIECE + 16 + i, 4, 0};
    size_t sub = FIRST_PIECE + 32 + (size_t)be64(sample->data + FIRST_PIECE + 8);
    fields[count++] = (struct torture_field){sub + 48, 8, 0};
    fields[count++] = (struct torture_field){sub + 56, 8, 0};
    struct torture torture = {.data = sample->data,
                              .length = sample->length,
                              .fields = fields,
                              .field_count = count,
                              .needed = sample->length};
    struct torture_result result = import_torture(&torture);
    print_message("%lu inputs, %lu refused\n", result.tried, result.refused);
    assert_true(result.refused > result.tried / 4);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, import_sample_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(agrees_with_the_elf_dump),   TEST(names_other_compressions),
        TEST(bounds_what_is_unpacked),    TEST(refuses_what_is_not_read),
        TEST(refuses_overlapping_pieces), TEST(survives_torture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
