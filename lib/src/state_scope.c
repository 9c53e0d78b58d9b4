/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <resume/msr.h>

#include "descriptor.h"
#include "state_validate.h"

#define AT(member) offsetof(struct resume_vcpu, member)

#define XSTATE_BV 512

/* S_CET, U_CET: shadow stacks are in use; the next instruction must be ENDBR. */
#define CET_SHADOW_STACK RESUME_BIT(0)
#define CET_TRACKER RESUME_BIT(11)
#define MSR_PL3_SSP UINT32_C(0x6a7)

/* Length of the sparse tables that the planner puts its descriptors into. */
#define TABLE_LENGTH 0x1000u

/* DR7: a breakpoint is enabled locally or globally; it is one on execution. */
#define DR7_ENABLED(n) (UINT64_C(3) << (2 * (n)))
#define DR7_GENERAL_DETECT RESUME_BIT(13)
#define DR7_READ_WRITE(n) (UINT64_C(3) << (16 + 4 * (n)))

/*
 * The faults that the instruction at RIP raises again when it runs: #DE #BR #UD #NM #TS #NP #SS #GP
 * #PF #MF #AC #XM. Of the others some are traps, which leave RIP behind what raised them, and some
 * have no instruction at all.
 */
#define RAISED_AGAIN                                                                               \
    (RESUME_BIT(0) | RESUME_BIT(5) | RESUME_BIT(6) | RESUME_BIT(7) | RESUME_BIT(10) |              \
     RESUME_BIT(11) | RESUME_BIT(12) | RESUME_BIT(13) | RESUME_BIT(14) | RESUME_BIT(16) |          \
     RESUME_BIT(17) | RESUME_BIT(19))

/*
 * Fields, and the bits of them that must be zero. CR4 and EFER: VMX, SMX and SVM, whose state is in
 * no record; key locker, PKS, user interrupts, LASS, LAM and FRED likewise. SMM: RSM is the only
 * way back into it. DR7.GD: no debug register could be read back. An interrupt that is being
 * injected: the local APIC has forgotten it, so it has to be put back there before.
 */
static const struct {
    uint32_t offset;
    uint32_t none; /* the value that stands for "nothing", where it is not 0 */
    uint64_t refused;
} limits[] = {
    {AT(ctrl.cr4), 0,
     RESUME_CR4_VMXE | RESUME_CR4_SMXE | RESUME_CR4_KL | RESUME_CR4_PKS | RESUME_CR4_UINTR |
         RESUME_CR4_LASS | RESUME_CR4_LAM_SUP | RESUME_CR4_FRED},
    {AT(ctrl.cr3), 0, RESUME_CR3_LAM},
    {AT(ctrl.efer), 0, RESUME_EFER_SVME},
    {AT(debug.dr7), 0, DR7_GENERAL_DETECT},
    {AT(run.smm), 0, UINT64_MAX},
    {AT(run.interrupt_vector), RESUME_NO_EVENT, UINT64_MAX},
};

static int check_fields(const struct check *check)
{
    size_t count;
    const struct resume_field *table = resume_field_table(&count);

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        for (size_t k = 0; k < count; k++) {
            uint64_t value;

            if (table[k].offset != limits[i].offset ||
                !resume_field_valid(check->vcpu, &table[k])) {
                continue;
            }
            value = resume_field_get(check->vcpu, &table[k]);
            if (((value ^ limits[i].none) & limits[i].refused) != 0) {
                return resume_check_fail(check, RESUME_EUNSUPPORTED, limits[i].offset, value,
                                         limits[i].none != 0 ? limits[i].none : ~limits[i].refused);
            }
        }
    }
    return RESUME_OK;
}

/* Would the instruction at @rip, when it runs again, hit a breakpoint that it has hit before? */
static bool breakpoint_at(const struct resume_vcpu *vcpu, uint64_t rip)
{
    uint64_t linear = rip;

    if ((vcpu->segs.seg[RESUME_CS].access & RESUME_SEG_L) == 0) {
        linear = (uint32_t)(vcpu->segs.seg[RESUME_CS].base + rip);
    }
    for (unsigned i = 0; i < 4; i++) {
        if ((vcpu->debug.dr7 & DR7_ENABLED(i)) != 0 && (vcpu->debug.dr7 & DR7_READ_WRITE(i)) == 0 &&
            vcpu->debug.dr[i] == linear) {
            return true;
        }
    }
    return false;
}

/*
 * No instruction sets the interrupt shadow but the one that did: the guest runs it again. That must
 * be STI or MOV to SS from a register, which have no other effect the second time, and no debug
 * exception may come of it.
 */
static int check_shadow(const struct check *check)
{
    static const uint32_t lengths[] = {0, 1, 2, 0}; /* by run.interrupt_shadow */
    const struct resume_vcpu *vcpu = check->vcpu;
    const struct resume_run *run = &vcpu->run;
    const uint64_t once = RESUME_RFLAGS_TF | RESUME_RFLAGS_RF;
    uint32_t length;

    if ((run->valid & RESUME_RUN_SHADOW) == 0 || run->interrupt_shadow == 0) {
        return RESUME_OK;
    }
    length = lengths[run->interrupt_shadow & 3];
    if (length == 0) {
        return resume_check_fail(check, RESUME_EUNSUPPORTED, AT(run.interrupt_shadow),
                                 run->interrupt_shadow, 0);
    }
    if ((run->valid & RESUME_RUN_SHADOW_LENGTH) == 0 || run->shadow_length != length ||
        vcpu->regs.rip < length) {
        return resume_check_fail(check, RESUME_EUNSUPPORTED, AT(run.shadow_length),
                                 run->shadow_length, length);
    }
    if ((vcpu->regs.rflags & once) != 0) {
        return resume_check_fail(check, RESUME_EUNSUPPORTED, AT(run.interrupt_shadow),
                                 vcpu->regs.rflags, vcpu->regs.rflags & ~once);
    }
    if (breakpoint_at(vcpu, vcpu->regs.rip - length)) {
        return resume_check_fail(check, RESUME_EUNSUPPORTED, AT(run.interrupt_shadow),
                                 vcpu->debug.dr7, 0);
    }
    return RESUME_OK;
}

static int check_events(const struct check *check)
{
    const struct resume_vcpu *vcpu = check->vcpu;
    const struct resume_run *run = &vcpu->run;
    /* These only IRET sets, and IRET ends the blocking of NMIs. */
    const uint64_t by_iret =
        RESUME_RFLAGS_TF | RESUME_RFLAGS_RF | RESUME_RFLAGS_VIF | RESUME_RFLAGS_VIP;

    if ((run->valid & RESUME_RUN_EXCEPTION) != 0 && run->exception_vector != RESUME_NO_EVENT &&
        (run->exception_vector > 31 || (RAISED_AGAIN >> run->exception_vector & 1) == 0)) {
        return resume_check_fail(check, RESUME_EUNSUPPORTED, AT(run.exception_vector),
                                 run->exception_vector, RESUME_NO_EVENT);
    }
    if ((run->valid & RESUME_RUN_NMI_MASKED) != 0 && run->nmi_masked != 0 &&
        (vcpu->regs.rflags & by_iret) != 0) {
        return resume_check_fail(check, RESUME_EUNSUPPORTED, AT(run.nmi_masked),
                                 vcpu->regs.rflags & by_iret, 0);
    }
    return check_shadow(check);
}

/* Does a selector lead to nothing? Its RPL does not count. */
static bool null_selector(const struct resume_segment *segment)
{
    return (segment->selector & ~RESUME_SELECTOR_RPL) == 0;
}

static int fail_selector(const struct check *check, uint32_t number, uint64_t expected)
{
    return resume_check_fail(check, RESUME_EUNSUPPORTED, RESUME_SEG_OFFSET(number, selector),
                             check->vcpu->segs.seg[number].selector, expected);
}

/*
 * CS and SS may be loaded by the landing from the guest's own tables, and every return from an
 * interrupt loads them from there anyway: their descriptors must be within.
 */
static int check_in_table(const struct check *check, uint32_t number)
{
    const struct resume_segment *seg = check->vcpu->segs.seg;
    bool local = (seg[number].selector & RESUME_SELECTOR_TI) != 0;
    const struct resume_segment *table = &seg[local ? RESUME_LDTR : RESUME_GDTR];
    bool kernel = (seg[RESUME_CS].selector & RESUME_SELECTOR_RPL) == 0;

    if (null_selector(&seg[number])) {
        return RESUME_OK;
    }
    if (local && (null_selector(table) || kernel)) {
        return fail_selector(check, number, 0);
    }
    if ((seg[number].selector | 7u) > table->limit) {
        return fail_selector(check, number, table->limit);
    }
    return RESUME_OK;
}

/* The descriptor of a segment, as the planner would put it into its own table. */
struct placed {
    uint32_t start;
    uint32_t size; /* 0 = none */
    bool local;
    uint8_t bytes[RESUME_DESCRIPTOR_SYSTEM_SIZE];
};

static bool by_planner(const struct check *check, uint32_t number)
{
    if (number == RESUME_CS || number == RESUME_SS) {
        return (check->vcpu->segs.seg[RESUME_CS].selector & RESUME_SELECTOR_RPL) == 0;
    }
    return true;
}

static int place(const struct check *check, uint32_t number, struct placed *out)
{
    struct resume_segment segment = check->vcpu->segs.seg[number];
    bool system = number == RESUME_LDTR || number == RESUME_TR;
    uint32_t rpl = segment.selector & RESUME_SELECTOR_RPL;
    uint32_t dpl = (segment.access & RESUME_SEG_DPL) >> RESUME_SEG_DPL_SHIFT;
    bool conforming = (segment.access & 0xc) == 0xc;

    *out = (struct placed){0};
    if (null_selector(&segment)) {
        /* LTR refuses a null selector. */
        return number == RESUME_TR ? fail_selector(check, number, 8) : RESUME_OK;
    }
    if (number == RESUME_FS || number == RESUME_GS) {
        segment.base = 0; /* comes from its MSR */
    }
    if (resume_descriptor_encode(&segment, system, out->bytes, &out->size) != RESUME_OK) {
        return resume_check_fail(check, RESUME_EUNSUPPORTED, RESUME_SEG_OFFSET(number, access),
                                 segment.access, RESUME_SEG_P);
    }
    out->start = segment.selector & ~UINT32_C(7);
    out->local = (segment.selector & RESUME_SELECTOR_TI) != 0;
    if (out->start + out->size > TABLE_LENGTH || (system && out->local)) {
        return fail_selector(check, number, TABLE_LENGTH - 1);
    }
    /* A load of data with a privilege that the descriptor does not grant is refused. */
    if (!system && number != RESUME_CS && !conforming && rpl > dpl) {
        return fail_selector(check, number, dpl);
    }
    return RESUME_OK;
}

/*
 * Segments are loaded from tables that the planner makes from their hidden parts. A guest that has
 * changed a descriptor between two loads of the same selector has a state that no table gives.
 */
static int check_selectors(const struct check *check)
{
    struct placed placed[RESUME_TR + 1];
    int err = check_in_table(check, RESUME_CS);

    if (err == RESUME_OK) {
        err = check_in_table(check, RESUME_SS);
    }
    for (uint32_t i = RESUME_ES; err == RESUME_OK && i <= RESUME_TR; i++) {
        placed[i] = (struct placed){0};
        if (by_planner(check, i)) {
            err = place(check, i, &placed[i]);
        }
        for (uint32_t k = RESUME_ES; err == RESUME_OK && k < i; k++) {
            /* Those that overlap without starting together differ in kind, so in bytes. */
            bool apart = placed[i].local != placed[k].local ||
                         placed[i].start >= placed[k].start + placed[k].size ||
                         placed[k].start >= placed[i].start + placed[i].size;

            if (!apart && memcmp(placed[i].bytes, placed[k].bytes, sizeof(placed[i].bytes)) != 0) {
                err = fail_selector(check, i, check->vcpu->segs.seg[k].selector);
            }
        }
    }
    return err;
}

/*
 * SSP is loaded from PL3_SSP on the way to CPL 3, and can be loaded by no instruction that the
 * landing has on the way to another. Nor can the landing run while ENDBR is awaited.
 */
static int check_cet(const struct check *check)
{
    const struct resume_vcpu *vcpu = check->vcpu;
    const uint64_t *user = resume_vcpu_msr(vcpu, RESUME_MSR_U_CET);
    const uint64_t *supervisor = resume_vcpu_msr(vcpu, RESUME_MSR_S_CET);
    const uint64_t refused = CET_SHADOW_STACK | CET_TRACKER;
    bool outer = (vcpu->segs.seg[RESUME_CS].selector & RESUME_SELECTOR_RPL) == 3;

    if ((vcpu->ctrl.cr4 & RESUME_CR4_CET) == 0) {
        return RESUME_OK;
    }
    if (supervisor != NULL && (*supervisor & refused) != 0) {
        return resume_check_fail_in(check, RESUME_EUNSUPPORTED, RESUME_FORMAT_TAG_MSR, "S_CET",
                                    AT(msr), *supervisor, *supervisor & ~refused);
    }
    if (outer && user != NULL && (*user & CET_SHADOW_STACK) != 0 &&
        resume_vcpu_msr(vcpu, MSR_PL3_SSP) == NULL) {
        return resume_check_fail_in(check, RESUME_EUNSUPPORTED, RESUME_FORMAT_TAG_MSR, "PL3_SSP",
                                    AT(msr), 0, MSR_PL3_SSP);
    }
    return RESUME_OK;
}

static int check_lists(const struct check *check)
{
    const struct resume_vcpu *vcpu = check->vcpu;
    uint64_t xcr0 = (vcpu->ctrl.valid & RESUME_CTRL_XCR0) != 0 ? vcpu->ctrl.xcr0 : 0;
    uint64_t in_use;

    for (uint32_t i = 0; i < vcpu->msr_count; i++) {
        if (resume_msr_way(vcpu->msr[i].index) == RESUME_MSR_NOT_RESTORED &&
            (vcpu->msr[i].flags & RESUME_MSR_OPTIONAL) == 0) {
            return resume_check_fail_in(check, RESUME_EUNSUPPORTED, RESUME_FORMAT_TAG_MSR, "index",
                                        AT(msr), vcpu->msr[i].index, RESUME_MSR_OPTIONAL);
        }
    }
    if (vcpu->xsave.area == NULL || vcpu->xsave.length < RESUME_XSAVE_MIN) {
        return RESUME_OK;
    }
    /* Supervisor components have no place in the standard form: XRSTOR would drop them. */
    in_use = resume_load_le64(vcpu->xsave.area + XSTATE_BV) &
             ~(xcr0 | RESUME_XCR0_X87 | RESUME_XCR0_SSE);
    if (in_use != 0) {
        return resume_check_fail_in(check, RESUME_EUNSUPPORTED, RESUME_FORMAT_TAG_XSAVE,
                                    "xstate_bv", XSTATE_BV, in_use, xcr0);
    }
    return RESUME_OK;
}

int resume_vcpu_check_scope(const struct resume_vcpu *vcpu, uint32_t index,
                            struct resume_diag *diag)
{
    const struct check check = {.vcpu = vcpu, .index = index, .diag = diag};
    int err;

    if (vcpu == NULL || vcpu->msr_count > RESUME_MSR_MAX) {
        return resume_fail(diag, RESUME_EINVAL, "arguments", "vcpu", 0, 0, 0, index);
    }
    if (resume_vcpu_dormant(vcpu)) {
        return RESUME_OK;
    }
    err = check_fields(&check);
    if (err == RESUME_OK) {
        err = check_events(&check);
    }
    if (err == RESUME_OK) {
        err = check_selectors(&check);
    }
    if (err == RESUME_OK) {
        err = check_cet(&check);
    }
    if (err == RESUME_OK) {
        err = check_lists(&check);
    }
    return err;
}
