; SPDX-License-Identifier: BSD-2-Clause-Patent
;
; The ledger: what has been restored is read back and compared. A difference stops the resume before
; any processor has entered the guest. Then all processors wait for each other.

; The extended state, against the image that it came from: the ranges that the planner has listed.
; Clobbers RAX, RBX, RCX, RDX, RSI, RDI. Stack: 8 bytes (the call).
ledger_xsave:
    mov ebx, [handoff(span_count)]
    lea rdx, [handoff(span)]
    lea rax, [rbp + RESUME_BLOCK_XSAVE]
.next:
    sub ebx, 1
    jb .exact
    mov esi, [rdx + SPAN_OFFSET]
    add rsi, rax
    mov edi, [control(xsave_length)]
    add rdi, rsi
    mov ecx, [rdx + SPAN_LENGTH]
    repe cmpsb
    lea rdx, [rdx + SPAN_SIZE]
    je .next
    sub rsi, rax                        ; wanted and got: the place of the byte behind the first wrong
    mov eax, esi
    mov edx, 0
    mov ecx, RESUME_LEDGER_XSAVE
    jmp ledger_differs
.exact:
    ledger_mark RESUME_LEDGER_XSAVE
    ret

; Everything that is read with one instruction. Clobbers RAX, RCX, RDX. Stack: 8 bytes (the call).
ledger_registers:
    mov rax, cr0
    compared RESUME_LEDGER_CR0, rax, modes_cr0
    mov rax, cr2
    compared RESUME_LEDGER_CR2, rax, cr2
    mov rax, cr4
    compared RESUME_LEDGER_CR4, rax, paging_cr4
    mov rax, cr8
    compared RESUME_LEDGER_CR8, rax, cr8
    mov rax, dr0
    compared RESUME_LEDGER_DR0, rax, dr + 0
    mov rax, dr1
    compared RESUME_LEDGER_DR1, rax, dr + 8
    mov rax, dr2
    compared RESUME_LEDGER_DR2, rax, dr + 16
    mov rax, dr3
    compared RESUME_LEDGER_DR3, rax, dr + 24
    mov rax, dr6
    compared RESUME_LEDGER_DR6, rax, dr6
    mov rax, dr7
    compared RESUME_LEDGER_DR7, rax, dr7
    mov ecx, RESUME_MSR_EFER
    compared_msr RESUME_LEDGER_EFER, efer
    mov ecx, RESUME_MSR_FS_BASE
    compared_msr RESUME_LEDGER_FS_BASE, fs_base
    mov ecx, RESUME_MSR_GS_BASE
    compared_msr RESUME_LEDGER_GS_BASE, gs_base
    mov eax, es
    compared_selector RESUME_LEDGER_ES, RESUME_ES
    mov eax, ds
    compared_selector RESUME_LEDGER_DS, RESUME_DS
    mov eax, fs
    compared_selector RESUME_LEDGER_FS, RESUME_FS
    mov eax, gs
    compared_selector RESUME_LEDGER_GS, RESUME_GS
    sldt eax
    compared_selector RESUME_LEDGER_LDTR, RESUME_LDTR
    str eax
    compared_selector RESUME_LEDGER_TR, RESUME_TR
    test dword [handoff(flags)], RESUME_HANDOFF_KERNEL_CS
    jz .done
    mov eax, cs
    compared_selector RESUME_LEDGER_CS, RESUME_CS
    mov eax, ss
    compared_selector RESUME_LEDGER_SS, RESUME_SS
.done:
    ret

; A mandatory field does not read back. ECX = its place in the ledger, RDX = wanted, RAX = got.
; Does not return: this processor stops, and the others do at the barrier.
ledger_differs:
    mov [handoff(differs_field)], ecx
    mov [handoff(differs_wanted)], rdx
    mov [handoff(differs_got)], rax
    mov byte [handoff(line) + RESUME_LEDGER_PREFIX + rcx], RESUME_LEDGER_DIFFERENT
    stage RESUME_STAGE_FAILED
    call ledger_print
    call console_take
    text_here "libresume: differs cpu=0x"
    mov eax, [handoff(index)]
    call console_hex
    text_here " field=0x"
    mov eax, [handoff(differs_field)]
    call console_hex
    cmp word [control(discreet)], 0
    jne .told
    text_here " wanted=0x"
    mov rax, [handoff(differs_wanted)]
    call console_hex
    text_here " got=0x"
    mov rax, [handoff(differs_got)]
    call console_hex
.told:
    text_here 10
    call console_give
    lock inc dword [control(failed)]
.stop:
    hlt
    jmp .stop

; The line of this processor. Clobbers RAX, RCX, RDX, RSI. Stack: 16 bytes.
ledger_print:
    call console_take
    lea rsi, [handoff(line)]
    mov ecx, [handoff(line_length)]
    call console_text
    jmp console_give

; Wait until every processor has restored; none enters the guest before.
; Clobbers RAX. Stack: 8 bytes (the call).
barrier:
    lock inc dword [control(restored)]
.wait:
    pause
    cmp dword [control(failed)], 0
    jne .stop
    mov eax, [control(restored)]
    cmp eax, [control(active_count)]
    jne .wait
    ret
.stop:
    hlt
    jmp .stop
