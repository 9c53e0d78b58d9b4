/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "console.h"

#include <stdarg.h>

#include "io.h"

#define DEBUG_PORT 0x402
#define DEBUG_PORT_ANSWER 0xe9

static SIMPLE_TEXT_OUTPUT_INTERFACE *output; /* NULL: none, or not any more */
static uint16_t debug_port;
static int discreet;

void console_init(EFI_SYSTEM_TABLE *system)
{
    output = system->ConOut;
    debug_port = io_read8(DEBUG_PORT) == DEBUG_PORT_ANSWER ? DEBUG_PORT : 0;
}

void console_leave_firmware(void)
{
    output = NULL;
}

uint16_t console_debug_port(void)
{
    return debug_port;
}

static void put_char(char c)
{
    CHAR16 text[3] = {L'\r', (CHAR16)(unsigned char)c, 0};

    if (debug_port != 0) {
        io_write8(debug_port, (uint8_t)c);
    }
    if (output != NULL) {
        output->OutputString(output, c == '\n' ? text : text + 1);
    }
}

static void put_text(const char *text)
{
    while (*text != 0) {
        put_char(*text++);
    }
}

static void put_number(uint64_t value, uint32_t base)
{
    char digits[21];
    uint32_t at = sizeof(digits) - 1;

    digits[at] = 0;
    do {
        digits[--at] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    put_text(digits + at);
}

void console_line(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    put_text("libresume: ");
    for (; *format != 0; format++) {
        if (*format != '%') {
            put_char(*format);
            continue;
        }
        format++;
        if (*format == 's') {
            put_text(va_arg(arguments, const char *));
        } else if (*format == 'x') {
            put_text("0x");
            put_number(va_arg(arguments, uint64_t), 16);
        } else if (*format == 'u') {
            put_number(va_arg(arguments, uint64_t), 10);
        } else {
            break; /* a mistake in this program: stop rather than walk off the string */
        }
    }
    va_end(arguments);
    put_char('\n');
}

void console_show(const char *text)
{
    CHAR16 wide[128];
    uint32_t length = 0;

    while (text[length] != 0 && length + 1 < sizeof(wide) / sizeof(wide[0])) {
        wide[length] = (CHAR16)(unsigned char)text[length];
        length++;
    }
    wide[length] = 0;
    if (output != NULL) {
        output->OutputString(output, wide);
    }
}

void console_set_discreet(void)
{
    discreet = 1;
}

EFI_STATUS console_refuse(const char *what, int err, const struct resume_diag *diag)
{
    if (diag->code == 0) {
        console_line("refused: %s: %s", what, resume_strerror(err));
    } else if (diag->vcpu != RESUME_NO_VCPU && discreet) {
        console_line("refused: %s: %s: vCPU %u: %s of %s", what, resume_strerror(err),
                     (uint64_t)diag->vcpu, diag->field, diag->where);
    } else if (diag->vcpu != RESUME_NO_VCPU) {
        console_line("refused: %s: %s: vCPU %u: %s of %s at %x is %x, expected %x", what,
                     resume_strerror(err), (uint64_t)diag->vcpu, diag->field, diag->where,
                     diag->offset, diag->found, diag->expected);
    } else {
        console_line("refused: %s: %s: %s of %s at %x is %x, expected %x", what,
                     resume_strerror(err), diag->field, diag->where, diag->offset, diag->found,
                     diag->expected);
    }
    return EFI_LOAD_ERROR;
}
