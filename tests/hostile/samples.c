/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Images that are wrong in one thing, but have right tags: somebody with the key has made them
 * (tests/support/image_oracle.py). They are read by the library alone. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attempt.h"
#include "outcome.h"
#include "sealed.h"
#include "sealed_read.h"

#define LENGTH_MAX (4u << 20)

static const struct group {
    const char *what;
    const char *prefixes; /* of the sample's name, each with a space behind */
} groups[] = {
    {"right tags: a field of the header is impossible, or names another cipher or length",
     "version compatible header- total protection compression chunk- vcpus content chunks reserved "
     "host- devices- structures- data- part- magic check aes-claimed chacha-claimed cut longer "},
    {"right tags: memory map or runs out of order, overlapping, outside, or padding that is not "
     "zero",
     "padding map- run- no-state "},
    {"right tags: changes out of order, outside of the device part, empty, too long", "change- "},
    {"right tags: index entries repeated, overlapping, exchanged, impossible",
     "index- tags- none-stored "},
    {"right tags: a chunk gives more than its pages (1 MiB, 64 MiB), less, or is rubbish",
     "bomb short rubbish zstd- "},
};
#define GROUPS (sizeof(groups) / sizeof(groups[0]))

static bool is_in(const struct group *group, const char *name)
{
    const char *at = group->prefixes;
    for (const char *end = strchr(at, ' '); end != NULL; at = end + 1, end = strchr(at, ' '))
        if (strncmp(name, at, (size_t)(end - at)) == 0)
            return true;
    return false;
}

static void try_sample(const char *directory, const char *file, const char *hex)
{
    static uint8_t data[LENGTH_MAX];
    struct report_failure failure;
    struct resume_diag diag;
    uint8_t key[RESUME_SEALED_KEY];
    char path[1024];
    const bool sealed = hex[0] != '-';
    memset(&failure, 0, sizeof(failure));
    memset(&diag, 0, sizeof(diag));
    snprintf(path, sizeof(path), "%s/%s", directory, file);
    FILE *in = fopen(path, "rb");
    if (in == NULL || (sealed && !sealed_hex_read(hex, key, sizeof(key)))) {
        perror(path);
        exit(1);
    }
    struct sealed_fake fake = {.data = data, .length = fread(data, 1, sizeof(data), in)};
    fclose(in);
    int error = sealed_read(&fake, sealed ? key : NULL, NULL, NULL, NULL, &diag);
    if (error != RESUME_OK)
        error = sealed_fail(&failure, error, &diag, "open image", path);
    outcome_add(error, &failure);
}

static void try_group(const char *directory, const struct group *group)
{
    char line[512];
    snprintf(line, sizeof(line), "%s/cases", directory);
    FILE *cases = fopen(line, "r");
    if (cases == NULL) {
        perror(line);
        exit(1);
    }
    while (fgets(line, sizeof(line), cases) != NULL) {
        char *rest = NULL;
        const char *file = strtok_r(line, "\t", &rest);
        const char *hex = strtok_r(NULL, "\t", &rest);
        if (file == NULL || hex == NULL || strncmp(file, "bad-", 4) != 0)
            continue;
        const char *name = file + (strncmp(file, "bad-plain-", 10) == 0 ? 10 : 4);
        const struct group *first = groups;
        while (first < groups + GROUPS && !is_in(first, name))
            first++;
        if (first == group)
            try_sample(directory, file, hex);
        else if (first == groups + GROUPS && group == groups)
            outcome_wrong("%s is in no group", file);
    }
    fclose(cases);
}

void samples_all(const char *directory)
{
    for (size_t i = 0; i < GROUPS; i++) {
        outcome_begin(groups[i].what, OUTCOME_REFUSED);
        try_group(directory, &groups[i]);
    }
}
