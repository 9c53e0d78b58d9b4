/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "state_blob.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <resume/format.h>

static int fail_diag(const char *where, int code, const struct resume_diag *diag,
                     struct resume_import_error *error)
{
    char vcpu[24] = "";
    if (diag->where == NULL || diag->field == NULL)
        return import_fail(error, code, RESUME_IMPORT_NO_OFFSET, where, "", "%s",
                           resume_strerror(code));
    if (diag->vcpu != RESUME_NO_VCPU)
        snprintf(vcpu, sizeof(vcpu), "vCPU %" PRIu32 ", ", diag->vcpu);
    return import_fail(error, code, diag->offset, where, "make the blob or the snapshot again",
                       "%s: %s%s, %s: found 0x%" PRIx64 ", expected 0x%" PRIx64,
                       resume_strerror(code), vcpu, diag->where, diag->field, diag->found,
                       diag->expected);
}

int state_blob_open(struct state_blob *blob, const struct import_file *file, char *detail,
                    size_t detail_size, struct resume_import_error *error)
{
    struct state_blob opened = {.where = file->name};
    struct resume_machine machine;
    struct resume_diag diag = {0};
    size_t length;
    int ret = import_load(file, RESUME_FORMAT_SIZE_MAX, &opened.data, &length, error);
    if (ret != 0)
        return ret;
    ret = resume_state_open(opened.data, length, &opened.state, &diag);
    if (ret == 0)
        ret = resume_state_machine(&opened.state, &machine, &diag);
    if (ret != 0) {
        free(opened.data);
        return fail_diag(file->name, ret, &diag, error);
    }
    snprintf(detail, detail_size, "format %u.%u%s%s", opened.state.major, opened.state.minor,
             machine.producer[0] != 0 ? ", written by " : "", machine.producer);
    *blob = opened;
    return 0;
}

void state_blob_close(struct state_blob *blob)
{
    free(blob->data);
    *blob = (struct state_blob){0};
}

int state_blob_vcpu(const struct state_blob *blob, uint32_t index, struct resume_vcpu *out,
                    struct resume_import_error *error)
{
    struct resume_diag diag = {0};
    int ret = resume_state_vcpu(&blob->state, index, out, &diag);
    return ret == 0 ? 0 : fail_diag(blob->where, ret, &diag, error);
}

int state_blob_machine(const struct state_blob *blob, struct resume_machine *out,
                       struct resume_import_error *error)
{
    struct resume_diag diag = {0};
    int ret = resume_state_machine(&blob->state, out, &diag);
    return ret == 0 ? 0 : fail_diag(blob->where, ret, &diag, error);
}
