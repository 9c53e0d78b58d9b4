/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Page tables for tests, written entry by entry into simulated memory: right ones, and wrong ones
 * that the library's builder would never make. Bits are given as in the Intel SDM.
 */
#ifndef RESUME_TESTS_PT_FORGE_H
#define RESUME_TESTS_PT_FORGE_H

#include "phys.h"
#include "pt_oracle.h"

#define FORGE_P UINT64_C(0x001)
#define FORGE_RW UINT64_C(0x002)
#define FORGE_US UINT64_C(0x004)
#define FORGE_A UINT64_C(0x020)
#define FORGE_D UINT64_C(0x040)
#define FORGE_PS UINT64_C(0x080)
#define FORGE_G UINT64_C(0x100)
#define FORGE_PAT_LARGE UINT64_C(0x1000)
#define FORGE_NX (UINT64_C(1) << 63)

struct forge {
    struct phys *phys;
    uint64_t root;
    uint64_t next; /* free page for the next table */
    unsigned levels;
};

/* Tables start at @root and grow upward from there. */
void forge_open(struct forge *forge, struct phys *phys, uint64_t root, unsigned levels);

/*
 * Where the entry for @va at @level lies. Tables missing on the way are made, with @upper as the
 * flags of the entries that lead to them.
 */
uint64_t forge_entry(struct forge *forge, uint64_t va, unsigned level, uint64_t upper);

/* Map one page: @level 1, 2 or 3; @leaf: flags of the leaf, P and PS included where they belong. */
void forge_map(struct forge *forge, uint64_t va, uint64_t pa, unsigned level, uint64_t upper,
               uint64_t leaf);

/* Make the address out of the entry numbers @index[0] (PTE) to @index[4] (PML5E), canonical. */
uint64_t forge_va(const unsigned index[5], unsigned levels);

/* How the oracle is to look at @phys. */
struct pt_machine forge_machine(struct phys *phys, uint64_t root, unsigned levels, int nxe,
                                int maxphyaddr);

#endif
