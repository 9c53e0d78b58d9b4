/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* A QEMU migration stream in a file of its own. */
#include "qemu_stream.h"

static int probe(const struct import_input *input)
{
    return input->is_directory ? 0 : qemu_stream_probe(&input->file);
}

static int open_stream(const struct import_input *input, void **ret_state, uint32_t *ret_vcpus,
                       char *detail, size_t detail_size, struct resume_import_error *error)
{
    struct qemu_stream *stream = NULL;
    int ret = qemu_stream_open(&input->file, &stream, detail, detail_size, error);
    if (ret != 0)
        return ret;
    *ret_state = stream;
    *ret_vcpus = qemu_stream_vcpus(stream);
    return 0;
}

static int vcpu(void *state, uint32_t index, struct resume_vcpu *out,
                struct resume_import_error *error)
{
    return qemu_stream_vcpu(state, index, out, error);
}

static int machine(void *state, struct resume_machine *out, struct resume_import_error *error)
{
    return qemu_stream_machine(state, out, error);
}

static int memory(void *state, struct resume_phys *out, struct resume_import_error *error)
{
    return qemu_stream_memory(state, out, error);
}

static void close_stream(void *state)
{
    qemu_stream_close(state);
}

static const struct qemu_stream *stream_of(void *state)
{
    return state;
}

const struct importer import_qemu_stream = {
    .format = {.name = "qemu-stream", .title = "QEMU migration stream", .readable = 1},
    .probe = probe,
    .open = open_stream,
    .vcpu = vcpu,
    .machine = machine,
    .memory = memory,
    .close = close_stream,
    .stream = stream_of,
};
