/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <resume/vcpu_set.h>

#include "state_validate.h"

#define AT(member) offsetof(struct resume_vcpu, member)

static int check_apic_id(const struct resume_vcpu_set *set, const struct check *check)
{
    const struct resume_run *run = &check->vcpu->run;
    bool known = (run->valid & RESUME_RUN_APIC_ID) != 0;

    /* The first one's is missed as soon as there is a second. */
    if (set->count > 0 && (!known || set->known < set->count)) {
        return resume_check_fail(check, RESUME_EMISSING, AT(run.apic_id), 0, RESUME_RUN_APIC_ID);
    }
    for (uint32_t i = 0; known && i < set->known; i++) {
        if (set->apic_id[i] == run->apic_id) {
            return resume_check_fail(check, RESUME_ECONSISTENT, AT(run.apic_id), run->apic_id, i);
        }
    }
    return RESUME_OK;
}

int resume_vcpu_set_add(struct resume_vcpu_set *set, const struct resume_vcpu *vcpu,
                        struct resume_diag *diag)
{
    struct check check = {.vcpu = vcpu, .diag = diag};
    uint32_t levels;
    int err;

    if (set == NULL || vcpu == NULL || set->known > set->count || set->count > RESUME_HOME_VCPUS) {
        return RESUME_EINVAL;
    }
    check.index = set->count;
    if (set->count == RESUME_HOME_VCPUS) {
        return resume_check_fail_in(&check, RESUME_EUNSUPPORTED, RESUME_FORMAT_TAG_RUN, "vcpus", 0,
                                    set->count + UINT64_C(1), RESUME_HOME_VCPUS);
    }
    err = check_apic_id(set, &check);
    if (err != RESUME_OK) {
        return err;
    }
    levels = (vcpu->ctrl.cr4 & RESUME_CR4_LA57) != 0 ? 5 : 4;
    if (!resume_vcpu_dormant(vcpu)) {
        if (set->active > 0 && set->levels != levels) {
            return resume_check_fail(&check, RESUME_EUNSUPPORTED, AT(ctrl.cr4), vcpu->ctrl.cr4,
                                     vcpu->ctrl.cr4 ^ RESUME_CR4_LA57);
        }
        if (set->active == 0) {
            set->first = set->count;
            set->levels = levels;
        }
        if (vcpu->xsave.length > set->xsave_length) {
            set->xsave_length = vcpu->xsave.length;
        }
        set->active++;
    }
    if ((vcpu->run.valid & RESUME_RUN_APIC_ID) != 0) {
        set->apic_id[set->known++] = vcpu->run.apic_id;
    }
    set->count++;
    return RESUME_OK;
}

int resume_vcpu_set_finish(const struct resume_vcpu_set *set, struct resume_diag *diag)
{
    if (set == NULL) {
        return RESUME_EINVAL;
    }
    if (set->active == 0) {
        return resume_fail(diag, RESUME_EUNSUPPORTED, "RUN record", "mp_state", 0, set->count, 0,
                           RESUME_NO_VCPU);
    }
    return RESUME_OK;
}
