; SPDX-License-Identifier: BSD-2-Clause-Patent
;
; The trampoline: from the firmware into the home, wait there, and leave as the guest.
;
; A flat, position-independent binary, placed at RESUME_HOME_CODE of the home. It addresses the
; handoff relative to itself, so the same bytes run at any address. The planner (lib/src/plan.c) has
; decided everything; no value is computed or checked here, and nothing is allocated.
;
; The last instructions are not in this file: the landing is composed by lib/src/landing.c, since
; its length depends on the values that it restores.

bits 64
default rel
org 0

; A field of the handoff, addressed relative to this code.
%define handoff(field) rel $$ - RESUME_HOME_CODE + RESUME_HOME_HANDOFF + HANDOFF_ %+ field
%define guest_gpr(number) handoff(gpr) + 8 * (number)

%macro stage 1
    mov dword [handoff(stage)], %1
%endmacro

; struct resume_trampoline_header
    dq RESUME_TRAMPOLINE_MAGIC
    dd RESUME_HANDOFF_VERSION
    dd end
    dd enter
    dd park
    dd vectors
    dd VECTOR_SIZE

; ---------------------------------------------------------------------------------------------
; Phase 1, enter: leave the firmware's address space and put the home in its place.
; Entry:    RDI = struct resume_transit, boot services ended, identity mapped, CPL 0, long mode.
; CR3:      the firmware's, then the transit tables.
; Stack:    none is used.
; Clobbers: everything.
; Runs from the staging area: the handoff here is the image's, not yet the home's.
enter:
    cli
    cld
    mov rax, [rdi + TRANSIT_cr4]        ; no PGE: the CR3 load below leaves no firmware translation
    mov cr4, rax
    mov rax, [rdi + TRANSIT_cr3]
    mov cr3, rax

    stage RESUME_STAGE_ENTER
    mov rbx, [rdi + TRANSIT_home_va]
    mov rcx, [rdi + TRANSIT_home_length]
    mov rsi, [rdi + TRANSIT_image_pa]
    mov rdi, [rdi + TRANSIT_home_pa]
    rep movsb

    lea rax, [rel park]
    lea rdx, [rel $$]
    sub rax, rdx
    add rax, RESUME_HOME_CODE
    add rax, rbx
    jmp rax                             ; the same code at its guest address

; ---------------------------------------------------------------------------------------------
; Phase 2, park: own tables, descriptors and stack; then wait for `go` and touch nothing else.
; Entry:    at the home's guest address, interrupts off.
; CR3:      any that maps the home; then the tables in the home.
; Stack:    the home's.
park:
    mov rax, [handoff(tables_cr3)]
    mov cr3, rax
    lea rsp, [rel $$ - RESUME_HOME_CODE + RESUME_HOME_STACK_TOP]
    lgdt [handoff(own_gdtr) + TABLE_REGISTER_OPERAND]
    lidt [handoff(own_idtr) + TABLE_REGISTER_OPERAND]
    push RESUME_OWN_CS
    lea rax, [rel .own_cs]
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

    stage RESUME_STAGE_PARKED
    lea rsi, [rel text_parked]
    call console_text
.wait:
    pause
    cmp dword [handoff(go)], 0
    je .wait
    lea rsi, [rel text_go]
    call console_text

; ---------------------------------------------------------------------------------------------
; Phase 3, restore: the machine around this code is now the guest's. From here there is no way back.
; Order (docs/ARCHITECTURE.md, "Ordering"):
;   1. CR4 without PGE/PCIDE, EFER, CR0 with WP clear   4. the guest's CR3, CR4, CR3 with its PCID
;   2. XCR0, XRSTOR                                      5. TR, LDTR, selectors, then FS and GS bases
;   3. MSRs; DR0-3 and DR6 with DR7 off                  6. CR2, CR8, DR7, the guest's IDT and GDT
; CR0.WP stays clear until the landing: the refill writes to padding that the guest maps read-only.
restore:
    stage RESUME_STAGE_MODES
    mov rax, [handoff(modes_cr4)]
    mov cr4, rax
    mov ecx, RESUME_MSR_EFER
    mov eax, [handoff(efer)]
    mov edx, [handoff(efer) + 4]
    wrmsr
    mov rax, [handoff(modes_cr0)]
    mov cr0, rax

    stage RESUME_STAGE_FPU
    fninit                              ; no trace of the firmware where the image has no component
    lea rsi, [rel $$ - RESUME_HOME_CODE + RESUME_HOME_XSAVE]
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
    jmp .fpu_done
.fxrstor:
    fxrstor64 [rsi]
.fpu_done:

    stage RESUME_STAGE_MSRS
    lea rsi, [handoff(msr)]
    mov ebx, [handoff(msr_count)]
.next_msr:
    sub ebx, 1
    jb .msrs_done
    mov ecx, [rsi + MSR_INDEX]
    mov eax, [rsi + MSR_VALUE]
    mov edx, [rsi + MSR_VALUE + 4]
    wrmsr
    add rsi, MSR_SIZE
    jmp .next_msr
.msrs_done:

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

    stage RESUME_STAGE_PAGING
    mov rax, [handoff(bare_cr3)]        ; CR4.PCIDE may only be set while CR3[11:0] is zero
    mov cr3, rax
    mov rax, [handoff(cr4)]
    mov cr4, rax
    mov rax, [handoff(cr3)]
    mov cr3, rax

    ; From here on the guest's own tables map this code, and the guest's GDT, LDT, TSS and IDT.
    stage RESUME_STAGE_SEGMENTS
    ; A copy of the guest's GDT below the trampoline's own descriptors: both are there from now on.
    mov rsi, [handoff(gdtr) + TABLE_REGISTER_BASE]
    lea rdi, [rel $$ - RESUME_HOME_CODE + RESUME_HOME_GDT]
    movzx ecx, word [handoff(gdtr) + TABLE_REGISTER_OPERAND]
    inc ecx
    rep movsb
    movzx eax, word [handoff(selector) + 2 * RESUME_TR]
    mov edx, eax
    and edx, 0xfff8
    lea rdi, [rel $$ - RESUME_HOME_CODE + RESUME_HOME_GDT]
    and byte [rdi + rdx + 5], 0xfd      ; LTR wants an available TSS; the guest's own stays busy
    ltr ax
    lldt [handoff(selector) + 2 * RESUME_LDTR]
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
    lea rax, [rel .guest_cs]
    push rax
    retfq
.guest_cs:
    mov eax, [handoff(selector) + 2 * RESUME_SS]
.own_cs:
    mov ss, eax
    mov ecx, RESUME_MSR_FS_BASE         ; after the selectors: loading those changes the bases
    mov eax, [handoff(fs_base)]
    mov edx, [handoff(fs_base) + 4]
    wrmsr
    mov ecx, RESUME_MSR_GS_BASE
    mov eax, [handoff(gs_base)]
    mov edx, [handoff(gs_base) + 4]
    wrmsr

    stage RESUME_STAGE_LAST
    lea rsi, [rel text_landing]
    call console_text
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
    lidt [handoff(idtr) + TABLE_REGISTER_OPERAND]
    lgdt [handoff(gdtr) + TABLE_REGISTER_OPERAND]

; ---------------------------------------------------------------------------------------------
; Phase 4, hand over to the landing: all general registers but RAX, RCX, RDI (and RSP where it
; returns through a frame), which the refill needs and the landing restores itself.
    push qword [handoff(landing_flags)]
    popfq
    mov rdx, [guest_gpr(RESUME_RDX)]
    mov rbx, [guest_gpr(RESUME_RBX)]
    mov rbp, [guest_gpr(RESUME_RBP)]
    mov rsi, [guest_gpr(RESUME_RSI)]
    mov r8,  [guest_gpr(RESUME_R8)]
    mov r9,  [guest_gpr(RESUME_R9)]
    mov r10, [guest_gpr(RESUME_R10)]
    mov r11, [guest_gpr(RESUME_R11)]
    mov r12, [guest_gpr(RESUME_R12)]
    mov r13, [guest_gpr(RESUME_R13)]
    mov r14, [guest_gpr(RESUME_R14)]
    mov r15, [guest_gpr(RESUME_R15)]
    mov rdi, [handoff(home_va)]
    mov rcx, [handoff(refill_length)]
    mov rsp, [handoff(landing_rsp)]
    mov rax, [handoff(landing_rax)]
    jmp [handoff(landing_va)]

text_parked:  db "libresume: parked", 10, 0
text_go:      db "libresume: go", 10, 0
text_landing: db "libresume: landing", 10, 0

%include "console.nasm"
%include "fault.nasm"

end:
