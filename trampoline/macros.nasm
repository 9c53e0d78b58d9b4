; SPDX-License-Identifier: BSD-2-Clause-Patent
;
; What the parts of the trampoline share.

; A text with its length, for `line`.
%macro text 2+
%1: db %2
%1_length equ $ - %1
%endmacro

; Write a text of that kind, alone on the console. Clobbers RAX, RCX, RDX, RSI.
%macro line 1
    call console_take
    lea rsi, [%1]
    mov ecx, %1_length
    call console_text
    call console_give
%endmacro

; Write a text given in place. Clobbers RCX, RDX, RSI.
%macro text_here 1+
    jmp %%behind
%%begin:
    db %1
%%behind:
    lea rsi, [%%begin]
    mov ecx, %%behind - %%begin
    call console_text
%endmacro

; Call a routine that returns to RSI: where there is no stack yet.
%macro call_without_stack 1
    lea rsi, [%%behind]
    jmp %1
%%behind:
%endmacro

%macro ledger_mark 1
    mov byte [handoff(line) + RESUME_LEDGER_PREFIX + %1], RESUME_LEDGER_EXACT
%endmacro

; Is the register %2 what the field %3 of the handoff wants? %1: the place in the ledger.
; Clobbers RAX, RCX, RDX when it is not, which does not return.
%macro compared 3+
    mov rdx, [rbp + HANDOFF_ %+ %3]
    cmp %2, rdx
    je %%exact
    mov rax, %2
    mov ecx, %1
    jmp ledger_differs
%%exact:
    ledger_mark %1
%endmacro

; The same for the MSR in ECX. Clobbers RAX, RDX.
%macro compared_msr 2
    rdmsr
    shl rdx, 32
    or rax, rdx
    compared %1, rax, %2
%endmacro

; The same for a selector in EAX; %2: enum resume_seg. Clobbers RDX.
%macro compared_selector 2
    movzx edx, word [handoff(selector) + 2 * %2]
    cmp eax, edx
    je %%exact
    mov ecx, %1
    jmp ledger_differs
%%exact:
    ledger_mark %1
%endmacro
