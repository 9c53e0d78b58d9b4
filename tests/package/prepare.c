/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * prepare STATE [PLAN]: runs the calls of examples/firmware on the host, with a machine made up for it.
 * Linked with the installed package. Writes a plan for the state. Prints what is wrong; exit status 0 when nothing is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firmware.h"

#define HOME_VA UINT64_C(0xffffffff82345000)
#define HOME_PA UINT64_C(0x12345000)
#define STAGING_PA UINT64_C(0x3f000000)

static unsigned char blob[1 << 16];
static unsigned char plan[RESUME_PLAN_SIZE_MAX];
static _Alignas(4096) uint8_t staging[1 << 19];
static struct resume_vcpu vcpu;
static int bad;

/* A CPU with every feature that has a bit, and AVX where it always lies. */
static void query(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    (void)ctx;
    memset(out, 0, 4 * sizeof(out[0]));
    if (leaf == 0)
        out[0] = 0xd;
    else if (leaf == UINT32_C(0x80000000))
        out[0] = UINT32_C(0x80000008);
    else if (leaf == 1 || leaf == 7 || leaf == UINT32_C(0x80000001))
        memset(out, 0xff, 4 * sizeof(out[0]));
    else if (leaf == UINT32_C(0x80000008))
        out[0] = 40;
    else if (leaf == 0xd && subleaf == 0)
        out[0] = 7;
    else if (leaf == 0xd && subleaf == 2) {
        out[0] = 256;
        out[1] = 576;
    }
}

static void expect(const char *what, const struct firmware_inputs *inputs, int wanted)
{
    struct resume_diag diag = {0};
    struct resume_guest guest;
    struct resume_cpu cpu;
    int err = firmware_open(inputs, &vcpu, &guest, &cpu, &diag);

    if (err == RESUME_OK && guest.staging.length > sizeof(staging)) {
        printf("%s: %llu bytes of staging memory\n", what,
               (unsigned long long)guest.staging.length);
        bad = 1;
        return;
    }
    if (err == RESUME_OK && (guest.plan.home.va != HOME_VA || guest.plan.home.pa != HOME_PA)) {
        printf("%s: the home is not the plan's\n", what);
        bad = 1;
    }
    if (err == RESUME_OK)
        err = firmware_prepare(inputs, &vcpu, &guest, &cpu, &diag);
    if (err != wanted) {
        printf("%s: %d (%s), expected %d\n", what, err, resume_strerror(err), wanted);
        bad = 1;
    }
}

static uint64_t load64(const uint8_t *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

int main(int argc, char **argv)
{
    struct resume_plan made = {
        .home = {.va = HOME_VA, .pa = HOME_PA, .kind = RESUME_HOME_PADDING, .fill = 0xcc}};
    struct firmware_inputs inputs = {.state = blob,
                                     .plan = plan,
                                     .staging = staging,
                                     .staging_pa = STAGING_PA,
                                     .cpuid = {query, NULL},
                                     .cr4 = 0x668};
    struct firmware_inputs wrong;
    struct resume_guest guest;
    FILE *file = argc == 2 || argc == 3 ? fopen(argv[1], "rb") : NULL;

    if (file == NULL) {
        fprintf(stderr, "usage: prepare STATE [PLAN]\n");
        return 2;
    }
    inputs.state_length = fread(blob, 1, sizeof(blob), file);
    fclose(file);
    if (resume_guest_open(blob, inputs.state_length, &vcpu, &guest, NULL) != RESUME_OK) {
        printf("%s: not a state that can be resumed\n", argv[1]);
        return 1;
    }
    made.home.length = guest.layout.length;
    made.state_crc32c = guest.state.crc32c;
    if (resume_plan_write(&made, plan, sizeof(plan), &inputs.plan_length) != RESUME_OK) {
        printf("the plan cannot be written\n");
        return 1;
    }

    file = argc == 3 ? fopen(argv[2], "wb") : NULL;
    if (argc == 3 &&
        (file == NULL || fwrite(plan, inputs.plan_length, 1, file) != 1 || fclose(file) != 0)) {
        printf("%s: cannot be written\n", argv[2]);
        return 1;
    }
    expect("as it should be", &inputs, RESUME_OK);
    if (load64(staging + RESUME_HOME_CONTROL) != RESUME_CONTROL_MAGIC ||
        load64(staging + RESUME_HOME_CODE) != RESUME_TRAMPOLINE_MAGIC ||
        load64(staging + RESUME_HOME_BLOCKS) != RESUME_HANDOFF_MAGIC) {
        printf("the image holds no control, no trampoline or no handoff\n");
        bad = 1;
    }
    wrong = inputs;
    wrong.staging_pa = HOME_PA;
    expect("staging in the home", &wrong, RESUME_ECONFLICT);
    wrong = inputs;
    wrong.cr4 |= 1u << 12;
    expect("firmware with 5-level paging", &wrong, RESUME_OK);
    wrong = inputs;
    wrong.staging_pa = UINT64_C(0x100000000);
    expect("staging above 4 GiB", &wrong, RESUME_EINVAL);
    wrong = inputs;
    wrong.state_length--;
    expect("state cut short", &wrong, RESUME_ETRUNC);
    made.state_crc32c++;
    if (resume_plan_write(&made, plan, sizeof(plan), &inputs.plan_length) != RESUME_OK)
        return 1;
    expect("plan of another state", &inputs, RESUME_ECONSISTENT);
    return bad;
}
