/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * State blobs. Whatever the bytes are, reading must not go wrong; and what can be read must be
 * writable, be read back the same, and be written a second time to the same bytes.
 */
#include <stdlib.h>
#include <string.h>

#include <resume/format.h>
#include <resume/state.h>

#include "checksum.h"
#include "internal.h"

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

static void read_blob(const uint8_t *data, size_t size)
{
    static struct resume_vcpu vcpus[VCPUS_MAX];
    static struct resume_machine machine;
    struct resume_state state;
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
        if (resume_vcpu_validate(&vcpus[count], count, &diag) == RESUME_OK) {
            (void)resume_vcpu_check_scope(&vcpus[count], count, &diag);
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
    /* Once more with the checksum and the total size put right, or hardly anything gets past them. */
    sealed = malloc(size);
    REQUIRE(sealed != NULL);
    memcpy(sealed, data, size);
    resume_store_le64(sealed + RESUME_FORMAT_HEADER_TOTAL, size);
    resume_store_le32(sealed + RESUME_FORMAT_HEADER_CRC, 0);
    resume_store_le32(sealed + RESUME_FORMAT_HEADER_CRC, resume_crc32c(0, sealed, size));
    read_blob(sealed, size);
    free(sealed);
    return 0;
}
