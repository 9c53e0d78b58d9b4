/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <resume/plan.h>

#include "container.h"

static const struct resume_container_rule plan_rules[] = {
    {RESUME_FORMAT_TAG_HOME, RESUME_FORMAT_RECORD_VERSION_1, 1, "HOME record"},
};

static const struct resume_container_kind plan_kind = {
    .magic = RESUME_FORMAT_PLAN_MAGIC,
    .major = RESUME_FORMAT_PLAN_MAJOR,
    .minor = RESUME_FORMAT_PLAN_MINOR,
    .compatible = RESUME_FORMAT_PLAN_COMPATIBLE,
    .rule_count = 1,
    .rules = plan_rules,
};

int resume_plan_write(const struct resume_plan *plan, void *buffer, size_t capacity,
                      size_t *ret_size)
{
    struct resume_container_writer writer = {0};

    if (plan == NULL || buffer == NULL || ret_size == NULL) {
        return RESUME_EINVAL;
    }
    /* First the size, then the bytes, by the same steps. */
    for (int pass = 0; pass < 2; pass++) {
        uint8_t *payload;

        resume_container_begin(&writer);
        payload = resume_container_record(&writer, RESUME_FORMAT_TAG_HOME,
                                          RESUME_FORMAT_RECORD_VERSION_1, RESUME_FORMAT_MANDATORY,
                                          RESUME_FORMAT_VM, RESUME_FORMAT_HOME_SIZE);
        if (payload != NULL) {
            resume_store_le32(payload + RESUME_FORMAT_HOME_STATE_CRC, plan->state_crc32c);
            resume_store_le32(payload + RESUME_FORMAT_HOME_KIND, plan->home.kind);
            resume_store_le64(payload + RESUME_FORMAT_HOME_VA, plan->home.va);
            resume_store_le64(payload + RESUME_FORMAT_HOME_PA, plan->home.pa);
            resume_store_le64(payload + RESUME_FORMAT_HOME_LENGTH, plan->home.length);
            resume_store_le32(payload + RESUME_FORMAT_HOME_FILL, plan->home.fill);
            resume_container_end(&writer, &plan_kind, 1);
        }
        if (writer.used > capacity) {
            return RESUME_ENOSPC;
        }
        writer.data = buffer;
    }
    *ret_size = writer.used;
    return RESUME_OK;
}

static int fail_home(struct resume_diag *diag, int err, const char *field, size_t offset,
                     uint64_t found, uint64_t expected)
{
    return resume_fail(diag, err, "HOME record", field, offset, found, expected, RESUME_NO_VCPU);
}

static int read_home(const struct resume_record *record, struct resume_plan *out,
                     struct resume_diag *diag)
{
    const uint8_t *payload = record->payload;
    struct resume_plan plan = {0};
    uint32_t fill;
    uint64_t end;

    if (record->length < RESUME_FORMAT_HOME_SIZE) {
        return fail_home(diag, RESUME_ELENGTH, "length", record->offset, record->length,
                         RESUME_FORMAT_HOME_SIZE);
    }
    plan.state_crc32c = resume_load_le32(payload + RESUME_FORMAT_HOME_STATE_CRC);
    plan.home.kind = resume_load_le32(payload + RESUME_FORMAT_HOME_KIND);
    plan.home.va = resume_load_le64(payload + RESUME_FORMAT_HOME_VA);
    plan.home.pa = resume_load_le64(payload + RESUME_FORMAT_HOME_PA);
    plan.home.length = resume_load_le64(payload + RESUME_FORMAT_HOME_LENGTH);
    fill = resume_load_le32(payload + RESUME_FORMAT_HOME_FILL);
    plan.home.fill = (uint8_t)fill;

    if (plan.home.kind != RESUME_HOME_PADDING && plan.home.kind != RESUME_HOME_ZERO) {
        return fail_home(diag, RESUME_EREGISTER, "kind", record->offset + RESUME_FORMAT_HOME_KIND,
                         plan.home.kind, RESUME_HOME_PADDING);
    }
    if (fill != (plan.home.kind == RESUME_HOME_PADDING ? 0xccu : 0u)) {
        return fail_home(diag, RESUME_EREGISTER, "fill", record->offset + RESUME_FORMAT_HOME_FILL,
                         fill, plan.home.kind == RESUME_HOME_PADDING ? 0xccu : 0u);
    }
    /* Which length it must have depends on the state: whoever has both compares. */
    if (plan.home.length == 0 || plan.home.length > RESUME_HOME_LENGTH_MAX ||
        !resume_aligned(plan.home.length, RESUME_PAGE_SIZE)) {
        return fail_home(diag, RESUME_EREGISTER, "length",
                         record->offset + RESUME_FORMAT_HOME_LENGTH, plan.home.length,
                         RESUME_HOME_LENGTH_MAX);
    }
    if (!resume_aligned(plan.home.va, RESUME_PAGE_SIZE) ||
        !resume_checked_add(plan.home.va, plan.home.length - 1, &end)) {
        return fail_home(diag, RESUME_EREGISTER, "va", record->offset + RESUME_FORMAT_HOME_VA,
                         plan.home.va, RESUME_PAGE_SIZE);
    }
    if (!resume_aligned(plan.home.pa, RESUME_PAGE_SIZE) ||
        !resume_checked_add(plan.home.pa, plan.home.length - 1, &end) || end >> 52 != 0) {
        return fail_home(diag, RESUME_EREGISTER, "pa", record->offset + RESUME_FORMAT_HOME_PA,
                         plan.home.pa, RESUME_PAGE_SIZE);
    }
    *out = plan;
    return RESUME_OK;
}

int resume_plan_read(const void *data, size_t length, struct resume_plan *out,
                     struct resume_diag *diag)
{
    struct resume_container container;
    struct resume_record record;
    size_t offset = 0;
    int err;

    if (out == NULL) {
        return RESUME_EINVAL;
    }
    err = resume_container_open(&plan_kind, data, length, &container, diag);
    /* The record is there, or opening would have failed; records only shrink the rest. */
    while (err == RESUME_OK) {
        err = resume_container_next(&container, &offset, &record, diag);
        if (err == RESUME_OK && record.payload == NULL) {
            return fail_home(diag, RESUME_EMISSING, "tag", length, 0, RESUME_FORMAT_TAG_HOME);
        }
        if (err == RESUME_OK &&
            resume_container_rule(&plan_kind, record.tag, record.version) != NULL) {
            return read_home(&record, out, diag);
        }
    }
    return err;
}
