/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The landing: the last instructions of a vCPU, and what remains of the trampoline in the guest's
 * memory.
 *
 * It fills the end of the vCPU's slot, at the end of the home, and runs on the guest's own page
 * tables, with the guest's GDT and IDT loaded, interrupts off and CR0.WP clear. It tells the others
 * that it has left the trampoline (or, as the last one, waits for them and refills the home), loads
 * the last registers, wipes what it has executed so far, sets the guest's CR0, and enters the guest
 * with one instruction. Only the few bytes after the wiping remain; they are chosen from the
 * values that have to be restored, to be as few as possible.
 */
#ifndef RESUME_LANDING_H
#define RESUME_LANDING_H

#include <resume/handoff.h>
#include <resume/home.h>
#include <resume/state.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How the guest is entered. */
enum resume_landing_form {
    /*
     * CPL 0, 64-bit CS: CS, SS, RSP, RFLAGS are already the guest's; STI when IF is set; JMP,
     * through memory where RIP is more than 2 GiB away.
     */
    RESUME_LANDING_JUMP = 1,
    /* Outer privilege level: RFLAGS already the guest's but IF; STI when IF is set; RETFQ. */
    RESUME_LANDING_RETF = 2,
    /*
     * IRETQ: RFLAGS with TF, RF, VIF or VIP; a compatibility-mode CS at CPL 0; an NMI that waits
     * and is not blocked; with CR4.CET, a RIP at CPL 0 more than 2 GiB away.
     */
    RESUME_LANDING_IRET = 3
};

/* Where a landing goes, and its part in the common departure. */
struct resume_landing_place {
    resume_va_t slot_va; /* start of the vCPU's slot, RESUME_LANDING_MAX bytes */
    uint8_t fill;        /* the home's fill byte */
    uint8_t last_out;    /* 1 = waits for the others and refills the home */
    uint8_t reserved[2];
    uint32_t others;        /* vCPUs that leave before the last one; for last_out only */
    resume_va_t left_va;    /* struct resume_control.left: incremented, or waited for */
    resume_va_t refill_va;  /* for last_out: what it refills */
    uint64_t refill_length; /* bytes */
};

struct resume_landing {
    uint8_t
        bytes[RESUME_LANDING_MAX]; /* the whole slot; what comes before the code is fill or data */
    uint32_t form;                 /* enum resume_landing_form */
    uint32_t entry;                /* offset in bytes[] of the first instruction */
    uint32_t leave; /* offset in bytes[] of the instruction that enters the guest; it is preceded
                          by STI when `sti` is set */
    uint32_t sti;
    uint32_t remains; /* offset in bytes[] of the first byte that stays: all before is fill again */
    uint32_t differs; /* bytes from there that are not the fill byte */
    uint64_t rsp;     /* RSP to come with: RET pops the address of the first instruction */
    /* The registers to come with: the guest's, but RAX, RCX, RDI where the landing refills. RSP's
     * is not meant. */
    uint64_t gpr[RESUME_GPR_COUNT];
};

/*
 * resume_landing_compose - write the landing for @vcpu into a slot.
 * @vcpu: validated and in scope.  @place: see there.
 * Reached by RET with RSP = out->rsp, the registers of out->gpr, any RFLAGS with IF, TF and DF clear,
 * CR0 with WP clear, CR4 with CET clear, everything else the guest's (for the forms but JUMP: CS and
 * SS the trampoline's, at CPL 0 in 64-bit mode).
 * After the instruction at `leave`, the registers and RFLAGS are @vcpu's, CR0 and CR4 are @vcpu's,
 * and the slot holds the fill byte up to `remains`.
 * An interrupt shadow is made again by the guest: the landing goes to RIP - shadow_length, for STI
 * with IF clear.
 * Errors: EINVAL (NULL; a slot that is not in the same 2 GiB as left_va), ENOSPC (does not fit; no
 * state is known that does not), EUNSUPPORTED, which is what no landing can restore:
 *  - NMIs that are to stay blocked, where only IRETQ enters (it would unblock them);
 *  - a shadow whose instruction is not known, or that of STI without IF or with TF (which would trap
 *    once more);
 *  - compatibility mode with a 16-bit stack, or with RSP beyond 32 bits: returns to it load only
 *    16, or 32, bits of RSP;
 *  - CR4.CET with shadow stacks enabled for the supervisor, or with its ENDBRANCH tracker waiting.
 * Implements Intel SDM vol. 2: POP (a memory operand that is based on RSP is addressed after the
 * increment), STOS with REP, MOV to control registers, STI (the instruction after it still runs
 * uninterrupted), RET (far return; the upper 48 bits of popped selectors are discarded), IRET
 * (reserved bits of RFLAGS are discarded).
 */
int resume_landing_compose(const struct resume_vcpu *vcpu, const struct resume_landing_place *place,
                           struct resume_landing *out);

#ifdef __cplusplus
}
#endif
#endif
