/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "source.h"

#include "console.h"
#include "fw_cfg.h"
#include "runtime.h"

#define FW_CFG_FOLDER "opt/org.libresume/"
#define FILE_ENDING ".rsm"
#define NAME_MAX 64
#define PATH_MAX 260

/* dst = a + b + c, as a terminated string; truncated to @capacity. */
static void join(char *dst, uint32_t capacity, const char *a, const char *b, const char *c)
{
    const char *parts[3] = {a, b, c};
    uint32_t at = 0;

    for (uint32_t i = 0; i < 3; i++) {
        for (const char *from = parts[i]; *from != 0 && at + 1 < capacity; from++) {
            dst[at++] = *from;
        }
    }
    dst[at] = 0;
}

static EFI_STATUS allocate(EFI_SYSTEM_TABLE *system, const char *what, uint64_t length,
                           struct source_input *out)
{
    EFI_STATUS status;

    if (length == 0 || length > SOURCE_LENGTH_MAX) {
        console_line("refused: %s: %u bytes: an input has between 1 and %u", what, length,
                     (uint64_t)SOURCE_LENGTH_MAX);
        return EFI_BAD_BUFFER_SIZE;
    }
    status = system->BootServices->AllocatePool(EfiLoaderData, (UINTN)length, &out->data);
    if (status == EFI_SUCCESS) {
        out->length = (uint32_t)length;
    }
    return status;
}

void source_free(EFI_SYSTEM_TABLE *system, struct source_input *input)
{
    if (input->data != NULL) {
        memset(input->data, 0, input->length);
        system->BootServices->FreePool(input->data);
        input->data = NULL;
        input->length = 0;
    }
}

uint32_t source_directory(EFI_LOADED_IMAGE *loaded, CHAR16 *path, uint32_t capacity)
{
    EFI_DEVICE_PATH *node = loaded->FilePath;
    uint32_t at = 0;
    uint32_t directory = 0;

    /* A path ends with an end node; the bound is for one that does not. */
    for (uint32_t nodes = 0; node != NULL && nodes < 64; nodes++) {
        uint32_t length = (uint32_t)node->Length[0] | (uint32_t)node->Length[1] << 8;

        if ((node->Type & 0x7f) == 0x7f || length < 4) {
            break;
        }
        if (node->Type == MEDIA_DEVICE_PATH && node->SubType == MEDIA_FILEPATH_DP) {
            const uint8_t *text = (const uint8_t *)node + 4;

            for (uint32_t i = 0; i + 1 < length - 4 && at + 1 < capacity; i += 2) {
                CHAR16 c = (CHAR16)(text[i] | text[i + 1] << 8);

                if (c == 0) {
                    break;
                }
                path[at++] = c;
                if (c == L'\\') {
                    directory = at;
                }
            }
        }
        node = (EFI_DEVICE_PATH *)((uint8_t *)node + length);
    }
    return directory;
}

/* The loader's own path with its last component replaced by @name; 0 when it does not fit. */
static int sibling_path(EFI_LOADED_IMAGE *loaded, const char *name, CHAR16 *path, uint32_t capacity)
{
    uint32_t at = source_directory(loaded, path, capacity);

    for (; *name != 0; name++) {
        if (at + 1 >= capacity) {
            return 0;
        }
        path[at++] = (CHAR16)(unsigned char)*name;
    }
    path[at] = 0;
    return 1;
}

static EFI_STATUS read_file(EFI_SYSTEM_TABLE *system, const char *name, EFI_FILE *file,
                            struct source_input *out)
{
    EFI_STATUS status;
    UINT64 size = 0;
    UINTN length;

    status = file->SetPosition(file, ~(UINT64)0); /* the end */
    if (status == EFI_SUCCESS) {
        status = file->GetPosition(file, &size);
    }
    if (status == EFI_SUCCESS) {
        status = file->SetPosition(file, 0);
    }
    if (status == EFI_SUCCESS) {
        status = allocate(system, name, size, out);
    }
    if (status != EFI_SUCCESS) {
        return status;
    }
    length = out->length;
    status = file->Read(file, &length, out->data);
    if (status == EFI_SUCCESS && length != out->length) {
        status = EFI_END_OF_FILE;
    }
    if (status != EFI_SUCCESS) {
        source_free(system, out);
    }
    return status;
}

/* @ret: closed by the caller. */
static EFI_STATUS open_file(EFI_HANDLE image, EFI_SYSTEM_TABLE *system, const char *name,
                            EFI_FILE **ret)
{
    EFI_GUID loaded_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
    EFI_GUID volume_guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;
    EFI_LOADED_IMAGE *loaded = NULL;
    EFI_FILE_IO_INTERFACE *volume = NULL;
    EFI_FILE *root = NULL;
    CHAR16 path[PATH_MAX];
    void *interface = NULL;
    EFI_STATUS status;

    status = system->BootServices->HandleProtocol(image, &loaded_guid, &interface);
    if (status != EFI_SUCCESS) {
        return status;
    }
    loaded = interface;
    status = system->BootServices->HandleProtocol(loaded->DeviceHandle, &volume_guid, &interface);
    if (status != EFI_SUCCESS) {
        return status;
    }
    volume = interface;
    if (!sibling_path(loaded, name, path, PATH_MAX)) {
        return EFI_INVALID_PARAMETER;
    }
    status = volume->OpenVolume(volume, &root);
    if (status != EFI_SUCCESS) {
        return status;
    }
    status = root->Open(root, ret, path, EFI_FILE_MODE_READ, 0);
    root->Close(root);
    return status;
}

static EFI_STATUS load_file(EFI_HANDLE image, EFI_SYSTEM_TABLE *system, const char *name,
                            struct source_input *out)
{
    EFI_FILE *file = NULL;
    EFI_STATUS status = open_file(image, system, name, &file);

    if (status == EFI_SUCCESS) {
        status = read_file(system, name, file, out);
        file->Close(file);
    }
    return status;
}

int source_exists(EFI_HANDLE image, EFI_SYSTEM_TABLE *system, const char *name)
{
    char text[NAME_MAX];
    EFI_FILE *file = NULL;
    uint16_t selector;
    uint32_t size;

    join(text, NAME_MAX, FW_CFG_FOLDER, name, "");
    if (fw_cfg_find(text, &selector, &size)) {
        return 1;
    }
    join(text, NAME_MAX, name, FILE_ENDING, "");
    if (open_file(image, system, text, &file) != EFI_SUCCESS) {
        return 0;
    }
    file->Close(file);
    return 1;
}

EFI_STATUS source_load(EFI_HANDLE image, EFI_SYSTEM_TABLE *system, const char *name,
                       struct source_input *out)
{
    char fw_cfg_name[NAME_MAX];
    char file_name[NAME_MAX];
    uint16_t selector;
    uint32_t size;
    EFI_STATUS status;

    join(fw_cfg_name, NAME_MAX, FW_CFG_FOLDER, name, "");
    join(file_name, NAME_MAX, name, FILE_ENDING, "");
    if (fw_cfg_find(fw_cfg_name, &selector, &size)) {
        status = allocate(system, fw_cfg_name, size, out);
        if (status == EFI_SUCCESS) {
            fw_cfg_read(selector, out->data, out->length);
            console_line("%s: %u bytes from fw_cfg file %s", name, (uint64_t)out->length,
                         fw_cfg_name);
        }
        return status;
    }
    status = load_file(image, system, file_name, out);
    if (status == EFI_SUCCESS) {
        console_line("%s: %u bytes from the file %s beside the loader", name, (uint64_t)out->length,
                     file_name);
    } else {
        console_line("refused: %s: neither fw_cfg file %s nor file %s could be read (status %x): "
                     "give one of them",
                     name, fw_cfg_name, file_name, (uint64_t)status);
    }
    return status;
}
