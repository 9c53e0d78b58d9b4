/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "verify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <resume/landing.h>
#include <resume/state.h>

#define WHAT "verify"
#define CR4_LA57 (UINT64_C(1) << 12)

/* The state blob, mapped. */
struct blob {
    void *data;
    size_t length;
};

static int open_blob(struct blob *blob, const char *path, struct report_failure *failure)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return report_fail_errno(failure, errno, WHAT, path);
    int error = fstat(fd, &status) != 0 ? errno : 0;
    if (error == 0) {
        blob->length = (size_t)status.st_size;
        blob->data = mmap(NULL, blob->length, PROT_READ, MAP_PRIVATE, fd, 0);
        error = blob->data == MAP_FAILED ? errno : 0;
    }
    close(fd);
    return error != 0 ? report_fail_errno(failure, error, WHAT, path) : 0;
}

/* The landing of one vCPU, composed from the state; the firmware has done the same. */
static int check_landing(const struct verify_options *options, const struct resume_state *state,
                         uint32_t index, struct compare_vcpu *vcpu, struct report_failure *failure)
{
    const struct resume_control *control = &options->parked->control;
    const struct resume_handoff *handoff = &options->parked->handoff[index];
    const bool last = (handoff->flags & RESUME_HANDOFF_LAST_OUT) != 0;
    const struct resume_landing_place place = {
        .slot_va = control->home_va + vcpu->slot_offset,
        .fill = options->input->fill,
        .last_out = last ? 1 : 0,
        .others = last ? control->active_count - 1 : 0,
        .left_va = control->home_va + RESUME_HOME_CONTROL + offsetof(struct resume_control, left),
        .refill_va = control->home_va,
        .refill_length = control->refill_length,
    };
    struct resume_landing landing;
    struct resume_diag diag;
    memset(&diag, 0, sizeof(diag));
    struct resume_vcpu *record = malloc(sizeof(*record));
    if (record == NULL)
        return report_fail_memory(failure, WHAT);
    int err = resume_state_vcpu(state, index, record, &diag);
    if (err == RESUME_OK)
        err = resume_landing_compose(record, &place, &landing);
    free(record);
    if (err != RESUME_OK)
        return report_fail_diag(failure, err, &diag, WHAT, options->state_path, NULL);
    if (memcmp(landing.bytes, vcpu->slot, sizeof(landing.bytes)) != 0)
        return report_fail(failure, EXIT_CODE_DIFFERENT, WHAT, "the parked target",
                           "use the loader that came with this resumectl",
                           "the landing of vCPU %" PRIu32 " is another than its state asks for",
                           index);
    vcpu->remains = landing.remains;
    return 0;
}

static int fill_vcpu(const struct verify_options *options, const struct resume_state *state,
                     uint32_t index, struct compare_vcpu *vcpu, struct report_failure *failure)
{
    const struct splice_parked *parked = options->parked;
    const struct vmdesc_section *section = vmdesc_section_nth(&parked->desc, "cpu", index);
    vcpu->instance = section != NULL ? section->instance : UINT32_MAX;
    vcpu->active = splice_parked_active(parked, index);
    if (!vcpu->active)
        return 0;
    vcpu->levels = (parked->handoff[index].cr4 & CR4_LA57) != 0 ? 5 : 4;
    vcpu->cr3 = parked->handoff[index].cr3;
    vcpu->slot = splice_parked_slot(parked, index, &vcpu->slot_offset);
    return check_landing(options, state, index, vcpu, failure);
}

/* @options: complete. */
static int compare(const struct verify_options *options, struct ledger *out,
                   struct report_failure *failure)
{
    struct resume_state state;
    struct resume_diag diag;
    uint32_t count = options->parked->control.vcpu_count;
    struct compare_vcpu *vcpus = calloc(count != 0 ? count : 1, sizeof(*vcpus));
    if (vcpus == NULL)
        return report_fail_memory(failure, WHAT);
    int result = 0;
    memset(&diag, 0, sizeof(diag));
    int err = resume_state_open(options->state, options->state_length, &state, &diag);
    if (err != RESUME_OK)
        result = report_fail_diag(failure, err, &diag, WHAT, options->state_path, NULL);
    for (uint32_t i = 0; result == 0 && i < count; i++)
        result = fill_vcpu(options, &state, i, &vcpus[i], failure);
    if (result == 0) {
        const struct compare_options compare_options = {
            .source_fd = options->source_fd,
            .resumed_fd = options->resumed_fd,
            .manifest = options->input->manifest,
            .home = &options->input->home,
            .vcpu = vcpus,
            .vcpu_count = count,
            .progress = options->progress,
        };
        result = compare_streams(&compare_options, out, failure);
    }
    free(vcpus);
    return result;
}

int verify_compare(const struct verify_options *options, struct ledger *out,
                   struct report_failure *failure)
{
    struct verify_options complete = *options;
    struct blob blob = {NULL, 0};
    if (options->state != NULL)
        return compare(options, out, failure);
    complete.state_path = options->input->state_path;
    complete.source_fd = options->input->stream_fd;
    int result = open_blob(&blob, complete.state_path, failure);
    if (result < 0)
        return result;
    complete.state = blob.data;
    complete.state_length = blob.length;
    result = compare(&complete, out, failure);
    munmap(blob.data, blob.length);
    return result;
}
