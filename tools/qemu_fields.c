/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "qemu_fields.h"

#include <stdbool.h>
#include <string.h>

#include "qemu_msr.h"

/* The first pattern that fits decides. A '*' ends a prefix. */
static const struct qemu_field_row table[] = {
    /* What steers the loop of QEMU. */
    {"cpu_common/halted", FIELD_IRRELEVANT,
     "a halted vCPU goes on after its HLT, as after a spurious wake-up"},
    {"cpu_common/interrupt_request", FIELD_DERIVED,
     "the interrupt lines: the splice takes them from the source, with the controllers"},
    {"cpu_common/exception_index/*", FIELD_MUST_EQUAL,
     "a pending exception of TCG, which delivers it before it stops"},
    {"cpu_common/crash_occurred/*", FIELD_MUST_EQUAL, "a guest that has reported its end"},

    /* What the trampoline loads. */
    {"cpu/env.regs[*", FIELD_RESTORED, "general register, loaded last"},
    {"cpu/env.eip", FIELD_RESTORED, "loaded by the landing"},
    {"cpu/env.eflags", FIELD_RESTORED, "loaded by the landing"},
    {"cpu/env.fpuc", FIELD_RESTORED, "through XRSTOR"},
    {"cpu/env.fpus_vmstate", FIELD_RESTORED, "through XRSTOR"},
    {"cpu/env.fptag_vmstate", FIELD_RESTORED, "through XRSTOR"},
    {"cpu/env.fpregs[*", FIELD_RESTORED,
     "through XRSTOR; in the order of the stack under KVM, by number under TCG"},
    {"cpu/fpop_ip_dp/*", FIELD_RESTORED,
     "through XRSTOR; TCG's does not load them, and FNINIT before it leaves none of the "
     "firmware's"},
    {"cpu/env.mxcsr", FIELD_RESTORED, "through XRSTOR"},
    {"cpu/env.xmm_regs*", FIELD_RESTORED, "through XRSTOR"},
    {"cpu/avx512/*", FIELD_RESTORED, "through XRSTOR, when XCR0 has it"},
    {"cpu/mpx/env.msr_bndcfgs", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/mpx/*", FIELD_RESTORED, "through XRSTOR, when XCR0 has it"},
    {"cpu/pkru/*", FIELD_RESTORED, "through XRSTOR, when XCR0 has it"},
    {"cpu/intel_amx_xtile/*", FIELD_RESTORED, "through XRSTOR, when XCR0 has it"},
    {"cpu/apx/*", FIELD_RESTORED, "through XRSTOR, when XCR0 has it"},
    {"cpu/env.xcr0", FIELD_RESTORED, "through XSETBV"},
    {"cpu/env.segs[*", FIELD_RESTORED,
     "from a descriptor made of the hidden part, FS's and GS's base by MSR; CS and SS of a guest "
     "that is entered by a far return from its own tables"},
    {"cpu/env.ldt.*", FIELD_RESTORED, "through LLDT, from a descriptor made of the hidden part"},
    {"cpu/env.tr.*", FIELD_RESTORED, "through LTR, from a descriptor made of the hidden part"},
    {"cpu/env.gdt.base", FIELD_RESTORED, "through LGDT"},
    {"cpu/env.gdt.limit", FIELD_RESTORED, "through LGDT"},
    {"cpu/env.idt.base", FIELD_RESTORED, "through LIDT"},
    {"cpu/env.idt.limit", FIELD_RESTORED, "through LIDT"},
    {"cpu/env.cr[*", FIELD_RESTORED, "control register"},
    {"cpu/env.dr[4]", FIELD_IRRELEVANT, "another name of DR6, never used by QEMU"},
    {"cpu/env.dr[5]", FIELD_IRRELEVANT, "another name of DR7, never used by QEMU"},
    {"cpu/env.dr[*", FIELD_RESTORED, "debug register"},
    {"cpu/env.efer", FIELD_RESTORED, "by WRMSR, before the guest's page tables are used"},

    /* The list of MSRs. */
    {"cpu/env.sysenter_*", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/env.star", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/env.lstar", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/env.cstar", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/env.fmask", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/env.kernelgsbase", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/env.tsc_aux", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/env.pat", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/env.mtrr_*", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/msr_ia32_misc_enable/*", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/env.mcg_status", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/env.mcg_ctl", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/env.mce_banks[*", FIELD_RESTORED,
     "by the list of MSRs; CPUs let only 0 be written to a status"},
    {"cpu/mcg_ext_ctl/*", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/env.vm_hsave", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/amd_tsc_scale_msr/*", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/msr_hwcr/*", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/spec_ctrl/*", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/virt_ssbd/*", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/msr_tsx_ctrl/*", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/umwait/*", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/xss/*", FIELD_RESTORED,
     "by the list of MSRs; the states that it enables are MSRs themselves"},
    {"cpu/msr_xfd/*", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/pkrs/*", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/cet/cpu/cet_shstk/env.guest_ssp", FIELD_DERIVED,
     "the return to CPL 3 loads it from PL3_SSP"},
    {"cpu/cet/*", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/pl0_ssp/*", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/fred/*", FIELD_RESTORED,
     "by the list of MSRs; a guest that has CR4.FRED set is refused when snapshotting"},
    {"cpu/env.tsc", FIELD_RESTORED, "by the list of MSRs under KVM; TCG's comes with the devices"},
    {"cpu/msr_tsc_adjust/*", FIELD_RESTORED, "by the list of MSRs, before the TSC; TCG has none"},
    {"cpu/msr_tscdeadline/*", FIELD_RESTORED, "by the list of MSRs, last; TCG has none"},
    {"cpu/msr_architectural_pmu/env.msr_global_ovf_ctrl", FIELD_IRRELEVANT,
     "a command to clear flags, which holds nothing"},
    {"cpu/msr_architectural_pmu/*", FIELD_RESTORED,
     "by the list of MSRs; what counts goes on, and its status only the hardware sets"},
    {"cpu/env.system_time_msr", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/env.wall_clock_msr", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/async_pf_msr/*", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/async_pf_int_msr/*", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/async_pv_eoi_msr/*", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/steal_time_msr/*", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/poll_control_msr/*", FIELD_RESTORED, "by the list of MSRs under KVM; under TCG always 0"},
    {"cpu/msr_hyperv_runtime/*", FIELD_IRRELEVANT,
     "read-only time that the vCPU ran, for statistics"},
    {"cpu/msr_hyperv_hypercall/*", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/msr_hyperv_vapic/*", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/msr_hyperv_time/*", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/msr_hyperv_crash/*", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/msr_hyperv_synic/*", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/msr_hyperv_stimer/*", FIELD_RESTORED, "by the list of MSRs"},
    {"cpu/msr_hyperv_reenlightenment/*", FIELD_RESTORED, "by the list of MSRs"},

    /* What follows from that. */
    {"cpu/env.hflags", FIELD_DERIVED,
     "QEMU's digest of CR0, CR4, EFER, RFLAGS and the segments; an interrupt shadow is made again "
     "by the instruction that made it"},
    {"cpu/env.hflags2", FIELD_DERIVED,
     "QEMU's digest; NMIs are blocked again by an NMI that the trampoline takes and does not "
     "return from"},
    {"cpu/env.xstate_bv", FIELD_DERIVED, "set by XRSTOR under KVM; unused under TCG"},
    {"cpu/env.fpregs_format_vmstate", FIELD_DERIVED, "the form of the stream; always 0"},
    {"cpu/env.exception_nr", FIELD_DERIVED,
     "the instruction at RIP raises a fault again; other exceptions are refused when snapshotting"},
    {"cpu/env.interrupt_injected", FIELD_DERIVED,
     "an interrupt that KVM was delivering: the splice gives it back to the local APIC"},
    {"cpu/env.nmi_*", FIELD_DERIVED,
     "a pending NMI of KVM: the splice puts it among the interrupt lines, where TCG's is"},

    /* What means nothing. */
    {"cpu/env.gdt.*", FIELD_IRRELEVANT, "GDTR has neither selector nor access rights"},
    {"cpu/env.idt.*", FIELD_IRRELEVANT, "IDTR has neither selector nor access rights"},
    {"cpu/env.mp_state", FIELD_IRRELEVANT,
     "a halted vCPU goes on after its HLT; of those that wait to be started the section is the "
     "source's"},
    {"cpu/env.soft_interrupt", FIELD_IRRELEVANT,
     "tells something only of an interrupt that is being delivered"},
    {"cpu/env.has_error_code", FIELD_IRRELEVANT,
     "tells something only of an exception that is being delivered"},
    {"cpu/env.sipi_vector", FIELD_IRRELEVANT, "tells something only while waiting for SIPI"},
    {"cpu/pdptrs/*", FIELD_IRRELEVANT, "used by PAE paging only, not in long mode"},
    {"cpu/msr_smi_count/*", FIELD_IRRELEVANT, "read-only count of SMIs, for statistics"},

    /* What is not restored: source and parked target must agree. */
    {"cpu/exception_info/*", FIELD_MUST_EQUAL, "a pending exception of a nested guest"},
    {"cpu/triple_fault/*", FIELD_MUST_EQUAL, "a pending triple fault: the guest is at its end"},
    {"cpu/env.a20_mask", FIELD_MUST_EQUAL, "the A20 gate belongs to the chipset"},
    {"cpu/env.smbase", FIELD_MUST_EQUAL, "set by the firmware, in SMM only"},
    {"cpu/env.vm_vmcb", FIELD_MUST_EQUAL, "a nested guest of AMD's virtualization"},
    {"cpu/env.tsc_offset", FIELD_MUST_EQUAL, "a nested guest of AMD's virtualization"},
    {"cpu/env.intercept*", FIELD_MUST_EQUAL, "a nested guest of AMD's virtualization"},
    {"cpu/env.v_tpr", FIELD_MUST_EQUAL,
     "a second copy of CR8 for AMD nested virtualization: its low 4 bits are not compared"},
    {"cpu/svm_guest/*", FIELD_MUST_EQUAL,
     "its low 4 bits are a second copy of CR8 and not compared; the rest is a nested guest of "
     "AMD's virtualization"},
    {"cpu/svn_npt/*", FIELD_MUST_EQUAL, "a nested guest of AMD's virtualization"},
    {"cpu/nested_state/*", FIELD_MUST_EQUAL, "a nested guest, which the kernel of the host holds"},
    {"cpu/env.mcg_cap", FIELD_MUST_EQUAL, "read-only: it is the CPU model's"},
    {"cpu/tsc_khz/*", FIELD_MUST_EQUAL, "the TSC's frequency is the machine's"},
    {"cpu/msr_ia32_feature_control/*", FIELD_MUST_EQUAL,
     "locked by the firmware until the next reset"},
    {"cpu/intel_sgx/*", FIELD_MUST_EQUAL, "locked by the firmware until the next reset"},
    {"cpu/intel_pt/*", FIELD_MUST_EQUAL, "processor trace writes to memory while it is enabled"},
    {"cpu/arch_lbr/*", FIELD_MUST_EQUAL,
     "branch records: the branches of the trampoline would be among them"},
    {"cpu/xen_vcpu/*", FIELD_MUST_EQUAL,
     "the Xen interface's state is kept outside of any register"},
    {"cpu/efer32/*", FIELD_MUST_EQUAL, "of QEMU for 32-bit guests"},
};

/* A '*' may stand at the end only: that is all the table needs. */
static bool fits(const char *pattern, const char *path)
{
    size_t length = strlen(pattern);
    if (pattern[length - 1] == '*')
        return strncmp(pattern, path, length - 1) == 0;
    return strcmp(pattern, path) == 0;
}

const struct qemu_field_row *qemu_field_table(size_t *ret_count)
{
    *ret_count = sizeof(table) / sizeof(table[0]);
    return table;
}

enum field_class qemu_field_class(const char *path, const char **reason)
{
    enum field_class class = FIELD_CARRIED;
    const char *why = "comes with the snapshot's device sections";
    if (strncmp(path, "cpu/", 4) == 0 || strncmp(path, "cpu_common/", 11) == 0) {
        class = FIELD_UNKNOWN;
        why = "this version does not know the field";
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
            if (fits(table[i].pattern, path)) {
                class = table[i].class;
                why = table[i].reason;
                break;
            }
        }
    }
    if (reason != NULL)
        *reason = why;
    return class;
}

enum field_class qemu_field_class_between(uint32_t accel, const struct vmdesc_field *source,
                                          const struct vmdesc_field *target, const char **reason)
{
    enum field_class class = qemu_field_class(source != NULL ? source->path : target->path, reason);
    if (class != FIELD_RESTORED || !qemu_msr_left_out(accel, source, target))
        return class;
    if (reason != NULL)
        *reason = "the source has the value that a reset leaves, and then it is not loaded";
    return FIELD_MUST_EQUAL;
}

const char *qemu_field_class_name(enum field_class class)
{
    static const char *const names[] = {
        [FIELD_RESTORED] = "restored",     [FIELD_DERIVED] = "derived",
        [FIELD_CARRIED] = "carried",       [FIELD_MUST_EQUAL] = "must equal",
        [FIELD_IRRELEVANT] = "irrelevant", [FIELD_UNKNOWN] = "unknown",
    };
    return (unsigned)class < sizeof(names) / sizeof(names[0]) ? names[class] : "unknown";
}
