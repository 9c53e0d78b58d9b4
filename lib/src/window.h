/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* A buffer as physical memory: the page-table builder sees the addresses that it will have. */
#ifndef RESUME_WINDOW_H
#define RESUME_WINDOW_H

#include <stddef.h>
#include <stdint.h>

#include <resume/arena.h>

struct resume_window {
    uint8_t *bytes;
    resume_pa_t base_pa;
    uint64_t length;
};

static inline void *resume_window_page(void *ctx, resume_pa_t pa)
{
    const struct resume_window *window = ctx;

    if (pa < window->base_pa || pa - window->base_pa >= window->length) {
        return NULL;
    }
    return window->bytes + (pa - window->base_pa);
}

#endif
