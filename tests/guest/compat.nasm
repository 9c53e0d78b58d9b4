; SPDX-License-Identifier: BSD-2-Clause-Patent
;
; A 32-bit process: all its registers hold known values through a spin, then it looks at them.
;   compat compat       in the code segment that Linux gives it
;   compat compat-ldt   in a code segment of its LDT that does not begin at 0
; FS and ES are segments of the LDT in both, with limits that LSL tells. Prints numbered lines
; "NAME: line N" and "NAME: WRONG what". Assembled without any library.

bits 32

%define SYS_EXIT 1
%define SYS_WRITE 4
%define SYS_MODIFY_LDT 123
%define SYS_CLOCK_GETTIME 265

%define LDT_CODE (3 << 3 | 7)
%define LDT_FS   (5 << 3 | 7)
%define LDT_ES   (6 << 3 | 7)
%define SHIFT    0x10000             ; where the code segment of the LDT begins
%define LIMIT    0x3ff
%define SPIN     300000
%define FLAGS    0x000008d7          ; CF PF AF ZF SF OF, all set; IF and IOPL are the kernel's

section .text
global _start

; wrong NAME: print that NAME is wrong. Keeps all registers.
%macro wrong 1
    pushad
    mov esi, %%text
    mov ecx, %%end - %%text
    call print_wrong
    popad
    jmp %%end
%%text: db %1
%%end:
%endmacro

_start:
    cld
    mov esi, [esp + 8]               ; the name
    mov [name], esi
    xor ecx, ecx
.length:
    inc ecx
    cmp byte [esi + ecx], 0
    jne .length
    mov [name_length], ecx
    mov [want_ds], ds
    mov [want_ss], ss
    mov eax, fs_entry
    call set_entry
    mov eax, es_entry
    call set_entry
    mov ax, LDT_FS
    mov fs, ax
    cmp dword [name_length], 6       ; "compat"
    je .here
    mov eax, code_entry
    call set_entry
    jmp LDT_CODE:(.here - SHIFT)
.here:
    mov [want_cs], cs

pass:
    mov ax, LDT_ES
    mov es, ax
    mov eax, 0x12345678
    mov ebx, 0x9abcdef0
    mov edx, 0x0fedcba9
    mov esi, 0x87654321
    mov edi, 0xa5a55a5a
    mov ebp, 0xdeadbeef
    mov esp, stack_top
    mov ecx, SPIN
    push dword FLAGS
    popfd
.spin:                               ; changes no flag
    lea ecx, [ecx - 1]
    jecxz .spun
    jmp .spin
.spun:
    pushfd
    pop dword [got_flags]
    cmp eax, 0x12345678
    je .eax
    wrong 'eax'
.eax:
    cmp ebx, 0x9abcdef0
    je .ebx
    wrong 'ebx'
.ebx:
    cmp edx, 0x0fedcba9
    je .edx
    wrong 'edx'
.edx:
    cmp esi, 0x87654321
    je .esi
    wrong 'esi'
.esi:
    cmp edi, 0xa5a55a5a
    je .edi
    wrong 'edi'
.edi:
    cmp ebp, 0xdeadbeef
    je .ebp
    wrong 'ebp'
.ebp:
    cmp esp, stack_top
    je .esp
    mov esp, stack_top
    wrong 'esp'
.esp:
    mov eax, [got_flags]
    and eax, 0x00004cd7              ; of the flags those that are this program's
    cmp eax, FLAGS
    je .flags
    wrong 'eflags'
.flags:
%macro check_segment 3
    mov eax, %1
    and eax, 0xffff
    cmp eax, [%2]
    je %%same
    wrong %3
%%same:
%endmacro
    check_segment cs, want_cs, 'cs'
    check_segment ss, want_ss, 'ss'
    check_segment ds, want_ds, 'ds'
    check_segment es, want_es, 'es'
    check_segment fs, want_fs, 'fs'
    ; Through the segments: their bases, and FS is never loaded again.
    cmp dword [fs:LIMIT - 3], 0xf5f5f5f5
    je .fs_base
    wrong 'base of fs'
.fs_base:
    cmp dword [es:LIMIT - 3], 0xe5e5e5e5
    je .es_base
    wrong 'base of es'
.es_base:
    mov ecx, LDT_FS
    xor eax, eax
    lsl eax, ecx
    cmp eax, LIMIT
    je .limit
    wrong 'limit in the table'
.limit:
    ; A line in each quarter of a second.
    mov eax, SYS_CLOCK_GETTIME
    mov ebx, 1
    mov ecx, time
    int 0x80
    mov eax, [time + 4]
    xor edx, edx
    mov ecx, 250000000
    div ecx
    cmp eax, [quarter]
    je pass
    mov [quarter], eax
    inc dword [line]
    mov edi, buffer
    mov esi, line_text
    mov ecx, line_text_end - line_text
    call put_name
    mov eax, [line]
    mov ebx, digits_end
    mov ecx, 10
.digit:
    xor edx, edx
    div ecx
    add dl, '0'
    dec ebx
    mov [ebx], dl
    test eax, eax
    jnz .digit
    mov esi, ebx
    mov ecx, digits_end
    sub ecx, ebx
    call put
    mov esi, ok_text
    mov ecx, ok_text_end - ok_text
    call put
    call flush
    jmp pass

; Puts ecx bytes from esi at edi; ES is no use here. Moves edi on.
put:
    mov al, [esi]
    mov [edi], al
    inc esi
    inc edi
    dec ecx
    jnz put
    ret

; Puts the name, then what put puts.
put_name:
    push esi
    push ecx
    mov esi, [name]
    mov ecx, [name_length]
    call put
    pop ecx
    pop esi
    jmp put

; Writes the buffer up to edi.
flush:
    mov eax, SYS_WRITE
    mov ebx, 1
    mov ecx, buffer
    mov edx, edi
    sub edx, ecx
    int 0x80
    ret

; esi: what is wrong, ecx: its length.
print_wrong:
    push esi
    push ecx
    mov edi, buffer
    mov esi, wrong_text
    mov ecx, wrong_text_end - wrong_text
    call put_name
    pop ecx
    pop esi
    call put
    mov byte [edi], 10
    inc edi
    jmp flush

; eax: an entry for the LDT; ends the program when it cannot be had.
set_entry:
    mov ecx, eax
    mov eax, SYS_MODIFY_LDT
    mov ebx, 0x11
    mov edx, 16
    int 0x80
    test eax, eax
    jz .done
    wrong 'modify_ldt'
    mov eax, SYS_EXIT
    mov ebx, 1
    int 0x80
.done:
    ret

section .data
align 4
want_cs: dd 0
want_ss: dd 0
want_ds: dd 0
want_es: dd LDT_ES
want_fs: dd LDT_FS
quarter: dd -1
line: dd 0
; struct user_desc: number, base, limit, flags (32-bit 1, contents 6, limit in pages 0x10, useable 0x40)
code_entry: dd LDT_CODE >> 3, SHIFT, 0xfffff, 0x55
fs_entry: dd LDT_FS >> 3, fs_memory, LIMIT, 0x41
es_entry: dd LDT_ES >> 3, es_memory, LIMIT, 0x41
fs_memory: times LIMIT - 3 db 0x11
    dd 0xf5f5f5f5
es_memory: times LIMIT - 3 db 0x22
    dd 0xe5e5e5e5
line_text: db ': line '
line_text_end:
wrong_text: db ': WRONG '
wrong_text_end:
ok_text: db ' registers=ok', 10
ok_text_end:

section .bss
alignb 16
name: resd 1
name_length: resd 1
got_flags: resd 1
time: resd 2
digits: resb 16
digits_end:
buffer: resb 256
    resb 4096
stack_top:
    resb 64
