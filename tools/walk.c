/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "walk.h"

#include <stdio.h>
#include <string.h>

/* Listens to what the library's walker asks for: one table for each level, from the root down. */
struct recorder {
    const struct resume_phys *phys;
    struct walk *walk;
    uint32_t levels;
};

static uint64_t load_entry(const uint8_t *from)
{
    uint64_t value = 0;
    for (unsigned i = 8; i-- > 0;)
        value = value << 8 | from[i];
    return value;
}

static void *record(void *ctx, resume_pa_t pa)
{
    const struct recorder *recorder = ctx;
    struct walk *walk = recorder->walk;
    uint8_t *page = recorder->phys->page(recorder->phys->ctx, pa);
    if (walk->step_count == recorder->levels)
        return page;
    struct walk_step *step = &walk->step[walk->step_count];
    step->level = recorder->levels - walk->step_count;
    step->index = (uint32_t)(walk->va >> (12 + 9 * (step->level - 1))) & 511;
    step->entry_pa = pa + step->index * 8u;
    step->read = page != NULL;
    step->entry = page != NULL ? load_entry(page + step->index * 8u) : 0;
    walk->step_count++;
    return page;
}

int walk_run(const struct resume_paging *paging, resume_va_t va, struct walk *out)
{
    struct walk walk = {.va = va};
    struct recorder recorder = {&paging->phys, &walk, paging->levels};
    struct resume_paging heard = *paging;
    struct resume_diag diag = {0};
    heard.phys = (struct resume_phys){.page = record, .ctx = &recorder};
    walk.err = resume_paging_walk(&heard, va, &walk.leaf, &diag);
    if (walk.err == RESUME_EINVAL)
        return walk.err;
    if (walk.err == RESUME_EREGISTER)
        walk.reserved = diag.found & ~diag.expected;
    *out = walk;
    return 0;
}

const char *walk_level_name(uint32_t level)
{
    static const char *const names[] = {"PTE", "PDE", "PDPTE", "PML4E", "PML5E"};
    return names[level - 1];
}

static void add(char *buffer, const char *name)
{
    size_t used = strlen(buffer);
    snprintf(buffer + used, WALK_BITS_MAX - used, "%s%s", used > 0 ? " " : "", name);
}

char *walk_entry_bits(uint64_t entry, uint32_t level, bool leaf, char *buffer)
{
    static const struct {
        unsigned bit;
        const char *name;
    } common[] = {{0, "P"}, {1, "RW"}, {2, "US"}, {3, "PWT"}, {4, "PCD"}, {5, "A"}};
    buffer[0] = '\0';
    if ((entry & RESUME_PTE_P) == 0)
        return buffer; /* all other bits are the operating system's */
    for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++) {
        if ((entry >> common[i].bit & 1) != 0)
            add(buffer, common[i].name);
    }
    if (leaf && (entry & RESUME_PTE_D) != 0)
        add(buffer, "D");
    if ((entry & RESUME_PTE_PS) != 0)
        add(buffer, level == 1 ? "PAT" : "PS");
    if (leaf && (entry & RESUME_PTE_G) != 0)
        add(buffer, "G");
    if (leaf && level > 1 && (entry >> 12 & 1) != 0)
        add(buffer, "PAT");
    if (leaf && (entry >> 59 & 15) != 0) {
        char key[8];
        snprintf(key, sizeof(key), "PK%u", (unsigned)(entry >> 59 & 15));
        add(buffer, key);
    }
    if ((entry & RESUME_PTE_NX) != 0)
        add(buffer, "NX");
    return buffer;
}

char *walk_rights(uint32_t rights, char out[6])
{
    out[0] = 'r';
    out[1] = (rights & RESUME_MAP_WRITE) != 0 ? 'w' : '-';
    out[2] = (rights & RESUME_MAP_EXEC) != 0 ? 'x' : '-';
    out[3] = (rights & RESUME_MAP_USER) != 0 ? 'u' : '-';
    out[4] = (rights & RESUME_MAP_GLOBAL) != 0 ? 'g' : '-';
    out[5] = '\0';
    return out;
}

const char *walk_page_size(uint64_t size)
{
    return size == UINT64_C(1) << 30 ? "1 GiB" : size == UINT64_C(1) << 21 ? "2 MiB" : "4 KiB";
}
