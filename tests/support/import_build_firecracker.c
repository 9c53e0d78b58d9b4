/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Firecracker's states by hand, field by field in the order of its structures (persist.rs,
 * vstate/vcpu, vstate/vm, vstate/memory of each version), and KVM's structures by the kernel's own
 * headers. Each field is written as bincode does with integers of fixed size.
 */
#include "import_build_firecracker.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <linux/kvm.h>

static void set_segment(struct kvm_segment *to, unsigned n, const char *name)
{
    char field[24];
    snprintf(field, sizeof(field), "%s.base", name);
    to->base = guest_value(n, field);
    snprintf(field, sizeof(field), "%s.limit", name);
    to->limit = (uint32_t)guest_value(n, field);
    snprintf(field, sizeof(field), "%s.selector", name);
    to->selector = (uint16_t)guest_value(n, field);
    snprintf(field, sizeof(field), "%s.access", name);
    uint64_t access = guest_value(n, field);
    to->type = access & 0xf;
    to->s = access >> 4 & 1;
    to->dpl = access >> 5 & 3;
    to->present = access >> 7 & 1;
    to->avl = access >> 12 & 1;
    to->l = access >> 13 & 1;
    to->db = access >> 14 & 1;
    to->g = access >> 15 & 1;
    to->unusable = access >> 16 & 1;
}

static void set_regs(struct kvm_regs *regs, unsigned n)
{
    regs->rax = guest_value(n, "rax");
    regs->rbx = guest_value(n, "rbx");
    regs->rcx = guest_value(n, "rcx");
    regs->rdx = guest_value(n, "rdx");
    regs->rsi = guest_value(n, "rsi");
    regs->rdi = guest_value(n, "rdi");
    regs->rsp = guest_value(n, "rsp");
    regs->rbp = guest_value(n, "rbp");
    regs->r8 = guest_value(n, "r8");
    regs->r9 = guest_value(n, "r9");
    regs->r10 = guest_value(n, "r10");
    regs->r11 = guest_value(n, "r11");
    regs->r12 = guest_value(n, "r12");
    regs->r13 = guest_value(n, "r13");
    regs->r14 = guest_value(n, "r14");
    regs->r15 = guest_value(n, "r15");
    regs->rip = guest_value(n, "rip");
    regs->rflags = guest_value(n, "rflags");
}

static void set_sregs(struct kvm_sregs *sregs, unsigned n)
{
    set_segment(&sregs->cs, n, "cs");
    set_segment(&sregs->ds, n, "ds");
    set_segment(&sregs->es, n, "es");
    set_segment(&sregs->fs, n, "fs");
    set_segment(&sregs->gs, n, "gs");
    set_segment(&sregs->ss, n, "ss");
    set_segment(&sregs->tr, n, "tr");
    set_segment(&sregs->ldt, n, "ldtr");
    sregs->gdt.base = guest_value(n, "gdtr.base");
    sregs->gdt.limit = (uint16_t)guest_value(n, "gdtr.limit");
    sregs->idt.base = guest_value(n, "idtr.base");
    sregs->idt.limit = (uint16_t)guest_value(n, "idtr.limit");
    sregs->cr0 = guest_value(n, "cr0");
    sregs->cr2 = guest_value(n, "cr2");
    sregs->cr3 = guest_value(n, "cr3");
    sregs->cr4 = guest_value(n, "cr4");
    sregs->cr8 = guest_value(n, "cr8");
    sregs->efer = guest_value(n, "efer");
    sregs->apic_base = guest_value(n, "apic_base");
}

static void set_lists(struct kvm_guest *out)
{
    static const uint32_t msrs[] = {RESUME_MSR_TSC,
                                    RESUME_MSR_SYSENTER_CS,
                                    RESUME_MSR_SYSENTER_ESP,
                                    RESUME_MSR_SYSENTER_EIP,
                                    RESUME_MSR_PAT,
                                    RESUME_MSR_STAR,
                                    RESUME_MSR_LSTAR,
                                    RESUME_MSR_CSTAR,
                                    RESUME_MSR_FMASK,
                                    RESUME_MSR_KERNEL_GS_BASE,
                                    RESUME_MSR_TSC_AUX,
                                    0x3b,
                                    0x2ff};
    static const uint32_t cpuid[4][7] = {{0, 0, 0, 0xd, 1, 2, 3},
                                         {0xd, 0, 1, 0x207, 2696, 2696, 0},
                                         {0xd, 2, 1, 256, 576, 0, 0},
                                         {0xd, 9, 1, 8, 2688, 0, 0}};
    memcpy(out->msrs, msrs, sizeof(msrs));
    out->msr_count = sizeof(msrs) / sizeof(msrs[0]);
    memcpy(out->cpuid, cpuid, sizeof(cpuid));
}

void build_kvm_guest(struct kvm_guest *out, unsigned n)
{
    struct kvm_regs regs = {0};
    struct kvm_sregs sregs = {0};
    struct kvm_debugregs debug = {0};
    struct kvm_vcpu_events events = {0};
    struct kvm_xcrs xcrs = {0};
    memset(out, 0, sizeof(*out));
    set_regs(&regs, n);
    set_sregs(&sregs, n);
    debug.db[0] = guest_value(n, "dr0");
    debug.db[1] = guest_value(n, "dr1");
    debug.db[2] = guest_value(n, "dr2");
    debug.db[3] = guest_value(n, "dr3");
    debug.dr6 = guest_value(n, "dr6");
    debug.dr7 = guest_value(n, "dr7");
    events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
                   KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM;
    xcrs.nr_xcrs = 1;
    xcrs.xcrs[0].value = guest_value(n, "xcr0");
    static_assert(sizeof(regs) == sizeof(out->bytes.regs), "kvm_regs");
    static_assert(sizeof(sregs) == sizeof(out->bytes.sregs), "kvm_sregs");
    static_assert(sizeof(debug) == sizeof(out->bytes.debugregs), "kvm_debugregs");
    static_assert(sizeof(events) == sizeof(out->bytes.events), "kvm_vcpu_events");
    static_assert(sizeof(xcrs) == sizeof(out->bytes.xcrs), "kvm_xcrs");
    memcpy(out->bytes.regs, &regs, sizeof(regs));
    memcpy(out->bytes.sregs, &sregs, sizeof(sregs));
    memcpy(out->bytes.debugregs, &debug, sizeof(debug));
    memcpy(out->bytes.events, &events, sizeof(events));
    memcpy(out->bytes.xcrs, &xcrs, sizeof(xcrs));
    /* KVM_MP_STATE_RUNNABLE is 0. In x2APIC mode the number is a whole word. */
    out->bytes.lapic[0x20] = (uint8_t)guest_value(n, "apic_id");
    out->bytes.lapic[0x80] = (uint8_t)(guest_value(n, "cr8") << 4);
    guest_fxsave(n, out->bytes.xsave);
    out->bytes.xsave[512] = 0x07;
    out->bytes.xsave[513] = 0x02;
    guest_component(n, 2, out->bytes.xsave + 576, 256);
    guest_component(n, 9, out->bytes.xsave + 2688, 8);
    set_lists(out);
}

static void add_sized(struct bytes *out, const void *data, size_t length)
{
    bytes_add_u64(out, length);
    bytes_add(out, data, length);
}

static void add_string(struct bytes *out, const char *text)
{
    add_sized(out, text, strlen(text));
}

static void add_filler(struct bytes *out, size_t length)
{
    bytes_add_u64(out, length);
    bytes_add_zeros(out, length);
}

static void add_vm_info(struct bytes *out)
{
    bytes_add_u64(out, 128); /* mem_size_mib */
    bytes_add_u8(out, 0);    /* smt */
    bytes_add_u32(out, 3);   /* cpu_template: None */
    add_string(out, "/boot/vmlinux");
    bytes_add_u8(out, 0); /* initrd_path: None */
    bytes_add_u8(out, 1); /* boot_args: Some */
    add_string(out, "console=ttyS0 reboot=k");
    bytes_add_u32(out, 0); /* huge_pages: None */
}

static void add_memory(struct bytes *out, unsigned minor)
{
    static const uint64_t regions[2][2] = {{0, 0xd0000000}, {UINT64_C(1) << 32, 0x08000000}};
    bytes_add_u64(out, 2);
    for (unsigned i = 0; i < 2; i++) {
        bytes_add_u64(out, regions[i][0]);
        bytes_add_u64(out, regions[i][1]);
        if (minor <= 10)
            bytes_add_u64(out, i == 0 ? 0 : regions[0][1]);
        if (minor >= 14) {
            bytes_add_u32(out, i); /* region_type */
            bytes_add_u64(out, 2); /* plugged */
            bytes_add_u8(out, 1);
            bytes_add_u8(out, 0);
        }
    }
}

static void add_capabilities(struct bytes *out)
{
    bytes_add_u64(out, 2);
    add_string(out, "!56");
    add_string(out, "171");
}

/* A node of an interval tree: itself, then whether there are children, its height at the end. */
static void begin_node(struct bytes *out, uint64_t begin)
{
    bytes_add_u64(out, begin);
    bytes_add_u64(out, begin + 0xfff);
    bytes_add_u32(out, 1);
}

static void add_leaf(struct bytes *out, uint64_t begin)
{
    begin_node(out, begin);
    bytes_add_u8(out, 0);
    bytes_add_u8(out, 0);
    bytes_add_u64(out, 1);
}

static void add_resources(struct bytes *out)
{
    for (unsigned i = 0; i < 2; i++) {
        bytes_add_u32(out, 5);
        bytes_add_u8(out, (uint8_t)i);
        if (i != 0)
            bytes_add_u32(out, 6);
        bytes_add_u32(out, 23);
        bytes_add_u64(out, 2);
        bytes_add_u32(out, 7);
        bytes_add_u32(out, 9);
    }
    for (unsigned i = 0; i < 4; i++) {
        bytes_add_u64(out, 0x1000);
        bytes_add_u64(out, 0x7fffffff);
        bytes_add_u8(out, i != 3);
        if (i == 3)
            continue;
        /* A root with a left child, which has a right one; and, once, a right child. */
        begin_node(out, 0x9000);
        bytes_add_u8(out, 1);
        begin_node(out, 0x3000);
        bytes_add_u8(out, 0);
        bytes_add_u8(out, 1);
        add_leaf(out, 0x5000);
        bytes_add_u64(out, 2);
        bytes_add_u8(out, i == 1);
        if (i == 1)
            add_leaf(out, 0xb000);
        bytes_add_u64(out, 3);
    }
}

static void add_kvm_devices(struct bytes *out)
{
    add_filler(out, 112); /* kvm_pit_state2 */
    add_filler(out, 48);  /* kvm_clock_data */
    for (unsigned i = 0; i < 3; i++)
        add_filler(out, 520); /* kvm_irqchip */
}

static void add_vcpu(struct bytes *out, unsigned minor, unsigned n)
{
    struct kvm_guest guest;
    build_kvm_guest(&guest, n);
    /* cpuid: the header of kvm_cpuid2, then the entries. */
    bytes_add_u64(out, 8);
    bytes_add_u32(out, 4);
    bytes_add_u32(out, 0);
    bytes_add_u64(out, 4);
    for (unsigned i = 0; i < 4; i++) {
        bytes_add_u64(out, 40);
        for (unsigned k = 0; k < 7; k++)
            bytes_add_u32(out, guest.cpuid[i][k]);
        bytes_add_zeros(out, 12);
    }
    /* saved_msrs: two lists, of 8 entries and the rest. */
    bytes_add_u64(out, 2);
    for (size_t begin = 0, end = 8; begin < guest.msr_count; begin = end, end = guest.msr_count) {
        bytes_add_u64(out, 8);
        bytes_add_u32(out, (uint32_t)(end - begin));
        bytes_add_u32(out, 0);
        bytes_add_u64(out, end - begin);
        for (size_t i = begin; i < end; i++) {
            bytes_add_u64(out, 16);
            bytes_add_u32(out, guest.msrs[i]);
            bytes_add_u32(out, 0);
            bytes_add_u64(out, guest_msr(n, guest.msrs[i]));
        }
    }
    add_sized(out, guest.bytes.debugregs, sizeof(guest.bytes.debugregs));
    add_sized(out, guest.bytes.lapic, sizeof(guest.bytes.lapic));
    add_sized(out, guest.bytes.mp_state, sizeof(guest.bytes.mp_state));
    add_sized(out, guest.bytes.regs, sizeof(guest.bytes.regs));
    add_sized(out, guest.bytes.sregs, sizeof(guest.bytes.sregs));
    add_sized(out, guest.bytes.events, sizeof(guest.bytes.events));
    add_sized(out, guest.bytes.xcrs, sizeof(guest.bytes.xcrs));
    if (minor < 12) {
        add_sized(out, guest.bytes.xsave, sizeof(guest.bytes.xsave));
    } else {
        /* The header of kvm_xsave2, with the structure in it; then 32-bit words. */
        bytes_add_u64(out, 8 + sizeof(guest.bytes.xsave));
        bytes_add_u64(out, 3);
        bytes_add(out, guest.bytes.xsave, sizeof(guest.bytes.xsave));
        bytes_add_u64(out, 3);
        bytes_add_zeros(out, 12);
    }
    bytes_add_u8(out, (uint8_t)(n == 0)); /* tsc_khz */
    if (n == 0)
        bytes_add_u32(out, 2400000);
}

static void add_head(struct bytes *out, unsigned minor)
{
    static const char *const versions[] = {"2.0.0", "3.0.0", "4.0.0", "5.0.0",
                                           "6.0.0", "8.0.0", "8.0.0"};
    bytes_add_u64(out, UINT64_C(0x0710198486640000));
    add_string(out, versions[minor - 8]);
    add_vm_info(out);
    if (minor <= 10) {
        add_memory(out, minor);
        add_kvm_devices(out);
        add_capabilities(out);
    } else if (minor == 11) {
        add_memory(out, minor);
        add_capabilities(out);
        add_kvm_devices(out);
    } else {
        add_capabilities(out);
        add_memory(out, minor);
        if (minor >= 13)
            add_resources(out);
        add_kvm_devices(out);
    }
}

void build_firecracker_checksum(uint8_t *data, size_t length)
{
    uint64_t crc = 0;
    for (size_t i = 0; i + 8 < length; i++) {
        crc ^= data[i];
        for (unsigned k = 0; k < 8; k++)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? UINT64_C(0x95ac9329ac4bc9b5) : 0);
    }
    for (size_t i = 0; i < 8 && length >= 8; i++)
        data[length - 8 + i] = (uint8_t)(crc >> (8 * i));
}

size_t build_firecracker_vcpu(unsigned minor)
{
    struct bytes bytes = {0};
    add_head(&bytes, minor);
    size_t length = bytes.length + 8;
    bytes_free(&bytes);
    return length;
}

void build_firecracker(struct bytes *out, unsigned minor, unsigned vcpus)
{
    size_t begin = out->length;
    add_head(out, minor);
    bytes_add_u64(out, vcpus);
    for (unsigned n = 0; n < vcpus; n++)
        add_vcpu(out, minor, n);
    /* The devices, which are not read. */
    bytes_add_zeros(out, 100);
    bytes_add_u64(out, 0);
    build_firecracker_checksum(out->data + begin, out->length - begin);
}
