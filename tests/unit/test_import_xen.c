/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "import_build_xen.h"
#include "import_torture.h"

/* Fields that no HVM context has. */
static const char *const lacking[] = {"sipi_vector", "smm",           "interrupt_shadow",
                                      "nmi_",        "shadow_length", NULL};
static const char *const lacking_xsave[] = {"sipi_vector",   "smm",  "interrupt_shadow", "nmi_",
                                            "shadow_length", "xcr0", "apic_base",        NULL};

static void expect_msrs(const struct resume_vcpu *vcpu, unsigned n, int tsc_aux)
{
    static const uint32_t msrs[] = {0x10,
                                    0x3b,
                                    0x48,
                                    0x174,
                                    0x175,
                                    0x176,
                                    0x200,
                                    0x201,
                                    0x20e,
                                    0x20f,
                                    0x250,
                                    0x258,
                                    0x259,
                                    0x268,
                                    0x26f,
                                    0x277,
                                    0x2ff,
                                    RESUME_MSR_STAR,
                                    RESUME_MSR_LSTAR,
                                    RESUME_MSR_CSTAR,
                                    RESUME_MSR_FMASK,
                                    RESUME_MSR_KERNEL_GS_BASE};
    for (size_t i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++)
        guest_expect_msr(vcpu, n, msrs[i]);
    if (tsc_aux)
        guest_expect_msr(vcpu, n, RESUME_MSR_TSC_AUX);
    else
        assert_null(resume_vcpu_msr(vcpu, RESUME_MSR_TSC_AUX));
    /* The capabilities cannot be written. */
    assert_null(resume_vcpu_msr(vcpu, 0xfe));
}

static void reads_a_context_with_xsave(void **state)
{
    static const struct xen_options options = {.cpu_length = 1032, .xsave = 1, .x2apic = 1};
    struct bytes bytes = {0};
    struct resume_vcpu vcpu;
    (void)state;
    build_xen_context(&bytes, 2, &options);
    struct resume_import *import = guest_open(&bytes, "xen", 2);
    assert_string_equal(resume_import_detail(import), "HVM context");
    for (unsigned n = 0; n < 2; n++) {
        assert_int_equal(resume_import_vcpu(import, n, &vcpu, NULL), 0);
        guest_expect(&vcpu, n, lacking);
        expect_msrs(&vcpu, n, 1);
        guest_expect_xsave(&vcpu, n, 0x207, (const uint32_t[]){2, 9, 0});
        assert_int_equal(vcpu.xsave.comp[1].offset, 2688);
    }
    resume_import_close(import);
    bytes_free(&bytes);
}

/* Of Xen before 4.7, and before 3.4; and of a machine without XSAVE. */
static void reads_older_entries(void **state)
{
    static const unsigned lengths[] = {1032, 1024, 1016};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct xen_options options = {.cpu_length = lengths[i]};
        struct bytes bytes = {0};
        struct resume_vcpu vcpu;
        build_xen_context(&bytes, 1, &options);
        struct resume_import *import = guest_open(&bytes, "xen", 1);
        assert_int_equal(resume_import_vcpu(import, 0, &vcpu, NULL), 0);
        guest_expect_field(&vcpu, "apic_base", 0xfee00900);
        vcpu.ctrl.valid &= ~RESUME_CTRL_APIC_BASE;
        guest_expect(&vcpu, 0, lacking_xsave);
        expect_msrs(&vcpu, 0, lengths[i] != 1016);
        guest_expect_xsave(&vcpu, 0, 3, (const uint32_t[]){0});
        resume_import_close(import);
        bytes_free(&bytes);
    }
}

static void reads_a_vcpu_that_is_down(void **state)
{
    static const struct xen_options options = {.cpu_length = 1032, .down = 1};
    struct bytes bytes = {0};
    struct resume_vcpu vcpu;
    (void)state;
    build_xen_context(&bytes, 3, &options);
    struct resume_import *import = guest_open(&bytes, "xen", 3);
    assert_int_equal(resume_import_vcpu(import, 1, &vcpu, NULL), 0);
    guest_expect_field(&vcpu, "mp_state", RESUME_MP_WAIT_SIPI);
    guest_expect_field(&vcpu, "apic_id", 0x12);
    assert_int_equal(vcpu.regs.valid, 0);
    assert_true(resume_vcpu_dormant(&vcpu));
    assert_int_equal(resume_import_vcpu(import, 2, &vcpu, NULL), 0);
    guest_expect_field(&vcpu, "mp_state", RESUME_MP_RUNNING);
    guest_expect_field(&vcpu, "rip", guest_value(2, "rip"));
    resume_import_close(import);
    bytes_free(&bytes);
}

static void makes_an_fpu_that_was_never_used(void **state)
{
    static const struct xen_options options = {.cpu_length = 1032, .no_fpu = 1};
    struct bytes bytes = {0};
    struct resume_vcpu vcpu;
    (void)state;
    build_xen_context(&bytes, 1, &options);
    struct resume_import *import = guest_open(&bytes, "xen", 1);
    assert_int_equal(resume_import_vcpu(import, 0, &vcpu, NULL), 0);
    assert_int_equal(vcpu.xsave.length, 576);
    assert_memory_equal(vcpu.xsave.area, "\x7f\x03", 2);
    assert_memory_equal(vcpu.xsave.area + 24, "\x80\x1f\0\0", 4);
    assert_memory_equal(vcpu.xsave.area + 512, "\0\0\0\0\0\0\0\0", 8);
    resume_import_close(import);
    bytes_free(&bytes);
}

static void reads_events(void **state)
{
    static const struct {
        uint32_t event;
        const char *field;
        uint64_t value;
        int ret;
    } cases[] = {
        {0x80000031, "interrupt_vector", 0x31, 0},
        {0x80000202, "nmi_pending", 1, 0},
        {0x80000b0d, "exception_vector", 13, 0},
        {0x80000603, NULL, 0, RESUME_EREGISTER},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (unsigned length = 1016; length <= 1032; length += 8) {
            struct xen_options options = {.cpu_length = length, .event = cases[i].event};
            struct bytes bytes = {0};
            struct resume_vcpu vcpu;
            struct resume_import_error error = {0};
            build_xen_context(&bytes, 1, &options);
            struct resume_import *import = guest_open(&bytes, "xen", 1);
            assert_int_equal(resume_import_vcpu(import, 0, &vcpu, &error), cases[i].ret);
            if (cases[i].field != NULL)
                guest_expect_field(&vcpu, cases[i].field, cases[i].value);
            resume_import_close(import);
            bytes_free(&bytes);
        }
    }
}

static void reads_save_files(void **state)
{
    static const struct xen_options options = {.cpu_length = 1032, .xsave = 1, .x2apic = 1};
    struct bytes context = {0};
    struct resume_vcpu vcpu;
    (void)state;
    build_xen_context(&context, 2, &options);
    for (int wrap = XEN_LIBXC; wrap <= XEN_XL; wrap++) {
        struct bytes bytes = {0};
        build_xen_stream(&bytes, (enum xen_wrap)wrap, &context, 0);
        struct resume_import *import = guest_open(&bytes, "xen", 2);
        assert_string_equal(resume_import_detail(import), "save stream 3, Xen 4.17");
        assert_int_equal(resume_import_vcpu(import, 1, &vcpu, NULL), 0);
        guest_expect(&vcpu, 1, lacking);
        resume_import_close(import);
        bytes_free(&bytes);
    }
    bytes_free(&context);
}

/* Where PKRU lies on AMD's CPUs cannot be known without CPUID. */
static void takes_the_layout_from_the_policy(void **state)
{
    static const struct xen_options options = {.cpu_length = 1032, .amd = 1};
    struct bytes context = {0};
    struct bytes bytes = {0};
    struct resume_import_error error;
    struct resume_vcpu vcpu;
    (void)state;
    build_xen_context(&context, 1, &options);
    assert_int_equal(guest_try(&context, &error), RESUME_EUNSUPPORTED);
    assert_non_null(strstr(error.why, "0x200"));
    build_xen_stream(&bytes, XEN_XL, &context, 1);
    struct resume_import *import = guest_open(&bytes, "xen", 1);
    assert_int_equal(resume_import_vcpu(import, 0, &vcpu, NULL), 0);
    guest_expect_xsave(&vcpu, 0, 0x207, (const uint32_t[]){2, 9, 0});
    assert_int_equal(vcpu.xsave.comp[1].offset, 832);
    resume_import_close(import);
    bytes_free(&bytes);
    bytes_free(&context);
}

static void refuses_other_guests(void **state)
{
    static const struct xen_options options = {.cpu_length = 1032};
    static const struct {
        size_t offset;
        uint8_t value;
        int ret;
    } cases[] = {
        {24, 1, RESUME_EUNSUPPORTED}, /* PV */
        {15, 4, RESUME_EVERSION},     /* a later stream */
        {17, 1, RESUME_EUNSUPPORTED}, /* big-endian */
    };
    struct bytes context = {0};
    struct bytes bytes = {0};
    (void)state;
    build_xen_context(&context, 1, &options);
    build_xen_stream(&bytes, XEN_LIBXC, &context, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t good = bytes.data[cases[i].offset];
        bytes.data[cases[i].offset] = cases[i].value;
        assert_int_equal(guest_try(&bytes, NULL), cases[i].ret);
        bytes.data[cases[i].offset] = good;
    }
    assert_int_equal(guest_try(&bytes, NULL), 0);
    bytes_free(&bytes);
    bytes_free(&context);
}

static void refuses_entries_that_are_wrong(void **state)
{
    static const struct xen_options options = {.cpu_length = 1032, .xsave = 1};
    /* The second vCPU's CPU entry follows the header's and the first one's. */
    const size_t second = 32 + 8 + build_xen_cpu_size();
    struct bytes bytes = {0};
    struct resume_import_error error;
    (void)state;
    build_xen_context(&bytes, 2, &options);
    bytes.data[second + 2] = 0;
    assert_int_equal(guest_try(&bytes, &error), RESUME_EDUPLICATE);
    assert_string_equal(error.where, "CPU");
    bytes.data[second + 2] = 3;
    assert_int_equal(guest_try(&bytes, &error), RESUME_EMISSING);
    bytes.data[second + 2] = 1;
    bytes.data[second + 3] = 0x10;
    assert_int_equal(guest_try(&bytes, &error), RESUME_ELENGTH);
    bytes.data[second + 3] = 0;
    assert_int_equal(guest_try(&bytes, &error), 0);
    bytes.data[12] = 2;
    assert_int_equal(guest_try(&bytes, &error), RESUME_EVERSION);
    bytes_free(&bytes);
}

static void torture_one(const struct bytes *bytes, const struct torture_field *fields, size_t count,
                        size_t needed)
{
    struct torture torture = {.format = "xen",
                              .data = bytes->data,
                              .length = bytes->length,
                              .fields = fields,
                              .field_count = count,
                              .needed = needed};
    struct torture_result result = import_torture(&torture);
    print_message("%lu inputs, %lu refused\n", result.tried, result.refused);
}

static void survives_bad_input(void **state)
{
    static const struct xen_options options = {.cpu_length = 1032, .xsave = 1};
    static const struct torture_field context_fields[] = {
        {2, 2, 0}, {4, 4, 0}, {32 + 2, 2, 0}, {32 + 4, 4, 0}, {1072 + 4, 4, 0}};
    static const struct torture_field stream_fields[] = {{44, 4, 0},
                                                         {48, 4, 0},
                                                         {68 + 12, 4, 0},
                                                         {68 + 16 + 4, 4, 0},
                                                         {68 + 24 + 40 + 4, 4, 0},
                                                         {68 + 24 + 40 + 8 + 4, 4, 0}};
    struct bytes context = {0};
    struct bytes bytes = {0};
    (void)state;
    build_xen_context(&context, 1, &options);
    torture_one(&context, context_fields, 5, context.length);
    build_xen_stream(&bytes, XEN_XL, &context, 1);
    /* What follows the end of libxc's part is not read. */
    torture_one(&bytes, stream_fields, 6, bytes.length - 8);
    bytes_free(&bytes);
    bytes_free(&context);
}

static int golden_write;

static void are_the_golden_files(void **state)
{
    static const struct xen_options options = {.cpu_length = 1032, .xsave = 1, .x2apic = 1};
    static const struct xen_options old = {.cpu_length = 1016, .down = 1};
    struct bytes context = {0};
    struct bytes bytes = {0};
    (void)state;
    build_xen_context(&context, 1, &options);
    guest_golden(&context, "xen/context.xen", golden_write);
    build_xen_stream(&bytes, XEN_XL, &context, 1);
    guest_golden(&bytes, "xen/xl.save", golden_write);
    bytes_free(&bytes);
    bytes_free(&context);
    build_xen_context(&context, 2, &old);
    guest_golden(&context, "xen/context_3_3.xen", golden_write);
    bytes_free(&context);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(are_the_golden_files),
        cmocka_unit_test(reads_a_context_with_xsave),
        cmocka_unit_test(reads_older_entries),
        cmocka_unit_test(reads_a_vcpu_that_is_down),
        cmocka_unit_test(makes_an_fpu_that_was_never_used),
        cmocka_unit_test(reads_events),
        cmocka_unit_test(reads_save_files),
        cmocka_unit_test(takes_the_layout_from_the_policy),
        cmocka_unit_test(refuses_other_guests),
        cmocka_unit_test(refuses_entries_that_are_wrong),
        cmocka_unit_test(survives_bad_input),
    };
    golden_write = argc == 2 && strcmp(argv[1], "--write") == 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
