/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "runtime.h"

#include <efi.h>
#include <stdint.h>

/* String instructions: a loop would be turned into a call of the function that it implements. Words
 * first: not every processor turns bytes into something larger. */
void *memcpy(void *restrict to, const void *restrict from, size_t count)
{
    void *at = to;
    size_t words = count / 8;
    size_t bytes = count % 8;

    __asm__ volatile("rep movsq" : "+D"(at), "+S"(from), "+c"(words) : : "memory");
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(bytes) : : "memory");
    return to;
}

void *memmove(void *to, const void *from, size_t count)
{
    uint8_t *last_to = (uint8_t *)to + count - 1;
    const uint8_t *last_from = (const uint8_t *)from + count - 1;

    if (to <= from || count == 0) {
        return memcpy(to, from, count);
    }
    __asm__ volatile("std; rep movsb; cld"
                     : "+D"(last_to), "+S"(last_from), "+c"(count)
                     :
                     : "memory");
    return to;
}

void *memset(void *to, int byte, size_t count)
{
    const uint64_t word = UINT64_C(0x0101010101010101) * (uint8_t)byte;
    void *at = to;
    size_t words = count / 8;
    size_t bytes = count % 8;

    __asm__ volatile("rep stosq" : "+D"(at), "+c"(words) : "a"(word) : "memory");
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(bytes) : "a"(word) : "memory");
    return to;
}

int memcmp(const void *left, const void *right, size_t count)
{
    const uint8_t *a = left;
    const uint8_t *b = right;

    for (size_t i = 0; i < count; i++) {
        if (a[i] != b[i]) {
            return a[i] < b[i] ? -1 : 1;
        }
    }
    return 0;
}

/* The dynamic section of the image, as gnu-efi's start code hands it over (System V ABI, ELF-64). */
struct dynamic_entry {
    int64_t tag;
    uint64_t value;
};
struct relocation {
    uint64_t offset;
    uint64_t info;
    int64_t addend;
};
#define DYNAMIC_END 0
#define DYNAMIC_RELA 7
#define DYNAMIC_RELA_SIZE 8
#define DYNAMIC_RELA_ENTRY 9
#define RELOCATION_NONE 0
#define RELOCATION_RELATIVE 8

/* Called by the start code before efi_main; takes the place of gnu-efi's. */
EFI_STATUS _relocate(uint64_t base, const struct dynamic_entry *dynamic, EFI_HANDLE image,
                     EFI_SYSTEM_TABLE *system);
EFI_STATUS _relocate(uint64_t base, const struct dynamic_entry *dynamic, EFI_HANDLE image,
                     EFI_SYSTEM_TABLE *system)
{
    uint64_t table = 0;
    uint64_t size = 0;
    uint64_t step = 0;

    (void)image;
    (void)system;
    for (; dynamic->tag != DYNAMIC_END; dynamic++) {
        if (dynamic->tag == DYNAMIC_RELA) {
            table = base + dynamic->value;
        } else if (dynamic->tag == DYNAMIC_RELA_SIZE) {
            size = dynamic->value;
        } else if (dynamic->tag == DYNAMIC_RELA_ENTRY) {
            step = dynamic->value;
        }
    }
    if (table == 0) {
        return EFI_SUCCESS;
    }
    if (step < sizeof(struct relocation)) {
        return EFI_LOAD_ERROR;
    }
    for (uint64_t at = 0; at + step <= size; at += step) {
        const struct relocation *relocation = (const struct relocation *)(table + at);
        uint32_t type = (uint32_t)relocation->info;

        if (type == RELOCATION_RELATIVE) {
            *(uint64_t *)(base + relocation->offset) = base + (uint64_t)relocation->addend;
        } else if (type != RELOCATION_NONE) {
            return EFI_LOAD_ERROR;
        }
    }
    return EFI_SUCCESS;
}
