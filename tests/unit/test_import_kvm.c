/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* KVM's structures in an archive and in a directory; the archive is built through linux/kvm.h. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <resume/import.h>

#include "import_build_kvm.h"
#include "import_exercise.h"
#include "import_torture.h"

struct fixture {
    struct import_build_kvm archive;
    struct import_memfile file;
    struct resume_vcpu vcpu;
    struct resume_import_error error;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (fixture == NULL)
        return -1;
    import_build_kvm(&fixture->archive, 2);
    import_memfile_open(&fixture->file);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    import_memfile_close(&fixture->file);
    free(fixture->archive.data);
    free(fixture);
    return 0;
}

static int decode(struct fixture *fixture, uint32_t index)
{
    struct resume_import *import = NULL;
    import_memfile_set(&fixture->file, fixture->archive.data, fixture->archive.length);
    int ret = resume_import_open(fixture->file.path, NULL, &import, &fixture->error);
    if (ret != 0)
        return ret;
    assert_string_equal(resume_import_format(import)->name, "kvm");
    assert_int_equal(resume_import_vcpus(import), 2);
    ret = resume_import_vcpu(import, index, &fixture->vcpu, &fixture->error);
    /* The image belongs to the import; its bytes are looked at elsewhere. */
    fixture->vcpu.xsave.area = NULL;
    resume_import_close(import);
    return ret;
}

static uint8_t *contents(struct fixture *fixture, const char *name)
{
    return fixture->archive.data + import_build_kvm_find(&fixture->archive, name)->offset;
}

static void reads_registers(void **state)
{
    struct fixture *fixture = *state;
    const struct resume_vcpu *vcpu = &fixture->vcpu;
    static const uint64_t gpr[] = {0xa0, 0xc0, 0xd0, 0xb0, 0x5b, 0xbb, 0x51, 0xd1,
                                   0x88, 0x99, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15};
    assert_int_equal(decode(fixture, 1), 0);
    assert_memory_equal(vcpu->regs.gpr, gpr, sizeof(gpr));
    assert_int_equal(vcpu->regs.rip, 0x401001);
    assert_int_equal(vcpu->regs.rflags, 0x246);
    assert_int_equal(vcpu->regs.valid, RESUME_REGS_ALL);
    assert_int_equal(vcpu->ctrl.cr3, 0x1e001000);
    assert_int_equal(vcpu->ctrl.cr8, 5);
    assert_int_equal(vcpu->ctrl.efer, 0xd01);
    assert_int_equal(vcpu->ctrl.xcr0, 0x207);
    assert_int_equal(vcpu->ctrl.apic_base, 0xfee00800);
    /* XSS is an MSR, and was not among them. */
    assert_int_equal(vcpu->ctrl.valid, RESUME_CTRL_ALL & ~RESUME_CTRL_XSS);
    assert_int_equal(vcpu->debug.valid, RESUME_DEBUG_ALL);
    assert_int_equal(vcpu->debug.dr[2], 0x3333);
    assert_int_equal(vcpu->debug.dr6, 0xffff0ff0);
    assert_int_equal(vcpu->debug.dr7, 0x400);
}

static void reads_segments(void **state)
{
    struct fixture *fixture = *state;
    const struct resume_segment *seg = fixture->vcpu.segs.seg;
    assert_int_equal(decode(fixture, 0), 0);
    assert_int_equal(seg[RESUME_CS].selector, 8);
    assert_int_equal(seg[RESUME_CS].base, 0x1000);
    assert_int_equal(seg[RESUME_CS].limit, 0xffff0001);
    assert_int_equal(seg[RESUME_CS].access, 0xa0fb);
    assert_int_equal(seg[RESUME_SS].selector, 48);
    assert_int_equal(seg[RESUME_SS].access, 0xc0f3);
    assert_int_equal(seg[RESUME_TR].access, 0x8b);
    assert_int_equal(seg[RESUME_TR].selector, 56);
    assert_int_equal(seg[RESUME_LDTR].access, 0x10002);
    assert_int_equal(seg[RESUME_GS].base, 0x5000);
    assert_int_equal(seg[RESUME_GDTR].base, 0xfffffe0000001000);
    assert_int_equal(seg[RESUME_GDTR].limit, 0x7f);
    assert_int_equal(seg[RESUME_IDTR].limit, 0xfff);
}

static void reads_events_and_msrs(void **state)
{
    struct fixture *fixture = *state;
    const struct resume_run *run = &fixture->vcpu.run;
    assert_int_equal(decode(fixture, 1), 0);
    assert_int_equal(run->mp_state, RESUME_MP_HALTED);
    assert_int_equal(run->interrupt_shadow, 1);
    assert_int_equal(run->nmi_masked, 1);
    assert_int_equal(run->apic_id, 4);
    assert_int_equal(run->exception_vector, RESUME_NO_EVENT);
    assert_int_equal(run->valid,
                     RESUME_RUN_ALL & ~(RESUME_RUN_SIPI_VECTOR | RESUME_RUN_SHADOW_LENGTH));
    assert_int_equal(fixture->vcpu.msr_count, 10);
    assert_int_equal(*resume_vcpu_msr(&fixture->vcpu, RESUME_MSR_LSTAR), 0x10601);
    assert_int_equal(*resume_vcpu_msr(&fixture->vcpu, RESUME_MSR_PAT), 0x0007040600070406);
    assert_int_equal(resume_import_missing(&fixture->vcpu, NULL, 0), 0);
    contents(fixture, "vcpu1.vcpu_events")[8] = 1;
    contents(fixture, "vcpu1.vcpu_events")[9] = 0xec;
    contents(fixture, "vcpu1.mp_state")[0] = 0;
    assert_int_equal(decode(fixture, 1), 0);
    assert_int_equal(run->interrupt_vector, 0xec);
}

static void reads_the_image(void **state)
{
    struct fixture *fixture = *state;
    struct resume_import *import = NULL;
    const uint8_t *image = contents(fixture, "vcpu0.xsave");
    import_memfile_set(&fixture->file, fixture->archive.data, fixture->archive.length);
    assert_int_equal(resume_import_open(fixture->file.path, "kvm", &import, NULL), 0);
    assert_int_equal(resume_import_vcpu(import, 0, &fixture->vcpu, NULL), 0);
    const struct resume_xsave *xsave = &fixture->vcpu.xsave;
    assert_int_equal(xsave->length, 840);
    assert_int_equal(xsave->comp_count, 2);
    assert_int_equal(xsave->comp[1].id, 9);
    assert_int_equal(xsave->comp[1].offset, 832);
    assert_memory_equal(xsave->area, image, 464);
    assert_int_equal(xsave->area[470], 0);
    assert_memory_equal(xsave->area + 512, image + 512, 328);
    resume_import_close(import);
    /* Without CPUID, PKRU could be anywhere. */
    import_build_kvm_find(&fixture->archive, "vcpu0.cpuid2");
    memcpy(contents(fixture, "vcpu0.cpuid2") - 512, "./vcpu0.notmine", 16);
    uint8_t *header = contents(fixture, "vcpu0.cpuid2") - 512;
    unsigned sum = 8 * ' ';
    for (unsigned i = 0; i < 512; i++)
        sum += i >= 148 && i < 156 ? 0 : header[i];
    snprintf((char *)header + 148, 8, "%06o", sum);
    assert_int_equal(decode(fixture, 0), RESUME_EUNSUPPORTED);
    assert_non_null(strstr(fixture->error.hint, "kvm_cpuid2"));
}

static void reads_a_directory(void **state)
{
    struct fixture *fixture = *state;
    char directory[] = "/tmp/import-kvm-XXXXXX";
    char path[128];
    struct resume_import *import = NULL;
    struct resume_vcpu vcpu;
    assert_non_null(mkdtemp(directory));
    for (size_t i = 0; i < fixture->archive.file_count; i++) {
        snprintf(path, sizeof(path), "%s/%s", directory, fixture->archive.file[i].name);
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        fwrite(fixture->archive.data + fixture->archive.file[i].offset, 1,
               fixture->archive.file[i].length, file);
        assert_int_equal(fclose(file), 0);
    }
    assert_int_equal(decode(fixture, 1), 0);
    assert_int_equal(resume_import_open(directory, NULL, &import, NULL), 0);
    assert_int_equal(resume_import_vcpus(import), 2);
    assert_int_equal(resume_import_vcpu(import, 1, &vcpu, NULL), 0);
    vcpu.xsave.area = NULL;
    assert_memory_equal(&vcpu, &fixture->vcpu, sizeof(vcpu));
    resume_import_close(import);
    snprintf(path, sizeof(path), "%s/vcpu1.regs", directory);
    assert_int_equal(truncate(path, 143), 0);
    assert_int_equal(resume_import_open(directory, NULL, &import, NULL), 0);
    assert_int_equal(resume_import_vcpu(import, 1, &vcpu, NULL), RESUME_ELENGTH);
    assert_int_equal(resume_import_vcpu(import, 0, &vcpu, NULL), 0);
    resume_import_close(import);
    snprintf(path, sizeof(path), "%s/vcpu0.xsave", directory);
    assert_int_equal(truncate(path, 512), 0);
    assert_int_equal(resume_import_open(directory, NULL, &import, NULL), 0);
    assert_int_equal(resume_import_vcpu(import, 0, &vcpu, NULL), RESUME_ELENGTH);
    resume_import_close(import);
    for (size_t i = 0; i < fixture->archive.file_count; i++) {
        snprintf(path, sizeof(path), "%s/%s", directory, fixture->archive.file[i].name);
        unlink(path);
    }
    rmdir(directory);
}

static void refuses_what_no_vcpu_holds(void **state)
{
    static const struct {
        const char *name;
        size_t offset;
        uint8_t value;
        int code;
    } cases[] = {
        {"vcpu0.sregs", 15, 2, RESUME_EREGISTER},        /* cs.present */
        {"vcpu0.xsave", 527, 0x80, RESUME_EUNSUPPORTED}, /* compacted */
        {"vcpu0.xcrs", 0, 17, RESUME_ELENGTH},
        {"vcpu0.msrs", 0, 11, RESUME_ELENGTH},
        {"vcpu0.mp_state", 0, 4, RESUME_EUNSUPPORTED},
        {"vcpu0.vcpu_events", 25, 1, RESUME_EUNSUPPORTED}, /* a pending SMI */
        {"vcpu0.cpuid2", 0, 3, RESUME_ELENGTH},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t *byte = contents(fixture, cases[i].name) + cases[i].offset;
        uint8_t before = *byte;
        *byte = cases[i].value;
        assert_int_equal(decode(fixture, 0), cases[i].code);
        assert_int_equal(fixture->error.code, cases[i].code);
        assert_int_equal(decode(fixture, 1), 0);
        *byte = before;
    }
    /* The second of two MSRs is the first, with another value. */
    memcpy(contents(fixture, "vcpu0.msrs") + 8 + 16, "\x02\x01\x00\xc0", 4);
    assert_int_equal(decode(fixture, 0), RESUME_EDUPLICATE);
}

static void refuses_a_gap(void **state)
{
    struct fixture *fixture = *state;
    size_t half = import_build_kvm_find(&fixture->archive, "vcpu1.regs")->offset - 512;
    memmove(fixture->archive.data, fixture->archive.data + half, fixture->archive.length - half);
    fixture->archive.length -= half;
    assert_int_equal(decode(fixture, 0), RESUME_EMISSING);
}

static void survives_torture(void **state)
{
    struct fixture *fixture = *state;
    struct torture_field fields[64];
    size_t count = 0;
    for (size_t i = 0; i < fixture->archive.file_count; i++) {
        fields[count++] = (struct torture_field){fixture->archive.file[i].offset, 4, 0};
        fields[count++] = (struct torture_field){fixture->archive.file[i].offset + 512 - 8, 8, 0};
    }
    struct torture torture = {
        .data = fixture->archive.data,
        .length = fixture->archive.length,
        .fields = fields,
        .field_count = count,
        .needed = fixture->archive.length - 512,
        .stride = 7,
    };
    struct torture_result result = import_torture(&torture);
    print_message("%lu inputs, %lu refused\n", result.tried, result.refused);
    assert_true(result.refused > result.tried / 4);
}

static void golden_is_what_is_built(void **state)
{
    struct fixture *fixture = *state;
    FILE *file = fopen(RESUME_TEST_GOLDEN_DIR "/import/kvm/two-vcpus.tar", "rb");
    uint8_t *data = malloc(IMPORT_BUILD_KVM_MAX);
    assert_non_null(file);
    assert_non_null(data);
    size_t length = fread(data, 1, IMPORT_BUILD_KVM_MAX, file);
    fclose(file);
    assert_int_equal(length, fixture->archive.length);
    assert_memory_equal(data, fixture->archive.data, length);
    free(data);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reads_registers), TEST(reads_segments),    TEST(reads_events_and_msrs),
        TEST(reads_the_image), TEST(reads_a_directory), TEST(refuses_what_no_vcpu_holds),
        TEST(refuses_a_gap),   TEST(survives_torture),  TEST(golden_is_what_is_built),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
