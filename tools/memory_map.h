/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A picture of guest-physical memory: how full each part is, and what lies where. The same cells
 * are drawn as text and as SVG.
 */
#ifndef RESUME_TOOLS_MEMORY_MAP_H
#define RESUME_TOOLS_MEMORY_MAP_H

#include "view.h"

/* What a cell contains, besides its pages. */
#define MEMORY_CODE 1u   /* memory that the page tables map for the kernel to execute */
#define MEMORY_TABLES 2u /* page tables */
#define MEMORY_HOME 4u   /* the home */
#define MEMORY_RIP 8u    /* the next instruction of a vCPU */
#define MEMORY_ROM 16u   /* ROM or flash */

struct memory_cell {
    uint64_t pages; /* pages of memory in the cell */
    uint64_t data;  /* of those, pages with content; the others are filled with one byte */
    uint32_t marks; /* MEMORY_* */
};

/* A run of memory without holes. */
struct memory_run {
    uint64_t base_pa;
    uint64_t length;
    uint32_t first_cell;
    uint32_t cell_count;
};

/* A mapping for the kernel to execute, physically and virtually contiguous. */
struct memory_code {
    resume_va_t va;
    resume_pa_t pa;
    uint64_t length;
};
#define MEMORY_CODE_MAX 64u

/* Where the next instruction of a vCPU lies. */
struct memory_rip {
    uint32_t vcpu;
    resume_pa_t pa;
};

/* Owned by the caller; members are read-only for him. */
struct memory_map {
    uint64_t cell_size; /* bytes: a power of two, at least a page */
    uint32_t columns;   /* cells in a row; a run begins a row of its own */
    bool have_pages;    /* pages and data are counted, else only the marks */
    uint32_t run_count;
    struct memory_run run[MANIFEST_RANGE_MAX];
    uint32_t cell_count;
    struct memory_cell *cells; /* owned */
    bool have_tables;          /* the page tables could be read */
    uint32_t tables_of;        /* the vCPU whose they are: the first that is not dormant */
    uint64_t table_pages;      /* page tables that it uses, without repetition */
    uint64_t mapped_bytes;     /* what they map */
    uint32_t code_count;       /* of those listed below, in ascending order of va */
    uint64_t code_bytes;       /* of all */
    struct memory_code code[MEMORY_CODE_MAX];
    uint32_t rip_count;     /* vCPUs in long mode whose next instruction is mapped */
    struct memory_rip *rip; /* owned */
};

/*
 * memory_map_make - draw up the map of @view.
 * @columns: cells in a row. @rows: about how many rows it may have.
 * Failures: EXIT_CODE_ENVIRONMENT. On success memory_map_free must be called.
 */
int memory_map_make(struct memory_map *out, struct view *view, uint32_t columns, uint32_t rows,
                    struct report_failure *failure);

void memory_map_free(struct memory_map *map);

/* 0 (nothing but fill) to 4 (more than three quarters): how full a cell is. */
unsigned memory_cell_density(const struct memory_cell *cell);

/* The text picture. @colour: with escape sequences. @blocks: with UTF-8 block characters. */
void memory_map_print(const struct memory_map *map, FILE *out, bool colour, bool blocks);

/* memory_map_svg - write the picture as an SVG file with a title and a legend. */
int memory_map_svg(const struct memory_map *map, const struct view *view, const char *path,
                   struct report_failure *failure);

#endif
