/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Taking snapshot images apart. The stream that comes out is compared with the snapshot's by
 * tests/support/image_oracle.py, which reads both by itself, and as --verify compares.
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

#include "compare.h"
#include "seal.h"
#include "snapshot_guest.h"
#include "test_file.h"
#include "unseal.h"

static const uint8_t key[RESUME_SEALED_KEY] = {9, 8, 7, 6, 250};

/* A snapshot directory of four vCPUs, of which one was never started; and a folder. */
struct fixture {
    struct guest *guest;
    char folder[32];
    char image[64];
    struct manifest *manifest;
    struct manifest_image facts;
    struct unseal unseal;
    int devices_fd;
    int stream_fd;
    uint64_t size;
    struct seal_result sealed;
    struct report_failure failure;
};

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->devices_fd = f->stream_fd = -1;
    f->manifest = calloc(1, sizeof(*f->manifest));
    f->guest = guest_open(4);
    guest_sleep(f->guest, 2);
    /* Sealing moves both to where the host may see them; unsealing has to take that back. */
    machine_set(f->guest->vcpu[1], "cpu/env.interrupt_injected", 0x41);
    machine_set(f->guest->vcpu[1], "apic/isr[2]", 2);
    machine_set(f->guest->vcpu[3], "cpu/env.nmi_pending", 1);
    if (guest_snapshot(f->guest) != 0)
        fail_msg("%s", f->guest->failure.why);
    guest_save(f->guest);
    strcpy(f->folder, "/tmp/unseal-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->image, sizeof(f->image), "%s/vm.rsm", f->folder);
    *state = f;
    return 0;
}

static void close_it(struct fixture *f)
{
    unseal_close(&f->unseal);
    if (f->devices_fd >= 0)
        close(f->devices_fd);
    if (f->stream_fd >= 0)
        close(f->stream_fd);
    f->devices_fd = f->stream_fd = -1;
}

static int end(void **state)
{
    struct fixture *f = *state;
    close_it(f);
    unlink(f->image);
    /* Fails when something else was left. */
    assert_int_equal(rmdir(f->folder), 0);
    guest_close(f->guest);
    free(f->manifest);
    free(f);
    return 0;
}

static void seal(struct fixture *f, const uint8_t *with, uint32_t compression, uint32_t chunk_pages)
{
    const struct seal_options options = {.directory = f->guest->directory,
                                         .output = f->image,
                                         .key = with,
                                         .compression = compression,
                                         .chunk_pages = chunk_pages};
    unlink(f->image);
    assert_int_equal(seal_run(&options, &f->sealed, &f->failure), 0);
}

/* Opens the image, its facts, and its device part. */
static int open_it(struct fixture *f, const uint8_t *with)
{
    memset(&f->failure, 0, sizeof(f->failure));
    int result = unseal_open(&f->unseal, f->image, with, NULL, &f->failure);
    if (result == 0)
        result = manifest_read_image(f->manifest, &f->facts, f->unseal.facts,
                                     f->unseal.facts_length, f->image, &f->failure);
    if (result == 0)
        result = unseal_devices(&f->unseal, f->folder, &f->devices_fd, NULL, &f->failure);
    return result;
}

static int rebuild(struct fixture *f)
{
    return unseal_stream_file(&f->unseal, f->manifest, f->devices_fd, f->folder, &f->stream_fd,
                              &f->size, NULL, &f->failure);
}

static void assert_says(const struct fixture *f, int result, const char *word)
{
    char text[2048];
    report_format(&f->failure, text, sizeof(text));
    if (result != -EXIT_CODE_REFUSED || strstr(text, word) == NULL)
        fail_msg("%d, \"%s\", expected a refusal with \"%s\"", result, text, word);
}

static void assert_same_by_the_oracle(const struct fixture *f)
{
    char *command;
    assert_true(asprintf(&command, "'%s' -B '%s' same '%s/stream' /proc/%d/fd/%d >/dev/null",
                         RESUME_TEST_PYTHON, RESUME_TEST_ORACLE, f->guest->directory, getpid(),
                         f->stream_fd) > 0);
    assert_int_equal(system(command), 0);
    free(command);
}

static void assert_same_by_the_comparison(const struct fixture *f)
{
    char path[128];
    struct ledger ledger = {0};
    struct report_failure failure = {0};
    snprintf(path, sizeof(path), "%s/stream", f->guest->directory);
    int source = open(path, O_RDONLY);
    assert_true(source >= 0);
    const struct compare_options options = {
        .source_fd = source, .resumed_fd = f->stream_fd, .manifest = f->manifest};
    assert_int_equal(compare_streams(&options, &ledger, &failure), 0);
    assert_int_equal(ledger.field_count, 0);
    assert_int_equal(ledger.pages_identical, ledger.pages);
    assert_true(ledger.pages >= GUEST_PAGES && ledger.cpu_identical > 100);
    ledger_free(&ledger);
    close(source);
}

static void streams_come_out_as_they_went_in(void **state)
{
    struct fixture *f = *state;
    for (uint32_t compression = RESUME_SEALED_NONE; compression <= RESUME_SEALED_ZSTD;
         compression++) {
        for (unsigned sealed = 0; sealed < 2; sealed++) {
            const uint8_t *with = sealed ? key : NULL;
            struct stat status;
            seal(f, with, compression, compression == RESUME_SEALED_LZ4 ? 4 : SEAL_CHUNK_PAGES);
            assert_int_equal(open_it(f, with), 0);
            assert_true(f->unseal.opened);
            assert_memory_equal(f->unseal.header.identity, f->sealed.identity,
                                RESUME_SEALED_IDENTITY);
            assert_int_equal(rebuild(f), 0);
            assert_int_equal(fstat(f->stream_fd, &status), 0);
            assert_int_equal(status.st_size, f->size);
            assert_int_equal(status.st_nlink, 0);
            assert_int_equal(lseek(f->stream_fd, 0, SEEK_CUR), 0);
            assert_same_by_the_oracle(f);
            assert_same_by_the_comparison(f);
            close_it(f);
        }
    }
}

static void without_the_key_only_what_the_host_may_know_is_there(void **state)
{
    struct fixture *f = *state;
    uint8_t other[RESUME_SEALED_IDENTITY] = {1};
    seal(f, key, RESUME_SEALED_LZ4, SEAL_CHUNK_PAGES);
    assert_int_equal(open_it(f, NULL), 0);
    assert_false(f->unseal.opened);
    assert_null(f->unseal.structures);
    assert_int_equal(f->facts.dormant[2], 1);
    assert_int_equal(f->facts.dormant[1], 0);
    assert_int_equal(lseek(f->devices_fd, 0, SEEK_END), f->unseal.header.devices_length);
    close_it(f);
    assert_says(f, unseal_open(&f->unseal, f->image, NULL, other, &f->failure), "another snapshot");
    assert_says(f, unseal_open(&f->unseal, f->image, key, other, &f->failure), "another snapshot");
    assert_says(f, unseal_open(&f->unseal, f->image, other, NULL, &f->failure), "another key");
    assert_null(f->unseal.path);
    seal(f, NULL, RESUME_SEALED_LZ4, SEAL_CHUNK_PAGES);
    assert_says(f, unseal_open(&f->unseal, f->image, key, NULL, &f->failure), "it is not sealed");
}

static void each_piece_is_named_when_it_is_damaged(void **state)
{
    struct fixture *f = *state;
    struct stat status;
    seal(f, key, RESUME_SEALED_ZSTD, 16);
    assert_int_equal(open_it(f, key), 0);
    const struct resume_sealed_header h = f->unseal.header;
    close_it(f);
    const struct {
        uint64_t offset;
        const char *word;
    } cases[] = {{0, "image header, magic"},
                 {h.host + 1, "host facts"},
                 {h.devices, "device part"},
                 {h.structures - 1, "device part"},
                 {h.structures, "image header and structures"},
                 {h.data, "chunk 0"},
                 {h.total - 1, "chunk"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        test_file_flip(f->image, cases[i].offset);
        int result = open_it(f, key);
        if (result == 0)
            result = rebuild(f);
        assert_says(f, result, cases[i].word);
        assert_int_equal(f->stream_fd, -1);
        close_it(f);
        test_file_flip(f->image, cases[i].offset);
    }
    assert_int_equal(open_it(f, key), 0);
    assert_int_equal(truncate(f->image, (off_t)h.total - 100), 0);
    assert_says(f, rebuild(f), "the input ends too early");
    assert_int_equal(stat(f->image, &status), 0);
}

static void the_memory_map_must_be_the_machines(void **state)
{
    struct fixture *f = *state;
    seal(f, key, RESUME_SEALED_LZ4, SEAL_CHUNK_PAGES);
    assert_int_equal(open_it(f, key), 0);
    struct manifest_range *first = &f->manifest->range[0];
    const struct manifest_range saved = *first;
    first->length = RESUME_SEALED_PAGE;
    assert_says(f, rebuild(f), "no RAM at 0x1000");
    first->length = saved.length - 1;
    assert_says(f, rebuild(f), "have no RAM at");
    *first = saved;
    first->kind = MANIFEST_RANGE_ROM;
    assert_says(f, rebuild(f), "have no RAM at 0x0");
    *first = saved;
    strcpy(first->block, "pc.rim");
    assert_says(f, rebuild(f), "pc.rim");
    *first = saved;
    first->offset += UINT64_C(1) << 40;
    assert_says(f, rebuild(f), "does not have the guest's memory at 0x0");
    *first = saved;
    assert_int_equal(rebuild(f), 0);
}

/* Whoever has the key may still have made an image that is wrong. */
static void changes_must_be_in_the_device_sections(void **state)
{
    struct fixture *f = *state;
    seal(f, key, RESUME_SEALED_LZ4, SEAL_CHUNK_PAGES);
    assert_int_equal(open_it(f, key), 0);
    uint8_t *change = f->unseal.structures + f->unseal.header.part[RESUME_SEALED_PART_CHANGES];
    assert_true(f->unseal.header.part_length[RESUME_SEALED_PART_CHANGES] > 1000);
    const uint8_t kept = change[RESUME_SEALED_CHANGE_OFFSET + 6];
    change[RESUME_SEALED_CHANGE_OFFSET + 6] ^= 1;
    assert_says(f, rebuild(f), "not in the device sections");
    change[RESUME_SEALED_CHANGE_OFFSET + 6] = kept;
    memset(change + RESUME_SEALED_CHANGE_OFFSET, 0, 8);
    assert_says(f, rebuild(f), "changes: offset 0x0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(streams_come_out_as_they_went_in, begin, end),
        cmocka_unit_test_setup_teardown(without_the_key_only_what_the_host_may_know_is_there, begin,
                                        end),
        cmocka_unit_test_setup_teardown(each_piece_is_named_when_it_is_damaged, begin, end),
        cmocka_unit_test_setup_teardown(the_memory_map_must_be_the_machines, begin, end),
        cmocka_unit_test_setup_teardown(changes_must_be_in_the_device_sections, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
