/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The trampoline binary (restore.nasm), embedded. Begins with struct resume_trampoline_header. */
#ifndef RESUME_TRAMPOLINE_H
#define RESUME_TRAMPOLINE_H

#include <stddef.h>
#include <stdint.h>

#include <resume/handoff.h>

/* Position-independent, to be copied; resume_image_begin takes it as it is. */
extern const uint8_t resume_trampoline[];
extern const size_t resume_trampoline_length;

#endif
