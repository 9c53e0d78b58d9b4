/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * What QEMU's savevm leaves in a qcow2 image: a migration stream, stored behind the end of the
 * virtual disk as if the disk went on there.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qcow2.h"
#include "qemu_stream.h"

struct snapshot {
    struct import_extent *extents; /* owned */
    char *name;                    /* owned: "disk.qcow2#name" */
    struct import_file file;       /* the stream */
    struct qemu_stream *stream;
};

static int probe(const struct import_input *input)
{
    return !input->is_directory && qcow2_is(&input->file) ? 90 : 0;
}

static void close_snapshot(void *state)
{
    struct snapshot *snapshot = state;
    qemu_stream_close(snapshot->stream);
    free(snapshot->extents);
    free(snapshot->name);
    free(snapshot);
}

static int show_state(struct snapshot *snapshot, const struct import_input *input,
                      const struct qcow2 *qcow2, const struct qcow2_snapshot *found,
                      struct resume_import_error *error)
{
    size_t count;
    size_t room = strlen(input->path) + sizeof(found->name) + 2;
    int ret = qcow2_map(qcow2, found, &snapshot->extents, &count, error);
    if (ret != 0)
        return ret;
    snapshot->name = malloc(room);
    if (snapshot->name == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET, input->path,
                           "", "no memory");
    snprintf(snapshot->name, room, "%s#%s", input->path, found->name);
    ret = import_file_view(&input->file, snapshot->extents, count, found->state_size,
                           snapshot->name, &snapshot->file);
    if (ret != 0)
        return import_fail(error, ret, RESUME_IMPORT_NO_OFFSET, input->path, "",
                           "the machine's state is not where it can be read");
    return 0;
}

/* Which of several it is comes first, where it is seen. */
static void describe(const struct qcow2_snapshot *found, const char *stream, char *detail,
                     size_t size)
{
    if (found->with_state > 1)
        snprintf(detail, size, "snapshot \"%.40s\" of %u (%s), %s", found->name, found->with_state,
                 found->others, stream);
    else
        snprintf(detail, size, "snapshot \"%.40s\", %s", found->name, stream);
}

static int open_parts(struct snapshot *snapshot, const struct import_input *input, char *detail,
                      size_t detail_size, struct resume_import_error *error)
{
    struct qcow2 qcow2;
    struct qcow2_snapshot found;
    char stream[96] = "";
    int ret = qcow2_open(&qcow2, &input->file, error);
    if (ret == 0)
        ret = qcow2_find(&qcow2, input->part, &found, error);
    if (ret == 0)
        ret = show_state(snapshot, input, &qcow2, &found, error);
    if (ret == 0)
        ret = qemu_stream_open(&snapshot->file, &snapshot->stream, stream, sizeof(stream), error);
    if (ret == 0)
        describe(&found, stream, detail, detail_size);
    return ret;
}

static int open_snapshot(const struct import_input *input, void **ret_state, uint32_t *ret_vcpus,
                         char *detail, size_t detail_size, struct resume_import_error *error)
{
    struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (snapshot == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET, input->path,
                           "", "no memory");
    int ret = open_parts(snapshot, input, detail, detail_size, error);
    if (ret != 0) {
        close_snapshot(snapshot);
        return ret;
    }
    *ret_state = snapshot;
    *ret_vcpus = qemu_stream_vcpus(snapshot->stream);
    return 0;
}

static int vcpu(void *state, uint32_t index, struct resume_vcpu *out,
                struct resume_import_error *error)
{
    const struct snapshot *snapshot = state;
    return qemu_stream_vcpu(snapshot->stream, index, out, error);
}

static int machine(void *state, struct resume_machine *out, struct resume_import_error *error)
{
    const struct snapshot *snapshot = state;
    return qemu_stream_machine(snapshot->stream, out, error);
}

static int memory(void *state, struct resume_phys *out, struct resume_import_error *error)
{
    const struct snapshot *snapshot = state;
    return qemu_stream_memory(snapshot->stream, out, error);
}

const struct importer import_qcow2 = {
    .format = {.name = "qcow2", .title = "qcow2 image with a savevm snapshot", .readable = 1},
    .has_parts = 1,
    .probe = probe,
    .open = open_snapshot,
    .vcpu = vcpu,
    .machine = machine,
    .memory = memory,
    .close = close_snapshot,
};
