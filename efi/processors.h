/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The machine's processors, through the PI specification's MP services protocol. */
#ifndef RESUME_EFI_PROCESSORS_H
#define RESUME_EFI_PROCESSORS_H

#include <efi.h>
#include <stdint.h>

/* processors_count - logical processors of the machine; 1 when the firmware does not say. */
uint64_t processors_count(EFI_SYSTEM_TABLE *system);

#endif
