/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * State blobs. Whatever the bytes are, reading must not go wrong; and what can be read must be
 * writable, be read back the same, and be written a second time to the same bytes.
 */
#include <stdlib.h>
#include <string.h>

#include <resume/format.h>
#include <resume/msr.h>
#include <resume/state.h>
#include <resume/vcpu_set.h>
#include <resume/xsave.h>

#include "blob_fuzz.h"

#define VCPUS_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check_same(const struct resume_vcpu *left, const struct resume_vcpu *right)
{
    struct resume_vcpu copy = *left;

    REQUIRE((left->xsave.area == NULL) == (right->xsave.area == NULL));
    if (left->xsave.area != NULL) {
        REQUIRE(left->xsave.length == right->xsave.length);
        REQUIRE(memcmp(left->xsave.area, right->xsave.area, left->xsave.length) == 0);
    }
    copy.xsave.area = right->xsave.area;
    REQUIRE(memcmp(&copy, right, sizeof(copy)) == 0);
}

static void write_and_read_back(const struct resume_machine *machine,
                                const struct resume_vcpu *vcpus, uint32_t count)
{
    struct resume_state state;
    struct resume_vcpu again;
    struct resume_machine machine_again;
    size_t size;
    size_t written;
    uint8_t *first;
    uint8_t *second;

    REQUIRE(resume_state_size(machine, vcpus, count, &size) == RESUME_OK);
    first = malloc(size);
    second = malloc(size);
    REQUIRE(first != NULL && second != NULL);
    REQUIRE(resume_state_write(machine, vcpus, count, first, size - 1, &written) == RESUME_ENOSPC);
    REQUIRE(resume_state_write(machine, vcpus, count, first, size, &written) == RESUME_OK);
    REQUIRE(written == size);
    REQUIRE(resume_state_open(first, size, &state, NULL) == RESUME_OK);
    REQUIRE(resume_state_machine(&state, &machine_again, NULL) == RESUME_OK);
    REQUIRE(memcmp(machine, &machine_again, sizeof(*machine)) == 0);
    for (uint32_t i = 0; i < count; i++) {
        REQUIRE(resume_state_vcpu(&state, i, &again, NULL) == RESUME_OK);
        check_same(&vcpus[i], &again);
    }
    REQUIRE(resume_state_write(machine, vcpus, count, second, size, &written) == RESUME_OK);
    REQUIRE(memcmp(first, second, size) == 0);
    free(first);
    free(second);
}

#define GAP 64u

/* Components as a CPU with another layout has them: the same, behind a gap, the other way round. */
static uint32_t lay_out(const struct resume_xsave *xsave, struct resume_xcomp *out)
{
    uint32_t offset = RESUME_XSAVE_MIN + GAP;
    uint32_t count = 0;

    for (uint32_t i = xsave->comp_count; i-- > 0;) {
        if (xsave->comp[i].id < 2) {
            continue;
        }
        out[count] = xsave->comp[i];
        out[count].offset = offset;
        offset += xsave->comp[i].size;
        count++;
    }
    return count;
}

/* What is valid and in scope, the planner's parts must be able to take. */
static void plan(const struct resume_vcpu *vcpu)
{
    static uint8_t area[RESUME_XSAVE_MAX + GAP];
    static uint8_t back[RESUME_XSAVE_MAX];
    uint64_t xcr0 = (vcpu->ctrl.valid & RESUME_CTRL_XCR0) != 0 ? vcpu->ctrl.xcr0 : 3;
    struct resume_msr list[RESUME_MSR_MAX + 1];
    struct resume_xcomp comp[RESUME_XCOMP_MAX];
    struct resume_span span[RESUME_SPANS];
    struct resume_xsave there = {.area = area};
    uint32_t count = 0;

    REQUIRE(resume_msr_list(vcpu, RESUME_ACCEL_KVM, list, RESUME_MSR_MAX + 1, &count) == RESUME_OK);
    REQUIRE(count <= RESUME_MSR_MAX + 1);
    for (uint32_t i = 1; i < count; i++) {
        uint32_t order = resume_msr_order(list[i].index);
        uint32_t before = resume_msr_order(list[i - 1].index);

        REQUIRE(order > before || (order == before && list[i].index > list[i - 1].index));
    }
    if (resume_vcpu_dormant(vcpu)) {
        return;
    }
    /* There, and back again: what is compared after a resume is as it was. */
    there.comp_count = lay_out(&vcpu->xsave, comp);
    memcpy(there.comp, comp, sizeof(comp));
    REQUIRE(resume_xsave_transcode(&vcpu->xsave, comp, there.comp_count, xcr0, area, sizeof(area),
                                   &there.length, NULL) == RESUME_OK);
    REQUIRE(there.length >= RESUME_XSAVE_MIN && there.length <= sizeof(area));
    there.length = sizeof(area);
    REQUIRE(resume_xsave_transcode(&there, vcpu->xsave.comp, vcpu->xsave.comp_count, xcr0, back,
                                   sizeof(back), &count, NULL) == RESUME_OK);
    count = resume_xsave_spans(vcpu->xsave.comp, vcpu->xsave.comp_count, xcr0, span, RESUME_SPANS);
    REQUIRE(count <= RESUME_SPANS);
    for (uint32_t i = 0; i < count; i++) {
        bool in_use = span[i].offset >= RESUME_XSAVE_MIN;

        REQUIRE(span[i].offset + span[i].length <= sizeof(back));
        /* Components not in use have become what they are when initial. */
        for (uint32_t k = 0; in_use && k < vcpu->xsave.comp_count; k++) {
            const struct resume_xcomp *from = &vcpu->xsave.comp[k];

            if (from->offset == span[i].offset && (back[512 + from->id / 8] >> from->id % 8 & 1)) {
                REQUIRE(memcmp(back + from->offset, vcpu->xsave.area + from->offset,
                               span[i].length) == 0);
            }
        }
    }
}

static void read_blob(const uint8_t *data, size_t size)
{
    static struct resume_vcpu vcpus[VCPUS_MAX];
    static struct resume_machine machine;
    struct resume_state state;
    struct resume_vcpu_set set = {0};
    struct resume_diag diag = {0};
    uint32_t count = 0;

    if (resume_state_open(data, size, &state, &diag) != RESUME_OK) {
        REQUIRE(diag.where != NULL && diag.field != NULL && diag.code != 0);
        REQUIRE(diag.offset <= size);
        return;
    }
    while (count < VCPUS_MAX && count < state.vcpu_count) {
        /* memset: what lies between the members is compared too. */
        memset(&vcpus[count], 0, sizeof(vcpus[count]));
        if (resume_state_vcpu(&state, count, &vcpus[count], &diag) != RESUME_OK) {
            return;
        }
        if (resume_vcpu_validate(&vcpus[count], count, &diag) == RESUME_OK &&
            resume_vcpu_check_scope(&vcpus[count], count, &diag) == RESUME_OK) {
            plan(&vcpus[count]);
            (void)resume_vcpu_set_add(&set, &vcpus[count], &diag);
        }
        count++;
    }
    memset(&machine, 0, sizeof(machine));
    if (resume_state_machine(&state, &machine, &diag) == RESUME_OK) {
        write_and_read_back(&machine, vcpus, count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *sealed;

    read_blob(data, size);
    if (size < RESUME_FORMAT_HEADER_SIZE) {
        return 0;
    }
    /* In a block of its very size: a sanitizer sees the first byte beyond it. */
    sealed = malloc(size - size % RESUME_FORMAT_ALIGN);
    REQUIRE(sealed != NULL);
    memcpy(sealed, data, size - size % RESUME_FORMAT_ALIGN);
    size = blob_fuzz_seal(sealed, size - size % RESUME_FORMAT_ALIGN);
    read_blob(sealed, size);
    free(sealed);
    return 0;
}
