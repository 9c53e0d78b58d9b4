/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "stream_build.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u

static void *grow(void *old, size_t *capacity, size_t needed)
{
    size_t size = *capacity > 0 ? *capacity : 1024;
    while (size < needed)
        size *= 2;
    if (size == *capacity)
        return old;
    void *larger = realloc(old, size);
    if (larger == NULL)
        abort();
    *capacity = size;
    return larger;
}

void build_free(struct builder *b)
{
    free(b->data);
    free(b->json);
    memset(b, 0, sizeof(*b));
}

uint8_t *build_take(struct builder *b, size_t *ret_length)
{
    uint8_t *data = malloc(b->length);
    if (data == NULL)
        abort();
    memcpy(data, b->data, b->length);
    *ret_length = b->length;
    build_free(b);
    return data;
}

void build_bytes(struct builder *b, const void *data, size_t length)
{
    b->data = grow(b->data, &b->capacity, b->length + length);
    memcpy(b->data + b->length, data, length);
    b->length += length;
}

void build_u8(struct builder *b, unsigned value)
{
    uint8_t byte = (uint8_t)value;
    build_bytes(b, &byte, 1);
}

void build_be(struct builder *b, uint64_t value, unsigned bytes)
{
    while (bytes-- > 0)
        build_u8(b, (unsigned)(value >> (8 * bytes) & 0xff));
}

void build_name(struct builder *b, const char *name)
{
    build_u8(b, (unsigned)strlen(name));
    build_bytes(b, name, strlen(name));
}

void build_header(struct builder *b, const char *machine)
{
    build_bytes(b, "QEVM", 4);
    build_be(b, 3, 4);
    if (machine == NULL)
        return;
    build_u8(b, 7);
    build_be(b, strlen(machine), 4);
    build_bytes(b, machine, strlen(machine));
}

void build_ram_section(struct builder *b, unsigned type)
{
    build_u8(b, type);
    build_be(b, 2, 4);
    if (type == 1) {
        build_name(b, "ram");
        build_be(b, 0, 4);
        build_be(b, 4, 4);
    }
}

void build_block_list(struct builder *b, uint64_t total)
{
    build_be(b, total | 4, 8);
}

void build_block(struct builder *b, const char *name, uint64_t length)
{
    build_name(b, name);
    build_be(b, length, 8);
}

static void build_entry(struct builder *b, const char *block, uint64_t offset, uint64_t flag)
{
    build_be(b, offset | flag | (block == NULL ? 0x20 : 0), 8);
    if (block != NULL)
        build_name(b, block);
}

void build_zero(struct builder *b, const char *block, uint64_t offset, uint8_t fill)
{
    build_entry(b, block, offset, 2);
    build_u8(b, fill);
}

uint8_t build_page_byte(uint8_t first, size_t i)
{
    return (uint8_t)(first + i * 7 + i / 256);
}

void build_page(struct builder *b, const char *block, uint64_t offset, uint8_t first)
{
    uint8_t page[PAGE];
    for (size_t i = 0; i < PAGE; i++)
        page[i] = build_page_byte(first, i);
    build_entry(b, block, offset, 8);
    build_bytes(b, page, PAGE);
}

void build_mapped_capability(struct builder *b)
{
    build_u8(b, 5);
    build_name(b, "configuration/capabilities");
    build_be(b, 1, 4);
    build_be(b, 1, 4);
    build_name(b, "mapped-ram");
}

size_t build_mapped_block(struct builder *b, const char *name, const uint8_t *kinds, unsigned pages,
                          uint8_t first, uint64_t shift)
{
    const unsigned bytes = (pages + 63) / 64 * 8;
    build_block(b, name, (uint64_t)pages * PAGE);
    const size_t header = b->length;
    const size_t bitmap = header + 28;
    const size_t data =
        (bitmap + bytes + BUILD_MAPPED_ALIGN - 1) / BUILD_MAPPED_ALIGN * BUILD_MAPPED_ALIGN;
    build_be(b, 1, 4);
    build_be(b, PAGE, 8);
    build_be(b, bitmap + shift, 8);
    build_be(b, data + shift, 8);
    for (unsigned i = 0; i < bytes; i++) {
        unsigned bits = 0;
        for (unsigned k = 0; k < 8 && i * 8 + k < pages; k++)
            bits |= (unsigned)(kinds[i * 8 + k] == BUILD_MAPPED_PRESENT) << k;
        build_u8(b, bits);
    }
    while (b->length < data)
        build_u8(b, 0xbb);
    for (unsigned i = 0; i < pages; i++) {
        for (unsigned k = 0; k < PAGE; k++)
            build_u8(b, kinds[i] != BUILD_MAPPED_ABSENT ? build_page_byte((uint8_t)(first + i), k)
                                                        : 0);
    }
    return header;
}

void build_ram_section_end(struct builder *b)
{
    build_be(b, 0x10, 8);
    build_u8(b, 0x7e);
    build_be(b, 2, 4);
}

void build_small_ram(struct builder *b, unsigned pages)
{
    build_ram_section(b, 1);
    build_block_list(b, (uint64_t)pages * PAGE);
    build_block(b, "pc.ram", (uint64_t)pages * PAGE);
    build_ram_section_end(b);
    build_ram_section(b, 3);
    for (unsigned i = 0; i < pages; i++)
        build_zero(b, i == 0 ? "pc.ram" : NULL, (uint64_t)i * PAGE, 0);
    build_ram_section_end(b);
}

void build_json(struct builder *b, const char *text)
{
    size_t length = strlen(text);
    b->json = grow(b->json, &b->json_capacity, b->json_length + length + 1);
    memcpy(b->json + b->json_length, text, length + 1);
    b->json_length += length;
}

static void json_format(struct builder *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void json_format(struct builder *b, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    build_json(b, text);
}

void build_device(struct builder *b, const char *name, const char *vmsd, unsigned instance,
                  unsigned version)
{
    if (b->devices++ == 0) {
        b->devices_at = b->length;
        b->next_id = 10;
    }
    b->id = b->next_id++;
    build_u8(b, 4);
    build_be(b, b->id, 4);
    build_name(b, name);
    build_be(b, instance, 4);
    build_be(b, version, 4);
    json_format(b,
                "%s{\"name\": \"%s\", \"instance_id\": %u, \"vmsd_name\": \"%s\", "
                "\"version\": %u, \"fields\": [",
                b->devices > 1 ? ", " : "", name, instance, vmsd, version);
    b->fields = 0;
}

void build_describe(struct builder *b, const char *name, const char *type, unsigned size,
                    const char *rest)
{
    json_format(b, "%s{\"name\": \"%s\", \"type\": \"%s\", \"size\": %u",
                b->fields++ > 0 ? ", " : "", name, type, size);
    build_json(b, rest);
    build_json(b, "}");
}

void build_field(struct builder *b, const char *name, const char *type, unsigned size,
                 uint64_t value)
{
    build_describe(b, name, type, size, "");
    build_be(b, value, size);
}

void build_subsections(struct builder *b)
{
    build_json(b, "], \"subsections\": [");
    b->fields = -1; /* no comma before the first */
}

void build_subsection(struct builder *b, const char *name, unsigned version)
{
    json_format(b, "%s{\"vmsd_name\": \"%s\", \"version\": %u, \"fields\": [",
                b->fields == -1 ? "" : ", ", name, version);
    build_u8(b, 5);
    build_name(b, name);
    build_be(b, version, 4);
    b->fields = 0;
}

void build_subsection_end(struct builder *b)
{
    build_json(b, "]}");
    b->fields = 1;
}

void build_device_end(struct builder *b)
{
    build_json(b, "]}");
    build_u8(b, 0x7e);
    build_be(b, b->id, 4);
}

void build_finish(struct builder *b)
{
    static const char head[] = "{\"page_size\": 4096, \"devices\": [";
    if (b->devices == 0) {
        b->devices_at = b->length;
        build_json(b, "");
    }
    build_u8(b, 0);
    b->vmdesc_at = b->length;
    build_u8(b, 6);
    build_be(b, strlen(head) + b->json_length + 2, 4);
    build_bytes(b, head, strlen(head));
    build_bytes(b, b->json, b->json_length);
    build_bytes(b, "]}", 2);
}
