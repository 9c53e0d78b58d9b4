/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The plan: which home a state goes through.
 *
 * The plan file (docs/FORMAT.md) is written where the guest's memory can be searched: on the host.
 */
#ifndef RESUME_PLAN_H
#define RESUME_PLAN_H

#include <resume/home.h>

#ifdef __cplusplus
extern "C" {
#endif

struct resume_plan {
    uint32_t state_crc32c; /* struct resume_state.crc32c of the blob that it was made for */
    uint32_t reserved;
    struct resume_home home; /* as long as struct resume_image_layout says */
};

/* Bytes of a plan file as this version writes it. */
#define RESUME_PLAN_SIZE_MAX 256

/*
 * resume_plan_write - serialise.
 * @buffer: @capacity bytes, RESUME_PLAN_SIZE_MAX suffice.  @ret_size: bytes written.
 * Errors: EINVAL, ENOSPC.
 */
int resume_plan_write(const struct resume_plan *plan, void *buffer, size_t capacity,
                      size_t *ret_size);

/*
 * resume_plan_read - parse and check a plan file.
 * @length: exactly the file's; trailing bytes are an error.
 * Errors: EINVAL, ETRUNC, EMAGIC, EVERSION, ELENGTH, ERESERVED, ECRC, EMANDATORY, EDUPLICATE,
 * EMISSING, EREGISTER (an address unaligned, a length or kind that no plan has).
 */
int resume_plan_read(const void *data, size_t length, struct resume_plan *out,
                     struct resume_diag *diag);

#ifdef __cplusplus
}
#endif
#endif
