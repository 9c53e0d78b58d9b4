/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Whole files, for tests of what reads and writes them. Whatever fails, fails the test. To be included
 * after cmocka.h. */
#ifndef TESTS_TEST_FILE_H
#define TESTS_TEST_FILE_H

#include <stddef.h>
#include <stdint.h>

/* test_file_write - a file of these bytes, in place of what is there. */
void test_file_write(const char *path, const void *data, size_t length);

/* test_file_read - all of it, to be freed. */
uint8_t *test_file_read(const char *path, size_t *ret_length);

/* test_file_flip - change a bit of the byte at @offset; the same again changes it back. */
void test_file_flip(const char *path, uint64_t offset);

#endif
