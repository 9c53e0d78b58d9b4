/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "snapshot_state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "qemu_cpu.h"
#include "qemu_events.h"
#include "ram.h"
#include "shadow.h"
#include "snapshot_home.h"
#include "splice.h"

#define DECODE "decode the CPU state"
#define ADVICE_LATER "let the VM run a moment and take it again"

/* All that is open during the work. */
struct work {
    const char *path;
    const struct manifest *manifest;
    struct ram ram;
    struct vmdesc desc;
    uint8_t *tail;
    uint32_t vcpu_count;
    struct resume_vcpu *vcpus;
    uint8_t *areas; /* QEMU_CPU_XSAVE_SIZE bytes for each */
    struct resume_machine *machine;
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

/* Is it an event that keeps the vCPU from being decoded? Then another moment will do. */
static bool is_momentary(const struct vmdesc *desc, uint32_t index)
{
    struct qemu_sections sections;
    struct resume_vcpu scratch = {0};
    if (qemu_sections_open(desc, index, &sections, NULL) != 0)
        return false;
    qemu_events_read(&sections, &scratch);
    return sections.ret == RESUME_EUNSUPPORTED;
}

static int decode_vcpu(struct work *work, uint32_t index, bool *ret_transient,
                       struct report_failure *failure)
{
    struct resume_vcpu *vcpu = &work->vcpus[index];
    struct resume_paging paging;
    struct stream_error error = {0};
    struct resume_diag diag = {0};
    if (qemu_cpu_decode(&work->desc, index, vcpu, work->areas + (size_t)index * QEMU_CPU_XSAVE_SIZE,
                        &error) != 0) {
        *ret_transient = is_momentary(&work->desc, index);
        return splice_report(failure, &error, DECODE, work->path);
    }
    if (!resume_vcpu_dormant(vcpu)) {
        vcpu_paging(&work->ram, vcpu, &paging);
        shadow_complete(vcpu, &paging);
    }
    int result = resume_vcpu_validate(vcpu, index, &diag);
    if (result != 0)
        return report_fail_diag(failure, result, &diag, DECODE, work->path,
                                "snapshot a guest that runs in 64-bit mode");
    result = resume_vcpu_check_scope(vcpu, index, &diag);
    if (result != 0) {
        *ret_transient = is_transient(&vcpu->run);
        return report_fail_diag(failure, result, &diag, DECODE, work->path,
                                *ret_transient ? ADVICE_LATER : NULL);
    }
    return 0;
}

static int decode_vcpus(struct work *work, bool *ret_transient, struct report_failure *failure)
{
    uint32_t count = qemu_cpu_count(&work->desc);
    if (count == 0 || count > RESUME_HOME_VCPUS)
        return report_fail(failure, EXIT_CODE_REFUSED, DECODE, work->path, NULL,
                           "the stream holds %" PRIu32 " vCPUs, expected 1 to %u", count,
                           RESUME_HOME_VCPUS);
    work->vcpu_count = count;
    work->vcpus = calloc(count, sizeof(*work->vcpus));
    work->areas = calloc(count, QEMU_CPU_XSAVE_SIZE);
    if (work->vcpus == NULL || work->areas == NULL)
        return report_fail_memory(failure, DECODE);
    int result = 0;
    for (uint32_t i = 0; result == 0 && i < count; i++)
        result = decode_vcpu(work, i, ret_transient, failure);
    return result;
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
    int error = resume_state_size(work->machine, work->vcpus, work->vcpu_count, &size);
    if (error == 0) {
        out->blob = malloc(size);
        if (out->blob == NULL)
            return report_fail_memory(failure, DECODE);
        error = resume_state_write(work->machine, work->vcpus, work->vcpu_count, out->blob, size,
                                   &out->blob_length);
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
            return splice_report(failure, &error, DECODE, work->path);
    }
    return 0;
}

/* Opens the blob as the firmware will, which says how long the home must be, and finds one. */
static int plan_home(struct work *work, struct snapshot_state *out, bool *ret_transient,
                     struct report_failure *failure)
{
    struct resume_guest guest;
    struct resume_vcpu scratch;
    struct resume_diag diag = {0};
    int error = resume_guest_open(out->blob, out->blob_length, &scratch, &guest, &diag);
    if (error != 0)
        return report_fail_diag(failure, error, &diag, "look at all vCPUs together", work->path,
                                NULL);
    out->vcpu_count = guest.state.vcpu_count;
    out->active_count = guest.set.active;
    int result = snapshot_home_find(&out->home, &guest, work->vcpus, &work->ram, work->path,
                                    ret_transient, failure);
    if (result < 0)
        return result;
    const struct resume_plan plan = {.state_crc32c = guest.state.crc32c, .home = out->home};
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
        result = add_ranges(work, failure);
    if (result == 0)
        result = decode_vcpus(work, ret_transient, failure);
    if (result == 0)
        result = write_blob(work, out, failure);
    if (result == 0)
        result = plan_home(work, out, ret_transient, failure);
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
    free(work->vcpus);
    free(work->areas);
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
