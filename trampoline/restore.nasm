; SPDX-License-Identifier: BSD-2-Clause-Patent
;
; The trampoline: from the firmware into the home, wait there, and leave as the guest.
;
; A flat, position-independent binary, placed at RESUME_HOME_CODE of the home. The same bytes run on
; all processors: R15 holds the home (struct resume_control), RBP the processor's block (struct
; resume_handoff), from the moment it has found it to the load of its general registers. The planner
; (lib/src/image.c) has decided everything; no value is computed here, and nothing is allocated.
;
; enter.nasm    phase 1: the way into the home, and the other processors
; moving.nasm   the guest's memory, where firmware puts it back: during phase 1, and before parking
; restore.nasm  phase 2 and 3: wait for `go`, restore, hand over to the landing
; ledger.nasm   what has been restored is read back; wait for each other
; msr.nasm      the list of MSRs, under a handler that survives those that do not exist
; console.nasm  text on the debug console
; macros.nasm   what these share
; fault.nasm    exceptions
;
; The last instructions are not here: the landing is composed by lib/src/landing.c, since its length
; depends on the values that it restores.

bits 64
default rel
org 0

%define control(field) r15 + RESUME_HOME_CONTROL + CONTROL_ %+ field
%define handoff(field) rbp + RESUME_BLOCK_HANDOFF + HANDOFF_ %+ field
%define operand(register) register + TABLE_REGISTER_OPERAND

%macro stage 1
    mov dword [handoff(stage)], %1
%endmacro

%include "macros.nasm"

; Write an MSR from a field of 64 bits. Clobbers RAX, RCX, RDX.
%macro write_msr 2
    mov ecx, %1
    mov eax, [handoff(%2)]
    mov edx, [handoff(%2) + 4]
    wrmsr
%endmacro

; struct resume_trampoline_header
    dq RESUME_TRAMPOLINE_MAGIC
    dd RESUME_HANDOFF_VERSION
    dd end
    dd enter
    dd protected
    dd long_entry
    dd vectors
    dd VECTOR_SIZE
    dd startup
    dd startup_end - startup
    dd startup_parameters - startup

%include "enter.nasm"
%include "moving.nasm"

; ---------------------------------------------------------------------------------------------
; Phase 2, park: own descriptors, stack and tables; then wait for `go` and touch nothing else.
; Entry:    at the home's guest address, on the transit tables, interrupts off. R14 = transit.
;           R12, R13 = the final steps, or R12 = 0.
; CR3:      the transit tables, then the tables in the home.
; Stack:    the block's.
park:
    lgdt [operand(handoff(own_gdtr))]
    lidt [operand(control(own_idtr))]
    lea rsp, [rbp + RESUME_BLOCK_STACK_TOP]
    push RESUME_OWN_CS
    lea rax, [.own_cs]
    push rax
    retfq
.own_cs:
    mov eax, RESUME_OWN_DS
    mov ss, eax
    mov ds, eax
    mov es, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    lldt ax

    ; An NMI whose handler is left without IRET keeps all others out, until the guest's own IRET.
    test dword [handoff(flags)], RESUME_HANDOFF_BLOCK_NMI
    jz .nmi_done
    lea rax, [.nmi_done]
    mov [handoff(nmi_return)], rax
    mov edx, [handoff(apic_id)]
    mov eax, ICR_NMI
    call send_ipi
.nmi_wait:
    pause
    jmp .nmi_wait
.nmi_done:
    test r12, r12
    jz .in_place
    lea r10, [.in_place]
    jmp finish_moving
.in_place:
    mov rax, [control(tables_cr3)]
    mov cr3, rax
    stage RESUME_STAGE_PARKED
    mov eax, 1
    lock xadd [control(parked)], eax
    inc eax
    cmp eax, [control(active_count)]
    jne .wait
.moving:                                ; one that is not resumed may still be at it
    pause
    cmp dword [control(moving)], 0
    jne .moving
    line text_parked
.wait:
    pause
    cmp dword [control(go)], 0
    je .wait
    test dword [handoff(flags)], RESUME_HANDOFF_LAST_OUT
    jz restore
    line text_go

; ---------------------------------------------------------------------------------------------
; Phase 3, restore: the machine around this code is now the guest's. From here there is no way back.
; Everything happens on the home's own tables; the guest's memory is not touched before the landing.
; Order (docs/ARCHITECTURE.md, "Ordering"):
;   1. CR4 without CET, EFER, CR0 with WP clear       4. LDTR, selectors, TR, then FS and GS bases
;   2. XCR0, XRSTOR, read back at once                5. PCID, and PGE: no translation survives
;   3. MSRs; DR0-3, DR6, DR7                          6. read back, wait for the others
; CR0.WP stays clear until the landing: it writes to padding that the guest maps read-only.
restore:
    stage RESUME_STAGE_MODES
    mov rax, [handoff(modes_cr4)]
    mov cr4, rax
    write_msr RESUME_MSR_EFER, efer
    mov rax, [handoff(modes_cr0)]
    mov cr0, rax

    stage RESUME_STAGE_FPU
    fninit                              ; no trace of the firmware where the image has no component
    lea rsi, [rbp + RESUME_BLOCK_XSAVE]
    mov edi, [control(xsave_length)]
    add rdi, rsi                        ; what is read back
    mov ebx, [handoff(flags)]
    test ebx, RESUME_HANDOFF_XSETBV
    jz .fxrstor
    xor ecx, ecx
    mov eax, [handoff(xcr0)]
    mov edx, [handoff(xcr0) + 4]
    xsetbv
    test ebx, RESUME_HANDOFF_XRSTOR
    jz .fxrstor
    mov eax, -1                         ; every component that XCR0 enables
    mov edx, eax
    xrstor64 [rsi]
    xsave64 [rdi]
    xgetbv
    shl rdx, 32
    or rax, rdx
    compared RESUME_LEDGER_XCR0, rax, xcr0
    jmp .fpu_done
.fxrstor:
    fxrstor64 [rsi]
    fxsave64 [rdi]
.fpu_done:
    call ledger_xsave

    stage RESUME_STAGE_MSRS
    call restore_msrs

    stage RESUME_STAGE_DEBUG
    mov eax, 0x400                      ; DR7: every breakpoint off while they are written
    mov dr7, rax
    mov rax, [handoff(dr) + 0]
    mov dr0, rax
    mov rax, [handoff(dr) + 8]
    mov dr1, rax
    mov rax, [handoff(dr) + 16]
    mov dr2, rax
    mov rax, [handoff(dr) + 24]
    mov dr3, rax
    mov rax, [handoff(dr6)]
    mov dr6, rax

    stage RESUME_STAGE_SEGMENTS
    test dword [handoff(flags)], RESUME_HANDOFF_OWN_LDT
    jz .selectors
    mov eax, RESUME_OWN_LDT             ; for selectors that refer to the LDT
    lldt ax
.selectors:
    mov eax, [handoff(selector) + 2 * RESUME_ES]
    mov es, eax
    mov eax, [handoff(selector) + 2 * RESUME_DS]
    mov ds, eax
    mov eax, [handoff(selector) + 2 * RESUME_FS]
    mov fs, eax
    mov eax, [handoff(selector) + 2 * RESUME_GS]
    mov gs, eax
    xor eax, eax
    test dword [handoff(flags)], RESUME_HANDOFF_KERNEL_CS
    jz .own_cs                          ; SS and CS come with the landing's return
    movzx eax, word [handoff(selector) + 2 * RESUME_CS]
    push rax
    lea rax, [.guest_cs]
    push rax
    retfq
.guest_cs:
    mov eax, [handoff(selector) + 2 * RESUME_SS]
.own_cs:
    mov ss, eax
    lldt [handoff(selector) + 2 * RESUME_LDTR]
    ltr [handoff(selector) + 2 * RESUME_TR]
    write_msr RESUME_MSR_FS_BASE, fs_base   ; after the selectors: loading those changes the bases
    write_msr RESUME_MSR_GS_BASE, gs_base

    stage RESUME_STAGE_PAGING
    mov rax, [handoff(cr3)]             ; the guest's tables map this code too: fetched, not written
    mov cr3, rax
    mov rbx, cr3
    mov rax, [handoff(paging_cr3)]      ; own tables under the guest's PCID, so that the landing's
    mov cr3, rax                        ; load of CR3 ends their translations
    mov rax, [handoff(paging_cr4)]      ; PGE changes: of all others none is left
    mov cr4, rax

    mov rax, cr8                        ; the local APIC came with the devices: CR8 is right already,
    cmp rax, [handoff(cr8)]             ; and writing it leaves traces in QEMU's virtual TPR
    je .cr8_done
    mov rax, [handoff(cr8)]
    mov cr8, rax
.cr8_done:
    mov rax, [handoff(cr2)]
    mov cr2, rax
    mov rax, [handoff(dr7)]
    mov dr7, rax

    stage RESUME_STAGE_READ_BACK
    compared RESUME_LEDGER_CR3, rbx, cr3
    call ledger_registers
    call ledger_print
    stage RESUME_STAGE_BARRIER
    call barrier

    stage RESUME_STAGE_LAST
    test dword [handoff(flags)], RESUME_HANDOFF_LAST_OUT
    jz .leave
    line text_landing
.leave:
    lidt [operand(handoff(idtr))]
    lgdt [operand(handoff(gdtr))]
    mov rax, [handoff(cr3)]
    mov cr3, rax

    ; The landing's registers. RSP takes the place of RBP, which is the guest's from here on.
    mov rsp, rbp
    mov rax, [rsp + HANDOFF_landing_gpr + 8 * RESUME_RAX]
    mov rcx, [rsp + HANDOFF_landing_gpr + 8 * RESUME_RCX]
    mov rdx, [rsp + HANDOFF_landing_gpr + 8 * RESUME_RDX]
    mov rbx, [rsp + HANDOFF_landing_gpr + 8 * RESUME_RBX]
    mov rbp, [rsp + HANDOFF_landing_gpr + 8 * RESUME_RBP]
    mov rsi, [rsp + HANDOFF_landing_gpr + 8 * RESUME_RSI]
    mov rdi, [rsp + HANDOFF_landing_gpr + 8 * RESUME_RDI]
    mov r8,  [rsp + HANDOFF_landing_gpr + 8 * RESUME_R8]
    mov r9,  [rsp + HANDOFF_landing_gpr + 8 * RESUME_R9]
    mov r10, [rsp + HANDOFF_landing_gpr + 8 * RESUME_R10]
    mov r11, [rsp + HANDOFF_landing_gpr + 8 * RESUME_R11]
    mov r12, [rsp + HANDOFF_landing_gpr + 8 * RESUME_R12]
    mov r13, [rsp + HANDOFF_landing_gpr + 8 * RESUME_R13]
    mov r14, [rsp + HANDOFF_landing_gpr + 8 * RESUME_R14]
    mov r15, [rsp + HANDOFF_landing_gpr + 8 * RESUME_R15]
    mov rsp, [rsp + HANDOFF_landing_rsp]
    ret                                 ; the landing's address lies there

text text_parked,  "libresume: parked", 10
text text_go,      "libresume: go", 10
text text_landing, "libresume: landing", 10

%include "msr.nasm"
%include "ledger.nasm"
%include "console.nasm"
%include "fault.nasm"

end:
