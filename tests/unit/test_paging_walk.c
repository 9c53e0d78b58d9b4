/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The walker and the iterator, against a walker that shares nothing with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <resume/paging.h>

#include "phys.h"
#include "pt_forge.h"
#include "pt_oracle.h"

#define TABLES 24
#define LIST_ROOM 100000

/* Simulated memory full of random tables, and the two ways to look at it. */
struct world {
    struct phys phys;
    struct resume_paging paging;
    struct pt_machine machine;
    uint64_t random;
};

static const unsigned palette[] = {0, 1, 2, 255, 256, 257, 510, 511};

static unsigned random_index(uint64_t *state)
{
    const uint64_t r = phys_random(state);

    return r % 16 == 0 ? (unsigned)(r >> 32) % 512 : palette[(r >> 32) % 8];
}

static int one_in(uint64_t *state, unsigned n)
{
    return phys_random(state) % n == 0;
}

static uint64_t random_entry(struct world *w, unsigned nx_in)
{
    uint64_t *state = &w->random;
    const uint64_t r = phys_random(state);
    const uint64_t width = (UINT64_C(1) << w->paging.pa_bits) - 1;
    /* Ignored bits and caching bits at random: none of them changes a translation. */
    uint64_t entry = r & UINT64_C(0x7ff0000000000f78);
    uint64_t address;

    if (!one_in(state, 10))
        entry |= FORGE_P;
    if (!one_in(state, 4))
        entry |= FORGE_RW;
    if (!one_in(state, 3))
        entry |= FORGE_US;
    if (one_in(state, nx_in))
        entry |= FORGE_NX;
    address = w->phys.base + phys_random(state) % TABLES * 4096;
    if (one_in(state, 5)) {
        entry |= FORGE_PS;
        /* Often aligned for a 2 MiB page only, so that a 1 GiB page has reserved bits set. */
        address =
            phys_random(state) & width & ~(uint64_t)(one_in(state, 2) ? 0x3fffffff : 0x1fffff);
        if (one_in(state, 2))
            entry |= FORGE_PAT_LARGE;
        if (one_in(state, 8))
            entry |= UINT64_C(0x2000) << phys_random(state) % 8;
    } else if (one_in(state, 12)) {
        address = phys_random(state) & width & ~UINT64_C(0xfff);
    }
    if (w->paging.pa_bits < 52 && one_in(state, 24))
        entry |= UINT64_C(1) << (w->paging.pa_bits + phys_random(state) % (52 - w->paging.pa_bits));
    return entry | address;
}

static void world_open(struct world *w, uint64_t seed)
{
    static const uint32_t widths[] = {32, 36, 39, 40, 46, 51, 52};
    uint64_t base;

    memset(w, 0, sizeof(*w));
    w->random = seed;
    w->paging.levels = seed & 1 ? 5 : 4;
    w->paging.nxe = !one_in(&w->random, 4);
    w->paging.pa_bits = widths[phys_random(&w->random) % 7];
    base =
        phys_random(&w->random) & ((UINT64_C(1) << (w->paging.pa_bits - 1)) - 1) & ~UINT64_C(0xfff);
    phys_open(&w->phys, base, TABLES);
    for (uint64_t table = 0; table < TABLES; table++) {
        for (unsigned i = 0; i < 5; i++)
            phys_poke(&w->phys, base + table * 4096 + 8 * random_index(&w->random),
                      random_entry(w, w->paging.nxe ? 6 : 40));
    }
    w->paging.phys = phys_access(&w->phys);
    w->paging.root_pa = base + (phys_random(&w->random) & 0xfff); /* low bits: PCID and the like */
    w->machine = forge_machine(&w->phys, w->paging.root_pa, w->paging.levels, (int)w->paging.nxe,
                               (int)w->paging.pa_bits);
}

static void world_close(struct world *w)
{
    phys_close(&w->phys);
}

static int expected_error(enum pt_answer answer)
{
    switch (answer) {
    case PT_MAPPED:
        return RESUME_OK;
    case PT_NOT_CANONICAL:
        return RESUME_ECANON;
    case PT_NOT_PRESENT:
        return RESUME_EUNMAPPED;
    case PT_RESERVED_BIT:
        return RESUME_EREGISTER;
    case PT_NO_RAM:
        return RESUME_EUNREACHABLE;
    }
    return 1;
}

static void assert_same_page(struct world *w, const struct resume_translation *got,
                             const struct pt_mapping *want)
{
    assert_int_equal(got->size, want->page_size);
    assert_int_equal(got->va, want->linear - want->linear % want->page_size);
    assert_int_equal(got->pa, want->physical - want->physical % want->page_size);
    assert_int_equal((got->rights & RESUME_MAP_WRITE) != 0, want->writable);
    assert_int_equal((got->rights & RESUME_MAP_USER) != 0, want->user);
    assert_int_equal((got->rights & RESUME_MAP_EXEC) != 0, want->executable);
    assert_int_equal((got->rights & RESUME_MAP_GLOBAL) != 0, want->global);
    assert_int_equal(got->rights >> 4, 0);
    assert_int_equal(UINT64_C(1) << (3 + 9 * got->leaf_level), got->size);
    for (uint32_t level = 1; level <= 5; level++) {
        if (level < got->leaf_level || level > w->paging.levels) {
            assert_int_equal(got->entry_pa[level - 1], 0);
            assert_int_equal(got->entry[level - 1], 0);
        } else {
            assert_int_equal(phys_peek(&w->phys, got->entry_pa[level - 1]), got->entry[level - 1]);
        }
    }
}

static void agrees_with_the_oracle_on_random_tables(void **state)
{
    unsigned long answers[5] = {0};
    unsigned long sizes[3] = {0};
    unsigned long rights[16] = {0};
    (void)state;

    for (uint64_t seed = 0; seed < 400; seed++) {
        struct world w;

        world_open(&w, seed);
        for (unsigned n = 0; n < 250; n++) {
            struct resume_translation got;
            struct resume_translation before;
            struct resume_diag diag = {0};
            struct pt_mapping want = {0};
            unsigned index[5];
            uint64_t va;
            enum pt_answer answer;
            int err;

            for (unsigned i = 0; i < 5; i++)
                index[i] = random_index(&w.random);
            va = forge_va(index, w.paging.levels) | (phys_random(&w.random) & 0xfff);
            if (one_in(&w.random, 16))
                va ^= UINT64_C(1) << (w.paging.levels * 9 + 11 + phys_random(&w.random) % 7);

            memset(&got, 0x5a, sizeof(got));
            before = got;
            answer = pt_oracle_translate(&w.machine, va, &want);
            err = resume_paging_walk(&w.paging, va, &got, &diag);
            assert_int_equal(err, expected_error(answer));
            answers[answer]++;
            if (err) {
                assert_memory_equal(&got, &before, sizeof(got));
                assert_int_equal(diag.code, (uint32_t)-err);
                assert_int_equal(diag.vcpu, RESUME_NO_VCPU);
                assert_int_equal(resume_paging_walk(&w.paging, va, &got, NULL), err);
            }
            if (answer == PT_NOT_PRESENT || answer == PT_RESERVED_BIT) {
                assert_string_equal(diag.field, want.stopped_at);
                assert_int_equal(phys_peek(&w.phys, diag.offset), diag.found);
            }
            if (answer == PT_RESERVED_BIT)
                assert_int_not_equal(diag.found, diag.expected);
            if (answer == PT_MAPPED) {
                assert_null(diag.where);
                assert_same_page(&w, &got, &want);
                sizes[got.leaf_level - 1]++;
                rights[got.rights]++;
            }
        }
        world_close(&w);
    }
    /* The tables were varied enough for the comparison to mean something. */
    for (unsigned i = 0; i < 5; i++)
        assert_true(answers[i] > 500);
    for (unsigned i = 0; i < 3; i++)
        assert_true(sizes[i] > 100);
    for (unsigned i = 0; i < 16; i++)
        assert_true(rights[i] > 10);
}

static void assert_iterates(struct world *w, uint64_t first, uint64_t last,
                            const struct pt_mapping *list, unsigned long count)
{
    struct resume_paging_iter iter;
    struct resume_translation got;
    unsigned long at = 0;

    while (at < count && list[at].linear + (list[at].page_size - 1) < first)
        at++;
    assert_int_equal(resume_paging_iter_init(&iter, &w->paging, first, last, 1u << 20), RESUME_OK);
    for (;;) {
        assert_int_equal(resume_paging_iter_next(&iter, &got, NULL), RESUME_OK);
        if (got.size == 0)
            break;
        assert_true(at < count && list[at].linear <= last);
        assert_same_page(w, &got, &list[at]);
        at++;
    }
    assert_true(at == count || list[at].linear > last);
    assert_int_equal(resume_paging_iter_next(&iter, &got, NULL), RESUME_OK);
    assert_int_equal(got.size, 0);
}

static void iterates_over_what_the_oracle_enumerates(void **state)
{
    struct pt_mapping *list = calloc(LIST_ROOM, sizeof(*list));
    unsigned long total = 0;
    (void)state;

    assert_non_null(list);
    for (uint64_t seed = 1000; seed < 1060; seed++) {
        struct world w;
        unsigned long count;

        world_open(&w, seed);
        count = pt_oracle_enumerate(&w.machine, list, LIST_ROOM);
        assert_true(count <= LIST_ROOM);
        total += count;
        assert_iterates(&w, 0, UINT64_MAX, list, count);
        for (unsigned n = 0; n < 8; n++) {
            unsigned from[5];
            unsigned to[5];
            uint64_t first;
            uint64_t last;

            for (unsigned i = 0; i < 5; i++) {
                from[i] = random_index(&w.random);
                to[i] = random_index(&w.random);
            }
            first = forge_va(from, w.paging.levels) | (phys_random(&w.random) & 0xfff);
            last = forge_va(to, w.paging.levels) | (phys_random(&w.random) & 0xfff);
            assert_iterates(&w, first < last ? first : last, first < last ? last : first, list,
                            count);
        }
        world_close(&w);
    }
    assert_true(total > 2000);
    free(list);
}

static void knows_canonical_addresses(void **state)
{
    static const struct {
        uint64_t va;
        int with_4;
        int with_5;
    } cases[] = {
        {0, 1, 1},
        {UINT64_MAX, 1, 1},
        {UINT64_C(0x00007fffffffffff), 1, 1},
        {UINT64_C(0x0000800000000000), 0, 1},
        {UINT64_C(0xffff7fffffffffff), 0, 1},
        {UINT64_C(0xffff800000000000), 1, 1},
        {UINT64_C(0x00ffffffffffffff), 0, 1},
        {UINT64_C(0x0100000000000000), 0, 0},
        {UINT64_C(0xfeffffffffffffff), 0, 0},
        {UINT64_C(0xff00000000000000), 0, 1},
        {UINT64_C(0x8000000000000000), 0, 0},
    };
    (void)state;

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(resume_paging_canonical(cases[i].va, 4), cases[i].with_4);
        assert_int_equal(resume_paging_canonical(cases[i].va, 5), cases[i].with_5);
    }
}

/* Root, PDPT, PD at 0x1000.., two page tables full of pages. */
static void open_two_full_tables(struct world *w)
{
    struct forge forge;

    memset(w, 0, sizeof(*w));
    phys_open(&w->phys, 0, 16);
    forge_open(&forge, &w->phys, 0x1000, 4);
    for (uint64_t page = 0; page < 1024; page++)
        forge_map(&forge, page * 4096, page * 4096, 1, FORGE_RW, FORGE_P);
    w->paging.phys = phys_access(&w->phys);
    w->paging.root_pa = 0x1000;
    w->paging.levels = 4;
    w->paging.nxe = 1;
    w->paging.pa_bits = 40;
}

static void asks_for_each_page_about_once(void **state)
{
    struct world w;
    struct resume_paging_iter iter;
    struct resume_translation got;
    unsigned leaves = 0;
    (void)state;

    open_two_full_tables(&w);
    assert_int_equal(resume_paging_iter_init(&iter, &w.paging, 0, UINT64_MAX, 5), RESUME_OK);
    while (resume_paging_iter_next(&iter, &got, NULL) == RESUME_OK && got.size != 0)
        leaves++;
    assert_int_equal(leaves, 1024);
    /* One call for a leaf, two for each of the five tables. */
    assert_true(w.phys.calls <= 1024 + 2 * 5);
    world_close(&w);
}

static void stops_when_the_budget_is_used_up(void **state)
{
    struct world w;
    struct resume_paging_iter iter;
    struct resume_translation got;
    struct resume_diag diag = {0};
    unsigned leaves = 0;
    (void)state;

    open_two_full_tables(&w);
    assert_int_equal(resume_paging_iter_init(&iter, &w.paging, 0, UINT64_MAX, 4), RESUME_OK);
    while (resume_paging_iter_next(&iter, &got, &diag) == RESUME_OK)
        leaves++;
    assert_int_equal(leaves, 512);
    assert_int_equal(got.va, 511 * 4096);
    assert_int_equal(diag.code, -RESUME_ENOSPC);
    assert_int_equal(diag.offset, 0x200000);
    assert_string_equal(diag.field, "budget");
    assert_int_equal(resume_paging_iter_next(&iter, &got, &diag), RESUME_ENOSPC);
    world_close(&w);
}

static void survives_a_root_that_refers_to_itself(void **state)
{
    struct world w;
    struct resume_paging_iter iter;
    struct resume_translation got;
    unsigned long leaves = 0;
    int err;
    (void)state;

    open_two_full_tables(&w);
    for (unsigned i = 0; i < 512; i++)
        phys_poke(&w.phys, 0x1000 + 8 * i, 0x1000 | FORGE_P | FORGE_RW);
    assert_int_equal(resume_paging_iter_init(&iter, &w.paging, 0, UINT64_MAX, 20), RESUME_OK);
    while ((err = resume_paging_iter_next(&iter, &got, NULL)) == RESUME_OK && got.size != 0) {
        assert_int_equal(got.pa, 0x1000);
        leaves++;
    }
    assert_int_equal(err, RESUME_ENOSPC);
    /* The root as PML4, PDPT, PD, and 17 times as page table. */
    assert_int_equal(leaves, 17 * 512);
    world_close(&w);
}

static void skips_tables_it_cannot_reach(void **state)
{
    struct world w;
    struct resume_paging_iter iter;
    struct resume_translation got;
    struct resume_diag diag = {0};
    (void)state;

    open_two_full_tables(&w);
    phys_hole(&w.phys, 0x4000); /* the first page table */
    assert_int_equal(resume_paging_iter_init(&iter, &w.paging, 0, UINT64_MAX, 5), RESUME_OK);
    assert_int_equal(resume_paging_iter_next(&iter, &got, NULL), RESUME_OK);
    assert_int_equal(got.va, 0x200000);
    assert_true(w.phys.calls <= 6); /* the missing table is asked for once */
    assert_int_equal(resume_paging_walk(&w.paging, 0x3000, &got, &diag), RESUME_EUNREACHABLE);
    assert_string_equal(diag.field, "PTE");
    assert_int_equal(diag.offset, 0x4018);
    phys_hole(&w.phys, 0x1000); /* the root */
    assert_int_equal(resume_paging_iter_init(&iter, &w.paging, 0, UINT64_MAX, 5), RESUME_OK);
    assert_int_equal(resume_paging_iter_next(&iter, &got, NULL), RESUME_OK);
    assert_int_equal(got.size, 0);
    world_close(&w);
}

static void refuses_wrong_arguments(void **state)
{
    struct world w;
    struct resume_paging bad;
    struct resume_paging_iter iter = {0};
    struct resume_translation got = {.size = 9};
    (void)state;

    open_two_full_tables(&w);
    assert_int_equal(resume_paging_walk(NULL, 0, &got, NULL), RESUME_EINVAL);
    assert_int_equal(resume_paging_walk(&w.paging, 0, NULL, NULL), RESUME_EINVAL);
    for (unsigned i = 0; i < 6; i++) {
        bad = w.paging;
        switch (i) {
        case 0:
            bad.phys.page = NULL;
            break;
        case 1:
            bad.levels = 3;
            break;
        case 2:
            bad.levels = 6;
            break;
        case 3:
            bad.pa_bits = 31;
            break;
        case 4:
            bad.pa_bits = 53;
            break;
        default:
            bad.root_pa = UINT64_C(1) << 40;
            break;
        }
        assert_int_equal(resume_paging_walk(&bad, 0, &got, NULL), RESUME_EINVAL);
        assert_int_equal(resume_paging_iter_init(&iter, &bad, 0, 0, 1), RESUME_EINVAL);
    }
    assert_int_equal(resume_paging_iter_init(NULL, &w.paging, 0, 0, 1), RESUME_EINVAL);
    assert_int_equal(resume_paging_iter_init(&iter, NULL, 0, 0, 1), RESUME_EINVAL);
    assert_int_equal(resume_paging_iter_init(&iter, &w.paging, 0, 0, 0), RESUME_EINVAL);
    assert_int_equal(resume_paging_iter_init(&iter, &w.paging, 1, 0, 1), RESUME_EINVAL);
    assert_int_equal(resume_paging_iter_init(&iter, &w.paging, UINT64_C(1) << 47, UINT64_MAX, 1),
                     RESUME_ECANON);
    assert_int_equal(resume_paging_iter_init(&iter, &w.paging, 0, UINT64_C(1) << 47, 1),
                     RESUME_ECANON);
    assert_null(iter.paging);
    assert_int_equal(resume_paging_iter_next(NULL, &got, NULL), RESUME_EINVAL);
    assert_int_equal(resume_paging_iter_next(&iter, &got, NULL), RESUME_EINVAL);
    assert_int_equal(resume_paging_iter_init(&iter, &w.paging, 0, 0, 1), RESUME_OK);
    assert_int_equal(resume_paging_iter_next(&iter, NULL, NULL), RESUME_EINVAL);
    assert_int_equal(got.size, 9);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_oracle_on_random_tables),
        cmocka_unit_test(iterates_over_what_the_oracle_enumerates),
        cmocka_unit_test(knows_canonical_addresses),
        cmocka_unit_test(asks_for_each_page_about_once),
        cmocka_unit_test(stops_when_the_budget_is_used_up),
        cmocka_unit_test(survives_a_root_that_refers_to_itself),
        cmocka_unit_test(skips_tables_it_cannot_reach),
        cmocka_unit_test(refuses_wrong_arguments),
    };

    return cmocka_run_group_tests_name("paging_walk", tests, NULL, NULL);
}
