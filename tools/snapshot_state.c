/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "snapshot_state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <resume/segments.h>

#include "qemu_cpu.h"
#include "ram.h"
#include "splice.h"

#define DECODE "decode the CPU state"
#define FIND_HOME "find the home"
/* Physical-address bits above the CPU's width are reserved in page tables; the width is not in the
 * stream. The architecture's limit errs on the side of accepting, and the firmware checks again. */
#define PA_BITS 52

/* All that is open during the work. */
struct work {
    const char *path;
    const struct manifest *manifest;
    struct ram ram;
    struct vmdesc desc;
    uint8_t *tail;
    struct resume_vcpu *vcpu;
    struct resume_machine *machine;
    uint8_t area[QEMU_CPU_XSAVE_SIZE];
};

/* Reads the device area, from @offset to the end of the file. */
static int open_devices(struct work *work, int fd, uint64_t offset, struct report_failure *failure)
{
    struct stat status;
    if (fstat(fd, &status) < 0 || status.st_size < 0 || (uint64_t)status.st_size < offset ||
        (uint64_t)status.st_size - offset > STREAM_TAIL_MAX)
        return report_fail(failure, EXIT_CODE_REFUSED, DECODE, work->path, NULL,
                           "the device sections are longer than %" PRIu64 " bytes",
                           STREAM_TAIL_MAX);
    size_t length = (size_t)((uint64_t)status.st_size - offset);
    work->tail = malloc(length > 0 ? length : 1);
    if (work->tail == NULL)
        return report_fail_memory(failure, DECODE);
    if (pread(fd, work->tail, length, (off_t)offset) != (ssize_t)length)
        return report_fail(failure, EXIT_CODE_ENVIRONMENT, DECODE, work->path, NULL,
                           "the device sections cannot be read");
    struct stream_error error = {0};
    if (vmdesc_open(&work->desc, work->tail, length, offset, &error) != 0)
        return splice_report(failure, &error, DECODE, work->path);
    return 0;
}

/* Would the vCPU be fit for a resume a moment later? */
static bool is_transient(const struct resume_run *run)
{
    return run->interrupt_shadow != 0 || run->nmi_masked != 0 || run->nmi_pending != 0 ||
           run->smm != 0 || run->exception_vector != RESUME_NO_EVENT ||
           run->interrupt_vector != RESUME_NO_EVENT;
}

static int decode_vcpu(struct work *work, bool *ret_transient, struct report_failure *failure)
{
    struct stream_error error = {0};
    struct resume_diag diag = {0};
    uint32_t count = qemu_cpu_count(&work->desc);
    if (count != 1)
        return report_fail(failure, EXIT_CODE_REFUSED, DECODE, work->path, NULL,
                           "the stream holds %" PRIu32 " vCPUs; this version resumes one", count);
    work->vcpu = calloc(1, sizeof(*work->vcpu));
    if (work->vcpu == NULL)
        return report_fail_memory(failure, DECODE);
    if (qemu_cpu_decode(&work->desc, 0, work->vcpu, work->area, &error) != 0)
        return splice_report(failure, &error, DECODE, work->path);
    int result = resume_vcpu_validate(work->vcpu, 0, &diag);
    if (result != 0)
        return report_fail_diag(failure, result, &diag, DECODE, work->path,
                                "snapshot a guest that runs in 64-bit mode");
    result = resume_vcpu_check_scope(work->vcpu, 0, &diag);
    if (result != 0) {
        *ret_transient = is_transient(&work->vcpu->run);
        return report_fail_diag(failure, result, &diag, DECODE, work->path,
                                *ret_transient ? "let the VM run a moment and take it again"
                                               : NULL);
    }
    return 0;
}

/* The guest's RAM as the blob has it: whole pages, neighbours joined. */
static int collect_ranges(const struct manifest *manifest, struct resume_machine *machine,
                          struct report_failure *failure)
{
    for (uint32_t i = 0; i < manifest->range_count; i++) {
        const struct manifest_range *range = &manifest->range[i];
        if (range->kind != MANIFEST_RANGE_RAM || range->base_pa % RESUME_PAGE_SIZE != 0 ||
            range->length % RESUME_PAGE_SIZE != 0)
            continue;
        struct resume_range *last =
            machine->range_count > 0 ? &machine->range[machine->range_count - 1] : NULL;
        if (last != NULL && last->base_pa + last->length == range->base_pa) {
            last->length += range->length;
            continue;
        }
        if (machine->range_count == RESUME_RANGE_MAX)
            return report_fail(failure, EXIT_CODE_REFUSED, DECODE, "memory map", NULL,
                               "more than %d ranges of RAM", RESUME_RANGE_MAX);
        machine->range[machine->range_count++] =
            (struct resume_range){range->base_pa, range->length};
    }
    return 0;
}

static int fill_name(char *out, const char *text, const char *field, struct report_failure *failure)
{
    if (strlen(text) >= RESUME_NAME_MAX)
        return report_fail(failure, EXIT_CODE_REFUSED, DECODE, field, NULL,
                           "\"%s\" is longer than %d characters", text, RESUME_NAME_MAX - 1);
    strcpy(out, text);
    return 0;
}

static int write_blob(struct work *work, struct snapshot_state *out, struct report_failure *failure)
{
    work->machine = calloc(1, sizeof(*work->machine));
    if (work->machine == NULL)
        return report_fail_memory(failure, DECODE);
    work->machine->source = RESUME_SOURCE_QEMU_STREAM;
    work->machine->accel = qemu_cpu_accel(&work->desc);
    int result =
        fill_name(work->machine->type, work->manifest->machine_type, "machine type", failure);
    if (result == 0)
        result = fill_name(work->machine->producer, work->manifest->tool, "tool", failure);
    if (result == 0)
        result = collect_ranges(work->manifest, work->machine, failure);
    if (result < 0)
        return result;
    size_t size = 0;
    int error = resume_state_size(work->machine, work->vcpu, 1, &size);
    if (error == 0) {
        out->blob = malloc(size);
        if (out->blob == NULL)
            return report_fail_memory(failure, DECODE);
        error =
            resume_state_write(work->machine, work->vcpu, 1, out->blob, size, &out->blob_length);
    }
    if (error != 0)
        return report_fail_diag(failure, error, NULL, "write the state blob", MANIFEST_STATE, NULL);
    return 0;
}

/* Blocks that the stream lacks are left out: RAM that does not migrate, such as a VGA's ROM. */
static int add_ranges(struct work *work, struct report_failure *failure)
{
    for (uint32_t i = 0; i < work->manifest->range_count; i++) {
        const struct manifest_range *range = &work->manifest->range[i];
        struct stream_error error = {0};
        uint32_t block = ram_block_find(&work->ram, range->block);
        if (block == UINT32_MAX ||
            (range->base_pa | range->length | range->offset) % RESUME_PAGE_SIZE != 0)
            continue;
        const struct ram_range added = {range->base_pa, range->length, block, range->offset};
        if (ram_add_range(&work->ram, &added, &error) != 0)
            return splice_report(failure, &error, FIND_HOME, work->path);
    }
    return 0;
}

static int find_home(struct work *work, struct resume_home *out, struct report_failure *failure)
{
    const struct resume_ctrl *ctrl = &work->vcpu->ctrl;
    const struct resume_paging paging = {
        .phys = ram_phys(&work->ram),
        .root_pa = ctrl->cr3,
        .levels = (ctrl->cr4 & (UINT64_C(1) << 12)) != 0 ? 5 : 4,
        .nxe = (ctrl->efer & (UINT64_C(1) << 11)) != 0,
        .pa_bits = PA_BITS,
    };
    struct resume_home_search search = {0};
    struct resume_diag diag = {0};
    int error = resume_segments_check(work->vcpu, 0, &paging, &diag);
    if (error == RESUME_ECONSISTENT || error == RESUME_EUNSUPPORTED)
        return report_fail_diag(failure, error, &diag, "check the segment registers", work->path,
                                "take the snapshot at another moment: the guest has changed a "
                                "descriptor since it loaded it, and no instruction can load what "
                                "the register holds");
    if (error == 0)
        error = resume_home_find(&paging, RESUME_HOME_LENGTH, out, &search, &diag);
    if (error == RESUME_ENOHOME)
        return report_fail(failure, EXIT_CODE_REFUSED, FIND_HOME, "guest memory",
                           "the guest's kernel needs executable padding: stock Linux has it",
                           "no place for the trampoline: %u bytes of padding wanted; of %" PRIu64
                           " executable pages the longest run of INT3 has %" PRIu64
                           " bytes, of zeroes %" PRIu64,
                           RESUME_HOME_LENGTH, search.pages_executable, search.longest_padding,
                           search.longest_zero);
    if (error != 0 && work->ram.io_error != 0)
        return report_fail_errno(failure, work->ram.io_error, FIND_HOME, work->path);
    if (error != 0)
        return report_fail_diag(failure, error, &diag, FIND_HOME, "guest memory", NULL);
    return 0;
}

static int write_plan(struct snapshot_state *out, struct report_failure *failure)
{
    struct resume_state state;
    struct resume_diag diag = {0};
    int error = resume_state_open(out->blob, out->blob_length, &state, &diag);
    if (error != 0)
        return report_fail_diag(failure, error, &diag, "read the state blob back", MANIFEST_STATE,
                                NULL);
    const struct resume_plan plan = {.state_crc32c = state.crc32c, .home = out->home};
    error = resume_plan_write(&plan, out->plan, sizeof(out->plan), &out->plan_length);
    if (error != 0)
        return report_fail_diag(failure, error, NULL, "write the plan", MANIFEST_PLAN, NULL);
    return 0;
}

static int make(struct work *work, int fd, struct snapshot_state *out, bool *ret_transient,
                struct report_failure *failure)
{
    struct stream_error error = {0};
    uint64_t tail_offset = 0;
    if (ram_open(&work->ram, fd, &tail_offset, &error) != 0)
        return splice_report(failure, &error, "read the stream", work->path);
    int result = open_devices(work, fd, tail_offset, failure);
    if (result == 0)
        result = decode_vcpu(work, ret_transient, failure);
    if (result == 0)
        result = write_blob(work, out, failure);
    if (result == 0)
        result = add_ranges(work, failure);
    if (result == 0)
        result = find_home(work, &out->home, failure);
    if (result == 0)
        result = write_plan(out, failure);
    return result;
}

int snapshot_state_make(struct snapshot_state *out, int fd, const char *path,
                        const struct manifest *manifest, bool *ret_transient,
                        struct report_failure *failure)
{
    *ret_transient = false;
    struct snapshot_state made = {0};
    struct work *work = calloc(1, sizeof(*work));
    if (work == NULL)
        return report_fail_memory(failure, DECODE);
    work->path = path;
    work->manifest = manifest;
    int result = make(work, fd, &made, ret_transient, failure);
    vmdesc_close(&work->desc);
    ram_close(&work->ram);
    free(work->tail);
    free(work->vcpu);
    free(work->machine);
    free(work);
    if (result < 0) {
        snapshot_state_free(&made);
        return result;
    }
    *out = made;
    return 0;
}

void snapshot_state_free(struct snapshot_state *state)
{
    free(state->blob);
    *state = (struct snapshot_state){0};
}
