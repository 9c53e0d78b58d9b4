/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "qemu_machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

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

struct machine *machine_make(void)
{
    struct machine *m = calloc(1, sizeof(*m));
    assert_non_null(m);
    m->values.base = user_mode;
    m->values.base_count = sizeof(user_mode) / sizeof(user_mode[0]);
    return m;
}

void machine_free(struct machine *m)
{
    free(m);
}

void machine_set(struct machine *m, const char *path, uint64_t value)
{
    assert_true(m->values.change_count < sizeof(m->values.changes) / sizeof(m->values.changes[0]));
    m->values.changes[m->values.change_count++] = (struct setting){path, value};
}

uint64_t machine_value(void *ctx, const char *path)
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

void machine_open(struct machine *m)
{
    struct builder *b = &m->builder;
    memset(b, 0, sizeof(*b));
    build_header(b, "pc-q35-7.2");
    build_small_ram(b, 1);
    build_vcpu(b, 0, m->parts, machine_value, &m->values);
    if (m->device != NULL) {
        build_device(b, m->device, m->device, 0, 1);
        build_device_end(b);
    }
    build_finish(b);
    if (vmdesc_open(&m->desc, b->data + b->devices_at, b->length - b->devices_at, b->devices_at,
                    &m->error) != 0)
        fail_msg("%s", m->error.why);
}

void machine_close(struct machine *m)
{
    vmdesc_close(&m->desc);
    build_free(&m->builder);
}

int machine_decode(struct machine *m)
{
    machine_open(m);
    m->accel = qemu_cpu_accel(&m->desc);
    assert_int_equal(qemu_cpu_count(&m->desc), 1);
    memset(m->area, 0xee, sizeof(m->area));
    int ret = qemu_cpu_decode(&m->desc, 0, &m->vcpu, m->area, &m->error);
    machine_close(m);
    if (ret != 0)
        assert_int_equal(m->error.code, ret);
    return ret;
}

uint64_t machine_le(const uint8_t *p, unsigned bytes)
{
    uint64_t value = 0;
    while (bytes-- > 0)
        value = value << 8 | p[bytes];
    return value;
}
