/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Tables that the firmware publishes (UEFI specification, "EFI Configuration Table"). */
#ifndef RESUME_EFI_CONFIGURATION_TABLE_H
#define RESUME_EFI_CONFIGURATION_TABLE_H

#include <efi.h>

#include "runtime.h"

/* configuration_table_find - the entry of this GUID, the first of several; NULL if there is none. Its
 * VendorTable may be NULL. */
static inline const EFI_CONFIGURATION_TABLE *
configuration_table_find(const EFI_SYSTEM_TABLE *system, const EFI_GUID *guid)
{
    for (UINTN i = 0; i < system->NumberOfTableEntries; i++) {
        if (memcmp(&system->ConfigurationTable[i].VendorGuid, guid, sizeof(*guid)) == 0) {
            return &system->ConfigurationTable[i];
        }
    }
    return NULL;
}

#endif
