/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Page tables for tests. */
#include "pt_forge.h"

#define ADDRESS UINT64_C(0x000ffffffffff000)

void forge_open(struct forge *forge, struct phys *phys, uint64_t root, unsigned levels)
{
    forge->phys = phys;
    forge->root = root;
    forge->next = root + 4096;
    forge->levels = levels;
}

uint64_t forge_entry(struct forge *forge, uint64_t va, unsigned level, uint64_t upper)
{
    uint64_t table = forge->root;

    for (unsigned at = forge->levels;; at--) {
        const uint64_t entry_pa = table + 8 * (va >> (12 + 9 * (at - 1)) & 511);
        uint64_t entry;

        if (at == level)
            return entry_pa;
        entry = phys_peek(forge->phys, entry_pa);
        if (!(entry & FORGE_P)) {
            entry = forge->next | upper | FORGE_P;
            forge->next += 4096;
            phys_poke(forge->phys, entry_pa, entry);
        }
        table = entry & ADDRESS;
    }
}

void forge_map(struct forge *forge, uint64_t va, uint64_t pa, unsigned level, uint64_t upper,
               uint64_t leaf)
{
    phys_poke(forge->phys, forge_entry(forge, va, level, upper), pa | leaf);
}

uint64_t forge_va(const unsigned index[5], unsigned levels)
{
    uint64_t va = 0;

    for (unsigned i = 0; i < levels; i++)
        va |= (uint64_t)index[i] << (12 + 9 * i);
    if (index[levels - 1] & 256)
        va |= UINT64_MAX << (12 + 9 * levels);
    return va;
}

struct pt_machine forge_machine(struct phys *phys, uint64_t root, unsigned levels, int nxe,
                                int maxphyaddr)
{
    struct pt_machine machine = {0};

    phys_sync(phys);
    machine.ram = phys->bytes;
    machine.ram_start = phys->base;
    machine.ram_size = phys->size;
    machine.cr3 = root;
    machine.la57 = levels == 5;
    machine.nxe = nxe;
    machine.maxphyaddr = maxphyaddr;
    return machine;
}
