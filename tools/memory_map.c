/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "memory_map.h"

#include <stdlib.h>
#include <string.h>

/* Bounds of the walk over the guest's page tables, which are not trusted. */
#define TABLE_BUDGET (1u << 18)
#define LEAF_BUDGET (1u << 24)
/* One bit for each page of 1 TiB. */
#define PAGES_MAX (UINT64_C(1) << 28)

unsigned memory_cell_density(const struct memory_cell *cell)
{
    if (cell->pages == 0 || cell->data == 0)
        return 0;
    return (unsigned)(1 + (cell->data * 4 - 1) / cell->pages);
}

/* Contiguous ranges make one run, whatever they are. */
static void find_runs(struct memory_map *map, const struct view *view)
{
    for (uint32_t i = 0; i < view->range_count; i++) {
        const struct manifest_range *range = &view->ranges[i];
        struct memory_run *last = map->run_count > 0 ? &map->run[map->run_count - 1] : NULL;
        if (last != NULL && last->base_pa + last->length == range->base_pa) {
            last->length += range->length;
        } else if (map->run_count < MANIFEST_RANGE_MAX) {
            map->run[map->run_count++] =
                (struct memory_run){.base_pa = range->base_pa, .length = range->length};
        }
    }
}

/* The smallest cell with which all runs fit into the rows, or nearly. */
static void choose_cell(struct memory_map *map, uint32_t rows)
{
    map->cell_size = STREAM_PAGE_SIZE;
    while (map->cell_size < UINT64_C(1) << 56) {
        uint64_t needed = 0;
        for (uint32_t i = 0; i < map->run_count; i++)
            needed += map->run[i].length / (map->cell_size * map->columns) + 1;
        if (needed <= (uint64_t)rows + map->run_count)
            break;
        map->cell_size *= 2;
    }
}

/* The cell of a physical address, or NULL. */
static struct memory_cell *cell_at(struct memory_map *map, resume_pa_t pa)
{
    for (uint32_t i = 0; i < map->run_count; i++) {
        const struct memory_run *run = &map->run[i];
        if (pa >= run->base_pa && pa - run->base_pa < run->length)
            return &map->cells[run->first_cell + (pa - run->base_pa) / map->cell_size];
    }
    return NULL;
}

/* Marks every cell that a physical range touches. */
static void mark(struct memory_map *map, resume_pa_t pa, uint64_t length, uint32_t marks)
{
    uint64_t end = length > UINT64_MAX - pa ? UINT64_MAX : pa + length;
    for (uint32_t i = 0; i < map->run_count; i++) {
        const struct memory_run *run = &map->run[i];
        uint64_t run_end = run->base_pa + run->length;
        uint64_t from = pa > run->base_pa ? pa : run->base_pa;
        uint64_t to = end < run_end ? end : run_end;
        if (from >= to)
            continue;
        uint64_t first = (from - run->base_pa) / map->cell_size;
        uint64_t last = (to - 1 - run->base_pa) / map->cell_size;
        for (uint64_t k = first; k <= last; k++)
            map->cells[run->first_cell + k].marks |= marks;
    }
}

static void count_pages(struct memory_map *map, const struct view *view)
{
    for (uint32_t i = 0; i < view->range_count; i++) {
        const struct manifest_range *range = &view->ranges[i];
        uint32_t block = ram_block_find(&view->ram, range->block);
        for (uint64_t at = 0; at < range->length; at += STREAM_PAGE_SIZE) {
            struct ram_page_info info;
            struct memory_cell *cell = cell_at(map, range->base_pa + at);
            if (cell == NULL || ram_page_info(&view->ram, block, range->offset + at, &info) != 0)
                break;
            cell->pages++;
            cell->data += info.kind == RAM_PAGE_DATA;
        }
    }
    map->have_pages = true;
}

static void add_code(struct memory_map *map, const struct resume_translation *leaf)
{
    struct memory_code *last = map->code_count > 0 ? &map->code[map->code_count - 1] : NULL;
    map->code_bytes += leaf->size;
    mark(map, leaf->pa, leaf->size, MEMORY_CODE);
    if (last != NULL && last->va + last->length == leaf->va && last->pa + last->length == leaf->pa)
        last->length += leaf->size;
    else if (map->code_count < MEMORY_CODE_MAX)
        map->code[map->code_count++] =
            (struct memory_code){.va = leaf->va, .pa = leaf->pa, .length = leaf->size};
}

/* Page tables are counted once each: one bit per page of memory. */
struct table_set {
    uint8_t *bits; /* NULL: there is more memory than can be counted like this */
    uint64_t pages;
};

/* The number of a page among those of all runs; false when it is in none. */
static bool page_number(const struct memory_map *map, resume_pa_t pa, uint64_t *ret_number)
{
    uint64_t before = 0;
    for (uint32_t i = 0; i < map->run_count; i++) {
        const struct memory_run *run = &map->run[i];
        if (pa >= run->base_pa && pa - run->base_pa < run->length) {
            *ret_number = before + (pa - run->base_pa) / STREAM_PAGE_SIZE;
            return true;
        }
        before += run->length / STREAM_PAGE_SIZE;
    }
    return false;
}

static int open_set(struct table_set *set, const struct memory_map *map)
{
    for (uint32_t i = 0; i < map->run_count; i++)
        set->pages += map->run[i].length / STREAM_PAGE_SIZE;
    if (set->pages > PAGES_MAX)
        return 0;
    set->bits = calloc((size_t)(set->pages / 8 + 1), 1);
    return set->bits != NULL ? 0 : -1;
}

static void add_table(struct memory_map *map, struct table_set *set, resume_pa_t entry_pa)
{
    uint64_t page;
    resume_pa_t pa = entry_pa & ~(resume_pa_t)(STREAM_PAGE_SIZE - 1);
    if (entry_pa == 0 || !page_number(map, pa, &page) || page >= set->pages)
        return;
    if (set->bits != NULL) {
        if ((set->bits[page / 8] >> page % 8 & 1) != 0)
            return;
        set->bits[page / 8] |= (uint8_t)(1u << page % 8);
        map->table_pages++;
    }
    mark(map, pa, STREAM_PAGE_SIZE, MEMORY_TABLES);
}

static void walk_tables(struct memory_map *map, struct view *view, struct table_set *set)
{
    struct resume_paging paging;
    struct resume_paging_iter iter;
    struct resume_translation leaf;
    map->tables_of = view_first_vcpu(view);
    if (!view_paging(view, map->tables_of, &paging) ||
        resume_paging_iter_init(&iter, &paging, 0, UINT64_MAX, TABLE_BUDGET) != 0)
        return;
    for (uint32_t leaves = 0; leaves < LEAF_BUDGET; leaves++) {
        if (resume_paging_iter_next(&iter, &leaf, NULL) != 0 || leaf.size == 0)
            break;
        map->mapped_bytes += leaf.size;
        for (unsigned level = 0; level < 5; level++)
            add_table(map, set, leaf.entry_pa[level]);
        if ((leaf.rights & RESUME_MAP_EXEC) != 0 && (leaf.rights & RESUME_MAP_USER) == 0)
            add_code(map, &leaf);
    }
    map->have_tables = true;
}

/* The next instruction of each vCPU, through its own page tables. */
static int add_rips(struct memory_map *map, struct view *view, struct report_failure *failure)
{
    map->rip = calloc((size_t)view->vcpu_count + 1, sizeof(*map->rip));
    if (map->rip == NULL)
        return report_fail_memory(failure, "inspect");
    for (uint32_t i = 0; i < view->vcpu_count; i++) {
        const struct resume_vcpu *vcpu = &view->vcpus[i];
        const resume_va_t va = vcpu->regs.rip + vcpu->segs.seg[RESUME_CS].base;
        struct resume_paging paging;
        struct resume_translation leaf;
        if (!view_paging(view, i, &paging) || resume_paging_walk(&paging, va, &leaf, NULL) != 0)
            continue;
        const struct memory_rip rip = {i, leaf.pa + (va - leaf.va)};
        map->rip[map->rip_count++] = rip;
        mark(map, rip.pa, 1, MEMORY_RIP);
    }
    return 0;
}

static int add_memory(struct memory_map *map, struct view *view, struct report_failure *failure)
{
    struct table_set set = {NULL, 0};
    if (view->have_ram)
        count_pages(map, view);
    if (open_set(&set, map) != 0)
        return report_fail_memory(failure, "inspect");
    walk_tables(map, view, &set);
    free(set.bits);
    return add_rips(map, view, failure);
}

int memory_map_make(struct memory_map *out, struct view *view, uint32_t columns, uint32_t rows,
                    struct report_failure *failure)
{
    uint64_t cells = 0;
    memset(out, 0, sizeof(*out));
    out->columns = columns;
    find_runs(out, view);
    choose_cell(out, rows);
    for (uint32_t i = 0; i < out->run_count; i++) {
        struct memory_run *run = &out->run[i];
        run->first_cell = (uint32_t)cells;
        run->cell_count = (uint32_t)((run->length + out->cell_size - 1) / out->cell_size);
        cells += run->cell_count;
    }
    out->cells = calloc((size_t)cells + 1, sizeof(*out->cells));
    if (out->cells == NULL)
        return report_fail_memory(failure, "inspect");
    out->cell_count = (uint32_t)cells;
    for (uint32_t i = 0; i < view->range_count; i++) {
        if (view->ranges[i].kind != MANIFEST_RANGE_RAM)
            mark(out, view->ranges[i].base_pa, view->ranges[i].length, MEMORY_ROM);
    }
    int ret = add_memory(out, view, failure);
    if (ret != 0) {
        memory_map_free(out);
        return ret;
    }
    if (view->have_plan)
        mark(out, view->plan.home.pa, view->plan.home.length, MEMORY_HOME);
    return 0;
}

void memory_map_free(struct memory_map *map)
{
    free(map->cells);
    free(map->rip);
    memset(map, 0, sizeof(*map));
}
