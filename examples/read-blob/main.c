/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The smallest user of libresume: opens a state blob and says where its vCPUs are. */
#include <inttypes.h>
#include <stdio.h>

#include <resume/format.h>
#include <resume/state.h>

static unsigned char data[1 << 20];

static int fail(const char *path, int err, const struct resume_diag *diag)
{
    fprintf(stderr,
            "%s: %s: %s of %s at offset %" PRIu64 ": found 0x%" PRIx64 ", expected 0x%" PRIx64 "\n",
            path, resume_strerror(err), diag->field, diag->where, diag->offset, diag->found,
            diag->expected);
    return 1;
}

int main(int argc, char **argv)
{
    static struct resume_vcpu vcpu;
    struct resume_diag diag = {0};
    struct resume_state state;
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    size_t length;
    int err;

    if (file == NULL) {
        fprintf(stderr, "usage: read-blob FILE\n");
        return 2;
    }
    length = fread(data, 1, sizeof(data), file);
    fclose(file);
    err = resume_state_open(data, length, &state, &diag);
    if (err != RESUME_OK)
        return fail(argv[1], err, &diag);
    printf("format %u.%u, %" PRIu32 " vCPU(s)\n", state.major, state.minor, state.vcpu_count);
    for (uint32_t i = 0; i < state.vcpu_count; i++) {
        err = resume_state_vcpu(&state, i, &vcpu, &diag);
        if (err != RESUME_OK)
            return fail(argv[1], err, &diag);
        if ((vcpu.regs.valid & RESUME_REGS_RIP) != 0)
            printf("vCPU %" PRIu32 ": RIP 0x%016" PRIx64 "\n", i, vcpu.regs.rip);
        err = resume_vcpu_validate(&vcpu, i, &diag);
        if (err == RESUME_OK)
            err = resume_vcpu_check_scope(&vcpu, i, &diag);
        printf("vCPU %" PRIu32 ": %s\n", i,
               err == RESUME_OK ? "can be resumed" : resume_strerror(err));
    }
    return 0;
}
