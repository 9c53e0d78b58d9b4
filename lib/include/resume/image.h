/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The image of the home, and the way into it.
 *
 * The image is built from state, plan and trampoline where the resume runs: in firmware. Building
 * it is the last thing that can fail. It is prepared in a staging area and copied into the home when
 * the firmware has gone.
 */
#ifndef RESUME_IMAGE_H
#define RESUME_IMAGE_H

#include <resume/cpu.h>
#include <resume/handoff.h>
#include <resume/home.h>
#include <resume/landing.h>

#ifdef __cplusplus
extern "C" {
#endif

struct resume_moving; /* resume/moving.h */

/* How a home is divided. */
struct resume_image_layout {
    uint32_t vcpu_count;
    uint32_t xsave_length; /* room for one XSAVE image: whole pages */
    uint32_t block_length; /* bytes from one block to the next */
    uint32_t landings;     /* offset of vCPU 0's slot; what lies below is refilled */
    uint64_t length;       /* of the home, whole pages */
};

/*
 * resume_image_layout_compute - how long a home must be, and what lies where.
 * @vcpu_count: 1 to RESUME_HOME_VCPUS.  @xsave_length: bytes of the longest XSAVE image, at
 * most RESUME_XSAVE_MAX.
 * Deterministic: host and firmware come to the same for the same state.
 * Errors: EINVAL (NULL, or out of range).
 */
int resume_image_layout_compute(uint32_t vcpu_count, uint32_t xsave_length,
                                struct resume_image_layout *out);

/* Everything that an image is made from, but the vCPUs. All borrowed. */
struct resume_image_input {
    const struct resume_home *home;
    const struct resume_image_layout *layout; /* layout->length equals home->length */
    const struct resume_cpu *cpu;             /* the CPUs that will run it: all the same */
    const uint8_t *trampoline;                /* the trampoline binary, any alignment */
    size_t trampoline_length;
    uint32_t levels;       /* of the guest's page tables: 4 or 5, the same on all vCPUs */
    uint32_t active_count; /* vCPUs that are not dormant, at least 1 */
    uint32_t last_out;     /* index of one of those: leaves last, and refills the home */
    uint32_t accel;        /* enum resume_accel of the machine that the state is from */
    uint16_t debug_port;   /* I/O port of a debug console, 0 = none */
    uint16_t discreet;     /* 1 = no register's value may go there; else 0 */
    /* NULL: the guest's memory is in place already. Of it `last`, `frames` and their count count. */
    const struct resume_moving *moving;
};

/*
 * resume_image_begin - fill what is common: control, IDT, trampoline, page tables; all blocks empty.
 * @image: home->length bytes, 4 KiB aligned, to be copied to home->pa; contents are undefined on
 * failure.
 * With `moving` the tables identity-map the RAM that the last steps name, with 2 MiB pages where
 * that is RAM throughout.
 * Errors: EINVAL, EMAGIC / EVERSION / ETRUNC / ENOSPC (the trampoline binary), those of
 * resume_paging_map; with `moving` ENOSPC (diag: field = "last": the tables' pages do not suffice to
 * map the last steps; offset = address of the range that did not fit), ECONFLICT (diag: field =
 * "last", offset = address of a range that is no RAM).
 */
int resume_image_begin(const struct resume_image_input *input, uint8_t *image,
                       struct resume_diag *diag);

/*
 * resume_image_vcpu - fill one vCPU's block, and its landing.
 * @index: its number, each once, in any order.  @vcpu: validated, in scope, checked against this CPU
 * (resume_cpu_check), not dormant; one that is dormant is left out: its block stays empty.
 * Hidden parts of ES, DS, FS, GS, LDTR and TR (and of CS and SS where KERNEL_CS is set) come from the
 * record, not from the guest's memory.
 * The extended state is laid out as this CPU wants it, whatever the record's layout.
 * Errors: EINVAL; EUNSUPPORTED (more MSRs than the list holds; a selector beyond 0xfff in use; a
 * segment limit that no descriptor gives); ECONSISTENT (two registers with the same selector and
 * different hidden parts); those of resume_xsave_transcode and resume_landing_compose.
 */
int resume_image_vcpu(const struct resume_image_input *input, uint32_t index,
                      const struct resume_vcpu *vcpu, uint8_t *image, struct resume_diag *diag);

/*
 * resume_image_finish - is there a block for each of the active_count vCPUs, and for the last one out?
 * Errors: EINVAL, EMISSING.
 */
int resume_image_finish(const struct resume_image_input *input, const uint8_t *image,
                        struct resume_diag *diag);

/* The memory in which the way from the firmware into the home is prepared: image, then the rest. */
#define RESUME_STAGING_TABLE_PAGES 32u /* five ranges, none of them aligned, 5 levels */

struct resume_staging {
    uint64_t transit; /* offset of struct resume_transit */
    uint64_t tables;  /* offset of the transit tables */
    uint64_t length;  /* of the whole; the image is at offset 0 */
};

/* resume_staging_compute - divide the staging area. @layout, @out: not NULL. */
void resume_staging_compute(const struct resume_image_layout *layout, struct resume_staging *out);

/* What the firmware knows and the way into the home needs. */
struct resume_transit_input {
    const struct resume_home *home;
    const struct resume_staging *area;
    const uint8_t *trampoline; /* as for the image */
    size_t trampoline_length;
    resume_pa_t staging_pa; /* 4 KiB aligned, the whole area below 4 GiB */
    resume_pa_t
        startup_pa;      /* a page below 1 MiB where other processors can begin; 0 = not needed */
    resume_pa_t apic_pa; /* registers of the local APIC; 0 = x2APIC mode */
    uint64_t cr4;        /* CR4 as the firmware runs */
    uint32_t levels;     /* of the guest's page tables: 4 or 5 */
    uint32_t reserved;
    const struct resume_moving *moving; /* NULL: the guest's memory is in place already */
};

/*
 * resume_transit_build - fill transit parameters, transit tables and, when there is one, the page where
 * other processors begin.
 * With `moving` the transit tables are in moving->tables, not in the staging area, and identity-map
 * all RAM of moving->frames.
 * @staging: area->length bytes at physical address staging_pa. The image's part of it is not touched,
 * and may be built before or after.
 * @startup: the page at startup_pa, or NULL when that is 0.
 * Errors: EINVAL (also: the staging area is not below 4 GiB), ECONFLICT (staging, startup page and
 * home overlap, physically or where the home's guest address equals a physical one: try another
 * place; with `moving` also, with field = "home": the home's guest address equals the physical one
 * of RAM, offset = that; another place is of no use then), EMAGIC / EVERSION / ETRUNC (the
 * trampoline binary), those of resume_paging_map.
 */
int resume_transit_build(const struct resume_transit_input *input, uint8_t *staging,
                         uint8_t *startup, struct resume_diag *diag);

#ifdef __cplusplus
}
#endif
#endif
