/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Writing snapshot images and verifying them. What is in an image is compared with the snapshot by
 * tests/support/image_oracle.py, which reads both by itself.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "open.h"
#include "seal.h"
#include "sealed.h"
#include "snapshot_guest.h"
#include "test_file.h"

static const uint8_t key[RESUME_SEALED_KEY] = {1, 2, 3, 200, 5};

/* A snapshot directory of four vCPUs, of which 0 and 2 were never started; and a folder. */
struct fixture {
    struct guest *guest;
    char folder[32];
    char image[64];
    char key_file[64];
    struct report_failure failure;
    struct seal_result sealed;
    struct open_result opened;
};

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->guest = guest_open(4);
    guest_sleep(f->guest, 0);
    guest_sleep(f->guest, 2);
    assert_int_equal(guest_snapshot(f->guest), 0);
    guest_save(f->guest);
    strcpy(f->folder, "/tmp/seal-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->image, sizeof(f->image), "%s/vm.rsm", f->folder);
    snprintf(f->key_file, sizeof(f->key_file), "%s/key", f->folder);
    test_file_write(f->key_file, key, sizeof(key));
    assert_int_equal(chmod(f->key_file, 0600), 0);
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;
    unlink(f->image);
    unlink(f->key_file);
    /* Fails when something else was left. */
    assert_int_equal(rmdir(f->folder), 0);
    guest_close(f->guest);
    free(f);
    return 0;
}

static int seal(struct fixture *f, const uint8_t *with, uint32_t compression, uint32_t chunk_pages)
{
    const struct seal_options options = {.directory = f->guest->directory,
                                         .output = f->image,
                                         .key = with,
                                         .compression = compression,
                                         .chunk_pages = chunk_pages};
    memset(&f->failure, 0, sizeof(f->failure));
    return seal_run(&options, &f->sealed, &f->failure);
}

static int open_it(struct fixture *f, const uint8_t *with, const uint8_t *identity)
{
    const struct open_options options = {.path = f->image, .key = with, .identity = identity};
    memset(&f->failure, 0, sizeof(f->failure));
    return open_run(&options, &f->opened, &f->failure);
}

static void assert_says(const struct fixture *f, int result, int code, const char *word)
{
    char text[2048];
    report_format(&f->failure, text, sizeof(text));
    if (result != -code || strstr(text, word) == NULL)
        fail_msg("%d, \"%s\", expected %d with \"%s\"", result, text, -code, word);
}

static void assert_compares(const struct fixture *f, bool with_key)
{
    char *command;
    assert_true(asprintf(&command, "'%s' -B '%s' compare '%s' '%s' %s >/dev/null",
                         RESUME_TEST_PYTHON, RESUME_TEST_ORACLE, f->guest->directory, f->image,
                         with_key ? f->key_file : "") > 0);
    assert_int_equal(system(command), 0);
    free(command);
}

static void images_hold_what_the_snapshot_does(void **state)
{
    struct fixture *f = *state;
    uint8_t first[RESUME_SEALED_IDENTITY] = {0};
    for (uint32_t compression = RESUME_SEALED_NONE; compression <= RESUME_SEALED_ZSTD;
         compression++) {
        for (unsigned sealed = 0; sealed < 2; sealed++) {
            const uint8_t *with = sealed ? key : NULL;
            const uint32_t pages = compression == RESUME_SEALED_LZ4 ? 4 : SEAL_CHUNK_PAGES;
            assert_int_equal(seal(f, with, compression, pages), 0);
            assert_compares(f, sealed != 0);
            assert_int_equal(open_it(f, with, f->sealed.identity), 0);
            assert_int_equal(f->opened.header.content, f->sealed.content);
            assert_int_equal(f->opened.header.vcpus, 4);
            assert_int_equal(f->opened.active, 2);
            assert_int_equal(f->opened.pages, f->sealed.pages);
            assert_int_equal(f->opened.header.compression, compression);
            assert_true((f->opened.compressed != 0) == (compression != RESUME_SEALED_NONE));
            /* Each image has an identity, and so keys, of its own. */
            assert_memory_not_equal(f->sealed.identity, first, sizeof(first));
            memcpy(first, f->sealed.identity, sizeof(first));
            assert_int_equal(unlink(f->image), 0);
        }
    }
}

static void keys_are_asked_for(void **state)
{
    struct fixture *f = *state;
    uint8_t wrong[RESUME_SEALED_KEY] = {1, 2, 3, 201, 5};
    uint8_t identity[RESUME_SEALED_IDENTITY];
    assert_int_equal(seal(f, key, RESUME_SEALED_LZ4, SEAL_CHUNK_PAGES), 0);
    memcpy(identity, f->sealed.identity, sizeof(identity));
    assert_says(f, open_it(f, NULL, NULL), EXIT_CODE_REFUSED, "it is sealed (give the key");
    assert_says(f, open_it(f, wrong, NULL), EXIT_CODE_REFUSED, "sealed with another key");
    unlink(f->image);
    assert_int_equal(seal(f, key, RESUME_SEALED_LZ4, SEAL_CHUNK_PAGES), 0);
    assert_says(f, open_it(f, key, identity), EXIT_CODE_REFUSED, "another snapshot");
    unlink(f->image);
    assert_int_equal(seal(f, NULL, RESUME_SEALED_LZ4, SEAL_CHUNK_PAGES), 0);
    assert_says(f, open_it(f, key, NULL), EXIT_CODE_REFUSED, "it is not sealed");
}

static void each_piece_is_named_when_it_is_damaged(void **state)
{
    struct fixture *f = *state;
    for (unsigned sealed = 0; sealed < 2; sealed++) {
        const uint8_t *with = sealed ? key : NULL;
        assert_int_equal(seal(f, with, RESUME_SEALED_ZSTD, 16), 0);
        assert_int_equal(open_it(f, with, NULL), 0);
        const struct resume_sealed_header header = f->opened.header;
        const struct resume_sealed_header *h = &header;
        const struct {
            uint64_t offset;
            const char *word;
        } cases[] = {
            {0, "image header, magic"},
            {RESUME_SEALED_HEADER_SALT, sealed ? "key check" : "image header and structures"},
            {h->host, "host facts"},
            {h->devices - 1, "host facts"},
            {h->devices, "device part"},
            {h->structures - 1, "device part"},
            {h->structures, "image header and structures"},
            {h->data - 1, "image header and structures"},
            {h->data, "chunk 0, tag"},
            {h->total - 1, "tag"}};
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            test_file_flip(f->image, cases[i].offset);
            assert_says(f, open_it(f, with, NULL), EXIT_CODE_REFUSED, cases[i].word);
            test_file_flip(f->image, cases[i].offset);
        }
        assert_int_equal(open_it(f, with, NULL), 0);
        const uint64_t cuts[] = {
            0, 100, h->host, h->devices + 1, h->structures + 9, h->data, h->data + 1, h->total - 1};
        for (size_t i = sizeof(cuts) / sizeof(cuts[0]); i-- > 0;) {
            assert_int_equal(truncate(f->image, (off_t)cuts[i]), 0);
            assert_says(f, open_it(f, with, NULL), EXIT_CODE_REFUSED, "the input ends too early");
        }
        unlink(f->image);
    }
}

static void bad_snapshots_leave_nothing(void **state)
{
    struct fixture *f = *state;
    char path[128];
    struct stat status;
    snprintf(path, sizeof(path), "%s/stream", f->guest->directory);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "x", 1, 5000), 1);
    assert_says(f, seal(f, key, RESUME_SEALED_LZ4, SEAL_CHUNK_PAGES), EXIT_CODE_REFUSED,
                "checksum");
    close(fd);
    assert_int_equal(lstat(f->image, &status), -1);
    snprintf(path, sizeof(path), "%s.partial", f->image);
    assert_int_equal(lstat(path, &status), -1);
}

static void outputs_are_not_overwritten(void **state)
{
    struct fixture *f = *state;
    char path[128];
    test_file_write(f->image, "mine", 4);
    assert_says(f, seal(f, key, RESUME_SEALED_LZ4, SEAL_CHUNK_PAGES), EXIT_CODE_REFUSED,
                "it exists already");
    struct stat status;
    assert_int_equal(stat(f->image, &status), 0);
    assert_int_equal(status.st_size, 4);
    unlink(f->image);
    /* What an interrupted run left is replaced. */
    snprintf(path, sizeof(path), "%s.partial", f->image);
    test_file_write(path, "left", 4);
    report_use_stream(fopen("/dev/null", "w"));
    assert_int_equal(seal(f, key, RESUME_SEALED_LZ4, SEAL_CHUNK_PAGES), 0);
    report_use_stream(NULL);
    assert_int_equal(open_it(f, key, NULL), 0);
}

static void key_files_have_32_bytes(void **state)
{
    struct fixture *f = *state;
    uint8_t got[RESUME_SEALED_KEY];
    uint8_t bytes[33] = {7};
    memset(&f->failure, 0, sizeof(f->failure));
    assert_int_equal(sealed_key_read(f->key_file, got, &f->failure), 0);
    assert_memory_equal(got, key, sizeof(key));
    test_file_write(f->key_file, bytes, 33);
    assert_says(f, sealed_key_read(f->key_file, got, &f->failure), EXIT_CODE_REFUSED,
                "more than 32");
    test_file_write(f->key_file, bytes, 31);
    assert_says(f, sealed_key_read(f->key_file, got, &f->failure), EXIT_CODE_REFUSED,
                "less than 32");
    unlink(f->key_file);
    assert_says(f, sealed_key_read(f->key_file, got, &f->failure), EXIT_CODE_ENVIRONMENT,
                "No such");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(images_hold_what_the_snapshot_does, begin, end),
        cmocka_unit_test_setup_teardown(keys_are_asked_for, begin, end),
        cmocka_unit_test_setup_teardown(each_piece_is_named_when_it_is_damaged, begin, end),
        cmocka_unit_test_setup_teardown(bad_snapshots_leave_nothing, begin, end),
        cmocka_unit_test_setup_teardown(outputs_are_not_overwritten, begin, end),
        cmocka_unit_test_setup_teardown(key_files_have_32_bytes, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
