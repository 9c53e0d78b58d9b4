/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The builder: what it builds is read back by a walker that shares nothing with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <resume/paging.h>

#include "phys.h"
#include "pt_forge.h"
#include "pt_oracle.h"

#define BASE UINT64_C(0x7000000)
#define KIB4 UINT64_C(0x1000)
#define MIB2 UINT64_C(0x200000)
#define GIB1 UINT64_C(0x40000000)
#define RW RESUME_MAP_WRITE
#define RX RESUME_MAP_EXEC

/* A builder with its arena in simulated memory. */
struct site {
    struct phys phys;
    struct resume_arena arena;
    struct resume_paging_builder builder;
};

static void site_open(struct site *site, uint32_t pages, uint32_t levels, uint32_t allow_1g)
{
    phys_open(&site->phys, BASE, pages);
    /* The window finds pointers that are kept too long; large sites would take minutes with it. */
    const struct resume_phys access =
        pages <= 64 ? phys_access(&site->phys) : phys_access_direct(&site->phys);
    assert_int_equal(resume_arena_init(&site->arena, &access, BASE, pages), RESUME_OK);
    assert_int_equal(
        resume_paging_builder_init(&site->builder, &site->arena, levels, allow_1g, NULL),
        RESUME_OK);
}

static void site_close(struct site *site)
{
    phys_close(&site->phys);
}

static int site_map(struct site *site, uint64_t va, uint64_t pa, uint64_t length, uint32_t rights)
{
    return resume_paging_map(&site->builder, va, pa, length, rights, NULL);
}

static enum pt_answer site_ask(struct site *site, uint64_t va, struct pt_mapping *mapping)
{
    const struct pt_machine machine =
        forge_machine(&site->phys, site->builder.root_pa, site->builder.levels, 1, 52);

    return pt_oracle_translate(&machine, va, mapping);
}

static void assert_maps(struct site *site, uint64_t va, uint64_t pa, uint32_t rights)
{
    struct pt_mapping mapping;

    assert_int_equal(site_ask(site, va, &mapping), PT_MAPPED);
    assert_int_equal(mapping.physical, pa);
    assert_int_equal(mapping.writable, (rights & RW) != 0);
    assert_int_equal(mapping.executable, (rights & RX) != 0);
    assert_false(mapping.user);
    assert_false(mapping.global);
}

struct range {
    uint64_t va;
    uint64_t pa;
    uint64_t length;
    uint32_t rights;
};

static int holds(const struct range *range, uint64_t va)
{
    return va >= range->va && va - range->va < range->length;
}

static int collide(const struct range *a, const struct range *b)
{
    if (!holds(a, b->va) && !holds(b, a->va))
        return 0;
    return a->va - a->pa != b->va - b->pa || a->rights != b->rights;
}

/* Ranges that often touch, overlap, and straddle the boundaries of every level. */
static struct range random_range(uint64_t *state, uint32_t levels)
{
    static const uint64_t units[] = {KIB4, KIB4, MIB2, GIB1};
    static const uint64_t deltas[] = {0, 0, KIB4, MIB2, 5 * GIB1};
    const uint64_t corner = levels == 5 ? UINT64_C(1) << 48 : UINT64_C(1) << 39;
    const uint64_t unit = units[phys_random(state) % 4];
    struct range range;

    range.va = corner + (phys_random(state) % 5) * unit - 2 * unit;
    if (phys_random(state) % 2)
        range.va += phys_random(state) % 3 * MIB2 - MIB2;
    range.length = (1 + phys_random(state) % 3) * units[phys_random(state) % 4];
    if (phys_random(state) % 4 == 0)
        range.length += phys_random(state) % 600 * KIB4;
    range.pa = range.va + deltas[phys_random(state) % 5];
    range.rights = phys_random(state) % 8 ? RW : RX;
    if (phys_random(state) % 3 == 0)
        range.va |= UINT64_MAX << (levels == 5 ? 56 : 47);
    return range;
}

static void builds_what_the_oracle_reads(void **unused)
{
    unsigned conflicts = 0;
    unsigned repeats = 0;
    (void)unused;

    for (uint64_t seed = 0; seed < 300; seed++) {
        uint64_t state = seed;
        struct range ranges[6];
        unsigned count = 0;
        struct site site;

        site_open(&site, 8192, seed & 1 ? 5 : 4, (uint32_t)seed & 2);
        while (count < 6) {
            const struct range range = random_range(&state, site.builder.levels);
            const uint32_t before = site.arena.used;
            int expected = RESUME_OK;
            int err;

            for (unsigned i = 0; i < count; i++) {
                if (collide(&ranges[i], &range))
                    expected = RESUME_ECONFLICT;
                else if (holds(&ranges[i], range.va) || holds(&range, ranges[i].va))
                    repeats++;
            }
            err = site_map(&site, range.va, range.pa, range.length, range.rights);
            assert_true(site.arena.used - before <=
                        resume_paging_map_bound(range.length, site.builder.levels));
            assert_int_equal(err, expected);
            if (err) {
                conflicts++;
                break;
            }
            ranges[count++] = range;
        }
        if (count == 6) {
            for (unsigned i = 0; i < count; i++) {
                const struct range *r = &ranges[i];
                const uint64_t edges[] = {r->va - 1, r->va + r->length};

                assert_maps(&site, r->va, r->pa, r->rights);
                assert_maps(&site, r->va + r->length - 1, r->pa + r->length - 1, r->rights);
                for (unsigned n = 0; n < 30; n++) {
                    const uint64_t at = phys_random(&state) % r->length;

                    assert_maps(&site, r->va + at, r->pa + at, r->rights);
                }
                for (unsigned edge = 0; edge < 2; edge++) {
                    struct pt_mapping mapping;
                    int inside = 0;

                    for (unsigned j = 0; j < count; j++)
                        inside |= holds(&ranges[j], edges[edge]);
                    if (!inside)
                        assert_int_equal(site_ask(&site, edges[edge], &mapping), PT_NOT_PRESENT);
                }
            }
        }
        site_close(&site);
    }
    assert_true(conflicts > 50);
    assert_true(repeats > 50);
}

static void takes_the_largest_pages_that_fit(void **unused)
{
    unsigned sizes[3] = {0};
    (void)unused;

    for (uint64_t seed = 5000; seed < 5200; seed++) {
        uint64_t state = seed;
        const uint32_t levels = seed & 1 ? 5 : 4;
        const uint32_t allow_1g = (uint32_t)seed & 2;
        const struct range r = random_range(&state, levels);
        struct site site;

        site_open(&site, 8192, levels, allow_1g);
        assert_int_equal(site_map(&site, r.va, r.pa, r.length, r.rights), RESUME_OK);
        for (unsigned n = 0; n < 40; n++) {
            const uint64_t va = r.va + phys_random(&state) % r.length;
            uint64_t expected = KIB4;
            struct pt_mapping mapping;

            for (uint64_t size = MIB2; size <= (allow_1g ? GIB1 : MIB2); size *= 512) {
                const uint64_t start = va - va % size;

                if (start >= r.va && start - r.va + size <= r.length && (r.va - r.pa) % size == 0)
                    expected = size;
            }
            assert_int_equal(site_ask(&site, va, &mapping), PT_MAPPED);
            assert_int_equal(mapping.page_size, expected);
            sizes[expected == KIB4 ? 0 : expected == MIB2 ? 1 : 2]++;
        }
        site_close(&site);
    }
    for (unsigned i = 0; i < 3; i++)
        assert_true(sizes[i] > 100);
}

/* The entries themselves, as a CPU finds them: flags that it would set are set. */
static void writes_these_entries(void **unused)
{
    struct site site;
    (void)unused;

    site_open(&site, 4, 4, 0);
    assert_int_equal(site.builder.root_pa, BASE);
    assert_int_equal(site_map(&site, 0x5000, 0x9000, KIB4, RW), RESUME_OK);
    assert_int_equal(site_map(&site, 0x6000, 0xb000, KIB4, RX), RESUME_OK);
    assert_int_equal(site_map(&site, 0x7000, 0xc000, KIB4, 0), RESUME_OK);
    assert_int_equal(site_map(&site, MIB2, 2 * MIB2, MIB2, RW | RX), RESUME_OK);
    assert_int_equal(phys_peek(&site.phys, BASE), (BASE + 0x1000) | 0x23);
    assert_int_equal(phys_peek(&site.phys, BASE + 0x1000), (BASE + 0x2000) | 0x23);
    assert_int_equal(phys_peek(&site.phys, BASE + 0x2000), (BASE + 0x3000) | 0x23);
    assert_int_equal(phys_peek(&site.phys, BASE + 0x2008), 2 * MIB2 | 0xe3);
    assert_int_equal(phys_peek(&site.phys, BASE + 0x3028), UINT64_C(0x8000000000009063));
    assert_int_equal(phys_peek(&site.phys, BASE + 0x3030), 0xb021);
    assert_int_equal(phys_peek(&site.phys, BASE + 0x3038), UINT64_C(0x800000000000c021));
    site_close(&site);
}

static void bounds_the_worst_case_exactly(void **unused)
{
    static const uint64_t pages[] = {1, 2, 3, 511, 512, 513, 514, 1024, 1026, 262144, 262145};
    (void)unused;

    assert_int_equal(resume_paging_map_bound(0, 4), 0);
    assert_int_equal(resume_paging_map_bound(1, 4), 3);
    assert_int_equal(resume_paging_map_bound(KIB4, 4), 3);
    assert_int_equal(resume_paging_map_bound(KIB4, 5), 4);
    assert_int_equal(resume_paging_map_bound(KIB4 + 1, 4), 6);
    assert_int_equal(resume_paging_map_bound(MIB2, 4), 6);
    assert_int_equal(resume_paging_map_bound(GIB1, 4), 517);
    assert_int_equal(resume_paging_map_bound(UINT64_MAX, 4),
                     (UINT64_C(1) << 43) + (UINT64_C(1) << 34) + (UINT64_C(1) << 25) + 3);

    for (uint32_t levels = 4; levels <= 5; levels++) {
        const uint64_t corner = UINT64_C(1) << (levels == 5 ? 48 : 39);

        for (unsigned i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
            const uint64_t length = pages[i] * KIB4;
            struct site site;

            /* The last page below a boundary of the root, and on; never aligned for large pages. */
            site_open(&site, 600, levels, 1);
            assert_int_equal(site_map(&site, corner - KIB4, 0x3000, length, RW), RESUME_OK);
            assert_int_equal(site.arena.used - 1, resume_paging_map_bound(length, levels));
            site_close(&site);
        }
    }
}

static void tells_repetition_from_conflict(void **unused)
{
    struct site site;
    struct resume_diag diag = {0};
    (void)unused;

    site_open(&site, 16, 4, 1);
    assert_int_equal(site_map(&site, MIB2, 4 * MIB2, MIB2, RW), RESUME_OK);
    /* Inside a large page: the same place, another place, other rights. */
    assert_int_equal(site_map(&site, MIB2 + 0x3000, 4 * MIB2 + 0x3000, KIB4, RW), RESUME_OK);
    assert_int_equal(site.arena.used, 3);
    /* From inside a large page to beyond its end. */
    assert_int_equal(site_map(&site, MIB2 + 0x3000, 4 * MIB2 + 0x3000, MIB2, RW), RESUME_OK);
    assert_maps(&site, 2 * MIB2 + 0x2fff, 5 * MIB2 + 0x2fff, RW);
    assert_int_equal(
        resume_paging_map(&site.builder, MIB2 + 0x3000, 4 * MIB2 + 0x4000, KIB4, RW, &diag),
        RESUME_ECONFLICT);
    assert_int_equal(diag.code, -RESUME_ECONFLICT);
    assert_string_equal(diag.field, "PDE");
    assert_int_equal(diag.offset, MIB2 + 0x3000);
    assert_int_equal(diag.found, UINT64_C(0x80000000008000e3));
    assert_int_equal(site_map(&site, MIB2 + 0x3000, 4 * MIB2 + 0x3000, KIB4, RX | RW),
                     RESUME_ECONFLICT);
    assert_int_equal(site_map(&site, MIB2 + 0x3000, 4 * MIB2 + 0x3000, KIB4, 0), RESUME_ECONFLICT);
    assert_maps(&site, MIB2 + 0x3008, 4 * MIB2 + 0x3008, RW);

    /* A large page over a small one: filled up around it when they agree, refused when not. */
    assert_int_equal(site_map(&site, 8 * MIB2 + 0x5000, 0x5000, KIB4, RX), RESUME_OK);
    assert_int_equal(site_map(&site, 8 * MIB2, 0, MIB2, RX), RESUME_OK);
    assert_maps(&site, 8 * MIB2, 0, RX);
    assert_maps(&site, 9 * MIB2 - 1, MIB2 - 1, RX);
    assert_int_equal(site_map(&site, 10 * MIB2 + 0x5000, 0x5000, KIB4, RX), RESUME_OK);
    assert_int_equal(site_map(&site, 10 * MIB2, MIB2, MIB2, RX), RESUME_ECONFLICT);
    site_close(&site);
}

static void reports_an_arena_that_is_too_small(void **unused)
{
    struct site site;
    struct resume_diag diag = {0};
    (void)unused;

    for (uint32_t pages = 1; pages < 4; pages++) {
        site_open(&site, pages, 4, 0);
        assert_int_equal(resume_paging_map(&site.builder, 0, 0, KIB4, RW, &diag), RESUME_ENOSPC);
        assert_int_equal(diag.code, -RESUME_ENOSPC);
        assert_int_equal(resume_paging_builder_init(&site.builder, &site.arena, 4, 0, NULL),
                         RESUME_ENOSPC);
        site_close(&site);
    }
}

static void reports_tables_it_cannot_reach(void **unused)
{
    struct site site;
    struct resume_diag diag = {0};
    (void)unused;

    site_open(&site, 8, 4, 0);
    phys_hole(&site.phys, BASE + 0x2000);
    assert_int_equal(resume_paging_map(&site.builder, 0, 0, KIB4, RW, &diag), RESUME_EUNREACHABLE);
    assert_int_equal(diag.offset, BASE + 0x2000);
    phys_hole(&site.phys, BASE);
    assert_int_equal(resume_paging_map(&site.builder, 0, 0, KIB4, RW, &diag), RESUME_EUNREACHABLE);
    assert_int_equal(diag.offset, BASE);
    assert_int_equal(resume_paging_builder_init(&site.builder, &site.arena, 4, 0, NULL),
                     RESUME_EUNREACHABLE);
    site_close(&site);
}

static void refuses_wrong_arguments(void **unused)
{
    static const struct {
        uint64_t va, pa, length;
        uint32_t rights;
        int err;
    } cases[] = {
        {0, 0, 0, RW, RESUME_EINVAL},
        {0, 0, 0x1800, RW, RESUME_EINVAL},
        {0x800, 0, KIB4, RW, RESUME_EINVAL},
        {0, 0x800, KIB4, RW, RESUME_EINVAL},
        {0, 0, KIB4, RESUME_MAP_USER, RESUME_EINVAL},
        {0, 0, KIB4, RESUME_MAP_GLOBAL | RW, RESUME_EINVAL},
        {0, 0, KIB4, 0x80000000, RESUME_EINVAL},
        {0, UINT64_C(1) << 52, KIB4, RW, RESUME_EINVAL},
        {0, (UINT64_C(1) << 52) - KIB4, 2 * KIB4, RW, RESUME_EINVAL},
        {0, UINT64_MAX - 0xfff, KIB4, RW, RESUME_EINVAL},
        {UINT64_C(0x800000000000), 0, KIB4, RW, RESUME_ECANON},
        {UINT64_C(0x7ffffffff000), 0, 2 * KIB4, RW, RESUME_ECANON},
        {UINT64_C(0x7ffffffff000), 0, UINT64_C(0x8000000002000), RW, RESUME_ECANON},
        {UINT64_C(0xffff7ffffffff000), 0, 2 * KIB4, RW, RESUME_ECANON},
        {UINT64_C(0xfffffffffffff000), 0, 2 * KIB4, RW, RESUME_ECANON},
    };
    struct site site;
    struct resume_paging_builder builder = {.levels = 9};
    (void)unused;

    site_open(&site, 16, 4, 1);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct resume_diag diag = {0};

        assert_int_equal(resume_paging_map(&site.builder, cases[i].va, cases[i].pa, cases[i].length,
                                           cases[i].rights, &diag),
                         cases[i].err);
        assert_int_equal(diag.code, (uint32_t)-cases[i].err);
    }
    assert_int_equal(site.arena.used, 1);
    /* The last pages of either half, and of physical memory, can be mapped. */
    assert_int_equal(site_map(&site, UINT64_C(0xfffffffffffff000), 0, KIB4, RW), RESUME_OK);
    assert_int_equal(
        site_map(&site, UINT64_C(0x7ffffffff000), (UINT64_C(1) << 52) - KIB4, KIB4, RW), RESUME_OK);
    assert_maps(&site, UINT64_C(0x7fffffffffff), (UINT64_C(1) << 52) - 1, RW);
    assert_maps(&site, UINT64_MAX, 0xfff, RW);

    assert_int_equal(resume_paging_map(NULL, 0, 0, KIB4, RW, NULL), RESUME_EINVAL);
    assert_int_equal(resume_paging_map(&builder, 0, 0, KIB4, RW, NULL), RESUME_EINVAL);
    assert_int_equal(resume_paging_builder_init(NULL, &site.arena, 4, 0, NULL), RESUME_EINVAL);
    assert_int_equal(resume_paging_builder_init(&builder, NULL, 4, 0, NULL), RESUME_EINVAL);
    assert_int_equal(resume_paging_builder_init(&builder, &site.arena, 3, 0, NULL), RESUME_EINVAL);
    assert_int_equal(resume_paging_builder_init(&builder, &site.arena, 6, 0, NULL), RESUME_EINVAL);
    assert_int_equal(builder.levels, 9);
    site_close(&site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builds_what_the_oracle_reads),
        cmocka_unit_test(takes_the_largest_pages_that_fit),
        cmocka_unit_test(writes_these_entries),
        cmocka_unit_test(bounds_the_worst_case_exactly),
        cmocka_unit_test(tells_repetition_from_conflict),
        cmocka_unit_test(reports_an_arena_that_is_too_small),
        cmocka_unit_test(reports_tables_it_cannot_reach),
        cmocka_unit_test(refuses_wrong_arguments),
    };

    return cmocka_run_group_tests_name("paging_build", tests, NULL, NULL);
}
