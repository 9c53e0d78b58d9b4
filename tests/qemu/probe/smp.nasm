; SPDX-License-Identifier: BSD-2-Clause-Patent
;
; Part of the probe: several CPUs. Each has a copy of the whole image for itself (page tables, GDT, IDT,
; TSS, stacks and all), and with it other patterns and other addresses; memory is mapped alike by all.
; What CPU N does is the N-th of cpu_roles. It says "probeN:" where the first says "probe:".

%define CPUS_MAX    8
%define AP_START    0x8000          ; where the others start, in real mode
%define AP(label)   (AP_START + label - ap_code)
%define APIC        0xfee00000

cpu_roles:                          ; the variant's own bits are added
    dw V_TIMER, V_USER | V_TIMER, V_TIMER | V_HALT, V_COMPAT | V_TIMER
    dw V_USER, 0, V_TIMER | V_HALT, V_USER | V_TIMER

; Starts the others, when the variant is one for all CPUs. They go to their own world at once.
start_others:
    test qword [variant], V_SMP
    jz .one
    mov dx, 0x510                   ; the number of CPUs, from fw_cfg
    mov ax, 5
    out dx, ax
    mov dx, 0x511
    in al, dx
    movzx ebx, al
    cmp ebx, CPUS_MAX
    jbe .count
    mov ebx, CPUS_MAX
.count:
    mov [cpu_count], rbx
    lea rsi, [ap_code]
    mov edi, AP_START
    mov ecx, ap_code_end - ap_code
    rep movsb
    mov rax, cr3
    mov [abs dword AP(ap_cr3)], eax
    mov rax, cr4
    and eax, CR4_LA57 | 0x20        ; PAE, and as many levels as these tables have
    mov [abs dword AP(ap_cr4)], eax
    mov r12d, 1
    lea r13, [copies]
.copy:
    cmp r12, [cpu_count]
    jae .copied
    lea rsi, [image]
    mov rdi, r13
    mov ecx, (copy_end - image) / 8
    rep movsq
    mov [r13 + cpu_number - image], r12
    mov rax, r13
    lea rcx, [image]
    sub rax, rcx
    mov [r13 + copy_offset - image], rax
    inc r12
    add r13, copy_end - image
    jmp .copy
.copied:
    mov r12d, 1
    lea r13, [copies]
.next:
    cmp r12, [cpu_count]
    jae .started
    lea rax, [r13 + kernel_stack - image]
    mov [abs dword AP(ap_stack)], rax
    lea rax, [r13 + ap_entry - image]
    mov [abs dword AP(ap_to)], rax
    mov dword [abs dword AP(ap_up)], 0
    mov edi, APIC
    mov eax, r12d
    shl eax, 24
    mov [rdi + 0x310], eax
    mov dword [rdi + 0x300], 0x4500 ; INIT
    mov [rdi + 0x310], eax
    mov dword [rdi + 0x300], 0x4600 | AP_START >> 12
.wait:
    pause
    cmp dword [abs dword AP(ap_up)], 0
    je .wait
    inc r12
    add r13, copy_end - image
    jmp .next
.started:
    jmp set_role
.one:
    ret

; In the CPU's own copy, with the firmware's page tables.
ap_entry:
    call set_role
    jmp world

; From the variant and the CPU's number to what this CPU does.
set_role:
    lea rdx, [cpu_roles]
    mov rax, [cpu_number]
    movzx edx, word [rdx + rax * 2]
    mov rax, [variant]
    and eax, V_LA57
    or eax, edx
    jmp set_variant

; Other patterns on each CPU but the first.
vary_patterns:
    mov rax, 0x0102010201020102
    imul rax, [cpu_number]
%macro vary 1-*
%rep %0
    add [want_%1], rax
%rotate 1
%endrep
%endmacro
    vary rax, rbx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
    lea rdi, [vector_patterns]
    mov ecx, 64
.vector:
    xor [rdi], rax
    add rdi, 8
    dec ecx
    jnz .vector
    ret

; To page tables with another number of levels, by way of 32-bit code without paging. rax: CR4, rdx:
; CR3, both below 4 GiB as all else here. Clobbers rcx, rbx.
change_levels:
    lea rcx, [levels_gdt]
    mov [levels_gdtr + 2], rcx
    lgdt [levels_gdtr]
    lea rbx, [.wide]
    lea rcx, [.narrow]
    push 0x10
    push rcx
    retfq
bits 32
.narrow:
    mov ecx, 0x18
    mov ss, ecx
    mov ds, ecx
    mov es, ecx
    mov ecx, cr0
    btr ecx, 31
    mov cr0, ecx
    mov cr4, eax
    mov cr3, edx
    bts ecx, 31
    mov cr0, ecx
    push dword 8
    push ebx
    retf
bits 64
.wide:
    mov esp, esp
    ret

; ---- Copied to AP_START -----------------------------------------------------------------------
align 8
ap_code:
bits 16
    cli
    xor ax, ax
    mov ds, ax
    o32 lgdt [AP(ap_gdtr)]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    jmp dword 0x10:AP(ap_32)
bits 32
ap_32:
    mov eax, 0x18
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov eax, [AP(ap_cr4)]
    mov cr4, eax
    mov eax, [AP(ap_cr3)]
    mov cr3, eax
    mov ecx, MSR_EFER
    rdmsr
    or eax, 0x900                   ; LME, NXE
    wrmsr
    mov eax, cr0
    and eax, ~0x60000000            ; not CD, NW
    or eax, 0x80010000              ; PG, WP
    mov cr0, eax
    jmp 0x08:AP(ap_64)
bits 64
ap_64:
    mov rsp, [abs dword AP(ap_stack)]
    mov rax, [abs dword AP(ap_to)]
    mov dword [abs dword AP(ap_up)], 1
    jmp rax
align 8
ap_stack: dq 0
ap_to: dq 0
ap_cr3: dd 0
ap_cr4: dd 0
ap_up: dd 0
ap_gdtr:
    dw 31
    dd AP(ap_gdt)
align 8
ap_gdt:
    dq 0, 0x00af9b000000ffff, 0x00cf9b000000ffff, 0x00cf93000000ffff
ap_code_end:

align 8
cpu_count: dq 1
levels_gdt:
    dq 0, 0x00af9b000000ffff, 0x00cf9b000000ffff, 0x00cf93000000ffff
levels_gdtr:
    dw 31
    dq 0
