/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "console.h"
#include "fw_cfg.h"
#include "image_source.h"

static const CHAR16 file_name[] = L"opt/org.libresume/image";

static EFI_STATUS read_dma(struct image_source *source, uint64_t offset, void *buffer,
                           uint64_t length, uint64_t *ret)
{
    EFI_STATUS status =
        fw_cfg_read_at(source->in.fw_cfg.selector, (uint32_t)offset, buffer, (uint32_t)length);

    *ret = status == EFI_SUCCESS ? length : 0;
    return status;
}

static EFI_STATUS read_ports(struct image_source *source, uint64_t offset, void *buffer,
                             uint64_t length, uint64_t *ret)
{
    fw_cfg_read_on(source->in.fw_cfg.selector, (uint32_t)offset, buffer, (uint32_t)length);
    *ret = length;
    return EFI_SUCCESS;
}

EFI_STATUS image_fw_cfg_open(struct image_source *out)
{
    uint16_t selector;
    uint32_t size;

    if (!fw_cfg_find("opt/org.libresume/image", &selector, &size)) {
        return EFI_NOT_FOUND;
    }
    out->backend = IMAGE_FW_CFG;
    out->size = size;
    out->in.fw_cfg.selector = selector;
    image_describe(out, file_name);
    if (fw_cfg_has_dma()) {
        out->read = read_dma;
    } else {
        out->read = read_ports;
        console_line("image: fw_cfg has no DMA here: it is read byte by byte");
    }
    return EFI_SUCCESS;
}
