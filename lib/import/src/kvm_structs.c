/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Layouts: linux/kvm.h and asm/kvm.h of Linux's user-space headers; which fields count: Linux,
 * Documentation/virt/kvm/api.rst ("KVM_GET_VCPU_EVENTS" and its like).
 */
#include "kvm_structs.h"

#include <string.h>

#include "record.h"

#define SEGMENT_SIZE 24u
#define CR_OFFSET 224u
#define INTERRUPT_BITMAP_OFFSET 280u
#define INTERRUPT_BITMAP_SIZE 32u

#define MSR_ENTRY_SIZE 16u
#define CPUID_ENTRY_SIZE 40u
#define CPUID_MAX 256u

#define XCRS_MAX 16u
#define XCRS_FIRST 8u
#define XCR_SIZE 16u

/* struct kvm_vcpu_events. */
#define EVENTS_PENDING_NMI UINT32_C(0x01)
#define EVENTS_SIPI_VECTOR UINT32_C(0x02)
#define EVENTS_SHADOW UINT32_C(0x04)
#define EVENTS_SMM UINT32_C(0x08)
#define EVENTS_TRIPLE_FAULT UINT32_C(0x20)
#define SHADOW_MOV_SS 1u
#define SHADOW_STI 2u

/* struct kvm_lapic_state is a page of registers. */
#define LAPIC_ID 0x20u
#define LAPIC_TPR 0x80u

/* XSAVE image. */
#define XSTATE_BV 512u
#define XCOMP_BV 520u
#define HEADER_REST 528u
#define HEADER_END 576u
#define SOFTWARE_BYTES 464u
#define LEGACY UINT64_C(3)
#define XFEATURE_AVX 2u

static const struct {
    const char *name;
    size_t size;
    int multiple; /* of size, or at least size */
} parts[IMPORT_KVM_PARTS] = {
    [IMPORT_KVM_REGS] = {"kvm_regs", 144, 0},
    [IMPORT_KVM_SREGS] = {"kvm_sregs", 312, 0},
    [IMPORT_KVM_SREGS2] = {"kvm_sregs2", 320, 0},
    [IMPORT_KVM_FPU] = {"kvm_fpu", 416, 0},
    [IMPORT_KVM_XSAVE] = {"kvm_xsave", 4096, 0},
    [IMPORT_KVM_XCRS] = {"kvm_xcrs", 392, 0},
    [IMPORT_KVM_MSRS] = {"kvm_msrs", MSR_ENTRY_SIZE, 1},
    [IMPORT_KVM_DEBUGREGS] = {"kvm_debugregs", 128, 0},
    [IMPORT_KVM_EVENTS] = {"kvm_vcpu_events", 64, 0},
    [IMPORT_KVM_MP_STATE] = {"kvm_mp_state", 4, 0},
    [IMPORT_KVM_LAPIC] = {"kvm_lapic_state", 1024, 0},
    [IMPORT_KVM_CPUID] = {"kvm_cpuid2", CPUID_ENTRY_SIZE, 1},
};

struct decoder {
    const struct import_kvm_vcpu *in;
    struct resume_vcpu *out;
    uint8_t *area;
    struct resume_import_error *error;
    int ret;
};

const char *import_kvm_part_name(enum import_kvm_part part)
{
    return parts[part].name;
}

static void fail(struct decoder *decoder, int code, enum import_kvm_part part, size_t at,
                 const char *hint, const char *what, uint64_t value)
{
    uint64_t offset = decoder->in->part[part].offset;
    if (decoder->ret != 0)
        return;
    offset = offset > UINT64_MAX - 1 - at ? RESUME_IMPORT_NO_OFFSET : offset + at;
    decoder->ret =
        import_fail(decoder->error, code, offset, decoder->in->where, hint, "%s: %s (0x%llx)",
                    parts[part].name, what, (unsigned long long)value);
}

static const uint8_t *bytes_of(const struct decoder *decoder, enum import_kvm_part part)
{
    return decoder->in->part[part].data;
}

static void check_lengths(struct decoder *decoder)
{
    for (unsigned i = 0; i < IMPORT_KVM_PARTS; i++) {
        size_t length = decoder->in->part[i].length;
        int good = length == parts[i].size;
        if (decoder->in->part[i].data == NULL)
            continue;
        if (parts[i].multiple)
            good = length % parts[i].size == 0;
        else if (i == IMPORT_KVM_XSAVE)
            good = length >= parts[i].size;
        if (!good)
            fail(decoder, RESUME_ELENGTH, (enum import_kvm_part)i, 0, "",
                 "its length is not that of the structure", length);
    }
}

static void decode_regs(struct decoder *decoder)
{
    static const uint8_t order[RESUME_GPR_COUNT] = {
        RESUME_RAX, RESUME_RBX, RESUME_RCX, RESUME_RDX, RESUME_RSI, RESUME_RDI,
        RESUME_RSP, RESUME_RBP, RESUME_R8,  RESUME_R9,  RESUME_R10, RESUME_R11,
        RESUME_R12, RESUME_R13, RESUME_R14, RESUME_R15,
    };
    const uint8_t *data = bytes_of(decoder, IMPORT_KVM_REGS);
    struct resume_regs *regs = &decoder->out->regs;
    if (data == NULL)
        return;
    for (size_t i = 0; i < RESUME_GPR_COUNT; i++)
        regs->gpr[order[i]] = import_le64(data + 8 * i);
    regs->rip = import_le64(data + 128);
    regs->rflags = import_le64(data + 136);
    regs->valid = RESUME_REGS_ALL;
}

/* Each part of the access rights has a byte of its own. */
static void decode_segment(struct decoder *decoder, enum import_kvm_part part, size_t at,
                           struct resume_segment *out)
{
    static const struct {
        uint8_t offset;
        uint8_t most;
        uint8_t shift;
    } bits[] = {
        {14, 15, 0}, {15, 1, 7},  {16, 3, 5},  {17, 1, 14}, {18, 1, 4},
        {19, 1, 13}, {20, 1, 15}, {21, 1, 12}, {22, 1, 16},
    };
    const uint8_t *data = bytes_of(decoder, part) + at;
    out->base = import_le64(data);
    out->limit = import_le32(data + 8);
    out->selector = import_le16(data + 12);
    for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
        uint32_t value = data[bits[i].offset];
        if (value > bits[i].most)
            fail(decoder, RESUME_EREGISTER, part, at + bits[i].offset, "",
                 "no segment has such access rights", value);
        out->access |= value << bits[i].shift;
    }
    if ((out->access & RESUME_SEG_P) == 0)
        out->access |= RESUME_SEG_UNUSABLE;
}

static void decode_bitmap(struct decoder *decoder, const uint8_t *bitmap)
{
    struct resume_run *run = &decoder->out->run;
    run->interrupt_vector = RESUME_NO_EVENT;
    run->valid |= RESUME_RUN_INTERRUPT;
    for (uint32_t i = 0; i < 8 * INTERRUPT_BITMAP_SIZE; i++) {
        if ((bitmap[i / 8] >> i % 8 & 1) == 0)
            continue;
        if (run->interrupt_vector != RESUME_NO_EVENT)
            fail(decoder, RESUME_EREGISTER, IMPORT_KVM_SREGS, INTERRUPT_BITMAP_OFFSET, "",
                 "two interrupts are being delivered at once", i);
        run->interrupt_vector = i;
    }
}

static void decode_sregs(struct decoder *decoder)
{
    static const uint8_t order[] = {RESUME_CS, RESUME_DS, RESUME_ES, RESUME_FS,
                                    RESUME_GS, RESUME_SS, RESUME_TR, RESUME_LDTR};
    int second = bytes_of(decoder, IMPORT_KVM_SREGS2) != NULL;
    enum import_kvm_part part = second ? IMPORT_KVM_SREGS2 : IMPORT_KVM_SREGS;
    const uint8_t *data = bytes_of(decoder, part);
    struct resume_segment *seg = decoder->out->segs.seg;
    struct resume_ctrl *ctrl = &decoder->out->ctrl;
    if (data == NULL)
        return;
    for (size_t i = 0; i < sizeof(order); i++)
        decode_segment(decoder, part, i * SEGMENT_SIZE, &seg[order[i]]);
    for (size_t i = 0; i < 2; i++) {
        const uint8_t *table = data + sizeof(order) * SEGMENT_SIZE + i * 16;
        seg[RESUME_GDTR + i].base = import_le64(table);
        seg[RESUME_GDTR + i].limit = import_le16(table + 8);
    }
    decoder->out->segs.valid = RESUME_SEGS_ALL;
    data += CR_OFFSET;
    ctrl->cr0 = import_le64(data);
    ctrl->cr2 = import_le64(data + 8);
    ctrl->cr3 = import_le64(data + 16);
    ctrl->cr4 = import_le64(data + 24);
    ctrl->cr8 = import_le64(data + 32);
    ctrl->efer = import_le64(data + 40);
    ctrl->apic_base = import_le64(data + 48);
    ctrl->valid |= RESUME_CTRL_CR0 | RESUME_CTRL_CR2 | RESUME_CTRL_CR3 | RESUME_CTRL_CR4 |
                   RESUME_CTRL_CR8 | RESUME_CTRL_EFER | RESUME_CTRL_APIC_BASE;
    if (!second)
        decode_bitmap(decoder, data - CR_OFFSET + INTERRUPT_BITMAP_OFFSET);
}

static void decode_xcrs(struct decoder *decoder)
{
    const uint8_t *data = bytes_of(decoder, IMPORT_KVM_XCRS);
    struct resume_ctrl *ctrl = &decoder->out->ctrl;
    if (data == NULL)
        return;
    uint32_t count = import_le32(data);
    if (count > XCRS_MAX) {
        fail(decoder, RESUME_ELENGTH, IMPORT_KVM_XCRS, 0, "", "too many registers", count);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *entry = data + XCRS_FIRST + i * XCR_SIZE;
        if (import_le32(entry) != 0)
            continue;
        if ((ctrl->valid & RESUME_CTRL_XCR0) != 0)
            fail(decoder, RESUME_EDUPLICATE, IMPORT_KVM_XCRS, XCRS_FIRST + i * XCR_SIZE, "",
                 "XCR0 is there twice", import_le64(entry + 8));
        ctrl->xcr0 = import_le64(entry + 8);
        ctrl->valid |= RESUME_CTRL_XCR0;
    }
}

static void decode_msrs(struct decoder *decoder)
{
    const uint8_t *data = bytes_of(decoder, IMPORT_KVM_MSRS);
    size_t length = data != NULL ? decoder->in->part[IMPORT_KVM_MSRS].length : 0;
    for (size_t at = 0; at < length && decoder->ret == 0; at += MSR_ENTRY_SIZE) {
        uint32_t index = import_le32(data + at);
        uint64_t value = import_le64(data + at + 8);
        const uint64_t *known = resume_vcpu_msr(decoder->out, index);
        /* Some monitors ask for an MSR twice. */
        if (known != NULL && *known == value)
            continue;
        int ret = import_msr(decoder->out, index, value);
        if (ret == RESUME_EDUPLICATE)
            fail(decoder, ret, IMPORT_KVM_MSRS, at, "", "an MSR is there with two values", index);
        else if (ret != 0)
            fail(decoder, RESUME_EUNSUPPORTED, IMPORT_KVM_MSRS, at,
                 "leave out MSRs that the guest does not use", "more MSRs than a record holds",
                 index);
    }
}

static void decode_debug(struct decoder *decoder)
{
    const uint8_t *data = bytes_of(decoder, IMPORT_KVM_DEBUGREGS);
    struct resume_debug *debug = &decoder->out->debug;
    if (data == NULL)
        return;
    for (size_t i = 0; i < 4; i++)
        debug->dr[i] = import_le64(data + 8 * i);
    debug->dr6 = import_le64(data + 32);
    debug->dr7 = import_le64(data + 40);
    debug->valid = RESUME_DEBUG_ALL;
}

static void decode_mp_state(struct decoder *decoder)
{
    static const uint8_t states[] = {RESUME_MP_RUNNING, RESUME_MP_UNINITIALIZED,
                                     RESUME_MP_WAIT_SIPI, RESUME_MP_HALTED};
    const uint8_t *data = bytes_of(decoder, IMPORT_KVM_MP_STATE);
    if (data == NULL)
        return;
    uint32_t state = import_le32(data);
    if (state >= sizeof(states)) {
        fail(decoder, RESUME_EUNSUPPORTED, IMPORT_KVM_MP_STATE, 0,
             "take the snapshot at another moment", "this state cannot be carried over", state);
        return;
    }
    decoder->out->run.mp_state = states[state];
    decoder->out->run.valid |= RESUME_RUN_MP_STATE;
}

static uint32_t shadow_of(uint8_t kvm)
{
    return ((kvm & SHADOW_STI) != 0 ? 1u : 0u) | ((kvm & SHADOW_MOV_SS) != 0 ? 2u : 0u);
}

/* What the record has no place for, and a resume would lose. */
static void refuse_lost(struct decoder *decoder, const uint8_t *data, uint32_t flags)
{
    static const char again[] = "take the snapshot at another moment";
    if (resume_vcpu_dormant(decoder->out))
        return;
    if ((flags & EVENTS_SMM) != 0 && data[25] != 0)
        fail(decoder, RESUME_EUNSUPPORTED, IMPORT_KVM_EVENTS, 25, again,
             "a pending SMI cannot be carried over", data[25]);
    if ((flags & EVENTS_SMM) != 0 && data[27] != 0)
        fail(decoder, RESUME_EUNSUPPORTED, IMPORT_KVM_EVENTS, 27, again,
             "a pending INIT cannot be carried over", data[27]);
    if ((flags & EVENTS_TRIPLE_FAULT) != 0 && data[28] != 0)
        fail(decoder, RESUME_EUNSUPPORTED, IMPORT_KVM_EVENTS, 28, again,
             "a pending triple fault cannot be carried over", data[28]);
}

static void decode_events(struct decoder *decoder)
{
    const uint8_t *data = bytes_of(decoder, IMPORT_KVM_EVENTS);
    struct resume_run *run = &decoder->out->run;
    if (data == NULL)
        return;
    uint32_t flags = import_le32(data + 20);
    run->exception_vector = data[0] != 0 || data[3] != 0 ? data[1] : RESUME_NO_EVENT;
    run->interrupt_vector = data[8] != 0 ? data[9] : RESUME_NO_EVENT;
    run->nmi_masked = data[14] != 0;
    run->valid |= RESUME_RUN_EXCEPTION | RESUME_RUN_INTERRUPT | RESUME_RUN_NMI_MASKED;
    if ((flags & EVENTS_PENDING_NMI) != 0 || data[12] != 0) {
        run->nmi_pending = data[12] != 0 || data[13] != 0;
        run->valid |= RESUME_RUN_NMI_PENDING;
    }
    if ((flags & EVENTS_SIPI_VECTOR) != 0) {
        run->sipi_vector = import_le32(data + 16);
        run->valid |= RESUME_RUN_SIPI_VECTOR;
        if (run->sipi_vector > UINT8_MAX)
            fail(decoder, RESUME_EREGISTER, IMPORT_KVM_EVENTS, 16, "", "no such SIPI vector",
                 run->sipi_vector);
    }
    if ((flags & EVENTS_SHADOW) != 0) {
        run->interrupt_shadow = shadow_of(data[11]);
        run->valid |= RESUME_RUN_SHADOW;
    }
    if ((flags & EVENTS_SMM) != 0) {
        run->smm = data[24] != 0;
        run->valid |= RESUME_RUN_SMM;
    }
    refuse_lost(decoder, data, flags);
}

static void decode_lapic(struct decoder *decoder)
{
    const uint8_t *data = bytes_of(decoder, IMPORT_KVM_LAPIC);
    struct resume_run *run = &decoder->out->run;
    struct resume_ctrl *ctrl = &decoder->out->ctrl;
    if (data == NULL)
        return;
    /* KVM gives the whole 32-bit ID only to those who asked for it, to others the low 8 bits on top. */
    uint32_t id = import_le32(data + LAPIC_ID);
    run->apic_id = (id & 0x00ffffff) == 0 ? id >> 24 : id;
    run->valid |= RESUME_RUN_APIC_ID;
    if ((ctrl->valid & RESUME_CTRL_CR8) == 0) {
        ctrl->cr8 = import_le32(data + LAPIC_TPR) >> 4 & 0xf;
        ctrl->valid |= RESUME_CTRL_CR8;
    }
}

/* CPUID leaf 0DH, subleaves 2 and up: EAX bytes at EBX; bit 0 of ECX: not in the standard form. */
static size_t layout_of(const struct decoder *decoder, struct resume_xcomp out[RESUME_XCOMP_MAX])
{
    const uint8_t *data = bytes_of(decoder, IMPORT_KVM_CPUID);
    size_t entries = data != NULL ? decoder->in->part[IMPORT_KVM_CPUID].length / 40 : 0;
    size_t count = 0;
    if (data == NULL) {
        out[0] = (struct resume_xcomp){XFEATURE_AVX, HEADER_END, 256};
        return 1;
    }
    for (size_t i = 0; i < entries && i < CPUID_MAX; i++) {
        const uint8_t *entry = data + i * CPUID_ENTRY_SIZE;
        uint32_t id = import_le32(entry + 4);
        uint32_t size = import_le32(entry + 12);
        size_t k = 0;
        if (import_le32(entry) != 0xd || id < 2 || id > 62 || size == 0 ||
            (import_le32(entry + 20) & 1) != 0)
            continue;
        while (k < count && out[k].id != id)
            k++;
        if (k == count && count < RESUME_XCOMP_MAX)
            out[count++] = (struct resume_xcomp){id, import_le32(entry + 16), size};
    }
    return count;
}

static void decode_xsave(struct decoder *decoder)
{
    const uint8_t *data = bytes_of(decoder, IMPORT_KVM_XSAVE);
    struct resume_xsave *xsave = &decoder->out->xsave;
    struct resume_xcomp layout[RESUME_XCOMP_MAX];
    size_t length = decoder->in->part[IMPORT_KVM_XSAVE].length;
    uint64_t in_use = import_le64(data + XSTATE_BV);
    uint64_t known = LEGACY;
    if (import_le64(data + XCOMP_BV) != 0) {
        fail(decoder, RESUME_EUNSUPPORTED, IMPORT_KVM_XSAVE, XCOMP_BV, "",
             "the image is in the compacted form", import_le64(data + XCOMP_BV));
        return;
    }
    size_t count = layout_of(decoder, layout);
    uint64_t features = (decoder->out->ctrl.valid & RESUME_CTRL_XCR0) != 0
                            ? decoder->out->ctrl.xcr0 | in_use
                            : in_use;
    uint32_t available = length < RESUME_XSAVE_MAX ? (uint32_t)length : RESUME_XSAVE_MAX;
    import_xsave_components(xsave, features, available, layout, count);
    for (uint32_t i = 0; i < xsave->comp_count; i++)
        known |= UINT64_C(1) << xsave->comp[i].id;
    if ((in_use & ~known) != 0)
        fail(decoder, RESUME_EUNSUPPORTED, IMPORT_KVM_XSAVE, XSTATE_BV,
             "give the vCPU's kvm_cpuid2, which says where they are",
             "components are in use whose place is not known", in_use & ~known);
    memcpy(decoder->area, data, xsave->length);
    /* What the processor does not use, and what the header keeps for later. */
    memset(decoder->area + SOFTWARE_BYTES, 0, XSTATE_BV - SOFTWARE_BYTES);
    memset(decoder->area + HEADER_REST, 0, HEADER_END - HEADER_REST);
    xsave->area = decoder->area;
}

/* struct kvm_fpu has the same registers as the legacy region, elsewhere. */
static void decode_fpu(struct decoder *decoder)
{
    const uint8_t *data = bytes_of(decoder, IMPORT_KVM_FPU);
    struct resume_xsave *xsave = &decoder->out->xsave;
    uint8_t *area = decoder->area;
    memset(area, 0, RESUME_XSAVE_MIN);
    memcpy(area, data + 128, 4);         /* FCW, FSW */
    area[4] = data[132];                 /* FTW, abridged */
    memcpy(area + 6, data + 134, 18);    /* FOP, FIP, FDP */
    memcpy(area + 24, data + 408, 4);    /* MXCSR */
    memcpy(area + 32, data, 128);        /* x87, in stack order */
    memcpy(area + 160, data + 152, 256); /* XMM */
    area[XSTATE_BV] = (uint8_t)LEGACY;
    xsave->area = area;
    xsave->length = RESUME_XSAVE_MIN;
}

int import_kvm_decode(const struct import_kvm_vcpu *in, uint8_t area[RESUME_XSAVE_MAX],
                      struct resume_vcpu *out, struct resume_import_error *error)
{
    struct decoder decoder = {.in = in, .out = out, .area = area, .error = error};
    check_lengths(&decoder);
    if (decoder.ret != 0)
        return decoder.ret;
    decode_regs(&decoder);
    decode_sregs(&decoder);
    decode_xcrs(&decoder);
    decode_msrs(&decoder);
    decode_debug(&decoder);
    decode_mp_state(&decoder);
    decode_events(&decoder);
    decode_lapic(&decoder);
    if (bytes_of(&decoder, IMPORT_KVM_XSAVE) != NULL)
        decode_xsave(&decoder);
    else if (bytes_of(&decoder, IMPORT_KVM_FPU) != NULL)
        decode_fpu(&decoder);
    return decoder.ret;
}
