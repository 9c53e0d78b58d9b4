/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * moving_inputs VCPUS DORMANT LEVELS HOME STATE PLAN: writes a state of so many vCPUs with page tables of
 * so many levels, of which the one with number DORMANT (-1: none) waits for SIPI, and a plan whose home is
 * at the physical address HOME. Prints the length of the home.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <resume/guest.h>

#include "good_state.h"

#define VCPUS_MAX 8

static int put_file(const char *path, const void *data, size_t length)
{
    FILE *file = fopen(path, "wb");

    if (file == NULL)
        return 1;
    if (fwrite(data, length, 1, file) != 1) {
        fclose(file);
        return 1;
    }
    return fclose(file) != 0;
}

int main(int argc, char **argv)
{
    static struct good_state good;
    static struct resume_vcpu vcpus[VCPUS_MAX];
    static struct resume_vcpu scratch;
    static unsigned char blob[1 << 16];
    static unsigned char plan_file[RESUME_PLAN_SIZE_MAX];
    struct resume_plan plan = {
        .home = {.va = UINT64_C(0xffffffff82345000), .kind = RESUME_HOME_PADDING, .fill = 0xcc}};
    struct resume_guest guest;
    uint32_t count = argc == 7 ? (uint32_t)strtoul(argv[1], NULL, 0) : 0;
    size_t length;
    size_t plan_length;

    if (count == 0 || count > VCPUS_MAX) {
        fprintf(stderr, "usage: moving_inputs VCPUS DORMANT LEVELS HOME STATE PLAN\n");
        return 2;
    }
    good_state_fill(&good);
    for (uint32_t i = 0; i < count; i++) {
        vcpus[i] = good.vcpu;
        vcpus[i].run.apic_id = i;
        vcpus[i].run.nmi_masked = i % 2 == 0; /* sends itself an NMI while it parks */
        if (strcmp(argv[3], "5") == 0)
            vcpus[i].ctrl.cr4 |= UINT64_C(1) << 12;
        if (strtol(argv[2], NULL, 0) == (long)i)
            vcpus[i].run.mp_state = RESUME_MP_WAIT_SIPI;
    }
    plan.home.pa = strtoull(argv[4], NULL, 0);
    if (resume_state_write(&good.machine, vcpus, count, blob, sizeof(blob), &length) != 0 ||
        resume_guest_open(blob, length, &scratch, &guest, NULL) != 0) {
        fprintf(stderr, "moving_inputs: the state is not one\n");
        return 1;
    }
    plan.home.length = guest.layout.length;
    plan.state_crc32c = guest.state.crc32c;
    if (resume_plan_write(&plan, plan_file, sizeof(plan_file), &plan_length) != 0 ||
        put_file(argv[5], blob, length) || put_file(argv[6], plan_file, plan_length)) {
        fprintf(stderr, "moving_inputs: %s, %s: cannot be written\n", argv[5], argv[6]);
        return 1;
    }
    printf("%llu\n", (unsigned long long)plan.home.length);
    return 0;
}
