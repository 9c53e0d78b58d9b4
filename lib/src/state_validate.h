/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The parts of resume_vcpu_validate and what they share. */
#ifndef RESUME_STATE_VALIDATE_H
#define RESUME_STATE_VALIDATE_H

#include <resume/paging.h>

#include "arch.h"
#include "state_records.h"

/* The vCPU that is looked at, and where to tell what is wrong with it. */
struct check {
    const struct resume_vcpu *vcpu;
    uint32_t index;
    uint32_t levels; /* of paging: what makes an address canonical */
    struct resume_diag *diag;
};

/* Fail about the field at @offset in struct resume_vcpu. */
int resume_check_fail(const struct check *check, int err, size_t offset, uint64_t found,
                      uint64_t expected);

/* Fail about something in the record @tag that is not in the field table; @field is static. */
int resume_check_fail_in(const struct check *check, int err, uint16_t tag, const char *field,
                         size_t offset, uint64_t found, uint64_t expected);

/* The offset in struct resume_vcpu of a part of segment @number. */
#define RESUME_SEG_OFFSET(number, part)                                                            \
    (offsetof(struct resume_vcpu, segs.seg) + (size_t)(number) * sizeof(struct resume_segment) +   \
     offsetof(struct resume_segment, part))

int resume_check_segments(const struct check *check);
int resume_check_msrs(const struct check *check);
int resume_check_xsave(const struct check *check);

#endif
