/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "guest_mode.h"

#include <inttypes.h>

#define CR0_PE 0
#define CR0_PG 31
#define CR4_PAE 5
#define CR4_LA57 12
#define EFER_LMA 10
#define EFER_NXE 11
#define RFLAGS_VM 17
#define ADDRESS_MASK UINT64_C(0x000ffffffffff000)
#define PA_BITS 52

static bool has(uint64_t value, unsigned bit)
{
    return (value >> bit & 1) != 0;
}

static bool segment_known(const struct resume_vcpu *vcpu, unsigned segment)
{
    return (vcpu->segs.valid >> segment & 1) != 0;
}

/* Without EFER: only in long mode is there a 64-bit code segment, or a table beyond 4 GiB. */
static bool looks_long(const struct resume_vcpu *vcpu)
{
    static const unsigned tables[] = {RESUME_GDTR, RESUME_IDTR, RESUME_TR, RESUME_LDTR};
    if (segment_known(vcpu, RESUME_CS) && (vcpu->segs.seg[RESUME_CS].access & RESUME_SEG_L) != 0)
        return true;
    for (unsigned i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        if (segment_known(vcpu, tables[i]) && vcpu->segs.seg[tables[i]].base >> 32 != 0)
            return true;
    }
    return false;
}

static bool long_mode(const struct resume_vcpu *vcpu, bool *ret_assumed)
{
    const struct resume_ctrl *ctrl = &vcpu->ctrl;
    *ret_assumed = (ctrl->valid & RESUME_CTRL_EFER) == 0;
    if (!*ret_assumed)
        return has(ctrl->efer, EFER_LMA);
    return has(ctrl->cr0, CR0_PG) && has(ctrl->cr4, CR4_PAE) && looks_long(vcpu);
}

static enum guest_paging paging_of(const struct resume_vcpu *vcpu, bool is_long)
{
    const struct resume_ctrl *ctrl = &vcpu->ctrl;
    if ((ctrl->valid & RESUME_CTRL_CR0) == 0)
        return GUEST_PAGING_UNKNOWN;
    if (!has(ctrl->cr0, CR0_PG))
        return GUEST_PAGING_NONE;
    if ((ctrl->valid & RESUME_CTRL_CR4) == 0)
        return GUEST_PAGING_UNKNOWN;
    if (is_long)
        return has(ctrl->cr4, CR4_LA57) ? GUEST_PAGING_5_LEVEL : GUEST_PAGING_4_LEVEL;
    return has(ctrl->cr4, CR4_PAE) ? GUEST_PAGING_PAE : GUEST_PAGING_32_BIT;
}

static const char *mode_of(const struct resume_vcpu *vcpu, bool is_long)
{
    if ((vcpu->ctrl.valid & RESUME_CTRL_CR0) == 0)
        return "unknown mode";
    if (!has(vcpu->ctrl.cr0, CR0_PE))
        return "real mode";
    if (is_long)
        return !segment_known(vcpu, RESUME_CS)                   ? "long mode"
               : vcpu->segs.seg[RESUME_CS].access & RESUME_SEG_L ? "64-bit mode"
                                                                 : "compatibility mode";
    return has(vcpu->regs.rflags, RFLAGS_VM) ? "virtual-8086 mode" : "protected mode";
}

void guest_mode_of(const struct resume_vcpu *vcpu, struct guest_mode *out)
{
    bool assumed;
    const bool is_long = long_mode(vcpu, &assumed);
    *out = (struct guest_mode){
        .mode = mode_of(vcpu, is_long),
        .paging = paging_of(vcpu, is_long),
        .efer_assumed = assumed && is_long,
    };
    out->levels = out->paging == GUEST_PAGING_5_LEVEL   ? 5
                  : out->paging == GUEST_PAGING_4_LEVEL ? 4
                                                        : 0;
    if ((vcpu->ctrl.valid & RESUME_CTRL_CR0) != 0 && !has(vcpu->ctrl.cr0, CR0_PE)) {
        out->cpl_known = true;
    } else if (segment_known(vcpu, RESUME_SS)) {
        out->cpl_known = true;
        out->cpl = (vcpu->segs.seg[RESUME_SS].access & RESUME_SEG_DPL) >> RESUME_SEG_DPL_SHIFT;
    }
}

const char *guest_paging_name(enum guest_paging paging)
{
    static const char *const names[] = {
        [GUEST_PAGING_UNKNOWN] = "unknown paging", [GUEST_PAGING_NONE] = "no paging",
        [GUEST_PAGING_32_BIT] = "32-bit paging",   [GUEST_PAGING_PAE] = "PAE paging",
        [GUEST_PAGING_4_LEVEL] = "4-level paging", [GUEST_PAGING_5_LEVEL] = "5-level paging"};
    return names[paging];
}

bool guest_mode_paging(const struct resume_vcpu *vcpu, const struct resume_phys *phys,
                       struct resume_paging *out)
{
    struct guest_mode mode;
    guest_mode_of(vcpu, &mode);
    if (mode.levels == 0 || (vcpu->ctrl.valid & RESUME_CTRL_CR3) == 0)
        return false;
    *out = (struct resume_paging){
        .phys = *phys,
        .root_pa = vcpu->ctrl.cr3 & ADDRESS_MASK,
        .levels = mode.levels,
        .nxe = mode.efer_assumed || has(vcpu->ctrl.efer, EFER_NXE),
        .pa_bits = PA_BITS,
    };
    return true;
}

int guest_mode_tables(struct input *input, const struct resume_vcpu *vcpu, uint32_t index,
                      struct resume_paging *out, struct report_failure *failure)
{
    struct resume_import_error error = {0};
    struct resume_phys phys;
    struct guest_mode mode;
    guest_mode_of(vcpu, &mode);
    if (mode.levels == 0)
        return report_fail(failure, EXIT_CODE_REFUSED, input->what, input->path,
                           "give another vCPU with --vcpu; resumectl inspect shows them",
                           "vCPU %" PRIu32 " has %s: page tables of 4 or 5 levels are read", index,
                           guest_paging_name(mode.paging));
    if ((vcpu->ctrl.valid & RESUME_CTRL_CR3) == 0)
        return report_fail(failure, EXIT_CODE_REFUSED, input->what, input->path,
                           "use a format that carries CR3",
                           "CR3 of vCPU %" PRIu32 " is not carried", index);
    if (resume_import_memory(input->import, &phys, &error) != 0)
        return input_fail(&error, input->what, input->path, failure);
    guest_mode_paging(vcpu, &phys, out);
    return 0;
}

int guest_mode_choose(const struct input_arguments *arguments, struct input *input,
                      uint32_t *ret_index, struct guest_mode *mode, struct resume_paging *out,
                      struct report_failure *failure)
{
    struct resume_vcpu vcpu;
    *ret_index = arguments->vcpu;
    int ret = arguments->has_vcpu ? 0 : input_first_vcpu(input, ret_index, failure);
    if (ret == 0)
        ret = input_vcpu(input, *ret_index, &vcpu, failure);
    if (ret == 0)
        ret = guest_mode_tables(input, &vcpu, *ret_index, out, failure);
    if (ret == 0)
        guest_mode_of(&vcpu, mode);
    return ret;
}
