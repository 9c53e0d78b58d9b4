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

/* RAM begins at 0x100000. Pages 4 to 27 are here; the home is pages 8 to 23 of RAM. */
#define MEMORY_PAGE 4u
#define MEMORY_PAGES 24u
#define HOME_PAGE 8u
#define HOME_PAGES 16u
#define HOME_LENGTH (HOME_PAGES * 4096u)
#define SLOT_LENGTH 256u
#define VCPUS 3u
#define DORMANT 1u

/* Two machines, and what the comparison says of them. */
struct fixture {
    struct machine_stream source;
    struct machine_stream resumed;
    struct machine_stream_cpu source_cpu[VCPUS];
    struct machine_stream_cpu resumed_cpu[VCPUS];
    struct manifest manifest;
    struct splice_home home;
    uint8_t before[MEMORY_PAGES * 4096];
    uint8_t after[MEMORY_PAGES * 4096];
    uint8_t slot[VCPUS][SLOT_LENGTH];
    struct compare_vcpu vcpu[VCPUS];
    struct ledger ledger;
    struct report_failure failure;
};

/* What page @page of RAM holds from byte @at on. */
static uint8_t *memory(uint8_t *pages, uint32_t page, uint32_t at)
{
    return pages + (page - MEMORY_PAGE) * 4096 + at;
}

/* Byte @at of vCPU @index's slot in the home. */
static uint8_t *slot(uint8_t *pages, uint32_t index, uint32_t at)
{
    return memory(pages, HOME_PAGE, HOME_LENGTH - VCPUS * SLOT_LENGTH + index * SLOT_LENGTH + at);
}

static void put_entry(uint8_t *pages, uint32_t page, uint32_t index, uint64_t entry)
{
    for (uint32_t i = 0; i < 8; i++)
        memory(pages, page, index * 8)[i] = (uint8_t)(entry >> 8 * i);
}

/*
 * vCPU 0 has its tables in pages 4 to 6 and maps the home by a large page; vCPU 2 has its own in
 * pages 7 and 24 to 26 and maps it by small ones; vCPU 1 is dormant, what its CR3 names is in page
 * 27. All at 0xffffffff80000000 for physical 0.
 */
static void put_tables(uint8_t *pages)
{
    memset(memory(pages, 4, 0), 0, 4 * 4096);
    memset(memory(pages, 24, 0), 0, 4 * 4096);
    put_entry(pages, 4, 511, 0x105023);
    put_entry(pages, 5, 510, 0x106023);
    put_entry(pages, 6, 0, 0x1e1);
    put_entry(pages, 7, 511, 0x118023);
    put_entry(pages, 24, 510, 0x119023);
    put_entry(pages, 25, 0, 0x11a023);
    for (uint64_t i = 0x100; i < 0x120; i++)
        put_entry(pages, 26, (uint32_t)i, i << 12 | 0x161);
    put_entry(pages, 27, 511, 0x105023);
    put_entry(pages, 27, 0, 0x1e1);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->source = machine_stream_default();
    f->resumed = machine_stream_default();
    f->manifest.range_count = 1;
    f->manifest.range[0] =
        (struct manifest_range){0x100000, 40 * 4096, 0, MANIFEST_RANGE_RAM, "pc.ram"};
    f->home.va = 0xffffffff80108000;
    f->home.pa = 0x108000;
    f->home.length = HOME_LENGTH;
    f->home.offset = HOME_PAGE * 4096u;
    strcpy(f->home.block, "pc.ram");
    for (uint64_t i = 0; i < MEMORY_PAGES; i++)
        machine_stream_page(&f->source, MEMORY_PAGE + i, f->before + i * 4096);
    put_tables(f->before);
    memcpy(f->after, f->before, sizeof(f->after));
    f->source.home = f->before;
    f->resumed.home = f->after;
    f->source.home_page = f->resumed.home_page = MEMORY_PAGE;
    f->source.home_pages = f->resumed.home_pages = MEMORY_PAGES;
    static const uint64_t cr3[VCPUS] = {0x104000, 0x11b000, 0x107018};
    static const uint32_t remains[VCPUS] = {236, 0, 240};
    for (uint32_t i = 0; i < VCPUS; i++) {
        memset(f->slot[i], (int)(0xa1 + i), SLOT_LENGTH);
        f->vcpu[i].instance = i;
        f->vcpu[i].active = i != DORMANT;
        f->vcpu[i].levels = 4;
        f->vcpu[i].cr3 = cr3[i];
        f->vcpu[i].slot_offset = HOME_LENGTH - (VCPUS - i) * SLOT_LENGTH;
        f->vcpu[i].slot = f->slot[i];
        f->vcpu[i].remains = remains[i];
    }
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
        .vcpu = f->vcpu,
        .vcpu_count = VCPUS,
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

static void accepts_flags_of_the_entries_that_map_the_home(void **state)
{
    static const struct {
        uint32_t page;
        uint32_t index;
        uint64_t before;
        uint64_t after;
        bool accepted;
    } cases[] = {
        {6, 0, 0x00000000000001a1, 0x00000000000001e1, true},       /* a large page: dirty */
        {6, 0, 0x0000000000000181, 0x00000000000001e1, true},       /* accessed and dirty */
        {26, 0x108, 0x0000000000108121, 0x0000000000108161, true},  /* the home's first page */
        {26, 0x117, 0x0000000000117101, 0x0000000000117161, true},  /* its last */
        {26, 0x118, 0x0000000000118121, 0x0000000000118161, false}, /* the one behind */
        {26, 0x107, 0x0000000000107121, 0x0000000000107161, false}, /* the one before */
        {4, 511, 0x0000000000105003, 0x0000000000105023, true},     /* of the root: accessed */
        {7, 511, 0x0000000000118003, 0x0000000000118023, true},     /* of the other root */
        {25, 0, 0x000000000011a003, 0x000000000011a023, true},
        {25, 0, 0x000000000011a023, 0x000000000011a063, false}, /* no leaf: it has no dirty flag */
        {27, 511, 0x0000000000105003, 0x0000000000105023, false}, /* nobody's who was resumed */
        {27, 0, 0x00000000000001a1, 0x00000000000001e1, false},   /* nobody's */
        {6, 1, 0x00000000002001a1, 0x00000000002001e1, false},    /* another large page */
        {6, 0, 0x00000000000001e1, 0x00000000000001a1, false},    /* cleared */
        {6, 0, 0x00000000000001a1, 0x00000000000001a3, false},    /* made writable */
        {6, 0, 0x00000000000001a1, 0x80000000000001e1, false},    /* and no-execute */
        {6, 0, 0x00000000000000a1, 0x00000000000001e1, false},    /* and global */
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        put_tables(f->before);
        put_tables(f->after);
        put_entry(f->before, cases[i].page, cases[i].index, cases[i].before);
        put_entry(f->after, cases[i].page, cases[i].index, cases[i].after);
        compare(f);
        assert_int_equal(f->ledger.page_count, 1);
        if (ledger_clean(&f->ledger) != cases[i].accepted)
            fail_msg("case %zu was %saccepted", i, cases[i].accepted ? "not " : "");
        assert_int_equal(f->ledger.page[0].reason != NULL, cases[i].accepted);
        assert_int_equal(f->ledger.home_bytes, 0);
    }
    /* vCPU 1's tables count once it is resumed. */
    put_tables(f->before);
    put_tables(f->after);
    put_entry(f->before, 27, 511, 0x105003);
    f->vcpu[DORMANT].active = true;
    compare(f);
    assert_true(ledger_clean(&f->ledger));
    /* Several at once, of two vCPUs; and without addresses nothing can be told. */
    put_entry(f->before, 6, 0, 0x181);
    put_entry(f->before, 26, 0x108, 0x108121);
    compare(f);
    assert_true(ledger_clean(&f->ledger));
    assert_int_equal(f->ledger.pages_expected, 3);
    f->manifest.range_count = 0;
    compare(f);
    assert_int_equal(f->ledger.pages_unexpected, 3);
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

static void accepts_the_landings_and_nothing_else_of_the_home(void **state)
{
    struct fixture *f = *state;
    /* bytes that were the same before do not differ */
    uint32_t first = 0;
    for (uint32_t i = 0; i < VCPUS; i += 2) {
        uint32_t remains = i == 0 ? 236 : 240;
        memcpy(slot(f->after, i, remains), f->slot[i] + remains, SLOT_LENGTH - remains);
        memset(slot(f->before, i, 0), 0xcc, SLOT_LENGTH);
        memset(slot(f->after, i, 0), 0xcc, remains);
        first += SLOT_LENGTH - remains;
    }
    compare(f);
    assert_true(ledger_clean(&f->ledger));
    assert_int_equal(f->ledger.pages_expected, 1);
    assert_int_equal(f->ledger.page_count, 1);
    assert_true(f->ledger.page[0].in_home);
    assert_non_null(f->ledger.page[0].reason);
    assert_int_equal(f->ledger.page[0].offset, (HOME_PAGE + HOME_PAGES - 1) * 4096);
    assert_int_equal(f->ledger.home_bytes, 36);
    assert_int_equal(first, 36);
    assert_int_equal(f->ledger.landing_count, VCPUS);
    assert_true(f->ledger.landing[0].active);
    assert_int_equal(f->ledger.landing[0].bytes, 20);
    assert_true(f->ledger.landing[0].has_pa);
    assert_int_equal(f->ledger.landing[0].first, 0x117dec);
    assert_int_equal(f->ledger.landing[0].last, 0x117dff);
    assert_false(f->ledger.landing[DORMANT].active);
    assert_int_equal(f->ledger.landing[DORMANT].bytes, 0);
    assert_int_equal(f->ledger.landing[2].bytes, 16);
    assert_int_equal(f->ledger.landing[2].first, 0x117ff0);
    assert_int_equal(f->ledger.landing[2].last, 0x117fff);

    /* less than that is fine */
    *slot(f->after, 0, 255) = 0xcc;
    compare(f);
    assert_true(ledger_clean(&f->ledger));
    assert_int_equal(f->ledger.landing[0].bytes, 19);

    static const struct {
        uint32_t vcpu;
        uint32_t at;
        uint8_t byte;
    } wrong[] = {
        {0, 250, 0xa2},       /* not what the landing consists of */
        {0, 235, 0xa1},       /* it has not wiped itself */
        {DORMANT, 255, 0xa2}, /* a vCPU that does not land */
        {2, 255, 0xa1},       /* another's */
        {2, 0, 0xa3},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        uint8_t *at = slot(f->after, wrong[i].vcpu, wrong[i].at);
        uint8_t kept = *at;
        *at = wrong[i].byte;
        compare(f);
        if (f->ledger.pages_unexpected != 1)
            fail_msg("case %zu was accepted", i);
        *at = kept;
    }
    *memory(f->after, HOME_PAGE + HOME_PAGES - 1, 5) ^= 1; /* before the slots */
    compare(f);
    assert_int_equal(f->ledger.pages_unexpected, 1);
    *memory(f->after, HOME_PAGE + HOME_PAGES - 1, 5) ^= 1;
    *memory(f->after, HOME_PAGE, 5) ^= 1; /* another page of the home */
    compare(f);
    assert_int_equal(f->ledger.pages_unexpected, 1);
    assert_int_equal(f->ledger.pages_expected, 1);
}

/* Each vCPU is compared with its own; one that was not resumed must be as it was. */
static void compares_each_vcpu(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < VCPUS; i++) {
        f->source_cpu[i] = (struct machine_stream_cpu){.rbx = 0x100 + i, .rip = 0x1000 + i};
        f->resumed_cpu[i] = f->source_cpu[i];
    }
    f->source_cpu[DORMANT].halted = f->resumed_cpu[DORMANT].halted = 1;
    f->source.cpus = f->resumed.cpus = VCPUS;
    f->source.cpu = f->source_cpu;
    f->resumed.cpu = f->resumed_cpu;
    compare(f);
    assert_true(ledger_clean(&f->ledger));
    assert_int_equal(f->ledger.cpu_identical, VCPUS * (CPU_FIELDS + 1));

    f->resumed_cpu[2].rbx = 0x101;
    compare(f);
    assert_int_equal(f->ledger.cpu_unexpected, 1);
    assert_int_equal(find(f, "cpu/env.regs[3]")->instance, 2);
    f->resumed_cpu[2].rbx = 0x102;

    /* A halted vCPU goes on when it was resumed: a dormant one does not. */
    f->source_cpu[2].halted = 1;
    compare(f);
    assert_true(ledger_clean(&f->ledger));
    f->resumed_cpu[DORMANT].halted = 0;
    compare(f);
    assert_int_equal(f->ledger.cpu_unexpected, 1);
    assert_int_equal(f->ledger.cpu_explained, 1);
    f->resumed_cpu[DORMANT].halted = 1;
    /* Interrupts may come in for it all the same, but do not get lost. */
    f->resumed_cpu[DORMANT].interrupt_request = SPLICE_IRQ_HARD;
    compare(f);
    assert_true(ledger_clean(&f->ledger));
    f->source_cpu[DORMANT].interrupt_request = SPLICE_IRQ_SIPI | SPLICE_IRQ_HARD;
    compare(f);
    assert_int_equal(f->ledger.cpu_unexpected, 1);
}

static void names_every_run_of_bytes(void **state)
{
    struct fixture *f = *state;
    static const uint16_t bytes[] = {0, 1, 2, 100, 4094, 4095};
    for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++)
        *memory(f->after, HOME_PAGE, bytes[i]) ^= 0xff;
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
        *memory(f->after, HOME_PAGE, (uint32_t)i) ^= 0x10;
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
    *slot(f->after, 2, 255) = 0xa3;
    compare(f);
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    ledger_print(&f->ledger, out);
    fclose(out);
    assert_non_null(strstr(text, "cpu/env.regs[3] (vCPU 0): 0x1112, was 0x1111: NOT EXPECTED"));
    assert_non_null(strstr(text, "physical 0x11f000 (pc.ram + 0x1f000): 1 byte at 0x11f010"));
    assert_non_null(strstr(text, "vCPU 0: 0 bytes differ\n"));
    assert_null(strstr(text, "vCPU 1: "));
    assert_non_null(
        strstr(text, "vCPU 2: 1 byte differs, all in the padding at physical 0x117fff"));
    assert_non_null(strstr(text, "1 fields and 1 pages differ unexpectedly"));
    free(text);

    json_t *json = ledger_json(&f->ledger);
    assert_non_null(json);
    assert_true(json_is_false(json_object_get(json, "clean")));
    const json_t *fields = json_object_get(json, "fields_that_differ");
    const json_t *pages = json_object_get(json, "pages_that_differ");
    assert_int_equal(json_array_size(fields), 1);
    assert_int_equal(json_array_size(pages), 2);
    assert_true(json_is_null(json_object_get(json_array_get(fields, 0), "reason")));
    assert_int_equal(json_integer_value(json_object_get(json_array_get(pages, 1), "pa")), 0x11f000);
    const json_t *landings = json_object_get(json, "landings");
    assert_int_equal(json_array_size(landings), 2);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(landings, 1), "first_pa")),
                     0x117fff);
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
    return build_take(&b, ret_length);
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
        [CS] = {0x10, 0, 0xffffffff, 0xa09b00},
        [SS] = {0, 0, 0, 0},
        [DS] = {0x2b, 0, 0xffffffff, 0xcff300},
        [FS] = {0, 0x7f00dead0000, 0, 0},
        [GS] = {0x2b, 0xffff888000000000, 0xffffffff, 0xcff300},
    };
    const struct segment tr = {0x40, 0xfffffe0000003000, 0x4087, 0x8b00};
    static const struct {
        int segment;
        int part;
        uint64_t change;
        bool accepted;
    } cases[] = {
        {CS, LIMIT, 1, true},          {CS, FLAGS, 0xf0000, true},  {CS, FLAGS, 0x6000, false},
        {CS, SELECTOR, 8, false},      {SS, LIMIT, 1, true},        {SS, FLAGS, 0xc09300, true},
        {SS, SELECTOR, 0x18, false},   {DS, LIMIT, 1, false},       {DS, FLAGS, 0x100, false},
        {DS, BASE, 1, false},          {FS, BASE, 1, false},        {FS, LIMIT, 1, true},
        {FS, FLAGS, 0x300, true},      {GS, BASE, 1, false},        {GS, FLAGS, 0x300, false},
        {GS, FLAGS, 0xff0000ff, true}, {GS, FLAGS, 0xf0000, false}, {ES, BASE, 1, true},
        {CS, FLAGS, 1, false},         {DS, FLAGS, 1, false},       {DS, FLAGS, 0xf0000, false},
        {TR, FLAGS, 1, false},         {TR, BASE, 1, false},        {TR, LIMIT, 1, false},
        {TR, FLAGS, 0x200, false},
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

/* A vCPU with one subsection, which holds one number; none when it is @absent. @kvm: ran by KVM. */
static uint8_t *build_counter(bool kvm, const char *subsection, const char *field, bool absent,
                              uint64_t value, size_t *ret_length)
{
    struct builder b;
    memset(&b, 0, sizeof(b));
    build_header(&b, "pc-q35-7.2");
    build_small_ram(&b, 1);
    build_device(&b, "cpu", "cpu", 0, 12);
    build_field(&b, "env.eip", "uint64", 8, 0x1000);
    if (!absent) {
        build_subsections(&b);
        build_subsection(&b, subsection, 1);
        build_field(&b, field, "uint64", 8, value);
        build_subsection_end(&b);
    }
    build_device_end(&b);
    if (kvm) {
        build_device(&b, "kvmclock", "kvmclock", 0, 1);
        build_device_end(&b);
    }
    build_finish(&b);
    return build_take(&b, ret_length);
}

static void knows_what_goes_on_in_a_vcpu_of_kvm(void **state)
{
#define ABSENT UINT64_MAX
    struct fixture *f = *state;
    static const struct {
        const char *subsection;
        const char *field;
        uint64_t source;
        uint64_t resumed;
        bool accepted; /* under KVM */
        bool by_tcg;
    } cases[] = {
        {"cpu/msr_tscdeadline", "env.tsc_deadline", 5, 0, true, false},
        {"cpu/msr_tscdeadline", "env.tsc_deadline", 5, ABSENT, true, false},
        {"cpu/msr_tscdeadline", "env.tsc_deadline", 5, 6, false, false},
        {"cpu/msr_tscdeadline", "env.tsc_deadline", ABSENT, 6, false, false},
        {"cpu/msr_tsc_adjust", "env.tsc_adjust", ABSENT, 6, true, false},
        {"cpu/msr_architectural_pmu", "env.msr_gp_counters[3]", 5, 6, true, false},
        {"cpu/msr_architectural_pmu", "env.msr_fixed_counters[1]", 5, 6, true, false},
        {"cpu/msr_architectural_pmu", "env.msr_global_status", 1, 0, true, false},
        {"cpu/msr_architectural_pmu", "env.msr_global_ctrl", 1, 0, false, false},
        {"cpu/msr_architectural_pmu", "env.msr_gp_evtsel[3]", 5, 6, false, false},
        {"cpu/msr_hyperv_stimer", "env.msr_hv_stimer_config[1]", 0x30001, 0x30000, true, false},
        {"cpu/msr_hyperv_stimer", "env.msr_hv_stimer_config[1]", 0x30000, 0x30001, false, false},
        {"cpu/msr_hyperv_stimer", "env.msr_hv_stimer_config[1]", 0x30001, 0, false, false},
        {"cpu/msr_hyperv_stimer", "env.msr_hv_stimer_count[1]", 5, 6, false, false},
        {"cpu/msr_hyperv_stimer", "env.msr_hv_stimer_config[1]", 0x30001, 0x30002, false, false},
        {"cpu/steal_time_msr", "env.steal_time_msr", 5, 6, false, false},
        {"cpu/fpop_ip_dp", "env.fpip", 5, 6, false, true}, /* not loaded by TCG's XRSTOR */
        {"cpu/fpop_ip_dp", "env.fpip", 5, ABSENT, false, true},
        {"cpu/steal_time_msr", "env.steal_time_msr", 5, ABSENT, false, false},
    };
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        size_t n = i / 2;
        bool kvm = i % 2 == 0;
        size_t a_length;
        size_t b_length;
        uint8_t *a = build_counter(kvm, cases[n].subsection, cases[n].field,
                                   cases[n].source == ABSENT, cases[n].source, &a_length);
        uint8_t *b = build_counter(kvm, cases[n].subsection, cases[n].field,
                                   cases[n].resumed == ABSENT, cases[n].resumed, &b_length);
        assert_int_equal(compare_data(f, a, a_length, b, b_length), 0);
        if (ledger_clean(&f->ledger) != (kvm ? cases[n].accepted : cases[n].by_tcg))
            fail_msg("case %zu under %s", n, kvm ? "KVM" : "TCG");
        assert_int_equal(f->ledger.field_count, 1);
        free(a);
        free(b);
    }
#undef ABSENT
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
    return build_take(&b, ret_length);
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
        {"0000:00:01.1/ide", "bmdma.migration_retry_sector_num", 2, 0, true}, /* QEMU 10 */
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
        COMPARE_TEST(accepts_the_landings_and_nothing_else_of_the_home),
        COMPARE_TEST(compares_each_vcpu),
        COMPARE_TEST(names_every_run_of_bytes),
        COMPARE_TEST(refuses_a_truncated_stream),
        COMPARE_TEST(prints_what_it_found),
        COMPARE_TEST(knows_the_digest_of_a_null_ss),
        COMPARE_TEST(knows_hidden_parts_of_segments),
        COMPARE_TEST(knows_what_goes_on_in_a_vcpu_of_kvm),
        COMPARE_TEST(knows_what_clocks_and_interrupts_change),
        COMPARE_TEST(knows_the_clock_in_the_cmos),
    };
    return cmocka_run_group_tests_name("compare", tests, NULL, NULL);
}
