/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Prints the trampoline's view of the C structures: the only source of offsets for the assembly. */
#include <stddef.h>
#include <stdio.h>

#include <resume/handoff.h>

#define CONSTANT(name) printf("%%define " #name " %llu\n", (unsigned long long)(name))
#define OFFSET(prefix, type, field)                                                                \
    printf("%%define " #prefix "_" #field " %llu\n",                                               \
           (unsigned long long)offsetof(struct type, field))
#define CONTROL(field) OFFSET(CONTROL, resume_control, field)
#define HANDOFF(field) OFFSET(HANDOFF, resume_handoff, field)
#define TRANSIT(field) OFFSET(TRANSIT, resume_transit, field)
#define STARTUP(field) OFFSET(STARTUP, resume_startup, field)

int main(void)
{
    CONSTANT(RESUME_HOME_CONTROL);
    CONSTANT(RESUME_HOME_LAST);
    CONSTANT(RESUME_HOME_CODE);
    CONSTANT(RESUME_HOME_BLOCKS);
    CONSTANT(RESUME_BLOCK_HANDOFF);
    CONSTANT(RESUME_BLOCK_MSRS);
    CONSTANT(RESUME_BLOCK_STACK_TOP);
    CONSTANT(RESUME_BLOCK_XSAVE);
    CONSTANT(RESUME_OWN_CS);
    CONSTANT(RESUME_OWN_DS);
    CONSTANT(RESUME_OWN_LDT);
    CONSTANT(RESUME_HANDOFF_VERSION);
    CONSTANT(RESUME_TRAMPOLINE_MAGIC);
    CONSTANT(RESUME_TRANSIT_DS);
    CONSTANT(RESUME_TRANSIT_MOVING);
    CONSTANT(RESUME_PAGE_SHIFT);
    CONSTANT(RESUME_HANDOFF_ACTIVE);
    CONSTANT(RESUME_HANDOFF_XSETBV);
    CONSTANT(RESUME_HANDOFF_XRSTOR);
    CONSTANT(RESUME_HANDOFF_KERNEL_CS);
    CONSTANT(RESUME_HANDOFF_OWN_LDT);
    CONSTANT(RESUME_HANDOFF_BLOCK_NMI);
    CONSTANT(RESUME_HANDOFF_LAST_OUT);
    CONSTANT(RESUME_STAGE_NONE);
    CONSTANT(RESUME_STAGE_ENTER);
    CONSTANT(RESUME_STAGE_PARKED);
    CONSTANT(RESUME_STAGE_MODES);
    CONSTANT(RESUME_STAGE_FPU);
    CONSTANT(RESUME_STAGE_MSRS);
    CONSTANT(RESUME_STAGE_DEBUG);
    CONSTANT(RESUME_STAGE_SEGMENTS);
    CONSTANT(RESUME_STAGE_PAGING);
    CONSTANT(RESUME_STAGE_READ_BACK);
    CONSTANT(RESUME_STAGE_BARRIER);
    CONSTANT(RESUME_STAGE_LAST);
    CONSTANT(RESUME_STAGE_FAILED);
    CONSTANT(RESUME_LEDGER_PREFIX);
    CONSTANT(RESUME_LEDGER_EXACT);
    CONSTANT(RESUME_LEDGER_REFUSED);
    CONSTANT(RESUME_LEDGER_APPROXIMATE);
    CONSTANT(RESUME_LEDGER_DIFFERENT);
    CONSTANT(RESUME_LEDGER_CR0);
    CONSTANT(RESUME_LEDGER_CR2);
    CONSTANT(RESUME_LEDGER_CR3);
    CONSTANT(RESUME_LEDGER_CR4);
    CONSTANT(RESUME_LEDGER_CR8);
    CONSTANT(RESUME_LEDGER_EFER);
    CONSTANT(RESUME_LEDGER_XCR0);
    CONSTANT(RESUME_LEDGER_DR0);
    CONSTANT(RESUME_LEDGER_DR1);
    CONSTANT(RESUME_LEDGER_DR2);
    CONSTANT(RESUME_LEDGER_DR3);
    CONSTANT(RESUME_LEDGER_DR6);
    CONSTANT(RESUME_LEDGER_DR7);
    CONSTANT(RESUME_LEDGER_ES);
    CONSTANT(RESUME_LEDGER_CS);
    CONSTANT(RESUME_LEDGER_SS);
    CONSTANT(RESUME_LEDGER_DS);
    CONSTANT(RESUME_LEDGER_FS);
    CONSTANT(RESUME_LEDGER_GS);
    CONSTANT(RESUME_LEDGER_LDTR);
    CONSTANT(RESUME_LEDGER_TR);
    CONSTANT(RESUME_LEDGER_FS_BASE);
    CONSTANT(RESUME_LEDGER_GS_BASE);
    CONSTANT(RESUME_LEDGER_XSAVE);
    CONSTANT(RESUME_LEDGER_COUNT);
    CONSTANT(RESUME_MSR_OPTIONAL);
    CONSTANT(RESUME_MSR_EFER);
    CONSTANT(RESUME_MSR_FS_BASE);
    CONSTANT(RESUME_MSR_GS_BASE);
    CONSTANT(RESUME_ES);
    CONSTANT(RESUME_CS);
    CONSTANT(RESUME_SS);
    CONSTANT(RESUME_DS);
    CONSTANT(RESUME_FS);
    CONSTANT(RESUME_GS);
    CONSTANT(RESUME_LDTR);
    CONSTANT(RESUME_TR);
    CONSTANT(RESUME_RAX);
    CONSTANT(RESUME_RCX);
    CONSTANT(RESUME_RDX);
    CONSTANT(RESUME_RBX);
    CONSTANT(RESUME_RBP);
    CONSTANT(RESUME_RSI);
    CONSTANT(RESUME_RDI);
    CONSTANT(RESUME_R8);
    CONSTANT(RESUME_R9);
    CONSTANT(RESUME_R10);
    CONSTANT(RESUME_R11);
    CONSTANT(RESUME_R12);
    CONSTANT(RESUME_R13);
    CONSTANT(RESUME_R14);
    CONSTANT(RESUME_R15);

    printf("%%define TABLE_REGISTER_OPERAND %llu\n",
           (unsigned long long)offsetof(struct resume_table_register, limit));
    printf("%%define MSR_SIZE %llu\n", (unsigned long long)sizeof(struct resume_msr));
    printf("%%define MSR_INDEX %llu\n", (unsigned long long)offsetof(struct resume_msr, index));
    printf("%%define MSR_FLAGS %llu\n", (unsigned long long)offsetof(struct resume_msr, flags));
    printf("%%define MSR_VALUE %llu\n", (unsigned long long)offsetof(struct resume_msr, value));
    printf("%%define STEP_SIZE %llu\n", (unsigned long long)sizeof(struct resume_placement_step));
    OFFSET(STEP, resume_placement_step, source);
    OFFSET(STEP, resume_placement_step, destination);
    OFFSET(STEP, resume_placement_step, pages);
    OFFSET(LAST, resume_placement_last, count);
    OFFSET(LAST, resume_placement_last, steps);
    OFFSET(LIST, resume_placement_list, steps);
    OFFSET(LIST, resume_placement_list, count);
    printf("%%define SPAN_SIZE %llu\n", (unsigned long long)sizeof(struct resume_span));
    printf("%%define SPAN_OFFSET %llu\n", (unsigned long long)offsetof(struct resume_span, offset));
    printf("%%define SPAN_LENGTH %llu\n", (unsigned long long)offsetof(struct resume_span, length));

    CONTROL(go);
    CONTROL(vcpu_count);
    CONTROL(active_count);
    CONTROL(block_length);
    CONTROL(xsave_length);
    CONTROL(debug);
    CONTROL(debug_port);
    CONTROL(discreet);
    CONTROL(tables_cr3);
    CONTROL(own_idtr);
    CONTROL(parked);
    CONTROL(restored);
    CONTROL(failed);
    CONTROL(console);
    CONTROL(moving);

    HANDOFF(flags);
    HANDOFF(stage);
    HANDOFF(index);
    HANDOFF(apic_id);
    HANDOFF(landing_rsp);
    HANDOFF(landing_gpr);
    HANDOFF(cr2);
    HANDOFF(cr3);
    HANDOFF(cr8);
    HANDOFF(efer);
    HANDOFF(xcr0);
    HANDOFF(dr);
    HANDOFF(dr6);
    HANDOFF(dr7);
    HANDOFF(fs_base);
    HANDOFF(gs_base);
    HANDOFF(selector);
    HANDOFF(gdtr);
    HANDOFF(idtr);
    HANDOFF(modes_cr0);
    HANDOFF(modes_cr4);
    HANDOFF(paging_cr3);
    HANDOFF(paging_cr4);
    HANDOFF(own_gdtr);
    HANDOFF(msr_count);
    HANDOFF(span_count);
    HANDOFF(span);
    HANDOFF(nmi_return);
    HANDOFF(fault);
    HANDOFF(differs_field);
    HANDOFF(differs_wanted);
    HANDOFF(differs_got);
    HANDOFF(line_length);
    HANDOFF(line);

    TRANSIT(cr3);
    TRANSIT(cr4);
    TRANSIT(image_pa);
    TRANSIT(home_pa);
    TRANSIT(home_va);
    TRANSIT(home_length);
    TRANSIT(apic_pa);
    TRANSIT(startup_pa);
    TRANSIT(gdtr);
    TRANSIT(protected_far);
    TRANSIT(long_far);
    TRANSIT(in_place);
    TRANSIT(flags);
    TRANSIT(steps);
    TRANSIT(final);

    printf("%%define STARTUP_SIZE %llu\n", (unsigned long long)sizeof(struct resume_startup));
    STARTUP(entry);
    STARTUP(gdt_limit);
    STARTUP(transit);
    return 0;
}
