/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * What the loader says: on the UEFI console, and line by line on QEMU's debug console, where the
 * host tool listens. Usable until boot services end.
 */
#ifndef RESUME_EFI_CONSOLE_H
#define RESUME_EFI_CONSOLE_H

#include <efi.h>
#include <stdint.h>

#include <resume/error.h>

/* Looks for a debug console at port 0x402 (it answers 0xE9); @system is borrowed for good. */
void console_init(EFI_SYSTEM_TABLE *system);

/* From here on only the debug console: the firmware's console may not be called any more. */
void console_leave_firmware(void);

/* The debug console's port, 0 when there is none. */
uint16_t console_debug_port(void);

/*
 * console_line - print "libresume: ", the text, and the end of the line.
 * @format: ASCII; %s takes a char string, %u a uint64_t in decimal, %x a uint64_t in hexadecimal
 * with 0x. Nothing else is understood.
 */
void console_line(const char *format, ...);

/* console_show - text as it is, on the UEFI console only: for what is overwritten soon. */
void console_show(const char *text);

/* From here on console_refuse tells no value of a vCPU's registers: the host may not know them. */
void console_set_discreet(void);

/* console_refuse - "refused: WHAT: WHY", with the diagnosis if there is one; EFI_LOAD_ERROR. */
EFI_STATUS console_refuse(const char *what, int err, const struct resume_diag *diag);

#endif
