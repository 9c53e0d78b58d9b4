/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "deadline.h"

#include <errno.h>
#include <limits.h>
#include <time.h>

uint64_t deadline_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

deadline_t deadline_in(int timeout_ms)
{
    if (timeout_ms < 0)
        return DEADLINE_NEVER;
    return deadline_now() + (uint64_t)timeout_ms * UINT64_C(1000000);
}

static int remaining_ms(deadline_t deadline)
{
    if (deadline == DEADLINE_NEVER)
        return -1;
    uint64_t now = deadline_now();
    if (now >= deadline)
        return 0;
    /* Rounded up: waking early would mean a busy loop for the last millisecond. */
    uint64_t ms = (deadline - now + 999999) / 1000000;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

int deadline_poll_all(deadline_t deadline, struct pollfd *entries, nfds_t count)
{
    for (;;) {
        int timeout = remaining_ms(deadline);
        int ready = poll(entries, count, timeout);
        if (ready > 0)
            return ready;
        if (ready < 0 && errno != EINTR)
            return -errno;
        if (ready == 0 && timeout >= 0 && remaining_ms(deadline) == 0)
            return 0;
    }
}

int deadline_poll(deadline_t deadline, int fd, short events)
{
    struct pollfd entry = {.fd = fd, .events = events};
    int ready = deadline_poll_all(deadline, &entry, 1);
    return ready > 0 ? 1 : ready;
}

int deadline_poll_either(deadline_t deadline, int first, int second)
{
    struct pollfd entries[] = {{.fd = first, .events = POLLIN}, {.fd = second, .events = POLLIN}};
    int ready = deadline_poll_all(deadline, entries, 2);
    if (ready <= 0)
        return ready;
    return entries[0].revents != 0 ? 1 : 2;
}
