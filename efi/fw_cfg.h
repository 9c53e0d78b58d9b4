/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * QEMU's firmware configuration device (QEMU docs/specs, "fw_cfg"), through its I/O ports, and
 * through its DMA interface where it has one. DMA reads into memory that the host can write: on a
 * machine with encrypted memory that is not so, and what is read is garbage.
 */
#ifndef RESUME_EFI_FW_CFG_H
#define RESUME_EFI_FW_CFG_H

#include <efi.h>
#include <stdint.h>

/*
 * fw_cfg_find - look a file up by name.
 * Returns 1 and its selector and size in bytes, or 0: no fw_cfg device, or no such file.
 */
int fw_cfg_find(const char *name, uint16_t *ret_selector, uint32_t *ret_size);

/* fw_cfg_read - read the first @length bytes of a file into @buffer, byte by byte. */
void fw_cfg_read(uint16_t selector, void *buffer, uint32_t length);

/* fw_cfg_has_dma - does the device have the DMA interface? Only after fw_cfg_find has found. */
int fw_cfg_has_dma(void);

/*
 * fw_cfg_read_at - read @length bytes at @offset, which lie inside the file, by DMA.
 * Returns EFI_SUCCESS, EFI_DEVICE_ERROR (the device says so), or EFI_TIMEOUT: no answer within a
 * limit. The device may then still write to @buffer, which is not to be freed.
 */
EFI_STATUS fw_cfg_read_at(uint16_t selector, uint32_t offset, void *buffer, uint32_t length);

/*
 * fw_cfg_read_on - the same byte by byte. Reading forward goes on where the last call ended; going
 * back reads the file from its beginning.
 */
void fw_cfg_read_on(uint16_t selector, uint32_t offset, void *buffer, uint32_t length);

#endif
