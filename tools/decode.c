/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "decode.h"

#include <stdio.h>
#include <string.h>

#define BITS 64

/* A field of several bits is marked with this instead of a name. */
static const char field[] = "";

static const char *const cr0[BITS] = {
    [0] = "PE",  [1] = "MP",  [2] = "EM",  [3] = "TS",  [4] = "ET", [5] = "NE",
    [16] = "WP", [18] = "AM", [29] = "NW", [30] = "CD", [31] = "PG"};
static const char *const cr4[BITS] = {
    [0] = "VME",         [1] = "PVI",      [2] = "TSD",      [3] = "DE",    [4] = "PSE",
    [5] = "PAE",         [6] = "MCE",      [7] = "PGE",      [8] = "PCE",   [9] = "OSFXSR",
    [10] = "OSXMMEXCPT", [11] = "UMIP",    [12] = "LA57",    [13] = "VMXE", [14] = "SMXE",
    [16] = "FSGSBASE",   [17] = "PCIDE",   [18] = "OSXSAVE", [19] = "KL",   [20] = "SMEP",
    [21] = "SMAP",       [22] = "PKE",     [23] = "CET",     [24] = "PKS",  [25] = "UINTR",
    [27] = "LASS",       [28] = "LAM_SUP", [32] = "FRED"};
static const char *const efer[BITS] = {
    [0] = "SCE",    [8] = "LME",  [10] = "LMA",     [11] = "NXE",   [12] = "SVME", [13] = "LMSLE",
    [14] = "FFXSR", [15] = "TCE", [17] = "MCOMMIT", [18] = "INTWB", [20] = "UAIE", [21] = "AIBRSE"};
static const char *const rflags[BITS] = {
    [0] = "CF",  [1] = field, [2] = "PF",   [4] = "AF",   [6] = "ZF",   [7] = "SF",  [8] = "TF",
    [9] = "IF",  [10] = "DF", [11] = "OF",  [12] = field, [13] = field, [14] = "NT", [16] = "RF",
    [17] = "VM", [18] = "AC", [19] = "VIF", [20] = "VIP", [21] = "ID"};
static const char *const xcr0[BITS] = {
    [0] = "x87",    [1] = "SSE",       [2] = "AVX",      [3] = "BNDREGS",   [4] = "BNDCSR",
    [5] = "opmask", [6] = "ZMM_Hi256", [7] = "Hi16_ZMM", [8] = "PT",        [9] = "PKRU",
    [10] = "PASID", [11] = "CET_U",    [12] = "CET_S",   [13] = "HDC",      [14] = "UINTR",
    [15] = "LBR",   [16] = "HWP",      [17] = "TILECFG", [18] = "TILEDATA", [19] = "APX",
    [62] = "LWP"};
/* DR6 has bits that are set when nothing has happened; they are no news. */
static const char *const dr6[BITS] = {
    [0] = "B0",   [1] = "B1",   [2] = "B2",   [3] = "B3",   [4] = field,  [5] = field,
    [6] = field,  [7] = field,  [8] = field,  [9] = field,  [10] = field, [11] = field,
    [13] = "BD",  [14] = "BS",  [15] = "BT",  [16] = field, [17] = field, [18] = field,
    [19] = field, [20] = field, [21] = field, [22] = field, [23] = field, [24] = field,
    [25] = field, [26] = field, [27] = field, [28] = field, [29] = field, [30] = field,
    [31] = field};
static const char *const dr7[BITS] = {
    [0] = "L0",   [1] = "G0",   [2] = "L1",   [3] = "G1",   [4] = "L2",   [5] = "G2",
    [6] = "L3",   [7] = "G3",   [8] = "LE",   [9] = "GE",   [10] = field, [11] = "RTM",
    [13] = "GD",  [16] = field, [17] = field, [18] = field, [19] = field, [20] = field,
    [21] = field, [22] = field, [23] = field, [24] = field, [25] = field, [26] = field,
    [27] = field, [28] = field, [29] = field, [30] = field, [31] = field};
static const char *const segment[BITS] = {
    [0] = field, [1] = field,  [2] = field, [3] = field, [4] = "S",  [5] = field,      [6] = field,
    [7] = "P",   [12] = "AVL", [13] = "L",  [14] = "DB", [15] = "G", [16] = "unusable"};

static const char *apic_base_name(unsigned bit)
{
    switch (bit) {
    case 8:
        return "BSP";
    case 10:
        return "EXTD";
    case 11:
        return "EN";
    default:
        return bit >= 12 && bit < 52 ? field : NULL;
    }
}

static const char *bit_name(enum decode_register reg, unsigned bit)
{
    static const char *const *const tables[] = {
        [DECODE_CR0] = cr0,   [DECODE_CR4] = cr4, [DECODE_EFER] = efer, [DECODE_RFLAGS] = rflags,
        [DECODE_XCR0] = xcr0, [DECODE_DR6] = dr6, [DECODE_DR7] = dr7,   [DECODE_SEGMENT] = segment,
    };
    return reg == DECODE_APIC_BASE ? apic_base_name(bit) : tables[reg][bit];
}

const char *decode_bit(enum decode_register reg, uint64_t value, unsigned *bit)
{
    for (unsigned i = *bit; i < BITS; i++) {
        if ((value >> i & 1) == 0)
            continue;
        const char *name = bit_name(reg, i);
        if (name == field)
            continue;
        *bit = i;
        return name != NULL ? name : "?";
    }
    return NULL;
}

char *decode_bits(enum decode_register reg, uint64_t value, char *buffer, size_t capacity)
{
    size_t used = 0;
    const char *name;
    buffer[0] = '\0';
    for (unsigned bit = 0; (name = decode_bit(reg, value, &bit)) != NULL; bit++) {
        char number[8];
        if (strcmp(name, "?") == 0) {
            snprintf(number, sizeof(number), "bit%u", bit);
            name = number;
        }
        int written = snprintf(buffer + used, capacity - used, "%s%s", used > 0 ? " " : "", name);
        if (written < 0 || (size_t)written >= capacity - used)
            break;
        used += (size_t)written;
    }
    return buffer;
}

const char *decode_run_state(uint32_t mp_state)
{
    switch (mp_state) {
    case RESUME_MP_RUNNING:
        return "running";
    case RESUME_MP_HALTED:
        return "halted";
    case RESUME_MP_WAIT_SIPI:
        return "waiting for SIPI";
    default:
        return "uninitialized";
    }
}

const char *decode_segment_type(uint32_t access)
{
    static const char *const system[16] = {
        [1] = "16-bit TSS", [2] = "LDT",       [3] = "busy 16-bit TSS", [4] = "16-bit call gate",
        [9] = "TSS",        [11] = "busy TSS", [12] = "call gate",      [14] = "interrupt gate",
        [15] = "trap gate"};
    static const char *const normal[8] = {"data, read-only",    "data, writable",
                                          "data, expands down", "data, writable, expands down",
                                          "code, execute-only", "code, readable",
                                          "code, conforming",   "code, readable, conforming"};
    uint32_t type = access & RESUME_SEG_TYPE;
    if (access & RESUME_SEG_UNUSABLE)
        return "not present";
    if (access & RESUME_SEG_S)
        return normal[type >> 1];
    return system[type] != NULL ? system[type] : "reserved type";
}

const char *decode_gpr(unsigned index)
{
    static const char *const names[RESUME_GPR_COUNT] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp",
                                                        "rsi", "rdi", "r8",  "r9",  "r10", "r11",
                                                        "r12", "r13", "r14", "r15"};
    return index < RESUME_GPR_COUNT ? names[index] : "?";
}

const char *decode_segment(unsigned index)
{
    static const char *const names[RESUME_SEG_COUNT] = {"es", "cs",   "ss", "ds",   "fs",
                                                        "gs", "ldtr", "tr", "gdtr", "idtr"};
    return index < RESUME_SEG_COUNT ? names[index] : "?";
}

const char *decode_component(uint32_t id)
{
    return id < BITS ? xcr0[id] : NULL;
}
