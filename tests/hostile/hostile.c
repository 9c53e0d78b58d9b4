/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * hostile SAMPLES: everything that a host can do to an image, done to what `resumectl open` reads, and
 * to the library. Prints a table, and fails when anything ends in another way than it should.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attempt.h"
#include "outcome.h"
#include "seal.h"
#include "snapshot_guest.h"

static const uint8_t key[RESUME_SEALED_KEY] = {1, 2, 3, 200, 5};

static void stop(const struct report_failure *failure)
{
    report_print(failure);
    exit(1);
}

/* The same VM at different moments: a page of it and a vCPU have other values. */
static struct guest *snapshot(uint64_t value)
{
    struct guest *guest = guest_open(4);
    guest_sleep(guest, 0);
    guest_sleep(guest, 2);
    machine_set(guest->vcpu[0], "cpu/env.regs[3]", value);
    phys_poke(&guest->phys, GUEST_CODE_PA, value);
    if (guest_snapshot(guest) != 0)
        stop(&guest->failure);
    guest_save(guest);
    return guest;
}

static struct image make(const struct guest *guest, const char *folder, const uint8_t *with,
                         uint32_t compression, uint32_t chunk_pages)
{
    char path[128];
    struct seal_result sealed;
    struct report_failure failure;
    static struct open_result opened;
    struct image image = {.key = with};
    memset(&failure, 0, sizeof(failure));
    snprintf(path, sizeof(path), "%s/vm.rsm", folder);
    const struct seal_options options = {.directory = guest->directory,
                                         .output = path,
                                         .key = with,
                                         .compression = compression,
                                         .chunk_pages = chunk_pages};
    const struct open_options look = {.path = path, .key = with};
    source_serve(NULL);
    if (seal_run(&options, &sealed, &failure) != 0 || open_run(&look, &opened, &failure) != 0)
        stop(&failure);
    image.header = opened.header;
    image.length = (size_t)opened.header.total;
    image.data = malloc(image.length);
    FILE *in = fopen(path, "rb");
    if (in == NULL || image.data == NULL || fread(image.data, 1, image.length, in) != image.length)
        exit(1);
    fclose(in);
    unlink(path);
    return image;
}

static void remove_folder(const char *folder)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/served", folder);
    unlink(path);
    rmdir(folder);
}

static void controls(const struct guest *guest, const char *folder)
{
    struct image image[6];
    for (unsigned i = 0; i < 6; i++)
        image[i] = make(guest, folder, i % 2 == 0 ? key : NULL, i / 2, i < 2 ? 4 : 64);
    outcome_begin("nothing: sealed and not, three compressions", OUTCOME_ACCEPTED);
    for (unsigned i = 0; i < 6; i++) {
        attempt(&image[i]);
        free(image[i].data);
    }
}

int main(int argc, char **argv)
{
    char folder[] = "/tmp/hostile-XXXXXX";
    if (argc != 2 || mkdtemp(folder) == NULL) {
        fprintf(stderr, "usage: hostile SAMPLES\n");
        return 1;
    }
    attempt_make(folder);
    struct guest *guest = snapshot(0x1000);
    struct guest *later = snapshot(0x2000);
    struct image packed = make(guest, folder, key, RESUME_SEALED_LZ4, 64);
    struct image plain = make(guest, folder, NULL, RESUME_SEALED_LZ4, 64);
    struct image wide = make(guest, folder, key, RESUME_SEALED_NONE, 4);
    struct image newer = make(later, folder, key, RESUME_SEALED_NONE, 4);

    controls(guest, folder);
    damage_all(&packed, "sealed: ");
    damage_all(&plain, "not sealed: ");
    swap_all(&wide, &newer);
    serve_all(&wide);
    keys_all(&packed, &plain, &newer);
    machines_all(&packed);
    samples_all(argv[1]);

    struct image *const images[] = {&packed, &plain, &wide, &newer};
    for (unsigned i = 0; i < 4; i++)
        free(images[i]->data);
    source_serve(NULL);
    guest_close(guest);
    guest_close(later);
    remove_folder(folder);
    return outcome_print(stdout) ? 0 : 1;
}
