/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The part of place.h that knows the firmware's memory map. */
#ifndef RESUME_EFI_PLACE_MEMORY_H
#define RESUME_EFI_PLACE_MEMORY_H

#include "place.h"

/* Descriptors beyond those of the firmware and one for each range of the guest's RAM. */
#define PLACE_MEMORY_SPARE 8u

/*
 * place_memory_reserve - the free memory that is left to the firmware: at the end of the longest
 * stretch below 4 GiB, where it can serve any device.
 */
struct resume_page_run place_memory_reserve(const struct memory_map *map);

/*
 * place_memory_describe - fill place->descriptors from the map, with place->reserve and the guest's RAM
 * known.
 * Conventional memory is FREE, but for the reserve and frame 0. What the firmware, this program or
 * the tables for an operating system use is FIRMWARE. So is what is reserved, but only where the guest
 * has RAM and this machine has RAM, too, as far as the firmware tells (the PI specification's "global
 * coherency domain"): there the source's firmware has reserved it just so, for itself. The rest is
 * not there, or a device's.
 * Says on the console what is wrong.
 */
EFI_STATUS place_memory_describe(struct place *place, const struct memory_map *map);

/* place_memory_own - allocate all that is FREE, as it was described last. Returns 1, or 0: nothing. */
int place_memory_own(struct place *place, const struct memory_map *map);

/* place_memory_disown - give it back. */
void place_memory_disown(struct place *place);

#endif
