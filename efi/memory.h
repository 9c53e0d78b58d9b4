/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Memory for the way into the home, and what the firmware's memory map says of the home's place. */
#ifndef RESUME_EFI_MEMORY_H
#define RESUME_EFI_MEMORY_H

#include <efi.h>
#include <stdint.h>

/* The firmware's memory map with room to spare, so that it can be taken again without allocating. */
struct memory_map {
    EFI_MEMORY_DESCRIPTOR *descriptors;
    UINTN capacity; /* bytes */
    UINTN length;   /* bytes in use */
    UINTN step;     /* bytes from one descriptor to the next */
    UINTN key;
};

/* memory_map_allocate - get room for the map: the last allocation before leaving. */
EFI_STATUS memory_map_allocate(EFI_SYSTEM_TABLE *system, struct memory_map *map);

/* memory_map_take - read the map into the room; may be repeated. */
EFI_STATUS memory_map_take(EFI_SYSTEM_TABLE *system, struct memory_map *map);

void memory_map_free(EFI_SYSTEM_TABLE *system, struct memory_map *map);

/* memory_type_is_ram - is memory of this EFI_MEMORY_TYPE RAM that is free to use once boot services have
 * ended and nothing of the firmware is needed any more? */
int memory_type_is_ram(uint32_t type);

/*
 * memory_map_is_ram - is every byte of [pa, pa + length) of such a type?
 * Returns 1, or 0 with the first address that is not, and its EFI_MEMORY_TYPE (~0: no descriptor).
 */
int memory_map_is_ram(const struct memory_map *map, uint64_t pa, uint64_t length,
                      uint64_t *ret_where, uint32_t *ret_type);

/*
 * memory_reserve - try to own [pa, pa + length), so that no later allocation lands there. That it is
 * in use already is no error: it is written only after boot services have ended.
 * Returns 1 when it is owned now, and to be given back with memory_free if the loader gives up.
 */
int memory_reserve(EFI_SYSTEM_TABLE *system, uint64_t pa, uint64_t length);

/*
 * memory_allocate - executable pages, 4 KiB aligned, zeroed; freed with memory_free.
 * @last: no byte lies above this address.
 */
EFI_STATUS memory_allocate(EFI_SYSTEM_TABLE *system, uint64_t last, uint64_t length,
                           uint64_t *ret_pa);

/*
 * memory_allocate_data - pages for @length bytes (> 0, rounded up to pages), contents undefined; below
 * 4 GiB if there is room, where every device can reach them. Freed with memory_free.
 */
EFI_STATUS memory_allocate_data(EFI_SYSTEM_TABLE *system, uint64_t length, uint64_t *ret_pa);

/* memory_free - wipe and free what one of the above has given; @length is rounded up to pages. */
void memory_free(EFI_SYSTEM_TABLE *system, uint64_t pa, uint64_t length);

#endif
