/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * QEMU's ELF dumps. The sample was made by QEMU 7.2 and cut by tests/support/cut_dumps.py; the values
 * are those that `info registers` of the same stopped machine printed.
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
#include <resume/paging.h>

#include "import_sample.h"
#include "import_torture.h"

#define GOLDEN RESUME_TEST_GOLDEN_DIR "/import/"
#define SAMPLE GOLDEN "elf_dump/qemu-7.2-two-vcpus"
#define LISTING GOLDEN "registers_text/qemu-7.2-haswell-two-vcpus"
#define HEADERS 64u
#define HEADER 56u

static int setup(void **state)
{
    return import_sample_setup(state, SAMPLE);
}

static struct resume_import *open_changed(struct import_sample *sample, int expected)
{
    struct resume_import *import = NULL;
    import_memfile_set(&sample->file, sample->data, sample->length);
    assert_int_equal(resume_import_open(sample->file.path, NULL, &import, &sample->error),
                     expected);
    return import;
}

static void reads_registers(void **state)
{
    struct resume_import *import = open_changed(*state, 0);
    struct resume_vcpu vcpu;
    assert_string_equal(resume_import_format(import)->name, "elf-dump");
    assert_string_equal(resume_import_detail(import), "ELF64");
    assert_int_equal(resume_import_vcpus(import), 2);
    assert_int_equal(resume_import_vcpu(import, 0, &vcpu, NULL), 0);
    assert_int_equal(vcpu.regs.gpr[RESUME_RAX], 0x59d5d9c511efaed4);
    assert_int_equal(vcpu.regs.gpr[RESUME_RSP], 0x7fff03f32eb8);
    assert_int_equal(vcpu.regs.gpr[RESUME_R12], 0x3b36f9e0);
    assert_int_equal(vcpu.regs.rip, 0x4161e0);
    assert_int_equal(vcpu.regs.rflags, 0x282);
    assert_int_equal(vcpu.segs.seg[RESUME_CS].access, 0xa0fb);
    assert_int_equal(vcpu.segs.seg[RESUME_TR].base, 0xfffffe0000003000);
    assert_int_equal(vcpu.ctrl.cr2, 0x42ee70);
    assert_int_equal(vcpu.ctrl.valid,
                     RESUME_CTRL_CR0 | RESUME_CTRL_CR2 | RESUME_CTRL_CR3 | RESUME_CTRL_CR4);
    assert_int_equal(vcpu.debug.valid, 0);
    assert_int_equal(vcpu.run.valid, 0);
    assert_int_equal(vcpu.xsave.length, 0);
    assert_int_equal(vcpu.msr_count, 1);
    assert_non_null(resume_vcpu_msr(&vcpu, RESUME_MSR_KERNEL_GS_BASE));
    resume_import_close(import);
}

/* Every field that both carry, of both vCPUs. */
static void agrees_with_the_listing(void **state)
{
    struct resume_import *import = open_changed(*state, 0);
    struct resume_import *listing = NULL;
    size_t count;
    const struct resume_field *table = resume_field_table(&count);
    unsigned compared = 0;
    assert_int_equal(resume_import_open(LISTING, NULL, &listing, NULL), 0);
    for (uint32_t i = 0; i < 2; i++) {
        struct resume_vcpu left;
        struct resume_vcpu right;
        assert_int_equal(resume_import_vcpu(import, i, &left, NULL), 0);
        assert_int_equal(resume_import_vcpu(listing, i, &right, NULL), 0);
        for (size_t k = 0; k < count; k++) {
            if (!resume_field_valid(&left, &table[k]) || !resume_field_valid(&right, &table[k]))
                continue;
            assert_int_equal(resume_field_get(&left, &table[k]),
                             resume_field_get(&right, &table[k]));
            compared++;
        }
    }
    /* 18 registers, 36 parts of segments, 4 control registers. */
    assert_int_equal(compared, 2 * 58);
    resume_import_close(listing);
    resume_import_close(import);
}

static void names_what_is_missing(void **state)
{
    static const char *const expected[] = {
        "cr8", "efer", "dr0",   "dr1",         "dr2",          "dr3",
        "dr6", "dr7",  "xcr0",  "sysenter_cs", "sysenter_esp", "sysenter_eip",
        "pat", "star", "lstar", "cstar",       "fmask",        "xsave"};
    const size_t expected_count = sizeof(expected) / sizeof(expected[0]);
    struct resume_import *import = open_changed(*state, 0);
    struct resume_vcpu vcpu;
    struct resume_diag diag;
    const char *names[32];
    assert_int_equal(resume_import_vcpu(import, 0, &vcpu, NULL), 0);
    assert_int_equal(resume_import_missing(&vcpu, names, 32), expected_count);
    for (size_t i = 0; i < expected_count; i++) {
        int found = 0;
        for (size_t k = 0; k < expected_count; k++)
            found += strcmp(names[k], expected[i]) == 0;
        assert_int_equal(found, 1);
    }
    assert_int_equal(resume_vcpu_validate(&vcpu, 0, &diag), RESUME_EMISSING);
    resume_import_close(import);
}

/* The page that vCPU 0 runs was replaced by a pattern. */
static void walks_to_the_instruction(void **state)
{
    struct resume_import *import = open_changed(*state, 0);
    struct resume_paging paging = {.levels = 4, .nxe = 1, .pa_bits = 40};
    struct resume_translation translation;
    struct resume_vcpu vcpu;
    struct resume_diag diag;
    assert_int_equal(resume_import_vcpu(import, 0, &vcpu, NULL), 0);
    assert_int_equal(resume_import_memory(import, &paging.phys, NULL), 0);
    paging.root_pa = vcpu.ctrl.cr3 & 0xffffffffff000;
    assert_int_equal(resume_paging_walk(&paging, vcpu.regs.rip, &translation, &diag), 0);
    assert_int_equal(translation.pa, 0x7a16000);
    const uint8_t *page = paging.phys.page(paging.phys.ctx, translation.pa);
    assert_non_null(page);
    for (unsigned i = 0; i < 4096; i++)
        assert_int_equal(page[i], (i * 7 + i / 256) & 255);
    assert_null(paging.phys.page(paging.phys.ctx, 0));
    struct resume_machine machine;
    assert_int_equal(resume_import_machine(import, &machine, NULL), 0);
    assert_int_equal(machine.range_count, 5);
    assert_int_equal(machine.range[4].base_pa, 0x7a16000);
    resume_import_close(import);
}

static void put64(struct import_sample *sample, size_t at, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        sample->data[at + i] = (uint8_t)(value >> (8 * i));
}

static void takes_paged_dumps(void **state)
{
    struct import_sample *sample = *state;
    struct resume_phys phys;
    struct resume_machine machine;
    /* The second stretch at a virtual address, and again where half of the first is. */
    put64(sample, HEADERS + 2 * HEADER + 16, 0xffff888000000000);
    put64(sample, HEADERS + 2 * HEADER + 24, 0x295b800);
    struct resume_import *import = open_changed(sample, 0);
    assert_string_equal(resume_import_detail(import), "ELF64, paging=true");
    assert_int_equal(resume_import_machine(import, &machine, NULL), 0);
    assert_int_equal(machine.range_count, 0);
    assert_int_equal(resume_import_memory(import, &phys, NULL), 0);
    uint64_t notes = 64 + 6 * HEADER;
    size_t first = (size_t)(notes + sample->data[HEADERS + 32] + 256u * sample->data[HEADERS + 33]);
    assert_memory_equal(phys.page(phys.ctx, 0x295b000), sample->data + first, 4096);
    /* Half a page of the second is left, the rest of that page is not there and zero. */
    const uint8_t *page = phys.page(phys.ctx, 0x295c000);
    assert_memory_equal(page, sample->data + first + 4096 + 2048, 2048);
    assert_int_equal(page[2048] | page[4095], 0);
    resume_import_close(import);
}

static void refuses_others(void **state)
{
    struct import_sample *sample = *state;
    size_t notes = 64 + 6 * HEADER;
    /* The name of every note of QEMU's. */
    for (size_t i = notes; i + 4 < sample->length; i++) {
        if (memcmp(sample->data + i, "QEMU", 4) == 0)
            sample->data[i] = 'q';
    }
    open_changed(sample, RESUME_EMISSING);
    assert_non_null(strstr(sample->error.why, "QEMU"));
    sample->data[16] = 2; /* a program */
    open_changed(sample, RESUME_EMAGIC);
}

static void refuses_other_versions(void **state)
{
    struct import_sample *sample = *state;
    struct resume_vcpu vcpu;
    size_t at = 64 + 6 * HEADER;
    while (memcmp(sample->data + at, "QEMU", 4) != 0)
        at++;
    sample->data[at + 8] = 2;
    struct resume_import *import = open_changed(sample, 0);
    assert_int_equal(resume_import_vcpu(import, 0, &vcpu, &sample->error), RESUME_EVERSION);
    assert_int_equal(resume_import_vcpu(import, 1, &vcpu, &sample->error), 0);
    resume_import_close(import);
    /* Without KERNEL_GS_BASE, as an older QEMU has it. */
    sample->data[at + 8] = 1;
    put64(sample, at + 8, UINT64_C(432) << 32 | 1);
    import = open_changed(sample, 0);
    assert_int_equal(resume_import_vcpu(import, 0, &vcpu, &sample->error), 0);
    assert_int_equal(vcpu.msr_count, 0);
    resume_import_close(import);
}

/* Where a description of QEMU's begins, the n-th. */
static size_t description_of(const struct import_sample *sample, unsigned number)
{
    size_t at = 64 + 6 * HEADER;
    for (;; at++) {
        assert_true(at + 8 < sample->length);
        if (memcmp(sample->data + at, "QEMU", 5) == 0 && number-- == 0)
            return at + 8;
    }
}

/* In Linux most segments are alike: here each has a selector, a limit and a base of its own. */
static void keeps_segments_apart(void **state)
{
    static const unsigned order[] = {RESUME_CS, RESUME_DS,   RESUME_ES, RESUME_FS,   RESUME_GS,
                                     RESUME_SS, RESUME_LDTR, RESUME_TR, RESUME_GDTR, RESUME_IDTR};
    struct import_sample *sample = *state;
    struct resume_vcpu vcpu;
    size_t at = description_of(sample, 1) + 152;
    for (unsigned i = 0; i < 10; i++) {
        put64(sample, at + 24 * i, (UINT64_C(0x1000) + i) << 32 | (0x100 + i));
        put64(sample, at + 24 * i + 16, 0x20000 + i);
    }
    struct resume_import *import = open_changed(sample, 0);
    assert_int_equal(resume_import_vcpu(import, 1, &vcpu, NULL), 0);
    for (unsigned i = 0; i < 10; i++) {
        const struct resume_segment *segment = &vcpu.segs.seg[order[i]];
        assert_int_equal(segment->base, 0x20000 + i);
        assert_int_equal(segment->limit, 0x1000 + i);
        assert_int_equal(segment->selector, i < 8 ? 0x100 + i : 0);
    }
    resume_import_close(import);
}

static void refuses_notes_beyond_the_end(void **state)
{
    struct import_sample *sample = *state;
    struct resume_vcpu vcpu;
    size_t at = description_of(sample, 1);
    /* The last note, by four bytes. */
    put64(sample, at - 20, UINT64_C(444) << 32 | 5);
    open_changed(sample, RESUME_ELENGTH);
    put64(sample, at - 20, UINT64_C(440) << 32 | 5);
    put64(sample, at, UINT64_C(444) << 32 | 1);
    struct resume_import *import = open_changed(sample, 0);
    assert_int_equal(resume_import_vcpu(import, 1, &vcpu, NULL), RESUME_ELENGTH);
    resume_import_close(import);
    put64(sample, at, UINT64_C(428) << 32 | 1);
    import = open_changed(sample, 0);
    assert_int_equal(resume_import_vcpu(import, 1, &vcpu, NULL), RESUME_ELENGTH);
    resume_import_close(import);
}

static void survives_torture(void **state)
{
    struct import_sample *sample = *state;
    struct torture_field fields[64] = {{32, 8, 0}, {40, 8, 0}, {54, 2, 0}, {56, 2, 0}};
    size_t count = 4;
    size_t notes = 64 + 6 * HEADER;
    for (size_t i = 0; i < 6; i++) {
        for (size_t k = 8; k < 48; k += 8)
            fields[count++] = (struct torture_field){HEADERS + i * HEADER + k, 8, 0};
    }
    for (size_t i = notes; i < notes + 0x660; i++) {
        if (memcmp(sample->data + i, "QEMU", 5) == 0) {
            fields[count++] = (struct torture_field){i - 12, 4, 0};
            fields[count++] = (struct torture_field){i - 8, 4, 0};
            fields[count++] = (struct torture_field){i + 12, 4, 0};
        }
    }
    struct torture torture = {.data = sample->data,
                              .length = sample->length,
                              .fields = fields,
                              .field_count = count,
                              .needed = sample->length,
                              .stride = 61};
    struct torture_result result = import_torture(&torture);
    print_message("%lu inputs, %lu refused\n", result.tried, result.refused);
    assert_true(result.refused > result.tried / 4);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, import_sample_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reads_registers),
        TEST(agrees_with_the_listing),
        TEST(names_what_is_missing),
        TEST(walks_to_the_instruction),
        TEST(takes_paged_dumps),
        TEST(refuses_others),
        TEST(refuses_other_versions),
        TEST(keeps_segments_apart),
        TEST(refuses_notes_beyond_the_end),
        TEST(survives_torture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
