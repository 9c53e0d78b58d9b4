/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* VMSA pages of AMD SEV-ES and SEV-SNP as a file: one page for each vCPU, one after the other. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "importer.h"
#include "vmsa_structs.h"

/* The structure's size where somebody wrote it without the rest of its page. */
#define SHORT_SIZE 1648u

struct vmsa_file {
    struct import_file file;
    size_t length; /* of each VMSA in the file */
    uint8_t page[VMSA_PAGE];
    uint8_t area[VMSA_XSAVE];
};

static int read_page(const struct import_file *file, uint64_t offset, size_t length, uint8_t *page,
                     struct resume_import_error *error)
{
    for (size_t i = 0; i < VMSA_PAGE; i++)
        page[i] = 0;
    return import_read(file, offset, page, length, error);
}

static size_t length_each(const struct import_file *file)
{
    return file->size == SHORT_SIZE ? SHORT_SIZE : VMSA_PAGE;
}

static int probe(const struct import_input *input)
{
    uint8_t page[VMSA_PAGE];
    if (input->is_directory || input->file.size == 0)
        return 0;
    size_t length = length_each(&input->file);
    if (input->file.size % length != 0 || input->file.size / length > RESUME_VCPU_MAX ||
        read_page(&input->file, 0, length, page, NULL) != 0)
        return 0;
    return vmsa_plausible(page) ? 60 : 0;
}

static int open_file(const struct import_input *input, void **ret_state, uint32_t *ret_vcpus,
                     char *detail, size_t detail_size, struct resume_import_error *error)
{
    size_t length = length_each(&input->file);
    uint64_t count = input->file.size / length;
    if (input->file.size % length != 0 || count == 0 || count > RESUME_VCPU_MAX)
        return import_fail(error, RESUME_ELENGTH, RESUME_IMPORT_NO_OFFSET, input->path,
                           "give it whole pages of 4096 bytes, one for each vCPU",
                           "it has %llu bytes, expected 1 to %d pages",
                           (unsigned long long)input->file.size, RESUME_VCPU_MAX);
    struct vmsa_file *state = calloc(1, sizeof(*state));
    if (state == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET, input->path,
                           "", "no memory");
    state->file = input->file;
    state->length = length;
    *ret_state = state;
    *ret_vcpus = (uint32_t)count;
    snprintf(detail, detail_size, "%u of %zu bytes", (unsigned)count, length);
    return 0;
}

static int vcpu(void *opened, uint32_t index, struct resume_vcpu *out,
                struct resume_import_error *error)
{
    struct vmsa_file *state = opened;
    uint64_t offset = (uint64_t)index * state->length;
    char where[32];
    snprintf(where, sizeof(where), "VMSA %u", index);
    int ret = read_page(&state->file, offset, state->length, state->page, error);
    if (ret != 0)
        return ret;
    if (!vmsa_plausible(state->page))
        return import_fail(error, RESUME_EMAGIC, offset, where,
                           "it must be a page that is not encrypted (a guest with the debugging "
                           "policy, or one that its loader has made)",
                           "these bytes are no VMSA");
    return vmsa_vcpu(state->page, state->area, out, offset, where, error);
}

const struct importer import_vmsa = {
    .format = {.name = "vmsa", .title = "AMD VMSA page", .readable = 1},
    .probe = probe,
    .open = open_file,
    .vcpu = vcpu,
    .close = free,
};
