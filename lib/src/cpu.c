/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <resume/cpu.h>

#include "internal.h"

enum register_name { EAX, EBX, ECX, EDX };

/* A CR4 bit and the CPUID bit that announces it. */
struct feature {
    uint32_t leaf;
    uint8_t reg;
    uint8_t bit;
    uint8_t control; /* bit number in the control register */
};

static const struct feature cr4_features[] = {
    {1, EDX, 1, 0},   /* VME */
    {1, EDX, 1, 1},   /* PVI */
    {1, EDX, 4, 2},   /* TSD */
    {1, EDX, 2, 3},   /* DE */
    {1, EDX, 3, 4},   /* PSE */
    {1, EDX, 6, 5},   /* PAE */
    {1, EDX, 7, 6},   /* MCE */
    {1, EDX, 13, 7},  /* PGE */
    {1, EDX, 24, 9},  /* OSFXSR */
    {1, EDX, 25, 10}, /* OSXMMEXCPT */
    {7, ECX, 2, 11},  /* UMIP */
    {7, ECX, 16, 12}, /* LA57 */
    {1, ECX, 5, 13},  /* VMXE */
    {1, ECX, 6, 14},  /* SMXE */
    {7, EBX, 0, 16},  /* FSGSBASE */
    {1, ECX, 17, 17}, /* PCIDE */
    {1, ECX, 26, 18}, /* OSXSAVE */
    {7, EBX, 7, 20},  /* SMEP */
    {7, EBX, 20, 21}, /* SMAP */
    {7, ECX, 3, 22},  /* PKE */
    {7, ECX, 7, 23},  /* CET: shadow stacks, */
    {7, EDX, 20, 23}, /* or indirect branch tracking */
    {7, ECX, 31, 24}, /* PKS */
    {7, EDX, 5, 25},  /* UINTR */
};
#define CR4_PCE (UINT64_C(1) << 8) /* not announced: part of every 64-bit CPU */

static const struct feature efer_features[] = {
    {0x80000001, EDX, 11, 0},  /* SCE */
    {0x80000001, EDX, 29, 8},  /* LME */
    {0x80000001, EDX, 29, 10}, /* LMA */
    {0x80000001, EDX, 20, 11}, /* NXE */
    {0x80000001, ECX, 2, 12},  /* SVME */
    {0x80000001, EDX, 25, 14}, /* FFXSR */
};

#define CPUID_XSAVES (UINT32_C(1) << 3) /* leaf 0DH, subleaf 1, EAX */

struct leaves {
    const struct resume_cpuid *cpuid;
    uint32_t max_basic;
    uint32_t max_extended;
};

static void query(const struct leaves *leaves, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    uint32_t max = leaf >= UINT32_C(0x80000000) ? leaves->max_extended : leaves->max_basic;

    memset(out, 0, 4 * sizeof(out[0]));
    if (leaf <= max) {
        leaves->cpuid->query(leaves->cpuid->ctx, leaf, subleaf, out);
    }
}

static int has(const struct leaves *leaves, uint32_t leaf, uint32_t reg, uint32_t bit)
{
    uint32_t out[4];

    query(leaves, leaf, 0, out);
    return (int)(out[reg] >> bit & 1);
}

static uint64_t collect(const struct leaves *leaves, const struct feature *features, size_t count)
{
    uint64_t allowed = 0;

    for (size_t i = 0; i < count; i++) {
        if (has(leaves, features[i].leaf, features[i].reg, features[i].bit)) {
            allowed |= UINT64_C(1) << features[i].control;
        }
    }
    return allowed;
}

static void identify_xsave(const struct leaves *leaves, struct resume_cpu *cpu)
{
    uint32_t out[4];

    query(leaves, 0xd, 0, out);
    cpu->xcr0_allowed = (uint64_t)out[EDX] << 32 | out[EAX];
    for (uint32_t id = 2; id < 63 && cpu->comp_count < RESUME_XCOMP_MAX; id++) {
        if ((cpu->xcr0_allowed >> id & 1) == 0) {
            continue;
        }
        query(leaves, 0xd, id, out);
        cpu->comp[cpu->comp_count].id = id;
        cpu->comp[cpu->comp_count].offset = out[EBX];
        cpu->comp[cpu->comp_count].size = out[EAX];
        cpu->comp_count++;
    }
    query(leaves, 0xd, 1, out);
    if ((out[EAX] & CPUID_XSAVES) != 0) {
        cpu->xss_allowed = (uint64_t)out[EDX] << 32 | out[ECX];
    }
}

int resume_cpu_identify(const struct resume_cpuid *cpuid, struct resume_cpu *out,
                        struct resume_diag *diag)
{
    struct resume_cpu cpu;
    struct leaves leaves = {cpuid, 0, UINT32_C(0x80000000)};
    uint32_t regs[4] = {0, 0, 0, 0};

    if (cpuid == NULL || cpuid->query == NULL || out == NULL) {
        return RESUME_EINVAL;
    }
    memset(&cpu, 0, sizeof(cpu));
    cpuid->query(cpuid->ctx, 0, 0, regs);
    leaves.max_basic = regs[EAX];
    cpuid->query(cpuid->ctx, UINT32_C(0x80000000), 0, regs);
    leaves.max_extended = regs[EAX];
    if (!has(&leaves, 0x80000001, EDX, 29)) {
        return resume_fail(diag, RESUME_ECPU, "CPUID", "long mode", 0x80000001, 0, 1,
                           RESUME_NO_VCPU);
    }

    cpu.cr4_allowed =
        CR4_PCE | collect(&leaves, cr4_features, sizeof(cr4_features) / sizeof(cr4_features[0]));
    cpu.efer_allowed =
        collect(&leaves, efer_features, sizeof(efer_features) / sizeof(efer_features[0]));
    cpu.xsave = (uint32_t)has(&leaves, 1, ECX, 26);
    cpu.rdtscp = (uint32_t)(has(&leaves, 0x80000001, EDX, 27) || has(&leaves, 7, ECX, 22));
    cpu.page_1g = (uint32_t)has(&leaves, 0x80000001, EDX, 26);
    query(&leaves, 0x80000008, 0, regs);
    cpu.pa_bits = regs[EAX] & 0xff;
    if (cpu.pa_bits < 32 || cpu.pa_bits > 52) {
        cpu.pa_bits = 36; /* what the manual says when the leaf is absent */
    }
    if (cpu.xsave) {
        identify_xsave(&leaves, &cpu);
    }
    *out = cpu;
    return RESUME_OK;
}

static int check_bits(const char *field, uint64_t value, uint64_t allowed, uint32_t index,
                      struct resume_diag *diag)
{
    if ((value & ~allowed) == 0) {
        return RESUME_OK;
    }
    return resume_fail(diag, RESUME_ECPU, "CPUID", field, 0, value & ~allowed, allowed, index);
}

/* Every component that the guest has enabled must be there, and be as long as it knows it. */
static int check_xsave_layout(const struct resume_cpu *cpu, const struct resume_vcpu *vcpu,
                              uint32_t index, struct resume_diag *diag)
{
    uint64_t xcr0 = (vcpu->ctrl.valid & RESUME_CTRL_XCR0) != 0 ? vcpu->ctrl.xcr0 : 0;

    for (uint32_t i = 0; i < vcpu->xsave.comp_count && i < RESUME_XCOMP_MAX; i++) {
        const struct resume_xcomp *want = &vcpu->xsave.comp[i];
        const struct resume_xcomp *have = NULL;

        /* x87 and SSE have one place everywhere. */
        if (want->id < 2 || want->id > 62 || (xcr0 >> want->id & 1) == 0) {
            continue;
        }
        for (uint32_t j = 0; j < cpu->comp_count && j < RESUME_XCOMP_MAX; j++) {
            if (cpu->comp[j].id == want->id) {
                have = &cpu->comp[j];
            }
        }
        if (have == NULL) {
            return resume_fail(diag, RESUME_ECPU, "CPUID 0DH", "XSAVE component", want->id,
                               want->id, 0, index);
        }
        if (have->size != want->size) {
            return resume_fail(diag, RESUME_ECPU, "CPUID 0DH", "XSAVE component size", want->id,
                               want->size, have->size, index);
        }
    }
    return RESUME_OK;
}

int resume_cpu_check(const struct resume_cpu *cpu, const struct resume_vcpu *vcpu, uint32_t index,
                     struct resume_diag *diag)
{
    static const uint64_t xcr0_default = 3; /* x87 and SSE need no XSAVE */
    uint64_t xcr0_allowed;
    int err;

    if (cpu == NULL || vcpu == NULL) {
        return RESUME_EINVAL;
    }
    if (resume_vcpu_dormant(vcpu)) {
        return RESUME_OK;
    }
    xcr0_allowed = cpu->xsave ? cpu->xcr0_allowed : xcr0_default;
    err = check_bits("cr4", vcpu->ctrl.cr4, cpu->cr4_allowed, index, diag);
    if (err == RESUME_OK) {
        err = check_bits("efer", vcpu->ctrl.efer, cpu->efer_allowed, index, diag);
    }
    if (err == RESUME_OK && (vcpu->ctrl.valid & RESUME_CTRL_XCR0) != 0) {
        err = check_bits("xcr0", vcpu->ctrl.xcr0, xcr0_allowed, index, diag);
    }
    if (err == RESUME_OK && (vcpu->ctrl.valid & RESUME_CTRL_XSS) != 0) {
        err = check_bits("xss", vcpu->ctrl.xss, cpu->xss_allowed, index, diag);
    }
    if (err == RESUME_OK) {
        err = check_bits("cr3", vcpu->ctrl.cr3, (UINT64_C(1) << cpu->pa_bits) - 1, index, diag);
    }
    if (err != RESUME_OK) {
        return err;
    }
    if (!cpu->rdtscp) {
        const uint64_t *tsc_aux = resume_vcpu_msr(vcpu, RESUME_MSR_TSC_AUX);

        if (tsc_aux != NULL && *tsc_aux != 0) {
            return resume_fail(diag, RESUME_ECPU, "CPUID", "TSC_AUX", 0x80000001, *tsc_aux, 0,
                               index);
        }
    }
    return check_xsave_layout(cpu, vcpu, index, diag);
}
