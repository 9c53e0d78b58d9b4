/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "image_source.h"
#include "runtime.h"
#include "source.h"

static const CHAR16 default_name[] = L"image.rsm";
static const CHAR16 default_path[] = L"\\image.rsm";

static EFI_STATUS read_file(struct image_source *source, uint64_t offset, void *buffer,
                            uint64_t length, uint64_t *ret)
{
    EFI_FILE *file = source->in.file.file;
    UINTN got = (UINTN)length;
    EFI_STATUS status = file->SetPosition(file, offset);

    if (status == EFI_SUCCESS) {
        status = file->Read(file, &got, buffer);
    }
    if (status == EFI_SUCCESS) {
        *ret = got;
    }
    return status;
}

/* @out stays untouched on failure. */
static EFI_STATUS open_on(EFI_HANDLE handle, const CHAR16 *path, struct image_source *out)
{
    EFI_GUID guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;
    EFI_FILE_IO_INTERFACE *volume;
    EFI_FILE *root = NULL;
    EFI_FILE *file = NULL;
    void *interface = NULL;
    UINT64 size = 0;
    EFI_STATUS status;

    if (out->system->BootServices->HandleProtocol(handle, &guid, &interface) != EFI_SUCCESS) {
        return EFI_NOT_FOUND; /* not a volume */
    }
    volume = interface;
    status = volume->OpenVolume(volume, &root);
    if (status != EFI_SUCCESS) {
        return status;
    }
    /* The parameter is not const, but only read. */
    status = root->Open(root, &file, (CHAR16 *)(uintptr_t)path, EFI_FILE_MODE_READ, 0);
    root->Close(root);
    if (status != EFI_SUCCESS) {
        return status;
    }
    status = file->SetPosition(file, ~(UINT64)0); /* the end; a directory has none */
    if (status == EFI_SUCCESS) {
        status = file->GetPosition(file, &size);
    }
    if (status != EFI_SUCCESS) {
        file->Close(file);
        return status;
    }
    out->backend = IMAGE_FILE;
    out->size = size;
    out->read = read_file;
    out->in.file.file = file;
    image_describe(out, path);
    return EFI_SUCCESS;
}

/* The path @choice on the volume and, if it is relative, in the folder of the application. */
static EFI_STATUS open_beside(EFI_HANDLE image, const struct image_choice *choice,
                              struct image_source *out)
{
    const CHAR16 *name = choice->path[0] != 0 ? choice->path : default_name;
    EFI_GUID guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
    CHAR16 path[IMAGE_PATH_MAX];
    EFI_LOADED_IMAGE *loaded;
    void *interface = NULL;
    uint32_t at;
    EFI_STATUS status = out->system->BootServices->HandleProtocol(image, &guid, &interface);

    if (status != EFI_SUCCESS) {
        return status;
    }
    loaded = interface;
    if (loaded->DeviceHandle == NULL) {
        return EFI_NOT_FOUND;
    }
    if (name[0] == L'\\') {
        return open_on(loaded->DeviceHandle, name, out);
    }
    at = source_directory(loaded, path, IMAGE_PATH_MAX);
    for (; *name != 0; name++) {
        if (at + 1 >= IMAGE_PATH_MAX) {
            return EFI_INVALID_PARAMETER;
        }
        path[at++] = *name;
    }
    path[at] = 0;
    return open_on(loaded->DeviceHandle, path, out);
}

/* On any volume. Nobody has named the volume, so a file that is no image is passed by. */
static EFI_STATUS open_anywhere(const CHAR16 *path, struct image_source *out)
{
    EFI_GUID guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;
    EFI_HANDLE *handles = NULL;
    UINTN count = 0;
    EFI_STATUS status =
        out->system->BootServices->LocateHandleBuffer(ByProtocol, &guid, NULL, &count, &handles);

    if (status != EFI_SUCCESS) {
        return EFI_NOT_FOUND;
    }
    status = EFI_NOT_FOUND;
    for (UINTN i = 0; i < count && status != EFI_SUCCESS; i++) {
        uint8_t magic[8];

        if (open_on(handles[i], path, out) != EFI_SUCCESS) {
            continue;
        }
        if (image_source_read(out, 0, magic, sizeof(magic)) == EFI_SUCCESS &&
            image_is_magic(magic)) {
            status = EFI_SUCCESS;
        } else {
            image_file_close(out);
        }
    }
    out->system->BootServices->FreePool(handles);
    return status;
}

EFI_STATUS image_file_open(EFI_HANDLE image, const struct image_choice *choice, int beside,
                           struct image_source *out)
{
    const CHAR16 *path = choice->path[0] != 0 ? choice->path : default_path;
    EFI_STATUS status;

    if (!beside) {
        return path[0] == L'\\' ? open_anywhere(path, out) : EFI_NOT_FOUND;
    }
    status = open_beside(image, choice, out);
    if (status != EFI_SUCCESS && status != EFI_NOT_FOUND) {
        out->backend = IMAGE_FILE; /* for the message */
        image_describe(out, path);
    }
    return status;
}

void image_file_close(struct image_source *source)
{
    EFI_FILE *file = source->in.file.file;

    if (file != NULL) {
        file->Close(file);
    }
    memset(&source->in, 0, sizeof(source->in));
    source->backend = IMAGE_ANY;
}
