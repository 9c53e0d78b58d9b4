/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* unseal_stream IMAGE KEY-FILE|- STREAM: rebuilds the stream that an image was made from. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manifest.h"
#include "sealed.h"
#include "unseal.h"

int main(int argc, char **argv)
{
    static struct unseal unseal;
    static struct manifest manifest;
    static struct manifest_image facts;
    struct report_failure failure = {0};
    uint8_t key[RESUME_SEALED_KEY];
    uint64_t size = 0;
    int devices = -1;
    if (argc != 4) {
        fprintf(stderr, "usage: unseal_stream IMAGE KEY-FILE|- STREAM\n");
        return EXIT_CODE_USAGE;
    }
    const bool sealed = strcmp(argv[2], "-") != 0;
    const int out = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int result = out < 0 ? -EXIT_CODE_ENVIRONMENT : 0;
    if (result == 0 && sealed)
        result = sealed_key_read(argv[2], key, &failure);
    if (result == 0)
        result = unseal_open(&unseal, argv[1], sealed ? key : NULL, NULL, &failure);
    if (result == 0)
        result = manifest_read_image(&manifest, &facts, unseal.facts, unseal.facts_length, argv[1],
                                     &failure);
    if (result == 0)
        result = unseal_devices(&unseal, "/tmp", &devices, NULL, &failure);
    if (result == 0)
        result = unseal_stream(&unseal, &manifest, devices, out, &size, NULL, &failure);
    unseal_close(&unseal);
    return result == 0 ? EXIT_CODE_OK : report_print(&failure);
}
