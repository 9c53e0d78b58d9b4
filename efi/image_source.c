/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "image_source.h"

#include "console.h"
#include "runtime.h"

int image_is_magic(const void *bytes)
{
    return memcmp(bytes, RESUME_SEALED_MAGIC, 8) == 0;
}

void image_describe(struct image_source *out, const CHAR16 *text)
{
    uint32_t length = 0;
    uint32_t from;

    while (length < IMAGE_PATH_MAX && text[length] != 0) {
        length++;
    }
    from = length < sizeof(out->what) ? 0 : length - (uint32_t)sizeof(out->what) + 1;
    for (uint32_t i = from; i < length; i++) {
        out->what[i - from] = text[i] >= L' ' && text[i] < 0x7f ? (char)text[i] : '?';
    }
    out->what[length - from] = 0;
}

const char *image_source_name(const struct image_source *source)
{
    switch (source->backend) {
    case IMAGE_FILE:
        return "file";
    case IMAGE_PARTITION:
        return "partition";
    case IMAGE_FW_CFG:
        return "fw_cfg file";
    case IMAGE_ANY:
    default:
        return "image";
    }
}

/* One look at everything that @choice allows. The most telling status, if nothing is found. */
static EFI_STATUS look(EFI_HANDLE image, const struct image_choice *choice,
                       struct image_source *out)
{
    EFI_STATUS status = EFI_NOT_FOUND;
    const int any = choice->backend == IMAGE_ANY;

    if (any || choice->backend == IMAGE_FW_CFG) {
        status = image_fw_cfg_open(out);
    }
    if (status == EFI_NOT_FOUND && (any || choice->backend == IMAGE_FILE)) {
        status = image_file_open(image, choice, 1, out);
        if (status == EFI_NOT_FOUND) {
            status = image_file_open(image, choice, 0, out);
        }
    }
    if (status == EFI_NOT_FOUND && (any || choice->backend == IMAGE_PARTITION)) {
        status = image_partition_open(choice, out);
    }
    return status;
}

static void connect_all(EFI_SYSTEM_TABLE *system)
{
    EFI_HANDLE *handles = NULL;
    UINTN count = 0;

    if (system->BootServices->LocateHandleBuffer(AllHandles, NULL, NULL, &count, &handles) !=
        EFI_SUCCESS) {
        return;
    }
    for (UINTN i = 0; i < count; i++) {
        /* That there is no driver for a handle is the rule, and no error. */
        system->BootServices->ConnectController(handles[i], NULL, NULL, TRUE);
    }
    system->BootServices->FreePool(handles);
}

EFI_STATUS image_source_open(EFI_HANDLE image, EFI_SYSTEM_TABLE *system,
                             const struct image_choice *choice, struct image_source *out)
{
    EFI_STATUS status;

    *out = (struct image_source){.system = system};
    status = look(image, choice, out);
    if (status == EFI_NOT_FOUND && choice->backend != IMAGE_FW_CFG) {
        connect_all(system);
        status = look(image, choice, out);
    }
    if (status == EFI_SUCCESS) {
        console_line("image: %u bytes in the %s %s", out->size, image_source_name(out), out->what);
    } else if (status == EFI_NOT_FOUND) {
        console_line("refused: image: there is none where it was looked for: give it as fw_cfg "
                     "file opt/org.libresume/image, as file image.rsm, or on a partition");
    } else {
        console_line("refused: image: %s %s: cannot be opened (status %x)", image_source_name(out),
                     out->what, (uint64_t)status);
        image_source_close(out);
    }
    return status;
}

void image_source_close(struct image_source *source)
{
    if (source->backend == IMAGE_FILE) {
        image_file_close(source);
    } else if (source->backend == IMAGE_PARTITION) {
        image_partition_close(source);
    }
    memset(source, 0, sizeof(*source));
}

static EFI_STATUS fail(struct image_source *source, EFI_STATUS status, uint64_t offset,
                       uint64_t length, uint64_t got)
{
    source->error = (struct image_error){status, offset, length, got};
    return status;
}

EFI_STATUS image_source_read(struct image_source *source, uint64_t offset, void *buffer,
                             uint64_t length)
{
    uint8_t *to = buffer;
    uint64_t there = offset < source->size ? source->size - offset : 0;
    uint64_t wanted = length < there ? length : there;
    uint64_t done = 0;

    while (done < wanted) {
        uint64_t got = 0;
        EFI_STATUS status = source->read(source, offset + done, to + done, wanted - done, &got);

        if (status == EFI_SUCCESS && got > wanted - done) {
            status = EFI_PROTOCOL_ERROR; /* whoever claims that has written who knows where */
            got = 0;
        }
        if (status != EFI_SUCCESS) {
            return fail(source, status, offset, length, done);
        }
        if (got == 0) {
            break;
        }
        done += got;
    }
    return done == length ? EFI_SUCCESS : fail(source, EFI_END_OF_FILE, offset, length, done);
}

static int read_sealed(void *context, uint64_t offset, void *buffer, size_t length, size_t *ret)
{
    struct image_source *source = context;
    uint64_t there = offset < source->size ? source->size - offset : 0;
    uint64_t wanted = length < there ? length : there;

    if (image_source_read(source, offset, buffer, wanted) != EFI_SUCCESS) {
        return -1;
    }
    *ret = (size_t)wanted;
    return 0;
}

struct resume_sealed_source image_source_sealed(struct image_source *source)
{
    return (struct resume_sealed_source){read_sealed, source, source->size};
}

void image_source_complain(const struct image_source *source)
{
    const struct image_error *error = &source->error;

    console_line("refused: image: %s %s: %u bytes at %x: %u have come (status %x)",
                 image_source_name(source), source->what, error->length, error->offset, error->got,
                 (uint64_t)error->status);
}
