/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The home finder: which memory it takes, which it leaves alone, and how it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <resume/home.h>

#include "phys.h"
#include "pt_forge.h"
#include "pt_oracle.h"

#define PAGE UINT64_C(0x1000)
#define MIB2 UINT64_C(0x200000)
#define GIB1 UINT64_C(0x40000000)

#define TEXT_VA UINT64_C(0xffffffff81000000)
#define TEXT_PA UINT64_C(0x100000)
#define RAM_PAGES 2048

/* Flags of kernel text, and of the entries above it. */
#define UPPER (FORGE_RW | FORGE_A | FORGE_D)
#define TEXT (FORGE_P | FORGE_A | FORGE_D | FORGE_G)

/* A guest with its tables from 4 KiB on, and text, full of NOPs, wherever a test maps some. */
struct guest {
    struct phys phys;
    struct forge forge;
    struct resume_paging paging;
};

static void guest_open(struct guest *g, unsigned levels)
{
    memset(g, 0, sizeof(*g));
    phys_open(&g->phys, 0, RAM_PAGES);
    phys_fill(&g->phys, TEXT_PA, RAM_PAGES * PAGE - TEXT_PA, 0x90);
    forge_open(&g->forge, &g->phys, PAGE, levels);
    g->paging.phys = phys_access(&g->phys);
    g->paging.root_pa = PAGE;
    g->paging.levels = levels;
    g->paging.nxe = 1;
    g->paging.pa_bits = 40;
}

static void guest_close(struct guest *g)
{
    phys_close(&g->phys);
}

/* Map @pages 4 KiB pages, with @leaf as the flags of each. */
static void guest_map(struct guest *g, uint64_t va, uint64_t pa, uint64_t pages, uint64_t leaf)
{
    for (uint64_t i = 0; i < pages; i++)
        forge_map(&g->forge, va + i * PAGE, pa + i * PAGE, 1, UPPER, leaf);
}

/* Text of 32 pages, of which @count from page @first on hold @byte. */
static void guest_open_text(struct guest *g, uint64_t first, uint64_t count, uint8_t byte)
{
    guest_open(g, 4);
    guest_map(g, TEXT_VA, TEXT_PA, 32, TEXT);
    phys_fill(&g->phys, TEXT_PA + first * PAGE, count * PAGE, byte);
}

static void assert_home(struct guest *g, uint64_t pages, uint64_t va, uint64_t pa, uint32_t kind)
{
    struct resume_home home;
    struct resume_home_search search;
    struct resume_diag diag = {0};

    assert_int_equal(resume_home_find(&g->paging, pages * PAGE, &home, &search, &diag), RESUME_OK);
    assert_null(diag.where);
    assert_int_equal(home.va, va);
    assert_int_equal(home.pa, pa);
    assert_int_equal(home.length, pages * PAGE);
    assert_int_equal(home.kind, kind);
    assert_int_equal(home.fill, kind == RESUME_HOME_PADDING ? 0xcc : 0);
    assert_int_equal(search.complete, 1);
    assert_int_equal(resume_home_check(&g->paging, &home, NULL), RESUME_OK);
}

/* A home of @pages pages that starts at page @first of the text. */
static void assert_home_at(struct guest *g, uint64_t pages, uint64_t first)
{
    assert_home(g, pages, TEXT_VA + first * PAGE, TEXT_PA + first * PAGE, RESUME_HOME_PADDING);
}

static void assert_no_home(struct guest *g, uint64_t pages, uint64_t longest)
{
    struct resume_home home;
    struct resume_home before;
    struct resume_diag diag = {0};

    memset(&home, 0x5a, sizeof(home));
    before = home;
    assert_int_equal(resume_home_find(&g->paging, pages * PAGE, &home, NULL, &diag),
                     RESUME_ENOHOME);
    assert_memory_equal(&home, &before, sizeof(home));
    assert_int_equal(diag.code, -RESUME_ENOHOME);
    assert_int_equal(diag.expected, pages * PAGE);
    assert_int_equal(diag.found, longest * PAGE);
}

static void takes_the_end_of_the_run_and_spares_its_edges(void **state)
{
    struct guest g;
    (void)state;

    guest_open_text(&g, 5, 10, 0xcc); /* pages 5 to 14 */
    assert_home_at(&g, 1, 13);
    assert_home_at(&g, 4, 10);
    assert_home_at(&g, 8, 6);
    assert_home_at(&g, 9, 6);
    assert_home_at(&g, 10, 5);
    assert_no_home(&g, 11, 10);
    guest_close(&g);
}

static void takes_a_run_at_either_end_of_the_text(void **state)
{
    struct guest g;
    (void)state;

    guest_open_text(&g, 0, 4, 0xcc);
    assert_home_at(&g, 4, 0);
    guest_close(&g);
    guest_open_text(&g, 28, 4, 0xcc);
    assert_home_at(&g, 4, 28);
    assert_no_home(&g, 5, 4);
    guest_close(&g);
}

static void one_wrong_byte_splits_a_run(void **state)
{
    static const uint64_t offsets[] = {0, 1, 7, 8, 2047, 4088, 4095};
    (void)state;

    for (unsigned i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        struct guest g;

        guest_open_text(&g, 4, 12, 0xcc);
        phys_fill(&g.phys, TEXT_PA + 8 * PAGE + offsets[i], 1, 0xcd);
        assert_home_at(&g, 7, 9);
        assert_no_home(&g, 8, 7);
        guest_close(&g);
    }
}

static void prefers_the_longest_then_the_lowest_run(void **state)
{
    struct guest g;
    (void)state;

    guest_open_text(&g, 2, 4, 0xcc);
    phys_fill(&g.phys, TEXT_PA + 10 * PAGE, 4 * PAGE, 0xcc);
    assert_home_at(&g, 2, 3);
    phys_fill(&g.phys, TEXT_PA + 14 * PAGE, PAGE, 0xcc);
    assert_home_at(&g, 2, 12);
    guest_close(&g);
}

static void zeroes_are_the_second_choice(void **state)
{
    struct guest g;
    struct resume_home home;
    struct resume_home_search search;
    (void)state;

    guest_open_text(&g, 2, 4, 0xcc);
    phys_fill(&g.phys, TEXT_PA + 10 * PAGE, 9 * PAGE, 0);
    assert_home_at(&g, 4, 2);
    assert_home(&g, 5, TEXT_VA + 13 * PAGE, TEXT_PA + 13 * PAGE, RESUME_HOME_ZERO);
    assert_no_home(&g, 10, 9);
    assert_int_equal(resume_home_find(&g.paging, 10 * PAGE, &home, &search, NULL), RESUME_ENOHOME);
    assert_int_equal(search.pages_executable, 32);
    assert_int_equal(search.longest_padding, 4 * PAGE);
    assert_int_equal(search.longest_zero, 9 * PAGE);
    assert_int_equal(search.complete, 1);
    guest_close(&g);

    /* Padding and zeroes side by side are two runs. */
    guest_open_text(&g, 2, 4, 0xcc);
    phys_fill(&g.phys, TEXT_PA + 6 * PAGE, 4 * PAGE, 0);
    assert_no_home(&g, 5, 4);
    guest_close(&g);
}

static void wants_contiguity_in_both_address_spaces(void **state)
{
    struct guest g;
    (void)state;

    /* Virtually one run of 12; the second half lies elsewhere, one page further. */
    guest_open(&g, 4);
    guest_map(&g, TEXT_VA, TEXT_PA, 6, TEXT);
    guest_map(&g, TEXT_VA + 6 * PAGE, TEXT_PA + 7 * PAGE, 6, TEXT);
    phys_fill(&g.phys, TEXT_PA, 14 * PAGE, 0xcc);
    assert_home_at(&g, 6, 0);
    assert_no_home(&g, 7, 6);
    guest_close(&g);

    /* Physically one run of 12, with a gap in the virtual addresses. */
    guest_open(&g, 4);
    guest_map(&g, TEXT_VA, TEXT_PA, 6, TEXT);
    guest_map(&g, TEXT_VA + 7 * PAGE, TEXT_PA + 6 * PAGE, 6, TEXT);
    phys_fill(&g.phys, TEXT_PA, 12 * PAGE, 0xcc);
    assert_no_home(&g, 7, 6);
    guest_close(&g);

    /* The end of the low half and the start of the high half are not neighbours. */
    guest_open(&g, 4);
    guest_map(&g, UINT64_C(0x7ffffffff000), TEXT_PA, 1, TEXT);
    guest_map(&g, UINT64_C(0xffff800000000000), TEXT_PA + PAGE, 1, TEXT);
    phys_fill(&g.phys, TEXT_PA, 2 * PAGE, 0xcc);
    assert_no_home(&g, 2, 1);
    guest_close(&g);
}

static void searches_all_of_the_address_space(void **state)
{
    static const struct {
        uint64_t va;
        unsigned levels;
    } cases[] = {
        {0, 4},
        {0, 5},
        {UINT64_C(0x7fffffffe000), 4},
        {UINT64_C(0xffff800000000000), 4},
        {UINT64_C(0xffffffffffffe000), 4},
        {UINT64_C(0x00ffffffffffe000), 5},
        {UINT64_C(0xff00000000000000), 5},
        {UINT64_C(0xffffffffffffe000), 5},
    };
    (void)state;

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct guest g;

        guest_open(&g, cases[i].levels);
        guest_map(&g, cases[i].va, TEXT_PA, 2, TEXT);
        phys_fill(&g.phys, TEXT_PA, 2 * PAGE, 0xcc);
        assert_home(&g, 2, cases[i].va, TEXT_PA, RESUME_HOME_PADDING);
        guest_close(&g);
    }
}

static void goes_across_leaves_of_any_size(void **state)
{
    struct guest g;
    (void)state;

    /* Padding in the last page of a small mapping, all of a 2 MiB page, and 3 pages more. */
    guest_open(&g, 4);
    guest_map(&g, TEXT_VA - PAGE, MIB2 - PAGE, 1, TEXT);
    forge_map(&g.forge, TEXT_VA, MIB2, 2, UPPER, TEXT | FORGE_PS | FORGE_PAT_LARGE);
    guest_map(&g, TEXT_VA + MIB2, 2 * MIB2, 4, TEXT);
    phys_fill(&g.phys, MIB2 - PAGE, MIB2 + 4 * PAGE, 0xcc);
    assert_home(&g, 516, TEXT_VA - PAGE, MIB2 - PAGE, RESUME_HOME_PADDING);
    assert_no_home(&g, 517, 516);
    guest_close(&g);

    /* A 1 GiB page, of which only the first 8 MiB have RAM. */
    guest_open(&g, 4);
    forge_map(&g.forge, GIB1, 0, 3, UPPER, TEXT | FORGE_PS);
    phys_fill(&g.phys, (RAM_PAGES - 5) * PAGE, 5 * PAGE, 0xcc);
    assert_home(&g, 5, GIB1 + (RAM_PAGES - 5) * PAGE, (RAM_PAGES - 5) * PAGE, RESUME_HOME_PADDING);
    guest_close(&g);
}

static void leaves_user_pages_alone(void **state)
{
    struct guest g;
    (void)state;

    /* A user mapping is one that is user at every level. */
    guest_open_text(&g, 4, 12, 0xcc);
    for (unsigned level = 4; level >= 1; level--) {
        const uint64_t at = forge_entry(&g.forge, TEXT_VA + 8 * PAGE, level, UPPER);

        assert_home_at(&g, 12, 4);
        phys_poke(&g.phys, at, phys_peek(&g.phys, at) | FORGE_US);
    }
    assert_home_at(&g, 7, 9);
    assert_no_home(&g, 8, 7);
    guest_close(&g);
}

static void leaves_no_execute_pages_alone(void **state)
{
    (void)state;

    for (unsigned levels = 4; levels <= 5; levels++) {
        for (unsigned level = 1; level <= levels; level++) {
            struct guest g;
            struct resume_home home;
            struct resume_home_search search;
            uint64_t at;

            guest_open(&g, levels);
            guest_map(&g, TEXT_VA, TEXT_PA, 12, TEXT);
            phys_fill(&g.phys, TEXT_PA, 12 * PAGE, 0xcc);
            assert_home_at(&g, 12, 0);
            at = forge_entry(&g.forge, TEXT_VA + 4 * PAGE, level, UPPER);
            phys_poke(&g.phys, at, phys_peek(&g.phys, at) | FORGE_NX);
            assert_no_home(&g, 8, level == 1 ? 7 : 0);
            /* Without EFER.NXE the bit is reserved: nothing is mapped there at all. */
            g.paging.nxe = 0;
            assert_no_home(&g, 8, level == 1 ? 7 : 0);
            assert_int_equal(resume_home_find(&g.paging, 8 * PAGE, &home, &search, NULL),
                             RESUME_ENOHOME);
            assert_int_equal(search.pages_executable, level == 1 ? 11 : 0);
            guest_close(&g);
        }
    }
}

static void leaves_what_has_no_memory_alone(void **state)
{
    struct guest g;
    (void)state;

    guest_open_text(&g, 4, 12, 0xcc);
    phys_hole(&g.phys, TEXT_PA + 8 * PAGE);
    assert_home_at(&g, 7, 9);
    assert_no_home(&g, 8, 7);
    guest_close(&g);
}

/* Let the @n-th 2 MiB behind the text refer to the page at @pa as their page table. */
static void use_as_table(struct guest *g, unsigned n, uint64_t pa)
{
    phys_poke(&g->phys, forge_entry(&g->forge, TEXT_VA + n * MIB2, 2, UPPER), pa | UPPER | FORGE_P);
}

static void makes_way_for_empty_tables_in_use(void **state)
{
    struct guest g;
    (void)state;

    /* Zero pages 8 to 19; page 17 is an empty page table. */
    guest_open_text(&g, 8, 12, 0);
    assert_home(&g, 4, TEXT_VA + 15 * PAGE, TEXT_PA + 15 * PAGE, RESUME_HOME_ZERO);
    use_as_table(&g, 1, TEXT_PA + 17 * PAGE);
    assert_home(&g, 4, TEXT_VA + 13 * PAGE, TEXT_PA + 13 * PAGE, RESUME_HOME_ZERO);
    /* The page before it is free, the one behind it is long enough for a home of one page. */
    assert_home(&g, 1, TEXT_VA + 18 * PAGE, TEXT_PA + 18 * PAGE, RESUME_HOME_ZERO);
    assert_home(&g, 8, TEXT_VA + 9 * PAGE, TEXT_PA + 9 * PAGE, RESUME_HOME_ZERO);
    assert_no_home(&g, 9, 12);
    guest_close(&g);

    /* Several in a row: the home goes below all that it would cover, not step by step. */
    guest_open_text(&g, 2, 29, 0);
    for (unsigned n = 0; n < 6; n++)
        use_as_table(&g, 1 + n, TEXT_PA + (20 + n) * PAGE);
    assert_home(&g, 8, TEXT_VA + 12 * PAGE, TEXT_PA + 12 * PAGE, RESUME_HOME_ZERO);
    guest_close(&g);

    /* The same with padding: a page of 0xCC has no present entry either. */
    guest_open_text(&g, 8, 12, 0xcc);
    use_as_table(&g, 1, TEXT_PA + 17 * PAGE);
    assert_home_at(&g, 4, 13);
    guest_close(&g);
}

static void tells_whether_flags_would_be_set(void **state)
{
    (void)state;

    for (unsigned level = 1; level <= 4; level++) {
        for (unsigned bit = 0; bit < 2; bit++) {
            const uint64_t flag = bit ? FORGE_D : FORGE_A;
            struct resume_home home;
            struct guest g;
            uint64_t at;

            guest_open_text(&g, 4, 12, 0xcc);
            assert_int_equal(resume_home_find(&g.paging, 12 * PAGE, &home, NULL, NULL), RESUME_OK);
            assert_int_equal(home.accessed, 1);
            assert_int_equal(home.dirty, 1);
            at = forge_entry(&g.forge, TEXT_VA + 7 * PAGE, level, UPPER);
            phys_poke(&g.phys, at, phys_peek(&g.phys, at) & ~flag);
            assert_int_equal(resume_home_find(&g.paging, 12 * PAGE, &home, NULL, NULL), RESUME_OK);
            assert_int_equal(home.accessed, bit == 1);
            /* Above the leaf, bit 6 is ignored. */
            assert_int_equal(home.dirty, bit == 0 || level > 1);
            guest_close(&g);
        }
    }
}

/* Random text, against the plainest search there is, over what the oracle says is mapped. */
static void agrees_with_a_plain_search(void **state)
{
    enum { PAGES = 48 };
    unsigned found = 0;
    (void)state;

    for (uint64_t seed = 0; seed < 300; seed++) {
        uint64_t random = seed;
        uint64_t pa = TEXT_PA;
        uint64_t length = 1 + seed % 5;
        uint64_t best = 0;
        uint64_t best_va = 0;
        uint64_t best_pa = 0;
        struct pt_machine machine;
        struct resume_home home;
        struct guest g;
        int err;

        guest_open(&g, seed & 1 ? 5 : 4);
        for (uint64_t i = 0; i < PAGES; i++) {
            uint64_t leaf = TEXT;

            if (phys_random(&random) % 12 == 0)
                leaf |= FORGE_NX;
            if (phys_random(&random) % 16 == 0)
                leaf &= ~FORGE_P;
            if (phys_random(&random) % 10 == 0)
                pa += PAGE;
            guest_map(&g, TEXT_VA + i * PAGE, pa, 1, leaf);
            phys_fill(&g.phys, pa, PAGE, 0xcc);
            if (phys_random(&random) % 6 == 0)
                phys_fill(&g.phys, pa + phys_random(&random) % PAGE, 1, 0x90);
            pa += PAGE;
        }

        machine = forge_machine(&g.phys, PAGE, g.paging.levels, 1, 40);
        for (uint64_t from = 0; from < PAGES; from++) {
            uint64_t start_pa = 0;

            for (uint64_t to = from; to < PAGES; to++) {
                struct pt_mapping mapping;
                unsigned wrong = 0;

                if (pt_oracle_translate(&machine, TEXT_VA + to * PAGE, &mapping) != PT_MAPPED ||
                    !mapping.executable || mapping.user)
                    break;
                if (to == from)
                    start_pa = mapping.physical;
                if (mapping.physical != start_pa + (to - from) * PAGE)
                    break;
                for (uint64_t i = 0; i < PAGE; i++)
                    wrong += g.phys.bytes[mapping.physical + i] != 0xcc;
                if (wrong)
                    break;
                if (to - from + 1 > best) {
                    best = to - from + 1;
                    best_va = TEXT_VA + from * PAGE;
                    best_pa = start_pa;
                }
            }
        }

        err = resume_home_find(&g.paging, length * PAGE, &home, NULL, NULL);
        assert_int_equal(err, best >= length ? RESUME_OK : RESUME_ENOHOME);
        if (!err) {
            const uint64_t behind = best - length >= 2 ? 1 : 0;

            found++;
            assert_int_equal(home.va, best_va + (best - behind - length) * PAGE);
            assert_int_equal(home.pa, best_pa + (best - behind - length) * PAGE);
        }
        guest_close(&g);
    }
    assert_true(found > 100 && found < 300);
}

static void ends_on_tables_that_refer_to_themselves(void **state)
{
    struct guest g;
    struct resume_home home;
    struct resume_home_search search;
    (void)state;

    /* 2^36 executable pages, all of them the root: the bound on pages ends it. */
    guest_open(&g, 4);
    g.paging.phys = phys_access_direct(&g.phys);
    for (uint64_t i = 0; i < 512; i++)
        phys_poke(&g.phys, PAGE + 8 * i, PAGE | FORGE_P);
    assert_int_equal(resume_home_find(&g.paging, PAGE, &home, &search, NULL), RESUME_ENOHOME);
    assert_int_equal(search.complete, 0);
    assert_int_equal(search.pages_executable, 2 << 21); /* 8 GiB in either half */

    /* None of them executable: the bound on tables ends it. */
    for (uint64_t i = 0; i < 512; i++)
        phys_poke(&g.phys, PAGE + 8 * i, PAGE | FORGE_P | FORGE_NX);
    g.phys.calls = 0;
    assert_int_equal(resume_home_find(&g.paging, PAGE, &home, &search, NULL), RESUME_ENOHOME);
    assert_int_equal(search.complete, 0);
    assert_int_equal(search.pages_executable, 0);
    guest_close(&g);
}

static void checks_a_home(void **state)
{
    struct guest g;
    struct resume_home good;
    struct resume_home home;
    struct resume_diag diag = {0};
    uint64_t at;
    (void)state;

    guest_open_text(&g, 4, 12, 0xcc);
    assert_int_equal(resume_home_find(&g.paging, 4 * PAGE, &good, NULL, NULL), RESUME_OK);
    assert_int_equal(resume_home_check(&g.paging, &good, &diag), RESUME_OK);
    assert_null(diag.where);

    phys_fill(&g.phys, good.pa + 2 * PAGE + 13, 1, 0xcd);
    assert_int_equal(resume_home_check(&g.paging, &good, &diag), RESUME_ENOHOME);
    assert_int_equal(diag.code, -RESUME_ENOHOME);
    assert_int_equal(diag.offset, good.va + 2 * PAGE + 13);
    assert_int_equal(diag.found, 0xcd);
    assert_int_equal(diag.expected, 0xcc);
    phys_fill(&g.phys, good.pa + 2 * PAGE + 13, 1, 0xcc);

    home = good;
    home.pa += PAGE;
    assert_int_equal(resume_home_check(&g.paging, &home, &diag), RESUME_ECONFLICT);
    assert_string_equal(diag.field, "pa");
    assert_int_equal(diag.offset, good.va);

    at = forge_entry(&g.forge, good.va + PAGE, 1, UPPER);
    phys_poke(&g.phys, at, phys_peek(&g.phys, at) | FORGE_NX);
    assert_int_equal(resume_home_check(&g.paging, &good, &diag), RESUME_ECONFLICT);
    assert_string_equal(diag.field, "rights");
    assert_int_equal(diag.offset, good.va + PAGE);
    phys_poke(&g.phys, at, phys_peek(&g.phys, at) & ~FORGE_NX & ~FORGE_P);
    assert_int_equal(resume_home_check(&g.paging, &good, &diag), RESUME_EUNMAPPED);
    assert_int_equal(diag.offset, at);
    phys_poke(&g.phys, at, phys_peek(&g.phys, at) | FORGE_P | UINT64_C(1) << 50);
    assert_int_equal(resume_home_check(&g.paging, &good, &diag), RESUME_EREGISTER);
    phys_poke(&g.phys, at, phys_peek(&g.phys, at) & ~(UINT64_C(1) << 50));
    assert_int_equal(resume_home_check(&g.paging, &good, &diag), RESUME_OK);

    home = good;
    home.va = UINT64_C(0x800000000000);
    assert_int_equal(resume_home_check(&g.paging, &home, &diag), RESUME_ECANON);
    phys_hole(&g.phys, good.pa);
    assert_int_equal(resume_home_check(&g.paging, &good, &diag), RESUME_EUNREACHABLE);
    assert_int_equal(diag.offset, good.pa);
    guest_close(&g);
}

static void refuses_wrong_arguments(void **state)
{
    struct guest g;
    struct resume_home home = {.va = 9};
    struct resume_home_search search = {.longest_zero = 9};
    struct resume_home good;
    (void)state;

    guest_open_text(&g, 4, 12, 0xcc);
    assert_int_equal(resume_home_find(NULL, PAGE, &home, &search, NULL), RESUME_EINVAL);
    assert_int_equal(resume_home_find(&g.paging, PAGE, NULL, &search, NULL), RESUME_EINVAL);
    assert_int_equal(resume_home_find(&g.paging, 0, &home, &search, NULL), RESUME_EINVAL);
    assert_int_equal(resume_home_find(&g.paging, 0x1800, &home, &search, NULL), RESUME_EINVAL);
    assert_int_equal(
        resume_home_find(&g.paging, RESUME_HOME_LENGTH_MAX + PAGE, &home, &search, NULL),
        RESUME_EINVAL);
    g.paging.levels = 3;
    assert_int_equal(resume_home_find(&g.paging, PAGE, &home, &search, NULL), RESUME_EINVAL);
    g.paging.levels = 4;
    assert_int_equal(home.va, 9);
    assert_int_equal(search.longest_zero, 9);

    assert_int_equal(resume_home_find(&g.paging, PAGE, &good, NULL, NULL), RESUME_OK);
    assert_int_equal(resume_home_check(NULL, &good, NULL), RESUME_EINVAL);
    assert_int_equal(resume_home_check(&g.paging, NULL, NULL), RESUME_EINVAL);
    for (unsigned i = 0; i < 10; i++) {
        home = good;
        switch (i) {
        case 0:
            home.kind = RESUME_HOME_NONE;
            break;
        case 1:
            home.kind = 3;
            break;
        case 2:
            home.fill = 0;
            break;
        case 3:
            home.length = 0;
            break;
        case 4:
            home.length += 8;
            break;
        case 5:
            home.length = RESUME_HOME_LENGTH_MAX + PAGE;
            break;
        case 6:
            home.va += 8;
            break;
        case 7:
            home.pa += 8;
            break;
        case 8:
            home.va = UINT64_MAX - 0xfff;
            home.length = 2 * PAGE;
            break;
        default:
            home.pa = UINT64_MAX - 0xfff;
            home.length = 2 * PAGE;
            break;
        }
        assert_int_equal(resume_home_check(&g.paging, &home, NULL), RESUME_EINVAL);
    }

    phys_hole(&g.phys, PAGE); /* the root */
    home.va = 9;
    assert_int_equal(resume_home_find(&g.paging, PAGE, &home, &search, NULL), RESUME_EUNREACHABLE);
    assert_int_equal(home.va, 9);
    guest_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_end_of_the_run_and_spares_its_edges),
        cmocka_unit_test(takes_a_run_at_either_end_of_the_text),
        cmocka_unit_test(one_wrong_byte_splits_a_run),
        cmocka_unit_test(prefers_the_longest_then_the_lowest_run),
        cmocka_unit_test(zeroes_are_the_second_choice),
        cmocka_unit_test(wants_contiguity_in_both_address_spaces),
        cmocka_unit_test(searches_all_of_the_address_space),
        cmocka_unit_test(goes_across_leaves_of_any_size),
        cmocka_unit_test(leaves_user_pages_alone),
        cmocka_unit_test(leaves_no_execute_pages_alone),
        cmocka_unit_test(leaves_what_has_no_memory_alone),
        cmocka_unit_test(makes_way_for_empty_tables_in_use),
        cmocka_unit_test(tells_whether_flags_would_be_set),
        cmocka_unit_test(agrees_with_a_plain_search),
        cmocka_unit_test(ends_on_tables_that_refer_to_themselves),
        cmocka_unit_test(checks_a_home),
        cmocka_unit_test(refuses_wrong_arguments),
    };

    return cmocka_run_group_tests_name("home", tests, NULL, NULL);
}
