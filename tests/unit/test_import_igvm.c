/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "import_build_igvm.h"
#include "import_exercise.h"
#include "import_torture.h"

static const char *const lacking_vmsa[] = {
    "cr8",  "apic_base", "mp_state",      "sipi_vector", "smm", "interrupt_shadow",
    "nmi_", "apic_id",   "shadow_length", "dr0",         "dr1", "dr2",
    "dr3",  NULL};

static void reads_vmsas_in_the_order_of_their_processors(void **state)
{
    struct bytes bytes = {0};
    struct resume_vcpu vcpu;
    (void)state;
    build_igvm(&bytes, IGVM_SNP);
    struct resume_import *import = guest_open(&bytes, "igvm", 2);
    assert_string_equal(resume_import_detail(import), "version 1, SEV-SNP");
    for (unsigned n = 0; n < 2; n++) {
        assert_int_equal(resume_import_vcpu(import, n, &vcpu, NULL), 0);
        guest_expect(&vcpu, n, lacking_vmsa);
        guest_expect_msr(&vcpu, n, RESUME_MSR_LSTAR);
    }
    resume_import_close(import);
    bytes_free(&bytes);
}

static void reads_native_registers(void **state)
{
    static const char *const names[] = {
        "rax",  "rcx",         "rdx",       "rbx",      "rsp",         "rbp",       "rsi",
        "rdi",  "r8",          "r9",        "r10",      "r11",         "r12",       "r13",
        "r14",  "r15",         "rip",       "rflags",   "cr0",         "cr3",       "cr4",
        "efer", "cs.selector", "cs.access", "cs.limit", "fs.selector", "fs.access", "fs.limit"};
    struct bytes bytes = {0};
    struct resume_vcpu vcpu;
    const char *missing[64];
    (void)state;
    build_igvm(&bytes, IGVM_NATIVE);
    struct resume_import *import = guest_open(&bytes, "igvm", 1);
    assert_string_equal(resume_import_detail(import), "version 2, native");
    assert_int_equal(resume_import_vcpu(import, 0, &vcpu, NULL), 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        guest_expect_field(&vcpu, names[i], guest_value(0, names[i]));
    guest_expect_field(&vcpu, "cs.base", guest_value(0, "cs.base") & UINT32_MAX);
    guest_expect_field(&vcpu, "ss.base", guest_value(0, "fs.base") & UINT32_MAX);
    guest_expect_field(&vcpu, "es.limit", guest_value(0, "fs.limit"));
    guest_expect_field(&vcpu, "ds.access", guest_value(0, "fs.access"));
    guest_expect_field(&vcpu, "gs.selector", guest_value(0, "fs.selector"));
    guest_expect_field(&vcpu, "gs.base", guest_value(0, "gs.base"));
    guest_expect_field(&vcpu, "gdtr.base", guest_value(0, "gdtr.base"));
    guest_expect_field(&vcpu, "idtr.base", guest_value(0, "idtr.base"));
    guest_expect_field(&vcpu, "gdtr.limit", guest_value(0, "gdtr.limit") & UINT16_MAX);
    guest_expect_field(&vcpu, "idtr.limit", guest_value(0, "idtr.limit") & UINT16_MAX);
    assert_false(resume_field_valid(&vcpu, resume_field_find("tr.base")));
    assert_false(resume_field_valid(&vcpu, resume_field_find("cr2")));
    assert_true(resume_import_missing(&vcpu, missing, 64) > 10);
    resume_import_close(import);
    bytes_free(&bytes);
}

static void prefers_the_isolated_platform(void **state)
{
    struct bytes bytes = {0};
    (void)state;
    build_igvm(&bytes, IGVM_BOTH);
    struct resume_import *import = guest_open(&bytes, "igvm", 2);
    assert_string_equal(resume_import_detail(import), "version 2, SEV-SNP");
    resume_import_close(import);
    bytes_free(&bytes);
}

static void gives_the_pages_that_are_loaded(void **state)
{
    uint8_t expected[4096];
    static const uint8_t zeros[4096];
    struct import_memfile file;
    struct resume_import *import = NULL;
    struct resume_machine machine;
    struct resume_phys phys;
    struct bytes bytes = {0};
    (void)state;
    build_igvm(&bytes, IGVM_SNP);
    import_memfile_open(&file);
    import_memfile_set(&file, bytes.data, bytes.length);
    assert_int_equal(resume_import_open(file.path, NULL, &import, NULL), 0);
    assert_int_equal(resume_import_machine(import, &machine, NULL), 0);
    assert_int_equal(machine.range_count, 2);
    assert_int_equal(machine.range[0].base_pa, IGVM_PAGE_PA);
    assert_int_equal(machine.range[0].length, 8192);
    assert_int_equal(machine.range[1].base_pa, IGVM_FAR_PAGE_PA);
    assert_int_equal(machine.range[1].length, 4096);
    assert_int_equal(resume_import_memory(import, &phys, NULL), 0);
    guest_component(0, 50, expected, sizeof(expected));
    const uint8_t *page = phys.page(phys.ctx, IGVM_PAGE_PA);
    assert_non_null(page);
    assert_memory_equal(page, expected, 4096);
    page = phys.page(phys.ctx, IGVM_FAR_PAGE_PA);
    assert_non_null(page);
    assert_memory_equal(page, expected, 4096);
    page = phys.page(phys.ctx, IGVM_PAGE_PA + 4096);
    assert_non_null(page);
    assert_memory_equal(page, zeros, 4096);
    assert_null(phys.page(phys.ctx, IGVM_PAGE_PA + 8192));
    assert_null(phys.page(phys.ctx, IGVM_PAGE_PA - 4096));
    resume_import_close(import);
    import_memfile_close(&file);
    bytes_free(&bytes);
}

/* A byte of the headers of an IGVM_SNP file, and what is said of it with the checksum set right. */
static void refuses_wrong_headers(void **state)
{
    static const struct {
        size_t offset;
        uint8_t value;
        int ret;
    } cases[] = {
        {4, 3, RESUME_EVERSION},              /* a later version */
        {8, 20, RESUME_ELENGTH},              /* variable headers within the fixed one */
        {9, 0xff, RESUME_ELENGTH},            /* variable headers beyond the end */
        {24 + 8 + 5, 1, RESUME_EUNSUPPORTED}, /* a platform that is not read */
        {24 + 4, 15, RESUME_ELENGTH},         /* a platform header that is too short */
        {24 + 24 + 4, 0xff, RESUME_ELENGTH},  /* a header beyond the others */
    };
    struct resume_import_error error;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bytes bytes = {0};
        build_igvm(&bytes, IGVM_SNP);
        bytes.data[cases[i].offset] = cases[i].value;
        build_igvm_checksum(bytes.data, bytes.length);
        int ret = guest_try(&bytes, &error);
        if (ret != cases[i].ret)
            fail_msg("case %zu: %d (%s)", i, ret, error.why);
        bytes_free(&bytes);
    }
}

static void refuses_a_wrong_checksum(void **state)
{
    struct bytes bytes = {0};
    (void)state;
    build_igvm(&bytes, IGVM_SNP);
    bytes.data[24 + 12] ^= 0x10;
    assert_int_equal(guest_try(&bytes, NULL), RESUME_ECRC);
    bytes_free(&bytes);
}

static void refuses_two_states_of_one_processor(void **state)
{
    struct bytes bytes = {0};
    struct resume_import_error error;
    (void)state;
    build_igvm(&bytes, IGVM_SNP);
    /* 24 and 24 bytes of a platform and something else, three pages of 32; then the contexts. */
    size_t at = 24 + 24 + 24 + 3 * 32 + 8 + 16;
    assert_int_equal(bytes.data[at], 1);
    bytes.data[at] = 0;
    build_igvm_checksum(bytes.data, bytes.length);
    assert_int_equal(guest_try(&bytes, &error), RESUME_EDUPLICATE);
    bytes_free(&bytes);
}

static void survives_bad_input(void **state)
{
    static const struct torture_field fields[] = {{8, 4, 0},      {12, 4, 0},     {16, 4, 0},
                                                  {24 + 4, 4, 0}, {48 + 4, 4, 0}, {72 + 4, 4, 0}};
    struct bytes bytes = {0};
    (void)state;
    build_igvm(&bytes, IGVM_SNP);
    struct torture torture = {.format = "igvm",
                              .data = bytes.data,
                              .length = bytes.length,
                              .fields = fields,
                              .field_count = sizeof(fields) / sizeof(fields[0]),
                              .needed = bytes.length};
    struct torture_result result = import_torture(&torture);
    print_message("%lu inputs, %lu refused\n", result.tried, result.refused);
    bytes_free(&bytes);
}

/* The same for the headers, with a checksum that lets the changes through. */
static void survives_bad_headers(void **state)
{
    static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
    struct import_memfile file;
    unsigned long tried = 0;
    unsigned long refused = 0;
    (void)state;
    import_memfile_open(&file);
    for (int kind = IGVM_SNP; kind <= IGVM_BOTH; kind++) {
        struct bytes bytes = {0};
        build_igvm(&bytes, (enum igvm_kind)kind);
        for (size_t i = 4; i < 320; i++) {
            uint8_t good = bytes.data[i];
            for (size_t k = 0; k < sizeof(values) + 2; k++) {
                bytes.data[i] = k < sizeof(values)
                                    ? values[k]
                                    : (uint8_t)(good + (k == sizeof(values) ? 1 : -1));
                build_igvm_checksum(bytes.data, bytes.length);
                import_memfile_set(&file, bytes.data, bytes.length);
                refused += import_exercise(file.path, "igvm") != 0;
                tried++;
            }
            bytes.data[i] = good;
        }
        bytes_free(&bytes);
    }
    import_memfile_close(&file);
    print_message("%lu inputs, %lu refused\n", tried, refused);
    assert_true(refused > 0 && refused < tried);
}

static int golden_write;

static void are_the_golden_files(void **state)
{
    struct bytes bytes = {0};
    (void)state;
    build_igvm(&bytes, IGVM_SNP);
    guest_golden(&bytes, "igvm/snp.igvm", golden_write);
    bytes_free(&bytes);
    build_igvm(&bytes, IGVM_NATIVE);
    guest_golden(&bytes, "igvm/native.igvm", golden_write);
    bytes_free(&bytes);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(are_the_golden_files),
        cmocka_unit_test(reads_vmsas_in_the_order_of_their_processors),
        cmocka_unit_test(reads_native_registers),
        cmocka_unit_test(prefers_the_isolated_platform),
        cmocka_unit_test(gives_the_pages_that_are_loaded),
        cmocka_unit_test(refuses_wrong_headers),
        cmocka_unit_test(refuses_a_wrong_checksum),
        cmocka_unit_test(refuses_two_states_of_one_processor),
        cmocka_unit_test(survives_bad_input),
        cmocka_unit_test(survives_bad_headers),
    };
    golden_write = argc == 2 && strcmp(argv[1], "--write") == 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
