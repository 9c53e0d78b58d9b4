/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Simulated physical memory. */
#include "phys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u

static void *need(void *memory)
{
    if (!memory) {
        fputs("phys: out of memory\n", stderr);
        abort();
    }
    return memory;
}

void phys_open(struct phys *phys, uint64_t base, uint64_t pages)
{
    memset(phys, 0, sizeof(*phys));
    phys->base = base;
    phys->size = pages * PAGE;
    /* calloc rather than aligned_alloc and memset: pages never touched then cost nothing. */
    phys->allocation = need(calloc((size_t)(pages + 1), PAGE));
    phys->bytes = phys->allocation + (PAGE - (uintptr_t)phys->allocation % PAGE) % PAGE;
    phys->window = need(aligned_alloc(PAGE, PAGE));
    phys->window_at = UINT64_MAX;
}

void phys_close(struct phys *phys)
{
    free(phys->allocation);
    free(phys->window);
    memset(phys, 0, sizeof(*phys));
}

/* Where @length bytes at @pa are; a test that misses the RAM is broken. */
static uint8_t *inside(struct phys *phys, uint64_t pa, uint64_t length)
{
    if (pa < phys->base || pa - phys->base > phys->size ||
        length > phys->size - (pa - phys->base)) {
        fprintf(stderr, "phys: no RAM at %#llx\n", (unsigned long long)pa);
        abort();
    }
    return phys->bytes + (pa - phys->base);
}

void phys_sync(struct phys *phys)
{
    if (phys->window_at != UINT64_MAX)
        memcpy(inside(phys, phys->window_at, PAGE), phys->window, PAGE);
    phys->window_at = UINT64_MAX;
}

static void *page_direct(void *ctx, resume_pa_t pa)
{
    struct phys *phys = ctx;

    phys->calls++;
    phys_sync(phys);
    if (pa % PAGE != 0) {
        fprintf(stderr, "phys: unaligned page %#llx asked for\n", (unsigned long long)pa);
        abort();
    }
    if (pa < phys->base || pa - phys->base >= phys->size)
        return NULL;
    for (unsigned i = 0; i < phys->hole_count; i++) {
        if (phys->holes[i] == pa)
            return NULL;
    }
    return inside(phys, pa, PAGE);
}

static void *page_in_window(void *ctx, resume_pa_t pa)
{
    struct phys *phys = ctx;
    const uint8_t *page = page_direct(ctx, pa);

    if (!page)
        return NULL;
    memcpy(phys->window, page, PAGE);
    phys->window_at = pa;
    return phys->window;
}

struct resume_phys phys_access(struct phys *phys)
{
    const struct resume_phys access = {.page = page_in_window, .ctx = phys};

    return access;
}

struct resume_phys phys_access_direct(struct phys *phys)
{
    const struct resume_phys access = {.page = page_direct, .ctx = phys};

    return access;
}

void phys_hole(struct phys *phys, uint64_t pa)
{
    if (phys->hole_count == PHYS_HOLES_MAX)
        abort();
    phys->holes[phys->hole_count++] = pa;
}

void phys_fill(struct phys *phys, uint64_t pa, uint64_t length, uint8_t byte)
{
    phys_sync(phys);
    memset(inside(phys, pa, length), byte, (size_t)length);
}

void phys_poke(struct phys *phys, uint64_t pa, uint64_t value)
{
    uint8_t *to;

    phys_sync(phys);
    to = inside(phys, pa, 8);
    for (unsigned i = 0; i < 8; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

uint64_t phys_peek(struct phys *phys, uint64_t pa)
{
    const uint8_t *from;
    uint64_t value = 0;

    phys_sync(phys);
    from = inside(phys, pa, 8);
    for (unsigned i = 8; i-- > 0;)
        value = value << 8 | from[i];
    return value;
}

uint64_t phys_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
