/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "landing_machine.h"

#include <stddef.h>

#define IF UINT64_C(0x200)
#define DF UINT64_C(0x400)

static uint8_t *at(struct landing_machine *m, uint64_t address, uint64_t length)
{
    if (address < m->base || address - m->base > m->size ||
        m->size - (address - m->base) < length) {
        m->error = "access outside the home";
        return NULL;
    }
    return m->memory + (address - m->base);
}

static uint64_t little(const uint8_t *bytes, uint32_t count)
{
    uint64_t value = 0;

    for (uint32_t i = count; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

static uint64_t sign_extend(uint64_t value, uint32_t bits)
{
    uint64_t sign = UINT64_C(1) << (bits - 1);

    return (value ^ sign) - sign;
}

static uint64_t pop(struct landing_machine *m)
{
    uint8_t *bytes = at(m, m->reg[4], 8);

    if (bytes == NULL)
        return 0;
    m->reg[4] += 8;
    return little(bytes, 8);
}

/* SDM vol. 2, "RET": far return in 64-bit mode; SS:RSP are popped on a change of privilege. */
static void far_return(struct landing_machine *m)
{
    uint64_t rip = pop(m);
    uint16_t cs = (uint16_t)pop(m);

    if ((cs & 3u) > m->cpl) {
        uint64_t rsp = pop(m);

        m->ss = (uint16_t)pop(m);
        m->reg[4] = rsp;
    } else if ((cs & 3u) < m->cpl) {
        m->error = "far return to an inner level";
    }
    m->cs = cs;
    m->cpl = cs & 3u;
    m->rip = rip;
}

/* SDM vol. 2, "IRET": in 64-bit mode SS:RSP are always popped. */
static void interrupt_return(struct landing_machine *m)
{
    uint64_t rip = pop(m);
    uint16_t cs = (uint16_t)pop(m);
    uint64_t rflags = pop(m);
    uint64_t rsp = pop(m);

    if (m->rflags & UINT64_C(0x4000))
        m->error = "IRET with NT set";
    m->ss = (uint16_t)pop(m);
    m->reg[4] = rsp;
    m->rflags = rflags;
    m->cs = cs;
    m->cpl = cs & 3u;
    m->rip = rip;
}

static void fill(struct landing_machine *m)
{
    if (m->rflags & DF)
        m->error = "REP STOSB with DF set";
    if (m->cr0 & 0x10000)
        m->error = "write to read-only memory with CR0.WP set";
    for (; m->reg[1] != 0 && m->error == NULL; m->reg[1]--) {
        uint8_t *byte = at(m, m->reg[7]++, 1);

        if (byte != NULL)
            *byte = (uint8_t)m->reg[0];
    }
}

static void step(struct landing_machine *m)
{
    uint8_t *code = at(m, m->rip, 1);
    uint32_t wide = 0;
    uint32_t shadow = m->shadow;

    if (code == NULL)
        return;
    if ((m->rflags & IF) != 0 && !shadow)
        m->if_exposed = 1;
    m->shadow = 0;
    if (code[0] == 0x48) {
        wide = 1;
        code++;
        m->rip++;
    }
    if (code[0] == 0xf3 && code[1] == 0xaa && !wide) {
        m->rip += 2;
        fill(m);
    } else if (code[0] == 0xb0 && !wide) {
        m->rip += 2;
        m->reg[0] = (m->reg[0] & ~UINT64_C(0xff)) | code[1];
    } else if (code[0] == 0x0f && code[1] == 0x22 && (code[2] & 0xf8) == 0xc0 && !wide) {
        m->rip += 3;
        m->cr0 = m->reg[code[2] & 7];
    } else if (code[0] == 0x89 && (code[1] & 0xc0) == 0xc0 && !wide) {
        m->rip += 2;
        m->reg[code[1] & 7] = (uint32_t)m->reg[code[1] >> 3 & 7];
    } else if (code[0] == 0x8d && (code[1] & 0xc0) == 0x40 && (code[1] & 7) != 4) {
        uint64_t value = m->reg[code[1] & 7] + sign_extend(code[2], 8);

        m->rip += 3;
        m->reg[code[1] >> 3 & 7] = wide ? value : (uint32_t)value;
    } else if ((code[0] & 0xf8) == 0xb8) {
        m->rip += wide ? 9 : 5;
        m->reg[code[0] & 7] = little(code + 1, wide ? 8 : 4);
    } else if (code[0] == 0xc7 && (code[1] & 0xf8) == 0xc0 && wide) {
        m->rip += 6;
        m->reg[code[1] & 7] = sign_extend(little(code + 2, 4), 32);
    } else if ((code[0] & 0xf8) == 0x58 && !wide) {
        m->rip += 1;
        m->reg[code[0] & 7] = pop(m);
    } else if (code[0] == 0xfb && !wide) {
        m->rip += 1;
        m->shadow = (m->rflags & IF) == 0;
        m->rflags |= IF;
    } else if (code[0] == 0xe9 && !wide) {
        m->rip += 5 + sign_extend(little(code + 1, 4), 32);
    } else if (code[0] == 0xcb && wide) {
        far_return(m);
    } else if (code[0] == 0xcf && wide) {
        interrupt_return(m);
    } else {
        m->error = "an instruction that no landing has";
    }
}

int landing_machine_run(struct landing_machine *m, uint32_t limit)
{
    while (m->error == NULL && m->steps < limit) {
        if (m->rip < m->base || m->rip - m->base >= m->size)
            return 1;
        step(m);
        m->steps++;
    }
    return 0;
}
