/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The comparison of a resumed VM with its snapshot: what it finds, and what it accepts. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compare.h"
#include "machine_stream.h"
#include "stream_build.h"

#define HOME_PAGES (RESUME_HOME_LENGTH / 4096u)
#define HOME_PAGE 8u
#define LANDING_LENGTH 20u

/* Two machines, and what the comparison says of them. */
struct fixture {
    struct machine_stream source;
    struct machine_stream resumed;
    struct manifest manifest;
    struct splice_home home;
    uint8_t landing[LANDING_LENGTH];
    uint8_t home_pages[RESUME_HOME_LENGTH]; /* as the resumed VM has them */
    struct ledger ledger;
    struct report_failure failure;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->source = machine_stream_default();
    f->resumed = machine_stream_default();
    f->manifest.range_count = 1;
    f->manifest.range[0] =
        (struct manifest_range){0x100000, 40 * 4096, 0, MANIFEST_RANGE_RAM, "pc.ram"};
    f->home.pa = 0x108000;
    f->home.length = RESUME_HOME_LENGTH;
    f->home.offset = HOME_PAGE * 4096u;
    strcpy(f->home.block, "pc.ram");
    memset(f->landing, 0xa5, sizeof(f->landing));
    for (uint64_t i = 0; i < HOME_PAGES; i++)
        machine_stream_page(&f->source, HOME_PAGE + i, f->home_pages + i * 4096);
    f->resumed.home = f->home_pages;
    f->resumed.home_page = HOME_PAGE;
    f->resumed.home_pages = HOME_PAGES;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    ledger_free(&f->ledger);
    free(f);
    return 0;
}

static int compare_data(struct fixture *f, const uint8_t *a, size_t a_length, const uint8_t *b,
                        size_t b_length)
{
    int source = machine_stream_file(a, a_length);
    int resumed = machine_stream_file(b, b_length);
    assert_true(source >= 0 && resumed >= 0);
    const struct compare_options options = {
        .source_fd = source,
        .resumed_fd = resumed,
        .manifest = &f->manifest,
        .home = &f->home,
        .landing_offset = RESUME_HOME_LENGTH - LANDING_LENGTH,
        .landing_length = LANDING_LENGTH,
        .landing = f->landing,
    };
    ledger_free(&f->ledger);
    int result = compare_streams(&options, &f->ledger, &f->failure);
    close(source);
    close(resumed);
    return result;
}

static void compare(struct fixture *f)
{
    size_t a_length;
    size_t b_length;
    uint8_t *a = machine_stream_build(&f->source, &a_length, NULL);
    uint8_t *b = machine_stream_build(&f->resumed, &b_length, NULL);
    assert_int_equal(compare_data(f, a, a_length, b, b_length), 0);
    free(a);
    free(b);
}

static const struct ledger_field *find(const struct fixture *f, const char *path)
{
    for (uint32_t i = 0; i < f->ledger.field_count; i++) {
        if (strcmp(f->ledger.field[i].path, path) == 0)
            return &f->ledger.field[i];
    }
    fail_msg("%s is not in the ledger", path);
    return NULL;
}

/* 16 registers, RIP, an MTRR; halted, interrupt_request. */
#define CPU_FIELDS 20u
/* Two of the timer, one of the widget. */
#define DEVICE_FIELDS 3u

static void finds_nothing_in_equal_streams(void **state)
{
    struct fixture *f = *state;
    compare(f);
    assert_true(ledger_clean(&f->ledger));
    assert_int_equal(f->ledger.sections, 4);
    assert_int_equal(f->ledger.cpu_identical, CPU_FIELDS);
    assert_int_equal(f->ledger.device_identical, DEVICE_FIELDS);
    assert_int_equal(f->ledger.pages, 42);
    assert_int_equal(f->ledger.pages_identical, 42);
    assert_int_equal(f->ledger.field_count, 0);
    assert_int_equal(f->ledger.page_count, 0);
}

static void finds_a_register(void **state)
{
    struct fixture *f = *state;
    f->resumed.rbx ^= 1;
    compare(f);
    assert_false(ledger_clean(&f->ledger));
    assert_int_equal(f->ledger.cpu_unexpected, 1);
    assert_int_equal(f->ledger.cpu_identical, CPU_FIELDS - 1);
    const struct ledger_field *field = find(f, "cpu/env.regs[3]");
    assert_string_equal(field->source, "0x1111");
    assert_string_equal(field->resumed, "0x1110");
    assert_null(field->reason);
}

static void finds_a_device_field(void **state)
{
    struct fixture *f = *state;
    f->resumed.widget ^= 0x80000000;
    compare(f);
    assert_false(ledger_clean(&f->ledger));
    assert_int_equal(f->ledger.device_unexpected, 1);
    assert_null(find(f, "0000:00:03.0/widget/value")->reason);
}

static void accepts_clocks(void **state)
{
    struct fixture *f = *state;
    f->resumed.ticks++;
    compare(f);
    assert_true(ledger_clean(&f->ledger));
    assert_int_equal(f->ledger.device_explained, 1);
    assert_non_null(find(f, "timer/cpu_ticks_offset")->reason);
}

static void accepts_the_instruction_counter_as_a_clock(void **state)
{
    struct fixture *f = *state;
    f->source.icount = 1000;
    f->resumed.icount = 1234;
    compare(f);
    assert_true(ledger_clean(&f->ledger));
    assert_int_equal(f->ledger.device_explained, 1);
    assert_non_null(find(f, "timer/icount/qemu_icount")->reason);
    /* on one side only: another command line */
    f->resumed.icount = 0;
    compare(f);
    assert_int_equal(f->ledger.device_unexpected, 2);
}

static void accepts_interrupts_that_came_but_none_that_went(void **state)
{
    struct fixture *f = *state;
    f->resumed.interrupt_request = SPLICE_IRQ_HARD;
    compare(f);
    assert_true(ledger_clean(&f->ledger));
    f->source.interrupt_request = SPLICE_IRQ_HARD;
    f->resumed.interrupt_request = 0;
    compare(f);
    assert_int_equal(f->ledger.cpu_unexpected, 1);
    f->resumed.interrupt_request = SPLICE_IRQ_HARD | SPLICE_IRQ_NMI;
    compare(f);
    assert_int_equal(f->ledger.cpu_unexpected, 1);
}

static void accepts_a_halted_vcpu_that_goes_on(void **state)
{
    struct fixture *f = *state;
    f->source.halted = 1;
    compare(f);
    assert_true(ledger_clean(&f->ledger));
    assert_int_equal(f->ledger.cpu_explained, 1);
}

static void finds_other_sets_of_fields(void **state)
{
    struct fixture *f = *state;
    f->resumed.novelty = true;
    compare(f);
    assert_int_equal(f->ledger.cpu_unexpected, 1);
    assert_string_equal(find(f, "cpu/novelty/env.novelty")->source, "absent");
    f->resumed.novelty = false;
    f->source.novelty = true;
    compare(f);
    assert_int_equal(f->ledger.cpu_unexpected, 1);
    assert_string_equal(find(f, "cpu/novelty/env.novelty")->resumed, "absent");
    f->source.novelty = false;
    f->resumed.widget_field = "other";
    compare(f);
    assert_int_equal(f->ledger.device_unexpected, 2);
    assert_int_equal(f->ledger.device_identical, DEVICE_FIELDS - 1);
}

static void finds_a_section_that_one_side_lacks(void **state)
{
    struct fixture *f = *state;
    f->resumed.no_widget = true;
    compare(f);
    assert_int_equal(f->ledger.device_unexpected, 1);
    assert_string_equal(find(f, "0000:00:03.0/widget")->resumed, "absent");
    f->resumed.no_widget = false;
    f->source.no_widget = true;
    compare(f);
    assert_string_equal(find(f, "0000:00:03.0/widget")->source, "absent");
    f->source.no_widget = false;
    f->resumed.cpu_version = 13;
    compare(f);
    assert_string_equal(find(f, "cpu")->resumed, "version 13");
    assert_int_equal(f->ledger.cpu_unexpected, 1);
}

static void finds_a_byte_of_ram(void **state)
{
    struct fixture *f = *state;
    f->resumed.poked_page = 31;
    f->resumed.poked_byte = 0xfff;
    compare(f);
    assert_false(ledger_clean(&f->ledger));
    assert_int_equal(f->ledger.pages_unexpected, 1);
    assert_int_equal(f->ledger.pages_identical, 41);
    assert_int_equal(f->ledger.page_count, 1);
    const struct ledger_page *page = &f->ledger.page[0];
    assert_string_equal(page->block, "pc.ram");
    assert_int_equal(page->offset, 31 * 4096);
    assert_true(page->has_pa);
    assert_int_equal(page->pa, 0x11f000);
    assert_int_equal(page->bytes, 1);
    assert_int_equal(page->run_count, 1);
    assert_int_equal(page->run[0].start, 0xfff);
    assert_false(page->in_home);
    assert_null(page->reason);
    /* A page of zeroes against one with a single byte. */
    f->resumed.poked_page = 30;
    compare(f);
    assert_int_equal(f->ledger.pages_unexpected, 1);
}

/* The home is at 0x108000: in a large page at 0, or in 4 KiB pages of its own. */
static void accepts_flags_of_the_entries_that_map_the_home(void **state)
{
    static const struct {
        uint64_t before;
        uint64_t after;
        bool accepted;
    } cases[] = {
        {0x00000000000000a1, 0x00000000000000e1, true},  /* a large page: dirty */
        {0x0000000000000181, 0x00000000000001e1, true},  /* accessed and dirty */
        {0x0000000000108121, 0x0000000000108161, true},  /* the home's first page */
        {0x0000000000117121, 0x0000000000117161, true},  /* its last */
        {0x0000000000118121, 0x0000000000118161, false}, /* the one behind */
        {0x0000000000107121, 0x0000000000107161, false}, /* the one before */
        {0x00000000002000a1, 0x00000000002000e1, false}, /* another large page */
        {0x00000000000000a0, 0x00000000000000e0, false}, /* not present */
        {0x00000000000000e1, 0x00000000000000a1, false}, /* cleared */
        {0x00000000000000a1, 0x00000000000000a3, false}, /* made writable */
        {0x00000000000000a1, 0x80000000000000e1, false}, /* and no-execute */
        {0x00000000000000a1, 0x00000000000001e1, false}, /* and global */
    };
    struct fixture *f = *state;
    f->source.entry_page = 31;
    f->resumed.entry_page = 31;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        f->source.entry = cases[i].before;
        f->resumed.entry = cases[i].after;
        compare(f);
        assert_int_equal(f->ledger.page_count, 1);
        assert_int_equal(f->ledger.page[0].reason != NULL, cases[i].accepted);
        assert_int_equal(ledger_clean(&f->ledger), cases[i].accepted);
        assert_int_equal(f->ledger.home_bytes, 0);
    }
}

static void finds_a_missing_page(void **state)
{
    struct fixture *f = *state;
    f->resumed.missing_page = 2; /* it would hold zeroes */
    compare(f);
    assert_int_equal(f->ledger.pages_unexpected, 1);
    assert_non_null(f->ledger.page[0].note);
    assert_int_equal(f->ledger.page[0].offset, 2 * 4096);
    f->resumed.missing_page = MACHINE_STREAM_NO_PAGE;
    f->source.missing_page = 3;
    compare(f);
    assert_int_equal(f->ledger.pages_unexpected, 1);
}

static void finds_a_missing_block(void **state)
{
    struct fixture *f = *state;
    f->resumed.no_rom = true;
    compare(f);
    assert_int_equal(f->ledger.pages_unexpected, 2);
    assert_int_equal(f->ledger.pages, 42);
    f->resumed.no_rom = false;
    f->source.no_rom = true;
    compare(f);
    assert_int_equal(f->ledger.pages_unexpected, 2);
    f->source.no_rom = false;
    f->resumed.pages = 41;
    compare(f);
    assert_int_equal(f->ledger.pages_unexpected, 40);
}

static void accepts_the_landing_and_nothing_else_of_the_home(void **state)
{
    struct fixture *f = *state;
    uint8_t *end = f->home_pages + RESUME_HOME_LENGTH - LANDING_LENGTH;
    memcpy(end, f->landing, LANDING_LENGTH);
    compare(f);
    assert_true(ledger_clean(&f->ledger));
    assert_int_equal(f->ledger.pages_expected, 1);
    assert_int_equal(f->ledger.page_count, 1);
    assert_true(f->ledger.page[0].in_home);
    assert_non_null(f->ledger.page[0].reason);
    assert_int_equal(f->ledger.page[0].offset, (HOME_PAGE + HOME_PAGES - 1) * 4096);
    assert_true(f->ledger.home_bytes >= LANDING_LENGTH - 1);
    assert_int_equal(f->ledger.home_bytes, f->ledger.page[0].bytes);

    end[3] ^= 1; /* not what the landing consists of */
    compare(f);
    assert_int_equal(f->ledger.pages_unexpected, 1);
    end[3] ^= 1;
    end[-1] ^= 1; /* before the landing */
    compare(f);
    assert_int_equal(f->ledger.pages_unexpected, 1);
    end[-1] ^= 1;
    f->home_pages[5] ^= 1; /* another page of the home */
    compare(f);
    assert_int_equal(f->ledger.pages_unexpected, 1);
    assert_int_equal(f->ledger.pages_expected, 1);
}

static void names_every_run_of_bytes(void **state)
{
    struct fixture *f = *state;
    static const uint16_t bytes[] = {0, 1, 2, 100, 4094, 4095};
    for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++)
        f->home_pages[bytes[i]] ^= 0xff;
    compare(f);
    const struct ledger_page *page = &f->ledger.page[0];
    assert_int_equal(page->bytes, 6);
    assert_int_equal(page->run_count, 3);
    assert_int_equal(page->run[0].start, 0);
    assert_int_equal(page->run[0].length, 3);
    assert_int_equal(page->run[1].start, 100);
    assert_int_equal(page->run[1].length, 1);
    assert_int_equal(page->run[2].start, 4094);
    assert_int_equal(page->run[2].length, 2);
    for (size_t i = 0; i < 4096; i += 2)
        f->home_pages[i] ^= 0x10;
    compare(f);
    assert_int_equal(f->ledger.page[0].run_count, LEDGER_RUN_MAX);
}

static void refuses_a_truncated_stream(void **state)
{
    struct fixture *f = *state;
    size_t length;
    uint8_t *data = machine_stream_build(&f->source, &length, NULL);
    assert_int_equal(compare_data(f, data, length, data, length), 0);
    for (size_t cut = 1; cut < length; cut += 1361) {
        assert_int_equal(compare_data(f, data, length, data, length - cut), -EXIT_CODE_REFUSED);
        assert_int_equal(compare_data(f, data, length - cut, data, length), -EXIT_CODE_REFUSED);
    }
    free(data);
}

static void prints_what_it_found(void **state)
{
    struct fixture *f = *state;
    char *text = NULL;
    size_t length = 0;
    f->resumed.rbx++;
    f->resumed.poked_page = 31;
    f->resumed.poked_byte = 0x10;
    compare(f);
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    ledger_print(&f->ledger, out);
    fclose(out);
    assert_non_null(strstr(text, "cpu/env.regs[3]: 0x1112, was 0x1111: NOT EXPECTED"));
    assert_non_null(strstr(text, "physical 0x11f000 (pc.ram + 0x1f000): 1 byte at 0x11f010"));
    assert_non_null(strstr(text, "1 fields and 1 pages differ unexpectedly"));
    free(text);

    json_t *json = ledger_json(&f->ledger);
    assert_non_null(json);
    assert_true(json_is_false(json_object_get(json, "clean")));
    const json_t *fields = json_object_get(json, "fields_that_differ");
    const json_t *pages = json_object_get(json, "pages_that_differ");
    assert_int_equal(json_array_size(fields), 1);
    assert_int_equal(json_array_size(pages), 1);
    assert_true(json_is_null(json_object_get(json_array_get(fields, 0), "reason")));
    assert_int_equal(json_integer_value(json_object_get(json_array_get(pages, 0), "pa")), 0x11f000);
    json_decref(json);
}

/* ---- Segments: what no instruction can set ---------------------------------------------------- */

struct segment {
    uint64_t selector;
    uint64_t base;
    uint64_t limit;
    uint64_t flags;
};

/* A stream with the segments ES CS SS DS FS GS and TR, and QEMU's digest. */
static uint8_t *build_digest(const struct segment segments[6], const struct segment *tr,
                             uint32_t hflags, size_t *ret_length)
{
    static const char *const names[] = {"[0]", "[1]", "[2]", "[3]", "[4]", "[5]"};
    struct builder b;
    memset(&b, 0, sizeof(b));
    build_header(&b, "pc-q35-7.2");
    build_small_ram(&b, 1);
    build_device(&b, "cpu", "cpu", 0, 12);
    for (size_t i = 0; i < 7; i++) {
        const struct segment *segment = i < 6 ? &segments[i] : tr;
        char name[64];
        const char *const parts[] = {"selector", "base", "limit", "flags"};
        const uint64_t values[] = {segment->selector, segment->base, segment->limit,
                                   segment->flags};
        for (size_t part = 0; part < 4; part++) {
            snprintf(name, sizeof(name), "env.%s%s.%s", i < 6 ? "segs" : "tr",
                     i < 6 ? names[i] : "", parts[part]);
            build_field(&b, name, part == 1 ? "uint64" : "uint32", part == 1 ? 8 : 4, values[part]);
        }
    }
    build_field(&b, "env.hflags", "uint32", 4, hflags);
    build_device_end(&b);
    build_finish(&b);
    uint8_t *data = malloc(b.length);
    assert_non_null(data);
    memcpy(data, b.data, b.length);
    *ret_length = b.length;
    build_free(&b);
    return data;
}

static uint8_t *build_segments(const struct segment segments[6], const struct segment *tr,
                               size_t *ret_length)
{
    return build_digest(segments, tr, 0xc290, ret_length);
}

/* Bit 5 of the digest is SS's D/B bit: of no meaning where SS is null and the code is 64-bit. */
static void knows_the_digest_of_a_null_ss(void **state)
{
    static const struct {
        uint64_t ss;
        uint64_t code;
        uint32_t resumed;
        bool accepted;
    } cases[] = {
        {0, 0xa09b00, 0xc2b0, true},  {3, 0xa09b00, 0xc2b0, true},  {0x18, 0xa09b00, 0xc2b0, false},
        {0, 0xc09b00, 0xc2b0, false}, {0, 0xa09b00, 0xc2d0, false}, {0, 0xa09b00, 0xc2b1, false},
    };
    struct fixture *f = *state;
    const struct segment tr = {0x40, 0xfffffe0000003000, 0x4087, 0x8b00};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct segment segments[6] = {
            [1] = {0x10, 0, 0xffffffff, cases[i].code}, [2] = {cases[i].ss, 0, 0, 0}};
        size_t a_length;
        size_t b_length;
        uint8_t *a = build_segments(segments, &tr, &a_length);
        uint8_t *b = build_digest(segments, &tr, cases[i].resumed, &b_length);
        assert_int_equal(compare_data(f, a, a_length, b, b_length), 0);
        assert_int_equal(f->ledger.field_count, 1);
        if (ledger_clean(&f->ledger) != cases[i].accepted)
            fail_msg("case %zu was %saccepted", i, cases[i].accepted ? "not " : "");
        free(a);
        free(b);
    }
}

static void knows_hidden_parts_of_segments(void **state)
{
    struct fixture *f = *state;
    enum { ES, CS, SS, DS, FS, GS, TR };
    enum { SELECTOR, BASE, LIMIT, FLAGS };
    const struct segment segments[6] = {
        [CS] = {0x10, 0, 0xffffffff, 0xa09b00}, [SS] = {0, 0, 0, 0},
        [DS] = {0x2b, 0, 0xffffffff, 0xcff300}, [FS] = {0, 0x7f00dead0000, 0, 0},
        [GS] = {0, 0xffff888000000000, 0, 0},
    };
    const struct segment tr = {0x40, 0xfffffe0000003000, 0x4087, 0x8b00};
    static const struct {
        int segment;
        int part;
        uint64_t change;
        bool accepted;
    } cases[] = {
        {CS, LIMIT, 1, true},        {CS, FLAGS, 0xf0000, true}, {CS, FLAGS, 0x6000, false},
        {CS, SELECTOR, 8, false},    {SS, LIMIT, 1, true},       {SS, FLAGS, 0xc09300, true},
        {SS, SELECTOR, 0x18, false}, {DS, LIMIT, 1, false},      {DS, FLAGS, 0x100, false},
        {DS, BASE, 1, false},        {FS, BASE, 1, false},       {FS, LIMIT, 1, true},
        {GS, BASE, 1, false},        {GS, FLAGS, 0x300, true},   {ES, BASE, 1, true},
        {TR, BASE, 1, false},        {TR, LIMIT, 1, false},      {TR, FLAGS, 0x200, false},
    };
    size_t length;
    uint8_t *data = build_segments(segments, &tr, &length);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct segment changed[7];
        size_t changed_length;
        memcpy(changed, segments, sizeof(segments));
        changed[TR] = tr;
        struct segment *segment = &changed[cases[i].segment];
        uint64_t *const parts[] = {&segment->selector, &segment->base, &segment->limit,
                                   &segment->flags};
        *parts[cases[i].part] ^= cases[i].change;
        uint8_t *other = build_segments(changed, &changed[TR], &changed_length);
        assert_int_equal(compare_data(f, data, length, other, changed_length), 0);
        if (ledger_clean(&f->ledger) != cases[i].accepted)
            fail_msg("case %zu was %saccepted", i, cases[i].accepted ? "not " : "");
        assert_int_equal(f->ledger.field_count, 1);
        free(other);
    }
    free(data);
}

/* ---- Devices: what may have changed while the trampoline ran ---------------------------------- */

/* A stream with one device that has one number. */
static uint8_t *build_number(const char *section, const char *field, uint64_t value,
                             size_t *ret_length)
{
    struct builder b;
    memset(&b, 0, sizeof(b));
    build_header(&b, "pc-q35-7.2");
    build_small_ram(&b, 1);
    build_device(&b, section, section, 0, 1);
    build_field(&b, field, "uint32", 4, value);
    build_device_end(&b);
    build_finish(&b);
    uint8_t *data = malloc(b.length);
    assert_non_null(data);
    memcpy(data, b.data, b.length);
    *ret_length = b.length;
    build_free(&b);
    return data;
}

static void knows_what_clocks_and_interrupts_change(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *section;
        const char *field;
        uint32_t source;
        uint32_t resumed;
        bool accepted;
    } cases[] = {
        {"apic", "irr[7]", 0x10, 0x1010, true},
        {"apic", "irr[7]", 0x1010, 0x1000, false}, /* an interrupt got lost */
        {"apic", "isr[7]", 0, 0x1000, false},
        {"apic", "tpr", 0, 1, false},
        {"apic", "next_time", 5, 6, true},
        {"apic", "initial_count", 5, 6, false},
        {"ioapic", "irr", 0, 1, true},
        {"ioapic", "irr", 1, 0, false},
        {"ioapic", "ioredtbl[2]", 0x30, 0x4030, true},
        {"ioapic", "ioredtbl[2]", 0x30, 0x31, false},
        {"i8259", "irr", 1, 3, true},
        {"i8259", "irr", 1, 2, false},
        {"i8259", "imr", 1, 3, false},
        {"hpet", "hpet_counter", 1, 2, true},
        {"hpet", "timer[1].cmp", 1, 2, true},
        {"hpet", "timer[1].config", 1, 2, false},
        {"hpet", "config", 1, 0, false},
        {"mc146818rtc", "last_update", 1, 2, true},
        {"mc146818rtc", "cmos_index", 1, 2, false},
        {"i8254", "channels[0].next_transition_time", 1, 2, true},
        {"i8254", "channels[0].count", 1, 2, false},
        {"0000:00:1f.0/ICH9LPC", "pm.acpi_regs.tmr.overflow_time", 1, 2, true},
        {"0000:00:1f.0/ICH9LPC", "pm.acpi_regs.pm1.evt.sts", 0, 1, true},
        {"0000:00:1f.0/ICH9LPC", "pm.acpi_regs.pm1.evt.sts", 1, 0, false},
        {"0000:00:1f.0/ICH9LPC", "pm.smi_en", 0, 1, false},
        {"0000:00:01.1/ide", "bmdma[1].migration_retry_nsector", 2, 0, true},
        {"0000:00:01.1/ide", "bmdma[1].migration_retry_nsector", 2, 3, false},
        {"globalstate", "size", 6, 7, true},
        {"serial", "lcr", 6, 7, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t a_length;
        size_t b_length;
        uint8_t *a = build_number(cases[i].section, cases[i].field, cases[i].source, &a_length);
        uint8_t *b = build_number(cases[i].section, cases[i].field, cases[i].resumed, &b_length);
        assert_int_equal(compare_data(f, a, a_length, b, b_length), 0);
        if (ledger_clean(&f->ledger) != cases[i].accepted)
            fail_msg("%s of %s: 0x%x instead of 0x%x was %saccepted", cases[i].field,
                     cases[i].section, cases[i].resumed, cases[i].source,
                     cases[i].accepted ? "not " : "");
        assert_int_equal(f->ledger.field_count, 1);
        free(a);
        free(b);
    }
}

/* Time, date and interrupt flags of the clock's RAM move; what else is in it does not. */
static void knows_the_clock_in_the_cmos(void **state)
{
    struct fixture *f = *state;
    static const uint8_t moving[] = {0x00, 0x02, 0x04, 0x06, 0x07, 0x08, 0x09, 0x0c, 0x32};
    uint8_t cmos[128];
    for (size_t at = 0; at < sizeof(cmos); at++) {
        struct builder b[2];
        for (size_t i = 0; i < 2; i++) {
            memset(cmos, 0x26, sizeof(cmos));
            cmos[at] ^= i == 1 ? 1 : 0;
            memset(&b[i], 0, sizeof(b[i]));
            build_header(&b[i], "pc-q35-7.2");
            build_small_ram(&b[i], 1);
            build_device(&b[i], "mc146818rtc", "mc146818rtc", 0, 3);
            build_describe(&b[i], "cmos_data", "buffer", sizeof(cmos), "");
            build_bytes(&b[i], cmos, sizeof(cmos));
            build_device_end(&b[i]);
            build_finish(&b[i]);
        }
        assert_int_equal(compare_data(f, b[0].data, b[0].length, b[1].data, b[1].length), 0);
        bool moves = memchr(moving, (int)at, sizeof(moving)) != NULL;
        if (ledger_clean(&f->ledger) != moves)
            fail_msg("byte 0x%zx was %saccepted", at, moves ? "not " : "");
        build_free(&b[0]);
        build_free(&b[1]);
    }
}

#define COMPARE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        COMPARE_TEST(finds_nothing_in_equal_streams),
        COMPARE_TEST(finds_a_register),
        COMPARE_TEST(finds_a_device_field),
        COMPARE_TEST(accepts_clocks),
        COMPARE_TEST(accepts_the_instruction_counter_as_a_clock),
        COMPARE_TEST(accepts_interrupts_that_came_but_none_that_went),
        COMPARE_TEST(accepts_a_halted_vcpu_that_goes_on),
        COMPARE_TEST(finds_other_sets_of_fields),
        COMPARE_TEST(finds_a_section_that_one_side_lacks),
        COMPARE_TEST(finds_a_byte_of_ram),
        COMPARE_TEST(finds_a_missing_page),
        COMPARE_TEST(finds_a_missing_block),
        COMPARE_TEST(accepts_flags_of_the_entries_that_map_the_home),
        COMPARE_TEST(accepts_the_landing_and_nothing_else_of_the_home),
        COMPARE_TEST(names_every_run_of_bytes),
        COMPARE_TEST(refuses_a_truncated_stream),
        COMPARE_TEST(prints_what_it_found),
        COMPARE_TEST(knows_the_digest_of_a_null_ss),
        COMPARE_TEST(knows_hidden_parts_of_segments),
        COMPARE_TEST(knows_what_clocks_and_interrupts_change),
        COMPARE_TEST(knows_the_clock_in_the_cmos),
    };
    return cmocka_run_group_tests_name("compare", tests, NULL, NULL);
}
