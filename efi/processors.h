/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The machine's processors, through the PI specification's MP services protocol. */
#ifndef RESUME_EFI_PROCESSORS_H
#define RESUME_EFI_PROCESSORS_H

#include <efi.h>
#include <stdint.h>

#include <resume/handoff.h>

struct processors {
    uint64_t count; /* logical processors; may be more than are listed */
    uint32_t known; /* entries of apic_id */
    uint32_t apic_id[RESUME_HOME_VCPUS];
};

/* processors_find - ask the firmware; one processor, of this APIC ID, when it does not say. */
void processors_find(EFI_SYSTEM_TABLE *system, struct processors *out);

/* processors_have - 1 when one of them has @apic_id. */
int processors_have(const struct processors *processors, uint32_t apic_id);

#endif
