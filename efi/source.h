/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Where the loader's inputs come from: fw_cfg, or files beside the loader on its partition. */
#ifndef RESUME_EFI_SOURCE_H
#define RESUME_EFI_SOURCE_H

#include <efi.h>
#include <stdint.h>

/* One input, in memory from the boot services' pool; freed by source_free or by leaving. */
struct source_input {
    void *data;
    uint32_t length;
};

/* An input longer than this is refused: a state blob of one vCPU has some 5 KiB. */
#define SOURCE_LENGTH_MAX UINT32_C(0x100000)

/*
 * source_load - load @name ("state" or "plan") from fw_cfg file opt/org.libresume/NAME, or, when
 * there is none, from NAME.rsm in the directory that @image was loaded from.
 * Prints where it came from, or why it could not be had.
 * Returns EFI_SUCCESS, or the error of the firmware.
 */
EFI_STATUS source_load(EFI_HANDLE image, EFI_SYSTEM_TABLE *system, const char *name,
                       struct source_input *out);

/* source_exists - 1 when source_load would find @name, in either place. Says nothing. */
int source_exists(EFI_HANDLE image, EFI_SYSTEM_TABLE *system, const char *name);

/*
 * source_directory - the folder that @loaded was loaded from, on its volume.
 * @path: room for @capacity characters; not terminated.
 * Returns the number of characters, the last one a backslash; 0: the root, or not from a file.
 */
uint32_t source_directory(EFI_LOADED_IMAGE *loaded, CHAR16 *path, uint32_t capacity);

/* Wipes and frees; does nothing to an empty input. */
void source_free(EFI_SYSTEM_TABLE *system, struct source_input *input);

#endif
