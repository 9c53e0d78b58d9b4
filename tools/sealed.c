/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* All threads together, so that the tool stays below 64 MiB. */
#define THREADS_MEMORY (24u << 20)

int sealed_key_read(const char *path, uint8_t key[RESUME_SEALED_KEY],
                    struct report_failure *failure)
{
    static const char advice[] = "make one: head -c 32 /dev/urandom > FILE, with umask 077";
    uint8_t bytes[RESUME_SEALED_KEY + 1];
    struct stat status;
    size_t length = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return report_fail_errno(failure, errno, "read the key", path);
    int result = 0;
    while (result == 0 && length < sizeof(bytes)) {
        ssize_t got = read(fd, bytes + length, sizeof(bytes) - length);
        if (got == 0)
            break;
        if (got > 0)
            length += (size_t)got;
        else if (errno != EINTR)
            result = report_fail_errno(failure, errno, "read the key", path);
    }
    if (result == 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
        (status.st_mode & 077) != 0)
        report_warning("key", "%s may be read by others than its owner", path);
    close(fd);
    if (result == 0 && length != RESUME_SEALED_KEY)
        result = report_fail(failure, EXIT_CODE_REFUSED, "read the key", path, advice,
                             length > RESUME_SEALED_KEY ? "it has more than %u bytes"
                                                        : "it has less than %u bytes",
                             RESUME_SEALED_KEY);
    if (result == 0)
        memcpy(key, bytes, RESUME_SEALED_KEY);
    resume_sealed_wipe(bytes, sizeof(bytes));
    return result;
}

static int source_read(void *context, uint64_t offset, void *buffer, size_t length, size_t *ret)
{
    const int *fd = context;
    ssize_t got;
    do
        got = pread(*fd, buffer, length, (off_t)offset);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    *ret = (size_t)got;
    return 0;
}

int sealed_source_open(const char *path, struct resume_sealed_source *out, int *context,
                       struct report_failure *failure)
{
    /* O_NONBLOCK: a FIFO in place of the file must not hold us up. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return report_fail_errno(failure, errno, "open image", path);
    off_t size = lseek(fd, 0, SEEK_END);
    struct stat status;
    if (size < 0 || fstat(fd, &status) < 0 ||
        (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))) {
        close(fd);
        return report_fail(failure, EXIT_CODE_REFUSED, "open image", path,
                           "name a file that resumectl seal made",
                           "it is no file that can be read at any offset");
    }
    *context = fd;
    *out = (struct resume_sealed_source){
        .read = source_read, .context = context, .size = (uint64_t)size};
    return 0;
}

static const char *advice_for(int error)
{
    switch (error) {
    case RESUME_EKEY:
        return "give the key that it was sealed with";
    case RESUME_EAUTH:
        return "somebody has changed the image, or it is damaged: use another copy";
    case RESUME_ESTALE:
        return "use the image whose identity resumectl seal printed";
    case RESUME_EMAGIC:
        return "name a file that resumectl seal made";
    default:
        return "the image is damaged: use another copy";
    }
}

int sealed_fail_reading(struct report_failure *failure, int error, const char *structure,
                        const char *what, const char *path)
{
    char reason[256];
    const int result = report_fail_errno(failure, error, what, path);
    snprintf(reason, sizeof(reason), "%.255s", failure->why);
    snprintf(failure->why, sizeof(failure->why), "%s: reading failed: %s", structure, reason);
    return result;
}

int sealed_fail(struct report_failure *failure, int error, const struct resume_diag *diag,
                const char *what, const char *path)
{
    if (error == RESUME_EIO)
        return sealed_fail_reading(failure, -(int)(int32_t)(uint32_t)diag->found, diag->where, what,
                                   path);
    if (strcmp(diag->where, "chunk") == 0 || strcmp(diag->where, "chunk index") == 0)
        return report_fail(failure, EXIT_CODE_REFUSED, what, path, advice_for(error),
                           "%s %" PRIu64 ", %s: %s", diag->where, diag->offset, diag->field,
                           resume_strerror(error));
    if (diag->found == diag->expected)
        return report_fail(failure, EXIT_CODE_REFUSED, what, path, advice_for(error), "%s, %s: %s",
                           diag->where, diag->field, resume_strerror(error));
    return report_fail(failure, EXIT_CODE_REFUSED, what, path, advice_for(error),
                       "%s, %s: %s: found 0x%" PRIx64 ", expected 0x%" PRIx64, diag->where,
                       diag->field, resume_strerror(error), diag->found, diag->expected);
}

const char *sealed_protection_name(uint32_t protection)
{
    return protection == RESUME_SEALED_CHACHA20_POLY1305 ? "chacha20-poly1305"
           : protection == RESUME_SEALED_AES_256_GCM     ? "aes-256-gcm"
                                                         : "none";
}

const char *sealed_compression_name(uint32_t compression)
{
    return compression == RESUME_SEALED_LZ4    ? "lz4"
           : compression == RESUME_SEALED_ZSTD ? "zstd"
                                               : "none";
}

char *sealed_hex(const uint8_t *bytes, size_t length, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < length; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * length] = '\0';
    return out;
}

bool sealed_hex_read(const char *text, uint8_t *out, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    if (strlen(text) != 2 * length || strspn(text, digits) != 2 * length)
        return false;
    for (size_t i = 0; i < length; i++)
        out[i] = (uint8_t)((strchr(digits, text[2 * i]) - digits) << 4 |
                           (strchr(digits, text[2 * i + 1]) - digits));
    return true;
}

unsigned sealed_threads(size_t memory)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    unsigned threads = count < 1 ? 1 : (unsigned)count;
    if (threads > SEALED_THREADS)
        threads = SEALED_THREADS;
    while (threads > 1 && threads * memory > THREADS_MEMORY)
        threads--;
    return threads;
}

void sealed_run(unsigned count, void *(*work)(void *context), void *context)
{
    pthread_t threads[SEALED_THREADS];
    unsigned started = 0;
    while (started + 1 < count && started < SEALED_THREADS &&
           pthread_create(&threads[started], NULL, work, context) == 0)
        started++;
    work(context);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}
