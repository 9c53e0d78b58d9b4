/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "landing_parts.h"

#include "arch.h"

/* Bytes that the CPU does not look at keep the fill. */
static uint64_t fill_pattern(uint8_t fill)
{
    return fill * UINT64_C(0x0101010101010101);
}

struct resume_code_sources resume_landing_sources(const struct resume_landing_course *course,
                                                  uint32_t lost, uint32_t fill)
{
    struct resume_code_sources from = {.vcpu = course->vcpu,
                                       .registers = 0xffffu & ~lost,
                                       .segments = 1u << RESUME_ES | 1u << RESUME_DS |
                                                   1u << RESUME_FS | 1u << RESUME_GS |
                                                   1u << RESUME_LDTR,
                                       .fill = fill,
                                       .stack = 0};

    if (course->form == RESUME_LANDING_JUMP) {
        from.segments |= 1u << RESUME_CS | 1u << RESUME_SS;
    } else {
        from.registers &= ~resume_register_bit(RESUME_RSP);
        from.stack = 1;
    }
    return from;
}

static void put_tail_load(struct resume_landing_tail *tail, const struct resume_code_sources *from,
                          uint32_t reg, uint64_t value)
{
    int popped;

    tail->differs += resume_code_load(&tail->code, from, reg, value, &popped);
    if (popped) {
        tail->data[tail->data_count++] = value;
    }
}

/* Restore the lost registers, the cheapest first: it may help the others. */
static void put_restores(const struct resume_landing_course *course, uint32_t lost,
                         struct resume_landing_tail *tail)
{
    const uint64_t *gpr = course->vcpu->regs.gpr;

    while (lost != 0) {
        struct resume_code_sources from = resume_landing_sources(course, lost, course->place->fill);
        uint32_t cheapest = RESUME_NO_REGISTER;
        uint32_t least = UINT32_MAX;

        for (uint32_t i = 0; i < RESUME_GPR_COUNT; i++) {
            struct resume_code code;
            int popped;

            code.length = 0;
            if ((lost & resume_register_bit(i)) != 0) {
                uint32_t cost = resume_code_load(&code, &from, i, gpr[i], &popped);

                if (cost < least) {
                    least = cost;
                    cheapest = i;
                }
            }
        }
        put_tail_load(tail, &from, cheapest, gpr[cheapest]);
        lost &= ~resume_register_bit(cheapest);
    }
}

/* MOV CRn, reg; no 64-bit prefix is needed. */
static void put_control(struct resume_code *code, uint8_t control, uint32_t reg)
{
    if (reg >= RESUME_R8) {
        RESUME_CODE(code, 0x41);
    }
    RESUME_CODE(code, 0x0f, 0x22, (uint8_t)(0xc0u | (uint32_t)control << 3 | (reg & 7)));
}

int resume_landing_needs_sti(const struct resume_landing_course *course)
{
    return course->form != RESUME_LANDING_IRET && (course->rflags & RESUME_RFLAGS_IF) != 0;
}

static void put_leave(const struct resume_landing_course *course, struct resume_code *code)
{
    uint64_t end = course->place->slot_va + RESUME_LANDING_MAX;
    uint8_t opcode = course->form == RESUME_LANDING_RETF ? 0xcb : 0xcf;

    if (course->form != RESUME_LANDING_JUMP) {
        RESUME_CODE(code, 0x48, opcode); /* retfq, iretq */
    } else if (course->distant) {
        RESUME_CODE(code, 0xff, 0x25, 0, 0, 0, 0); /* jmp [rip + 0] */
        resume_code_value(code, course->rip, 8);
    } else {
        RESUME_CODE(code, 0xe9); /* jmp rel32: the slot's last bytes, counts from its end */
        resume_code_value(code, course->rip - end, 4);
    }
}

void resume_landing_build_tail(const struct resume_landing_course *course,
                               const struct resume_landing_registers *regs,
                               struct resume_landing_tail *tail)
{
    uint8_t fill = course->place->fill;
    uint32_t lost = resume_register_bit(regs->cr0) | resume_register_bit(regs->cr4) |
                    resume_register_bit(regs->fill);
    struct resume_code_sources from = resume_landing_sources(course, lost, fill);
    const struct resume_ctrl *ctrl = &course->vcpu->ctrl;
    uint32_t before;

    tail->code.length = 0;
    tail->data_count = 0;
    tail->differs = 0;
    if (regs->cr0 == regs->fill) {
        put_tail_load(tail, &from, regs->cr0, ctrl->cr0);
    }
    before = tail->code.length;
    put_control(&tail->code, 0, regs->cr0);
    tail->differs +=
        resume_code_differs(tail->code.bytes + before, tail->code.length - before, fill);
    if (course->cet) {
        if (regs->cr4 == regs->cr0) {
            put_tail_load(tail, &from, regs->cr4, ctrl->cr4);
        }
        before = tail->code.length;
        put_control(&tail->code, 4, regs->cr4);
        tail->differs +=
            resume_code_differs(tail->code.bytes + before, tail->code.length - before, fill);
    }
    put_restores(course, lost, tail);
    before = tail->code.length;
    if (resume_landing_needs_sti(course)) {
        RESUME_CODE(&tail->code, 0xfb); /* the next instruction still runs before any interrupt */
    }
    tail->leave = tail->code.length;
    put_leave(course, &tail->code);
    tail->differs +=
        resume_code_differs(tail->code.bytes + before, tail->code.length - before, fill);
}

void resume_landing_build_frame(const struct resume_landing_course *course,
                                struct resume_code *frame)
{
    const struct resume_vcpu *vcpu = course->vcpu;
    uint64_t fill = fill_pattern(course->place->fill);
    const struct resume_segment *seg = vcpu->segs.seg;

    /* Not the shorter forms of 4 bytes each: QEMU 7.2 cuts RSP to 32 bits in them. */
    frame->length = 0;
    resume_code_value(frame, course->rip, 8);
    resume_code_value(frame, (fill & ~UINT64_C(0xffff)) | seg[RESUME_CS].selector, 8);
    if (course->form == RESUME_LANDING_IRET) { /* reserved bits are not looked at */
        resume_code_value(
            frame, (fill & ~RESUME_RFLAGS_KNOWN) | (course->rflags & RESUME_RFLAGS_KNOWN), 8);
    }
    resume_code_value(frame, vcpu->regs.gpr[RESUME_RSP], 8);
    resume_code_value(frame, (fill & ~UINT64_C(0xffff)) | seg[RESUME_SS].selector, 8);
}

/* Leaving the common part: count, or wait for all others and refill. */
static void put_departure(const struct resume_landing_course *course, uint64_t va,
                          struct resume_code *code)
{
    const struct resume_landing_place *place = course->place;

    if (!place->last_out) {
        RESUME_CODE(code, 0xf0, 0xff, 0x05); /* lock inc dword [rip + disp32] */
        resume_code_value(code, place->left_va - (va + code->length + 4), 4);
    } else if (place->others != 0) {
        uint32_t size = place->others <= 0x7f ? 1 : 4;
        uint32_t loop = code->length;

        RESUME_CODE(code, 0xf3, 0x90); /* pause */
        RESUME_CODE(code, (uint8_t)(size == 1 ? 0x83 : 0x81),
                    0x3d); /* cmp dword [rip + disp32], imm */
        resume_code_value(code, place->left_va - (va + code->length + 4 + size), 4);
        resume_code_value(code, place->others, size);
        RESUME_CODE(code, 0x72); /* jb: unsigned */
        RESUME_CODE(code, (uint8_t)(loop - (code->length + 1)));
    }
    if (course->refills) {
        RESUME_CODE(code, 0xf3, 0xaa); /* rep stosb */
    }
}

/* A register that the wiping or the tail is going to need; nothing to make it from. */
static void put_head_load(const struct resume_landing_course *course, struct resume_code *code,
                          uint32_t reg, uint64_t value)
{
    const struct resume_code_sources from = {.vcpu = course->vcpu, .fill = RESUME_CODE_NO_FILL};
    int popped;

    resume_code_load(code, &from, reg, value, &popped);
}

void resume_landing_build_head(const struct resume_landing_course *course,
                               const struct resume_landing_registers *regs, uint64_t va,
                               uint32_t pad, struct resume_landing_head *head)
{
    const uint64_t *gpr = course->vcpu->regs.gpr;
    struct resume_code *code = &head->code;
    uint32_t lost = resume_register_bit(regs->cr0) | resume_register_bit(regs->cr4) |
                    resume_register_bit(regs->fill) | resume_register_bit(regs->pointer);
    int32_t back; /* from RSP, when all but the last is popped, to where the wiping begins */

    code->length = 0;
    head->data_count = 0;
    head->data[head->data_count++] = va;
    /* IRET wants NT clear, and brings the guest's flags itself. */
    head->data[head->data_count++] =
        course->form == RESUME_LANDING_IRET
            ? RESUME_RFLAGS_ONE
            : course->rflags & ~(RESUME_FLAGS_ONLY_IRET | RESUME_RFLAGS_IF | RESUME_RFLAGS_VM);
    put_departure(course, va, code);
    RESUME_CODE(code, 0x9d); /* popfq */
    if (course->refills && (lost & resume_register_bit(RESUME_RDI)) == 0) {
        RESUME_CODE(code, 0x5f); /* pop rdi */
        head->data[head->data_count++] = gpr[RESUME_RDI];
    }
    if (course->refills && (lost & resume_register_bit(RESUME_RCX)) == 0) {
        RESUME_CODE(code, 0x59); /* pop rcx */
        head->data[head->data_count++] = gpr[RESUME_RCX];
    }
    if (course->refills && (lost & resume_register_bit(RESUME_RAX)) == 0) {
        RESUME_CODE(code, 0xb0, (uint8_t)gpr[RESUME_RAX]); /* mov al, imm8 */
    }
    if (course->cet && regs->cr4 != regs->cr0) {
        put_head_load(course, code, regs->cr4, course->vcpu->ctrl.cr4);
    }
    back = -(int32_t)(pad + 8 * head->data_count);
    if (course->form == RESUME_LANDING_JUMP) {
        resume_code_memory(code, 0x8d, regs->pointer, RESUME_RSP, back + 128);
        resume_code_memory(code, 0x8b, regs->fill, RESUME_RSP, back - 8); /* the fill before it */
        RESUME_CODE(code, 0x5c);                                          /* pop rsp */
        head->data[head->data_count++] = gpr[RESUME_RSP];
    } else {
        put_head_load(course, code, regs->cr0, course->vcpu->ctrl.cr0);
        resume_code_memory(code, 0x8d, RESUME_RSP, RESUME_RSP, back - 8);
    }
}
