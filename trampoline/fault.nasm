; SPDX-License-Identifier: BSD-2-Clause-Patent
;
; Exceptions while the trampoline runs. Two are expected: #GP of an MSR that the machine does not
; have, and the NMI that a processor sends itself to keep others out. Of all others nothing can be
; undone: record what happened in the handoff, say it on the debug console, stop.
; RBP is the block from before the IDT is loaded until after the guest's is. No handler ends with
; IRET: that would let NMIs in.

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

; Stack: vector, error code, RIP, CS, RFLAGS, RSP, SS.
fault:
    cmp byte [rsp], 2
    jne .no_nmi
    mov rax, [handoff(nmi_return)]
    test rax, rax
    jz .report
    mov qword [handoff(nmi_return)], 0
    lea rsp, [rbp + RESUME_BLOCK_STACK_TOP]
    jmp rax
.no_nmi:
    cmp byte [rsp], 13
    jne .report
    mov rax, [rsp + 16]
    lea rdx, [msr_read]
    cmp rax, rdx
    je .msr
    lea rdx, [msr_write]
    cmp rax, rdx
    je .msr
    lea rdx, [msr_read_back]
    cmp rax, rdx
    jne .report
.msr:
    test dword [rsi + MSR_FLAGS], RESUME_MSR_OPTIONAL
    jz .report
    mov rsp, [rsp + 40]
    jmp msr_refused

; All registers are free: there is no way back.
.report:
    pop qword [handoff(fault) + 0]
    pop qword [handoff(fault) + 8]
    pop qword [handoff(fault) + 16]
    mov rax, cr2
    mov [handoff(fault) + 24], rax

    text_here "libresume: fault cpu=0x"
    mov eax, [handoff(index)]
    call console_hex
    text_here " vector=0x"
    mov rax, [handoff(fault) + 0]
    call console_hex
    text_here " error=0x"
    mov rax, [handoff(fault) + 8]
    call console_hex
    cmp word [control(discreet)], 0
    jne .stage
    text_here " rip=0x"
    mov rax, [handoff(fault) + 16]
    call console_hex
    text_here " cr2=0x"
    mov rax, [handoff(fault) + 24]
    call console_hex
.stage:
    text_here " stage=0x"
    mov eax, [handoff(stage)]
    call console_hex
    text_here 10
    lock inc dword [control(failed)]    ; the others stop at the barrier
.stop:
    cli
    hlt
    jmp .stop
