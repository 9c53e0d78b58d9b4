/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Layout of a landing in its slot, ascending; everything is aligned to the slot's end:
 *
 *   fill | data | head | wiping | tail | fill | frame
 *
 * data    the address of the head, that the trampoline's RET pops; RFLAGS; registers.
 * head    departure, refill, POPFQ and POPs.
 * wiping  overwrites everything up to its own end with fill. Each of its instructions is shorter
 *         than the eight bytes that it wipes, so that it catches up with the execution, and
 *         arrives at its own end exactly; it never wipes what has not been executed yet.
 * tail    CR0 (with it WP), the registers that the wiping needed, and the way out.
 * frame   what the tail pops; forms RETF and IRET only.
 */
#include <resume/landing.h>

#include "arch.h"
#include "internal.h"
#include "landing_code.h"

/* POPFQ at CPL 0 cannot set these (VIP, VIF, RF), or nothing can run under them (TF). */
#define FLAGS_ONLY_IRET                                                                            \
    (RESUME_RFLAGS_TF | RESUME_RFLAGS_RF | RESUME_RFLAGS_VIF | RESUME_RFLAGS_VIP)

#define MSR_S_CET UINT32_C(0x6a2)
#define S_CET_SHADOW_STACK RESUME_BIT(0)
#define S_CET_TRACKER RESUME_BIT(11)

#define NONE RESUME_GPR_COUNT /* no register */

/* The form of all landings of a vCPU: what does not depend on the choice of registers. */
struct course {
    const struct resume_vcpu *vcpu;
    const struct resume_landing_place *place;
    enum resume_landing_form form;
    uint64_t rip;    /* where the guest goes on: before the instruction that made a shadow */
    uint64_t rflags; /* with IF clear where that instruction is STI */
    int cet;         /* CR4.CET: can only be set after CR0.WP */
    int distant;     /* JMP through memory */
    int refills;     /* REP STOSB in the head: uses RDI, RCX, AL */
};

/* Registers that are not the guest's when the wiping begins; the tail restores all but `pointer`. */
struct registers {
    uint32_t cr0;     /* holds CR0, at the latest in the tail */
    uint32_t cr4;     /* CR4; NONE without CET; may be the same as cr0 */
    uint32_t fill;    /* form JUMP: holds fill bytes; may be the same as cr0 */
    uint32_t pointer; /* form JUMP: where the wiping is; restored in the midst of it */
};

struct tail {
    struct resume_code code;
    uint64_t data[3]; /* what it pops before the frame */
    uint32_t data_count;
    uint32_t leave;   /* offset of the last instruction in code */
    uint32_t differs; /* of code and data */
};

struct head {
    struct resume_code code;
    uint64_t data[6];
    uint32_t data_count;
};

static uint32_t bit(uint32_t reg)
{
    return reg < RESUME_GPR_COUNT ? 1u << reg : 0;
}

/* Bytes that the CPU does not look at keep the fill. */
static uint64_t fill_pattern(uint8_t fill)
{
    return fill * UINT64_C(0x0101010101010101);
}

/* ------------------------------------------------------------------ what kind of landing it is */

/* The state before the instruction that made the interrupt shadow: running it again makes it again. */
static int undo_shadow(struct course *course)
{
    const struct resume_run *run = &course->vcpu->run;
    uint32_t shadow = (run->valid & RESUME_RUN_SHADOW) != 0 ? run->interrupt_shadow : 0;
    uint32_t length = (run->valid & RESUME_RUN_SHADOW_LENGTH) != 0 ? run->shadow_length : 0;

    if (shadow == 0) {
        return RESUME_OK;
    }
    if (length == 0 || length > course->rip || (shadow == 1 && length != 1) ||
        (shadow == 2 && length == 1)) {
        return RESUME_EUNSUPPORTED;
    }
    course->rip -= length;
    if (length == 1) { /* STI; under TF it would trap once more */
        if ((course->rflags & RESUME_RFLAGS_IF) == 0 || (course->rflags & RESUME_RFLAGS_TF) != 0) {
            return RESUME_EUNSUPPORTED;
        }
        course->rflags &= ~RESUME_RFLAGS_IF;
    }
    return RESUME_OK;
}

static int check_cet(const struct course *course)
{
    const uint64_t *s_cet = resume_vcpu_msr(course->vcpu, MSR_S_CET);

    /* No return frame fits a supervisor shadow stack; and no ENDBR64 is in a landing. */
    if (course->cet && s_cet != NULL && (*s_cet & (S_CET_SHADOW_STACK | S_CET_TRACKER)) != 0) {
        return RESUME_EUNSUPPORTED;
    }
    return RESUME_OK;
}

static int choose_form(struct course *course)
{
    const struct resume_vcpu *vcpu = course->vcpu;
    const struct resume_segment *cs = &vcpu->segs.seg[RESUME_CS];
    const struct resume_segment *ss = &vcpu->segs.seg[RESUME_SS];
    const struct resume_run *run = &vcpu->run;
    int masked = (run->valid & RESUME_RUN_NMI_MASKED) != 0 && run->nmi_masked != 0;
    int pending = (run->valid & RESUME_RUN_NMI_PENDING) != 0 && run->nmi_pending != 0;
    int wide = (cs->access & RESUME_SEG_L) != 0;
    uint64_t end = course->place->slot_va + RESUME_LANDING_MAX;

    course->distant = !resume_fits_signed(course->rip - end, 32);
    if ((course->rflags & FLAGS_ONLY_IRET) != 0 || (pending && !masked)) {
        course->form = RESUME_LANDING_IRET;
    } else if ((cs->selector & RESUME_SELECTOR_RPL) != 0) {
        course->form = RESUME_LANDING_RETF;
    } else if (!wide || (course->distant && course->cet)) {
        /* CPL 0: only a 64-bit segment can be loaded already; a JMP through memory is tracked. */
        course->form = RESUME_LANDING_IRET;
    } else {
        course->form = RESUME_LANDING_JUMP;
    }
    if (masked && course->form == RESUME_LANDING_IRET) {
        return RESUME_EUNSUPPORTED;
    }
    /* Returns to a 16-bit stack leave most of RSP alone, those to a 32-bit one half of it. */
    if (!wide && ((ss->access & RESUME_SEG_DB) == 0 || vcpu->regs.gpr[RESUME_RSP] > UINT32_MAX)) {
        return RESUME_EUNSUPPORTED;
    }
    return RESUME_OK;
}

/* ----------------------------------------------------------------------------------- the tail */

static struct resume_code_sources sources_for(const struct course *course, uint32_t lost,
                                              uint32_t fill)
{
    struct resume_code_sources from = {.vcpu = course->vcpu,
                                       .registers = 0xffffu & ~lost,
                                       .segments = bit(RESUME_ES) | bit(RESUME_DS) |
                                                   bit(RESUME_FS) | bit(RESUME_GS) |
                                                   bit(RESUME_LDTR),
                                       .fill = fill,
                                       .stack = 0};

    if (course->form == RESUME_LANDING_JUMP) {
        from.segments |= bit(RESUME_CS) | bit(RESUME_SS);
    } else {
        from.registers &= ~bit(RESUME_RSP);
        from.stack = 1;
    }
    return from;
}

static void put_tail_load(struct tail *tail, const struct resume_code_sources *from, uint32_t reg,
                          uint64_t value)
{
    int popped;

    tail->differs += resume_code_load(&tail->code, from, reg, value, &popped);
    if (popped) {
        tail->data[tail->data_count++] = value;
    }
}

/* Restore the lost registers, the cheapest first: it may help the others. */
static void put_restores(const struct course *course, uint32_t lost, struct tail *tail)
{
    const uint64_t *gpr = course->vcpu->regs.gpr;

    while (lost != 0) {
        struct resume_code_sources from = sources_for(course, lost, course->place->fill);
        uint32_t cheapest = NONE;
        uint32_t least = UINT32_MAX;

        for (uint32_t i = 0; i < RESUME_GPR_COUNT; i++) {
            struct resume_code code = {.length = 0};
            int popped;

            if ((lost & bit(i)) != 0) {
                uint32_t cost = resume_code_load(&code, &from, i, gpr[i], &popped);

                if (cost < least) {
                    least = cost;
                    cheapest = i;
                }
            }
        }
        put_tail_load(tail, &from, cheapest, gpr[cheapest]);
        lost &= ~bit(cheapest);
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

static int needs_sti(const struct course *course)
{
    return course->form != RESUME_LANDING_IRET && (course->rflags & RESUME_RFLAGS_IF) != 0;
}

static void put_leave(const struct course *course, struct resume_code *code)
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

static void build_tail(const struct course *course, const struct registers *regs, struct tail *tail)
{
    uint8_t fill = course->place->fill;
    uint32_t lost = bit(regs->cr0) | bit(regs->cr4) | bit(regs->fill);
    struct resume_code_sources from = sources_for(course, lost, fill);
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
    if (needs_sti(course)) {
        RESUME_CODE(&tail->code, 0xfb); /* the next instruction still runs before any interrupt */
    }
    tail->leave = tail->code.length;
    put_leave(course, &tail->code);
    tail->differs +=
        resume_code_differs(tail->code.bytes + before, tail->code.length - before, fill);
}

static void build_frame(const struct course *course, struct resume_code *frame)
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

/* ----------------------------------------------------------------------------------- the head */

/* Leaving the common part: count, or wait for all others and refill. */
static void put_departure(const struct course *course, uint64_t va, struct resume_code *code)
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
static void put_head_load(const struct course *course, struct resume_code *code, uint32_t reg,
                          uint64_t value)
{
    const struct resume_code_sources from = {.vcpu = course->vcpu, .fill = RESUME_CODE_NO_FILL};
    int popped;

    resume_code_load(code, &from, reg, value, &popped);
}

/*
 * @va: where the code is going to lie.  @pad: fill bytes before the data, that are wiped too.
 * The length depends on neither.
 */
static void build_head(const struct course *course, const struct registers *regs, uint64_t va,
                       uint32_t pad, struct head *head)
{
    const uint64_t *gpr = course->vcpu->regs.gpr;
    struct resume_code *code = &head->code;
    uint32_t lost = bit(regs->cr0) | bit(regs->cr4) | bit(regs->fill) | bit(regs->pointer);
    int32_t back; /* from RSP, when all but the last is popped, to where the wiping begins */

    code->length = 0;
    head->data_count = 0;
    head->data[head->data_count++] = va;
    /* IRET wants NT clear, and brings the guest's flags itself. */
    head->data[head->data_count++] =
        course->form == RESUME_LANDING_IRET
            ? RESUME_RFLAGS_ONE
            : course->rflags & ~(FLAGS_ONLY_IRET | RESUME_RFLAGS_IF | RESUME_RFLAGS_VM);
    put_departure(course, va, code);
    RESUME_CODE(code, 0x9d); /* popfq */
    if (course->refills && (lost & bit(RESUME_RDI)) == 0) {
        RESUME_CODE(code, 0x5f); /* pop rdi */
        head->data[head->data_count++] = gpr[RESUME_RDI];
    }
    if (course->refills && (lost & bit(RESUME_RCX)) == 0) {
        RESUME_CODE(code, 0x59); /* pop rcx */
        head->data[head->data_count++] = gpr[RESUME_RCX];
    }
    if (course->refills && (lost & bit(RESUME_RAX)) == 0) {
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

/* -------------------------------------------------------------------------------- the whole */

static void copy(struct resume_landing *out, uint32_t offset, const struct resume_code *code)
{
    memcpy(out->bytes + offset, code->bytes, code->length);
}

/* Everything but the wiping. @start: where that begins. Returns the offset behind the head. */
static uint32_t place_parts(const struct course *course, const struct registers *regs,
                            const struct tail *tail, uint32_t start, uint32_t pad, uint32_t remains,
                            struct head *head, struct resume_landing *out)
{
    uint64_t slot = course->place->slot_va;
    uint32_t data = start + pad;
    uint32_t entry = data + 8 * head->data_count;

    memset(out->bytes, course->place->fill, sizeof(out->bytes));
    build_head(course, regs, slot + entry, pad, head);
    for (uint32_t i = 0; i < head->data_count; i++) {
        resume_store_le64(out->bytes + data + 8 * i, head->data[i]);
    }
    copy(out, entry, &head->code);
    copy(out, remains, &tail->code);
    out->entry = entry;
    out->rsp = slot + data;
    out->remains = remains;
    out->leave = remains + tail->leave;
    return entry + head->code.length;
}

/*
 * Forms RETF and IRET. The wiping is POP [RSP], three bytes long, with RSP eight bytes behind: each
 * copies fill to the next eight bytes. The last two are POP [RSP + disp8], so that RSP arrives at
 * what the tail pops; their fill is taken from the 16 bytes before that.
 */
static int assemble_return(const struct course *course, const struct registers *regs,
                           const struct tail *tail, struct resume_landing *out)
{
    struct resume_code wiping = {.length = 0};
    struct resume_code frame;
    struct head head;
    uint32_t length; /* of pad, data and head: five times `pops`, and three */
    uint32_t pad;
    uint32_t pops;
    uint32_t wiped;
    uint32_t popped; /* offset of what the tail pops */
    uint32_t remains;
    uint32_t above; /* what comes from `remains` on */
    uint32_t offset;

    build_head(course, regs, 0, 0, &head);
    build_frame(course, &frame);
    length = 8 * head.data_count + head.code.length;
    pad = (8 - length % 5) % 5;
    pops = (length + pad - 3) / 5;
    wiped = 8 * pops + 16;
    above = tail->code.length + 16 + 8 * tail->data_count + frame.length;
    if (above + wiped + 8 > RESUME_LANDING_MAX) {
        return RESUME_ENOSPC;
    }
    remains = RESUME_LANDING_MAX - above;
    popped = remains + tail->code.length + 16;
    for (uint32_t i = 0; i < pops; i++) {
        RESUME_CODE(&wiping, 0x8f, 0x04, 0x24); /* pop qword [rsp] */
    }
    /* RSP is 24 bytes before `remains`; it goes to 16 bytes before `popped`. */
    resume_code_memory(&wiping, 0x8d, RESUME_RSP, RESUME_RSP, (int32_t)(popped - remains) + 8);
    for (uint32_t i = 0; i < 2; i++) {
        RESUME_CODE(&wiping, 0x8f, 0x44, 0x24, (uint8_t)(remains - popped - 8));
    }
    offset = place_parts(course, regs, tail, remains - wiped, pad, remains, &head, out);
    copy(out, offset, &wiping);
    for (uint32_t i = 0; i < tail->data_count; i++) {
        resume_store_le64(out->bytes + popped + 8 * i, tail->data[i]);
    }
    copy(out, RESUME_LANDING_MAX - frame.length, &frame);
    return RESUME_OK;
}

/*
 * Form JUMP: RSP is the guest's already. First MOV [pointer + disp8], fill, four bytes long; then
 * `pointer` is restored, and MOV [RIP + disp32], fill, seven bytes long, wipes the rest.
 */
static int assemble_jump(const struct course *course, const struct registers *regs,
                         const struct tail *tail, struct resume_landing *out)
{
    uint32_t lost = bit(regs->cr0) | bit(regs->cr4) | bit(regs->fill) | bit(regs->pointer);
    struct resume_code_sources from = sources_for(course, lost, RESUME_CODE_NO_FILL);
    struct resume_code wiping = {.length = 0};
    struct resume_code restore = {.length = 0};
    struct head head;
    uint32_t length; /* of pad, data and head: four times the stores by pointer */
    uint32_t pad;
    uint32_t wiped;
    uint32_t remains = RESUME_LANDING_MAX - tail->code.length;
    uint32_t offset;
    int popped;

    build_head(course, regs, 0, 0, &head);
    length = 8 * head.data_count + head.code.length;
    pad = (4 - length % 4) % 4;
    length += pad;
    resume_code_load(&restore, &from, regs->pointer,
                     regs->pointer == regs->cr0 ? course->vcpu->ctrl.cr0
                                                : course->vcpu->regs.gpr[regs->pointer],
                     &popped);
    wiped = 2 * length + 8 * restore.length;
    if (wiped + 8 > remains) {
        return RESUME_ENOSPC;
    }
    for (uint32_t i = 0; i < length / 4; i++) {
        resume_code_memory(&wiping, 0x89, regs->fill, regs->pointer, (int32_t)(8 * i) - 128);
    }
    resume_code_put(&wiping, restore.bytes, restore.length);
    for (uint32_t i = 0; i < restore.length; i++) { /* the i-th ends 7 (i + 1) behind the restore */
        RESUME_CODE(&wiping, (uint8_t)(0x48 | regs->fill >> 3 << 2), 0x89,
                    (uint8_t)(0x05 | (regs->fill & 7) << 3));
        resume_code_value(&wiping, (uint64_t)i - restore.length - 7, 4);
    }
    offset = place_parts(course, regs, tail, remains - wiped, pad, remains, &head, out);
    copy(out, offset, &wiping);
    return RESUME_OK;
}

/* The register to point with that is restored in the fewest bytes; R12 would need longer stores. */
static uint32_t choose_pointer(const struct course *course, const struct registers *regs)
{
    uint32_t lost = bit(regs->cr0) | bit(regs->cr4) | bit(regs->fill);
    uint32_t best = NONE;
    uint32_t least = UINT32_MAX;

    for (uint32_t i = 0; i < RESUME_GPR_COUNT; i++) {
        struct resume_code_sources from = sources_for(course, lost | bit(i), RESUME_CODE_NO_FILL);
        struct resume_code code = {.length = 0};
        int popped;

        if ((lost & bit(i)) != 0 || i == RESUME_RSP || i == RESUME_R12) {
            continue;
        }
        resume_code_load(&code, &from, i, course->vcpu->regs.gpr[i], &popped);
        if (code.length < least) {
            least = code.length;
            best = i;
        }
    }
    return best;
}

/* Is this combination of registers one that the forms know? */
static int usable(const struct course *course, const struct registers *regs)
{
    if (regs->cr0 == RESUME_RSP || regs->cr4 == RESUME_RSP || regs->fill == RESUME_RSP) {
        return 0;
    }
    if (course->form == RESUME_LANDING_JUMP) {
        if (regs->cr0 != regs->fill && (regs->cr0 == RESUME_R12 || regs->cr4 == regs->fill)) {
            return 0;
        }
    }
    return 1;
}

/* Try all registers; those without a part in this course stay NONE. */
static int search(const struct course *course, struct resume_landing *out)
{
    int jump = course->form == RESUME_LANDING_JUMP;
    uint32_t best = UINT32_MAX;
    int err = RESUME_ENOSPC;

    for (uint32_t i = 0; i < RESUME_GPR_COUNT; i++) {
        for (uint32_t j = jump ? 0 : NONE; j < (jump ? NONE : NONE + 1); j++) {
            for (uint32_t k = course->cet ? 0 : NONE; k < (course->cet ? NONE : NONE + 1); k++) {
                struct registers regs = {.cr0 = i, .fill = j, .cr4 = k, .pointer = NONE};
                struct resume_landing landing;
                struct tail tail;

                if (!usable(course, &regs)) {
                    continue;
                }
                build_tail(course, &regs, &tail);
                if (tail.differs >= best) {
                    continue;
                }
                if (jump) {
                    regs.pointer = i == j ? choose_pointer(course, &regs) : i;
                }
                landing = *out;
                if ((jump ? assemble_jump : assemble_return)(course, &regs, &tail, &landing) ==
                    RESUME_OK) {
                    *out = landing;
                    best = tail.differs;
                    err = RESUME_OK;
                }
            }
        }
    }
    return err;
}

int resume_landing_compose(const struct resume_vcpu *vcpu, const struct resume_landing_place *place,
                           struct resume_landing *out)
{
    struct course course = {.vcpu = vcpu, .place = place};
    struct resume_landing landing;
    int err;

    if (vcpu == NULL || place == NULL || out == NULL ||
        !resume_fits_signed(place->left_va - place->slot_va, 32) ||
        !resume_fits_signed(place->left_va - (place->slot_va + RESUME_LANDING_MAX), 32)) {
        return RESUME_EINVAL;
    }
    course.rip = vcpu->regs.rip;
    course.rflags = vcpu->regs.rflags;
    course.cet = (vcpu->ctrl.cr4 & RESUME_CR4_CET) != 0;
    course.refills = place->last_out && place->refill_length != 0;
    err = undo_shadow(&course);
    if (err == RESUME_OK) {
        err = check_cet(&course);
    }
    if (err == RESUME_OK) {
        err = choose_form(&course);
    }
    if (err != RESUME_OK) {
        return err;
    }
    memset(&landing, 0, sizeof(landing));
    landing.form = course.form;
    landing.sti = (uint32_t)needs_sti(&course);
    memcpy(landing.gpr, vcpu->regs.gpr, sizeof(landing.gpr));
    if (course.refills) {
        landing.gpr[RESUME_RAX] = (landing.gpr[RESUME_RAX] & ~UINT64_C(0xff)) | place->fill;
        landing.gpr[RESUME_RCX] = place->refill_length;
        landing.gpr[RESUME_RDI] = place->refill_va;
    }
    err = search(&course, &landing);
    if (err == RESUME_OK) {
        landing.differs = resume_code_differs(landing.bytes + landing.remains,
                                              RESUME_LANDING_MAX - landing.remains, place->fill);
        *out = landing;
    }
    return err;
}
