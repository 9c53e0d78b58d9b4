/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <resume/landing.h>

#include "arch.h"
#include "env.h"

/* POPFQ at CPL 0 cannot set these (VIP, VIF, RF), or the landing must not run under them (TF, DF). */
#define FLAGS_ONLY_IRET                                                                            \
    (RESUME_RFLAGS_TF | RESUME_RFLAGS_DF | RESUME_RFLAGS_RF | RESUME_RFLAGS_VIF | RESUME_RFLAGS_VIP)

/* Bytes under construction. RESUME_LANDING_MAX holds the longest landing, so nothing overflows;
 * the bound is kept all the same. */
struct writer {
    uint8_t *bytes;
    uint32_t length;
};

static void put(struct writer *w, const uint8_t *code, uint32_t length)
{
    if (length <= RESUME_LANDING_MAX - w->length) {
        memcpy(w->bytes + w->length, code, length);
        w->length += length;
    }
}

#define PUT(w, ...)                                                                                \
    do {                                                                                           \
        const uint8_t code_[] = {__VA_ARGS__};                                                     \
        put((w), code_, (uint32_t)sizeof(code_));                                                  \
    } while (0)

static void put_value(struct writer *w, uint64_t value, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
        PUT(w, (uint8_t)(value >> (8 * i)));
    }
}

/* A popped selector: the CPU ignores the upper six bytes, so they keep the fill. */
static void put_selector(struct writer *w, uint16_t selector, uint8_t fill)
{
    put_value(w, selector, 2);
    PUT(w, fill, fill, fill, fill, fill, fill);
}

static int fits_signed(uint64_t value, uint32_t bits)
{
    uint64_t high = value >> (bits - 1);
    return high == 0 || high == UINT64_MAX >> (bits - 1);
}

/*
 * Load register @reg (0-7) with @value by the shortest encoding that leaves RFLAGS alone. RCX is
 * zero here (REP STOSB counted it down), which makes small values cheap: LEA reg, [RCX + disp8].
 * RCX itself must therefore come last. Returns 1 when the value is to be popped instead.
 */
static int put_load(struct writer *w, uint8_t reg, uint64_t value, int can_pop)
{
    uint8_t modrm = (uint8_t)(0x40u | (uint32_t)reg << 3 | RESUME_RCX);

    if (value == 0 && reg == RESUME_RCX) {
        return 0;
    }
    if (value == 0) {
        PUT(w, 0x89, (uint8_t)(0xc8 | reg)); /* mov r32, ecx */
    } else if (value <= 0x7f) {
        PUT(w, 0x8d, modrm, (uint8_t)value); /* lea r32, [rcx + disp8] */
    } else if (fits_signed(value, 8)) {
        PUT(w, 0x48, 0x8d, modrm, (uint8_t)value); /* lea r64, [rcx + disp8] */
    } else if (value <= UINT32_MAX) {
        PUT(w, (uint8_t)(0xb8 | reg)); /* mov r32, imm32 */
        put_value(w, value, 4);
    } else if (fits_signed(value, 32)) {
        PUT(w, 0x48, 0xc7, (uint8_t)(0xc0 | reg)); /* mov r64, simm32 */
        put_value(w, value, 4);
    } else if (can_pop) {
        PUT(w, (uint8_t)(0x58 | reg)); /* pop r64 */
        return 1;
    } else {
        PUT(w, 0x48, (uint8_t)(0xb8 | reg)); /* mov r64, imm64 */
        put_value(w, value, 8);
    }
    return 0;
}

static enum resume_landing_form choose_form(const struct resume_vcpu *vcpu,
                                            const struct resume_home *home)
{
    const struct resume_segment *cs = &vcpu->segs.seg[RESUME_CS];
    uint64_t end = home->va + home->length;

    if (vcpu->regs.rflags & FLAGS_ONLY_IRET) {
        return RESUME_LANDING_IRET;
    }
    if ((cs->selector & 3u) != 0) {
        return RESUME_LANDING_RETF;
    }
    /* At CPL 0, only a 64-bit code segment can already be loaded while this code runs. */
    if ((cs->access & RESUME_SEG_L) != 0 && fits_signed(vcpu->regs.rip - end, 32)) {
        return RESUME_LANDING_JUMP;
    }
    return RESUME_LANDING_IRET;
}

/* Write code and data; @rip_end is the address after the last byte (where JMP counts from). */
static void write_landing(const struct resume_vcpu *vcpu, const struct resume_home *home,
                          struct resume_landing *out)
{
    static const uint8_t order[] = {RESUME_RDI, RESUME_RAX, RESUME_RCX};
    const uint64_t *gpr = vcpu->regs.gpr;
    struct writer w = {out->bytes, 0};
    uint64_t popped[3];
    uint32_t pops = 0;
    uint8_t cr0_low = (uint8_t)vcpu->ctrl.cr0;

    PUT(&w, 0xf3, 0xaa); /* rep stosb */
    if (cr0_low != home->fill) {
        PUT(&w, 0xb0, cr0_low); /* mov al, imm8 */
    }
    PUT(&w, 0x0f, 0x22, 0xc0); /* mov cr0, rax */
    for (uint32_t i = 0; i < 3; i++) {
        if (put_load(&w, order[i], gpr[order[i]], out->form != RESUME_LANDING_JUMP)) {
            popped[pops++] = gpr[order[i]];
        }
    }
    out->sti = out->form != RESUME_LANDING_IRET && (vcpu->regs.rflags & RESUME_RFLAGS_IF) != 0;
    if (out->sti) {
        PUT(&w, 0xfb); /* sti: the next instruction still runs before any interrupt */
    }
    out->leave = w.length;

    if (out->form == RESUME_LANDING_JUMP) {
        PUT(&w, 0xe9); /* jmp rel32, the landing's last bytes: counts from the end of the home */
        put_value(&w, vcpu->regs.rip - (home->va + home->length), 4);
        out->rsp = gpr[RESUME_RSP];
    } else {
        uint32_t data;

        if (out->form == RESUME_LANDING_RETF) {
            PUT(&w, 0x48, 0xcb); /* retfq */
        } else {
            PUT(&w, 0x48, 0xcf); /* iretq */
        }
        data = w.length;
        for (uint32_t i = 0; i < pops; i++) {
            put_value(&w, popped[i], 8);
        }
        put_value(&w, vcpu->regs.rip, 8);
        put_selector(&w, vcpu->segs.seg[RESUME_CS].selector, home->fill);
        if (out->form == RESUME_LANDING_IRET) {
            put_value(&w, vcpu->regs.rflags, 8);
        }
        put_value(&w, gpr[RESUME_RSP], 8);
        put_selector(&w, vcpu->segs.seg[RESUME_SS].selector, home->fill);
        out->rsp = home->va + home->length - (w.length - data);
    }
    out->length = w.length;
}

int resume_landing_compose(const struct resume_vcpu *vcpu, const struct resume_home *home,
                           struct resume_landing *out)
{
    struct resume_landing landing;

    if (vcpu == NULL || home == NULL || out == NULL || home->length < RESUME_LANDING_MAX) {
        return RESUME_EINVAL;
    }
    memset(&landing, 0, sizeof(landing));
    landing.form = choose_form(vcpu, home);
    write_landing(vcpu, home, &landing);

    landing.va = home->va + home->length - landing.length;
    landing.refill_length = home->length - landing.length;
    landing.rax = (vcpu->ctrl.cr0 & ~UINT64_C(0xff)) | home->fill;
    landing.rflags = landing.form == RESUME_LANDING_IRET ? RESUME_RFLAGS_ONE
                                                         : vcpu->regs.rflags & ~RESUME_RFLAGS_IF;
    for (uint32_t i = 0; i < landing.length; i++) {
        landing.differs += landing.bytes[i] != home->fill;
    }
    *out = landing;
    return RESUME_OK;
}
