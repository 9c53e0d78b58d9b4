/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "image_source.h"
#include "runtime.h"

#define PAGE_SIZE 4096u
#define BLOCK_MAX 65536u /* far beyond any device */
#define TRANSFER_MAX (UINT64_C(1) << 30)
#define NO_BLOCK UINT64_MAX

/* UEFI specification 2.7, "Partition Information Protocol": bytes, because it is packed. */
#define PARTITION_INFO_GUID                                                                        \
    {                                                                                              \
        0x8cf2f62c, 0xbc9b, 0x4821,                                                                \
        {                                                                                          \
            0x80, 0x8d, 0xec, 0x9e, 0xc4, 0x21, 0xa1, 0xa0                                         \
        }                                                                                          \
    }
#define PARTITION_INFO_TYPE 4   /* UINT32 */
#define PARTITION_INFO_GPT 2    /* a value of it */
#define PARTITION_INFO_ENTRY 16 /* the GPT's entry: GUID of the type, GUID of the partition */

static int known_geometry(const EFI_BLOCK_IO_MEDIA *media)
{
    return media->MediaPresent && media->BlockSize != 0 && media->BlockSize <= BLOCK_MAX &&
           media->IoAlign <= PAGE_SIZE && media->LastBlock < UINT64_MAX / BLOCK_MAX - 1;
}

static UINTN bounce_pages(const EFI_BLOCK_IO_MEDIA *media)
{
    return (media->BlockSize + PAGE_SIZE - 1) / PAGE_SIZE;
}

static EFI_STATUS read_blocks(struct image_source *source, uint64_t block, void *buffer,
                              uint64_t length)
{
    EFI_BLOCK_IO *device = source->in.partition.device;

    return device->ReadBlocks(device, source->in.partition.media, block, (UINTN)length, buffer);
}

/* Whole blocks go where they belong; what is less, or not aligned, through the buffer. Its block is
 * kept: where one piece of an image ends the next one begins. */
static EFI_STATUS read_partition(struct image_source *source, uint64_t offset, void *buffer,
                                 uint64_t length, uint64_t *ret)
{
    const uint32_t size = source->in.partition.block;
    const uint32_t align = source->in.partition.align;
    const uint64_t block = offset / size;
    const uint64_t into = offset % size;
    EFI_STATUS status = EFI_SUCCESS;

    if (into == 0 && length >= size && (align < 2 || (uintptr_t)buffer % align == 0)) {
        length = length < TRANSFER_MAX ? length : TRANSFER_MAX;
        length -= length % size;
        status = read_blocks(source, block, buffer, length);
        *ret = status == EFI_SUCCESS ? length : 0;
        return status;
    }
    if (block != source->in.partition.in_bounce) {
        source->in.partition.in_bounce = NO_BLOCK;
        status = read_blocks(source, block, source->in.partition.bounce, size);
        if (status != EFI_SUCCESS) {
            return status;
        }
        source->in.partition.in_bounce = block;
    }
    *ret = length < size - into ? length : size - into;
    memcpy(buffer, source->in.partition.bounce + into, (size_t)*ret);
    return EFI_SUCCESS;
}

/* Is it the partition of this GUID, or of this type? */
static int matches(EFI_SYSTEM_TABLE *system, EFI_HANDLE handle, const EFI_GUID *wanted)
{
    EFI_GUID guid = PARTITION_INFO_GUID;
    void *interface = NULL;
    const uint8_t *info;
    uint32_t type;

    if (system->BootServices->HandleProtocol(handle, &guid, &interface) != EFI_SUCCESS) {
        return 0;
    }
    info = interface;
    memcpy(&type, info + PARTITION_INFO_TYPE, sizeof(type));
    return type == PARTITION_INFO_GPT &&
           (memcmp(info + PARTITION_INFO_ENTRY, wanted, sizeof(*wanted)) == 0 ||
            memcmp(info + PARTITION_INFO_ENTRY + sizeof(*wanted), wanted, sizeof(*wanted)) == 0);
}

/* EFI_NOT_FOUND: no medium, or no image on it. */
static EFI_STATUS open_on(EFI_HANDLE handle, struct image_source *out)
{
    EFI_GUID guid = EFI_BLOCK_IO_PROTOCOL_GUID;
    EFI_PHYSICAL_ADDRESS pages = 0;
    EFI_BLOCK_IO *device;
    void *interface = NULL;
    uint8_t start[RESUME_SEALED_HEADER_TOTAL + 8];
    uint64_t total = 0;
    EFI_STATUS status = out->system->BootServices->HandleProtocol(handle, &guid, &interface);

    if (status != EFI_SUCCESS) {
        return EFI_NOT_FOUND;
    }
    device = interface;
    if (!known_geometry(device->Media)) {
        return EFI_NOT_FOUND;
    }
    status = out->system->BootServices->AllocatePages(AllocateAnyPages, EfiLoaderData,
                                                      bounce_pages(device->Media), &pages);
    if (status != EFI_SUCCESS) {
        return status;
    }
    out->backend = IMAGE_PARTITION;
    out->size = (device->Media->LastBlock + 1) * device->Media->BlockSize;
    out->read = read_partition;
    out->in.partition.device = device;
    out->in.partition.media = device->Media->MediaId;
    out->in.partition.block = device->Media->BlockSize;
    out->in.partition.align = device->Media->IoAlign;
    out->in.partition.pages = bounce_pages(device->Media);
    out->in.partition.bounce = (uint8_t *)(uintptr_t)pages;
    out->in.partition.in_bounce = NO_BLOCK;
    status = image_source_read(out, 0, start, sizeof(start));
    if (status == EFI_SUCCESS && !image_is_magic(start)) {
        status = EFI_NOT_FOUND;
    }
    if (status != EFI_SUCCESS) {
        image_partition_close(out);
        return status;
    }
    /* A partition is larger than what is on it. This is a claim; whoever opens the image compares it
     * with the header. */
    for (uint32_t i = 8; i-- > 0;) {
        total = total << 8 | start[RESUME_SEALED_HEADER_TOTAL + i];
    }
    if (total < out->size) {
        out->size = total;
    }
    return EFI_SUCCESS;
}

static void describe(struct image_source *out, const EFI_GUID *guid, UINTN number)
{
    static const uint8_t place[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    uint8_t bytes[16];
    CHAR16 text[37];
    uint32_t at = 0;

    if (guid == NULL) {
        text[at++] = L'#';
        for (UINTN unit = 10000; unit > 0; unit /= 10) {
            if (number >= unit || unit == 1) {
                text[at++] = (CHAR16)(L'0' + number / unit % 10);
            }
        }
        text[at] = 0;
        image_describe(out, text);
        return;
    }
    memcpy(bytes, guid, sizeof(bytes));
    for (uint32_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            text[at++] = L'-';
        }
        text[at++] = (CHAR16) "0123456789abcdef"[bytes[place[i]] >> 4];
        text[at++] = (CHAR16) "0123456789abcdef"[bytes[place[i]] & 15];
    }
    text[at] = 0;
    image_describe(out, text);
}

EFI_STATUS image_partition_open(const struct image_choice *choice, struct image_source *out)
{
    const EFI_GUID *wanted = choice->has_guid ? &choice->guid : NULL;
    EFI_GUID guid = EFI_BLOCK_IO_PROTOCOL_GUID;
    EFI_HANDLE *handles = NULL;
    UINTN count = 0;
    EFI_STATUS status =
        out->system->BootServices->LocateHandleBuffer(ByProtocol, &guid, NULL, &count, &handles);

    if (status != EFI_SUCCESS) {
        return EFI_NOT_FOUND;
    }
    status = EFI_NOT_FOUND;
    for (UINTN i = 0; i < count && status != EFI_SUCCESS; i++) {
        if (wanted != NULL && !matches(out->system, handles[i], wanted)) {
            continue;
        }
        status = open_on(handles[i], out);
        if (status == EFI_SUCCESS || wanted != NULL) {
            describe(out, wanted, i);
        }
        if (wanted != NULL && status != EFI_SUCCESS) {
            out->backend = IMAGE_PARTITION; /* for the message */
            status = status == EFI_NOT_FOUND ? EFI_VOLUME_CORRUPTED : status;
            break;
        }
    }
    out->system->BootServices->FreePool(handles);
    /* A device that nobody asked for may well not work. */
    return status == EFI_SUCCESS || wanted != NULL ? status : EFI_NOT_FOUND;
}

void image_partition_close(struct image_source *source)
{
    uint8_t *bounce = source->in.partition.bounce;

    if (bounce != NULL) {
        UINTN pages = source->in.partition.pages;

        memset(bounce, 0, pages * PAGE_SIZE);
        source->system->BootServices->FreePages((EFI_PHYSICAL_ADDRESS)(uintptr_t)bounce, pages);
    }
    memset(&source->in, 0, sizeof(source->in));
    source->backend = IMAGE_ANY;
}
