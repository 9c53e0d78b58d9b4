; SPDX-License-Identifier: BSD-2-Clause-Patent
;
; The list of MSRs. Each is read, written only if it has another value, and read back. One that the
; machine refuses raises #GP: fault.nasm sends that to msr_refused.

; Entry: RBP = block. Clobbers RAX, RBX, RCX, RDX, RSI, RDI. Stack: 8 bytes (the call).
restore_msrs:
    mov ebx, [handoff(msr_count)]
    test ebx, ebx
    jz .done
    lea rsi, [rbp + RESUME_BLOCK_MSRS]
    lea rdi, [handoff(line) + RESUME_LEDGER_PREFIX + RESUME_LEDGER_COUNT]
.next:
    mov ecx, [rsi + MSR_INDEX]
msr_read:
    rdmsr
    shl rdx, 32
    or rax, rdx
    cmp rax, [rsi + MSR_VALUE]
    jne msr_other
msr_exact:
    mov byte [rdi], RESUME_LEDGER_EXACT
msr_step:
    inc rdi
    add rsi, MSR_SIZE
    dec ebx
    jnz restore_msrs.next
restore_msrs.done:
    ret

msr_other:
    mov eax, [rsi + MSR_VALUE]
    mov edx, [rsi + MSR_VALUE + 4]
msr_write:
    wrmsr
msr_read_back:
    rdmsr
    shl rdx, 32
    or rax, rdx
    cmp rax, [rsi + MSR_VALUE]
    je msr_exact
    test dword [rsi + MSR_FLAGS], RESUME_MSR_OPTIONAL
    jz .differs
    mov byte [rdi], RESUME_LEDGER_APPROXIMATE
    jmp msr_step
.differs:
    lea rcx, [handoff(line) + RESUME_LEDGER_PREFIX]
    sub rdi, rcx
    mov ecx, edi
    mov rdx, [rsi + MSR_VALUE]
    jmp ledger_differs

; Continues here after #GP on an optional MSR; RBX, RSI and RDI as they were, the stack's return
; address too.
msr_refused:
    mov byte [rdi], RESUME_LEDGER_REFUSED
    jmp msr_step
