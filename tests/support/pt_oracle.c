/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* A second opinion on page tables. */
#include "pt_oracle.h"

#include <stddef.h>

typedef unsigned long long u64;

/* Bits high:low of @value, both included, as the SDM writes it. */
static u64 field(u64 value, int high, int low)
{
    u64 result = 0;

    for (int bit = high; bit >= low; bit--)
        result = result * 2 + (value >> bit) % 2;
    return result;
}

static int flag(u64 value, int bit)
{
    return (int)field(value, bit, bit);
}

/* The kinds of entry, as numbered by the SDM's tables, with what may be set in them. */
struct entry_format {
    const char *name;
    int page_shift;      /* of the page it maps, or 0 when it refers to a structure */
    int must_be_zero_hi; /* a reserved range below the page's address, or -1 */
    int must_be_zero_lo;
    int bit7_reserved;
};

static const struct entry_format format_pml5e = {"PML5E", 0, -1, -1, 1};
static const struct entry_format format_pml4e = {"PML4E", 0, -1, -1, 1};
static const struct entry_format format_pdpte_table = {"PDPTE", 0, -1, -1, 0};
static const struct entry_format format_pdpte_1g = {"PDPTE", 30, 29, 13, 0};
static const struct entry_format format_pde_table = {"PDE", 0, -1, -1, 0};
static const struct entry_format format_pde_2m = {"PDE", 21, 20, 13, 0};
static const struct entry_format format_pte = {"PTE", 12, -1, -1, 0};

/* The state of one translation: permissions only ever get lost on the way down. */
struct descent {
    const struct pt_machine *machine;
    u64 structure; /* physical address of the paging structure to look in */
    int writable;
    int user;
    int executable;
    u64 entry;
    int at_page; /* the entry maps a page */
};

static enum pt_answer fetch(struct descent *d, u64 index)
{
    const struct pt_machine *m = d->machine;
    const u64 at = d->structure + index * 8;

    if (at < m->ram_start || at - m->ram_start >= m->ram_size)
        return PT_NO_RAM;
    d->entry = 0;
    for (int byte = 7; byte >= 0; byte--)
        d->entry = d->entry * 256 + m->ram[at - m->ram_start + (u64)byte];
    return flag(d->entry, 0) ? PT_MAPPED : PT_NOT_PRESENT;
}

static enum pt_answer obey(struct descent *d, const struct entry_format *format)
{
    const struct pt_machine *m = d->machine;

    if (m->maxphyaddr < 52 && field(d->entry, 51, m->maxphyaddr) != 0)
        return PT_RESERVED_BIT;
    if (format->must_be_zero_hi >= 0 &&
        field(d->entry, format->must_be_zero_hi, format->must_be_zero_lo) != 0)
        return PT_RESERVED_BIT;
    if (format->bit7_reserved && flag(d->entry, 7))
        return PT_RESERVED_BIT;
    if (flag(d->entry, 63) && !m->nxe)
        return PT_RESERVED_BIT;

    if (!flag(d->entry, 1))
        d->writable = 0;
    if (!flag(d->entry, 2))
        d->user = 0;
    if (flag(d->entry, 63))
        d->executable = 0;
    d->structure = field(d->entry, 51, 12) * 4096;
    return PT_MAPPED;
}

static void conclude(const struct descent *d, const struct entry_format *format, u64 linear,
                     struct pt_mapping *mapping)
{
    const u64 size = 1ULL << format->page_shift;

    mapping->linear = linear;
    mapping->physical = field(d->entry, 51, format->page_shift) * size + linear % size;
    mapping->page_size = size;
    mapping->writable = d->writable;
    mapping->user = d->user;
    mapping->executable = d->executable;
    mapping->global = flag(d->entry, 8);
    mapping->stopped_at = format->name;
}

static int canonical(const struct pt_machine *machine, u64 linear)
{
    const u64 top = machine->la57 ? field(linear, 63, 56) : field(linear, 63, 47);

    return top == 0 || top == (machine->la57 ? 0xffU : 0x1ffffU);
}

/*
 * Look up one structure's entry for @linear, whose number is bits @high:@low of the address. What it
 * answers holds for all addresses with the same bits above @low; when the structure is missing, for
 * all with the same bits above @high.
 */
static enum pt_answer stage(struct descent *d, const struct entry_format *table,
                            const struct entry_format *page, u64 linear, int high, int low,
                            struct pt_mapping *mapping)
{
    const struct entry_format *format = table;
    enum pt_answer answer;

    mapping->stopped_at = table ? table->name : page->name;
    mapping->same_for = 2ULL << high;
    answer = fetch(d, field(linear, high, low));
    if (answer == PT_NO_RAM)
        return answer;
    mapping->same_for = 1ULL << low;
    if (answer != PT_MAPPED)
        return answer;
    if (!table || (page && flag(d->entry, 7)))
        format = page;
    d->at_page = format == page;
    answer = obey(d, format);
    if (answer == PT_MAPPED && d->at_page)
        conclude(d, format, linear, mapping);
    return answer;
}

enum pt_answer pt_oracle_translate(const struct pt_machine *machine, u64 linear,
                                   struct pt_mapping *mapping)
{
    struct descent d = {machine, field(machine->cr3, 51, 12) * 4096, 1, 1, 1, 0, 0};
    enum pt_answer answer = PT_MAPPED;

    if (!canonical(machine, linear)) {
        mapping->stopped_at = "address";
        return PT_NOT_CANONICAL;
    }
    if (machine->la57)
        answer = stage(&d, &format_pml5e, NULL, linear, 56, 48, mapping);
    if (answer == PT_MAPPED)
        answer = stage(&d, &format_pml4e, NULL, linear, 47, 39, mapping);
    if (answer == PT_MAPPED)
        answer = stage(&d, &format_pdpte_table, &format_pdpte_1g, linear, 38, 30, mapping);
    if (answer == PT_MAPPED && !d.at_page)
        answer = stage(&d, &format_pde_table, &format_pde_2m, linear, 29, 21, mapping);
    if (answer == PT_MAPPED && !d.at_page)
        answer = stage(&d, NULL, &format_pte, linear, 20, 12, mapping);
    return answer;
}

unsigned long pt_oracle_enumerate(const struct pt_machine *machine, struct pt_mapping *list,
                                  unsigned long room)
{
    unsigned long count = 0;
    u64 linear = 0;

    for (;;) {
        struct pt_mapping mapping;
        const enum pt_answer answer = pt_oracle_translate(machine, linear, &mapping);

        if (answer == PT_NOT_CANONICAL) {
            linear = machine->la57 ? 0xff00000000000000ULL : 0xffff800000000000ULL;
            continue;
        }
        if (answer == PT_MAPPED) {
            if (count < room)
                list[count] = mapping;
            count++;
        }
        linear = (linear / mapping.same_for + 1) * mapping.same_for;
        if (linear == 0)
            return count;
    }
}
