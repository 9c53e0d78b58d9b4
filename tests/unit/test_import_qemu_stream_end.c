/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A stream's devices are found from the end of the file: how much is read of it, counted through a
 * pread of this program's own, and what happens when the end does not tell.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include <resume/import.h>

#include "import_build_stream.h"
#include "import_built.h"
#include "qemu_stream.h"

#define PAGE 4096u
#define MIB (UINT64_C(1) << 20)
#define ENOUGH (UINT64_C(512) << 10) /* bytes to read of any stream */

static uint64_t bytes_read;

/* The one that the importers read with. */
ssize_t pread64(int fd, void *buffer, size_t length, off64_t offset)
{
    ssize_t got = syscall(SYS_pread64, fd, buffer, length, offset);
    if (got > 0)
        bytes_read += (uint64_t)got;
    return got;
}

static struct resume_import *open_file(struct import_built *built, int expected)
{
    struct resume_import *import = NULL;
    bytes_read = 0;
    assert_int_equal(import_built_open(built, &import, expected), expected);
    return import;
}

static struct resume_import *open_built(struct import_built *built, int expected)
{
    import_built_write(built);
    return open_file(built, expected);
}

static void read_vcpu(struct resume_import *import)
{
    struct resume_vcpu vcpu;
    assert_int_equal(resume_import_vcpu(import, 0, &vcpu, NULL), 0);
    assert_int_equal(vcpu.regs.rip, STREAM_VCPU_RIP);
}

/* Up to where the pages would be. */
static void build_head(struct builder *b, uint64_t ram)
{
    build_header(b, "pc-q35-7.2");
    build_ram_section(b, 1);
    build_block_list(b, ram);
    build_block(b, "pc.ram", ram);
    build_ram_section_end(b);
    build_ram_section(b, 3);
}

/*
 * A stream with a hole in place of its pages, which no walk gets over. @footer: of the section that
 * is said to end with the hole.
 */
static void write_hollow(struct import_built *built, uint64_t ram, uint32_t footer)
{
    struct builder *b = &built->b;
    build_free(b);
    memset(b, 0, sizeof(*b));
    build_head(b, ram);
    size_t head = b->length;
    build_u8(b, 0x7e);
    build_be(b, footer, 4);
    import_build_stream_vcpu(b, 0);
    build_finish(b);
    assert_int_equal(ftruncate(built->file.fd, 0), 0);
    assert_int_equal(ftruncate(built->file.fd, (off_t)(b->length + ram)), 0);
    assert_int_equal(pwrite(built->file.fd, b->data, head, 0), head);
    assert_int_equal(pwrite(built->file.fd, b->data + head, b->length - head, (off_t)(head + ram)),
                     b->length - head);
}

static void does_not_read_the_ram(void **state)
{
    static const uint64_t sizes[] = {256 * MIB, 1024 * MIB, 8192 * MIB};
    struct import_built *built = *state;
    uint64_t first = 0;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        write_hollow(built, sizes[i], 2);
        struct resume_import *import = open_file(built, 0);
        struct resume_machine machine;
        read_vcpu(import);
        assert_int_equal(resume_import_machine(import, &machine, NULL), 0);
        assert_int_equal(machine.range[machine.range_count - 1].base_pa,
                         sizes[i] < 4096 * MIB ? 0 : 4096 * MIB);
        resume_import_close(import);
        assert_in_range(bytes_read, 1, ENOUGH);
        if (i == 0)
            first = bytes_read;
        assert_int_equal(bytes_read, first);
    }
}

/* What is found must begin where the RAM ends, else all is read. */
static void does_not_trust_the_end_alone(void **state)
{
    struct import_built *built = *state;
    write_hollow(built, MIB, 3);
    open_file(built, RESUME_EUNSUPPORTED);
    assert_non_null(strstr(built->error.why, "RAM entry"));
}

static void build_ram(struct builder *b, unsigned pages)
{
    build_head(b, pages * PAGE);
    for (unsigned i = 0; i < pages; i++)
        build_page(b, i == 0 ? "pc.ram" : NULL, i * PAGE, (uint8_t)i);
    build_ram_section_end(b);
}

/* A command between the devices is not in the description: the end misleads by its length. */
static void walks_when_it_must(void **state)
{
    static const uint8_t command[] = {8, 0, 11, 0, 2, 1, 2};
    struct import_built *built = *state;
    struct builder *b = &built->b;
    build_ram(b, 256);
    build_device(b, "timer", "timer", 0, 2);
    build_field(b, "ticks", "int64", 8, 7);
    build_device_end(b);
    build_bytes(b, command, sizeof(command));
    import_build_stream_vcpu(b, 0);
    build_finish(b);
    struct resume_import *import = open_built(built, 0);
    assert_true(bytes_read > 256 * PAGE);
    read_vcpu(import);
    resume_import_close(import);
}

/* A command without data before the devices is no reason to. */
static void bears_a_command_before_the_devices(void **state)
{
    static const uint8_t command[] = {8, 0, 11, 0, 0};
    struct import_built *built = *state;
    struct builder *b = &built->b;
    build_ram(b, 256);
    build_bytes(b, command, sizeof(command));
    import_build_stream_vcpu(b, 0);
    build_finish(b);
    struct resume_import *import = open_built(built, 0);
    assert_in_range(bytes_read, 1, ENOUGH);
    read_vcpu(import);
    resume_import_close(import);
}

static void names_a_missing_description(void **state)
{
    struct import_built *built = *state;
    struct builder *b = &built->b;
    build_ram(b, 2);
    import_build_stream_vcpu(b, 0);
    build_u8(b, 0);
    open_built(built, RESUME_EMISSING);
    assert_non_null(strstr(built->error.why, "no description"));
    assert_non_null(strstr(built->error.hint, "suppress-vmdesc"));
}

static void names_a_missing_vcpu(void **state)
{
    struct import_built *built = *state;
    struct builder *b = &built->b;
    build_ram(b, 2);
    build_device(b, "timer", "timer", 0, 2);
    build_field(b, "ticks", "int64", 8, 7);
    build_device_end(b);
    build_finish(b);
    open_built(built, RESUME_EMISSING);
    assert_non_null(strstr(built->error.why, "no vCPU"));
}

static void bears_zeroes_at_the_end(void **state)
{
    struct import_built *built = *state;
    struct builder *b = &built->b;
    build_ram(b, 2);
    import_build_stream_vcpu(b, 0);
    build_finish(b);
    for (unsigned i = 0; i < 70000; i++)
        build_u8(b, 0);
    struct resume_import *import = open_built(built, 0);
    read_vcpu(import);
    resume_import_close(import);
    /* Anything else is not the end of a stream. */
    b->data[b->length - 1] = 1;
    open_built(built, RESUME_EMISSING);
}

/* A description of more bytes than are read at first. */
static void finds_a_long_description(void **state)
{
    struct import_built *built = *state;
    struct builder *b = &built->b;
    build_ram(b, 2);
    import_build_stream_vcpu(b, 0);
    build_device(b, "long", "long", 0, 1);
    for (unsigned i = 0; i < 8000; i++)
        build_field(b, "a_field_with_a_name", "uint8", 1, i & 0xff);
    build_device_end(b);
    build_finish(b);
    assert_true(b->length - b->vmdesc_at > 300u << 10);
    struct resume_import *import = open_built(built, 0);
    read_vcpu(import);
    resume_import_close(import);
}

/* As containers show it: in pieces, not where it says. */
static void reads_through_a_view(void **state)
{
    struct import_built *built = *state;
    struct builder *b = &built->b;
    struct qemu_stream *stream = NULL;
    struct import_file view;
    struct resume_phys phys;
    char detail[64];
    build_ram(b, 6);
    import_build_stream_vcpu(b, 0);
    build_finish(b);
    size_t half = b->length / 2;
    uint8_t *turned = malloc(b->length);
    assert_non_null(turned);
    memcpy(turned, b->data + half, b->length - half);
    memcpy(turned + b->length - half, b->data, half);
    import_memfile_set(&built->file, turned, b->length);
    free(turned);
    const struct import_file file = {.fd = built->file.fd, .size = b->length, .name = "container"};
    const struct import_extent extents[] = {{0, half, b->length - half},
                                            {half, b->length - half, 0}};
    assert_int_equal(import_file_view(&file, extents, 2, b->length + 100, "the stream", &view), 0);
    assert_int_equal(qemu_stream_probe(&file), 0);
    assert_int_equal(qemu_stream_probe(&view), 100);
    assert_int_equal(qemu_stream_open(&view, &stream, detail, sizeof(detail), &built->error), 0);
    assert_string_equal(detail, "TCG, pc-q35-7.2");
    assert_int_equal(qemu_stream_vcpus(stream), 1);
    assert_int_equal(qemu_stream_memory(stream, &phys, &built->error), 0);
    for (unsigned i = 0; i < 6; i++) {
        const uint8_t *page = phys.page(phys.ctx, i * PAGE);
        assert_non_null(page);
        for (size_t k = 0; k < PAGE; k++)
            assert_int_equal(page[k], build_page_byte((uint8_t)i, k));
    }
    qemu_stream_close(stream);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(does_not_read_the_ram, import_built_setup,
                                        import_built_teardown),
        cmocka_unit_test_setup_teardown(does_not_trust_the_end_alone, import_built_setup,
                                        import_built_teardown),
        cmocka_unit_test_setup_teardown(walks_when_it_must, import_built_setup,
                                        import_built_teardown),
        cmocka_unit_test_setup_teardown(bears_a_command_before_the_devices, import_built_setup,
                                        import_built_teardown),
        cmocka_unit_test_setup_teardown(names_a_missing_description, import_built_setup,
                                        import_built_teardown),
        cmocka_unit_test_setup_teardown(names_a_missing_vcpu, import_built_setup,
                                        import_built_teardown),
        cmocka_unit_test_setup_teardown(bears_zeroes_at_the_end, import_built_setup,
                                        import_built_teardown),
        cmocka_unit_test_setup_teardown(finds_a_long_description, import_built_setup,
                                        import_built_teardown),
        cmocka_unit_test_setup_teardown(reads_through_a_view, import_built_setup,
                                        import_built_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
