/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stream.h"
#include "stream_build.h"

#define PAGE 4096u

/* Two blocks, pages of both kinds, a command, three parts of RAM, one device. */
static void build_sample(struct builder *b)
{
    build_header(b, "pc-q35-7.2");
    build_ram_section(b, 1);
    build_block_list(b, 6 * PAGE);
    build_block(b, "pc.ram", 4 * PAGE);
    build_block(b, "/rom@etc/acpi/tables", 2 * PAGE);
    build_ram_section_end(b);
    build_ram_section(b, 2);
    build_page(b, "pc.ram", 0, 0x11);
    build_zero(b, NULL, PAGE, 0);
    build_zero(b, "/rom@etc/acpi/tables", PAGE, 0xcc);
    build_ram_section_end(b);
    build_u8(b, 8); /* SWITCHOVER_START */
    build_be(b, 11, 2);
    build_be(b, 0, 2);
    build_ram_section(b, 3);
    build_page(b, NULL, 0, 0x22); /* the name carries over from the section before */
    build_page(b, "pc.ram", 3 * PAGE, 0x33);
    build_ram_section_end(b);
    build_device(b, "timer", "timer", 0, 2);
    build_field(b, "cpu_ticks_offset", "int64", 8, 5);
    build_device_end(b);
    build_finish(b);
}

struct expected {
    enum stream_event_kind kind;
    uint32_t block;
    uint64_t page_offset;
    uint8_t first; /* of a page, or the fill */
};

static const struct expected sample_events[] = {
    {STREAM_HEADER, 0, 0, 0},         {STREAM_CONFIGURATION, 0, 0, 0}, {STREAM_SECTION, 0, 0, 0},
    {STREAM_MEMORY, 0, 0, 0},         {STREAM_RAM_END, 0, 0, 0},       {STREAM_FOOTER, 0, 0, 0},
    {STREAM_SECTION, 0, 0, 0},        {STREAM_PAGE, 0, 0, 0x11},       {STREAM_ZERO, 0, PAGE, 0},
    {STREAM_ZERO, 1, PAGE, 0xcc},     {STREAM_RAM_END, 0, 0, 0},       {STREAM_FOOTER, 0, 0, 0},
    {STREAM_COMMAND, 0, 0, 0},        {STREAM_SECTION, 0, 0, 0},       {STREAM_PAGE, 1, 0, 0x22},
    {STREAM_PAGE, 0, 3 * PAGE, 0x33}, {STREAM_RAM_END, 0, 0, 0},       {STREAM_FOOTER, 0, 0, 0},
    {STREAM_DEVICES, 0, 0, 0},
};

static void check_sample(struct stream *stream, const struct builder *b)
{
    struct stream_error error;
    struct stream_event event;
    uint64_t offset = 0;
    for (size_t i = 0; i < sizeof(sample_events) / sizeof(sample_events[0]); i++) {
        const struct expected *want = &sample_events[i];
        assert_int_equal(stream_next(stream, &event, &error), 0);
        assert_int_equal(event.kind, want->kind);
        /* Events are contiguous: nothing of the stream is unaccounted for. */
        assert_int_equal(event.offset, offset);
        offset += event.length;
        if (event.kind == STREAM_PAGE || event.kind == STREAM_ZERO) {
            assert_int_equal(event.block, want->block);
            assert_int_equal(event.page_offset, want->page_offset);
        }
        if (event.kind == STREAM_ZERO)
            assert_int_equal(event.fill, want->first);
        if (event.kind == STREAM_COMMAND)
            assert_int_equal(event.command, STREAM_COMMAND_SWITCHOVER);
        if (event.kind == STREAM_PAGE) {
            for (size_t k = 0; k < PAGE; k++)
                assert_int_equal(event.page[k], build_page_byte(want->first, k));
            assert_memory_equal(event.page, b->data + event.data_offset, PAGE);
        }
    }
    assert_int_equal(event.offset, b->devices_at);
    assert_string_equal(stream_machine(stream), "pc-q35-7.2");
    uint32_t count;
    const struct stream_block *blocks = stream_blocks(stream, &count);
    assert_int_equal(count, 2);
    assert_string_equal(blocks[0].name, "pc.ram");
    assert_int_equal(blocks[0].length, 4 * PAGE);
    assert_string_equal(blocks[1].name, "/rom@etc/acpi/tables");
    assert_int_equal(blocks[1].length, 2 * PAGE);
    assert_int_equal(stream_block_find(stream, "pc.bios"), UINT32_MAX);

    const uint8_t *tail;
    size_t length;
    uint64_t at;
    assert_int_equal(stream_tail(stream, &tail, &length, &at, &error), 0);
    assert_int_equal(at, b->devices_at);
    assert_int_equal(length, b->length - b->devices_at);
    assert_memory_equal(tail, b->data + b->devices_at, length);
    /* And again the same. */
    assert_int_equal(stream_next(stream, &event, &error), 0);
    assert_int_equal(event.kind, STREAM_DEVICES);
}

static void test_memory(void **state)
{
    struct builder b = {0};
    struct stream stream;
    (void)state;
    build_sample(&b);
    assert_int_equal(stream_open_memory(&stream, b.data, b.length, NULL), 0);
    check_sample(&stream, &b);
    stream_close(&stream);
    build_free(&b);
}

/* Collects what a sink gets. */
struct collected {
    struct builder bytes;
    int fail_at_call;
    int calls;
};

static int collect(void *ctx, const void *data, size_t length)
{
    struct collected *collected = ctx;
    collected->calls++;
    if (collected->fail_at_call == collected->calls)
        return -1;
    build_bytes(&collected->bytes, data, length);
    return 0;
}

/* Starts a child that writes @b into a pipe @chunk bytes at a time. Returns the reading end. */
static int dribble(const struct builder *b, size_t chunk, pid_t *child)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    *child = fork();
    assert_true(*child >= 0);
    if (*child == 0) {
        close(ends[0]);
        for (size_t at = 0; at < b->length;) {
            size_t left = b->length - at;
            ssize_t put = write(ends[1], b->data + at, left < chunk ? left : chunk);
            if (put <= 0)
                _exit(1);
            at += (size_t)put;
        }
        _exit(0);
    }
    close(ends[1]);
    return ends[0];
}

static void test_pipe_in_small_pieces(void **state)
{
    struct builder b = {0};
    (void)state;
    build_sample(&b);
    for (size_t chunk = 1; chunk < 6000; chunk = chunk * 5 + 2) {
        struct collected collected = {0};
        struct stream stream;
        pid_t child;
        int status;
        int fd = dribble(&b, chunk, &child);
        assert_int_equal(stream_open_fd(&stream, fd, NULL), 0);
        stream_set_sink(&stream, collect, &collected);
        check_sample(&stream, &b);
        assert_int_equal(collected.bytes.length, b.devices_at);
        assert_memory_equal(collected.bytes.data, b.data, b.devices_at);
        stream_close(&stream);
        close(fd);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        build_free(&collected.bytes);
    }
    build_free(&b);
}

/* A stream several times as long as the parser's window. */
static void test_longer_than_the_window(void **state)
{
    enum { PAGES = 400 };
    struct builder b = {0};
    struct collected collected = {0};
    struct stream stream;
    struct stream_event event;
    struct stream_error error;
    unsigned pages = 0;
    pid_t child;
    int status;
    (void)state;
    build_header(&b, "pc-q35-7.2");
    build_ram_section(&b, 1);
    build_block_list(&b, PAGES * PAGE);
    build_block(&b, "pc.ram", PAGES * PAGE);
    build_ram_section_end(&b);
    build_ram_section(&b, 3);
    for (unsigned i = 0; i < PAGES; i++)
        build_page(&b, i == 0 ? "pc.ram" : NULL, (uint64_t)i * PAGE, (uint8_t)(i * 3));
    build_ram_section_end(&b);
    build_finish(&b);
    int fd = dribble(&b, 30001, &child);
    assert_int_equal(stream_open_fd(&stream, fd, NULL), 0);
    stream_set_sink(&stream, collect, &collected);
    do {
        assert_int_equal(stream_next(&stream, &event, &error), 0);
        if (event.kind == STREAM_PAGE) {
            assert_int_equal(event.page_offset, (uint64_t)pages * PAGE);
            assert_memory_equal(event.page, b.data + event.data_offset, PAGE);
            pages++;
        }
    } while (event.kind != STREAM_DEVICES);
    assert_int_equal(pages, PAGES);
    assert_int_equal(collected.bytes.length, b.devices_at);
    assert_memory_equal(collected.bytes.data, b.data, b.devices_at);
    /* Large chunks: at most a few per window, not one per page. */
    assert_true(collected.calls < PAGES / 4);
    stream_close(&stream);
    close(fd);
    assert_int_equal(waitpid(child, &status, 0), child);
    build_free(&collected.bytes);
    build_free(&b);
}

/* Leave one entry out, put something before another. */
static void test_sink_edits(void **state)
{
    struct builder b = {0};
    struct builder want = {0};
    struct collected collected = {0};
    struct stream stream;
    struct stream_event event;
    struct stream_error error;
    size_t copied = 0;
    (void)state;
    build_sample(&b);
    assert_int_equal(stream_open_memory(&stream, b.data, b.length, NULL), 0);
    stream_set_sink(&stream, collect, &collected);
    do {
        assert_int_equal(stream_next(&stream, &event, &error), 0);
        if (event.kind == STREAM_ZERO && event.fill == 0xcc) {
            build_bytes(&want, b.data + copied, (size_t)event.offset - copied);
            copied = (size_t)(event.offset + event.length);
            assert_int_equal(stream_sink_to(&stream, event.offset, &error), 0);
            /* What has been given cannot be taken back, what has not been read cannot be given. */
            assert_int_equal(stream_sink_to(&stream, event.offset - 1, &error), RESUME_EINVAL);
            assert_int_equal(stream_sink_to(&stream, event.offset + event.length + 1, &error),
                             RESUME_EINVAL);
            assert_int_equal(stream_sink_skip(&stream, event.offset + event.length, &error), 0);
        }
        if (event.kind == STREAM_RAM_END && event.type == STREAM_TYPE_END) {
            build_bytes(&want, b.data + copied, (size_t)event.offset - copied);
            copied = (size_t)event.offset;
            build_bytes(&want, "inserted", 8);
            assert_int_equal(stream_sink_to(&stream, event.offset, &error), 0);
            collect(&collected, "inserted", 8);
        }
    } while (event.kind != STREAM_DEVICES);
    build_bytes(&want, b.data + copied, b.devices_at - copied);
    assert_int_equal(collected.bytes.length, want.length);
    assert_memory_equal(collected.bytes.data, want.data, want.length);
    stream_close(&stream);
    build_free(&collected.bytes);
    build_free(&want);
    build_free(&b);
}

static void test_sink_fails(void **state)
{
    struct builder b = {0};
    struct collected collected = {.fail_at_call = 1};
    struct stream stream;
    struct stream_event event;
    struct stream_error error;
    int ret;
    (void)state;
    build_sample(&b);
    assert_int_equal(stream_open_memory(&stream, b.data, b.length, NULL), 0);
    stream_set_sink(&stream, collect, &collected);
    do {
        ret = stream_next(&stream, &event, &error);
    } while (ret == 0 && event.kind != STREAM_DEVICES);
    assert_int_equal(ret, STREAM_ESINK);
    assert_true(stream_error_is_io(ret));
    assert_int_equal(stream_next(&stream, &event, &error), RESUME_EINVAL);
    stream_close(&stream);
    build_free(&b);
}

/* Reads to the devices. Returns the first error; @ret_error holds its description. */
static int read_all(const uint8_t *data, size_t length, struct stream_error *error)
{
    struct stream stream;
    struct stream_event event;
    int ret;
    memset(error, 0, sizeof(*error));
    assert_int_equal(stream_open_memory(&stream, data, length, error), 0);
    do {
        memset(&event, 0xee, sizeof(event));
        struct stream_event before = event;
        ret = stream_next(&stream, &event, error);
        if (ret != 0)
            assert_memory_equal(&event, &before, sizeof(event)); /* untouched on failure */
    } while (ret == 0 && event.kind != STREAM_DEVICES);
    stream_close(&stream);
    return ret;
}

static void test_truncated_everywhere(void **state)
{
    struct builder b = {0};
    struct stream_error error;
    (void)state;
    build_sample(&b);
    for (size_t length = 0; length < b.length; length++) {
        /* A copy of exactly this length, so that reading beyond it is seen. */
        uint8_t *copy = malloc(length > 0 ? length : 1);
        assert_non_null(copy);
        memcpy(copy, b.data, length);
        int ret = read_all(copy, length, &error);
        if (length <= b.devices_at) {
            assert_int_equal(ret, RESUME_ETRUNC);
            assert_int_equal(error.code, ret);
            assert_true(error.offset <= length);
            assert_non_null(strstr(error.why, "ends in"));
        } else {
            assert_int_equal(ret, 0); /* the rest is the description's business */
        }
        free(copy);
    }
    build_free(&b);
}

/* Bytes that mean nothing to the framing: contents of pages, fill bytes, instance numbers, ... */
static void test_flipped_everywhere(void **state)
{
    struct builder b = {0};
    struct stream_error error;
    size_t refused = 0;
    (void)state;
    build_sample(&b);
    for (size_t i = 0; i < b.devices_at; i++) {
        for (unsigned flip = 1; flip < 256; flip = flip * 2 + 1) {
            b.data[i] ^= (uint8_t)flip;
            int ret = read_all(b.data, b.length, &error);
            if (ret != 0) {
                refused++;
                assert_int_equal(error.code, ret);
                assert_non_null(error.hint);
            }
            b.data[i] ^= (uint8_t)flip;
        }
    }
    /* Headers, lists, lengths, names, footers: all of it, 8 flips each; the pages are 3 * 4096. */
    assert_true(refused > 8 * 200);
    build_free(&b);
}

/* Every framing byte of the start of the sample, one flip each, is noticed. */
static void test_flipped_framing_is_refused(void **state)
{
    struct builder b = {0};
    struct stream_error error;
    (void)state;
    build_sample(&b);
    /* From the header to the end of the START section; not: the machine's name. */
    size_t end = 8 + 5 + 10 + 18 + 8 + 15 + 29 + 8 + 5;
    for (size_t i = 0; i < end; i++) {
        if (i >= 13 && i < 23)
            continue;
        b.data[i] ^= 0x80;
        assert_int_not_equal(read_all(b.data, b.length, &error), 0);
        b.data[i] ^= 0x80;
    }
    build_free(&b);
}

/* What is accepted although it is not everyday. */
static void test_accepted(void **state)
{
    struct builder b = {0};
    struct stream_error error;
    (void)state;
    build_header(&b, "pc-q35-10.0");
    build_u8(&b, 5);
    build_name(&b, "configuration/capabilities");
    build_be(&b, 1, 4);
    build_be(&b, 2, 4);
    build_name(&b, "events");
    build_name(&b, "zero-blocks");
    build_u8(&b, 5);
    build_name(&b, "configuration/uuid");
    build_be(&b, 1, 4);
    build_be(&b, 0x0102030405060708, 8);
    build_be(&b, 0x0102030405060708, 8);
    build_bytes(&b, "\10\0\2\0\4\0\0\0\1", 9); /* PING */
    build_small_ram(&b, 3);
    build_finish(&b);
    assert_int_equal(read_all(b.data, b.length, &error), 0);
    build_free(&b);
}

static void test_tail_limit(void **state)
{
    struct builder b = {0};
    struct stream stream;
    struct stream_event event;
    struct stream_error error;
    const uint8_t *tail;
    size_t length;
    uint64_t offset;
    FILE *file = tmpfile();
    (void)state;
    assert_non_null(file);
    build_header(&b, "a");
    build_small_ram(&b, 1);
    build_u8(&b, 4);
    assert_int_equal(fwrite(b.data, 1, b.length, file), b.length);
    assert_int_equal(fflush(file), 0);
    size_t devices = b.length - 1;
    for (unsigned over = 0; over < 2; over++) {
        assert_int_equal(ftruncate(fileno(file), (off_t)(devices + STREAM_TAIL_MAX + over)), 0);
        assert_int_equal(lseek(fileno(file), 0, SEEK_SET), 0);
        assert_int_equal(stream_open_fd(&stream, fileno(file), NULL), 0);
        assert_int_equal(stream_tail(&stream, &tail, &length, &offset, &error), RESUME_EINVAL);
        do {
            assert_int_equal(stream_next(&stream, &event, &error), 0);
        } while (event.kind != STREAM_DEVICES);
        int ret = stream_tail(&stream, &tail, &length, &offset, &error);
        if (over) {
            assert_int_equal(ret, RESUME_ELENGTH);
        } else {
            assert_int_equal(ret, 0);
            assert_int_equal(length, STREAM_TAIL_MAX);
            assert_int_equal(offset, devices);
        }
        stream_close(&stream);
    }
    fclose(file);
    build_free(&b);
}

static void test_read_error(void **state)
{
    struct stream stream;
    struct stream_event event;
    struct stream_error error;
    (void)state;
    assert_int_equal(stream_open_fd(&stream, 1 << 20, NULL), 0);
    assert_int_equal(stream_next(&stream, &event, &error), RESUME_IMPORT_ERRNO(EBADF));
    assert_true(stream_error_is_io(RESUME_IMPORT_ERRNO(EBADF)));
    stream_close(&stream);
    stream_close(&stream);
    assert_int_equal(stream_next(&stream, &event, &error), RESUME_EINVAL);
    assert_int_equal(stream_open_memory(&stream, NULL, 1, &error), RESUME_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_pipe_in_small_pieces),
        cmocka_unit_test(test_longer_than_the_window),
        cmocka_unit_test(test_sink_edits),
        cmocka_unit_test(test_sink_fails),
        cmocka_unit_test(test_truncated_everywhere),
        cmocka_unit_test(test_flipped_everywhere),
        cmocka_unit_test(test_flipped_framing_is_refused),
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_tail_limit),
        cmocka_unit_test(test_read_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
