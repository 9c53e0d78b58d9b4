/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* IGVM files by hand, after the structures of the crate igvm_defs. */
#include "import_build_igvm.h"

#include <string.h>

#include "import_build_vmsa.h"

#define MASK_SNP 1u
#define MASK_NATIVE 2u

/* CRC-32 of Ethernet, a bit at a time. */
static uint32_t crc32_of(uint32_t crc, const uint8_t *data, size_t length)
{
    crc = ~crc;
    for (size_t i = 0; i < length; i++) {
        crc ^= data[i];
        for (unsigned k = 0; k < 8; k++)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static uint32_t load(const uint8_t *from)
{
    return from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

static void store(uint8_t *to, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

int build_igvm_checksum(uint8_t *data, size_t length)
{
    if (length < 32)
        return -1;
    size_t fixed = load(data + 4) == 1 ? 24 : 32;
    size_t begin = load(data + 8);
    size_t size = load(data + 12);
    if (begin > length || size > length - begin)
        return -1;
    store(data + 20, 0);
    store(data + 20, crc32_of(crc32_of(0, data, fixed), data + begin, size));
    return 0;
}

size_t build_igvm_variable(enum igvm_kind kind)
{
    return kind == IGVM_SNP ? 24 : 32;
}

static void add_header(struct bytes *out, uint32_t type, uint32_t length)
{
    bytes_add_u32(out, type);
    bytes_add_u32(out, length);
}

static void add_platform(struct bytes *out, uint32_t mask, uint8_t type)
{
    add_header(out, 0x1, 16);
    bytes_add_u32(out, mask);
    bytes_add_u8(out, 0);
    bytes_add_u8(out, type);
    bytes_add_u16(out, 1);
    bytes_add_u64(out, 0);
}

static void add_context(struct bytes *out, uint32_t mask, uint32_t offset, uint16_t index)
{
    add_header(out, 0x304, 20);
    bytes_add_u64(out, mask == MASK_SNP ? UINT64_C(0xfffffffff000) : 0);
    bytes_add_u32(out, mask);
    bytes_add_u32(out, offset);
    bytes_add_u16(out, index);
    bytes_add_u16(out, 0);
    bytes_add_u32(out, 0); /* to a multiple of 8 */
}

static void add_page(struct bytes *out, uint32_t mask, uint64_t pa, uint32_t offset)
{
    add_header(out, 0x302, 24);
    bytes_add_u64(out, pa);
    bytes_add_u32(out, mask);
    bytes_add_u32(out, offset);
    bytes_add_u32(out, 0);
    bytes_add_u16(out, 0);
    bytes_add_u16(out, 0);
}

static void add_segment(struct bytes *out, const char *name)
{
    char field[16];
    strcpy(field, name);
    bytes_add_u16(out, (uint16_t)guest_value(0, strcat(field, ".selector")));
    bytes_add_u16(out, (uint16_t)guest_value(0, strcat(strcpy(field, name), ".access")));
    bytes_add_u32(out, (uint32_t)guest_value(0, strcat(strcpy(field, name), ".base")));
    bytes_add_u32(out, (uint32_t)guest_value(0, strcat(strcpy(field, name), ".limit")));
}

static void add_native(struct bytes *out)
{
    static const char *const registers[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp",
                                            "rsi", "rdi", "r8",  "r9",  "r10", "r11",
                                            "r12", "r13", "r14", "r15", "rip", "rflags"};
    size_t begin = out->length;
    for (size_t i = 0; i < sizeof(registers) / sizeof(registers[0]); i++)
        bytes_add_u64(out, guest_value(0, registers[i]));
    bytes_add_u64(out, guest_value(0, "idtr.base"));
    bytes_add_u16(out, (uint16_t)guest_value(0, "idtr.limit"));
    bytes_add_u32(out, 0);
    bytes_add_u16(out, (uint16_t)guest_value(0, "gdtr.limit"));
    bytes_add_u64(out, guest_value(0, "gdtr.base"));
    add_segment(out, "cs");
    add_segment(out, "fs"); /* of all data segments */
    bytes_add_u64(out, guest_value(0, "gs.base"));
    bytes_add_u64(out, guest_value(0, "cr0"));
    bytes_add_u64(out, guest_value(0, "cr3"));
    bytes_add_u64(out, guest_value(0, "cr4"));
    bytes_add_u64(out, guest_value(0, "efer"));
    bytes_add_zeros(out, 4096 - (out->length - begin));
}

void build_igvm(struct bytes *out, enum igvm_kind kind)
{
    static const struct vmsa_options options = {0};
    struct bytes headers = {0};
    struct bytes file = {0};
    const uint32_t fixed = (uint32_t)build_igvm_variable(kind);
    const int snp = kind != IGVM_NATIVE;
    const int native = kind != IGVM_SNP;
    const uint32_t data = 512;
    if (native)
        add_platform(&headers, MASK_NATIVE, 0);
    if (snp)
        add_platform(&headers, MASK_SNP, 2);
    /* Something of no concern here, which is 12 bytes long. */
    add_header(&headers, 0x80000307, 12);
    bytes_add_zeros(&headers, 16);
    if (snp) {
        add_page(&headers, MASK_SNP, IGVM_FAR_PAGE_PA, data);
        add_page(&headers, MASK_SNP | MASK_NATIVE, IGVM_PAGE_PA, data);
        add_page(&headers, MASK_SNP | MASK_NATIVE, IGVM_PAGE_PA + 4096, 0);
        add_context(&headers, MASK_SNP, data + 4096, 1);
        add_context(&headers, MASK_SNP, data + 2 * 4096, 0);
    }
    if (native)
        add_context(&headers, MASK_NATIVE, data + (snp ? 3 * 4096 : 0), 0);

    bytes_add_text(&file, "IGVM");
    bytes_add_u32(&file, native ? 2 : 1);
    bytes_add_u32(&file, fixed);
    bytes_add_u32(&file, (uint32_t)headers.length);
    bytes_add_u32(&file, data + 4096 * (uint32_t)(3 * snp + native));
    bytes_add_u32(&file, 0);
    if (native) {
        bytes_add_u32(&file, 0);
        bytes_add_u32(&file, 4096);
    }
    bytes_add(&file, headers.data, headers.length);
    bytes_add_zeros(&file, data - file.length);
    if (snp) {
        uint8_t page[4096];
        guest_component(0, 50, page, sizeof(page));
        bytes_add(&file, page, sizeof(page));
        build_vmsa(&file, 1, &options);
        build_vmsa(&file, 0, &options);
    }
    if (native)
        add_native(&file);
    build_igvm_checksum(file.data, file.length);
    bytes_add(out, file.data, file.length);
    bytes_free(&headers);
    bytes_free(&file);
}
