/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "qemu_cpu.h"

#include <stdio.h>
#include <string.h>

#include "qemu_reader.h"
#include "qemu_xsave.h"

/* Bits of QEMU's own flag words. */
#define HFLAGS_INHIBIT_IRQ (UINT64_C(1) << 3)
#define HFLAGS_SMM (UINT64_C(1) << 19)
#define HFLAGS2_NMI (UINT64_C(1) << 2)
#define INTERRUPT_SMI UINT64_C(0x40)
#define INTERRUPT_NMI UINT64_C(0x200)
#define INTERRUPT_INIT UINT64_C(0x400)
#define INTERRUPT_SIPI UINT64_C(0x800)
#define INTERRUPT_MCE UINT64_C(0x1000)

/* The descriptor's high doubleword, as far as it is access rights. */
#define SEGMENT_FLAGS UINT32_C(0x00f0ff00)

/* TCG's exception_index from here on steers its loop and is no exception of the guest. */
#define TCG_LOOP_CONTROL UINT64_C(0x10000)

/* KVM_GET_MP_STATE. */
enum { KVM_RUNNABLE = 0, KVM_UNINITIALIZED = 1, KVM_INIT_RECEIVED = 2, KVM_HALTED = 3 };

struct sections {
    int ret;
    struct qemu_reader cpu;
    struct qemu_reader common;
    struct qemu_reader apic; /* section NULL when there is none */
};

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

static void read_ctrl(struct sections *in, struct resume_ctrl *ctrl)
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

static int refuse(struct qemu_reader *reader, const char *what, uint64_t value)
{
    if (*reader->ret == 0)
        *reader->ret = stream_fail(
            reader->error, RESUME_EUNSUPPORTED, reader->desc->tail_offset + reader->section->start,
            "take the snapshot at another moment", "%s (0x%llx) cannot be carried over", what,
            (unsigned long long)value);
    return *reader->ret;
}

/* -1, as QEMU has it, is no event. */
static uint32_t event_of(struct qemu_reader *cpu, const char *path)
{
    uint64_t vector = qemu_need(cpu, UINT64_MAX, "%s", path);
    if (vector == UINT64_MAX)
        return RESUME_NO_EVENT;
    if (vector > UINT8_MAX) {
        refuse(cpu, path, vector);
        return RESUME_NO_EVENT;
    }
    return (uint32_t)vector;
}

static uint32_t mp_state_of(struct sections *in)
{
    uint64_t state = qemu_need(&in->cpu, UINT32_MAX, "cpu/env.mp_state");
    uint64_t halted = qemu_need(&in->common, UINT32_MAX, "cpu_common/halted");
    switch (state) {
    case KVM_RUNNABLE: /* TCG never says anything else */
        if (in->apic.section != NULL &&
            qemu_may(&in->apic, UINT64_MAX, 0, "apic/apic_sipi/wait_for_sipi") != 0)
            return RESUME_MP_WAIT_SIPI;
        return halted != 0 ? RESUME_MP_HALTED : RESUME_MP_RUNNING;
    case KVM_HALTED:
        return RESUME_MP_HALTED;
    case KVM_INIT_RECEIVED:
        return RESUME_MP_WAIT_SIPI;
    case KVM_UNINITIALIZED:
        return RESUME_MP_UNINITIALIZED;
    default:
        refuse(&in->cpu, "the vCPU's run state", state);
        return RESUME_MP_RUNNING;
    }
}

static void read_run(struct sections *in, struct resume_run *run)
{
    struct qemu_reader *cpu = &in->cpu;
    uint64_t hflags = qemu_need(cpu, UINT32_MAX, "cpu/env.hflags");
    uint64_t hflags2 = qemu_need(cpu, UINT32_MAX, "cpu/env.hflags2");
    uint64_t requests = qemu_need(&in->common, UINT32_MAX, "cpu_common/interrupt_request");
    uint64_t tcg_exception =
        qemu_may(&in->common, UINT64_MAX, UINT64_MAX, "cpu_common/exception_index/exception_index");
    uint64_t undeliverable =
        requests & (INTERRUPT_SMI | INTERRUPT_INIT | INTERRUPT_SIPI | INTERRUPT_MCE);

    run->mp_state = mp_state_of(in);
    run->sipi_vector = (uint32_t)qemu_need(cpu, UINT8_MAX, "cpu/env.sipi_vector");
    run->smm = (hflags & HFLAGS_SMM) != 0;
    run->interrupt_shadow = (hflags & HFLAGS_INHIBIT_IRQ) != 0 ? 3 : 0;
    run->nmi_masked = (hflags2 & HFLAGS2_NMI) != 0;
    /* One that is being injected is, for whoever reads the record, one that still waits. */
    run->nmi_pending = qemu_need(cpu, UINT8_MAX, "cpu/env.nmi_pending") != 0 ||
                       qemu_need(cpu, UINT8_MAX, "cpu/env.nmi_injected") != 0 ||
                       (requests & INTERRUPT_NMI) != 0;
    run->exception_vector = event_of(cpu, "cpu/env.exception_nr");
    if (tcg_exception < TCG_LOOP_CONTROL && run->exception_vector == RESUME_NO_EVENT)
        run->exception_vector = (uint32_t)(tcg_exception & UINT8_MAX);
    run->interrupt_vector = event_of(cpu, "cpu/env.interrupt_injected");
    if (qemu_may(cpu, UINT8_MAX, 0, "cpu/triple_fault/env.triple_fault_pending") != 0)
        refuse(cpu, "a pending triple fault", 1);
    if (undeliverable != 0)
        refuse(&in->common, "a pending SMI, INIT, SIPI or machine check", undeliverable);
    run->valid = RESUME_RUN_ALL;
}

static void read_msrs(struct qemu_reader *cpu, struct resume_vcpu *out)
{
    static const struct {
        uint32_t index;
        uint32_t flags_if_zero;
        const char *path;
        bool skip_zero;
    } msrs[] = {
        /* ascending */
        {RESUME_MSR_TSC, 0, "cpu/env.tsc", true},
        {RESUME_MSR_SYSENTER_CS, 0, "cpu/env.sysenter_cs", false},
        {RESUME_MSR_SYSENTER_ESP, 0, "cpu/env.sysenter_esp", false},
        {RESUME_MSR_SYSENTER_EIP, 0, "cpu/env.sysenter_eip", false},
        {RESUME_MSR_PAT, 0, "cpu/env.pat", false},
        {RESUME_MSR_STAR, 0, "cpu/env.star", false},
        {RESUME_MSR_LSTAR, 0, "cpu/env.lstar", false},
        {RESUME_MSR_CSTAR, 0, "cpu/env.cstar", false},
        {RESUME_MSR_FMASK, 0, "cpu/env.fmask", false},
        {RESUME_MSR_KERNEL_GS_BASE, 0, "cpu/env.kernelgsbase", false},
        {RESUME_MSR_TSC_AUX, RESUME_MSR_OPTIONAL, "cpu/env.tsc_aux", false},
    };
    for (size_t i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
        uint64_t value = qemu_need(cpu, UINT64_MAX, "%s", msrs[i].path);
        uint32_t flags = value == 0 ? msrs[i].flags_if_zero : 0;
        if (value == 0 && msrs[i].skip_zero)
            continue;
        /* Time is set by those who know how much of it has passed, or not at all. */
        if (msrs[i].index == RESUME_MSR_TSC)
            flags = RESUME_MSR_OPTIONAL;
        out->msr[out->msr_count++] =
            (struct resume_msr){.index = msrs[i].index, .flags = flags, .value = value};
    }
}

static int find_sections(const struct vmdesc *desc, uint32_t index, struct sections *in,
                         struct stream_error *error)
{
    uint32_t count = qemu_cpu_count(desc);
    uint32_t apics = vmdesc_section_count(desc, "apic");
    memset(in, 0, sizeof(*in));
    if (index >= count)
        return stream_fail(error, count == 0 ? RESUME_EMISSING : RESUME_EINVAL, desc->tail_offset,
                           "give the stream of an x86 machine", "no vCPU %u: there are %u", index,
                           count);
    if (apics != 0 && apics != count)
        return stream_fail(error, RESUME_ECONSISTENT, desc->tail_offset, NULL,
                           "%u vCPUs and %u local APICs", count, apics);
    in->cpu = (struct qemu_reader){.desc = desc,
                                   .section = vmdesc_section_nth(desc, "cpu", index),
                                   .error = error,
                                   .ret = &in->ret};
    in->common = in->apic = in->cpu;
    in->common.section = vmdesc_section_nth(desc, "cpu_common", index);
    in->apic.section = vmdesc_section_nth(desc, "apic", index);
    if (in->common.section == NULL)
        return stream_fail(error, RESUME_EMISSING, desc->tail_offset + in->cpu.section->start, NULL,
                           "there is no section \"cpu_common\" for vCPU %u", index);
    return 0;
}

int qemu_cpu_decode(const struct vmdesc *desc, uint32_t index, struct resume_vcpu *out,
                    uint8_t area[QEMU_CPU_XSAVE_SIZE], struct stream_error *error)
{
    struct sections in;
    struct resume_vcpu vcpu;
    int ret = find_sections(desc, index, &in, error);
    if (ret != 0)
        return ret;
    memset(&vcpu, 0, sizeof(vcpu));
    read_regs(&in.cpu, &vcpu.regs);
    read_segs(&in.cpu, &vcpu.segs);
    read_ctrl(&in, &vcpu.ctrl);
    read_debug(&in.cpu, &vcpu.debug);
    read_run(&in, &vcpu.run);
    read_msrs(&in.cpu, &vcpu);
    qemu_xsave_build(&in.cpu, qemu_cpu_accel(desc), vcpu.ctrl.xcr0, vcpu.ctrl.cr4, &vcpu.xsave,
                     area);
    if (in.ret == 0)
        *out = vcpu;
    return in.ret;
}
