/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Writes the files of tests/golden: make_golden DIRECTORY. Needed only when the format changes. */
#include <stdio.h>

#include "golden.h"

static int write_case(const char *directory, const struct golden_case *golden)
{
    static struct blob blob;
    char path[512];
    FILE *file;
    int length =
        snprintf(path, sizeof(path), "%s/%s/%s.rsm", directory, golden->directory, golden->name);
    size_t written;

    if (length < 0 || (size_t)length >= sizeof(path)) {
        fprintf(stderr, "make_golden: %s: the path is too long\n", directory);
        return 1;
    }
    golden_build(golden, &blob);
    file = fopen(path, "wb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    written = fwrite(blob.data, 1, blob.length, file);
    if (fclose(file) != 0 || written != blob.length) {
        perror(path);
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    int failed = 0;

    if (argc != 2) {
        fprintf(stderr, "usage: make_golden DIRECTORY (with valid/ and invalid/ in it)\n");
        return 2;
    }
    for (size_t i = 0; i < golden_case_count; i++) {
        failed |= write_case(argv[1], &golden_cases[i]);
    }
    return failed;
}
