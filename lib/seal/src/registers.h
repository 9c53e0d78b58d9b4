/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Calls of code that uses XMM registers, out of code that does not. */
#ifndef RESUME_SEAL_REGISTERS_H
#define RESUME_SEAL_REGISTERS_H

/*
 * registers_keep - call @function with @context, put XMM6 to XMM15 back to what they were, and clear
 * the others.
 * UEFI's calling convention has a callee keep them, but code that is compiled for general registers
 * only cannot, when firmware calls it and it calls something else.
 */
void registers_keep(void (*function)(const void *context), const void *context);

#endif
