/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Simulated physical memory: one stretch of RAM at any physical address, with holes.
 *
 * It gives out what the contract of struct resume_phys promises and not a bit more: one window that
 * is moved from page to page, so that a pointer kept across a call shows another page's bytes.
 */
#ifndef RESUME_TESTS_PHYS_H
#define RESUME_TESTS_PHYS_H

#include <stddef.h>
#include <stdint.h>

#include <resume/arena.h>

#define PHYS_HOLES_MAX 8

struct phys {
    uint64_t base; /* physical address of bytes[0] */
    uint64_t size; /* a multiple of 4 KiB */
    uint8_t *bytes;
    uint64_t holes[PHYS_HOLES_MAX]; /* pages without RAM */
    unsigned hole_count;
    uint8_t *allocation;
    uint8_t *window;
    uint64_t window_at; /* page shown in the window, or UINT64_MAX */
    uint64_t calls;     /* of the callback */
};

/* Aborts when the host has no memory. @pages of zeroes at @base. */
void phys_open(struct phys *phys, uint64_t base, uint64_t pages);
void phys_close(struct phys *phys);

/* The library's view. @phys must stay where it is. */
struct resume_phys phys_access(struct phys *phys);

/* The same without the window, for tests that touch a great many pages. */
struct resume_phys phys_access_direct(struct phys *phys);

/* Bring what the library wrote through the window into `bytes`; call it before reading these. */
void phys_sync(struct phys *phys);

/* The page at @pa has no RAM from now on. */
void phys_hole(struct phys *phys, uint64_t pa);

/* Fill [@pa, @pa + @length), all of it RAM. */
void phys_fill(struct phys *phys, uint64_t pa, uint64_t length, uint8_t byte);

/* Little-endian quadwords, as a CPU would store and load them. @pa: in RAM, 8-byte aligned. */
void phys_poke(struct phys *phys, uint64_t pa, uint64_t value);
uint64_t phys_peek(struct phys *phys, uint64_t pa);

/* Repeatable pseudo-random numbers (SplitMix64). */
uint64_t phys_random(uint64_t *state);

#endif
