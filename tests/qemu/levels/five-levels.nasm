; SPDX-License-Identifier: BSD-2-Clause-Patent
;
; A UEFI application that takes the firmware to five levels of page tables and then starts
; resume.efi, which it has inside. OVMF runs on four, even where the CPU has five; this is for the
; tests in which the firmware has five.
;
; The new top table has one entry, the firmware's present top table: every address below 2^47 stays
; what it is, and those are all that the firmware uses. CR4.LA57 cannot be changed in long mode, so
; the way there leads through 32-bit code with paging off, in a page below 4 GiB.
;
; At ExitBootServices, OVMF parks its other CPUs with the CR3 and CR4 that it saved when it started
; them, on four levels. So that call goes through here: to four levels, the firmware's own function,
; and to five again, on which resume.efi goes on.
;
; On the debug console: "libresume: five levels: on", and "libresume: five levels: off", each after
; a look at CR4; or "libresume: refused: five levels: ...", which ends the resume.

bits 64
default rel
org 0

%define DEBUG_PORT  0x402
%define CR0_PG      (1 << 31)
%define CR4_PCIDE   (1 << 17)
%define CR4_LA57    (1 << 12)
%define CPUID7_LA57 (1 << 16)       ; in ECX
%define ENTRY_FLAGS 7               ; present, writable, user: what lies below decides

; UEFI specification, chapter 4 and "Memory Allocation Services", "Image Services".
%define SYSTEM_BOOT_SERVICES 96
%define TABLE_SIZE           12
%define TABLE_CRC32          16
%define BOOT_ALLOCATE_PAGES  40
%define BOOT_LOAD_IMAGE      200
%define BOOT_START_IMAGE     208
%define BOOT_EXIT            232
%define BOOT_CRC32           344
%define ALLOCATE_MAX_ADDRESS 1
%define LOADER_CODE          1
%define EFI_UNSUPPORTED      0x8000000000000003

%define SEL_CODE32  0x08
%define SEL_DATA    0x10
%define SEL_CODE64  0x18

; ---- The headers of a UEFI application; file offsets equal relative addresses ----------------
image:
    dw 0x5a4d
    times 0x3c - ($ - image) db 0
    dd pe
pe:
    db 'PE', 0, 0
    dw 0x8664, 1
    dd 0, 0, 0
    dw optional_end - optional, 0x22
optional:
    dw 0x20b, 0
    dd raw_end - text, 0, 0, entry, text
    dq 0
    dd 4096, 4096
    dw 0, 0, 0, 0, 0, 0
    dd 0, raw_end, 4096, 0
    dw 10, 0                        ; a UEFI application
    dq 0, 0, 0, 0
    dd 0, 16
    times 16 dq 0
optional_end:
    db '.text', 0, 0, 0
    dd raw_end - text, text, raw_end - text, text
    dd 0, 0
    dw 0, 0
    dd 0xe0000060
    times 4096 - ($ - image) db 0

text:
; UEFI calls it: RCX = this image's handle, RDX = the system table.
entry:
    push rbx
    push rsi
    push rdi
    sub rsp, 64                         ; aligned; 32 bytes for whom we call, 16 for two arguments
    mov [handle], rcx
    mov rdi, [rdx + SYSTEM_BOOT_SERVICES]
    xor eax, eax
    cpuid
    cmp eax, 7
    jb .no_such_cpu
    mov eax, 7
    xor ecx, ecx
    cpuid
    test ecx, CPUID7_LA57
    jz .no_such_cpu
    mov rbx, rdi
    mov rax, cr4
    test eax, CR4_LA57
    jnz .already
    test eax, CR4_PCIDE
    jnz .pcide
    mov rax, cr3
    shr rax, 32
    jnz .high

    mov ecx, ALLOCATE_MAX_ADDRESS
    mov edx, LOADER_CODE
    mov r8d, 2
    lea r9, [pages]
    call [rbx + BOOT_ALLOCATE_PAGES]
    lea rsi, [said_memory]
    test rax, rax
    jnz .refuse
    call build
    call five_levels
    test rax, rax
    jnz .return
    mov rax, [rbx + BOOT_EXIT]
    mov [original_exit], rax
    lea rax, [exit_boot_services]
    mov [rbx + BOOT_EXIT], rax
    mov dword [rbx + TABLE_CRC32], 0    ; it is taken with itself zero
    mov rcx, rbx
    mov edx, [rbx + TABLE_SIZE]
    lea r8, [crc]
    call [rbx + BOOT_CRC32]
    mov eax, [crc]
    mov [rbx + TABLE_CRC32], eax

    xor ecx, ecx                        ; not from the boot manager
    mov rdx, [handle]
    lea r8, [device_path]
    lea r9, [resume_efi]
    mov [device_path.first], r9
    lea rax, [resume_efi_end]
    mov [device_path.last], rax
    mov qword [rsp + 32], resume_efi_end - resume_efi
    lea rax, [second]
    mov [rsp + 40], rax
    call [rbx + BOOT_LOAD_IMAGE]
    lea rsi, [said_load]
    test rax, rax
    jnz .refuse
    mov rcx, [second]
    xor edx, edx
    xor r8d, r8d
    call [rbx + BOOT_START_IMAGE]       ; comes back only if it refuses, and says why
    jmp .return

.no_such_cpu:
    lea rsi, [said_cpu]
    jmp .unsupported
.already:
    lea rsi, [said_already]
    jmp .unsupported
.pcide:
    lea rsi, [said_pcide]
    jmp .unsupported
.high:
    lea rsi, [said_high]
.unsupported:
    mov rax, EFI_UNSUPPORTED
.refuse:
    mov rdi, rax
    call say
    mov rax, rdi
.return:
    add rsp, 64
    pop rdi
    pop rsi
    pop rbx
    ret

; The text RSI, on the debug console. Clobbers RAX, RDX.
say:
    mov edx, DEBUG_PORT
.next:
    lodsb
    test al, al
    jz .end
    out dx, al
    jmp .next
.end:
    ret

; In place of the firmware's ExitBootServices: RCX = the image's handle, RDX = the map's key. After
; a failure, too, the caller is on five levels, as before.
exit_boot_services:
    push rbx
    push rsi
    push rdi
    sub rsp, 32
    mov rbx, rcx
    mov rdi, rdx
    call four_levels
    test rax, rax
    jnz .return
    mov rcx, rbx
    mov rdx, rdi
    call [original_exit]
    mov rdi, rax
    call five_levels
    test rax, rax
    cmovz rax, rdi
.return:
    add rsp, 32
    pop rdi
    pop rsi
    pop rbx
    ret

; To five levels; to four. They say so, or that it did not work, and return an EFI_STATUS in RAX.
; Clobber RCX, RDX, RSI, R8, R9.
five_levels:
    mov r8, [pages]
    mov r9, cr4
    or r9d, CR4_LA57
    call switch
    lea rsi, [said_on]
    jmp said_levels
four_levels:
    mov r8, [pages]
    mov r8, [r8]
    and r8, ~0xfff
    mov r9, cr4
    and r9d, ~CR4_LA57
    call switch
    lea rsi, [said_off]
said_levels:
    mov rax, cr4                        ; said only of what is so
    cmp rax, r9
    jne .neither
    call say
    xor eax, eax
    ret
.neither:
    lea rsi, [said_neither]
    call say
    mov rax, EFI_UNSUPPORTED
    ret

; R8, R9: see low. Clobbers RAX, RCX, RDX, R8; not R9.
switch:
    push r9
    mov rax, [pages]
    add rax, 4096
    call rax
    pop r9
    ret

; Fill both pages: the top table, and the code. Clobbers RAX, RCX, RSI, RDI, R8.
build:
    mov r8, [pages]
    mov rdi, r8
    xor eax, eax
    mov ecx, 1024
    rep stosq
    mov rax, cr3
    and rax, ~0xfff
    or rax, ENTRY_FLAGS
    mov [r8], rax
    lea rdi, [r8 + 4096]
    lea rsi, [low]
    mov ecx, low_end - low
    rep movsb
    ret

; ---- Copied to a page below 4 GiB --------------------------------------------------------------
; Entry:    RAX = where this is, R8 = the new top table, both below 4 GiB; R9 = the new CR4.
; Exit:     on that table, with that CR4, everything else as it was.
; Clobbers: RAX, RCX, RDX, R8, R9.
%define here(label) (label - low)
low:
    pushfq
    cli                                 ; the firmware's IDT is of no use until the end
    push rbx
    push rbp
    push rsi
    push rdi
    push r12                            ; what the firmware has in R8 to R15 is not kept by the CPU
    push r13
    push r14
    push r15
    mov rbx, rax
    mov [rbx + here(low.rsp)], rsp
    sgdt [rbx + here(low.gdtr)]
    mov [rbx + here(low.cs)], cs
    mov [rbx + here(low.ss)], ss
    mov [rbx + here(low.ds)], ds
    mov [rbx + here(low.es)], es
    mov ebp, r8d
    mov edi, r9d
    lea rax, [rbx + here(low.gdt)]
    mov [rbx + here(low.own_gdtr) + 2], rax
    lgdt [rbx + here(low.own_gdtr)]
    push SEL_CODE32
    lea rax, [rbx + here(low.protected)]
    push rax
    retfq
bits 32
.protected:
    mov eax, SEL_DATA
    mov ss, eax
    mov ds, eax
    mov es, eax
    mov eax, cr0
    and eax, ~CR0_PG
    mov cr0, eax
    mov cr4, edi
    mov cr3, ebp
    mov eax, cr0                        ; EFER.LME is still set
    or eax, CR0_PG
    mov cr0, eax
    lea esp, [ebx + here(low.stack_top)]
    push SEL_CODE64
    lea eax, [ebx + here(low.long)]
    push eax
    retf
bits 64
.long:
    mov ebx, ebx                        ; the upper half is undefined
    mov rsp, [rbx + here(low.rsp)]
    lgdt [rbx + here(low.gdtr)]
    mov ss, [rbx + here(low.ss)]
    mov ds, [rbx + here(low.ds)]
    mov es, [rbx + here(low.es)]
    movzx eax, word [rbx + here(low.cs)]
    push rax
    lea rax, [rbx + here(low.back)]
    push rax
    retfq
.back:
    pop r15
    pop r14
    pop r13
    pop r12
    pop rdi
    pop rsi
    pop rbp
    pop rbx
    popfq
    ret

align 8
.gdt:
    dq 0
    dq 0x00cf9a000000ffff               ; flat 32-bit code
    dq 0x00cf92000000ffff               ; flat data
    dq 0x00af9a000000ffff               ; 64-bit code
.gdt_end:
.rsp:
    dq 0
.own_gdtr:
    dw .gdt_end - .gdt - 1
    dq 0
.gdtr:
    times 10 db 0
.cs:
    dw 0
.ss:
    dw 0
.ds:
    dw 0
.es:
    dw 0
align 8
    times 64 db 0
.stack_top:
low_end:
%if low_end - low > 4096
%error more than its page
%endif

; ---- Data --------------------------------------------------------------------------------------
said_on:
    db "libresume: five levels: on", 10, 0
said_off:
    db "libresume: five levels: off", 10, 0
said_cpu:
    db "libresume: refused: five levels: this CPU has four", 10, 0
said_already:
    db "libresume: refused: five levels: the firmware has them already", 10, 0
said_pcide:
    db "libresume: refused: five levels: the firmware uses PCIDs", 10, 0
said_memory:
    db "libresume: refused: five levels: no memory below 4 GiB", 10, 0
said_high:
    db "libresume: refused: five levels: the firmware's tables are above 4 GiB", 10, 0
said_neither:
    db "libresume: refused: five levels: CR4 is not what was written", 10, 0
said_load:
    db "libresume: refused: five levels: resume.efi cannot be loaded", 10, 0

align 8
handle:
    dq 0
second:
    dq 0
original_exit:
    dq 0
crc:
    dq 0
pages:
    dq 0xffffffff                       ; in: the last address; out: where they are
; Where resume.efi comes from: a range of memory.
device_path:
    db 1, 3                             ; hardware, memory mapped
    dw 24
    dd LOADER_CODE
.first:
    dq 0
.last:
    dq 0
    db 0x7f, 0xff                       ; the end
    dw 4

align 4096, db 0
resume_efi:
    incbin RESUME_EFI
resume_efi_end:
    align 4096, db 0
raw_end:
