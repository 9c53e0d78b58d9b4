/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Segment registers in long mode: Intel SDM vol. 3, "Segment Descriptors", "Stack Switching in
 * 64-Bit Mode" and "Checks on Guest Segment Registers", which lists what a CPU can hold.
 */
#include "state_validate.h"

#define ACCESS_KNOWN                                                                               \
    (RESUME_SEG_TYPE | RESUME_SEG_S | RESUME_SEG_DPL | RESUME_SEG_P | RESUME_SEG_AVL |             \
     RESUME_SEG_L | RESUME_SEG_DB | RESUME_SEG_G | RESUME_SEG_UNUSABLE)

/* Type bits of code and data descriptors. */
#define TYPE_CODE UINT32_C(8)
#define TYPE_CONFORMING UINT32_C(4)
#define TYPE_READ_OR_WRITE UINT32_C(2)

/* Types of system descriptors. */
#define TYPE_LDT UINT32_C(2)
#define TYPE_TSS_AVAILABLE UINT32_C(9)
#define TYPE_TSS_BUSY UINT32_C(11)

#define SELECTOR_RPL UINT32_C(3)
#define SELECTOR_TI RESUME_SELECTOR_TI

static int fail_access(const struct check *check, int err, uint32_t number, uint64_t expected)
{
    return resume_check_fail(check, err, RESUME_SEG_OFFSET(number, access),
                             check->vcpu->segs.seg[number].access, expected);
}

static int fail_selector(const struct check *check, uint32_t number, uint64_t expected)
{
    return resume_check_fail(check, RESUME_ECONSISTENT, RESUME_SEG_OFFSET(number, selector),
                             check->vcpu->segs.seg[number].selector, expected);
}

static bool usable(const struct resume_segment *segment)
{
    return (segment->access & RESUME_SEG_P) != 0 && (segment->access & RESUME_SEG_UNUSABLE) == 0;
}

static uint32_t dpl(const struct resume_segment *segment)
{
    return (segment->access & RESUME_SEG_DPL) >> RESUME_SEG_DPL_SHIFT;
}

static bool null_selector(const struct resume_segment *segment)
{
    return (segment->selector & ~SELECTOR_RPL) == 0;
}

static int check_base(const struct check *check, uint32_t number)
{
    uint64_t base = check->vcpu->segs.seg[number].base;

    if (!resume_paging_canonical(base, check->levels)) {
        return resume_check_fail(check, RESUME_ECANON, RESUME_SEG_OFFSET(number, base), base, 0);
    }
    return RESUME_OK;
}

/* A limit that no descriptor yields: it is 20 bits of bytes, or of 4 KiB units. */
static int check_limit(const struct check *check, uint32_t number)
{
    const struct resume_segment *segment = &check->vcpu->segs.seg[number];
    bool fits = (segment->access & RESUME_SEG_G) != 0 ? (segment->limit & 0xfff) == 0xfff
                                                      : segment->limit <= 0xfffff;

    if (!fits) {
        return resume_check_fail(check, RESUME_EREGISTER, RESUME_SEG_OFFSET(number, limit),
                                 segment->limit, segment->access);
    }
    return RESUME_OK;
}

static int check_cs(const struct check *check)
{
    const struct resume_segment *cs = &check->vcpu->segs.seg[RESUME_CS];
    uint32_t cpl = cs->selector & SELECTOR_RPL;
    const uint32_t code = RESUME_SEG_P | RESUME_SEG_S | TYPE_CODE;
    uint64_t rip = check->vcpu->regs.rip;

    if (!usable(cs) || (cs->access & code) != code) {
        return fail_access(check, RESUME_ECONSISTENT, RESUME_CS, code);
    }
    if ((cs->access & RESUME_SEG_L) != 0 && (cs->access & RESUME_SEG_DB) != 0) {
        return fail_access(check, RESUME_EREGISTER, RESUME_CS, cs->access & ~RESUME_SEG_DB);
    }
    if (null_selector(cs)) {
        return fail_selector(check, RESUME_CS, 8);
    }
    if ((cs->access & TYPE_CONFORMING) != 0 ? dpl(cs) > cpl : dpl(cs) != cpl) {
        return fail_access(check, RESUME_ECONSISTENT, RESUME_CS, cpl << RESUME_SEG_DPL_SHIFT);
    }
    if ((cs->access & RESUME_SEG_L) != 0) {
        if (!resume_paging_canonical(rip, check->levels)) {
            return resume_check_fail(check, RESUME_ECANON, offsetof(struct resume_vcpu, regs.rip),
                                     rip, 0);
        }
    } else if (rip > UINT32_MAX) {
        return resume_check_fail(check, RESUME_ECONSISTENT, offsetof(struct resume_vcpu, regs.rip),
                                 rip, UINT32_MAX);
    }
    return RESUME_OK;
}

static int check_ss(const struct check *check)
{
    const struct resume_segment *cs = &check->vcpu->segs.seg[RESUME_CS];
    const struct resume_segment *ss = &check->vcpu->segs.seg[RESUME_SS];
    uint32_t cpl = cs->selector & SELECTOR_RPL;
    const uint32_t kind = RESUME_SEG_S | TYPE_CODE | TYPE_READ_OR_WRITE;
    bool long_code = (cs->access & RESUME_SEG_L) != 0;

    if ((ss->selector & SELECTOR_RPL) != cpl) {
        return fail_selector(check, RESUME_SS, (ss->selector & ~SELECTOR_RPL) | cpl);
    }
    /* In 64-bit code below CPL 3 the stack segment may be null, as after an interrupt. */
    if (null_selector(ss)) {
        return long_code && cpl < 3 ? RESUME_OK : fail_selector(check, RESUME_SS, 8 | cpl);
    }
    /* In 64-bit code an AMD CPU keeps what was hidden in SS across SYSRET, even when unusable. */
    if (!usable(ss)) {
        return long_code ? RESUME_OK
                         : fail_access(check, RESUME_ECONSISTENT, RESUME_SS, RESUME_SEG_P);
    }
    if ((ss->access & kind) != (RESUME_SEG_S | TYPE_READ_OR_WRITE)) {
        return fail_access(check, RESUME_ECONSISTENT, RESUME_SS, RESUME_SEG_S | TYPE_READ_OR_WRITE);
    }
    if (dpl(ss) != cpl) {
        return fail_access(check, RESUME_ECONSISTENT, RESUME_SS, cpl << RESUME_SEG_DPL_SHIFT);
    }
    return RESUME_OK;
}

/* ES, CS, SS, DS, FS, GS as far as they have rules in common. */
static int check_flat(const struct check *check, uint32_t number)
{
    const struct resume_segment *segment = &check->vcpu->segs.seg[number];
    bool code = (segment->access & TYPE_CODE) != 0;

    if (number == RESUME_FS || number == RESUME_GS) {
        int err = check_base(check, number);

        if (err != RESUME_OK) {
            return err;
        }
    }
    /* What a null selector leaves behind in the hidden part is not used and differs between CPUs. */
    if (!usable(segment) || null_selector(segment)) {
        return RESUME_OK;
    }
    if (number != RESUME_FS && number != RESUME_GS && segment->base > UINT32_MAX) {
        return resume_check_fail(check, RESUME_EREGISTER, RESUME_SEG_OFFSET(number, base),
                                 segment->base, UINT32_MAX);
    }
    if ((segment->access & RESUME_SEG_S) == 0) {
        return fail_access(check, RESUME_ECONSISTENT, number, segment->access | RESUME_SEG_S);
    }
    if (number != RESUME_CS && code && (segment->access & TYPE_READ_OR_WRITE) == 0) {
        return fail_access(check, RESUME_ECONSISTENT, number, segment->access | TYPE_READ_OR_WRITE);
    }
    return check_limit(check, number);
}

static int check_system(const struct check *check)
{
    const struct resume_segment *ldtr = &check->vcpu->segs.seg[RESUME_LDTR];
    const struct resume_segment *tr = &check->vcpu->segs.seg[RESUME_TR];
    const uint32_t kind = RESUME_SEG_S | RESUME_SEG_TYPE;
    uint32_t tr_kind = tr->access & kind;
    int err = RESUME_OK;

    if (usable(ldtr)) {
        if ((ldtr->access & kind) != TYPE_LDT) {
            return fail_access(check, RESUME_ECONSISTENT, RESUME_LDTR, TYPE_LDT);
        }
        err = check_base(check, RESUME_LDTR);
    }
    if (err == RESUME_OK && (ldtr->selector & SELECTOR_TI) != 0) {
        err = fail_selector(check, RESUME_LDTR, ldtr->selector & ~SELECTOR_TI);
    }
    if (err == RESUME_OK &&
        (!usable(tr) || (tr_kind != TYPE_TSS_AVAILABLE && tr_kind != TYPE_TSS_BUSY))) {
        err = fail_access(check, RESUME_ECONSISTENT, RESUME_TR, RESUME_SEG_P | TYPE_TSS_BUSY);
    }
    if (err == RESUME_OK) {
        err = check_base(check, RESUME_TR);
    }
    if (err == RESUME_OK && (tr->selector & SELECTOR_TI) != 0) {
        err = fail_selector(check, RESUME_TR, tr->selector & ~SELECTOR_TI);
    }
    for (uint32_t i = RESUME_GDTR; err == RESUME_OK && i <= RESUME_IDTR; i++) {
        const struct resume_segment *table = &check->vcpu->segs.seg[i];

        err = check_base(check, i);
        if (err == RESUME_OK && table->limit > 0xffff) {
            err = resume_check_fail(check, RESUME_EREGISTER, RESUME_SEG_OFFSET(i, limit),
                                    table->limit, 0xffff);
        }
    }
    return err;
}

int resume_check_segments(const struct check *check)
{
    int err = RESUME_OK;

    for (uint32_t i = RESUME_ES; err == RESUME_OK && i <= RESUME_TR; i++) {
        if ((check->vcpu->segs.seg[i].access & ~ACCESS_KNOWN) != 0) {
            err = fail_access(check, RESUME_EREGISTER, i, ACCESS_KNOWN);
        }
    }
    if (err == RESUME_OK) {
        err = check_cs(check);
    }
    if (err == RESUME_OK) {
        err = check_ss(check);
    }
    for (uint32_t i = RESUME_ES; err == RESUME_OK && i <= RESUME_GS; i++) {
        err = check_flat(check, i);
    }
    if (err == RESUME_OK) {
        err = check_system(check);
    }
    return err;
}
