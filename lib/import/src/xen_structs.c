/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "xen_structs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"
#include "vmsa_structs.h"

#define MAGIC UINT32_C(0x54381286)
#define VERSION 1u
#define CODE_END 0u
#define CODE_HEADER 1u
#define DESCRIPTOR 8u
#define HEADER_LENGTH 24u

/* struct hvm_hw_cpu: without TSC_AUX before Xen 3.4, without the flags before 4.7. */
#define CPU_LENGTH 1032u
#define CPU_LENGTH_4_6 1024u
#define CPU_LENGTH_3_3 1016u
#define CPU_TSC_AUX 1000u
#define FPU_INITIALISED 1u

/* struct hvm_hw_cpu_xsave, up to the image. */
#define XSAVE_HEADER 24u
#define FEATURES_OF_AVX UINT64_C(7)

static const struct {
    uint16_t code;
    uint32_t least;
    uint32_t most;
    const char *name;
} entries[XEN_ENTRIES] = {
    [XEN_CPU] = {2, CPU_LENGTH_3_3, CPU_LENGTH, "CPU"},
    [XEN_LAPIC] = {5, 16, 64, "LAPIC"},
    [XEN_LAPIC_REGS] = {6, 1024, 1024, "LAPIC_REGS"},
    [XEN_MTRR] = {14, 240, 240, "MTRR"},
    [XEN_XSAVE] = {16, XSAVE_HEADER + RESUME_XSAVE_MIN, XSAVE_HEADER + RESUME_XSAVE_MAX,
                   "CPU_XSAVE"},
    [XEN_TSC_ADJUST] = {19, 8, 8, "TSC_ADJUST"},
    [XEN_MSR] = {20, 8, 8 + 16 * 4096, "CPU_MSR"},
};

int xen_context_starts(const uint8_t bytes[32])
{
    return import_le16(bytes) == CODE_HEADER && import_le16(bytes + 2) == 0 &&
           import_le32(bytes + 4) == HEADER_LENGTH && import_le32(bytes + 8) == MAGIC;
}

static int note(struct xen_context *context, uint32_t code, uint32_t instance, size_t offset,
                uint32_t length, struct resume_import_error *error)
{
    for (size_t i = 0; i < XEN_ENTRIES; i++) {
        if (entries[i].code != code)
            continue;
        struct xen_vcpu *vcpu = &context->vcpus[instance];
        if (length < entries[i].least || length > entries[i].most)
            return import_fail(error, RESUME_ELENGTH, context->offset + offset, entries[i].name, "",
                               "vCPU %u: it has %u bytes, expected %u to %u", instance, length,
                               entries[i].least, entries[i].most);
        if (vcpu->offset[i] != 0)
            return import_fail(error, RESUME_EDUPLICATE, context->offset + offset, entries[i].name,
                               "", "vCPU %u has it a second time", instance);
        vcpu->offset[i] = offset;
        vcpu->length[i] = length;
        if (context->vcpu_count <= instance)
            context->vcpu_count = instance + 1;
    }
    return 0;
}

static int check_vcpus(const struct xen_context *context, struct resume_import_error *error)
{
    if (context->vcpu_count == 0)
        return import_fail(error, RESUME_EMISSING, context->offset, "HVM context", "",
                           "there is no vCPU in it");
    for (uint32_t i = 0; i < context->vcpu_count; i++) {
        const struct xen_vcpu *vcpu = &context->vcpus[i];
        if (vcpu->offset[XEN_CPU] == 0 && vcpu->offset[XEN_LAPIC_REGS] == 0)
            return import_fail(error, RESUME_EMISSING, context->offset, "HVM context", "",
                               "vCPU %u of %u has neither a CPU nor a local APIC", i,
                               context->vcpu_count);
    }
    return 0;
}

int xen_context_index(struct xen_context *context, struct resume_import_error *error)
{
    const uint8_t *data = context->data;
    size_t at = DESCRIPTOR + HEADER_LENGTH;
    if (context->length < at || !xen_context_starts(data))
        return import_fail(error, RESUME_EMAGIC, context->offset, "HVM context", "",
                           "it does not start with the header of an HVM context");
    if (import_le32(data + 12) != VERSION)
        return import_fail(error, RESUME_EVERSION, context->offset + 12, "HVM context", "",
                           "its version is %u, expected %u", import_le32(data + 12), VERSION);
    context->vcpus = calloc(RESUME_VCPU_MAX, sizeof(*context->vcpus));
    if (context->vcpus == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET, "", "",
                           "no memory");
    for (;;) {
        if (context->length - at < DESCRIPTOR)
            return import_fail(error, RESUME_ETRUNC, context->offset + at, "HVM context",
                               "is the file complete?", "it stops before its end marker");
        uint32_t code = import_le16(data + at);
        uint32_t instance = import_le16(data + at + 2);
        uint32_t length = import_le32(data + at + 4);
        at += DESCRIPTOR;
        if (code == CODE_END && length == 0)
            return check_vcpus(context, error);
        if (length > context->length - at)
            return import_fail(error, RESUME_ETRUNC, context->offset + at, "HVM context",
                               "is the file complete?",
                               "an entry of type %u has %u bytes, only %zu are left", code, length,
                               context->length - at);
        if (instance >= RESUME_VCPU_MAX)
            return import_fail(error, RESUME_ELENGTH, context->offset + at, "HVM context", "",
                               "an entry of type %u is of instance %u, expected fewer than %u",
                               code, instance, RESUME_VCPU_MAX);
        int ret = note(context, code, instance, at, length, error);
        if (ret != 0)
            return ret;
        at += length;
    }
}

/* Order of the 64-bit registers behind the 512 bytes of the FPU. */
static const uint8_t gprs[RESUME_GPR_COUNT] = {
    RESUME_RAX, RESUME_RBX, RESUME_RCX, RESUME_RDX, RESUME_RBP, RESUME_RSI, RESUME_RDI, RESUME_RSP,
    RESUME_R8,  RESUME_R9,  RESUME_R10, RESUME_R11, RESUME_R12, RESUME_R13, RESUME_R14, RESUME_R15,
};

/* Order of the segments in each of the arrays for selector, limit, base and attributes. */
static const uint8_t segments[] = {RESUME_CS, RESUME_DS, RESUME_ES,   RESUME_FS,   RESUME_GS,
                                   RESUME_SS, RESUME_TR, RESUME_LDTR, RESUME_IDTR, RESUME_GDTR};
#define VISIBLE 8u /* the first ones have a selector and attributes */
#define AT_GPRS 512u
#define AT_RIP 640u
#define AT_RFLAGS 648u
#define AT_CONTROL 656u
#define AT_DEBUG 688u
#define AT_SELECTORS 736u
#define AT_LIMITS 768u
#define AT_BASES 808u
#define AT_ATTRIBUTES 888u
#define AT_SYSENTER 920u
#define AT_SHADOW_GS 944u
#define AT_LSTAR 960u
#define AT_EFER 992u

static void read_registers(const uint8_t *cpu, struct resume_vcpu *out)
{
    for (size_t i = 0; i < RESUME_GPR_COUNT; i++)
        out->regs.gpr[gprs[i]] = import_le64(cpu + AT_GPRS + 8 * i);
    out->regs.rip = import_le64(cpu + AT_RIP);
    out->regs.rflags = import_le64(cpu + AT_RFLAGS);
    out->regs.valid = RESUME_REGS_ALL;
    out->ctrl.cr0 = import_le64(cpu + AT_CONTROL);
    out->ctrl.cr2 = import_le64(cpu + AT_CONTROL + 8);
    out->ctrl.cr3 = import_le64(cpu + AT_CONTROL + 16);
    out->ctrl.cr4 = import_le64(cpu + AT_CONTROL + 24);
    out->ctrl.efer = import_le64(cpu + AT_EFER);
    out->ctrl.valid |=
        RESUME_CTRL_CR0 | RESUME_CTRL_CR2 | RESUME_CTRL_CR3 | RESUME_CTRL_CR4 | RESUME_CTRL_EFER;
    for (size_t i = 0; i < 4; i++)
        out->debug.dr[i] = import_le64(cpu + AT_DEBUG + 8 * i);
    out->debug.dr6 = import_le64(cpu + AT_DEBUG + 32);
    out->debug.dr7 = import_le64(cpu + AT_DEBUG + 40);
    out->debug.valid = RESUME_DEBUG_ALL;
    for (size_t i = 0; i < sizeof(segments); i++) {
        struct resume_segment *to = &out->segs.seg[segments[i]];
        to->limit = import_le32(cpu + AT_LIMITS + 4 * i);
        to->base = import_le64(cpu + AT_BASES + 8 * i);
        if (i < VISIBLE) {
            to->selector = import_le16(cpu + AT_SELECTORS + 4 * i);
            to->access = vmsa_access(import_le32(cpu + AT_ATTRIBUTES + 4 * i));
        }
    }
    out->segs.valid = RESUME_SEGS_ALL;
}

static int read_cpu_msrs(const uint8_t *cpu, uint32_t length, struct resume_vcpu *out)
{
    static const struct {
        uint32_t index;
        uint32_t offset;
    } msrs[] = {
        {RESUME_MSR_SYSENTER_CS, AT_SYSENTER},
        {RESUME_MSR_SYSENTER_ESP, AT_SYSENTER + 8},
        {RESUME_MSR_SYSENTER_EIP, AT_SYSENTER + 16},
        {RESUME_MSR_KERNEL_GS_BASE, AT_SHADOW_GS},
        {RESUME_MSR_LSTAR, AT_LSTAR},
        {RESUME_MSR_STAR, AT_LSTAR + 8},
        {RESUME_MSR_CSTAR, AT_LSTAR + 16},
        {RESUME_MSR_FMASK, AT_LSTAR + 24},
    };
    int ret = 0;
    for (size_t i = 0; ret == 0 && i < sizeof(msrs) / sizeof(msrs[0]); i++)
        ret = import_msr(out, msrs[i].index, import_le64(cpu + msrs[i].offset));
    if (ret == 0 && length != CPU_LENGTH_3_3)
        ret = import_msr(out, RESUME_MSR_TSC_AUX, import_le64(cpu + CPU_TSC_AUX));
    if (ret == 0)
        ret = import_msr(out, RESUME_MSR_TSC,
                         import_le64(cpu + (length == CPU_LENGTH_3_3 ? 1000u : 1008u)));
    return ret;
}

/* struct hvm_hw_mtrr: PAT, eight pairs, eleven fixed ones, the capabilities, the default type. */
static int read_mtrrs(const uint8_t *mtrr, struct resume_vcpu *out)
{
    static const uint16_t fixed[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
                                     0x26b, 0x26c, 0x26d, 0x26e, 0x26f};
    int ret = import_msr(out, RESUME_MSR_PAT, import_le64(mtrr));
    for (uint32_t i = 0; ret == 0 && i < 16; i++)
        ret = import_msr(out, 0x200 + i, import_le64(mtrr + 8 + 8 * i));
    for (uint32_t i = 0; ret == 0 && i < 11; i++)
        ret = import_msr(out, fixed[i], import_le64(mtrr + 136 + 8 * i));
    if (ret == 0)
        ret = import_msr(out, 0x2ff, import_le64(mtrr + 232));
    return ret;
}

/* struct hvm_msr: a count, then pairs. */
static int read_msrs(const uint8_t *msrs, uint32_t length, struct resume_vcpu *out)
{
    uint32_t count = import_le32(msrs);
    if (count > (length - 8) / 16)
        return RESUME_ELENGTH;
    int ret = 0;
    for (uint32_t i = 0; ret == 0 && i < count; i++)
        ret = import_msr(out, import_le32(msrs + 8 + 16 * i), import_le64(msrs + 16 + 16 * i));
    return ret;
}

static int read_all_msrs(const struct xen_context *context, const struct xen_vcpu *vcpu,
                         uint32_t index, struct resume_vcpu *out, struct resume_import_error *error)
{
    enum xen_entry from = XEN_CPU;
    int ret = read_cpu_msrs(context->data + vcpu->offset[XEN_CPU], vcpu->length[XEN_CPU], out);
    if (ret == 0 && vcpu->offset[XEN_MTRR] != 0) {
        from = XEN_MTRR;
        ret = read_mtrrs(context->data + vcpu->offset[XEN_MTRR], out);
    }
    if (ret == 0 && vcpu->offset[XEN_TSC_ADJUST] != 0) {
        from = XEN_TSC_ADJUST;
        ret = import_msr(out, 0x3b, import_le64(context->data + vcpu->offset[XEN_TSC_ADJUST]));
    }
    if (ret == 0 && vcpu->offset[XEN_MSR] != 0) {
        from = XEN_MSR;
        ret = read_msrs(context->data + vcpu->offset[XEN_MSR], vcpu->length[XEN_MSR], out);
    }
    if (ret != 0)
        return import_fail(error, ret, context->offset + vcpu->offset[from], entries[from].name, "",
                           "vCPU %u: its MSRs cannot be put into a record: %s", index,
                           resume_strerror(ret));
    return 0;
}

static void read_lapic(const struct xen_context *context, const struct xen_vcpu *vcpu,
                       struct resume_vcpu *out)
{
    int x2apic = 0;
    if (vcpu->offset[XEN_LAPIC] != 0) {
        out->ctrl.apic_base = import_le64(context->data + vcpu->offset[XEN_LAPIC]);
        out->ctrl.valid |= RESUME_CTRL_APIC_BASE;
        x2apic = (out->ctrl.apic_base >> 10 & 1) != 0;
    }
    if (vcpu->offset[XEN_LAPIC_REGS] != 0) {
        const uint8_t *regs = context->data + vcpu->offset[XEN_LAPIC_REGS];
        uint32_t id = import_le32(regs + 0x20);
        out->run.apic_id = x2apic ? id : id >> 24;
        out->run.valid |= RESUME_RUN_APIC_ID;
        if (vcpu->offset[XEN_CPU] != 0) {
            out->ctrl.cr8 = regs[0x80] >> 4;
            out->ctrl.valid |= RESUME_CTRL_CR8;
        }
    }
}

/* As after INIT: what FXRSTOR would load from an empty image. */
static void make_fpu(uint8_t *area)
{
    import_put_le16(area, 0x37f);
    import_put_le32(area + 24, 0x1f80);
    import_put_le64(area + 512, 0);
}

/* Are the components where Intel's CPUs have them, as far as the length tells? */
static int is_intel_layout(uint64_t features, uint32_t available)
{
    size_t count;
    const struct resume_xcomp *layout = import_xsave_layout(&count);
    uint32_t end = RESUME_XSAVE_MIN;
    for (size_t i = 0; i < count; i++) {
        if ((features >> layout[i].id & 1) != 0 && end < layout[i].offset + layout[i].size)
            end = layout[i].offset + layout[i].size;
    }
    return end == available;
}

static int read_xsave(const struct xen_context *context, const struct xen_vcpu *vcpu,
                      uint32_t index, uint8_t *area, struct resume_vcpu *out,
                      struct resume_import_error *error)
{
    static const struct resume_xcomp avx = {2, 576, 256};
    const uint8_t *from = context->data + vcpu->offset[XEN_XSAVE];
    const uint64_t offset = context->offset + vcpu->offset[XEN_XSAVE];
    uint32_t available = vcpu->length[XEN_XSAVE] - XSAVE_HEADER;
    uint64_t accumulated = import_le64(from + 16);
    out->ctrl.xcr0 = import_le64(from + 8);
    out->ctrl.valid |= RESUME_CTRL_XCR0;
    memcpy(area, from + XSAVE_HEADER, available);
    if (import_le64(area + 520) != 0)
        return import_fail(error, RESUME_EUNSUPPORTED, offset + XSAVE_HEADER + 520, "CPU_XSAVE", "",
                           "vCPU %u: its image is compacted, which Xen's never are", index);
    memset(area + 528, 0, 48);
    const struct resume_xcomp *layout = NULL;
    size_t count = 0;
    if (context->layout_count != 0) {
        layout = context->layout;
        count = context->layout_count;
    } else if (!is_intel_layout(accumulated, available)) {
        layout = &avx;
        count = 1;
    }
    import_xsave_components(&out->xsave, out->ctrl.xcr0, available, layout, count);
    uint64_t known = 3;
    for (uint32_t i = 0; i < out->xsave.comp_count; i++)
        known |= UINT64_C(1) << out->xsave.comp[i].id;
    if ((import_le64(area + 512) & ~known) != 0)
        return import_fail(error, RESUME_EUNSUPPORTED, offset + XSAVE_HEADER + 512, "CPU_XSAVE",
                           "use the save file, which has the CPUID policy (Xen 4.14 and later)",
                           "vCPU %u: components 0x%llx are in use, and it is not known where they "
                           "lie",
                           index, (unsigned long long)(import_le64(area + 512) & ~known));
    return 0;
}

int xen_context_vcpu(const struct xen_context *context, uint32_t index,
                     uint8_t area[RESUME_XSAVE_MAX], struct resume_vcpu *out,
                     struct resume_import_error *error)
{
    const struct xen_vcpu *vcpu = &context->vcpus[index];
    read_lapic(context, vcpu, out);
    out->run.valid |= RESUME_RUN_MP_STATE;
    if (vcpu->offset[XEN_CPU] == 0) {
        out->run.mp_state = RESUME_MP_WAIT_SIPI;
        return 0;
    }
    /* Also of a halted one, whose RIP is behind HLT: Xen lets every vCPU that is not down go on. */
    out->run.mp_state = RESUME_MP_RUNNING;
    const uint8_t *cpu = context->data + vcpu->offset[XEN_CPU];
    const uint64_t offset = context->offset + vcpu->offset[XEN_CPU];
    uint32_t length = vcpu->length[XEN_CPU];
    if (length != CPU_LENGTH && length != CPU_LENGTH_4_6 && length != CPU_LENGTH_3_3)
        return import_fail(error, RESUME_ELENGTH, offset, "CPU", "",
                           "vCPU %u: it has %u bytes, expected %u, %u or %u", index, length,
                           CPU_LENGTH, CPU_LENGTH_4_6, CPU_LENGTH_3_3);
    uint32_t event = length == CPU_LENGTH_3_3 ? 1008 : 1016;
    if (vmsa_event(import_le32(cpu + event), &out->run) != 0)
        return import_fail(error, RESUME_EREGISTER, offset + event, "CPU", "",
                           "vCPU %u: the pending event 0x%08x is of no type that a record can have",
                           index, import_le32(cpu + event));
    read_registers(cpu, out);
    int ret = read_all_msrs(context, vcpu, index, out, error);
    if (ret != 0)
        return ret;
    memset(area, 0, RESUME_XSAVE_MIN);
    out->xsave.area = area;
    if (vcpu->offset[XEN_XSAVE] != 0)
        return read_xsave(context, vcpu, index, area, out, error);
    out->xsave.length = RESUME_XSAVE_MIN;
    if (length == CPU_LENGTH && (import_le32(cpu + 1024) & FPU_INITIALISED) == 0) {
        make_fpu(area);
        return 0;
    }
    memcpy(area, cpu, 512);
    import_put_le64(area + 512, 3);
    return 0;
}
