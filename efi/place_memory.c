/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "place_memory.h"

#include "configuration_table.h"
#include "console.h"
#include "runtime.h"

/*
 * Left to the firmware while the image is read: drivers allocate a page or two for each request, and
 * those of devices that do not reach all memory, or none that is encrypted, as much as is read at a
 * time (load.h). At most half of the longest stretch.
 */
#define RESERVE_PAGES 2048u
#define FRAMES_BELOW_4_GIB (UINT64_C(1) << 20)

/* PI specification vol. 2, "DXE Services Table", as far as it is needed. */
#define DXE_SERVICES_GUID                                                                          \
    {                                                                                              \
        0x05ad34ba, 0x6f02, 0x4214,                                                                \
        {                                                                                          \
            0x95, 0x2e, 0x4d, 0xa0, 0x39, 0x8e, 0x2b, 0xb9                                         \
        }                                                                                          \
    }
#define SPACE_SYSTEM_MEMORY 2u
#define SPACE_MORE_RELIABLE 5u

struct memory_space {
    EFI_PHYSICAL_ADDRESS base;
    UINT64 length;
    UINT64 capabilities;
    UINT64 attributes;
    UINT32 type;
    EFI_HANDLE image;
    EFI_HANDLE device;
};

struct dxe_services {
    EFI_TABLE_HEADER header;
    void *add;
    void *allocate;
    void *free;
    void *remove;
    EFI_STATUS(EFIAPI *get)(EFI_PHYSICAL_ADDRESS address, struct memory_space *ret);
};

static const EFI_MEMORY_DESCRIPTOR *descriptor_at(const struct memory_map *map, UINTN at)
{
    return (const EFI_MEMORY_DESCRIPTOR *)((uintptr_t)map->descriptors + at);
}

static uint64_t first_frame(const EFI_MEMORY_DESCRIPTOR *descriptor)
{
    return descriptor->PhysicalStart >> RESUME_PAGE_SHIFT;
}

struct resume_page_run place_memory_reserve(const struct memory_map *map)
{
    struct resume_page_run longest = {0, 0};

    for (UINTN at = 0; at + map->step <= map->length; at += map->step) {
        const EFI_MEMORY_DESCRIPTOR *descriptor = descriptor_at(map, at);
        const uint64_t first = first_frame(descriptor);
        uint64_t pages = descriptor->NumberOfPages;

        if (descriptor->Type != EfiConventionalMemory || first >= FRAMES_BELOW_4_GIB) {
            continue;
        }
        if (pages > FRAMES_BELOW_4_GIB - first) {
            pages = FRAMES_BELOW_4_GIB - first;
        }
        if (pages > longest.count) {
            longest = (struct resume_page_run){first, pages};
        }
    }
    if (longest.count / 2 < RESERVE_PAGES) {
        return (struct resume_page_run){longest.first + longest.count - longest.count / 2,
                                        longest.count / 2};
    }
    return (struct resume_page_run){longest.first + longest.count - RESERVE_PAGES, RESERVE_PAGES};
}

static const struct dxe_services *find_dxe_services(const EFI_SYSTEM_TABLE *system)
{
    const EFI_GUID guid = DXE_SERVICES_GUID;
    const EFI_CONFIGURATION_TABLE *table = configuration_table_find(system, &guid);

    return table != NULL ? table->VendorTable : NULL;
}

static uint32_t kind_of(uint32_t type)
{
    if (type == EfiConventionalMemory) {
        return RESUME_FRAME_FREE;
    }
    return memory_type_is_ram(type) ? RESUME_FRAME_FIRMWARE : RESUME_FRAME_UNUSABLE;
}

static int add(struct place *place, uint64_t first, uint64_t pages, uint32_t kind)
{
    if (place->descriptor_count == place->capacity) {
        return 0;
    }
    place->descriptors[place->descriptor_count++] =
        (struct resume_frames_descriptor){first << RESUME_PAGE_SHIFT, pages, kind, 0};
    return 1;
}

/* Reserved memory in [first, end), which is the guest's: what of it is RAM. */
static int add_reserved(struct place *place, const struct dxe_services *services, uint64_t first,
                        uint64_t end)
{
    while (first < end) {
        struct memory_space space = {0};
        uint64_t space_end;

        if (services->get(first << RESUME_PAGE_SHIFT, &space) != EFI_SUCCESS ||
            space.length > UINT64_MAX - space.base) {
            return 1;
        }
        space_end = (space.base + space.length) >> RESUME_PAGE_SHIFT;
        if (space_end <= first) {
            return 1;
        }
        if (space_end > end) {
            space_end = end;
        }
        if ((space.type == SPACE_SYSTEM_MEMORY || space.type == SPACE_MORE_RELIABLE) &&
            !add(place, first, space_end - first, RESUME_FRAME_FIRMWARE)) {
            return 0;
        }
        first = space_end;
    }
    return 1;
}

static int add_reserved_of_guest(struct place *place, const struct dxe_services *services,
                                 const EFI_MEMORY_DESCRIPTOR *descriptor)
{
    const uint64_t first = first_frame(descriptor);
    const uint64_t end = first + descriptor->NumberOfPages;
    int fits = 1;

    for (uint32_t i = 0; fits && i < place->input.ram_count; i++) {
        const struct resume_page_run *ram = &place->ram[i];
        const uint64_t from = ram->first > first ? ram->first : first;
        const uint64_t to = ram->first + ram->count < end ? ram->first + ram->count : end;

        if (from < to) {
            fits = add_reserved(place, services, from, to);
        }
    }
    return fits;
}

EFI_STATUS place_memory_describe(struct place *place, const struct memory_map *map)
{
    const struct dxe_services *services = find_dxe_services(place->system);
    int fits = 1;

    place->descriptor_count = 0;
    for (UINTN at = 0; fits && at + map->step <= map->length; at += map->step) {
        const EFI_MEMORY_DESCRIPTOR *descriptor = descriptor_at(map, at);
        const uint32_t kind = kind_of(descriptor->Type);

        if (kind != RESUME_FRAME_UNUSABLE) {
            fits = add(place, first_frame(descriptor), descriptor->NumberOfPages, kind);
        } else if (descriptor->Type == EfiReservedMemoryType && services != NULL) {
            fits = add_reserved_of_guest(place, services, descriptor);
        }
        if (fits && kind == RESUME_FRAME_FREE && first_frame(descriptor) == 0) {
            fits = add(place, 0, 1, RESUME_FRAME_FIRMWARE);
        }
    }
    if (fits && place->reserve.count > 0) {
        fits = add(place, place->reserve.first, place->reserve.count, RESUME_FRAME_FIRMWARE);
    }
    if (!fits) {
        console_line("refused: memory map: more than %u pieces", (uint64_t)place->capacity);
    }
    return fits ? EFI_SUCCESS : EFI_BUFFER_TOO_SMALL;
}

static int own(struct place *place, uint64_t first, uint64_t end)
{
    EFI_PHYSICAL_ADDRESS address = first << RESUME_PAGE_SHIFT;

    if (first >= end) {
        return 1;
    }
    if (place->owned_count == place->capacity ||
        place->system->BootServices->AllocatePages(AllocateAddress, EfiLoaderData,
                                                   (UINTN)(end - first), &address) != EFI_SUCCESS) {
        return 0;
    }
    place->owned[place->owned_count++] = (struct resume_page_run){first, end - first};
    return 1;
}

int place_memory_own(struct place *place, const struct memory_map *map)
{
    const uint64_t kept = place->reserve.first;
    const uint64_t kept_end = kept + place->reserve.count;
    int owned = 1;

    for (UINTN at = 0; owned && at + map->step <= map->length; at += map->step) {
        const EFI_MEMORY_DESCRIPTOR *descriptor = descriptor_at(map, at);
        uint64_t first = first_frame(descriptor);
        const uint64_t end = first + descriptor->NumberOfPages;

        if (descriptor->Type != EfiConventionalMemory) {
            continue;
        }
        if (first == 0) {
            first = 1;
        }
        if (kept >= end || kept_end <= first) {
            owned = own(place, first, end);
        } else {
            owned = own(place, first, kept) && own(place, kept_end, end);
        }
    }
    if (!owned) {
        place_memory_disown(place);
    }
    return owned;
}

void place_memory_disown(struct place *place)
{
    while (place->owned_count > 0) {
        const struct resume_page_run *run = &place->owned[--place->owned_count];

        place->system->BootServices->FreePages(run->first << RESUME_PAGE_SHIFT, (UINTN)run->count);
    }
}
