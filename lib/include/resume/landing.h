/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The landing: the last instructions, and what remains of the trampoline in the guest's memory.
 *
 * It sits at the very end of the home and runs on the guest's own page tables, with the guest's
 * GDT and IDT loaded, interrupts off and CR0.WP clear. It refills the home below itself, restores
 * the registers that the refill used, sets the guest's CR0, and enters the guest with one
 * instruction. What it leaves behind is kept small: the encoding is chosen from the values.
 */
#ifndef RESUME_LANDING_H
#define RESUME_LANDING_H

#include <resume/home.h>
#include <resume/state.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How the guest is entered. */
enum resume_landing_form {
    /* CPL 0, 64-bit CS: CS, SS, RSP, RFLAGS are already the guest's; STI when IF is set; JMP. */
    RESUME_LANDING_JUMP = 1,
    /* Outer privilege level: RFLAGS already the guest's but IF; STI when IF is set; RETFQ. */
    RESUME_LANDING_RETF = 2,
    /* Anything else (RFLAGS with TF, RF, DF, VIF or VIP; a distant RIP): IRETQ. */
    RESUME_LANDING_IRET = 3
};

#define RESUME_LANDING_MAX 128

struct resume_landing {
    uint8_t bytes[RESUME_LANDING_MAX];
    uint32_t length; /* bytes used; they are the last of the home */
    uint32_t form;   /* enum resume_landing_form */
    uint32_t leave;  /* offset in bytes[] of the instruction that enters the guest; it is preceded
                          by STI when `sti` is set */
    uint32_t sti;
    uint32_t differs; /* bytes that are not the fill byte: what stays different in guest memory */
    uint32_t reserved;
    resume_va_t va;  /* where bytes[0] lies: the refill */
    uint64_t rsp;    /* RSP on entry */
    uint64_t rflags; /* RFLAGS on entry */
    uint64_t rax;    /* RAX on entry: CR0 with the fill byte as its low byte */
    uint64_t
        refill_length; /* RCX on entry: bytes from the home's start to va; RDI = the home's VA */
};

/*
 * resume_landing_compose - write the landing for @vcpu at the end of @home.
 * @vcpu: validated.  @home: its va, length and fill count.
 * Errors: EINVAL (NULL, or the home is shorter than RESUME_LANDING_MAX).
 * Implements Intel SDM vol. 2: MOVS/STOS with REP, MOV to control registers, STI (the instruction
 * after it still runs uninterrupted), RET (far return; the upper 48 bits of popped selectors are
 * discarded), IRET.
 */
int resume_landing_compose(const struct resume_vcpu *vcpu, const struct resume_home *home,
                           struct resume_landing *out);

#ifdef __cplusplus
}
#endif
#endif
