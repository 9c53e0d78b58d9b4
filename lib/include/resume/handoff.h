/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The handoff: what the planner (C) leaves for the trampoline (assembly), and where things lie in
 * the home. docs/HANDOFF.md explains it. The trampoline's view of this file is generated from it
 * at build time (trampoline/offsets.c); there is no second list.
 */
#ifndef RESUME_HANDOFF_H
#define RESUME_HANDOFF_H

#include <resume/state.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Layout of the home, in bytes from its start. Everything below the landing, which ends
 * the home, is refilled by the landing's first instruction; the landing itself is what remains.
 */
#define RESUME_HOME_HANDOFF 0x0000u /* struct resume_handoff */
#define RESUME_HOME_XSAVE 0x1000u   /* XSAVE image, at most one page */
#define RESUME_HOME_GDT                                                                            \
    0x2000u /* the GDT while the trampoline runs: a copy of the guest's, one page */
#define RESUME_HOME_SYSTEM                                                                         \
    0x3000u /* the GDT goes on with the trampoline's descriptors; its IDT; its stack, from the end */
#define RESUME_HOME_CODE 0x4000u   /* the trampoline, at most two pages */
#define RESUME_HOME_TABLES 0x6000u /* page tables that map the home at its guest address */
#define RESUME_HOME_LANDING_MAX 128u
#define RESUME_HOME_LENGTH 0x10000u

#define RESUME_HOME_OWN_IDT (RESUME_HOME_SYSTEM + 0x100u) /* 32 gates */
#define RESUME_HOME_STACK_TOP (RESUME_HOME_SYSTEM + 0x1000u)
#define RESUME_HOME_TABLE_PAGES 9u
/* Selectors beyond any guest's, so that faults are reported whether the copy is there or not. */
#define RESUME_OWN_CS 0x1008u
#define RESUME_OWN_DS 0x1010u
#define RESUME_OWN_GDT_LIMIT 0x1017u

#define RESUME_HANDOFF_MAGIC UINT64_C(0x46464f444e41484d) /* "MHANDOFF" */
#define RESUME_HANDOFF_VERSION 1u

/* How far a vCPU has come; written to `stage`, quoted in fault reports. */
enum resume_stage {
    RESUME_STAGE_NONE = 0,
    RESUME_STAGE_ENTER = 1,    /* left the firmware, copying the home into place */
    RESUME_STAGE_PARKED = 2,   /* waiting for `go` */
    RESUME_STAGE_MODES = 3,    /* CR4, EFER, CR0 */
    RESUME_STAGE_FPU = 4,      /* XCR0, XRSTOR */
    RESUME_STAGE_MSRS = 5,     /* the MSR list */
    RESUME_STAGE_DEBUG = 6,    /* DR0-3, DR6 */
    RESUME_STAGE_PAGING = 7,   /* the guest's CR3 and CR4 */
    RESUME_STAGE_SEGMENTS = 8, /* GDT copy, LTR, LLDT, selectors, bases */
    RESUME_STAGE_LAST = 9      /* CR2, CR8, DR7; then the guest's IDT and GDT */
};

/* Flags of a handoff. */
#define RESUME_HANDOFF_XSETBV UINT32_C(1)     /* the CPU has XCR0: load it */
#define RESUME_HANDOFF_DEBUG_PORT UINT32_C(2) /* debug_port takes text */
#define RESUME_HANDOFF_XRSTOR UINT32_C(8)     /* XCR0 enables SSE at least: XRSTOR, else FXRSTOR */
#define RESUME_HANDOFF_KERNEL_CS                                                                   \
    UINT32_C(4) /* load the guest's CS before landing (CPL 0, 64-bit) */

/* The most MSRs that the trampoline loads. */
#define RESUME_HANDOFF_MSRS 32u

/* Operand of LGDT and LIDT. */
struct resume_table_register {
    uint16_t pad[3]; /* so that base is 8-byte aligned; the operand starts at limit */
    uint16_t limit;
    uint64_t base;
};

/* What a fault in the trampoline looked like. */
struct resume_fault {
    uint64_t vector;
    uint64_t error;
    uint64_t rip;
    uint64_t cr2;
};

struct resume_handoff {
    uint64_t magic;
    uint32_t version;
    uint32_t size;  /* sizeof(struct resume_handoff) */
    uint32_t go;    /* 0 = stay parked; anything else = restore and leave */
    uint32_t stage; /* enum resume_stage */
    uint32_t flags; /* RESUME_HANDOFF_* */
    uint16_t debug_port;
    uint16_t reserved;

    uint64_t home_va;
    uint64_t home_pa;
    uint64_t home_length;
    uint64_t tables_cr3; /* the tables at RESUME_HOME_TABLES */

    /* For the landing. */
    uint64_t landing_va;    /* its first instruction, the refill */
    uint64_t landing_rsp;   /* RSP while it runs */
    uint64_t landing_flags; /* RFLAGS while it runs: IF and TF clear, DF clear */
    uint64_t landing_rax;   /* CR0 with the fill byte in its low byte */
    uint64_t refill_length; /* bytes from home_va up to the landing */
    uint64_t leave_va;      /* its last instruction, the one that enters the guest */

    /* The guest. */
    uint64_t gpr[RESUME_GPR_COUNT];
    uint64_t rip;
    uint64_t rflags;
    uint64_t cr0;
    uint64_t cr2;
    uint64_t cr3;
    uint64_t cr4;
    uint64_t cr8;
    uint64_t efer;
    uint64_t xcr0;
    uint64_t dr[4];
    uint64_t dr6;
    uint64_t dr7;
    uint64_t fs_base;
    uint64_t gs_base;
    uint16_t selector[8]; /* ES CS SS DS FS GS LDTR TR, as enum resume_seg */
    struct resume_table_register gdtr;
    struct resume_table_register idtr;

    /* Interim values, computed by the planner so that the trampoline decides nothing. */
    uint64_t modes_cr0; /* guest's CR0 without WP, TS, EM, AM, CD, NW */
    uint64_t modes_cr4; /* PAE and what XRSTOR needs, no PGE, no PCIDE */
    uint64_t bare_cr3;  /* guest's CR3 without its low 12 bits */
    struct resume_table_register own_gdtr;
    struct resume_table_register own_idtr;

    struct resume_fault fault;

    uint32_t msr_count;
    uint32_t reserved2;
    struct resume_msr msr[RESUME_HANDOFF_MSRS];
};

/*
 * The way from the firmware's address space into the home. Lies in the staging area, identity
 * mapped by the firmware's tables and by the transit tables.
 */
struct resume_transit {
    uint64_t cr3;      /* transit tables: staging and home identity mapped, home also at its VA */
    uint64_t cr4;      /* CR4 while in transit */
    uint64_t image_pa; /* the prepared home */
    uint64_t home_pa;
    uint64_t home_va;
    uint64_t home_length;
};

/* First bytes of the trampoline binary. All offsets are from its start. */
struct resume_trampoline_header {
    uint64_t magic;
    uint32_t version; /* RESUME_HANDOFF_VERSION */
    uint32_t size;
    uint32_t enter; /* code: void enter(struct resume_transit *) in RDI, never returns */
    uint32_t park;  /* code: entered at its guest address, on the home's tables or the transit's */
    uint32_t vectors;     /* 32 exception entries */
    uint32_t vector_size; /* bytes from one to the next */
};
#define RESUME_TRAMPOLINE_MAGIC UINT64_C(0x504d4152544d5352) /* "RSMTRAMP" */

#ifdef __cplusplus
static_assert(sizeof(struct resume_handoff) <= 0x1000, "the handoff has one page");
#else
_Static_assert(sizeof(struct resume_handoff) <= 0x1000, "the handoff has one page");
#endif

#ifdef __cplusplus
}
#endif
#endif
