/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <resume/image.h>

#include "arch.h"
#include "internal.h"
#include "moving_map.h"
#include "trampoline_header.h"
#include "window.h"

#define FOUR_GIB (UINT64_C(1) << 32)
#define ONE_MIB (UINT64_C(1) << 20)
/* Flat, present, accessed, DPL 0 (Intel SDM vol. 3, "Segment Descriptors"). */
#define CODE32_DESCRIPTOR UINT64_C(0x00cf9b000000ffff)
#define DATA_DESCRIPTOR UINT64_C(0x00cf93000000ffff)
#define CODE64_DESCRIPTOR UINT64_C(0x00af9b000000ffff)

void resume_staging_compute(const struct resume_image_layout *layout, struct resume_staging *out)
{
    out->transit = layout->length;
    out->tables = out->transit + RESUME_PAGE_SIZE;
    out->length = out->tables + RESUME_STAGING_TABLE_PAGES * RESUME_PAGE_SIZE;
}

static int overlap(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length)
{
    return a < b ? b - a < a_length : a - b < b_length;
}

/* A range that is identity mapped must be neither the home nor where the home runs. */
static int collides(const struct resume_home *home, resume_pa_t pa, uint64_t length)
{
    return overlap(home->pa, home->length, pa, length) ||
           overlap(home->va, home->length, pa, length);
}

static int map_all(const struct resume_transit_input *input, struct resume_paging_builder *builder,
                   struct resume_diag *diag)
{
    const struct resume_home *home = input->home;
    const uint32_t rights = RESUME_MAP_WRITE | RESUME_MAP_EXEC;
    const struct {
        uint64_t va;
        uint64_t pa;
        uint64_t length;
    } ranges[] = {
        {input->staging_pa, input->staging_pa, input->area->length},
        {home->pa, home->pa, home->length},
        {home->va, home->pa, home->length},
        /* Strong uncacheability comes from the MTRRs, as for the firmware before. */
        {input->apic_pa, input->apic_pa, input->apic_pa != 0 ? RESUME_PAGE_SIZE : 0},
    };
    int err = RESUME_OK;

    /* First, in the page sizes that its tables were counted for: it holds most of what follows. */
    if (input->moving != NULL) {
        err = resume_moving_map_ram(input->moving, builder, diag);
    }
    for (uint32_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]) && err == RESUME_OK; i++) {
        if (ranges[i].length != 0) {
            err = resume_paging_map(builder, ranges[i].va, ranges[i].pa, ranges[i].length, rights,
                                    diag);
        }
    }
    return err;
}

/* The page where other processors begin: the trampoline's real-mode code, and where it leads. */
static void fill_startup(const struct resume_transit_input *input,
                         const struct resume_trampoline_header *header, uint8_t *startup)
{
    const uint64_t transit_pa = input->staging_pa + input->area->transit;
    uint8_t *parameters = startup + header->startup_parameters;

    memset(startup, 0, RESUME_PAGE_SIZE);
    memcpy(startup, input->trampoline + header->startup, header->startup_size);
    resume_store_le32(parameters + offsetof(struct resume_startup, entry),
                      (uint32_t)(input->staging_pa + RESUME_HOME_CODE + header->protected_entry));
    resume_store_le16(parameters + offsetof(struct resume_startup, selector), RESUME_TRANSIT_CS32);
    resume_store_le16(parameters + offsetof(struct resume_startup, gdt_limit),
                      sizeof(((struct resume_transit *)0)->gdt) - 1);
    resume_store_le32(parameters + offsetof(struct resume_startup, gdt_base),
                      (uint32_t)(transit_pa + offsetof(struct resume_transit, gdt)));
    resume_store_le32(parameters + offsetof(struct resume_startup, transit), (uint32_t)transit_pa);
}

static void fill_transit(const struct resume_transit_input *input,
                         const struct resume_trampoline_header *header, uint64_t cr3,
                         struct resume_transit *out)
{
    const uint64_t code_pa = input->staging_pa + RESUME_HOME_CODE;

    memset(out, 0, sizeof(*out));
    out->cr3 = cr3;
    /* No shadow stack of the trampoline's own; LA57 as the guest has it. */
    out->cr4 = input->cr4 & ~(RESUME_CR4_PGE | RESUME_CR4_PCIDE | RESUME_CR4_CET | RESUME_CR4_LA57 |
                              RESUME_CR4_SMEP | RESUME_CR4_SMAP);
    out->cr4 |= RESUME_CR4_PAE | (input->levels == 5 ? RESUME_CR4_LA57 : 0);
    out->image_pa = input->staging_pa;
    out->home_pa = input->home->pa;
    out->home_va = input->home->va;
    out->home_length = input->home->length;
    out->apic_pa = input->apic_pa;
    out->startup_pa = input->startup_pa;
    out->gdt[RESUME_TRANSIT_CS32 / 8] = CODE32_DESCRIPTOR;
    out->gdt[RESUME_TRANSIT_DS / 8] = DATA_DESCRIPTOR;
    out->gdt[RESUME_TRANSIT_CS64 / 8] = CODE64_DESCRIPTOR;
    out->gdtr.limit = sizeof(out->gdt) - 1;
    out->gdtr.base =
        input->staging_pa + input->area->transit + offsetof(struct resume_transit, gdt);
    out->protected_far.offset = (uint32_t)(code_pa + header->protected_entry);
    out->protected_far.selector = RESUME_TRANSIT_CS32;
    out->long_far.offset = (uint32_t)(code_pa + header->long_entry);
    out->long_far.selector = RESUME_TRANSIT_CS64;
    if (input->moving != NULL) {
        out->flags = RESUME_TRANSIT_MOVING;
        out->steps = input->moving->steps;
        out->final = input->moving->final;
    }
}

/* Where the tables go: into the staging area, or the area for them. */
static int begin_tables(const struct resume_transit_input *input, uint8_t *staging,
                        struct resume_window *window, struct resume_arena *arena)
{
    const struct resume_moving *moving = input->moving;
    struct resume_phys phys = {resume_window_page, window};

    if (moving != NULL) {
        *window = (struct resume_window){moving->tables, moving->tables_pa,
                                         moving->tables_pages << RESUME_PAGE_SHIFT};
        return resume_arena_init(arena, &phys, moving->tables_pa, (uint32_t)moving->tables_pages);
    }
    *window = (struct resume_window){staging, input->staging_pa, input->area->length};
    return resume_arena_init(arena, &phys, input->staging_pa + input->area->tables,
                             RESUME_STAGING_TABLE_PAGES);
}

static int moving_fits(const struct resume_moving *moving)
{
    return moving == NULL ||
           (resume_moving_is_sound(moving) && moving->tables != NULL &&
            resume_aligned(moving->tables_pa, RESUME_PAGE_SIZE) && moving->tables_pa < FOUR_GIB &&
            moving->tables_pages != 0 &&
            moving->tables_pages <= (FOUR_GIB - moving->tables_pa) >> RESUME_PAGE_SHIFT &&
            moving->steps.steps != 0 && moving->final.steps != 0);
}

int resume_transit_build(const struct resume_transit_input *input, uint8_t *staging,
                         uint8_t *startup, struct resume_diag *diag)
{
    struct resume_trampoline_header header;
    struct resume_paging_builder builder;
    struct resume_transit transit;
    struct resume_window window;
    struct resume_arena arena;
    uint64_t at;
    int err;

    if (input == NULL || input->home == NULL || input->area == NULL || input->trampoline == NULL ||
        staging == NULL || (input->startup_pa != 0) != (startup != NULL) ||
        !resume_aligned(input->staging_pa | input->startup_pa | input->apic_pa, RESUME_PAGE_SIZE) ||
        input->staging_pa >= FOUR_GIB || input->area->length > FOUR_GIB - input->staging_pa ||
        input->startup_pa >= ONE_MIB || (input->levels != 4 && input->levels != 5) ||
        !moving_fits(input->moving)) {
        return RESUME_EINVAL;
    }
    if (collides(input->home, input->staging_pa, input->area->length) ||
        (input->startup_pa != 0 &&
         (collides(input->home, input->startup_pa, RESUME_PAGE_SIZE) ||
          overlap(input->staging_pa, input->area->length, input->startup_pa, RESUME_PAGE_SIZE)))) {
        return resume_fail(diag, RESUME_ECONFLICT, "transit", "staging", input->staging_pa,
                           input->staging_pa, input->home->pa, RESUME_NO_VCPU);
    }
    if (input->moving != NULL && resume_moving_clashes(input->moving, input->home, &at)) {
        return resume_fail(diag, RESUME_ECONFLICT, "transit", "home", at, input->home->va,
                           input->home->pa, RESUME_NO_VCPU);
    }
    err = resume_trampoline_header_read(input->trampoline, input->trampoline_length, &header, diag);
    if (err != RESUME_OK) {
        return err;
    }
    err = begin_tables(input, staging, &window, &arena);
    if (err == RESUME_OK) {
        err = resume_paging_builder_init(&builder, &arena, input->levels, 0, diag);
    }
    if (err == RESUME_OK) {
        err = map_all(input, &builder, diag);
    }
    if (err != RESUME_OK) {
        return err;
    }
    fill_transit(input, &header, builder.root_pa, &transit);
    memcpy(staging + input->area->transit, &transit, sizeof(transit));
    if (startup != NULL) {
        fill_startup(input, &header, startup);
    }
    return RESUME_OK;
}
