/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What firmware does with an opened snapshot image besides reading chunks: state, plan, placement. */
#ifndef RESUME_TESTS_SEALED_PLACE_H
#define RESUME_TESTS_SEALED_PLACE_H

#include <resume/sealed.h>

/*
 * sealed_place - open state and plan of @image, and place its pages in a machine whose frames follow
 * from its map and @variant: who owns them, and how many more there are.
 * Ends the program when a plan that was made is not right: when its check fails, or when a page is to
 * be loaded where nobody may write. Returns how many pages have got a place; 0: the image has no
 * state that can be resumed, or cannot be placed.
 */
uint64_t sealed_place(const struct resume_sealed *image, uint32_t variant);

#endif
