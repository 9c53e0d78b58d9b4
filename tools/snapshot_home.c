/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "snapshot_home.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include <resume/landing.h>
#include <resume/segments.h>

#include "shadow.h"

#define FIND_HOME "find the home"
#define ADVICE_LATER "let the VM run a moment and take it again"

struct search {
    const struct resume_guest *guest;
    const struct resume_vcpu *vcpus;
    struct ram *ram;
    const char *path;
};

static uint32_t cpl_of(const struct resume_vcpu *vcpu)
{
    return (vcpu->segs.seg[RESUME_SS].access & RESUME_SEG_DPL) >> RESUME_SEG_DPL_SHIFT;
}

/* The best home in the tables of one vCPU. */
static int find_in(const struct search *search, uint32_t index, struct resume_home *out,
                   bool *ret_transient, struct report_failure *failure)
{
    const uint64_t length = search->guest->layout.length;
    const struct resume_vcpu *vcpu = &search->vcpus[index];
    struct resume_home_search seen = {0};
    struct resume_paging paging;
    struct resume_diag diag = {0};
    vcpu_paging(search->ram, vcpu, &paging);
    int error = resume_home_find(&paging, length, out, &seen, &diag);
    if (error == 0)
        return 0;
    if (search->ram->io_error != 0)
        return report_fail_errno(failure, search->ram->io_error, FIND_HOME, search->path);
    if (error != RESUME_ENOHOME)
        return report_fail_diag(failure, error, &diag, FIND_HOME, "guest memory", NULL);
    /* A kernel that isolates its page tables maps less of itself while it is in user mode. */
    if (cpl_of(vcpu) != 0)
        *ret_transient = true;
    return report_fail(
        failure, EXIT_CODE_REFUSED, FIND_HOME, "guest memory",
        *ret_transient ? ADVICE_LATER
                       : "the guest's kernel needs executable padding: stock Linux has it",
        "no place for the trampoline: %" PRIu64 " bytes of padding wanted; of %" PRIu64
        " executable pages that vCPU %" PRIu32 " (CPL %" PRIu32 ", CR3 0x%" PRIx64
        ") maps the longest run of INT3 has %" PRIu64 " bytes, of zeroes %" PRIu64,
        length, seen.pages_executable, index, cpl_of(vcpu), vcpu->ctrl.cr3, seen.longest_padding,
        seen.longest_zero);
}

/* The first active vCPU that cannot use @home, or the number of vCPUs when all can. */
static uint32_t first_without(const struct search *search, const struct resume_home *home,
                              struct resume_diag *diag)
{
    uint32_t index = 0;
    for (; index < search->guest->state.vcpu_count; index++) {
        struct resume_paging paging;
        if (resume_vcpu_dormant(&search->vcpus[index]))
            continue;
        vcpu_paging(search->ram, &search->vcpus[index], &paging);
        if (resume_home_check(&paging, home, diag) != 0)
            break;
    }
    return index;
}

/*
 * Page tables that lack a home which others have may have one of their own, and what they map is
 * mapped by the others: such are a process's while it runs in user mode, under a kernel that
 * isolates its page tables. So the search goes on in the tables of whoever cannot use what was found.
 */
static int find_common(const struct search *search, struct resume_home *out, bool *ret_transient,
                       struct report_failure *failure)
{
    bool tried[RESUME_HOME_VCPUS] = {false};
    uint32_t from = search->guest->set.first;
    struct resume_diag diag = {0};
    for (;;) {
        int result = find_in(search, from, out, ret_transient, failure);
        if (result < 0)
            return result;
        tried[from] = true;
        const uint32_t without = first_without(search, out, &diag);
        if (without >= search->guest->state.vcpu_count)
            return 0;
        if (search->ram->io_error != 0)
            return report_fail_errno(failure, search->ram->io_error, FIND_HOME, search->path);
        if (tried[without]) {
            *ret_transient = true;
            return report_fail(
                failure, EXIT_CODE_REFUSED, FIND_HOME, "guest memory", ADVICE_LATER,
                "the page tables of vCPU %" PRIu32 " (CPL %" PRIu32 ", CR3 0x%" PRIx64
                ") do not map the home at 0x%" PRIx64 " that vCPU %" PRIu32 " (CPL %" PRIu32
                ", CR3 0x%" PRIx64 ") has: %s at 0x%" PRIx64,
                without, cpl_of(&search->vcpus[without]), search->vcpus[without].ctrl.cr3, out->va,
                from, cpl_of(&search->vcpus[from]), search->vcpus[from].ctrl.cr3, diag.field,
                diag.offset);
        }
        from = without;
    }
}

/*
 * Segments are restored from the record, but for CS and SS when the landing returns to an outer
 * level: that loads them from the guest's tables, and these must still say the same.
 */
static int check_landing(const struct search *search, uint32_t index,
                         const struct resume_home *home, struct report_failure *failure)
{
    const struct resume_image_layout *layout = &search->guest->layout;
    const uint64_t slot = layout->landings + (uint64_t)index * RESUME_LANDING_MAX;
    const struct resume_landing_place place = {
        .slot_va = home->va + slot,
        .fill = home->fill,
        .last_out = index == search->guest->set.first,
        .others = search->guest->set.active - 1,
        .left_va = home->va + RESUME_HOME_CONTROL + offsetof(struct resume_control, left),
        .refill_va = home->va,
        .refill_length = layout->landings,
    };
    const struct resume_vcpu *vcpu = &search->vcpus[index];
    struct resume_paging paging;
    struct resume_landing landing;
    struct resume_diag diag = {0};
    int error = resume_landing_compose(vcpu, &place, &landing);
    if (error != 0)
        return report_fail_diag(failure, error, NULL, "compose the landing", search->path, NULL);
    if (landing.form == RESUME_LANDING_JUMP)
        return 0;
    vcpu_paging(search->ram, vcpu, &paging);
    error = resume_segments_check(vcpu, index, &paging, &diag);
    if (error == RESUME_ECONSISTENT || error == RESUME_EUNSUPPORTED)
        return report_fail_diag(failure, error, &diag, "check the segment registers", search->path,
                                "take the snapshot at another moment: the guest has changed a "
                                "descriptor since it loaded it, and no instruction can load what "
                                "the register holds");
    if (error != 0 && search->ram->io_error != 0)
        return report_fail_errno(failure, search->ram->io_error, FIND_HOME, search->path);
    if (error != 0)
        return report_fail_diag(failure, error, &diag, "check the segment registers", search->path,
                                NULL);
    return 0;
}

int snapshot_home_find(struct resume_home *out, const struct resume_guest *guest,
                       const struct resume_vcpu *vcpus, struct ram *ram, const char *path,
                       bool *ret_transient, struct report_failure *failure)
{
    const struct search search = {guest, vcpus, ram, path};
    struct resume_home home;
    int result = find_common(&search, &home, ret_transient, failure);
    for (uint32_t i = 0; result == 0 && i < guest->state.vcpu_count; i++) {
        if (!resume_vcpu_dormant(&vcpus[i]))
            result = check_landing(&search, i, &home, failure);
    }
    if (result == 0)
        *out = home;
    return result;
}
