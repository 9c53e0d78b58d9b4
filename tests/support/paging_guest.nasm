; SPDX-License-Identifier: BSD-2-Clause-Patent
; A guest that is nothing but page tables of all kinds: starts as a Multiboot kernel, turns long mode on
; (five levels with -DLA57), and halts. paging_sample.py makes samples of it.
bits 32
org 0x100000

P   equ 1
RW  equ 2
US  equ 4
PWT equ 8
PCD equ 16
A   equ 32
D   equ 64
PS  equ 128
G   equ 256
PAT equ 0x1000 ; of a large page
%define NX (1 << 63)

header:
    dd 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)
    dd header, header, image_end, image_end, start

start:
    cli
    mov eax, cr4
    or eax, 1 << 5 ; PAE
%ifdef LA57
    or eax, 1 << 12
%endif
    mov cr4, eax
    mov eax, root
    mov cr3, eax
    mov ecx, 0xc0000080
    rdmsr
    or eax, 1 << 8 | 1 << 11 ; LME, NXE
    wrmsr
    mov eax, cr0
    or eax, 1 << 31
    mov cr0, eax
    lgdt [gdtr]
    jmp 8:running

bits 64
running:
    hlt
    jmp running

align 8
gdt:
    dq 0, 0x00af9b000000ffff
gdtr:
    dw $ - gdt - 1
    dq gdt

; entry INDEX, VALUE in the table that begins at `table`
%macro entry 2
    times %1 * 8 - ($ - table_start) db 0
    dq %2
%endmacro
%macro table 1
    align 4096
%1:
    %push table
%define table_start %1
%endmacro
%macro end_table 0
    times 4096 - ($ - table_start) db 0
    %pop
%endmacro

%ifdef LA57
table root
    entry 0, pml4 + P + RW + US + A
    entry 511, pml4 + P + RW + A ; what is user below is supervisor here
end_table
%else
root equ pml4
%endif

table pml4
    entry 0, pdpt_low + P + RW + US + A
    entry 256, pdpt_kernel + P + RW + A
    entry 300, (pdpt_no_execute + P + RW + US) + NX
    entry 510, 0xfedcba9876543210 & ~P ; not present: all other bits mean nothing
    entry 511, pdpt_top + P + RW + A
end_table

table pdpt_low
    entry 0, pd_low + P + RW + US + A
    entry 1, 0x40000000 + P + RW + US + PS ; 1 GiB
    entry 2, 0x80000000 + P + US + PS + G
    entry 3, pd_read_only + P + US
end_table

table pd_low
    entry 0, 0x000000 + P + RW + A + D + PS + G ; the guest itself
    entry 1, pt_low + P + RW + US + A
    entry 2, (0x400000 + P + US + A + PS) + NX
    entry 3, 0x600000 + P + RW + US + PS + PAT
    entry 4, 0x800000 + P + RW + US + PS ; neighbours in every way
    entry 5, 0xa00000 + P + RW + US + PS
    entry 7, 0xc00000 + P + RW + US + PS
end_table

table pt_low
%assign i 0
%rep 8
    entry i, 0x300000 + i * 0x1000 + P + RW + US + A + D ; one after the other
%assign i i + 1
%endrep
%rep 8
    entry i, 0x390000 - i * 0x1000 + P + RW + US ; backwards
%assign i i + 1
%endrep
    entry 16, 0x310000 + P + US + PWT
    entry 17, (0x311000 + P + RW + US) + NX
    entry 18, 0x312000 + P + RW
    entry 19, 0x313000 + P + RW + PCD
    entry 20, 0x314000 + P + RW + G
    entry 22, (0x315000 + P + RW + US + G + NX + (5 << 59)) ; protection key 5
    entry 511, 0x316000 + P + RW + US
end_table

table pd_read_only ; the level above takes RW away
    entry 0, 0x200000 + P + RW + US + PS
    entry 511, 0x400000 + P + RW + US + PS
end_table

table pdpt_kernel ; the level above takes US away
    entry 0, pd_kernel + P + RW + US
end_table

table pd_kernel
    entry 0, (0x000000 + P + RW + PS + G) + NX
    entry 1, (0x200000 + P + RW + PS + G) + NX
    entry 2, (0x400000 + P + RW + US + PS + G) + NX
    entry 3, pt_kernel + P + RW
end_table

table pt_kernel ; goes on from the 2 MiB pages, with the same rights
    entry 0, (0x600000 + P + RW + G) + NX
    entry 1, (0x601000 + P + RW + G) + NX
    entry 2, 0x602000 + P + G
end_table

table pdpt_no_execute ; the level above sets NX
    entry 511, 0x00000000 + P + RW + US + PS
end_table

table pdpt_top
    entry 510, pd_low + P + RW + A ; a table that is used twice
    entry 511, pd_top + P + RW + A
end_table

table pd_top
    entry 511, pt_top + P + RW + A
end_table

table pt_top
    entry 510, 0x7ff000 + P + RW
    entry 511, 0x800000 + P + RW ; the last page there is
end_table
image_end:
