/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A UEFI application for tests: fetches key and identity, reads a snapshot image from wherever it
 * finds it, in pieces of many sizes, and says what it has read on the debug console:
 *
 *   libresume: test: key: status S, CRC C
 *   libresume: test: identity: status S, CRC C
 *   libresume: test: image: N bytes, CRC C
 *   libresume: test: backwards: B bytes are different
 *   libresume: test: end: N bytes, status S       asked for more than there is left
 *   libresume: test: failed: status S, L bytes at A: N    (the image cannot be read)
 *   libresume: test: done
 *
 * Then it waits for the machine to be ended, so that its memory can be looked at.
 */
#include <console.h>
#include <image_source.h>
#include <key.h>
#include <runtime.h>

#define PAGE_SIZE 4096u
#define LOOK_BACK 65537u
#define SECOND 1000000u

static EFI_SYSTEM_TABLE *services;

static uint64_t crc(const void *data, uint64_t length)
{
    UINT32 sum = 0;

    services->BootServices->CalculateCrc32((VOID *)(uintptr_t)data, (UINTN)length, &sum);
    return sum;
}

static void show_secret(const char *what, EFI_STATUS status, uint8_t *secret, uint64_t length)
{
    console_line("test: %s: status %x, CRC %x", what, (uint64_t)status, crc(secret, length));
    resume_sealed_wipe(secret, length);
}

static EFI_STATUS read_forward(struct image_source *source, uint8_t *to)
{
    static const uint32_t piece[] = {1, 7, 504, 512, 3, 4096, 65539, 513, 1048576, 12288};
    uint64_t at = 0;

    for (uint32_t i = 0; at < source->size; i++) {
        const uint64_t wanted = piece[i % (sizeof(piece) / sizeof(piece[0]))];
        const uint64_t left = source->size - at;
        const uint64_t length = wanted < left ? wanted : left;
        EFI_STATUS status = image_source_read(source, at, to + at, length);

        if (status != EFI_SUCCESS) {
            return status;
        }
        at += length;
    }
    return EFI_SUCCESS;
}

/* From the end, into @again. Returns how many bytes are not what they were. */
static uint64_t read_backward(struct image_source *source, const uint8_t *first, uint8_t *again)
{
    uint64_t end = source->size;
    uint64_t different = 0;

    while (end > 0) {
        const uint64_t length = end < LOOK_BACK ? end : LOOK_BACK;

        if (image_source_read(source, end - length, again, length) != EFI_SUCCESS) {
            return UINT64_MAX;
        }
        for (uint64_t i = 0; i < length; i++) {
            different += first[end - length + i] != again[i];
        }
        end -= length;
    }
    return different;
}

static void read_over_end(struct image_source *source, uint8_t *buffer)
{
    const struct resume_sealed_source sealed = image_source_sealed(source);
    size_t got = 0;
    EFI_STATUS status = image_source_read(source, source->size - 5, buffer, 100);
    int err = sealed.read(sealed.context, sealed.size - 5, buffer, 100, &got);

    console_line("test: end: %u bytes, status %x; %u of %u at %x, status %x", (uint64_t)got,
                 (uint64_t)err, source->error.got, source->error.length, source->error.offset,
                 (uint64_t)status);
}

static void read_image(EFI_HANDLE image)
{
    struct image_choice choice;
    struct image_source source;
    EFI_PHYSICAL_ADDRESS pages = 0;
    EFI_STATUS status = image_choice_parse(image, services, &choice);
    uint8_t *memory;

    if (status == EFI_SUCCESS) {
        status = image_source_open(image, services, &choice, &source);
    }
    if (status != EFI_SUCCESS) {
        console_line("test: not opened: status %x", (uint64_t)status);
        return;
    }
    if (services->BootServices->AllocatePages(AllocateAnyPages, EfiLoaderData,
                                              (UINTN)((source.size + LOOK_BACK) / PAGE_SIZE + 1),
                                              &pages) != EFI_SUCCESS) {
        console_line("test: no memory for %u bytes", source.size);
        return;
    }
    memory = (uint8_t *)(uintptr_t)pages;
    status = read_forward(&source, memory);
    if (status == EFI_SUCCESS) {
        console_line("test: image: %u bytes, CRC %x", source.size, crc(memory, source.size));
        console_line("test: backwards: %u bytes are different",
                     read_backward(&source, memory, memory + source.size));
        read_over_end(&source, memory + source.size);
    } else {
        image_source_complain(&source);
        console_line("test: failed: status %x, %u bytes at %u: %u", (uint64_t)source.error.status,
                     source.error.length, source.error.offset, source.error.got);
    }
    image_source_close(&source);
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system);
EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    uint8_t secret[RESUME_SEALED_KEY];
    EFI_STATUS status;

    services = system;
    console_init(system);
    console_line("read-image.efi");
    status = key_load(system, secret);
    show_secret("key", status, secret, sizeof(secret));
    status = key_load_identity(system, secret);
    show_secret("identity", status, secret, sizeof(secret));
    read_image(image);
    console_line("test: done");
    for (;;) {
        system->BootServices->Stall(SECOND);
    }
}
