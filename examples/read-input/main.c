/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The smallest user of the importers: says what an input is, where its vCPUs are, and what it lacks. */
#include <inttypes.h>
#include <stdio.h>

#include <resume/import.h>

#define NAMES 64u

static int fail(const char *path, const struct resume_import_error *error)
{
    fprintf(stderr, "%s: %s: %s", path, error->where, error->why);
    fprintf(stderr, error->hint[0] != 0 ? " (%s)\n" : "%s\n", error->hint);
    return 1;
}

int main(int argc, char **argv)
{
    static struct resume_vcpu vcpu;
    struct resume_import_error error;
    struct resume_import *import;
    const char *names[NAMES];
    int err;

    if (argc != 2) {
        fprintf(stderr, "usage: read-input PATH\n");
        return 2;
    }
    if (resume_import_open(argv[1], NULL, &import, &error) != 0)
        return fail(argv[1], &error);
    printf("%s, %" PRIu32 " vCPU(s)\n", resume_import_format(import)->title,
           resume_import_vcpus(import));
    for (uint32_t i = 0; i < resume_import_vcpus(import); i++) {
        err = resume_import_vcpu(import, i, &vcpu, &error);
        if (err != 0) {
            resume_import_close(import);
            return fail(argv[1], &error);
        }
        if ((vcpu.regs.valid & RESUME_REGS_RIP) != 0)
            printf("vCPU %" PRIu32 ": RIP %016" PRIx64 "\n", i, vcpu.regs.rip);
        size_t missing = resume_import_missing(&vcpu, names, NAMES);
        for (size_t k = 0; k < missing && k < NAMES; k++)
            printf("vCPU %" PRIu32 ": a resume needs %s, which is not in it\n", i, names[k]);
    }
    resume_import_close(import);
    return 0;
}
