/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What a migration stream contributes to a view. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "import_stream.h"
#include "view_internal.h"

static int keep_blocks(struct view *view, const struct qemu_stream *stream,
                       struct report_failure *failure)
{
    uint32_t count;
    const struct stream_block *blocks = qemu_stream_blocks(stream, &count);
    view->blocks = calloc(count + 1, sizeof(*view->blocks));
    if (view->blocks == NULL)
        return report_fail_memory(failure, "inspect");
    memcpy(view->blocks, blocks, count * sizeof(*blocks));
    view->block_count = count;
    return 0;
}

static int keep_devices(struct view *view, const struct vmdesc *desc,
                        struct report_failure *failure)
{
    view->devices = calloc(desc->section_count + 1, sizeof(*view->devices));
    if (view->devices == NULL)
        return report_fail_memory(failure, "inspect");
    for (uint32_t i = 0; i < desc->section_count; i++) {
        const struct vmdesc_section *section = &desc->sections[i];
        struct view_device *device = &view->devices[i];
        snprintf(device->name, sizeof(device->name), "%s", section->name);
        device->instance = section->instance;
        device->version = section->version;
        device->length = section->payload_length;
    }
    view->device_count = desc->section_count;
    return 0;
}

/* The stream as the importer has it. */
static int find_stream(struct view *view, const char *path, const struct qemu_stream **ret,
                       struct report_failure *failure)
{
    struct resume_import_error error;
    struct resume_phys phys;
    *ret = import_stream(view->input.import);
    if (*ret != NULL)
        return 0;
    /* That of a snapshot may be damaged: its memory is not to be had then, for a reason. */
    if (resume_import_memory(view->input.import, &phys, &error) != 0)
        return input_fail(&error, "inspect", path, failure);
    return report_fail(failure, EXIT_CODE_REFUSED, "inspect", path, "try again",
                       "there was no stream in it, and then there was");
}

/* Tells the RAM index where its blocks lie, from the manifest or by guess. */
static int place_ram(struct view *view, const char *path, struct report_failure *failure)
{
    struct stream_error error;
    if (view->map_source != VIEW_MAP_MANIFEST) {
        if (ram_guess_ranges(&view->ram, view->machine.type, NULL) != 0)
            return 0; /* no map, then */
        free(view->ranges);
        view->ranges = calloc(RAM_RANGE_MAX, sizeof(*view->ranges));
        if (view->ranges == NULL)
            return report_fail_memory(failure, "inspect");
        for (uint32_t i = 0; i < view->ram.range_count; i++) {
            const struct ram_range *range = &view->ram.range[i];
            view->ranges[i] = (struct manifest_range){.base_pa = range->base_pa,
                                                      .length = range->length,
                                                      .offset = range->block_offset,
                                                      .kind = MANIFEST_RANGE_RAM};
            snprintf(view->ranges[i].block, sizeof(view->ranges[i].block), "%.127s",
                     view->ram.blocks[range->block].name);
        }
        view->range_count = view->ram.range_count;
        view->map_source = VIEW_MAP_GUESS;
        return 0;
    }
    for (uint32_t i = 0; i < view->range_count; i++) {
        const struct manifest_range *range = &view->ranges[i];
        struct ram_range placed = {.base_pa = range->base_pa,
                                   .length = range->length,
                                   .block = ram_block_find(&view->ram, range->block),
                                   .block_offset = range->offset};
        if (placed.block == UINT32_MAX)
            continue; /* memory that does not migrate: its content is not in the stream */
        if (ram_add_range(&view->ram, &placed, &error) != 0)
            return report_fail(failure, EXIT_CODE_REFUSED, "inspect", path,
                               "take the snapshot again",
                               "the manifest's memory map does not fit the stream: %s, RAM block "
                               "\"%s\" at 0x%llx",
                               error.why, range->block, (unsigned long long)range->base_pa);
    }
    return 0;
}

int view_load_stream(struct view *view, const char *path, bool with_memory,
                     struct report_failure *failure)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return view_fail_open(errno, path, failure);
    view->stream_fd = fd;
    if (fstat(fd, &st) != 0)
        return report_fail_errno(failure, errno, "inspect", path);
    view->file_size = (uint64_t)st.st_size;
    const struct qemu_stream *stream;
    struct stream_error error;
    int ret = find_stream(view, path, &stream, failure);
    if (ret == 0)
        ret = keep_blocks(view, stream, failure);
    if (ret == 0)
        ret = keep_devices(view, qemu_stream_devices(stream), failure);
    if (ret != 0 || !with_memory)
        return ret;
    if (ram_open(&view->ram, fd, NULL, &error) != 0)
        return view_fail_stream(&error, path, failure);
    view->have_ram = true;
    return place_ram(view, path, failure);
}
