/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The parked target's side of a splice: reading its capture, and whether it is parked. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <resume/image.h>

#include "splice_private.h"

#define WHAT_PARKED "read the parked target"
#define ADVICE_COMMAND "give the very command line that started the source VM"
#define ADVICE_QEMU "use the QEMU that the source ran under"
#define ADVICE_START "start the resume again; if it stays so, report a defect"
#define ADVICE_VERSION "build the loader and resumectl from the same version"

/* Of QEMU's "cpu/env.hflags2": NMIs are blocked. */
#define HFLAGS2_NMI UINT64_C(4)

int splice_report(struct report_failure *failure, const struct stream_error *error,
                  const char *what, const char *where)
{
    int code = stream_error_is_io(error->code) ? EXIT_CODE_ENVIRONMENT : EXIT_CODE_REFUSED;
    const char *hint =
        error->hint != NULL
            ? error->hint
            : "the file is damaged or no stream of QEMU 7.2 to 10: take the snapshot again";
    if (error->offset == STREAM_NO_OFFSET)
        return report_fail(failure, code, what, where, hint, "%s", error->why);
    return report_fail(failure, code, what, where, hint, "at byte 0x%" PRIx64 ": %s", error->offset,
                       error->why);
}

const struct manifest_range *splice_locate(const struct manifest *manifest, resume_pa_t pa,
                                           uint64_t length, uint64_t *ret_offset)
{
    for (uint32_t i = 0; i < manifest->range_count; i++) {
        const struct manifest_range *range = &manifest->range[i];
        if (range->kind == MANIFEST_RANGE_RAM && pa >= range->base_pa &&
            pa - range->base_pa < range->length &&
            length <= range->length - (pa - range->base_pa)) {
            *ret_offset = range->offset + (pa - range->base_pa);
            return range;
        }
    }
    return NULL;
}

int splice_home_locate(struct splice_home *out, const struct resume_home *home,
                       const struct manifest *manifest, struct report_failure *failure)
{
    struct splice_home located;
    memset(&located, 0, sizeof(located));
    if (home->length == 0 || home->length > RESUME_HOME_LENGTH_MAX ||
        home->length % STREAM_PAGE_SIZE != 0)
        return report_fail(
            failure, EXIT_CODE_REFUSED, "locate the home", MANIFEST_PLAN, "take the snapshot again",
            "the home has 0x%" PRIx64 " bytes, expected whole pages, at most 0x%" PRIx64 " bytes",
            home->length, RESUME_HOME_LENGTH_MAX);
    const struct manifest_range *range =
        splice_locate(manifest, home->pa, home->length, &located.offset);
    if (range == NULL || located.offset % STREAM_PAGE_SIZE != 0)
        return report_fail(
            failure, EXIT_CODE_REFUSED, "locate the home", MANIFEST_PLAN, "take the snapshot again",
            "the home at physical 0x%" PRIx64 " is not in RAM, says the memory map of the manifest",
            home->pa);
    located.va = home->va;
    located.pa = home->pa;
    located.length = home->length;
    memcpy(located.block, range->block, sizeof(located.block));
    *out = located;
    return 0;
}

/* Copies a page of the home; @seen has one entry per page of it. */
static void take_page(struct splice_parked *parked, const struct stream_event *event,
                      const struct splice_home *home, bool *seen)
{
    if (event->page_offset < home->offset || event->page_offset - home->offset >= home->length)
        return;
    uint64_t at = event->page_offset - home->offset;
    seen[at / STREAM_PAGE_SIZE] = true;
    if (event->kind == STREAM_PAGE)
        memcpy(parked->home + at, event->page, STREAM_PAGE_SIZE);
    else
        memset(parked->home + at, event->fill, STREAM_PAGE_SIZE);
}

static int fail_capture(const struct stream_error *error, struct report_failure *failure)
{
    if (error->code == STREAM_ESINK)
        return splice_fail_write(failure);
    return splice_report(failure, error, WHAT_PARKED, "its stream");
}

/* @passing: NULL = nothing goes through. */
static int read_ram(struct splice_parked *parked, const struct splice_home *home, bool *seen,
                    struct splice_passing *passing, struct progress *progress,
                    struct report_failure *failure)
{
    struct stream *stream = &parked->stream;
    struct stream_event event;
    struct stream_error error;
    uint32_t block = UINT32_MAX;
    uint64_t done = 0;
    uint64_t total = 0;
    memset(&error, 0, sizeof(error));
    do {
        if (stream_next(stream, &event, &error) != 0)
            return fail_capture(&error, failure);
        if (event.kind == STREAM_MEMORY) {
            uint32_t count;
            const struct stream_block *blocks = stream_blocks(stream, &count);
            for (uint32_t i = 0; i < count; i++)
                total += blocks[i].length;
            block = stream_block_find(stream, home->block);
        } else if (event.kind == STREAM_PAGE || event.kind == STREAM_ZERO) {
            if (event.block == block)
                take_page(parked, &event, home, seen);
            done += STREAM_PAGE_SIZE;
            progress_step_update(progress, done, total);
        }
        if (passing != NULL && splice_passing_take(passing, &event, &error, failure) != 0)
            return error.code != 0 ? fail_capture(&error, failure) : -failure->exit_code;
    } while (event.kind != STREAM_DEVICES);
    return 0;
}

static int read_devices(struct splice_parked *parked, struct report_failure *failure)
{
    const uint8_t *tail;
    size_t length;
    uint64_t offset;
    struct stream_error error;
    memset(&error, 0, sizeof(error));
    if (stream_tail(&parked->stream, &tail, &length, &offset, &error) != 0 ||
        vmdesc_open(&parked->desc, tail, length, offset, &error) != 0)
        return fail_capture(&error, failure);
    return 0;
}

static int check_control(const struct resume_control *control, const struct splice_home *home,
                         struct report_failure *failure)
{
    static const char where[] = "control of the home";
    struct resume_image_layout layout;
    if (control->magic != RESUME_CONTROL_MAGIC)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_PARKED, where, ADVICE_VERSION,
                           "no home in use at physical 0x%" PRIx64 ": found magic 0x%" PRIx64
                           ", expected 0x%" PRIx64,
                           home->pa, control->magic, RESUME_CONTROL_MAGIC);
    if (control->version != RESUME_HANDOFF_VERSION || control->size != sizeof(*control))
        return report_fail(
            failure, EXIT_CODE_REFUSED, WHAT_PARKED, where, ADVICE_VERSION,
            "version %" PRIu32 " with %" PRIu32 " bytes, expected version %u with %zu bytes",
            control->version, control->size, RESUME_HANDOFF_VERSION, sizeof(*control));
    if ((control->home_va != home->va && !home->va_unknown) || control->home_pa != home->pa ||
        control->home_length != home->length)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_PARKED, where, ADVICE_START,
                           "it waits in another home: at 0x%" PRIx64 " (physical 0x%" PRIx64
                           ", 0x%" PRIx64 " bytes), expected 0x%" PRIx64 " (physical 0x%" PRIx64
                           ", 0x%" PRIx64 " bytes)",
                           control->home_va, control->home_pa, control->home_length, home->va,
                           home->pa, home->length);
    if (resume_image_layout_compute(control->vcpu_count, control->xsave_length, &layout) != 0 ||
        layout.length != home->length || layout.block_length != control->block_length ||
        layout.xsave_length != control->xsave_length)
        return report_fail(
            failure, EXIT_CODE_REFUSED, WHAT_PARKED, where, ADVICE_VERSION,
            "%" PRIu32 " vCPUs with blocks of 0x%" PRIx32 " bytes and XSAVE images of 0x%" PRIx32
            " do not make a home of 0x%" PRIx64 " bytes",
            control->vcpu_count, control->block_length, control->xsave_length, home->length);
    if (control->go != 0 || control->active_count == 0 || control->parked != control->active_count)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_PARKED, where, ADVICE_START,
                           "it is not parked: go %" PRIu32 ", %" PRIu32 " of %" PRIu32
                           " active vCPUs wait, expected go 0 and all of them",
                           control->go, control->parked, control->active_count);
    return 0;
}

/* Where vCPU @index has its slot, in bytes from the home's start. @control: checked. */
static uint64_t slot_offset(const struct resume_control *control, uint32_t index)
{
    struct resume_image_layout layout = {0};
    resume_image_layout_compute(control->vcpu_count, control->xsave_length, &layout);
    return layout.landings + (uint64_t)index * RESUME_LANDING_MAX;
}

static int check_handoff(const struct splice_parked *parked, uint32_t index,
                         struct report_failure *failure)
{
    const struct resume_handoff *handoff = &parked->handoff[index];
    const uint64_t slot = parked->control.home_va + slot_offset(&parked->control, index);
    char where[32];
    snprintf(where, sizeof(where), "handoff of vCPU %" PRIu32, index);
    if (handoff->magic != RESUME_HANDOFF_MAGIC)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_PARKED, where, ADVICE_VERSION,
                           "no handoff: found magic 0x%" PRIx64 ", expected 0x%" PRIx64,
                           handoff->magic, RESUME_HANDOFF_MAGIC);
    if (handoff->version != RESUME_HANDOFF_VERSION || handoff->size != sizeof(*handoff))
        return report_fail(
            failure, EXIT_CODE_REFUSED, WHAT_PARKED, where, ADVICE_VERSION,
            "version %" PRIu32 " with %" PRIu32 " bytes, expected version %u with %zu bytes",
            handoff->version, handoff->size, RESUME_HANDOFF_VERSION, sizeof(*handoff));
    if (handoff->index != index)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_PARKED, where, ADVICE_VERSION,
                           "it says that it is of vCPU %" PRIu32, handoff->index);
    if (handoff->landing_va - slot >= RESUME_LANDING_MAX ||
        handoff->leave_va - slot >= RESUME_LANDING_MAX || handoff->remains >= RESUME_LANDING_MAX)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_PARKED, where, ADVICE_VERSION,
                           "its landing, from 0x%" PRIx64 " to 0x%" PRIx64
                           ", is not in its slot at 0x%" PRIx64,
                           handoff->landing_va, handoff->leave_va, slot);
    if (handoff->stage != RESUME_STAGE_PARKED)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_PARKED, where, ADVICE_START,
                           "the vCPU is not parked: stage %" PRIu32 ", expected %d", handoff->stage,
                           (int)RESUME_STAGE_PARKED);
    return 0;
}

/* Decodes and checks what the planner and the trampoline left in the home. */
static int read_handoffs(struct splice_parked *parked, const struct splice_home *home,
                         struct report_failure *failure)
{
    struct resume_control *control = &parked->control;
    uint32_t active = 0;
    memcpy(control, parked->home + RESUME_HOME_CONTROL, sizeof(*control));
    int result = check_control(control, home, failure);
    if (result < 0)
        return result;
    parked->handoff = calloc(control->vcpu_count, sizeof(*parked->handoff));
    if (parked->handoff == NULL)
        return report_fail_memory(failure, WHAT_PARKED);
    for (uint32_t i = 0; result == 0 && i < control->vcpu_count; i++) {
        const size_t at = RESUME_HOME_BLOCKS + (size_t)i * control->block_length;
        memcpy(&parked->handoff[i], parked->home + at + RESUME_BLOCK_HANDOFF,
               sizeof(parked->handoff[i]));
        if (!splice_parked_active(parked, i))
            continue;
        active++;
        result = check_handoff(parked, i, failure);
    }
    if (result == 0 && active != control->active_count)
        result = report_fail(failure, EXIT_CODE_REFUSED, WHAT_PARKED, "control of the home",
                             ADVICE_VERSION,
                             "%" PRIu32 " vCPUs are to be resumed, but %" PRIu32 " have a handoff",
                             control->active_count, active);
    return result;
}

/* A number of a section, by its path. */
static int section_number(const struct vmdesc *desc, const struct vmdesc_section *section,
                          const char *path, uint64_t *ret, struct report_failure *failure)
{
    const struct vmdesc_field *field = vmdesc_field_find(desc, section, path);
    if (field == NULL || vmdesc_field_u64(field, ret) != 0)
        return report_fail(failure, EXIT_CODE_REFUSED, "read the device sections", path,
                           ADVICE_QEMU, "the section has no such number");
    return 0;
}

/* The vCPU must be where the trampoline waits: what runs after the splice is what it executes. */
static int check_cpu(const struct splice_parked *parked, uint32_t index,
                     const struct splice_home *home, struct report_failure *failure)
{
    const struct vmdesc *desc = &parked->desc;
    const struct vmdesc_section *cpu = vmdesc_section_nth(desc, "cpu", index);
    const struct vmdesc_section *common = vmdesc_section_find(desc, "cpu_common", cpu->instance);
    char where[32];
    snprintf(where, sizeof(where), "vCPU %" PRIu32, index);
    if (common == NULL)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_PARKED, "devices", ADVICE_QEMU,
                           "its stream has no \"cpu_common\" section of instance %" PRIu32,
                           cpu->instance);
    uint64_t rip = 0;
    uint64_t halted = 0;
    uint64_t hflags2 = HFLAGS2_NMI;
    int result = section_number(desc, cpu, "cpu/env.eip", &rip, failure);
    if (result == 0)
        result = section_number(desc, common, "cpu_common/halted", &halted, failure);
    if (result == 0 && (parked->handoff[index].flags & RESUME_HANDOFF_BLOCK_NMI) != 0)
        result = section_number(desc, cpu, "cpu/env.hflags2", &hflags2, failure);
    if (result < 0)
        return result;
    const uint64_t begin = parked->control.home_va;
    if (rip - begin >= home->length || halted != 0)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_PARKED, where, ADVICE_START,
                           "it does not wait in the home: RIP 0x%" PRIx64 ", halted %" PRIu64
                           ", expected a RIP from 0x%" PRIx64 " to below 0x%" PRIx64 ", halted 0",
                           rip, halted, begin, begin + home->length);
    if ((hflags2 & HFLAGS2_NMI) == 0)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_PARKED, where, ADVICE_START,
                           "it waits with NMIs unblocked, the guest has them blocked");
    return 0;
}

static int check_cpus(const struct splice_parked *parked, const struct splice_home *home,
                      struct report_failure *failure)
{
    uint32_t count = vmdesc_section_count(&parked->desc, "cpu");
    int result = 0;
    if (count == 0)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_PARKED, "devices", ADVICE_QEMU,
                           "its stream has no \"cpu\" section");
    if (count != parked->control.vcpu_count)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_PARKED, "devices", ADVICE_COMMAND,
                           "it has %" PRIu32 " vCPUs, the snapshot %" PRIu32, count,
                           parked->control.vcpu_count);
    for (uint32_t i = 0; result == 0 && i < count; i++) {
        if (splice_parked_active(parked, i))
            result = check_cpu(parked, i, home, failure);
    }
    return result;
}

static int check_pages(const bool *seen, const struct splice_home *home,
                       struct report_failure *failure)
{
    for (uint64_t i = 0; i < home->length / STREAM_PAGE_SIZE; i++) {
        if (!seen[i])
            return report_fail(failure, EXIT_CODE_REFUSED, WHAT_PARKED, "its stream", ADVICE_START,
                               "page %" PRIu64 " of the home (offset 0x%" PRIx64
                               " of RAM block \"%s\") is not in it",
                               i, home->offset + i * STREAM_PAGE_SIZE, home->block);
    }
    return 0;
}

/* @parked: to be closed by the caller, also after a failure. @pass: NULL = nothing goes through. */
static int read_parked(struct splice_parked *parked, int fd, const struct splice_home *home,
                       const struct splice_pass *pass, struct progress *progress, bool *seen,
                       struct report_failure *failure)
{
    struct splice_passing *passing = NULL;
    struct stream_error error;
    memset(&error, 0, sizeof(error));
    if (stream_open_fd(&parked->stream, fd, &error) != 0)
        return fail_capture(&error, failure);
    int result = 0;
    if (pass != NULL)
        result = splice_passing_open(&passing, pass, home, &parked->stream, failure);
    if (result == 0)
        result = read_ram(parked, home, seen, passing, progress, failure);
    if (result == 0)
        result = read_devices(parked, failure);
    if (result == 0)
        result = check_pages(seen, home, failure);
    if (result == 0 && passing != NULL)
        result = splice_passing_check(passing, failure);
    splice_passing_close(passing);
    if (result == 0)
        result = read_handoffs(parked, home, failure);
    return result == 0 ? check_cpus(parked, home, failure) : result;
}

int splice_parked_pass(struct splice_parked *out, int fd, const struct splice_home *home,
                       const struct splice_pass *pass, struct progress *progress,
                       struct report_failure *failure)
{
    struct splice_parked parked;
    memset(&parked, 0, sizeof(parked));
    bool *seen = calloc((size_t)(home->length / STREAM_PAGE_SIZE), sizeof(*seen));
    parked.home = calloc(1, (size_t)home->length);
    parked.home_length = home->length;
    int result = seen == NULL || parked.home == NULL
                     ? report_fail_memory(failure, WHAT_PARKED)
                     : read_parked(&parked, fd, home, pass, progress, seen, failure);
    free(seen);
    /* From here on nothing more is read: who passes it on may go. */
    stream_set_sink(&parked.stream, NULL, NULL);
    if (result < 0)
        splice_parked_close(&parked);
    else
        *out = parked;
    return result;
}

int splice_parked_read(struct splice_parked *out, int fd, const struct splice_home *home,
                       struct progress *progress, struct report_failure *failure)
{
    return splice_parked_pass(out, fd, home, NULL, progress, failure);
}

void splice_parked_close(struct splice_parked *parked)
{
    vmdesc_close(&parked->desc);
    stream_close(&parked->stream);
    free(parked->handoff);
    free(parked->home);
    memset(parked, 0, sizeof(*parked));
}

bool splice_parked_active(const struct splice_parked *parked, uint32_t index)
{
    return parked->handoff != NULL && index < parked->control.vcpu_count &&
           (parked->handoff[index].flags & RESUME_HANDOFF_ACTIVE) != 0;
}

const uint8_t *splice_parked_slot(const struct splice_parked *parked, uint32_t index,
                                  uint64_t *ret_offset)
{
    if (!splice_parked_active(parked, index))
        return NULL;
    *ret_offset = slot_offset(&parked->control, index);
    return parked->home + *ret_offset;
}

uint32_t splice_parked_index(const struct splice_parked *parked, uint32_t instance)
{
    for (uint32_t i = 0; i < parked->control.vcpu_count; i++) {
        const struct vmdesc_section *cpu = vmdesc_section_nth(&parked->desc, "cpu", i);
        if (cpu != NULL && cpu->instance == instance)
            return i;
    }
    return UINT32_MAX;
}
