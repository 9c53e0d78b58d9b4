/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "import_torture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import_exercise.h"

#define DENSE 4096u
#define LARGE 524288u

static void fail(const char *what, size_t at)
{
    fprintf(stderr, "torture: %s at offset %zu\n", what, at);
    abort();
}

static int run(const struct torture *torture, const struct import_memfile *file,
               struct torture_result *result)
{
    int ret = import_exercise(file->path, torture->format);
    result->tried++;
    result->refused += ret != 0;
    return ret;
}

size_t import_torture_stride(size_t stride)
{
    const char *wanted = getenv("RESUME_TORTURE");
    return stride == 0 || (wanted != NULL && strcmp(wanted, "all") == 0) ? 1 : stride;
}

static size_t next(const struct torture *torture, size_t at)
{
    if (at < DENSE)
        return at + 1;
    if (torture->length > LARGE || torture->holes)
        return at + (torture->stride != 0 ? torture->stride : 1);
    return at + import_torture_stride(torture->stride);
}

static void cut(const struct torture *torture, struct import_memfile *file,
                struct torture_result *result)
{
    for (size_t i = 0; i < torture->length; i = next(torture, i)) {
        import_memfile_set(file, torture->data, i);
        if (run(torture, file, result) == 0 && i < torture->needed)
            fail("accepted although it was cut", i);
    }
    import_memfile_set(file, torture->data, torture->length);
}

static void change(const struct torture *torture, struct import_memfile *file,
                   struct torture_result *result)
{
    static const uint8_t masks[] = {0xff, 0x01, 0x80};
    for (size_t i = 0; i < torture->length; i = next(torture, i)) {
        for (size_t k = 0; k < sizeof(masks); k++) {
            uint8_t byte = torture->data[i] ^ masks[k];
            import_memfile_patch(file, i, &byte, 1);
            run(torture, file, result);
        }
        import_memfile_patch(file, i, &torture->data[i], 1);
    }
}

static uint64_t load(const uint8_t *data, const struct torture_field *field)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < field->size; i++)
        value |= (uint64_t)data[field->big_endian ? field->size - 1 - i : i] << (8 * i);
    return value;
}

static void store(uint8_t *data, const struct torture_field *field, uint64_t value)
{
    for (unsigned i = 0; i < field->size; i++)
        data[field->big_endian ? field->size - 1 - i : i] = (uint8_t)(value >> (8 * i));
}

static void distort(const struct torture *torture, const struct torture_field *field,
                    struct import_memfile *file, struct torture_result *result)
{
    if (field->offset > torture->length || field->size > torture->length - field->offset)
        fail("no such field", field->offset);
    const uint8_t *good = torture->data + field->offset;
    const uint64_t value = load(good, field);
    const uint64_t most = field->size == 8 ? UINT64_MAX : (UINT64_C(1) << (8 * field->size)) - 1;
    const uint64_t values[] = {0,
                               1,
                               most,
                               most - 1,
                               most / 2,
                               value + 1,
                               value - 1,
                               value * 2,
                               most - value + 1,
                               most / 2 + 1,
                               torture->length,
                               torture->length - 1,
                               torture->length + 1};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        uint8_t bytes[8];
        store(bytes, field, values[i]);
        import_memfile_patch(file, field->offset, bytes, field->size);
        run(torture, file, result);
    }
    import_memfile_patch(file, field->offset, good, field->size);
}

struct torture_result import_torture(const struct torture *torture)
{
    struct torture_result result = {0};
    struct import_memfile file;
    import_memfile_open(&file);
    import_memfile_set(&file, torture->data, torture->length);
    if (run(torture, &file, &result) != 0)
        fail("refused although it is good", 0);
    cut(torture, &file, &result);
    change(torture, &file, &result);
    for (size_t i = 0; i < torture->field_count; i++)
        distort(torture, &torture->fields[i], &file, &result);
    if (run(torture, &file, &result) != 0)
        fail("refused after all, although it is good", 0);
    import_memfile_close(&file);
    return result;
}
