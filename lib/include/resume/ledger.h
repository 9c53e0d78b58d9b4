/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The names of what the trampoline reads back (enum resume_ledger of resume/handoff.h). */
#ifndef RESUME_LEDGER_H
#define RESUME_LEDGER_H

#include <resume/handoff.h>

#ifdef __cplusplus
extern "C" {
#endif

/* resume_ledger_name - "cr0", "fs_base", "xsave"; NULL when @field is RESUME_LEDGER_COUNT or more. */
const char *resume_ledger_name(uint32_t field);

/*
 * resume_ledger_wanted - what @handoff wants a field to read back as. 0 for XSAVE.
 * @field: below RESUME_LEDGER_COUNT.  @handoff: not NULL.
 */
uint64_t resume_ledger_wanted(const struct resume_handoff *handoff, uint32_t field);

#ifdef __cplusplus
}
#endif
#endif
