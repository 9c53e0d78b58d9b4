/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "ledger.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Lines of either kind that are printed; the rest is in the JSON. */
#define PRINT_MAX 40u

/* Room for one more element, doubling. NULL when memory runs out. */
static void *grow(void *array, uint32_t count, size_t size)
{
    if (count != 0 && (count & (count - 1)) != 0)
        return array;
    return reallocarray(array, count == 0 ? 1 : (size_t)count * 2, size);
}

int ledger_add_field(struct ledger *ledger, const struct ledger_field *field)
{
    if (ledger->field_count == LEDGER_FIELD_MAX)
        return 0;
    char *path = strdup(field->path);
    struct ledger_field *grown = grow(ledger->field, ledger->field_count, sizeof(*grown));
    if (grown != NULL)
        ledger->field = grown;
    if (path == NULL || grown == NULL) {
        free(path);
        return -1;
    }
    grown[ledger->field_count] = *field;
    grown[ledger->field_count].path = path;
    ledger->field_count++;
    return 0;
}

int ledger_add_page(struct ledger *ledger, const struct ledger_page *page)
{
    if (ledger->page_count == LEDGER_PAGE_MAX)
        return 0;
    struct ledger_page *grown = grow(ledger->page, ledger->page_count, sizeof(*grown));
    if (grown == NULL)
        return -1;
    ledger->page = grown;
    grown[ledger->page_count++] = *page;
    return 0;
}

bool ledger_clean(const struct ledger *ledger)
{
    return ledger->cpu_unexpected == 0 && ledger->device_unexpected == 0 &&
           ledger->pages_unexpected == 0;
}

void ledger_free(struct ledger *ledger)
{
    for (uint32_t i = 0; i < ledger->field_count; i++)
        free(ledger->field[i].path);
    free(ledger->field);
    free(ledger->page);
    free(ledger->landing);
    memset(ledger, 0, sizeof(*ledger));
}

static void print_counts(FILE *out, const char *name, uint64_t identical, uint64_t explained,
                         uint64_t unexpected)
{
    fprintf(out, "  %-8s %" PRIu64 " fields identical", name, identical);
    if (explained != 0)
        fprintf(out, ", %" PRIu64 " differ for a known reason", explained);
    if (unexpected != 0)
        fprintf(out, ", %" PRIu64 " DIFFER", unexpected);
    fputc('\n', out);
}

/* Sections of which each vCPU has one; their instances are counted like the vCPUs. */
static bool is_vcpu(const char *path)
{
    static const char *const names[] = {"cpu", "cpu_common"};
    size_t length = strcspn(path, "/");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strlen(names[i]) == length && strncmp(path, names[i], length) == 0)
            return true;
    }
    return false;
}

static void print_landing(FILE *out, const struct ledger_landing *landing)
{
    if (!landing->active)
        return;
    fprintf(out, "  vCPU %" PRIu32 ": %" PRIu32 " byte%s", landing->vcpu, landing->bytes,
            landing->bytes == 1 ? " differs" : "s differ");
    if (landing->bytes != 0)
        fprintf(out, ", all in the padding at %s0x%" PRIx64 "-0x%" PRIx64,
                landing->has_pa ? "physical " : "offset ", landing->first, landing->last);
    fputc('\n', out);
}

static void print_field(FILE *out, const struct ledger_field *field)
{
    fprintf(out, "  %s", field->path);
    if (is_vcpu(field->path))
        fprintf(out, " (vCPU %" PRIu32 ")", field->instance);
    else if (field->instance != 0)
        fprintf(out, " (instance %" PRIu32 ")", field->instance);
    fprintf(out, ": %s, was %s: %s\n", field->resumed, field->source,
            field->reason != NULL ? field->reason : "NOT EXPECTED");
}

static void print_page(FILE *out, const struct ledger_page *page)
{
    fprintf(out, "  ");
    if (page->has_pa)
        fprintf(out, "physical 0x%" PRIx64 " ", page->pa);
    fprintf(out, "(%s + 0x%" PRIx64 ")", page->block, page->offset);
    if (page->note != NULL) {
        fprintf(out, ": %s: NOT EXPECTED\n", page->note);
        return;
    }
    uint64_t base = page->has_pa ? page->pa : page->offset;
    fprintf(out, ": %" PRIu32 " byte%s", page->bytes, page->bytes == 1 ? "" : "s");
    for (uint32_t i = 0; i < page->run_count && (page->in_home || i < 4); i++) {
        uint64_t start = base + page->run[i].start;
        fprintf(out, "%s0x%" PRIx64, i == 0 ? " at " : ", ", start);
        if (page->run[i].length > 1)
            fprintf(out, "-0x%" PRIx64, start + page->run[i].length - 1);
    }
    if (page->reason != NULL)
        fprintf(out, ": %s\n", page->reason);
    else
        fprintf(out, "%s: NOT EXPECTED\n", page->in_home ? ", in the home" : "");
}

void ledger_print(const struct ledger *ledger, FILE *out)
{
    fprintf(out,
            "The resumed VM, its vCPUs at the guest's next instruction, against the snapshot:\n");
    print_counts(out, "CPU", ledger->cpu_identical, ledger->cpu_explained, ledger->cpu_unexpected);
    print_counts(out, "devices", ledger->device_identical, ledger->device_explained,
                 ledger->device_unexpected);
    fprintf(out, "  %-8s %" PRIu64 " of %" PRIu64 " pages identical", "RAM",
            ledger->pages_identical, ledger->pages);
    if (ledger->pages_expected != 0)
        fprintf(out, ", %" PRIu64 " differ for a known reason (%" PRIu64 " bytes in the home)",
                ledger->pages_expected, ledger->home_bytes);
    if (ledger->pages_unexpected != 0)
        fprintf(out, ", %" PRIu64 " DIFFER", ledger->pages_unexpected);
    fputc('\n', out);

    if (ledger->field_count != 0)
        fprintf(out, "Fields that differ:\n");
    /* What nothing accounts for comes first. */
    uint32_t printed = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < ledger->field_count; i++) {
            const struct ledger_field *field = &ledger->field[i];
            if ((field->reason != NULL) == (pass == 1) && printed++ < PRINT_MAX)
                print_field(out, field);
        }
    }
    if (printed > PRINT_MAX)
        fprintf(out, "  and %" PRIu32 " more, see --json\n", printed - PRINT_MAX);
    if (ledger->landing_count != 0)
        fprintf(out, "Left behind by the landings:\n");
    for (uint32_t i = 0; i < ledger->landing_count; i++)
        print_landing(out, &ledger->landing[i]);
    if (ledger->page_count != 0)
        fprintf(out, "Pages that differ:\n");
    printed = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < ledger->page_count; i++) {
            if ((ledger->page[i].reason != NULL) == (pass == 1) && printed++ < PRINT_MAX)
                print_page(out, &ledger->page[i]);
        }
    }
    if (printed > PRINT_MAX)
        fprintf(out, "  and %" PRIu32 " more, see --json\n", printed - PRINT_MAX);
    if (ledger_clean(ledger))
        fprintf(out, "Result: every difference is accounted for.\n");
    else
        fprintf(out, "Result: %" PRIu64 " fields and %" PRIu64 " pages differ unexpectedly.\n",
                ledger->cpu_unexpected + ledger->device_unexpected, ledger->pages_unexpected);
    fflush(out);
}

static json_t *field_json(const struct ledger_field *field)
{
    return json_pack("{s:s, s:I, s:s, s:s, s:s?}", "path", field->path, "instance",
                     (json_int_t)field->instance, "source", field->source, "resumed",
                     field->resumed, "reason", field->reason);
}

static json_t *page_json(const struct ledger_page *page)
{
    json_t *runs = json_array();
    for (uint32_t i = 0; i < page->run_count; i++)
        json_array_append_new(runs, json_pack("{s:i, s:i}", "offset", (int)page->run[i].start,
                                              "length", (int)page->run[i].length));
    json_t *object =
        json_pack("{s:s, s:I, s:I, s:b, s:b, s:s?, s:s?, s:o}", "block", page->block, "offset",
                  (json_int_t)page->offset, "bytes", (json_int_t)page->bytes, "in_home",
                  (int)page->in_home, "expected", (int)(page->reason != NULL), "reason",
                  page->reason, "note", page->note, "runs", runs);
    if (page->has_pa)
        json_object_set_new(object, "pa", json_integer((json_int_t)page->pa));
    return object;
}

static json_t *counts_json(uint64_t identical, uint64_t explained, uint64_t unexpected)
{
    return json_pack("{s:I, s:I, s:I}", "identical", (json_int_t)identical, "explained",
                     (json_int_t)explained, "unexpected", (json_int_t)unexpected);
}

static json_t *landing_json(const struct ledger_landing *landing)
{
    json_t *object = json_pack("{s:I, s:I}", "vcpu", (json_int_t)landing->vcpu, "bytes",
                               (json_int_t)landing->bytes);
    if (object != NULL && landing->bytes != 0 && landing->has_pa) {
        json_object_set_new(object, "first_pa", json_integer((json_int_t)landing->first));
        json_object_set_new(object, "last_pa", json_integer((json_int_t)landing->last));
    }
    return object;
}

json_t *ledger_json(const struct ledger *ledger)
{
    json_t *landings = json_array();
    for (uint32_t i = 0; i < ledger->landing_count; i++) {
        if (ledger->landing[i].active)
            json_array_append_new(landings, landing_json(&ledger->landing[i]));
    }
    json_t *fields = json_array();
    json_t *pages = json_array();
    for (uint32_t i = 0; i < ledger->field_count; i++)
        json_array_append_new(fields, field_json(&ledger->field[i]));
    for (uint32_t i = 0; i < ledger->page_count; i++)
        json_array_append_new(pages, page_json(&ledger->page[i]));
    return json_pack(
        "{s:b, s:i, s:o, s:o, s:{s:I, s:I, s:I, s:I, s:I}, s:o, s:o, s:o}", "clean",
        (int)ledger_clean(ledger), "sections", (int)ledger->sections, "cpu_fields",
        counts_json(ledger->cpu_identical, ledger->cpu_explained, ledger->cpu_unexpected),
        "device_fields",
        counts_json(ledger->device_identical, ledger->device_explained, ledger->device_unexpected),
        "pages", "total", (json_int_t)ledger->pages, "identical",
        (json_int_t)ledger->pages_identical, "expected", (json_int_t)ledger->pages_expected,
        "unexpected", (json_int_t)ledger->pages_unexpected, "home_bytes",
        (json_int_t)ledger->home_bytes, "fields_that_differ", fields, "pages_that_differ", pages,
        "landings", landings);
}
