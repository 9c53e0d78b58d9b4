/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What moving adds to the tables of transit and home. */
#ifndef RESUME_MOVING_MAP_H
#define RESUME_MOVING_MAP_H

#include <resume/moving.h>

/* resume_moving_is_sound - may image and transit use what the pointers and counts say? 1 or 0. */
int resume_moving_is_sound(const struct resume_moving *moving);

/*
 * resume_moving_clashes - does home->va name the physical address of RAM, other than the home's?
 * Then RAM and home cannot be mapped at the same time. @ret_at: one such address.
 */
int resume_moving_clashes(const struct resume_moving *moving, const struct resume_home *home,
                          uint64_t *ret_at);

/* resume_moving_map_ram - identity-map all RAM. Errors: those of resume_paging_map. */
int resume_moving_map_ram(const struct resume_moving *moving, struct resume_paging_builder *builder,
                          struct resume_diag *diag);

/*
 * resume_moving_map_last - identity-map what the last steps name, generously: 2 MiB pages where that
 * is all RAM.  Errors: those of resume_image_begin for `moving`.
 */
int resume_moving_map_last(const struct resume_moving *moving,
                           struct resume_paging_builder *builder, struct resume_diag *diag);

#endif
