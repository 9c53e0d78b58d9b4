/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Runs a fuzz target over files, without a fuzzer: replay DIRECTORY_OR_FILE...
 * Every file of a directory is taken, in the order of their names. A file is also run cut at every
 * length up to its first 256 bytes, and with every one of those bytes flipped.
 */
#define _DEFAULT_SOURCE
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILE_MAX (UINT32_C(1) << 24)
#define VARIED_MAX 256

static unsigned long runs;

/* Each run gets a block of its very size, so that a sanitizer sees the first byte beyond it. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size != 0 ? size : 1);

    if (copy == NULL) {
        perror("replay");
        exit(1);
    }
    memcpy(copy, data, size);
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    runs++;
}

static void run_varied(uint8_t *data, size_t size)
{
    run(data, size);
    for (size_t i = 0; i < size && i < VARIED_MAX; i++) {
        run(data, i);
        data[i] = (uint8_t)~data[i];
        run(data, size);
        data[i] = (uint8_t)~data[i];
    }
}

static int run_file(const char *path)
{
    uint8_t *data = malloc(FILE_MAX);
    FILE *file = fopen(path, "rb");
    int failed = 1;

    if (file == NULL || data == NULL) {
        perror(path);
    } else {
        size_t size = fread(data, 1, FILE_MAX, file);

        if (ferror(file) || !feof(file)) {
            fprintf(stderr, "replay: %s: cannot be read, or is longer than 16 MiB\n", path);
        } else {
            run_varied(data, size);
            failed = 0;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    free(data);
    return failed;
}

static int run_directory(const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    int failed = count < 0;

    if (failed) {
        perror(path);
    }
    for (int i = 0; i < count; i++) {
        char name[4096];

        if (entries[i]->d_name[0] != '.') {
            snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
            failed |= run_file(name);
        }
        free(entries[i]);
    }
    if (count >= 0) {
        free(entries);
    }
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;

    for (int i = 1; i < argc; i++) {
        struct stat status;

        if (stat(argv[i], &status) != 0) {
            perror(argv[i]);
            failed = 1;
        } else {
            failed |= S_ISDIR(status.st_mode) ? run_directory(argv[i]) : run_file(argv[i]);
        }
    }
    printf("%lu inputs\n", runs);
    /* An empty corpus proves nothing. */
    return failed || runs == 0;
}
