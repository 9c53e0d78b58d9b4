/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <resume/format.h>
#include <resume/landing.h>

#include "guest_mode.h"
#include "view_internal.h"

static const char advice_kind[] = "see the list of formats: resumectl inspect --format help";

int view_fail_stream(const struct stream_error *error, const char *where,
                     struct report_failure *failure)
{
    int exit_code = stream_error_is_io(error->code) ? EXIT_CODE_ENVIRONMENT : EXIT_CODE_REFUSED;
    const char *hint = error->hint != NULL ? error->hint : advice_kind;
    if (error->offset == STREAM_NO_OFFSET)
        return report_fail(failure, exit_code, "inspect", where, hint, "%s", error->why);
    return report_fail(failure, exit_code, "inspect", where, hint, "%s (at offset %llu)",
                       error->why, (unsigned long long)error->offset);
}

int view_fail_open(int error, const char *path, struct report_failure *failure)
{
    if (error == ENOENT)
        return report_fail(failure, EXIT_CODE_REFUSED, "inspect", path, advice_kind,
                           "there is no such file");
    return report_fail_errno(failure, error, "inspect", path);
}

const char *view_kind_text(const struct view *view)
{
    return view->kind == VIEW_SNAPSHOT ? "snapshot directory" : view->input.format->title;
}

const char *view_kind_name(const struct view *view)
{
    return view->kind == VIEW_STREAM ? "stream" : view->input.format->name;
}

const char *view_accel_name(uint32_t accel)
{
    return accel == RESUME_ACCEL_TCG ? "TCG" : accel == RESUME_ACCEL_KVM ? "KVM" : "unknown";
}

void view_close(struct view *view)
{
    if (view->stream_fd > 0)
        close(view->stream_fd);
    if (view->have_ram)
        ram_close(&view->ram);
    input_vcpus_free(&view->decoded);
    input_close(&view->input);
    free(view->landings);
    free(view->ranges);
    free(view->blocks);
    free(view->devices);
    memset(view, 0, sizeof(*view));
    view->stream_fd = -1;
}

/* Reads a whole file of at most @limit bytes. */
static int read_file(const char *path, uint64_t limit, uint8_t **ret_data, size_t *ret_length,
                     struct report_failure *failure)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        return view_fail_open(error, path, failure);
    }
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > limit) {
        close(fd);
        return report_fail(failure, EXIT_CODE_REFUSED, "inspect", path, advice_kind,
                           "not a regular file, or longer than %llu bytes",
                           (unsigned long long)limit);
    }
    size_t length = (size_t)st.st_size;
    size_t done = 0;
    uint8_t *data = malloc(length + 1);
    int error = data == NULL ? ENOMEM : 0;
    while (error == 0 && done < length) {
        ssize_t got = read(fd, data + done, length - done);
        if (got < 0 && errno != EINTR)
            error = errno;
        else if (got == 0)
            break;
        else if (got > 0)
            done += (size_t)got;
    }
    close(fd);
    if (error != 0) {
        free(data);
        return report_fail_errno(failure, error, "inspect", path);
    }
    *ret_data = data;
    *ret_length = done;
    return 0;
}

uint32_t view_first_vcpu(const struct view *view)
{
    for (uint32_t i = 0; i < view->vcpu_count; i++) {
        if (!resume_vcpu_dormant(&view->vcpus[i]))
            return i;
    }
    return 0;
}

resume_va_t view_slot_va(const struct view *view, uint32_t index)
{
    return view->plan.home.va + view->layout.landings + (uint64_t)index * RESUME_LANDING_MAX;
}

/* What the firmware will make of state and plan. When it would refuse them there is no layout. */
static int lay_out(struct view *view, const uint8_t *blob, size_t blob_length, const uint8_t *plan,
                   size_t length, struct report_failure *failure)
{
    struct resume_guest guest;
    struct resume_vcpu scratch;
    if (resume_guest_open(blob, blob_length, &scratch, &guest, NULL) != 0 ||
        resume_guest_plan(&guest, plan, length, NULL) != 0)
        return 0;
    view->landings = calloc(view->vcpu_count, sizeof(*view->landings));
    if (view->landings == NULL)
        return report_fail_memory(failure, "inspect");
    view->layout = guest.layout;
    view->have_layout = true;
    for (uint32_t i = 0; i < view->vcpu_count; i++) {
        const struct resume_landing_place place = {
            .slot_va = view_slot_va(view, i),
            .fill = view->plan.home.fill,
            .last_out = i == guest.set.first,
            .others = guest.set.active - 1,
            .left_va =
                view->plan.home.va + RESUME_HOME_CONTROL + offsetof(struct resume_control, left),
            .refill_va = view->plan.home.va,
            .refill_length = guest.layout.landings,
        };
        if (!resume_vcpu_dormant(&view->vcpus[i]) &&
            resume_landing_compose(&view->vcpus[i], &place, &view->landings[i]) != 0)
            view->have_layout = false;
    }
    return 0;
}

/* Joins with a slash; returns NULL when out of memory. */
static char *join(const char *directory, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

static int read_part(const struct view *view, const char *name, uint8_t **ret_data,
                     size_t *ret_length, struct report_failure *failure)
{
    char *path = join(view->path, name);
    if (path == NULL)
        return report_fail_memory(failure, "inspect");
    int ret = read_file(path, RESUME_FORMAT_SIZE_MAX, ret_data, ret_length, failure);
    free(path);
    return ret;
}

/* The one place that knows how the home and the landings come out of a plan. */
static int load_plan(struct view *view, struct report_failure *failure)
{
    struct resume_diag diag;
    uint8_t *blob = NULL;
    uint8_t *plan = NULL;
    size_t blob_length;
    size_t length;
    int ret = read_part(view, MANIFEST_PLAN, &plan, &length, failure);
    if (ret == 0)
        ret = read_part(view, MANIFEST_STATE, &blob, &blob_length, failure);
    if (ret == 0) {
        int err = resume_plan_read(plan, length, &view->plan, &diag);
        view->have_plan = err == 0;
        ret = err != 0 ? report_fail_diag(failure, err, &diag, "inspect", MANIFEST_PLAN, NULL)
                       : lay_out(view, blob, blob_length, plan, length, failure);
    }
    free(blob);
    free(plan);
    return ret;
}

static int load_manifest(struct view *view, struct report_failure *failure)
{
    struct manifest *manifest = calloc(1, sizeof(*manifest));
    if (manifest == NULL)
        return report_fail_memory(failure, "inspect");
    int ret = manifest_read(manifest, view->path, failure);
    if (ret == 0 && manifest->range_count > 0) {
        free(view->ranges);
        view->range_count = 0;
        view->ranges = calloc(manifest->range_count, sizeof(*view->ranges));
        if (view->ranges == NULL) {
            ret = report_fail_memory(failure, "inspect");
        } else {
            memcpy(view->ranges, manifest->range, manifest->range_count * sizeof(*view->ranges));
            view->range_count = manifest->range_count;
            view->map_source = VIEW_MAP_MANIFEST;
        }
    }
    free(manifest);
    return ret;
}

/* The memory map that comes with the CPU state. */
static int take_ranges(struct view *view, struct report_failure *failure)
{
    if (view->machine.range_count == 0)
        return 0;
    view->ranges = calloc(view->machine.range_count, sizeof(*view->ranges));
    if (view->ranges == NULL)
        return report_fail_memory(failure, "inspect");
    for (uint32_t i = 0; i < view->machine.range_count; i++)
        view->ranges[i] = (struct manifest_range){.base_pa = view->machine.range[i].base_pa,
                                                  .length = view->machine.range[i].length,
                                                  .kind = MANIFEST_RANGE_RAM};
    view->range_count = view->machine.range_count;
    view->map_source = VIEW_MAP_INPUT;
    return 0;
}

static int load_directory(struct view *view, bool with_memory, struct report_failure *failure)
{
    int ret = load_manifest(view, failure);
    if (ret == 0)
        ret = load_plan(view, failure);
    if (ret != 0)
        return ret;
    char *path = join(view->path, MANIFEST_STREAM);
    if (path == NULL)
        return report_fail_memory(failure, "inspect");
    ret = view_load_stream(view, path, with_memory, failure);
    free(path);
    return ret;
}

/* What every format has. */
static int load_input(struct view *view, struct report_failure *failure)
{
    struct stat st;
    int ret = input_machine(&view->input, &view->machine, failure);
    if (ret == 0)
        ret = input_vcpus_read(&view->input, &view->decoded, failure);
    if (ret != 0)
        return ret;
    view->vcpus = view->decoded.vcpu;
    view->vcpu_count = view->decoded.count;
    if (stat(view->path, &st) == 0 && S_ISREG(st.st_mode))
        view->file_size = (uint64_t)st.st_size;
    return view->kind == VIEW_STREAM ? 0 : take_ranges(view, failure);
}

static enum view_kind kind_of(const struct input *input)
{
    return strcmp(input->format->name, "snapshot") == 0      ? VIEW_SNAPSHOT
           : strcmp(input->format->name, "qemu-stream") == 0 ? VIEW_STREAM
                                                             : VIEW_OTHER;
}

/* A snapshot whose state is lost: its manifest says what is wrong with the directory as a whole. */
static int explain(struct view *view, int ret, struct report_failure *failure)
{
    struct report_failure more = {0};
    struct stat st;
    char *part = join(view->path, MANIFEST_STREAM);
    bool ours = part != NULL && stat(part, &st) == 0;
    free(part);
    if (ours && load_manifest(view, &more) != 0) {
        *failure = more;
        return -more.exit_code;
    }
    return ret;
}

int view_open(struct view *view, const char *path, const char *format, bool with_memory,
              struct report_failure *failure)
{
    memset(view, 0, sizeof(*view));
    view->stream_fd = -1;
    view->path = path;
    int ret = input_open(&view->input, "inspect", path, format, failure);
    if (ret != 0) {
        ret = explain(view, ret, failure);
        view_close(view);
        return ret;
    }
    view->kind = kind_of(&view->input);
    ret = load_input(view, failure);
    if (ret == 0 && view->kind == VIEW_SNAPSHOT)
        ret = load_directory(view, with_memory, failure);
    else if (ret == 0 && view->kind == VIEW_STREAM)
        ret = view_load_stream(view, path, with_memory, failure);
    if (ret != 0)
        view_close(view);
    return ret;
}

bool view_paging(struct view *view, uint32_t index, struct resume_paging *out)
{
    struct resume_import_error ignored;
    struct resume_phys phys;
    if (index >= view->vcpu_count)
        return false;
    if (view->have_ram)
        phys = ram_phys(&view->ram);
    else if (view->kind != VIEW_OTHER ||
             resume_import_memory(view->input.import, &phys, &ignored) != 0)
        return false;
    return guest_mode_paging(&view->vcpus[index], &phys, out);
}
