/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The sections of a vCPU, field by field as QEMU 7.2 writes them. */
#include <stdio.h>

#include "stream_build.h"

struct vcpu {
    struct builder *b;
    build_value_fn value;
    void *ctx;
    const char *prefix;
};

static uint64_t ask(const struct vcpu *v, const char *path)
{
    char full[160];
    snprintf(full, sizeof(full), "%s/%s", v->prefix, path);
    return v->value(v->ctx, full);
}

static void plain(const struct vcpu *v, const char *name, const char *type, unsigned size)
{
    build_field(v->b, name, type, size, ask(v, name));
}

static void numbers(const struct vcpu *v, const char *name, const char *type, unsigned size,
                    unsigned count)
{
    char rest[40];
    snprintf(rest, sizeof(rest), ", \"array_len\": %u", count);
    build_describe(v->b, name, type, size, rest);
    for (unsigned i = 0; i < count; i++) {
        char path[80];
        snprintf(path, sizeof(path), "%s[%u]", name, i);
        build_be(v->b, ask(v, path), size);
    }
}

/* A member of a structure. */
struct member {
    const char *name;
    const char *type;
    unsigned size;
};

/* A structure, or (count > 0) an array of them, with @n members. */
static void structures(const struct vcpu *v, const char *name, unsigned count, const char *vmsd,
                       const struct member *members, unsigned n)
{
    char rest[1600];
    unsigned size = 0;
    int used = 0;
    if (count > 0)
        used = snprintf(rest, sizeof(rest), ", \"array_len\": %u", count);
    used += snprintf(rest + used, sizeof(rest) - (size_t)used,
                     ", \"struct\": {\"vmsd_name\": \"%s\", \"version\": 1, \"fields\": [", vmsd);
    for (unsigned i = 0; i < n; i++) {
        used += snprintf(rest + used, sizeof(rest) - (size_t)used,
                         "%s{\"name\": \"%s\", \"type\": \"%s\", \"size\": %u}", i > 0 ? ", " : "",
                         members[i].name, members[i].type, members[i].size);
        size += members[i].size;
    }
    snprintf(rest + used, sizeof(rest) - (size_t)used, "]}");
    build_describe(v->b, name, "struct", size, rest);
    for (unsigned e = 0; e < (count > 0 ? count : 1); e++) {
        for (unsigned i = 0; i < n; i++) {
            char path[120];
            if (count > 0)
                snprintf(path, sizeof(path), "%s[%u].%s", name, e, members[i].name);
            else
                snprintf(path, sizeof(path), "%s.%s", name, members[i].name);
            build_be(v->b, ask(v, path), members[i].size);
        }
    }
}

/* The x87 registers are described through a temporary. */
static void x87(const struct vcpu *v)
{
    build_describe(v->b, "env.fpregs", "struct", 10,
                   ", \"array_len\": 8, \"struct\": {\"vmsd_name\": \"fpreg\", \"version\": 0, "
                   "\"fields\": [{\"name\": \"tmp\", \"type\": \"tmp\", \"vmsd_name\": "
                   "\"fpreg_tmp\", \"version\": 0, \"fields\": [{\"name\": \"tmp_mant\", \"type\": "
                   "\"uint64\", \"size\": 8}, {\"name\": \"tmp_exp\", \"type\": \"uint16\", "
                   "\"size\": 2}], \"size\": 10}]}");
    for (unsigned i = 0; i < 8; i++) {
        char path[80];
        snprintf(path, sizeof(path), "env.fpregs[%u].tmp.tmp_mant", i);
        build_be(v->b, ask(v, path), 8);
        snprintf(path, sizeof(path), "env.fpregs[%u].tmp.tmp_exp", i);
        build_be(v->b, ask(v, path), 2);
    }
}

static void zmm(const struct vcpu *v, const char *name, const char *vmsd, unsigned first,
                unsigned count)
{
    static const char *const names[8] = {"_q_ZMMReg[0]", "_q_ZMMReg[1]", "_q_ZMMReg[2]",
                                         "_q_ZMMReg[3]", "_q_ZMMReg[4]", "_q_ZMMReg[5]",
                                         "_q_ZMMReg[6]", "_q_ZMMReg[7]"};
    struct member members[8];
    for (unsigned i = 0; i < count; i++)
        members[i] = (struct member){names[first + i], "uint64", 8};
    structures(v, name, 16, vmsd, members, count);
}

static void base_fields(const struct vcpu *v)
{
    static const struct member segment[] = {{"selector", "uint32", 4},
                                            {"base", "uint64", 8},
                                            {"limit", "uint32", 4},
                                            {"flags", "uint32", 4}};
    static const struct member mtrr[] = {{"base", "uint64", 8}, {"mask", "uint64", 8}};
    static const char *const control[] = {"env.cr[0]", "env.cr[2]", "env.cr[3]", "env.cr[4]"};
    static const char *const syscall[] = {"env.efer",  "env.star",  "env.lstar",
                                          "env.cstar", "env.fmask", "env.kernelgsbase"};
    numbers(v, "env.regs", "uint64", 8, 16);
    plain(v, "env.eip", "uint64", 8);
    plain(v, "env.eflags", "uint64", 8);
    plain(v, "env.hflags", "uint32", 4);
    plain(v, "env.fpuc", "uint16", 2);
    plain(v, "env.fpus_vmstate", "uint16", 2);
    plain(v, "env.fptag_vmstate", "uint16", 2);
    plain(v, "env.fpregs_format_vmstate", "uint16", 2);
    x87(v);
    structures(v, "env.segs", 6, "segment", segment, 4);
    structures(v, "env.ldt", 0, "segment", segment, 4);
    structures(v, "env.tr", 0, "segment", segment, 4);
    structures(v, "env.gdt", 0, "segment", segment, 4);
    structures(v, "env.idt", 0, "segment", segment, 4);
    plain(v, "env.sysenter_cs", "uint32", 4);
    plain(v, "env.sysenter_esp", "uint64", 8);
    plain(v, "env.sysenter_eip", "uint64", 8);
    for (unsigned i = 0; i < 4; i++)
        plain(v, control[i], "uint64", 8);
    numbers(v, "env.dr", "uint64", 8, 8);
    plain(v, "env.a20_mask", "int32", 4);
    plain(v, "env.mxcsr", "uint32", 4);
    zmm(v, "env.xmm_regs[0]", "xmm_reg", 0, 2);
    for (unsigned i = 0; i < 6; i++)
        plain(v, syscall[i], "uint64", 8);
    plain(v, "env.smbase", "uint32", 4);
    plain(v, "env.pat", "uint64", 8);
    plain(v, "env.hflags2", "uint32", 4);
    numbers(v, "env.mtrr_fixed", "uint64", 8, 11);
    plain(v, "env.mtrr_deftype", "uint64", 8);
    structures(v, "env.mtrr_var", 8, "mtrr_var", mtrr, 2);
    plain(v, "env.interrupt_injected", "int32", 4);
    plain(v, "env.mp_state", "uint32", 4);
    plain(v, "env.tsc", "uint64", 8);
    plain(v, "env.exception_nr", "int32", 4);
    plain(v, "env.soft_interrupt", "uint8", 1);
    plain(v, "env.nmi_injected", "uint8", 1);
    plain(v, "env.nmi_pending", "uint8", 1);
    plain(v, "env.has_error_code", "uint8", 1);
    plain(v, "env.sipi_vector", "uint32", 4);
    numbers(v, "env.mce_banks", "uint64", 8, 40);
    plain(v, "env.tsc_aux", "uint64", 8);
    plain(v, "env.system_time_msr", "uint64", 8);
    plain(v, "env.wall_clock_msr", "uint64", 8);
    plain(v, "env.xcr0", "uint64", 8);
    plain(v, "env.xstate_bv", "uint64", 8);
    zmm(v, "env.xmm_regs[1]", "ymmh_reg", 2, 2);
}

static void optional_fields(struct vcpu *v, unsigned parts)
{
    static const struct member bounds[] = {{"lb", "uint64", 8}, {"ub", "uint64", 8}};
    if (parts & BUILD_CPU_FPOP) {
        build_subsection(v->b, "cpu/fpop_ip_dp", 1);
        v->prefix = "cpu/fpop_ip_dp";
        plain(v, "env.fpop", "uint16", 2);
        plain(v, "env.fpip", "uint64", 8);
        plain(v, "env.fpdp", "uint64", 8);
        build_subsection_end(v->b);
    }
    if (parts & BUILD_CPU_MPX) {
        build_subsection(v->b, "cpu/mpx", 1);
        v->prefix = "cpu/mpx";
        structures(v, "env.bnd_regs", 4, "bnd_regs", bounds, 2);
        plain(v, "env.bndcs_regs.cfgu", "uint64", 8);
        plain(v, "env.bndcs_regs.sts", "uint64", 8);
        plain(v, "env.msr_bndcfgs", "uint64", 8);
        build_subsection_end(v->b);
    }
    if (parts & BUILD_CPU_AVX512) {
        build_subsection(v->b, "cpu/avx512", 1);
        v->prefix = "cpu/avx512";
        numbers(v, "env.opmask_regs", "uint64", 8, 8);
        zmm(v, "env.xmm_regs[0]", "zmmh_reg", 4, 4);
        zmm(v, "env.xmm_regs[1]", "hi16_zmm_reg", 0, 8);
        build_subsection_end(v->b);
    }
    if (parts & BUILD_CPU_XSS) {
        build_subsection(v->b, "cpu/xss", 1);
        v->prefix = "cpu/xss";
        plain(v, "env.xss", "uint64", 8);
        build_subsection_end(v->b);
    }
    if (parts & BUILD_CPU_PKRU) {
        build_subsection(v->b, "cpu/pkru", 1);
        v->prefix = "cpu/pkru";
        plain(v, "env.pkru", "uint32", 4);
        build_subsection_end(v->b);
    }
}

void build_vcpu(struct builder *b, unsigned instance, unsigned parts, build_value_fn value,
                void *ctx)
{
    struct vcpu v = {.b = b, .value = value, .ctx = ctx, .prefix = "cpu_common"};
    build_device(b, "cpu_common", "cpu_common", instance, 1);
    plain(&v, "halted", "uint32", 4);
    plain(&v, "interrupt_request", "uint32", 4);
    build_device_end(b);

    v.prefix = "cpu";
    build_device(b, "cpu", "cpu", instance, 12);
    base_fields(&v);
    if (parts &
        (BUILD_CPU_FPOP | BUILD_CPU_MPX | BUILD_CPU_AVX512 | BUILD_CPU_XSS | BUILD_CPU_PKRU)) {
        build_subsections(b);
        optional_fields(&v, parts);
    }
    build_device_end(b);

    if (parts & BUILD_CPU_NO_APIC)
        return;
    v.prefix = "apic";
    build_device(b, "apic", "apic", instance, 3);
    plain(&v, "apicbase", "uint32", 4);
    plain(&v, "id", "uint8", 1);
    plain(&v, "tpr", "uint8", 1);
    if (parts & BUILD_CPU_SIPI) {
        build_subsections(b);
        build_subsection(b, "apic_sipi", 1);
        v.prefix = "apic/apic_sipi";
        plain(&v, "sipi_vector", "int32", 4);
        plain(&v, "wait_for_sipi", "int32", 4);
        build_subsection_end(b);
    }
    build_device_end(b);
}
