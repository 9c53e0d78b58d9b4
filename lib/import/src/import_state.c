/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The project's own state blob (docs/FORMAT.md), and a plan, which is recognised to be refused. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <resume/format.h>

#include "state_blob.h"

static int probe_magic(const struct import_input *input, const char *wanted)
{
    char magic[8];
    if (input->is_directory || import_read(&input->file, 0, magic, sizeof(magic), NULL) != 0)
        return 0;
    return memcmp(magic, wanted, sizeof(magic)) == 0 ? 100 : 0;
}

static int probe(const struct import_input *input)
{
    return probe_magic(input, RESUME_FORMAT_STATE_MAGIC);
}

static int open_state(const struct import_input *input, void **ret_state, uint32_t *ret_vcpus,
                      char *detail, size_t detail_size, struct resume_import_error *error)
{
    struct state_blob *blob = calloc(1, sizeof(*blob));
    if (blob == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET,
                           input->file.name, "", "no memory");
    int ret = state_blob_open(blob, &input->file, detail, detail_size, error);
    if (ret != 0) {
        free(blob);
        return ret;
    }
    *ret_state = blob;
    *ret_vcpus = blob->state.vcpu_count;
    return 0;
}

static int vcpu(void *state, uint32_t index, struct resume_vcpu *out,
                struct resume_import_error *error)
{
    return state_blob_vcpu(state, index, out, error);
}

static int machine(void *state, struct resume_machine *out, struct resume_import_error *error)
{
    return state_blob_machine(state, out, error);
}

static void close_state(void *state)
{
    state_blob_close(state);
    free(state);
}

const struct importer import_state = {
    .format = {.name = "state", .title = "libresume state blob", .readable = 1},
    .probe = probe,
    .open = open_state,
    .vcpu = vcpu,
    .machine = machine,
    .close = close_state,
};

static int probe_plan(const struct import_input *input)
{
    return probe_magic(input, RESUME_FORMAT_PLAN_MAGIC);
}

static int refuse_plan(const struct import_input *input, void **ret_state, uint32_t *ret_vcpus,
                       char *detail, size_t detail_size, struct resume_import_error *error)
{
    (void)ret_state;
    (void)ret_vcpus;
    (void)detail;
    (void)detail_size;
    return import_fail(error, RESUME_EUNSUPPORTED, 0, input->file.name,
                       "give the snapshot directory that it belongs to",
                       "a plan alone says nothing of a machine");
}

const struct importer import_plan = {
    .format = {.name = "plan", .title = "libresume plan", .readable = 0},
    .probe = probe_plan,
    .open = refuse_plan,
};
