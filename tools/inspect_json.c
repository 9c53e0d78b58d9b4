/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What it looks like: docs/schemas/inspect.schema.json. */
#define _POSIX_C_SOURCE 200809L
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include <resume/landing.h>

#include "fields.h"
#include "guest_mode.h"
#include "inspect.h"
#include "json_build.h"
#include "msr_name.h"

#define JSON_FORMAT 1

static json_t *value_json(const struct field *field)
{
    if (!field->known)
        return json_build_null();
    if (field->form == FIELD_FLAGS)
        return json_build_flags(field->bits, field_value(field));
    return field->size > 8 ? json_build_wide(field->value, field->size)
                           : json_build_hex(field_value(field));
}

static json_t *group_json(const struct fields *fields, enum field_group group)
{
    json_t *json = json_build_object();
    for (uint32_t i = 0; i < fields->count; i++) {
        if (fields->field[i].group == group)
            json_build_set(json, fields->field[i].name, value_json(&fields->field[i]));
    }
    return json;
}

static json_t *registers(const struct fields *fields)
{
    json_t *json = group_json(fields, FIELD_REGISTERS);
    const struct field *rflags = fields_find(fields, "rflags");
    if (rflags->known)
        json_build_set(json_object_get(json, "rflags"), "iopl",
                       json_build_number(field_value(rflags) >> 12 & 3));
    return json;
}

static json_t *segment_json(const struct fields *fields, const char *name)
{
    const struct field *base = fields_segment(fields, name, "base");
    const struct field *access = fields_segment(fields, name, "access");
    if (!base->known)
        return json_build_null();
    json_t *json = json_build_object();
    json_build_set(json, "base", value_json(base));
    json_build_set(json, "limit", value_json(fields_segment(fields, name, "limit")));
    if (access == NULL)
        return json;
    const uint32_t rights = (uint32_t)field_value(access);
    json_build_set(json, "selector", value_json(fields_segment(fields, name, "selector")));
    json_build_set(json, "access", json_build_hex(rights));
    json_build_set(json, "type", json_build_text(decode_segment_type(rights)));
    json_build_set(json, "dpl",
                   json_build_number((rights & RESUME_SEG_DPL) >> RESUME_SEG_DPL_SHIFT));
    json_build_set(json, "flags", json_build_bits(DECODE_SEGMENT, rights));
    return json;
}

static json_t *segments(const struct fields *fields)
{
    json_t *json = json_build_object();
    for (unsigned i = 0; i < RESUME_SEG_COUNT; i++)
        json_build_set(json, decode_segment(i), segment_json(fields, decode_segment(i)));
    return json;
}

static json_t *msrs(const struct resume_vcpu *vcpu)
{
    json_t *json = json_build_array();
    for (uint32_t i = 0; i < vcpu->msr_count; i++) {
        char buffer[MSR_NAME_MAX];
        const char *name = msr_name(vcpu->msr[i].index, buffer);
        json_t *entry = json_build_object();
        json_build_set(entry, "index", json_build_hex(vcpu->msr[i].index));
        json_build_set(entry, "name", name[0] != '\0' ? json_build_text(name) : json_build_null());
        json_build_set(entry, "value", json_build_hex(vcpu->msr[i].value));
        json_build_set(entry, "optional",
                       json_build_bool(vcpu->msr[i].flags & RESUME_MSR_OPTIONAL));
        json_build_append(json, entry);
    }
    return json;
}

static json_t *components(const struct resume_xsave *xsave)
{
    json_t *list = json_build_array();
    for (uint32_t i = 0; i < xsave->comp_count && i < RESUME_XCOMP_MAX; i++) {
        const char *name = decode_component(xsave->comp[i].id);
        json_t *entry = json_build_object();
        json_build_set(entry, "id", json_build_number(xsave->comp[i].id));
        json_build_set(entry, "name", name != NULL ? json_build_text(name) : json_build_null());
        json_build_set(entry, "offset", json_build_number(xsave->comp[i].offset));
        json_build_set(entry, "size", json_build_number(xsave->comp[i].size));
        json_build_append(list, entry);
    }
    return list;
}

/* "st0" to "st7", in a list; the same for others. NULL when there is none of that name. */
static json_t *row(const struct fields *fields, const char *name, unsigned count)
{
    char numbered[FIELD_NAME_MAX];
    json_t *list = NULL;
    for (unsigned i = 0; i < count; i++) {
        snprintf(numbered, sizeof(numbered), "%s%u", name, i);
        const struct field *field = fields_find(fields, numbered);
        if (field == NULL)
            break;
        if (list == NULL)
            list = json_build_array();
        json_build_append(list, json_build_wide(field->value, field->size));
    }
    return list;
}

/* "xmm", "ymm" or "zmm", whichever they are. */
static void set_vectors(json_t *json, const struct fields *fields)
{
    uint8_t bytes[64];
    unsigned width = 16;
    unsigned first = 16;
    json_t *list = json_build_array();
    for (unsigned i = 0; fields_vector(fields, i, bytes, &width); i++) {
        first = i == 0 ? width : first;
        json_build_append(list, json_build_wide(bytes, width));
    }
    json_build_set(json, first == 64 ? "zmm" : first == 32 ? "ymm" : "xmm", list);
}

/* What no list of registers has. */
static void set_others(json_t *json, const struct fields *fields)
{
    static const char *const rows[] = {"st", "xmm", "ymm", "zmm", "bnd"};
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct field *field = &fields->field[i];
        bool in_row = field->group != FIELD_FPU || (field->name[0] == 'k' && field->size == 8);
        for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++)
            in_row = in_row ||
                     (strncmp(field->name, rows[k], strlen(rows[k])) == 0 && field->size >= 10);
        if (!in_row)
            json_build_set(json, field->name, value_json(field));
    }
}

static json_t *fpu(const struct fields *fields, const struct resume_xsave *xsave)
{
    if (xsave->length == 0)
        return json_build_null();
    json_t *json = json_build_object();
    json_build_set(json, "length", json_build_number(xsave->length));
    json_build_set(json, "xstate_bv", json_build_flags(DECODE_XCR0, inspect_in_use(xsave)));
    json_build_set(json, "components", components(xsave));
    set_others(json, fields);
    json_build_set(json, "st", row(fields, "st", 8));
    set_vectors(json, fields);
    json_t *list = row(fields, "k", 8);
    if (list != NULL)
        json_build_set(json, "opmask", list);
    list = row(fields, "bnd", 4);
    if (list != NULL)
        json_build_set(json, "bnd", list);
    return json;
}

/* A run field as programs want it: null when it is not carried. */
static json_t *run_value(const struct fields *fields, const char *name)
{
    const struct field *field = fields_find(fields, name);
    const uint64_t value = field_value(field);
    if (!field->known)
        return json_build_null();
    switch (field->form) {
    case FIELD_BOOL:
        return json_build_bool(value != 0);
    case FIELD_STATE:
        return json_build_text(decode_run_state((uint32_t)value));
    case FIELD_SHADOW:
        return json_build_text(field_shadow_name(value));
    case FIELD_EVENT:
        return value == RESUME_NO_EVENT ? json_build_null() : json_build_number(value);
    case FIELD_HEX:
    case FIELD_FLAGS:
    case FIELD_NUMBER:
    case FIELD_WIDE:
        break;
    }
    return json_build_number(value);
}

static json_t *run(const struct fields *fields)
{
    static const struct {
        const char *key;
        const char *field;
    } keys[] = {{"state", "mp_state"},
                {"sipi_vector", "sipi_vector"},
                {"smm", "smm"},
                {"interrupt_shadow_kind", "interrupt_shadow"},
                {"shadow_length", "shadow_length"},
                {"nmi_masked", "nmi_masked"},
                {"nmi_pending", "nmi_pending"},
                {"exception", "exception_vector"},
                {"interrupt", "interrupt_vector"}};
    const struct field *shadow = fields_find(fields, "interrupt_shadow");
    json_t *carried = json_build_array();
    json_t *json = json_build_object();
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        json_build_set(json, keys[i].key, run_value(fields, keys[i].field));
    json_build_set(json, "apic_id", value_json(fields_find(fields, "apic_id")));
    json_build_set(json, "interrupt_shadow",
                   shadow->known ? json_build_bool(field_value(shadow) != 0) : json_build_null());
    /* null stands for "none" as well as for "not carried" in exception and interrupt. */
    for (uint32_t i = 0; i < fields->count; i++) {
        if (fields->field[i].group == FIELD_RUN && fields->field[i].known)
            json_build_append(carried, json_build_text(fields->field[i].name));
    }
    json_build_set(json, "carried", carried);
    return json;
}

/* {"ok": true}, or what resume_vcpu_validate or resume_vcpu_check_scope object to. */
static json_t *verdict(int ret, const struct resume_diag *diag)
{
    json_t *json = json_build_object();
    json_build_set(json, "ok", json_build_bool(ret == 0));
    if (ret == 0)
        return json;
    json_build_set(json, "reason", json_build_text(resume_strerror(ret)));
    json_build_set(json, "where", json_build_text(diag->where));
    json_build_set(json, "field", json_build_text(diag->field));
    json_build_set(json, "found", json_build_hex(diag->found));
    json_build_set(json, "expected", json_build_hex(diag->expected));
    return json;
}

static json_t *missing_json(const struct resume_vcpu *vcpu)
{
    char names[INPUT_MISSING_MAX];
    json_t *list = json_build_array();
    input_missing(vcpu, names);
    for (char *rest = names, *name; (name = strtok_r(rest, ", ", &rest)) != NULL;)
        json_build_append(list, json_build_text(name));
    return list;
}

static json_t *vcpu_json(const struct resume_vcpu *vcpu, uint32_t index, const char *format)
{
    static struct fields fields;
    struct resume_diag diag;
    struct guest_mode mode;
    json_t *json = json_build_object();
    guest_mode_of(vcpu, &mode);
    fields_list(vcpu, &fields);
    fields_lack(&fields, format);
    json_build_set(json, "index", json_build_number(index));
    json_build_set(json, "dormant", json_build_bool(resume_vcpu_dormant(vcpu)));
    json_build_set(json, "mode", json_build_text(mode.mode));
    json_build_set(json, "cpl", mode.cpl_known ? json_build_number(mode.cpl) : json_build_null());
    json_t *paging = json_build_object();
    json_build_set(paging, "mode", json_build_text(guest_paging_name(mode.paging)));
    json_build_set(paging, "levels", json_build_number(mode.levels));
    json_build_set(paging, "root",
                   json_build_maybe_hex(vcpu->ctrl.cr3 & UINT64_C(0x000ffffffffff000),
                                        (vcpu->ctrl.valid & RESUME_CTRL_CR3) != 0));
    json_build_set(paging, "efer_assumed", json_build_bool(mode.efer_assumed));
    json_build_set(json, "paging", paging);
    json_build_set(json, "registers", registers(&fields));
    json_build_set(json, "segments", segments(&fields));
    json_build_set(json, "control", group_json(&fields, FIELD_CONTROL));
    json_build_set(json, "debug", group_json(&fields, FIELD_DEBUG));
    json_build_set(json, "msrs", msrs(vcpu));
    json_build_set(json, "fpu", fpu(&fields, &vcpu->xsave));
    json_build_set(json, "run", run(&fields));
    json_build_set(json, "missing", missing_json(vcpu));
    json_build_set(json, "consistent", verdict(resume_vcpu_validate(vcpu, index, &diag), &diag));
    json_build_set(json, "restorable", verdict(resume_vcpu_check_scope(vcpu, index, &diag), &diag));
    return json;
}

static json_t *memory(const struct view *view, const struct memory_map *map)
{
    json_t *json = json_build_object();
    json_t *list = json_build_array();
    json_build_set(json, "source", json_build_text(inspect_map_source(view->map_source)));
    for (uint32_t i = 0; i < view->range_count; i++) {
        const struct manifest_range *range = &view->ranges[i];
        json_t *entry = json_build_object();
        json_build_set(entry, "base", json_build_hex(range->base_pa));
        json_build_set(entry, "length", json_build_number(range->length));
        json_build_set(entry, "kind", json_build_text(inspect_range_kind(range->kind)));
        if (range->block[0] != '\0') {
            json_build_set(entry, "block", json_build_text(range->block));
            json_build_set(entry, "offset", json_build_hex(range->offset));
        }
        json_build_append(list, entry);
    }
    json_build_set(json, "ranges", list);
    list = json_build_array();
    for (uint32_t i = 0; i < view->block_count; i++) {
        json_t *entry = json_build_object();
        json_build_set(entry, "name", json_build_text(view->blocks[i].name));
        json_build_set(entry, "length", json_build_number(view->blocks[i].length));
        json_build_append(list, entry);
    }
    json_build_set(json, "blocks", list);
    if (map == NULL)
        return json;
    if (map->have_pages) {
        uint64_t pages = 0;
        uint64_t data = 0;
        for (uint32_t i = 0; i < map->cell_count; i++) {
            pages += map->cells[i].pages;
            data += map->cells[i].data;
        }
        json_build_set(json, "pages", json_build_number(pages));
        json_build_set(json, "data_pages", json_build_number(data));
    }
    if (map->have_tables) {
        list = json_build_array();
        for (uint32_t i = 0; i < map->code_count; i++) {
            json_t *entry = json_build_object();
            json_build_set(entry, "va", json_build_hex(map->code[i].va));
            json_build_set(entry, "pa", json_build_hex(map->code[i].pa));
            json_build_set(entry, "length", json_build_number(map->code[i].length));
            json_build_append(list, entry);
        }
        json_build_set(json, "page_table_pages", json_build_number(map->table_pages));
        json_build_set(json, "mapped_bytes", json_build_number(map->mapped_bytes));
        json_build_set(json, "kernel_code_bytes", json_build_number(map->code_bytes));
        json_build_set(json, "kernel_code", list);
        json_build_set(json, "page_tables_of", json_build_number(map->tables_of));
        list = json_build_array();
        for (uint32_t i = 0; i < map->rip_count; i++) {
            json_t *entry = json_build_object();
            json_build_set(entry, "vcpu", json_build_number(map->rip[i].vcpu));
            json_build_set(entry, "pa", json_build_hex(map->rip[i].pa));
            json_build_append(list, entry);
        }
        json_build_set(json, "next_instructions", list);
    }
    return json;
}

static json_t *home_json(const struct view *view)
{
    const struct resume_home *home = &view->plan.home;
    json_t *json = json_build_object();
    json_build_set(json, "va", json_build_hex(home->va));
    json_build_set(json, "pa", json_build_hex(home->pa));
    json_build_set(json, "length", json_build_number(home->length));
    json_build_set(json, "kind", json_build_text(inspect_home_kind(home->kind)));
    json_build_set(json, "fill", json_build_hex(home->fill));
    if (!view->have_layout)
        return json;
    const struct resume_image_layout *layout = &view->layout;
    json_t *parts = json_build_object();
    json_t *list = json_build_array();
    json_build_set(parts, "blocks", json_build_number(RESUME_HOME_BLOCKS));
    json_build_set(parts, "block_length", json_build_number(layout->block_length));
    json_build_set(parts, "xsave_length", json_build_number(layout->xsave_length));
    json_build_set(parts, "landings", json_build_number(layout->landings));
    json_build_set(parts, "landing_length", json_build_number(RESUME_LANDING_MAX));
    json_build_set(json, "layout", parts);
    for (uint32_t i = 0; i < view->vcpu_count; i++) {
        const struct resume_landing *landing = &view->landings[i];
        const resume_va_t slot = view_slot_va(view, i);
        if (resume_vcpu_dormant(&view->vcpus[i]))
            continue;
        json_t *entry = json_build_object();
        json_build_set(entry, "vcpu", json_build_number(i));
        json_build_set(entry, "va", json_build_hex(slot + landing->entry));
        json_build_set(entry, "form", json_build_text(inspect_landing_form(landing->form)));
        json_build_set(entry, "leave", json_build_hex(slot + landing->leave));
        json_build_set(entry, "remains", json_build_hex(slot + landing->remains));
        json_build_set(entry, "differs", json_build_number(landing->differs));
        json_build_append(list, entry);
    }
    json_build_set(json, "landings", list);
    return json;
}

static json_t *devices(const struct view *view)
{
    json_t *list = json_build_array();
    for (uint32_t i = 0; i < view->device_count; i++) {
        json_t *entry = json_build_object();
        json_build_set(entry, "name", json_build_text(view->devices[i].name));
        json_build_set(entry, "instance", json_build_number(view->devices[i].instance));
        json_build_set(entry, "version", json_build_number(view->devices[i].version));
        json_build_set(entry, "length", json_build_number(view->devices[i].length));
        json_build_append(list, entry);
    }
    return list;
}

static json_t *input_json(const struct view *view)
{
    json_t *json = json_build_object();
    json_build_set(json, "path", json_build_text(view->path));
    json_build_set(json, "format", json_build_text(view->input.format->name));
    json_build_set(json, "title", json_build_text(view->input.format->title));
    json_build_set(json, "detail", json_build_text(view->input.detail));
    return json;
}

int inspect_print_json(const struct view *view, uint32_t vcpu, const struct memory_map *map,
                       FILE *out, struct report_failure *failure)
{
    json_t *root = json_build_object();
    json_t *machine = json_build_object();
    json_t *list = json_build_array();
    json_build_set(root, "format", json_build_number(JSON_FORMAT));
    json_build_set(root, "kind", json_build_text(view_kind_name(view)));
    json_build_set(root, "input", input_json(view));
    json_build_set(machine, "type", json_build_text(view->machine.type));
    json_build_set(machine, "accelerator", json_build_text(view_accel_name(view->machine.accel)));
    json_build_set(machine, "producer", json_build_text(view->machine.producer));
    json_build_set(root, "machine", machine);
    for (uint32_t i = 0; i < view->vcpu_count; i++) {
        if (vcpu == INSPECT_ALL || vcpu == i)
            json_build_append(list, vcpu_json(&view->vcpus[i], i, view->input.format->name));
    }
    json_build_set(root, "vcpus", list);
    json_build_set(root, "memory", memory(view, map));
    json_build_set(root, "home", view->have_plan ? home_json(view) : json_build_null());
    json_build_set(root, "devices", devices(view));
    return json_build_print(root, out, "inspect", failure);
}
