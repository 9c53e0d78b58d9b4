/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* MSRs, and the XSAVE image (Intel SDM vol. 1, "Managing State Using the XSAVE Feature Set"). */
#include "state_validate.h"

#define LEGACY_SIZE 512
#define MXCSR_OFFSET 24
#define MXCSR_KNOWN UINT32_C(0xffff)
#define XSTATE_BV_OFFSET 512
#define XCOMP_BV_OFFSET 520
#define RESERVED_OFFSET 528
#define COMPONENT_MAX 62

/* What an MSR's value must be like. */
enum msr_rule { ANY, CANONICAL, LOW_HALF, MEMORY_TYPES };

static const struct {
    uint32_t index;
    uint8_t rule;
    uint8_t required;
    char name[20];
} msrs[] = {
    {RESUME_MSR_SYSENTER_CS, ANY, 1, "SYSENTER_CS"},
    {RESUME_MSR_SYSENTER_ESP, CANONICAL, 1, "SYSENTER_ESP"},
    {RESUME_MSR_SYSENTER_EIP, CANONICAL, 1, "SYSENTER_EIP"},
    {RESUME_MSR_PAT, MEMORY_TYPES, 1, "PAT"},
    {RESUME_MSR_STAR, ANY, 1, "STAR"},
    {RESUME_MSR_LSTAR, CANONICAL, 1, "LSTAR"},
    {RESUME_MSR_CSTAR, CANONICAL, 1, "CSTAR"},
    {RESUME_MSR_FMASK, LOW_HALF, 1, "FMASK"},
    {RESUME_MSR_KERNEL_GS_BASE, CANONICAL, 1, "KERNEL_GS_BASE"},
    {RESUME_MSR_TSC_AUX, LOW_HALF, 0, "TSC_AUX"},
    {RESUME_MSR_U_CET, CANONICAL, 0, "U_CET"},
    {RESUME_MSR_S_CET, CANONICAL, 0, "S_CET"},
    {0x6a4, CANONICAL, 0, "PL0_SSP"},
    {0x6a5, CANONICAL, 0, "PL1_SSP"},
    {0x6a6, CANONICAL, 0, "PL2_SSP"},
    {0x6a7, CANONICAL, 0, "PL3_SSP"},
    {0x6a8, CANONICAL, 0, "INTERRUPT_SSP_TABLE"},
};

const uint64_t *resume_vcpu_msr(const struct resume_vcpu *vcpu, uint32_t index)
{
    for (uint32_t i = 0; i < vcpu->msr_count && i < RESUME_MSR_MAX; i++) {
        if (vcpu->msr[i].index == index) {
            return &vcpu->msr[i].value;
        }
    }
    return NULL;
}

static int fail_msr(const struct check *check, int err, const char *name, uint64_t found,
                    uint64_t expected)
{
    return resume_check_fail_in(check, err, RESUME_FORMAT_TAG_MSR, name,
                                offsetof(struct resume_vcpu, msr), found, expected);
}

/* Intel SDM vol. 3, "Memory Types That Can Be Encoded With PAT". */
static bool memory_types(uint64_t pat)
{
    for (int i = 0; i < 8; i++, pat >>= 8) {
        uint64_t type = pat & 0xff;

        if (type > 7 || type == 2 || type == 3) {
            return false;
        }
    }
    return true;
}

/* An MSR that shows another field of the record may not contradict it. */
static int check_alias(const struct check *check, uint32_t index, const char *name, uint64_t value)
{
    const uint64_t *found = resume_vcpu_msr(check->vcpu, index);

    if (found != NULL && *found != value) {
        return fail_msr(check, RESUME_ECONSISTENT, name, *found, value);
    }
    return RESUME_OK;
}

int resume_check_msrs(const struct check *check)
{
    const struct resume_vcpu *vcpu = check->vcpu;
    int err;

    for (uint32_t i = 0; i < vcpu->msr_count; i++) {
        if (resume_vcpu_msr(vcpu, vcpu->msr[i].index) != &vcpu->msr[i].value) {
            return fail_msr(check, RESUME_ECONSISTENT, "index", vcpu->msr[i].index, 0);
        }
    }
    for (size_t i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
        const uint64_t *value = resume_vcpu_msr(vcpu, msrs[i].index);

        if (value == NULL) {
            if (msrs[i].required) {
                return fail_msr(check, RESUME_EMISSING, msrs[i].name, 0, msrs[i].index);
            }
            continue;
        }
        if (msrs[i].rule == CANONICAL && !resume_paging_canonical(*value, check->levels)) {
            return fail_msr(check, RESUME_ECANON, msrs[i].name, *value, 0);
        }
        if (msrs[i].rule == LOW_HALF && *value > UINT32_MAX) {
            return fail_msr(check, RESUME_EREGISTER, msrs[i].name, *value, UINT32_MAX);
        }
        if (msrs[i].rule == MEMORY_TYPES && !memory_types(*value)) {
            return fail_msr(check, RESUME_EREGISTER, msrs[i].name, *value,
                            UINT64_C(0x0007040600070406));
        }
    }
    err = check_alias(check, RESUME_MSR_EFER, "EFER", vcpu->ctrl.efer);
    if (err == RESUME_OK) {
        err = check_alias(check, RESUME_MSR_FS_BASE, "FS_BASE", vcpu->segs.seg[RESUME_FS].base);
    }
    if (err == RESUME_OK) {
        err = check_alias(check, RESUME_MSR_GS_BASE, "GS_BASE", vcpu->segs.seg[RESUME_GS].base);
    }
    if (err == RESUME_OK && (vcpu->ctrl.valid & RESUME_CTRL_XSS) != 0) {
        err = check_alias(check, RESUME_MSR_XSS, "XSS", vcpu->ctrl.xss);
    }
    if (err == RESUME_OK && (vcpu->ctrl.valid & RESUME_CTRL_APIC_BASE) != 0) {
        err = check_alias(check, RESUME_MSR_APIC_BASE, "APIC_BASE", vcpu->ctrl.apic_base);
    }
    return err;
}

static int fail_xsave(const struct check *check, int err, const char *field, size_t at,
                      uint64_t found, uint64_t expected)
{
    return resume_check_fail_in(check, err, RESUME_FORMAT_TAG_XSAVE, field, at, found, expected);
}

static bool overlap(const struct resume_xcomp *left, const struct resume_xcomp *right)
{
    return (uint64_t)left->offset < (uint64_t)right->offset + right->size &&
           (uint64_t)right->offset < (uint64_t)left->offset + left->size;
}

static int check_components(const struct check *check)
{
    const struct resume_xsave *xsave = &check->vcpu->xsave;

    for (uint32_t i = 0; i < xsave->comp_count; i++) {
        const struct resume_xcomp *comp = &xsave->comp[i];
        bool legacy = comp->id < 2;
        uint32_t limit = legacy ? LEGACY_SIZE : xsave->length;

        if (comp->id > COMPONENT_MAX) {
            return fail_xsave(check, RESUME_EREGISTER, "component id", i, comp->id, COMPONENT_MAX);
        }
        if (comp->size == 0 || !resume_range_within(comp->offset, comp->size, limit)) {
            return fail_xsave(check, RESUME_ECONSISTENT, "component size", i, comp->size, limit);
        }
        if (!legacy && comp->offset < RESUME_XSAVE_MIN) {
            return fail_xsave(check, RESUME_ECONSISTENT, "component offset", i, comp->offset,
                              RESUME_XSAVE_MIN);
        }
        for (uint32_t k = 0; k < i; k++) {
            if (comp->id == xsave->comp[k].id) {
                return fail_xsave(check, RESUME_ECONSISTENT, "component id", i, comp->id, k);
            }
            if (overlap(comp, &xsave->comp[k])) {
                return fail_xsave(check, RESUME_ECONSISTENT, "component offset", i, comp->offset,
                                  xsave->comp[k].offset);
            }
        }
    }
    return RESUME_OK;
}

int resume_check_xsave(const struct check *check)
{
    const struct resume_vcpu *vcpu = check->vcpu;
    const struct resume_xsave *xsave = &vcpu->xsave;
    uint64_t enabled = RESUME_XCR0_X87 | RESUME_XCR0_SSE;
    uint64_t extended;
    uint64_t in_use;
    uint32_t mxcsr;
    int err;

    if (xsave->length == 0) {
        return fail_xsave(check, RESUME_EMISSING, "image", 0, 0, RESUME_XSAVE_MIN);
    }
    mxcsr = resume_load_le32(xsave->area + MXCSR_OFFSET);
    if ((mxcsr & ~MXCSR_KNOWN) != 0) {
        return fail_xsave(check, RESUME_EREGISTER, "mxcsr", MXCSR_OFFSET, mxcsr, MXCSR_KNOWN);
    }
    for (size_t i = XCOMP_BV_OFFSET; i < RESUME_XSAVE_MIN; i++) {
        if (xsave->area[i] != 0) {
            return fail_xsave(check, RESUME_EREGISTER, i < RESERVED_OFFSET ? "xcomp_bv" : "header",
                              i, xsave->area[i], 0);
        }
    }
    if ((vcpu->ctrl.cr4 & RESUME_CR4_OSXSAVE) != 0) {
        enabled = vcpu->ctrl.xcr0;
        enabled |= (vcpu->ctrl.valid & RESUME_CTRL_XSS) != 0 ? vcpu->ctrl.xss : 0;
    }
    in_use = resume_load_le64(xsave->area + XSTATE_BV_OFFSET);
    if ((in_use & ~enabled) != 0) {
        return fail_xsave(check, RESUME_ECONSISTENT, "xstate_bv", XSTATE_BV_OFFSET, in_use,
                          enabled);
    }
    err = check_components(check);
    if (err != RESUME_OK) {
        return err;
    }
    /* Components beyond the legacy region are where the list says: those in use must be in it. */
    extended = in_use & ~(RESUME_XCR0_X87 | RESUME_XCR0_SSE);
    for (uint32_t i = 0; i < xsave->comp_count; i++) {
        extended &= ~RESUME_BIT(xsave->comp[i].id);
    }
    if (extended != 0) {
        return fail_xsave(check, RESUME_ECONSISTENT, "components", XSTATE_BV_OFFSET, extended, 0);
    }
    return RESUME_OK;
}
