; SPDX-License-Identifier: BSD-2-Clause-Patent
;
; Phase 1: leave the firmware's address space, put the home in its place, start the other processors.
;
;   first processor:  enter -> protected -> long_entry: moves what firmware was in the way of (only if
;                     it is to), copies the home, starts the others, parks
;   the others:       startup (real mode) -> protected -> long_entry: park
;
; Everything here runs from the staging area, below 4 GiB, identity mapped, and moving.nasm's part too.

; Interrupt command (Intel SDM vol. 3, "Interrupt Command Register"): edge, asserted, physical.
ICR_NMI     equ 0x4400
ICR_INIT    equ 0x4500
ICR_STARTUP equ 0x4600
ICR_PENDING equ 0x1000
ICR_OTHERS  equ 0xc0000             ; all excluding self, whatever the destination
APIC_ICR_LOW  equ 0x300
APIC_ICR_HIGH equ 0x310
X2APIC_ICR    equ 0x830

CR0_PE equ 0x00000001
CR0_NW equ 0x20000000
CR0_CD equ 0x40000000
CR0_PG equ 0x80000000
CR4_PGE   equ 0x00000080
CR4_PCIDE equ 0x00020000
CR4_CET   equ 0x00800000
EFER_LME equ 0x100

; A write to this port takes about a microsecond on every PC, and means nothing.
DELAY_PORT equ 0x80
DELAY_INIT    equ 10000             ; 10 ms after INIT (Intel SDM vol. 3, "MP Initialization")
DELAY_STARTUP equ 200               ; 200 us after SIPI
DELAY_ARRIVAL equ 1000000           ; 1 s until those that are missing are called again
ATTEMPTS      equ 20

; Never seen from outside: between INIT and SIPI a processor may not take its block.
STAGE_CALLED equ 0xffff

; Entry:    RDI = struct resume_transit, boot services ended, identity mapped, CPL 0, long mode.
; CR3:      the firmware's.
; Stack:    none is used.
; Clobbers: everything.
enter:
    cli
    cld
    mov rax, cr4                        ; PG cannot be cleared while PCIDE is set
    and eax, ~(CR4_PGE | CR4_PCIDE | CR4_CET)
    mov cr4, rax
    lgdt [operand(rdi + TRANSIT_gdtr)]
    jmp dword far [rdi + TRANSIT_protected_far]

bits 32
; Entry:    EDI = struct resume_transit, 32-bit code segment; paging on (first processor) or off.
; CR3:      any, then the transit tables.
protected:
    mov eax, RESUME_TRANSIT_DS
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov eax, cr0
    and eax, ~(CR0_PG | CR0_CD | CR0_NW)
    mov cr0, eax                        ; long mode is left here: CR4.LA57 may change
    mov eax, [edi + TRANSIT_cr4]
    mov cr4, eax
    mov eax, [edi + TRANSIT_cr3]
    mov cr3, eax
    mov ecx, RESUME_MSR_EFER
    rdmsr
    or eax, EFER_LME
    wrmsr
    mov eax, cr0
    or eax, CR0_PG
    mov cr0, eax
    jmp far [edi + TRANSIT_long_far]

bits 64
; Entry:    EDI = struct resume_transit, 64-bit code segment, on the transit tables.
long_entry:
    mov eax, RESUME_TRANSIT_DS
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov r14d, edi
    mov r15, [r14 + TRANSIT_home_va]
    call_without_stack apic_id          ; EBX = this processor's
    xor r12d, r12d                      ; R12 = the final steps, 0 when there is nothing to finish
    cmp dword [r14 + TRANSIT_in_place], 0
    jne find_block

    test dword [r14 + TRANSIT_flags], RESUME_TRANSIT_MOVING
    jz .copy
    call_without_stack stop_others
    mov r12, [r14 + TRANSIT_steps + LIST_steps]
    mov r13, [r14 + TRANSIT_steps + LIST_count]
    lea r11, [.copy]
    jmp run_steps
.copy:
    mov rcx, [r14 + TRANSIT_home_length]
    mov rsi, [r14 + TRANSIT_image_pa]
    mov rdi, [r14 + TRANSIT_home_pa]
    rep movsb
    mov dword [r14 + TRANSIT_in_place], 1
    mov rsp, [r14 + TRANSIT_image_pa]   ; the image is no longer needed: a stack
    add rsp, RESUME_HOME_BLOCKS + RESUME_BLOCK_STACK_TOP
    cmp qword [r14 + TRANSIT_startup_pa], 0
    je .alone
    call start_others
.alone:
    xor r12d, r12d
    test dword [r14 + TRANSIT_flags], RESUME_TRANSIT_MOVING
    jz .wipe
    mov r12, [r14 + TRANSIT_final + LIST_steps] ; these wipe the image, too
    mov r13, [r14 + TRANSIT_final + LIST_count]
    jmp find_block
.wipe:
    mov rdi, [r14 + TRANSIT_image_pa]   ; what is in the home must not be anywhere else
    mov rcx, [r14 + TRANSIT_home_length]
    mov edx, RESUME_HOME_BLOCKS         ; but for the code, which runs here; it holds no state
    add rdi, rdx
    sub rcx, rdx
    xor eax, eax
    rep stosb

; The block of this processor is the one with its APIC ID. R12, R13 = the final steps, or R12 = 0.
find_block:
    lea rbp, [r15 + RESUME_HOME_BLOCKS]
    mov ecx, [control(vcpu_count)]
    mov edx, [control(block_length)]
.next:
    test dword [handoff(flags)], RESUME_HANDOFF_ACTIVE
    jz .other
    cmp [handoff(apic_id)], ebx
    je .found
.other:
    add rbp, rdx
    dec ecx
    jnz .next
.unused:                                ; not resumed: what becomes of it comes with the devices
    lea rax, [unused]
    test r12, r12
    jnz .go_home
.stop:
    hlt
    jmp .stop
.found:
    mov eax, RESUME_STAGE_NONE
    mov ecx, RESUME_STAGE_ENTER
    lock cmpxchg [handoff(stage)], ecx
    jne .unused                         ; about to be called again
    lea rax, [park]
.go_home:
    lea rdx, [$$]
    sub rax, rdx
    lea rax, [rax + r15 + RESUME_HOME_CODE]
    jmp rax                             ; the same code at its guest address

; EBX = the APIC ID (Intel SDM vol. 3, "Identifying Topological Relationships"). No stack is used:
; returns to RSI. Clobbers RAX, RCX, RDX.
apic_id:
    xor eax, eax
    cpuid
    cmp eax, 0xb
    jb .initial
    mov eax, 0xb
    xor ecx, ecx
    cpuid
    test ebx, ebx
    jz .initial
    mov ebx, edx
    jmp rsi
.initial:
    mov eax, 1
    cpuid
    shr ebx, 24
    jmp rsi

; Send the interrupt command EAX to the processor with APIC ID EDX.
; Entry: R14 = transit. Clobbers RAX, RCX, R8. Stack: 8 bytes (the call).
send_ipi:
    mov r8, [r14 + TRANSIT_apic_pa]
    test r8, r8
    jz .x2apic
    shl edx, 24
    mov [r8 + APIC_ICR_HIGH], edx
    mov [r8 + APIC_ICR_LOW], eax
.wait:
    pause
    test dword [r8 + APIC_ICR_LOW], ICR_PENDING
    jnz .wait
    ret
.x2apic:
    mov ecx, X2APIC_ICR
    wrmsr
    ret

; ECX microseconds, about.
delay:
    out DELAY_PORT, al
    dec ecx
    jnz delay
    ret

; Run a command for every other processor that is to be resumed and has not come yet.
; Entry: R12D = interrupt command, EBX = own APIC ID. Clobbers RAX, RCX, RDX, RBP, R8, R13.
send_to_missing:
    lea rbp, [r15 + RESUME_HOME_BLOCKS]
    mov r13d, [control(vcpu_count)]
.next:
    test dword [handoff(flags)], RESUME_HANDOFF_ACTIVE
    jz .other
    mov edx, [handoff(apic_id)]
    cmp edx, ebx
    je .other
    ; Between INIT and SIPI it may not come: if it is on its way just now, it is not called.
    cmp r12d, ICR_INIT
    jne .startup
    mov eax, RESUME_STAGE_NONE
    mov ecx, STAGE_CALLED
    lock cmpxchg [handoff(stage)], ecx
    jne .other
    jmp .send
.startup:
    cmp dword [handoff(stage)], STAGE_CALLED
    jne .second
    mov dword [handoff(stage)], RESUME_STAGE_NONE
.second:
    cmp dword [handoff(stage)], RESUME_STAGE_NONE
    jne .other
.send:
    mov eax, r12d
    call send_ipi
.other:
    mov edx, [control(block_length)]
    add rbp, rdx
    dec r13d
    jnz .next
    ret

; Start the others, and wait until each waits in the home. One that does not come is called again: a
; startup interrupt that the firmware had sent before may have been taken for this one.
; Entry: EBX = own APIC ID, a stack. Clobbers all but RBX, R14, R15.
start_others:
    mov r10d, ATTEMPTS
.again:
    mov r12d, ICR_INIT
    call send_to_missing
    mov ecx, DELAY_INIT
    call delay
    mov r12, [r14 + TRANSIT_startup_pa]
    shr r12, 12
    or r12d, ICR_STARTUP
    call send_to_missing
    mov ecx, DELAY_STARTUP
    call delay
    call send_to_missing

    mov r9d, DELAY_ARRIVAL
.wait:
    lea rbp, [r15 + RESUME_HOME_BLOCKS]
    mov ecx, [control(vcpu_count)]
.next:
    test dword [handoff(flags)], RESUME_HANDOFF_ACTIVE
    jz .other
    cmp [handoff(apic_id)], ebx
    je .other
    cmp dword [handoff(stage)], RESUME_STAGE_PARKED
    jne .missing
.other:
    mov edx, [control(block_length)]
    add rbp, rdx
    dec ecx
    jnz .next
    ret
.missing:
    out DELAY_PORT, al
    dec r9d
    jnz .wait
    dec r10d
    jnz .again
    text_here "libresume: processor 0x"
    mov eax, [handoff(apic_id)]
    call console_hex
    text_here " does not start", 10
.stop:
    hlt
    jmp .stop

; ---------------------------------------------------------------------------------------------
; Where a started processor begins: real mode, in a page below 1 MiB that this is copied to.
bits 16
align 16
startup:
    cli
    cld
    mov edi, [cs:startup_parameters - startup + STARTUP_transit]
    o32 lgdt [cs:startup_parameters - startup + STARTUP_gdt_limit]
    mov eax, cr0
    or eax, CR0_PE
    mov cr0, eax
    jmp dword far [cs:startup_parameters - startup + STARTUP_entry]
align 4
startup_parameters:
    times STARTUP_SIZE db 0
startup_end:
bits 64
