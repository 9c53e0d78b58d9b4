/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "fake_peer.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 20000

/* Reads what there is, and a descriptor if one comes along. Returns the length, 0 at the end. */
static size_t read_some(struct fake_peer *peer, char *buffer, size_t capacity)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {.iov_base = buffer, .iov_len = capacity};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control.space)};
    struct pollfd entry = {.fd = peer->fd, .events = POLLIN};
    if (poll(&entry, 1, WAIT_MS) <= 0)
        return 0;
    ssize_t got = recvmsg(peer->fd, &message, MSG_CMSG_CLOEXEC);
    if (got <= 0)
        return 0;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header != NULL && header->cmsg_type == SCM_RIGHTS)
        memcpy(&peer->passed_fd, CMSG_DATA(header), sizeof(int));
    return (size_t)got;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text);
    size_t end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static bool expect(struct fake_peer *peer, const char *expected)
{
    size_t length = strlen(peer->received);
    while (!ends_with(peer->received, expected)) {
        size_t got = read_some(peer, peer->received + length, sizeof(peer->received) - 1 - length);
        if (got == 0) {
            snprintf(peer->wrong, sizeof(peer->wrong), "expected \"%.160s\", got \"%.160s\"",
                     expected, peer->received);
            return false;
        }
        length += got;
        peer->received[length] = '\0';
    }
    peer->received[0] = '\0';
    return true;
}

static bool send_text(struct fake_peer *peer, const struct fake_step *step)
{
    size_t length = strlen(step->send);
    size_t piece = step->one_by_one ? 1 : length;
    for (size_t time = 0; time < (step->times != 0 ? step->times : 1); time++) {
        for (size_t done = 0; done < length; done += piece) {
            /* The code under test may have given up already: that is its right. */
            if (send(peer->fd, step->send + done, piece, MSG_NOSIGNAL) != (ssize_t)piece)
                return false;
        }
    }
    return true;
}

static void *play(void *context)
{
    struct fake_peer *peer = context;
    char rest[256];
    for (size_t i = 0; i < peer->step_count; i++) {
        const struct fake_step *step = &peer->steps[i];
        if (step->expect != NULL && !expect(peer, step->expect))
            break;
        if (step->send != NULL && !send_text(peer, step))
            break;
        if (step->close) {
            shutdown(peer->fd, SHUT_RDWR);
            break;
        }
    }
    while (read_some(peer, rest, sizeof(rest)) != 0)
        ;
    return NULL;
}

int fake_peer_start(struct fake_peer *peer, const struct fake_step *steps, size_t count)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    memset(peer, 0, sizeof(*peer));
    peer->fd = pair[1];
    peer->passed_fd = -1;
    peer->steps = steps;
    peer->step_count = count;
    assert_int_equal(pthread_create(&peer->thread, NULL, play, peer), 0);
    return pair[0];
}

void fake_peer_finish(struct fake_peer *peer)
{
    assert_int_equal(pthread_join(peer->thread, NULL), 0);
    close(peer->fd);
    assert_string_equal(peer->wrong, "");
}
