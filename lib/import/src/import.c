/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The formats, and what is common to opening and reading any of them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "import_stream.h"
#include "importer.h"

#define IMPORTER(name) extern const struct importer import_##name;
#include "importers.inc"
#undef IMPORTER

static const struct importer *const importers[] = {
#define IMPORTER(name) &import_##name,
#include "importers.inc"
#undef IMPORTER
    NULL,
};
#define IMPORTER_COUNT (sizeof(importers) / sizeof(importers[0]) - 1)

static const struct resume_import_format *const formats[] = {
#define IMPORTER(name) &import_##name.format,
#include "importers.inc"
#undef IMPORTER
    NULL,
};

struct resume_import {
    const struct importer *importer;
    void *state;
    uint32_t vcpus;
    char detail[160];
    char *path;
    struct import_input input;
};

const struct resume_import_format *const *resume_import_formats(size_t *ret_count)
{
    *ret_count = IMPORTER_COUNT;
    return formats;
}

/*
 * A path that leads nowhere may be "PATH#PART". The longest PATH that is there counts, so that a file
 * whose own name has a # is never taken for another one.
 */
static int split_part(struct resume_import *import)
{
    struct stat status;
    for (size_t i = strlen(import->path); i > 1; i--) {
        char *mark = import->path + i - 1;
        if (*mark != '#')
            continue;
        *mark = 0;
        if (stat(import->path, &status) == 0) {
            import->input.part = mark + 1;
            return 0;
        }
        *mark = '#';
    }
    errno = ENOENT;
    return -1;
}

/* What @path is: a directory, or something that can be read at any offset. */
static int open_input(struct resume_import *import, struct resume_import_error *error)
{
    struct stat status;
    import->input.path = import->path;
    import->input.file = (struct import_file){.fd = -1, .name = import->path};
    if (stat(import->path, &status) != 0 &&
        (errno != ENOENT || split_part(import) != 0 || stat(import->path, &status) != 0))
        return import_fail(error, RESUME_IMPORT_ERRNO(errno), RESUME_IMPORT_NO_OFFSET, import->path,
                           "", "%s", strerror(errno));
    if (S_ISDIR(status.st_mode)) {
        import->input.is_directory = 1;
        return 0;
    }
    return import_open_beside(import->path, NULL, &import->input.file, error);
}

static int find_named(const char *name, const struct importer **ret, const char *path,
                      struct resume_import_error *error)
{
    for (size_t i = 0; importers[i] != NULL; i++) {
        if (strcmp(importers[i]->format.name, name) == 0) {
            *ret = importers[i];
            return 0;
        }
    }
    return import_fail(error, RESUME_EMAGIC, RESUME_IMPORT_NO_OFFSET, path,
                       "see the list of formats in resumectl --help", "no format is named %.64s",
                       name);
}

static int find_format(struct resume_import *import, const char *name,
                       struct resume_import_error *error)
{
    int best = 0;
    if (name != NULL) {
        int ret = find_named(name, &import->importer, import->path, error);
        if (ret != 0)
            return ret;
        if (import->importer->probe(&import->input) <= 0)
            return import_fail(error, RESUME_EMAGIC, 0, import->path,
                               "leave the format to be found out", "this is no %s",
                               import->importer->format.title);
        return 0;
    }
    for (size_t i = 0; importers[i] != NULL; i++) {
        int score = importers[i]->probe(&import->input);
        if (score > best) {
            best = score;
            import->importer = importers[i];
        }
    }
    if (best > 0)
        return 0;
    return import_fail(error, RESUME_EMAGIC, 0, import->path,
                       "name the format, or see which are read in docs/FORMATS.md",
                       "this is in no format that is known");
}

static int open_format(struct resume_import *import, const char *name,
                       struct resume_import_error *error)
{
    int ret = find_format(import, name, error);
    if (ret != 0)
        return ret;
    const struct importer *importer = import->importer;
    if (importer->open == NULL)
        return import_fail(error, RESUME_EUNSUPPORTED, 0, import->path, importer->hint,
                           "this is a %s, which is recognised but not read",
                           importer->format.title);
    if (import->input.part != NULL && !importer->has_parts)
        return import_fail(error, RESUME_EINVAL, RESUME_IMPORT_NO_OFFSET, import->path,
                           "leave out what follows the #", "a %s has no parts to choose from",
                           importer->format.title);
    ret = importer->open(&import->input, &import->state, &import->vcpus, import->detail,
                         sizeof(import->detail), error);
    if (ret != 0)
        return ret;
    if (import->vcpus == 0 || import->vcpus > RESUME_VCPU_MAX) {
        importer->close(import->state);
        return import_fail(error, import->vcpus == 0 ? RESUME_EMISSING : RESUME_ELENGTH,
                           RESUME_IMPORT_NO_OFFSET, import->path, "",
                           "it holds %u vCPUs, expected 1 to %u", import->vcpus, RESUME_VCPU_MAX);
    }
    return 0;
}

int resume_import_open(const char *path, const char *format, struct resume_import **out,
                       struct resume_import_error *error)
{
    struct resume_import *import = calloc(1, sizeof(*import));
    if (import != NULL)
        import->path = strdup(path);
    if (import == NULL || import->path == NULL) {
        free(import);
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET, path, "",
                           "no memory");
    }
    int ret = open_input(import, error);
    if (ret == 0) {
        ret = open_format(import, format, error);
        if (ret != 0)
            import_file_close(&import->input.file);
    }
    if (ret != 0) {
        free(import->path);
        free(import);
        return ret;
    }
    *out = import;
    return 0;
}

void resume_import_close(struct resume_import *import)
{
    if (import == NULL)
        return;
    import->importer->close(import->state);
    import_file_close(&import->input.file);
    free(import->path);
    free(import);
}

const struct resume_import_format *resume_import_format(const struct resume_import *import)
{
    return &import->importer->format;
}

const char *resume_import_detail(const struct resume_import *import)
{
    return import->detail;
}

uint32_t resume_import_vcpus(const struct resume_import *import)
{
    return import->vcpus;
}

int resume_import_vcpu(struct resume_import *import, uint32_t index, struct resume_vcpu *out,
                       struct resume_import_error *error)
{
    struct resume_machine machine = {0};
    struct resume_vcpu vcpu;
    size_t size;
    memset(&vcpu, 0, sizeof(vcpu));
    if (index >= import->vcpus)
        return import_fail(error, RESUME_EINVAL, RESUME_IMPORT_NO_OFFSET, import->path, "",
                           "no vCPU %u: there are %u", index, import->vcpus);
    int ret = import->importer->vcpu(import->state, index, &vcpu, error);
    if (ret != 0)
        return ret;
    /* What the input says may still be nothing that a record can hold. */
    ret = resume_state_size(&machine, &vcpu, 1, &size);
    if (ret != 0)
        return import_fail(error, ret, RESUME_IMPORT_NO_OFFSET, import->path, "", "vCPU %u: %s",
                           index, resume_strerror(ret));
    *out = vcpu;
    return 0;
}

int resume_import_machine(struct resume_import *import, struct resume_machine *out,
                          struct resume_import_error *error)
{
    struct resume_machine machine;
    memset(&machine, 0, sizeof(machine));
    if (import->importer->machine != NULL) {
        int ret = import->importer->machine(import->state, &machine, error);
        if (ret != 0)
            return ret;
    }
    *out = machine;
    return 0;
}

int resume_import_memory(struct resume_import *import, struct resume_phys *out,
                         struct resume_import_error *error)
{
    struct resume_phys phys = {0};
    if (import->importer->memory == NULL)
        return import_fail(error, RESUME_EUNREACHABLE, RESUME_IMPORT_NO_OFFSET, import->path,
                           "use a format that holds the guest's memory",
                           "this format holds no memory: %s", import->importer->format.title);
    int ret = import->importer->memory(import->state, &phys, error);
    if (ret == 0)
        *out = phys;
    return ret;
}

const struct qemu_stream *import_stream(const struct resume_import *import)
{
    const struct importer *importer = import->importer;
    return importer->stream != NULL ? importer->stream(import->state) : NULL;
}
