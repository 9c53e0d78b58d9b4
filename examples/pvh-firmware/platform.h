/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The machine, as far as this firmware needs it: QEMU's debug console and its fw_cfg device. */
#ifndef PLATFORM_H
#define PLATFORM_H

#include <stddef.h>
#include <stdint.h>

#include <resume/error.h>

static inline uint8_t io_read8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline void io_write8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint64_t cpu_read_cr4(void)
{
    uint64_t value;

    __asm__ volatile("movq %%cr4, %0" : "=r"(value));
    return value;
}

static inline uint64_t cpu_read_msr(uint32_t index)
{
    uint32_t low;
    uint32_t high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
    return (uint64_t)high << 32 | low;
}

/* As struct resume_cpuid wants it. */
void cpu_query_cpuid(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);

/* The debug console's port, 0 when there is none. */
uint16_t console_port(void);

/* console_line - "libresume: ", the text, a line feed. %s: string; %u, %x: uint64_t. */
void console_line(const char *format, ...);

/* refuse - "refused: ", the text, and stop: there is nothing to go back to. */
void refuse(const char *format, ...) __attribute__((noreturn));

/* refuse_error - likewise, WHAT and the library's diagnosis. */
void refuse_error(const char *what, int err, const struct resume_diag *diag)
    __attribute__((noreturn));

/* fw_cfg_number - a little-endian item of two bytes. */
uint16_t fw_cfg_number(uint16_t selector);

/*
 * fw_cfg_load - read a file into @buffer; @name: shorter than 56 characters. Returns its length, 0 when there is none of that name;
 * refuses one that is empty or longer than @capacity.
 */
size_t fw_cfg_load(const char *name, void *buffer, size_t capacity);

/* What a compiler and libresume expect of a C library. */
void *memcpy(void *restrict to, const void *restrict from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int byte, size_t count);
int memcmp(const void *left, const void *right, size_t count);

#endif
