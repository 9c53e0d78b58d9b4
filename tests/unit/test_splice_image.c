/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The splice with an image: its device part, and a target whose firmware has loaded the memory. What
 * comes out is read with the stream modules, and compared page by page and section by section with what
 * the two sides are described as.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "splice_sides.h"

#define VCPUS 4u
#define PAGES 300u /* of pc.ram: beyond what the chipset hides */
#define HIDDEN 0xa0u
#define SHOWN 0x100u
#define ROM_PAGES 3u

struct fixture {
    struct sides *sides;
    struct manifest *manifest;
    struct image_memory *memory;
    struct report_failure failure;
};

/* What firmware loads: all of pc.ram but its first page and what is hidden; and the other block when it is
 * RAM of the machine. */
static bool is_loaded(bool rom, uint64_t page)
{
    return !rom && page != 0 && (page < HIDDEN || page >= SHOWN);
}

static bool is_loaded_or_other(bool rom, uint64_t page)
{
    return rom || is_loaded(false, page);
}

static bool is_device_part(bool rom, uint64_t page)
{
    return !is_loaded(rom, page);
}

static bool is_device_part_or_other(bool rom, uint64_t page)
{
    return !is_loaded_or_other(rom, page);
}

static void find_memory(struct fixture *f)
{
    size_t length;
    struct stream stream;
    struct stream_event event;
    struct stream_error error;
    uint8_t *data = machine_stream_build(&f->sides->source, &length, NULL);
    assert_int_equal(stream_open_memory(&stream, data, length, &error), 0);
    do
        assert_int_equal(stream_next(&stream, &event, &error), 0);
    while (event.kind != STREAM_MEMORY);
    if (image_memory_find(f->memory, f->manifest, &stream, &f->failure) != 0)
        fail_msg("%s: %s", f->failure.where, f->failure.why);
    stream_close(&stream);
    free(data);
}

/* vCPU 2 was never started. */
static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->manifest = calloc(1, sizeof(*f->manifest));
    f->memory = calloc(1, sizeof(*f->memory));
    f->sides = sides_open(VCPUS);
    assert_true(f->manifest != NULL && f->memory != NULL);
    f->manifest->range_count = 3;
    f->manifest->range[0] =
        (struct manifest_range){0x1000, (PAGES - 1) * 4096, 0x1000, MANIFEST_RANGE_RAM, "pc.ram"};
    f->manifest->range[1] = (struct manifest_range){0xe0000000, ROM_PAGES * 4096, 0,
                                                    MANIFEST_RANGE_RAM, "0000:00:02.0/vga.vram"};
    f->manifest->range[2] = (struct manifest_range){UINT64_C(0x100000000), ROM_PAGES * 4096, 0,
                                                    MANIFEST_RANGE_RAM, "high"};
    sides_sleep(f->sides, 2);
    f->sides->source.pages = f->sides->target.pages = PAGES;
    f->sides->source.rom_pages = f->sides->target.rom_pages = ROM_PAGES;
    f->sides->source.rom_name = f->sides->target.rom_name = "0000:00:02.0/vga.vram";
    f->sides->source.without_cpu = 0xb;
    f->sides->source.sends = is_device_part;
    find_memory(f);
    f->sides->memory = f->memory;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sides_close(f->sides);
    free(f->memory);
    free(f->manifest);
    free(f);
    return 0;
}

/* A stream, read to its end, with the last copy of each page. */
struct outcome {
    struct stream stream;
    struct vmdesc desc;
    const uint8_t *tail;
    uint8_t ram[PAGES + ROM_PAGES][4096];
    uint32_t copies[PAGES + ROM_PAGES];
};

static struct outcome *read_outcome(const uint8_t *data, size_t length)
{
    struct outcome *out = calloc(1, sizeof(*out));
    struct stream_event event;
    struct stream_error error = {0};
    size_t tail_length;
    uint64_t offset;
    assert_non_null(out);
    assert_int_equal(stream_open_memory(&out->stream, data, length, &error), 0);
    do {
        if (stream_next(&out->stream, &event, &error) != 0)
            fail_msg("at 0x%llx: %s", (unsigned long long)error.offset, error.why);
        if (event.kind != STREAM_PAGE && event.kind != STREAM_ZERO)
            continue;
        const size_t page = event.page_offset / 4096 + (event.block != 0 ? PAGES : 0);
        assert_true(page < PAGES + ROM_PAGES);
        out->copies[page]++;
        if (event.kind == STREAM_PAGE)
            memcpy(out->ram[page], event.page, 4096);
        else
            memset(out->ram[page], event.fill, 4096);
    } while (event.kind != STREAM_DEVICES);
    assert_int_equal(stream_tail(&out->stream, &out->tail, &tail_length, &offset, &error), 0);
    if (vmdesc_open(&out->desc, out->tail, tail_length, offset, &error) != 0)
        fail_msg("%s", error.why);
    return out;
}

static void close_outcome(struct outcome *out)
{
    vmdesc_close(&out->desc);
    stream_close(&out->stream);
    free(out);
}

static json_t *description(const struct vmdesc *desc)
{
    json_t *root = json_loadb((const char *)desc->tail + desc->json, desc->json_length, 0, NULL);
    assert_non_null(root);
    return root;
}

/* All pages: of @loaded the target's, with the home; all others the source's. */
static void assert_pages(const struct sides *sides, const struct outcome *got,
                         bool (*loaded)(bool rom, uint64_t page))
{
    uint8_t page[4096];
    for (uint64_t i = 0; i < PAGES; i++) {
        machine_stream_page(loaded(false, i) ? &sides->target : &sides->source, i, page);
        if (i >= SIDES_HOME_PAGE && i - SIDES_HOME_PAGE < sides->home_length / 4096)
            memcpy(page, sides->home + (i - SIDES_HOME_PAGE) * 4096, sizeof(page));
        if (i == SIDES_HOME_PAGE)
            page[offsetof(struct resume_control, go)] = 1;
        if (memcmp(got->ram[i], page, sizeof(page)) != 0)
            fail_msg("page %u is not the one that was expected", (unsigned)i);
        if (got->copies[i] != 1)
            fail_msg("page %u is there %u times", (unsigned)i, got->copies[i]);
    }
    for (uint32_t i = 0; i < ROM_PAGES; i++) {
        assert_int_equal(got->copies[PAGES + i], 1);
        assert_int_equal(got->ram[PAGES + i][17], 0xf4);
    }
}

/* Sections as if the source had all of them, byte by byte with their numbers, and the description. */
static void assert_devices(struct sides *sides, const struct outcome *got)
{
    size_t length;
    struct machine_stream whole = sides->source;
    struct machine_stream_cpu cpu[VCPUS];
    whole.sends = NULL;
    whole.without_cpu = 0;
    whole.cpu = cpu;
    for (uint32_t i = 0; i < VCPUS; i++) {
        cpu[i] = sides->handoff[i].flags != 0 ? sides->target_cpu[i] : sides->source_cpu[i];
        cpu[i].interrupt_request = sides->result.interrupt_request[i];
        cpu[i].in_service = sides->source_cpu[i].in_service;
        cpu[i].requested = sides->source_cpu[i].requested;
    }
    uint8_t *data = machine_stream_build(&whole, &length, NULL);
    struct outcome *wanted = read_outcome(data, length);
    assert_int_equal(got->desc.section_count, wanted->desc.section_count);
    assert_int_equal(got->desc.eof, wanted->desc.eof);
    assert_memory_equal(got->tail, wanted->tail, wanted->desc.eof);
    json_t *ours = description(&got->desc);
    json_t *theirs = description(&wanted->desc);
    assert_true(json_equal(ours, theirs));
    json_decref(ours);
    json_decref(theirs);
    close_outcome(wanted);
    free(data);
}

static struct outcome *splice(struct fixture *f)
{
    if (sides_splice(f->sides) != 0)
        fail_msg("%s: %s: %s", f->sides->failure.what, f->sides->failure.where,
                 f->sides->failure.why);
    return read_outcome(f->sides->out, f->sides->out_length);
}

static void takes_the_memory_from_the_target(void **state)
{
    struct fixture *f = *state;
    struct outcome *got = splice(f);
    assert_pages(f->sides, got, is_loaded);
    assert_devices(f->sides, got);
    assert_int_equal(f->sides->result.sections, 1 + 2 * VCPUS + 1);
    assert_int_equal(f->sides->result.replaced, 2 * (VCPUS - 1));
    assert_int_equal(f->sides->result.source_bytes, f->sides->source_length);
    assert_int_equal(f->sides->result.written, f->sides->out_length);
    /* When it is needed, all that is the image's has gone: the resumed VM need not wait for it. */
    assert_int_equal(f->sides->awaited, 1);
    assert_int_equal(f->sides->awaited_at, f->sides->source_devices - 13);
    close_outcome(got);
}

/* Two blocks of memory, of which the target's stream names the first on a page that is left out. */
static void takes_it_from_several_blocks(void **state)
{
    struct fixture *f = *state;
    f->sides->source.rom_name = f->sides->target.rom_name = "high";
    f->sides->source.sends = is_device_part_or_other;
    find_memory(f);
    assert_int_equal(f->memory->pages, PAGES - 1 - (SHOWN - HIDDEN) + ROM_PAGES);
    struct outcome *got = splice(f);
    assert_pages(f->sides, got, is_loaded_or_other);
    assert_devices(f->sides, got);
    close_outcome(got);
}

/* The target's vCPUs keep the source's numbers of sections, also where these begin elsewhere. */
static void gives_sections_the_numbers_they_had(void **state)
{
    struct fixture *f = *state;
    f->sides->source.first_id = 77;
    struct outcome *got = splice(f);
    assert_devices(f->sides, got);
    close_outcome(got);
}

/* What was left to be delivered is in sections that an image has. */
static void takes_pending_lines_from_the_image(void **state)
{
    struct fixture *f = *state;
    f->sides->source.apic = f->sides->target.apic = true;
    f->sides->source_cpu[0].interrupt_request = SPLICE_IRQ_HARD;
    f->sides->source_cpu[1].requested = 0x80;
    f->sides->target_cpu[1].interrupt_request = SPLICE_IRQ_HARD;
    f->sides->source_cpu[3].interrupt_request = SPLICE_IRQ_NMI;
    f->sides->handoff[3].flags |= RESUME_HANDOFF_BLOCK_NMI;
    f->sides->target_cpu[3].hflags2 = 4;
    /* A dormant vCPU's section is the only one, and not another's: nothing may be made of it. */
    f->sides->source_cpu[2].nmi_pending = true;
    struct outcome *got = splice(f);
    assert_int_equal(f->sides->result.interrupt_request[0], SPLICE_IRQ_HARD);
    assert_int_equal(f->sides->result.interrupt_request[1], 0);
    assert_int_equal(f->sides->result.interrupt_request[3], SPLICE_IRQ_NMI);
    assert_devices(f->sides, got);
    close_outcome(got);
}

static void spoils_a_byte_of_the_memory(void **state)
{
    struct fixture *f = *state;
    uint8_t page[4096];
    strcpy(f->sides->poke.block, "pc.ram");
    f->sides->poke.offset = 281 * 4096 + 0x321;
    f->sides->poke.mask = 0x41;
    struct outcome *got = splice(f);
    machine_stream_page(&f->sides->target, 281, page);
    page[0x321] ^= 0x41;
    assert_memory_equal(got->ram[281], page, sizeof(page));
    got->ram[281][0x321] ^= 0x41;
    assert_pages(f->sides, got, is_loaded);
    close_outcome(got);
    f->sides->poke.offset = (SIDES_HOME_PAGE + 3) * 4096;
    sides_assert_refused(f->sides, sides_splice(f->sides), "outside the home");
}

/* It is the image's fault, the firmware's, or that of another command line: each is told. */
static void refuses_what_does_not_fit(void **state)
{
    struct fixture *f = *state;
    f->sides->target.missing_page = 290;
    sides_assert_refused(
        f->sides, sides_splice(f->sides),
        "1 pages of the memory are not in the parked target's stream, the first at "
        "physical 0x122000");
    f->sides->target.missing_page = SIDES_HOME_PAGE + 2;
    sides_assert_refused(f->sides, sides_splice(f->sides), "page 2 of the home");
    f->sides->target.missing_page = MACHINE_STREAM_NO_PAGE;
    f->sides->target.pages = PAGES - 1;
    sides_assert_refused(f->sides, sides_splice(f->sides),
                         "the parked target's RAM block of this name has 0x12b000 bytes");
    f->sides->target.pages = PAGES;
    f->sides->target.machine = "pc-q35-7.1";
    sides_assert_refused(f->sides, sides_splice(f->sides), "the parked target \"pc-q35-7.1\"");
    f->sides->target.machine = "pc-q35-7.2";
    f->sides->control.parked = 2;
    sides_assert_refused(f->sides, sides_splice(f->sides), "2 of 3 active vCPUs wait");
    f->sides->control.parked = 3;
    f->sides->source.without_cpu = 0xa;
    sides_assert_refused(
        f->sides, sides_splice(f->sides),
        "vCPU 0 is active in the parked target, and the image has a section of it");
    f->sides->source.without_cpu = 0xf;
    sides_assert_refused(f->sides, sides_splice(f->sides),
                         "vCPU 2 is dormant in the parked target, and the image has no section");
    f->sides->source.without_cpu = 0xb;
    f->sides->source_cpu[1].interrupt_request = SPLICE_IRQ_SMI;
    sides_assert_refused(f->sides, sides_splice(f->sides), "an SMI is pending");
    f->sides->source_cpu[1].interrupt_request = 0;
    assert_int_equal(sides_splice(f->sides), 0);
}

static void refuses_a_block_that_the_target_lacks(void **state)
{
    struct fixture *f = *state;
    f->sides->source.rom_name = "high";
    f->sides->source.sends = is_device_part_or_other;
    find_memory(f);
    sides_assert_refused(f->sides, sides_splice(f->sides),
                         "high: the parked target has no such RAM block");
}

/* Only a snapshot has to have them all. */
static void refuses_a_snapshot_without_vcpus(void **state)
{
    struct fixture *f = *state;
    f->sides->memory = NULL;
    sides_assert_refused(f->sides, sides_splice(f->sides),
                         "cpu: the source has 1 such sections, the parked target 4");
}

/* Without the key nobody knows where the guest sees the home; the target does. */
static void learns_where_the_home_is(void **state)
{
    struct fixture *f = *state;
    f->sides->place.va = 0;
    sides_assert_refused(f->sides, sides_splice(f->sides), "another home");
    f->sides->place.va_unknown = true;
    assert_int_equal(sides_splice(f->sides), 0);
    assert_true(f->sides->parked.control.home_va == SIDES_HOME_VA);
    f->sides->place.pa++;
    sides_assert_refused(f->sides, sides_splice(f->sides), "another home");
    f->sides->place.pa--;
    f->sides->target_cpu[1].rip = SIDES_HOME_VA - 1;
    sides_assert_refused(f->sides, sides_splice(f->sides), "does not wait in the home");
}

static void tells_when_the_reader_goes_away(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(sides_splice(f->sides), 0);
    const size_t length = f->sides->out_length;
    for (size_t limit = 0; limit < length; limit += length / 40) {
        f->sides->out_limit = limit;
        assert_int_equal(sides_splice(f->sides), -EXIT_CODE_ENVIRONMENT);
        assert_string_equal(f->sides->failure.where, "output");
    }
}

static int discard(void *ctx, const void *data, size_t length)
{
    (void)ctx;
    (void)data;
    (void)length;
    return 0;
}

/* A target that ends in the middle of its memory. */
static void refuses_a_capture_that_ends(void **state)
{
    struct fixture *f = *state;
    const struct splice_pass pass = {.memory = f->memory, .write = discard};
    int fd = sides_target_file(f->sides);
    const off_t end = lseek(fd, 0, SEEK_END);
    for (off_t length = 0; length < end; length += end / 40) {
        struct splice_parked parked;
        assert_int_equal(ftruncate(fd, end - length), 0);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        memset(&parked, 0, sizeof(parked));
        int result = splice_parked_pass(&parked, fd, &f->sides->place, &pass, NULL, &f->failure);
        assert_int_equal(result, length == 0 ? 0 : -EXIT_CODE_REFUSED);
        splice_parked_close(&parked);
    }
    close(fd);
}

#define IMAGE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        IMAGE_TEST(takes_the_memory_from_the_target),
        IMAGE_TEST(takes_it_from_several_blocks),
        IMAGE_TEST(gives_sections_the_numbers_they_had),
        IMAGE_TEST(takes_pending_lines_from_the_image),
        IMAGE_TEST(spoils_a_byte_of_the_memory),
        IMAGE_TEST(refuses_what_does_not_fit),
        IMAGE_TEST(refuses_a_block_that_the_target_lacks),
        IMAGE_TEST(refuses_a_snapshot_without_vcpus),
        IMAGE_TEST(learns_where_the_home_is),
        IMAGE_TEST(tells_when_the_reader_goes_away),
        IMAGE_TEST(refuses_a_capture_that_ends),
    };
    return cmocka_run_group_tests_name("splice with an image", tests, NULL, NULL);
}
