/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Layout: Intel SDM vol. 1, "Legacy Region of an XSAVE Area", "XSAVE Header" and "Standard Form of
 * XSAVE Area"; the places of the components are those that CPUID leaf 0DH has on Intel's CPUs.
 */
#include "qemu_xsave.h"

#include <string.h>

#define CR4_OSXSAVE (UINT64_C(1) << 18)

/* Legacy region. */
#define OFFSET_FCW 0u
#define OFFSET_FSW 2u
#define OFFSET_FTW 4u
#define OFFSET_FOP 6u
#define OFFSET_FIP 8u
#define OFFSET_FDP 16u
#define OFFSET_MXCSR 24u
#define OFFSET_ST 32u
#define OFFSET_XMM 160u
#define OFFSET_XSTATE_BV 512u
#define BNDREGS_OFFSET 960u
#define BNDREGS_SIZE 64u
#define HFLAGS_MPX_IN_USE (UINT64_C(1) << 26)
#define HEADER_END 576u
#define TILECFG_SIZE 64u
#define TILEDATA_SIZE 8192u

enum {
    COMPONENT_AVX = 2,
    COMPONENT_BNDREGS = 3,
    COMPONENT_BNDCSR = 4,
    COMPONENT_OPMASK = 5,
    COMPONENT_ZMM_HIGH = 6,
    COMPONENT_HIGH_ZMM = 7,
    COMPONENT_PKRU = 9,
    COMPONENT_TILECFG = 17,
    COMPONENT_TILEDATA = 18,
    COMPONENT_EGPRS = 19
};
#define LEGACY_COMPONENTS UINT64_C(3)

static const struct resume_xcomp layout[] = {
    {COMPONENT_AVX, 576, 256},
    {COMPONENT_BNDREGS, BNDREGS_OFFSET, BNDREGS_SIZE},
    {COMPONENT_BNDCSR, 1024, 64},
    {COMPONENT_OPMASK, 1088, 64},
    {COMPONENT_ZMM_HIGH, 1152, 512},
    {COMPONENT_HIGH_ZMM, 1664, 1024},
    {COMPONENT_PKRU, 2688, 8},
    {COMPONENT_TILECFG, 2752, TILECFG_SIZE},
    {COMPONENT_TILEDATA, 2816, TILEDATA_SIZE},
    {COMPONENT_EGPRS, 960, 128}, /* of CPUs without MPX */
};

static void put16(uint8_t *p, uint64_t value)
{
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *p, uint64_t value)
{
    put16(p, value);
    put16(p + 2, value >> 16);
}

static void put64(uint8_t *p, uint64_t value)
{
    put32(p, value);
    put32(p + 4, value >> 32);
}

static void build_x87(struct qemu_reader *cpu, uint32_t accel, uint8_t *area)
{
    if (qemu_need(cpu, UINT16_MAX, "cpu/env.fpregs_format_vmstate") != 0) {
        *cpu->ret = stream_fail(cpu->error, RESUME_EUNSUPPORTED,
                                cpu->desc->tail_offset + cpu->section->start,
                                "use a QEMU version that this one was tested with",
                                "the x87 registers are in a form that is not known");
        return;
    }
    uint64_t status = qemu_need(cpu, UINT16_MAX, "cpu/env.fpus_vmstate");
    unsigned top = (unsigned)(status >> 11) & 7;
    put16(area + OFFSET_FCW, qemu_need(cpu, UINT16_MAX, "cpu/env.fpuc"));
    put16(area + OFFSET_FSW, status);
    /* One bit per physical register, 1 = not empty: as the abridged tag word has it. */
    area[OFFSET_FTW] = (uint8_t)qemu_need(cpu, UINT8_MAX, "cpu/env.fptag_vmstate");
    put16(area + OFFSET_FOP, qemu_may(cpu, UINT16_MAX, 0, "cpu/fpop_ip_dp/env.fpop"));
    put64(area + OFFSET_FIP, qemu_may(cpu, UINT64_MAX, 0, "cpu/fpop_ip_dp/env.fpip"));
    put64(area + OFFSET_FDP, qemu_may(cpu, UINT64_MAX, 0, "cpu/fpop_ip_dp/env.fpdp"));
    for (unsigned i = 0; i < 8; i++) {
        /* TCG numbers them as the hardware does internally, KVM from the top of the stack. */
        unsigned from = accel == RESUME_ACCEL_KVM ? i : (top + i) & 7;
        uint8_t *to = area + OFFSET_ST + i * 16;
        put64(to, qemu_need(cpu, UINT64_MAX, "cpu/env.fpregs[%u].tmp.tmp_mant", from));
        put16(to + 8, qemu_need(cpu, UINT16_MAX, "cpu/env.fpregs[%u].tmp.tmp_exp", from));
    }
}

static void build_sse(struct qemu_reader *cpu, uint8_t *area)
{
    put32(area + OFFSET_MXCSR, qemu_need(cpu, UINT32_MAX, "cpu/env.mxcsr"));
    for (unsigned i = 0; i < 16; i++) {
        for (unsigned k = 0; k < 2; k++)
            put64(area + OFFSET_XMM + i * 16 + k * 8,
                  qemu_need(cpu, UINT64_MAX, "cpu/env.xmm_regs[0][%u]._q_ZMMReg[%u]", i, k));
    }
}

static void build_avx512(struct qemu_reader *cpu, uint32_t id, uint8_t *to)
{
    static const char low[] = "cpu/avx512/env.xmm_regs[0][%u]._q_ZMMReg[%u]";
    static const char high[] = "cpu/avx512/env.xmm_regs[1][%u]._q_ZMMReg[%u]";
    if (id == COMPONENT_OPMASK) {
        for (unsigned i = 0; i < 8; i++)
            put64(to + i * 8, qemu_may(cpu, UINT64_MAX, 0, "cpu/avx512/env.opmask_regs[%u]", i));
        return;
    }
    for (unsigned i = 0; i < 16; i++) {
        if (id == COMPONENT_ZMM_HIGH) {
            for (unsigned k = 0; k < 4; k++)
                put64(to + i * 32 + k * 8, qemu_may(cpu, UINT64_MAX, 0, low, i, k + 4));
        } else {
            for (unsigned k = 0; k < 8; k++)
                put64(to + i * 64 + k * 8, qemu_may(cpu, UINT64_MAX, 0, high, i, k));
        }
    }
}

/* Bytes, which are one field when they are many. */
static void copy_bytes(struct qemu_reader *cpu, const char *path, uint32_t length, uint8_t *to)
{
    const struct vmdesc_field *field = vmdesc_field_find(cpu->desc, cpu->section, path);
    if (field != NULL && (uint64_t)field->size * field->array_len == length)
        memcpy(to, field->data, length);
    else if (field != NULL && *cpu->ret == 0)
        *cpu->ret = stream_fail(cpu->error, RESUME_EREGISTER, field->offset, NULL,
                                "%.100s has %u bytes, expected %u", path,
                                field->size * field->array_len, length);
}

static void build_tiles(struct qemu_reader *cpu, uint32_t id, uint8_t *to)
{
    if (id == COMPONENT_TILEDATA) {
        copy_bytes(cpu, "cpu/intel_amx_xtile/env.xtiledata", TILEDATA_SIZE, to);
        return;
    }
    for (uint32_t i = 0; i < TILECFG_SIZE; i++)
        to[i] = (uint8_t)qemu_may(cpu, UINT8_MAX, 0, "cpu/intel_amx_xtile/env.xtilecfg[%u]", i);
}

static void build_component(struct qemu_reader *cpu, uint32_t id, uint8_t *to)
{
    switch (id) {
    case COMPONENT_AVX:
        for (unsigned i = 0; i < 16; i++) {
            for (unsigned k = 0; k < 2; k++)
                put64(
                    to + i * 16 + k * 8,
                    qemu_need(cpu, UINT64_MAX, "cpu/env.xmm_regs[1][%u]._q_ZMMReg[%u]", i, k + 2));
        }
        break;
    case COMPONENT_BNDREGS:
        for (unsigned i = 0; i < 4; i++) {
            put64(to + i * 16, qemu_may(cpu, UINT64_MAX, 0, "cpu/mpx/env.bnd_regs[%u].lb", i));
            put64(to + i * 16 + 8, qemu_may(cpu, UINT64_MAX, 0, "cpu/mpx/env.bnd_regs[%u].ub", i));
        }
        break;
    case COMPONENT_BNDCSR:
        put64(to, qemu_may(cpu, UINT64_MAX, 0, "cpu/mpx/env.bndcs_regs.cfgu"));
        put64(to + 8, qemu_may(cpu, UINT64_MAX, 0, "cpu/mpx/env.bndcs_regs.sts"));
        break;
    case COMPONENT_PKRU:
        put32(to, qemu_may(cpu, UINT32_MAX, 0, "cpu/pkru/env.pkru"));
        break;
    case COMPONENT_TILECFG:
    case COMPONENT_TILEDATA:
        build_tiles(cpu, id, to);
        break;
    case COMPONENT_EGPRS:
        for (unsigned i = 0; i < 16; i++)
            put64(to + i * 8, qemu_may(cpu, UINT64_MAX, 0, "cpu/apx/env.egprs[%u]", i));
        break;
    default:
        build_avx512(cpu, id, to);
        break;
    }
}

/*
 * XSTATE_BV of a CPU for which the stream has none: TCG keeps the bits of XSAVE's "in use" for MPX
 * only, as a flag. To load bounds that are in their initial state, all zero, would set that flag.
 */
static uint64_t rebuild_in_use(struct qemu_reader *cpu, uint64_t enabled, const uint8_t *area)
{
    uint64_t flag = qemu_need(cpu, UINT32_MAX, "cpu/env.hflags") & HFLAGS_MPX_IN_USE;
    uint8_t any = 0;
    for (uint32_t i = 0; i < BNDREGS_SIZE; i++)
        any |= area[BNDREGS_OFFSET + i];
    return flag != 0 || any != 0 ? enabled : enabled & ~(UINT64_C(1) << COMPONENT_BNDREGS);
}

void qemu_xsave_build(struct qemu_reader *cpu, uint32_t accel, uint64_t xcr0, uint64_t cr4,
                      struct resume_xsave *out, uint8_t area[QEMU_CPU_XSAVE_SIZE])
{
    /* Without CR4.OSXSAVE the CPU has the legacy components whatever XCR0 says. */
    uint64_t enabled = cr4 & CR4_OSXSAVE ? xcr0 : LEGACY_COMPONENTS;
    uint64_t unknown = enabled & ~LEGACY_COMPONENTS;
    uint64_t in_use = qemu_need(cpu, UINT64_MAX, "cpu/env.xstate_bv");

    memset(area, 0, QEMU_CPU_XSAVE_SIZE);
    memset(out, 0, sizeof(*out));
    out->area = area;
    out->length = HEADER_END;
    build_x87(cpu, accel, area);
    build_sse(cpu, area);
    for (size_t i = 0; i < sizeof(layout) / sizeof(layout[0]); i++) {
        if ((enabled >> layout[i].id & 1) == 0)
            continue;
        unknown &= ~(UINT64_C(1) << layout[i].id);
        build_component(cpu, layout[i].id, area + layout[i].offset);
        out->comp[out->comp_count++] = layout[i];
        if (out->length < layout[i].offset + layout[i].size)
            out->length = layout[i].offset + layout[i].size;
    }
    if (unknown != 0 && *cpu->ret == 0)
        *cpu->ret = stream_fail(cpu->error, RESUME_EUNSUPPORTED,
                                cpu->desc->tail_offset + cpu->section->start,
                                "start the source with a CPU model without these components",
                                "XCR0 is 0x%llx: components 0x%llx are not known",
                                (unsigned long long)xcr0, (unsigned long long)unknown);
    /* KVM tells of components that the guest has not enabled, too. */
    put64(area + OFFSET_XSTATE_BV, in_use != 0 ? in_use & (enabled | LEGACY_COMPONENTS)
                                               : rebuild_in_use(cpu, enabled, area));
}
