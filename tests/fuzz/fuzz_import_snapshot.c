/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Snapshot directories. An input is a byte of which each bit that is set leaves one of the files out, the
 * lengths of the state blob and of the manifest in two bytes each, low byte first, and the files: blob,
 * manifest, and all the rest the stream. The blob's checksum is put right.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blob_fuzz.h"
#include "import_exercise.h"

#define HEADER 5u
#define FILES 3u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[FILES] = {"state.rsm", "manifest.json", "stream"};

/* Of links to files in memory: only the directory itself is on a disk. */
static struct {
    char path[4096];
    struct import_memfile file[FILES];
    int there[FILES];
} directory;

static void must(int good, const char *what)
{
    if (!good) {
        perror(what);
        abort();
    }
}

static void name_file(char path[4096 + 32], unsigned index)
{
    snprintf(path, 4096 + 32, "%s/%s", directory.path, names[index]);
}

static void remove_directory(void)
{
    char path[4096 + 32];
    for (unsigned i = 0; i < FILES; i++) {
        name_file(path, i);
        unlink(path);
    }
    rmdir(directory.path);
}

static void make_directory(void)
{
    const char *where = getenv("TMPDIR");
    snprintf(directory.path, sizeof(directory.path), "%s/fuzz-snapshot-XXXXXX",
             where != NULL ? where : "/tmp");
    must(mkdtemp(directory.path) != NULL, directory.path);
    must(atexit(remove_directory) == 0, "atexit");
    for (unsigned i = 0; i < FILES; i++)
        import_memfile_open(&directory.file[i]);
}

static void set_file(unsigned index, int there, const uint8_t *data, size_t size)
{
    char path[4096 + 32];
    import_memfile_set(&directory.file[index], data, size);
    if (there == directory.there[index])
        return;
    name_file(path, index);
    if (there)
        must(symlink(directory.file[index].path, path) == 0, path);
    else
        must(unlink(path) == 0, path);
    directory.there[index] = there;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t length[FILES];
    if (size < HEADER)
        return 0;
    if (directory.path[0] == 0)
        make_directory();
    uint8_t *copy = malloc(size);
    must(copy != NULL, "malloc");
    memcpy(copy, data, size);
    size_t left = size - HEADER;
    for (unsigned i = 0; i < FILES; i++) {
        size_t wanted = i < 2 ? (size_t)(data[1 + 2 * i] | data[2 + 2 * i] << 8) : left;
        length[i] = wanted < left ? wanted : left;
        left -= length[i];
    }
    uint8_t *at = copy + HEADER;
    for (unsigned i = 0; i < FILES; i++) {
        size_t used = i == 0 ? blob_fuzz_seal(at, length[0]) : length[i];
        set_file(i, (data[0] >> i & 1) == 0, at, used);
        at += length[i];
    }
    free(copy);
    import_exercise(directory.path, (data[0] & 8) != 0 ? "snapshot" : NULL);
    return 0;
}
