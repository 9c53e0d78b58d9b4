/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A second opinion on page tables, written from the tables of the Intel SDM (vol. 3, "Formats of
 * Paging-Structure Entries") without a look at the library: no header, constant or helper of it is
 * used. It spells every structure out, over flat memory, and is slow.
 */
#ifndef RESUME_TESTS_PT_ORACLE_H
#define RESUME_TESTS_PT_ORACLE_H

struct pt_machine {
    const unsigned char *ram;
    unsigned long long ram_start; /* physical address of ram[0] */
    unsigned long long ram_size;
    unsigned long long cr3;
    int la57;
    int nxe;
    int maxphyaddr;
};

enum pt_answer {
    PT_MAPPED,
    PT_NOT_CANONICAL,
    PT_NOT_PRESENT,
    PT_RESERVED_BIT,
    PT_NO_RAM /* a paging structure lies outside the RAM */
};

struct pt_mapping {
    unsigned long long linear;    /* the address asked for; of the page's start when enumerated */
    unsigned long long physical;  /* where that address leads */
    unsigned long long page_size; /* bytes */
    int writable;
    int user;
    int executable;
    int global;
    unsigned long long same_for; /* the aligned block of addresses that share the deciding entry */
    const char *stopped_at;      /* the entry that decided, e.g. "PDE" */
};

enum pt_answer pt_oracle_translate(const struct pt_machine *machine, unsigned long long linear,
                                   struct pt_mapping *mapping);

/*
 * All mapped pages, ascending, the first @room of them into @list. Returns how many there are. Only
 * for tables of which that is a sane number.
 */
unsigned long pt_oracle_enumerate(const struct pt_machine *machine, struct pt_mapping *list,
                                  unsigned long room);

#endif
