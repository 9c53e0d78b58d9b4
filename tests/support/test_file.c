/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "test_file.h"

void test_file_write(const char *path, const void *data, size_t length)
{
    FILE *out = fopen(path, "we");
    assert_non_null(out);
    assert_int_equal(fwrite(data, 1, length, out), length);
    assert_int_equal(fclose(out), 0);
}

uint8_t *test_file_read(const char *path, size_t *ret_length)
{
    FILE *in = fopen(path, "re");
    assert_non_null(in);
    assert_int_equal(fseek(in, 0, SEEK_END), 0);
    *ret_length = (size_t)ftell(in);
    rewind(in);
    uint8_t *data = malloc(*ret_length + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *ret_length, in), *ret_length);
    fclose(in);
    return data;
}

void test_file_flip(const char *path, uint64_t offset)
{
    uint8_t byte;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= 0x20;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
    close(fd);
}
