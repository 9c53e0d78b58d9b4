/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * What a compiler and libresume expect of a C library, and the relocation of the image. gnu-efi's
 * own versions are built with a red zone, which UEFI's timer interrupt overwrites.
 */
#ifndef RESUME_EFI_RUNTIME_H
#define RESUME_EFI_RUNTIME_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int byte, size_t count);
int memcmp(const void *left, const void *right, size_t count);

#endif
