/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <stdio.h>
#include <string.h>

#include "memory_map.h"
#include "progress.h"

/* One way to show a cell: marks win over density. */
struct look {
    const char *block; /* UTF-8 */
    const char *ascii;
    const char *colour; /* of the escape sequence */
};

static const struct look densities[5] = {
    {"·", ".", "2"}, {"░", "-", "0"}, {"▒", "+", "0"}, {"▓", "*", "0"}, {"█", "#", "0"}};
static const struct look rom = {"r", "r", "2"};
static const struct look code = {"K", "K", "32"};
static const struct look tables = {"T", "T", "33"};
static const struct look rip = {"@", "@", "1;36"};
static const struct look home = {"H", "H", "1;31"};

static const struct look *look_of(const struct memory_cell *cell)
{
    if (cell->marks & MEMORY_HOME)
        return &home;
    if (cell->marks & MEMORY_RIP)
        return &rip;
    if (cell->marks & MEMORY_CODE)
        return &code;
    if (cell->marks & MEMORY_TABLES)
        return &tables;
    if (cell->marks & MEMORY_ROM && cell->data == 0)
        return &rom;
    return &densities[memory_cell_density(cell)];
}

static void put(FILE *out, const struct look *look, bool colour, bool blocks)
{
    if (colour)
        fprintf(out, "\033[%sm", look->colour);
    fputs(blocks ? look->block : look->ascii, out);
    if (colour)
        fputs("\033[0m", out);
}

/* One row; a colour is set once for all cells of one look. */
static void put_row(FILE *out, const struct memory_cell *cells, uint32_t count, bool colour,
                    bool blocks)
{
    const struct look *last = NULL;
    for (uint32_t i = 0; i < count; i++) {
        const struct look *look = look_of(&cells[i]);
        if (colour && (last == NULL || strcmp(look->colour, last->colour) != 0))
            fprintf(out, "\033[0;%sm", look->colour);
        fputs(blocks ? look->block : look->ascii, out);
        last = look;
    }
    fputs(colour ? "\033[0m\n" : "\n", out);
}

static void explain(FILE *out, const struct look *look, const char *meaning, bool colour,
                    bool blocks)
{
    fputs("  ", out);
    put(out, look, colour, blocks);
    fprintf(out, " %s", meaning);
}

void memory_map_print(const struct memory_map *map, FILE *out, bool colour, bool blocks)
{
    char size[32];
    uint64_t row = map->cell_size * map->columns;
    for (uint32_t i = 0; i < map->run_count; i++) {
        const struct memory_run *run = &map->run[i];
        for (uint32_t cell = 0; cell < run->cell_count; cell += map->columns) {
            uint32_t left = run->cell_count - cell;
            fprintf(out, "  %012llx  ",
                    (unsigned long long)(run->base_pa + cell / map->columns * row));
            put_row(out, &map->cells[run->first_cell + cell],
                    left < map->columns ? left : map->columns, colour, blocks);
        }
        if (i + 1 < map->run_count)
            fputs("           ...\n", out);
    }
    fprintf(out, "  one cell is %s:", progress_format_bytes(map->cell_size, size, sizeof(size)));
    explain(out, &densities[0], map->have_pages ? "zeroes" : "memory", colour, blocks);
    if (map->have_pages) {
        fputs("  ", out);
        for (unsigned i = 1; i < 5; i++)
            put(out, &densities[i], colour, blocks);
        fputs(" data", out);
    }
    if (map->have_tables) {
        explain(out, &code, "kernel code", colour, blocks);
        explain(out, &tables, "page tables", colour, blocks);
        explain(out, &rip, "next instruction", colour, blocks);
    }
    explain(out, &rom, "ROM", colour, blocks);
    explain(out, &home, "home", colour, blocks);
    fputc('\n', out);
}
