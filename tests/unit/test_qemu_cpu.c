/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu_cpu.h"
#include "qemu_fields.h"
#include "stream_build.h"

/* Values of fields; the rest is zero. An entry that comes later wins. */
struct setting {
    const char *path;
    uint64_t value;
};

/* A Linux guest in user mode under TCG, as a real stream had it (addresses changed). */
static const struct setting user_mode[] = {
    {"cpu/env.regs[0]", 0xa0},
    {"cpu/env.regs[1]", 0xa1},
    {"cpu/env.regs[2]", 0xa2},
    {"cpu/env.regs[3]", 0xa3},
    {"cpu/env.regs[4]", 0x7ffc6ab619a8},
    {"cpu/env.regs[5]", 0xa5},
    {"cpu/env.regs[6]", 0xa6},
    {"cpu/env.regs[7]", 0xa7},
    {"cpu/env.regs[8]", 0xa8},
    {"cpu/env.regs[15]", 0x91d6efa8d6d94d42},
    {"cpu/env.eip", 0x4ec5ac},
    {"cpu/env.eflags", 0x206},
    {"cpu/env.hflags", 0x1040c2b3},
    {"cpu/env.fpuc", 0x37f},
    {"cpu/env.segs[1].selector", 0x33},
    {"cpu/env.segs[1].limit", 0xffffffff},
    {"cpu/env.segs[1].flags", 0x00affb00},
    {"cpu/env.segs[2].selector", 0x2b},
    {"cpu/env.segs[2].limit", 0xffffffff},
    {"cpu/env.segs[2].flags", 0x00cff300},
    {"cpu/env.segs[4].base", 0x136933c0},
    {"cpu/env.ldt.flags", 0x8200},
    {"cpu/env.tr.selector", 0x40},
    {"cpu/env.tr.base", 0xfffffe0000003000},
    {"cpu/env.tr.limit", 0x4087},
    {"cpu/env.tr.flags", 0x8b00},
    {"cpu/env.gdt.base", 0xfffffe0000001000},
    {"cpu/env.gdt.limit", 0x7f},
    {"cpu/env.gdt.flags", 0xff00}, /* junk that must not show */
    {"cpu/env.idt.base", 0xfffffe0000000000},
    {"cpu/env.idt.limit", 0xfff},
    {"cpu/env.sysenter_cs", 0x10},
    {"cpu/env.sysenter_esp", 0xfffffe0000003001},
    {"cpu/env.sysenter_eip", 0xffffffffbce017b0},
    {"cpu/env.cr[0]", 0x80050033},
    {"cpu/env.cr[2]", 0x5633e7},
    {"cpu/env.cr[3]", 0x1e01e000},
    {"cpu/env.cr[4]", 0x001506b0},
    {"cpu/env.dr[0]", 0xd0},
    {"cpu/env.dr[3]", 0xd3},
    {"cpu/env.dr[6]", 0xffff0ff0},
    {"cpu/env.dr[7]", 0x400},
    {"cpu/env.mxcsr", 0x1f80},
    {"cpu/env.xmm_regs[0][0]._q_ZMMReg[0]", 0x1010},
    {"cpu/env.xmm_regs[0][0]._q_ZMMReg[1]", 0x1011},
    {"cpu/env.xmm_regs[0][15]._q_ZMMReg[1]", 0x1f11},
    {"cpu/env.xmm_regs[1][0]._q_ZMMReg[2]", 0x2020},
    {"cpu/env.xmm_regs[1][15]._q_ZMMReg[3]", 0x2f21},
    {"cpu/env.efer", 0xd01},
    {"cpu/env.star", 0x0023001000000000},
    {"cpu/env.lstar", 0xffffffffbce00080},
    {"cpu/env.cstar", 0xffffffffbce01870},
    {"cpu/env.fmask", 0x257fd5},
    {"cpu/env.kernelgsbase", 0xffff8d52dca00000},
    {"cpu/env.pat", 0x0407050600070106},
    {"cpu/env.hflags2", 1},
    {"cpu/env.interrupt_injected", 0xffffffff},
    {"cpu/env.exception_nr", 0xffffffff},
    {"cpu/env.xcr0", 7},
    {"apic/apicbase", 0xfee00900},
    {"apic/tpr", 0x1f},
};

struct values {
    const struct setting *base;
    size_t base_count;
    struct setting changes[24];
    size_t change_count;
};

static uint64_t value_of(void *ctx, const char *path)
{
    const struct values *values = ctx;
    for (size_t i = values->change_count; i > 0; i--) {
        if (strcmp(values->changes[i - 1].path, path) == 0)
            return values->changes[i - 1].value;
    }
    for (size_t i = 0; i < values->base_count; i++) {
        if (strcmp(values->base[i].path, path) == 0)
            return values->base[i].value;
    }
    return 0;
}

/* A machine in the making: change values, then decode. */
struct machine {
    struct values values;
    unsigned parts;
    const char *device; /* one more device section */
    struct resume_vcpu vcpu;
    uint8_t area[QEMU_CPU_XSAVE_SIZE];
    uint32_t accel;
    struct stream_error error;
};

static void set(struct machine *m, const char *path, uint64_t value)
{
    assert_true(m->values.change_count < 24);
    m->values.changes[m->values.change_count++] = (struct setting){path, value};
}

static struct machine *make(void)
{
    struct machine *m = calloc(1, sizeof(*m));
    assert_non_null(m);
    m->values.base = user_mode;
    m->values.base_count = sizeof(user_mode) / sizeof(user_mode[0]);
    return m;
}

static int decode(struct machine *m)
{
    struct builder b = {0};
    struct vmdesc desc;
    build_header(&b, "pc-q35-7.2");
    build_small_ram(&b, 1);
    build_vcpu(&b, 0, m->parts, value_of, &m->values);
    if (m->device != NULL) {
        build_device(&b, m->device, m->device, 0, 1);
        build_device_end(&b);
    }
    build_finish(&b);
    if (vmdesc_open(&desc, b.data + b.devices_at, b.length - b.devices_at, b.devices_at,
                    &m->error) != 0)
        fail_msg("%s", m->error.why);
    m->accel = qemu_cpu_accel(&desc);
    assert_int_equal(qemu_cpu_count(&desc), 1);
    memset(m->area, 0xee, sizeof(m->area));
    int ret = qemu_cpu_decode(&desc, 0, &m->vcpu, m->area, &m->error);
    vmdesc_close(&desc);
    build_free(&b);
    if (ret != 0)
        assert_int_equal(m->error.code, ret);
    return ret;
}

static uint64_t le(const uint8_t *p, unsigned bytes)
{
    uint64_t value = 0;
    while (bytes-- > 0)
        value = value << 8 | p[bytes];
    return value;
}

static void test_registers(void **state)
{
    struct machine *m = make();
    (void)state;
    assert_int_equal(decode(m), 0);
    const struct resume_vcpu *v = &m->vcpu;
    assert_int_equal(m->accel, RESUME_ACCEL_TCG);
    assert_int_equal(v->regs.valid, RESUME_REGS_ALL);
    for (unsigned i = 0; i < 9; i++)
        assert_int_equal(v->regs.gpr[i], i == RESUME_RSP ? 0x7ffc6ab619a8 : 0xa0 + i);
    assert_int_equal(v->regs.gpr[RESUME_R15], 0x91d6efa8d6d94d42);
    assert_int_equal(v->regs.rip, 0x4ec5ac);
    assert_int_equal(v->regs.rflags, 0x206);
    assert_int_equal(v->ctrl.valid, RESUME_CTRL_ALL);
    assert_int_equal(v->ctrl.cr0, 0x80050033);
    assert_int_equal(v->ctrl.cr2, 0x5633e7);
    assert_int_equal(v->ctrl.cr3, 0x1e01e000);
    assert_int_equal(v->ctrl.cr4, 0x1506b0);
    assert_int_equal(v->ctrl.cr8, 1);
    assert_int_equal(v->ctrl.efer, 0xd01);
    assert_int_equal(v->ctrl.xcr0, 7);
    assert_int_equal(v->ctrl.xss, 0);
    assert_int_equal(v->ctrl.apic_base, 0xfee00900);
    assert_int_equal(v->debug.valid, RESUME_DEBUG_ALL);
    assert_int_equal(v->debug.dr[0], 0xd0);
    assert_int_equal(v->debug.dr[3], 0xd3);
    assert_int_equal(v->debug.dr6, 0xffff0ff0);
    assert_int_equal(v->debug.dr7, 0x400);
    assert_int_equal(resume_vcpu_validate(v, 0, NULL), 0);
    assert_int_equal(resume_vcpu_check_scope(v, 0, NULL), 0);
    free(m);
}

static void test_segments(void **state)
{
    struct machine *m = make();
    (void)state;
    assert_int_equal(decode(m), 0);
    const struct resume_segs *s = &m->vcpu.segs;
    assert_int_equal(s->valid, RESUME_SEGS_ALL);
    /* Intel SDM vol. 3: code, readable, accessed; S, DPL 3, P; L, G. */
    assert_int_equal(s->seg[RESUME_CS].selector, 0x33);
    assert_int_equal(s->seg[RESUME_CS].limit, 0xffffffff);
    assert_int_equal(s->seg[RESUME_CS].access, 0xb | RESUME_SEG_S | RESUME_SEG_DPL | RESUME_SEG_P |
                                                   RESUME_SEG_L | RESUME_SEG_G);
    assert_int_equal(s->seg[RESUME_SS].access, 0x3 | RESUME_SEG_S | RESUME_SEG_DPL | RESUME_SEG_P |
                                                   RESUME_SEG_DB | RESUME_SEG_G);
    /* Null selectors; the base of FS is kept nevertheless. */
    assert_int_equal(s->seg[RESUME_DS].access, RESUME_SEG_UNUSABLE);
    assert_int_equal(s->seg[RESUME_FS].access, RESUME_SEG_UNUSABLE);
    assert_int_equal(s->seg[RESUME_FS].base, 0x136933c0);
    assert_int_equal(s->seg[RESUME_LDTR].access, 0x2 | RESUME_SEG_P);
    assert_int_equal(s->seg[RESUME_TR].access, 0xb | RESUME_SEG_P);
    assert_int_equal(s->seg[RESUME_TR].base, 0xfffffe0000003000);
    assert_int_equal(s->seg[RESUME_TR].limit, 0x4087);
    assert_int_equal(s->seg[RESUME_GDTR].base, 0xfffffe0000001000);
    assert_int_equal(s->seg[RESUME_GDTR].limit, 0x7f);
    assert_int_equal(s->seg[RESUME_GDTR].access, 0);
    assert_int_equal(s->seg[RESUME_IDTR].base, 0xfffffe0000000000);
    assert_int_equal(s->seg[RESUME_IDTR].limit, 0xfff);

    set(m, "cpu/env.segs[3].selector", 0x10000);
    assert_int_equal(decode(m), RESUME_EREGISTER);
    assert_non_null(strstr(m->error.why, "cpu/env.segs[3].selector"));
    free(m);
}

static void test_msrs(void **state)
{
    static const struct {
        uint32_t index;
        uint64_t value;
    } want[] = {
        {0x174, 0x10},
        {0x175, 0xfffffe0000003001},
        {0x176, 0xffffffffbce017b0},
        {0x277, 0x0407050600070106},
        {0xc0000081, 0x0023001000000000},
        {0xc0000082, 0xffffffffbce00080},
        {0xc0000083, 0xffffffffbce01870},
        {0xc0000084, 0x257fd5},
        {0xc0000102, 0xffff8d52dca00000},
        {0xc0000103, 0},
    };
    struct machine *m = make();
    (void)state;
    assert_int_equal(decode(m), 0);
    assert_int_equal(m->vcpu.msr_count, sizeof(want) / sizeof(want[0]));
    for (size_t i = 0; i < m->vcpu.msr_count; i++) {
        assert_int_equal(m->vcpu.msr[i].index, want[i].index);
        assert_int_equal(m->vcpu.msr[i].value, want[i].value);
        assert_int_equal(m->vcpu.msr[i].flags,
                         want[i].index == 0xc0000103 ? RESUME_MSR_OPTIONAL : 0);
    }
    set(m, "cpu/env.tsc_aux", 5);
    set(m, "cpu/env.tsc", 77);
    assert_int_equal(decode(m), 0);
    assert_int_equal(m->accel, RESUME_ACCEL_KVM);
    assert_int_equal(m->vcpu.msr_count, 11);
    assert_int_equal(m->vcpu.msr[0].index, 0x10);
    assert_int_equal(m->vcpu.msr[0].value, 77);
    assert_int_equal(m->vcpu.msr[0].flags, RESUME_MSR_OPTIONAL);
    assert_int_equal(m->vcpu.msr[10].value, 5);
    assert_int_equal(m->vcpu.msr[10].flags, 0);
    free(m);
}

/* Seven registers pushed: physical R1 to R7 are in use, ST0 is R1. */
static void set_x87(struct machine *m)
{
    static const char *const mantissa[8] = {
        "cpu/env.fpregs[0].tmp.tmp_mant", "cpu/env.fpregs[1].tmp.tmp_mant",
        "cpu/env.fpregs[2].tmp.tmp_mant", "cpu/env.fpregs[3].tmp.tmp_mant",
        "cpu/env.fpregs[4].tmp.tmp_mant", "cpu/env.fpregs[5].tmp.tmp_mant",
        "cpu/env.fpregs[6].tmp.tmp_mant", "cpu/env.fpregs[7].tmp.tmp_mant"};
    for (unsigned i = 0; i < 8; i++)
        set(m, mantissa[i], 0x8000000000000000 + i);
    set(m, "cpu/env.fpregs[1].tmp.tmp_exp", 0x4001);
    set(m, "cpu/env.fpus_vmstate", 1 << 11 | 0x21);
    set(m, "cpu/env.fptag_vmstate", 0xfe);
    set(m, "cpu/fpop_ip_dp/env.fpop", 0x7ab);
    set(m, "cpu/fpop_ip_dp/env.fpip", 0x1122334455667788);
    set(m, "cpu/fpop_ip_dp/env.fpdp", 0x99aabbccddeeff00);
    m->parts |= BUILD_CPU_FPOP;
}

static void test_x87_physical_order(void **state)
{
    struct machine *m = make();
    (void)state;
    set_x87(m);
    assert_int_equal(decode(m), 0);
    assert_int_equal(le(m->area, 2), 0x37f);
    assert_int_equal(le(m->area + 2, 2), 1 << 11 | 0x21);
    assert_int_equal(le(m->area + 4, 2), 0xfe);
    assert_int_equal(le(m->area + 6, 2), 0x7ab);
    assert_int_equal(le(m->area + 8, 8), 0x1122334455667788);
    assert_int_equal(le(m->area + 16, 8), 0x99aabbccddeeff00);
    assert_int_equal(le(m->area + 24, 4), 0x1f80);
    /* ST0 is R1, ST6 is R7, ST7 is R0. */
    assert_int_equal(le(m->area + 32, 8), 0x8000000000000001);
    assert_int_equal(le(m->area + 40, 8), 0x4001);
    assert_int_equal(le(m->area + 32 + 6 * 16, 8), 0x8000000000000007);
    assert_int_equal(le(m->area + 32 + 7 * 16, 8), 0x8000000000000000);
    free(m);
}

static void test_x87_stack_order(void **state)
{
    struct machine *m = make();
    (void)state;
    set_x87(m);
    m->device = "kvmclock";
    assert_int_equal(decode(m), 0);
    assert_int_equal(m->accel, RESUME_ACCEL_KVM);
    assert_int_equal(le(m->area + 32, 8), 0x8000000000000000);
    assert_int_equal(le(m->area + 32 + 7 * 16, 8), 0x8000000000000007);
    free(m);
}

static void test_x87_unknown_form(void **state)
{
    struct machine *m = make();
    (void)state;
    set(m, "cpu/env.fpregs_format_vmstate", 1);
    assert_int_equal(decode(m), RESUME_EUNSUPPORTED);
    free(m);
}

/* Intel SDM vol. 1, "Standard Form of XSAVE Area". */
static void test_avx(void **state)
{
    struct machine *m = make();
    (void)state;
    assert_int_equal(decode(m), 0);
    assert_ptr_equal(m->vcpu.xsave.area, m->area);
    assert_int_equal(m->vcpu.xsave.length, 832);
    assert_int_equal(m->vcpu.xsave.comp_count, 1);
    assert_int_equal(m->vcpu.xsave.comp[0].id, 2);
    assert_int_equal(m->vcpu.xsave.comp[0].offset, 576);
    assert_int_equal(m->vcpu.xsave.comp[0].size, 256);
    assert_int_equal(le(m->area + 512, 8), 7);
    for (unsigned i = 520; i < 576; i++)
        assert_int_equal(m->area[i], 0);
    assert_int_equal(le(m->area + 160, 8), 0x1010);
    assert_int_equal(le(m->area + 168, 8), 0x1011);
    assert_int_equal(le(m->area + 160 + 15 * 16 + 8, 8), 0x1f11);
    assert_int_equal(le(m->area + 576, 8), 0x2020);
    assert_int_equal(le(m->area + 576 + 15 * 16 + 8, 8), 0x2f21);
    /* What KVM says is in use stays what it is. */
    set(m, "cpu/env.xstate_bv", 5);
    assert_int_equal(decode(m), 0);
    assert_int_equal(le(m->area + 512, 8), 5);
    free(m);
}

static void test_without_osxsave(void **state)
{
    struct machine *m = make();
    (void)state;
    set(m, "cpu/env.cr[4]", 0x6b0);
    set(m, "cpu/env.xcr0", 1);
    assert_int_equal(decode(m), 0);
    assert_int_equal(m->vcpu.ctrl.xcr0, 1);
    assert_int_equal(m->vcpu.xsave.length, 576);
    assert_int_equal(m->vcpu.xsave.comp_count, 0);
    assert_int_equal(le(m->area + 512, 8), 3);
    assert_int_equal(le(m->area + 160, 8), 0x1010);
    assert_int_equal(resume_vcpu_validate(&m->vcpu, 0, NULL), 0);
    free(m);
}

static void test_all_components(void **state)
{
    static const uint32_t want[][3] = {{2, 576, 256}, {3, 960, 64},   {4, 1024, 64},
                                       {5, 1088, 64}, {6, 1152, 512}, {7, 1664, 1024},
                                       {9, 2688, 8}};
    struct machine *m = make();
    (void)state;
    set(m, "cpu/env.xcr0", 0x2ff);
    set(m, "cpu/mpx/env.bnd_regs[3].ub", 0x3033);
    set(m, "cpu/mpx/env.bndcs_regs.cfgu", 0x3034);
    set(m, "cpu/mpx/env.bndcs_regs.sts", 0x3035);
    set(m, "cpu/avx512/env.opmask_regs[7]", 0x3036);
    set(m, "cpu/avx512/env.xmm_regs[0][15]._q_ZMMReg[4]", 0x3037);
    set(m, "cpu/avx512/env.xmm_regs[0][0]._q_ZMMReg[7]", 0x3038);
    set(m, "cpu/avx512/env.xmm_regs[1][15]._q_ZMMReg[7]", 0x3039);
    set(m, "cpu/avx512/env.xmm_regs[1][0]._q_ZMMReg[0]", 0x303a);
    set(m, "cpu/pkru/env.pkru", 0x55555554);
    set(m, "cpu/xss/env.xss", 0x100);
    m->parts = BUILD_CPU_MPX | BUILD_CPU_AVX512 | BUILD_CPU_PKRU | BUILD_CPU_XSS;
    assert_int_equal(decode(m), 0);
    assert_int_equal(m->vcpu.ctrl.xss, 0x100);
    assert_int_equal(m->vcpu.xsave.length, 2696);
    assert_int_equal(m->vcpu.xsave.comp_count, 7);
    for (unsigned i = 0; i < 7; i++) {
        assert_int_equal(m->vcpu.xsave.comp[i].id, want[i][0]);
        assert_int_equal(m->vcpu.xsave.comp[i].offset, want[i][1]);
        assert_int_equal(m->vcpu.xsave.comp[i].size, want[i][2]);
    }
    assert_int_equal(le(m->area + 512, 8), 0x2ff);
    assert_int_equal(le(m->area + 960 + 3 * 16 + 8, 8), 0x3033);
    assert_int_equal(le(m->area + 1024, 8), 0x3034);
    assert_int_equal(le(m->area + 1032, 8), 0x3035);
    assert_int_equal(le(m->area + 1088 + 56, 8), 0x3036);
    assert_int_equal(le(m->area + 1152 + 15 * 32, 8), 0x3037);
    assert_int_equal(le(m->area + 1152 + 24, 8), 0x3038);
    assert_int_equal(le(m->area + 1664 + 15 * 64 + 56, 8), 0x3039);
    assert_int_equal(le(m->area + 1664, 8), 0x303a);
    assert_int_equal(le(m->area + 2688, 8), 0x55555554);

    /* Without the subsections the components are there, and zero. */
    m->parts = 0;
    assert_int_equal(decode(m), 0);
    assert_int_equal(m->vcpu.ctrl.xss, 0);
    assert_int_equal(m->vcpu.xsave.length, 2696);
    for (unsigned i = 960; i < 2696; i++)
        assert_int_equal(m->area[i], 0);
    /* Bounds that are zero count as in use only if the CPU's flag says so. */
    assert_int_equal(le(m->area + 512, 8), 0x2f7);
    set(m, "cpu/env.hflags", UINT64_C(1) << 26);
    assert_int_equal(decode(m), 0);
    assert_int_equal(le(m->area + 512, 8), 0x2ff);

    set(m, "cpu/env.xcr0", 0x60007);
    assert_int_equal(decode(m), RESUME_EUNSUPPORTED);
    assert_non_null(strstr(m->error.why, "0x60000"));
    free(m);
}

static void test_events(void **state)
{
    static const struct {
        const char *path;
        uint64_t value;
        int code;
        struct resume_run run;
    } cases[] = {
        {"cpu/env.hflags", 1 << 3, 0, {.interrupt_shadow = 3}},
        {"cpu/env.hflags", 1 << 19, 0, {.smm = 1}},
        {"cpu/env.hflags2", 1 << 2, 0, {.nmi_masked = 1}},
        {"cpu/env.nmi_pending", 1, 0, {.nmi_pending = 1}},
        {"cpu/env.nmi_injected", 1, 0, {.nmi_pending = 1}},
        {"cpu_common/interrupt_request", 0x200, 0, {.nmi_pending = 1}},
        {"cpu_common/interrupt_request", 2, 0, {0}}, /* an ordinary interrupt waits in the APIC */
        {"cpu_common/interrupt_request", 0x40, RESUME_EUNSUPPORTED, {0}},
        {"cpu_common/halted", 1, 0, {.mp_state = RESUME_MP_HALTED}},
        {"cpu/env.mp_state", 3, 0, {.mp_state = RESUME_MP_HALTED}},
        {"cpu/env.mp_state", 2, 0, {.mp_state = RESUME_MP_WAIT_SIPI}},
        {"cpu/env.mp_state", 1, 0, {.mp_state = RESUME_MP_UNINITIALIZED}},
        {"cpu/env.mp_state", 4, RESUME_EUNSUPPORTED, {0}},
        {"cpu/env.sipi_vector", 0x9a, 0, {.sipi_vector = 0x9a}},
        {"cpu/env.sipi_vector", 0x100, RESUME_EREGISTER, {0}},
        {"cpu/env.exception_nr", 14, 0, {.exception_vector = 14}},
        {"cpu/env.exception_nr", 256, RESUME_EUNSUPPORTED, {0}},
        {"cpu/env.interrupt_injected", 0x31, 0, {.interrupt_vector = 0x31}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct machine *m = make();
        struct resume_run want = cases[i].run;
        want.valid = RESUME_RUN_ALL;
        if (want.exception_vector == 0)
            want.exception_vector = RESUME_NO_EVENT;
        if (want.interrupt_vector == 0)
            want.interrupt_vector = RESUME_NO_EVENT;
        set(m, "cpu/env.hflags", 0);
        set(m, cases[i].path, cases[i].value);
        assert_int_equal(decode(m), cases[i].code);
        if (cases[i].code == 0)
            assert_memory_equal(&m->vcpu.run, &want, sizeof(want));
        free(m);
    }
}

static void test_apic(void **state)
{
    struct machine *m = make();
    (void)state;
    m->parts = BUILD_CPU_NO_APIC;
    assert_int_equal(decode(m), 0);
    assert_int_equal(m->vcpu.ctrl.valid,
                     RESUME_CTRL_ALL & ~(RESUME_CTRL_CR8 | RESUME_CTRL_APIC_BASE));
    m->parts = BUILD_CPU_SIPI;
    set(m, "apic/apic_sipi/wait_for_sipi", 1);
    set(m, "cpu_common/halted", 1);
    assert_int_equal(decode(m), 0);
    assert_int_equal(m->vcpu.run.mp_state, RESUME_MP_WAIT_SIPI);
    free(m);
}

/* Two vCPUs, and sections that are missing. */
static void test_pairing(void **state)
{
    struct machine *m = make();
    struct builder b = {0};
    struct vmdesc desc;
    (void)state;
    build_header(&b, "pc-q35-7.2");
    build_small_ram(&b, 1);
    build_vcpu(&b, 0, 0, value_of, &m->values);
    set(m, "cpu/env.eip", 0x1234);
    set(m, "apic/tpr", 0x20);
    set(m, "cpu_common/halted", 1);
    build_vcpu(&b, 4, 0, value_of, &m->values);
    build_finish(&b);
    assert_int_equal(
        vmdesc_open(&desc, b.data + b.devices_at, b.length - b.devices_at, b.devices_at, &m->error),
        0);
    assert_int_equal(qemu_cpu_count(&desc), 2);
    assert_int_equal(qemu_cpu_decode(&desc, 0, &m->vcpu, m->area, &m->error), 0);
    assert_int_equal(m->vcpu.regs.rip, 0x4ec5ac);
    assert_int_equal(m->vcpu.run.mp_state, RESUME_MP_RUNNING);
    assert_int_equal(qemu_cpu_decode(&desc, 1, &m->vcpu, m->area, &m->error), 0);
    assert_int_equal(m->vcpu.regs.rip, 0x1234);
    assert_int_equal(m->vcpu.ctrl.cr8, 2);
    assert_int_equal(m->vcpu.run.mp_state, RESUME_MP_HALTED);
    struct resume_vcpu before = m->vcpu;
    assert_int_equal(qemu_cpu_decode(&desc, 2, &m->vcpu, m->area, &m->error), RESUME_EINVAL);
    assert_memory_equal(&m->vcpu, &before, sizeof(before));
    /* One local APIC fewer than vCPUs: who has which is not known. */
    desc.section_count--;
    assert_int_equal(qemu_cpu_decode(&desc, 0, &m->vcpu, m->area, &m->error), RESUME_ECONSISTENT);
    desc.section_count = 1;
    assert_int_equal(qemu_cpu_decode(&desc, 0, &m->vcpu, m->area, &m->error), RESUME_EMISSING);
    vmdesc_close(&desc);
    build_free(&b);
    free(m);
}

/* Each field that the decoder asks for is looked up by name: without it there is a message. */
static void test_missing_fields(void **state)
{
    static const char *const names[] = {
        "env.regs[0]", "env.eip", "env.eflags", "env.efer",      "env.xcr0",
        "env.cr[3]",   "env.pat", "env.tsc",    "env.xstate_bv", "env.fpuc",
    };
    struct machine *m = make();
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct builder b = {0};
        struct vmdesc desc;
        char path[64];
        build_header(&b, "pc-q35-7.2");
        build_small_ram(&b, 1);
        build_vcpu(&b, 0, 0, value_of, &m->values);
        build_finish(&b);
        assert_int_equal(
            vmdesc_open(&desc, b.data + b.devices_at, b.length - b.devices_at, 0, &m->error), 0);
        snprintf(path, sizeof(path), "cpu/%s", names[i]);
        struct vmdesc_field *field = (struct vmdesc_field *)(uintptr_t)vmdesc_field_find(
            &desc, vmdesc_section_find(&desc, "cpu", 0), path);
        assert_non_null(field);
        field->path = "cpu/renamed";
        assert_int_equal(qemu_cpu_decode(&desc, 0, &m->vcpu, m->area, &m->error), RESUME_EMISSING);
        assert_non_null(strstr(m->error.why, path));
        vmdesc_close(&desc);
        build_free(&b);
    }
    free(m);
}

/* Every field of a vCPU's sections has a class. */
static void test_field_classes(void **state)
{
    static const struct {
        const char *path;
        enum field_class class;
    } known[] = {
        {"cpu/env.regs[15]", FIELD_RESTORED},
        {"cpu/env.segs[4].base", FIELD_RESTORED},
        {"cpu/env.gdt.flags", FIELD_IRRELEVANT},
        {"cpu/env.gdt.base", FIELD_RESTORED},
        {"cpu/env.dr[7]", FIELD_RESTORED},
        {"cpu/env.dr[4]", FIELD_IRRELEVANT},
        {"cpu/env.hflags", FIELD_DERIVED},
        {"cpu/env.xstate_bv", FIELD_DERIVED},
        {"cpu/env.tsc", FIELD_MUST_EQUAL},
        {"cpu/env.tsc_aux", FIELD_RESTORED},
        {"cpu/env.mtrr_var[3].mask", FIELD_MUST_EQUAL},
        {"cpu/env.mce_banks[7]", FIELD_MUST_EQUAL},
        {"cpu/xss/env.xss", FIELD_MUST_EQUAL},
        {"cpu/pkru/env.pkru", FIELD_RESTORED},
        {"cpu/msr_tsc_adjust/env.tsc_adjust", FIELD_MUST_EQUAL},
        {"cpu/spec_ctrl/env.spec_ctrl", FIELD_MUST_EQUAL},
        {"cpu/env.system_time_msr", FIELD_MUST_EQUAL},
        {"cpu_common/halted", FIELD_IRRELEVANT},
        {"cpu_common/interrupt_request", FIELD_DERIVED},
        {"cpu/env.novelty", FIELD_UNKNOWN},
        {"cpu/env.eipx", FIELD_UNKNOWN},
        {"apic/tpr", FIELD_CARRIED},
        {"cpux/env.eip", FIELD_CARRIED},
    };
    struct machine *m = make();
    struct builder b = {0};
    struct vmdesc desc;
    const char *reason = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (qemu_field_class(known[i].path, &reason) != known[i].class)
            fail_msg("%s is %s", known[i].path,
                     qemu_field_class_name(qemu_field_class(known[i].path, NULL)));
        assert_non_null(reason);
    }
    build_header(&b, "pc-q35-7.2");
    build_small_ram(&b, 1);
    build_vcpu(&b, 0, 0xff & ~BUILD_CPU_NO_APIC, value_of, &m->values);
    build_finish(&b);
    assert_int_equal(
        vmdesc_open(&desc, b.data + b.devices_at, b.length - b.devices_at, 0, &m->error), 0);
    assert_true(desc.field_count > 400);
    for (uint32_t i = 0; i < desc.field_count; i++) {
        if (qemu_field_class(desc.fields[i].path, NULL) == FIELD_UNKNOWN)
            fail_msg("%s has no class", desc.fields[i].path);
    }
    vmdesc_close(&desc);
    build_free(&b);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registers),
        cmocka_unit_test(test_segments),
        cmocka_unit_test(test_msrs),
        cmocka_unit_test(test_x87_physical_order),
        cmocka_unit_test(test_x87_stack_order),
        cmocka_unit_test(test_x87_unknown_form),
        cmocka_unit_test(test_avx),
        cmocka_unit_test(test_without_osxsave),
        cmocka_unit_test(test_all_components),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_apic),
        cmocka_unit_test(test_pairing),
        cmocka_unit_test(test_missing_fields),
        cmocka_unit_test(test_field_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
