/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The command line of `resumectl resume`. */
#ifndef RESUME_TOOLS_RESUME_ARGUMENTS_H
#define RESUME_TOOLS_RESUME_ARGUMENTS_H

#include <stdbool.h>
#include <stdint.h>

#define RESUME_INJECT_MAX 16u

/* What parks the target's vCPUs. */
enum firmware {
    FIRMWARE_EFI, /* resume.efi, under the source's UEFI firmware */
    FIRMWARE_PVH, /* examples/pvh-firmware, without UEFI */
};

/* Strings are the command line's own. */
struct resume_arguments {
    const char *path;     /* of a snapshot directory or a snapshot image */
    const char *key;      /* file with an image's key; NULL = not given */
    const char *identity; /* of the only image that is wanted, in digits; NULL = any */
    char **command;       /* the source's command line */
    int command_length;
    bool verify;
    bool detach;
    bool verbose;
    int timeout_s; /* 0 = not given */
    enum firmware firmware;
    bool efi;           /* --efi was given */
    const char *loader; /* the file that the firmware starts; NULL = the one beside the tool */
    const char *json;
    const char *timing;
    const char *parked;
    const char *save_parked;
    const char *splice_to;
    const char *inject[RESUME_INJECT_MAX];
    uint32_t inject_count;
};

/* resume_arguments_parse - fill @out, or explain what is wrong and exit. */
void resume_arguments_parse(struct resume_arguments *out, int argc, char **argv);

/*
 * resume_arguments_timeout - the limit in milliseconds for each thing that is waited for. Firmware
 * takes longer to start more processors, and to load an image.
 * @image_size: its bytes; 0 = none.
 */
int resume_arguments_timeout(const struct resume_arguments *arguments, uint32_t vcpu_count,
                             uint64_t image_size);

#endif
