/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The trampoline binary's header, checked before anything of it is used. */
#ifndef RESUME_TRAMPOLINE_HEADER_H
#define RESUME_TRAMPOLINE_HEADER_H

#include <resume/handoff.h>

#include "internal.h"

/*
 * resume_trampoline_header_read - @binary: @length bytes, any alignment, not NULL.
 * Errors: ETRUNC, EMAGIC, EVERSION.
 */
static inline int resume_trampoline_header_read(const uint8_t *binary, size_t length,
                                                struct resume_trampoline_header *out,
                                                struct resume_diag *diag)
{
    if (length < sizeof(*out)) {
        return resume_fail(diag, RESUME_ETRUNC, "trampoline", "size", 0, length, sizeof(*out),
                           RESUME_NO_VCPU);
    }
    /* Built for this very CPU and compiler: no foreign data. */
    memcpy(out, binary, sizeof(*out));
    if (out->magic != RESUME_TRAMPOLINE_MAGIC) {
        return resume_fail(diag, RESUME_EMAGIC, "trampoline", "magic", 0, out->magic,
                           RESUME_TRAMPOLINE_MAGIC, RESUME_NO_VCPU);
    }
    if (out->version != RESUME_HANDOFF_VERSION) {
        return resume_fail(diag, RESUME_EVERSION, "trampoline", "version", 8, out->version,
                           RESUME_HANDOFF_VERSION, RESUME_NO_VCPU);
    }
    if (out->size != length) {
        return resume_fail(diag, RESUME_ETRUNC, "trampoline", "size", 12, length, out->size,
                           RESUME_NO_VCPU);
    }
    return RESUME_OK;
}

#endif
