/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The whole way of a stream: framing, description, vCPUs, RAM. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "qemu_cpu.h"
#include "qemu_fields.h"
#include "ram.h"
#include "stream.h"
#include "vmdesc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Properties that a failing `if` turns into a finding. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

struct sunk {
    const uint8_t *data;
    size_t at;
};

/* The sink gets the input itself, in order. */
static int sink(void *ctx, const void *data, size_t length)
{
    struct sunk *sunk = ctx;
    MUST(memcmp(sunk->data + sunk->at, data, length) == 0);
    sunk->at += length;
    return 0;
}

static void try_fields(const struct vmdesc *desc)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < desc->section_count; i++) {
        const struct vmdesc_section *section = &desc->sections[i];
        MUST(section->start < section->payload && section->payload <= section->end);
        MUST(section->end <= desc->eof && section->end - section->payload >= 5);
        for (uint32_t k = 0; k < section->field_count; k++) {
            const struct vmdesc_field *field = &desc->fields[section->first_field + k];
            uint64_t value = 0;
            const uint8_t *end = field->data + (size_t)field->size * field->array_len;
            MUST(field->data >= desc->tail + section->payload);
            MUST(end <= desc->tail + section->end - 5);
            for (const uint8_t *p = field->data; p < end; p++)
                sum += *p;
            if (vmdesc_field_u64(field, &value) == 0)
                sum += value;
            sum += (uint64_t)qemu_field_class(field->path, NULL);
        }
    }
    MUST(sum != 1 || desc->field_count > 0);
}

static void try_tail(const uint8_t *tail, size_t length, uint64_t offset)
{
    struct stream_error error;
    struct vmdesc desc;
    int ret = vmdesc_open(&desc, tail, length, offset, &error);
    if (ret != 0) {
        MUST(error.code == ret && error.hint != NULL && error.why[0] != '\0');
        return;
    }
    try_fields(&desc);
    for (uint32_t i = 0; i < qemu_cpu_count(&desc) && i < 4; i++) {
        struct resume_vcpu vcpu;
        uint8_t area[QEMU_CPU_XSAVE_SIZE];
        if (qemu_cpu_decode(&desc, i, &vcpu, area, &error) != 0)
            continue;
        MUST(vcpu.xsave.length >= 576 && vcpu.xsave.length <= QEMU_CPU_XSAVE_SIZE);
        struct resume_diag diag;
        if (resume_vcpu_validate(&vcpu, i, &diag) == 0)
            resume_vcpu_check_scope(&vcpu, i, &diag);
    }
    vmdesc_close(&desc);
}

/*
 * A description and sections that are put together here: so that a change of the text's length does
 * not end at the length field. Two bytes of length, the text, the sections.
 */
static void try_description(const uint8_t *data, size_t size)
{
    if (size < 2)
        return;
    size_t text = stream_be16(data);
    size_t sections = size - 2;
    if (text > sections)
        text = sections;
    sections -= text;
    uint8_t *tail = malloc(sections + 6 + text);
    if (tail == NULL)
        return;
    memcpy(tail, data + 2 + text, sections);
    memcpy(tail + sections, "\0\6", 2);
    for (unsigned i = 0; i < 4; i++)
        tail[sections + 2 + i] = (uint8_t)(text >> (24 - 8 * i));
    memcpy(tail + sections + 6, data + 2, text);
    try_tail(tail, sections + 6 + text, 0);
    free(tail);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sunk sunk = {.data = data};
    struct stream stream;
    struct stream_event event;
    struct stream_error error;
    struct ram ram;
    uint64_t position = 0;
    const uint8_t *tail;
    size_t length;
    uint64_t offset;
    int ret;

    /* Streams begin with a 'Q'; device areas are tried alone too. */
    if (size > 0 && data[0] == STREAM_TYPE_FULL) {
        try_tail(data, size, 0);
        return 0;
    }
    if (size > 0 && data[0] == STREAM_TYPE_VMDESC) {
        try_description(data + 1, size - 1);
        return 0;
    }
    if (stream_open_memory(&stream, data, size, &error) != 0)
        return 0;
    if (ram_begin_memory(&ram, data, size, &error) != 0) {
        stream_close(&stream);
        return 0;
    }
    stream_set_sink(&stream, sink, &sunk);
    do {
        ret = stream_next(&stream, &event, &error);
        if (ret != 0)
            break;
        MUST(event.offset == position);
        position += event.length;
        MUST(position <= size);
        MUST(ram_add(&ram, &stream, &event, &error) == 0 || stream_error_is_io(error.code));
        if (event.kind == STREAM_PAGE) {
            uint8_t page[4096];
            MUST(ram_read_page(&ram, event.block, event.page_offset, page, &error) == 0);
            MUST(memcmp(page, event.page, sizeof(page)) == 0);
        }
    } while (event.kind != STREAM_DEVICES);
    if (ret == 0) {
        MUST(sunk.at == event.offset);
        MUST(stream_tail(&stream, &tail, &length, &offset, &error) == 0);
        MUST(offset + length == size);
        ram_guess_ranges(&ram, stream_machine(&stream), &error);
        try_tail(tail, length, offset);
    } else {
        MUST(error.code == ret && error.hint != NULL && error.why[0] != '\0');
    }
    ram_close(&ram);
    stream_close(&stream);
    return 0;
}
