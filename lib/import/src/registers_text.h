/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The lines that `info registers` prints for one vCPU. */
#ifndef RESUME_IMPORT_REGISTERS_TEXT_H
#define RESUME_IMPORT_REGISTERS_TEXT_H

#include "importer.h"

/*
 * registers_text_decode - fill @out, zeroed before.
 * @text: @length bytes, no zero among them, one zero behind them.  @offset: of it in the file.
 * @area: for the XSAVE image.
 * Errors: EREGISTER (a value that does not fit its register), EDUPLICATE (a register twice with
 * different values), EMISSING (no RIP), EUNSUPPORTED (more MSRs than a record has room for).
 */
int registers_text_decode(const char *text, size_t length, uint64_t offset, const char *where,
                          uint8_t area[RESUME_XSAVE_MAX], struct resume_vcpu *out,
                          struct resume_import_error *error);

#endif
