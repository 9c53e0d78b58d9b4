/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "memory.h"

#include "runtime.h"

#define PAGE_SIZE UINT64_C(4096)
#define SPARE_DESCRIPTORS 64
#define BELOW_4_GIB UINT64_C(0xffffffff)

EFI_STATUS memory_map_allocate(EFI_SYSTEM_TABLE *system, struct memory_map *map)
{
    UINT32 version;
    EFI_STATUS status;

    map->descriptors = NULL;
    map->length = 0;
    status =
        system->BootServices->GetMemoryMap(&map->length, NULL, &map->key, &map->step, &version);
    if (status != EFI_BUFFER_TOO_SMALL) {
        return status == EFI_SUCCESS ? EFI_DEVICE_ERROR : status;
    }
    /* The allocation itself adds descriptors. */
    map->capacity = map->length + SPARE_DESCRIPTORS * map->step;
    return system->BootServices->AllocatePool(EfiLoaderData, map->capacity,
                                              (void **)&map->descriptors);
}

EFI_STATUS memory_map_take(EFI_SYSTEM_TABLE *system, struct memory_map *map)
{
    UINT32 version;

    map->length = map->capacity;
    return system->BootServices->GetMemoryMap(&map->length, map->descriptors, &map->key, &map->step,
                                              &version);
}

void memory_map_free(EFI_SYSTEM_TABLE *system, struct memory_map *map)
{
    if (map->descriptors != NULL) {
        system->BootServices->FreePool(map->descriptors);
        map->descriptors = NULL;
    }
}

int memory_type_is_ram(uint32_t type)
{
    switch (type) {
    case EfiLoaderCode:
    case EfiLoaderData:
    case EfiBootServicesCode:
    case EfiBootServicesData:
    case EfiRuntimeServicesCode:
    case EfiRuntimeServicesData:
    case EfiConventionalMemory:
    case EfiACPIReclaimMemory:
    case EfiACPIMemoryNVS:
        return 1;
    default:
        return 0;
    }
}

int memory_map_is_ram(const struct memory_map *map, uint64_t pa, uint64_t length,
                      uint64_t *ret_where, uint32_t *ret_type)
{
    uint64_t at = pa;
    uint64_t end = pa + length;

    while (at < end) {
        uint64_t before = at;
        uint32_t type = UINT32_MAX;

        for (UINTN offset = 0; offset + map->step <= map->length; offset += map->step) {
            /* Larger than the type: the firmware says by how much to step. */
            const EFI_MEMORY_DESCRIPTOR *d =
                (const EFI_MEMORY_DESCRIPTOR *)((uintptr_t)map->descriptors + offset);
            uint64_t size = d->NumberOfPages * PAGE_SIZE;

            if (at >= d->PhysicalStart && at - d->PhysicalStart < size) {
                type = d->Type;
                if (memory_type_is_ram(type)) {
                    at = d->PhysicalStart + size;
                }
                break;
            }
        }
        if (at == before) {
            *ret_where = at;
            *ret_type = type;
            return 0;
        }
    }
    return 1;
}

int memory_reserve(EFI_SYSTEM_TABLE *system, uint64_t pa, uint64_t length)
{
    EFI_PHYSICAL_ADDRESS address = pa;

    return system->BootServices->AllocatePages(AllocateAddress, EfiLoaderData,
                                               (UINTN)(length / PAGE_SIZE),
                                               &address) == EFI_SUCCESS;
}

EFI_STATUS memory_allocate(EFI_SYSTEM_TABLE *system, uint64_t last, uint64_t length,
                           uint64_t *ret_pa)
{
    EFI_PHYSICAL_ADDRESS address = last;
    EFI_STATUS status = system->BootServices->AllocatePages(AllocateMaxAddress, EfiLoaderCode,
                                                            (UINTN)(length / PAGE_SIZE), &address);

    if (status == EFI_SUCCESS) {
        memset((void *)address, 0, (size_t)length);
        *ret_pa = address;
    }
    return status;
}

EFI_STATUS memory_allocate_data(EFI_SYSTEM_TABLE *system, uint64_t length, uint64_t *ret_pa)
{
    const UINTN pages = (UINTN)((length + PAGE_SIZE - 1) / PAGE_SIZE);
    EFI_PHYSICAL_ADDRESS address = BELOW_4_GIB;
    EFI_STATUS status =
        system->BootServices->AllocatePages(AllocateMaxAddress, EfiLoaderData, pages, &address);

    if (status != EFI_SUCCESS) {
        status =
            system->BootServices->AllocatePages(AllocateAnyPages, EfiLoaderData, pages, &address);
    }
    if (status == EFI_SUCCESS) {
        *ret_pa = address;
    }
    return status;
}

void memory_free(EFI_SYSTEM_TABLE *system, uint64_t pa, uint64_t length)
{
    const uint64_t pages = (length + PAGE_SIZE - 1) / PAGE_SIZE;

    memset((void *)pa, 0, (size_t)(pages * PAGE_SIZE));
    system->BootServices->FreePages(pa, (UINTN)pages);
}
