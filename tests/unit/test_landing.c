/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The landing: literal bytes for known states, its forms, and what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "land.h"
#include "linux_vcpu.h"

#define FILL LAND_FILL

/* Hand-assembled from the manual's opcode tables. */
static void user_mode_bytes(void **context)
{
    static const uint8_t code[] = {
        0x94, 0xfe, 0xde, 0xbc, 0xff, 0xff, 0xff, 0xff, /* address of the first instruction */
        0x06, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* RFLAGS without IF */
        0xf0, 0xff, 0x05, 0x01, 0xf2, 0xff, 0xff,       /* lock inc dword [rip - dffh] */
        0x9d,                                           /* popfq */
        0xbb, 0x33, 0x00, 0x05, 0x80,                   /* mov ebx, 80050033h */
        0x48, 0x8d, 0x64, 0x24, 0xe4,                   /* lea rsp, [rsp - 28] */
        0x8f, 0x04, 0x24, 0x8f, 0x04, 0x24,             /* pop qword [rsp], seven times */
        0x8f, 0x04, 0x24, 0x8f, 0x04, 0x24,             /* */
        0x8f, 0x04, 0x24, 0x8f, 0x04, 0x24,             /* */
        0x8f, 0x04, 0x24,                               /* */
        0x48, 0x8d, 0x64, 0x24, 0x20,                   /* lea rsp, [rsp + 32] */
        0x8f, 0x44, 0x24, 0xe0,                         /* pop qword [rsp - 32] */
        0x8f, 0x44, 0x24, 0xe0,                         /* pop qword [rsp - 32] */
    };
    static const uint8_t remaining[] = {
        0x0f, 0x22, 0xc3,                               /* mov cr0, rbx */
        0x89, 0xf3,                                     /* mov ebx, esi: they are equal */
        0xfb,                                           /* sti */
        0x48, 0xcb,                                     /* retfq */
        FILL, FILL, FILL, FILL, FILL, FILL, FILL, FILL, /* copied by the last two POPs */
        FILL, FILL, FILL, FILL, FILL, FILL, FILL, FILL, /* */
        0xac, 0xc5, 0x4e, 0,    0,    0,    0,    0,    /* RIP */
        0x33, 0x00, FILL, FILL, FILL, FILL, FILL, FILL, /* CS */
        0xa8, 0x19, 0xb6, 0x6a, 0xfc, 0x7f, 0,    0,    /* RSP */
        0x2b, 0x00, FILL, FILL, FILL, FILL, FILL, FILL, /* SS */
    };
    struct resume_landing_place place = land_place(LINUX_HOME_VA);
    struct resume_landing landing;
    struct resume_vcpu vcpu;

    (void)context;
    place.slot_va = LINUX_HOME_VA + 0xe00;
    linux_vcpu_user(&vcpu);
    assert_int_equal(resume_landing_compose(&vcpu, &place, &landing), 0);
    assert_int_equal(landing.form, RESUME_LANDING_RETF);
    assert_int_equal(landing.remains, 256 - sizeof(remaining));
    assert_memory_equal(landing.bytes + landing.remains, remaining, sizeof(remaining));
    assert_memory_equal(landing.bytes + landing.remains - sizeof(code), code, sizeof(code));
    assert_int_equal(landing.entry, landing.remains - sizeof(code) + 16);
    assert_int_equal(landing.rsp, place.slot_va + landing.remains - sizeof(code));
    assert_int_equal(landing.leave, landing.remains + 6);
    assert_int_equal(landing.sti, 1);
    assert_int_equal(landing.differs, sizeof(remaining) - 16 - 12);
    assert_memory_equal(landing.gpr, vcpu.regs.gpr, sizeof(landing.gpr));
}

/* The last one out: waits, refills, and wipes without a use of RSP. */
static void kernel_mode_bytes(void **context)
{
    static const uint8_t head[] = {
        0x46, 0,    0,    0,    0,    0,    0,    0,    /* RFLAGS without IF */
        0x10, 0x00, 0xa0, 0xdc, 0x52, 0x8d, 0xff, 0xff, /* RDI */
        0x03, 0,    0,    0,    0,    0,    0,    0,    /* RCX */
        0x90, 0x3e, 0x60, 0xbd, 0xff, 0xff, 0xff, 0xff, /* RSP */
        0xf3, 0x90,                                     /* pause */
        0x81, 0x3d, 0x2d, 0xf2, 0xff, 0xff,             /* cmp dword [rip - dd3h], */
        0xc8, 0x00, 0x00, 0x00,                         /* 200 */
        0x72, 0xf2,                                     /* jb: to the pause */
        0xf3, 0xaa,                                     /* rep stosb */
        0x9d, 0x5f, 0x59,                               /* popfq, pop rdi, pop rcx */
        0xb0, 0xee,                                     /* mov al, 0eeh */
        0x48, 0x8d, 0x54, 0x24, 0x60,                   /* lea rdx, [rsp + 60h] */
        0x48, 0x8b, 0x5c, 0x24, 0xd8,                   /* mov rbx, [rsp - 28h]: fill */
        0x5c,                                           /* pop rsp */
        0x48, 0x89, 0x5a, 0x80,                         /* mov [rdx - 80h], rbx */
        0x48, 0x89, 0x5a, 0x88,                         /* mov [rdx - 78h], rbx, and so on */
    };
    static const uint8_t end[] = {
        0x48, 0x89, 0x5a, 0x08,                   /* mov [rdx + 8], rbx */
        0xba, 0x33, 0x00, 0x05, 0x80,             /* mov edx, 80050033h */
        0x48, 0x89, 0x1d, 0xf4, 0xff, 0xff, 0xff, /* mov [rip - 12], rbx */
        0x48, 0x89, 0x1d, 0xf5, 0xff, 0xff, 0xff, /* mov [rip - 11], rbx */
        0x48, 0x89, 0x1d, 0xf6, 0xff, 0xff, 0xff, /* mov [rip - 10], rbx */
        0x48, 0x89, 0x1d, 0xf7, 0xff, 0xff, 0xff, /* mov [rip - 9], rbx */
        0x48, 0x89, 0x1d, 0xf8, 0xff, 0xff, 0xff, /* mov [rip - 8], rbx */
        0x0f, 0x22, 0xc2,                         /* mov cr0, rdx */
        0x8c, 0xc2,                               /* mov edx, es: null */
        0x8c, 0xc3,                               /* mov ebx, es */
        0xfb,                                     /* sti */
        0xe9, 0x45, 0x24, 0xe2, 0xff,             /* jmp bcc12345 from bcdeff00 */
    };
    struct resume_landing_place place = land_place(LINUX_HOME_VA);
    struct resume_landing landing;
    struct resume_vcpu vcpu;

    (void)context;
    place.slot_va = LINUX_HOME_VA + 0xe00;
    place.last_out = 1;
    place.others = 200;
    linux_vcpu_kernel(&vcpu);
    assert_int_equal(resume_landing_compose(&vcpu, &place, &landing), 0);
    assert_int_equal(landing.form, RESUME_LANDING_JUMP);
    assert_memory_equal(landing.bytes + landing.entry - 32, head, sizeof(head));
    assert_memory_equal(landing.bytes + 256 - sizeof(end), end, sizeof(end));
    assert_int_equal(landing.differs, 13);
    assert_int_equal(landing.gpr[RESUME_RAX], UINT64_C(0xffffffffbcc0ffcc));
    assert_int_equal(landing.gpr[RESUME_RCX], LAND_SLOTS);
    assert_int_equal(landing.gpr[RESUME_RDI], LINUX_HOME_VA);
}

static void samples_land(void **context)
{
    struct resume_landing_place place = land_place(LINUX_HOME_VA);
    struct resume_landing landing;
    struct resume_vcpu vcpu;

    (void)context;
    for (uint32_t last_out = 0; last_out < 2; last_out++) {
        place.last_out = (uint8_t)last_out;
        place.others = 7;
        linux_vcpu_user(&vcpu);
        land(&vcpu, &place, 2, &landing);
        assert_int_equal(landing.differs, 28);
        vcpu.regs.rflags |= RFLAGS_TF;
        land(&vcpu, &place, 2, &landing);
        assert_int_equal(landing.differs, 30);
        linux_vcpu_kernel(&vcpu);
        land(&vcpu, &place, 2, &landing);
        assert_int_equal(landing.differs, 13);
    }
}

static uint64_t seed;

static uint64_t random64(void)
{
    uint64_t value = seed += UINT64_C(0x9e3779b97f4a7c15); /* SplitMix64 */

    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

/* All registers large, far from each other and from everything else. */
static void large_registers(struct resume_vcpu *v)
{
    seed = 1;
    for (uint32_t i = 0; i < RESUME_GPR_COUNT; i++)
        v->regs.gpr[i] = random64() | UINT64_C(1) << 62;
}

static void registers_are_chosen_well(void **context)
{
    struct resume_landing_place place = land_place(LINUX_HOME_VA);
    struct resume_landing landing;
    struct resume_vcpu vcpu;

    (void)context;
    /* In order of size: MOV ECX, ES; LEA EAX, [RCX + disp8]. */
    linux_vcpu_kernel(&vcpu);
    large_registers(&vcpu);
    vcpu.regs.gpr[RESUME_RCX] = 0;
    vcpu.regs.gpr[RESUME_RAX] = 0x64;
    land(&vcpu, &place, 2, &landing);
    assert_int_equal(landing.differs, 3 + 2 + 3 + 1 + 5);

    /* RBX alone, with MOV EBX, CR0 once more; R12 would be the cheapest to point with. */
    large_registers(&vcpu);
    vcpu.regs.gpr[RESUME_RBX] = 0;
    vcpu.regs.gpr[RESUME_R12] = 0x12345678;
    land(&vcpu, &place, 2, &landing);
    assert_int_equal(landing.differs, 5 + 3 + 2 + 1 + 5);

    /* CS and SS are the guest's already in form JUMP, and only there. */
    linux_vcpu_kernel(&vcpu);
    large_registers(&vcpu);
    vcpu.regs.gpr[RESUME_RBX] = vcpu.segs.seg[RESUME_CS].selector;
    vcpu.regs.gpr[RESUME_RSI] = vcpu.segs.seg[RESUME_SS].selector;
    land(&vcpu, &place, 2, &landing);
    assert_int_equal(landing.differs, 3 + 2 + 2 + 1 + 5);
    linux_vcpu_user(&vcpu);
    large_registers(&vcpu);
    vcpu.regs.gpr[RESUME_RBX] = vcpu.segs.seg[RESUME_CS].selector;
    vcpu.regs.gpr[RESUME_RSI] = vcpu.segs.seg[RESUME_SS].selector;
    land(&vcpu, &place, 2, &landing);
    assert_int_equal(landing.differs, 3 + 3 + 1 + 22); /* LEA EBX, [RSI + 8] */
}

static void flags_choose_the_form(void **context)
{
    static const struct {
        uint64_t set;
        uint32_t form;
    } cases[] = {
        {0, RESUME_LANDING_RETF},        {0x100, RESUME_LANDING_IRET},    /* TF */
        {0x400, RESUME_LANDING_RETF},    {0x4000, RESUME_LANDING_RETF},   /* DF, NT */
        {0x10000, RESUME_LANDING_IRET},  {0x40000, RESUME_LANDING_RETF},  /* RF, AC */
        {0x80000, RESUME_LANDING_IRET},  {0x100000, RESUME_LANDING_IRET}, /* VIF, VIP */
        {0x200000, RESUME_LANDING_RETF}, {0x3000, RESUME_LANDING_RETF},   /* ID, IOPL */
    };
    struct resume_landing_place place = land_place(LINUX_HOME_VA);
    struct resume_landing landing;
    struct resume_vcpu vcpu;

    (void)context;
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        linux_vcpu_user(&vcpu);
        vcpu.regs.rflags |= cases[i].set;
        land(&vcpu, &place, 2, &landing);
        assert_int_equal(landing.form, cases[i].form);
        assert_int_equal(landing.sti, cases[i].form == RESUME_LANDING_RETF);
        vcpu.regs.rflags &= ~RFLAGS_IF;
        land(&vcpu, &place, 2, &landing);
        assert_int_equal(landing.sti, 0);
    }
}

/* JMP reaches 2 GiB to either side; beyond it, it takes its target from memory. */
static void distant_kernel_code_lands(void **context)
{
    static const int64_t distances[] = {INT32_MIN, INT32_MAX, (int64_t)INT32_MIN - 1,
                                        (int64_t)INT32_MAX + 1};
    struct resume_landing_place place = land_place(UINT64_C(0xffff888000000000));
    struct resume_landing landing;
    struct resume_vcpu vcpu;

    (void)context;
    for (uint32_t i = 0; i < 4; i++) {
        linux_vcpu_kernel(&vcpu);
        vcpu.regs.rip = place.slot_va + RESUME_LANDING_MAX + (uint64_t)distances[i];
        land(&vcpu, &place, 2, &landing);
        assert_int_equal(landing.form, RESUME_LANDING_JUMP);
        assert_int_equal(landing.differs, i < 2 ? 13 : 22);
        vcpu.ctrl.cr4 |= CR4_CET; /* such a JMP would have to find ENDBR64 */
        land(&vcpu, &place, 2, &landing);
        assert_int_equal(landing.form, i < 2 ? RESUME_LANDING_JUMP : RESUME_LANDING_IRET);
    }
}

/* A compatibility-mode segment at CPL 0 cannot be loaded by code that runs in 64-bit mode. */
static void kernel_compatibility_mode_lands_by_iret(void **context)
{
    struct resume_landing_place place = land_place(LINUX_HOME_VA);
    struct resume_landing landing;
    struct resume_vcpu vcpu;

    (void)context;
    linux_vcpu_kernel(&vcpu);
    vcpu.segs.seg[RESUME_CS].access = 0xc09b;
    vcpu.regs.rip = 0x1000;
    vcpu.regs.gpr[RESUME_RSP] = 0x2000;
    land(&vcpu, &place, 2, &landing);
    assert_int_equal(landing.form, RESUME_LANDING_IRET);
}

static void nmis_choose_the_form(void **context)
{
    struct resume_landing_place place = land_place(LINUX_HOME_VA);
    struct resume_landing landing;
    struct resume_vcpu vcpu;

    (void)context;
    for (uint32_t kernel = 0; kernel < 2; kernel++) {
        if (kernel)
            linux_vcpu_kernel(&vcpu);
        else
            linux_vcpu_user(&vcpu);
        vcpu.run.nmi_pending = 1; /* its IRET lets it come */
        land(&vcpu, &place, 2, &landing);
        assert_int_equal(landing.form, RESUME_LANDING_IRET);
        vcpu.run.nmi_masked = 1; /* must stay blocked */
        land(&vcpu, &place, 2, &landing);
        assert_int_not_equal(landing.form, RESUME_LANDING_IRET);
        vcpu.run.nmi_pending = 0;
        land(&vcpu, &place, 2, &landing);
        assert_int_not_equal(landing.form, RESUME_LANDING_IRET);
    }
}

static void shadows_are_made_again(void **context)
{
    struct resume_landing_place place = land_place(LINUX_HOME_VA);
    struct resume_landing landing;
    struct resume_vcpu vcpu;

    (void)context;
    linux_vcpu_kernel(&vcpu);
    vcpu.run.interrupt_shadow = 1;
    vcpu.run.shadow_length = 1;
    land(&vcpu, &place, 2, &landing); /* compares with RIP - 1, IF clear */
    assert_int_equal(landing.sti, 0);
    vcpu.run.interrupt_shadow = 2;
    vcpu.run.shadow_length = 2;
    land(&vcpu, &place, 2, &landing); /* with RIP - 2, IF set */
    assert_int_equal(landing.sti, 1);
}

static void expect_refused(const struct resume_vcpu *vcpu, const struct resume_landing_place *place,
                           int expected)
{
    struct resume_landing landing;
    struct resume_landing before;

    memset(&landing, 0xa5, sizeof(landing));
    before = landing;
    assert_int_equal(resume_landing_compose(vcpu, place, &landing), expected);
    assert_memory_equal(&landing, &before, sizeof(landing));
}

static void what_no_landing_restores_is_refused(void **context)
{
    struct resume_landing_place place = land_place(LINUX_HOME_VA);
    struct resume_vcpu vcpu;

    (void)context;
    linux_vcpu_user(&vcpu); /* IRET, but NMIs are to stay blocked */
    vcpu.run.nmi_masked = 1;
    vcpu.regs.rflags |= RFLAGS_RF;
    expect_refused(&vcpu, &place, RESUME_EUNSUPPORTED);

    linux_vcpu_user(&vcpu); /* a shadow of an unknown instruction */
    vcpu.run.interrupt_shadow = 3;
    expect_refused(&vcpu, &place, RESUME_EUNSUPPORTED);
    vcpu.run.interrupt_shadow = 1; /* an STI of two bytes */
    vcpu.run.shadow_length = 2;
    expect_refused(&vcpu, &place, RESUME_EUNSUPPORTED);
    vcpu.run.interrupt_shadow = 2; /* a MOV SS of one */
    vcpu.run.shadow_length = 1;
    expect_refused(&vcpu, &place, RESUME_EUNSUPPORTED);
    vcpu.run.interrupt_shadow = 1; /* an STI that traps once more */
    vcpu.regs.rflags |= RFLAGS_TF;
    expect_refused(&vcpu, &place, RESUME_EUNSUPPORTED);
    vcpu.regs.rflags &= ~(RFLAGS_TF | RFLAGS_IF); /* one that has not set IF */
    expect_refused(&vcpu, &place, RESUME_EUNSUPPORTED);

    linux_vcpu_user(&vcpu); /* a 16-bit stack */
    vcpu.segs.seg[RESUME_CS].access &= ~ACCESS_L;
    vcpu.segs.seg[RESUME_SS].access &= ~ACCESS_DB;
    vcpu.regs.gpr[RESUME_RSP] = 0x1000;
    expect_refused(&vcpu, &place, RESUME_EUNSUPPORTED);
    vcpu.segs.seg[RESUME_SS].access |= ACCESS_DB; /* RSP beyond 32 bits in compatibility mode */
    vcpu.regs.gpr[RESUME_RSP] = UINT64_C(0x100000000);
    expect_refused(&vcpu, &place, RESUME_EUNSUPPORTED);

    linux_vcpu_kernel(&vcpu); /* supervisor shadow stacks, a waiting ENDBR64 tracker */
    for (uint32_t i = 0; i < 2; i++) {
        vcpu.ctrl.cr4 |= CR4_CET;
        vcpu.msr[vcpu.msr_count - 1] =
            (struct resume_msr){.index = 0x6a2, .value = i == 0 ? 1 : 0x804};
        expect_refused(&vcpu, &place, RESUME_EUNSUPPORTED);
    }
}

static void arguments_are_checked(void **context)
{
    struct resume_landing_place place = land_place(LINUX_HOME_VA);
    struct resume_vcpu vcpu;

    (void)context;
    linux_vcpu_user(&vcpu);
    expect_refused(NULL, &place, RESUME_EINVAL);
    expect_refused(&vcpu, NULL, RESUME_EINVAL);
    assert_int_equal(resume_landing_compose(&vcpu, &place, NULL), RESUME_EINVAL);
    place.left_va = place.slot_va + (UINT64_C(1) << 31);
    expect_refused(&vcpu, &place, RESUME_EINVAL);
    place.left_va = place.slot_va - (UINT64_C(1) << 31);
    expect_refused(&vcpu, &place, RESUME_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(user_mode_bytes),
        cmocka_unit_test(kernel_mode_bytes),
        cmocka_unit_test(samples_land),
        cmocka_unit_test(registers_are_chosen_well),
        cmocka_unit_test(flags_choose_the_form),
        cmocka_unit_test(distant_kernel_code_lands),
        cmocka_unit_test(kernel_compatibility_mode_lands_by_iret),
        cmocka_unit_test(nmis_choose_the_form),
        cmocka_unit_test(shadows_are_made_again),
        cmocka_unit_test(what_no_landing_restores_is_refused),
        cmocka_unit_test(arguments_are_checked),
    };

    return cmocka_run_group_tests_name("landing", tests, NULL, NULL);
}
