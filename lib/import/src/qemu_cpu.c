/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "qemu_cpu.h"

#include <string.h>

#include "qemu_events.h"
#include "qemu_msr.h"
#include "qemu_xsave.h"

/* The descriptor's high doubleword, as far as it is access rights. */
#define SEGMENT_FLAGS UINT32_C(0x00f0ff00)

uint32_t qemu_cpu_count(const struct vmdesc *desc)
{
    return vmdesc_section_count(desc, "cpu");
}

uint32_t qemu_cpu_accel(const struct vmdesc *desc)
{
    if (vmdesc_section_nth(desc, "kvmclock", 0) != NULL)
        return RESUME_ACCEL_KVM;
    for (uint32_t i = 0; i < desc->section_count; i++) {
        uint64_t tsc = 0;
        const struct vmdesc_field *field;
        if (strcmp(desc->sections[i].name, "cpu") != 0)
            continue;
        field = vmdesc_field_find(desc, &desc->sections[i], "cpu/env.tsc");
        if (field != NULL && vmdesc_field_u64(field, &tsc) == 0 && tsc != 0)
            return RESUME_ACCEL_KVM;
    }
    return RESUME_ACCEL_TCG;
}

static void read_regs(struct qemu_reader *cpu, struct resume_regs *regs)
{
    for (unsigned i = 0; i < RESUME_GPR_COUNT; i++)
        regs->gpr[i] = qemu_need(cpu, UINT64_MAX, "cpu/env.regs[%u]", i);
    regs->rip = qemu_need(cpu, UINT64_MAX, "cpu/env.eip");
    regs->rflags = qemu_need(cpu, UINT64_MAX, "cpu/env.eflags");
    regs->valid = RESUME_REGS_ALL;
}

static void read_segment(struct qemu_reader *cpu, const char *name, bool table,
                         struct resume_segment *out)
{
    out->selector = (uint16_t)qemu_need(cpu, UINT16_MAX, "cpu/%s.selector", name);
    out->base = qemu_need(cpu, UINT64_MAX, "cpu/%s.base", name);
    out->limit = (uint32_t)qemu_need(cpu, UINT32_MAX, "cpu/%s.limit", name);
    uint64_t flags = qemu_need(cpu, UINT32_MAX, "cpu/%s.flags", name);
    if (table)
        return;
    out->access = ((uint32_t)flags & SEGMENT_FLAGS) >> 8;
    if ((out->access & RESUME_SEG_P) == 0)
        out->access |= RESUME_SEG_UNUSABLE;
}

static void read_segs(struct qemu_reader *cpu, struct resume_segs *segs)
{
    static const char *const names[RESUME_SEG_COUNT] = {
        [RESUME_ES] = "env.segs[0]", [RESUME_CS] = "env.segs[1]", [RESUME_SS] = "env.segs[2]",
        [RESUME_DS] = "env.segs[3]", [RESUME_FS] = "env.segs[4]", [RESUME_GS] = "env.segs[5]",
        [RESUME_LDTR] = "env.ldt",   [RESUME_TR] = "env.tr",      [RESUME_GDTR] = "env.gdt",
        [RESUME_IDTR] = "env.idt",
    };
    for (unsigned i = 0; i < RESUME_SEG_COUNT; i++)
        read_segment(cpu, names[i], i >= RESUME_GDTR, &segs->seg[i]);
    segs->valid = RESUME_SEGS_ALL;
}

static void read_ctrl(struct qemu_sections *in, struct resume_ctrl *ctrl)
{
    struct qemu_reader *cpu = &in->cpu;
    ctrl->cr0 = qemu_need(cpu, UINT64_MAX, "cpu/env.cr[0]");
    ctrl->cr2 = qemu_need(cpu, UINT64_MAX, "cpu/env.cr[2]");
    ctrl->cr3 = qemu_need(cpu, UINT64_MAX, "cpu/env.cr[3]");
    ctrl->cr4 = qemu_need(cpu, UINT64_MAX, "cpu/env.cr[4]");
    ctrl->efer = qemu_need(cpu, UINT64_MAX, "cpu/env.efer");
    ctrl->xcr0 = qemu_need(cpu, UINT64_MAX, "cpu/env.xcr0");
    ctrl->xss = qemu_may(cpu, UINT64_MAX, 0, "cpu/xss/env.xss");
    ctrl->valid = RESUME_CTRL_ALL;
    if (in->apic.section == NULL) {
        ctrl->valid &= ~(RESUME_CTRL_CR8 | RESUME_CTRL_APIC_BASE);
        return;
    }
    ctrl->cr8 = qemu_need(&in->apic, UINT8_MAX, "apic/tpr") >> 4;
    ctrl->apic_base = qemu_need(&in->apic, UINT64_MAX, "apic/apicbase");
}

static void read_debug(struct qemu_reader *cpu, struct resume_debug *debug)
{
    for (unsigned i = 0; i < 4; i++)
        debug->dr[i] = qemu_need(cpu, UINT64_MAX, "cpu/env.dr[%u]", i);
    debug->dr6 = qemu_need(cpu, UINT64_MAX, "cpu/env.dr[6]");
    debug->dr7 = qemu_need(cpu, UINT64_MAX, "cpu/env.dr[7]");
    debug->valid = RESUME_DEBUG_ALL;
}

int qemu_cpu_decode(const struct vmdesc *desc, uint32_t index, struct resume_vcpu *out,
                    uint8_t area[QEMU_CPU_XSAVE_SIZE], struct stream_error *error)
{
    struct qemu_sections in;
    struct resume_vcpu vcpu;
    int ret = qemu_sections_open(desc, index, &in, error);
    if (ret != 0)
        return ret;
    const uint32_t accel = qemu_cpu_accel(desc);
    memset(&vcpu, 0, sizeof(vcpu));
    read_regs(&in.cpu, &vcpu.regs);
    read_segs(&in.cpu, &vcpu.segs);
    read_ctrl(&in, &vcpu.ctrl);
    read_debug(&in.cpu, &vcpu.debug);
    qemu_events_read(&in, &vcpu);
    qemu_msr_read(&in.cpu, accel, &vcpu);
    qemu_xsave_build(&in.cpu, accel, vcpu.ctrl.xcr0, vcpu.ctrl.cr4, &vcpu.xsave, area);
    if (in.ret == 0)
        *out = vcpu;
    return in.ret;
}
