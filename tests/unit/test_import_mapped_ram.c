/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * QEMU's streams of capability mapped-ram, as files that are built: pages in their places, with a
 * bitmap, after each block's entry in the list. The real ones put pages at multiples of 1 MiB.
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

#include "import_build_stream.h"
#include "import_built.h"
#include "import_torture.h"
#include "ram.h"

#define PAGE 4096u
#define RAM_PAGES 70u /* more than a word of the bitmap */
#define ROM_PAGES 2u
#define STALE 50u /* its bytes are there, its bit is not */

/* Where things are in the stream that was built last. */
static struct {
    size_t capabilities;
    size_t list;
    size_t header[2]; /* of each block */
} layout;

static int is_there(unsigned page)
{
    return page % 3 == 1 && page != STALE;
}

/* @shift: of the stream in the file that QEMU wrote. */
static void build(struct import_built *built, uint64_t shift)
{
    struct builder *b = &built->b;
    uint8_t kinds[RAM_PAGES];
    for (unsigned i = 0; i < RAM_PAGES; i++)
        kinds[i] = is_there(i)  ? BUILD_MAPPED_PRESENT
                   : i == STALE ? BUILD_MAPPED_STALE
                                : BUILD_MAPPED_ABSENT;
    build_header(b, "pc-q35-10.0");
    build_mapped_capability(b);
    layout.capabilities = b->length - strlen("mapped-ram") - 1;
    build_ram_section(b, 1);
    layout.list = b->length;
    build_block_list(b, (RAM_PAGES + ROM_PAGES) * PAGE);
    layout.header[0] = build_mapped_block(b, "pc.ram", kinds, RAM_PAGES, 0, shift);
    layout.header[1] = build_mapped_block(b, "pc.bios", kinds, ROM_PAGES, 1, shift);
    build_ram_section_end(b);
    build_ram_section(b, 2);
    build_ram_section_end(b);
    build_ram_section(b, 3);
    build_ram_section_end(b);
    import_build_stream_vcpu(b, 0);
    build_finish(b);
}

static struct resume_import *open_built(struct import_built *built, int expected)
{
    struct resume_import *import = NULL;
    import_built_write(built);
    assert_int_equal(import_built_open(built, &import, expected), expected);
    return import;
}

static void check_pages(struct resume_import *import)
{
    struct resume_phys phys;
    assert_int_equal(resume_import_memory(import, &phys, NULL), 0);
    for (unsigned i = 0; i < RAM_PAGES; i++) {
        const uint8_t *page = phys.page(phys.ctx, (uint64_t)i * PAGE);
        assert_non_null(page);
        for (unsigned k = 0; k < PAGE; k++)
            assert_int_equal(page[k], is_there(i) ? build_page_byte((uint8_t)i, k) : 0);
    }
    assert_null(phys.page(phys.ctx, (uint64_t)RAM_PAGES * PAGE));
}

static void reads_pages_where_they_are(void **state)
{
    struct import_built *built = *state;
    struct resume_vcpu vcpu;
    build(built, 0);
    struct resume_import *import = open_built(built, 0);
    assert_string_equal(resume_import_format(import)->name, "qemu-stream");
    assert_string_equal(resume_import_detail(import), "TCG, pc-q35-10.0, mapped-ram");
    assert_int_equal(resume_import_vcpu(import, 0, &vcpu, NULL), 0);
    assert_int_equal(vcpu.regs.rip, STREAM_VCPU_RIP);
    check_pages(import);
    resume_import_close(import);
}

/* QEMU's offsets are those of its file, where something may be before the stream. */
static void takes_what_was_before_into_account(void **state)
{
    struct import_built *built = *state;
    build(built, 5000);
    struct resume_import *import = open_built(built, 0);
    check_pages(import);
    resume_import_close(import);
}

/* Those that have the file open themselves. */
static void tells_where_pages_are(void **state)
{
    struct import_built *built = *state;
    struct ram_page_info info;
    struct ram ram;
    uint64_t devices = 0;
    build(built, 0);
    import_built_write(built);
    assert_int_equal(ram_open(&ram, built->file.fd, &devices, NULL), 0);
    assert_int_equal(devices, built->b.devices_at);
    assert_int_equal(ram.block_count, 2);
    for (unsigned i = 0; i < RAM_PAGES; i++) {
        assert_int_equal(ram_page_info(&ram, 0, (uint64_t)i * PAGE, &info), 0);
        assert_int_equal(info.kind, is_there(i) ? RAM_PAGE_DATA : RAM_PAGE_FILL);
        if (is_there(i))
            assert_int_equal(built->b.data[info.offset + 9], build_page_byte((uint8_t)i, 9));
    }
    assert_int_equal(ram_page_info(&ram, 0, (uint64_t)RAM_PAGES * PAGE, &info), RESUME_EINVAL);
    ram_close(&ram);
}

static void put(struct import_built *built, size_t at, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        built->b.data[at + i] = (uint8_t)(value >> (8 * (size - 1 - i)));
}

static void refuses_impossible_places(void **state)
{
    static const struct {
        unsigned block;
        unsigned at;
        unsigned size;
        uint64_t value;
        int add; /* the value to what is there */
        int code;
    } cases[] = {
        {0, 0, 4, 2, 0, RESUME_EVERSION},          {0, 4, 8, 8192, 0, RESUME_EVERSION},
        {1, 12, 8, 1, 1, RESUME_ELENGTH},          /* another shift than the first */
        {0, 12, 8, 0, 0, RESUME_ELENGTH},          /* before where it can be */
        {0, 20, 8, 0, 0, RESUME_ELENGTH},          /* pages before the bitmap */
        {0, 20, 8, UINT64_MAX, 0, RESUME_ELENGTH}, /* beyond the end */
        {1, 20, 8, 1 << 20, 1, RESUME_ELENGTH},    /* likewise */
    };
    struct import_built *built = *state;
    build(built, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t at = layout.header[cases[i].block] + cases[i].at;
        uint8_t before[8];
        uint64_t value = 0;
        memcpy(before, built->b.data + at, 8);
        for (unsigned k = 0; k < cases[i].size && cases[i].add; k++)
            value = value << 8 | before[k];
        put(built, at, value + cases[i].value, cases[i].size);
        open_built(built, cases[i].code);
        if (cases[i].code == RESUME_ELENGTH)
            assert_non_null(strstr(built->error.why, "the pages of RAM block"));
        memcpy(built->b.data + at, before, 8);
    }
    /* Pages over the bitmap, and such that only some are in the file. */
    const uint64_t places[] = {layout.header[0] + 28 + 8, built->b.length - PAGE};
    uint8_t before[8];
    memcpy(before, built->b.data + layout.header[0] + 20, 8);
    for (size_t i = 0; i < 2; i++) {
        put(built, layout.header[0] + 20, places[i], 8);
        open_built(built, RESUME_ELENGTH);
        assert_non_null(strstr(built->error.why, "the pages of RAM block"));
    }
    memcpy(built->b.data + layout.header[0] + 20, before, 8);
    resume_import_close(open_built(built, 0));
}

/* A program that passes a stream on cannot pass on what is elsewhere. */
static void is_not_for_pipes(void **state)
{
    struct import_built *built = *state;
    struct stream stream;
    struct stream_event event;
    struct stream_error error;
    build(built, 0);
    assert_int_equal(stream_open_memory(&stream, built->b.data, built->b.length, NULL), 0);
    assert_int_equal(stream_next(&stream, &event, &error), 0);
    assert_int_equal(stream_next(&stream, &event, &error), RESUME_EUNSUPPORTED);
    assert_int_equal(error.offset, layout.capabilities);
    assert_non_null(strstr(error.why, "mapped-ram"));
    stream_close(&stream);
}

static void survives_torture(void **state)
{
    struct import_built *built = *state;
    build(built, 0);
    const struct torture_field fields[] = {
        {layout.capabilities - 4, 4, 1},
        {layout.capabilities, 1, 1},
        {layout.list, 8, 1},
        {layout.list + 8 + 7, 8, 1},
        {layout.header[0] + 4, 8, 1},
        {layout.header[0] + 12, 8, 1},
        {layout.header[0] + 20, 8, 1},
        {layout.header[1] + 12, 8, 1},
        {layout.header[1] + 20, 8, 1},
        {built->b.vmdesc_at + 1, 4, 1},
    };
    const struct torture torture = {
        .data = built->b.data,
        .length = built->b.length,
        .fields = fields,
        .field_count = sizeof(fields) / sizeof(fields[0]),
        .needed = built->b.length,
        .stride = 1009,
        .holes = 1, /* the pages begin at the next MiB */
    };
    import_torture(&torture);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_pages_where_they_are, import_built_setup,
                                        import_built_teardown),
        cmocka_unit_test_setup_teardown(takes_what_was_before_into_account, import_built_setup,
                                        import_built_teardown),
        cmocka_unit_test_setup_teardown(tells_where_pages_are, import_built_setup,
                                        import_built_teardown),
        cmocka_unit_test_setup_teardown(refuses_impossible_places, import_built_setup,
                                        import_built_teardown),
        cmocka_unit_test_setup_teardown(is_not_for_pipes, import_built_setup,
                                        import_built_teardown),
        cmocka_unit_test_setup_teardown(survives_torture, import_built_setup,
                                        import_built_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
