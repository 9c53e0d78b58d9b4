/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "import_build_vmsa.h"
#include "import_torture.h"

#define CR4_CET (UINT64_C(1) << 23)
#define DEBUG_SWAP UINT64_C(0x20)

/* Fields that no VMSA has. */
static const char *const lacking[] = {
    "cr8",  "apic_base", "mp_state",      "sipi_vector", "smm", "interrupt_shadow",
    "nmi_", "apic_id",   "shadow_length", "dr0",         "dr1", "dr2",
    "dr3",  NULL};

static void build_two(struct bytes *out)
{
    static const struct vmsa_options options = {0};
    build_vmsa(out, 0, &options);
    build_vmsa(out, 1, &options);
}

static void expect_xsave(const struct resume_vcpu *vcpu, unsigned n)
{
    /* PKRU's component has 8 bytes, of which the VMSA has the 4 that mean something. */
    uint8_t pkru[4];
    struct resume_vcpu copy = *vcpu;
    assert_int_equal(vcpu->xsave.comp_count, 2);
    assert_int_equal(vcpu->xsave.comp[1].id, 9);
    assert_int_equal(vcpu->xsave.comp[1].size, 8);
    guest_component(n, 9, pkru, 4);
    assert_memory_equal(vcpu->xsave.area + vcpu->xsave.comp[1].offset, pkru, 4);
    copy.xsave.comp_count = 1;
    guest_expect_xsave(&copy, n, 0x207, (const uint32_t[]){2, 0});
}

static void reads_every_field(void **state)
{
    static const uint32_t msrs[] = {RESUME_MSR_STAR,
                                    RESUME_MSR_LSTAR,
                                    RESUME_MSR_CSTAR,
                                    RESUME_MSR_FMASK,
                                    RESUME_MSR_SYSENTER_CS,
                                    RESUME_MSR_SYSENTER_ESP,
                                    RESUME_MSR_PAT,
                                    RESUME_MSR_TSC_AUX,
                                    RESUME_MSR_SYSENTER_EIP,
                                    0x48,
                                    0x1d9,
                                    RESUME_MSR_KERNEL_GS_BASE};
    struct bytes bytes = {0};
    struct resume_vcpu vcpu;
    (void)state;
    build_two(&bytes);
    struct resume_import *import = guest_open(&bytes, "vmsa", 2);
    for (unsigned n = 0; n < 2; n++) {
        assert_int_equal(resume_import_vcpu(import, n, &vcpu, NULL), 0);
        guest_expect(&vcpu, n, lacking);
        for (size_t i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++)
            guest_expect_msr(&vcpu, n, msrs[i]);
        assert_int_equal(vcpu.msr_count, sizeof(msrs) / sizeof(msrs[0]));
        expect_xsave(&vcpu, n);
    }
    resume_import_close(import);
    bytes_free(&bytes);
}

static void reads_what_depends_on_features(void **state)
{
    static const struct vmsa_options options = {.sev_features = DEBUG_SWAP, .cr4_set = CR4_CET};
    struct bytes bytes = {0};
    struct resume_vcpu vcpu;
    (void)state;
    build_vmsa(&bytes, 0, &options);
    struct resume_import *import = guest_open(&bytes, "vmsa", 1);
    assert_int_equal(resume_import_vcpu(import, 0, &vcpu, NULL), 0);
    guest_expect_field(&vcpu, "dr0", guest_value(0, "dr0"));
    guest_expect_field(&vcpu, "dr3", guest_value(0, "dr3"));
    guest_expect_msr(&vcpu, 0, RESUME_MSR_S_CET);
    guest_expect_msr(&vcpu, 0, 0x6a4);
    guest_expect_msr(&vcpu, 0, 0x6a6);
    guest_expect_msr(&vcpu, 0, 0x6a8);
    /* In user code with a shadow stack: SSP, not the MSR. */
    guest_expect_msr(&vcpu, 0, 0x6a7);
    resume_import_close(import);
    bytes_free(&bytes);
}

static void reads_the_structure_without_its_page(void **state)
{
    static const struct vmsa_options options = {0};
    struct bytes bytes = {0};
    struct resume_vcpu vcpu;
    (void)state;
    build_vmsa(&bytes, 0, &options);
    bytes.length = 1648;
    struct resume_import *import = guest_open(&bytes, "vmsa", 1);
    assert_int_equal(resume_import_vcpu(import, 0, &vcpu, NULL), 0);
    guest_expect(&vcpu, 0, lacking);
    expect_xsave(&vcpu, 0);
    resume_import_close(import);
    bytes_free(&bytes);
}

static void reads_events(void **state)
{
    static const struct {
        uint64_t event;
        const char *field;
        uint64_t value;
        int ret;
    } cases[] = {
        {0x80000020, "interrupt_vector", 0x20, 0}, {0x80000202, "nmi_pending", 1, 0},
        {0x80000b0e, "exception_vector", 14, 0},   {0x80000b20, NULL, 0, RESUME_EREGISTER},
        {0x80000480, NULL, 0, RESUME_EREGISTER},   {0x00000020, "interrupt_vector", UINT32_MAX, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vmsa_options options = {.event = cases[i].event};
        struct bytes bytes = {0};
        struct resume_vcpu vcpu;
        build_vmsa(&bytes, 0, &options);
        struct resume_import *import = guest_open(&bytes, "vmsa", 1);
        struct resume_import_error error = {0};
        assert_int_equal(resume_import_vcpu(import, 0, &vcpu, &error), cases[i].ret);
        if (cases[i].field != NULL)
            guest_expect_field(&vcpu, cases[i].field, cases[i].value);
        resume_import_close(import);
        bytes_free(&bytes);
    }
}

static void refuses_what_is_none(void **state)
{
    struct bytes bytes = {0};
    struct resume_import_error error;
    (void)state;
    build_two(&bytes);
    /* A second page that is encrypted. */
    for (size_t i = 4096; i < 8192; i++)
        bytes.data[i] = (uint8_t)(i * 131 >> 3);
    assert_int_equal(guest_try(&bytes, &error), RESUME_EMAGIC);
    assert_int_equal(error.offset, 4096);
    bytes.length = 8191;
    assert_int_equal(guest_try(&bytes, &error), RESUME_EMAGIC);
    bytes_free(&bytes);
}

static void survives_bad_input(void **state)
{
    struct bytes bytes = {0};
    (void)state;
    build_two(&bytes);
    struct torture torture = {.format = "vmsa", .data = bytes.data, .length = bytes.length};
    struct torture_result result = import_torture(&torture);
    print_message("%lu inputs, %lu refused\n", result.tried, result.refused);
    bytes_free(&bytes);
}

static int golden_write;

static void is_the_golden_file(void **state)
{
    struct bytes bytes = {0};
    (void)state;
    build_two(&bytes);
    guest_golden(&bytes, "vmsa/two_vcpus.vmsa", golden_write);
    bytes_free(&bytes);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_the_golden_file),
        cmocka_unit_test(reads_every_field),
        cmocka_unit_test(reads_what_depends_on_features),
        cmocka_unit_test(reads_the_structure_without_its_page),
        cmocka_unit_test(reads_events),
        cmocka_unit_test(refuses_what_is_none),
        cmocka_unit_test(survives_bad_input),
    };
    golden_write = argc == 2 && strcmp(argv[1], "--write") == 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
