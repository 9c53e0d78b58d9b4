/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The key that images are sealed with, and the identity of the only one that may be resumed.
 *
 * Where the firmware publishes an area for launch secrets, both come from there and from nowhere else:
 * a host that could put a key of its own in place of a missing one could have any image resumed.
 * Elsewhere, for trying things out, they come from the fw_cfg files opt/org.libresume/key and
 * opt/org.libresume/identity, with a warning: the host can read and replace these.
 */
#ifndef RESUME_EFI_KEY_H
#define RESUME_EFI_KEY_H

#include <efi.h>
#include <stdint.h>

#include <resume/sealed.h>

/*
 * key_load - fetch the key, and wipe it from where it was as far as that is this machine's memory.
 * @key: RESUME_SEALED_KEY bytes, which the caller wipes (resume_sealed_wipe); all zero on failure.
 * Says where the key is from, or what is wrong.
 * Returns EFI_SUCCESS; EFI_NOT_FOUND, and nothing is said: there is none, and no area it could be in;
 * or, after a message, EFI_SECURITY_VIOLATION (the area has no such entry, or no table) or
 * EFI_COMPROMISED_DATA (the area, the table, or the length of the key is not what it should be).
 */
EFI_STATUS key_load(EFI_SYSTEM_TABLE *system, uint8_t *key);

/*
 * key_load_identity - the same for the identity, RESUME_SEALED_IDENTITY bytes. It is optional:
 * EFI_NOT_FOUND also when the area has no such entry.
 */
EFI_STATUS key_load_identity(EFI_SYSTEM_TABLE *system, uint8_t *identity);

/* key_area_exists - does the firmware publish an area for launch secrets? Whoever does not use it must
 * not take state and memory from the host: that would be a way around the seal. */
int key_area_exists(const EFI_SYSTEM_TABLE *system);

#endif
