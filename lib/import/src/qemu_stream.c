/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "qemu_stream.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import_stream.h"
#include "memory.h"
#include "qemu_cpu.h"
#include "ram.h"
#include "vmdesc.h"

struct qemu_stream {
    const struct import_file *file;
    struct vmdesc devices;
    struct ram ram; /* its blocks from the begin, its pages when memory is asked for */
    bool indexed;
    bool placed; /* it is known where the blocks are */
    bool mapped; /* mapped-ram */
    char machine[RESUME_NAME_MAX];
    struct import_pages pages;
    uint8_t area[QEMU_CPU_XSAVE_SIZE];
};

/* The other kind of diagnosis. */
static int fail(const struct qemu_stream *stream, const struct stream_error *cause,
                struct resume_import_error *error)
{
    return import_fail(error, cause->code, cause->offset, stream->file->name, cause->hint, "%s",
                       cause->why);
}

int qemu_stream_probe(const struct import_file *file)
{
    static const uint8_t magic[8] = {'Q', 'E', 'V', 'M', 0, 0, 0, 3};
    uint8_t head[sizeof(magic)];
    if (import_read(file, 0, head, sizeof(head), NULL) != 0)
        return 0;
    /* Another version is refused by the number that it has. */
    return memcmp(head, magic, 4) == 0 ? 100 : 0;
}

/* From the begin to the list of RAM blocks. @ret_id: of the RAM's section. */
static int read_head(struct qemu_stream *stream, struct stream *head, uint64_t *ret_least,
                     uint32_t *ret_id, struct stream_error *error)
{
    struct stream_event event;
    do {
        int ret = stream_next(head, &event, error);
        if (ret != 0)
            return ret;
    } while (event.kind != STREAM_MEMORY && event.kind != STREAM_DEVICES);
    if (event.kind == STREAM_DEVICES)
        return stream_fail(error, RESUME_EMISSING, event.offset, NULL, "there is no RAM in it");
    snprintf(stream->machine, sizeof(stream->machine), "%.63s", stream_machine(head));
    stream->mapped = stream_is_mapped(head);
    *ret_least = event.offset + event.length;
    *ret_id = event.section_id;
    return ram_add(&stream->ram, head, &event, error);
}

/* All that a vCPU's state is made of. */
static const char *const cpu_sections[] = {"cpu", "cpu_common", "apic", "kvmclock", NULL};

/* The device sections: from the end, or when that leads to nothing, by going all the way. */
static int read_devices(struct qemu_stream *stream, struct stream *head, uint64_t least,
                        uint32_t id, struct stream_error *error)
{
    struct stream_event event;
    if (vmdesc_open_end(&stream->devices, stream->file, least, id, cpu_sections, error) == 0)
        return 0;
    do {
        int ret = stream_next(head, &event, error);
        if (ret != 0)
            return ret;
    } while (event.kind != STREAM_DEVICES);
    return vmdesc_open_from(&stream->devices, stream->file, event.offset, cpu_sections, error);
}

static int read_stream(struct qemu_stream *stream, struct stream_error *error)
{
    struct stream head;
    uint64_t least = 0;
    uint32_t id = 0;
    int ret = ram_begin_file(&stream->ram, stream->file, error);
    if (ret != 0)
        return ret;
    ret = stream_open_file(&head, stream->file, error);
    if (ret != 0)
        return ret;
    ret = read_head(stream, &head, &least, &id, error);
    if (ret == 0)
        ret = read_devices(stream, &head, least, id, error);
    stream_close(&head);
    if (ret == 0 && qemu_cpu_count(&stream->devices) == 0)
        ret = stream_fail(error, RESUME_EMISSING, stream->devices.tail_offset,
                          "give the stream of an x86 machine", "there is no vCPU in it");
    return ret;
}

int qemu_stream_open(const struct import_file *file, struct qemu_stream **ret, char *detail,
                     size_t detail_size, struct resume_import_error *error)
{
    struct stream_error cause;
    struct qemu_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET, file->name,
                           "", "no memory");
    stream->file = file;
    if (read_stream(stream, &cause) != 0) {
        int code = fail(stream, &cause, error);
        qemu_stream_close(stream);
        return code;
    }
    if (detail_size > 0)
        snprintf(detail, detail_size, "%s%s%s%s",
                 qemu_cpu_accel(&stream->devices) == RESUME_ACCEL_KVM ? "KVM" : "TCG",
                 stream->machine[0] != 0 ? ", " : "", stream->machine,
                 stream->mapped ? ", mapped-ram" : "");
    *ret = stream;
    return 0;
}

void qemu_stream_close(struct qemu_stream *stream)
{
    if (stream == NULL)
        return;
    import_pages_close(&stream->pages);
    ram_close(&stream->ram);
    vmdesc_close(&stream->devices);
    free(stream);
}

uint32_t qemu_stream_vcpus(const struct qemu_stream *stream)
{
    return qemu_cpu_count(&stream->devices);
}

int qemu_stream_vcpu(struct qemu_stream *stream, uint32_t index, struct resume_vcpu *out,
                     struct resume_import_error *error)
{
    struct stream_error cause;
    int ret = qemu_cpu_decode(&stream->devices, index, out, stream->area, &cause);
    return ret == 0 ? 0 : fail(stream, &cause, error);
}

const struct vmdesc *qemu_stream_devices(const struct qemu_stream *stream)
{
    return &stream->devices;
}

const struct stream_block *qemu_stream_blocks(const struct qemu_stream *stream, uint32_t *ret_count)
{
    *ret_count = stream->ram.block_count;
    return stream->ram.blocks;
}

/* Unless it was told where the blocks are: as on a PC by default. */
static int place(struct qemu_stream *stream, struct stream_error *error)
{
    int ret = stream->placed ? 0 : ram_guess_ranges(&stream->ram, stream->machine, error);
    stream->placed = ret == 0;
    return ret;
}

int qemu_stream_machine(struct qemu_stream *stream, struct resume_machine *out,
                        struct resume_import_error *error)
{
    (void)error;
    out->source = RESUME_SOURCE_QEMU_STREAM;
    out->accel = qemu_cpu_accel(&stream->devices);
    snprintf(out->type, sizeof(out->type), "%s", stream->machine);
    out->range_count = 0;
    if (place(stream, NULL) != 0)
        return 0;
    for (uint32_t i = 0; i < stream->ram.range_count && i < RESUME_RANGE_MAX; i++)
        out->range[out->range_count++] = (struct resume_range){
            .base_pa = stream->ram.range[i].base_pa, .length = stream->ram.range[i].length};
    return 0;
}

int qemu_stream_map(struct qemu_stream *stream, const struct qemu_stream_range *ranges,
                    size_t count, struct resume_import_error *error)
{
    struct stream_error cause;
    if (stream->pages.bytes != NULL)
        return import_fail(error, RESUME_EUNSUPPORTED, RESUME_IMPORT_NO_OFFSET, stream->file->name,
                           "", "the memory has been given out");
    stream->ram.range_count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct ram_range range = {
            .base_pa = ranges[i].base_pa,
            .length = ranges[i].length,
            .block = ram_block_find(&stream->ram, ranges[i].block),
            .block_offset = ranges[i].block_offset,
        };
        if (ram_add_range(&stream->ram, &range, &cause) != 0) {
            stream->ram.range_count = 0;
            return import_fail(error, cause.code, RESUME_IMPORT_NO_OFFSET, stream->file->name,
                               "take the snapshot again",
                               "the memory map does not fit the stream: %s, RAM block \"%.64s\" at "
                               "0x%llx",
                               cause.why, ranges[i].block, (unsigned long long)range.base_pa);
        }
    }
    stream->placed = true;
    return 0;
}

static int read_page(void *ctx, uint64_t pa, uint8_t *page)
{
    struct qemu_stream *stream = ctx;
    uint32_t block;
    uint64_t offset;
    if (!ram_locate(&stream->ram, pa, &block, &offset))
        return -1;
    return ram_read_page(&stream->ram, block, offset, page, NULL);
}

int qemu_stream_memory(struct qemu_stream *stream, struct resume_phys *out,
                       struct resume_import_error *error)
{
    struct stream_error cause;
    if (place(stream, &cause) != 0)
        return import_fail(error, RESUME_EUNREACHABLE, RESUME_IMPORT_NO_OFFSET, stream->file->name,
                           cause.hint, "%s", cause.why);
    if (!stream->indexed && !stream->mapped && ram_index(&stream->ram, &cause) != 0)
        return fail(stream, &cause, error);
    stream->indexed = true;
    return import_pages_open(&stream->pages, read_page, stream, out, error);
}
