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

#include "decode.h"
#include "shadow.h"
#include "view_internal.h"

static const char advice_kind[] =
    "give a snapshot directory, a QEMU migration stream or a state blob";

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

const char *view_kind_text(enum view_kind kind)
{
    return kind == VIEW_SNAPSHOT ? "snapshot directory"
           : kind == VIEW_STREAM ? "QEMU migration stream"
                                 : "state blob";
}

const char *view_kind_name(enum view_kind kind)
{
    return kind == VIEW_SNAPSHOT ? "snapshot" : kind == VIEW_STREAM ? "stream" : "state";
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
    free(view->blob);
    free(view->xsave);
    free(view->vcpus);
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

static int load_state(struct view *view, const char *path, struct report_failure *failure)
{
    struct resume_state state;
    struct resume_diag diag;
    size_t length;
    int ret = read_file(path, RESUME_FORMAT_SIZE_MAX, &view->blob, &length, failure);
    if (ret != 0)
        return ret;
    view->blob_length = length;
    if (view->kind == VIEW_STATE)
        view->file_size = length;
    ret = resume_state_open(view->blob, length, &state, &diag);
    if (ret == 0)
        ret = resume_state_machine(&state, &view->machine, &diag);
    if (ret != 0)
        return report_fail_diag(failure, ret, &diag, "inspect", path, NULL);
    /* The count is bounded by the format, and each vCPU has had its records checked. */
    view->vcpus = calloc(state.vcpu_count, sizeof(*view->vcpus));
    if (view->vcpus == NULL)
        return report_fail_memory(failure, "inspect");
    for (uint32_t i = 0; i < state.vcpu_count; i++) {
        ret = resume_state_vcpu(&state, i, &view->vcpus[i], &diag);
        if (ret != 0)
            return report_fail_diag(failure, ret, &diag, "inspect", path, NULL);
    }
    view->vcpu_count = state.vcpu_count;
    if (view->machine.range_count == 0)
        return 0;
    view->ranges = calloc(view->machine.range_count, sizeof(*view->ranges));
    if (view->ranges == NULL)
        return report_fail_memory(failure, "inspect");
    for (uint32_t i = 0; i < view->machine.range_count; i++) {
        view->ranges[i].base_pa = view->machine.range[i].base_pa;
        view->ranges[i].length = view->machine.range[i].length;
        view->ranges[i].kind = MANIFEST_RANGE_RAM;
    }
    view->range_count = view->machine.range_count;
    view->map_source = VIEW_MAP_STATE;
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
static int lay_out(struct view *view, const uint8_t *plan, size_t length,
                   struct report_failure *failure)
{
    struct resume_guest guest;
    struct resume_vcpu scratch;
    if (resume_guest_open(view->blob, view->blob_length, &scratch, &guest, NULL) != 0 ||
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

/* The one place that knows how the home and the landings come out of a plan. */
static int load_plan(struct view *view, const char *path, struct report_failure *failure)
{
    struct resume_diag diag;
    uint8_t *data;
    size_t length;
    int ret = read_file(path, RESUME_FORMAT_SIZE_MAX, &data, &length, failure);
    if (ret != 0)
        return ret;
    ret = resume_plan_read(data, length, &view->plan, &diag);
    if (ret == 0) {
        view->have_plan = true;
        ret = lay_out(view, data, length, failure);
    } else {
        ret = report_fail_diag(failure, ret, &diag, "inspect", path, NULL);
    }
    free(data);
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

/* Joins with a slash; returns NULL when out of memory. */
static char *join(const char *directory, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

static int load_part(struct view *view, const char *name, bool with_memory,
                     int (*load)(struct view *, const char *, struct report_failure *),
                     struct report_failure *failure)
{
    char *path = join(view->path, name);
    if (path == NULL)
        return report_fail_memory(failure, "inspect");
    int ret = load != NULL ? load(view, path, failure)
                           : view_load_stream(view, path, with_memory, failure);
    free(path);
    return ret;
}

static int load_directory(struct view *view, bool with_memory, struct report_failure *failure)
{
    view->kind = VIEW_SNAPSHOT;
    int ret = load_part(view, MANIFEST_STATE, false, load_state, failure);
    /* The manifest says what is wrong with the directory as a whole, so it is asked first. */
    struct report_failure state_failure = *failure;
    int manifest_ret = load_manifest(view, failure);
    if (manifest_ret != 0)
        return manifest_ret;
    if (ret != 0) {
        *failure = state_failure;
        return ret;
    }
    ret = load_part(view, MANIFEST_PLAN, false, load_plan, failure);
    return ret != 0 ? ret : load_part(view, MANIFEST_STREAM, with_memory, NULL, failure);
}

static int load_file(struct view *view, bool with_memory, struct report_failure *failure)
{
    char magic[8] = "";
    struct stat st;
    int fd = open(view->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        return view_fail_open(error, view->path, failure);
    }
    /* What cannot be read twice can only be a stream. */
    ssize_t got = S_ISREG(st.st_mode) ? pread(fd, magic, sizeof(magic), 0) : 0;
    int error = errno;
    close(fd);
    if (got < 0)
        return report_fail_errno(failure, error, "inspect", view->path);
    if (got == 8 && memcmp(magic, RESUME_FORMAT_STATE_MAGIC, 8) == 0) {
        view->kind = VIEW_STATE;
        return load_state(view, view->path, failure);
    }
    if (got == 8 && memcmp(magic, RESUME_FORMAT_PLAN_MAGIC, 8) == 0)
        return report_fail(failure, EXIT_CODE_REFUSED, "inspect", view->path,
                           "give the snapshot directory that it belongs to",
                           "a plan alone says nothing of a machine");
    view->kind = VIEW_STREAM;
    return view_load_stream(view, view->path, with_memory, failure);
}

int view_open(struct view *view, const char *path, bool with_memory, struct report_failure *failure)
{
    struct stat st;
    memset(view, 0, sizeof(*view));
    view->stream_fd = -1;
    view->path = path;
    if (stat(path, &st) != 0)
        return view_fail_open(errno, path, failure);
    int ret = S_ISDIR(st.st_mode) ? load_directory(view, with_memory, failure)
                                  : load_file(view, with_memory, failure);
    if (ret != 0)
        view_close(view);
    return ret;
}

bool view_paging(struct view *view, uint32_t index, struct resume_paging *out)
{
    if (!view->have_ram || index >= view->vcpu_count ||
        decode_paging_levels(&view->vcpus[index]) == 0)
        return false;
    vcpu_paging(&view->ram, &view->vcpus[index], out);
    return true;
}
