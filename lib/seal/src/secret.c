/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <resume/secret.h>

#include <resume/sealed.h>

#include "internal.h"

#define WHERE "secret table"
#define LENGTH_OFFSET RESUME_SECRET_GUID
#define DATA_OFFSET 20 /* also the least length of an entry and of the table */

/* 1e74f542-71dd-4d66-963e-ef4287ff173b */
static const uint8_t table_guid[RESUME_SECRET_GUID] = {
    0x42, 0xf5, 0x74, 0x1e, 0xdd, 0x71, 0x66, 0x4d, 0x96, 0x3e, 0xef, 0x42, 0x87, 0xff, 0x17, 0x3b};
static const uint8_t no_guid[RESUME_SECRET_GUID];

static int fail(struct resume_diag *diag, int err, const char *field, size_t offset, uint64_t found,
                uint64_t expected)
{
    return resume_fail(diag, err, WHERE, field, offset, found, expected, RESUME_NO_VCPU);
}

/* @ret_end: bytes of the table. */
static int check_header(const uint8_t *area, size_t size, size_t *ret_end, struct resume_diag *diag)
{
    if (size < DATA_OFFSET)
        return fail(diag, RESUME_ETRUNC, "area", 0, size, DATA_OFFSET);
    if (memcmp(area, table_guid, sizeof(table_guid)) != 0)
        return fail(diag, RESUME_EMAGIC, "GUID", 0, resume_load_le64(area),
                    resume_load_le64(table_guid));
    const uint32_t length = resume_load_le32(area + LENGTH_OFFSET);
    if (length < DATA_OFFSET)
        return fail(diag, RESUME_ELENGTH, "table length", LENGTH_OFFSET, length, DATA_OFFSET);
    if (length > size)
        return fail(diag, RESUME_ELENGTH, "table length", LENGTH_OFFSET, length, size);
    *ret_end = length;
    return RESUME_OK;
}

int resume_secret_find(const void *area, size_t size, const uint8_t *guid,
                       struct resume_secret *out, struct resume_diag *diag)
{
    const uint8_t *bytes = area;
    struct resume_secret found = {0, 0, 0};
    size_t end = 0;

    if (memcmp(guid, no_guid, sizeof(no_guid)) == 0)
        return fail(diag, RESUME_EINVAL, "GUID", 0, 0, 0);
    const int result = check_header(bytes, size, &end, diag);
    if (result != RESUME_OK)
        return result;
    for (size_t at = DATA_OFFSET; end - at >= DATA_OFFSET;) {
        const uint32_t length = resume_load_le32(bytes + at + LENGTH_OFFSET);
        if (length < DATA_OFFSET)
            return fail(diag, RESUME_ELENGTH, "entry length", at + LENGTH_OFFSET, length,
                        DATA_OFFSET);
        if (length > end - at)
            return fail(diag, RESUME_ELENGTH, "entry length", at + LENGTH_OFFSET, length, end - at);
        if (memcmp(bytes + at, guid, RESUME_SECRET_GUID) == 0) {
            if (found.data != 0)
                return fail(diag, RESUME_EDUPLICATE, "entry", at, at, found.entry);
            found = (struct resume_secret){at, at + DATA_OFFSET, length - DATA_OFFSET};
        }
        at += length;
    }
    if (found.data == 0)
        return fail(diag, RESUME_EMISSING, "entry", end, resume_load_le64(no_guid),
                    resume_load_le64(guid));
    *out = found;
    return RESUME_OK;
}

void resume_secret_remove(void *area, const struct resume_secret *secret)
{
    uint8_t *bytes = area;
    resume_sealed_wipe(bytes + secret->data, secret->length);
    resume_sealed_wipe(bytes + secret->entry, RESUME_SECRET_GUID);
}
