/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "record.h"

#include <string.h>

#include <resume/msr.h>

/* Intel SDM vol. 1, "Standard Form of XSAVE Area"; the places are those of CPUID leaf 0DH. */
static const struct resume_xcomp layout_of_intel[] = {
    {2, 576, 256},   {3, 960, 64}, {4, 1024, 64},  {5, 1088, 64},    {6, 1152, 512},
    {7, 1664, 1024}, {9, 2688, 8}, {17, 2752, 64}, {18, 2816, 8192},
};

const struct resume_xcomp *import_xsave_layout(size_t *ret_count)
{
    *ret_count = sizeof(layout_of_intel) / sizeof(layout_of_intel[0]);
    return layout_of_intel;
}

void import_xsave_components(struct resume_xsave *xsave, uint64_t features, uint32_t available,
                             const struct resume_xcomp *layout, size_t layout_count)
{
    if (layout == NULL)
        layout = import_xsave_layout(&layout_count);
    xsave->length = RESUME_XSAVE_MIN;
    xsave->comp_count = 0;
    for (size_t i = 0; i < layout_count; i++) {
        const struct resume_xcomp *comp = &layout[i];
        if (comp->id > 62 || (features >> comp->id & 1) == 0 || comp->offset > available ||
            comp->size > available - comp->offset || comp->offset < RESUME_XSAVE_MIN ||
            xsave->comp_count == RESUME_XCOMP_MAX)
            continue;
        xsave->comp[xsave->comp_count++] = *comp;
        if (xsave->length < comp->offset + comp->size)
            xsave->length = comp->offset + comp->size;
    }
}

uint32_t import_access(uint32_t flags)
{
    uint32_t access = (flags & UINT32_C(0x00f0ff00)) >> 8;
    return (access & RESUME_SEG_P) == 0 ? access | RESUME_SEG_UNUSABLE : access;
}

static void note(uint64_t *valid, uint64_t bit, uint64_t *field, uint64_t value)
{
    if ((*valid & bit) == 0) {
        *field = value;
        *valid |= bit;
    }
}

static int add(struct resume_vcpu *vcpu, uint32_t index, uint64_t value)
{
    uint32_t at = vcpu->msr_count;
    while (at > 0 && vcpu->msr[at - 1].index > index)
        at--;
    if (at > 0 && vcpu->msr[at - 1].index == index)
        return RESUME_EDUPLICATE;
    if (vcpu->msr_count == RESUME_MSR_MAX)
        return RESUME_ENOSPC;
    memmove(&vcpu->msr[at + 1], &vcpu->msr[at], (vcpu->msr_count - at) * sizeof(vcpu->msr[0]));
    vcpu->msr[at] = (struct resume_msr){
        .index = index, .flags = resume_msr_flags(index, value), .value = value};
    vcpu->msr_count++;
    return 0;
}

int import_msr(struct resume_vcpu *vcpu, uint32_t index, uint64_t value)
{
    struct resume_ctrl *ctrl = &vcpu->ctrl;
    switch (index) {
    case RESUME_MSR_EFER:
        note(&ctrl->valid, RESUME_CTRL_EFER, &ctrl->efer, value);
        return 0;
    case RESUME_MSR_APIC_BASE:
        note(&ctrl->valid, RESUME_CTRL_APIC_BASE, &ctrl->apic_base, value);
        return 0;
    case RESUME_MSR_XSS:
        note(&ctrl->valid, RESUME_CTRL_XSS, &ctrl->xss, value);
        return 0;
    case RESUME_MSR_FS_BASE:
    case RESUME_MSR_GS_BASE:
        /* The base belongs to a segment, and counts with the rest of it only. */
        return 0;
    default:
        if (value == 0 && resume_msr_way(index) == RESUME_MSR_NOT_RESTORED)
            return 0;
        return add(vcpu, index, value);
    }
}
