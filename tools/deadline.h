/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Limits for waiting, on the monotonic clock. */
#ifndef TOOLS_DEADLINE_H
#define TOOLS_DEADLINE_H

#include <poll.h>
#include <stdint.h>

/* A moment in nanoseconds of the monotonic clock; DEADLINE_NEVER waits for ever. */
typedef uint64_t deadline_t;
#define DEADLINE_NEVER UINT64_MAX

/* deadline_now - the monotonic clock in nanoseconds. */
uint64_t deadline_now(void);

/* deadline_in - the moment @timeout_ms from now; a negative one is DEADLINE_NEVER. */
deadline_t deadline_in(int timeout_ms);

/*
 * deadline_poll - wait until @fd shows @events (POLLIN, POLLOUT), an error or a hang-up.
 * Returns 1 when it does, 0 when the deadline has passed, a negated errno otherwise. Looks at least
 * once, also when the deadline has passed already.
 */
int deadline_poll(deadline_t deadline, int fd, short events);

/* deadline_poll_all - the same for any of @count descriptors. Returns how many show something, with
 * `revents` filled, 0 or a negated errno. */
int deadline_poll_all(deadline_t deadline, struct pollfd *entries, nfds_t count);

/* deadline_poll_either - the same for reading from either of two; @second: negative is left out.
 * Returns 1 when the first can be read, 2 when only the second. */
int deadline_poll_either(deadline_t deadline, int first, int second);

#endif
