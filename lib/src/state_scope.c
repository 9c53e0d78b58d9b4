/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "msr.h"
#include "state_validate.h"

#define AT(member) offsetof(struct resume_vcpu, member)

/* What the trampoline has room for: one page each. */
#define GDT_LIMIT_MAX 0xfff
#define XSAVE_LENGTH_MAX 4096

/*
 * Fields, and the bits of them that must be zero. CR4 and EFER: features with state of their own
 * that no record carries, or with another way of entering the kernel. Event fields: nothing may be
 * pending, as nothing here could deliver it.
 */
static const struct {
    uint32_t offset;
    uint32_t none; /* the value that stands for "nothing", where it is not 0 */
    uint64_t refused;
} limits[] = {
    {AT(ctrl.cr4), 0,
     RESUME_CR4_LA57 | RESUME_CR4_VMXE | RESUME_CR4_SMXE | RESUME_CR4_KL | RESUME_CR4_CET |
         RESUME_CR4_PKS | RESUME_CR4_UINTR | RESUME_CR4_LASS | RESUME_CR4_LAM_SUP |
         RESUME_CR4_FRED},
    {AT(ctrl.cr3), 0, RESUME_CR3_LAM},
    {AT(ctrl.efer), 0, RESUME_EFER_SVME},
    {AT(ctrl.xss), 0, UINT64_MAX},
    {AT(run.smm), 0, UINT64_MAX},
    {AT(run.interrupt_shadow), 0, UINT64_MAX},
    {AT(run.nmi_masked), 0, UINT64_MAX},
    {AT(run.nmi_pending), 0, UINT64_MAX},
    {AT(run.exception_vector), RESUME_NO_EVENT, UINT64_MAX},
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

/*
 * The trampoline loads segments by their selectors, so the descriptors must be there: a guest that
 * has shrunk a table since it loaded one has a state that only the CPU itself can hold.
 */
static int check_selectors(const struct check *check)
{
    const struct resume_segment *seg = check->vcpu->segs.seg;

    for (uint32_t i = RESUME_ES; i <= RESUME_TR; i++) {
        uint32_t selector = seg[i].selector;
        bool local = (selector & RESUME_SELECTOR_TI) != 0;
        bool system = i == RESUME_LDTR || i == RESUME_TR;
        uint32_t table = local ? RESUME_LDTR : RESUME_GDTR;
        /* Descriptors of system segments have 16 bytes in long mode. */
        uint32_t last = (selector & ~UINT32_C(7)) + (system ? 15 : 7);

        if ((check->vcpu->segs.valid & UINT64_C(1) << i) == 0 ||
            (check->vcpu->segs.valid & UINT64_C(1) << table) == 0) {
            continue;
        }
        if ((selector & ~RESUME_SELECTOR_RPL) == 0) {
            if (i == RESUME_TR) { /* LTR refuses a null selector */
                return resume_check_fail(check, RESUME_EUNSUPPORTED, RESUME_SEG_OFFSET(i, selector),
                                         selector, 8);
            }
            continue;
        }
        if ((local && (system || (seg[RESUME_LDTR].selector & ~RESUME_SELECTOR_RPL) == 0)) ||
            last > seg[table].limit) {
            return resume_check_fail(check, RESUME_EUNSUPPORTED, RESUME_SEG_OFFSET(i, selector),
                                     selector, local ? 0 : seg[table].limit);
        }
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
    err = check_fields(&check);
    if (err != RESUME_OK) {
        return err;
    }
    if ((vcpu->run.valid & RESUME_RUN_MP_STATE) != 0 && vcpu->run.mp_state > RESUME_MP_HALTED) {
        return resume_check_fail(&check, RESUME_EUNSUPPORTED, AT(run.mp_state), vcpu->run.mp_state,
                                 RESUME_MP_HALTED);
    }
    if (vcpu->segs.seg[RESUME_GDTR].limit > GDT_LIMIT_MAX) {
        return resume_check_fail(&check, RESUME_EUNSUPPORTED, RESUME_SEG_OFFSET(RESUME_GDTR, limit),
                                 vcpu->segs.seg[RESUME_GDTR].limit, GDT_LIMIT_MAX);
    }
    err = check_selectors(&check);
    if (err != RESUME_OK) {
        return err;
    }
    for (uint32_t i = 0; i < vcpu->msr_count; i++) {
        if (resume_msr_way(vcpu->msr[i].index) == RESUME_MSR_NOT_RESTORED &&
            (vcpu->msr[i].flags & RESUME_MSR_OPTIONAL) == 0) {
            return resume_check_fail_in(&check, RESUME_EUNSUPPORTED, RESUME_FORMAT_TAG_MSR, "index",
                                        AT(msr), vcpu->msr[i].index, RESUME_MSR_OPTIONAL);
        }
    }
    if (vcpu->xsave.length > XSAVE_LENGTH_MAX) {
        return resume_check_fail_in(&check, RESUME_EUNSUPPORTED, RESUME_FORMAT_TAG_XSAVE, "length",
                                    AT(xsave.length), vcpu->xsave.length, XSAVE_LENGTH_MAX);
    }
    return RESUME_OK;
}
