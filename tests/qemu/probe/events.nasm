; SPDX-License-Identifier: BSD-2-Clause-Patent
;
; Part of the probe: interrupts on their way.
;
; Variant shadow: an interrupt waits whenever STI is executed. It has to come after the instruction
; behind the STI and not before it, on which the handler looks at its return address.
;
; Variant events: does what bytes from the serial port say, and answers with lines:
;   p   "probe: pass N"
;   i   an interrupt handler with its interrupt in service, one of lower and one of higher priority
;       waiting, interrupts off: "probe: irq waits". On e the higher one must come when they are on
;       again, the lower one only after the end of interrupt; then "probe: irq done"
;   an NMI (from outside): "probe: nmi N begins", until e: "probe: nmi N ends". Meanwhile none may come.
; While it waits for the e it says now and then "probe: irq still" or "probe: nmi N still".

%define VECTOR_LOW  0x61
%define VECTOR      0x71
%define VECTOR_HIGH 0x81
%define SELF        0x40000         ; of the interrupt command register: to this CPU
%define POLLS       (1 << 16)       ; of the serial port, between two words that it still waits
%define SHADOW_TURNS 20000          ; in one pass

; rax: base of the local APIC
%macro send_self 1
    mov dword [rax + 0x300], SELF | %1
%endmacro

; A handler for vector rdi: rbx. Clobbers what gate does.
events:
    mov rsp, [want_rsp]
    xor eax, eax
    mov cr8, rax
    call start_timer                ; for apic_va, and the APIC on
    mov rax, [apic_va]
    mov dword [rax + 0x380], 0      ; no timer
    mov dword [rax + 0x320], 0x10000
    mov dword [rax + 0x360], 0x400  ; LINT1: NMI
    mov cx, 0x8e00
    lea rbx, [nmi_interrupt]
    mov edi, 2
    call gate
    lea rbx, [low_interrupt]
    mov edi, VECTOR_LOW
    call gate
    lea rbx, [high_interrupt]
    mov edi, VECTOR_HIGH
    call gate
    test qword [variant], V_SHADOW
    jnz .shadow
    lea rbx, [middle_interrupt]
    mov edi, VECTOR
    call gate
    jmp obey
.shadow:
    lea rbx, [shadow_interrupt]
    mov edi, VECTOR
    call gate

; ---- shadow ------------------------------------------------------------------------------------
shadow_pass:
    mov r12d, SHADOW_TURNS
shadow_turn:
    mov rax, [apic_va]
    send_self VECTOR
    sti
shadowed:
    lea r12, [r12 - 1]
after_shadow:
    cli
    mov rax, SHADOW_TURNS
    sub rax, r12
    mov rbx, [shadow_count]
    cmp rax, rbx
    je .came
    mismatch 'interrupts after sti', rax, rbx
    jmp stop
.came:
    test r12, r12
    jnz shadow_turn
    mov qword [shadow_count], 0
    call print_pass
    jmp shadow_pass

shadow_interrupt:
    push rax
    push rbx
    mov rax, [rsp + 16]
    lea rbx, [after_shadow]
    cmp rax, rbx
    je .right
    mismatch 'return address of an interrupt after sti', rbx, rax
    jmp stop
.right:
    inc qword [shadow_count]
    mov rax, [apic_va]
    mov dword [rax + 0xb0], 0
    pop rbx
    pop rax
    iretq

print_pass:
    inc qword [passes]
    print 'probe: pass '
    mov rax, [passes]
    call print_decimal
    print 13, 10
    ret

; ---- events ------------------------------------------------------------------------------------
; The next byte from the serial port in al, or 0 when there is none now. Clobbers rdx.
look_for_byte:
    mov dx, COM1 + 5
    in al, dx
    test al, 1
    mov al, 0
    jz .none
    mov dx, COM1
    in al, dx
.none:
    ret

obey:
    call look_for_byte
    cmp al, 'p'
    je .pass
    cmp al, 'i'
    jne obey
    mov rax, [apic_va]
    mov qword [irq_order], 0
    send_self VECTOR
    sti
    nop
    ; The handler comes back when its part is done.
    mov ecx, 1000000
.wait:
    dec ecx
    jnz .wait
    cli
    mov rax, [irq_order]
    cmp rax, 0x123
    je .order
    mismatch 'order of interrupts', 0x123, rax
    jmp stop
.order:
    print 'probe: irq done', 13, 10
    jmp obey
.pass:
    call print_pass
    jmp obey

%macro came 1                       ; the next digit of irq_order
    mov rax, [irq_order]
    shl rax, 4
    or rax, %1
    mov [irq_order], rax
%endmacro

%macro end_of_interrupt 0
    mov rax, [apic_va]
    mov dword [rax + 0xb0], 0
%endmacro

middle_interrupt:
    push rax
    push rbx
    push rcx
    push rdx
    push rsi
    push rdi
    came 1
    mov rax, [apic_va]
    send_self VECTOR_LOW
    send_self VECTOR_HIGH
    print 'probe: irq waits', 13, 10
.wait:
    call look_for_byte
    cmp al, 'e'
    je .on
    inc dword [polls]
    test dword [polls], POLLS - 1
    jnz .wait
    print 'probe: irq still', 13, 10
    jmp .wait
.on:
    mov rax, [irq_order]
    cmp rax, 1                      ; interrupts are off
    je .alone
    mismatch 'interrupts while they are off', 1, rax
.alone:
    sti
    nop
    mov ecx, 1000000
.higher:
    dec ecx
    jnz .higher
    cli
    mov rax, [irq_order]
    cmp rax, 0x12
    je .higher_came
    mismatch 'interrupts before the end of interrupt', 0x12, rax
.higher_came:
    end_of_interrupt
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rbx
    pop rax
    iretq

high_interrupt:
    push rax
    came 2
    end_of_interrupt
    pop rax
    iretq

low_interrupt:
    push rax
    came 3
    end_of_interrupt
    pop rax
    iretq

nmi_interrupt:
    push rax
    push rbx
    push rcx
    push rdx
    push rsi
    push rdi
    ; It may have come while something was printed, or right behind it: the lock is not given back.
    mov dword [uart_lock], 0
    mov dword [line_length], 0
    inc qword [nmi_depth]
    cmp qword [nmi_depth], 1
    je .only
    mismatch 'nmis at a time', 1, [nmi_depth]
    jmp stop
.only:
    inc qword [nmis]
    print 'probe: nmi '
    mov rax, [nmis]
    call print_decimal
    print ' begins', 13, 10
.wait:
    call look_for_byte
    cmp al, 'e'
    je .done
    inc dword [polls]
    test dword [polls], POLLS - 1
    jnz .wait
    print 'probe: nmi '
    mov rax, [nmis]
    call print_decimal
    print ' still', 13, 10
    jmp .wait
.done:
    print 'probe: nmi '
    mov rax, [nmis]
    call print_decimal
    print ' ends', 13, 10
    dec qword [nmi_depth]
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rbx
    pop rax
    iretq

align 8
shadow_count: dq 0
irq_order: dq 0
nmi_depth: dq 0
nmis: dq 0
polls: dq 0
