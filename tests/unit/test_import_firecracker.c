/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "import_build_firecracker.h"
#include "import_exercise.h"
#include "import_torture.h"

/* Fields that are not in KVM's structures, or only if an event is pending. */
static const char *const lacking_of_table[] = {"xss", "shadow_length", NULL};

static void expect_guest(struct resume_vcpu *vcpu, unsigned n)
{
    struct kvm_guest guest;
    build_kvm_guest(&guest, n);
    /* In these structures the tables' limits have 16 bits. */
    guest_expect_field(vcpu, "gdtr.limit", guest_value(n, "gdtr.limit") & UINT16_MAX);
    guest_expect_field(vcpu, "idtr.limit", guest_value(n, "idtr.limit") & UINT16_MAX);
    vcpu->segs.seg[RESUME_GDTR].limit = (uint32_t)guest_value(n, "gdtr.limit");
    vcpu->segs.seg[RESUME_IDTR].limit = (uint32_t)guest_value(n, "idtr.limit");
    guest_expect(vcpu, n, lacking_of_table);
    for (size_t i = 0; i < guest.msr_count; i++)
        guest_expect_msr(vcpu, n, guest.msrs[i]);
    assert_int_equal(vcpu->msr_count, guest.msr_count);
    guest_expect_xsave(vcpu, n, 0x207, (const uint32_t[]){2, 9, 0});
    assert_int_equal(vcpu->xsave.comp[1].offset, 2688);
}

static void reads_every_version(void **state)
{
    static const char *const details[] = {
        "version 2, Firecracker 1.8",  "version 3, Firecracker 1.9 or 1.10.0",
        "version 4, Firecracker 1.10", "version 5, Firecracker 1.11",
        "version 6, Firecracker 1.12", "version 8, Firecracker 1.13",
        "version 8, Firecracker 1.14"};
    (void)state;
    for (unsigned minor = 8; minor <= 14; minor++) {
        struct bytes bytes = {0};
        struct resume_vcpu vcpu;
        struct resume_machine machine;
        build_firecracker(&bytes, minor, 2);
        struct resume_import *import = guest_open(&bytes, "firecracker", 2);
        assert_string_equal(resume_import_detail(import), details[minor - 8]);
        for (unsigned n = 0; n < 2; n++) {
            assert_int_equal(resume_import_vcpu(import, n, &vcpu, NULL), 0);
            expect_guest(&vcpu, n);
        }
        assert_int_equal(resume_import_machine(import, &machine, NULL), 0);
        assert_int_equal(machine.accel, RESUME_ACCEL_KVM);
        assert_string_equal(machine.type, "firecracker");
        assert_int_equal(machine.range_count, 2);
        assert_int_equal(machine.range[0].base_pa, 0);
        assert_int_equal(machine.range[0].length, 0xd0000000);
        assert_int_equal(machine.range[1].base_pa, UINT64_C(1) << 32);
        assert_int_equal(machine.range[1].length, 0x08000000);
        resume_import_close(import);
        bytes_free(&bytes);
    }
}

/* "123456789" has this checksum by the catalogues of CRCs (CRC-64/REDIS). */
static void uses_the_checksum_of_jones(void **state)
{
    static const uint8_t expected[8] = {0xca, 0xd9, 0xb8, 0xc4, 0x14, 0xd9, 0xc6, 0xe9};
    uint8_t text[17] = "123456789";
    (void)state;
    build_firecracker_checksum(text, sizeof(text));
    assert_memory_equal(text + 9, expected, 8);
}

static void refuses_a_wrong_checksum(void **state)
{
    struct bytes bytes = {0};
    (void)state;
    build_firecracker(&bytes, 9, 1);
    bytes.data[bytes.length - 20] ^= 1;
    assert_int_equal(guest_try(&bytes, NULL), RESUME_ECRC);
    bytes_free(&bytes);
}

static void refuses_other_versions(void **state)
{
    static const struct {
        size_t offset;
        const char *bytes;
        int ret;
        const char *why;
    } cases[] = {
        {16, "1", RESUME_EVERSION, "version 1.0.0"},
        {16, "7", RESUME_EVERSION, "version 7.0.0"},
        {16, "9", RESUME_EVERSION, "version 9.0.0"},
        {17, "1", RESUME_EVERSION, "before 1.8"},
        {0, "\x01", RESUME_EVERSION, "before 1.8"},
        {2, "\xaa\xaa", RESUME_EUNSUPPORTED, "aarch64"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bytes bytes = {0};
        struct resume_import_error error;
        build_firecracker(&bytes, 11, 1);
        memcpy(bytes.data + cases[i].offset, cases[i].bytes, strlen(cases[i].bytes));
        assert_int_equal(guest_try(&bytes, &error), cases[i].ret);
        if (strstr(error.why, cases[i].why) == NULL)
            fail_msg("case %zu: %s", i, error.why);
        bytes_free(&bytes);
    }
}

/* Counts that contradict each other. */
static void refuses_lists_of_another_length(void **state)
{
    struct bytes bytes = {0};
    struct resume_import_error error;
    (void)state;
    build_firecracker(&bytes, 12, 1);
    size_t at = build_firecracker_vcpu(12);
    assert_int_equal(bytes.data[at + 8], 4);
    bytes.data[at + 8] = 3;
    build_firecracker_checksum(bytes.data, bytes.length);
    assert_int_equal(guest_try(&bytes, &error), RESUME_ELENGTH);
    assert_non_null(strstr(error.why, "kvm_cpuid2"));
    bytes_free(&bytes);
}

static void refuses_a_tree_without_an_end(void **state)
{
    struct bytes bytes = {0};
    (void)state;
    build_firecracker(&bytes, 13, 1);
    /* All bytes 1: whatever is read there says that there are children. */
    memset(bytes.data + 300, 1, bytes.length - 308);
    build_firecracker_checksum(bytes.data, bytes.length);
    assert_int_equal(guest_try(&bytes, NULL), RESUME_ELENGTH);
    bytes_free(&bytes);
}

static void survives_bad_input(void **state)
{
    static const struct torture_field fields[] = {{8, 8, 0}};
    struct bytes bytes = {0};
    (void)state;
    build_firecracker(&bytes, 12, 1);
    struct torture torture = {.format = "firecracker",
                              .data = bytes.data,
                              .length = bytes.length,
                              .fields = fields,
                              .field_count = 1,
                              .needed = bytes.length,
                              .stride = 61};
    struct torture_result result = import_torture(&torture);
    print_message("%lu inputs, %lu refused\n", result.tried, result.refused);
    bytes_free(&bytes);
}

/* The same with a checksum that lets the changes through. */
static void survives_bad_contents(void **state)
{
    static const uint8_t values[] = {0, 1, 0x7f, 0xff};
    struct import_memfile file;
    unsigned long tried = 0;
    unsigned long refused = 0;
    (void)state;
    import_memfile_open(&file);
    for (unsigned minor = 8; minor <= 14; minor += 3) {
        struct bytes bytes = {0};
        build_firecracker(&bytes, minor, 1);
        size_t vcpu = build_firecracker_vcpu(minor);
        for (size_t i = 0; i + 8 < bytes.length;
             i += i < 600 || (i > vcpu && i < vcpu + 700) ? 1 : import_torture_stride(37)) {
            uint8_t good = bytes.data[i];
            for (size_t k = 0; k < sizeof(values); k++) {
                bytes.data[i] = k == 1 ? (uint8_t)(good + 1) : values[k];
                build_firecracker_checksum(bytes.data, bytes.length);
                import_memfile_set(&file, bytes.data, bytes.length);
                refused += import_exercise(file.path, "firecracker") != 0;
                tried++;
            }
            bytes.data[i] = good;
        }
        /* Cut, but with a checksum; all that is not the devices is needed. */
        for (size_t length = 0; length < bytes.length; length += import_torture_stride(7)) {
            uint8_t kept[8] = {0};
            if (length >= 8)
                memcpy(kept, bytes.data + length - 8, 8);
            build_firecracker_checksum(bytes.data, length);
            import_memfile_set(&file, bytes.data, length);
            int ret = import_exercise(file.path, "firecracker");
            assert_true(ret != 0 || length >= bytes.length - 108);
            refused += ret != 0;
            tried++;
            if (length >= 8)
                memcpy(bytes.data + length - 8, kept, 8);
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
    build_firecracker(&bytes, 8, 1);
    guest_golden(&bytes, "firecracker/1.8.vmstate", golden_write);
    bytes_free(&bytes);
    build_firecracker(&bytes, 11, 1);
    guest_golden(&bytes, "firecracker/1.11.vmstate", golden_write);
    bytes_free(&bytes);
    build_firecracker(&bytes, 13, 1);
    guest_golden(&bytes, "firecracker/1.13.vmstate", golden_write);
    bytes_free(&bytes);
    build_firecracker(&bytes, 14, 2);
    guest_golden(&bytes, "firecracker/1.14.vmstate", golden_write);
    bytes_free(&bytes);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(are_the_golden_files),
        cmocka_unit_test(reads_every_version),
        cmocka_unit_test(uses_the_checksum_of_jones),
        cmocka_unit_test(refuses_a_wrong_checksum),
        cmocka_unit_test(refuses_other_versions),
        cmocka_unit_test(refuses_lists_of_another_length),
        cmocka_unit_test(refuses_a_tree_without_an_end),
        cmocka_unit_test(survives_bad_input),
        cmocka_unit_test(survives_bad_contents),
    };
    golden_write = argc == 2 && strcmp(argv[1], "--write") == 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
