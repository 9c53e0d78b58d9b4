/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * QEMU's migration streams through the importer. Two samples were written by QEMU 7.2 (pc, qemu64)
 * and 10.0 (q35, Haswell) of a Linux guest with two vCPUs, and cut by tests/support/cut_stream.py; the
 * expected values are those of `info registers -a` at the same stop. All others are built here.
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
#include "qemu_stream.h"

#define GOLDEN RESUME_TEST_GOLDEN_DIR "/import/"
#define PAGE 4096u
#define GIB (UINT64_C(1) << 30)

static const struct sample {
    const char *path;
    const char *listing;
    const char *detail;
    const char *machine;
    uint64_t rip_page; /* guest-physical, by cut_stream.py */
    int avx;
} samples[] = {
    {GOLDEN "qemu_stream/qemu-7.2-pc-two-vcpus", GOLDEN "registers_text/qemu-7.2-linux-two-vcpus",
     "TCG, pc-i440fx-7.2", "pc-i440fx-7.2", 0x5217000, 0},
    {GOLDEN "qemu_stream/qemu-10.0-q35-two-vcpus",
     GOLDEN "registers_text/qemu-10.0-linux-two-vcpus", "TCG, pc-q35-10.0", "pc-q35-10.0",
     0x5017000, 1},
};
#define SAMPLES (sizeof(samples) / sizeof(samples[0]))

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

static void compare_vcpu(struct resume_import *import, struct resume_import *listing,
                         uint32_t index, int avx)
{
    size_t count;
    const struct resume_field *table = resume_field_table(&count);
    struct resume_vcpu left;
    struct resume_vcpu right;
    unsigned compared = 0;
    assert_int_equal(resume_import_vcpu(import, index, &left, NULL), 0);
    assert_int_equal(resume_import_vcpu(listing, index, &right, NULL), 0);
    for (size_t i = 0; i < count; i++) {
        if (!resume_field_valid(&left, &table[i]) || !resume_field_valid(&right, &table[i]))
            continue;
        if (resume_field_get(&left, &table[i]) != resume_field_get(&right, &table[i]))
            print_error("vCPU %u: %s\n", index, table[i].name);
        assert_int_equal(resume_field_get(&left, &table[i]), resume_field_get(&right, &table[i]));
        compared++;
    }
    /* 18 registers, 36 parts of segments, 5 control and 6 debug registers, halted, SMM. */
    assert_true(compared >= 67);
    assert_true(left.xsave.length >= 576);
    assert_memory_equal(left.xsave.area, right.xsave.area, 5);
    assert_memory_equal(left.xsave.area + 24, right.xsave.area + 24, 4);
    assert_memory_equal(left.xsave.area + 160, right.xsave.area + 160, 256);
    assert_int_equal(left.xsave.length >= 832, avx);
    if (avx)
        assert_memory_equal(left.xsave.area + 576, right.xsave.area + 576, 256);
}

static void agrees_with_the_listing(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        struct resume_import *import = open_path(samples[i].path);
        struct resume_import *listing = open_path(samples[i].listing);
        struct resume_machine machine;
        struct resume_vcpu vcpu;
        assert_string_equal(resume_import_format(import)->name, "qemu-stream");
        assert_string_equal(resume_import_detail(import), samples[i].detail);
        assert_int_equal(resume_import_vcpus(import), 2);
        compare_vcpu(import, listing, 0, samples[i].avx);
        compare_vcpu(import, listing, 1, samples[i].avx);
        /* Nothing is missing, and it is all a CPU can have. */
        for (uint32_t k = 0; k < 2; k++) {
            struct resume_diag diag;
            assert_int_equal(resume_import_vcpu(import, k, &vcpu, NULL), 0);
            assert_int_equal(resume_import_missing(&vcpu, NULL, 0), 0);
            assert_int_equal(resume_vcpu_validate(&vcpu, k, &diag), 0);
        }
        assert_int_equal(resume_import_machine(import, &machine, NULL), 0);
        assert_string_equal(machine.type, samples[i].machine);
        assert_int_equal(machine.source, RESUME_SOURCE_QEMU_STREAM);
        assert_int_equal(machine.accel, RESUME_ACCEL_TCG);
        assert_int_equal(machine.range_count, 1);
        assert_int_equal(machine.range[0].base_pa, 0);
        assert_int_equal(machine.range[0].length, 128 << 20);
        resume_import_close(listing);
        resume_import_close(import);
    }
}

/* The page that vCPU 0 runs was replaced by a pattern. */
static void walks_to_the_instruction(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        struct resume_import *import = open_path(samples[i].path);
        struct resume_paging paging = {.levels = 4, .nxe = 1, .pa_bits = 40};
        struct resume_translation translation;
        struct resume_vcpu vcpu;
        assert_int_equal(resume_import_vcpu(import, 0, &vcpu, NULL), 0);
        assert_int_equal(resume_import_memory(import, &paging.phys, NULL), 0);
        paging.root_pa = vcpu.ctrl.cr3 & 0xffffffffff000;
        assert_int_equal(resume_paging_walk(&paging, vcpu.regs.rip, &translation, NULL), 0);
        assert_int_equal(translation.pa + (vcpu.regs.rip & (translation.size - 1) & ~0xfffull),
                         samples[i].rip_page);
        const uint8_t *page = paging.phys.page(paging.phys.ctx, samples[i].rip_page);
        assert_non_null(page);
        for (unsigned k = 0; k < PAGE; k++)
            assert_int_equal(page[k], (k * 7 + k / 256) & 255);
        /* Not in the cut stream, and beyond the RAM. */
        page = paging.phys.page(paging.phys.ctx, 0x2000);
        assert_non_null(page);
        assert_int_equal(page[0] | page[PAGE - 1], 0);
        assert_null(paging.phys.page(paging.phys.ctx, 128 << 20));
        resume_import_close(import);
    }
}

/* Streams that are built: RAM of 8 pages and a block "rom" of 2, one vCPU. */
static void build_guest(struct builder *b, const char *machine, int kvm)
{
    build_header(b, machine);
    build_ram_section(b, 1);
    build_block_list(b, 10 * PAGE);
    build_block(b, "pc.ram", 8 * PAGE);
    build_block(b, "0000:00:02.0/rom", 2 * PAGE);
    build_ram_section_end(b);
    build_ram_section(b, 2);
    build_page(b, "pc.ram", 1 * PAGE, 11);
    build_page(b, NULL, 3 * PAGE, 33);
    build_zero(b, NULL, 4 * PAGE, 0xee);
    build_ram_section_end(b);
    build_ram_section(b, 3);
    build_page(b, "pc.ram", 3 * PAGE, 77);
    build_page(b, "0000:00:02.0/rom", 1 * PAGE, 99);
    build_ram_section_end(b);
    import_build_stream_vcpu(b, kvm);
    build_finish(b);
}

static struct resume_import *open_built(struct import_built *built, int expected)
{
    struct resume_import *import = NULL;
    import_built_write(built);
    assert_int_equal(import_built_open(built, &import, expected), expected);
    return import;
}

static void takes_a_guest_of_kvm(void **state)
{
    struct import_built *built = *state;
    struct resume_machine machine;
    struct resume_vcpu vcpu;
    uint16_t st0;
    build_guest(&built->b, "pc-q35-9.2", 1);
    struct resume_import *import = open_built(built, 0);
    assert_string_equal(resume_import_detail(import), "KVM, pc-q35-9.2");
    assert_int_equal(resume_import_machine(import, &machine, NULL), 0);
    assert_int_equal(machine.accel, RESUME_ACCEL_KVM);
    assert_int_equal(resume_import_vcpu(import, 0, &vcpu, NULL), 0);
    assert_int_equal(vcpu.regs.rip, STREAM_VCPU_RIP);
    /* KVM's are in stack order: with TOP 5, the first of the stream is ST(0). */
    memcpy(&st0, vcpu.xsave.area + 32, sizeof(st0));
    assert_int_equal(st0, STREAM_VCPU_ST0);
    assert_non_null(resume_vcpu_msr(&vcpu, RESUME_MSR_TSC));
    assert_int_equal(*resume_vcpu_msr(&vcpu, RESUME_MSR_TSC), STREAM_VCPU_TSC);
    resume_import_close(import);
}

static void takes_a_guest_of_tcg(void **state)
{
    struct import_built *built = *state;
    struct resume_vcpu vcpu;
    uint16_t st3;
    build_guest(&built->b, NULL, 0);
    struct resume_import *import = open_built(built, 0);
    assert_string_equal(resume_import_detail(import), "TCG");
    assert_int_equal(resume_import_vcpu(import, 0, &vcpu, NULL), 0);
    /* TCG's are physical: R0 is ST(3) when TOP is 5. */
    memcpy(&st3, vcpu.xsave.area + 32 + 3 * 16, sizeof(st3));
    assert_int_equal(st3, STREAM_VCPU_ST0);
    assert_null(resume_vcpu_msr(&vcpu, RESUME_MSR_TSC));
    resume_import_close(import);
}

static void gives_memory(void **state)
{
    struct import_built *built = *state;
    struct resume_phys phys;
    build_guest(&built->b, "pc-q35-7.2", 0);
    struct resume_import *import = open_built(built, 0);
    assert_int_equal(resume_import_memory(import, &phys, &built->error), 0);
    const uint8_t *once = phys.page(phys.ctx, 1 * PAGE);
    const uint8_t *again = phys.page(phys.ctx, 3 * PAGE);
    const uint8_t *fill = phys.page(phys.ctx, 4 * PAGE);
    const uint8_t *absent = phys.page(phys.ctx, 5 * PAGE);
    for (size_t i = 0; i < PAGE; i++) {
        assert_int_equal(once[i], build_page_byte(11, i));
        assert_int_equal(again[i], build_page_byte(77, i));
        assert_int_equal(fill[i], 0xee);
        assert_int_equal(absent[i], 0);
    }
    assert_null(phys.page(phys.ctx, 8 * PAGE));
    resume_import_close(import);
}

static void knows_no_other_machines_memory(void **state)
{
    struct import_built *built = *state;
    struct resume_machine machine;
    struct resume_phys phys;
    build_guest(&built->b, "microvm", 0);
    struct resume_import *import = open_built(built, 0);
    assert_int_equal(resume_import_machine(import, &machine, NULL), 0);
    assert_int_equal(machine.range_count, 0);
    assert_int_equal(resume_import_memory(import, &phys, &built->error), RESUME_EUNREACHABLE);
    assert_non_null(strstr(built->error.why, "microvm"));
    resume_import_close(import);
}

static struct qemu_stream *open_inner(struct import_built *built, struct import_file *file)
{
    struct qemu_stream *stream = NULL;
    import_built_write(built);
    *file =
        (struct import_file){.fd = built->file.fd, .size = built->b.length, .name = "the stream"};
    assert_int_equal(qemu_stream_open(file, &stream, NULL, 0, &built->error), 0);
    return stream;
}

static void is_told_where_its_memory_is(void **state)
{
    static const struct qemu_stream_range good[] = {
        {0x100000, 4 * PAGE, "pc.ram", PAGE},
        {0xfffc0000, 2 * PAGE, "rom", 0},
    };
    static const struct {
        struct qemu_stream_range range;
        int code;
    } bad[] = {
        {{0x1000, PAGE, "pc.rom", 0}, RESUME_EINVAL},
        {{0x1000, 9 * PAGE, "pc.ram", 0}, RESUME_EINVAL},
        {{0x1000, 8 * PAGE, "pc.ram", PAGE}, RESUME_EINVAL},
        {{0x1004, PAGE, "pc.ram", 0}, RESUME_EINVAL},
        {{UINT64_MAX - 0xfff, 2 * PAGE, "pc.ram", 0}, RESUME_EINVAL},
        {{0x1000, 0, "pc.ram", 0}, RESUME_EINVAL},
    };
    struct import_built *built = *state;
    struct resume_machine machine;
    struct resume_phys phys;
    struct import_file file;
    memset(&machine, 0, sizeof(machine));
    build_guest(&built->b, "microvm", 0);
    struct qemu_stream *stream = open_inner(built, &file);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(qemu_stream_map(stream, &bad[i].range, 1, &built->error), bad[i].code);
        assert_int_equal(built->error.code, bad[i].code);
    }
    assert_int_equal(qemu_stream_map(stream, good, 2, &built->error), 0);
    assert_int_equal(qemu_stream_machine(stream, &machine, NULL), 0);
    assert_int_equal(machine.range_count, 2);
    assert_int_equal(machine.range[1].base_pa, 0xfffc0000);
    assert_int_equal(qemu_stream_memory(stream, &phys, NULL), 0);
    const uint8_t *page = phys.page(phys.ctx, 0x100000);
    assert_int_equal(page[5], build_page_byte(11, 5));
    page = phys.page(phys.ctx, 0xfffc1000);
    assert_int_equal(page[5], build_page_byte(99, 5));
    assert_null(phys.page(phys.ctx, 0));
    assert_int_equal(qemu_stream_map(stream, good, 2, &built->error), RESUME_EUNSUPPORTED);
    qemu_stream_close(stream);
    qemu_stream_close(NULL);
}

/* More RAM than the file could hold a trace of. */
static void does_not_believe_any_size(void **state)
{
    struct import_built *built = *state;
    struct resume_phys phys;
    struct builder *b = &built->b;
    build_header(b, "pc-q35-7.2");
    build_ram_section(b, 1);
    build_block_list(b, UINT64_C(1) << 44);
    build_block(b, "pc.ram", UINT64_C(1) << 44);
    build_ram_section_end(b);
    build_ram_section(b, 3);
    build_zero(b, "pc.ram", 0, 0);
    build_ram_section_end(b);
    import_build_stream_vcpu(b, 0);
    build_finish(b);
    struct resume_import *import = open_built(built, 0);
    assert_int_equal(resume_import_memory(import, &phys, &built->error), RESUME_ELENGTH);
    assert_non_null(strstr(built->error.why, "0x100000000 pages"));
    resume_import_close(import);
}

static void names_other_versions(void **state)
{
    struct import_built *built = *state;
    build_guest(&built->b, "pc-q35-7.2", 0);
    built->b.data[7] = 2;
    open_built(built, RESUME_EVERSION);
    assert_int_equal(built->error.offset, 4);
    assert_non_null(strstr(built->error.why, "version 2"));
}

static void survives_torture(void **state)
{
    struct import_built *built = *state;
    struct builder *b = &built->b;
    build_header(b, "pc-q35-7.2");
    build_ram_section(b, 1);
    build_block_list(b, 2 * PAGE);
    size_t blocks = b->length;
    build_block(b, "pc.ram", 2 * PAGE);
    build_ram_section_end(b);
    build_ram_section(b, 3);
    build_zero(b, "pc.ram", 0, 0);
    build_ram_section_end(b);
    import_build_stream_vcpu(b, 0);
    build_finish(b);
    const struct torture_field fields[] = {
        {4, 4, 1},                 /* version */
        {9, 4, 1},                 /* length of the machine's name */
        {blocks - 8, 8, 1},        /* bytes of all blocks */
        {blocks, 1, 1},            /* length of a name */
        {blocks + 7, 8, 1},        /* bytes of a block */
        {b->devices_at + 5, 1, 1}, /* length of a section's name */
        {b->vmdesc_at + 1, 4, 1},  /* of the description */
    };
    const struct torture torture = {
        .format = "qemu-stream",
        .data = b->data,
        .length = b->length,
        .fields = fields,
        .field_count = sizeof(fields) / sizeof(fields[0]),
        .needed = b->length,
        .stride = 97,
    };
    struct torture_result result = import_torture(&torture);
    assert_true(result.refused > result.tried / 2);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_listing),
        cmocka_unit_test(walks_to_the_instruction),
        cmocka_unit_test_setup_teardown(takes_a_guest_of_kvm, import_built_setup,
                                        import_built_teardown),
        cmocka_unit_test_setup_teardown(takes_a_guest_of_tcg, import_built_setup,
                                        import_built_teardown),
        cmocka_unit_test_setup_teardown(gives_memory, import_built_setup, import_built_teardown),
        cmocka_unit_test_setup_teardown(knows_no_other_machines_memory, import_built_setup,
                                        import_built_teardown),
        cmocka_unit_test_setup_teardown(is_told_where_its_memory_is, import_built_setup,
                                        import_built_teardown),
        cmocka_unit_test_setup_teardown(does_not_believe_any_size, import_built_setup,
                                        import_built_teardown),
        cmocka_unit_test_setup_teardown(names_other_versions, import_built_setup,
                                        import_built_teardown),
        cmocka_unit_test_setup_teardown(survives_torture, import_built_setup,
                                        import_built_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
