/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <resume/landing.h>

#include "arch.h"
#include "internal.h"
#include "landing_parts.h"

#define MSR_S_CET UINT32_C(0x6a2)
#define S_CET_SHADOW_STACK RESUME_BIT(0)
#define S_CET_TRACKER RESUME_BIT(11)

/* The state before the instruction that made the interrupt shadow: running it again makes it again. */
static int undo_shadow(struct resume_landing_course *course)
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

static int check_cet(const struct resume_landing_course *course)
{
    const uint64_t *s_cet = resume_vcpu_msr(course->vcpu, MSR_S_CET);

    /* No return frame fits a supervisor shadow stack; and no ENDBR64 is in a landing. */
    if (course->cet && s_cet != NULL && (*s_cet & (S_CET_SHADOW_STACK | S_CET_TRACKER)) != 0) {
        return RESUME_EUNSUPPORTED;
    }
    return RESUME_OK;
}

static int choose_form(struct resume_landing_course *course)
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
    if ((course->rflags & RESUME_FLAGS_ONLY_IRET) != 0 || (pending && !masked)) {
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

static void copy(struct resume_landing *out, uint32_t offset, const struct resume_code *code)
{
    memcpy(out->bytes + offset, code->bytes, code->length);
}

/* Everything but the wiping. @start: where that begins. Returns the offset behind the head. */
static uint32_t place_parts(const struct resume_landing_course *course,
                            const struct resume_landing_registers *regs,
                            const struct resume_landing_tail *tail, uint32_t start, uint32_t pad,
                            uint32_t remains, struct resume_landing_head *head,
                            struct resume_landing *out)
{
    uint64_t slot = course->place->slot_va;
    uint32_t data = start + pad;
    uint32_t entry = data + 8 * head->data_count;

    memset(out->bytes, course->place->fill, sizeof(out->bytes));
    resume_landing_build_head(course, regs, slot + entry, pad, head);
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
static int assemble_return(const struct resume_landing_course *course,
                           const struct resume_landing_registers *regs,
                           const struct resume_landing_tail *tail, struct resume_landing *out)
{
    struct resume_code wiping = {.length = 0};
    struct resume_code frame;
    struct resume_landing_head head;
    uint32_t length; /* of pad, data and head: five times `pops`, and three */
    uint32_t pad;
    uint32_t pops;
    uint32_t wiped;
    uint32_t popped; /* offset of what the tail pops */
    uint32_t remains;
    uint32_t above; /* what comes from `remains` on */
    uint32_t offset;

    resume_landing_build_head(course, regs, 0, 0, &head);
    resume_landing_build_frame(course, &frame);
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
static int assemble_jump(const struct resume_landing_course *course,
                         const struct resume_landing_registers *regs,
                         const struct resume_landing_tail *tail, struct resume_landing *out)
{
    uint32_t lost = resume_register_bit(regs->cr0) | resume_register_bit(regs->cr4) |
                    resume_register_bit(regs->fill) | resume_register_bit(regs->pointer);
    struct resume_code_sources from = resume_landing_sources(course, lost, RESUME_CODE_NO_FILL);
    struct resume_code wiping = {.length = 0};
    struct resume_code restore = {.length = 0};
    struct resume_landing_head head;
    uint32_t length; /* of pad, data and head: four times the stores by pointer */
    uint32_t pad;
    uint32_t wiped;
    uint32_t remains = RESUME_LANDING_MAX - tail->code.length;
    uint32_t offset;
    int popped;

    resume_landing_build_head(course, regs, 0, 0, &head);
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
static uint32_t choose_pointer(const struct resume_landing_course *course,
                               const struct resume_landing_registers *regs)
{
    uint32_t lost = resume_register_bit(regs->cr0) | resume_register_bit(regs->cr4) |
                    resume_register_bit(regs->fill);
    uint32_t best = RESUME_NO_REGISTER;
    uint32_t least = UINT32_MAX;

    for (uint32_t i = 0; i < RESUME_GPR_COUNT; i++) {
        struct resume_code_sources from =
            resume_landing_sources(course, lost | resume_register_bit(i), RESUME_CODE_NO_FILL);
        struct resume_code code = {.length = 0};
        int popped;

        if ((lost & resume_register_bit(i)) != 0 || i == RESUME_RSP || i == RESUME_R12) {
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
static int usable(const struct resume_landing_course *course,
                  const struct resume_landing_registers *regs)
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

/* Try all registers; those without a part in this course stay RESUME_NO_REGISTER. */
static int search(const struct resume_landing_course *course, struct resume_landing *out)
{
    int jump = course->form == RESUME_LANDING_JUMP;
    uint32_t best = UINT32_MAX;
    int err = RESUME_ENOSPC;

    for (uint32_t i = 0; i < RESUME_GPR_COUNT; i++) {
        for (uint32_t j = jump ? 0 : RESUME_NO_REGISTER;
             j < (jump ? RESUME_NO_REGISTER : RESUME_NO_REGISTER + 1); j++) {
            for (uint32_t k = course->cet ? 0 : RESUME_NO_REGISTER;
                 k < (course->cet ? RESUME_NO_REGISTER : RESUME_NO_REGISTER + 1); k++) {
                struct resume_landing_registers regs = {
                    .cr0 = i, .fill = j, .cr4 = k, .pointer = RESUME_NO_REGISTER};
                struct resume_landing landing;
                struct resume_landing_tail tail;

                if (!usable(course, &regs)) {
                    continue;
                }
                resume_landing_build_tail(course, &regs, &tail);
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
    struct resume_landing_course course = {.vcpu = vcpu, .place = place};
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
    landing.sti = (uint32_t)resume_landing_needs_sti(&course);
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
