/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define ADVICE_QEMU "use the gdbstub of an unchanged QEMU 7.2 to 10"
#define _GNU_SOURCE
#include "gdb.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "deadline.h"

/* Garbage between packets, or packets with wrong checksums, are borne only so long. */
#define NOISE_MAX 4096u
#define RESEND_MAX 3u
/* Memory is read in pieces that fit QEMU's packets of 4 KiB. */
#define READ_MAX 1024u

struct gdb {
    int fd;
    char name[128];
    bool described; /* the server was asked for its register description */
    size_t start;   /* received and not yet used: buffer[start..end) */
    size_t end;
    unsigned char buffer[4096];
    char packet[GDB_PACKET_MAX + 1];
};

static int fail_nonsense(const struct gdb *gdb, const char *why, struct report_failure *failure)
{
    return report_fail(failure, EXIT_CODE_ENVIRONMENT, "gdbstub", gdb->name, ADVICE_QEMU,
                       "not the GDB remote protocol: %s", why);
}

static int wait_for(const struct gdb *gdb, deadline_t deadline, short events,
                    const char *waited_for, struct report_failure *failure)
{
    int ready = deadline_poll(deadline, gdb->fd, events);
    if (ready < 0)
        return report_fail_errno(failure, -ready, "gdbstub", gdb->name);
    if (ready == 0)
        return report_fail(failure, EXIT_CODE_TIMEOUT, "gdbstub", gdb->name,
                           "try again when the machine is less busy",
                           "nothing came in time while waiting for %s", waited_for);
    return 0;
}

static int fail_gone(const struct gdb *gdb, const char *waited_for, struct report_failure *failure)
{
    return report_fail(failure, EXIT_CODE_ENVIRONMENT, "gdbstub", gdb->name,
                       "find out why QEMU ended, and try again",
                       "QEMU closed the connection while waiting for %s", waited_for);
}

/* The next byte from the server. */
static int get_byte(struct gdb *gdb, deadline_t deadline, const char *waited_for,
                    unsigned char *ret, struct report_failure *failure)
{
    while (gdb->start == gdb->end) {
        int result = wait_for(gdb, deadline, POLLIN, waited_for, failure);
        if (result < 0)
            return result;
        ssize_t got = recv(gdb->fd, gdb->buffer, sizeof(gdb->buffer), MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno == ECONNRESET))
            return fail_gone(gdb, waited_for, failure);
        if (got < 0 && errno != EAGAIN && errno != EINTR)
            return report_fail_errno(failure, errno, "gdbstub", gdb->name);
        gdb->start = 0;
        gdb->end = got > 0 ? (size_t)got : 0;
    }
    *ret = gdb->buffer[gdb->start++];
    return 0;
}

static int send_bytes(struct gdb *gdb, const char *data, size_t length, deadline_t deadline,
                      struct report_failure *failure)
{
    while (length > 0) {
        ssize_t sent = send(gdb->fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            data += sent;
            length -= (size_t)sent;
        } else if (sent < 0 && errno == EAGAIN) {
            int result = wait_for(gdb, deadline, POLLOUT, "room to send a request", failure);
            if (result < 0)
                return result;
        } else if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) {
            return fail_gone(gdb, "room to send a request", failure);
        } else if (sent < 0 && errno != EINTR) {
            return report_fail_errno(failure, errno, "gdbstub", gdb->name);
        }
    }
    return 0;
}

static int hex_digit(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Reads a packet's body up to '#', expanded, into gdb->packet. The '$' was read. */
static int read_body(struct gdb *gdb, deadline_t deadline, const char *waited_for,
                     size_t *ret_length, unsigned *ret_sum, struct report_failure *failure)
{
    size_t length = 0;
    unsigned sum = 0;
    bool escaped = false;
    bool repeat = false;
    for (;;) {
        unsigned char c;
        int result = get_byte(gdb, deadline, waited_for, &c, failure);
        if (result < 0)
            return result;
        if (c == '#' && !escaped && !repeat)
            break;
        sum += c;
        unsigned count = 1;
        if (repeat) {
            /* run-length encoding: the previous character again, so many times */
            if (length == 0 || c < 32 || c > 126)
                return fail_nonsense(gdb, "a bad run length", failure);
            count = (unsigned)c - 29;
            c = (unsigned char)gdb->packet[length - 1];
            repeat = false;
        } else if (escaped) {
            c ^= 0x20;
            escaped = false;
        } else if (c == '}') {
            escaped = true;
            continue;
        } else if (c == '*') {
            repeat = true;
            continue;
        }
        if (count > GDB_PACKET_MAX - length)
            return fail_nonsense(gdb, "an overlong packet", failure);
        memset(gdb->packet + length, c, count);
        length += count;
    }
    gdb->packet[length] = '\0';
    *ret_length = length;
    *ret_sum = sum & 0xff;
    return 0;
}

/* Receives the next packet into gdb->packet and acknowledges it. */
static int receive(struct gdb *gdb, deadline_t deadline, const char *waited_for, size_t *ret_length,
                   struct report_failure *failure)
{
    unsigned noise = 0;
    for (unsigned attempt = 0; attempt < RESEND_MAX;) {
        unsigned char c;
        int result = get_byte(gdb, deadline, waited_for, &c, failure);
        if (result < 0)
            return result;
        if (c != '$') {
            if (++noise > NOISE_MAX)
                return fail_nonsense(gdb, "no packet begins", failure);
            continue;
        }
        unsigned sum = 0;
        unsigned char digits[2] = {0, 0};
        result = read_body(gdb, deadline, waited_for, ret_length, &sum, failure);
        for (unsigned i = 0; result == 0 && i < 2; i++)
            result = get_byte(gdb, deadline, waited_for, &digits[i], failure);
        if (result < 0)
            return result;
        int high = hex_digit(digits[0]);
        int low = hex_digit(digits[1]);
        bool good = high >= 0 && low >= 0 && (unsigned)(high << 4 | low) == sum;
        result = send_bytes(gdb, good ? "+" : "-", 1, deadline, failure);
        if (result < 0 || good)
            return result;
        attempt++;
    }
    return fail_nonsense(gdb, "wrong checksums", failure);
}

/* Sends a request and waits for its acknowledgement. */
static int send_request(struct gdb *gdb, const char *request, deadline_t deadline,
                        struct report_failure *failure)
{
    char waited_for[64];
    char *packet = NULL;
    unsigned sum = 0;
    for (const char *at = request; *at != '\0'; at++)
        sum += (unsigned char)*at;
    if (asprintf(&packet, "$%s#%02x", request, sum & 0xff) < 0)
        return report_fail_memory(failure, "gdbstub");
    snprintf(waited_for, sizeof(waited_for), "the acknowledgement of \"%.24s\"", request);
    int result = 0;
    bool acknowledged = false;
    for (unsigned attempt = 0; attempt < RESEND_MAX && result == 0 && !acknowledged; attempt++) {
        unsigned char c = 0;
        result = send_bytes(gdb, packet, strlen(packet), deadline, failure);
        for (unsigned noise = 0; result == 0 && c != '+' && c != '-' && noise < NOISE_MAX; noise++)
            result = get_byte(gdb, deadline, waited_for, &c, failure);
        acknowledged = c == '+';
    }
    free(packet);
    if (result == 0 && !acknowledged)
        return fail_nonsense(gdb, "it takes no packet", failure);
    return result;
}

static int exchange(struct gdb *gdb, const char *request, size_t *ret_length,
                    struct report_failure *failure)
{
    char waited_for[64];
    deadline_t deadline = deadline_in(GDB_TIMEOUT_MS);
    snprintf(waited_for, sizeof(waited_for), "the reply to \"%.24s\"", request);
    int result = send_request(gdb, request, deadline, failure);
    if (result == 0)
        result = receive(gdb, deadline, waited_for, ret_length, failure);
    return result;
}

int gdb_request(struct gdb *gdb, const char *request, char *reply, size_t capacity,
                size_t *ret_length, struct report_failure *failure)
{
    size_t length = 0;
    int result = exchange(gdb, request, &length, failure);
    if (result < 0)
        return result;
    if (length >= capacity)
        return fail_nonsense(gdb, "a reply longer than it can be", failure);
    memcpy(reply, gdb->packet, length + 1);
    if (ret_length != NULL)
        *ret_length = length;
    return 0;
}

static int fail_refused(const struct gdb *gdb, const char *request, struct report_failure *failure)
{
    return report_fail(failure, EXIT_CODE_REFUSED, "gdbstub", gdb->name, ADVICE_QEMU,
                       gdb->packet[0] == '\0' ? "QEMU does not know the request \"%.64s\""
                                              : "QEMU refuses the request \"%.64s\"",
                       request);
}

/* A request that is answered with OK. */
static int command(struct gdb *gdb, struct report_failure *failure, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int command(struct gdb *gdb, struct report_failure *failure, const char *format, ...)
{
    char request[128];
    size_t length = 0;
    va_list args;
    va_start(args, format);
    int written = vsnprintf(request, sizeof(request), format, args);
    va_end(args);
    if (written < 0 || (size_t)written >= sizeof(request))
        return report_fail(failure, EXIT_CODE_ENVIRONMENT, "gdbstub", gdb->name,
                           "report this as a defect of resumectl", "a request is too long");
    int result = exchange(gdb, request, &length, failure);
    if (result == 0 && strcmp(gdb->packet, "OK") != 0)
        return fail_refused(gdb, request, failure);
    return result;
}

int gdb_detach(struct gdb *gdb, struct report_failure *failure)
{
    return command(gdb, failure, "D");
}

int gdb_open_fd(struct gdb **ret, int fd, const char *name, struct report_failure *failure)
{
    struct gdb *gdb = calloc(1, sizeof(*gdb));
    if (gdb == NULL) {
        close(fd);
        return report_fail_memory(failure, "gdbstub");
    }
    gdb->fd = fd;
    snprintf(gdb->name, sizeof(gdb->name), "%s", name);
    /* QEMU answers `?` only once its side is up: that is what this waits for. */
    struct gdb_stop stop;
    int result = gdb_stop_reason(gdb, &stop, failure);
    if (result < 0) {
        gdb_close(gdb);
        return result;
    }
    *ret = gdb;
    return 0;
}

void gdb_close(struct gdb *gdb)
{
    if (gdb == NULL)
        return;
    close(gdb->fd);
    free(gdb);
}

int gdb_fd(const struct gdb *gdb)
{
    return gdb->fd;
}

bool gdb_pending(const struct gdb *gdb)
{
    return gdb->start != gdb->end;
}

/* "T05thread:01;" or "S05" or "W00". */
static int parse_stop(const struct gdb *gdb, struct gdb_stop *out, struct report_failure *failure)
{
    struct gdb_stop stop = {0};
    const char *text = gdb->packet;
    if (text[0] == 'W' || text[0] == 'X') {
        stop.exited = true;
        *out = stop;
        return 0;
    }
    if (text[0] == 'E' || text[0] == '\0')
        return fail_refused(gdb, "vCont", failure);
    int high = hex_digit((unsigned char)text[1]);
    int low = high >= 0 ? hex_digit((unsigned char)text[2]) : -1;
    if ((text[0] != 'T' && text[0] != 'S') || low < 0)
        return fail_nonsense(gdb, "a stop reply that cannot be read", failure);
    stop.signal = high << 4 | low;
    const char *thread = strstr(text, "thread:");
    if (thread != NULL) {
        thread += strlen("thread:");
        /* with the multiprocess extension: p1.1 */
        const char *dot = strchr(thread, '.');
        const char *end = strchr(thread, ';');
        if (thread[0] == 'p' && dot != NULL && (end == NULL || dot < end))
            thread = dot + 1;
        stop.thread = strtoull(thread, NULL, 16);
    }
    *out = stop;
    return 0;
}

int gdb_stop_reason(struct gdb *gdb, struct gdb_stop *out, struct report_failure *failure)
{
    size_t length = 0;
    int result = exchange(gdb, "?", &length, failure);
    if (result == 0)
        result = parse_stop(gdb, out, failure);
    return result;
}

int gdb_break_set(struct gdb *gdb, enum gdb_breakpoint kind, uint64_t va,
                  struct report_failure *failure)
{
    return command(gdb, failure, "Z%d,%" PRIx64 ",1", (int)kind, va);
}

int gdb_break_clear(struct gdb *gdb, enum gdb_breakpoint kind, uint64_t va,
                    struct report_failure *failure)
{
    return command(gdb, failure, "z%d,%" PRIx64 ",1", (int)kind, va);
}

int gdb_continue(struct gdb *gdb, struct report_failure *failure)
{
    return send_request(gdb, "vCont;c", deadline_in(GDB_TIMEOUT_MS), failure);
}

int gdb_continue_threads(struct gdb *gdb, const uint32_t *threads, size_t count,
                         struct report_failure *failure)
{
    /* ";c:" and eight digits at most */
    size_t capacity = sizeof("vCont") + 11 * count;
    char *request = malloc(capacity);
    if (request == NULL)
        return report_fail_memory(failure, "gdbstub");
    size_t length = (size_t)snprintf(request, capacity, "vCont");
    for (size_t i = 0; i < count; i++)
        length += (size_t)snprintf(request + length, capacity - length, ";c:%" PRIx32, threads[i]);
    int result = send_request(gdb, request, deadline_in(GDB_TIMEOUT_MS), failure);
    free(request);
    return result;
}

int gdb_wait_stop(struct gdb *gdb, int timeout_ms, const char *waited_for, struct gdb_stop *out,
                  struct report_failure *failure)
{
    deadline_t deadline = deadline_in(timeout_ms);
    for (unsigned outputs = 0; outputs < NOISE_MAX; outputs++) {
        size_t length;
        int result = receive(gdb, deadline, waited_for, &length, failure);
        if (result < 0)
            return result;
        /* 'O' with hexadecimal digits is text for the console */
        if (gdb->packet[0] != 'O')
            return parse_stop(gdb, out, failure);
    }
    return fail_nonsense(gdb, "console output without end", failure);
}

int gdb_interrupt(struct gdb *gdb, struct report_failure *failure)
{
    return send_bytes(gdb, "\003", 1, deadline_in(GDB_TIMEOUT_MS), failure);
}

int gdb_step(struct gdb *gdb, uint32_t thread, struct gdb_stop *out, struct report_failure *failure)
{
    char request[32];
    char waited_for[64];
    snprintf(request, sizeof(request), "vCont;s:%" PRIx32, thread);
    snprintf(waited_for, sizeof(waited_for), "the end of vCPU %" PRIu32 "'s single step",
             thread - 1);
    int result = send_request(gdb, request, deadline_in(GDB_TIMEOUT_MS), failure);
    if (result == 0)
        result = gdb_wait_stop(gdb, GDB_TIMEOUT_MS, waited_for, out, failure);
    return result;
}

int gdb_thread_select(struct gdb *gdb, uint32_t thread, struct report_failure *failure)
{
    return command(gdb, failure, "Hg%" PRIx32, thread);
}

int gdb_step_mode_get(struct gdb *gdb, uint32_t *ret_flags, struct report_failure *failure)
{
    size_t length = 0;
    int result = exchange(gdb, "qqemu.sstep", &length, failure);
    if (result < 0)
        return result;
    char *end;
    unsigned long flags = strtoul(gdb->packet, &end, 16);
    if (length == 0 || *end != '\0' || flags > UINT32_MAX)
        return fail_refused(gdb, "qqemu.sstep", failure);
    *ret_flags = (uint32_t)flags;
    return 0;
}

int gdb_step_mode_set(struct gdb *gdb, uint32_t flags, struct report_failure *failure)
{
    return command(gdb, failure, "Qqemu.sstep=%" PRIx32, flags);
}

int gdb_physical_mode_set(struct gdb *gdb, bool physical, struct report_failure *failure)
{
    return command(gdb, failure, "Qqemu.PhyMemMode:%d", physical ? 1 : 0);
}

/* Decodes exactly @count bytes of hexadecimal digits from gdb->packet. */
static bool decode_hex(const struct gdb *gdb, size_t length, unsigned char *out, size_t count)
{
    if (length != 2 * count)
        return false;
    for (size_t i = 0; i < count; i++) {
        int high = hex_digit((unsigned char)gdb->packet[2 * i]);
        int low = hex_digit((unsigned char)gdb->packet[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

int gdb_read_memory(struct gdb *gdb, uint64_t address, void *buffer, size_t length,
                    struct report_failure *failure)
{
    unsigned char *bytes = malloc(length > 0 ? length : 1);
    if (bytes == NULL)
        return report_fail_memory(failure, "gdbstub");
    int result = 0;
    for (size_t done = 0; result == 0 && done < length;) {
        char request[64];
        size_t got = 0;
        size_t piece = length - done < READ_MAX ? length - done : READ_MAX;
        snprintf(request, sizeof(request), "m%" PRIx64 ",%zx", address + done, piece);
        result = exchange(gdb, request, &got, failure);
        if (result == 0 && !decode_hex(gdb, got, bytes + done, piece))
            result = fail_refused(gdb, request, failure);
        done += piece;
    }
    if (result == 0)
        memcpy(buffer, bytes, length);
    free(bytes);
    return result;
}

int gdb_read_register(struct gdb *gdb, uint32_t number, uint64_t *ret_value,
                      struct report_failure *failure)
{
    char request[32];
    size_t length = 0;
    unsigned char bytes[8] = {0};
    int result = 0;
    /* QEMU answers `p` only to clients that asked for the description of its registers. */
    if (!gdb->described)
        result = exchange(gdb, "qXfer:features:read:target.xml:0,800", &length, failure);
    gdb->described = true;
    snprintf(request, sizeof(request), "p%" PRIx32, number);
    if (result == 0)
        result = exchange(gdb, request, &length, failure);
    if (result < 0)
        return result;
    if (length < 2 || length > 16 || !decode_hex(gdb, length, bytes, length / 2))
        return fail_refused(gdb, request, failure);
    uint64_t value = 0;
    for (unsigned i = 8; i-- > 0;)
        value = value << 8 | bytes[i];
    *ret_value = value;
    return 0;
}
