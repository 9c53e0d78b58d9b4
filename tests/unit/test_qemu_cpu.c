/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu_machine.h"

static void test_registers(void **state)
{
    struct machine *m = machine_make();
    (void)state;
    assert_int_equal(machine_decode(m), 0);
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
    machine_free(m);
}

static void test_segments(void **state)
{
    struct machine *m = machine_make();
    (void)state;
    assert_int_equal(machine_decode(m), 0);
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

    machine_set(m, "cpu/env.segs[3].selector", 0x10000);
    assert_int_equal(machine_decode(m), RESUME_EREGISTER);
    assert_non_null(strstr(m->error.why, "cpu/env.segs[3].selector"));
    machine_free(m);
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
        machine_set(m, mantissa[i], 0x8000000000000000 + i);
    machine_set(m, "cpu/env.fpregs[1].tmp.tmp_exp", 0x4001);
    machine_set(m, "cpu/env.fpus_vmstate", 1 << 11 | 0x21);
    machine_set(m, "cpu/env.fptag_vmstate", 0xfe);
    machine_set(m, "cpu/fpop_ip_dp/env.fpop", 0x7ab);
    machine_set(m, "cpu/fpop_ip_dp/env.fpip", 0x1122334455667788);
    machine_set(m, "cpu/fpop_ip_dp/env.fpdp", 0x99aabbccddeeff00);
    m->parts |= BUILD_CPU_FPOP;
}

static void test_x87_physical_order(void **state)
{
    struct machine *m = machine_make();
    (void)state;
    set_x87(m);
    assert_int_equal(machine_decode(m), 0);
    assert_int_equal(machine_le(m->area, 2), 0x37f);
    assert_int_equal(machine_le(m->area + 2, 2), 1 << 11 | 0x21);
    assert_int_equal(machine_le(m->area + 4, 2), 0xfe);
    assert_int_equal(machine_le(m->area + 6, 2), 0x7ab);
    assert_int_equal(machine_le(m->area + 8, 8), 0x1122334455667788);
    assert_int_equal(machine_le(m->area + 16, 8), 0x99aabbccddeeff00);
    assert_int_equal(machine_le(m->area + 24, 4), 0x1f80);
    /* ST0 is R1, ST6 is R7, ST7 is R0. */
    assert_int_equal(machine_le(m->area + 32, 8), 0x8000000000000001);
    assert_int_equal(machine_le(m->area + 40, 8), 0x4001);
    assert_int_equal(machine_le(m->area + 32 + 6 * 16, 8), 0x8000000000000007);
    assert_int_equal(machine_le(m->area + 32 + 7 * 16, 8), 0x8000000000000000);
    machine_free(m);
}

static void test_x87_stack_order(void **state)
{
    struct machine *m = machine_make();
    (void)state;
    set_x87(m);
    m->device = "kvmclock";
    assert_int_equal(machine_decode(m), 0);
    assert_int_equal(m->accel, RESUME_ACCEL_KVM);
    assert_int_equal(machine_le(m->area + 32, 8), 0x8000000000000000);
    assert_int_equal(machine_le(m->area + 32 + 7 * 16, 8), 0x8000000000000007);
    machine_free(m);
}

static void test_x87_unknown_form(void **state)
{
    struct machine *m = machine_make();
    (void)state;
    machine_set(m, "cpu/env.fpregs_format_vmstate", 1);
    assert_int_equal(machine_decode(m), RESUME_EUNSUPPORTED);
    machine_free(m);
}

/* Intel SDM vol. 1, "Standard Form of XSAVE Area". */
static void test_avx(void **state)
{
    struct machine *m = machine_make();
    (void)state;
    assert_int_equal(machine_decode(m), 0);
    assert_ptr_equal(m->vcpu.xsave.area, m->area);
    assert_int_equal(m->vcpu.xsave.length, 832);
    assert_int_equal(m->vcpu.xsave.comp_count, 1);
    assert_int_equal(m->vcpu.xsave.comp[0].id, 2);
    assert_int_equal(m->vcpu.xsave.comp[0].offset, 576);
    assert_int_equal(m->vcpu.xsave.comp[0].size, 256);
    assert_int_equal(machine_le(m->area + 512, 8), 7);
    for (unsigned i = 520; i < 576; i++)
        assert_int_equal(m->area[i], 0);
    assert_int_equal(machine_le(m->area + 160, 8), 0x1010);
    assert_int_equal(machine_le(m->area + 168, 8), 0x1011);
    assert_int_equal(machine_le(m->area + 160 + 15 * 16 + 8, 8), 0x1f11);
    assert_int_equal(machine_le(m->area + 576, 8), 0x2020);
    assert_int_equal(machine_le(m->area + 576 + 15 * 16 + 8, 8), 0x2f21);
    /* What KVM says is in use stays what it is. */
    machine_set(m, "cpu/env.xstate_bv", 5);
    assert_int_equal(machine_decode(m), 0);
    assert_int_equal(machine_le(m->area + 512, 8), 5);
    machine_free(m);
}

static void test_without_osxsave(void **state)
{
    struct machine *m = machine_make();
    (void)state;
    machine_set(m, "cpu/env.cr[4]", 0x6b0);
    machine_set(m, "cpu/env.xcr0", 1);
    assert_int_equal(machine_decode(m), 0);
    assert_int_equal(m->vcpu.ctrl.xcr0, 1);
    assert_int_equal(m->vcpu.xsave.length, 576);
    assert_int_equal(m->vcpu.xsave.comp_count, 0);
    assert_int_equal(machine_le(m->area + 512, 8), 3);
    assert_int_equal(machine_le(m->area + 160, 8), 0x1010);
    assert_int_equal(resume_vcpu_validate(&m->vcpu, 0, NULL), 0);
    machine_free(m);
}

static void test_all_components(void **state)
{
    static const uint32_t want[][3] = {{2, 576, 256}, {3, 960, 64},   {4, 1024, 64},
                                       {5, 1088, 64}, {6, 1152, 512}, {7, 1664, 1024},
                                       {9, 2688, 8}};
    struct machine *m = machine_make();
    (void)state;
    machine_set(m, "cpu/env.xcr0", 0x2ff);
    machine_set(m, "cpu/mpx/env.bnd_regs[3].ub", 0x3033);
    machine_set(m, "cpu/mpx/env.bndcs_regs.cfgu", 0x3034);
    machine_set(m, "cpu/mpx/env.bndcs_regs.sts", 0x3035);
    machine_set(m, "cpu/avx512/env.opmask_regs[7]", 0x3036);
    machine_set(m, "cpu/avx512/env.xmm_regs[0][15]._q_ZMMReg[4]", 0x3037);
    machine_set(m, "cpu/avx512/env.xmm_regs[0][0]._q_ZMMReg[7]", 0x3038);
    machine_set(m, "cpu/avx512/env.xmm_regs[1][15]._q_ZMMReg[7]", 0x3039);
    machine_set(m, "cpu/avx512/env.xmm_regs[1][0]._q_ZMMReg[0]", 0x303a);
    machine_set(m, "cpu/pkru/env.pkru", 0x55555554);
    machine_set(m, "cpu/xss/env.xss", 0x100);
    m->parts = BUILD_CPU_MPX | BUILD_CPU_AVX512 | BUILD_CPU_PKRU | BUILD_CPU_XSS;
    assert_int_equal(machine_decode(m), 0);
    assert_int_equal(m->vcpu.ctrl.xss, 0x100);
    assert_int_equal(m->vcpu.xsave.length, 2696);
    assert_int_equal(m->vcpu.xsave.comp_count, 7);
    for (unsigned i = 0; i < 7; i++) {
        assert_int_equal(m->vcpu.xsave.comp[i].id, want[i][0]);
        assert_int_equal(m->vcpu.xsave.comp[i].offset, want[i][1]);
        assert_int_equal(m->vcpu.xsave.comp[i].size, want[i][2]);
    }
    assert_int_equal(machine_le(m->area + 512, 8), 0x2ff);
    assert_int_equal(machine_le(m->area + 960 + 3 * 16 + 8, 8), 0x3033);
    assert_int_equal(machine_le(m->area + 1024, 8), 0x3034);
    assert_int_equal(machine_le(m->area + 1032, 8), 0x3035);
    assert_int_equal(machine_le(m->area + 1088 + 56, 8), 0x3036);
    assert_int_equal(machine_le(m->area + 1152 + 15 * 32, 8), 0x3037);
    assert_int_equal(machine_le(m->area + 1152 + 24, 8), 0x3038);
    assert_int_equal(machine_le(m->area + 1664 + 15 * 64 + 56, 8), 0x3039);
    assert_int_equal(machine_le(m->area + 1664, 8), 0x303a);
    assert_int_equal(machine_le(m->area + 2688, 8), 0x55555554);

    /* Without the subsections the components are there, and zero. */
    m->parts = 0;
    assert_int_equal(machine_decode(m), 0);
    assert_int_equal(m->vcpu.ctrl.xss, 0);
    assert_int_equal(m->vcpu.xsave.length, 2696);
    for (unsigned i = 960; i < 2696; i++)
        assert_int_equal(m->area[i], 0);
    /* Bounds that are zero count as in use only if the CPU's flag says so. */
    assert_int_equal(machine_le(m->area + 512, 8), 0x2f7);
    machine_set(m, "cpu/env.hflags", UINT64_C(1) << 26);
    assert_int_equal(machine_decode(m), 0);
    assert_int_equal(machine_le(m->area + 512, 8), 0x2ff);

    machine_set(m, "cpu/env.xcr0", 0x100007);
    assert_int_equal(machine_decode(m), RESUME_EUNSUPPORTED);
    assert_non_null(strstr(m->error.why, "0x100000"));
    machine_free(m);
}

/* AMX: places as CPUID leaf 0DH has them on the first CPUs with it. */
static void test_tiles(void **state)
{
    struct machine *m = machine_make();
    (void)state;
    machine_set(m, "cpu/env.xcr0", 0x60007);
    machine_set(m, "cpu/env.xstate_bv", 0x40003);
    machine_set(m, "cpu/intel_amx_xtile/env.xtilecfg[0]", 0x11);
    machine_set(m, "cpu/intel_amx_xtile/env.xtilecfg[63]", 0x12);
    machine_set(m, "cpu/intel_amx_xtile/env.xtiledata[0]", 0x13);
    machine_set(m, "cpu/intel_amx_xtile/env.xtiledata[8191]", 0x14);
    m->parts = BUILD_CPU_AMX;
    assert_int_equal(machine_decode(m), 0);
    assert_int_equal(m->vcpu.xsave.length, 11008);
    assert_int_equal(m->vcpu.xsave.comp_count, 3);
    assert_int_equal(m->vcpu.xsave.comp[1].id, 17);
    assert_int_equal(m->vcpu.xsave.comp[1].offset, 2752);
    assert_int_equal(m->vcpu.xsave.comp[1].size, 64);
    assert_int_equal(m->vcpu.xsave.comp[2].id, 18);
    assert_int_equal(m->vcpu.xsave.comp[2].offset, 2816);
    assert_int_equal(m->vcpu.xsave.comp[2].size, 8192);
    assert_int_equal(m->area[2752], 0x11);
    assert_int_equal(m->area[2815], 0x12);
    assert_int_equal(m->area[2816], 0x13);
    assert_int_equal(m->area[11007], 0x14);
    assert_int_equal(machine_le(m->area + 512, 8), 0x40003);
    /* What is in use of components that are not enabled does not count. */
    machine_set(m, "cpu/env.xcr0", 7);
    assert_int_equal(machine_decode(m), 0);
    assert_int_equal(m->vcpu.xsave.length, 832);
    assert_int_equal(machine_le(m->area + 512, 8), 3);
    machine_free(m);
}

/* APX: its registers lie where MPX had its bounds. */
static void test_more_general_registers(void **state)
{
    struct machine *m = machine_make();
    (void)state;
    machine_set(m, "cpu/env.xcr0", 0x80007);
    machine_set(m, "cpu/apx/env.egprs[0]", 0x1616);
    machine_set(m, "cpu/apx/env.egprs[15]", 0x3131);
    m->parts = BUILD_CPU_AMX;
    assert_int_equal(machine_decode(m), 0);
    assert_int_equal(m->vcpu.xsave.length, 1088);
    assert_int_equal(m->vcpu.xsave.comp[1].id, 19);
    assert_int_equal(m->vcpu.xsave.comp[1].offset, 960);
    assert_int_equal(m->vcpu.xsave.comp[1].size, 128);
    assert_int_equal(machine_le(m->area + 960, 8), 0x1616);
    assert_int_equal(machine_le(m->area + 1080, 8), 0x3131);
    /* It has the highest number, but not the last place. */
    machine_set(m, "cpu/env.xcr0", 0x80207);
    assert_int_equal(machine_decode(m), 0);
    assert_int_equal(m->vcpu.xsave.comp[2].id, 19);
    assert_int_equal(m->vcpu.xsave.length, 2696);
    machine_free(m);
}

static void test_apic(void **state)
{
    struct machine *m = machine_make();
    (void)state;
    m->parts = BUILD_CPU_NO_APIC;
    assert_int_equal(machine_decode(m), 0);
    assert_int_equal(m->vcpu.ctrl.valid,
                     RESUME_CTRL_ALL & ~(RESUME_CTRL_CR8 | RESUME_CTRL_APIC_BASE));
    assert_int_equal(m->vcpu.run.valid, RESUME_RUN_ALL & ~RESUME_RUN_APIC_ID);
    m->parts = BUILD_CPU_SIPI;
    machine_set(m, "apic/apic_sipi/wait_for_sipi", 1);
    machine_set(m, "cpu_common/halted", 1);
    assert_int_equal(machine_decode(m), 0);
    assert_int_equal(m->vcpu.run.mp_state, RESUME_MP_WAIT_SIPI);
    machine_free(m);
}

/* Two vCPUs, and sections that are missing. */
static void test_pairing(void **state)
{
    struct machine *m = machine_make();
    struct builder b = {0};
    struct vmdesc desc;
    (void)state;
    build_header(&b, "pc-q35-7.2");
    build_small_ram(&b, 1);
    build_vcpu(&b, 0, 0, machine_value, &m->values);
    machine_set(m, "cpu/env.eip", 0x1234);
    machine_set(m, "apic/tpr", 0x20);
    machine_set(m, "apic/id", 5);
    machine_set(m, "cpu_common/halted", 1);
    build_vcpu(&b, 4, 0, machine_value, &m->values);
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
    assert_int_equal(m->vcpu.run.apic_id, 5);
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
    machine_free(m);
}

/* Gives a field another name in the description: that of the field, or of the array it is in. */
static void rename_field(struct builder *b, const char *name)
{
    char quoted[2][64];
    snprintf(quoted[0], sizeof(quoted[0]), "\"%s\"", name);
    snprintf(quoted[1], sizeof(quoted[1]), "\"%.*s\"", (int)strcspn(name, "["), name);
    for (size_t i = 0; i < 2; i++) {
        size_t length = strlen(quoted[i]);
        for (size_t at = b->vmdesc_at; at + length <= b->length; at++) {
            if (memcmp(b->data + at, quoted[i], length) == 0) {
                b->data[at + 1] = 'X';
                return;
            }
        }
    }
    fail_msg("no field is named %s", name);
}

/* Each field that the decoder asks for is looked up by name: without it there is a message. */
static void test_missing_fields(void **state)
{
    static const char *const names[] = {
        "env.regs[0]", "env.eip", "env.eflags", "env.efer",      "env.xcr0",
        "env.cr[3]",   "env.pat", "env.tsc",    "env.xstate_bv", "env.fpuc",
    };
    struct machine *m = machine_make();
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct builder b = {0};
        struct vmdesc desc;
        char path[64];
        build_header(&b, "pc-q35-7.2");
        build_small_ram(&b, 1);
        build_vcpu(&b, 0, 0, machine_value, &m->values);
        build_finish(&b);
        rename_field(&b, names[i]);
        assert_int_equal(
            vmdesc_open(&desc, b.data + b.devices_at, b.length - b.devices_at, 0, &m->error), 0);
        snprintf(path, sizeof(path), "cpu/%s", names[i]);
        assert_int_equal(qemu_cpu_decode(&desc, 0, &m->vcpu, m->area, &m->error), RESUME_EMISSING);
        assert_non_null(strstr(m->error.why, path));
        vmdesc_close(&desc);
        build_free(&b);
    }
    machine_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registers),
        cmocka_unit_test(test_segments),
        cmocka_unit_test(test_x87_physical_order),
        cmocka_unit_test(test_x87_stack_order),
        cmocka_unit_test(test_x87_unknown_form),
        cmocka_unit_test(test_avx),
        cmocka_unit_test(test_without_osxsave),
        cmocka_unit_test(test_all_components),
        cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_more_general_registers),
        cmocka_unit_test(test_apic),
        cmocka_unit_test(test_pairing),
        cmocka_unit_test(test_missing_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
