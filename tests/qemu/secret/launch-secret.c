/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A UEFI application for tests: puts the fw_cfg file opt/org.libresume.test/secret, if there is one,
 * into memory of its own and publishes it as OVMF does an area of launch secrets. Then it starts the
 * application that it has inside, as if that had been loaded in its place.
 *
 * With the fw_cfg file opt/org.libresume.test/runs it does so once for each line of it, with the line as
 * load options, and says:
 *
 *   libresume: test: run N: OPTIONS
 *   libresume: test: run N: status S, P pages are missing    (once the application has come back)
 *   libresume: test: done
 *
 * Then it waits for the machine to be ended, so that its memory can be looked at. Where a line begins with
 * the word "raw", the image is only read (raw-read.h).
 */
#include <console.h>
#include <fw_cfg.h>
#include <runtime.h>

#include "raw-read.h"

#define PAGE_SIZE 4096u
#define SECRET_MAX 65536u
#define RUNS_MAX 16384u
#define OPTIONS_MAX 256u
#define SECOND 1000000u

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

/* Pages that nobody has allocated. */
static uint64_t free_pages(EFI_SYSTEM_TABLE *system)
{
    static uint8_t map[RUNS_MAX];
    UINTN length = sizeof(map);
    UINTN key;
    UINTN size = 0;
    UINT32 version;
    uint64_t pages = 0;

    if (system->BootServices->GetMemoryMap(&length, (EFI_MEMORY_DESCRIPTOR *)(void *)map, &key,
                                           &size, &version) != EFI_SUCCESS) {
        return 0;
    }
    for (UINTN at = 0; at + size <= length; at += size) {
        EFI_MEMORY_DESCRIPTOR descriptor;

        memcpy(&descriptor, map + at, sizeof(descriptor));
        if (descriptor.Type == EfiConventionalMemory) {
            pages += descriptor.NumberOfPages;
        }
    }
    return pages;
}

/* @options: @length bytes, or NULL: this application's own. */
static EFI_STATUS start_inside(EFI_HANDLE image, EFI_SYSTEM_TABLE *system, void *options,
                               uint32_t length)
{
    EFI_GUID guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
    EFI_LOADED_IMAGE *own;
    EFI_LOADED_IMAGE *other;
    EFI_HANDLE second = NULL;
    EFI_DEVICE_PATH *path;
    void *interface = NULL;
    EFI_STATUS status = system->BootServices->HandleProtocol(image, &guid, &interface);

    if (status != EFI_SUCCESS) {
        return status;
    }
    own = interface;
    path = own_path(system, own);
    status = system->BootServices->LoadImage(FALSE, image, path, inside,
                                             (UINTN)(inside_end - inside), &second);
    if (path != own->FilePath) {
        system->BootServices->FreePool(path);
    }
    if (status == EFI_SUCCESS) {
        status = system->BootServices->HandleProtocol(second, &guid, &interface);
    }
    if (status != EFI_SUCCESS) {
        console_line("refused: launch secret: not started (status %x)", (uint64_t)status);
        return status;
    }
    other = interface;
    other->LoadOptions = options != NULL ? options : own->LoadOptions;
    other->LoadOptionsSize = options != NULL ? length : own->LoadOptionsSize;
    return system->BootServices->StartImage(second, NULL, NULL);
}

/* Reads the image, with these load options in place of this application's own. */
static EFI_STATUS start_raw(EFI_HANDLE image, EFI_SYSTEM_TABLE *system, void *options,
                            uint32_t length)
{
    EFI_GUID guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
    EFI_LOADED_IMAGE *own;
    void *interface = NULL;
    void *kept;
    uint32_t kept_length;
    EFI_STATUS status = system->BootServices->HandleProtocol(image, &guid, &interface);

    if (status != EFI_SUCCESS) {
        return status;
    }
    own = interface;
    kept = own->LoadOptions;
    kept_length = own->LoadOptionsSize;
    own->LoadOptions = options;
    own->LoadOptionsSize = length;
    raw_read(image, system);
    own->LoadOptions = kept;
    own->LoadOptionsSize = kept_length;
    return EFI_SUCCESS;
}

static void start_often(EFI_HANDLE image, EFI_SYSTEM_TABLE *system, const char *runs, uint32_t size)
{
    char text[OPTIONS_MAX + 1];
    CHAR16 options[OPTIONS_MAX + 1];
    uint32_t at = 0;

    for (uint64_t number = 1; at < size; number++) {
        uint32_t length = 0;
        uint64_t before;
        uint64_t after;
        EFI_STATUS status;

        for (; at < size && runs[at] != '\n'; at++) {
            if (length < OPTIONS_MAX) {
                text[length] = runs[at];
                options[length++] = (CHAR16)(unsigned char)runs[at];
            }
        }
        at++;
        text[length] = 0;
        options[length] = 0;
        console_line("test: run %u: %s", number, text);
        before = free_pages(system);
        if (memcmp(text, "raw ", 4) == 0) {
            status = start_raw(image, system, options, (length + 1) * (uint32_t)sizeof(CHAR16));
        } else {
            status = start_inside(image, system, options, (length + 1) * (uint32_t)sizeof(CHAR16));
        }
        after = free_pages(system);
        console_line("test: run %u: status %x, %u pages are missing", number, (uint64_t)status,
                     before > after ? before - after : 0);
    }
    console_line("test: done");
    for (;;) {
        system->BootServices->Stall(SECOND);
    }
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system);
EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    static char runs[RUNS_MAX];
    uint16_t selector;
    uint32_t size;
    EFI_STATUS status;

    console_init(system);
    status = publish(system);
    if (status == EFI_SUCCESS && fw_cfg_find("opt/org.libresume.test/runs", &selector, &size) &&
        size <= sizeof(runs)) {
        fw_cfg_read(selector, runs, size);
        start_often(image, system, runs, size);
    }
    return status == EFI_SUCCESS ? start_inside(image, system, NULL, 0) : status;
}
