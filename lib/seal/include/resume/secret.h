/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The table of launch secrets of a confidential guest.
 *
 * Firmware publishes an area of memory (LINUX_EFI_COCO_SECRET_AREA_GUID) into which the guest's owner
 * has had a table injected: a header, then entries, each a GUID, a length (32 bits, of the whole
 * entry) and data. Nothing here allocates, and nothing outside of the area is read.
 *
 * GUIDs are 16 bytes in the order in which UEFI stores them: the first three groups little-endian.
 */
#ifndef RESUME_SECRET_H
#define RESUME_SECRET_H

#include <stddef.h>
#include <stdint.h>

#include <resume/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RESUME_SECRET_GUID 16

/* e7aa8de2-cbd1-4ef5-8183-6279520f17b8: an entry with the key that images are sealed with, exactly
 * RESUME_SEALED_KEY bytes. */
#define RESUME_SECRET_KEY_GUID                                                                     \
    {                                                                                              \
        0xe2, 0x8d, 0xaa, 0xe7, 0xd1, 0xcb, 0xf5, 0x4e, 0x81, 0x83, 0x62, 0x79, 0x52, 0x0f, 0x17,  \
            0xb8                                                                                   \
    }
/* 7a63506a-dca1-4007-867e-ef124e56b64a: an entry with the identity of the only
 * image that may be resumed, exactly RESUME_SEALED_IDENTITY bytes. */
#define RESUME_SECRET_IDENTITY_GUID                                                                \
    {                                                                                              \
        0x6a, 0x50, 0x63, 0x7a, 0xa1, 0xdc, 0x07, 0x40, 0x86, 0x7e, 0xef, 0x12, 0x4e, 0x56, 0xb6,  \
            0x4a                                                                                   \
    }

/* An entry. Offsets count from the beginning of the area. */
struct resume_secret {
    size_t entry;  /* of its GUID */
    size_t data;   /* of its data */
    size_t length; /* bytes of data; may be 0 */
};

/*
 * resume_secret_find - find an entry. All of the table is checked, also what follows the entry.
 * @area: @size bytes; any alignment. Nobody else may write to it meanwhile.
 * @guid: RESUME_SECRET_GUID bytes, not all zero (which is what a removed entry has).
 * @out: untouched on failure. @diag: may be NULL.
 * Fewer bytes after the last entry than an entry has at least are padding, and ignored.
 * Errors: EINVAL (@guid is zero), ETRUNC (the area has no room for a header), EMAGIC (nothing has been
 * injected), ELENGTH (the length of the table or of an entry is impossible), EDUPLICATE (more than one
 * such entry), EMISSING (none).
 */
int resume_secret_find(const void *area, size_t size, const uint8_t *guid,
                       struct resume_secret *out, struct resume_diag *diag);

/*
 * resume_secret_remove - overwrite an entry's GUID and data with zeroes, as Linux' efi_secret does
 * when an entry is deleted. Its length stays, so that the entries after it can be found.
 * @area: the same as in resume_secret_find, which has given @secret.
 */
void resume_secret_remove(void *area, const struct resume_secret *secret);

#ifdef __cplusplus
}
#endif
#endif
