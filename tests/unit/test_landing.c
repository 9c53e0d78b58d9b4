/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The landing: literal bytes for known states, and its effect, by an independent interpreter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <resume/landing.h>

#include "landing_machine.h"
#include "linux_vcpu.h"

#define FILL 0xcc
#define SLOTS (LANDING_MACHINE_MEMORY - 3 * RESUME_LANDING_MAX)
#define LEFT 0x9c /* where the counter is, in the home */

#define RFLAGS_TF UINT64_C(0x100)
#define RFLAGS_IF UINT64_C(0x200)
#define RFLAGS_RF UINT64_C(0x10000)
#define CR0_WP UINT64_C(0x10000)
#define CR4_CET UINT64_C(0x800000)
#define ACCESS_L 0x2000u
#define ACCESS_DB 0x4000u

/* A home of one page with three slots; the landing gets the middle one. */
static struct resume_landing_place place_at(uint64_t home)
{
    return (struct resume_landing_place){.slot_va = home + SLOTS + RESUME_LANDING_MAX,
                                         .fill = FILL,
                                         .left_va = home + LEFT,
                                         .refill_va = home,
                                         .refill_length = SLOTS};
}

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
    struct resume_landing_place place = place_at(LINUX_HOME_VA);
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
    struct resume_landing_place place = place_at(LINUX_HOME_VA);
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
    assert_int_equal(landing.gpr[RESUME_RCX], SLOTS);
    assert_int_equal(landing.gpr[RESUME_RDI], LINUX_HOME_VA);
}

/* Execute a landing from what the trampoline hands over, and compare with the guest's state. */
static void land(const struct resume_vcpu *vcpu, const struct resume_landing_place *place,
                 uint64_t entry_flags, struct resume_landing *landing)
{
    static struct landing_machine m;
    static uint8_t expected[LANDING_MACHINE_MEMORY];
    uint64_t home = place->refill_va;
    uint64_t slot = place->slot_va - home;
    const struct resume_run *run = &vcpu->run;
    uint64_t rflags = vcpu->regs.rflags;
    uint32_t own = 0;

    assert_int_equal(resume_landing_compose(vcpu, place, landing), 0);
    assert_true(landing->remains < RESUME_LANDING_MAX);
    assert_true(landing->leave >= landing->remains);
    assert_true(!landing->sti || landing->bytes[landing->leave - 1] == 0xfb);
    memset(&m, 0, sizeof(m));
    memset(m.memory, 0x5a, SLOTS); /* what the trampoline left lying about */
    memset(m.memory + SLOTS, 0x77, 3 * RESUME_LANDING_MAX); /* the landings of others */
    memcpy(m.memory + slot, landing->bytes, RESUME_LANDING_MAX);
    m.base = home;
    m.left_va = place->left_va;
    memset(m.memory + LEFT, 0, 4);
    if (place->last_out) {
        m.arriving = place->others < 3 ? place->others : 3; /* the rest has left already */
        m.memory[LEFT] = (uint8_t)(place->others - m.arriving);
        m.memory[LEFT + 1] = (uint8_t)((place->others - m.arriving) >> 8);
    }
    memcpy(expected, m.memory, sizeof(expected));

    for (uint32_t i = 0; i < 16; i++)
        m.reg[i] = landing->gpr[i];
    m.reg[RESUME_RSP] = landing->rsp;
    m.rflags = entry_flags;
    m.cr0 = vcpu->ctrl.cr0 & ~CR0_WP;
    m.cr4 = vcpu->ctrl.cr4 & ~CR4_CET;
    for (uint32_t i = RESUME_ES; i <= RESUME_TR; i++)
        m.seg[i] = vcpu->segs.seg[i].selector;
    if (landing->form != RESUME_LANDING_JUMP) {
        m.seg[RESUME_CS] = RESUME_OWN_CS;
        m.seg[RESUME_SS] = 0;
    }
    m.compat = (vcpu->segs.seg[RESUME_CS].access & ACCESS_L) == 0;

    landing_machine_return(&m);
    assert_int_equal(m.rip, place->slot_va + landing->entry);
    if (!landing_machine_run(&m, 256) || m.error != NULL)
        fail_msg("after %u instructions: %s", m.steps, m.error != NULL ? m.error : "no end");
    assert_int_equal(m.if_exposed, 0);
    assert_int_equal(m.early, 0);
    assert_int_equal(m.irets, landing->form == RESUME_LANDING_IRET);
    for (uint32_t i = 0; i < 16; i++)
        assert_int_equal(m.reg[i], vcpu->regs.gpr[i]);
    assert_int_equal(m.rip, vcpu->regs.rip - run->shadow_length);
    if (run->shadow_length == 1)
        rflags &= ~RFLAGS_IF; /* the guest's own STI sets it */
    assert_int_equal(m.rflags, rflags);
    assert_int_equal(m.cr0, vcpu->ctrl.cr0);
    assert_int_equal(m.cr4, vcpu->ctrl.cr4);
    for (uint32_t i = RESUME_ES; i <= RESUME_TR; i++)
        assert_int_equal(m.seg[i], vcpu->segs.seg[i].selector);

    if (place->last_out)
        memset(expected, place->fill, SLOTS);
    else
        expected[LEFT] = 1;
    memset(expected + slot, place->fill, landing->remains);
    assert_memory_equal(m.memory, expected, sizeof(expected));
    for (uint32_t i = 0; i < RESUME_LANDING_MAX; i++)
        own += m.memory[slot + i] != place->fill;
    assert_int_equal(own, landing->differs);
}

/* -------------------------------------------------------------------------- random states */

static uint64_t seed;

static uint64_t random64(void)
{
    uint64_t value = seed += UINT64_C(0x9e3779b97f4a7c15); /* SplitMix64 */

    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

static uint32_t below(uint32_t end)
{
    return (uint32_t)(random64() >> 32) % end;
}

/* Values at and around the boundaries between encodings. */
static uint64_t edge(void)
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
                                      UINT64_MAX,
                                      UINT64_C(0xffffffffffffff80),
                                      UINT64_C(0xffffffffffffff7f),
                                      UINT64_C(0xffffffff80000000),
                                      UINT64_C(0xffffffff7fffffff),
                                      UINT64_C(0xcccccccccccccccc),
                                      UINT64_C(0x0123456789abcdef)};

    return values[below(sizeof(values) / sizeof(values[0]))];
}

/* All registers in one style, or each in its own. */
static void random_registers(struct resume_vcpu *v)
{
    uint32_t style = below(8);
    uint64_t common = random64();

    for (uint32_t i = 0; i < RESUME_GPR_COUNT; i++) {
        uint32_t kind = style == 7 ? below(7) : style;
        uint64_t values[] = {random64() | UINT64_C(1) << 62, /* never short */
                             below(3) != 0 ? 0 : random64(),
                             below(256),
                             random64() >> 32,
                             edge(),
                             UINT64_C(0xffffc90000000000) | (common & 0xfff000) | below(4096),
                             common + below(512) - 256};

        v->regs.gpr[i] = values[kind];
    }
}

enum level { KERNEL, KERNEL_COMPAT, USER, USER_COMPAT, MIDDLE, LEVELS };

static void random_vcpu(struct resume_vcpu *v, enum level level)
{
    static const uint16_t selectors[] = {0, 0, 0, 0x2b, 0x53, 0x18, 0x63};
    static const uint64_t flags = UINT64_C(0x247ed5); /* all but TF, RF, VM, VIF, VIP */
    struct resume_segment *cs = &v->segs.seg[RESUME_CS];
    struct resume_segment *ss = &v->segs.seg[RESUME_SS];
    uint32_t cpl = level <= KERNEL_COMPAT ? 0 : level == MIDDLE ? 1 + below(2) : 3;
    int compat = level == KERNEL_COMPAT || level == USER_COMPAT;

    linux_vcpu_user(v);
    random_registers(v);
    cs->selector = (uint16_t)((below(0x2000) | 1) << 3 | cpl);
    ss->selector = (uint16_t)((below(0x2000) | 1) << 3 | cpl);
    cs->access =
        (cs->access & ~(ACCESS_L | ACCESS_DB | 0x60)) | cpl << 5 | (compat ? ACCESS_DB : ACCESS_L);
    for (uint32_t i = 0; i < 4; i++) {
        static const uint8_t data[] = {RESUME_ES, RESUME_DS, RESUME_FS, RESUME_GS};

        v->segs.seg[data[i]].selector = selectors[below(7)];
    }
    if (below(4) == 0) { /* no null selector but LDTR's */
        v->segs.seg[RESUME_ES].selector = v->segs.seg[RESUME_DS].selector = 0x2b;
        v->segs.seg[RESUME_FS].selector = v->segs.seg[RESUME_GS].selector = 0x53;
    }
    v->segs.seg[RESUME_LDTR].selector = below(2) ? 0 : 0x50;
    v->regs.rflags = (random64() & flags) | 2;
    if (below(4) == 0)
        v->regs.rflags |= random64() & UINT64_C(0x190100); /* TF, RF, VIF, VIP */
    v->regs.rip = level == USER ? UINT64_C(0x7f0000000000) | random64() >> 24
                                : LINUX_HOME_VA + (uint64_t)below(0x10000000) - 0x20000000;
    v->ctrl.cr0 = below(2) ? 0x80050033 : 0x8005003b;
    if (below(8) == 0)
        v->ctrl.cr0 &= ~CR0_WP;
    if (compat) {
        v->regs.rip = (uint32_t)v->regs.rip;
        v->regs.gpr[RESUME_RSP] = (uint32_t)v->regs.gpr[RESUME_RSP];
    }
    if (level == KERNEL && below(8) == 0)
        v->regs.rip = UINT64_C(0xffff888000000000) | random64() >> 32; /* out of JMP's reach */
}

static void random_events(struct resume_vcpu *v)
{
    uint64_t special = v->regs.rflags & UINT64_C(0x190100);

    if (below(8) == 0)
        v->run.nmi_pending = 1;
    if (below(8) == 0 && special == 0 && (v->segs.seg[RESUME_CS].access & ACCESS_L) != 0)
        v->run.nmi_masked = 1;
    if (below(6) == 0) {
        v->run.interrupt_shadow = 1 + below(3);
        v->run.shadow_length =
            v->run.interrupt_shadow == 3 ? 1 + below(2) : v->run.interrupt_shadow;
        if (v->run.shadow_length == 1) {
            v->regs.rflags |= RFLAGS_IF;
            v->regs.rflags &= ~RFLAGS_TF;
        }
    }
}

static void random_place(struct resume_landing_place *place)
{
    static const uint32_t others[] = {0, 1, 7, 127, 128, 255};

    *place = place_at(LINUX_HOME_VA);
    place->slot_va = LINUX_HOME_VA + SLOTS + below(3) * RESUME_LANDING_MAX;
    place->fill = below(3) == 0 ? 0 : FILL;
    place->last_out = (uint8_t)below(2);
    place->others = others[below(6)];
}

/* ------------------------------------------------------------------------- how much remains */

/* RAX to RDI but RSP: the registers that need no prefix. */
static uint32_t short_registers(const struct resume_vcpu *v, uint64_t most)
{
    uint32_t count = 0;

    for (uint32_t i = RESUME_RAX; i <= RESUME_RDI; i++)
        count += i != RESUME_RSP && v->regs.gpr[i] <= most;
    return count;
}

/* There is a null selector that a register can be zeroed from in two bytes. */
static int null_selector(const struct resume_vcpu *v)
{
    return v->segs.seg[RESUME_ES].selector == 0 || v->segs.seg[RESUME_DS].selector == 0 ||
           v->segs.seg[RESUME_FS].selector == 0 || v->segs.seg[RESUME_GS].selector == 0;
}

/*
 * The most that may remain. MOV CR0: 3. A lost register: 2 when it and a selector are zero, 5 when
 * below 4 GiB, else 9 popped, or 10 where nothing can be popped. In form JUMP a second one, or the
 * same again with CR0 (5). STI 1. Then the way out: JMP 5 or 14; RETFQ 2 + 8 + 2 + 8 + 2, IRETQ the same and 3 of
 * RFLAGS.
 */
static uint32_t most(const struct resume_vcpu *v, const struct resume_landing *landing)
{
    uint32_t zeros = null_selector(v) ? short_registers(v, 0) : 0;
    uint32_t fours = short_registers(v, UINT32_MAX);
    uint32_t lost = zeros != 0 ? 2 : fours != 0 ? 5 : 9;
    uint32_t leave = 22;

    if (landing->form == RESUME_LANDING_JUMP) {
        lost = zeros >= 2 ? 4 : zeros == 1 ? 7 : fours != 0 ? 10 : 15;
        leave = landing->bytes[landing->leave] == 0xe9 ? 5 : 14;
    }
    return 3 + lost + (landing->form == RESUME_LANDING_IRET ? 3u : 1u) + leave;
}

#define MOST_EVER 48
static uint32_t histogram[4][LEVELS][MOST_EVER + 1];

static void print_histogram(void)
{
    static const char *const forms[] = {"", "JUMP", "RETF", "IRET"};
    static const char *const levels[] = {"kernel", "kernel compat", "user", "user compat",
                                         "CPL 1-2"};

    for (uint32_t f = 1; f < 4; f++) {
        for (uint32_t l = 0; l < LEVELS; l++) {
            int any = 0;

            for (uint32_t i = 0; i <= MOST_EVER; i++) {
                if (histogram[f][l][i] != 0) {
                    if (!any)
                        print_message("%s, %s: bytes x landings:", forms[f], levels[l]);
                    print_message(" %ux%u", i, histogram[f][l][i]);
                    any = 1;
                }
            }
            if (any)
                print_message("\n");
        }
    }
}

static void random_states_land(void **context)
{
    (void)context;
    for (uint32_t i = 0; i < 20000; i++) {
        struct resume_landing_place place;
        struct resume_landing landing;
        struct resume_vcpu vcpu;
        enum level level = (enum level)(i % LEVELS);

        seed = i;
        random_vcpu(&vcpu, level);
        random_events(&vcpu);
        random_place(&place);
        land(&vcpu, &place, (random64() & UINT64_C(0x2448d5)) | 2, &landing);
        if (landing.differs > most(&vcpu, &landing))
            fail_msg("seed %u, form %u: %u bytes remain, more than %u", i, landing.form,
                     landing.differs, most(&vcpu, &landing));
        assert_in_range(landing.differs, 0, MOST_EVER);
        if (place.fill == FILL)
            histogram[landing.form][level][landing.differs]++;
    }
    print_histogram();
}

/* With CR4.CET the landing sets CR4 after CR0. */
static void cet_states_land(void **context)
{
    (void)context;
    for (uint32_t i = 0; i < 1000; i++) {
        struct resume_landing_place place;
        struct resume_landing landing;
        struct resume_vcpu vcpu;

        seed = UINT64_C(0x100000000) + i;
        random_vcpu(&vcpu, (enum level)(i % LEVELS));
        random_events(&vcpu);
        random_place(&place);
        vcpu.ctrl.cr0 |= CR0_WP;
        vcpu.ctrl.cr4 |= CR4_CET;
        if (vcpu.run.nmi_masked && i % LEVELS == KERNEL)
            vcpu.regs.rip = LINUX_HOME_VA + 0x100000; /* only IRET goes further */
        land(&vcpu, &place, 2, &landing);
        assert_in_range(landing.differs, 0, MOST_EVER);
    }
}

static void samples_land(void **context)
{
    struct resume_landing_place place = place_at(LINUX_HOME_VA);
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

/* -------------------------------------------------------------------------- which form it is */

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
    struct resume_landing_place place = place_at(LINUX_HOME_VA);
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
    struct resume_landing_place place = place_at(UINT64_C(0xffff888000000000));
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
    struct resume_landing_place place = place_at(LINUX_HOME_VA);
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
    struct resume_landing_place place = place_at(LINUX_HOME_VA);
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
    struct resume_landing_place place = place_at(LINUX_HOME_VA);
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
    struct resume_landing_place place = place_at(LINUX_HOME_VA);
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
    struct resume_landing_place place = place_at(LINUX_HOME_VA);
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
        cmocka_unit_test(random_states_land),
        cmocka_unit_test(cet_states_land),
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
