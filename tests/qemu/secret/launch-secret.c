/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A UEFI application for tests: puts the fw_cfg file opt/org.libresume.test/secret, if there is one,
 * into memory of its own and publishes it as OVMF does an area of launch secrets. Then it starts the
 * application that it has inside, as if that had been loaded in its place.
 */
#include <console.h>
#include <fw_cfg.h>
#include <runtime.h>

#define PAGE_SIZE 4096u
#define SECRET_MAX 65536u

/* LINUX_EFI_COCO_SECRET_AREA_GUID */
#define AREA_GUID                                                                                  \
    {                                                                                              \
        0xadf956ad, 0xe98c, 0x484c,                                                                \
        {                                                                                          \
            0xae, 0x11, 0xb5, 0x1c, 0x7d, 0x33, 0x64, 0x47                                         \
        }                                                                                          \
    }

struct location {
    uint64_t base;
    uint64_t size;
};

__asm__(".section .rodata\n"
        ".balign 4096\n"
        "inside: .incbin \"" INSIDE "\"\n"
        "inside_end:\n"
        ".previous\n");
extern uint8_t inside[] __attribute__((visibility("hidden")));
extern uint8_t inside_end[] __attribute__((visibility("hidden")));

static EFI_STATUS publish(EFI_SYSTEM_TABLE *system)
{
    EFI_GUID guid = AREA_GUID;
    EFI_PHYSICAL_ADDRESS pages = 0;
    struct location *location;
    void *memory = NULL;
    uint16_t selector;
    uint32_t size;
    EFI_STATUS status;

    if (!fw_cfg_find("opt/org.libresume.test/secret", &selector, &size)) {
        return EFI_SUCCESS;
    }
    if (size == 0 || size > SECRET_MAX) {
        return EFI_BAD_BUFFER_SIZE;
    }
    status = system->BootServices->AllocatePages(AllocateAnyPages, EfiReservedMemoryType,
                                                 (size + PAGE_SIZE - 1) / PAGE_SIZE, &pages);
    if (status == EFI_SUCCESS) {
        status =
            system->BootServices->AllocatePool(EfiRuntimeServicesData, sizeof(*location), &memory);
    }
    if (status != EFI_SUCCESS) {
        return status;
    }
    fw_cfg_read(selector, (void *)(uintptr_t)pages, size);
    location = memory;
    location->base = pages;
    location->size = size;
    console_line("launch secret: %u bytes at %x", (uint64_t)size, (uint64_t)pages);
    return system->BootServices->InstallConfigurationTable(&guid, location);
}

/* A device path is a list of nodes with lengths. Bytes with the end node; 0: none that ends. */
static uint32_t path_length(const uint8_t *path)
{
    uint32_t at = 0;

    for (uint32_t nodes = 0; nodes < 64; nodes++) {
        const uint32_t length = (uint32_t)path[at + 2] | (uint32_t)path[at + 3] << 8;

        if (length < 4) {
            return 0;
        }
        at += length;
        if (path[at - length] == 0x7f) {
            return at;
        }
    }
    return 0;
}

/* The path of the volume and the file's in one: where this application is from. */
static EFI_DEVICE_PATH *own_path(EFI_SYSTEM_TABLE *system, const EFI_LOADED_IMAGE *loaded)
{
    EFI_GUID guid = EFI_DEVICE_PATH_PROTOCOL_GUID;
    const uint8_t *file = (const uint8_t *)loaded->FilePath;
    void *volume = NULL;
    void *memory = NULL;
    uint32_t volume_length = 0;
    uint32_t file_length = file == NULL ? 0 : path_length(file);

    if (loaded->DeviceHandle != NULL &&
        system->BootServices->HandleProtocol(loaded->DeviceHandle, &guid, &volume) == EFI_SUCCESS) {
        volume_length = path_length(volume);
    }
    if (volume_length < 4 || file_length == 0 ||
        system->BootServices->AllocatePool(EfiLoaderData, volume_length + file_length, &memory) !=
            EFI_SUCCESS) {
        return loaded->FilePath;
    }
    memcpy(memory, volume, volume_length);
    memcpy((uint8_t *)memory + volume_length - 4, file, file_length);
    return memory;
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system);
EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    EFI_GUID guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
    EFI_LOADED_IMAGE *own;
    EFI_LOADED_IMAGE *other;
    EFI_HANDLE second = NULL;
    void *interface = NULL;
    EFI_STATUS status;

    console_init(system);
    status = publish(system);
    if (status == EFI_SUCCESS) {
        status = system->BootServices->HandleProtocol(image, &guid, &interface);
    }
    if (status == EFI_SUCCESS) {
        own = interface;
        status = system->BootServices->LoadImage(FALSE, image, own_path(system, own), inside,
                                                 (UINTN)(inside_end - inside), &second);
    }
    if (status == EFI_SUCCESS) {
        status = system->BootServices->HandleProtocol(second, &guid, &interface);
    }
    if (status == EFI_SUCCESS) {
        other = interface;
        other->LoadOptions = own->LoadOptions;
        other->LoadOptionsSize = own->LoadOptionsSize;
        status = system->BootServices->StartImage(second, NULL, NULL);
    } else {
        console_line("refused: launch secret: not started (status %x)", (uint64_t)status);
    }
    return status;
}
