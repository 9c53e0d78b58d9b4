/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "state_validate.h"

#define AT(member) offsetof(struct resume_vcpu, member)

int resume_check_fail_in(const struct check *check, int err, uint16_t tag, const char *field,
                         size_t offset, uint64_t found, uint64_t expected)
{
    return resume_fail(check->diag, err, resume_state_record_name(tag), field, offset, found,
                       expected, check->index);
}

int resume_check_fail(const struct check *check, int err, size_t offset, uint64_t found,
                      uint64_t expected)
{
    uint16_t tag = 0;

    for (size_t i = 0; i < RESUME_FIELD_RECORD_COUNT; i++) {
        const struct resume_field_record *record = &resume_field_records[i];

        if (offset >= record->offset && offset - record->offset < record->size) {
            tag = record->tag;
        }
    }
    return resume_check_fail_in(check, err, tag, resume_field_name(offset), offset, found,
                                expected);
}

/* Every field without which a long-mode resume would run on guesses. */
static int check_presence(const struct check *check)
{
    const struct {
        size_t valid_offset;
        uint64_t required;
    } needs[] = {
        {AT(regs.valid), RESUME_REGS_ALL},
        {AT(segs.valid), RESUME_SEGS_ALL},
        {AT(ctrl.valid), RESUME_CTRL_CR0 | RESUME_CTRL_CR2 | RESUME_CTRL_CR3 | RESUME_CTRL_CR4 |
                             RESUME_CTRL_CR8 | RESUME_CTRL_EFER},
        {AT(debug.valid), RESUME_DEBUG_ALL},
    };
    size_t count;
    const struct resume_field *table = resume_field_table(&count);

    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < sizeof(needs) / sizeof(needs[0]); k++) {
            if (table[i].valid_offset == needs[k].valid_offset &&
                (needs[k].required >> table[i].valid_bit & 1) != 0 &&
                !resume_field_valid(check->vcpu, &table[i])) {
                return resume_check_fail(check, RESUME_EMISSING, table[i].offset, 0,
                                         needs[k].required);
            }
        }
    }
    if ((check->vcpu->ctrl.cr4 & RESUME_CR4_OSXSAVE) != 0 &&
        (check->vcpu->ctrl.valid & RESUME_CTRL_XCR0) == 0) {
        return resume_check_fail(check, RESUME_EMISSING, AT(ctrl.xcr0), 0, RESUME_CTRL_XCR0);
    }
    return RESUME_OK;
}

/* Bits that must have a value whatever the rest of the state is. */
static int check_fixed_bits(const struct check *check)
{
    static const struct {
        uint32_t offset;
        int err;
        uint64_t mask;
        uint64_t value;
    } rules[] = {
        {AT(regs.rflags), RESUME_EREGISTER, ~RESUME_RFLAGS_KNOWN, 0},
        {AT(regs.rflags), RESUME_EREGISTER, RESUME_RFLAGS_ONE, RESUME_RFLAGS_ONE},
        {AT(ctrl.cr0), RESUME_EREGISTER, ~RESUME_CR0_KNOWN, 0},
        {AT(ctrl.cr3), RESUME_EREGISTER, ~(RESUME_CR3_ADDRESS_END - 1) & ~RESUME_CR3_LAM, 0},
        {AT(ctrl.cr4), RESUME_EREGISTER, ~RESUME_CR4_KNOWN, 0},
        {AT(ctrl.cr8), RESUME_EREGISTER, ~UINT64_C(0xf), 0},
        {AT(ctrl.efer), RESUME_EREGISTER, ~RESUME_EFER_KNOWN, 0},
        {AT(ctrl.xcr0), RESUME_EREGISTER, ~RESUME_XCR0_KNOWN, 0},
        {AT(ctrl.xss), RESUME_EREGISTER, ~RESUME_XSS_KNOWN, 0},
        {AT(ctrl.apic_base), RESUME_EREGISTER, RESUME_APIC_BASE_RESERVED, 0},
        {AT(debug.dr6), RESUME_EREGISTER, ~UINT64_C(0xffffffff), 0},
        {AT(debug.dr7), RESUME_EREGISTER, ~UINT64_C(0xffffffff), 0},
    };
    size_t count;
    const struct resume_field *table = resume_field_table(&count);

    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        for (size_t k = 0; k < count; k++) {
            uint64_t value;

            if (table[k].offset != rules[i].offset || !resume_field_valid(check->vcpu, &table[k])) {
                continue;
            }
            value = resume_field_get(check->vcpu, &table[k]);
            if ((value & rules[i].mask) != rules[i].value) {
                return resume_check_fail(check, rules[i].err, rules[i].offset, value,
                                         rules[i].value != 0 ? rules[i].value : ~rules[i].mask);
            }
        }
    }
    return RESUME_OK;
}

/* Intel SDM vol. 3, "Initializing IA-32e Mode" and "Control Registers". */
static int check_mode(const struct check *check)
{
    const struct resume_ctrl *ctrl = &check->vcpu->ctrl;
    const uint64_t long_mode = RESUME_EFER_LME | RESUME_EFER_LMA;

    if ((ctrl->cr0 & RESUME_CR0_PG) != 0 && (ctrl->cr0 & RESUME_CR0_PE) == 0) {
        return resume_check_fail(check, RESUME_EREGISTER, AT(ctrl.cr0), ctrl->cr0,
                                 ctrl->cr0 | RESUME_CR0_PE);
    }
    if ((ctrl->cr0 & RESUME_CR0_NW) != 0 && (ctrl->cr0 & RESUME_CR0_CD) == 0) {
        return resume_check_fail(check, RESUME_EREGISTER, AT(ctrl.cr0), ctrl->cr0,
                                 ctrl->cr0 & ~RESUME_CR0_NW);
    }
    if ((ctrl->efer & long_mode) != long_mode) {
        return resume_check_fail(check, RESUME_ECONSISTENT, AT(ctrl.efer), ctrl->efer,
                                 ctrl->efer | long_mode);
    }
    if ((ctrl->cr0 & RESUME_CR0_PG) == 0) {
        return resume_check_fail(check, RESUME_ECONSISTENT, AT(ctrl.cr0), ctrl->cr0,
                                 ctrl->cr0 | RESUME_CR0_PG | RESUME_CR0_PE);
    }
    if ((ctrl->cr4 & RESUME_CR4_PAE) == 0) {
        return resume_check_fail(check, RESUME_ECONSISTENT, AT(ctrl.cr4), ctrl->cr4,
                                 ctrl->cr4 | RESUME_CR4_PAE);
    }
    if ((ctrl->cr4 & RESUME_CR4_CET) != 0 && (ctrl->cr0 & RESUME_CR0_WP) == 0) {
        return resume_check_fail(check, RESUME_ECONSISTENT, AT(ctrl.cr4), ctrl->cr4,
                                 ctrl->cr4 & ~RESUME_CR4_CET);
    }
    if ((check->vcpu->regs.rflags & RESUME_RFLAGS_VM) != 0) {
        return resume_check_fail(check, RESUME_ECONSISTENT, AT(regs.rflags),
                                 check->vcpu->regs.rflags,
                                 check->vcpu->regs.rflags & ~RESUME_RFLAGS_VM);
    }
    if ((ctrl->valid & RESUME_CTRL_APIC_BASE) != 0 &&
        (ctrl->apic_base & RESUME_APIC_BASE_EXTD) != 0 &&
        (ctrl->apic_base & RESUME_APIC_BASE_EN) == 0) {
        return resume_check_fail(check, RESUME_EREGISTER, AT(ctrl.apic_base), ctrl->apic_base,
                                 ctrl->apic_base | RESUME_APIC_BASE_EN);
    }
    return RESUME_OK;
}

/* Intel SDM vol. 1, "XSETBV" and the chapters of the features. */
static int check_xcr0(const struct check *check)
{
    static const struct {
        uint64_t group; /* all of them or none */
        uint64_t needs; /* what they build on */
    } rules[] = {
        {RESUME_XCR0_AVX, RESUME_XCR0_SSE},
        {RESUME_XCR0_MPX, 0},
        {RESUME_XCR0_AVX512, RESUME_XCR0_AVX},
        {RESUME_XCR0_AMX, 0},
    };
    uint64_t xcr0 = check->vcpu->ctrl.xcr0;

    if ((check->vcpu->ctrl.valid & RESUME_CTRL_XCR0) == 0) {
        return RESUME_OK;
    }
    if ((xcr0 & RESUME_XCR0_X87) == 0) {
        return resume_check_fail(check, RESUME_EREGISTER, AT(ctrl.xcr0), xcr0,
                                 xcr0 | RESUME_XCR0_X87);
    }
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        uint64_t all = rules[i].group | rules[i].needs;

        if ((xcr0 & rules[i].group) != 0 && (xcr0 & all) != all) {
            return resume_check_fail(check, RESUME_EREGISTER, AT(ctrl.xcr0), xcr0, xcr0 | all);
        }
    }
    return RESUME_OK;
}

/* STI sets IF, and HLT ends an interrupt shadow. */
static int check_run(const struct check *check)
{
    const struct resume_run *run = &check->vcpu->run;
    bool shadow = (run->valid & RESUME_RUN_SHADOW) != 0 && run->interrupt_shadow != 0;
    bool halted = (run->valid & RESUME_RUN_MP_STATE) != 0 && run->mp_state == RESUME_MP_HALTED;

    if (shadow && run->interrupt_shadow == 1 &&
        (check->vcpu->regs.rflags & RESUME_RFLAGS_IF) == 0) {
        return resume_check_fail(check, RESUME_ECONSISTENT, AT(run.interrupt_shadow),
                                 run->interrupt_shadow, 0);
    }
    if (shadow && halted) {
        return resume_check_fail(check, RESUME_ECONSISTENT, AT(run.mp_state), run->mp_state,
                                 RESUME_MP_RUNNING);
    }
    return RESUME_OK;
}

int resume_vcpu_dormant(const struct resume_vcpu *vcpu)
{
    const struct resume_run *run = &vcpu->run;

    if ((run->valid & RESUME_RUN_MP_STATE) == 0) {
        return 0;
    }
    switch (run->mp_state) {
    case RESUME_MP_WAIT_SIPI:
    case RESUME_MP_UNINITIALIZED:
        return 1;
    case RESUME_MP_HALTED:
        return (vcpu->regs.valid & RESUME_REGS_RFLAGS) != 0 &&
               (vcpu->ctrl.valid & RESUME_CTRL_EFER) != 0 &&
               (vcpu->regs.rflags & RESUME_RFLAGS_IF) == 0 &&
               (vcpu->ctrl.efer & RESUME_EFER_LMA) == 0;
    default:
        return 0;
    }
}

int resume_vcpu_validate(const struct resume_vcpu *vcpu, uint32_t index, struct resume_diag *diag)
{
    struct check check = {.vcpu = vcpu, .index = index, .levels = 4, .diag = diag};
    int err;

    if (vcpu == NULL || vcpu->msr_count > RESUME_MSR_MAX ||
        vcpu->xsave.comp_count > RESUME_XCOMP_MAX || vcpu->xsave.length > RESUME_XSAVE_MAX ||
        (vcpu->xsave.length != 0 &&
         (vcpu->xsave.length < RESUME_XSAVE_MIN || vcpu->xsave.area == NULL))) {
        return resume_fail(diag, RESUME_EINVAL, "arguments", "vcpu", 0, 0, 0, index);
    }
    if (resume_vcpu_dormant(vcpu)) {
        return resume_run_check(vcpu, index, AT(run), diag);
    }
    if ((vcpu->ctrl.cr4 & RESUME_CR4_LA57) != 0) {
        check.levels = 5;
    }
    err = check_presence(&check);
    if (err == RESUME_OK) {
        err = check_fixed_bits(&check);
    }
    if (err == RESUME_OK) {
        err = check_mode(&check);
    }
    if (err == RESUME_OK) {
        err = check_xcr0(&check);
    }
    if (err == RESUME_OK) {
        err = resume_check_segments(&check);
    }
    if (err == RESUME_OK) {
        err = resume_check_msrs(&check);
    }
    if (err == RESUME_OK) {
        err = resume_check_xsave(&check);
    }
    if (err == RESUME_OK) {
        err = resume_run_check(vcpu, index, AT(run), diag);
    }
    if (err == RESUME_OK) {
        err = check_run(&check);
    }
    return err;
}
