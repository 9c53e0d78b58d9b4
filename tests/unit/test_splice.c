/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The splice: what comes from whom, to the byte, and what is refused. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "splice_sides.h"

static int setup(void **state)
{
    *state = sides_open(1);
    return 0;
}

static int teardown(void **state)
{
    sides_close(*state);
    return 0;
}

static void takes_each_part_from_its_side(void **state)
{
    struct sides *f = *state;
    sides_assert_spliced(f, (const uint32_t[]){0});
    assert_int_equal(f->result.source_bytes, f->source_length);
    assert_int_equal(f->result.written, f->out_length);
    assert_int_equal(f->result.sections, 4);
    assert_int_equal(f->result.replaced, 2);
}

static void keeps_the_source_section_ids(void **state)
{
    struct sides *f = *state;
    f->source.first_id = 40;
    sides_assert_spliced(f, (const uint32_t[]){0});
}

static void takes_pending_lines_from_the_source(void **state)
{
    struct sides *f = *state;
    f->target.interrupt_request = SPLICE_IRQ_HARD;
    f->source.interrupt_request = SPLICE_IRQ_POLL | SPLICE_IRQ_EXITTB;
    f->source.halted = 1;
    sides_assert_spliced(f, (const uint32_t[]){SPLICE_IRQ_POLL});
    assert_int_equal(f->result.interrupt_request[0], SPLICE_IRQ_POLL);
}

static void keeps_only_interrupt_lines(void **state)
{
    (void)state;
    struct report_failure failure = {0};
    uint32_t kept = 7;
    assert_int_equal(splice_interrupt_request(0x0096, false, &kept, &failure), 0);
    assert_int_equal(kept, 0x0012);
    /* SMI, NMI, INIT, SIPI, machine check, and a bit that means nothing. */
    static const uint32_t refused[] = {0x40, 0x200, 0x400, 0x800, 0x1000, 0x4000, 0x80000002};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        kept = 7;
        assert_int_equal(splice_interrupt_request(refused[i], false, &kept, &failure),
                         -EXIT_CODE_REFUSED);
        assert_int_equal(kept, 7);
    }
    assert_int_equal(splice_interrupt_request(0x0296, true, &kept, &failure), 0);
    assert_int_equal(kept, 0x0212);
    assert_int_equal(splice_interrupt_request(0x0440, true, &kept, &failure), -EXIT_CODE_REFUSED);
}

static void refuses_a_pending_nmi(void **state)
{
    struct sides *f = *state;
    f->source.interrupt_request = SPLICE_IRQ_NMI;
    sides_assert_refused(f, sides_splice(f), "non-maskable");
}

/* A subsection that only the target has: the description follows, and the result can be read. */
static void describes_what_it_wrote(void **state)
{
    struct sides *f = *state;
    f->target.x87_pointers = true;
    assert_int_equal(sides_splice(f), 0);
    struct stream stream;
    struct stream_event event;
    struct stream_error error;
    struct vmdesc desc;
    const uint8_t *tail;
    size_t length;
    uint64_t offset;
    uint64_t value = 0;
    assert_int_equal(stream_open_memory(&stream, f->out, f->out_length, &error), 0);
    do
        assert_int_equal(stream_next(&stream, &event, &error), 0);
    while (event.kind != STREAM_DEVICES);
    assert_int_equal(stream_tail(&stream, &tail, &length, &offset, &error), 0);
    assert_int_equal(vmdesc_open(&desc, tail, length, offset, &error), 0);
    const struct vmdesc_section *cpu = vmdesc_section_nth(&desc, "cpu", 0);
    const struct vmdesc_section *widget = vmdesc_section_nth(&desc, "0000:00:03.0/widget", 0);
    assert_non_null(cpu);
    assert_non_null(widget);
    const struct vmdesc_field *field = vmdesc_field_find(&desc, cpu, "cpu/fpop_ip_dp/env.fpip");
    assert_non_null(field);
    assert_int_equal(vmdesc_field_u64(field, &value), 0);
    assert_int_equal(value, 0x1234567);
    field = vmdesc_field_find(&desc, widget, "0000:00:03.0/widget/value");
    assert_non_null(field);
    assert_int_equal(vmdesc_field_u64(field, &value), 0);
    assert_int_equal(value, 0x600d);
    vmdesc_close(&desc);
    stream_close(&stream);
}

static void refuses_without_a_vcpu(void **state)
{
    struct sides *f = *state;
    f->source.cpus = 0;
    sides_assert_refused(f, sides_splice(f), "cpu: the source has 0 such sections");
    f->target.cpus = 0;
    sides_assert_refused(f, sides_read_target(f), "no \"cpu\" section");
}

static void refuses_another_number_of_vcpus(void **state)
{
    struct sides *f = *state;
    f->source.cpus = 2;
    sides_assert_refused(f, sides_splice(f), "the source has 2 such sections, the parked target 1");
    f->target.cpus = 2;
    sides_assert_refused(f, sides_read_target(f), "2 vCPUs");
}

static void refuses_another_machine(void **state)
{
    struct sides *f = *state;
    f->source.machine = "pc-i440fx-7.2";
    sides_assert_refused(f, sides_splice(f), "the source is \"pc-i440fx-7.2\"");
}

static void refuses_another_memory_size(void **state)
{
    struct sides *f = *state;
    f->source.pages = 64;
    sides_assert_refused(f, sides_splice(f),
                         "pc.ram: the RAM block has 0x40000 bytes in the source");
}

static void refuses_another_section_version(void **state)
{
    struct sides *f = *state;
    f->source.cpu_version = 13;
    sides_assert_refused(f, sides_splice(f), "section version 13 in the source, 12");
}

/* The parked target's firmware may be another, and as long as it likes; its RAM and device ROMs not. */
static void accepts_other_firmware(void **state)
{
    struct sides *f = *state;
    f->source.rom_name = "pc.bios";
    f->target.rom_name = "pc.bios";
    f->source.rom_pages = 4;
    assert_int_equal(sides_splice(f), 0);
}

static void refuses_another_rom(void **state)
{
    struct sides *f = *state;
    f->source.rom_pages = 4;
    sides_assert_refused(f, sides_splice(f),
                         "rom: the RAM block has 0x4000 bytes in the source, 0x2000");
}

static void accepts_a_target_without_roms(void **state)
{
    struct sides *f = *state;
    f->target.no_rom = true;
    f->target.no_widget = true;
    assert_int_equal(sides_splice(f), 0);
}

static void refuses_what_is_not_restored(void **state)
{
    struct sides *f = *state;
    f->source.mcg_cap = 0x806;
    int result = sides_splice(f);
    sides_assert_refused(f, result, "cpu/env.mcg_cap");
    sides_assert_refused(f, result, "the source has 0x806, the parked target 0xc06");
}

/* A register that the source has as a reset leaves it is not in the record, so nothing loads it. */
static void refuses_a_register_that_only_the_firmware_has_set(void **state)
{
    struct sides *f = *state;
    f->source.spec_ctrl = 4;
    assert_int_equal(sides_splice(f), 0);
    f->target.spec_ctrl = 1;
    assert_int_equal(sides_splice(f), 0);
    f->source.spec_ctrl = 0;
    sides_assert_refused(f, sides_splice(f), "the source has absent, the parked target 0x1");
}

static void refuses_fields_that_nobody_knows(void **state)
{
    struct sides *f = *state;
    f->source.novelty = true;
    sides_assert_refused(f, sides_splice(f), "the source has 0xbeef, the parked target absent");
    f->source.novelty = false;
    f->target.novelty = true;
    sides_assert_refused(f, sides_splice(f), "the source has absent, the parked target 0xbeef");
    f->source.novelty = true;
    assert_int_equal(sides_splice(f), 0);
}

/* Nothing of the devices may have been written: without them no VM starts. */
static void assert_no_devices(const struct sides *f)
{
    size_t ram = f->source_devices + f->target.home_pages * (8 + 1 + strlen("pc.ram") + 4096);
    assert_true(f->out_length <= ram);
}

static void refuses_another_checksum(void **state)
{
    struct sides *f = *state;
    char digest[33];
    assert_int_equal(sides_splice(f), 0);
    XXH128_hash_t hash = XXH3_128bits(f->source_data, f->source_length);
    snprintf(digest, sizeof(digest), "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
    f->claimed_hash = digest;
    f->claimed_size = f->source_length;
    assert_int_equal(sides_splice(f), 0);
    digest[31] = digest[31] == '0' ? '1' : '0';
    sides_assert_refused(f, sides_splice(f), "checksum");
    assert_no_devices(f);
    f->claimed_hash = NULL;
    f->claimed_size++;
    sides_assert_refused(f, sides_splice(f), "the manifest says");
    assert_no_devices(f);
}

static void refuses_a_truncated_source(void **state)
{
    struct sides *f = *state;
    assert_int_equal(sides_splice(f), 0);
    size_t length = f->source_length;
    size_t tail = length - f->source_devices;
    for (size_t cut = 1; cut <= length; cut += cut <= tail ? 1 : 997) {
        f->source_cut = cut;
        assert_int_equal(sides_splice(f), -EXIT_CODE_REFUSED);
        assert_no_devices(f);
    }
}

static void refuses_a_target_that_is_not_parked(void **state)
{
    struct sides *f = *state;
    f->handoff[0].stage = RESUME_STAGE_ENTER;
    sides_assert_refused(f, sides_read_target(f), "not parked: stage 1");
    f->handoff[0].stage = RESUME_STAGE_PARKED;
    f->control.go = 1;
    sides_assert_refused(f, sides_read_target(f), "not parked: go 1");
    f->control.go = 0;
    f->control.parked = 0;
    sides_assert_refused(f, sides_read_target(f), "0 of 1 active vCPUs wait");
    f->control.parked = 1;
    assert_int_equal(sides_read_target(f), 0);
}

static void refuses_a_home_of_another_version(void **state)
{
    struct sides *f = *state;
    f->control.magic++;
    sides_assert_refused(f, sides_read_target(f), "no home in use");
    f->control.magic--;
    f->control.version++;
    sides_assert_refused(f, sides_read_target(f), "same version");
    f->control.version--;
    f->control.size -= 8;
    sides_assert_refused(f, sides_read_target(f), "same version");
    f->control.size += 8;
    f->handoff[0].magic++;
    sides_assert_refused(f, sides_read_target(f), "no handoff");
    f->handoff[0].magic--;
    f->handoff[0].version++;
    sides_assert_refused(f, sides_read_target(f), "same version");
    f->handoff[0].version--;
    f->handoff[0].size -= 8;
    sides_assert_refused(f, sides_read_target(f), "same version");
    f->handoff[0].size += 8;
    assert_int_equal(sides_read_target(f), 0);
}

static void refuses_another_home(void **state)
{
    struct sides *f = *state;
    f->control.home_pa += 0x1000;
    sides_assert_refused(f, sides_read_target(f), "another home");
    f->control.home_pa -= 0x1000;
    f->control.home_va += 0x1000;
    sides_assert_refused(f, sides_read_target(f), "another home");
    f->control.home_va -= 0x1000;
    f->control.home_length -= 0x1000;
    sides_assert_refused(f, sides_read_target(f), "another home");
    f->control.home_length += 0x1000;
    assert_int_equal(sides_read_target(f), 0);
}

static void refuses_a_vcpu_outside_the_home(void **state)
{
    struct sides *f = *state;
    f->target.rip = SIDES_HOME_VA + SIDES_HOME_LENGTH(1);
    sides_assert_refused(f, sides_read_target(f), "does not wait in the home");
    f->target.rip = SIDES_HOME_VA - 1;
    sides_assert_refused(f, sides_read_target(f), "does not wait in the home");
    f->target.rip = SIDES_HOME_VA;
    f->target.halted = 1;
    sides_assert_refused(f, sides_read_target(f), "does not wait in the home");
    f->target.halted = 0;
    assert_int_equal(sides_read_target(f), 0);
}

static void refuses_a_target_without_a_page_of_the_home(void **state)
{
    struct sides *f = *state;
    f->target.missing_page = SIDES_HOME_PAGE + 5;
    sides_assert_refused(f, sides_read_target(f), "page 5 of the home");
}

static void plants_a_byte(void **state)
{
    struct sides *f = *state;
    uint8_t page[4096];
    strcpy(f->poke.block, "pc.ram");
    f->poke.offset = 3 * 4096 + 0x123;
    f->poke.mask = 0x81;
    assert_int_equal(sides_splice(f), 0);
    machine_stream_page(&f->source, 3, page);
    page[0x123] ^= 0x81;
    /* Behind the home's pages, before the end of the section and the devices. */
    size_t end = f->source_devices - 13 + f->target.home_pages * (8 + 7 + 4096);
    const uint8_t *entry = f->out + end;
    static const uint8_t header[] = {0, 0, 0, 0, 0, 0, 0x30, 8, 6, 'p', 'c', '.', 'r', 'a', 'm'};
    assert_memory_equal(entry, header, sizeof(header));
    assert_memory_equal(entry + sizeof(header), page, sizeof(page));
}

static void plants_nothing_in_the_home(void **state)
{
    struct sides *f = *state;
    strcpy(f->poke.block, "pc.ram");
    f->poke.offset = SIDES_HOME_PAGE * 4096u + 5;
    f->poke.mask = 1;
    sides_assert_refused(f, sides_splice(f), "outside the home");
    f->poke.offset = 40 * 4096u;
    sides_assert_refused(f, sides_splice(f), "outside the home");
    strcpy(f->poke.block, "nothing");
    f->poke.offset = 0;
    sides_assert_refused(f, sides_splice(f), "outside the home");
}

static void tells_when_the_reader_goes_away(void **state)
{
    struct sides *f = *state;
    assert_int_equal(sides_splice(f), 0);
    size_t length = f->out_length;
    for (size_t limit = 0; limit < length; limit += 4999) {
        f->out_limit = limit;
        assert_int_equal(sides_splice(f), -EXIT_CODE_ENVIRONMENT);
    }
    f->out_limit = length - 1;
    assert_int_equal(sides_splice(f), -EXIT_CODE_ENVIRONMENT);
}

/* In the RAM section, before the flag that ends it (8 bytes) and the section's footer (5). */
static void assert_waited_behind_the_ram(const struct sides *f)
{
    assert_int_equal(f->awaited, 1);
    assert_int_equal(f->awaited_at, f->source_devices - 13);
    assert_memory_equal(f->out, f->source_data, f->awaited_at);
}

static void needs_the_target_only_behind_the_ram(void **state)
{
    struct sides *f = *state;
    f->late = true;
    sides_assert_spliced(f, (const uint32_t[]){0});
    assert_waited_behind_the_ram(f);
}

static void writes_nothing_more_when_the_target_fails(void **state)
{
    struct sides *f = *state;
    f->late = true;
    f->never = true;
    assert_int_equal(sides_splice(f), -EXIT_CODE_TIMEOUT);
    assert_string_equal(f->failure.why, "it never came");
    assert_waited_behind_the_ram(f);
    assert_int_equal(f->out_length, f->awaited_at);
}

static void locates_memory(void **state)
{
    (void)state;
    struct manifest *manifest = calloc(1, sizeof(*manifest));
    struct resume_home home = {.pa = 0x100200000, .length = SIDES_HOME_LENGTH(1)};
    struct splice_home out;
    struct report_failure failure = {0};
    uint64_t offset;
    assert_non_null(manifest);
    manifest->range_count = 3;
    manifest->range[0] = (struct manifest_range){0, 0x80000000, 0, MANIFEST_RANGE_RAM, "pc.ram"};
    manifest->range[1] =
        (struct manifest_range){0xfffc0000, 0x40000, 0, MANIFEST_RANGE_ROM, "pc.bios"};
    manifest->range[2] =
        (struct manifest_range){0x100000000, 0x40000000, 0x80000000, MANIFEST_RANGE_RAM, "pc.ram"};
    assert_non_null(splice_locate(manifest, 0x7fffffff, 1, &offset));
    assert_int_equal(offset, 0x7fffffff);
    assert_null(splice_locate(manifest, 0x7fffffff, 2, &offset));
    assert_null(splice_locate(manifest, 0xfffc0000, 1, &offset));
    assert_null(splice_locate(manifest, UINT64_MAX, UINT64_MAX, &offset));
    assert_int_equal(splice_home_locate(&out, &home, manifest, &failure), 0);
    assert_int_equal(out.offset, 0x80200000);
    assert_string_equal(out.block, "pc.ram");
    home.pa = 0x7fff8000;
    assert_int_equal(splice_home_locate(&out, &home, manifest, &failure), -EXIT_CODE_REFUSED);
    home.pa = 0;
    home.length -= 0x800;
    assert_int_equal(splice_home_locate(&out, &home, manifest, &failure), -EXIT_CODE_REFUSED);
    free(manifest);
}

#define SPLICE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPLICE_TEST(takes_each_part_from_its_side),
        SPLICE_TEST(keeps_the_source_section_ids),
        SPLICE_TEST(takes_pending_lines_from_the_source),
        cmocka_unit_test(keeps_only_interrupt_lines),
        SPLICE_TEST(refuses_a_pending_nmi),
        SPLICE_TEST(describes_what_it_wrote),
        SPLICE_TEST(refuses_without_a_vcpu),
        SPLICE_TEST(refuses_another_number_of_vcpus),
        SPLICE_TEST(refuses_another_machine),
        SPLICE_TEST(refuses_another_memory_size),
        SPLICE_TEST(refuses_another_section_version),
        SPLICE_TEST(accepts_other_firmware),
        SPLICE_TEST(refuses_another_rom),
        SPLICE_TEST(accepts_a_target_without_roms),
        SPLICE_TEST(refuses_what_is_not_restored),
        SPLICE_TEST(refuses_a_register_that_only_the_firmware_has_set),
        SPLICE_TEST(refuses_fields_that_nobody_knows),
        SPLICE_TEST(refuses_another_checksum),
        SPLICE_TEST(refuses_a_truncated_source),
        SPLICE_TEST(refuses_a_target_that_is_not_parked),
        SPLICE_TEST(refuses_a_home_of_another_version),
        SPLICE_TEST(refuses_another_home),
        SPLICE_TEST(refuses_a_vcpu_outside_the_home),
        SPLICE_TEST(refuses_a_target_without_a_page_of_the_home),
        SPLICE_TEST(plants_a_byte),
        SPLICE_TEST(plants_nothing_in_the_home),
        SPLICE_TEST(tells_when_the_reader_goes_away),
        SPLICE_TEST(needs_the_target_only_behind_the_ram),
        SPLICE_TEST(writes_nothing_more_when_the_target_fails),
        cmocka_unit_test(locates_memory),
    };
    return cmocka_run_group_tests_name("splice", tests, NULL, NULL);
}
