/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "platform.h"

#include <stdarg.h>

#define DEBUG_PORT 0x402
#define DEBUG_PORT_ANSWER 0xe9

/* QEMU docs/specs, "fw_cfg". */
#define FW_CFG_SELECTOR 0x510
#define FW_CFG_DATA 0x511
#define FW_CFG_SIGNATURE 0x0000
#define FW_CFG_QE 0x4551 /* of "QEMU" */
#define FW_CFG_DIRECTORY 0x0019
#define FW_CFG_NAME_LENGTH 56
#define FW_CFG_FILES_MAX 4096 /* far beyond any machine; bounds the walk */

void cpu_query_cpuid(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    (void)ctx;
    __asm__ volatile("cpuid"
                     : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
                     : "a"(leaf), "c"(subleaf));
}

uint16_t console_port(void)
{
    return io_read8(DEBUG_PORT) == DEBUG_PORT_ANSWER ? DEBUG_PORT : 0;
}

static void put_text(const char *text)
{
    while (*text != 0)
        io_write8(DEBUG_PORT, (uint8_t)*text++);
}

static void put_number(uint64_t value, uint32_t base)
{
    char digits[21];
    size_t at = sizeof(digits) - 1;

    digits[at] = 0;
    do {
        digits[--at] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    put_text(digits + at);
}

static void put_line(const char *prefix, const char *format, va_list arguments)
{
    put_text("libresume: ");
    put_text(prefix);
    for (; *format != 0; format++) {
        if (*format != '%') {
            io_write8(DEBUG_PORT, (uint8_t)*format);
            continue;
        }
        format++;
        if (*format == 's') {
            put_text(va_arg(arguments, const char *));
        } else if (*format == 'x') {
            put_text("0x");
            put_number(va_arg(arguments, uint64_t), 16);
        } else {
            put_number(va_arg(arguments, uint64_t), 10);
        }
    }
    put_text("\n");
}

void console_line(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    put_line("", format, arguments);
    va_end(arguments);
}

void refuse(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    put_line("refused: ", format, arguments);
    va_end(arguments);
    for (;;)
        __asm__ volatile("cli; hlt");
}

void refuse_error(const char *what, int err, const struct resume_diag *diag)
{
    if (diag->code == 0)
        refuse("%s: %s", what, resume_strerror(err));
    if (diag->vcpu != RESUME_NO_VCPU)
        refuse("%s: %s: vCPU %u: %s of %s at %x is %x, expected %x", what, resume_strerror(err),
               (uint64_t)diag->vcpu, diag->field, diag->where, diag->offset, diag->found,
               diag->expected);
    refuse("%s: %s: %s of %s at %x is %x, expected %x", what, resume_strerror(err), diag->field,
           diag->where, diag->offset, diag->found, diag->expected);
}

static void fw_cfg_select(uint16_t selector)
{
    __asm__ volatile("outw %0, %1" : : "a"(selector), "Nd"((uint16_t)FW_CFG_SELECTOR));
}

/* Reads on in the item that is selected. */
static void fw_cfg_read(void *buffer, size_t length)
{
    __asm__ volatile("rep insb"
                     : "+D"(buffer), "+c"(length)
                     : "d"((uint16_t)FW_CFG_DATA)
                     : "memory");
}

uint16_t fw_cfg_number(uint16_t selector)
{
    uint16_t value;

    fw_cfg_select(selector);
    fw_cfg_read(&value, sizeof(value));
    return value;
}

size_t fw_cfg_load(const char *name, void *buffer, size_t capacity)
{
    struct {
        uint32_t size;
        uint16_t selector;
        uint16_t reserved;
        char name[FW_CFG_NAME_LENGTH];
    } file;
    uint32_t count;
    size_t name_length = 0;

    if (fw_cfg_number(FW_CFG_SIGNATURE) != FW_CFG_QE)
        refuse("fw_cfg: there is no such device: this runs under QEMU only");
    while (name[name_length++] != 0)
        ;
    fw_cfg_select(FW_CFG_DIRECTORY);
    fw_cfg_read(&count, sizeof(count));
    count = __builtin_bswap32(count);
    for (uint32_t i = 0; i < count && i < FW_CFG_FILES_MAX; i++) {
        fw_cfg_read(&file, sizeof(file));
        if (memcmp(file.name, name, name_length) != 0)
            continue;
        const uint64_t size = __builtin_bswap32(file.size);
        if (size == 0 || size > capacity)
            refuse("%s: %u bytes: it has between 1 and %u", name, size, (uint64_t)capacity);
        fw_cfg_select(__builtin_bswap16(file.selector));
        fw_cfg_read(buffer, (size_t)size);
        return (size_t)size;
    }
    return 0;
}

/* String instructions: a loop would be turned into a call of the function that it implements. */
void *memcpy(void *restrict to, const void *restrict from, size_t count)
{
    void *at = to;

    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(count) : : "memory");
    return to;
}

void *memmove(void *to, const void *from, size_t count)
{
    uint8_t *last_to = (uint8_t *)to + count - 1;
    const uint8_t *last_from = (const uint8_t *)from + count - 1;

    if (to <= from || count == 0)
        return memcpy(to, from, count);
    __asm__ volatile("std; rep movsb; cld"
                     : "+D"(last_to), "+S"(last_from), "+c"(count)
                     :
                     : "memory");
    return to;
}

void *memset(void *to, int byte, size_t count)
{
    void *at = to;

    __asm__ volatile("rep stosb" : "+D"(at), "+c"(count) : "a"(byte) : "memory");
    return to;
}

int memcmp(const void *left, const void *right, size_t count)
{
    const uint8_t *a = left;
    const uint8_t *b = right;

    for (size_t i = 0; i < count; i++) {
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    }
    return 0;
}
