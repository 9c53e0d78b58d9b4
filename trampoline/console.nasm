; SPDX-License-Identifier: BSD-2-Clause-Patent
;
; Text on the debug console (one I/O port that takes a byte at a time).
; Every routine does nothing when there is no debug port.

; Write ECX bytes at RSI.
; Clobbers RCX, RDX, RSI. Stack: 8 bytes (the call).
console_text:
    cmp dword [control(debug)], 0
    je .end
    movzx edx, word [control(debug_port)]
    rep outsb
.end:
    ret

; Write RAX as 16 hexadecimal digits.
; Clobbers RAX, RCX, RDX, RDI. Stack: 8 bytes (the call).
console_hex:
    cmp dword [control(debug)], 0
    je .end
    movzx edx, word [control(debug_port)]
    mov rdi, rax
    mov ecx, 16
.digit:
    rol rdi, 4
    mov eax, edi
    and eax, 15
    cmp al, 10
    jb .decimal
    add al, 'a' - '0' - 10
.decimal:
    add al, '0'
    out dx, al
    loop .digit
.end:
    ret

; One processor at a time. Clobbers RAX. Stack: 8 bytes (the call).
console_take:
    mov eax, 1
    xchg [control(console)], eax
    test eax, eax
    jz .end
    pause
    jmp console_take
.end:
    ret

console_give:
    mov dword [control(console)], 0
    ret
