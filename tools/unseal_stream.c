/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The stream that an image was made from: the device part passes through, the pages are inserted at the end
 * of its RAM, and the device sections are as they were before the image was made. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "splice.h"
#include "unseal_private.h"

int unseal_put(struct unsealing *unsealing, const void *data, size_t length)
{
    unsealing->written += length;
    return unseal_write(unsealing->fd, data, length, unsealing->failure);
}

static int sink(void *context, const void *data, size_t length)
{
    return unseal_put(context, data, length);
}

static int fail_stream(struct unsealing *unsealing, const struct stream_error *error)
{
    if (error->code == STREAM_ESINK)
        return -unsealing->failure->exit_code;
    return splice_report(unsealing->failure, error, UNSEAL_WHAT, "the image's device part");
}

static int fail_changes(struct unsealing *unsealing, uint64_t offset)
{
    return report_fail(unsealing->failure, EXIT_CODE_REFUSED, UNSEAL_WHAT, unsealing->unseal->path,
                       "seal the snapshot again",
                       "changes: offset 0x%" PRIx64 " is not in the device sections", offset);
}

/* The device sections and the description, with the changes. */
static int put_tail(struct unsealing *unsealing)
{
    const struct resume_sealed *image = &unsealing->unseal->image;
    const uint64_t changes = image->header->part_length[RESUME_SEALED_PART_CHANGES];
    const uint8_t *tail = NULL;
    size_t length = 0;
    uint64_t offset = 0;
    struct stream_error error;
    struct resume_sealed_change change;
    size_t done = 0;
    int result = 0;
    memset(&error, 0, sizeof(error));
    if (stream_tail(&unsealing->stream, &tail, &length, &offset, &error) != 0)
        return fail_stream(unsealing, &error);
    for (uint64_t at = 0; result == 0 && at < changes;) {
        at = resume_sealed_change(image, at, &change);
        /* That they ascend and where they end, the library has checked. */
        if (change.offset < offset || change.offset - offset < done ||
            change.offset - offset > length ||
            change.removed > length - (size_t)(change.offset - offset))
            return fail_changes(unsealing, change.offset);
        const size_t begin = (size_t)(change.offset - offset);
        result = unseal_put(unsealing, tail + done, begin - done);
        if (result == 0)
            result = unseal_put(unsealing, change.bytes, change.added);
        done = begin + change.removed;
    }
    return result == 0 ? unseal_put(unsealing, tail + done, length - done) : result;
}

static int rebuild(struct unsealing *unsealing, int devices_fd)
{
    struct stream *stream = &unsealing->stream;
    struct stream_error error;
    struct stream_event event;
    memset(&error, 0, sizeof(error));
    if (lseek(devices_fd, 0, SEEK_SET) != 0)
        return report_fail_errno(unsealing->failure, errno, UNSEAL_WHAT, "the device part");
    if (stream_open_fd(stream, devices_fd, &error) != 0)
        return fail_stream(unsealing, &error);
    stream_set_sink(stream, sink, unsealing);
    do {
        int result = 0;
        if (stream_next(stream, &event, &error) != 0)
            return fail_stream(unsealing, &error);
        if (event.kind == STREAM_MEMORY && unsealing->area == NULL) {
            result = unseal_areas(unsealing);
        } else if (event.kind == STREAM_RAM_END && event.type == STREAM_TYPE_END &&
                   unsealing->area != NULL) {
            if (stream_sink_to(stream, event.offset, &error) != 0)
                return fail_stream(unsealing, &error);
            result = unseal_pages(unsealing);
        }
        if (result != 0)
            return result;
    } while (event.kind != STREAM_DEVICES);
    return put_tail(unsealing);
}

int unseal_stream(const struct unseal *unseal, const struct manifest *manifest, int devices_fd,
                  int fd, uint64_t *ret_size, struct progress *progress,
                  struct report_failure *failure)
{
    struct unsealing unsealing = {
        .unseal = unseal, .manifest = manifest, .progress = progress, .failure = failure, .fd = fd};
    int result = rebuild(&unsealing, devices_fd);
    stream_close(&unsealing.stream);
    free(unsealing.area);
    if (result == 0 && ret_size != NULL)
        *ret_size = unsealing.written;
    return result;
}

int unseal_stream_file(const struct unseal *unseal, const struct manifest *manifest, int devices_fd,
                       const char *directory, int *ret_fd, uint64_t *ret_size,
                       struct progress *progress, struct report_failure *failure)
{
    int fd = -1;
    int result = unseal_file(directory, &fd, failure);
    if (result != 0)
        return result;
    result = unseal_stream(unseal, manifest, devices_fd, fd, ret_size, progress, failure);
    if (result == 0 && lseek(fd, 0, SEEK_SET) != 0)
        result = report_fail_errno(failure, errno, UNSEAL_WHAT, directory);
    if (result != 0)
        close(fd);
    else
        *ret_fd = fd;
    return result;
}
