/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Prints the trampoline's view of the C structures: the only source of offsets for the assembly. */
#include <stddef.h>
#include <stdio.h>

#include <resume/handoff.h>

#define CONSTANT(name) printf("%%define " #name " %llu\n", (unsigned long long)(name))
#define HANDOFF(field)                                                                             \
    printf("%%define HANDOFF_" #field " %llu\n",                                                   \
           (unsigned long long)offsetof(struct resume_handoff, field))
#define TRANSIT(field)                                                                             \
    printf("%%define TRANSIT_" #field " %llu\n",                                                   \
           (unsigned long long)offsetof(struct resume_transit, field))

int main(void)
{
    CONSTANT(RESUME_HOME_HANDOFF);
    CONSTANT(RESUME_HOME_XSAVE);
    CONSTANT(RESUME_HOME_GDT);
    CONSTANT(RESUME_HOME_CODE);
    CONSTANT(RESUME_HOME_STACK_TOP);
    CONSTANT(RESUME_OWN_CS);
    CONSTANT(RESUME_OWN_DS);
    CONSTANT(RESUME_HANDOFF_VERSION);
    CONSTANT(RESUME_TRAMPOLINE_MAGIC);
    CONSTANT(RESUME_HANDOFF_XSETBV);
    CONSTANT(RESUME_HANDOFF_XRSTOR);
    CONSTANT(RESUME_HANDOFF_DEBUG_PORT);
    CONSTANT(RESUME_HANDOFF_KERNEL_CS);
    CONSTANT(RESUME_STAGE_ENTER);
    CONSTANT(RESUME_STAGE_PARKED);
    CONSTANT(RESUME_STAGE_MODES);
    CONSTANT(RESUME_STAGE_FPU);
    CONSTANT(RESUME_STAGE_MSRS);
    CONSTANT(RESUME_STAGE_DEBUG);
    CONSTANT(RESUME_STAGE_PAGING);
    CONSTANT(RESUME_STAGE_SEGMENTS);
    CONSTANT(RESUME_STAGE_LAST);
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
    CONSTANT(RESUME_RDX);
    CONSTANT(RESUME_RBX);
    CONSTANT(RESUME_RBP);
    CONSTANT(RESUME_RSI);
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
    printf("%%define TABLE_REGISTER_BASE %llu\n",
           (unsigned long long)offsetof(struct resume_table_register, base));
    printf("%%define MSR_SIZE %llu\n", (unsigned long long)sizeof(struct resume_msr));
    printf("%%define MSR_INDEX %llu\n", (unsigned long long)offsetof(struct resume_msr, index));
    printf("%%define MSR_VALUE %llu\n", (unsigned long long)offsetof(struct resume_msr, value));

    HANDOFF(go);
    HANDOFF(stage);
    HANDOFF(flags);
    HANDOFF(debug_port);
    HANDOFF(tables_cr3);
    HANDOFF(landing_va);
    HANDOFF(landing_rsp);
    HANDOFF(landing_flags);
    HANDOFF(landing_rax);
    HANDOFF(refill_length);
    HANDOFF(home_va);
    HANDOFF(gpr);
    HANDOFF(cr2);
    HANDOFF(cr3);
    HANDOFF(cr4);
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
    HANDOFF(bare_cr3);
    HANDOFF(own_gdtr);
    HANDOFF(own_idtr);
    HANDOFF(fault);
    HANDOFF(msr_count);
    HANDOFF(msr);

    TRANSIT(cr3);
    TRANSIT(cr4);
    TRANSIT(image_pa);
    TRANSIT(home_pa);
    TRANSIT(home_va);
    TRANSIT(home_length);
    return 0;
}
