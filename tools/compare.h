/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Compares the resumed VM, captured at its first instruction, with the snapshot: every field of
 * every device section and every page of RAM.
 */
#ifndef RESUME_TOOLS_COMPARE_H
#define RESUME_TOOLS_COMPARE_H

#include "ledger.h"
#include "manifest.h"
#include "progress.h"
#include "report.h"
#include "splice.h"

/* A vCPU of the two machines. */
struct compare_vcpu {
    uint32_t instance; /* of its sections "cpu" and "cpu_common" */
    bool active;       /* false: dormant; nothing but clocks of it may differ */
    /* For an active one: */
    uint32_t levels; /* of its page tables */
    uint64_t cr3;
    uint64_t slot_offset; /* of its landing's slot in the home */
    const uint8_t
        *slot;        /* RESUME_LANDING_MAX bytes, as they were before the landing ran; borrowed */
    uint32_t remains; /* offset in the slot of the first byte that may stay */
};

struct compare_options {
    int source_fd; /* stream files, readable at any offset; borrowed */
    int resumed_fd;
    const struct manifest *manifest; /* for guest-physical addresses; NULL = none are told */
    const struct splice_home *home;  /* NULL = no page may differ */
    /*
     * In the slot of each active vCPU, the bytes from `remains` on may be those of `slot`; nothing
     * else of the home may differ. Outside, the CPU may have set accessed and dirty flags of
     * entries that the home is mapped by.
     */
    const struct compare_vcpu *vcpu;
    uint32_t vcpu_count;
    struct progress *progress; /* optional; its current step is updated */
};

/*
 * compare_streams - fill the ledger.
 * Takes 8 bytes of memory per page for each of the two streams.
 * @out: zeroed or fresh; to be freed with ledger_free. Differences are no failure.
 * Failures: EXIT_CODE_REFUSED (a stream cannot be read), EXIT_CODE_ENVIRONMENT.
 */
int compare_streams(const struct compare_options *options, struct ledger *out,
                    struct report_failure *failure);

/*
 * compare_reason - why may this field differ? For fields that do.
 * @desc, @section, @field: the source's; @field NULL: the resumed VM has a field that the source
 * lacks. @other: the resumed VM's field, or NULL likewise; not both.
 * Returns a static clause, or NULL: nothing allows it.
 */
const char *compare_reason(const struct vmdesc *desc, const struct vmdesc_section *section,
                           const struct vmdesc_field *field, const struct vmdesc_field *other);

/*
 * compare_tpr_copy - do the two differ only in TCG's second copy of CR8 (in the state of AMD's
 * nested virtualization), which it updates when CR8 is written and reads only inside a nested guest?
 * Either may be NULL, which stands for zero; not both.
 */
bool compare_tpr_copy(const struct vmdesc_field *field, const struct vmdesc_field *other);

#endif
