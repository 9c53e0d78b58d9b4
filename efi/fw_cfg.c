/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "fw_cfg.h"

#include "io.h"

#define PORT_SELECTOR 0x510
#define PORT_DATA 0x511
#define PORT_DMA_HIGH 0x514 /* big-endian; writing the low half starts it */
#define PORT_DMA_LOW 0x518
#define ITEM_SIGNATURE 0x0000
#define ITEM_FEATURES 0x0001
#define FEATURE_DMA 0x02
#define ITEM_DIRECTORY 0x0019
#define NAME_LENGTH 56
#define FILES_MAX 4096 /* far beyond any machine; bounds the walk */

#define CPUID_HYPERVISOR (UINT32_C(1) << 31)

#define DMA_ERROR UINT32_C(0x01)
#define DMA_READ UINT32_C(0x02)
#define DMA_SKIP UINT32_C(0x04)
#define DMA_SELECT UINT32_C(0x08)
/* Looks at the descriptor. QEMU is done before the first one; this is some seconds. */
#define DMA_LOOKS UINT32_C(100000000)

/* What the device reads, and answers in. All big-endian. */
struct dma {
    uint32_t control;
    uint32_t length;
    uint64_t address;
};

/* Static: a device that does not answer in time may still do so later. */
static volatile struct dma dma __attribute__((aligned(16)));

/* Where reading byte by byte has got to. */
static uint16_t selected;
static uint32_t position;

static void select(uint16_t item)
{
    io_write16(PORT_SELECTOR, item);
    selected = item;
    position = 0;
}

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
    select(ITEM_SIGNATURE);
    return read_be(4) == UINT32_C(0x51454d55); /* "QEMU" */
}

int fw_cfg_find(const char *name, uint16_t *ret_selector, uint32_t *ret_size)
{
    uint32_t count;

    if (!present()) {
        return 0;
    }
    select(ITEM_DIRECTORY);
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

static void read_on(uint8_t *to, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
        to[i] = io_read8(PORT_DATA);
    }
    position += length;
}

void fw_cfg_read(uint16_t selector, void *buffer, uint32_t length)
{
    select(selector);
    read_on(buffer, length);
}

void fw_cfg_read_on(uint16_t selector, uint32_t offset, void *buffer, uint32_t length)
{
    if (selected != selector || position > offset) {
        select(selector);
    }
    while (position < offset) {
        (void)io_read8(PORT_DATA);
        position++;
    }
    read_on(buffer, length);
}

int fw_cfg_has_dma(void)
{
    select(ITEM_FEATURES);
    return (io_read8(PORT_DATA) & FEATURE_DMA) != 0;
}

static EFI_STATUS run(uint32_t control, uint32_t length, const void *buffer)
{
    const uint64_t where = (uint64_t)(uintptr_t)&dma;

    dma.control = __builtin_bswap32(control);
    dma.length = __builtin_bswap32(length);
    dma.address = __builtin_bswap64((uint64_t)(uintptr_t)buffer);
    io_write32(PORT_DMA_HIGH, __builtin_bswap32((uint32_t)(where >> 32)));
    io_write32(PORT_DMA_LOW, __builtin_bswap32((uint32_t)where));
    for (uint32_t i = 0; i < DMA_LOOKS; i++) {
        const uint32_t answer = __builtin_bswap32(dma.control);

        if ((answer & DMA_ERROR) != 0) {
            return EFI_DEVICE_ERROR;
        }
        if (answer == 0) {
            /* What the device has written to @buffer is to be read only from here on. */
            __asm__ volatile("" : : : "memory");
            return EFI_SUCCESS;
        }
        __asm__ volatile("pause");
    }
    return EFI_TIMEOUT;
}

EFI_STATUS fw_cfg_read_at(uint16_t selector, uint32_t offset, void *buffer, uint32_t length)
{
    EFI_STATUS status = run((uint32_t)selector << 16 | DMA_SELECT | DMA_SKIP, offset, NULL);

    /* The device has one position for both interfaces. */
    selected = ITEM_SIGNATURE;
    position = UINT32_MAX;
    return status == EFI_SUCCESS ? run(DMA_READ, length, buffer) : status;
}
