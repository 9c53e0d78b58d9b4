/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "input.h"
#include "resume_input_private.h"
#include "resume_signals.h"
#include "verify.h"

#define WHAT RESUME_INPUT_WHAT
#define ADVICE_AGAIN "take the snapshot again"
#define IMAGE_MAGIC "RSMIMAGE"
/* A state blob has some KiB for each vCPU. */
#define FILE_MAX (UINT64_C(64) << 20)

int resume_input_join(char *out, const char *directory, const char *name,
                      struct report_failure *failure)
{
    if (snprintf(out, PATH_MAX_LENGTH, "%s/%s", directory, name) < PATH_MAX_LENGTH)
        return 0;
    return report_fail(failure, EXIT_CODE_REFUSED, WHAT, name, "use a shorter path",
                       "the directory's path is too long");
}

static void hash_text(const void *data, size_t length, char out[MANIFEST_HASH_LENGTH + 1])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, length));
    for (size_t i = 0; i < sizeof(canonical.digest); i++)
        snprintf(out + 2 * i, 3, "%02x", canonical.digest[i]);
}

static int read_all(int fd, struct resume_input_file *file, const char *path,
                    struct report_failure *failure)
{
    size_t done = 0;
    while (done < file->length) {
        ssize_t got = read(fd, file->data + done, file->length - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return report_fail_errno(failure, errno, WHAT, path);
        if (got == 0)
            return report_fail(failure, EXIT_CODE_REFUSED, WHAT, path, ADVICE_AGAIN,
                               "the file became shorter while it was read");
        done += (size_t)got;
    }
    return 0;
}

static const struct manifest_file *find_file(const struct manifest *manifest, const char *name,
                                             struct report_failure *failure)
{
    const struct manifest_file *entry = manifest_find_file(manifest, name);
    if (entry == NULL)
        report_fail(failure, EXIT_CODE_REFUSED, WHAT, MANIFEST_FILE, ADVICE_AGAIN,
                    "it does not list \"%s\"", name);
    return entry;
}

static int open_file(const char *path, const struct manifest_file *entry, int *ret_fd,
                     struct report_failure *failure)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, path, ADVICE_AGAIN,
                           "the file is missing, the manifest lists it");
    if (fd < 0)
        return report_fail_errno(failure, errno, WHAT, path);
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) ||
        (uint64_t)status.st_size != entry->size) {
        close(fd);
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, path, ADVICE_AGAIN,
                           "%" PRIu64 " bytes, the manifest says %" PRIu64,
                           (uint64_t)status.st_size, entry->size);
    }
    *ret_fd = fd;
    return 0;
}

/* Reads a small file of the snapshot and checks it against the manifest. */
static int read_file(struct resume_input_file *out, const struct manifest *manifest,
                     const char *directory, const char *name, char path[PATH_MAX_LENGTH],
                     struct report_failure *failure)
{
    const struct manifest_file *entry = find_file(manifest, name, failure);
    if (entry == NULL)
        return -EXIT_CODE_REFUSED;
    int result = resume_input_join(path, directory, name, failure);
    if (result < 0)
        return result;
    if (entry->size > FILE_MAX)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, path, ADVICE_AGAIN,
                           "%" PRIu64 " bytes are too many for such a file", entry->size);
    int fd;
    result = open_file(path, entry, &fd, failure);
    if (result < 0)
        return result;
    struct resume_input_file file = {malloc(entry->size == 0 ? 1 : (size_t)entry->size),
                                     (size_t)entry->size};
    result =
        file.data == NULL ? report_fail_memory(failure, WHAT) : read_all(fd, &file, path, failure);
    close(fd);
    if (result == 0) {
        char digest[MANIFEST_HASH_LENGTH + 1];
        hash_text(file.data, file.length, digest);
        if (strcmp(digest, entry->xxh3_128) != 0)
            result = report_fail(failure, EXIT_CODE_REFUSED, WHAT, path, ADVICE_AGAIN,
                                 "its XXH3-128 checksum is %s, the manifest says %s", digest,
                                 entry->xxh3_128);
    }
    if (result < 0)
        free(file.data);
    else
        *out = file;
    return result;
}

int resume_input_write(int directory_fd, const char *name, const void *data, size_t length,
                       struct report_failure *failure)
{
    int fd = openat(directory_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return report_fail_errno(failure, errno, "write", name);
    const uint8_t *from = data;
    int error = 0;
    while (length > 0 && error == 0) {
        ssize_t done = write(fd, from, length);
        if (done < 0) {
            error = errno == EINTR ? 0 : errno;
        } else {
            from += done;
            length -= (size_t)done;
        }
    }
    if (close(fd) != 0 && error == 0)
        error = errno;
    return error != 0 ? report_fail_errno(failure, error, "write", name) : 0;
}

/* The private directory, and a signal handler that removes it. */
static int make_work_directory(struct resume_input *input, struct report_failure *failure)
{
    const char *temporary = getenv("TMPDIR");
    if (temporary == NULL || temporary[0] == '\0')
        temporary = "/tmp";
    if (snprintf(input->temporary, sizeof(input->temporary), "%s", temporary) >=
        (int)sizeof(input->temporary))
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, "TMPDIR", "set it to a shorter path",
                           "the path is too long");
    char path[PATH_MAX_LENGTH];
    snprintf(path, sizeof(path), "%s/resumectl-XXXXXX", input->temporary);
    if (mkdtemp(path) == NULL)
        return report_fail_errno(failure, errno, "create a private directory", input->temporary);
    memcpy(input->work_directory, path, sizeof(path));
    input->work_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (input->work_fd < 0)
        return report_fail_errno(failure, errno, "open the private directory", path);
    resume_signals_clean_up(input->work_fd, input->work_directory);
    return 0;
}

/* Decodes all vCPUs of an opened guest, and notes which are resumed. */
static int take_vcpus(struct resume_input *input, const struct resume_guest *guest,
                      struct resume_vcpu *vcpus, const char *name, struct report_failure *failure)
{
    struct resume_diag diag;
    memset(&diag, 0, sizeof(diag));
    for (uint32_t i = 0; i < guest->state.vcpu_count; i++) {
        int err = resume_state_vcpu(&guest->state, i, &vcpus[i], &diag);
        if (err != RESUME_OK)
            return report_fail_diag(failure, err, &diag, WHAT, name, NULL);
        input->active[i] = !resume_vcpu_dormant(&vcpus[i]);
    }
    input->vcpu_count = guest->state.vcpu_count;
    input->active_count = guest->set.active;
    input->layout = guest->layout;
    input->fill = guest->plan.home.fill;
    return 0;
}

int resume_input_take(struct resume_input *input, const struct resume_input_options *options,
                      struct resume_input_file *state, const char *state_name,
                      const struct resume_input_file *plan, const char *plan_name,
                      struct report_failure *failure)
{
    struct resume_guest guest;
    struct resume_vcpu scratch;
    struct resume_diag diag;
    memset(&diag, 0, sizeof(diag));
    int err = resume_guest_open(state->data, state->length, &scratch, &guest, &diag);
    if (err != RESUME_OK)
        return report_fail_diag(failure, err, &diag, WHAT, state_name, NULL);
    err = resume_guest_plan(&guest, plan->data, plan->length, &diag);
    if (err != RESUME_OK)
        return report_fail_diag(failure, err, &diag, WHAT, plan_name,
                                err == RESUME_ECONSISTENT ? ADVICE_AGAIN : NULL);
    if (guest.state.vcpu_count != input->manifest->cpu_count)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, state_name, ADVICE_AGAIN,
                           "%" PRIu32 " vCPUs, the manifest says %" PRIu32, guest.state.vcpu_count,
                           input->manifest->cpu_count);
    int result = splice_home_locate(&input->home, &guest.plan.home, input->manifest, failure);
    if (result < 0)
        return result;
    struct resume_vcpu *vcpus = calloc(guest.state.vcpu_count, sizeof(*vcpus));
    if (vcpus == NULL)
        return report_fail_memory(failure, WHAT);
    result = take_vcpus(input, &guest, vcpus, state_name, failure);
    if (result == 0)
        result = resume_input_inject(input, options, &guest, state, vcpus, failure);
    explicit_bzero(vcpus, guest.state.vcpu_count * sizeof(*vcpus));
    free(vcpus);
    return result;
}

static int open_directory(struct resume_input *out, const struct resume_input_options *options,
                          struct report_failure *failure)
{
    struct resume_input_file state = {NULL, 0};
    struct resume_input_file plan = {NULL, 0};
    const char *directory = options->path;
    char path[PATH_MAX_LENGTH];
    int result =
        read_file(&state, out->manifest, directory, MANIFEST_STATE, out->state_path, failure);
    if (result == 0)
        result = read_file(&plan, out->manifest, directory, MANIFEST_PLAN, out->plan_path, failure);
    if (result == 0)
        result = resume_input_take(out, options, &state, out->state_path, &plan, out->plan_path,
                                   failure);
    free(state.data);
    free(plan.data);
    if (result < 0)
        return result;
    const struct manifest_file *entry = find_file(out->manifest, MANIFEST_STREAM, failure);
    if (entry == NULL)
        return -EXIT_CODE_REFUSED;
    result = resume_input_join(path, directory, MANIFEST_STREAM, failure);
    if (result == 0)
        result = open_file(path, entry, &out->stream_fd, failure);
    out->stream_size = entry->size;
    out->stream_hash = entry->xxh3_128;
    return result;
}

/* What cannot be read is left to who says more of it. */
static bool is_image(const char *path)
{
    char magic[sizeof(IMAGE_MAGIC) - 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    ssize_t got = pread(fd, magic, sizeof(magic), 0);
    close(fd);
    return got == (ssize_t)sizeof(magic) && memcmp(magic, IMAGE_MAGIC, sizeof(magic)) == 0;
}

/* A file that is in no format that is known. */
static int check_no_file(const char *path, struct report_failure *failure)
{
    struct stat status;
    if (stat(path, &status) != 0 || S_ISDIR(status.st_mode))
        return 0;
    return report_fail(failure, EXIT_CODE_REFUSED, WHAT, path,
                       "name a directory that resumectl snapshot made, or an image that resumectl "
                       "seal made",
                       "it is neither a directory nor a snapshot image");
}

static int check_directory_options(const struct resume_input_options *options,
                                   struct report_failure *failure)
{
    const char *given = options->key_path != NULL   ? "--key"
                        : options->identity != NULL ? "--expect-identity"
                                                    : NULL;
    if (given == NULL)
        return 0;
    return report_fail(failure, EXIT_CODE_USAGE, given, options->path,
                       "leave it out, or name an image that resumectl seal made",
                       "this is a snapshot directory, which is not sealed");
}

int resume_input_open(struct resume_input *out, const struct resume_input_options *options,
                      struct report_failure *failure)
{
    memset(out, 0, sizeof(*out));
    out->stream_fd = -1;
    out->work_fd = -1;
    out->path = options->path;
    out->manifest = calloc(1, sizeof(*out->manifest));
    if (out->manifest == NULL)
        return report_fail_memory(failure, WHAT);
    out->image = is_image(options->path);
    int result = 0;
    if (!out->image)
        result = input_check_resumable(options->path, failure);
    if (result == 0 && !out->image)
        result = check_no_file(options->path, failure);
    if (result == 0 && !out->image)
        result = manifest_read(out->manifest, options->path, failure);
    if (result == 0 && !out->image)
        result = check_directory_options(options, failure);
    if (result == 0)
        result = make_work_directory(out, failure);
    if (result < 0)
        return result;
    return out->image ? resume_image_open(out, options, failure)
                      : open_directory(out, options, failure);
}

int resume_input_compare(const struct resume_input *input, const struct verify_options *options,
                         struct ledger *out, struct report_failure *failure)
{
    return input->image ? resume_image_compare(input, options, out, failure)
                        : verify_compare(options, out, failure);
}

/* Did the firmware resume the vCPUs that the snapshot wants resumed? */
int resume_input_check_active(const struct resume_input *input, const struct splice_parked *parked,
                              struct report_failure *failure)
{
    static const char advice[] = "build the loader and resumectl from the same version";
    if (parked->control.vcpu_count != input->vcpu_count)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, "the parked target", advice,
                           "it knows %" PRIu32 " vCPUs, the snapshot %" PRIu32,
                           parked->control.vcpu_count, input->vcpu_count);
    for (uint32_t i = 0; i < input->vcpu_count; i++) {
        if (splice_parked_active(parked, i) != input->active[i])
            return report_fail(failure, EXIT_CODE_REFUSED, WHAT, "the parked target", advice,
                               "vCPU %" PRIu32 " is %s in it and %s in the snapshot", i,
                               input->active[i] ? "dormant" : "active",
                               input->active[i] ? "active" : "dormant");
    }
    return 0;
}

int resume_input_check(const struct resume_input *input, const struct splice_parked *parked,
                       struct report_failure *failure)
{
    int result = resume_input_check_active(input, parked, failure);
    if (result < 0)
        return result;
    struct stream_error error;
    struct vmdesc desc;
    uint64_t offset;
    memset(&error, 0, sizeof(error));
    if (vmdesc_find_tail(input->stream_fd, input->stream_size, &offset, &error) != 0 ||
        offset > input->stream_size || input->stream_size - offset > STREAM_TAIL_MAX)
        return 0;
    size_t length = (size_t)(input->stream_size - offset);
    uint8_t *tail = malloc(length + 1);
    if (tail == NULL)
        return report_fail_memory(failure, WHAT);
    ssize_t got = pread(input->stream_fd, tail, length, (off_t)offset);
    if (got == (ssize_t)length && vmdesc_open(&desc, tail, length, offset, &error) == 0) {
        result = splice_check(&desc, NULL, input->image, parked, failure);
        vmdesc_close(&desc);
    }
    free(tail);
    return result;
}

void resume_input_remove_files(int directory_fd)
{
    unlinkat(directory_fd, RESUME_INPUT_STATE, 0);
    unlinkat(directory_fd, RESUME_INPUT_PLAN, 0);
    unlinkat(directory_fd, RESUME_INPUT_IDENTITY, 0);
}

void resume_input_close(struct resume_input *input)
{
    if (input->manifest == NULL)
        return; /* never opened */
    if (input->work_fd >= 0) {
        resume_signals_forget();
        resume_input_remove_files(input->work_fd);
        close(input->work_fd);
    }
    if (input->work_directory[0] != '\0')
        rmdir(input->work_directory);
    if (input->stream_fd >= 0)
        close(input->stream_fd);
    resume_image_close(input);
    free(input->manifest);
    memset(input, 0, sizeof(*input));
}
