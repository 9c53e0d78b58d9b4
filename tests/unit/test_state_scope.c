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
    /* VMXE, SMXE, KL, PKS, UINTR, LASS, LAM_SUP, FRED. */
    static const unsigned refused[] = {13, 14, 19, 24, 25, 27, 28, 32};
    /* VME to OSXMMEXCPT, UMIP, LA57, FSGSBASE, PCIDE, OSXSAVE, SMEP, SMAP, PKE, CET. */
    static const unsigned restored[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,
                                        10, 11, 12, 16, 17, 18, 20, 21, 22, 23};

    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        EXPECT("cr4", v->ctrl.cr4 |= BIT(refused[i]));
    }
    for (size_t i = 0; i < sizeof(restored) / sizeof(restored[0]); i++) {
        EXPECT(NULL, v->ctrl.cr4 |= BIT(restored[i]));
    }
    EXPECT("efer", v->ctrl.efer |= BIT(12));
    EXPECT(NULL, v->ctrl.xss = BIT(11));
    EXPECT("dr7", v->debug.dr7 |= BIT(13));
    EXPECT("cr3", v->ctrl.cr3 |= BIT(61));
    EXPECT("cr3", v->ctrl.cr3 |= BIT(62));
    /* Supervisor components have no place in the standard form. */
    EXPECT("xstate_bv", (v->ctrl.xss = BIT(11), good_state_put_area(&good, 512, 8, 0x807)));
    EXPECT(NULL, (v->xsave.length = RESUME_XSAVE_MAX));
}

/* SSP is loaded from PL3_SSP on the way to CPL 3, and by nothing on the way to another. */
static void cet(void **state)
{
    (void)state;
    EXPECT("PL3_SSP", (v->ctrl.cr4 |= BIT(23), good_state_add_msr(&good, 0x6a0, 0, 1)));
    EXPECT(NULL, (v->ctrl.cr4 |= BIT(23), good_state_add_msr(&good, 0x6a0, 0, 1),
                  good_state_add_msr(&good, 0x6a7, 0, 0x1000)));
    EXPECT(NULL, good_state_add_msr(&good, 0x6a0, 0, 1)); /* CR4.CET is clear: no effect */
    EXPECT(NULL, (v->ctrl.cr4 |= BIT(23), good_state_add_msr(&good, 0x6a0, 0, 0x814)));
    EXPECT(NULL, (v->ctrl.cr4 |= BIT(23), good_state_add_msr(&good, 0x6a2, 0, 0x14)));
    EXPECT("S_CET", (v->ctrl.cr4 |= BIT(23), good_state_add_msr(&good, 0x6a2, 0, 1)));
    EXPECT("S_CET", (v->ctrl.cr4 |= BIT(23), good_state_add_msr(&good, 0x6a2, 0, 0x804)));
    /* In the kernel the user's SSP does not matter yet. */
    EXPECT(NULL, (v->ctrl.cr4 |= BIT(23), good_state_add_msr(&good, 0x6a0, 0, 1),
                  v->segs.seg[RESUME_CS].access = 0xa09b, v->segs.seg[RESUME_CS].selector = 0x10,
                  v->segs.seg[RESUME_SS].access = 0xc093, v->segs.seg[RESUME_SS].selector = 0x18));
}

static void events(void **state)
{
    /* #DE #BR #UD #NM #TS #NP #SS #GP #PF #MF #AC #XM. */
    static const uint32_t again = 1u << 0 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 10 | 1u << 11 |
                                  1u << 12 | 1u << 13 | 1u << 14 | 1u << 16 | 1u << 17 | 1u << 19;

    (void)state;
    EXPECT("smm", v->run.smm = 1);
    EXPECT("interrupt_vector", v->run.interrupt_vector = 32);
    EXPECT("interrupt_vector", v->run.interrupt_vector = 0);
    EXPECT(NULL, v->run.mp_state = RESUME_MP_HALTED);
    for (uint32_t vector = 0; vector < 32; vector++) {
        EXPECT((again >> vector & 1) != 0 ? NULL : "exception_vector",
               v->run.exception_vector = vector);
    }
    EXPECT(NULL, (v->run.exception_vector = 2, v->run.valid &= ~RESUME_RUN_EXCEPTION));
    /* What is not known is not pending; zeroes that are not valid are no vector 0. */
    EXPECT(NULL, memset(&v->run, 0, sizeof(v->run)));
    EXPECT(NULL, (memset(&v->run, 0xff, sizeof(v->run)), v->run.valid = 0));
}

static void nmis(void **state)
{
    (void)state;
    EXPECT(NULL, v->run.nmi_pending = 1);
    EXPECT(NULL, v->run.nmi_masked = 1);
    EXPECT(NULL, (v->run.nmi_masked = 1, v->run.nmi_pending = 1));
    /* TF, RF, VIF, VIP come by IRET, which ends the blocking. */
    EXPECT("nmi_masked", (v->run.nmi_masked = 1, v->regs.rflags |= BIT(8)));
    EXPECT("nmi_masked", (v->run.nmi_masked = 1, v->regs.rflags |= BIT(16)));
    EXPECT("nmi_masked", (v->run.nmi_masked = 1, v->regs.rflags |= BIT(19)));
    EXPECT("nmi_masked", (v->run.nmi_masked = 1, v->regs.rflags |= BIT(20)));
    EXPECT(NULL, (v->run.nmi_masked = 1, v->regs.rflags |= BIT(8),
                  v->run.valid &= ~RESUME_RUN_NMI_MASKED));
    EXPECT(NULL, (v->run.nmi_pending = 1, v->regs.rflags |= BIT(8)));
}

#define SHADOW(kind, length) (v->run.interrupt_shadow = (kind), v->run.shadow_length = (length))

static void shadows(void **state)
{
    (void)state;
    EXPECT(NULL, SHADOW(1, 1));
    EXPECT(NULL, SHADOW(2, 2));
    EXPECT("shadow_length", SHADOW(1, 0));
    EXPECT("shadow_length", SHADOW(1, 2));
    EXPECT("shadow_length", SHADOW(2, 1));
    EXPECT("shadow_length", SHADOW(2, 3));
    EXPECT("shadow_length", (SHADOW(1, 1), v->run.valid &= ~RESUME_RUN_SHADOW_LENGTH));
    EXPECT("shadow_length", (SHADOW(2, 2), v->regs.rip = 1));
    EXPECT(NULL, (SHADOW(2, 2), v->regs.rip = 2));
    EXPECT("interrupt_shadow", SHADOW(3, 1)); /* which of the two is not known */
    EXPECT("interrupt_shadow", (SHADOW(1, 1), v->regs.rflags |= BIT(8)));
    EXPECT("interrupt_shadow", (SHADOW(1, 1), v->regs.rflags |= BIT(16)));
    EXPECT(NULL, SHADOW(0, 5));
}

/* A breakpoint on the instruction that is to run again would be hit again. */
static void shadows_and_breakpoints(void **state)
{
    (void)state;
    EXPECT("interrupt_shadow",
           (SHADOW(1, 1), v->debug.dr[2] = v->regs.rip - 1, v->debug.dr7 = 0x420));
    EXPECT("interrupt_shadow",
           (SHADOW(2, 2), v->debug.dr[3] = v->regs.rip - 2, v->debug.dr7 = 0x440));
    EXPECT(NULL, (SHADOW(1, 1), v->debug.dr[2] = v->regs.rip - 1, v->debug.dr7 = 0x404));
    EXPECT(NULL, (SHADOW(1, 1), v->debug.dr[2] = v->regs.rip - 2, v->debug.dr7 = 0x420));
    /* On writes of data. */
    EXPECT(NULL, (SHADOW(1, 1), v->debug.dr[2] = v->regs.rip - 1, v->debug.dr7 = 0x01000420));
    /* In compatibility mode the base counts. */
    EXPECT("interrupt_shadow", (SHADOW(1, 1), v->segs.seg[RESUME_CS].access = 0xc0fb,
                                v->segs.seg[RESUME_CS].base = 0x1000,
                                v->debug.dr[0] = v->regs.rip + 0xfff, v->debug.dr7 = 0x402));
}

#define DATA(base_, access_, selector_)                                                            \
    (struct resume_segment)                                                                        \
    {                                                                                              \
        .base = (base_), .limit = 0xffffffff, .access = (access_), .selector = (selector_)         \
    }
#define S(number) v->segs.seg[RESUME_##number]

/* The planner has a page for each of the GDT and the LDT; the guest's limits do not matter. */
static void selectors(void **state)
{
    (void)state;
    EXPECT(NULL, S(GDTR).limit = 0xffff);
    EXPECT("tr.selector", S(TR).selector = 0);
    EXPECT("tr.selector", S(TR).selector = 3);
    EXPECT(NULL, S(TR).selector = 0xff0);
    EXPECT("tr.selector", S(TR).selector = 0xff8);
    EXPECT("tr.selector", S(TR).selector = 0xfff8);
    EXPECT("tr.selector", S(TR).selector = 0xc); /* in an LDT */
    EXPECT(NULL, S(DS) = DATA(0, 0xc0f3, 0xffb));
    EXPECT("ds.selector", S(DS) = DATA(0, 0xc0f3, 0x1003));
    EXPECT("fs.selector", S(FS) = DATA(0, 0xc0f3, 0x1007));
    EXPECT(NULL, S(DS).selector = 0x3);         /* null, whatever its RPL */
    EXPECT(NULL, S(FS) = DATA(0, 0xc0f3, 0x7)); /* its hidden part counts, not the LDT */
    EXPECT(NULL, (S(LDTR).selector = 0x50, S(LDTR).limit = 0xffff));
    /* What has no descriptor cannot be loaded by a selector. */
    EXPECT("ds.access", S(DS).selector = 0x2b);
    EXPECT("es.access", S(ES) = DATA(0, 0xc073, 0x2b));
    EXPECT("ldtr.access", (S(LDTR).selector = 0x50, S(LDTR).access = 0x10000));
    /* A load at CPL 0 with RPL 3 of a segment with DPL 0 is refused by the CPU. */
    EXPECT("gs.selector", S(GS) = DATA(0, 0xc093, 0x53));
    EXPECT(NULL, S(GS) = DATA(0, 0xc093, 0x50));
    EXPECT(NULL, S(GS) = DATA(0, 0xc09f, 0x53)); /* conforming code */
}

/* CS and SS may come from the guest's own tables. */
static void code_and_stack(void **state)
{
    (void)state;
    EXPECT("cs.selector", S(CS).selector = 0x83);
    EXPECT(NULL, S(CS).selector = 0x7b);
    EXPECT("ss.selector", S(SS).selector = 0x83);
    EXPECT("cs.selector", S(CS).selector = 0x0f); /* in an LDT that is not there */
    EXPECT("cs.selector", (S(CS).selector = 0x0f, S(LDTR).limit = 0xffff));
    EXPECT("cs.selector", (S(CS).selector = 0x0f, S(LDTR).selector = 0x50, S(LDTR).limit = 0xe));
    EXPECT(NULL, (S(CS).selector = 0x0f, S(LDTR).selector = 0x50, S(LDTR).limit = 0xf));
    /* SS of user code may be what AMD leaves after SYSRET. */
    EXPECT(NULL, S(SS).access = 0x10000);
    /* In the kernel both are loaded by the trampoline. */
    EXPECT(NULL, (S(CS) = DATA(0, 0xa09b, 0x10), S(SS) = DATA(0, 0xc093, 0x18)));
    EXPECT(NULL, (S(CS) = DATA(0, 0xa09b, 0x10), S(SS) = DATA(0, 0x10000, 0)));
    EXPECT("cs.selector", (S(CS) = DATA(0, 0xa09b, 0x0c), S(SS) = DATA(0, 0xc093, 0x18),
                           S(LDTR).selector = 0x50, S(LDTR).limit = 0xff));
    EXPECT("ss.access", (S(CS) = DATA(0, 0xa09b, 0x10), S(SS) = DATA(0, 0x10000, 0x18)));
}

/* One selector, two hidden parts: the guest has changed the descriptor between the loads. */
static void descriptors_that_differ(void **state)
{
    (void)state;
    EXPECT(NULL, (S(DS) = DATA(0, 0xc0f3, 0x2b), S(ES) = DATA(0, 0xc0f3, 0x28)));
    EXPECT("ds.selector", (S(ES) = DATA(0, 0xc0f3, 0x2b), S(DS) = DATA(0x1000, 0xc0f3, 0x2b)));
    EXPECT("ds.selector", (S(ES) = DATA(0, 0xc0f3, 0x2b), S(DS) = DATA(0, 0xc0f1, 0x2b)));
    /* Whether it was accessed makes no difference, nor do bases that MSRs hold. */
    EXPECT(NULL, (S(ES) = DATA(0, 0xc0f3, 0x2b), S(DS) = DATA(0, 0xc0f2, 0x2b)));
    EXPECT(NULL, (S(DS) = DATA(0, 0xc0f3, 0x2b), S(FS) = DATA(0x1000, 0xc0f3, 0x2b),
                  S(GS) = DATA(0x2000, 0xc0f3, 0x2b)));
    /* The same number in the other table is another descriptor. */
    EXPECT(NULL, (S(ES) = DATA(0, 0xc0f3, 0x2b), S(DS) = DATA(0x1000, 0xc0f3, 0x2f)));
    /* A system descriptor has 16 bytes. */
    EXPECT("tr.selector", (S(DS) = DATA(0, 0xc0f3, 0x4b)));
    EXPECT(NULL, (S(DS) = DATA(0, 0xc0f3, 0x53)));
    EXPECT(NULL, (S(DS) = DATA(0, 0xc0f3, 0x3b)));
    EXPECT("tr.selector", S(LDTR).selector = 0x38);
    EXPECT(NULL, S(LDTR).selector = 0x30);
}

static void dormant(void **state)
{
    (void)state;
    EXPECT(NULL, (v->run.mp_state = RESUME_MP_WAIT_SIPI, v->ctrl.cr4 |= BIT(13)));
    EXPECT(NULL, (v->run.mp_state = RESUME_MP_UNINITIALIZED, v->ctrl.cr4 |= BIT(13)));
    EXPECT("cr4", (v->run.mp_state = RESUME_MP_HALTED, v->ctrl.cr4 |= BIT(13)));
}

static void msrs(void **state)
{
    static const uint32_t restored[] = {RESUME_MSR_EFER,
                                        RESUME_MSR_FS_BASE,
                                        RESUME_MSR_GS_BASE,
                                        RESUME_MSR_APIC_BASE,
                                        0x1a0 /* MISC_ENABLE */,
                                        0x48 /* SPEC_CTRL */,
                                        0x1c4 /* XFD */};

    (void)state;
    /* IA32_RTIT_CTL, SMBASE. */
    EXPECT("index", good_state_add_msr(&good, 0x570, 0, 1));
    EXPECT("index", good_state_add_msr(&good, 0x9e, 0, 1));
    EXPECT(NULL, good_state_add_msr(&good, 0x570, RESUME_MSR_OPTIONAL, 1));
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
        cmocka_unit_test(features),
        cmocka_unit_test(cet),
        cmocka_unit_test(events),
        cmocka_unit_test(nmis),
        cmocka_unit_test(shadows),
        cmocka_unit_test(shadows_and_breakpoints),
        cmocka_unit_test(selectors),
        cmocka_unit_test(code_and_stack),
        cmocka_unit_test(descriptors_that_differ),
        cmocka_unit_test(dormant),
        cmocka_unit_test(msrs),
        cmocka_unit_test(arguments),
    };

    return cmocka_run_group_tests(tests, fill, NULL);
}
