/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* QEMU's firmware configuration device, through its I/O ports (QEMU docs/specs, "fw_cfg"). */
#ifndef RESUME_EFI_FW_CFG_H
#define RESUME_EFI_FW_CFG_H

#include <stdint.h>

/*
 * fw_cfg_find - look a file up by name.
 * Returns 1 and its selector and size in bytes, or 0: no fw_cfg device, or no such file.
 */
int fw_cfg_find(const char *name, uint16_t *ret_selector, uint32_t *ret_size);

/* fw_cfg_read - read the first @length bytes of a file into @buffer. */
void fw_cfg_read(uint16_t selector, void *buffer, uint32_t length);

#endif
