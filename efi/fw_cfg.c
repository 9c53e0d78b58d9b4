/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "fw_cfg.h"

#include "io.h"

#define PORT_SELECTOR 0x510
#define PORT_DATA 0x511
#define ITEM_SIGNATURE 0x0000
#define ITEM_DIRECTORY 0x0019
#define NAME_LENGTH 56
#define FILES_MAX 4096 /* far beyond any machine; bounds the walk */

#define CPUID_HYPERVISOR (UINT32_C(1) << 31)

static uint32_t read_be(uint32_t bytes)
{
    uint32_t value = 0;

    while (bytes-- > 0) {
        value = value << 8 | io_read8(PORT_DATA);
    }
    return value;
}

/* On a real machine these ports may be anything: only look for the device under a hypervisor. */
static int present(void)
{
    uint32_t regs[4];

    cpu_query_cpuid((void *)0, 1, 0, regs);
    if ((regs[2] & CPUID_HYPERVISOR) == 0) {
        return 0;
    }
    io_write16(PORT_SELECTOR, ITEM_SIGNATURE);
    return read_be(4) == UINT32_C(0x51454d55); /* "QEMU" */
}

int fw_cfg_find(const char *name, uint16_t *ret_selector, uint32_t *ret_size)
{
    uint32_t count;

    if (!present()) {
        return 0;
    }
    io_write16(PORT_SELECTOR, ITEM_DIRECTORY);
    count = read_be(4);
    for (uint32_t i = 0; i < count && i < FILES_MAX; i++) {
        uint32_t size = read_be(4);
        uint16_t selector = (uint16_t)read_be(2);
        int equal = 1;
        int ended = 0;

        (void)read_be(2);
        for (uint32_t j = 0; j < NAME_LENGTH; j++) {
            char c = (char)io_read8(PORT_DATA);

            if (!ended && c != name[j]) {
                equal = 0;
                ended = 1;
            }
            if (c == 0) {
                ended = 1;
            }
        }
        if (equal) {
            *ret_selector = selector;
            *ret_size = size;
            return 1;
        }
    }
    return 0;
}

void fw_cfg_read(uint16_t selector, void *buffer, uint32_t length)
{
    uint8_t *to = buffer;

    io_write16(PORT_SELECTOR, selector);
    for (uint32_t i = 0; i < length; i++) {
        to[i] = io_read8(PORT_DATA);
    }
}
