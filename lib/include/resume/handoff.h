/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The handoff: what the planner (C) leaves for the trampoline (assembly), and where things lie in
 * the home. docs/HANDOFF.md explains it. The trampoline's view of this file is generated from it
 * at build time (trampoline/offsets.c); there is no second list.
 *
 * The home holds one part for all vCPUs (struct resume_control, the trampoline, page tables) and
 * one block for each (struct resume_handoff, MSRs, descriptor tables, stack, extended state). At
 * its end each vCPU has a slot for its landing.
 */
#ifndef RESUME_HANDOFF_H
#define RESUME_HANDOFF_H

#include <resume/placement.h>
#include <resume/state.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Layout of the part for all vCPUs, in bytes from the home's start. */
#define RESUME_HOME_CONTROL 0x0000u /* struct resume_control */
#define RESUME_HOME_LAST 0x0200u    /* struct resume_placement_last: the trampoline's copy */
#define RESUME_HOME_OWN_IDT 0x0800u /* the trampoline's IDT: 32 gates */
#define RESUME_HOME_CODE 0x1000u    /* the trampoline, at most three pages */
#define RESUME_HOME_TABLES 0x4000u  /* page tables that map the home at its guest address */
#define RESUME_HOME_TABLE_PAGES 12u
#define RESUME_HOME_BLOCKS 0x10000u /* the blocks, one after the other */

/* Layout of a block, in bytes from its start. Its length depends on the extended state. */
#define RESUME_BLOCK_HANDOFF 0x0000u /* struct resume_handoff */
#define RESUME_BLOCK_MSRS 0x1000u    /* struct resume_msr[], at most one page */
#define RESUME_BLOCK_GDT 0x2000u /* descriptors at the guest's selectors, built by the planner */
#define RESUME_BLOCK_OWN_GDT 0x3000u /* the same GDT goes on: the trampoline's; then its stack */
#define RESUME_BLOCK_STACK_TOP 0x4000u
#define RESUME_BLOCK_LDT 0x4000u   /* descriptors at the guest's selectors, while they are loaded */
#define RESUME_BLOCK_XSAVE 0x5000u /* XSAVE image; as many pages again hold what is read back */

/* Selectors beyond any guest's, so that own and guest's descriptors are there at the same time. */
#define RESUME_OWN_CS 0x1008u
#define RESUME_OWN_DS 0x1010u
#define RESUME_OWN_LDT 0x1018u /* 16 bytes: the LDT in the block */
#define RESUME_OWN_GDT_LIMIT 0x1027u

/* The slots for the landings are the end of the home; vCPU n's is the n-th. */
#define RESUME_LANDING_MAX 256u

/* The most vCPUs in one home. */
#define RESUME_HOME_VCPUS 256u

#define RESUME_CONTROL_MAGIC UINT64_C(0x4c4f52544e4f434d) /* "MCONTROL" */
#define RESUME_HANDOFF_MAGIC UINT64_C(0x46464f444e41484d) /* "MHANDOFF" */
#define RESUME_HANDOFF_VERSION 3u

/* How far a vCPU has come; written to `stage`, quoted in fault reports. */
enum resume_stage {
    RESUME_STAGE_NONE = 0,
    RESUME_STAGE_ENTER = 1,     /* left the firmware, or started by it; finding its block */
    RESUME_STAGE_PARKED = 2,    /* waiting for `go` */
    RESUME_STAGE_MODES = 3,     /* CR4, EFER, CR0 */
    RESUME_STAGE_FPU = 4,       /* XCR0, XRSTOR */
    RESUME_STAGE_MSRS = 5,      /* the MSR list */
    RESUME_STAGE_DEBUG = 6,     /* DR0-3, DR6 */
    RESUME_STAGE_SEGMENTS = 7,  /* LDTR, selectors, TR, bases */
    RESUME_STAGE_PAGING = 8,    /* PCID, CR4, CR8, CR2, DR7 */
    RESUME_STAGE_READ_BACK = 9, /* the ledger */
    RESUME_STAGE_BARRIER = 10,  /* everything restored; waiting for the other vCPUs */
    RESUME_STAGE_LAST = 11,     /* the guest's IDT, GDT, CR3, general registers */
    RESUME_STAGE_FAILED = 12    /* the ledger found a difference; stopped for good */
};

/* What the ledger says of a field: one character each, in the order of enum resume_ledger. */
#define RESUME_LEDGER_UNCHECKED '.'   /* not read back: the CPU has none, or nothing to restore */
#define RESUME_LEDGER_EXACT '='       /* read back as wanted */
#define RESUME_LEDGER_REFUSED 'x'     /* an optional MSR that this CPU does not have */
#define RESUME_LEDGER_APPROXIMATE '~' /* an optional MSR that reads back otherwise */
#define RESUME_LEDGER_DIFFERENT '!'   /* mandatory, reads back otherwise: the resume has stopped */

/*
 * The fields of the ledger, other than the MSRs of the list, which follow them one by one. Names:
 * resume_ledger_name (resume/ledger.h).
 */
enum resume_ledger {
    RESUME_LEDGER_CR0, /* as it is before the landing: modes_cr0 */
    RESUME_LEDGER_CR2,
    RESUME_LEDGER_CR3,
    RESUME_LEDGER_CR4,
    RESUME_LEDGER_CR8,
    RESUME_LEDGER_EFER,
    RESUME_LEDGER_XCR0,
    RESUME_LEDGER_DR0,
    RESUME_LEDGER_DR1,
    RESUME_LEDGER_DR2,
    RESUME_LEDGER_DR3,
    RESUME_LEDGER_DR6,
    RESUME_LEDGER_DR7,
    RESUME_LEDGER_ES,
    RESUME_LEDGER_CS, /* with the flag KERNEL_CS only */
    RESUME_LEDGER_SS, /* likewise */
    RESUME_LEDGER_DS,
    RESUME_LEDGER_FS,
    RESUME_LEDGER_GS,
    RESUME_LEDGER_LDTR,
    RESUME_LEDGER_TR,
    RESUME_LEDGER_FS_BASE,
    RESUME_LEDGER_GS_BASE,
    RESUME_LEDGER_XSAVE, /* x87, SSE and every component that XCR0 enables */
    RESUME_LEDGER_COUNT
};

/* "libresume: ledger cpu=7" and blanks up to here, then the fields. */
#define RESUME_LEDGER_PREFIX 32u

/* Flags of a handoff. */
#define RESUME_HANDOFF_ACTIVE UINT32_C(1) /* this vCPU is resumed; others stay as they are */
#define RESUME_HANDOFF_XSETBV UINT32_C(2) /* the CPU has XCR0: load it */
#define RESUME_HANDOFF_XRSTOR UINT32_C(4) /* XCR0 enables SSE at least: XRSTOR, else FXRSTOR */
#define RESUME_HANDOFF_KERNEL_CS                                                                   \
    UINT32_C(8) /* load the guest's CS, SS before landing (form JUMP) */
#define RESUME_HANDOFF_OWN_LDT UINT32_C(0x10)   /* a selector refers to the LDT */
#define RESUME_HANDOFF_BLOCK_NMI UINT32_C(0x20) /* NMIs are blocked in the guest: block them */
#define RESUME_HANDOFF_LAST_OUT UINT32_C(0x40)  /* leaves last, and refills the home */

/* The most MSRs that the trampoline loads: one page of them. */
#define RESUME_HANDOFF_MSRS 256u

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

/* A range of the XSAVE image that the ledger compares. */
struct resume_span {
    uint32_t offset;
    uint32_t length;
};
#define RESUME_SPANS (RESUME_XCOMP_MAX + 12)

/* For all vCPUs: at the home's start. */
struct resume_control {
    uint64_t magic;
    uint32_t version; /* RESUME_HANDOFF_VERSION */
    uint32_t size;    /* sizeof(struct resume_control) */
    uint32_t go;      /* 0 = stay parked; anything else = restore and leave */
    uint32_t vcpu_count;
    uint32_t active_count; /* vCPUs with the flag ACTIVE */
    uint32_t block_length; /* bytes from one block to the next */
    uint32_t xsave_length; /* bytes of the XSAVE image in a block, whole pages */
    uint32_t debug;        /* 1 = debug_port takes text */
    uint16_t debug_port;
    uint16_t discreet; /* 1 = what goes there has no values of registers */
    uint16_t reserved[2];

    uint64_t home_va;
    uint64_t home_pa;
    uint64_t home_length;
    uint64_t tables_cr3;    /* the tables at RESUME_HOME_TABLES */
    uint64_t refill_length; /* bytes from home_va up to the first slot */
    struct resume_table_register own_idtr;

    /* Counted by the trampoline, atomically. */
    uint32_t parked;
    uint32_t restored;
    uint32_t failed;
    uint32_t left;
    uint32_t console; /* lock of the debug console */

    /* 1 until the guest's memory is all in place; 0 from the beginning when nothing is moved. */
    uint32_t moving;
};

/* For one vCPU: at its block's start. */
struct resume_handoff {
    uint64_t magic;
    uint32_t version; /* RESUME_HANDOFF_VERSION */
    uint32_t size;    /* sizeof(struct resume_handoff) */
    uint32_t flags;   /* RESUME_HANDOFF_* */
    uint32_t stage;   /* enum resume_stage */
    uint32_t index;   /* of the vCPU, in the state blob and in the monitor */
    uint32_t apic_id;

    /* For the landing (resume/landing.h). */
    uint64_t landing_rsp; /* RSP that its first instruction is reached with, by RET */
    uint64_t landing_gpr[RESUME_GPR_COUNT]; /* the guest's, but those that the landing uses */
    uint32_t remains;                       /* offset in its slot of what stays behind */
    uint32_t reserved3;
    uint64_t leave_va;   /* its last instruction, the one that enters the guest */
    uint64_t landing_va; /* its first */

    /* The guest. */
    uint64_t gpr[RESUME_GPR_COUNT];
    uint64_t rip; /* where an interrupt shadow is made again, the landing goes before it */
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
    uint64_t modes_cr0;  /* guest's CR0 without WP, TS, EM, AM, CD, NW */
    uint64_t modes_cr4;  /* guest's CR4 with PGE the other way round, what XRSTOR needs, no CET */
    uint64_t paging_cr4; /* guest's CR4 as it is loaded before the landing: without CET */
    uint64_t paging_cr3; /* tables_cr3 with the guest's PCID */
    struct resume_table_register own_gdtr;

    uint32_t msr_count;  /* entries at RESUME_BLOCK_MSRS */
    uint32_t span_count; /* entries of span[] */
    struct resume_span span[RESUME_SPANS];

    /* Written by the trampoline. */
    uint64_t nmi_return; /* where the NMI that blocks further ones goes on */
    struct resume_fault fault;
    uint32_t differs_field; /* the field that stopped the resume: its place in the ledger */
    uint32_t reserved;
    uint64_t differs_wanted;
    uint64_t differs_got;

    /* The line that goes out on the debug console: a prefix, one character per field, line feed. */
    uint32_t line_length;
    uint32_t reserved2;
    char line[RESUME_LEDGER_PREFIX + RESUME_LEDGER_COUNT + RESUME_HANDOFF_MSRS + 1];
};

/* Operand of a far jump. */
struct resume_far {
    uint32_t offset;
    uint16_t selector;
    uint16_t pad;
};

/*
 * The way from the firmware's address space into the home. Lies in the staging area, below 4 GiB,
 * identity mapped by the firmware's tables and by the transit tables. Every processor goes
 * through 32-bit mode with paging off, so that firmware and guest may differ in CR4.LA57.
 */
struct resume_transit {
    uint64_t cr3;      /* transit tables, in the guest's number of levels */
    uint64_t cr4;      /* CR4 while in transit: LA57 as the guest's */
    uint64_t image_pa; /* the prepared home */
    uint64_t home_pa;
    uint64_t home_va;
    uint64_t home_length;
    uint64_t apic_pa;    /* registers of the local APIC; 0 = x2APIC mode */
    uint64_t startup_pa; /* where started processors begin; 0 = none is started */
    uint64_t gdt[4];     /* null, 32-bit code, data, 64-bit code */
    struct resume_table_register gdtr;
    struct resume_far protected_far; /* 32-bit, paging about to be switched off */
    struct resume_far long_far;      /* 64-bit, on the transit tables */
    uint32_t in_place;               /* 1 once the home is: written by the first processor */
    uint32_t flags;                  /* RESUME_TRANSIT_MOVING */
    /* With that flag: what the first processor executes before it copies the home, and at the end. */
    struct resume_placement_list steps;
    struct resume_placement_list final;
};
#define RESUME_TRANSIT_MOVING UINT32_C(1) /* the guest's memory is put back: resume/moving.h */
#define RESUME_TRANSIT_CS32 0x08u
#define RESUME_TRANSIT_DS 0x10u
#define RESUME_TRANSIT_CS64 0x18u

/* What the page where started processors begin is told; at `startup_parameters` in it. */
struct resume_startup {
    uint32_t entry; /* the code at `protected_entry`; with `selector` the operand of a far jump */
    uint16_t selector;
    uint16_t gdt_limit; /* with gdt_base the operand of LGDT */
    uint32_t gdt_base;
    uint32_t transit; /* address of struct resume_transit */
};

/* First bytes of the trampoline binary. All offsets are from its start. */
struct resume_trampoline_header {
    uint64_t magic;
    uint32_t version; /* RESUME_HANDOFF_VERSION */
    uint32_t size;
    uint32_t enter;           /* code: void enter(struct resume_transit *) in RDI, never returns */
    uint32_t protected_entry; /* code: 32-bit; EDI = struct resume_transit */
    uint32_t long_entry;      /* code: 64-bit, on the transit tables; EDI = struct resume_transit */
    uint32_t vectors;         /* 32 exception entries */
    uint32_t vector_size;     /* bytes from one to the next */
    uint32_t startup;         /* real-mode code: copied to startup_pa */
    uint32_t startup_size;
    uint32_t startup_parameters; /* offset in it of struct resume_startup */
};
#define RESUME_TRAMPOLINE_MAGIC UINT64_C(0x504d4152544d5352) /* "RSMTRAMP" */

#ifdef __cplusplus
static_assert(sizeof(struct resume_handoff) <= 0x1000, "the handoff has one page");
static_assert(sizeof(struct resume_control) <= RESUME_HOME_LAST, "the last steps follow");
static_assert(sizeof(struct resume_placement_last) <= RESUME_HOME_OWN_IDT - RESUME_HOME_LAST,
              "the IDT follows");
#else
_Static_assert(sizeof(struct resume_handoff) <= 0x1000, "the handoff has one page");
_Static_assert(sizeof(struct resume_control) <= RESUME_HOME_LAST, "the last steps follow");
_Static_assert(sizeof(struct resume_placement_last) <= RESUME_HOME_OWN_IDT - RESUME_HOME_LAST,
               "the IDT follows");
#endif

#ifdef __cplusplus
}
#endif
#endif
