/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Formats that are told by their magic numbers only, so that they can be refused by their names
 * rather than as something unknown. docs/FORMATS.md says how to get at their contents.
 */
#include <string.h>

#include "importer.h"

#define LONGEST 32u

struct signature {
    uint32_t offset;
    uint8_t length;
    const char *bytes;
};

/* @signatures: up to one of length 0. */
static int probe_any(const struct import_input *input, const struct signature *signatures)
{
    uint8_t found[LONGEST];
    if (input->is_directory)
        return 0;
    for (; signatures->length != 0; signatures++) {
        if (import_read(&input->file, signatures->offset, found, signatures->length, NULL) == 0 &&
            memcmp(found, signatures->bytes, signatures->length) == 0)
            return 90;
    }
    return 0;
}

/* The low half of the word says in which state it is: new, restored once, without its memory. */
static const struct signature signatures_vmware[] = {
    {0, 4, "\xd0\xbe\xd0\xbe"}, {0, 4, "\xd1\xbe\xd1\xbe"},
    {0, 4, "\xd0\xbe\xd2\xbe"}, {0, 4, "\xd2\xbe\xd2\xbe"},
    {0, 4, "\xd3\xbe\xd3\xbe"}, {0, 4, "\xd1\xba\xd1\xba"},
    {0, 4, "\xd2\xba\xd2\xba"}, {0, 0, NULL},
};

static int probe_vmware(const struct import_input *input)
{
    return probe_any(input, signatures_vmware);
}

const struct importer import_vmware = {
    .format = {.name = "vmware", .title = "VMware suspend or snapshot state (.vmss, .vmsn)"},
    .hint = "VMware's vmss2core makes a core file of it, which is read",
    .probe = probe_vmware,
};

static const struct signature signatures_virtualbox[] = {
    {0, 24,
     "\x7f"
     "VirtualBox SavedState V"},
    {0, 0, NULL},
};

static int probe_virtualbox(const struct import_input *input)
{
    return probe_any(input, signatures_virtualbox);
}

const struct importer import_virtualbox = {
    .format = {.name = "virtualbox", .title = "VirtualBox saved state (.sav)"},
    .hint = "resume the machine and use VBoxManage debugvm dumpvmcore",
    .probe = probe_virtualbox,
};

/* The second header is a page further, and is the one that counts every other time. */
static const struct signature signatures_hyperv[] = {
    {0, 4, "\x14\x20\x28\x01"},
    {4096, 4, "\x14\x20\x28\x01"},
    {0, 0, NULL},
};

static int probe_hyperv(const struct import_input *input)
{
    return probe_any(input, signatures_hyperv);
}

const struct importer import_hyperv = {
    .format = {.name = "hyperv", .title = "Hyper-V saved state (.vmrs)"},
    .hint = "use Microsoft's saved-state dump provider",
    .probe = probe_hyperv,
};

static const struct signature signatures_hiberfil[] = {
    {0, 4, "hibr"}, {0, 4, "HIBR"}, {0, 4, "rstr"}, {0, 4, "RSTR"},
    {0, 4, "wake"}, {0, 4, "WAKE"}, {0, 0, NULL},
};

static int probe_hiberfil(const struct import_input *input)
{
    /* Words that a text can start with, too; the file itself has at least a page. */
    return input->file.size >= 4096 && probe_any(input, signatures_hiberfil) != 0 ? 50 : 0;
}

const struct importer import_hiberfil = {
    .format = {.name = "hiberfil", .title = "Windows hibernation file (hiberfil.sys)"},
    .hint = "only Windows itself reads it",
    .probe = probe_hiberfil,
};

/* The last bytes of a swap area's first page. */
static const struct signature signatures_swsusp[] = {
    {4086, 10, "S1SUSPEND\0"},
    {4086, 10, "ULSUSPEND\0"},
    {4086, 10, "LINHIB0001"},
    {0, 0, NULL},
};

static int probe_swsusp(const struct import_input *input)
{
    return probe_any(input, signatures_swsusp);
}

const struct importer import_swsusp = {
    .format = {.name = "linux-hibernation", .title = "Linux hibernation image in a swap area"},
    .hint = "only the kernel that wrote it reads it",
    .probe = probe_swsusp,
};

static const struct signature signatures_crashdump[] = {
    {0, 8, "PAGEDUMP"},
    {0, 8, "PAGEDU64"},
    {0, 0, NULL},
};

static int probe_crashdump(const struct import_input *input)
{
    return probe_any(input, signatures_crashdump);
}

const struct importer import_crashdump = {
    .format = {.name = "windows-dump", .title = "Windows crash dump"},
    .hint = "use Windows' debuggers",
    .probe = probe_crashdump,
};

static const struct signature signatures_image[] = {
    {0, 8, "RSMIMAGE"},
    {0, 0, NULL},
};

static int probe_image(const struct import_input *input)
{
    return probe_any(input, signatures_image);
}

const struct importer import_image = {
    .format = {.name = "image", .title = "libresume snapshot image, sealed or not"},
    .hint = "resumectl open verifies it and says what is in it, resumectl resume resumes it",
    .probe = probe_image,
};
