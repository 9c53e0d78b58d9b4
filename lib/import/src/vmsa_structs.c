/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "vmsa_structs.h"

#include <string.h>

#include "record.h"

/* Offsets in the page, as the manual's table gives them. */
#define CPL 0x0cb
#define EFER 0x0d0
#define CR4 0x148
#define CR0 0x158
#define RFLAGS 0x170
#define PKRU 0x2e8
#define EXIT_INT_INFO 0x3a0
#define SEV_FEATURES 0x3b0
#define EVENT_INJECTION 0x3e0
#define XCR0 0x3e8
#define X87_DP 0x400
#define MXCSR 0x408
#define X87_FTW 0x40c
#define X87_FSW 0x40e
#define X87_FCW 0x410
#define X87_FOP 0x412
#define X87_RIP 0x418
#define FPREG_X87 0x420
#define FPREG_XMM 0x470
#define FPREG_YMM 0x570

#define CR0_KNOWN UINT64_C(0xe005003f)
#define EFER_SVME (UINT64_C(1) << 12)
#define CR4_CET (UINT64_C(1) << 23)
#define CET_SH_STK_EN UINT64_C(1)
#define FEATURE_DEBUG_SWAP (UINT64_C(1) << 5)
#define EVENT_VALID (UINT32_C(1) << 31)

#define XCR0_AVX (UINT64_C(1) << 2)
#define XCR0_PKRU (UINT64_C(1) << 9)
#define AVX_OFFSET 576u
#define PKRU_OFFSET 832u

static const struct {
    uint16_t offset;
    uint16_t gpr;
} gprs[] = {
    {0x1f8, RESUME_RAX}, {0x308, RESUME_RCX}, {0x310, RESUME_RDX}, {0x318, RESUME_RBX},
    {0x1d8, RESUME_RSP}, {0x328, RESUME_RBP}, {0x330, RESUME_RSI}, {0x338, RESUME_RDI},
    {0x340, RESUME_R8},  {0x348, RESUME_R9},  {0x350, RESUME_R10}, {0x358, RESUME_R11},
    {0x360, RESUME_R12}, {0x368, RESUME_R13}, {0x370, RESUME_R14}, {0x378, RESUME_R15},
};

/* Sixteen bytes each, from the page's begin. */
static const uint8_t segments[] = {RESUME_ES, RESUME_CS,   RESUME_SS,   RESUME_DS,   RESUME_FS,
                                   RESUME_GS, RESUME_GDTR, RESUME_LDTR, RESUME_IDTR, RESUME_TR};

static const struct {
    uint32_t index;
    uint16_t offset;
} msrs[] = {
    {RESUME_MSR_SYSENTER_CS, 0x228},  {RESUME_MSR_SYSENTER_ESP, 0x230},
    {RESUME_MSR_SYSENTER_EIP, 0x238}, {RESUME_MSR_STAR, 0x200},
    {RESUME_MSR_LSTAR, 0x208},        {RESUME_MSR_CSTAR, 0x210},
    {RESUME_MSR_FMASK, 0x218},        {RESUME_MSR_KERNEL_GS_BASE, 0x220},
    {RESUME_MSR_PAT, 0x268},
};

/* IA32_SPEC_CTRL and IA32_DEBUGCTL: fields that a CPU without them leaves zero. */
static const struct {
    uint32_t index;
    uint16_t offset;
} msrs_if_set[] = {{0x48, 0x2e0}, {0x1d9, 0x270}};

/* Shadow stacks and branch tracking; there to be loaded only where CR4.CET says so. */
static const struct {
    uint32_t index;
    uint16_t offset;
} msrs_cet[] = {{RESUME_MSR_U_CET, 0x0c0},
                {RESUME_MSR_S_CET, 0x1e0},
                {0x6a4, 0x0a0},
                {0x6a5, 0x0a8},
                {0x6a6, 0x0b0},
                {0x6a8, 0x1f0}};
#define PL3_SSP UINT32_C(0x6a7)
#define VMSA_PL3_SSP 0x0b8
#define VMSA_SSP 0x1e8

static int zero(const uint8_t *page, size_t from, size_t end)
{
    for (; from < end; from++) {
        if (page[from] != 0)
            return 0;
    }
    return 1;
}

int vmsa_plausible(const uint8_t *page)
{
    /* EFER.SVME is 1 in every guest that VMRUN accepts, and bit 1 of RFLAGS always. */
    return (import_le64(page + EFER) & EFER_SVME) != 0 && import_le64(page + EFER) < 0x1000000 &&
           (import_le64(page + CR0) & ~CR0_KNOWN) == 0 && import_le64(page + RFLAGS) >> 22 == 0 &&
           (import_le64(page + RFLAGS) & 2) != 0 && page[CPL] <= 3 &&
           (import_le64(page + XCR0) & 1) != 0 && zero(page, 0x0cc, 0x0d0) &&
           zero(page, 0x0d8, 0x140) && zero(page, 0x248, 0x268) && zero(page, 0x1c0, 0x1d8);
}

uint32_t vmsa_access(uint32_t attributes)
{
    return import_access((attributes & 0xff) << 8 | (attributes & 0xf00) << 12);
}

int vmsa_event(uint32_t event, struct resume_run *run)
{
    run->exception_vector = RESUME_NO_EVENT;
    run->interrupt_vector = RESUME_NO_EVENT;
    run->valid |= RESUME_RUN_EXCEPTION | RESUME_RUN_INTERRUPT;
    if ((event & EVENT_VALID) == 0)
        return 0;
    switch (event >> 8 & 7) {
    case 0:
        run->interrupt_vector = event & 0xff;
        return 0;
    case 2:
        run->nmi_pending = 1;
        run->valid |= RESUME_RUN_NMI_PENDING;
        return 0;
    case 3:
        run->exception_vector = event & 0xff;
        return (event & 0xff) > 31;
    default:
        return 1;
    }
}

static void read_segments(const uint8_t *page, struct resume_segs *segs)
{
    for (size_t i = 0; i < sizeof(segments); i++) {
        const uint8_t *from = page + i * 16;
        struct resume_segment *to = &segs->seg[segments[i]];
        to->limit = import_le32(from + 4);
        to->base = import_le64(from + 8);
        if (segments[i] == RESUME_GDTR || segments[i] == RESUME_IDTR)
            continue;
        to->selector = import_le16(from);
        to->access = vmsa_access(import_le16(from + 2));
    }
    /* SVM keeps the privilege level by itself, VMX in SS. */
    segs->seg[RESUME_SS].access &= ~RESUME_SEG_DPL;
    segs->seg[RESUME_SS].access |= (uint32_t)page[CPL] << RESUME_SEG_DPL_SHIFT;
    segs->valid = RESUME_SEGS_ALL;
}

static void read_registers(const uint8_t *page, struct resume_vcpu *out)
{
    for (size_t i = 0; i < RESUME_GPR_COUNT; i++)
        out->regs.gpr[gprs[i].gpr] = import_le64(page + gprs[i].offset);
    out->regs.rip = import_le64(page + 0x178);
    out->regs.rflags = import_le64(page + RFLAGS);
    out->regs.valid = RESUME_REGS_ALL;
    out->ctrl.cr0 = import_le64(page + CR0);
    out->ctrl.cr2 = import_le64(page + 0x240);
    out->ctrl.cr3 = import_le64(page + 0x150);
    out->ctrl.cr4 = import_le64(page + CR4);
    /* The guest does not see SVME: it belongs to the host. */
    out->ctrl.efer = import_le64(page + EFER) & ~EFER_SVME;
    out->ctrl.xcr0 = import_le64(page + XCR0);
    out->ctrl.xss = import_le64(page + 0x140);
    out->ctrl.valid = RESUME_CTRL_CR0 | RESUME_CTRL_CR2 | RESUME_CTRL_CR3 | RESUME_CTRL_CR4 |
                      RESUME_CTRL_EFER | RESUME_CTRL_XCR0 | RESUME_CTRL_XSS;
    out->debug.dr7 = import_le64(page + 0x160);
    out->debug.dr6 = import_le64(page + 0x168);
    out->debug.valid = RESUME_DEBUG_DR6 | RESUME_DEBUG_DR7;
    /* Without this feature the four address registers stay in the CPU. */
    if ((import_le64(page + SEV_FEATURES) & FEATURE_DEBUG_SWAP) != 0) {
        for (unsigned i = 0; i < 4; i++)
            out->debug.dr[i] = import_le64(page + 0x180 + 8 * i);
        out->debug.valid = RESUME_DEBUG_ALL;
    }
}

static int read_msrs(const uint8_t *page, struct resume_vcpu *out)
{
    int ret = import_msr(out, RESUME_MSR_TSC_AUX, import_le32(page + 0x2ec));
    for (size_t i = 0; ret == 0 && i < sizeof(msrs) / sizeof(msrs[0]); i++)
        ret = import_msr(out, msrs[i].index, import_le64(page + msrs[i].offset));
    for (size_t i = 0; ret == 0 && i < sizeof(msrs_if_set) / sizeof(msrs_if_set[0]); i++) {
        uint64_t value = import_le64(page + msrs_if_set[i].offset);
        if (value != 0)
            ret = import_msr(out, msrs_if_set[i].index, value);
    }
    if (ret != 0 || (import_le64(page + CR4) & CR4_CET) == 0)
        return ret;
    for (size_t i = 0; ret == 0 && i < sizeof(msrs_cet) / sizeof(msrs_cet[0]); i++)
        ret = import_msr(out, msrs_cet[i].index, import_le64(page + msrs_cet[i].offset));
    /* In user code that has a shadow stack the record's PL3_SSP stands for SSP. */
    int in_use = page[CPL] == 3 && (import_le64(page + 0x0c0) & CET_SH_STK_EN) != 0;
    if (ret == 0)
        ret = import_msr(out, PL3_SSP, import_le64(page + (in_use ? VMSA_SSP : VMSA_PL3_SSP)));
    return ret;
}

/* The tag word has two bits for each physical register, 3 for an empty one; FXSAVE has one, 0. */
static uint8_t abridged_tags(uint16_t tags)
{
    uint8_t abridged = 0;
    for (unsigned i = 0; i < 8; i++) {
        if ((tags >> (2 * i) & 3) != 3)
            abridged |= (uint8_t)(1u << i);
    }
    return abridged;
}

static void read_xsave(const uint8_t *page, uint8_t *area, struct resume_vcpu *out)
{
    static const struct resume_xcomp layout[] = {{2, AVX_OFFSET, 256}, {9, PKRU_OFFSET, 8}};
    memset(area, 0, VMSA_XSAVE);
    memcpy(area, page + X87_FCW, 2);
    memcpy(area + 2, page + X87_FSW, 2);
    area[4] = abridged_tags(import_le16(page + X87_FTW));
    memcpy(area + 6, page + X87_FOP, 2);
    memcpy(area + 8, page + X87_RIP, 8);
    memcpy(area + 16, page + X87_DP, 8);
    memcpy(area + 24, page + MXCSR, 4);
    for (unsigned i = 0; i < 8; i++)
        memcpy(area + 32 + i * 16, page + FPREG_X87 + i * 10, 10);
    memcpy(area + 160, page + FPREG_XMM, 256);
    memcpy(area + AVX_OFFSET, page + FPREG_YMM, 256);
    memcpy(area + PKRU_OFFSET, page + PKRU, 4);
    out->xsave.area = area;
    import_xsave_components(&out->xsave, out->ctrl.xcr0, VMSA_XSAVE, layout, 2);
    import_put_le64(area + 512, 3 | (out->ctrl.xcr0 & (XCR0_AVX | XCR0_PKRU)));
}

int vmsa_vcpu(const uint8_t *page, uint8_t *area, struct resume_vcpu *out, uint64_t offset,
              const char *where, struct resume_import_error *error)
{
    if (page[CPL] > 3)
        return import_fail(error, RESUME_EREGISTER, offset + CPL, where, "",
                           "CPL is %u, expected at most 3", page[CPL]);
    uint32_t event = import_le32(page + EXIT_INT_INFO);
    if ((event & EVENT_VALID) == 0)
        event = import_le32(page + EVENT_INJECTION);
    if (vmsa_event(event, &out->run) != 0)
        return import_fail(error, RESUME_EREGISTER, offset + EXIT_INT_INFO, where, "",
                           "the event 0x%08x that was being delivered is of no type that a record "
                           "can have",
                           event);
    read_registers(page, out);
    read_segments(page, &out->segs);
    int ret = read_msrs(page, out);
    if (ret != 0)
        return import_fail(error, ret, offset, where, "", "its MSRs cannot be put into a record");
    read_xsave(page, area, out);
    return 0;
}
