/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Xen's HVM context and save streams by hand. The entries are C structures in the order of Xen's
 * public headers (arch-x86/hvm/save.h): the compiler counts the offsets.
 */
#include "import_build_xen.h"

#include <assert.h>
#include <string.h>

struct cpu {
    uint8_t fpu[512];
    uint64_t rax, rbx, rcx, rdx, rbp, rsi, rdi, rsp;
    uint64_t r8[8];
    uint64_t rip, rflags;
    uint64_t cr0, cr2, cr3, cr4;
    uint64_t dr0, dr1, dr2, dr3, dr6, dr7;
    uint32_t selector[8]; /* cs ds es fs gs ss tr ldtr */
    uint32_t limit[10];   /* the same, then idtr gdtr */
    uint64_t base[10];
    uint32_t attributes[8];
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t shadow_gs;
    uint64_t msr_flags, lstar, star, cstar, fmask, efer;
    uint64_t tsc_aux;
    uint64_t tsc;
    uint32_t pending_event;
    uint32_t error_code;
    uint32_t flags;
    uint32_t pad;
};
static_assert(sizeof(struct cpu) == 1032, "struct hvm_hw_cpu");

struct lapic {
    uint64_t apic_base;
    uint32_t disabled, timer_divisor;
    uint64_t tdt;
    uint32_t pending_esr;
    uint32_t pad;
};

struct mtrr {
    uint64_t pat;
    uint64_t variable[16];
    uint64_t fixed[11];
    uint64_t capabilities;
    uint64_t default_type;
};

size_t build_xen_cpu_size(void)
{
    return sizeof(struct cpu);
}

static uint64_t field_of(unsigned n, const char *segment, const char *part)
{
    char name[24];
    strcpy(name, segment);
    return guest_value(n, strcat(name, part));
}

static void fill_cpu(struct cpu *cpu, unsigned n, const struct xen_options *options)
{
    static const char *const numbered[] = {"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};
    static const char *const segments[] = {"cs", "ds", "es",   "fs",   "gs",
                                           "ss", "tr", "ldtr", "idtr", "gdtr"};
    guest_fxsave(n, cpu->fpu);
    cpu->rax = guest_value(n, "rax");
    cpu->rbx = guest_value(n, "rbx");
    cpu->rcx = guest_value(n, "rcx");
    cpu->rdx = guest_value(n, "rdx");
    cpu->rbp = guest_value(n, "rbp");
    cpu->rsi = guest_value(n, "rsi");
    cpu->rdi = guest_value(n, "rdi");
    cpu->rsp = guest_value(n, "rsp");
    for (unsigned i = 0; i < 8; i++)
        cpu->r8[i] = guest_value(n, numbered[i]);
    cpu->rip = guest_value(n, "rip");
    cpu->rflags = guest_value(n, "rflags");
    cpu->cr0 = guest_value(n, "cr0");
    cpu->cr2 = guest_value(n, "cr2");
    cpu->cr3 = guest_value(n, "cr3");
    cpu->cr4 = guest_value(n, "cr4");
    cpu->dr0 = guest_value(n, "dr0");
    cpu->dr1 = guest_value(n, "dr1");
    cpu->dr2 = guest_value(n, "dr2");
    cpu->dr3 = guest_value(n, "dr3");
    cpu->dr6 = guest_value(n, "dr6");
    cpu->dr7 = guest_value(n, "dr7");
    for (unsigned i = 0; i < 10; i++) {
        cpu->limit[i] = (uint32_t)field_of(n, segments[i], ".limit");
        cpu->base[i] = field_of(n, segments[i], ".base");
        if (i < 8) {
            cpu->selector[i] = (uint32_t)field_of(n, segments[i], ".selector");
            cpu->attributes[i] = guest_attributes(n, segments[i]);
        }
    }
    cpu->sysenter_cs = guest_msr(n, RESUME_MSR_SYSENTER_CS);
    cpu->sysenter_esp = guest_msr(n, RESUME_MSR_SYSENTER_ESP);
    cpu->sysenter_eip = guest_msr(n, RESUME_MSR_SYSENTER_EIP);
    cpu->shadow_gs = guest_msr(n, RESUME_MSR_KERNEL_GS_BASE);
    cpu->lstar = guest_msr(n, RESUME_MSR_LSTAR);
    cpu->star = guest_msr(n, RESUME_MSR_STAR);
    cpu->cstar = guest_msr(n, RESUME_MSR_CSTAR);
    cpu->fmask = guest_msr(n, RESUME_MSR_FMASK);
    cpu->efer = guest_value(n, "efer");
    cpu->tsc_aux = guest_msr(n, RESUME_MSR_TSC_AUX);
    cpu->tsc = guest_msr(n, RESUME_MSR_TSC);
    cpu->pending_event = options->event;
    cpu->flags = options->no_fpu ? 0 : 1;
}

static void add_entry(struct bytes *out, uint16_t code, unsigned instance, const void *data,
                      size_t length)
{
    bytes_add_u16(out, code);
    bytes_add_u16(out, (uint16_t)instance);
    bytes_add_u32(out, (uint32_t)length);
    bytes_add(out, data, length);
}

static void add_cpu(struct bytes *out, unsigned n, const struct xen_options *options)
{
    struct cpu cpu;
    uint8_t old[sizeof(cpu)];
    memset(&cpu, 0, sizeof(cpu));
    fill_cpu(&cpu, n, options);
    memcpy(old, &cpu, sizeof(cpu));
    if (options->cpu_length == 1016)
        memcpy(old + offsetof(struct cpu, tsc_aux), &cpu.tsc,
               sizeof(cpu) - offsetof(struct cpu, tsc));
    add_entry(out, 2, n, old, options->cpu_length);
}

static void add_xsave(struct bytes *out, unsigned n, const struct xen_options *options)
{
    /* x87, SSE, AVX and PKRU; the image goes up to PKRU. */
    uint8_t entry[24 + 2696];
    const size_t pkru = options->amd ? 832 : 2688;
    memset(entry, 0, sizeof(entry));
    entry[0] = 0xff;
    entry[8] = 0x07;
    entry[9] = 0x02;
    entry[16] = 0x07;
    entry[17] = 0x02;
    guest_fxsave(n, entry + 24);
    entry[24 + 512] = 0x07;
    entry[24 + 513] = 0x02;
    guest_component(n, 2, entry + 24 + 576, 256);
    guest_component(n, 9, entry + 24 + pkru, 8);
    add_entry(out, 16, n, entry, 24 + pkru + 8);
}

static void add_lapic(struct bytes *out, unsigned n, const struct xen_options *options)
{
    struct lapic lapic;
    uint8_t registers[1024];
    uint32_t id = (uint32_t)guest_value(n, "apic_id");
    memset(&lapic, 0, sizeof(lapic));
    memset(registers, 0, sizeof(registers));
    lapic.apic_base = guest_value(n, "apic_base") & ~UINT64_C(0x400);
    lapic.apic_base |= options->x2apic ? 0x400 : 0;
    add_entry(out, 5, n, &lapic, sizeof(lapic));
    registers[options->x2apic ? 0x20 : 0x23] = (uint8_t)id;
    registers[0x80] = (uint8_t)(guest_value(n, "cr8") << 4);
    add_entry(out, 6, n, registers, sizeof(registers));
}

static void add_mtrr(struct bytes *out, unsigned n)
{
    struct mtrr mtrr;
    memset(&mtrr, 0, sizeof(mtrr));
    mtrr.pat = guest_msr(n, RESUME_MSR_PAT);
    for (unsigned i = 0; i < 16; i++)
        mtrr.variable[i] = guest_msr(n, 0x200 + i);
    mtrr.fixed[0] = guest_msr(n, 0x250);
    mtrr.fixed[1] = guest_msr(n, 0x258);
    mtrr.fixed[2] = guest_msr(n, 0x259);
    for (unsigned i = 0; i < 8; i++)
        mtrr.fixed[3 + i] = guest_msr(n, 0x268 + i);
    mtrr.capabilities = 0x508;
    mtrr.default_type = guest_msr(n, 0x2ff);
    add_entry(out, 14, n, &mtrr, sizeof(mtrr));
}

static void add_msrs(struct bytes *out, unsigned n)
{
    uint64_t adjust = guest_msr(n, 0x3b);
    struct bytes msrs = {0};
    add_entry(out, 19, n, &adjust, sizeof(adjust));
    bytes_add_u32(&msrs, 2);
    bytes_add_u32(&msrs, 0);
    bytes_add_u32(&msrs, 0x48);
    bytes_add_u32(&msrs, 0);
    bytes_add_u64(&msrs, guest_msr(n, 0x48));
    bytes_add_u32(&msrs, RESUME_MSR_XSS);
    bytes_add_u32(&msrs, 0);
    bytes_add_u64(&msrs, guest_value(n, "xss"));
    add_entry(out, 20, n, msrs.data, msrs.length);
    bytes_free(&msrs);
}

void build_xen_context(struct bytes *out, unsigned vcpus, const struct xen_options *options)
{
    struct bytes header = {0};
    bytes_add_u32(&header, 0x54381286);
    bytes_add_u32(&header, 1);
    bytes_add_u64(&header, 0x1234);
    bytes_add_u32(&header, 0x306c1);
    bytes_add_u32(&header, 2400000);
    add_entry(out, 1, 0, header.data, header.length);
    for (unsigned n = 0; n < vcpus; n++) {
        if (options->down == 0 || options->down != n)
            add_cpu(out, n, options);
    }
    /* A device: the two PICs. */
    add_entry(out, 3, 0, "\0\xff\0\x30\0\0\0\0", 8);
    add_entry(out, 3, 1, "\0\xff\0\x38\0\0\0\0", 8);
    for (unsigned n = 0; n < vcpus; n++)
        add_lapic(out, n, options);
    for (unsigned n = 0; n < vcpus; n++)
        add_mtrr(out, n);
    for (unsigned n = 0; n < vcpus && (options->xsave || options->amd); n++)
        add_xsave(out, n, options);
    for (unsigned n = 0; n < vcpus; n++)
        add_msrs(out, n);
    add_entry(out, 0, 0, NULL, 0);
    bytes_free(&header);
}

static void add_record(struct bytes *out, uint32_t type, const void *data, size_t length)
{
    bytes_add_u32(out, type);
    bytes_add_u32(out, (uint32_t)length);
    bytes_add(out, data, length);
    bytes_add_zeros(out, (8 - length % 8) % 8);
}

static void add_policy(struct bytes *out)
{
    /* Leaf, subleaf, EAX, EBX, ECX, EDX. */
    static const uint32_t leaves[][6] = {
        {0x0, 0xffffffff, 0xd, 0, 0, 0}, {0xd, 0, 0x207, 840, 840, 0}, {0xd, 1, 0xf, 832, 0x800, 0},
        {0xd, 2, 256, 576, 0, 0},        {0xd, 9, 8, 832, 0, 0},       {0xd, 11, 16, 0, 1, 0},
    };
    struct bytes policy = {0};
    for (size_t i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
        for (unsigned k = 0; k < 6; k++)
            bytes_add_u32(&policy, leaves[i][k]);
    }
    add_record(out, 0x11, policy.data, policy.length);
    bytes_free(&policy);
}

void build_xen_stream(struct bytes *out, enum xen_wrap wrap, const struct bytes *context,
                      int policy)
{
    static const char config[] = "name = \"guest\"\n";
    if (wrap == XEN_XL) {
        bytes_add(out, "Xen saved domain, xl format\n \0 \r", 32);
        bytes_add_u32(out, 0x01020304);
        bytes_add_u32(out, 1);
        bytes_add_u32(out, 0);
        bytes_add_u32(out, 4 + (uint32_t)sizeof(config));
        bytes_add_u32(out, (uint32_t)sizeof(config));
        bytes_add(out, config, sizeof(config));
    }
    if (wrap != XEN_LIBXC) {
        bytes_add_text(out, "LibxlFmt");
        bytes_add_be32(out, 2);
        bytes_add_be32(out, 0);
        add_record(out, 1, NULL, 0);
    }
    bytes_add(out,
              "\xff\xff\xff\xff\xff\xff\xff\xff"
              "XENF",
              12);
    bytes_add_be32(out, 3);
    bytes_add_zeros(out, 8);
    bytes_add_u32(out, 2);
    bytes_add_u16(out, 12);
    bytes_add_u16(out, 0);
    bytes_add_u32(out, 4);
    bytes_add_u32(out, 17);
    if (policy)
        add_policy(out);
    add_record(out, 0x10, NULL, 0);
    /* A batch of one page, and something of an odd length. */
    uint8_t batch[8 + 8 + 4096] = {1};
    add_record(out, 1, batch, sizeof(batch));
    add_record(out, 0x80000077, "odd", 3);
    add_record(out, 9, context->data, context->length);
    add_record(out, 0, NULL, 0);
    if (wrap != XEN_LIBXC)
        add_record(out, 0, NULL, 0);
}
