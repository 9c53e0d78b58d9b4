; SPDX-License-Identifier: BSD-2-Clause-Patent
;
; For comparison: the steps of the research demo "Resume from EFI" (2021), in its order, written down
; with as few instructions as they need. It is assembled and counted, not run: it would not work
; here. What it lacks of a whole resume is not added: x87/SSE/AVX, debug registers, PAT, LDT, other
; processors, reading back.
; instructions.py counts each line once, and the lines between LOOP and END as often as LOOP says.
bits 64
org 0
default rel
    mov rax, [intermediate_cr3]         ; intermediate page tables
    mov cr3, rax
    mov rax, [source_cr3]               ; the source's page tables
    mov cr3, rax
    mov rax, [source_cr4]
    mov cr4, rax
    mov rax, cr0                        ; CR0.WP off
    btr rax, 16
    mov cr0, rax
    mov ecx, 0xc0000080                 ; EFER
    mov eax, [source_efer]
    xor edx, edx
    wrmsr
    ; the wait for the host is not counted
    lgdt [source_gdtr]
    lidt [source_idtr]
    mov eax, [selectors + 0]
    mov ds, eax
    mov eax, [selectors + 2]
    mov es, eax
    mov eax, [selectors + 4]
    mov fs, eax
    mov eax, [selectors + 6]
    mov gs, eax
    mov eax, [selectors + 8]
    mov ss, eax
    lea rsi, [msrs]                     ; FS, GS and KERNEL_GS base, STAR, LSTAR, CSTAR, FMASK,
    mov ebx, 10                         ; SYSENTER_CS, _ESP, _EIP
.msr:                                   ; LOOP 10
    mov ecx, [rsi]
    mov eax, [rsi + 8]
    mov edx, [rsi + 12]
    wrmsr
    add rsi, 16
    dec ebx
    jnz .msr                            ; END
    mov rdi, [tss_descriptor]           ; LTR
    btr dword [rdi + 4], 9
    mov eax, [selectors + 10]
    ltr ax
    mov ecx, 0x10                       ; the TSC, a constant
    mov eax, [tsc]
    mov edx, [tsc + 4]
    wrmsr
    mov rdi, [apic]                     ; four registers of the local APIC, constants
    mov dword [rdi + 0x320], 0xec
    mov dword [rdi + 0x350], 0x10700
    mov dword [rdi + 0x360], 0x400
    mov dword [rdi + 0x380], 0x1000
    mov ecx, 4096
.eoi:                                   ; LOOP 4096
    mov dword [rdi + 0xb0], 0
    dec ecx
    jnz .eoi                            ; END
    mov rsp, [frame]                    ; general registers and IRETQ
    pop rax
    pop rbx
    pop rcx
    pop rdx
    pop rsi
    pop rdi
    pop rbp
    pop r8
    pop r9
    pop r10
    pop r11
    pop r12
    pop r13
    pop r14
    pop r15
    iretq

intermediate_cr3: dq 0
source_cr3: dq 0
source_cr4: dq 0
source_efer: dq 0
source_gdtr: dw 0
    dq 0
source_idtr: dw 0
    dq 0
selectors: times 6 dw 0
msrs: times 20 dq 0
tss_descriptor: dq 0
tsc: dq 0
apic: dq 0
frame: dq 0
