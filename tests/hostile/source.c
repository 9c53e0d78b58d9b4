/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "source.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

ssize_t __wrap_pread(int fd, void *buffer, size_t length, off_t offset);
ssize_t __real_pread(int fd, void *buffer, size_t length, off_t offset);

static struct source served;
static uint8_t *times; /* how often each byte was read */
static unsigned readings;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void source_serve(const struct source *source)
{
    free(times);
    times = NULL;
    readings = 0;
    served = source != NULL ? *source : (struct source){0};
    if (served.length != 0) {
        times = calloc(served.length, 1);
        if (times == NULL)
            abort();
    }
}

unsigned source_readings(void)
{
    return readings;
}

unsigned source_most(size_t *ret_unread)
{
    unsigned most = 0;
    *ret_unread = 0;
    for (size_t i = 0; i < served.length; i++) {
        most = times[i] > most ? times[i] : most;
        *ret_unread += times[i] == 0;
    }
    return most;
}

static ssize_t serve(uint8_t *to, size_t length, size_t offset)
{
    readings++;
    if (readings == served.fail_at) {
        errno = EIO;
        return -1;
    }
    if (offset >= served.length || readings == served.end_at)
        return 0;
    if (length > served.length - offset)
        length = served.length - offset;
    if (served.piece != 0 && length > served.piece)
        length = served.piece;
    for (size_t i = 0; i < length; i++) {
        const bool garbage = (served.once && times[offset + i] != 0) ||
                             (served.change_from != 0 && readings >= served.change_from);
        to[i] = garbage ? (uint8_t)(served.data[offset + i] ^ 0x5a) : served.data[offset + i];
        if (times[offset + i] != UINT8_MAX)
            times[offset + i]++;
    }
    return (ssize_t)length;
}

ssize_t __wrap_pread(int fd, void *buffer, size_t length, off_t offset)
{
    if (served.data == NULL)
        return __real_pread(fd, buffer, length, offset);
    pthread_mutex_lock(&lock);
    const ssize_t got = serve(buffer, length, (size_t)offset);
    const int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return got;
}
