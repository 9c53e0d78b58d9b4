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

/* All processors but the one that runs the firmware, while they work for the loader. */
struct processors_team {
    EFI_SYSTEM_TABLE *system;
    EFI_EVENT event; /* signalled by the firmware when it has all of them back */
};

/* What they execute, each once. They have small stacks (OVMF gives them 32 KiB), and may call nothing
 * of the firmware's. */
typedef void(EFIAPI *processors_work)(void *argument);

/*
 * processors_start - have all other processors execute @work, and return at once.
 * Returns 1, and processors_join is to be called; 0 when there are none or the firmware does not start
 * them: then nothing is executed.
 */
int processors_start(EFI_SYSTEM_TABLE *system, processors_work work, void *argument,
                     struct processors_team *out);

/*
 * processors_join - wait until the firmware has all of them back.
 * There is no way out: as long as they run, nothing that they use can be freed, this program included.
 * Says so when it takes long.
 */
void processors_join(struct processors_team *team);

#endif
