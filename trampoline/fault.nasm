; SPDX-License-Identifier: BSD-2-Clause-Patent
;
; Exceptions while the trampoline runs. Nothing can be undone at that point: record what happened in
; the handoff, say it on the debug console, stop.

VECTOR_SIZE equ 16

; 32 entries, VECTOR_SIZE bytes apart; each leaves (error code, vector) on the stack.
align VECTOR_SIZE
vectors:
%assign vector 0
%rep 32
    align VECTOR_SIZE
  %if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30
    ; the CPU pushed an error code
  %else
    push byte 0
  %endif
    push byte vector
    jmp near fault
  %assign vector vector + 1
%endrep
align VECTOR_SIZE

; Stack: vector, error code, RIP, CS, RFLAGS, RSP, SS. All registers are free: there is no way back.
fault:
    mov rax, [rsp]
    mov [handoff(fault) + 0], rax
    mov rax, [rsp + 8]
    mov [handoff(fault) + 8], rax
    mov rax, [rsp + 16]
    mov [handoff(fault) + 16], rax
    mov rax, cr2
    mov [handoff(fault) + 24], rax

    lea rsi, [rel text_fault]
    call console_text
    mov rax, [handoff(fault) + 0]
    call console_hex
    lea rsi, [rel text_error]
    call console_text
    mov rax, [handoff(fault) + 8]
    call console_hex
    lea rsi, [rel text_rip]
    call console_text
    mov rax, [handoff(fault) + 16]
    call console_hex
    lea rsi, [rel text_cr2]
    call console_text
    mov rax, [handoff(fault) + 24]
    call console_hex
    lea rsi, [rel text_stage]
    call console_text
    mov eax, [handoff(stage)]
    call console_hex
    lea rsi, [rel text_newline]
    call console_text
.stop:
    cli
    hlt
    jmp .stop

text_fault:   db "libresume: fault vector=0x", 0
text_error:   db " error=0x", 0
text_rip:     db " rip=0x", 0
text_cr2:     db " cr2=0x", 0
text_stage:   db " stage=0x", 0
text_newline: db 10, 0
