/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "linux_vcpu.h"

#include <string.h>

static uint8_t xsave_area[832];

static const struct resume_msr msrs[] = {
    {RESUME_MSR_SYSENTER_CS, 0, 0x10},
    {RESUME_MSR_SYSENTER_ESP, 0, UINT64_C(0xfffffe0000003000)},
    {RESUME_MSR_SYSENTER_EIP, 0, UINT64_C(0xffffffffbce017b0)},
    {RESUME_MSR_PAT, 0, UINT64_C(0x0407050600070106)},
    {RESUME_MSR_STAR, 0, UINT64_C(0x0023001000000000)},
    {RESUME_MSR_LSTAR, 0, UINT64_C(0xffffffffbce00080)},
    {RESUME_MSR_CSTAR, 0, UINT64_C(0xffffffffbce01870)},
    {RESUME_MSR_FMASK, 0, UINT64_C(0x257fd5)},
    {RESUME_MSR_KERNEL_GS_BASE, 0, UINT64_C(0xffff8d52dca00000)},
    {RESUME_MSR_TSC_AUX, 0, 0},
};

static void common(struct resume_vcpu *v)
{
    memset(v, 0, sizeof(*v));
    v->regs.valid = RESUME_REGS_ALL;
    v->segs.valid = RESUME_SEGS_ALL;
    v->ctrl.valid = RESUME_CTRL_ALL;
    v->debug.valid = RESUME_DEBUG_ALL;
    v->run.valid = RESUME_RUN_ALL;
    v->run.exception_vector = RESUME_NO_EVENT;
    v->run.interrupt_vector = RESUME_NO_EVENT;
    v->segs.seg[RESUME_ES].access = RESUME_SEG_UNUSABLE;
    v->segs.seg[RESUME_DS].access = RESUME_SEG_UNUSABLE;
    v->segs.seg[RESUME_FS].access = RESUME_SEG_UNUSABLE;
    v->segs.seg[RESUME_GS].access = RESUME_SEG_UNUSABLE;
    v->segs.seg[RESUME_LDTR].access = RESUME_SEG_UNUSABLE;
    v->segs.seg[RESUME_TR] = (struct resume_segment){
        .base = UINT64_C(0xfffffe0000003000), .limit = 0x4087, .access = 0x8b, .selector = 0x40};
    v->segs.seg[RESUME_GDTR].base = UINT64_C(0xfffffe0000001000);
    v->segs.seg[RESUME_GDTR].limit = 0x7f;
    v->segs.seg[RESUME_IDTR].base = UINT64_C(0xfffffe0000000000);
    v->segs.seg[RESUME_IDTR].limit = 0xfff;
    v->ctrl.cr0 = 0x80050033;
    v->ctrl.cr2 = 0x5633e7;
    v->ctrl.cr3 = 0x1e01e000;
    v->ctrl.cr4 = 0x406b0; /* OSXSAVE, OSXMMEXCPT, OSFXSR, PGE, PAE, PSE */
    v->ctrl.efer = 0xd01;
    v->ctrl.xcr0 = 7;
    v->ctrl.apic_base = 0xfee00900;
    v->debug.dr6 = 0xffff0ff0;
    v->debug.dr7 = 0x400;
    v->msr_count = sizeof(msrs) / sizeof(msrs[0]);
    memcpy(v->msr, msrs, sizeof(msrs));
    xsave_area[0] = 0x7f; /* FCW */
    xsave_area[1] = 0x03;
    xsave_area[24] = 0x80; /* MXCSR */
    xsave_area[25] = 0x1f;
    xsave_area[512] = 7; /* XSTATE_BV */
    v->xsave.area = xsave_area;
    v->xsave.length = sizeof(xsave_area);
    v->xsave.comp_count = 1;
    v->xsave.comp[0] = (struct resume_xcomp){.id = 2, .offset = 576, .size = 256};
}

void linux_vcpu_user(struct resume_vcpu *v)
{
    static const uint64_t gpr[RESUME_GPR_COUNT] = {
        1,          0x2d,     9,          0x13695a58, UINT64_C(0x7ffc6ab619a8),     0x13695c00,
        0x13695a58, 0x5bdb1c, 0,          0,          UINT64_C(0x91d6efa8d6d94d42), 0,
        0x13695990, 0,        0x13695a40, 0};

    common(v);
    memcpy(v->regs.gpr, gpr, sizeof(gpr));
    v->regs.rip = 0x4ec5ac;
    v->regs.rflags = 0x206;
    v->segs.seg[RESUME_CS] =
        (struct resume_segment){.limit = UINT32_MAX, .access = 0xa0fb, .selector = 0x33};
    v->segs.seg[RESUME_SS] =
        (struct resume_segment){.limit = UINT32_MAX, .access = 0xc0f3, .selector = 0x2b};
    v->segs.seg[RESUME_FS].base = 0x136933c0;
}

void linux_vcpu_kernel(struct resume_vcpu *v)
{
    common(v);
    v->regs.gpr[RESUME_RAX] = UINT64_C(0xffffffffbcc0ffee);
    v->regs.gpr[RESUME_RCX] = 3;
    v->regs.gpr[RESUME_RDI] = UINT64_C(0xffff8d52dca00010);
    v->regs.gpr[RESUME_RSP] = UINT64_C(0xffffffffbd603e90);
    v->regs.rip = UINT64_C(0xffffffffbcc12345);
    v->regs.rflags = 0x246;
    v->segs.seg[RESUME_CS] =
        (struct resume_segment){.limit = UINT32_MAX, .access = 0xa09b, .selector = 0x10};
    v->segs.seg[RESUME_SS] =
        (struct resume_segment){.limit = UINT32_MAX, .access = 0xc093, .selector = 0x18};
    v->segs.seg[RESUME_GS].base = UINT64_C(0xffff8d52dca00000);
}
