/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "import_build_cloud_hypervisor.h"
#include "import_build_firecracker.h"
#include "import_exercise.h"
#include "import_torture.h"

/* Fields that are not in KVM's structures, and the debug registers, which are not saved. */
static const char *const lacking[] = {"xss", "shadow_length", "dr", NULL};

static void expect_guest(struct resume_vcpu *vcpu, unsigned n)
{
    struct kvm_guest guest;
    build_kvm_guest(&guest, n);
    guest_expect_field(vcpu, "gdtr.limit", guest_value(n, "gdtr.limit") & UINT16_MAX);
    vcpu->segs.seg[RESUME_GDTR].limit = (uint32_t)guest_value(n, "gdtr.limit");
    vcpu->segs.seg[RESUME_IDTR].limit = (uint32_t)guest_value(n, "idtr.limit");
    guest_expect(vcpu, n, lacking);
    for (size_t i = 0; i < guest.msr_count; i++)
        guest_expect_msr(vcpu, n, guest.msrs[i]);
    assert_int_equal(vcpu->msr_count, guest.msr_count);
    guest_expect_xsave(vcpu, n, 0x207, (const uint32_t[]){2, 9, 0});
}

static void reads_every_field(void **state)
{
    static const struct cloud_hypervisor_options variants[] = {{0}, {.extra = 7, .in_vm = 1}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct bytes bytes = {0};
        struct resume_vcpu vcpu;
        const char *missing[64];
        build_cloud_hypervisor(&bytes, 2, &variants[i]);
        struct resume_import *import = guest_open(&bytes, "cloud-hypervisor", 2);
        for (unsigned n = 0; n < 2; n++) {
            assert_int_equal(resume_import_vcpu(import, n, &vcpu, NULL), 0);
            expect_guest(&vcpu, n);
        }
        /* No resume without the debug registers: the six of them. */
        assert_int_equal(resume_import_missing(&vcpu, missing, 64), 6);
        resume_import_close(import);
        bytes_free(&bytes);
    }
}

static void write_file(const char *directory, const char *name, const struct bytes *bytes)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes->data, 1, bytes->length, file), bytes->length);
    assert_int_equal(fclose(file), 0);
}

static void reads_memory_beside_it(void **state)
{
    static const struct cloud_hypervisor_options options = {0};
    char directory[] = "/tmp/resume-test-XXXXXX";
    char path[128];
    struct bytes bytes = {0};
    struct bytes ram = {0};
    struct resume_import *import = NULL;
    struct resume_import_error error;
    struct resume_machine machine;
    struct resume_phys phys;
    (void)state;
    assert_non_null(mkdtemp(directory));
    build_cloud_hypervisor(&bytes, 1, &options);
    write_file(directory, "state.json", &bytes);
    /* In the order of the table: two pages at 4 GiB, one at 1 MiB, one at 0. */
    for (unsigned i = 0; i < 4; i++) {
        uint8_t page[4096];
        memset(page, (int)(0x41 + i), sizeof(page));
        bytes_add(&ram, page, sizeof(page));
    }
    assert_int_equal(resume_import_open(directory, NULL, &import, NULL), 0);
    assert_int_equal(resume_import_memory(import, &phys, &error), RESUME_EUNREACHABLE);
    resume_import_close(import);
    write_file(directory, "memory-ranges", &ram);
    assert_int_equal(resume_import_open(directory, NULL, &import, NULL), 0);
    assert_int_equal(resume_import_machine(import, &machine, NULL), 0);
    assert_int_equal(machine.accel, RESUME_ACCEL_KVM);
    assert_int_equal(machine.range_count, 3);
    assert_int_equal(machine.range[2].base_pa, UINT64_C(1) << 32);
    assert_int_equal(machine.range[2].length, 8192);
    assert_int_equal(resume_import_memory(import, &phys, NULL), 0);
    const struct {
        uint64_t pa;
        uint8_t byte;
    } pages[] = {
        {UINT64_C(1) << 32, 0x41}, {(UINT64_C(1) << 32) + 4096, 0x42}, {0x100000, 0x43}, {0, 0x44}};
    for (size_t i = 0; i < 4; i++) {
        const uint8_t *page = phys.page(phys.ctx, pages[i].pa);
        assert_non_null(page);
        assert_int_equal(page[0], pages[i].byte);
        assert_int_equal(page[4095], pages[i].byte);
    }
    assert_null(phys.page(phys.ctx, 0x101000));
    resume_import_close(import);
    snprintf(path, sizeof(path), "%s/state.json", directory);
    unlink(path);
    snprintf(path, sizeof(path), "%s/memory-ranges", directory);
    unlink(path);
    rmdir(directory);
    bytes_free(&ram);
    bytes_free(&bytes);
}

static void refuses_with_a_reason(void **state)
{
    static const struct {
        struct cloud_hypervisor_options options;
        int ret;
        const char *why;
    } cases[] = {
        {{.byte_vectors = 1}, RESUME_EVERSION, "before version 39"},
        {{.microsoft = 1}, RESUME_EUNSUPPORTED, "Microsoft"},
        {{.replace = "\"regs\":[", .with = "\"regs\":[0,"}, RESUME_ELENGTH, "regs"},
        {{.replace = "\"sregs\":[", .with = "\"sregs\":[256,"}, RESUME_ELENGTH, "sregs"},
        {{.replace = "\"xcrs\"", .with = "\"xcr\""}, RESUME_ELENGTH, "xcrs"},
        {{.replace = "\"region\":[", .with = "\"region\":[-1,"}, RESUME_ELENGTH, "xsave"},
        {{.replace = "\"lapic_state\":{\"regs\":[0", .with = "\"lapic_state\":{\"regs\":[0.5"},
         RESUME_ELENGTH,
         "lapic_state"},
        {{.replace = "\"data\":", .with = "\"data\":9"}, RESUME_ELENGTH, "msrs"},
        {{.replace = "\"data\":", .with = "\"data\":-1,\"x\":"}, RESUME_ELENGTH, "msrs"},
        {{.replace = "\"eax\":", .with = "\"eax\":99999999"}, RESUME_ELENGTH, "cpuid"},
        {{.replace = "\"mp_state\"", .with = "\"xcrs\""}, RESUME_EMAGIC, "xcrs"},
        {{.replace = "}", .with = ""}, RESUME_EMAGIC, "no JSON"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bytes bytes = {0};
        struct resume_import_error error;
        build_cloud_hypervisor(&bytes, 1, &cases[i].options);
        int ret = guest_try(&bytes, &error);
        if (ret != cases[i].ret || strstr(error.why, cases[i].why) == NULL)
            fail_msg("case %zu: %d, %s", i, ret, error.why);
        bytes_free(&bytes);
    }
}

/* Many levels, and many values: neither may take time or memory without bounds. */
static void refuses_bombs(void **state)
{
    struct bytes bytes = {0};
    struct resume_import_error error;
    (void)state;
    static const char deep[] = "{\"snapshots\":[";
    static char text[600016];
    memset(text, '[', 100000);
    memcpy(text, deep, sizeof(deep) - 1);
    bytes_add(&bytes, text, 100000);
    assert_int_equal(guest_try(&bytes, &error), RESUME_ELENGTH);
    bytes_free(&bytes);
    for (size_t i = sizeof(deep) - 1; i + 1 < sizeof(text); i += 2)
        memcpy(text + i, "0,", 2);
    bytes_add(&bytes, text, sizeof(text));
    assert_int_equal(guest_try(&bytes, &error), RESUME_ELENGTH);
    bytes_free(&bytes);
}

/*
 * Fewer places than import_torture tries: each try parses some thousand numbers.
 */
static void survives_bad_input(void **state)
{
    static const struct cloud_hypervisor_options options = {.extra = 3};
    static const uint8_t values[] = {'"', '9', 0xff};
    struct import_memfile file;
    struct bytes bytes = {0};
    unsigned long tried = 0;
    unsigned long refused = 0;
    (void)state;
    build_cloud_hypervisor(&bytes, 1, &options);
    import_memfile_open(&file);
    for (size_t i = 0; i < bytes.length;
         i += i < 256 || i + 64 > bytes.length ? 1 : import_torture_stride(31)) {
        import_memfile_set(&file, bytes.data, i);
        assert_int_not_equal(import_exercise(file.path, "cloud-hypervisor"), 0);
        import_memfile_set(&file, bytes.data, bytes.length);
        for (size_t k = 0; k < sizeof(values); k++) {
            import_memfile_patch(&file, i, &values[k], 1);
            refused += import_exercise(file.path, "cloud-hypervisor") != 0;
            tried++;
        }
        import_memfile_patch(&file, i, &bytes.data[i], 1);
    }
    assert_int_equal(import_exercise(file.path, "cloud-hypervisor"), 0);
    import_memfile_close(&file);
    print_message("%lu inputs, %lu refused\n", tried, refused);
    bytes_free(&bytes);
}

static int golden_write;

static void is_the_golden_file(void **state)
{
    static const struct cloud_hypervisor_options options = {.extra = 2};
    struct bytes bytes = {0};
    (void)state;
    build_cloud_hypervisor(&bytes, 1, &options);
    guest_golden(&bytes, "cloud_hypervisor/state.json", golden_write);
    bytes_free(&bytes);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_the_golden_file),     cmocka_unit_test(reads_every_field),
        cmocka_unit_test(reads_memory_beside_it), cmocka_unit_test(refuses_with_a_reason),
        cmocka_unit_test(refuses_bombs),          cmocka_unit_test(survives_bad_input),
    };
    golden_write = argc == 2 && strcmp(argv[1], "--write") == 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
