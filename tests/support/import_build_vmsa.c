/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A VMSA as a C structure, in the order of AMD's table ("Layout of VMSA", APM vol. 2): the compiler
 * counts the offsets, so that they come from elsewhere than those of the importer.
 */
#include "import_build_vmsa.h"

#include <assert.h>
#include <string.h>

struct seg {
    uint16_t selector;
    uint16_t attributes;
    uint32_t limit;
    uint64_t base;
} __attribute__((packed));

struct vmsa {
    struct seg es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
    uint64_t pl0_ssp, pl1_ssp, pl2_ssp, pl3_ssp, u_cet;
    uint8_t reserved_c8[2];
    uint8_t vmpl, cpl;
    uint8_t reserved_cc[4];
    uint64_t efer;
    uint8_t reserved_d8[104];
    uint64_t xss, cr4, cr3, cr0, dr7, dr6, rflags, rip;
    uint64_t dr[4];
    uint64_t dr_mask[4];
    uint8_t reserved_1c0[24];
    uint64_t rsp, s_cet, ssp, isst_address, rax;
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base, sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t cr2;
    uint8_t reserved_248[32];
    uint64_t pat, debug_control, branch_from, branch_to, exception_from, exception_to;
    uint8_t reserved_298[72];
    uint64_t spec_ctrl;
    uint32_t pkru, tsc_aux;
    uint64_t tsc_scale, tsc_offset, registers_protected;
    uint64_t rcx, rdx, rbx, secure_avic, rbp, rsi, rdi;
    uint64_t r8[8];
    uint8_t reserved_380[16];
    uint64_t exit_info_1, exit_info_2, exit_interrupt_info, next_rip;
    uint64_t sev_features, interrupt_control, exit_code, virtual_top, tlb_id, pcpu_id;
    uint64_t event_injection, xcr0;
    uint8_t valid_bitmap[16];
    uint64_t x87_dp;
    uint32_t mxcsr;
    uint16_t x87_ftw, x87_fsw, x87_fcw, x87_fop, x87_ds, x87_cs;
    uint64_t x87_rip;
    uint8_t x87[80];
    uint8_t xmm[256];
    uint8_t ymm[256];
} __attribute__((packed));
static_assert(sizeof(struct vmsa) == 1648, "the size of the structure");

static struct seg segment(unsigned n, const char *name, int visible)
{
    char field[24];
    struct seg seg = {0};
    strcpy(field, name);
    strcat(field, ".base");
    seg.base = guest_value(n, field);
    strcpy(field + strlen(name), ".limit");
    seg.limit = (uint32_t)guest_value(n, field);
    if (visible) {
        strcpy(field + strlen(name), ".selector");
        seg.selector = (uint16_t)guest_value(n, field);
        seg.attributes = guest_attributes(n, name);
    }
    return seg;
}

static void set_x87(struct vmsa *vmsa, unsigned n)
{
    uint8_t fxsave[512];
    guest_fxsave(n, fxsave);
    memcpy(&vmsa->x87_fcw, fxsave, 2);
    memcpy(&vmsa->x87_fsw, fxsave + 2, 2);
    /* The registers of the mask 0xc5 hold zero (1), a number (0), something special (2). */
    vmsa->x87_ftw =
        0x0 << 14 | 0x1 << 12 | 0x3 << 10 | 0x3 << 8 | 0x3 << 6 | 0x2 << 4 | 0x3 << 2 | 0x1;
    memcpy(&vmsa->x87_fop, fxsave + 6, 2);
    memcpy(&vmsa->x87_rip, fxsave + 8, 8);
    memcpy(&vmsa->x87_dp, fxsave + 16, 8);
    memcpy(&vmsa->mxcsr, fxsave + 24, 4);
    for (unsigned i = 0; i < 8; i++)
        memcpy(vmsa->x87 + 10 * i, fxsave + 32 + 16 * i, 10);
    memcpy(vmsa->xmm, fxsave + 160, 256);
    guest_component(n, 2, vmsa->ymm, 256);
}

void build_vmsa(struct bytes *out, unsigned n, const struct vmsa_options *options)
{
    static const char *const numbered[] = {"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};
    static const char *const debug[] = {"dr0", "dr1", "dr2", "dr3"};
    struct vmsa vmsa;
    memset(&vmsa, 0, sizeof(vmsa));
    vmsa.es = segment(n, "es", 1);
    vmsa.cs = segment(n, "cs", 1);
    vmsa.ss = segment(n, "ss", 1);
    vmsa.ds = segment(n, "ds", 1);
    vmsa.fs = segment(n, "fs", 1);
    vmsa.gs = segment(n, "gs", 1);
    vmsa.gdtr = segment(n, "gdtr", 0);
    vmsa.ldtr = segment(n, "ldtr", 1);
    vmsa.idtr = segment(n, "idtr", 0);
    vmsa.tr = segment(n, "tr", 1);
    /* The privilege level counts, not what SS says. */
    vmsa.cpl = 3;
    vmsa.ss.attributes &= (uint16_t)~0x60;
    vmsa.pl0_ssp = guest_msr(n, 0x6a4);
    vmsa.pl1_ssp = guest_msr(n, 0x6a5);
    vmsa.pl2_ssp = guest_msr(n, 0x6a6);
    vmsa.pl3_ssp = guest_msr(n, 0x6a7) + 99;
    vmsa.u_cet = guest_msr(n, RESUME_MSR_U_CET) | 1;
    vmsa.s_cet = guest_msr(n, RESUME_MSR_S_CET);
    vmsa.ssp = guest_msr(n, 0x6a7);
    vmsa.isst_address = guest_msr(n, 0x6a8);
    vmsa.efer = guest_value(n, "efer") | 0x1000;
    vmsa.xss = guest_value(n, "xss");
    vmsa.cr4 = guest_value(n, "cr4") | options->cr4_set;
    vmsa.cr3 = guest_value(n, "cr3");
    vmsa.cr0 = guest_value(n, "cr0");
    vmsa.cr2 = guest_value(n, "cr2");
    vmsa.dr7 = guest_value(n, "dr7");
    vmsa.dr6 = guest_value(n, "dr6");
    vmsa.rflags = guest_value(n, "rflags");
    vmsa.rip = guest_value(n, "rip");
    for (unsigned i = 0; i < 4; i++)
        vmsa.dr[i] = guest_value(n, debug[i]);
    vmsa.rsp = guest_value(n, "rsp");
    vmsa.rax = guest_value(n, "rax");
    vmsa.rcx = guest_value(n, "rcx");
    vmsa.rdx = guest_value(n, "rdx");
    vmsa.rbx = guest_value(n, "rbx");
    vmsa.rbp = guest_value(n, "rbp");
    vmsa.rsi = guest_value(n, "rsi");
    vmsa.rdi = guest_value(n, "rdi");
    for (unsigned i = 0; i < 8; i++)
        vmsa.r8[i] = guest_value(n, numbered[i]);
    vmsa.star = guest_msr(n, RESUME_MSR_STAR);
    vmsa.lstar = guest_msr(n, RESUME_MSR_LSTAR);
    vmsa.cstar = guest_msr(n, RESUME_MSR_CSTAR);
    vmsa.sfmask = guest_msr(n, RESUME_MSR_FMASK);
    vmsa.kernel_gs_base = guest_msr(n, RESUME_MSR_KERNEL_GS_BASE);
    vmsa.sysenter_cs = guest_msr(n, RESUME_MSR_SYSENTER_CS);
    vmsa.sysenter_esp = guest_msr(n, RESUME_MSR_SYSENTER_ESP);
    vmsa.sysenter_eip = guest_msr(n, RESUME_MSR_SYSENTER_EIP);
    vmsa.pat = guest_msr(n, RESUME_MSR_PAT);
    vmsa.spec_ctrl = guest_msr(n, 0x48);
    vmsa.debug_control = guest_msr(n, 0x1d9);
    guest_component(n, 9, (uint8_t *)&vmsa.pkru, 4);
    vmsa.tsc_aux = (uint32_t)guest_msr(n, RESUME_MSR_TSC_AUX);
    vmsa.sev_features = options->sev_features;
    vmsa.exit_interrupt_info = options->event;
    vmsa.xcr0 = guest_value(n, "xcr0");
    set_x87(&vmsa, n);
    bytes_add(out, &vmsa, sizeof(vmsa));
    bytes_add_zeros(out, 4096 - sizeof(vmsa));
}

size_t build_vmsa_rax(void)
{
    return offsetof(struct vmsa, rax);
}
