/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "key.h"

#include <resume/secret.h>

#include "configuration_table.h"
#include "console.h"
#include "fw_cfg.h"
#include "runtime.h"

/* LINUX_EFI_COCO_SECRET_AREA_GUID */
#define AREA_GUID                                                                                  \
    {                                                                                              \
        0xadf956ad, 0xe98c, 0x484c,                                                                \
        {                                                                                          \
            0xae, 0x11, 0xb5, 0x1c, 0x7d, 0x33, 0x64, 0x47                                         \
        }                                                                                          \
    }
#define AREA_MAX UINT64_C(0x100000) /* OVMF's has a page */
#define CACHE_LINE 64

/* What that table of the firmware has. */
struct area {
    uint64_t base; /* physical, which under UEFI is where it is */
    uint64_t size; /* bytes */
};

struct wanted {
    const char *what;
    const char *file; /* in fw_cfg */
    uint8_t guid[RESUME_SECRET_GUID];
    uint32_t length;
};

static int find_area(const EFI_SYSTEM_TABLE *system, struct area *out)
{
    const EFI_GUID guid = AREA_GUID;
    const EFI_CONFIGURATION_TABLE *table = configuration_table_find(system, &guid);

    if (table == NULL) {
        return 0;
    }
    memset(out, 0, sizeof(*out));
    if (table->VendorTable != NULL) {
        memcpy(out, table->VendorTable, sizeof(*out));
    }
    return 1;
}

/* Out of the caches too: the memory itself is to have the zeroes. */
static void flush(const uint8_t *from, uint64_t length)
{
    const uintptr_t end = (uintptr_t)from + length;

    for (uintptr_t at = (uintptr_t)from & ~(uintptr_t)(CACHE_LINE - 1); at < end;
         at += CACHE_LINE) {
        __asm__ volatile("clflush %0" : : "m"(*(const uint8_t *)at) : "memory");
    }
    __asm__ volatile("mfence" : : : "memory");
}

static EFI_STATUS from_area(const struct area *area, const struct wanted *wanted, uint8_t *out)
{
    struct resume_secret secret = {0};
    struct resume_diag diag = {0};
    EFI_STATUS status = EFI_SUCCESS;
    uint8_t *bytes;
    int err;

    if (area->base == 0 || area->size > AREA_MAX || area->base > UINT64_MAX - area->size) {
        console_line("refused: %s: the area of launch secrets is said to be %x bytes at %x",
                     wanted->what, area->size, area->base);
        return EFI_COMPROMISED_DATA;
    }
    bytes = (uint8_t *)(uintptr_t)area->base;
    err = resume_secret_find(bytes, (size_t)area->size, wanted->guid, &secret, &diag);
    if (err == RESUME_EMISSING || err == RESUME_EMAGIC) {
        return EFI_NOT_FOUND;
    }
    if (err != RESUME_OK) {
        console_refuse(wanted->what, err, &diag);
        return EFI_COMPROMISED_DATA;
    }
    if (secret.length == wanted->length) {
        memcpy(out, bytes + secret.data, wanted->length);
        console_line("%s: from the table of launch secrets, and removed there", wanted->what);
    } else {
        console_line("refused: %s: the launch secret has %u bytes, it should have %u", wanted->what,
                     (uint64_t)secret.length, (uint64_t)wanted->length);
        status = EFI_COMPROMISED_DATA;
    }
    resume_secret_remove(bytes, &secret);
    flush(bytes + secret.entry, secret.data - secret.entry + secret.length);
    return status;
}

static EFI_STATUS from_fw_cfg(const struct wanted *wanted, uint8_t *out)
{
    uint16_t selector;
    uint32_t size;

    if (!fw_cfg_find(wanted->file, &selector, &size)) {
        return EFI_NOT_FOUND;
    }
    if (size != wanted->length) {
        console_line("refused: %s: fw_cfg file %s has %u bytes, it should have %u", wanted->what,
                     wanted->file, (uint64_t)size, (uint64_t)wanted->length);
        return EFI_COMPROMISED_DATA;
    }
    /* Straight to where it is wanted: there is no buffer to wipe. */
    fw_cfg_read(selector, out, wanted->length);
    console_line("warning: %s: from fw_cfg file %s: the host can read and replace it, nothing is "
                 "confidential",
                 wanted->what, wanted->file);
    return EFI_SUCCESS;
}

EFI_STATUS key_load(EFI_SYSTEM_TABLE *system, uint8_t *key)
{
    static const struct wanted wanted = {"key", "opt/org.libresume/key", RESUME_SECRET_KEY_GUID,
                                         RESUME_SEALED_KEY};
    struct area area;
    EFI_STATUS status;

    memset(key, 0, wanted.length);
    if (!find_area(system, &area)) {
        return from_fw_cfg(&wanted, key);
    }
    status = from_area(&area, &wanted, key);
    if (status == EFI_NOT_FOUND) {
        console_line("refused: key: it is not among the launch secrets of this machine: inject it");
        status = EFI_SECURITY_VIOLATION;
    }
    return status;
}

EFI_STATUS key_load_identity(EFI_SYSTEM_TABLE *system, uint8_t *identity)
{
    static const struct wanted wanted = {"identity", "opt/org.libresume/identity",
                                         RESUME_SECRET_IDENTITY_GUID, RESUME_SEALED_IDENTITY};
    struct area area;

    memset(identity, 0, wanted.length);
    return find_area(system, &area) ? from_area(&area, &wanted, identity)
                                    : from_fw_cfg(&wanted, identity);
}

int key_area_exists(const EFI_SYSTEM_TABLE *system)
{
    struct area area;

    return find_area(system, &area);
}
