; SPDX-License-Identifier: BSD-2-Clause-Patent
;
; Text on the debug console (one I/O port that takes a byte at a time).
; Every routine does nothing when the handoff has no debug port.

; Write the zero-terminated string at RSI.
; Clobbers: RAX, RDX, RSI. Stack: 8 bytes (the call).
console_text:
    test dword [handoff(flags)], RESUME_HANDOFF_DEBUG_PORT
    jz .end
    movzx edx, word [handoff(debug_port)]
.next:
    lodsb
    test al, al
    jz .end
    out dx, al
    jmp .next
.end:
    ret

; Write RAX as 16 hexadecimal digits.
; Clobbers: RAX, RCX, RDX, RDI. Stack: 8 bytes.
console_hex:
    test dword [handoff(flags)], RESUME_HANDOFF_DEBUG_PORT
    jz .end
    movzx edx, word [handoff(debug_port)]
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
