/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <errno.h>
#include <stdio.h>

#include "guest_mode.h"
#include "memory_map.h"

typedef unsigned long long ull;

/* Measures in pixels. */
enum { CELL = 12, LEFT = 132, TOP = 96, RIGHT = 24, GAP = 22, FOOT = 96, HEAD_LINE = 20 };

struct style {
    const char *fill;
    const char *label;
};

/* Density as shades of one colour, marks as colours of their own that differ in brightness too. */
static const char *const shades[5] = {"#f1f3f5", "#cfd8e3", "#a3b5cb", "#6f8cb0", "#3d6391"};
static const struct style code = {"#2f9e44", "kernel code"};
static const struct style tables = {"#f59f00", "page tables"};
static const struct style rom = {"#e6c9a8", "ROM or flash"};
static const struct style home = {"#e03131", "home"};
static const struct style rip = {"#9c36b5", "next instruction"};

static const char *fill_of(const struct memory_cell *cell)
{
    if (cell->marks & MEMORY_HOME)
        return home.fill;
    if (cell->marks & MEMORY_RIP)
        return rip.fill;
    if (cell->marks & MEMORY_CODE)
        return code.fill;
    if (cell->marks & MEMORY_TABLES)
        return tables.fill;
    if (cell->marks & MEMORY_ROM && cell->data == 0)
        return rom.fill;
    return shades[memory_cell_density(cell)];
}

/* Text from files goes into the picture only as XML allows. */
static void escaped(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        default:
            fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, out);
            break;
        }
    }
}

static unsigned rows_of(const struct memory_map *map, const struct memory_run *run)
{
    return (run->cell_count + map->columns - 1) / map->columns;
}

static void draw_run(FILE *out, const struct memory_map *map, const struct memory_run *run,
                     unsigned y)
{
    for (unsigned row = 0; row < rows_of(map, run); row++)
        fprintf(out, "<text class=\"address\" x=\"%d\" y=\"%u\">%llx</text>\n", LEFT - 10,
                y + row * CELL + CELL - 3,
                (ull)(run->base_pa + (uint64_t)row * map->columns * map->cell_size));
    /* Neighbours of one colour are one rectangle: a tenth of the elements. */
    for (uint32_t cell = 0; cell < run->cell_count;) {
        const char *fill = fill_of(&map->cells[run->first_cell + cell]);
        uint32_t column = cell % map->columns;
        uint32_t length = 1;
        while (column + length < map->columns && cell + length < run->cell_count &&
               fill_of(&map->cells[run->first_cell + cell + length]) == fill)
            length++;
        fprintf(out, "<rect x=\"%u\" y=\"%u\" width=\"%u\" height=\"%d\" fill=\"%s\"/>\n",
                LEFT + column * CELL, y + cell / map->columns * CELL, length * CELL - 1, CELL - 1,
                fill);
        cell += length;
    }
}

static unsigned legend_entry(FILE *out, unsigned x, unsigned y, const char *fill, const char *label)
{
    fprintf(out,
            "<rect x=\"%u\" y=\"%u\" width=\"%d\" height=\"%d\" fill=\"%s\"/>\n"
            "<text x=\"%u\" y=\"%u\">%s</text>\n",
            x, y, CELL, CELL, fill, x + CELL + 6, y + CELL - 2, label);
    unsigned length = 0;
    while (label[length] != '\0')
        length++;
    return x + CELL + 6 + length * 7 + 20;
}

static bool has_rom(const struct memory_map *map)
{
    for (uint32_t i = 0; i < map->cell_count; i++) {
        if (map->cells[i].marks & MEMORY_ROM)
            return true;
    }
    return false;
}

static void draw_legend(FILE *out, const struct memory_map *map, const struct view *view,
                        unsigned y)
{
    char size[32];
    unsigned x = LEFT;
    x = legend_entry(out, x, y, shades[0], map->have_pages ? "zeroes" : "memory");
    if (map->have_pages) {
        x = legend_entry(out, x, y, shades[1], "up to 1/4 data");
        x = legend_entry(out, x, y, shades[2], "1/2");
        x = legend_entry(out, x, y, shades[3], "3/4");
        legend_entry(out, x, y, shades[4], "more");
    }
    x = LEFT;
    y += CELL + 10;
    if (map->have_tables) {
        x = legend_entry(out, x, y, code.fill, code.label);
        x = legend_entry(out, x, y, tables.fill, tables.label);
        x = legend_entry(out, x, y, rip.fill, rip.label);
    }
    if (view->have_plan)
        x = legend_entry(out, x, y, home.fill, home.label);
    if (has_rom(map))
        legend_entry(out, x, y, rom.fill, rom.label);
    fprintf(out, "<text class=\"note\" x=\"%d\" y=\"%u\">One cell is %s, a row %s; ", LEFT,
            y + 2 * CELL + 14, progress_format_bytes(map->cell_size, size, sizeof(size)),
            progress_format_bytes(map->cell_size * map->columns, (char[32]){0}, 32));
    fputs("addresses are guest-physical.</text>\n", out);
}

static void draw_head(FILE *out, const struct memory_map *map, const struct view *view)
{
    const struct resume_vcpu *vcpu =
        view->vcpu_count > 0 ? &view->vcpus[view_first_vcpu(view)] : NULL;
    unsigned y = 34;
    fprintf(out, "<text class=\"title\" x=\"%d\" y=\"%u\">Memory of a %s", LEFT, y,
            view_kind_text(view));
    if (view->machine.type[0] != '\0') {
        fputs(", ", out);
        escaped(out, view->machine.type);
    }
    fputs("</text>\n", out);
    y += HEAD_LINE + 2;
    if (vcpu != NULL) {
        fprintf(out, "<text x=\"%d\" y=\"%u\">", LEFT, y);
        if (view->vcpu_count > 1)
            fprintf(out, "%u vCPUs; vCPU %u: ", view->vcpu_count, view_first_vcpu(view));
        struct guest_mode mode;
        guest_mode_of(vcpu, &mode);
        fprintf(out, "%s, CPL %u, %s; RIP %llx, CR3 %llx</text>\n", mode.mode, mode.cpl,
                guest_paging_name(mode.paging), (ull)vcpu->regs.rip, (ull)vcpu->ctrl.cr3);
    }
    y += HEAD_LINE;
    if (view->have_plan)
        fprintf(out, "<text x=\"%d\" y=\"%u\">home at %llx, physical %llx%s%llx</text>\n", LEFT, y,
                (ull)view->plan.home.va, (ull)view->plan.home.pa,
                view->have_layout ? "; landings from " : "; ends at ",
                (ull)(view->have_layout ? view_slot_va(view, 0)
                                        : view->plan.home.va + view->plan.home.length));
    else if (map->code_count > 0)
        fprintf(out, "<text x=\"%d\" y=\"%u\">kernel code at %llx, physical %llx</text>\n", LEFT, y,
                (ull)map->code[0].va, (ull)map->code[0].pa);
}

int memory_map_svg(const struct memory_map *map, const struct view *view, const char *path,
                   struct report_failure *failure)
{
    unsigned height = TOP + FOOT;
    unsigned width = LEFT + map->columns * CELL + RIGHT;
    for (uint32_t i = 0; i < map->run_count; i++)
        height += rows_of(map, &map->run[i]) * CELL + GAP;
    FILE *out = fopen(path, "w");
    if (out == NULL)
        return report_fail_errno(failure, errno, "write", path);
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" "
            "viewBox=\"0 0 %u %u\" role=\"img\">\n"
            "<style>text{font:12px sans-serif;fill:#343a40}.title{font-size:18px;font-weight:bold}"
            ".address{font:10px monospace;text-anchor:end;fill:#495057}.note{fill:#6c757d}"
            "</style>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
            width, height, width, height);
    draw_head(out, map, view);
    unsigned y = TOP;
    for (uint32_t i = 0; i < map->run_count; i++) {
        draw_run(out, map, &map->run[i], y);
        y += rows_of(map, &map->run[i]) * CELL + GAP;
    }
    draw_legend(out, map, view, y);
    fputs("</svg>\n", out);
    bool failed = ferror(out) != 0;
    int error = errno;
    if (fclose(out) != 0 || failed)
        return report_fail_errno(failure, failed ? error : errno, "write", path);
    return 0;
}
