/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * libvirt's save files. One sample is as libvirt 9.0 wrote it (tests/support/make_libvirt.py). In
 * the others the stream is QEMU 7.2's and the packing that of the programs which libvirt runs;
 * header and XML are built from libvirt's source (tests/support/make_containers.py).
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include <cmocka.h>

#include <resume/import.h>

#include "import_build_stream.h"
#include "import_built.h"
#include "import_torture.h"

#define GOLDEN RESUME_TEST_GOLDEN_DIR "/import/"
#define PAGE 4096u
#define HEADER 92u
#define XML "<domain type='kvm'>\n  <name>vm \x1b 1</name>\n</domain>\n"
#define DATA_LENGTH 200u

static struct resume_import *open_path(const char *path)
{
    struct resume_import *import = NULL;
    struct resume_import_error error;
    int ret = resume_import_open(path, NULL, &import, &error);
    if (ret != 0)
        print_error("%s: %s\n", error.where, error.why);
    assert_int_equal(ret, 0);
    return import;
}

/* All are of the instant at which the second snapshot of qcow2's sample was taken; libvirt's own of
 * the same machine, halted at the same place. */
static void reads_each_compression(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"raw", "running, not compressed"}, {"gzip", "running, gzip"},
        {"bzip2", "running, bzip2"},        {"xz", "running, xz"},
        {"zstd", "running, zstd"},          {"libvirt-9.0", "paused, gzip"},
    };
    struct resume_import *listing = open_path(GOLDEN "registers_text/qemu-7.2-isapc-halted");
    size_t count;
    const struct resume_field *table = resume_field_table(&count);
    struct resume_vcpu right;
    assert_int_equal(resume_import_vcpu(listing, 0, &right, NULL), 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[512];
        char detail[128];
        struct resume_vcpu left;
        unsigned compared = 0;
        snprintf(path, sizeof(path), GOLDEN "libvirt/%s.save", names[i][0]);
        snprintf(detail, sizeof(detail), "domain \"sample\", %s, TCG, isapc", names[i][1]);
        struct resume_import *import = open_path(path);
        assert_string_equal(resume_import_format(import)->name, "libvirt-save");
        assert_string_equal(resume_import_detail(import), detail);
        assert_int_equal(resume_import_vcpu(import, 0, &left, NULL), 0);
        for (size_t k = 0; k < count; k++) {
            if (!resume_field_valid(&left, &table[k]) || !resume_field_valid(&right, &table[k]))
                continue;
            if (resume_field_get(&left, &table[k]) != resume_field_get(&right, &table[k]))
                fail_msg("%s: %s", path, table[k].name);
            compared++;
        }
        assert_true(compared >= 59);
        resume_import_close(import);
    }
    resume_import_close(listing);
}

static void put(uint8_t *at, uint32_t value, int big_endian)
{
    for (unsigned i = 0; i < 4; i++)
        at[big_endian ? 3 - i : i] = (uint8_t)(value >> (8 * i));
}

/* A save file of the stream that was built, to be freed. */
static uint8_t *wrap(const struct import_built *built, uint32_t format, int big_endian,
                     size_t *ret_length)
{
    const uint32_t fields[] = {2, DATA_LENGTH, 0, format, sizeof(XML)};
    uLong packed = compressBound((uLong)built->b.length) + 64;
    uint8_t *file = calloc(1, HEADER + DATA_LENGTH + packed);
    assert_non_null(file);
    memcpy(file, "LibvirtQemudSave", 16);
    for (unsigned i = 0; i < 5; i++)
        put(file + 16 + 4 * i, fields[i], big_endian);
    memcpy(file + HEADER, XML, sizeof(XML));
    memcpy(file + HEADER + sizeof(XML), "<cookie/>", 10);
    uint8_t *data = file + HEADER + DATA_LENGTH;
    if (format == 1) {
        z_stream stream = {.next_in = built->b.data,
                           .avail_in = (unsigned)built->b.length,
                           .next_out = data,
                           .avail_out = (unsigned)packed};
        assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 16 + 15, 8, Z_DEFAULT_STRATEGY),
                         Z_OK);
        assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
        packed = (uLong)stream.total_out;
        deflateEnd(&stream);
    } else {
        packed = (uLong)built->b.length;
        memcpy(data, built->b.data, packed);
    }
    *ret_length = HEADER + DATA_LENGTH + packed;
    return file;
}

static int open_file(struct import_built *built, const uint8_t *data, size_t length,
                     struct resume_import **ret)
{
    *ret = NULL;
    import_memfile_set(&built->file, data, length);
    return resume_import_open(built->file.path, "libvirt-save", ret, &built->error);
}

static void gives_vcpus_and_memory(void **state)
{
    struct import_built *built = *state;
    import_build_stream(&built->b);
    for (uint32_t i = 0; i < 4; i++) {
        struct resume_import *import;
        struct resume_vcpu vcpu;
        struct resume_phys phys;
        size_t length;
        uint8_t *file = wrap(built, i % 2, i / 2 != 0, &length);
        assert_int_equal(open_file(built, file, length, &import), 0);
        assert_string_equal(resume_import_detail(import),
                            i % 2 != 0 ? "domain \"vm ? 1\", paused, gzip, TCG, pc-q35-7.2"
                                       : "domain \"vm ? 1\", paused, not compressed, TCG, "
                                         "pc-q35-7.2");
        assert_int_equal(resume_import_vcpu(import, 0, &vcpu, NULL), 0);
        assert_int_equal(vcpu.regs.rip, STREAM_VCPU_RIP);
        assert_int_equal(resume_import_memory(import, &phys, NULL), 0);
        const uint8_t *page = phys.page(phys.ctx, 2 * PAGE);
        assert_non_null(page);
        for (size_t k = 0; k < PAGE; k++)
            assert_int_equal(page[k], build_page_byte(0x21, k));
        resume_import_close(import);
        free(file);
    }
}

static void names_what_is_not_read(void **state)
{
    struct import_built *built = *state;
    static const struct {
        size_t at;
        uint32_t value;
        int code;
        const char *why;
        const char *hint;
    } cases[] = {
        {16, 3, RESUME_EVERSION, "this is 3", ""},
        {16, 0, RESUME_EVERSION, "this is 0", ""},
        {20, 0, RESUME_ELENGTH, "the length of the domain's XML: 0", ""},
        {20, 1 << 30, RESUME_ELENGTH, "the length of the domain's XML", ""},
        {28, 4, RESUME_EUNSUPPORTED, "lzop", "tail -c +293 FILE | lzop -dc >stream"},
        {28, 7, RESUME_EUNSUPPORTED, "format 7", ""},
        {28, 2, RESUME_EMAGIC, "bzip2", ""},
        {32, DATA_LENGTH + 1, RESUME_ELENGTH, "the place of the cookie", ""},
        {12, 0x74726150, RESUME_ETRUNC, "not finished", "save the domain again"}, /* "Part" */
    };
    import_build_stream(&built->b);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct resume_import *import;
        size_t length;
        uint8_t *file = wrap(built, 0, 0, &length);
        put(file + cases[i].at, cases[i].value, 0);
        int ret = open_file(built, file, length, &import);
        if (ret != cases[i].code || strstr(built->error.why, cases[i].why) == NULL ||
            strstr(built->error.hint, cases[i].hint) == NULL)
            fail_msg("%zu: %d: %s (%s)", i, ret, built->error.why, built->error.hint);
        free(file);
    }
}

/* Version 1 had no such field. */
static void knows_no_compression_in_version_1(void **state)
{
    struct import_built *built = *state;
    struct resume_import *import;
    size_t length;
    import_build_stream(&built->b);
    uint8_t *file = wrap(built, 0, 0, &length);
    put(file + 16, 1, 0);
    put(file + 28, 3, 0);
    assert_int_equal(open_file(built, file, length, &import), 0);
    resume_import_close(import);
    free(file);
}

/* libvirt has QEMU write a mapped-ram file behind its header: all offsets count that too. */
static void reads_sparse_files(void **state)
{
    struct import_built *built = *state;
    struct builder *b = &built->b;
    const uint64_t before = HEADER + DATA_LENGTH;
    struct resume_import *import;
    struct resume_phys phys;
    size_t length;
    build_header(b, "pc-q35-10.0");
    build_u8(b, 5);
    build_name(b, "configuration/capabilities");
    build_be(b, 1, 4);
    build_be(b, 1, 4);
    build_name(b, "mapped-ram");
    build_ram_section(b, 1);
    build_block_list(b, 2 * PAGE);
    build_block(b, "pc.ram", 2 * PAGE);
    size_t bitmap = b->length + 28;
    build_be(b, 1, 4);
    build_be(b, PAGE, 8);
    build_be(b, bitmap + before, 8);
    build_be(b, 8192 + before, 8);
    build_u8(b, 2); /* only the second page is there; words are little-endian */
    while (b->length < 8192)
        build_u8(b, 0);
    for (unsigned i = 0; i < 2 * PAGE; i++)
        build_u8(b, build_page_byte(0x33, i % PAGE));
    build_ram_section_end(b);
    build_ram_section(b, 3);
    build_ram_section_end(b);
    import_build_stream_vcpu(b, 0);
    build_finish(b);
    uint8_t *file = wrap(built, 6, 0, &length);
    assert_int_equal(open_file(built, file, length, &import), 0);
    assert_non_null(strstr(resume_import_detail(import), "sparse, TCG, pc-q35-10.0, mapped-ram"));
    assert_int_equal(resume_import_memory(import, &phys, NULL), 0);
    const uint8_t *page = phys.page(phys.ctx, PAGE);
    assert_non_null(page);
    for (unsigned i = 0; i < PAGE; i++)
        assert_int_equal(page[i], build_page_byte(0x33, i));
    page = phys.page(phys.ctx, 0);
    assert_non_null(page);
    for (unsigned i = 0; i < PAGE; i++)
        assert_int_equal(page[i], 0);
    resume_import_close(import);
    free(file);
}

static void tortured(struct import_built *built, uint32_t format, size_t stride)
{
    static const struct torture_field fields[] = {
        {16, 4, 0}, {20, 4, 0}, {24, 4, 0}, {28, 4, 0}, {32, 4, 0},
    };
    size_t length;
    uint8_t *file = wrap(built, format, 0, &length);
    const struct torture torture = {
        .format = "libvirt-save",
        .data = file,
        .length = length,
        .fields = fields,
        .field_count = sizeof(fields) / sizeof(fields[0]),
        .needed = length,
        .stride = stride,
    };
    struct torture_result result = import_torture(&torture);
    print_message("%lu inputs, %lu refused\n", result.tried, result.refused);
    assert_true(result.refused > result.tried / 4);
    free(file);
}

static void survives_torture(void **state)
{
    struct import_built *built = *state;
    import_build_stream(&built->b);
    tortured(built, 0, 331);
    tortured(built, 1, 3);
}

#define BUILT(function)                                                                            \
    cmocka_unit_test_setup_teardown(function, import_built_setup, import_built_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_each_compression),
        BUILT(gives_vcpus_and_memory),
        BUILT(names_what_is_not_read),
        BUILT(knows_no_compression_in_version_1),
        BUILT(reads_sparse_files),
        BUILT(survives_torture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
