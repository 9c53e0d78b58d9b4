/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "input.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest_mode.h"
#include "manifest.h"
#include "shadow.h"

#define ADVICE_FORMATS "see the list of formats: resumectl inspect --format help"

int input_fail(const struct resume_import_error *error, const char *what, const char *path,
               struct report_failure *failure)
{
    const char *where = error->where[0] != '\0' ? error->where : path;
    const char *hint = error->hint[0] != '\0' ? error->hint : ADVICE_FORMATS;
    char whole[sizeof(error->where) + 256];
    /* What the importer names may be cut, or be a part of the input only. */
    if (strncmp(path, error->where, sizeof(error->where) - 1) == 0) {
        where = path;
    } else if (strstr(where, path) == NULL) {
        snprintf(whole, sizeof(whole), "%.250s: %.127s", path, error->where);
        where = whole;
    }
    if (error->code == RESUME_IMPORT_ERRNO(ENOENT))
        return report_fail(failure, EXIT_CODE_REFUSED, what, where, ADVICE_FORMATS,
                           "there is no such file");
    if (error->code <= RESUME_IMPORT_ERRNO(0))
        return report_fail_errno(failure, RESUME_IMPORT_ERRNO(0) - error->code, what, where);
    if (error->offset == RESUME_IMPORT_NO_OFFSET || error->offset == 0)
        return report_fail(failure, EXIT_CODE_REFUSED, what, where, hint, "%s", error->why);
    return report_fail(failure, EXIT_CODE_REFUSED, what, where, hint, "%s (at offset %" PRIu64 ")",
                       error->why, error->offset);
}

int input_open(struct input *out, const char *what, const char *path, const char *format,
               struct report_failure *failure)
{
    struct resume_import_error error = {0};
    struct resume_import *import;
    int ret = resume_import_open(path, format, &import, &error);
    if (ret != 0)
        return input_fail(&error, what, path, failure);
    *out = (struct input){
        .what = what,
        .path = path,
        .import = import,
        .format = resume_import_format(import),
        .detail = resume_import_detail(import),
        .vcpu_count = resume_import_vcpus(import),
    };
    return 0;
}

void input_close(struct input *input)
{
    resume_import_close(input->import);
    memset(input, 0, sizeof(*input));
}

/* Which instruction made an interrupt shadow is in memory, if anywhere. */
static void complete(struct input *input, struct resume_vcpu *vcpu)
{
    struct resume_import_error ignored;
    struct resume_phys phys;
    struct resume_paging paging;
    if ((vcpu->run.valid & RESUME_RUN_SHADOW) != 0 && vcpu->run.interrupt_shadow != 0 &&
        ((vcpu->run.valid & RESUME_RUN_SHADOW_LENGTH) == 0 || vcpu->run.shadow_length == 0) &&
        resume_import_memory(input->import, &phys, &ignored) == 0 &&
        guest_mode_paging(vcpu, &phys, &paging))
        shadow_complete(vcpu, &paging);
}

int input_vcpu(struct input *input, uint32_t index, struct resume_vcpu *out,
               struct report_failure *failure)
{
    struct resume_import_error error = {0};
    if (index >= input->vcpu_count)
        return report_fail(failure, EXIT_CODE_USAGE, input->what, "--vcpu", "count from 0",
                           "no vCPU %" PRIu32 ": there are %" PRIu32, index, input->vcpu_count);
    int ret = resume_import_vcpu(input->import, index, out, &error);
    if (ret != 0)
        return input_fail(&error, input->what, input->path, failure);
    complete(input, out);
    return 0;
}

int input_vcpus_read(struct input *input, struct input_vcpus *out, struct report_failure *failure)
{
    out->vcpu = calloc(input->vcpu_count, sizeof(*out->vcpu));
    if (out->vcpu == NULL)
        return report_fail_memory(failure, input->what);
    for (uint32_t i = 0; i < input->vcpu_count; i++) {
        struct resume_vcpu *vcpu = &out->vcpu[i];
        int ret = input_vcpu(input, i, vcpu, failure);
        if (ret != 0)
            return ret;
        out->count++; /* from here on its image is freed with the others */
        if (vcpu->xsave.length == 0)
            continue;
        uint8_t *area = malloc(vcpu->xsave.length);
        if (area != NULL)
            memcpy(area, vcpu->xsave.area, vcpu->xsave.length);
        vcpu->xsave.area = area;
        if (area == NULL)
            return report_fail_memory(failure, input->what);
    }
    return 0;
}

void input_vcpus_free(struct input_vcpus *vcpus)
{
    for (uint32_t i = 0; i < vcpus->count; i++) {
        if (vcpus->vcpu[i].xsave.length != 0)
            free((void *)(uintptr_t)vcpus->vcpu[i].xsave.area);
    }
    free(vcpus->vcpu);
    memset(vcpus, 0, sizeof(*vcpus));
}

int input_machine(struct input *input, struct resume_machine *out, struct report_failure *failure)
{
    struct resume_import_error error = {0};
    int ret = resume_import_machine(input->import, out, &error);
    return ret == 0 ? 0 : input_fail(&error, input->what, input->path, failure);
}

int input_first_vcpu(struct input *input, uint32_t *ret_index, struct report_failure *failure)
{
    struct resume_vcpu vcpu;
    *ret_index = 0;
    for (uint32_t i = 0; i < input->vcpu_count; i++) {
        int ret = input_vcpu(input, i, &vcpu, failure);
        if (ret != 0)
            return ret;
        if (!resume_vcpu_dormant(&vcpu)) {
            *ret_index = i;
            return 0;
        }
    }
    return 0;
}

char *input_title(const struct input *input, char *buffer)
{
    snprintf(buffer, INPUT_TITLE_MAX, input->detail[0] != '\0' ? "%s (%s)" : "%s%s",
             input->format->title, input->detail);
    return buffer;
}

size_t input_missing(const struct resume_vcpu *vcpu, char *buffer)
{
    enum { NAMES_MAX = 128 };
    const char *names[NAMES_MAX];
    size_t used = 0;
    size_t count = resume_import_missing(vcpu, names, NAMES_MAX);
    buffer[0] = '\0';
    for (size_t i = 0; i < count && i < NAMES_MAX; i++) {
        /* The parts of a segment are there or missing together. */
        const char *dot = strchr(names[i], '.');
        size_t length = dot != NULL ? (size_t)(dot - names[i]) : strlen(names[i]);
        if (i > 0 && dot != NULL && strncmp(names[i], names[i - 1], length + 1) == 0)
            continue;
        int written = snprintf(buffer + used, INPUT_MISSING_MAX - used, "%s%.*s",
                               used > 0 ? ", " : "", (int)length, names[i]);
        if (written < 0 || (size_t)written >= INPUT_MISSING_MAX - used)
            break;
        used += (size_t)written;
    }
    return count;
}

/* What lacks something is refused for that. Returns 0 when nothing is missing. */
static int refuse_missing(struct input *input, const char *advice, struct report_failure *failure)
{
    struct resume_vcpu vcpu;
    char title[INPUT_TITLE_MAX];
    char missing[INPUT_MISSING_MAX];
    for (uint32_t i = 0; i < input->vcpu_count; i++) {
        int ret = input_vcpu(input, i, &vcpu, failure);
        if (ret != 0)
            return ret;
        if (input_missing(&vcpu, missing) != 0)
            return report_fail(
                failure, EXIT_CODE_REFUSED, input->what, input->path, advice,
                "it is in the format %s, and lacks what a resume needs: of vCPU %" PRIu32 " %.600s",
                input_title(input, title), i, missing);
    }
    return 0;
}

/* Is a file of a snapshot in it, whole or not? */
static bool has_part(const char *path)
{
    static const char *const parts[] = {MANIFEST_FILE, MANIFEST_STATE, MANIFEST_PLAN,
                                        MANIFEST_STREAM};
    bool there = false;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && !there; i++) {
        char *part = NULL;
        there = asprintf(&part, "%s/%s", path, parts[i]) >= 0 && access(part, F_OK) == 0;
        free(part);
    }
    return there;
}

int input_check_resumable(const char *path, struct report_failure *failure)
{
    static const char advice[] = "take a snapshot with resumectl snapshot";
    struct report_failure ignored = {0};
    const bool ours = has_part(path);
    struct input input = {0};
    char title[INPUT_TITLE_MAX];
    if (input_open(&input, "resume", path, NULL, &ignored) != 0)
        return 0;
    int ret = refuse_missing(&input, advice, ours ? &ignored : failure);
    if (ours && ret != 0 && ignored.exit_code == EXIT_CODE_REFUSED)
        *failure = ignored;
    else if (ours)
        ret = 0;
    else if (ret == 0)
        ret = report_fail(failure, EXIT_CODE_REFUSED, input.what, path, advice,
                          "it is in the format %s: a resume takes a snapshot directory, which has "
                          "the devices and the plan too",
                          input_title(&input, title));
    input_close(&input);
    return ret;
}

int input_finish_stdout(struct report_failure *failure)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return report_fail_errno(failure, errno, "write", "standard output");
    return 0;
}
