/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Encodings: Intel SDM vol. 2, "Instruction Format" and the instructions' own pages. */
#include "landing_code.h"

#include "env.h"

#define REX 0x40u
#define REX_W 8u

void resume_code_put(struct resume_code *code, const uint8_t *bytes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (code->length < RESUME_LANDING_MAX) {
            code->bytes[code->length] = bytes[i];
        }
        code->length++;
    }
}

void resume_code_value(struct resume_code *code, uint64_t value, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        RESUME_CODE(code, (uint8_t)(value >> (8 * i)));
    }
}

static void put_rex(struct resume_code *code, int wide, uint32_t reg, uint32_t rm)
{
    uint32_t bits = (wide ? REX_W : 0) | (reg >> 3) << 2 | rm >> 3;

    if (bits != 0) {
        RESUME_CODE(code, (uint8_t)(REX | bits));
    }
}

void resume_code_register(struct resume_code *code, int wide, uint8_t opcode, uint32_t reg,
                          uint32_t rm)
{
    put_rex(code, wide, reg, rm);
    RESUME_CODE(code, opcode, (uint8_t)(0xc0 | (reg & 7) << 3 | (rm & 7)));
}

/* @mod: 1 for a displacement of one byte, 2 for one of four. */
static void put_memory(struct resume_code *code, int wide, uint8_t opcode, uint32_t reg,
                       uint32_t base, uint32_t mod, uint64_t disp)
{
    put_rex(code, wide, reg, base);
    RESUME_CODE(code, opcode, (uint8_t)(mod << 6 | (reg & 7) << 3 | (base & 7)));
    if ((base & 7) == RESUME_RSP) {
        RESUME_CODE(code, 0x24); /* this base needs a SIB byte */
    }
    resume_code_value(code, disp, mod == 1 ? 1 : 4);
}

void resume_code_memory(struct resume_code *code, uint8_t opcode, uint32_t reg, uint32_t base,
                        int32_t disp)
{
    put_memory(code, 1, opcode, reg, base, 1, (uint64_t)(int64_t)disp);
}

uint32_t resume_code_differs(const uint8_t *bytes, uint32_t count, uint32_t fill)
{
    uint32_t differs = 0;

    for (uint32_t i = 0; i < count; i++) {
        differs += bytes[i] != fill;
    }
    return differs;
}

/* The cheapest way so far. */
struct choice {
    uint8_t bytes[16];
    uint32_t length;
    uint32_t cost;
    uint32_t fill;
    int popped;
};

static void offer(struct choice *best, const struct resume_code *code, uint32_t extra, int popped)
{
    uint32_t cost = resume_code_differs(code->bytes, code->length, best->fill) + extra;

    if (best->length == 0 || cost < best->cost ||
        (cost == best->cost && code->length < best->length)) {
        memcpy(best->bytes, code->bytes, code->length);
        best->length = code->length;
        best->cost = cost;
        best->popped = popped;
    }
}

/* From a general register that holds the vCPU's value. */
static void offer_source(struct choice *best, uint32_t reg, uint64_t value, uint32_t source,
                         uint64_t held)
{
    uint32_t low = (uint32_t)held;
    uint64_t sign = UINT64_C(1) << 31;
    uint64_t near32 = (((uint32_t)value - low) ^ sign) - sign; /* the difference, sign-extended */
    uint64_t near64 = value - held;
    struct resume_code code;

    code.length = 0;
    if (value <= UINT32_MAX && low == (uint32_t)value) { /* mov r32, r32 */
        resume_code_register(&code, 0, 0x89, source, reg);
        offer(best, &code, 0, 0);
    } else if (value <= UINT32_MAX && resume_fits_signed(near32, 8)) { /* lea r32, [r + disp8] */
        put_memory(&code, 0, 0x8d, reg, source, 1, near32);
        offer(best, &code, 0, 0);
    } else if (value == held) { /* mov r64, r64 */
        resume_code_register(&code, 1, 0x89, source, reg);
        offer(best, &code, 0, 0);
    } else if (value == (low ^ sign) - sign) { /* movsxd r64, r32 */
        resume_code_register(&code, 1, 0x63, reg, source);
        offer(best, &code, 0, 0);
    } else if (resume_fits_signed(near64, 8)) { /* lea r64, [r + disp8] */
        put_memory(&code, 1, 0x8d, reg, source, 1, near64);
        offer(best, &code, 0, 0);
    } else if (resume_fits_signed(near64, 32)) { /* lea r64, [r + disp32] */
        put_memory(&code, 1, 0x8d, reg, source, 2, near64);
        offer(best, &code, 0, 0);
    }
}

static void offer_segments(struct choice *best, const struct resume_code_sources *from,
                           uint32_t reg, uint64_t value)
{
    for (uint32_t i = RESUME_ES; i <= RESUME_LDTR; i++) {
        struct resume_code code;

        if ((from->segments & 1u << i) == 0 || value != from->vcpu->segs.seg[i].selector) {
            continue;
        }
        code.length = 0;
        if (i == RESUME_LDTR) { /* sldt r32 */
            put_rex(&code, 0, 0, reg);
            RESUME_CODE(&code, 0x0f, 0x00, (uint8_t)(0xc0 | (reg & 7)));
        } else { /* mov r32, Sreg */
            resume_code_register(&code, 0, 0x8c, i, reg);
        }
        offer(best, &code, 0, 0);
    }
}

/* RDX from the sign of RAX, in one or two bytes. */
static void offer_sign(struct choice *best, uint64_t value, uint64_t rax)
{
    struct resume_code code;

    code.length = 0;
    if (value == ((rax >> 31 & 1) != 0 ? UINT32_MAX : 0)) {
        RESUME_CODE(&code, 0x99); /* cdq */
        offer(best, &code, 0, 0);
    } else if (value == (rax >> 63 != 0 ? UINT64_MAX : 0)) {
        RESUME_CODE(&code, 0x48, 0x99); /* cqo */
        offer(best, &code, 0, 0);
    }
}

static void offer_immediate(struct choice *best, uint32_t reg, uint64_t value)
{
    struct resume_code code;

    code.length = 0;
    if (value <= UINT32_MAX) { /* mov r32, imm32 */
        put_rex(&code, 0, 0, reg);
        RESUME_CODE(&code, (uint8_t)(0xb8 | (reg & 7)));
        resume_code_value(&code, value, 4);
    } else if (resume_fits_signed(value, 32)) { /* mov r64, simm32 */
        resume_code_register(&code, 1, 0xc7, 0, reg);
        resume_code_value(&code, value, 4);
    } else { /* mov r64, imm64 */
        put_rex(&code, 1, 0, reg);
        RESUME_CODE(&code, (uint8_t)(0xb8 | (reg & 7)));
        resume_code_value(&code, value, 8);
    }
    offer(best, &code, 0, 0);
}

static void offer_pop(struct choice *best, uint32_t reg, uint64_t value)
{
    struct resume_code code;
    struct resume_code data;

    code.length = 0;
    data.length = 0;
    put_rex(&code, 0, 0, reg);
    RESUME_CODE(&code, (uint8_t)(0x58 | (reg & 7)));
    resume_code_value(&data, value, 8);
    offer(best, &code, resume_code_differs(data.bytes, data.length, best->fill), 1);
}

uint32_t resume_code_load(struct resume_code *code, const struct resume_code_sources *from,
                          uint32_t reg, uint64_t value, int *popped)
{
    const uint64_t *gpr = from->vcpu->regs.gpr;
    struct choice best = {.fill = from->fill};

    offer_immediate(&best, reg, value);
    offer_segments(&best, from, reg, value);
    for (uint32_t i = 0; i < RESUME_GPR_COUNT; i++) {
        if ((from->registers & 1u << i) != 0) {
            offer_source(&best, reg, value, i, gpr[i]);
        }
    }
    if (reg == RESUME_RDX && (from->registers & 1u << RESUME_RAX) != 0) {
        offer_sign(&best, value, gpr[RESUME_RAX]);
    }
    if (from->stack) {
        offer_pop(&best, reg, value);
    }
    resume_code_put(code, best.bytes, best.length);
    *popped = best.popped;
    return best.cost;
}
