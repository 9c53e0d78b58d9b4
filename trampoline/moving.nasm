; SPDX-License-Identifier: BSD-2-Clause-Patent
;
; The guest's memory is put back by firmware (resume/moving.h): what boot services were in the way of.
; The first processor does it, in two parts. Before it copies the home: stop_others, then `steps`. When
; it is the last one outside of it: finish_moving. None of this uses a stack.

; Stop all other processors. They are in code of the firmware, which is about to be overwritten; after
; INIT they wait for SIPI, and execute nothing. Twice: a startup interrupt that the firmware has sent
; may outlast the first INIT, and lets a processor begin where the firmware wanted it once more.
; Entry: R14 = transit. Returns to RSI. Clobbers RAX, RCX, RDX, R8, R9.
stop_others:
    mov r9d, 2
.again:
    mov eax, ICR_INIT | ICR_OTHERS
    mov r8, [r14 + TRANSIT_apic_pa]
    test r8, r8
    jz .x2apic
    mov [r8 + APIC_ICR_LOW], eax
.wait:
    pause
    test dword [r8 + APIC_ICR_LOW], ICR_PENDING
    jnz .wait
    jmp .sent
.x2apic:
    xor edx, edx
    mov ecx, X2APIC_ICR
    wrmsr
.sent:
    mov ecx, DELAY_INIT                 ; until it has arrived everywhere
.delay:
    out DELAY_PORT, al
    dec ecx
    jnz .delay
    dec r9d
    jnz .again
    jmp rsi

; Execute a list of struct resume_placement_step: move and wipe the source, or fill with zeroes.
; Entry: R12 = the first step, R13 = how many; all memory concerned is identity mapped.
; Returns to R11. Clobbers RAX, RCX, RSI, RDI, R8, R9, R12, R13.
run_steps:
    test r13, r13
    jz .done
    mov rsi, [r12 + STEP_source]
    mov rdi, [r12 + STEP_destination]
    mov r9, [r12 + STEP_pages]
    shl rdi, RESUME_PAGE_SHIFT
    shl r9, RESUME_PAGE_SHIFT - 3       ; of 8 bytes
    cmp rsi, -1                         ; RESUME_PLACEMENT_ZERO
    je .fill
    shl rsi, RESUME_PAGE_SHIFT
    mov r8, rsi
    mov rcx, r9
    rep movsq
    mov rdi, r8                         ; what has been moved away leaves zeroes
.fill:
    mov rcx, r9
    xor eax, eax
    rep stosq
    add r12, STEP_SIZE
    dec r13
    jmp run_steps
.done:
    jmp r11

; All others are in the home, on its tables: nobody needs the areas any more. `final` overwrites the
; staging area too, so that R14 means nothing afterwards; `last` overwrites the list and the transit
; tables, and is executed from its copy in the home, on the home's tables.
; Entry: at the home's guest address, on the transit tables; R12, R13 = the final steps.
; Returns to R10. Clobbers RAX, RCX, RSI, RDI, R8, R9, R11 to R14.
finish_moving:
    lea r11, [.on_home_tables]
    jmp run_steps
.on_home_tables:
    mov rax, [control(tables_cr3)]
    mov cr3, rax
    lea r12, [r15 + RESUME_HOME_LAST + LAST_steps]
    mov r13d, [r15 + RESUME_HOME_LAST + LAST_count]
    lea r11, [.in_place]
    jmp run_steps
.in_place:
    mov dword [control(moving)], 0      ; the doorbell may ring
    jmp r10

; The first processor, when it is not to be resumed: here it may stay, in the home. Entry: as above.
unused:
    lea r10, [.stop]
    jmp finish_moving
.stop:
    hlt
    jmp .stop
