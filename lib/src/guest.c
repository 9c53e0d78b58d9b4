/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <resume/moving.h>

#include "internal.h"

static int take_vcpu(struct resume_guest *guest, uint32_t index, struct resume_vcpu *scratch,
                     struct resume_diag *diag)
{
    int err = resume_state_vcpu(&guest->state, index, scratch, diag);

    if (err == RESUME_OK) {
        err = resume_vcpu_validate(scratch, index, diag);
    }
    if (err == RESUME_OK) {
        err = resume_vcpu_check_scope(scratch, index, diag);
    }
    return err == RESUME_OK ? resume_vcpu_set_add(&guest->set, scratch, diag) : err;
}

int resume_guest_open(const void *state, size_t length, struct resume_vcpu *scratch,
                      struct resume_guest *out, struct resume_diag *diag)
{
    struct resume_machine machine;
    struct resume_guest guest;
    int err;

    if (scratch == NULL || out == NULL) {
        return RESUME_EINVAL;
    }
    memset(&guest, 0, sizeof(guest));
    err = resume_state_open(state, length, &guest.state, diag);
    if (err == RESUME_OK) {
        err = resume_state_machine(&guest.state, &machine, diag);
    }
    for (uint32_t i = 0; err == RESUME_OK && i < guest.state.vcpu_count; i++) {
        err = take_vcpu(&guest, i, scratch, diag);
    }
    if (err == RESUME_OK) {
        err = resume_vcpu_set_finish(&guest.set, diag);
    }
    if (err == RESUME_OK) {
        err = resume_image_layout_compute(guest.set.count, guest.set.xsave_length, &guest.layout);
    }
    if (err != RESUME_OK) {
        return err;
    }
    guest.accel = machine.accel;
    resume_staging_compute(&guest.layout, &guest.staging);
    *out = guest;
    return RESUME_OK;
}

int resume_guest_plan(struct resume_guest *guest, const void *plan, size_t length,
                      struct resume_diag *diag)
{
    struct resume_plan read;
    int err;

    if (guest == NULL) {
        return RESUME_EINVAL;
    }
    err = resume_plan_read(plan, length, &read, diag);
    if (err != RESUME_OK) {
        return err;
    }
    if (read.state_crc32c != guest->state.crc32c) {
        return resume_fail(diag, RESUME_ECONSISTENT, "plan", "checksum of its state", 0,
                           read.state_crc32c, guest->state.crc32c, RESUME_NO_VCPU);
    }
    if (read.home.length != guest->layout.length) {
        return resume_fail(diag, RESUME_ECONSISTENT, "plan", "length of the home", 0,
                           read.home.length, guest->layout.length, RESUME_NO_VCPU);
    }
    guest->plan = read;
    return RESUME_OK;
}

void resume_guest_set_moving(struct resume_guest *guest, const struct resume_moving *moving)
{
    guest->moving = moving;
}

void resume_guest_set_discreet(struct resume_guest *guest)
{
    guest->discreet = 1;
}

/* Read once before without an error. Returns 1 for a vCPU that is resumed. */
static int active_vcpu(const struct resume_guest *guest, uint32_t index,
                       struct resume_vcpu *scratch)
{
    return resume_state_vcpu(&guest->state, index, scratch, NULL) == RESUME_OK &&
           !resume_vcpu_dormant(scratch);
}

int resume_guest_check_cpu(const struct resume_guest *guest, const struct resume_cpu *cpu,
                           struct resume_vcpu *scratch, struct resume_diag *diag)
{
    int err = RESUME_OK;

    if (guest == NULL || cpu == NULL || scratch == NULL) {
        return RESUME_EINVAL;
    }
    for (uint32_t i = 0; err == RESUME_OK && i < guest->state.vcpu_count; i++) {
        if (active_vcpu(guest, i, scratch)) {
            err = resume_cpu_check(cpu, scratch, i, diag);
        }
    }
    return err;
}

int resume_guest_build(const struct resume_guest *guest, const struct resume_cpu *cpu,
                       const uint8_t *trampoline, size_t trampoline_length, uint16_t debug_port,
                       struct resume_vcpu *scratch, uint8_t *image, struct resume_diag *diag)
{
    struct resume_image_input input;
    int err;

    if (guest == NULL || scratch == NULL) {
        return RESUME_EINVAL;
    }
    memset(&input, 0, sizeof(input));
    input.home = &guest->plan.home;
    input.layout = &guest->layout;
    input.cpu = cpu;
    input.trampoline = trampoline;
    input.trampoline_length = trampoline_length;
    input.levels = guest->set.levels;
    input.active_count = guest->set.active;
    input.last_out = guest->set.first;
    input.accel = guest->accel;
    input.debug_port = debug_port;
    input.discreet = guest->discreet != 0;
    input.moving = guest->moving;
    err = resume_image_begin(&input, image, diag);
    for (uint32_t i = 0; err == RESUME_OK && i < guest->state.vcpu_count; i++) {
        if (active_vcpu(guest, i, scratch)) {
            err = resume_image_vcpu(&input, i, scratch, image, diag);
        }
    }
    return err == RESUME_OK ? resume_image_finish(&input, image, diag) : err;
}
