/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "guest.h"

#include "console.h"
#include "runtime.h"

#define CR4_LA57 (UINT64_C(1) << 12)

/* Some 5 KiB: too much for a stack that the firmware's drivers share. */
static struct resume_vcpu vcpu;

EFI_STATUS guest_refuse(const char *what, int err, const struct resume_diag *diag)
{
    if (diag->code == 0) {
        console_line("refused: %s: %s", what, resume_strerror(err));
    } else if (diag->vcpu != RESUME_NO_VCPU) {
        console_line("refused: %s: %s: vCPU %u: %s of %s at %x is %x, expected %x", what,
                     resume_strerror(err), (uint64_t)diag->vcpu, diag->field, diag->where,
                     diag->offset, diag->found, diag->expected);
    } else {
        console_line("refused: %s: %s: %s of %s at %x is %x, expected %x", what,
                     resume_strerror(err), diag->field, diag->where, diag->offset, diag->found,
                     diag->expected);
    }
    return EFI_LOAD_ERROR;
}

const struct resume_vcpu *guest_vcpu(const struct guest *guest, uint32_t index)
{
    /* Read once before without an error. */
    (void)resume_state_vcpu(&guest->state, index, &vcpu, NULL);
    return resume_vcpu_dormant(&vcpu) ? NULL : &vcpu;
}

void guest_forget(void)
{
    memset(&vcpu, 0, sizeof(vcpu));
}

static int check_vcpu(struct guest *guest, uint32_t index, uint32_t *longest,
                      struct resume_diag *diag)
{
    uint32_t levels;
    int err = resume_state_vcpu(&guest->state, index, &vcpu, diag);

    if (err == RESUME_OK) {
        err = resume_vcpu_validate(&vcpu, index, diag);
    }
    if (err == RESUME_OK) {
        err = resume_vcpu_check_scope(&vcpu, index, diag);
    }
    if (err != RESUME_OK) {
        return err;
    }
    if (vcpu.xsave.length > *longest) {
        *longest = vcpu.xsave.length;
    }
    if (resume_vcpu_dormant(&vcpu)) {
        return RESUME_OK;
    }
    levels = (vcpu.ctrl.cr4 & CR4_LA57) != 0 ? 5 : 4;
    if (guest->active_count++ == 0) {
        guest->last_out = index;
        guest->levels = levels;
    } else if (levels != guest->levels) {
        *diag = (struct resume_diag){.code = (uint32_t)-RESUME_ECONSISTENT,
                                     .where = "CTRL",
                                     .field = "cr4",
                                     .found = levels,
                                     .expected = guest->levels,
                                     .vcpu = index};
        return RESUME_ECONSISTENT;
    }
    return RESUME_OK;
}

static EFI_STATUS check_plan(struct guest *guest, uint32_t longest)
{
    if (guest->plan.state_crc32c != guest->state.crc32c) {
        console_line("refused: plan: made for the state blob with checksum %x, this one has %x: "
                     "give the plan of the same snapshot",
                     (uint64_t)guest->plan.state_crc32c, (uint64_t)guest->state.crc32c);
        return EFI_LOAD_ERROR;
    }
    if (resume_image_layout_compute(guest->state.vcpu_count, longest, &guest->layout) !=
        RESUME_OK) {
        console_line("refused: state blob: %u vCPUs, at most %u fit a home",
                     (uint64_t)guest->state.vcpu_count, (uint64_t)RESUME_HOME_VCPUS);
        return EFI_UNSUPPORTED;
    }
    if (guest->layout.length != guest->plan.home.length) {
        console_line("refused: plan: its home has %x bytes, this state needs %x: take the "
                     "snapshot again",
                     guest->plan.home.length, guest->layout.length);
        return EFI_LOAD_ERROR;
    }
    return EFI_SUCCESS;
}

EFI_STATUS guest_open(const struct source_input *state, const struct source_input *plan,
                      struct guest *out)
{
    struct resume_diag diag = {0};
    uint32_t longest = 0;
    int err = resume_state_open(state->data, state->length, &out->state, &diag);

    for (uint32_t i = 0; err == RESUME_OK && i < out->state.vcpu_count; i++) {
        err = check_vcpu(out, i, &longest, &diag);
    }
    if (err != RESUME_OK) {
        return guest_refuse("state blob", err, &diag);
    }
    if (out->active_count == 0) {
        console_line("refused: state blob: all of its %u vCPUs wait to be started: there is "
                     "nothing to resume",
                     (uint64_t)out->state.vcpu_count);
        return EFI_UNSUPPORTED;
    }
    err = resume_plan_read(plan->data, plan->length, &out->plan, &diag);
    if (err != RESUME_OK) {
        return guest_refuse("plan", err, &diag);
    }
    return check_plan(out, longest);
}

EFI_STATUS guest_check_cpu(const struct guest *guest, const struct resume_cpu *cpu)
{
    struct resume_diag diag = {0};

    for (uint32_t i = 0; i < guest->state.vcpu_count; i++) {
        const struct resume_vcpu *active = guest_vcpu(guest, i);
        int err = active != NULL ? resume_cpu_check(cpu, active, i, &diag) : RESUME_OK;

        if (err != RESUME_OK) {
            return guest_refuse("this machine's CPU", err, &diag);
        }
    }
    return EFI_SUCCESS;
}
