/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Finding a place for the trampoline's last stage in the guest's own executable memory. */
#include <resume/home.h>

#include "env.h"
#include "internal.h"
#include "paging_entry.h"

/*
 * Bounds for each half of the address space, so that what a guest maps in the low half cannot use up
 * the search before its kernel. Tables: a real guest has some thousand; self-referencing ones would
 * have billions. Pages: 8 GiB of executable memory, far beyond any kernel's text.
 */
#define TABLE_BUDGET (UINT32_C(1) << 18)
#define PAGE_BUDGET (UINT32_C(1) << 21)
/* How often a home may give way to a table page of the guest inside its run. */
#define GIVE_WAY_MAX 4u

#define FILL_INT3 0xccu
#define FILL_ZERO 0x00u

/* A stretch of pages that follow each other in both address spaces, all of one fill byte. */
struct run {
    resume_va_t va;
    resume_pa_t pa;
    uint64_t length;
    uint32_t kind; /* enum resume_home_kind; NONE when there is no run */
};

struct scan {
    struct run current;
    struct run padding; /* the longest so far */
    struct run zero;
    struct resume_home_search search;
    uint32_t page_budget;
};

static uint8_t kind_fill(uint32_t kind)
{
    return kind == RESUME_HOME_PADDING ? FILL_INT3 : FILL_ZERO;
}

static int supervisor_executable(const struct resume_translation *leaf)
{
    return (leaf->rights & (RESUME_MAP_EXEC | RESUME_MAP_USER)) == RESUME_MAP_EXEC;
}

/* The offset of the first byte of a page that is not @fill, or RESUME_PAGE_SIZE. */
static uint32_t first_difference(const uint8_t *page, uint8_t fill)
{
    const uint64_t pattern = fill * UINT64_C(0x0101010101010101);
    uint32_t at = 0;

    while (at < RESUME_PAGE_SIZE && resume_load_le64(page + at) == pattern)
        at += 8;
    while (at < RESUME_PAGE_SIZE && page[at] == fill)
        at++;
    return at;
}

static uint32_t page_kind(const uint8_t *page)
{
    if (page[0] == FILL_INT3 && first_difference(page, FILL_INT3) == RESUME_PAGE_SIZE)
        return RESUME_HOME_PADDING;
    if (page[0] == FILL_ZERO && first_difference(page, FILL_ZERO) == RESUME_PAGE_SIZE)
        return RESUME_HOME_ZERO;
    return RESUME_HOME_NONE;
}

/* Addresses ascend, so on a tie the first run seen is the lower one and stays. */
static void close_run(struct scan *scan)
{
    struct run *longest = scan->current.kind == RESUME_HOME_PADDING ? &scan->padding : &scan->zero;

    if (scan->current.kind != RESUME_HOME_NONE && scan->current.length > longest->length)
        *longest = scan->current;
    scan->current.kind = RESUME_HOME_NONE;
}

static void scan_page(struct scan *scan, resume_va_t va, resume_pa_t pa, uint32_t kind)
{
    struct run *run = &scan->current;

    if (kind == RESUME_HOME_NONE || kind != run->kind || va != run->va + run->length ||
        pa != run->pa + run->length)
        close_run(scan);
    if (kind == RESUME_HOME_NONE)
        return;
    if (run->kind == RESUME_HOME_NONE) {
        run->va = va;
        run->pa = pa;
        run->length = 0;
        run->kind = kind;
    }
    run->length += RESUME_PAGE_SIZE;
}

/* Look at the pages of one leaf. Returns 0 when the budget ended before them. */
static int scan_leaf(struct scan *scan, const struct resume_phys *phys,
                     const struct resume_translation *leaf)
{
    for (uint64_t at = 0; at < leaf->size; at += RESUME_PAGE_SIZE) {
        const uint8_t *page;

        if (scan->page_budget == 0)
            return 0;
        scan->page_budget--;
        scan->search.pages_executable++;
        page = phys->page(phys->ctx, leaf->pa + at);
        scan_page(scan, leaf->va + at, leaf->pa + at, page ? page_kind(page) : RESUME_HOME_NONE);
    }
    return 1;
}

/* The last address of the low half; its complement is the first one of the high half. */
static resume_va_t low_half_end(const struct resume_paging *guest)
{
    return UINT64_MAX >> (guest->levels == 5 ? 8 : 17);
}

/* Scan one half. Returns 1 when all of it was seen. */
static int scan_half(struct scan *scan, struct resume_paging_iter *iter)
{
    scan->page_budget = PAGE_BUDGET;
    iter->rights_mask = RESUME_MAP_EXEC | RESUME_MAP_USER;
    iter->rights_value = RESUME_MAP_EXEC;
    for (;;) {
        struct resume_translation leaf;
        resume_pa_t table_pa;
        const enum paging_event event = resume_paging_iter_step(iter, &leaf, &table_pa);

        if (event == PAGING_TABLE)
            continue;
        if (event != PAGING_LEAF)
            return event == PAGING_END;
        if (!scan_leaf(scan, &iter->paging->phys, &leaf))
            return 0;
    }
}

static int scan_guest(struct scan *scan, const struct resume_paging *guest,
                      struct resume_diag *diag)
{
    struct resume_paging_iter low;
    struct resume_paging_iter high;
    int complete;
    int err = resume_paging_iter_init(&low, guest, 0, low_half_end(guest), TABLE_BUDGET);

    if (!err)
        err = resume_paging_iter_init(&high, guest, ~low_half_end(guest), UINT64_MAX, TABLE_BUDGET);
    if (err)
        return paging_fail(diag, err, "home", "page tables", 0, 0, 0);
    if (!guest->phys.page(guest->phys.ctx, guest->root_pa & ENTRY_ADDRESS_MASK))
        return paging_fail(diag, RESUME_EUNREACHABLE, "home", "root_pa", guest->root_pa, 0, 0);

    complete = scan_half(scan, &low);
    complete &= scan_half(scan, &high);
    close_run(scan);
    scan->search.complete = (uint32_t)complete;
    scan->search.longest_padding = scan->padding.length;
    scan->search.longest_zero = scan->zero.length;
    return RESUME_OK;
}

/*
 * The lowest address from @pa on, below @end, of a page that the guest's tables use as a table, or
 * @end; the same bounds as for the search apply. The root has a present entry, or nothing would be
 * mapped, so it is in no run.
 */
static resume_pa_t first_table_within(const struct resume_paging *guest, resume_pa_t pa,
                                      resume_pa_t end)
{
    resume_pa_t lowest = end;

    for (unsigned half = 0; half < 2; half++) {
        const resume_va_t first = half ? ~low_half_end(guest) : 0;
        const resume_va_t last = half ? UINT64_MAX : low_half_end(guest);
        struct resume_paging_iter iter;
        enum paging_event event;

        if (resume_paging_iter_init(&iter, guest, first, last, TABLE_BUDGET))
            return pa;
        /* No leaf is wanted: the tables are entered, their pages are not described. */
        iter.rights_value = UINT32_MAX;
        do {
            struct resume_translation leaf;
            resume_pa_t table_pa;

            event = resume_paging_iter_step(&iter, &leaf, &table_pa);
            if (event == PAGING_TABLE && table_pa >= pa && table_pa < lowest)
                lowest = table_pa;
        } while (event == PAGING_TABLE);
    }
    return lowest;
}

/*
 * Put a home at the end of @run, sparing its first and last page if it is long enough.
 *
 * A page filled with 0xCC or 0x00 holds no present entry, because bit 0 of either byte is clear, so
 * no table that translates anything is ever taken for free. But an empty table may be in use: what
 * the home writes there would look like entries. Such a home moves below the table.
 */
static int place_home(const struct resume_paging *guest, const struct run *run, uint64_t length,
                      struct resume_home *out)
{
    uint64_t first = 0;
    uint64_t end = run->length;

    if (end < length)
        return 0;
    if (end - length >= 2u * RESUME_PAGE_SIZE)
        end -= RESUME_PAGE_SIZE;
    if (run->length - length >= RESUME_PAGE_SIZE)
        first = RESUME_PAGE_SIZE;

    for (uint32_t tries = 0; tries < GIVE_WAY_MAX && end - first >= length; tries++) {
        const uint64_t start = end - length;
        const resume_pa_t table_pa = first_table_within(guest, run->pa + start, run->pa + end);

        if (table_pa == run->pa + end) {
            memset(out, 0, sizeof(*out));
            out->va = run->va + start;
            out->pa = run->pa + start;
            out->length = length;
            out->kind = run->kind;
            out->fill = kind_fill(run->kind);
            return 1;
        }
        end = table_pa - run->pa;
        if (end < first)
            break;
    }
    return 0;
}

/*
 * Check the mapping of @home, its fill, and whether using it makes the CPU write to the guest's
 * tables.
 */
static int inspect_home(const struct resume_paging *guest, const struct resume_home *home,
                        uint8_t *ret_accessed, uint8_t *ret_dirty, struct resume_diag *diag)
{
    uint64_t accessed = RESUME_PTE_A;
    uint64_t dirty = RESUME_PTE_D;

    for (uint64_t at = 0; at < home->length; at += RESUME_PAGE_SIZE) {
        const resume_va_t va = home->va + at;
        struct resume_translation leaf;
        const uint8_t *page;
        uint32_t offset;
        int err = resume_paging_walk(guest, va, &leaf, diag);

        if (err)
            return err;
        if (!supervisor_executable(&leaf))
            return paging_fail(diag, RESUME_ECONFLICT, "home", "rights", va, leaf.rights,
                               RESUME_MAP_EXEC);
        if (leaf.pa + (va - leaf.va) != home->pa + at)
            return paging_fail(diag, RESUME_ECONFLICT, "home", "pa", va, leaf.pa + (va - leaf.va),
                               home->pa + at);
        for (uint32_t level = leaf.leaf_level; level <= guest->levels; level++)
            accessed &= leaf.entry[level - 1u];
        dirty &= leaf.entry[leaf.leaf_level - 1u];

        page = guest->phys.page(guest->phys.ctx, home->pa + at);
        if (!page)
            return paging_fail(diag, RESUME_EUNREACHABLE, "home", "page", home->pa + at, 0, 0);
        offset = first_difference(page, home->fill);
        if (offset < RESUME_PAGE_SIZE)
            return paging_fail(diag, RESUME_ENOHOME, "home", "fill", va + offset, page[offset],
                               home->fill);
    }
    *ret_accessed = accessed != 0;
    *ret_dirty = dirty != 0;
    return RESUME_OK;
}

int resume_home_find(const struct resume_paging *guest, uint64_t length, struct resume_home *out,
                     struct resume_home_search *search, struct resume_diag *diag)
{
    struct scan scan;
    struct resume_home home;
    int err;

    if (!guest || !out || length == 0 || length > RESUME_HOME_LENGTH_MAX ||
        length % RESUME_PAGE_SIZE != 0)
        return paging_fail(diag, RESUME_EINVAL, "home", "length", 0, length,
                           RESUME_HOME_LENGTH_MAX);

    memset(&scan, 0, sizeof(scan));
    err = scan_guest(&scan, guest, diag);
    if (err)
        return err;
    if (search)
        *search = scan.search;

    if (!place_home(guest, &scan.padding, length, &home) &&
        !place_home(guest, &scan.zero, length, &home)) {
        const uint64_t longest =
            scan.padding.length > scan.zero.length ? scan.padding.length : scan.zero.length;

        return paging_fail(diag, RESUME_ENOHOME, "home", "length", 0, longest, length);
    }
    err = inspect_home(guest, &home, &home.accessed, &home.dirty, diag);
    if (err)
        return err;
    *out = home;
    return RESUME_OK;
}

int resume_home_check(const struct resume_paging *guest, const struct resume_home *home,
                      struct resume_diag *diag)
{
    uint8_t accessed;
    uint8_t dirty;

    if (!guest || !home)
        return paging_fail(diag, RESUME_EINVAL, "home", "argument", 0, 0, 0);
    if (home->kind != RESUME_HOME_PADDING && home->kind != RESUME_HOME_ZERO)
        return paging_fail(diag, RESUME_EINVAL, "home", "kind", 0, home->kind, RESUME_HOME_PADDING);
    if (home->fill != kind_fill(home->kind))
        return paging_fail(diag, RESUME_EINVAL, "home", "fill", 0, home->fill,
                           kind_fill(home->kind));
    if (home->length == 0 || home->length > RESUME_HOME_LENGTH_MAX ||
        home->length % RESUME_PAGE_SIZE != 0)
        return paging_fail(diag, RESUME_EINVAL, "home", "length", 0, home->length,
                           RESUME_HOME_LENGTH_MAX);
    if (home->va % RESUME_PAGE_SIZE != 0 || home->length - 1u > UINT64_MAX - home->va)
        return paging_fail(diag, RESUME_EINVAL, "home", "va", 0, home->va, 0);
    if (home->pa % RESUME_PAGE_SIZE != 0 || home->length - 1u > UINT64_MAX - home->pa)
        return paging_fail(diag, RESUME_EINVAL, "home", "pa", 0, home->pa, 0);
    return inspect_home(guest, home, &accessed, &dirty, diag);
}
