/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Opening a snapshot image for a resume: what the host takes from it, with its key and without. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protect.h"
#include "resume_arguments.h"
#include "resume_input.h"
#include "seal.h"
#include "sealed.h"
#include "snapshot_guest.h"
#include "test_file.h"

static const uint8_t key[RESUME_SEALED_KEY] = {9, 8, 7, 6, 5};

/* Of four vCPUs, 0 and 2 were never started. */
struct fixture {
    struct guest *guest;
    char folder[32]; /* TMPDIR too: what is left there is found */
    char image[64];
    char key_file[64];
    char identity[2 * RESUME_SEALED_IDENTITY + 1];
    struct seal_result sealed;
    struct resume_input input;
    struct report_failure failure;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->guest = guest_open(4);
    guest_sleep(f->guest, 0);
    guest_sleep(f->guest, 2);
    assert_int_equal(guest_snapshot(f->guest), 0);
    guest_save(f->guest);
    strcpy(f->folder, "/tmp/resume-image-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    assert_int_equal(setenv("TMPDIR", f->folder, 1), 0);
    snprintf(f->image, sizeof(f->image), "%s/vm.rsm", f->folder);
    snprintf(f->key_file, sizeof(f->key_file), "%s/key", f->folder);
    test_file_write(f->key_file, key, sizeof(key));
    assert_int_equal(chmod(f->key_file, 0600), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    resume_input_close(&f->input);
    unlink(f->image);
    unlink(f->key_file);
    int left = rmdir(f->folder);
    unsetenv("TMPDIR");
    guest_close(f->guest);
    free(f);
    return left;
}

static void seal(struct fixture *f, const uint8_t *with)
{
    const struct seal_options options = {.directory = f->guest->directory,
                                         .output = f->image,
                                         .key = with,
                                         .compression = RESUME_SEALED_LZ4,
                                         .chunk_pages = SEAL_CHUNK_PAGES};
    if (seal_run(&options, &f->sealed, &f->failure) != 0)
        fail_msg("%s", f->failure.why);
    sealed_hex(f->sealed.identity, sizeof(f->sealed.identity), f->identity);
}

static int open_with(struct fixture *f, struct resume_input_options options)
{
    options.path = options.path != NULL ? options.path : f->image;
    resume_input_close(&f->input);
    memset(&f->failure, 0, sizeof(f->failure));
    return resume_input_open(&f->input, &options, &f->failure);
}

static int open_image(struct fixture *f, bool with_key)
{
    return open_with(f, (struct resume_input_options){.key_path = with_key ? f->key_file : NULL});
}

static void assert_says(const struct fixture *f, int result, int code, const char *word)
{
    char text[2048];
    report_format(&f->failure, text, sizeof(text));
    if (result != -code || strstr(text, word) == NULL)
        fail_msg("%d, \"%s\", expected %d with \"%s\"", result, text, -code, word);
}

/* What is known of a machine without its secrets. */
static void assert_facts(const struct fixture *f)
{
    const struct resume_input *input = &f->input;
    assert_true(input->image);
    assert_int_equal(input->vcpu_count, 4);
    assert_int_equal(input->active_count, 2);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(input->active[i], i == 1 || i == 3);
    assert_true(input->home.pa == f->guest->made.home.pa);
    assert_true(input->home.offset == f->guest->made.home.pa);
    assert_true(input->home.length == f->guest->made.home.length);
    assert_string_equal(input->home.block, "pc.ram");
    assert_int_equal(input->manifest->memory_size, f->guest->manifest->memory_size);
    /* All but what the chipset hides. */
    assert_int_equal(input->memory->pages, GUEST_PAGES - 0x60);
    assert_int_equal(input->memory->count, 2);
    assert_string_equal(input->memory->area[0].name, "pc.ram");
    assert_int_equal(input->memory->area[1].page, 0x100);
    assert_int_equal(input->image_size, f->sealed.total);
    /* The device part: nothing of the memory. */
    assert_int_equal(input->stream_size, f->sealed.devices);
    assert_null(input->stream_hash);
    assert_string_equal(input->state_path, "");
    assert_string_equal(input->plan_path, "");
    assert_string_equal(input->identity_path, "");
}

static void a_sealed_image_is_looked_through_with_its_key(void **state)
{
    struct fixture *f = *state;
    seal(f, key);
    if (open_image(f, true) != 0)
        fail_msg("%s", f->failure.why);
    assert_facts(f);
    assert_string_equal(f->input.key_path, f->key_file);
    assert_null(f->input.standing);
    assert_false(f->input.home.va_unknown);
    assert_true(f->input.home.va == f->guest->made.home.va);
    assert_int_equal(f->input.fill, 0xcc);
    assert_int_equal(f->input.layout.length, f->input.home.length);
}

static void without_its_key_the_facts_have_to_do(void **state)
{
    struct fixture *f = *state;
    seal(f, key);
    if (open_image(f, false) != 0)
        fail_msg("%s", f->failure.why);
    assert_facts(f);
    assert_null(f->input.key_path);
    assert_non_null(strstr(f->input.standing, "no --key"));
    assert_true(f->input.home.va_unknown);
}

static void an_image_that_is_not_sealed_is_said_to_be_so(void **state)
{
    struct fixture *f = *state;
    seal(f, NULL);
    if (open_image(f, false) != 0)
        fail_msg("%s", f->failure.why);
    assert_facts(f);
    assert_string_equal(f->input.standing, SEALED_INTEGRITY_ONLY);
    assert_true(f->input.home.va == f->guest->made.home.va);
    assert_says(f, open_image(f, true), EXIT_CODE_REFUSED, "not sealed");
}

static void keys_are_checked(void **state)
{
    struct fixture *f = *state;
    uint8_t wrong[RESUME_SEALED_KEY] = {1};
    seal(f, key);
    test_file_write(f->key_file, wrong, sizeof(wrong));
    assert_says(f, open_image(f, true), EXIT_CODE_REFUSED, "sealed with another key");
    test_file_write(f->key_file, wrong, sizeof(wrong) - 1);
    assert_says(f, open_image(f, true), EXIT_CODE_REFUSED, "less than 32 bytes");
    assert_says(f, open_with(f, (struct resume_input_options){.verify = true}), EXIT_CODE_REFUSED,
                "nothing to compare with (give the key");
}

static void only_the_wanted_image_will_do(void **state)
{
    struct fixture *f = *state;
    seal(f, key);
    for (unsigned with_key = 0; with_key < 2; with_key++) {
        size_t length;
        struct resume_input_options options = {.key_path = with_key ? f->key_file : NULL,
                                               .identity = f->identity};
        if (open_with(f, options) != 0)
            fail_msg("%s", f->failure.why);
        /* The firmware is told as well. */
        uint8_t *told = test_file_read(f->input.identity_path, &length);
        assert_int_equal(length, RESUME_SEALED_IDENTITY);
        assert_memory_equal(told, f->sealed.identity, RESUME_SEALED_IDENTITY);
        free(told);
        const char before = f->identity[63];
        f->identity[63] = before == 'a' ? 'b' : 'a';
        assert_says(f, open_with(f, options), EXIT_CODE_REFUSED, "another snapshot than the one");
        f->identity[63] = 'A';
        assert_says(f, open_with(f, options), EXIT_CODE_USAGE, "64 digits");
        f->identity[63] = before;
    }
}

static void options_of_an_image_are_none_of_a_directory(void **state)
{
    struct fixture *f = *state;
    const char *const wish = "reg:rbx^1";
    const char *const ram = "ram:0x3000^0x21";
    seal(f, NULL);
    assert_says(f,
                open_with(f, (struct resume_input_options){.path = f->guest->directory,
                                                           .key_path = f->key_file}),
                EXIT_CODE_USAGE, "--key");
    assert_says(f,
                open_with(f, (struct resume_input_options){.path = f->guest->directory,
                                                           .identity = f->identity}),
                EXIT_CODE_USAGE, "--expect-identity");
    assert_says(f, open_with(f, (struct resume_input_options){.inject = &wish, .inject_count = 1}),
                EXIT_CODE_USAGE, "firmware reads them from the image");
    if (open_with(f, (struct resume_input_options){.inject = &ram, .inject_count = 1}) != 0)
        fail_msg("%s", f->failure.why);
    assert_int_equal(f->input.poke.offset, 0x3000);
    assert_int_equal(f->input.poke.mask, 0x21);
    assert_says(f, open_with(f, (struct resume_input_options){.path = f->key_file}),
                EXIT_CODE_REFUSED, "neither a directory nor a snapshot image");
}

/* Changes the facts for the host behind @anchor from @from to as many characters @to, and makes hash and
 * checksum right again: as somebody would who wrote a wrong image. */
static void rewrite(struct fixture *f, const char *anchor, const char *from, const char *to)
{
    size_t length;
    struct resume_sealed_header header;
    struct resume_sealed_source source;
    struct resume_diag diag;
    int fd;
    assert_int_equal(sealed_source_open(f->image, &source, &fd, &f->failure), 0);
    assert_int_equal(resume_sealed_header(&source, &header, &diag), 0);
    close(fd);
    uint8_t *data = test_file_read(f->image, &length);
    char *facts = strndup((const char *)data + header.host, header.host_length);
    assert_non_null(facts);
    char *at = strstr(facts, anchor);
    at = at != NULL ? strstr(at, from) : NULL;
    if (at == NULL || strlen(from) != strlen(to))
        fail_msg("no \"%s\" behind \"%s\" in %s", from, anchor, facts);
    memcpy(at, to, strlen(to));
    memcpy(data + header.host, facts, header.host_length);
    protect_sha256(facts, header.host_length, data + RESUME_SEALED_HEADER_HOST_HASH);
    const size_t end = header.structures_length - RESUME_SEALED_TAG;
    uint8_t *structures = data + header.structures;
    protect_apply(RESUME_SEALED_CHECKSUM, NULL, PROTECT_STRUCTURES, 0, data,
                  RESUME_SEALED_HEADER_SIZE, structures, end, structures + end);
    test_file_write(f->image, data, length);
    free(facts);
    free(data);
}

static void facts_have_to_agree_with_the_structures(void **state)
{
    static const struct {
        const char *anchor;
        const char *from;
        const char *to;
        const char *why;
    } cases[] = {
        {"\"dormant\"", "0,", "1,", "another home, or other dormant vCPUs"},
        {"\"dormant\"", "0,", "4,", "no number of a vCPU"},
        {"\"home\"", "\"base\"", "\"bass\"", "\"base\" is missing"},
        {"\"home\"", "000\"", "001\"", "not in RAM"},
        {"\"cpu_count\"", "4", "5", "4 vCPUs, its facts for the host say 5"},
        {"\"memory_map\"", "\"0x400000\"", "\"0x3ff000\"", "memory map is another"},
        {"\"memory_map\"", "\"0x400000\"", "\"0x401000\"", "beyond the end of this RAM block"},
        {"\"memory_map\"", "\"pc.ram\"", "\"pc.rom\"", "has no RAM of the machine"},
        {"\"kind\"", "image", "imagf", "\"kind\""},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        seal(f, NULL);
        rewrite(f, cases[i].anchor, cases[i].from, cases[i].to);
        assert_says(f, open_image(f, false), EXIT_CODE_REFUSED, cases[i].why);
        assert_int_equal(unlink(f->image), 0);
    }
    char home[32];
    char other[32];
    snprintf(home, sizeof(home), "\"0x%llx\"", (unsigned long long)f->guest->made.home.pa);
    snprintf(other, sizeof(other), "\"0x%llx\"",
             (unsigned long long)f->guest->made.home.pa ^ 0x1000);
    seal(f, NULL);
    rewrite(f, "\"home\"", home, other);
    assert_says(f, open_image(f, false), EXIT_CODE_REFUSED, "another home, or other dormant vCPUs");
    rewrite(f, "\"home\"", other, home);
    assert_int_equal(open_image(f, false), 0);
}

static void damage_to_what_the_host_reads_is_found(void **state)
{
    struct fixture *f = *state;
    seal(f, key);
    assert_int_equal(open_image(f, true), 0);
    size_t length;
    uint8_t *data = test_file_read(f->image, &length);
    /* Behind the header there are facts and device part. */
    for (size_t at = 9; at < RESUME_SEALED_HEADER_SIZE + f->sealed.devices; at += 401) {
        data[at] ^= 4;
        test_file_write(f->image, data, length);
        data[at] ^= 4;
        if (open_image(f, true) != -EXIT_CODE_REFUSED)
            fail_msg("byte %zu has been changed", at);
        if (at >= RESUME_SEALED_HEADER_SIZE)
            assert_int_equal(open_image(f, false), -EXIT_CODE_REFUSED);
    }
    free(data);
}

/* 120 s, 15 more for each further vCPU, and one for each MiB of an image, up to a day; or what was asked
 * for. */
static void limits_grow_with_the_image(void **state)
{
    const struct resume_arguments none = {.timeout_s = 0};
    const struct resume_arguments given = {.timeout_s = 7};
    (void)state;
    assert_int_equal(resume_arguments_timeout(&none, 1, 0), 120000);
    assert_int_equal(resume_arguments_timeout(&none, 4, 0), 165000);
    assert_int_equal(resume_arguments_timeout(&none, 4, UINT64_C(10) << 20), 175000);
    assert_int_equal(resume_arguments_timeout(&none, 1, UINT64_MAX), 86400000);
    assert_int_equal(resume_arguments_timeout(&given, 4, UINT64_C(10) << 20), 7000);
}

#define IMAGE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        IMAGE_TEST(a_sealed_image_is_looked_through_with_its_key),
        IMAGE_TEST(without_its_key_the_facts_have_to_do),
        IMAGE_TEST(an_image_that_is_not_sealed_is_said_to_be_so),
        IMAGE_TEST(keys_are_checked),
        IMAGE_TEST(only_the_wanted_image_will_do),
        IMAGE_TEST(options_of_an_image_are_none_of_a_directory),
        IMAGE_TEST(facts_have_to_agree_with_the_structures),
        IMAGE_TEST(damage_to_what_the_host_reads_is_found),
        cmocka_unit_test(limits_grow_with_the_image),
    };
    return cmocka_run_group_tests_name("resume image", tests, NULL, NULL);
}
