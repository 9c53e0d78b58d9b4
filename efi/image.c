/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "image.h"

#include "console.h"
#include "key.h"
#include "memory.h"
#include "runtime.h"

static const char *protection_name(uint32_t protection)
{
    switch (protection) {
    case RESUME_SEALED_CHECKSUM:
        return "not sealed (XXH3-128)";
    case RESUME_SEALED_CHACHA20_POLY1305:
        return "sealed with ChaCha20-Poly1305";
    case RESUME_SEALED_AES_256_GCM:
        return "sealed with AES-256-GCM";
    default:
        return "sealed";
    }
}

static const char *compression_name(uint32_t compression)
{
    switch (compression) {
    case RESUME_SEALED_NONE:
        return "not compressed";
    case RESUME_SEALED_LZ4:
        return "compressed with LZ4";
    case RESUME_SEALED_ZSTD:
        return "compressed with Zstandard";
    default:
        return "compressed";
    }
}

EFI_STATUS image_refuse(const struct image *image, int err, const struct resume_diag *diag)
{
    if (err == RESUME_EIO || err == RESUME_ETRUNC) {
        if (image->source.error.length != 0) {
            image_source_complain(&image->source);
            return EFI_LOAD_ERROR;
        }
    }
    return console_refuse("image", err, diag);
}

static void introduce(const struct image *image)
{
    const struct resume_sealed_header *header = &image->header;

    console_line("image: %s, %s: %u KiB of the guest's memory in %u chunks",
                 protection_name(header->protection), compression_name(header->compression),
                 header->content * (RESUME_SEALED_PAGE / 1024), header->chunks);
    if (header->protection == RESUME_SEALED_CHECKSUM) {
        console_line("warning: image: NOT SEALED, integrity only: anybody can have read it and "
                     "written it, nothing is confidential");
    }
}

static EFI_STATUS read_structures(struct image *image, const uint8_t *key, const uint8_t *identity)
{
    const struct resume_sealed_source source = image_source_sealed(&image->source);
    struct resume_diag diag = {0};
    EFI_STATUS status;
    int err = resume_sealed_header(&source, &image->header, &diag);

    if (err != RESUME_OK) {
        return image_refuse(image, err, &diag);
    }
    if (key == NULL && image->header.protection != RESUME_SEALED_CHECKSUM) {
        console_line(
            "refused: key: there is none, and the image is %s: give it as a launch secret, "
            "or as fw_cfg file opt/org.libresume/key",
            protection_name(image->header.protection));
        return EFI_SECURITY_VIOLATION;
    }
    if (key != NULL && image->header.protection == RESUME_SEALED_CHECKSUM) {
        console_line("refused: image: there is a key, but the image is not sealed: it could be "
                     "anybody's");
        return EFI_SECURITY_VIOLATION;
    }
    image->structures_length = image->header.structures_length;
    status = memory_allocate_data(image->system, image->structures_length, &image->structures_pa);
    if (status != EFI_SUCCESS) {
        image->structures_pa = 0;
        console_line("refused: memory: no %u bytes for the image's structures (status %x)",
                     image->structures_length, (uint64_t)status);
        return status;
    }
    err = resume_sealed_open(&image->sealed, &source, &image->header, key, identity,
                             (void *)image->structures_pa, (size_t)image->structures_length, &diag);
    return err == RESUME_OK ? EFI_SUCCESS : image_refuse(image, err, &diag);
}

EFI_STATUS image_open(EFI_HANDLE application, EFI_SYSTEM_TABLE *system,
                      const struct image_choice *choice, struct image *image)
{
    uint8_t key[RESUME_SEALED_KEY];
    uint8_t identity[RESUME_SEALED_IDENTITY];
    const uint8_t *the_key = key;
    const uint8_t *the_identity = identity;
    /* First of all, and whatever comes of it: what is fetched is wiped where it was. */
    EFI_STATUS key_status = key_load(system, key);
    EFI_STATUS identity_status = key_load_identity(system, identity);
    EFI_STATUS status;

    memset(image, 0, sizeof(*image));
    image->system = system;
    image->open = 1;
    if (key_status == EFI_NOT_FOUND) {
        the_key = NULL;
        key_status = EFI_SUCCESS;
    }
    if (identity_status == EFI_NOT_FOUND) {
        the_identity = NULL;
        identity_status = EFI_SUCCESS;
    }
    status = key_status != EFI_SUCCESS ? key_status : identity_status;
    if (status == EFI_SUCCESS) {
        status = image_source_open(application, system, choice, &image->source);
    }
    if (status == EFI_SUCCESS) {
        status = read_structures(image, the_key, the_identity);
    }
    resume_sealed_wipe(key, sizeof(key));
    resume_sealed_wipe(identity, sizeof(identity));
    if (status != EFI_SUCCESS) {
        image_close(image);
        return status;
    }
    introduce(image);
    return EFI_SUCCESS;
}

void image_close(struct image *image)
{
    if (!image->open) {
        return;
    }
    resume_sealed_close(&image->sealed);
    image_source_close(&image->source);
    if (image->structures_pa != 0) {
        resume_sealed_wipe((void *)image->structures_pa, (size_t)image->structures_length);
        memory_free(image->system, image->structures_pa, image->structures_length);
    }
    resume_sealed_wipe(image, sizeof(*image));
}
