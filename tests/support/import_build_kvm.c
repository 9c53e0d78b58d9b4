/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "import_build_kvm.h"

#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 512u
#define XSAVE_BV 512u

static void add(struct import_build_kvm *archive, const char *name, const void *data, size_t length)
{
    uint8_t *header = archive->data + archive->length;
    size_t padded = (length + BLOCK - 1) / BLOCK * BLOCK;
    unsigned sum = 0;
    struct import_build_kvm_file *file = &archive->file[archive->file_count++];
    if (archive->length + 3 * BLOCK + padded > IMPORT_BUILD_KVM_MAX || archive->file_count > 64)
        abort();
    snprintf((char *)header, 100, "./%s", name);
    memcpy(header + 100, "0000644", 8);
    memcpy(header + 108, "0000000", 8);
    memcpy(header + 116, "0000000", 8);
    snprintf((char *)header + 124, 12, "%011zo", length);
    memcpy(header + 136, "00000000000", 12);
    memset(header + 148, ' ', 8);
    header[156] = '0';
    memcpy(header + 257, "ustar\00000", 8);
    for (size_t i = 0; i < BLOCK; i++)
        sum += header[i];
    snprintf((char *)header + 148, 8, "%06o", sum);
    memcpy(header + BLOCK, data, length);
    snprintf(file->name, sizeof(file->name), "%s", name);
    file->offset = archive->length + BLOCK;
    file->length = length;
    archive->length += BLOCK + padded;
}

static void add_of(struct import_build_kvm *archive, unsigned vcpu, const char *part,
                   const void *data, size_t length)
{
    char name[32];
    snprintf(name, sizeof(name), "vcpu%u.%s", vcpu, part);
    add(archive, name, data, length);
}

static struct kvm_segment segment(unsigned number, uint8_t type, uint8_t s, uint8_t l)
{
    return (struct kvm_segment){.base = 0x1000u * number,
                                .limit = 0xffff0000u + number,
                                .selector = (uint16_t)(8 * number),
                                .type = type,
                                .present = 1,
                                .dpl = s ? 3 : 0,
                                .db = !l && s,
                                .s = s,
                                .l = l,
                                .g = s};
}

static void add_sregs(struct import_build_kvm *archive, unsigned vcpu)
{
    struct kvm_sregs sregs = {
        .cs = segment(1, 11, 1, 1),
        .ds = segment(2, 3, 1, 0),
        .es = segment(3, 3, 1, 0),
        .fs = segment(4, 3, 1, 0),
        .gs = segment(5, 3, 1, 0),
        .ss = segment(6, 3, 1, 0),
        .tr = segment(7, 11, 0, 0),
        .ldt = segment(8, 2, 0, 0),
        .gdt = {.base = 0xfffffe0000001000, .limit = 0x7f},
        .idt = {.base = 0xfffffe0000000000, .limit = 0xfff},
        .cr0 = 0x80050033,
        .cr2 = 0x7f0000001234,
        .cr3 = 0x1e000000 + 0x1000u * vcpu,
        .cr4 = 0x406b0,
        .cr8 = 5,
        .efer = 0xd01,
        .apic_base = 0xfee00800 | (vcpu == 0 ? 0x100 : 0),
    };
    sregs.ldt.present = 0;
    sregs.ldt.unusable = 1;
    add_of(archive, vcpu, "sregs", &sregs, sizeof(sregs));
}

static void add_xsave(struct import_build_kvm *archive, unsigned vcpu)
{
    struct kvm_xsave xsave;
    struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs = {{.xcr = 0, .value = 0x207}}};
    uint8_t *area = (uint8_t *)xsave.region;
    const struct kvm_cpuid2 header = {.nent = 2};
    const struct kvm_cpuid_entry2 entries[] = {
        {.function = 0xd, .index = 2, .eax = 256, .ebx = 576},
        {.function = 0xd, .index = 9, .eax = 8, .ebx = 832}, /* as some CPUs have it */
    };
    uint8_t cpuid[sizeof(header) + sizeof(entries)];
    memset(&xsave, 0, sizeof(xsave));
    for (unsigned i = 0; i < 416; i++)
        area[i] = (uint8_t)(i * 5 + vcpu);
    area[0] = 0x7f;
    area[1] = 3;
    memcpy(area + 24, "\x80\x1f\0\0\0\0\0", 8);
    area[470] = 0x46; /* left by the kernel, for itself */
    area[XSAVE_BV] = 7;
    area[XSAVE_BV + 1] = 2;
    for (unsigned i = 0; i < 256; i++)
        area[576 + i] = (uint8_t)(i * 3 + vcpu);
    memcpy(area + 832, "\x54\x55\x55\x55", 4);
    add_of(archive, vcpu, "xsave", &xsave, sizeof(xsave));
    add_of(archive, vcpu, "xcrs", &xcrs, sizeof(xcrs));
    memcpy(cpuid, &header, sizeof(header));
    memcpy(cpuid + sizeof(header), entries, sizeof(entries));
    add_of(archive, vcpu, "cpuid2", cpuid, sizeof(cpuid));
}

static void add_msrs(struct import_build_kvm *archive, unsigned vcpu)
{
    static const uint32_t numbers[] = {0xc0000102, 0x174,      0x175,      0x176,      0x277,
                                       0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0x10};
    const struct kvm_msrs header = {.nmsrs = 10};
    struct kvm_msr_entry entries[10];
    uint8_t msrs[sizeof(header) + sizeof(entries)];
    memset(entries, 0, sizeof(entries));
    for (unsigned i = 0; i < 10; i++) {
        entries[i].index = numbers[i];
        entries[i].data = 0x10000u + 0x100u * i + vcpu;
    }
    entries[4].data = 0x0007040600070406;
    memcpy(msrs, &header, sizeof(header));
    memcpy(msrs + sizeof(header), entries, sizeof(entries));
    add_of(archive, vcpu, "msrs", msrs, sizeof(msrs));
}

static void add_rest(struct import_build_kvm *archive, unsigned vcpu)
{
    struct kvm_debugregs debug = {
        .db = {0x1111, 0x2222, 0x3333, 0x4444}, .dr6 = 0xffff0ff0, .dr7 = 0x400};
    struct kvm_vcpu_events events;
    struct kvm_mp_state state = {.mp_state =
                                     vcpu == 0 ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_HALTED};
    struct kvm_lapic_state lapic;
    memset(&events, 0, sizeof(events));
    events.nmi.masked = 1;
    events.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
    events.flags =
        KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM;
    memset(&lapic, 0, sizeof(lapic));
    lapic.regs[0x23] = (char)(vcpu + 3);
    lapic.regs[0x80] = 0x50;
    add_of(archive, vcpu, "debugregs", &debug, sizeof(debug));
    add_of(archive, vcpu, "vcpu_events", &events, sizeof(events));
    add_of(archive, vcpu, "mp_state", &state, sizeof(state));
    add_of(archive, vcpu, "lapic", &lapic, sizeof(lapic));
}

void import_build_kvm(struct import_build_kvm *out, unsigned vcpus)
{
    memset(out, 0, sizeof(*out));
    out->data = calloc(1, IMPORT_BUILD_KVM_MAX);
    if (out->data == NULL || vcpus > 4)
        abort();
    for (unsigned i = 0; i < vcpus; i++) {
        struct kvm_regs regs = {.rax = 0xa0,
                                .rbx = 0xb0,
                                .rcx = 0xc0,
                                .rdx = 0xd0,
                                .rsi = 0x51,
                                .rdi = 0xd1,
                                .rsp = 0x5b,
                                .rbp = 0xbb,
                                .r8 = 0x88,
                                .r9 = 0x99,
                                .r10 = 0x10,
                                .r11 = 0x11,
                                .r12 = 0x12,
                                .r13 = 0x13,
                                .r14 = 0x14,
                                .r15 = 0x15,
                                .rip = 0x401000 + i,
                                .rflags = 0x246};
        add_of(out, i, "regs", &regs, sizeof(regs));
        add_sregs(out, i);
        add_xsave(out, i);
        add_msrs(out, i);
        add_rest(out, i);
    }
    out->length += 2 * BLOCK;
}

struct import_build_kvm_file *import_build_kvm_find(struct import_build_kvm *archive,
                                                    const char *name)
{
    for (size_t i = 0; i < archive->file_count; i++) {
        if (strcmp(archive->file[i].name, name) == 0)
            return &archive->file[i];
    }
    fprintf(stderr, "no file %s\n", name);
    abort();
}
