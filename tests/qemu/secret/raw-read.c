/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "raw-read.h"

#include <console.h>
#include <image_source.h>
#include <io.h>

#define PAGE_SIZE 4096u
#define PIECE (1u << 20) /* what the loader reads at a time */
#define MEASURED_MICROSECONDS 50000u

static EFI_STATUS read_all(struct image_source *source, uint8_t *to)
{
    EFI_STATUS status = EFI_SUCCESS;

    for (uint64_t at = 0; at < source->size && status == EFI_SUCCESS; at += PIECE) {
        const uint64_t left = source->size - at;

        status = image_source_read(source, at, to, left < PIECE ? left : PIECE);
    }
    return status;
}

void raw_read(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    struct image_choice choice;
    struct image_source source;
    EFI_PHYSICAL_ADDRESS pages = 0;
    EFI_STATUS status = image_choice_parse(image, system, &choice);
    uint64_t ticks;
    uint64_t passed;

    if (status == EFI_SUCCESS) {
        status = image_source_open(image, system, &choice, &source);
    }
    if (status != EFI_SUCCESS) {
        return;
    }
    status = system->BootServices->AllocatePages(AllocateAnyPages, EfiLoaderData, PIECE / PAGE_SIZE,
                                                 &pages);
    if (status == EFI_SUCCESS) {
        ticks = cpu_read_tsc();
        system->BootServices->Stall(MEASURED_MICROSECONDS);
        ticks = (cpu_read_tsc() - ticks) / MEASURED_MICROSECONDS;
        passed = cpu_read_tsc();
        status = read_all(&source, (uint8_t *)(uintptr_t)pages);
        passed = (cpu_read_tsc() - passed) / (ticks != 0 ? ticks : 1);
        if (status == EFI_SUCCESS) {
            console_line("test: raw: %u bytes in %u microseconds", source.size, passed);
        } else {
            image_source_complain(&source);
        }
        system->BootServices->FreePages(pages, PIECE / PAGE_SIZE);
    }
    image_source_close(&source);
}
