/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The snapshot image that is resumed from: found, authenticated, and its structures in memory. */
#ifndef RESUME_EFI_IMAGE_H
#define RESUME_EFI_IMAGE_H

#include <efi.h>
#include <stdint.h>

#include <resume/sealed.h>

#include "image_source.h"

struct image {
    struct image_source source;
    struct resume_sealed_header header;
    struct resume_sealed sealed;
    EFI_SYSTEM_TABLE *system;
    uint64_t structures_pa;     /* pages from the boot services */
    uint64_t structures_length; /* bytes */
    int open;
};

/*
 * image_open - find image, key and expected identity, read and check the structures.
 * Says what image it is and what protects it, or what is wrong. Must not be moved while it is open.
 * On failure everything is closed and wiped.
 */
EFI_STATUS image_open(EFI_HANDLE application, EFI_SYSTEM_TABLE *system,
                      const struct image_choice *choice, struct image *out);

/*
 * image_refuse - the error of <resume/sealed.h> while reading @image: the source's own account of it
 * where it is the source that has failed. EFI_LOAD_ERROR.
 */
EFI_STATUS image_refuse(const struct image *image, int err, const struct resume_diag *diag);

/* image_close - wipe keys and structures, close the source. A zeroed one is fine. */
void image_close(struct image *image);

#endif
