/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * What the reader and the writer of state blobs share: the kind of file, the layout of the records
 * of fixed size, and the checks of content that both make.
 */
#ifndef RESUME_STATE_RECORDS_H
#define RESUME_STATE_RECORDS_H

#include <resume/state.h>

#include "container.h"

extern const struct resume_container_kind resume_state_kind;

/*
 * A record that is described by the field table: a 64-bit validity word, then the fields, each as
 * far from the validity word as in struct resume_vcpu. What no field covers is reserved, zero.
 */
struct resume_field_record {
    uint16_t tag;
    uint16_t size;        /* of the payload */
    uint16_t first_size;  /* of the payload in minor version 0 */
    uint32_t offset;      /* of the validity word in struct resume_vcpu */
    uint64_t valid;       /* the validity bits that exist */
    uint64_t first_valid; /* those that existed in minor version 0 */
};
extern const struct resume_field_record resume_field_records[];
#define RESUME_FIELD_RECORD_COUNT 5

/* The validity word at @offset in @vcpu. */
uint64_t resume_field_load_valid(const struct resume_vcpu *vcpu, uint32_t offset);

/* The name of the field at @offset in struct resume_vcpu; "field" if there is none. */
const char *resume_field_name(size_t offset);

/* The name for diagnoses of the record with this tag: "GPR record". */
const char *resume_state_record_name(uint16_t tag);

/*
 * Are the enumerated values in @vcpu->run in range? Fields that are not valid are not looked at.
 * @offset: of the record's payload in the input, for the diagnosis.  Errors: EREGISTER.
 */
int resume_run_check(const struct resume_vcpu *vcpu, uint32_t index, size_t offset,
                     struct resume_diag *diag);

/* Errors: ECONSISTENT.  @offset: of the first range in the input, for the diagnosis. */
int resume_ranges_check(const struct resume_range *ranges, uint32_t count, size_t offset,
                        struct resume_diag *diag);

/* Is it printable ASCII, zero-terminated, and zero from there on? Returns -1 or the offending byte. */
int resume_name_check(const char name[RESUME_NAME_MAX]);

#endif
