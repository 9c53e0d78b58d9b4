/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The plan: which home a state goes through, and the image of that home.
 *
 * The plan file (docs/FORMAT.md) is written where the guest's memory can be searched: on the host.
 * The image is built from state, plan and trampoline where the resume runs: in firmware. Building
 * it is the last thing that can fail.
 */
#ifndef RESUME_PLAN_H
#define RESUME_PLAN_H

#include <resume/cpu.h>
#include <resume/handoff.h>
#include <resume/home.h>
#include <resume/landing.h>

#ifdef __cplusplus
extern "C" {
#endif

struct resume_plan {
    uint32_t state_crc32c; /* struct resume_state.crc32c of the blob that it was made for */
    uint32_t reserved;
    struct resume_home home; /* length RESUME_HOME_LENGTH */
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

/* Everything that an image is made from. All borrowed. */
struct resume_image_input {
    const struct resume_vcpu *vcpu; /* validated, in scope, checked against this CPU */
    const struct resume_home *home;
    const struct resume_cpu *cpu; /* the CPU that will run it */
    const uint8_t *trampoline;    /* the trampoline binary, any alignment */
    size_t trampoline_length;
    uint16_t debug_port; /* I/O port of a debug console, 0 = none */
    uint16_t reserved;
};

/*
 * resume_image_build - fill the home's image: handoff, XSAVE image, descriptor tables, trampoline,
 * page tables, landing.
 * @image: @image_length bytes, 4 KiB aligned, to be copied to home->pa; contents are undefined on
 * failure.  @image_length: home->length.
 * Errors: EINVAL, EMAGIC / EVERSION / ETRUNC / ENOSPC (the trampoline binary), EUNSUPPORTED (more
 * MSRs than the handoff holds, an XSAVE image over one page), those of resume_paging_map.
 */
int resume_image_build(const struct resume_image_input *input, uint8_t *image, size_t image_length,
                       struct resume_diag *diag);

/* The memory in which the way from the firmware into the home is prepared. */
#define RESUME_STAGING_IMAGE 0x0000u                        /* the home's image */
#define RESUME_STAGING_TRANSIT RESUME_HOME_LENGTH           /* struct resume_transit */
#define RESUME_STAGING_TABLES (RESUME_HOME_LENGTH + 0x1000) /* transit tables */
#define RESUME_STAGING_TABLE_PAGES 25u /* three ranges, none of them aligned, 5 levels */
#define RESUME_STAGING_LENGTH                                                                      \
    (RESUME_STAGING_TABLES + RESUME_STAGING_TABLE_PAGES * RESUME_PAGE_SIZE)

/*
 * resume_transit_build - fill transit parameters and transit tables in the staging area.
 * @staging: RESUME_STAGING_LENGTH bytes at physical address @staging_pa (4 KiB aligned), which must
 * not overlap the home.
 * @levels: 4 or 5, as CR4.LA57 is while the firmware runs.  @cr4: CR4 as the firmware runs.
 * Errors: EINVAL, ECONFLICT (staging overlaps the home, physically or where the home's guest address
 * equals the staging's physical one: try another place), those of resume_paging_map.
 */
int resume_transit_build(const struct resume_home *home, uint8_t *staging, resume_pa_t staging_pa,
                         uint32_t levels, uint64_t cr4, struct resume_diag *diag);

#ifdef __cplusplus
}
#endif
#endif
