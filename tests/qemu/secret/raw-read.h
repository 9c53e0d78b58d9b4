/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#ifndef RESUME_TESTS_RAW_READ_H
#define RESUME_TESTS_RAW_READ_H

#include <efi.h>

/*
 * raw_read - read all of the image that the load options of @image choose, front to back, and do
 * nothing with it. Says how long it took:
 *
 *   libresume: test: raw: N bytes in M microseconds
 */
void raw_read(EFI_HANDLE image, EFI_SYSTEM_TABLE *system);

#endif
