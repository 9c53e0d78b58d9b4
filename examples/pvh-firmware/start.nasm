; SPDX-License-Identifier: BSD-2-Clause-Patent
;
; Where QEMU starts this firmware, and the way into 64-bit mode.
;
; The note tells QEMU the 32-bit entry (Xen's "x86/HVM direct boot ABI", PVH): flat segments, paging
; off, interrupts off, EBX = address of the start information.

PAGE_PRESENT  equ 0x01
PAGE_WRITABLE equ 0x02
PAGE_LARGE    equ 0x80
CR0_PG  equ 0x80000000
CR4_PAE equ 0x20
MSR_EFER equ 0xc0000080
EFER_LME equ 0x100
STACK_LENGTH equ 0x8000

extern firmware_main
extern bss_begin, bss_end

section .note.pvh note alloc noexec nowrite align=4
    dd 4, 8, 18                         ; lengths of name and value; XEN_ELFNOTE_PHYS32_ENTRY
    db "Xen", 0
    dq start

section .text
bits 32
global start
start:
    cld
    xor eax, eax
    mov edi, bss_begin
    mov ecx, bss_end
    sub ecx, edi
    rep stosb

    ; The first 4 GiB at their own addresses, in pages of 2 MiB.
    mov edi, directories
    mov eax, PAGE_PRESENT | PAGE_WRITABLE | PAGE_LARGE
    mov ecx, 4 * 512
.page:
    mov [edi], eax
    add edi, 8
    add eax, 0x200000
    loop .page
    mov edi, pointers
    mov eax, directories + (PAGE_PRESENT | PAGE_WRITABLE)
    mov ecx, 4
.directory:
    mov [edi], eax
    add edi, 8
    add eax, 0x1000
    loop .directory
    mov dword [top], pointers + (PAGE_PRESENT | PAGE_WRITABLE)

    mov eax, cr4
    or eax, CR4_PAE
    mov cr4, eax
    mov eax, top
    mov cr3, eax
    mov ecx, MSR_EFER
    rdmsr
    or eax, EFER_LME
    wrmsr
    mov eax, cr0
    or eax, CR0_PG
    mov cr0, eax
    lgdt [gdtr]
    jmp 0x08:.long

bits 64
.long:
    mov eax, 0x10
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov esp, stack_top
    mov edi, ebx
    call firmware_main                  ; does not return

section .rodata align=8
gdt:
    dq 0
    dq 0x00af9b000000ffff               ; 64-bit code
    dq 0x00cf93000000ffff               ; data
gdtr:
    dw gdtr - gdt - 1
    dd gdt

section .bss align=4096 nobits
top:         resb 0x1000
pointers:    resb 0x1000
directories: resb 4 * 0x1000
stack:       resb STACK_LENGTH
stack_top:
