/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The other end of a socket, played from a script by a thread of its own. */
#ifndef TEST_FAKE_PEER_H
#define TEST_FAKE_PEER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/* One line of the script: first wait for `expect`, then send `send`, then close. */
struct fake_step {
    const char *expect; /* wait until this has come, and nothing else behind it; NULL = do not */
    const char *send;   /* NULL = nothing */
    size_t times;       /* send it so often; 0 is once */
    bool one_by_one;    /* in pieces of one byte */
    bool close;         /* close the connection afterwards */
};

struct fake_peer {
    pthread_t thread;
    int fd;
    const struct fake_step *steps;
    size_t step_count;
    int passed_fd;       /* descriptor that came with what was read last, -1 = none */
    char wrong[512];     /* what did not go by the script; empty = all did */
    char received[4096]; /* what came since the last step */
};

/* Starts the script. Returns the connected socket to give to the code under test. */
int fake_peer_start(struct fake_peer *peer, const struct fake_step *steps, size_t count);

/* Waits for the end of the script and of the connection; fails the test if something was wrong. */
void fake_peer_finish(struct fake_peer *peer);

#endif
