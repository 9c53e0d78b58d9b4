/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Snapshot directories as an input like any other, and what a resume says of inputs that are none. */
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
#include <unistd.h>

#include <resume/import.h>

#include "input.h"
#include "snapshot_guest.h"

static struct guest *save_three(void)
{
    struct guest *guest = guest_open(3);
    guest_in_kernel(guest, 1);
    guest_sleep(guest, 2);
    assert_int_equal(guest_snapshot(guest), 0);
    guest_save(guest);
    return guest;
}

static struct resume_import *open_directory(const struct guest *guest)
{
    struct resume_import *import = NULL;
    struct resume_import_error error;
    if (resume_import_open(guest->directory, NULL, &import, &error) != 0)
        fail_msg("refused: %s: %s", error.where, error.why);
    return import;
}

static void has_the_vcpus_of_the_state(void **state)
{
    (void)state;
    struct guest *guest = save_three();
    struct resume_import *import = open_directory(guest);
    struct resume_vcpu vcpu;
    struct resume_machine machine;
    assert_string_equal(resume_import_format(import)->name, "snapshot");
    assert_int_equal(resume_import_vcpus(import), 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(resume_import_vcpu(import, i, &vcpu, NULL), 0);
        assert_int_equal(vcpu.regs.gpr[RESUME_RBX], 0x1000 + i);
        assert_int_equal(resume_vcpu_dormant(&vcpu), i == 2);
        assert_int_equal(resume_import_missing(&vcpu, NULL, 0), 0);
    }
    assert_int_equal(resume_import_machine(import, &machine, NULL), 0);
    assert_string_equal(machine.type, "pc-q35-7.2");
    resume_import_close(import);
    guest_close(guest);
}

/* Every page is that of the guest, where the manifest puts it, and there are no others. */
static void has_the_memory_of_the_stream(void **state)
{
    (void)state;
    struct guest *guest = save_three();
    struct resume_import *import = open_directory(guest);
    struct resume_import_error error;
    struct resume_phys phys;
    if (resume_import_memory(import, &phys, &error) != 0)
        fail_msg("no memory: %s: %s", error.where, error.why);
    for (uint64_t i = 0; i < GUEST_PAGES; i++) {
        const void *page = phys.page(phys.ctx, i * 4096);
        assert_non_null(page);
        assert_memory_equal(page, guest->phys.bytes + i * 4096, 4096);
    }
    assert_null(phys.page(phys.ctx, GUEST_PAGES * 4096));
    resume_import_close(import);
    guest_close(guest);
}

static void change(const struct guest *guest, const char *name, const char *from, const char *to)
{
    static char text[1 << 16];
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", guest->directory, name);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    size_t length = fread(text, 1, sizeof(text) - 1, file);
    text[length] = '\0';
    char *at = strstr(text, from);
    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(to));
    assert_int_equal(fseek(file, at - text, SEEK_SET), 0);
    assert_int_equal(fwrite(to, 1, strlen(to), file), strlen(to));
    fclose(file);
}

static void assert_no_memory(const struct guest *guest, const char *word)
{
    struct resume_import *import = open_directory(guest);
    struct resume_import_error error = {0};
    struct resume_phys phys;
    /* The second time too: it has not left half a stream behind. */
    for (unsigned i = 0; i < 2; i++) {
        assert_int_not_equal(resume_import_memory(import, &phys, &error), 0);
        if (strstr(error.where, word) == NULL && strstr(error.why, word) == NULL)
            fail_msg("\"%s\" is not in: %s: %s", word, error.where, error.why);
        memset(&error, 0, sizeof(error));
    }
    resume_import_close(import);
}

static void names_what_is_damaged(void **state)
{
    (void)state;
    struct guest *guest = save_three();
    struct resume_import *import = NULL;
    struct resume_import_error error;
    char path[128];
    change(guest, MANIFEST_FILE, "memory_map", "memory_mop");
    assert_no_memory(guest, MANIFEST_FILE);
    change(guest, MANIFEST_FILE, "memory_mop", "memory_map");
    change(guest, MANIFEST_FILE, "\"length\": \"0x400000\"", "\"length\": \"0x40000g\"");
    assert_no_memory(guest, MANIFEST_FILE);
    snprintf(path, sizeof(path), "%s/%s", guest->directory, MANIFEST_STREAM);
    assert_int_equal(unlink(path), 0);
    assert_no_memory(guest, MANIFEST_STREAM);
    snprintf(path, sizeof(path), "%s/%s", guest->directory, MANIFEST_STATE);
    assert_int_equal(unlink(path), 0);
    assert_int_not_equal(resume_import_open(guest->directory, NULL, &import, &error), 0);
    assert_string_equal(error.where, MANIFEST_STATE);
    guest_close(guest);
}

/* A resume says what an input lacks; what is a snapshot is left to it. */
static void resumes_snapshots_only(void **state)
{
    (void)state;
    struct guest *guest = save_three();
    struct report_failure failure = {0};
    char path[128];
    assert_int_equal(input_check_resumable(guest->directory, &failure), 0);
    assert_int_equal(input_check_resumable("/does/not/exist", &failure), 0);
    snprintf(path, sizeof(path), "%s/%s", guest->directory, MANIFEST_STATE);
    assert_int_equal(input_check_resumable(path, &failure), -EXIT_CODE_REFUSED);
    assert_non_null(strstr(failure.why, "snapshot directory"));
    assert_int_equal(input_check_resumable(
                         RESUME_TEST_GOLDEN_DIR "/import/elf_dump/qemu-7.2-two-vcpus", &failure),
                     -EXIT_CODE_REFUSED);
    assert_non_null(strstr(failure.why, "QEMU ELF dump"));
    assert_non_null(strstr(failure.why, "of vCPU 0 cr8, efer, dr0"));
    assert_non_null(strstr(failure.why, "lstar"));
    guest_close(guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_the_vcpus_of_the_state),
        cmocka_unit_test(has_the_memory_of_the_stream),
        cmocka_unit_test(names_what_is_damaged),
        cmocka_unit_test(resumes_snapshots_only),
    };
    return cmocka_run_group_tests_name("snapshot input", tests, NULL, NULL);
}
