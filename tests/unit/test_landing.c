/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The landing: literal bytes for known states, and its effect, by an independent interpreter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <resume/handoff.h>
#include <resume/landing.h>

#include "landing_machine.h"
#include "linux_vcpu.h"

#define FILL 0xcc

static const struct resume_home sample_home = {.va = LINUX_HOME_VA,
                                               .pa = LINUX_HOME_PA,
                                               .length = RESUME_HOME_LENGTH,
                                               .kind = RESUME_HOME_PADDING,
                                               .fill = FILL};

/* Hand-assembled from the manual's opcode tables. */
static void user_mode_bytes(void **context)
{
    static const uint8_t expected[] = {
        0xf3, 0xaa,                                     /* rep stosb */
        0xb0, 0x33,                                     /* mov al, 33h */
        0x0f, 0x22, 0xc0,                               /* mov cr0, rax */
        0xbf, 0x1c, 0xdb, 0x5b, 0x00,                   /* mov edi, 5bdb1ch */
        0x8d, 0x41, 0x01,                               /* lea eax, [rcx + 1] */
        0x8d, 0x49, 0x2d,                               /* lea ecx, [rcx + 2dh] */
        0xfb,                                           /* sti */
        0x48, 0xcb,                                     /* retfq */
        0xac, 0xc5, 0x4e, 0,    0,    0,    0,    0,    /* RIP */
        0x33, 0x00, FILL, FILL, FILL, FILL, FILL, FILL, /* CS */
        0xa8, 0x19, 0xb6, 0x6a, 0xfc, 0x7f, 0,    0,    /* RSP */
        0x2b, 0x00, FILL, FILL, FILL, FILL, FILL, FILL, /* SS */
    };
    struct resume_landing landing;
    struct resume_vcpu vcpu;

    (void)context;
    linux_vcpu_user(&vcpu);
    assert_int_equal(resume_landing_compose(&vcpu, &sample_home, &landing), 0);
    assert_int_equal(landing.length, sizeof(expected));
    assert_memory_equal(landing.bytes, expected, sizeof(expected));
    assert_int_equal(landing.form, RESUME_LANDING_RETF);
    assert_int_equal(landing.leave, 19);
    assert_int_equal(landing.sti, 1);
    assert_int_equal(landing.differs, sizeof(expected) - 12);
    assert_int_equal(landing.va, LINUX_HOME_VA + RESUME_HOME_LENGTH - sizeof(expected));
    assert_int_equal(landing.rsp, landing.va + 21);
    assert_int_equal(landing.rflags, 0x6); /* the guest's, IF clear */
    assert_int_equal(landing.rax, 0x800500cc);
}

static void kernel_mode_bytes(void **context)
{
    static const uint8_t expected[] = {
        0xf3, 0xaa,                                                 /* rep stosb */
        0xb0, 0x33,                                                 /* mov al, 33h */
        0x0f, 0x22, 0xc0,                                           /* mov cr0, rax */
        0x48, 0xbf, 0x10, 0x00, 0xa0, 0xdc, 0x52, 0x8d, 0xff, 0xff, /* mov rdi, imm64 */
        0x48, 0xc7, 0xc0, 0xee, 0xff, 0xc0, 0xbc,                   /* mov rax, simm32 */
        0x8d, 0x49, 0x03,                                           /* lea ecx, [rcx + 3] */
        0xfb,                                                       /* sti */
        0xe9, 0x45, 0x33, 0xe1, 0xff, /* jmp bcc12345 from the home's end, bcdff000 */
    };
    struct resume_landing landing;
    struct resume_vcpu vcpu;

    (void)context;
    linux_vcpu_kernel(&vcpu);
    assert_int_equal(resume_landing_compose(&vcpu, &sample_home, &landing), 0);
    assert_int_equal(landing.form, RESUME_LANDING_JUMP);
    assert_int_equal(landing.length, sizeof(expected));
    assert_memory_equal(landing.bytes, expected, sizeof(expected));
    assert_int_equal(landing.rsp, vcpu.regs.gpr[RESUME_RSP]);
}

/* Execute a landing from what the trampoline hands over, and compare with the guest's state. */
static void land(const struct resume_vcpu *vcpu, const struct resume_home *home)
{
    static uint8_t memory[RESUME_HOME_LENGTH];
    struct landing_machine m = {.memory = memory, .base = home->va, .size = home->length};
    struct resume_landing landing;
    uint32_t differs = 0;

    assert_int_equal(resume_landing_compose(vcpu, home, &landing), 0);
    assert_in_range(landing.length, 1, RESUME_LANDING_MAX);
    memset(memory, 0x5a, sizeof(memory)); /* what the trampoline left lying about */
    memcpy(memory + sizeof(memory) - landing.length, landing.bytes, landing.length);
    for (uint32_t i = 0; i < 16; i++)
        m.reg[i] = vcpu->regs.gpr[i];
    m.reg[RESUME_RAX] = landing.rax;
    m.reg[RESUME_RCX] = landing.refill_length;
    m.reg[RESUME_RDI] = home->va;
    m.reg[RESUME_RSP] = landing.rsp;
    m.rip = landing.va;
    m.rflags = landing.rflags;
    m.cr0 = vcpu->ctrl.cr0 & ~UINT64_C(0x10000); /* WP clear, as the trampoline leaves it */
    m.cs = landing.form == RESUME_LANDING_JUMP ? vcpu->segs.seg[RESUME_CS].selector : RESUME_OWN_CS;
    m.ss = landing.form == RESUME_LANDING_JUMP ? vcpu->segs.seg[RESUME_SS].selector : 0;

    assert_int_equal(landing_machine_run(&m, 64), 1);
    assert_null(m.error);
    assert_int_equal(m.if_exposed, 0);
    for (uint32_t i = 0; i < 16; i++)
        assert_int_equal(m.reg[i], vcpu->regs.gpr[i]);
    assert_int_equal(m.rip, vcpu->regs.rip);
    assert_int_equal(m.rflags, vcpu->regs.rflags);
    assert_int_equal(m.cr0, vcpu->ctrl.cr0);
    assert_int_equal(m.cs, vcpu->segs.seg[RESUME_CS].selector);
    assert_int_equal(m.ss, vcpu->segs.seg[RESUME_SS].selector);
    for (uint64_t i = 0; i < sizeof(memory); i++)
        differs += memory[i] != home->fill;
    assert_int_equal(differs, landing.differs);
}

static void samples_land(void **context)
{
    struct resume_vcpu vcpu;

    (void)context;
    linux_vcpu_user(&vcpu);
    land(&vcpu, &sample_home);
    linux_vcpu_kernel(&vcpu);
    land(&vcpu, &sample_home);
}

/* Values at every boundary between encodings, in each register that the landing restores. */
static void every_encoding_lands(void **context)
{
    static const uint64_t values[] = {0,
                                      1,
                                      0x7f,
                                      0x80,
                                      0xff,
                                      0x100,
                                      0x7fffffff,
                                      0x80000000,
                                      UINT32_MAX,
                                      UINT64_C(0x100000000),
                                      UINT64_C(0xffffffffffffffff),
                                      UINT64_C(0xffffffffffffff80),
                                      UINT64_C(0xffffffffffffff7f),
                                      UINT64_C(0xffffffff80000000),
                                      UINT64_C(0xffffffff7fffffff),
                                      UINT64_C(0xcccccccccccccccc),
                                      UINT64_C(0x0123456789abcdef)};
    static const uint32_t count = sizeof(values) / sizeof(values[0]);
    struct resume_vcpu vcpu;

    (void)context;
    for (uint32_t form = 0; form < 3; form++) {
        for (uint32_t i = 0; i < count * count * count; i++) {
            if (form == 0)
                linux_vcpu_kernel(&vcpu);
            else
                linux_vcpu_user(&vcpu);
            if (form == 2)
                vcpu.regs.rflags |= 0x100; /* TF: only IRETQ can do it */
            vcpu.regs.gpr[RESUME_RDI] = values[i % count];
            vcpu.regs.gpr[RESUME_RAX] = values[i / count % count];
            vcpu.regs.gpr[RESUME_RCX] = values[i / count / count];
            land(&vcpu, &sample_home);
        }
    }
}

static void flags_choose_the_form(void **context)
{
    static const struct {
        uint64_t set;
        uint32_t form;
    } cases[] = {
        {0, RESUME_LANDING_RETF},        {0x100, RESUME_LANDING_IRET},    /* TF */
        {0x400, RESUME_LANDING_IRET},    {0x4000, RESUME_LANDING_RETF},   /* DF, NT */
        {0x10000, RESUME_LANDING_IRET},  {0x40000, RESUME_LANDING_RETF},  /* RF, AC */
        {0x80000, RESUME_LANDING_IRET},  {0x100000, RESUME_LANDING_IRET}, /* VIF, VIP */
        {0x200000, RESUME_LANDING_RETF}, {0x3000, RESUME_LANDING_RETF},   /* ID, IOPL */
    };
    struct resume_landing landing;
    struct resume_vcpu vcpu;

    (void)context;
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        linux_vcpu_user(&vcpu);
        vcpu.regs.rflags |= cases[i].set;
        assert_int_equal(resume_landing_compose(&vcpu, &sample_home, &landing), 0);
        assert_int_equal(landing.form, cases[i].form);
        land(&vcpu, &sample_home);
        vcpu.regs.rflags &= ~UINT64_C(0x200); /* interrupts off: no STI */
        assert_int_equal(resume_landing_compose(&vcpu, &sample_home, &landing), 0);
        assert_int_equal(landing.sti, 0);
        land(&vcpu, &sample_home);
    }
}

/* JMP reaches 2 GiB to either side; beyond it, IRETQ enters the kernel. */
static void distant_kernel_code_lands(void **context)
{
    static const int64_t distances[] = {INT32_MIN, INT32_MAX, (int64_t)INT32_MIN - 1,
                                        (int64_t)INT32_MAX + 1};
    struct resume_home home = sample_home;
    struct resume_landing landing;
    struct resume_vcpu vcpu;

    (void)context;
    home.va = UINT64_C(0xffff888000000000);
    for (uint32_t i = 0; i < 4; i++) {
        linux_vcpu_kernel(&vcpu);
        vcpu.regs.rip = home.va + home.length + (uint64_t)distances[i];
        assert_int_equal(resume_landing_compose(&vcpu, &home, &landing), 0);
        assert_int_equal(landing.form, i < 2 ? RESUME_LANDING_JUMP : RESUME_LANDING_IRET);
        land(&vcpu, &home);
    }
}

/* A compatibility-mode segment at CPL 0 cannot be loaded by code that runs in 64-bit mode. */
static void kernel_compatibility_mode_lands_by_iret(void **context)
{
    struct resume_landing landing;
    struct resume_vcpu vcpu;

    (void)context;
    linux_vcpu_kernel(&vcpu);
    vcpu.segs.seg[RESUME_CS].access = 0xc09b;
    vcpu.regs.rip = 0x1000;
    assert_int_equal(resume_landing_compose(&vcpu, &sample_home, &landing), 0);
    assert_int_equal(landing.form, RESUME_LANDING_IRET);
    land(&vcpu, &sample_home);
}

static void zero_fill_lands(void **context)
{
    struct resume_home home = sample_home;
    struct resume_vcpu vcpu;

    (void)context;
    home.fill = 0;
    home.kind = RESUME_HOME_ZERO;
    linux_vcpu_user(&vcpu);
    land(&vcpu, &home);
    vcpu.ctrl.cr0 = 0x80050000 | 0x33;
    home.fill = 0x33; /* the low byte of CR0 happens to be the fill: no MOV AL */
    land(&vcpu, &home);
}

static void arguments_are_checked(void **context)
{
    struct resume_home home = sample_home;
    struct resume_landing landing;
    struct resume_landing before;
    struct resume_vcpu vcpu;

    (void)context;
    linux_vcpu_user(&vcpu);
    memset(&landing, 0xa5, sizeof(landing));
    before = landing;
    home.length = RESUME_LANDING_MAX - 1;
    assert_int_equal(resume_landing_compose(&vcpu, &home, &landing), RESUME_EINVAL);
    assert_memory_equal(&landing, &before, sizeof(landing));
    assert_int_equal(resume_landing_compose(NULL, &sample_home, &landing), RESUME_EINVAL);
    assert_int_equal(resume_landing_compose(&vcpu, NULL, &landing), RESUME_EINVAL);
    assert_int_equal(resume_landing_compose(&vcpu, &sample_home, NULL), RESUME_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(user_mode_bytes),
        cmocka_unit_test(kernel_mode_bytes),
        cmocka_unit_test(samples_land),
        cmocka_unit_test(every_encoding_lands),
        cmocka_unit_test(flags_choose_the_form),
        cmocka_unit_test(distant_kernel_code_lands),
        cmocka_unit_test(kernel_compatibility_mode_lands_by_iret),
        cmocka_unit_test(zero_fill_lands),
        cmocka_unit_test(arguments_are_checked),
    };

    return cmocka_run_group_tests_name("landing", tests, NULL, NULL);
}
