/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The sections of a vCPU, field by field as QEMU 7.2 and later versions write them. */
#include <stdio.h>
#include <string.h>

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
    static const char *const nested[] = {"env.vm_hsave", "env.vm_vmcb", "env.tsc_offset",
                                         "env.intercept"};
    static const char *const intercepts[] = {"env.intercept_cr_read", "env.intercept_cr_write",
                                             "env.intercept_dr_read", "env.intercept_dr_write"};
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
    for (unsigned i = 0; i < 4; i++)
        plain(v, nested[i], "uint64", 8);
    for (unsigned i = 0; i < 4; i++)
        plain(v, intercepts[i], "uint16", 2);
    plain(v, "env.intercept_exceptions", "uint32", 4);
    plain(v, "env.v_tpr", "uint8", 1);
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
    plain(v, "env.mcg_cap", "uint64", 8);
    plain(v, "env.mcg_status", "uint64", 8);
    plain(v, "env.mcg_ctl", "uint64", 8);
    numbers(v, "env.mce_banks", "uint64", 8, 40);
    plain(v, "env.tsc_aux", "uint64", 8);
    plain(v, "env.system_time_msr", "uint64", 8);
    plain(v, "env.wall_clock_msr", "uint64", 8);
    plain(v, "env.xcr0", "uint64", 8);
    plain(v, "env.xstate_bv", "uint64", 8);
    zmm(v, "env.xmm_regs[1]", "ymmh_reg", 2, 2);
}

/* A field of a subsection. */
struct number {
    const char *name;
    const char *type;
    unsigned size;
    unsigned count; /* 0 = not an array */
};

/* Subsections that hold nothing but numbers and arrays of them. */
struct piece {
    unsigned part;
    const char *name;
    struct number fields[9];
};

static const struct piece pieces[] = {
    {BUILD_CPU_EVENTS,
     "exception_info",
     {{"env.exception_pending", "uint8", 1, 0},
      {"env.exception_injected", "uint8", 1, 0},
      {"env.exception_has_payload", "uint8", 1, 0},
      {"env.exception_payload", "uint64", 8, 0}}},
    {BUILD_CPU_MSRS, "async_pf_msr", {{"env.async_pf_en_msr", "uint64", 8, 0}}},
    {BUILD_CPU_MSRS, "async_pf_int_msr", {{"env.async_pf_int_msr", "uint64", 8, 0}}},
    {BUILD_CPU_MSRS, "async_pv_eoi_msr", {{"env.pv_eoi_en_msr", "uint64", 8, 0}}},
    {BUILD_CPU_MSRS, "steal_time_msr", {{"env.steal_time_msr", "uint64", 8, 0}}},
    {BUILD_CPU_MSRS, "poll_control_msr", {{"env.poll_control_msr", "uint64", 8, 0}}},
    {BUILD_CPU_FPOP,
     "fpop_ip_dp",
     {{"env.fpop", "uint16", 2, 0}, {"env.fpip", "uint64", 8, 0}, {"env.fpdp", "uint64", 8, 0}}},
    {BUILD_CPU_MSRS, "msr_tsc_adjust", {{"env.tsc_adjust", "uint64", 8, 0}}},
    {BUILD_CPU_MSRS, "msr_tscdeadline", {{"env.tsc_deadline", "uint64", 8, 0}}},
    {BUILD_CPU_MSRS, "msr_ia32_misc_enable", {{"env.msr_ia32_misc_enable", "uint64", 8, 0}}},
    {BUILD_CPU_MSRS,
     "msr_ia32_feature_control",
     {{"env.msr_ia32_feature_control", "uint64", 8, 0}}},
    {BUILD_CPU_MSRS,
     "msr_architectural_pmu",
     {{"env.msr_fixed_ctr_ctrl", "uint64", 8, 0},
      {"env.msr_global_ctrl", "uint64", 8, 0},
      {"env.msr_global_status", "uint64", 8, 0},
      {"env.msr_global_ovf_ctrl", "uint64", 8, 0},
      {"env.msr_fixed_counters", "uint64", 8, 3},
      {"env.msr_gp_counters", "uint64", 8, 18},
      {"env.msr_gp_evtsel", "uint64", 8, 18}}},
    {BUILD_CPU_MSRS,
     "msr_hyperv_hypercall",
     {{"env.msr_hv_guest_os_id", "uint64", 8, 0}, {"env.msr_hv_hypercall", "uint64", 8, 0}}},
    {BUILD_CPU_MSRS, "msr_hyperv_vapic", {{"env.msr_hv_vapic", "uint64", 8, 0}}},
    {BUILD_CPU_MSRS, "msr_hyperv_time", {{"env.msr_hv_tsc", "uint64", 8, 0}}},
    {BUILD_CPU_MSRS, "msr_hyperv_crash", {{"env.msr_hv_crash_params", "uint64", 8, 5}}},
    {BUILD_CPU_MSRS, "msr_hyperv_runtime", {{"env.msr_hv_runtime", "uint64", 8, 0}}},
    {BUILD_CPU_MSRS,
     "msr_hyperv_synic",
     {{"env.msr_hv_synic_control", "uint64", 8, 0},
      {"env.msr_hv_synic_evt_page", "uint64", 8, 0},
      {"env.msr_hv_synic_msg_page", "uint64", 8, 0},
      {"env.msr_hv_synic_sint", "uint64", 8, 16}}},
    {BUILD_CPU_MSRS,
     "msr_hyperv_stimer",
     {{"env.msr_hv_stimer_config", "uint64", 8, 4}, {"env.msr_hv_stimer_count", "uint64", 8, 4}}},
    {BUILD_CPU_MSRS,
     "msr_hyperv_reenlightenment",
     {{"env.msr_hv_reenlightenment_control", "uint64", 8, 0},
      {"env.msr_hv_tsc_emulation_control", "uint64", 8, 0},
      {"env.msr_hv_tsc_emulation_status", "uint64", 8, 0}}},
    {BUILD_CPU_XSS, "xss", {{"env.xss", "uint64", 8, 0}}},
    {BUILD_CPU_MSRS, "umwait", {{"env.umwait", "uint32", 4, 0}}},
    {BUILD_CPU_OTHERS, "tsc_khz", {{"env.tsc_khz", "int64", 8, 0}}},
    {BUILD_CPU_OTHERS, "msr_smi_count", {{"env.msr_smi_count", "uint64", 8, 0}}},
    {BUILD_CPU_PKRU, "pkru", {{"env.pkru", "uint32", 4, 0}}},
    {BUILD_CPU_MSRS, "pkrs", {{"env.pkrs", "uint32", 4, 0}}},
    {BUILD_CPU_MSRS, "spec_ctrl", {{"env.spec_ctrl", "uint64", 8, 0}}},
    {BUILD_CPU_MSRS, "amd_tsc_scale_msr", {{"env.amd_tsc_scale_msr", "uint64", 8, 0}}},
    {BUILD_CPU_MSRS, "mcg_ext_ctl", {{"env.mcg_ext_ctl", "uint64", 8, 0}}},
    {BUILD_CPU_OTHERS,
     "intel_pt",
     {{"env.msr_rtit_ctrl", "uint64", 8, 0},
      {"env.msr_rtit_status", "uint64", 8, 0},
      {"env.msr_rtit_output_base", "uint64", 8, 0},
      {"env.msr_rtit_output_mask", "uint64", 8, 0},
      {"env.msr_rtit_cr3_match", "uint64", 8, 0},
      {"env.msr_rtit_addrs", "uint64", 8, 8}}},
    {BUILD_CPU_MSRS, "virt_ssbd", {{"env.virt_ssbd", "uint64", 8, 0}}},
    {BUILD_CPU_OTHERS,
     "svn_npt",
     {{"env.nested_cr3", "uint64", 8, 0}, {"env.nested_pg_mode", "uint32", 4, 0}}},
    {BUILD_CPU_OTHERS, "svm_guest", {{"env.int_ctl", "uint32", 4, 0}}},
    {BUILD_CPU_OTHERS,
     "xen_vcpu",
     {{"env.xen_vcpu_info_gpa", "uint64", 8, 0},
      {"env.xen_vcpu_info_default_gpa", "uint64", 8, 0},
      {"env.xen_vcpu_time_info_gpa", "uint64", 8, 0},
      {"env.xen_vcpu_runstate_gpa", "uint64", 8, 0},
      {"env.xen_vcpu_callback_vector", "uint8", 1, 0},
      {"env.xen_virq", "uint16", 2, 24},
      {"env.xen_singleshot_timer_ns", "uint64", 8, 0},
      {"env.xen_periodic_timer_period", "uint64", 8, 0}}},
    {BUILD_CPU_MSRS, "msr_tsx_ctrl", {{"env.tsx_ctrl", "uint32", 4, 0}}},
    {BUILD_CPU_OTHERS, "intel_sgx", {{"env.msr_ia32_sgxlepubkeyhash", "uint64", 8, 4}}},
    {BUILD_CPU_OTHERS, "pdptrs", {{"env.pdptrs", "uint64", 8, 4}}},
    {BUILD_CPU_MSRS,
     "msr_xfd",
     {{"env.msr_xfd", "uint64", 8, 0}, {"env.msr_xfd_err", "uint64", 8, 0}}},
    {BUILD_CPU_MSRS, "msr_hwcr", {{"env.msr_hwcr", "uint64", 8, 0}}},
    {BUILD_CPU_OTHERS,
     "fred",
     {{"env.fred_rsp0", "uint64", 8, 0},
      {"env.fred_rsp1", "uint64", 8, 0},
      {"env.fred_rsp2", "uint64", 8, 0},
      {"env.fred_rsp3", "uint64", 8, 0},
      {"env.fred_stklvls", "uint64", 8, 0},
      {"env.fred_ssp1", "uint64", 8, 0},
      {"env.fred_ssp2", "uint64", 8, 0},
      {"env.fred_ssp3", "uint64", 8, 0},
      {"env.fred_config", "uint64", 8, 0}}},
    {BUILD_CPU_AMX,
     "intel_amx_xtile",
     {{"env.xtilecfg", "uint8", 1, 64}, {"env.xtiledata", "uint8", 1, 8192}}},
    {BUILD_CPU_EVENTS, "triple_fault", {{"env.triple_fault_pending", "uint8", 1, 0}}},
    {BUILD_CPU_MSRS, "pl0_ssp", {{"env.pl0_ssp", "uint64", 8, 0}}},
    {BUILD_CPU_AMX, "apx", {{"env.egprs", "uint64", 8, 16}}},
};

static void number(const struct vcpu *v, const struct number *field)
{
    if (field->count > 0)
        numbers(v, field->name, field->type, field->size, field->count);
    else
        plain(v, field->name, field->type, field->size);
}

/* @path: as the outside knows it; @name: as QEMU calls the subsection. */
static void begin(struct vcpu *v, const char *name, char path[64], const char *outer)
{
    build_subsection(v->b, name, 1);
    snprintf(path, 64, "%s/%s", outer, strncmp(name, "cpu/", 4) == 0 ? name + 4 : name);
    v->prefix = path;
}

static void numeric_pieces(struct vcpu *v, unsigned parts)
{
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        char name[48];
        char path[64];
        if ((parts & pieces[i].part) == 0)
            continue;
        snprintf(name, sizeof(name), "cpu/%s", pieces[i].name);
        begin(v, name, path, "cpu");
        for (unsigned k = 0; k < 9 && pieces[i].fields[k].name != NULL; k++)
            number(v, &pieces[i].fields[k]);
        build_subsection_end(v->b);
    }
}

/* Subsections with structures in them, or with subsections of their own. */
static void other_pieces(struct vcpu *v, unsigned parts)
{
    static const struct member bounds[] = {{"lb", "uint64", 8}, {"ub", "uint64", 8}};
    static const struct member records[] = {
        {"from", "uint64", 8}, {"to", "uint64", 8}, {"info", "uint64", 8}};
    static const char *const stacks[] = {"env.pl1_ssp", "env.pl2_ssp", "env.pl3_ssp",
                                         "env.int_ssp_table", "env.guest_ssp"};
    char path[64];
    if (parts & BUILD_CPU_MPX) {
        begin(v, "cpu/mpx", path, "cpu");
        structures(v, "env.bnd_regs", 4, "bnd_regs", bounds, 2);
        plain(v, "env.bndcs_regs.cfgu", "uint64", 8);
        plain(v, "env.bndcs_regs.sts", "uint64", 8);
        plain(v, "env.msr_bndcfgs", "uint64", 8);
        build_subsection_end(v->b);
    }
    if (parts & BUILD_CPU_AVX512) {
        begin(v, "cpu/avx512", path, "cpu");
        numbers(v, "env.opmask_regs", "uint64", 8, 8);
        zmm(v, "env.xmm_regs[0]", "zmmh_reg", 4, 4);
        zmm(v, "env.xmm_regs[1]", "hi16_zmm_reg", 0, 8);
        build_subsection_end(v->b);
    }
    if (parts & BUILD_CPU_OTHERS) {
        begin(v, "cpu/arch_lbr", path, "cpu");
        plain(v, "env.msr_lbr_ctl", "uint64", 8);
        plain(v, "env.msr_lbr_depth", "uint64", 8);
        structures(v, "env.lbr_records", 32, "lbr_records_var", records, 3);
        build_subsection_end(v->b);
    }
    if (parts & BUILD_CPU_MSRS) {
        begin(v, "cpu/cet", path, "cpu");
        plain(v, "env.u_cet", "uint64", 8);
        plain(v, "env.s_cet", "uint64", 8);
        build_subsections(v->b);
        build_subsection(v->b, "cpu/cet_shstk", 1);
        v->prefix = "cpu/cet/cpu/cet_shstk";
        for (unsigned i = 0; i < 5; i++)
            plain(v, stacks[i], "uint64", 8);
        build_subsection_end(v->b);
        build_subsection_end(v->b);
    }
}

static void common_fields(struct vcpu *v, unsigned parts)
{
    v->prefix = "cpu_common";
    plain(v, "halted", "uint32", 4);
    plain(v, "interrupt_request", "uint32", 4);
    if ((parts & BUILD_CPU_COMMON) == 0)
        return;
    build_subsections(v->b);
    build_subsection(v->b, "cpu_common/exception_index", 1);
    v->prefix = "cpu_common/exception_index";
    plain(v, "exception_index", "int32", 4);
    build_subsection_end(v->b);
    build_subsection(v->b, "cpu_common/crash_occurred", 1);
    v->prefix = "cpu_common/crash_occurred";
    plain(v, "crash_occurred", "bool", 1);
    build_subsection_end(v->b);
}

static void apic_fields(struct vcpu *v, unsigned parts)
{
    static const char *const times[] = {"initial_count_load_time", "next_time", "timer_expiry"};
    v->prefix = "apic";
    plain(v, "apicbase", "uint32", 4);
    plain(v, "id", "uint8", 1);
    plain(v, "arb_id", "uint8", 1);
    plain(v, "tpr", "uint8", 1);
    plain(v, "spurious_vec", "uint32", 4);
    plain(v, "log_dest", "uint8", 1);
    plain(v, "dest_mode", "uint8", 1);
    numbers(v, "isr", "uint32", 4, 8);
    numbers(v, "tmr", "uint32", 4, 8);
    numbers(v, "irr", "uint32", 4, 8);
    numbers(v, "lvt", "uint32", 4, 6);
    plain(v, "esr", "uint32", 4);
    numbers(v, "icr", "uint32", 4, 2);
    plain(v, "divide_conf", "uint32", 4);
    plain(v, "count_shift", "int32", 4);
    plain(v, "initial_count", "uint32", 4);
    for (unsigned i = 0; i < 3; i++)
        plain(v, times[i], "int64", 8);
    if (parts & BUILD_CPU_SIPI) {
        build_subsections(v->b);
        build_subsection(v->b, "apic_sipi", 1);
        v->prefix = "apic/apic_sipi";
        plain(v, "sipi_vector", "int32", 4);
        plain(v, "wait_for_sipi", "int32", 4);
        build_subsection_end(v->b);
    }
}

void build_vcpu(struct builder *b, unsigned instance, unsigned parts, build_value_fn value,
                void *ctx)
{
    struct vcpu v = {.b = b, .value = value, .ctx = ctx, .prefix = "cpu"};
    build_device(b, "cpu_common", "cpu_common", instance, 1);
    common_fields(&v, parts);
    build_device_end(b);

    v.prefix = "cpu";
    build_device(b, "cpu", "cpu", instance, 12);
    base_fields(&v);
    if ((parts & ~(BUILD_CPU_NO_APIC | BUILD_CPU_SIPI | BUILD_CPU_COMMON)) != 0) {
        build_subsections(b);
        numeric_pieces(&v, parts);
        other_pieces(&v, parts);
    }
    build_device_end(b);

    if (parts & BUILD_CPU_NO_APIC)
        return;
    build_device(b, "apic", "apic", instance, 3);
    apic_fields(&v, parts);
    build_device_end(b);
}
