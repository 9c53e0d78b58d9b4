/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The guest that is to be resumed: its state blob and its plan, checked against each other and
 * against the machine, and made into the image of the home. This is the whole sequence that a
 * firmware has to go through before the point of no return, but for finding the inputs, memory and
 * the way into the home (resume/image.h, resume_transit_build).
 */
#ifndef RESUME_GUEST_H
#define RESUME_GUEST_H

#include <resume/image.h>
#include <resume/plan.h>
#include <resume/vcpu_set.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An opened guest, some 1 KiB. Owned by the caller, read-only for it; refers to the inputs. */
struct resume_guest {
    struct resume_state state;
    struct resume_plan plan;
    struct resume_vcpu_set set; /* how many vCPUs are resumed, and their APIC IDs */
    struct resume_image_layout layout;
    struct resume_staging staging; /* how long the staging area is, and what lies where */
    uint32_t accel;                /* enum resume_accel of the machine that the state is from */
    uint32_t discreet;             /* resume_guest_set_discreet; 0 after opening */
    const struct resume_moving *moving; /* resume_guest_set_moving; NULL after opening */
};

/*
 * resume_guest_open - parse a state blob, and check that every vCPU of it can be resumed.
 * @state: @length bytes, any alignment; borrowed as long as @out is used.
 * @scratch: some 5 KiB that the vCPUs are decoded into, one after the other; its contents are
 * CPU state, to be wiped by the caller in the end.
 * Errors: EINVAL, those of resume_state_open, resume_state_vcpu, resume_state_machine,
 * resume_vcpu_validate, resume_vcpu_check_scope, resume_vcpu_set_add and resume_vcpu_set_finish.
 */
int resume_guest_open(const void *state, size_t length, struct resume_vcpu *scratch,
                      struct resume_guest *out, struct resume_diag *diag);

/*
 * resume_guest_plan - parse the plan, and check that it was made for this state.
 * @guest: opened; its `plan` is set on success.
 * Errors: those of resume_plan_read; ECONSISTENT (another state's plan, or a home of another
 * length: take plan and state from the same snapshot).
 */
int resume_guest_plan(struct resume_guest *guest, const void *plan, size_t length,
                      struct resume_diag *diag);

/* resume_guest_check_cpu - resume_cpu_check for every vCPU that is resumed. */
int resume_guest_check_cpu(const struct resume_guest *guest, const struct resume_cpu *cpu,
                           struct resume_vcpu *scratch, struct resume_diag *diag);

/*
 * resume_guest_set_discreet - have resume_guest_build build an image of the home that tells the debug
 * console no value of a register: for a guest whose state the hypervisor must not know. Which vCPU and
 * which field stopped a resume is told nevertheless.
 * @guest: opened; not NULL.
 */
void resume_guest_set_discreet(struct resume_guest *guest);

/*
 * resume_guest_build - build the image of the home.
 * @guest: with its plan, checked against @cpu.  @image: layout.length bytes, 4 KiB aligned.
 * @debug_port: I/O port of a debug console, 0 = none.
 * Errors: those of resume_image_begin, resume_image_vcpu and resume_image_finish.
 */
int resume_guest_build(const struct resume_guest *guest, const struct resume_cpu *cpu,
                       const uint8_t *trampoline, size_t trampoline_length, uint16_t debug_port,
                       struct resume_vcpu *scratch, uint8_t *image, struct resume_diag *diag);

#ifdef __cplusplus
}
#endif
#endif
