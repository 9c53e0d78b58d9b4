/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "qemu_fields.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* The first pattern that fits decides. A '*' ends a prefix. */
static const struct {
    const char *pattern;
    enum field_class class;
    const char *reason;
} table[] = {
    {"cpu_common/halted", FIELD_IRRELEVANT,
     "a halted vCPU goes on after its HLT, as after a spurious wake-up"},
    {"cpu_common/interrupt_request", FIELD_DERIVED,
     "the interrupt lines: the splice takes them from the source, with the controllers"},
    {"cpu_common/*", FIELD_MUST_EQUAL, "a pending exception or a crashed guest is not restored"},

    /* What the trampoline loads. */
    {"cpu/env.regs[*", FIELD_RESTORED, "general register"},
    {"cpu/env.eip", FIELD_RESTORED, "loaded by the landing"},
    {"cpu/env.eflags", FIELD_RESTORED, "loaded by the landing"},
    {"cpu/env.fpuc", FIELD_RESTORED, "through XRSTOR"},
    {"cpu/env.fpus_vmstate", FIELD_RESTORED, "through XRSTOR"},
    {"cpu/env.fptag_vmstate", FIELD_RESTORED, "through XRSTOR"},
    {"cpu/env.fpregs[*", FIELD_RESTORED, "through XRSTOR"},
    {"cpu/fpop_ip_dp/*", FIELD_RESTORED,
     "through XRSTOR; TCG's does not load them, and FNINIT before it leaves none of the "
     "firmware's"},
    {"cpu/env.mxcsr", FIELD_RESTORED, "through XRSTOR"},
    {"cpu/env.xmm_regs*", FIELD_RESTORED, "through XRSTOR"},
    {"cpu/avx512/*", FIELD_RESTORED, "through XRSTOR, when XCR0 has it"},
    {"cpu/mpx/env.bnd*", FIELD_RESTORED, "through XRSTOR, when XCR0 has it"},
    {"cpu/pkru/*", FIELD_RESTORED, "through XRSTOR, when XCR0 has it"},
    {"cpu/env.xcr0", FIELD_RESTORED, "through XSETBV"},
    {"cpu/env.segs[*", FIELD_RESTORED, "selector loaded from the guest's GDT, base from its MSR"},
    {"cpu/env.ldt.*", FIELD_RESTORED, "through LLDT"},
    {"cpu/env.tr.*", FIELD_RESTORED, "through LTR from a copy of the guest's GDT"},
    {"cpu/env.gdt.base", FIELD_RESTORED, "through LGDT"},
    {"cpu/env.gdt.limit", FIELD_RESTORED, "through LGDT"},
    {"cpu/env.idt.base", FIELD_RESTORED, "through LIDT"},
    {"cpu/env.idt.limit", FIELD_RESTORED, "through LIDT"},
    {"cpu/env.cr[*", FIELD_RESTORED, "control register"},
    {"cpu/env.dr[4]", FIELD_IRRELEVANT, "another name of DR6, never used by QEMU"},
    {"cpu/env.dr[5]", FIELD_IRRELEVANT, "another name of DR7, never used by QEMU"},
    {"cpu/env.dr[*", FIELD_RESTORED, "debug register"},
    {"cpu/env.sysenter_*", FIELD_RESTORED, "through WRMSR"},
    {"cpu/env.efer", FIELD_RESTORED, "through WRMSR"},
    {"cpu/env.star", FIELD_RESTORED, "through WRMSR"},
    {"cpu/env.lstar", FIELD_RESTORED, "through WRMSR"},
    {"cpu/env.cstar", FIELD_RESTORED, "through WRMSR"},
    {"cpu/env.fmask", FIELD_RESTORED, "through WRMSR"},
    {"cpu/env.kernelgsbase", FIELD_RESTORED, "through WRMSR"},
    {"cpu/env.tsc_aux", FIELD_RESTORED, "through WRMSR"},
    {"cpu/env.pat", FIELD_RESTORED, "through WRMSR"},

    /* What follows from that. */
    {"cpu/env.hflags", FIELD_DERIVED, "QEMU's digest of CR0, CR4, EFER, RFLAGS and the segments"},
    {"cpu/env.hflags2", FIELD_DERIVED, "QEMU's digest; blocked NMIs are refused when snapshotting"},
    {"cpu/env.xstate_bv", FIELD_DERIVED, "set by XRSTOR under KVM; unused under TCG"},
    {"cpu/env.fpregs_format_vmstate", FIELD_DERIVED, "the form of the stream; always 0"},

    /* What means nothing. */
    {"cpu/env.gdt.*", FIELD_IRRELEVANT, "GDTR has neither selector nor access rights"},
    {"cpu/env.idt.*", FIELD_IRRELEVANT, "IDTR has neither selector nor access rights"},
    {"cpu/env.mp_state", FIELD_IRRELEVANT,
     "a halted vCPU goes on after its HLT; other run states are refused when snapshotting"},
    {"cpu/env.soft_interrupt", FIELD_IRRELEVANT, "tells something only of an injected event"},
    {"cpu/env.has_error_code", FIELD_IRRELEVANT, "tells something only of an injected event"},
    {"cpu/env.sipi_vector", FIELD_IRRELEVANT, "tells something only while waiting for SIPI"},
    {"cpu/pdptrs/*", FIELD_IRRELEVANT, "used by PAE paging only, not in long mode"},

    /* What this version does not restore. */
    {"cpu/env.interrupt_injected", FIELD_MUST_EQUAL, "injected events are not restored"},
    {"cpu/env.exception_nr", FIELD_MUST_EQUAL, "injected events are not restored"},
    {"cpu/env.nmi_*", FIELD_MUST_EQUAL, "pending NMIs are not restored"},
    {"cpu/exception_info/*", FIELD_MUST_EQUAL, "pending exceptions are not restored"},
    {"cpu/triple_fault/*", FIELD_MUST_EQUAL, "a pending triple fault is not restored"},
    {"cpu/env.a20_mask", FIELD_MUST_EQUAL, "the A20 gate is not restored"},
    {"cpu/env.smbase", FIELD_MUST_EQUAL, "set by the firmware"},
    {"cpu/env.vm_*", FIELD_MUST_EQUAL, "AMD nested virtualization is not restored"},
    {"cpu/env.tsc_offset", FIELD_MUST_EQUAL, "AMD nested virtualization is not restored"},
    {"cpu/env.intercept*", FIELD_MUST_EQUAL, "AMD nested virtualization is not restored"},
    {"cpu/env.v_tpr", FIELD_MUST_EQUAL,
     "a second copy of CR8 for AMD nested virtualization: its low 4 bits are not compared"},
    {"cpu/svm_guest/env.int_ctl", FIELD_MUST_EQUAL,
     "its low 4 bits are a second copy of CR8 and not compared; AMD nested virtualization is not "
     "restored"},
    {"cpu/svm_*", FIELD_MUST_EQUAL, "AMD nested virtualization is not restored"},
    {"cpu/svn_npt/*", FIELD_MUST_EQUAL, "AMD nested virtualization is not restored"},
    {"cpu/nested_state/*", FIELD_MUST_EQUAL, "nested virtualization is not restored"},
    {"cpu/env.mtrr_*", FIELD_MUST_EQUAL, "set by the firmware"},
    {"cpu/env.mcg_*", FIELD_MUST_EQUAL, "machine check registers are not restored"},
    {"cpu/env.mce_*", FIELD_MUST_EQUAL, "machine check registers are not restored"},
    {"cpu/mcg_ext_ctl/*", FIELD_MUST_EQUAL, "machine check registers are not restored"},
    {"cpu/env.tsc", FIELD_MUST_EQUAL, "KVM's TSC is not restored; TCG's comes with the devices"},
    {"cpu/tsc_khz/*", FIELD_MUST_EQUAL, "the TSC's frequency is the machine's"},
    {"cpu/msr_tsc*", FIELD_MUST_EQUAL, "this MSR is not restored"},
    {"cpu/env.system_time_msr", FIELD_MUST_EQUAL, "KVM's clock MSRs are not restored"},
    {"cpu/env.wall_clock_msr", FIELD_MUST_EQUAL, "KVM's clock MSRs are not restored"},
    {"cpu/async_p*", FIELD_MUST_EQUAL, "KVM's paravirtual MSRs are not restored"},
    {"cpu/steal_time_msr/*", FIELD_MUST_EQUAL, "KVM's paravirtual MSRs are not restored"},
    {"cpu/poll_control_msr/*", FIELD_MUST_EQUAL, "KVM's paravirtual MSRs are not restored"},
    {"cpu/xen_vcpu/*", FIELD_MUST_EQUAL, "the Xen interface's state is not restored"},
    {"cpu/xss/*", FIELD_MUST_EQUAL, "supervisor states of XSAVE are not restored"},
    {"cpu/msr_xfd/*", FIELD_MUST_EQUAL, "AMX is not restored"},
    {"cpu/intel_amx_xtile/*", FIELD_MUST_EQUAL, "AMX is not restored"},
    {"cpu/amx_xtile/*", FIELD_MUST_EQUAL, "AMX is not restored"},
    {"cpu/pkrs/*", FIELD_MUST_EQUAL, "this MSR is not restored"},
    {"cpu/mpx/env.msr_bndcfgs", FIELD_MUST_EQUAL, "this MSR is not restored"},
    {"cpu/msr_*", FIELD_MUST_EQUAL, "this MSR is not restored"},
    {"cpu/intel_pt/*", FIELD_MUST_EQUAL, "processor trace is not restored"},
    {"cpu/intel_sgx/*", FIELD_MUST_EQUAL, "SGX is not restored"},
    {"cpu/arch_lbr/*", FIELD_MUST_EQUAL, "branch records are not restored"},
    {"cpu/umwait/*", FIELD_MUST_EQUAL, "this MSR is not restored"},
    {"cpu/spec_ctrl/*", FIELD_MUST_EQUAL, "this MSR is not restored"},
    {"cpu/virt_ssbd/*", FIELD_MUST_EQUAL, "this MSR is not restored"},
    {"cpu/fred/*", FIELD_MUST_EQUAL, "FRED is not restored"},
};

/* A '*' may stand at the end only: that is all the table needs. */
static bool fits(const char *pattern, const char *path)
{
    size_t length = strlen(pattern);
    if (pattern[length - 1] == '*')
        return strncmp(pattern, path, length - 1) == 0;
    return strcmp(pattern, path) == 0;
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

const char *qemu_field_class_name(enum field_class class)
{
    static const char *const names[] = {
        [FIELD_RESTORED] = "restored",     [FIELD_DERIVED] = "derived",
        [FIELD_CARRIED] = "carried",       [FIELD_MUST_EQUAL] = "must equal",
        [FIELD_IRRELEVANT] = "irrelevant", [FIELD_UNKNOWN] = "unknown",
    };
    return (unsigned)class < sizeof(names) / sizeof(names[0]) ? names[class] : "unknown";
}
