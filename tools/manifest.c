/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Files of a snapshot directory and their checksums. manifest_json.c has the text form. */
#define _GNU_SOURCE
#include "manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#define HASH_CHUNK (1u << 20)

static int hash_fd(int fd, const char *path, XXH3_state_t *state, uint64_t *ret_size,
                   struct progress *progress, uint64_t base, uint64_t total,
                   struct report_failure *failure)
{
    unsigned char *chunk = malloc(HASH_CHUNK);
    if (chunk == NULL)
        return report_fail_memory(failure, "checksum");
    uint64_t size = 0;
    int result = 0;
    for (;;) {
        ssize_t got = read(fd, chunk, HASH_CHUNK);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            result = report_fail_errno(failure, errno, "checksum", path);
        if (got <= 0)
            break;
        XXH3_128bits_update(state, chunk, (size_t)got);
        size += (uint64_t)got;
        progress_step_update(progress, base + size, total);
    }
    free(chunk);
    *ret_size = size;
    return result;
}

int manifest_hash_file(const char *path, uint64_t *ret_size, char *xxh3_128,
                       struct progress *progress, uint64_t base, uint64_t total,
                       struct report_failure *failure)
{
    /* O_NONBLOCK: a FIFO in place of the file must not hold us up. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return report_fail_errno(failure, errno, "checksum", path);
    struct stat status;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return report_fail(failure, EXIT_CODE_REFUSED, "checksum", path,
                           "the snapshot is damaged: take it again", "it is not a regular file");
    }
    XXH3_state_t *state = XXH3_createState();
    if (state == NULL) {
        close(fd);
        return report_fail_memory(failure, "checksum");
    }
    XXH3_128bits_reset(state);
    uint64_t size = 0;
    int result = hash_fd(fd, path, state, &size, progress, base, total, failure);
    XXH128_hash_t hash = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    close(fd);
    if (result < 0)
        return result;
    /* the canonical form: most significant half first, as xxhsum prints it */
    snprintf(xxh3_128, MANIFEST_HASH_LENGTH + 1, "%016" PRIx64 "%016" PRIx64, (uint64_t)hash.high64,
             (uint64_t)hash.low64);
    *ret_size = size;
    return 0;
}

/* @directory/@name, to be freed. */
static int join_path(const char *directory, const char *name, char **ret,
                     struct report_failure *failure)
{
    if (asprintf(ret, "%s/%s", directory, name) >= 0)
        return 0;
    return report_fail_memory(failure, "manifest");
}

int manifest_add_file(struct manifest *manifest, const char *directory, const char *name,
                      struct progress *progress, struct report_failure *failure)
{
    char *path;
    if (manifest->file_count == MANIFEST_FILE_MAX || strlen(name) >= MANIFEST_STRING_MAX)
        return report_fail(failure, EXIT_CODE_REFUSED, "manifest", name,
                           "report this as a defect of resumectl",
                           "too many files, or too long a name");
    int result = join_path(directory, name, &path, failure);
    if (result < 0)
        return result;
    struct manifest_file *file = &manifest->file[manifest->file_count];
    struct stat status;
    uint64_t total = stat(path, &status) == 0 && status.st_size > 0 ? (uint64_t)status.st_size : 0;
    result = manifest_hash_file(path, &file->size, file->xxh3_128, progress, 0, total, failure);
    free(path);
    if (result < 0)
        return result;
    snprintf(file->name, sizeof(file->name), "%s", name);
    manifest->file_count++;
    return 0;
}

const struct manifest_file *manifest_find_file(const struct manifest *manifest, const char *name)
{
    for (uint32_t i = 0; i < manifest->file_count; i++)
        if (strcmp(manifest->file[i].name, name) == 0)
            return &manifest->file[i];
    return NULL;
}

static int check_file(const struct manifest_file *file, const char *path, struct progress *progress,
                      uint64_t base, uint64_t total, struct report_failure *failure)
{
    static const char advice[] = "the snapshot is damaged: take it again";
    uint64_t size;
    char hash[MANIFEST_HASH_LENGTH + 1];
    struct stat status;
    if (stat(path, &status) < 0 && errno == ENOENT)
        return report_fail(failure, EXIT_CODE_REFUSED, "verify snapshot", path, advice,
                           "the file is missing");
    if (stat(path, &status) == 0 && (uint64_t)status.st_size != file->size)
        return report_fail(failure, EXIT_CODE_REFUSED, "verify snapshot", path, advice,
                           "its size is %jd bytes, the manifest says %" PRIu64,
                           (intmax_t)status.st_size, file->size);
    int result = manifest_hash_file(path, &size, hash, progress, base, total, failure);
    if (result < 0)
        return result;
    if (size != file->size || strcmp(hash, file->xxh3_128) != 0)
        return report_fail(failure, EXIT_CODE_REFUSED, "verify snapshot", path, advice,
                           "its XXH3-128 checksum is %s, the manifest says %s", hash,
                           file->xxh3_128);
    return 0;
}

int manifest_verify(const struct manifest *manifest, const char *directory,
                    struct progress *progress, struct report_failure *failure)
{
    return manifest_verify_others(manifest, directory, NULL, progress, failure);
}

int manifest_verify_others(const struct manifest *manifest, const char *directory, const char *name,
                           struct progress *progress, struct report_failure *failure)
{
    uint64_t total = 0;
    uint64_t base = 0;
    for (uint32_t i = 0; i < manifest->file_count; i++)
        if (manifest->file[i].size <= UINT64_MAX - total)
            total += manifest->file[i].size;
    for (uint32_t i = 0; i < manifest->file_count; i++) {
        char *path;
        if (name != NULL && strcmp(manifest->file[i].name, name) == 0)
            continue;
        int result = join_path(directory, manifest->file[i].name, &path, failure);
        if (result == 0) {
            result = check_file(&manifest->file[i], path, progress, base, total, failure);
            free(path);
        }
        if (result < 0)
            return result;
        base += manifest->file[i].size;
    }
    return 0;
}
