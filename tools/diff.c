/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "diff.h"

#include <string.h>

#define SHADOW_OF_SOMETHING 3

const struct field *diff_field(const struct diff_entry *entry)
{
    return entry->a != NULL ? entry->a : entry->b;
}

static bool same(const struct field *a, const struct field *b)
{
    if (memcmp(a->value, b->value, sizeof(a->value)) == 0)
        return true;
    if (a->form != FIELD_SHADOW)
        return false;
    const uint64_t left = field_value(a);
    const uint64_t right = field_value(b);
    return left != 0 && right != 0 && (left == SHADOW_OF_SOMETHING || right == SHADOW_OF_SOMETHING);
}

static void enter(struct diff *diff, const struct field *a, const struct field *b)
{
    const bool has_a = a != NULL && a->known;
    const bool has_b = b != NULL && b->known;
    struct diff_entry *entry = &diff->entry[diff->count++];
    entry->a = a;
    entry->b = b;
    if (has_a && has_b)
        entry->verdict = same(a, b) ? DIFF_SAME : DIFF_DIFFERENT;
    else
        entry->verdict = has_a ? DIFF_ONLY_A : has_b ? DIFF_ONLY_B : DIFF_NEITHER;
    diff->totals[entry->verdict]++;
}

void diff_fields(const struct fields *a, const struct fields *b, struct diff *out)
{
    out->count = 0;
    memset(out->totals, 0, sizeof(out->totals));
    for (uint32_t i = 0; i < a->count; i++)
        enter(out, &a->field[i], fields_find(b, a->field[i].name));
    for (uint32_t i = 0; i < b->count; i++) {
        if (fields_find(a, b->field[i].name) == NULL)
            enter(out, NULL, &b->field[i]);
    }
}
