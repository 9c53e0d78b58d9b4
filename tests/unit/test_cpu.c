/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* CPUID to capabilities, and states that do or do not fit. Bit numbers from SDM vol. 2, "CPUID". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <resume/cpu.h>

#include "linux_vcpu.h"

struct leaf {
    uint32_t leaf;
    uint32_t subleaf;
    uint32_t out[4];
};

/* A Haswell-like CPU: FXSR, SSE, XSAVE with AVX, SMEP, FSGSBASE, PCID, 1 GiB pages, 39 bits. */
static struct leaf table[] = {
    {0, 0, {0xd, 0, 0, 0}},
    {1, 0, {0, 0, 1u << 26 | 1u << 17, 0x0383fbff}},
    {7, 0, {0, 1u << 0 | 1u << 7, 0, 0}},
    {0xd, 0, {7, 832, 832, 0}},
    {0xd, 2, {256, 576, 0, 0}},
    {0x80000000, 0, {0x80000008, 0, 0, 0}},
    {0x80000001, 0, {0, 0, 0, 1u << 11 | 1u << 20 | 1u << 26 | 1u << 27 | 1u << 29}},
    {0x80000008, 0, {39 | 48 << 8, 0, 0, 0}},
};

static void query(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    struct leaf *leaves = ctx;

    memset(out, 0, 16);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (leaves[i].leaf == leaf && leaves[i].subleaf == subleaf)
            memcpy(out, leaves[i].out, 16);
    }
}

static struct resume_cpu identify(const struct leaf *leaves)
{
    struct leaf copy[sizeof(table) / sizeof(table[0])];
    struct resume_cpuid cpuid = {query, copy};
    struct resume_cpu cpu;

    memcpy(copy, leaves, sizeof(copy));
    assert_int_equal(resume_cpu_identify(&cpuid, &cpu, NULL), 0);
    return cpu;
}

static void capabilities_are_read(void **context)
{
    struct resume_cpu cpu = identify(table);

    (void)context;
    /* VME PVI TSD DE PSE PAE MCE PGE PCE OSFXSR OSXMMEXCPT FSGSBASE PCIDE OSXSAVE SMEP */
    assert_int_equal(cpu.cr4_allowed, 0x1707ff);
    assert_int_equal(cpu.efer_allowed, 0xd01); /* SCE LME LMA NXE */
    assert_int_equal(cpu.xcr0_allowed, 7);
    assert_int_equal(cpu.pa_bits, 39);
    assert_int_equal(cpu.page_1g, 1);
    assert_int_equal(cpu.rdtscp, 1);
    assert_int_equal(cpu.xsave, 1);
    assert_int_equal(cpu.comp_count, 1);
    assert_int_equal(cpu.comp[0].id, 2);
    assert_int_equal(cpu.comp[0].offset, 576);
    assert_int_equal(cpu.comp[0].size, 256);
}

static void a_32_bit_cpu_is_refused(void **context)
{
    struct leaf copy[sizeof(table) / sizeof(table[0])];
    struct resume_cpuid cpuid = {query, copy};
    struct resume_cpu cpu;
    struct resume_diag diag;

    (void)context;
    memcpy(copy, table, sizeof(copy));
    copy[6].out[3] &= ~(1u << 29);
    assert_int_equal(resume_cpu_identify(&cpuid, &cpu, &diag), RESUME_ECPU);
    assert_string_equal(diag.field, "long mode");
    assert_int_equal(resume_cpu_identify(NULL, &cpu, NULL), RESUME_EINVAL);
    assert_int_equal(resume_cpu_identify(&cpuid, NULL, NULL), RESUME_EINVAL);
}

static void leaves_beyond_the_maximum_count_as_absent(void **context)
{
    struct leaf copy[sizeof(table) / sizeof(table[0])];
    struct resume_cpu cpu;

    (void)context;
    memcpy(copy, table, sizeof(copy));
    copy[0].out[0] = 1; /* no leaf 7: an old CPU repeats another leaf there */
    copy[5].out[0] = 0x80000001;
    cpu = identify(copy);
    assert_int_equal(cpu.cr4_allowed, 0x607ff);
    assert_int_equal(cpu.xcr0_allowed, 0);
    assert_int_equal(cpu.pa_bits, 36);
}

static void states_are_checked(void **context)
{
    struct resume_vcpu vcpu;
    struct resume_diag diag;
    struct resume_cpu cpu = identify(table);

    (void)context;
    linux_vcpu_user(&vcpu);
    assert_int_equal(resume_cpu_check(&cpu, &vcpu, 0, NULL), 0);

    vcpu.ctrl.cr4 |= 1u << 21; /* SMAP */
    assert_int_equal(resume_cpu_check(&cpu, &vcpu, 3, &diag), RESUME_ECPU);
    assert_string_equal(diag.field, "cr4");
    assert_int_equal(diag.found, 1u << 21);
    assert_int_equal(diag.vcpu, 3);

    linux_vcpu_user(&vcpu);
    vcpu.ctrl.efer |= 1u << 12; /* SVME */
    assert_int_equal(resume_cpu_check(&cpu, &vcpu, 0, &diag), RESUME_ECPU);
    assert_string_equal(diag.field, "efer");

    linux_vcpu_user(&vcpu);
    vcpu.ctrl.xcr0 |= 0x200; /* PKRU */
    assert_int_equal(resume_cpu_check(&cpu, &vcpu, 0, &diag), RESUME_ECPU);
    assert_string_equal(diag.field, "xcr0");

    linux_vcpu_user(&vcpu);
    vcpu.ctrl.cr3 |= UINT64_C(1) << 39;
    assert_int_equal(resume_cpu_check(&cpu, &vcpu, 0, &diag), RESUME_ECPU);
    assert_string_equal(diag.field, "cr3");
    assert_int_equal(resume_cpu_check(NULL, &vcpu, 0, NULL), RESUME_EINVAL);
    assert_int_equal(resume_cpu_check(&cpu, NULL, 0, NULL), RESUME_EINVAL);
}

/* Another place is none of its business; another size, or none, is. */
static void xsave_components_are_compared(void **context)
{
    struct resume_vcpu vcpu;
    struct resume_diag diag;
    struct resume_cpu cpu = identify(table);

    (void)context;
    linux_vcpu_user(&vcpu);
    vcpu.xsave.comp[0].offset = 832;
    assert_int_equal(resume_cpu_check(&cpu, &vcpu, 0, &diag), RESUME_OK);

    linux_vcpu_user(&vcpu);
    vcpu.xsave.comp[0].size = 128;
    assert_int_equal(resume_cpu_check(&cpu, &vcpu, 0, &diag), RESUME_ECPU);
    assert_string_equal(diag.field, "XSAVE component size");
    assert_int_equal(diag.found, 128);
    assert_int_equal(diag.expected, 256);
    /* Not for a component that the guest has not enabled. */
    vcpu.ctrl.xcr0 = 3;
    assert_int_equal(resume_cpu_check(&cpu, &vcpu, 0, &diag), RESUME_OK);
    vcpu.ctrl.xcr0 = 7;
    vcpu.ctrl.valid &= ~RESUME_CTRL_XCR0;
    assert_int_equal(resume_cpu_check(&cpu, &vcpu, 0, &diag), RESUME_OK);

    linux_vcpu_user(&vcpu);
    cpu.comp_count = 0;
    assert_int_equal(resume_cpu_check(&cpu, &vcpu, 0, &diag), RESUME_ECPU);
    assert_string_equal(diag.field, "XSAVE component");
    assert_int_equal(diag.found, 2);
}

static void five_levels_need_la57(void **context)
{
    struct leaf copy[sizeof(table) / sizeof(table[0])];
    struct resume_vcpu vcpu;
    struct resume_diag diag;
    struct resume_cpu cpu = identify(table);
    size_t i = 0;

    (void)context;
    linux_vcpu_user(&vcpu);
    vcpu.ctrl.cr4 |= 1u << 12;
    assert_int_equal(resume_cpu_check(&cpu, &vcpu, 0, &diag), RESUME_ECPU);
    assert_string_equal(diag.field, "cr4");
    assert_int_equal(diag.found, 1u << 12);
    memcpy(copy, table, sizeof(copy));
    while (copy[i].leaf != 7) {
        i++;
    }
    copy[i].out[2] |= 1u << 16;
    cpu = identify(copy);
    assert_int_equal(resume_cpu_check(&cpu, &vcpu, 0, NULL), RESUME_OK);
}

/* CR4.CET comes with shadow stacks (ECX 7) or with branch tracking (EDX 20). */
static void either_half_of_cet_will_do(void **context)
{
    struct leaf copy[sizeof(table) / sizeof(table[0])];
    size_t i = 0;

    (void)context;
    memcpy(copy, table, sizeof(copy));
    while (copy[i].leaf != 7) {
        i++;
    }
    assert_int_equal(identify(copy).cr4_allowed >> 23 & 1, 0);
    copy[i].out[2] |= 1u << 7;
    assert_int_equal(identify(copy).cr4_allowed >> 23 & 1, 1);
    memcpy(copy, table, sizeof(copy));
    copy[i].out[3] |= 1u << 20;
    assert_int_equal(identify(copy).cr4_allowed >> 23 & 1, 1);
}

static void xss_needs_xsaves(void **context)
{
    static const struct leaf xsaves = {0xd, 1, {0xf, 0, 0x1800, 0x1}};
    struct leaf copy[sizeof(table) / sizeof(table[0])];
    struct resume_vcpu vcpu;
    struct resume_diag diag;
    struct resume_cpu cpu = identify(table);
    size_t i = 0;

    (void)context;
    assert_int_equal(cpu.xss_allowed, 0);
    linux_vcpu_user(&vcpu);
    vcpu.ctrl.xss = 0x800;
    assert_int_equal(resume_cpu_check(&cpu, &vcpu, 2, &diag), RESUME_ECPU);
    assert_string_equal(diag.field, "xss");
    assert_int_equal(diag.found, 0x800);
    vcpu.ctrl.valid &= ~RESUME_CTRL_XSS;
    assert_int_equal(resume_cpu_check(&cpu, &vcpu, 2, &diag), RESUME_OK);
    vcpu.ctrl.valid |= RESUME_CTRL_XSS;
    /* In place of a leaf that this test can spare. */
    memcpy(copy, table, sizeof(copy));
    while (copy[i].leaf != 0x80000008) {
        i++;
    }
    copy[i] = xsaves;
    cpu = identify(copy);
    assert_true(cpu.xss_allowed == UINT64_C(0x100001800));
    assert_int_equal(resume_cpu_check(&cpu, &vcpu, 2, &diag), RESUME_OK);
    vcpu.ctrl.xss = 0x2000;
    assert_int_equal(resume_cpu_check(&cpu, &vcpu, 2, &diag), RESUME_ECPU);
    copy[i].out[0] = 7; /* XSAVEOPT, XSAVEC, XGETBV, no XSAVES: what ECX says does not count */
    assert_int_equal(identify(copy).xss_allowed, 0);
}

static void dormant_vcpus_fit_everywhere(void **context)
{
    struct resume_vcpu vcpu;
    struct resume_cpu cpu = identify(table);

    (void)context;
    linux_vcpu_user(&vcpu);
    vcpu.ctrl.cr4 |= 1u << 21;
    vcpu.run.mp_state = RESUME_MP_WAIT_SIPI;
    assert_int_equal(resume_cpu_check(&cpu, &vcpu, 0, NULL), RESUME_OK);
}

static void tsc_aux_needs_rdtscp(void **context)
{
    struct leaf copy[sizeof(table) / sizeof(table[0])];
    struct resume_vcpu vcpu;
    struct resume_diag diag;
    struct resume_cpu cpu;

    (void)context;
    memcpy(copy, table, sizeof(copy));
    copy[6].out[3] &= ~(1u << 27);
    cpu = identify(copy);
    linux_vcpu_user(&vcpu);
    assert_int_equal(resume_cpu_check(&cpu, &vcpu, 0, NULL), 0); /* zero: nothing to restore */
    vcpu.msr[9].value = 5;
    assert_int_equal(resume_cpu_check(&cpu, &vcpu, 0, &diag), RESUME_ECPU);
    assert_string_equal(diag.field, "TSC_AUX");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capabilities_are_read),
        cmocka_unit_test(a_32_bit_cpu_is_refused),
        cmocka_unit_test(leaves_beyond_the_maximum_count_as_absent),
        cmocka_unit_test(states_are_checked),
        cmocka_unit_test(xsave_components_are_compared),
        cmocka_unit_test(five_levels_need_la57),
        cmocka_unit_test(either_half_of_cet_will_do),
        cmocka_unit_test(xss_needs_xsaves),
        cmocka_unit_test(dormant_vcpus_fit_everywhere),
        cmocka_unit_test(tsc_aux_needs_rdtscp),
    };

    return cmocka_run_group_tests_name("cpu", tests, NULL, NULL);
}
