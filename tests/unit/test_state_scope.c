/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What a legal state may hold that the trampoline does not restore: refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "good_state.h"

#define BIT(n) (UINT64_C(1) << (n))

static struct good_state good;

static void expect(const char *what, const char *field)
{
    struct resume_diag diag = {.vcpu = 77};
    int err = resume_vcpu_check_scope(&good.vcpu, 3, &diag);

    if (err != (field != NULL ? RESUME_EUNSUPPORTED : RESUME_OK)) {
        fail_msg("%s: %s (%s)", what, resume_strerror(err), diag.field != NULL ? diag.field : "-");
    }
    if (field != NULL) {
        assert_string_equal(diag.field, field);
        assert_int_equal(diag.vcpu, 3);
        assert_int_equal(diag.code, -RESUME_EUNSUPPORTED);
    } else {
        assert_int_equal(diag.vcpu, 77);
    }
    good_state_fill(&good);
}

static int fill(void **state)
{
    (void)state;
    good_state_fill(&good);
    return 0;
}

#define EXPECT(field, ...)                                                                         \
    do {                                                                                           \
        struct resume_vcpu *v = &good.vcpu;                                                        \
        (void)v;                                                                                   \
        __VA_ARGS__;                                                                               \
        expect(#__VA_ARGS__, field);                                                               \
    } while (0)

static void features(void **state)
{
    /* LA57, VMXE, SMXE, KL, CET, PKS, UINTR, LASS, LAM_SUP, FRED. */
    static const unsigned refused[] = {12, 13, 14, 19, 23, 24, 25, 27, 28, 32};
    /* VME to OSXMMEXCPT, UMIP, FSGSBASE, PCIDE, OSXSAVE, SMEP, SMAP, PKE. */
    static const unsigned restored[] = {0, 1,  2,  3,  4,  5,  6,  7,  8,
                                        9, 10, 11, 16, 17, 18, 20, 21, 22};

    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        EXPECT("cr4", v->ctrl.cr4 |= BIT(refused[i]));
    }
    for (size_t i = 0; i < sizeof(restored) / sizeof(restored[0]); i++) {
        EXPECT(NULL, v->ctrl.cr4 |= BIT(restored[i]));
    }
    EXPECT("efer", v->ctrl.efer |= BIT(12));
    EXPECT("xss", v->ctrl.xss = BIT(11));
    EXPECT("cr3", v->ctrl.cr3 |= BIT(61));
    EXPECT("cr3", v->ctrl.cr3 |= BIT(62));
}

static void events(void **state)
{
    (void)state;
    EXPECT("smm", v->run.smm = 1);
    EXPECT("interrupt_shadow", v->run.interrupt_shadow = 1);
    EXPECT("interrupt_shadow", v->run.interrupt_shadow = 3);
    EXPECT("nmi_masked", v->run.nmi_masked = 1);
    EXPECT("nmi_pending", v->run.nmi_pending = 1);
    EXPECT("exception_vector", v->run.exception_vector = 14);
    EXPECT("exception_vector", v->run.exception_vector = 0);
    EXPECT("interrupt_vector", v->run.interrupt_vector = 32);
    EXPECT("interrupt_vector", v->run.interrupt_vector = 0);
    EXPECT("mp_state", v->run.mp_state = RESUME_MP_WAIT_SIPI);
    EXPECT("mp_state", v->run.mp_state = RESUME_MP_UNINITIALIZED);
    EXPECT(NULL, v->run.mp_state = RESUME_MP_HALTED);
    /* What is not known is not pending; zeroes that are not valid are no vector 0. */
    EXPECT(NULL, memset(&v->run, 0, sizeof(v->run)));
}

static void room(void **state)
{
    (void)state;
    EXPECT(NULL, v->segs.seg[RESUME_GDTR].limit = 0xfff);
    EXPECT("gdtr.limit", v->segs.seg[RESUME_GDTR].limit = 0x1000);
    EXPECT("tr.selector", v->segs.seg[RESUME_TR].selector = 0);
    EXPECT(NULL, v->xsave.length = 4096);
    EXPECT("length", v->xsave.length = 4097);
}

/* The trampoline loads by selector: the descriptor must lie within its table. */
static void selectors(void **state)
{
    (void)state;
    EXPECT("tr.selector", v->segs.seg[RESUME_TR].selector = 0xfff8);
    EXPECT("tr.selector", v->segs.seg[RESUME_TR].selector = 0x78); /* 16 bytes, 8 are there */
    EXPECT(NULL, v->segs.seg[RESUME_TR].selector = 0x70);
    EXPECT("cs.selector", v->segs.seg[RESUME_CS].selector = 0x83);
    EXPECT(NULL, v->segs.seg[RESUME_CS].selector = 0x7b);
    EXPECT("ldtr.selector", v->segs.seg[RESUME_LDTR].selector = 0x78);
    EXPECT("ds.selector", v->segs.seg[RESUME_DS].selector = 0x80);
    EXPECT(NULL, v->segs.seg[RESUME_DS].selector = 0x3); /* null, whatever its RPL */
    EXPECT("fs.selector",
           (v->segs.seg[RESUME_LDTR].selector = 0,
            v->segs.seg[RESUME_FS].selector = 0x7)); /* in an LDT that is not there */
    EXPECT("fs.selector",
           (v->segs.seg[RESUME_LDTR].selector = 0x50, v->segs.seg[RESUME_LDTR].limit = 0xe,
            v->segs.seg[RESUME_FS].selector = 0xf));
    EXPECT(NULL, (v->segs.seg[RESUME_LDTR].selector = 0x50, v->segs.seg[RESUME_LDTR].limit = 0xf,
                  v->segs.seg[RESUME_FS].selector = 0xf));
    EXPECT("tr.selector",
           (v->segs.seg[RESUME_LDTR].selector = 0x50, v->segs.seg[RESUME_LDTR].limit = 0xff,
            v->segs.seg[RESUME_TR].selector = 0xc));
}

static void msrs(void **state)
{
    static const uint32_t restored[] = {RESUME_MSR_EFER, RESUME_MSR_FS_BASE, RESUME_MSR_GS_BASE,
                                        RESUME_MSR_APIC_BASE};

    (void)state;
    /* IA32_MISC_ENABLE, IA32_SPEC_CTRL, IA32_XFD. */
    EXPECT("index", good_state_add_msr(&good, 0x1a0, 0, 1));
    EXPECT("index", good_state_add_msr(&good, 0x48, 0, 1));
    EXPECT("index", good_state_add_msr(&good, 0x1c4, 0, 0));
    EXPECT(NULL, good_state_add_msr(&good, 0x1a0, RESUME_MSR_OPTIONAL, 1));
    EXPECT(NULL, v->msr[0].flags = 0);
    EXPECT(
        NULL, while (v->msr_count < RESUME_MSR_MAX) {
            good_state_add_msr(&good, 0x1000 + v->msr_count, RESUME_MSR_OPTIONAL, 0);
        });
    for (size_t i = 0; i < sizeof(restored) / sizeof(restored[0]); i++) {
        EXPECT(NULL, good_state_add_msr(&good, restored[i], 0, 1));
    }
}

static void arguments(void **state)
{
    (void)state;
    assert_int_equal(resume_vcpu_check_scope(NULL, 0, NULL), RESUME_EINVAL);
    good.vcpu.msr_count = RESUME_MSR_MAX + 1;
    assert_int_equal(resume_vcpu_check_scope(&good.vcpu, 0, NULL), RESUME_EINVAL);
    good_state_fill(&good);
    EXPECT(NULL, (void)0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features),  cmocka_unit_test(events), cmocka_unit_test(room),
        cmocka_unit_test(selectors), cmocka_unit_test(msrs),   cmocka_unit_test(arguments),
    };

    return cmocka_run_group_tests(tests, fill, NULL);
}
