/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Streams that are refused, each with a reason that names what it is about. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"
#include "stream_build.h"

#define PAGE 4096u

/* Reads to the devices. Returns the first error; @ret_error holds its description. */
static int read_all(const uint8_t *data, size_t length, struct stream_error *error)
{
    struct stream stream;
    struct stream_event event;
    int ret;
    memset(error, 0, sizeof(*error));
    assert_int_equal(stream_open_memory(&stream, data, length, error), 0);
    do {
        memset(&event, 0xee, sizeof(event));
        struct stream_event before = event;
        ret = stream_next(&stream, &event, error);
        if (ret != 0)
            assert_memory_equal(&event, &before, sizeof(event)); /* untouched on failure */
    } while (ret == 0 && event.kind != STREAM_DEVICES);
    stream_close(&stream);
    return ret;
}

typedef void (*build_fn)(struct builder *b);

static void begin_ram(struct builder *b, uint64_t total)
{
    build_header(b, "pc-q35-7.2");
    build_ram_section(b, 1);
    build_block_list(b, total);
}

static void begin_pages(struct builder *b)
{
    begin_ram(b, 2 * PAGE);
    build_block(b, "pc.ram", 2 * PAGE);
    build_ram_section_end(b);
    build_ram_section(b, 3);
}

static void bad_magic(struct builder *b)
{
    build_bytes(b, "QEVN\0\0\0\3", 8);
}
static void bad_libvirt(struct builder *b)
{
    build_bytes(b, "LibvirtQemudSave", 16);
}
static void bad_version(struct builder *b)
{
    build_bytes(b, "QEVM\0\0\0\2", 8);
}
static void bad_machine_empty(struct builder *b)
{
    build_bytes(b, "QEVM\0\0\0\3\7\0\0\0\0", 13);
}
static void bad_machine_long(struct builder *b)
{
    char name[300];
    memset(name, 'a', sizeof(name));
    name[256] = '\0';
    build_header(b, name);
}
static void bad_machine_control(struct builder *b)
{
    build_header(b, "pc\033[2J");
}
static void bad_two_configurations(struct builder *b)
{
    build_header(b, "a");
    build_bytes(b, "\7\0\0\0\1b", 6);
}
static void bad_capability(struct builder *b)
{
    build_header(b, "a");
    build_u8(b, 5);
    build_name(b, "configuration/capabilities");
    build_be(b, 1, 4);
    build_be(b, 1, 4);
    build_name(b, "mapped-ram");
}
static void bad_configuration_part(struct builder *b)
{
    build_header(b, "a");
    build_u8(b, 5);
    build_name(b, "configuration/novel");
    build_be(b, 1, 4);
}
static void bad_page_bits(struct builder *b)
{
    build_header(b, "a");
    build_u8(b, 5);
    build_name(b, "configuration/target-page-bits");
    build_be(b, 1, 4);
    build_be(b, 16, 4);
}
static void bad_iterative(struct builder *b)
{
    build_header(b, "a");
    build_u8(b, 1);
    build_be(b, 2, 4);
    build_name(b, "vfio");
    build_be(b, 0, 8);
}
static void bad_ram_version(struct builder *b)
{
    build_header(b, "a");
    build_u8(b, 1);
    build_be(b, 2, 4);
    build_name(b, "ram");
    build_be(b, 0, 4);
    build_be(b, 3, 4);
}
static void bad_early_device(struct builder *b)
{
    build_header(b, "a");
    build_device(b, "virtio-mem-early", "virtio-mem-early", 0, 1);
}
static void bad_end_before_ram(struct builder *b)
{
    build_header(b, "a");
    build_u8(b, 0);
}
static void bad_part_first(struct builder *b)
{
    build_header(b, "a");
    build_ram_section(b, 2);
}
static void bad_second_start(struct builder *b)
{
    begin_ram(b, PAGE);
    build_block(b, "pc.ram", PAGE);
    build_ram_section_end(b);
    build_ram_section(b, 1);
}
static void bad_ram_after_end(struct builder *b)
{
    begin_pages(b);
    build_ram_section_end(b);
    build_ram_section(b, 2);
}
static void bad_no_list(struct builder *b)
{
    build_header(b, "a");
    build_ram_section(b, 1);
    build_ram_section_end(b);
}
static void bad_list_twice(struct builder *b)
{
    begin_ram(b, PAGE);
    build_block(b, "pc.ram", PAGE);
    build_block_list(b, PAGE);
}
static void bad_list_empty(struct builder *b)
{
    begin_ram(b, 0);
}
static void bad_list_huge(struct builder *b)
{
    begin_ram(b, UINT64_C(0xfffffffffffff000));
}
static void bad_block_too_long(struct builder *b)
{
    begin_ram(b, 2 * PAGE);
    build_block(b, "pc.ram", 3 * PAGE);
}
static void bad_block_unaligned(struct builder *b)
{
    begin_ram(b, 2 * PAGE);
    build_block(b, "pc.ram", PAGE + 1);
}
static void bad_block_twice(struct builder *b)
{
    begin_ram(b, 2 * PAGE);
    build_block(b, "pc.ram", PAGE);
    build_block(b, "pc.ram", PAGE);
}
static void bad_block_nameless(struct builder *b)
{
    begin_ram(b, 2 * PAGE);
    build_block(b, "", PAGE);
}
static void bad_blocks_many(struct builder *b)
{
    begin_ram(b, 1200 * PAGE);
    for (unsigned i = 0; i < 1200; i++) {
        char name[16];
        snprintf(name, sizeof(name), "b%u", i);
        build_block(b, name, PAGE);
    }
}
static void bad_continue(struct builder *b)
{
    begin_pages(b);
    build_zero(b, NULL, 0, 0);
}
static void bad_unknown_block(struct builder *b)
{
    begin_pages(b);
    build_zero(b, "pc.rom", 0, 0);
}
static void bad_beyond_block(struct builder *b)
{
    begin_pages(b);
    build_zero(b, "pc.ram", 2 * PAGE, 0);
}
static void bad_eos_address(struct builder *b)
{
    begin_pages(b);
    build_be(b, PAGE | 0x10, 8);
}
static void bad_footer_id(struct builder *b)
{
    begin_pages(b);
    build_be(b, 0x10, 8);
    build_u8(b, 0x7e);
    build_be(b, 3, 4);
}
static void bad_no_footer(struct builder *b)
{
    begin_pages(b);
    build_be(b, 0x10, 8);
    build_u8(b, 4);
    build_be(b, 3, 4);
}
static void bad_section_type(struct builder *b)
{
    build_header(b, "a");
    build_u8(b, 9);
}
static void bad_xbzrle(struct builder *b)
{
    begin_pages(b);
    build_be(b, 0x40, 8);
}
static void bad_hook(struct builder *b)
{
    begin_pages(b);
    build_be(b, 0x80, 8);
}
static void bad_compress(struct builder *b)
{
    begin_pages(b);
    build_be(b, 0x100, 8);
}
static void bad_multifd(struct builder *b)
{
    begin_pages(b);
    build_be(b, 0x200, 8);
}
static void bad_flags(struct builder *b)
{
    begin_pages(b);
    build_be(b, 0x800, 8);
}
static void bad_two_kinds(struct builder *b)
{
    begin_pages(b);
    build_be(b, 0x0a, 8);
}
static void bad_postcopy(struct builder *b)
{
    build_header(b, "a");
    build_bytes(b, "\10\0\4\0\0", 5);
}
static void bad_packaged(struct builder *b)
{
    build_header(b, "a");
    build_bytes(b, "\10\0\7\0\4\0\0\0\0", 9);
}

static void test_refused_by_name(void **state)
{
    static const struct {
        build_fn build;
        int code;
        const char *says;
    } cases[] = {
        {bad_magic, RESUME_EMAGIC, "not a QEMU migration stream"},
        {bad_libvirt, RESUME_EMAGIC, "libvirt"},
        {bad_version, RESUME_EVERSION, "version 2"},
        {bad_machine_empty, RESUME_ELENGTH, "machine name"},
        {bad_machine_long, RESUME_ELENGTH, "256 bytes"},
        {bad_machine_control, RESUME_ERESERVED, "0x1b"},
        {bad_two_configurations, RESUME_ECONSISTENT, "configuration"},
        {bad_capability, RESUME_EUNSUPPORTED, "mapped-ram"},
        {bad_configuration_part, RESUME_EUNSUPPORTED, "configuration/novel"},
        {bad_page_bits, RESUME_EUNSUPPORTED, "2^16"},
        {bad_iterative, RESUME_EUNSUPPORTED, "vfio"},
        {bad_ram_version, RESUME_EVERSION, "version 3"},
        {bad_early_device, RESUME_EUNSUPPORTED, "before the end of the RAM"},
        {bad_end_before_ram, RESUME_EUNSUPPORTED, "before the end of the RAM"},
        {bad_part_first, RESUME_ECONSISTENT, "not been started"},
        {bad_second_start, RESUME_ECONSISTENT, "starts twice"},
        {bad_ram_after_end, RESUME_ECONSISTENT, "after the end"},
        {bad_no_list, RESUME_EMISSING, "without a list"},
        {bad_list_twice, RESUME_ECONSISTENT, "out of place"},
        {bad_list_empty, RESUME_ELENGTH, "bytes of RAM"},
        {bad_list_huge, RESUME_ELENGTH, "bytes of RAM"},
        {bad_block_too_long, RESUME_ELENGTH, "pc.ram"},
        {bad_block_unaligned, RESUME_ELENGTH, "pc.ram"},
        {bad_block_twice, RESUME_EDUPLICATE, "pc.ram"},
        {bad_block_nameless, RESUME_ELENGTH, "name is empty"},
        {bad_blocks_many, RESUME_ELENGTH, "more than 1024"},
        {bad_continue, RESUME_ECONSISTENT, "before any block"},
        {bad_unknown_block, RESUME_ECONSISTENT, "pc.rom"},
        {bad_beyond_block, RESUME_ELENGTH, "0x2000"},
        {bad_eos_address, RESUME_ERESERVED, "0x1000"},
        {bad_footer_id, RESUME_ECONSISTENT, "section 3"},
        {bad_no_footer, RESUME_ECONSISTENT, "footer"},
        {bad_section_type, RESUME_ECONSISTENT, "0x09"},
        {bad_xbzrle, RESUME_EUNSUPPORTED, "XBZRLE"},
        {bad_hook, RESUME_EUNSUPPORTED, "HOOK"},
        {bad_compress, RESUME_EUNSUPPORTED, "COMPRESS"},
        {bad_multifd, RESUME_EUNSUPPORTED, "MULTIFD"},
        {bad_flags, RESUME_EUNSUPPORTED, "0x800"},
        {bad_two_kinds, RESUME_EUNSUPPORTED, "0x00a"},
        {bad_postcopy, RESUME_EUNSUPPORTED, "POSTCOPY_LISTEN"},
        {bad_packaged, RESUME_EUNSUPPORTED, "PACKAGED"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct builder b = {0};
        struct stream_error error;
        cases[i].build(&b);
        int ret = read_all(b.data, b.length, &error);
        if (ret != cases[i].code || strstr(error.why, cases[i].says) == NULL)
            fail_msg("case %zu: %d \"%s\", expected %d and \"%s\"", i, ret, error.why,
                     cases[i].code, cases[i].says);
        assert_true(error.offset <= b.length);
        assert_false(stream_error_is_io(ret));
        build_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
