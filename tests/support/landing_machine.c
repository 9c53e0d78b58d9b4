/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "landing_machine.h"

#include <stddef.h>

#define CF UINT64_C(0x1)
#define ZF UINT64_C(0x40)
#define TF UINT64_C(0x100)
#define IF UINT64_C(0x200)
#define DF UINT64_C(0x400)
#define NT UINT64_C(0x4000)
#define VM UINT64_C(0x20000)
#define FLAGS UINT64_C(0x3f7fd5) /* what RFLAGS has, without the bit that is always set */
#define FLAGS_KEPT_BY_POPF UINT64_C(0x1b0000) /* RF, VM, VIF, VIP */
#define WP UINT64_C(0x10000)
#define CET UINT64_C(0x800000)

#define SP 4

/* An instruction that is being decoded. */
struct decoder {
    struct landing_machine *m;
    uint32_t lock;
    uint32_t rep;
    uint32_t w;
    uint32_t r;
    uint32_t b;
    uint32_t reg; /* of ModRM, with REX */
    uint32_t rm;
    uint32_t is_memory;
    uint32_t on_sp; /* the address is based on RSP */
    uint32_t rip_relative;
    uint64_t address;
};

static void fail(struct landing_machine *m, const char *why)
{
    if (m->error == NULL)
        m->error = why;
}

static int outside(struct landing_machine *m, uint64_t address, uint64_t length)
{
    if (address - m->base >= LANDING_MACHINE_MEMORY ||
        LANDING_MACHINE_MEMORY - (address - m->base) < length) {
        fail(m, "access outside the memory");
        return 1;
    }
    return 0;
}

static uint64_t load(struct landing_machine *m, uint64_t address, uint32_t length)
{
    uint64_t value = 0;

    if (outside(m, address, length))
        return 0;
    for (uint32_t i = length; i-- > 0;)
        value = value << 8 | m->memory[address - m->base + i];
    return value;
}

static void store(struct landing_machine *m, uint64_t address, uint32_t length, uint64_t value)
{
    if (outside(m, address, length))
        return;
    if (m->cr0 & WP)
        fail(m, "write to read-only memory with CR0.WP set");
    for (uint32_t i = 0; i < length; i++) {
        m->memory[address - m->base + i] = (uint8_t)(value >> (8 * i));
        m->written[address - m->base + i] = 1;
    }
}

static uint64_t fetch(struct landing_machine *m, uint32_t length)
{
    uint64_t value = load(m, m->rip, length);

    for (uint32_t i = 0; m->error == NULL && i < length; i++) {
        if (m->written[m->rip - m->base + i])
            fail(m, "executes what it has overwritten");
    }
    m->rip += length;
    return value;
}

static uint64_t sign_extend(uint64_t value, uint32_t bits)
{
    uint64_t sign = UINT64_C(1) << (bits - 1);

    return (value ^ sign) - sign;
}

static uint64_t pop(struct landing_machine *m, uint32_t size)
{
    uint64_t value = load(m, m->reg[SP], size);

    m->reg[SP] += size;
    return value;
}

/* A 32-bit result clears the upper half. */
static void set(struct landing_machine *m, uint32_t reg, uint32_t w, uint64_t value)
{
    m->reg[reg] = w ? value : (uint32_t)value;
}

/* SDM vol. 2, "Instruction Format": ModRM, SIB and displacement. @immediate: bytes that follow. */
static void modrm(struct decoder *d, uint32_t immediate)
{
    uint64_t byte = fetch(d->m, 1);
    uint32_t mod = (uint32_t)byte >> 6;
    uint32_t low = (uint32_t)byte & 7;

    d->reg = ((uint32_t)byte >> 3 & 7) | d->r << 3;
    d->rm = low | d->b << 3;
    d->is_memory = mod != 3;
    if (mod == 3)
        return;
    if (mod == 0 && low == 5) {
        uint64_t disp = sign_extend(fetch(d->m, 4), 32);

        d->rip_relative = 1;
        d->address = d->m->rip + immediate + disp;
        return;
    }
    if (low == 4) {
        if (fetch(d->m, 1) != 0x24)
            fail(d->m, "an index register, or another base");
        d->on_sp = d->rm == SP;
    }
    d->address = d->m->reg[d->rm];
    if (mod == 1)
        d->address += sign_extend(fetch(d->m, 1), 8);
    else if (mod == 2)
        d->address += sign_extend(fetch(d->m, 4), 32);
    else if (low == 5)
        fail(d->m, "no base");
}

/* SDM vol. 2, "RET": far return; SS:RSP are popped on a change of privilege. */
static void far_return(struct landing_machine *m, uint32_t size)
{
    uint64_t rip = pop(m, size);
    uint16_t cs = (uint16_t)pop(m, size);

    if ((cs & 3u) > m->cpl) {
        uint64_t rsp = pop(m, size);

        m->seg[2] = (uint16_t)pop(m, size);
        m->reg[SP] = m->compat ? (uint32_t)rsp : rsp;
    } else {
        fail(m, "far return that leaves RSP alone");
    }
    m->seg[1] = cs;
    m->cpl = cs & 3u;
    m->rip = rip;
}

/* SDM vol. 2, "IRET": from 64-bit mode SS:RSP are always popped. */
static void interrupt_return(struct landing_machine *m, uint32_t size)
{
    uint64_t rip = pop(m, size);
    uint16_t cs = (uint16_t)pop(m, size);
    uint64_t rflags = pop(m, size);
    uint64_t rsp = pop(m, size);

    if (m->rflags & NT)
        fail(m, "IRET with NT set");
    if (rflags & VM)
        fail(m, "IRET to virtual-8086 mode");
    m->seg[2] = (uint16_t)pop(m, size);
    m->reg[SP] = m->compat ? (uint32_t)rsp : rsp;
    m->rflags = (rflags & FLAGS) | 2;
    m->seg[1] = cs;
    m->cpl = cs & 3u;
    m->rip = rip;
    m->irets++;
}

static void fill(struct landing_machine *m)
{
    if (m->rflags & DF)
        fail(m, "REP STOSB with DF set");
    if (m->arriving != 0)
        m->early++;
    for (; m->reg[1] != 0 && m->error == NULL; m->reg[1]--)
        store(m, m->reg[7]++, 1, m->reg[0]);
}

/* The others count their departure, one each time that this one looks. */
static uint64_t look(struct landing_machine *m, uint64_t address)
{
    uint64_t value = load(m, address, 4);

    if (address == m->left_va && m->arriving != 0) {
        m->arriving--;
        store(m, address, 4, value + 1);
    }
    return value;
}

static void compare(struct decoder *d, uint32_t immediate)
{
    uint64_t left;
    uint64_t right;

    modrm(d, immediate);
    right = (uint32_t)sign_extend(fetch(d->m, immediate), 8 * immediate);
    if (!d->rip_relative || (d->reg & 7) != 7)
        fail(d->m, "no CMP of memory");
    left = look(d->m, d->address);
    d->m->rflags &= ~(CF | ZF);
    d->m->rflags |= (left < right ? CF : 0) | (left == right ? ZF : 0);
}

static void move_control(struct decoder *d)
{
    struct landing_machine *m = d->m;
    uint64_t value;

    modrm(d, 0);
    value = m->reg[d->rm];
    if (d->is_memory || value >> 32 != 0)
        fail(m, "a control register is not loaded like that");
    if ((d->reg & 7) == 0)
        m->cr0 = value;
    else if ((d->reg & 7) == 4)
        m->cr4 = value;
    else
        fail(m, "no such control register");
    if ((m->cr4 & CET) != 0 && (m->cr0 & WP) == 0)
        fail(m, "CR4.CET without CR0.WP");
}

static void two_bytes(struct decoder *d)
{
    uint64_t opcode = fetch(d->m, 1);

    if (opcode == 0x22) {
        move_control(d);
    } else if (opcode == 0x00) {
        modrm(d, 0);
        if (d->is_memory || (d->reg & 7) != 0)
            fail(d->m, "no SLDT");
        d->m->reg[d->rm] = d->m->seg[6];
    } else {
        fail(d->m, "an instruction that no landing has");
    }
}

/* POP to memory: the address is computed after RSP has grown. */
static void pop_to_memory(struct decoder *d)
{
    uint64_t value;

    modrm(d, 0);
    value = pop(d->m, 8);
    if (d->is_memory && d->reg == 0)
        store(d->m, d->address + (d->on_sp ? 8 : 0), 8, value);
    else
        fail(d->m, "no POP to memory");
}

static void with_modrm(struct decoder *d, uint64_t opcode)
{
    struct landing_machine *m = d->m;

    modrm(d, opcode == 0xc7 ? 4 : 0);
    if (opcode == 0x89 && !d->is_memory) {
        set(m, d->rm, d->w, m->reg[d->reg]);
    } else if (opcode == 0x89 && d->w) {
        store(m, d->address, 8, m->reg[d->reg]);
    } else if (opcode == 0x8b && d->is_memory && d->w) {
        m->reg[d->reg] = load(m, d->address, 8);
    } else if (opcode == 0x8d && d->is_memory) {
        set(m, d->reg, d->w, d->address);
    } else if (opcode == 0x63 && !d->is_memory && d->w) {
        m->reg[d->reg] = sign_extend((uint32_t)m->reg[d->rm], 32);
    } else if (opcode == 0xc7 && !d->is_memory && d->w && (d->reg & 7) == 0) {
        m->reg[d->rm] = sign_extend(fetch(m, 4), 32);
    } else if (opcode == 0x8c && !d->is_memory && d->reg < 6) {
        m->reg[d->rm] = m->seg[d->reg];
    } else if (opcode == 0xff && d->rip_relative && d->reg == 4) {
        m->rip = load(m, d->address, 8);
    } else if (opcode == 0xff && d->rip_relative && d->reg == 0 && d->lock) {
        store(m, d->address, 4, load(m, d->address, 4) + 1);
    } else {
        fail(m, "an instruction that no landing has");
    }
}

static void sign_of_rax(struct decoder *d)
{
    if (d->w)
        d->m->reg[2] = d->m->reg[0] >> 63 ? UINT64_MAX : 0;
    else
        d->m->reg[2] = d->m->reg[0] >> 31 & 1 ? UINT32_MAX : 0;
}

static void pop_flags(struct landing_machine *m)
{
    uint64_t value = pop(m, 8);

    if (value & (TF | IF | FLAGS_KEPT_BY_POPF))
        fail(m, "POPFQ of flags that it must not, or cannot, set");
    m->rflags = (value & FLAGS) | 2;
}

static void one_byte(struct decoder *d, uint64_t opcode)
{
    struct landing_machine *m = d->m;
    uint64_t low = opcode & 7;

    if ((opcode & 0xf8) == 0xb8) {
        m->reg[low | d->b << 3] = fetch(m, d->w ? 8 : 4);
    } else if (opcode == 0xb0) {
        m->reg[0] = (m->reg[0] & ~UINT64_C(0xff)) | fetch(m, 1);
    } else if ((opcode & 0xf8) == 0x58) {
        m->reg[low | d->b << 3] = pop(m, 8); /* POP RSP: what is popped, not incremented */
    } else if (opcode == 0x72) {
        uint64_t to = sign_extend(fetch(m, 1), 8);

        m->rip += m->rflags & CF ? to : 0;
    } else if (opcode == 0x99) {
        sign_of_rax(d);
    } else if (opcode == 0x9d) {
        pop_flags(m);
    } else if (opcode == 0xfb) {
        m->shadow = (m->rflags & IF) == 0;
        m->rflags |= IF;
    } else if (opcode == 0xe9) {
        uint64_t to = sign_extend(fetch(m, 4), 32);

        m->rip += to;
    } else if (opcode == 0xcb) {
        far_return(m, d->w ? 8 : 4);
    } else if (opcode == 0xcf) {
        interrupt_return(m, d->w ? 8 : 4);
    } else if (opcode == 0x0f) {
        two_bytes(d);
    } else if (opcode == 0x8f) {
        pop_to_memory(d);
    } else if (opcode == 0x83 || opcode == 0x81) {
        compare(d, opcode == 0x83 ? 1 : 4);
    } else {
        with_modrm(d, opcode);
    }
}

static void step(struct landing_machine *m)
{
    struct decoder d = {.m = m};
    uint32_t shadow = m->shadow;
    uint64_t opcode = fetch(m, 1);

    if ((m->rflags & IF) != 0 && !shadow)
        m->if_exposed = 1;
    m->shadow = 0;
    if (opcode == 0xf0 || opcode == 0xf3) {
        d.lock = opcode == 0xf0;
        d.rep = opcode == 0xf3;
        opcode = fetch(m, 1);
    }
    if ((opcode & 0xf0) == 0x40) {
        d.w = opcode >> 3 & 1;
        d.r = opcode >> 2 & 1;
        d.b = opcode & 1;
        if (opcode & 2)
            fail(m, "an index register");
        opcode = fetch(m, 1);
    }
    if (d.rep && opcode == 0xaa)
        fill(m);
    else if (d.rep && opcode != 0x90)
        fail(m, "REP of something");
    else if (d.lock && opcode != 0xff)
        fail(m, "LOCK of something");
    else if (!d.rep)
        one_byte(&d, opcode);
}

void landing_machine_return(struct landing_machine *m)
{
    m->rip = pop(m, 8);
}

int landing_machine_run(struct landing_machine *m, uint32_t limit)
{
    while (m->error == NULL && m->steps < limit) {
        if (m->rip - m->base >= LANDING_MACHINE_MEMORY)
            return 1;
        step(m);
        m->steps++;
    }
    return 0;
}
