/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ram.h"
#include "stream_build.h"

#define PAGE 4096u

/* 8 pages of pc.ram and 2 of pc.rom; page 2 is sent twice, page 5 never. */
static void build_sample(struct builder *b)
{
    build_header(b, "pc-q35-7.2");
    build_ram_section(b, 1);
    build_block_list(b, 10 * PAGE);
    build_block(b, "pc.ram", 8 * PAGE);
    build_block(b, "pc.rom", 2 * PAGE);
    build_ram_section_end(b);
    build_ram_section(b, 2);
    build_zero(b, "pc.ram", 0, 0);
    build_page(b, NULL, PAGE, 0x11);
    build_page(b, NULL, 2 * PAGE, 0x22);
    build_zero(b, NULL, 3 * PAGE, 0xcc);
    build_zero(b, NULL, 4 * PAGE, 0);
    build_ram_section_end(b);
    build_ram_section(b, 3);
    build_page(b, "pc.ram", 2 * PAGE, 0x33);
    build_zero(b, NULL, 6 * PAGE, 0);
    build_page(b, NULL, 7 * PAGE, 0x77);
    build_page(b, "pc.rom", 0, 0x88);
    build_zero(b, NULL, PAGE, 0xff);
    build_ram_section_end(b);
    build_finish(b);
}

static FILE *to_file(const struct builder *b)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(fwrite(b->data, 1, b->length, file), b->length);
    assert_int_equal(fflush(file), 0);
    return file;
}

static void expect_page(struct ram *ram, uint32_t block, uint64_t offset, uint8_t first)
{
    uint8_t page[PAGE];
    assert_int_equal(ram_read_page(ram, block, offset, page, NULL), 0);
    for (size_t i = 0; i < PAGE; i++)
        assert_int_equal(page[i], build_page_byte(first, i));
}

static void expect_fill(struct ram *ram, uint32_t block, uint64_t offset, uint8_t fill)
{
    uint8_t page[PAGE];
    memset(page, 0x5a, sizeof(page));
    assert_int_equal(ram_read_page(ram, block, offset, page, NULL), 0);
    for (size_t i = 0; i < PAGE; i++)
        assert_int_equal(page[i], fill);
}

static void check_sample(struct ram *ram)
{
    struct ram_page_info info;
    uint8_t page[PAGE];
    assert_int_equal(ram->block_count, 2);
    uint32_t rom = ram_block_find(ram, "pc.rom");
    assert_int_equal(ram_block_find(ram, "pc.ram"), 0);
    assert_int_equal(rom, 1);
    assert_int_equal(ram_block_find(ram, "vga.vram"), UINT32_MAX);
    expect_fill(ram, 0, 0, 0);
    expect_page(ram, 0, PAGE, 0x11);
    expect_page(ram, 0, 2 * PAGE + 17, 0x33); /* the later copy */
    expect_fill(ram, 0, 3 * PAGE, 0xcc);
    expect_fill(ram, 0, 5 * PAGE, 0); /* never sent */
    expect_page(ram, 0, 7 * PAGE, 0x77);
    expect_page(ram, rom, 0, 0x88);
    expect_fill(ram, rom, PAGE, 0xff);
    assert_int_equal(ram_page_info(ram, 0, 5 * PAGE, &info), 0);
    assert_int_equal(info.kind, RAM_PAGE_ABSENT);
    assert_int_equal(ram_page_info(ram, 0, 3 * PAGE, &info), 0);
    assert_int_equal(info.kind, RAM_PAGE_FILL);
    assert_int_equal(info.fill, 0xcc);
    assert_int_equal(ram_page_info(ram, 0, PAGE, &info), 0);
    assert_int_equal(info.kind, RAM_PAGE_DATA);
    assert_int_equal(ram_page_info(ram, 0, 8 * PAGE, &info), RESUME_EINVAL);
    assert_int_equal(ram_page_info(ram, 2, 0, &info), RESUME_EINVAL);
    assert_int_equal(ram_read_page(ram, 1, 2 * PAGE, page, NULL), RESUME_EINVAL);
    assert_int_equal(ram_read_page(ram, UINT32_MAX, 0, page, NULL), RESUME_EINVAL);
}

static void test_file(void **state)
{
    struct builder b = {0};
    struct ram ram;
    uint64_t tail = 0;
    (void)state;
    build_sample(&b);
    FILE *file = to_file(&b);
    assert_int_equal(lseek(fileno(file), 100, SEEK_SET), 100); /* its position does not matter */
    assert_int_equal(ram_open(&ram, fileno(file), &tail, NULL), 0);
    assert_int_equal(tail, b.devices_at);
    check_sample(&ram);
    ram_close(&ram);
    ram_close(&ram);
    fclose(file);
    build_free(&b);
}

static void test_memory(void **state)
{
    struct builder b = {0};
    struct stream stream;
    struct stream_event event;
    struct ram ram;
    (void)state;
    build_sample(&b);
    assert_int_equal(ram_begin_memory(&ram, b.data, b.length, NULL), 0);
    assert_int_equal(stream_open_memory(&stream, b.data, b.length, NULL), 0);
    do {
        assert_int_equal(stream_next(&stream, &event, NULL), 0);
        assert_int_equal(ram_add(&ram, &stream, &event, NULL), 0);
    } while (event.kind != STREAM_DEVICES);
    stream_close(&stream); /* the index does not need it any more */
    check_sample(&ram);
    event.kind = STREAM_PAGE;
    event.block = 0;
    event.page_offset = 8 * PAGE;
    assert_int_equal(ram_add(&ram, &stream, &event, NULL), RESUME_ECONSISTENT);
    event.block = 2;
    event.page_offset = 0;
    assert_int_equal(ram_add(&ram, &stream, &event, NULL), RESUME_ECONSISTENT);
    ram_close(&ram);
    build_free(&b);
}

static void test_ranges(void **state)
{
    static const struct ram_range good[] = {
        {.base_pa = 0, .length = 2 * PAGE, .block = 0, .block_offset = 0},
        {.base_pa = 2 * PAGE, .length = PAGE, .block = 1, .block_offset = PAGE},
        {.base_pa = 0x100000000, .length = 3 * PAGE, .block = 0, .block_offset = 5 * PAGE},
    };
    static const struct ram_range bad[] = {
        {.base_pa = 0x10001, .length = PAGE, .block = 0, .block_offset = 0},
        {.base_pa = 0x10000, .length = 100, .block = 0, .block_offset = 0},
        {.base_pa = 0x10000, .length = 0, .block = 0, .block_offset = 0},
        {.base_pa = 0x10000, .length = PAGE, .block = 2, .block_offset = 0},
        {.base_pa = 0x10000, .length = PAGE, .block = 0, .block_offset = 8 * PAGE},
        {.base_pa = 0x10000, .length = 2 * PAGE, .block = 0, .block_offset = 7 * PAGE},
        {.base_pa = 0x10000, .length = PAGE, .block = 0, .block_offset = UINT64_MAX - 4095},
        {.base_pa = UINT64_MAX - 4095, .length = 2 * PAGE, .block = 0, .block_offset = 0},
        {.base_pa = PAGE, .length = PAGE, .block = 0, .block_offset = 0},
        {.base_pa = 0xfffff000, .length = 2 * PAGE, .block = 0, .block_offset = 0},
    };
    struct builder b = {0};
    struct stream_error error;
    struct ram ram;
    uint32_t block;
    uint64_t offset;
    (void)state;
    build_sample(&b);
    FILE *file = to_file(&b);
    assert_int_equal(ram_open(&ram, fileno(file), NULL, NULL), 0);
    struct resume_phys phys = ram_phys(&ram);
    assert_null(phys.page(phys.ctx, 0));
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(ram_add_range(&ram, &good[i], &error), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(ram_add_range(&ram, &bad[i], &error), RESUME_EINVAL);

    assert_true(ram_locate(&ram, 0x100002fff, &block, &offset));
    assert_int_equal(block, 0);
    assert_int_equal(offset, 7 * PAGE + 0xfff);
    assert_false(ram_locate(&ram, 0x100003000, &block, &offset));
    assert_false(ram_locate(&ram, 3 * PAGE, &block, &offset));

    const uint8_t *page = phys.page(phys.ctx, 0x100002000);
    assert_non_null(page);
    assert_int_equal((uintptr_t)page % 8, 0);
    assert_int_equal(page[300], build_page_byte(0x77, 300));
    page = phys.page(phys.ctx, 2 * PAGE);
    assert_int_equal(page[4095], 0xff);
    page = phys.page(phys.ctx, PAGE);
    assert_int_equal(page[1], build_page_byte(0x11, 1));
    assert_null(phys.page(phys.ctx, 3 * PAGE));
    assert_null(phys.page(phys.ctx, UINT64_MAX - 4095));

    /* A file that became shorter is an error, not zeroes; what is cached stays. */
    assert_int_equal(ftruncate(fileno(file), 200), 0);
    uint8_t copy[PAGE];
    assert_int_equal(ram_read_page(&ram, 1, 0, copy, &error), RESUME_ETRUNC);
    assert_non_null(phys.page(phys.ctx, PAGE));
    ram_close(&ram);
    fclose(file);
    build_free(&b);
}

/* Enough pages that the cache has to let go of some. */
static void test_cache(void **state)
{
    enum { PAGES = 3 * RAM_CACHE_PAGES };
    struct builder b = {0};
    struct ram ram;
    (void)state;
    build_header(&b, "pc-i440fx-7.2");
    build_ram_section(&b, 1);
    build_block_list(&b, PAGES * PAGE);
    build_block(&b, "pc.ram", PAGES * PAGE);
    build_ram_section_end(&b);
    build_ram_section(&b, 3);
    for (unsigned i = 0; i < PAGES; i++)
        build_page(&b, i == 0 ? "pc.ram" : NULL, (uint64_t)i * PAGE, (uint8_t)(i / 256 * 5 + i));
    build_ram_section_end(&b);
    build_finish(&b);
    FILE *file = to_file(&b);
    assert_int_equal(ram_open(&ram, fileno(file), NULL, NULL), 0);
    assert_int_equal(ram_guess_ranges(&ram, "pc-i440fx-7.2", NULL), 0);
    struct resume_phys phys = ram_phys(&ram);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < PAGES; i += round + 1) {
            const uint8_t *page = phys.page(phys.ctx, (uint64_t)i * PAGE);
            assert_non_null(page);
            assert_int_equal(page[9], build_page_byte((uint8_t)(i / 256 * 5 + i), 9));
        }
    }
    ram_close(&ram);
    fclose(file);
    build_free(&b);
}

/* Where QEMU 7.2 put the RAM, by `info mtree -f`, just below and at the change. */
static void test_guess(void **state)
{
    static const uint64_t mib = 1 << 20;
    static const struct {
        const char *machine;
        uint64_t length; /* MiB */
        uint64_t low;    /* bytes below 4 GiB */
    } cases[] = {
        {"pc-q35-7.2", 512, 0x20000000},     {"pc-q35-7.2", 2815, 0xaff00000},
        {"pc-q35-7.2", 2816, 0x80000000},    {"pc-i440fx-7.2", 3583, 0xdff00000},
        {"pc-i440fx-7.2", 3584, 0xc0000000}, {"pc-i440fx-7.2", 3071, 0xbff00000},
    };
    struct stream_error error;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct builder b = {0};
        struct ram ram;
        uint64_t total = cases[i].length * mib;
        build_header(&b, cases[i].machine);
        build_ram_section(&b, 1);
        build_block_list(&b, total);
        build_block(&b, "pc.ram", total);
        build_ram_section_end(&b);
        build_ram_section(&b, 3);
        build_ram_section_end(&b);
        build_finish(&b);
        FILE *file = to_file(&b);
        assert_int_equal(ram_open(&ram, fileno(file), NULL, &error), 0);
        assert_int_equal(ram_guess_ranges(&ram, cases[i].machine, &error), 0);
        assert_int_equal(ram.range[0].base_pa, 0);
        assert_int_equal(ram.range[0].length, cases[i].low);
        assert_int_equal(ram.range_count, cases[i].low == total ? 1 : 2);
        if (ram.range_count == 2) {
            assert_int_equal(ram.range[1].base_pa, 0x100000000);
            assert_int_equal(ram.range[1].block_offset, cases[i].low);
            assert_int_equal(ram.range[1].length, total - cases[i].low);
        }
        ram_close(&ram);
        assert_int_equal(ram_open(&ram, fileno(file), NULL, &error), 0);
        assert_int_equal(ram_guess_ranges(&ram, "virt-7.2", &error), RESUME_EUNSUPPORTED);
        ram_close(&ram);
        fclose(file);
        build_free(&b);
    }
}

static void test_refused(void **state)
{
    struct stream_error error;
    struct ram ram;
    int ends[2];
    (void)state;
    assert_int_equal(ram_open(&ram, -1, NULL, &error), RESUME_IMPORT_ERRNO(EBADF));
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(ram_open(&ram, ends[0], NULL, &error), RESUME_IMPORT_ERRNO(ESPIPE));
    close(ends[0]);
    close(ends[1]);
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(ram_open(&ram, fileno(file), NULL, &error), RESUME_ETRUNC);
    fclose(file);
}

/* QEMU names a device's memory by its path; `info mtree` by the region alone. */
static void test_names(void **state)
{
    struct stream_block blocks[] = {{.name = "0000:00:01.0/vga.vram"},
                                    {.name = "0000:00:02.0/net.rom"},
                                    {.name = "0000:00:03.0/net.rom"},
                                    {.name = "net"},
                                    {.name = "bios"}};
    const struct ram ram = {.blocks = blocks, .block_count = 5};
    (void)state;
    assert_int_equal(ram_block_find(&ram, "vga.vram"), 0);
    assert_int_equal(ram_block_find(&ram, "0000:00:03.0/net.rom"), 2);
    assert_int_equal(ram_block_find(&ram, "net.rom"), UINT32_MAX); /* which? */
    assert_int_equal(ram_block_find(&ram, "net"), 3);
    assert_int_equal(ram_block_find(&ram, "vram"), UINT32_MAX);
    assert_int_equal(ram_block_find(&ram, "a longer name than that of bios"), UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file),  cmocka_unit_test(test_memory), cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_cache), cmocka_unit_test(test_guess),  cmocka_unit_test(test_refused),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
