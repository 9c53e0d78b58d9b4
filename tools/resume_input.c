/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "resume_input.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <resume/format.h>
#include <resume/guest.h>
#include <xxhash.h>

#include "input.h"
#include "resume_signals.h"

#define WHAT "check the snapshot"
#define ADVICE_AGAIN "take the snapshot again"
#define SPOILED_STATE "spoiled-state.rsm"
#define SPOILED_PLAN "spoiled-plan.rsm"
/* A state blob has some KiB for each vCPU. */
#define FILE_MAX (UINT64_C(64) << 20)

/* A small file of the snapshot in memory. */
struct file {
    uint8_t *data; /* owned */
    size_t length;
};

static int join(char *out, const char *directory, const char *name, struct report_failure *failure)
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

static int read_all(int fd, struct file *file, const char *path, struct report_failure *failure)
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
static int read_file(struct file *out, const struct manifest *manifest, const char *directory,
                     const char *name, char path[PATH_MAX_LENGTH], struct report_failure *failure)
{
    const struct manifest_file *entry = find_file(manifest, name, failure);
    if (entry == NULL)
        return -EXIT_CODE_REFUSED;
    int result = join(path, directory, name, failure);
    if (result < 0)
        return result;
    if (entry->size > FILE_MAX)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, path, ADVICE_AGAIN,
                           "%" PRIu64 " bytes are too many for such a file", entry->size);
    int fd;
    result = open_file(path, entry, &fd, failure);
    if (result < 0)
        return result;
    struct file file = {malloc(entry->size == 0 ? 1 : (size_t)entry->size), (size_t)entry->size};
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

static int write_file(int directory_fd, const char *name, const void *data, size_t length,
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

/* "0x10^0xff" behind the prefix: the part before the caret is cut out, the mask returned. */
static int parse_mask(const char *wish, const char *text, char *name, size_t capacity,
                      uint64_t *ret_mask, struct report_failure *failure)
{
    const char *caret = strchr(text, '^');
    char *end = NULL;
    errno = 0;
    unsigned long long mask = caret != NULL ? strtoull(caret + 1, &end, 0) : 0;
    if (caret == NULL || caret == text || (size_t)(caret - text) >= capacity || end == caret + 1 ||
        *end != '\0' || errno != 0 || mask == 0)
        return report_fail(failure, EXIT_CODE_USAGE, "--inject", wish, "see --help",
                           "expected reg:NAME^MASK or ram:ADDRESS^MASK with a mask that is not 0");
    memcpy(name, text, (size_t)(caret - text));
    name[caret - text] = '\0';
    *ret_mask = mask;
    return 0;
}

static int inject_ram(struct resume_input *input, const char *wish, struct report_failure *failure)
{
    char text[32];
    uint64_t mask;
    uint64_t offset;
    int result = parse_mask(wish, wish + 4, text, sizeof(text), &mask, failure);
    if (result < 0)
        return result;
    char *end;
    errno = 0;
    unsigned long long pa = strtoull(text, &end, 0);
    if (end == text || *end != '\0' || errno != 0 || mask > 0xff)
        return report_fail(failure, EXIT_CODE_USAGE, "--inject", wish, "see --help",
                           "expected a guest-physical address and a mask of one byte");
    if (input->poke.mask != 0)
        return report_fail(failure, EXIT_CODE_USAGE, "--inject", wish, "give one ram: wish",
                           "one byte of RAM can be spoiled at a time");
    const struct manifest_range *range = splice_locate(input->manifest, pa, 1, &offset);
    if (range == NULL)
        return report_fail(failure, EXIT_CODE_USAGE, "--inject", wish,
                           "resumectl inspect shows the memory map",
                           "there is no RAM at this address");
    memcpy(input->poke.block, range->block, sizeof(input->poke.block));
    input->poke.offset = offset;
    input->poke.mask = (uint8_t)mask;
    return 0;
}

/* "xsave+0xa80": a byte of the extended state, in the file that it was decoded from. */
static int inject_xsave(const struct resume_vcpu *vcpu, struct file *state_file, const char *offset,
                        uint64_t mask, const char *wish, struct report_failure *failure)
{
    char *end;
    errno = 0;
    unsigned long long at = strtoull(offset, &end, 0);
    if (end == offset || *end != '\0' || errno != 0 || mask > 0xff || vcpu->xsave.area == NULL ||
        at >= vcpu->xsave.length)
        return report_fail(failure, EXIT_CODE_USAGE, "--inject", wish, "see --help",
                           "expected an offset in the XSAVE area of this vCPU and a mask of one "
                           "byte");
    state_file->data[(size_t)(vcpu->xsave.area - state_file->data) + (size_t)at] ^= (uint8_t)mask;
    return 0;
}

/* "rax" or "rax@3": the name, and whose it is; without a number the first vCPU that is resumed. */
static int inject_register(const struct resume_input *input, struct file *state_file,
                           struct resume_vcpu *vcpus, const char *wish,
                           struct report_failure *failure)
{
    char name[48];
    uint64_t mask;
    int result = parse_mask(wish, wish + 4, name, sizeof(name), &mask, failure);
    if (result < 0)
        return result;
    uint32_t index = 0;
    char *at = strchr(name, '@');
    if (at != NULL) {
        char *end;
        errno = 0;
        unsigned long number = strtoul(at + 1, &end, 10);
        if (at[1] < '0' || at[1] > '9' || *end != '\0' || errno != 0 ||
            number >= input->vcpu_count || !input->active[number])
            return report_fail(failure, EXIT_CODE_USAGE, "--inject", wish,
                               "resumectl inspect shows the vCPUs",
                               "no vCPU that is resumed has this number");
        *at = '\0';
        index = (uint32_t)number;
    } else {
        while (index + 1 < input->vcpu_count && !input->active[index])
            index++;
    }
    if (strncmp(name, "xsave+", 6) == 0)
        return inject_xsave(&vcpus[index], state_file, name + 6, mask, wish, failure);
    const struct resume_field *field = resume_field_find(name);
    if (field == NULL)
        return report_fail(failure, EXIT_CODE_USAGE, "--inject", wish,
                           "resumectl inspect shows the names", "no register has this name");
    resume_field_set(&vcpus[index], field, resume_field_get(&vcpus[index], field) ^ mask);
    return 0;
}

/* Writes the spoiled state with a plan that fits it into the private directory. */
static int write_spoiled(struct resume_input *input, const struct resume_machine *machine,
                         const struct resume_vcpu *vcpus, const struct resume_plan *plan,
                         struct report_failure *failure)
{
    size_t length;
    size_t plan_length;
    struct resume_state state;
    struct resume_plan spoiled = *plan;
    struct resume_diag diag;
    uint8_t plan_data[RESUME_PLAN_SIZE_MAX];
    memset(&diag, 0, sizeof(diag));
    int err = resume_state_size(machine, vcpus, input->vcpu_count, &length);
    if (err != RESUME_OK)
        return report_fail_diag(failure, err, NULL, "--inject", "state", NULL);
    uint8_t *data = malloc(length);
    if (data == NULL)
        return report_fail_memory(failure, "--inject");
    err = resume_state_write(machine, vcpus, input->vcpu_count, data, length, &length);
    if (err == RESUME_OK)
        err = resume_state_open(data, length, &state, &diag);
    if (err == RESUME_OK) {
        spoiled.state_crc32c = state.crc32c;
        err = resume_plan_write(&spoiled, plan_data, sizeof(plan_data), &plan_length);
    }
    int result = 0;
    if (err != RESUME_OK)
        result = report_fail_diag(failure, err, NULL, "--inject", "state", NULL);
    if (result == 0)
        result = write_file(input->work_fd, SPOILED_STATE, data, length, failure);
    if (result == 0)
        result = write_file(input->work_fd, SPOILED_PLAN, plan_data, plan_length, failure);
    if (result == 0)
        result = join(input->state_path, input->work_directory, SPOILED_STATE, failure);
    if (result == 0)
        result = join(input->plan_path, input->work_directory, SPOILED_PLAN, failure);
    free(data);
    return result;
}

static int inject(struct resume_input *input, const struct resume_guest *guest,
                  struct file *state_file, struct resume_vcpu *vcpus, const char *const *wishes,
                  uint32_t count, struct report_failure *failure)
{
    bool spoiled = false;
    int result = 0;
    for (uint32_t i = 0; result == 0 && i < count; i++) {
        if (strncmp(wishes[i], "ram:", 4) == 0) {
            result = inject_ram(input, wishes[i], failure);
        } else if (strncmp(wishes[i], "reg:", 4) == 0) {
            result = inject_register(input, state_file, vcpus, wishes[i], failure);
            spoiled = true;
        } else {
            result = report_fail(failure, EXIT_CODE_USAGE, "--inject", wishes[i], "see --help",
                                 "expected reg:NAME^MASK, reg:NAME@VCPU^MASK or ram:ADDRESS^MASK");
        }
    }
    if (result < 0 || !spoiled)
        return result;
    struct resume_machine machine;
    struct resume_diag diag;
    int err = resume_state_machine(&guest->state, &machine, &diag);
    if (err != RESUME_OK)
        return report_fail_diag(failure, err, &diag, WHAT, MANIFEST_STATE, NULL);
    return write_spoiled(input, &machine, vcpus, &guest->plan, failure);
}

/* Decodes all vCPUs of an opened guest, and notes which are resumed. */
static int take_vcpus(struct resume_input *input, const struct resume_guest *guest,
                      struct resume_vcpu *vcpus, struct report_failure *failure)
{
    struct resume_diag diag;
    memset(&diag, 0, sizeof(diag));
    for (uint32_t i = 0; i < guest->state.vcpu_count; i++) {
        int err = resume_state_vcpu(&guest->state, i, &vcpus[i], &diag);
        if (err != RESUME_OK)
            return report_fail_diag(failure, err, &diag, WHAT, input->state_path, NULL);
        input->active[i] = !resume_vcpu_dormant(&vcpus[i]);
    }
    input->vcpu_count = guest->state.vcpu_count;
    input->active_count = guest->set.active;
    input->layout = guest->layout;
    input->fill = guest->plan.home.fill;
    return 0;
}

/* Opens state and plan as the firmware will, which says whether this version can restore them. */
static int check_state(struct resume_input *input, struct file *state_file,
                       const struct file *plan_file, const char *const *wishes, uint32_t count,
                       struct report_failure *failure)
{
    struct resume_guest guest;
    struct resume_vcpu scratch;
    struct resume_diag diag;
    memset(&diag, 0, sizeof(diag));
    int err = resume_guest_open(state_file->data, state_file->length, &scratch, &guest, &diag);
    if (err != RESUME_OK)
        return report_fail_diag(failure, err, &diag, WHAT, input->state_path, NULL);
    err = resume_guest_plan(&guest, plan_file->data, plan_file->length, &diag);
    if (err != RESUME_OK)
        return report_fail_diag(failure, err, &diag, WHAT, input->plan_path,
                                err == RESUME_ECONSISTENT ? ADVICE_AGAIN : NULL);
    if (guest.state.vcpu_count != input->manifest->cpu_count)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, input->state_path, ADVICE_AGAIN,
                           "%" PRIu32 " vCPUs, the manifest says %" PRIu32, guest.state.vcpu_count,
                           input->manifest->cpu_count);
    int result = splice_home_locate(&input->home, &guest.plan.home, input->manifest, failure);
    if (result < 0)
        return result;
    struct resume_vcpu *vcpus = calloc(guest.state.vcpu_count, sizeof(*vcpus));
    if (vcpus == NULL)
        return report_fail_memory(failure, WHAT);
    result = take_vcpus(input, &guest, vcpus, failure);
    if (result == 0)
        result = inject(input, &guest, state_file, vcpus, wishes, count, failure);
    free(vcpus);
    return result;
}

int resume_input_open(struct resume_input *out, const char *directory, const char *const *inject,
                      uint32_t count, struct report_failure *failure)
{
    struct file state = {NULL, 0};
    struct file plan = {NULL, 0};
    char path[PATH_MAX_LENGTH];
    memset(out, 0, sizeof(*out));
    out->stream_fd = -1;
    out->work_fd = -1;
    out->manifest = calloc(1, sizeof(*out->manifest));
    if (out->manifest == NULL)
        return report_fail_memory(failure, WHAT);
    int result = input_check_resumable(directory, failure);
    if (result == 0)
        result = manifest_read(out->manifest, directory, failure);
    if (result == 0)
        result = make_work_directory(out, failure);
    if (result == 0)
        result =
            read_file(&state, out->manifest, directory, MANIFEST_STATE, out->state_path, failure);
    if (result == 0)
        result = read_file(&plan, out->manifest, directory, MANIFEST_PLAN, out->plan_path, failure);
    if (result == 0)
        result = check_state(out, &state, &plan, inject, count, failure);
    free(state.data);
    free(plan.data);
    if (result < 0)
        return result;
    const struct manifest_file *entry = find_file(out->manifest, MANIFEST_STREAM, failure);
    if (entry == NULL)
        return -EXIT_CODE_REFUSED;
    result = join(path, directory, MANIFEST_STREAM, failure);
    if (result == 0)
        result = open_file(path, entry, &out->stream_fd, failure);
    out->stream_size = entry->size;
    out->stream_hash = entry->xxh3_128;
    return result;
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
    unlinkat(directory_fd, SPOILED_STATE, 0);
    unlinkat(directory_fd, SPOILED_PLAN, 0);
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
    free(input->manifest);
    memset(input, 0, sizeof(*input));
}
