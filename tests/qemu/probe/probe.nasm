; SPDX-License-Identifier: BSD-2-Clause-Patent
;
; The probe: a bare-metal guest that knows what every one of its registers must hold and looks at
; them for ever. It is a UEFI application, so that OVMF starts it as its -kernel; it leaves the
; firmware and runs on its own page tables, GDT, LDT, IDT and TSS.
;
; The variant is named by the fw_cfg file opt/org.libresume.probe/variant:
;   kernel        CPL 0, interrupts off (the default)
;   kernel-timer  CPL 0, local APIC timer on an IST stack
;   halt          CPL 0, nearly always in HLT, woken by the timer; SS is null
;   user          CPL 3, interrupts off; enters the kernel by SYSCALL
;   user-timer    CPL 3, local APIC timer on the RSP0 stack
;   no-home       as user, but nothing is executable besides the probe's own instructions: there is
;                 no place from which it could be resumed
;   compat        CPL 3 in a 32-bit code segment whose segments have bases and limits
;   la57          as user-timer, with five levels of page tables
;   smp           every CPU: see smp.nasm
;   shadow        stopped most easily in the shadow of an STI: see events.nasm
;   events        NMIs and waiting interrupts, at the tests' word: see events.nasm
;
; On the first serial port: "probe: pass N" now and then, "probe: FAIL name want W got G" for each
; wrong value, and after those "probe: stopped".
;
; Addresses: everything is reached relative to RIP. The image is mapped at its physical address
; plus KERNEL (supervisor) and plus USER (user); the low half of the address space is empty but in
; the variant compat, which needs addresses below 4 GiB.

bits 64
default rel
org 0

%define KERNEL      0xffff800000000000
%define USER        0x0000008000000000
%define GIGABYTES   8               ; mapped of physical memory
%define SPIN        1500000         ; turns of the spin in one pass
%define PASSES      128             ; passes between two lines
%define TIMER_COUNT 5000000         ; of a 1 GHz clock: 5 ms
%define COM1        0x3f8

%define SEL_KCODE   0x08
%define SEL_KDATA   0x10
%define SEL_UCODE32 0x18
%define SEL_UDATA   0x20
%define SEL_UCODE   0x28
%define SEL_TSS     0x30
%define SEL_LDT     0x40
%define LDT_DS      0x0c            ; entries of the LDT, RPL 0
%define LDT_ES      0x14
%define LDT_FS      0x1c
%define LDT_GS      0x24
%define LDT_CS32    0x2c
%define LDT_SS32    0x34

; CF PF AF ZF SF DF OF NT AC ID and the bit that is always set: all that can be set harmlessly.
%define FLAGS_ALL   0x00244cd7
%define FLAGS_IF    0x200
%define FLAGS_IOPL3 0x3000

%define V_USER      1               ; bits of a variant
%define V_TIMER     2
%define V_HALT      4
%define V_COMPAT    8
%define V_NOHOME    16
%define V_LA57      32
%define V_SMP       64
%define V_SHADOW    128
%define V_EVENTS    256
%define CR4_LA57    (1 << 12)
; The image again, at an address that only five levels reach.
%define KERNEL57    0xff2c800000000000

%define MSR_EFER    0xc0000080
%define MSR_STAR    0xc0000081
%define MSR_LSTAR   0xc0000082
%define MSR_CSTAR   0xc0000083
%define MSR_FMASK   0xc0000084
%define MSR_FS      0xc0000100
%define MSR_GS      0xc0000101
%define MSR_KGS     0xc0000102
%define MSR_TSC_AUX 0xc0000103
%define MSR_SYSCS   0x174
%define MSR_SYSESP  0x175
%define MSR_SYSEIP  0x176
%define MSR_PAT     0x277
%define MSR_APIC    0x1b

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
    dd raw_end - text, 0, bss_end - raw_end, entry, text
    dq 0
    dd 4096, 4096
    dw 0, 0, 0, 0, 0, 0
    dd 0, bss_end, 4096, 0
    dw 10, 0                        ; a UEFI application
    dq 0, 0, 0, 0
    dd 0, 16
    times 16 dq 0
optional_end:
    db '.text', 0, 0, 0
    dd bss_end - text, text, raw_end - text, text
    dd 0, 0
    dw 0, 0
    dd 0xe0000060
    times 4096 - ($ - image) db 0

text:
; ---- Macros -----------------------------------------------------------------------------------
; mismatch NAME, WANT, GOT: report unless two 64-bit values in registers or memory are equal.
; Clobbers rdi, rsi, rdx, r8 and whatever report_mismatch does.
%macro mismatch 3
    mov rdx, %3
    mov rsi, %2
    cmp rdx, rsi
    je %%same
    lea rdi, [%%name]
    mov r8, -1
    call report_mismatch
    jmp %%same
%%name:
    db %1, 0
%%same:
%endmacro

; A general register against its pattern, without using any other register.
%macro check_gpr 1
    cmp %1, [want_%1]
    je %%same
    mov [got], %1
    mov rsp, [want_rsp]
    inc qword [gpr_wrong]
    mov [gpr_got_%1], %1
%%same:
%endmacro

; Says what check_gpr found, once registers are free.
%macro report_gpr 2
    cmp qword [gpr_got_%1], 0
    je %%same
    mismatch %2, [want_%1], [gpr_got_%1]
%%same:
%endmacro

%macro read_msr 1 ; into rax
    mov ecx, %1
    rdmsr
    shl rdx, 32
    or rax, rdx
%endmacro

%macro write_msr 2 ; value in a register or immediate, by way of rax
    mov rax, %2
    mov rdx, rax
    shr rdx, 32
    mov ecx, %1
    wrmsr
%endmacro

%macro check_msr 3
    read_msr %2
    mismatch %1, [%3], rax
%endmacro

%macro check_register 3
    mov rax, %2
    mismatch %1, [%3], rax
%endmacro

; print STRING: print it. Clobbers rax, rdx, rsi.
%macro print 1+
    lea rsi, [%%text]
    call print_text
    jmp %%over
%%text:
    db %1, 0
%%over:
%endmacro

; ---- From UEFI to the probe's own world -------------------------------------------------------
entry:
    push rbx
    sub rsp, 0x60
    mov [image_handle], rcx
    mov rbx, [rdx + 0x60]           ; boot services
    mov qword [tries], 8
.leave:
    lea rcx, [map_size]
    mov qword [rcx], map_end - map
    lea rdx, [map]
    lea r8, [map_key]
    lea r9, [descriptor_size]
    lea rax, [descriptor_version]
    mov [rsp + 32], rax
    call [rbx + 56]                 ; GetMemoryMap
    test rax, rax
    jnz .stuck
    mov rcx, [image_handle]
    mov rdx, [map_key]
    call [rbx + 232]                ; ExitBootServices
    test rax, rax
    jz .left
    dec qword [tries]
    jnz .leave
.stuck:
    print 'probe: FAIL leaving-firmware want 0 got 1', 13, 10
    add rsp, 0x60
    pop rbx
    mov eax, 1
    ret
.left:
    cli
    cld
    mov al, 0xff                    ; no interrupts from the old controllers
    out 0x21, al
    out 0xa1, al
    call read_variant
    call start_others

; Every CPU comes here, each in its own copy of the image (smp.nasm), with low memory mapped as the
; firmware had it.
world:
    ; Page tables: physical memory from 0, in 2 MiB pages, user bits left to the root's entry; what
    ; lies from 3 to 4 GiB is devices, never executed.
    lea rdi, [pd]
    xor eax, eax
    mov ecx, GIGABYTES * 512
.page:
    mov rdx, rax
    or rdx, 0xe7                    ; present, write, user, accessed, dirty, large
    cmp ecx, (GIGABYTES - 3) * 512
    ja .executable
    cmp ecx, (GIGABYTES - 4) * 512
    jbe .executable
    bts rdx, 63
    or rdx, 0x10
.executable:
    mov [rdi], rdx
    add rdi, 8
    add rax, 0x200000
    dec ecx
    jnz .page
    lea rdi, [pdpt]
    lea rax, [pd + 0x27]
    mov ecx, GIGABYTES
.directory:
    mov [rdi], rax
    add rdi, 8
    add rax, 4096
    dec ecx
    jnz .directory
    lea rax, [pdpt]
    lea rdi, [pml4]
    or rax, 0x23
    mov [rdi + 256 * 8], rax        ; KERNEL: supervisor
    mov [rdi], rax                  ; for the way there; supervisor, SMEP is about to be on
    or rax, 4
    mov [rdi + 1 * 8], rax          ; USER

    test qword [variant], V_NOHOME
    jz .executable_memory
    call forbid_execution
.executable_memory:
    read_msr MSR_EFER
    or rax, 0x801                   ; NXE, SCE
    write_msr MSR_EFER, rax
    mov rax, cr0
    and rax, ~0xc                   ; not EM, not TS
    or rax, 0x50022                 ; AM, WP, NE, MP
    mov cr0, rax
    lea rax, [pml4 + 0x27]
    mov [pml5], rax                 ; USER
    and rax, ~4
    mov [pml5 + 511 * 8], rax       ; KERNEL
    mov [pml5 + 300 * 8], rax       ; KERNEL57
    call choose_cr4
    lea rdx, [pml4]
    test qword [variant], V_LA57
    jz .four_levels
    or rax, CR4_LA57
    lea rdx, [pml5]
.four_levels:
    or rdx, 8                       ; PWT: any bit that can be seen again
    mov rcx, cr4
    xor rcx, rax
    test ecx, CR4_LA57
    jz .same_levels
    call change_levels
.same_levels:
    mov cr4, rax
    mov cr3, rdx

    lea rax, [image]
    mov [base], rax
    mov rdx, KERNEL
    lea rcx, [.high]
    add rcx, rdx
    jmp rcx
.high:
    lea rsp, [kernel_stack]
    xor eax, eax
    test qword [variant], V_COMPAT
    jz .no_low
    mov rax, [pml4 + 8]
.no_low:
    mov [pml4], rax
    mov rax, cr3
    mov cr3, rax

    ; GDT, LDT, TSS, IDT
    lea rax, [tss]
    mov edx, 103
    lea rdi, [gdt + SEL_TSS]
    mov cl, 0x89
    call system_descriptor
    lea rax, [ldt]
    mov edx, ldt_end - ldt - 1
    lea rdi, [gdt + SEL_LDT]
    mov cl, 0x82
    call system_descriptor
    ; The 32-bit segments begin at the image, so that offsets in it are addresses.
    lea rdi, [ldt + (LDT_CS32 & ~7)]
    call set_base
    lea rdi, [ldt + (LDT_SS32 & ~7)]
    call set_base
    lea rdi, [ldt + (LDT_DS & ~7)]
    call set_base
    lea rax, [interrupt_stack]
    mov [tss + 4], rax              ; RSP0
    lea rax, [ist_stack]
    mov [tss + 36], rax             ; IST1
    call build_idt
    lea rax, [gdt]
    mov [gdtr + 2], rax
    lea rax, [idt]
    mov [idtr + 2], rax
    lgdt [gdtr]
    lidt [idtr]
    push SEL_KCODE
    lea rax, [.code]
    push rax
    retfq
.code:
    mov ax, SEL_KDATA
    mov ss, ax
    mov ax, SEL_TSS
    ltr ax
    mov ax, SEL_LDT
    lldt ax

    ; Patterns in everything. The selectors' own bases first, then other ones by MSR.
    mov cx, [selector_rpl]
    mov ax, LDT_DS
    or ax, cx
    mov ds, ax
    mov [want_ds], ax
    mov ax, LDT_ES
    or ax, cx
    mov es, ax
    mov [want_es], ax
    mov ax, LDT_FS
    or ax, cx
    mov fs, ax
    mov [want_fs], ax
    mov ax, LDT_GS
    or ax, cx
    mov gs, ax
    mov [want_gs], ax
    mov word [want_ss], SEL_KDATA
    mov word [want_cs], SEL_KCODE
    mov qword [want_flags], FLAGS_ALL | 0x1000
    lea rax, [loop_stack]
    test qword [variant], V_USER | V_COMPAT
    jz .rsp
    mov word [want_ss], SEL_UDATA | 3
    mov word [want_cs], SEL_UCODE | 3
    mov qword [want_flags], FLAGS_ALL | FLAGS_IOPL3
    mov rdx, USER - KERNEL
    add rax, rdx
.rsp:
    mov [want_rsp], rax
    test qword [variant], V_TIMER
    jz .no_timer_flag
    or qword [want_flags], FLAGS_IF
.no_timer_flag:
    test qword [variant], V_HALT
    jz .not_null
    xor eax, eax
    mov ss, ax
    mov [want_ss], ax
    mov qword [spin_count], 20
.not_null:

    call vary_patterns
    lea rax, [fs_signature]
    test qword [variant], V_USER
    jz .fs_kernel
    mov rdx, USER - KERNEL
    add rax, rdx
.fs_kernel:
    mov rbx, rax
    write_msr MSR_FS, rbx
    add rbx, 16
    write_msr MSR_GS, rbx
    mov rbx, [cpu_number]
    shl rbx, 12
    mov rax, 0xffffa5a51234c000
    test qword [variant], V_LA57
    jz .canonical
    mov rax, 0xff00a5a51234c000     ; canonical with five levels only
.canonical:
    add rbx, rax
    write_msr MSR_KGS, rbx
    lea rbx, [system_call]
    write_msr MSR_LSTAR, rbx
    write_msr MSR_CSTAR, 0xffff9234567890a0
    write_msr MSR_STAR, ((SEL_UCODE32 | 3) << 48) | (SEL_KCODE << 32) | 0x89abcdef
    write_msr MSR_FMASK, 0x47f00
    write_msr MSR_SYSCS, 0x1234
    write_msr MSR_SYSESP, 0xffff8765432100f0
    write_msr MSR_SYSEIP, 0x00007654321fedc8
    write_msr MSR_PAT, 0x0001040600070406
    mov eax, 0x80000001
    cpuid
    bt edx, 27
    jnc .no_tsc_aux
    mov qword [has_tsc_aux], 1
    mov ebx, 0x5aa55aa5
    add rbx, [cpu_number]
    write_msr MSR_TSC_AUX, rbx
.no_tsc_aux:
    mov rax, 0x00005a5a12345678
    add rax, [cpu_number]
    mov cr2, rax
    mov eax, 5
    mov cr8, rax
    mov rax, 0x1122334455667788 & 0x7fffffffffff
    add rax, [cpu_number]
    mov dr0, rax
    mov rax, 0xffff812345678990
    mov dr1, rax
    mov eax, 0x2000
    mov dr2, rax
    mov rax, 0xffffc00000001000
    mov dr3, rax
    mov eax, 0x00000000ffff0ff0     ; no bit of DR6 set
    mov dr6, rax
    ; Of several kinds and lengths, exact, and the first one enabled: on the execution of an
    ; address that is never reached.
    mov eax, 0xd1900602
    mov dr7, rax

    call load_fpu
    call remember
    test qword [variant], V_TIMER
    jz .no_timer
    call start_timer
.no_timer:
    print 'probe: variant '
    lea rsi, [variant_name]
    call print_text
    print ' image '
    mov rax, [base]
    call print_hex
    print ' cr4 '
    mov rax, cr4
    call print_hex
    print 13, 10, 'probe: ready', 13, 10
    rdtsc
    shl rdx, 32
    or rax, rdx
    mov [last_tsc], rax

    test qword [variant], V_SHADOW | V_EVENTS
    jnz events
    test qword [variant], V_COMPAT
    jnz enter_compat
    test qword [variant], V_USER
    jz pass
    ; To CPL 3, in the user alias.
    mov rdx, USER - KERNEL
    movzx eax, word [want_ss]
    push rax
    push qword [want_rsp]
    push qword [want_flags]
    movzx eax, word [want_cs]
    push rax
    lea rax, [pass]
    add rax, rdx
    push rax
    iretq

; ---- One pass: everything live through the spin, then a look at all of it ---------------------
pass:
    mov rsp, [want_rsp]
    mov rax, [want_rax]
    mov rbx, [want_rbx]
    mov rdx, [want_rdx]
    mov rsi, [want_rsi]
    mov rdi, [want_rdi]
    mov rbp, [want_rbp]
    mov r8, [want_r8]
    mov r9, [want_r9]
    mov r10, [want_r10]
    mov r11, [want_r11]
    mov r12, [want_r12]
    mov r13, [want_r13]
    mov r14, [want_r14]
    mov r15, [want_r15]
    mov rcx, [spin_count]
    test qword [variant], V_HALT
    jnz .halting
    push qword [want_flags]
    popfq
.spin:                              ; changes no flag
    lea rcx, [rcx - 1]
    jrcxz .spun
    jmp .spin
.halting:
    push qword [want_flags]
    popfq
.halt:
    hlt
    lea rcx, [rcx - 1]
    jrcxz .spun
    jmp .halt
.spun:
    pushfq
    pop qword [got_flags]
    check_gpr rax
    check_gpr rbx
    check_gpr rcx
    check_gpr rdx
    check_gpr rsi
    check_gpr rdi
    check_gpr rbp
    check_gpr rsp
    check_gpr r8
    check_gpr r9
    check_gpr r10
    check_gpr r11
    check_gpr r12
    check_gpr r13
    check_gpr r14
    check_gpr r15
    cld
    cmp qword [gpr_wrong], 0
    je .gprs_right
    call report_gprs
.gprs_right:
    mov rax, [got_flags]
    mismatch 'rflags', [want_flags], rax
%macro check_selector 2
    xor eax, eax
    mov ax, %1
    movzx ebx, word [want_%1]
    mismatch %2, rbx, rax
%endmacro
    check_selector cs, 'cs'
    check_selector ss, 'ss'
    check_selector ds, 'ds'
    check_selector es, 'es'
    check_selector fs, 'fs'
    check_selector gs, 'gs'
    mov rax, [fs:0]
    mismatch 'memory at fs:0', [fs_signature], rax
    mov rax, [gs:0]
    mismatch 'memory at gs:0', [fs_signature + 16], rax
    mov rax, cs
    test al, 3
    jnz .user
    call check_system
    jmp pass
.user:
    syscall                         ; returns with all that it needs
    jmp pass

; SYSCALL comes here, at the kernel alias.
system_call:
    mov [user_rip], rcx
    mov [user_flags], r11
    mov rsp, [kernel_rsp]
    call check_system
    mov rcx, [user_rip]
    mov r11, [user_flags]
    mov rsp, [want_rsp]
    o64 sysret

; Which general registers were wrong.
report_gprs:
    report_gpr rax, 'rax'
    report_gpr rbx, 'rbx'
    report_gpr rcx, 'rcx'
    report_gpr rdx, 'rdx'
    report_gpr rsi, 'rsi'
    report_gpr rdi, 'rdi'
    report_gpr rbp, 'rbp'
    report_gpr rsp, 'rsp'
    report_gpr r8, 'r8'
    report_gpr r9, 'r9'
    report_gpr r10, 'r10'
    report_gpr r11, 'r11'
    report_gpr r12, 'r12'
    report_gpr r13, 'r13'
    report_gpr r14, 'r14'
    report_gpr r15, 'r15'
    cmp qword [failures], 0
    jne .said
    ; A register that was wrongly zero leaves no trace in gpr_got.
    mismatch 'a general register that was zero', 0, [gpr_wrong]
.said:
    ret

; ---- What only CPL 0 can see ------------------------------------------------------------------
check_system:
    check_register 'cr0', cr0, want_cr0
    check_register 'cr2', cr2, want_cr2
    check_register 'cr3', cr3, want_cr3
    check_register 'cr4', cr4, want_cr4
    check_register 'cr8', cr8, want_cr8
    check_register 'dr0', dr0, want_dr0
    check_register 'dr1', dr1, want_dr1
    check_register 'dr2', dr2, want_dr2
    check_register 'dr3', dr3, want_dr3
    check_register 'dr6', dr6, want_dr6
    check_register 'dr7', dr7, want_dr7
    check_msr 'efer', MSR_EFER, want_efer
    check_msr 'star', MSR_STAR, want_star
    check_msr 'lstar', MSR_LSTAR, want_lstar
    check_msr 'cstar', MSR_CSTAR, want_cstar
    check_msr 'fmask', MSR_FMASK, want_fmask
    check_msr 'fs-base', MSR_FS, want_fsbase
    check_msr 'gs-base', MSR_GS, want_gsbase
    check_msr 'kernel-gs-base', MSR_KGS, want_kgs
    check_msr 'sysenter-cs', MSR_SYSCS, want_syscs
    check_msr 'sysenter-esp', MSR_SYSESP, want_sysesp
    check_msr 'sysenter-eip', MSR_SYSEIP, want_syseip
    check_msr 'pat', MSR_PAT, want_pat
    check_msr 'apic-base', MSR_APIC, want_apic
    cmp qword [has_tsc_aux], 0
    je .no_tsc_aux
    check_msr 'tsc-aux', MSR_TSC_AUX, want_tsc_aux
.no_tsc_aux:
    ; Descriptor tables and the two selectors that have no move.
    sgdt [got]
    mismatch 'gdt limit and base', [gdtr], [got]
    movzx eax, word [gdtr + 8]
    movzx ebx, word [got + 8]
    mismatch 'gdt base', rax, rbx
    sidt [got]
    mismatch 'idt limit and base', [idtr], [got]
    movzx eax, word [idtr + 8]
    movzx ebx, word [got + 8]
    mismatch 'idt base', rax, rbx
    xor eax, eax
    str ax
    mismatch 'tr', SEL_TSS, rax
    xor eax, eax
    sldt ax
    mismatch 'ldtr', SEL_LDT, rax
    cmp qword [has_xsave], 0
    je .no_xsave
    xor ecx, ecx
    xgetbv
    shl rdx, 32
    or rax, rdx
    mismatch 'xcr0', [want_xcr0], rax
.no_xsave:
    test qword [variant], V_LA57
    jz .no_la57
    mov rax, KERNEL57
    add rax, [base]
    movzx eax, word [rax]
    mismatch 'memory at a 57-bit address', 0x5a4d, rax
.no_la57:
    ; x87, MXCSR and XMM: all that FXSAVE defines.
    lea rdi, [fx_now]
    fxsave64 [rdi]
    lea rsi, [fx_want]
    mov ecx, 416 / 8
    lea rbx, [name_fxsave]
    call compare_area
    cmp qword [has_avx], 0
    je .no_avx
    call store_ymm
    lea rdi, [ymm_now]
    lea rsi, [ymm_want]
    mov ecx, 512 / 8
    lea rbx, [name_ymm]
    call compare_area
.no_avx:
    rdtsc
    shl rdx, 32
    or rax, rdx
    mov rbx, [last_tsc]
    mov [last_tsc], rax
    cmp rax, rbx
    jae .tsc_right
    mismatch 'tsc-went-back', rbx, [last_tsc]
.tsc_right:
    ; Things that work only with the hidden parts in place: an LDT entry, a timer.
    mov ax, [want_es]
    mov es, ax
    inc qword [passes]
    cmp qword [failures], 0
    jne stop
    mov rax, [passes]
    xor edx, edx
    mov ecx, PASSES
    test qword [variant], V_HALT
    jz .many
    mov ecx, 2
.many:
    div rcx
    test rdx, rdx
    jnz .done
    push rax
    test qword [variant], V_TIMER
    jz .ticking
    mov rax, [ticks]
    cmp rax, [last_ticks]
    mov [last_ticks], rax
    ja .ticking
    mismatch 'timer-ticks', 1, 0
    jmp stop
.ticking:
    print 'probe: pass '
    pop rax
    call print_decimal
    print 13, 10
.done:
    ret

stop:
    print 'probe: stopped', 13, 10
.for_ever:
    pause
    jmp .for_ever

; rdi: what is, rsi: what should be, ecx: 64-bit words, rbx: name.
compare_area:
    xor r9d, r9d
.word:
    mov rax, [rsi + r9 * 8]
    cmp rax, [rdi + r9 * 8]
    je .same
    push rdi
    push rsi
    push rcx
    push r9
    mov rdx, [rdi + r9 * 8]
    mov rsi, rax
    mov rdi, rbx
    mov r8, r9
    shl r8, 3
    call report_mismatch
    pop r9
    pop rcx
    pop rsi
    pop rdi
.same:
    inc r9d
    cmp r9d, ecx
    jne .word
    ret
name_fxsave: db 'fxsave', 0
name_ymm: db 'ymm', 0

store_ymm:
    lea rax, [ymm_now]
%assign i 0
%rep 16
    vmovdqu [rax + i * 32], ymm %+ i
%assign i i + 1
%endrep
    ret

; ---- The 32-bit variant -----------------------------------------------------------------------
enter_compat:
    mov ax, [want_ds]
    mov ds, ax
    mov dword [compat_esp], loop_stack
    push LDT_SS32 | 3
    push loop_stack                 ; an offset: the stack segment begins at the image
    push qword [want_flags]
    push LDT_CS32 | 3
    push compat_pass
    iretq

bits 32
compat_pass:                        ; DS, SS and CS have the image as their base
    mov esp, [compat_esp]
    mov eax, [want_rax]
    mov ebx, [want_rbx]
    mov edx, [want_rdx]
    mov esi, [want_rsi]
    mov edi, [want_rdi]
    mov ebp, [want_rbp]
    mov ecx, [spin_count]
    push dword [want_flags]
    popfd
.spin:
    lea ecx, [ecx - 1]
    jecxz .spun
    jmp .spin
.spun:
    pushfd
    pop dword [got_flags]
    mov [got32_eax], eax
    mov [got32_ebx], ebx
    mov [got32_ecx], ecx
    mov [got32_edx], edx
    mov [got32_esi], esi
    mov [got32_edi], edi
    mov [got32_ebp], ebp
    mov [got32_esp], esp
    mov [got32_ds], ds
    mov [got32_es], es
    mov [got32_fs], fs
    mov [got32_gs], gs
    mov [got32_ss], ss
    mov [got32_cs], cs
    cld
    ; The limit of DS, from its descriptor and from the processor's hidden copy of it: the last
    ; bytes inside can be read.
    mov eax, [copy_end - 4]
    mov eax, ss:[copy_end - 4]
    int 0x92
    jmp compat_pass
bits 64

; INT 0x92: the checks for the 32-bit variant.
compat_gate:
    mov qword [kernel_frame], rsp
    cld
%macro check_compat 3
    mov eax, %2
    mov ebx, [%3]
    mismatch %1, rax, rbx
%endmacro
    check_compat 'eax', [want_rax], got32_eax
    check_compat 'ebx', [want_rbx], got32_ebx
    check_compat 'ecx', 0, got32_ecx
    check_compat 'edx', [want_rdx], got32_edx
    check_compat 'esi', [want_rsi], got32_esi
    check_compat 'edi', [want_rdi], got32_edi
    check_compat 'ebp', [want_rbp], got32_ebp
    check_compat 'esp', [compat_esp], got32_esp
    check_compat 'eflags', [want_flags], got_flags
%macro check_compat_selector 3
    movzx eax, word [%2]
    movzx ebx, word [%3]
    mismatch %1, rax, rbx
%endmacro
    check_compat_selector 'ds', want_ds, got32_ds
    check_compat_selector 'es', want_es, got32_es
    check_compat_selector 'fs', want_fs, got32_fs
    check_compat_selector 'gs', want_gs, got32_gs
    mov word [want_ss], LDT_SS32 | 3
    mov word [want_cs], LDT_CS32 | 3
    check_compat_selector 'ss', want_ss, got32_ss
    check_compat_selector 'cs', want_cs, got32_cs
    call check_system
    mov rsp, [kernel_frame]
    iretq

; ---- Interrupts and exceptions ----------------------------------------------------------------
timer_interrupt:
    push rax
    push rdx
    inc qword [ticks]
    mov rax, [apic_va]
    mov dword [rax + 0xb0], 0
    pop rdx
    pop rax
    iretq

spurious_interrupt:
    iretq

%assign vector 0
%rep 32
exception_ %+ vector:
%if vector != 8 && !(vector >= 10 && vector <= 14) && vector != 17 && vector != 21
    push 0
%endif
    push vector
    jmp exception
%assign vector vector + 1
%endrep

exception:
    cld
    print 'probe: FAIL exception want none got '
    mov rax, [rsp]
    call print_decimal
    print ' error '
    mov rax, [rsp + 8]
    call print_hex
    print ' rip '
    mov rax, [rsp + 16]
    call print_hex
    print ' cr2 '
    mov rax, cr2
    call print_hex
    print 13, 10
    jmp stop

build_idt:
    ; rbx: handler, edi: vector, cl: IST, ch: type
    xor edi, edi
    lea rsi, [exception_table]
.exceptions:
    lea rbx, [image]
    mov eax, [rsi]
    add rbx, rax
    add rsi, 4
    mov cx, 0x8e00
    call gate
    inc edi
    cmp edi, 32
    jne .exceptions
    lea rbx, [spurious_interrupt]
.rest:
    call gate
    inc edi
    cmp edi, 256
    jne .rest
    lea rbx, [timer_interrupt]
    mov edi, 0x91
    test qword [variant], V_USER
    jnz .no_ist
    mov cl, 1
.no_ist:
    call gate
    lea rbx, [compat_gate]
    mov edi, 0x92
    mov cx, 0xee00
    call gate
    ret

gate:
    mov eax, edi
    shl eax, 4
    lea rdx, [idt]
    add rdx, rax
    mov rax, rbx
    mov [rdx], ax
    mov word [rdx + 2], SEL_KCODE
    mov [rdx + 4], cx
    shr rax, 16
    mov [rdx + 6], ax
    shr rax, 16
    mov [rdx + 8], eax
    mov dword [rdx + 12], 0
    ret

; rax: base, edx: limit (below 64 KiB), rdi: descriptor, cl: type
system_descriptor:
    mov [rdi], dx
    mov [rdi + 2], ax
    shr rax, 16
    mov [rdi + 4], al
    mov [rdi + 5], cl
    mov byte [rdi + 6], 0
    shr rax, 8
    mov [rdi + 7], al
    shr rax, 8
    mov [rdi + 8], eax
    mov dword [rdi + 12], 0
    ret

; rdi: descriptor, to begin at the image
set_base:
    mov rax, [base]
    mov [rdi + 2], ax
    shr rax, 16
    mov [rdi + 4], al
    mov [rdi + 7], ah
    ret

; Makes all memory but the instructions' pages non-executable: the large pages as a whole, those of
; the image by tables of 4 KiB pages.
forbid_execution:
    lea rdi, [pd]
    mov ecx, GIGABYTES * 512
.large:
    bts qword [rdi], 63
    add rdi, 8
    dec ecx
    jnz .large
    lea rax, [image]
    and rax, ~0x1fffff              ; first byte of the first of two large pages
    lea r8, [text]
    lea r9, [padding]
    lea rdi, [pt]
    mov ecx, 1024
    mov rdx, rax
.small:
    mov rsi, rdx
    or rsi, 0x67
    cmp rdx, r8
    jb .not_code
    cmp rdx, r9
    jb .code
.not_code:
    bts rsi, 63
.code:
    mov [rdi], rsi
    add rdi, 8
    add rdx, 4096
    dec ecx
    jnz .small
    shr rax, 21
    lea rdi, [pd]
    lea rdx, [pt + 0x27]
    mov [rdi + rax * 8], rdx
    add rdx, 4096
    mov [rdi + rax * 8 + 8], rdx
    ret

; ---- Setting up -------------------------------------------------------------------------------
; The CR4 to use, in rax: what this processor has of the harmless bits. Sets has_xsave and has_avx.
choose_cr4:
    push rbx
    mov r8d, 0x6a8                  ; DE, PAE, PGE, OSFXSR, OSXMMEXCPT
    mov eax, 1
    cpuid
    bt ecx, 26
    jnc .no_xsave
    or r8d, 1 << 18                 ; OSXSAVE
    mov qword [has_xsave], 1
    bt ecx, 28
    jnc .no_xsave
    mov qword [has_avx], 1
.no_xsave:
    xor eax, eax
    cpuid
    cmp eax, 7
    jb .done
    mov eax, 7
    xor ecx, ecx
    cpuid
    bt ebx, 0
    jnc .no_fsgsbase
    or r8d, 1 << 16
.no_fsgsbase:
    bt ebx, 7
    jnc .no_smep
    or r8d, 1 << 20
.no_smep:
    bt ebx, 20
    jnc .no_smap
    or r8d, 1 << 21
.no_smap:
    bt ecx, 2
    jnc .done
    or r8d, 1 << 11                 ; UMIP
.done:
    mov eax, r8d
    pop rbx
    ret

load_fpu:
    cmp qword [has_xsave], 0
    je .no_xsave
    mov eax, 3
    cmp qword [has_avx], 0
    je .no_avx_bit
    or eax, 4
.no_avx_bit:
    mov [want_xcr0], rax
    xor edx, edx
    xor ecx, ecx
    xsetbv
.no_xsave:
    fninit
    fldcw [fcw]
    fld qword [x87_values]
    fld qword [x87_values + 8]
    fld qword [x87_values + 16]     ; TOP is 5, five registers are empty
    fcom st1                        ; condition codes
    ldmxcsr [mxcsr]
    lea rax, [vector_patterns]
    cmp qword [has_avx], 0
    jne .avx
%assign i 0
%rep 16
    movdqu xmm %+ i, [rax + i * 32]
%assign i i + 1
%endrep
    ret
.avx:
%assign i 0
%rep 16
    vmovdqu ymm %+ i, [rax + i * 32]
%assign i i + 1
%endrep
    ret

; Keeps what was just set, as the processor shows it now.
remember:
    fxsave64 [fx_want]
    cmp qword [has_avx], 0
    je .no_avx
    call store_ymm
    lea rsi, [ymm_now]
    lea rdi, [ymm_want]
    mov ecx, 512
    push rdi
    rep movsb
    pop rdi
    lea rsi, [vector_patterns]
    mov ecx, 512 / 8
    lea rbx, [name_ymm]
    call compare_area
.no_avx:
%macro remember_register 2
    mov rax, %1
    mov [%2], rax
%endmacro
    remember_register cr0, want_cr0
    remember_register cr2, want_cr2
    remember_register cr3, want_cr3
    remember_register cr4, want_cr4
    remember_register cr8, want_cr8
    remember_register dr0, want_dr0
    remember_register dr1, want_dr1
    remember_register dr2, want_dr2
    remember_register dr3, want_dr3
    remember_register dr6, want_dr6
    remember_register dr7, want_dr7
%macro remember_msr 2
    read_msr %1
    mov [%2], rax
%endmacro
    remember_msr MSR_EFER, want_efer
    remember_msr MSR_STAR, want_star
    remember_msr MSR_LSTAR, want_lstar
    remember_msr MSR_CSTAR, want_cstar
    remember_msr MSR_FMASK, want_fmask
    remember_msr MSR_FS, want_fsbase
    remember_msr MSR_GS, want_gsbase
    remember_msr MSR_KGS, want_kgs
    remember_msr MSR_SYSCS, want_syscs
    remember_msr MSR_SYSESP, want_sysesp
    remember_msr MSR_SYSEIP, want_syseip
    remember_msr MSR_PAT, want_pat
    remember_msr MSR_APIC, want_apic
    cmp qword [has_tsc_aux], 0
    je .no_tsc_aux
    remember_msr MSR_TSC_AUX, want_tsc_aux
.no_tsc_aux:
    lea rax, [kernel_stack]
    mov [kernel_rsp], rax
    ret

start_timer:
    read_msr MSR_APIC
    and eax, 0xfffff000
    mov rdx, KERNEL
    add rax, rdx
    mov [apic_va], rax
    mov dword [rax + 0xf0], 0x1ff   ; on, spurious vector 0xff
    mov dword [rax + 0x350], 0x10000
    mov dword [rax + 0x360], 0x10000
    mov dword [rax + 0x3e0], 0xb    ; divide by 1
    mov dword [rax + 0x320], 0x20091
    mov dword [rax + 0x380], TIMER_COUNT
    ret

; ---- The variant, from fw_cfg -----------------------------------------------------------------
read_variant:
    mov dx, 0x510
    mov ax, 0x19                    ; the directory
    out dx, ax
    mov dx, 0x511
    call read_be32
    mov ebx, eax
    cmp ebx, 256
    ja .done
.file:
    test ebx, ebx
    jz .done
    dec ebx
    call read_be32
    mov r8d, eax                    ; size
    call read_be32
    shr eax, 16
    mov r9d, eax                    ; key
    lea rdi, [fw_name]
    mov ecx, 56
    rep insb
    lea rsi, [fw_name]
    lea rdi, [wanted_file]
    mov ecx, wanted_file_end - wanted_file
    repe cmpsb
    jne .file
    cmp r8d, 31
    ja .done
    mov dx, 0x510
    mov eax, r9d
    out dx, ax
    mov dx, 0x511
    lea rdi, [variant_name]
    mov ecx, r8d
    rep insb
    mov byte [rdi], 0
.done:
    ; Look the name up.
    lea rbx, [variant_table]
.entry:
    mov rsi, rbx
    lea rdi, [variant_name]
.letter:
    mov al, [rsi]
    cmp al, [rdi]
    jne .next
    test al, al
    jz .found
    inc rsi
    inc rdi
    jmp .letter
.next:
    add rbx, 16
    cmp byte [rbx], 0
    jne .entry
    print 'probe: FAIL variant want known got unknown', 13, 10
    jmp stop
.found:
    movzx eax, word [rbx + 14]
; The variant is eax.
set_variant:
    mov [variant], rax
    test al, V_USER | V_COMPAT
    jz .kernel
    mov word [selector_rpl], 3
.kernel:
    ret

read_be32:
    xor eax, eax
    mov ecx, 4
.byte:
    shl eax, 8
    in al, dx
    dec ecx
    jnz .byte
    ret

wanted_file: db 'opt/org.libresume.probe/variant', 0
wanted_file_end:

%macro variant_entry 2
%%start:
    db %1
    times 14 - ($ - %%start) db 0
    dw %2
%endmacro
variant_table:
    variant_entry 'kernel', 0
    variant_entry 'kernel-timer', V_TIMER
    variant_entry 'halt', V_TIMER | V_HALT
    variant_entry 'user', V_USER
    variant_entry 'user-timer', V_USER | V_TIMER
    variant_entry 'no-home', V_USER | V_NOHOME
    variant_entry 'compat', V_COMPAT | V_TIMER
    variant_entry 'la57', V_USER | V_TIMER | V_LA57
    variant_entry 'smp', V_SMP
    variant_entry 'smp-la57', V_SMP | V_LA57
    variant_entry 'shadow', V_SHADOW
    variant_entry 'events', V_EVENTS
    db 0

; ---- Printing ---------------------------------------------------------------------------------
; rdi: name, rsi: want, rdx: got, r8: offset to show, -1 = none.
report_mismatch:
    push rax
    push rbx
    push rcx
    push r9
    push rdx
    push rsi
    inc qword [failures]
    mov rbx, rdi
    print 'probe: FAIL '
    mov rsi, rbx
    call print_text
    cmp r8, -1
    je .no_offset
    print '+'
    mov rax, r8
    call print_hex
.no_offset:
    print ' want '
    pop rax
    call print_hex
    print ' got '
    pop rax
    call print_hex
    print 13, 10
    pop r9
    pop rcx
    pop rbx
    pop rax
    ret

; rsi: text. Clobbers rax, rdx, rsi. Lines go out as a whole: there may be other CPUs.
print_text:
    push rdi
    push rcx
    lea rdi, [line]
    mov ecx, [line_length]
.letter:
    mov al, [rsi]
    test al, al
    jz .done
    inc rsi
    mov [rdi + rcx], al
    inc ecx
    cmp al, 10
    je .flush
    cmp ecx, 255
    jb .letter
.flush:
    call print_line
    xor ecx, ecx
    jmp .letter
.done:
    mov [line_length], ecx
    pop rcx
    pop rdi
    ret

; rdi: text, ecx: its length. CPU N says probeN where the first says probe. Clobbers rax, rdx.
print_line:
    push rsi
    push rbx
    lea rbx, [uart_lock]            ; that of the first CPU's copy
    sub rbx, [copy_offset]
.take:
    mov eax, 1
    xchg [rbx], eax
    test eax, eax
    jz .taken
    pause
    jmp .take
.taken:
    xor esi, esi
.letter:
    cmp esi, 5
    jne .no_number
    mov rax, [cpu_number]
    test eax, eax
    jz .no_number
    add al, '0'
    call put_letter
.no_number:
    mov al, [rdi + rsi]
    call put_letter
    inc esi
    cmp esi, ecx
    jb .letter
    mov dword [rbx], 0
    pop rbx
    pop rsi
    ret

put_letter:
    mov ah, al
    mov dx, COM1 + 5
.busy:
    in al, dx
    test al, 0x20
    jz .busy
    mov al, ah
    mov dx, COM1
    out dx, al
    ret

; rax. Clobbers rax, rcx, rdx, rsi, rdi.
print_hex:
    lea rsi, [digits_end]
.digit:
    mov edx, eax
    and edx, 15
    lea rcx, [hexadecimal]
    mov cl, [rcx + rdx]
    dec rsi
    mov [rsi], cl
    shr rax, 4
    jnz .digit
    sub rsi, 2
    mov byte [rsi], '0'
    mov byte [rsi + 1], 'x'
    jmp print_text

print_decimal:
    lea rsi, [digits_end]
    mov ecx, 10
.digit:
    xor edx, edx
    div rcx
    add dl, '0'
    dec rsi
    mov [rsi], dl
    test rax, rax
    jnz .digit
    jmp print_text

%include "smp.nasm"
%include "events.nasm"

; ---- Data -------------------------------------------------------------------------------------
align 16
hexadecimal: db '0123456789abcdef'
digits: times 32 db 0
digits_end: dq 0

align 8
gdt:
    dq 0
    dq 0x00af9b000000ffff           ; kernel code
    dq 0x00cf93000000ffff           ; kernel data
    dq 0x00cffb000000ffff           ; user code, 32-bit
    dq 0x00cff3000000ffff           ; user data
    dq 0x00affb000000ffff           ; user code
    dq 0, 0                         ; TSS
    dq 0, 0                         ; LDT
gdt_end:
ldt:
    dq 0
    dq 0x004ff3000000ffff           ; DS: base at the image, 1 MiB in bytes, accessed
    dq 0x12c0f3345678abcd           ; ES: another base, in pages
    dq 0x9a0ff1bcdef01234           ; FS: read only
    dq 0x00cff7000000ffff           ; GS: expands down
    dq 0x004ffb000000ffff           ; CS of the 32-bit variant
    dq 0x004ff3000000ffff           ; SS of the 32-bit variant
ldt_end:
gdtr:
    dw gdt_end - gdt - 1
    dq 0
    times 6 db 0
idtr:
    dw 256 * 16 - 1
    dq 0
    times 6 db 0
exception_table:
%assign vector 0
%rep 32
    dd exception_ %+ vector
%assign vector vector + 1
%endrep

align 16
tss: times 104 db 0
align 8
fcw: dw 0x0b7f                      ; round up, extended precision, all masked
    dw 0
mxcsr: dd 0x0000bfa5                ; flush to zero, round down, IE, ZE and PE seen, all masked
x87_values:
    dq 3.14159265358979, -1.0e300, 0.333333333333333
variant_name: db 'kernel', 0
    times 32 db 0
align 8
cpu_number: dq 0                           ; number of the CPU that runs this copy of the image
copy_offset: dq 0                   ; from the first copy to this one
uart_lock: dq 0
fs_signature: dq 0x66735f7369676e21, 0, 0x67735f7369676e21, 0
spin_count: dq SPIN
want_rax: dq 0x0123456789abcdef
want_rbx: dq 0x1032547698badcfe
want_rcx: dq 0
want_rdx: dq 0xfedcba9876543210
want_rsi: dq 0x8f1e2d3c4b5a6978
want_rdi: dq 0xa5a5a5a55a5a5a5a
want_rbp: dq 0xdeadbeefcafef00d
want_r8: dq 0x0808080808080808
want_r9: dq 0xf9f9090906060606
want_r10: dq 0x10a10b10c10d10e1
want_r11: dq 0x1111111122222222
want_r12: dq 0xc12c12c12c12c12c
want_r13: dq 0x13d13d13d13d13d1
want_r14: dq 0xe14e14e14e14e14e
want_r15: dq 0xf15f15f15f15f15f
align 32
vector_patterns:
%assign i 0
%rep 64
    dq (0x9e3779b97f4a7c15 * (i + 1)) ^ (i << 56)
%assign i i + 1
%endrep

; ---- Padding, as the text of a kernel has it: a home for whoever resumes this guest -----------
    align 4096, db 0xcc
padding:
    times 256 * 1024 db 0xcc
raw_end:

; ---- Memory that is not in the file; the loader clears it -------------------------------------
absolute raw_end
alignb 4096
pml5: resb 4096
pml4: resb 4096
pdpt: resb 4096
pd: resb 4096 * GIGABYTES
pt: resb 8192
idt: resb 4096
alignb 64
fx_want: resb 512
fx_now: resb 512
ymm_want: resb 512
ymm_now: resb 512
image_handle: resq 1
tries: resq 1
map_size: resq 1
map_key: resq 1
descriptor_size: resq 1
descriptor_version: resq 1
base: resq 1
variant: resq 1
failures: resq 1
passes: resq 1
ticks: resq 1
last_ticks: resq 1
last_tsc: resq 1
apic_va: resq 1
has_xsave: resq 1
has_avx: resq 1
has_tsc_aux: resq 1
got: resq 2
got_flags: resq 1
gpr_wrong: resq 1
%macro reserve_gprs 1-*
%rep %0
gpr_got_%1: resq 1
%rotate 1
%endrep
%endmacro
reserve_gprs rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8, r9, r10, r11, r12, r13, r14, r15
%macro reserve_wants 1-*
%rep %0
want_%1: resq 1
%rotate 1
%endrep
%endmacro
reserve_wants flags, rsp, cs, ss, ds, es, fs, gs, cr0, cr2, cr3, cr4, cr8, dr0, dr1, dr2, dr3, \
    dr6, dr7, efer, star, lstar, cstar, fmask, fsbase, gsbase, kgs, syscs, sysesp, syseip, pat, \
    apic, tsc_aux, xcr0
%macro reserve_got32 1-*
%rep %0
got32_%1: resq 1
%rotate 1
%endrep
%endmacro
reserve_got32 eax, ebx, ecx, edx, esi, edi, ebp, esp, ds, es, fs, gs, ss, cs
compat_esp: resq 1
user_rip: resq 1
user_flags: resq 1
kernel_rsp: resq 1
kernel_frame: resq 1
selector_rpl: resq 1
fw_name: resb 64
alignb 4096
map: resb 32768
map_end:
    resb 8192
loop_stack: resb 64
    resb 8192
kernel_stack: resb 64
    resb 8192
interrupt_stack: resb 64
    resb 8192
ist_stack: resb 64
line_length: resq 1
line: resb 256
alignb 4096
copy_end:                           ; of what each CPU has for itself
copies: resb (CPUS_MAX - 1) * (copy_end - image)
bss_end:
