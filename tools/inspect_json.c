/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Values of registers and addresses are strings ("0x..."): JSON's numbers end at 53 bits. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include <resume/landing.h>

#include "decode.h"
#include "inspect.h"
#include "msr_name.h"

#define JSON_FORMAT 1

/* jansson's functions accept NULL and then fail, so a lost allocation shows at the end. */
static bool lost;

static json_t *keep(json_t *json)
{
    if (json == NULL)
        lost = true;
    return json;
}

static void set(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0)
        lost = true;
}

static void append(json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0)
        lost = true;
}

static json_t *object(void)
{
    return keep(json_object());
}

static json_t *array(void)
{
    return keep(json_array());
}

static json_t *text(const char *string)
{
    return keep(json_string(string));
}

static json_t *number(uint64_t value)
{
    return keep(json_integer((json_int_t)(value > INT64_MAX ? INT64_MAX : value)));
}

static json_t *hex(uint64_t value)
{
    char buffer[24];
    snprintf(buffer, sizeof(buffer), "0x%llx", (unsigned long long)value);
    return text(buffer);
}

static json_t *maybe_hex(uint64_t value, bool known)
{
    return known ? hex(value) : keep(json_null());
}

static json_t *bit_names(enum decode_register reg, uint64_t value)
{
    json_t *names = array();
    const char *name;
    for (unsigned bit = 0; (name = decode_bit(reg, value, &bit)) != NULL; bit++) {
        char unnamed[8];
        if (strcmp(name, "?") == 0) {
            snprintf(unnamed, sizeof(unnamed), "bit%u", bit);
            name = unnamed;
        }
        append(names, text(name));
    }
    return names;
}

/* {"value": "0x...", "flags": [...]}, or null. */
static json_t *flags(enum decode_register reg, uint64_t value, bool known)
{
    if (!known)
        return keep(json_null());
    json_t *json = object();
    set(json, "value", hex(value));
    set(json, "flags", bit_names(reg, value));
    return json;
}

static json_t *registers(const struct resume_regs *regs)
{
    json_t *json = object();
    for (unsigned i = 0; i < RESUME_GPR_COUNT; i++)
        set(json, decode_gpr(i), maybe_hex(regs->gpr[i], (regs->valid >> i & 1) != 0));
    set(json, "rip", maybe_hex(regs->rip, (regs->valid & RESUME_REGS_RIP) != 0));
    json_t *rflags = flags(DECODE_RFLAGS, regs->rflags, (regs->valid & RESUME_REGS_RFLAGS) != 0);
    if (json_is_object(rflags))
        set(rflags, "iopl", number(regs->rflags >> 12 & 3));
    set(json, "rflags", rflags);
    return json;
}

static json_t *segments(const struct resume_segs *segs)
{
    json_t *json = object();
    for (unsigned i = 0; i < RESUME_SEG_COUNT; i++) {
        const struct resume_segment *segment = &segs->seg[i];
        json_t *entry;
        if ((segs->valid >> i & 1) == 0) {
            set(json, decode_segment(i), keep(json_null()));
            continue;
        }
        entry = object();
        set(entry, "base", hex(segment->base));
        set(entry, "limit", hex(segment->limit));
        if (i < RESUME_GDTR) {
            set(entry, "selector", hex(segment->selector));
            set(entry, "access", hex(segment->access));
            set(entry, "type", text(decode_segment_type(segment->access)));
            set(entry, "dpl", number((segment->access & RESUME_SEG_DPL) >> RESUME_SEG_DPL_SHIFT));
            set(entry, "flags", bit_names(DECODE_SEGMENT, segment->access));
        }
        set(json, decode_segment(i), entry);
    }
    return json;
}

static json_t *control(const struct resume_ctrl *ctrl)
{
    json_t *json = object();
    set(json, "cr0", flags(DECODE_CR0, ctrl->cr0, (ctrl->valid & RESUME_CTRL_CR0) != 0));
    set(json, "cr2", maybe_hex(ctrl->cr2, (ctrl->valid & RESUME_CTRL_CR2) != 0));
    set(json, "cr3", maybe_hex(ctrl->cr3, (ctrl->valid & RESUME_CTRL_CR3) != 0));
    set(json, "cr4", flags(DECODE_CR4, ctrl->cr4, (ctrl->valid & RESUME_CTRL_CR4) != 0));
    set(json, "cr8", maybe_hex(ctrl->cr8, (ctrl->valid & RESUME_CTRL_CR8) != 0));
    set(json, "efer", flags(DECODE_EFER, ctrl->efer, (ctrl->valid & RESUME_CTRL_EFER) != 0));
    set(json, "xcr0", flags(DECODE_XCR0, ctrl->xcr0, (ctrl->valid & RESUME_CTRL_XCR0) != 0));
    set(json, "xss", flags(DECODE_XCR0, ctrl->xss, (ctrl->valid & RESUME_CTRL_XSS) != 0));
    set(json, "apic_base",
        flags(DECODE_APIC_BASE, ctrl->apic_base, (ctrl->valid & RESUME_CTRL_APIC_BASE) != 0));
    return json;
}

static json_t *debug(const struct resume_debug *debug)
{
    json_t *json = object();
    for (unsigned i = 0; i < 4; i++) {
        char name[8];
        snprintf(name, sizeof(name), "dr%u", i);
        set(json, name, maybe_hex(debug->dr[i], (debug->valid >> i & 1) != 0));
    }
    set(json, "dr6", flags(DECODE_DR6, debug->dr6, (debug->valid & RESUME_DEBUG_DR6) != 0));
    set(json, "dr7", flags(DECODE_DR7, debug->dr7, (debug->valid & RESUME_DEBUG_DR7) != 0));
    return json;
}

static json_t *msrs(const struct resume_vcpu *vcpu)
{
    json_t *json = array();
    for (uint32_t i = 0; i < vcpu->msr_count; i++) {
        char buffer[MSR_NAME_MAX];
        const char *name = msr_name(vcpu->msr[i].index, buffer);
        json_t *entry = object();
        set(entry, "index", hex(vcpu->msr[i].index));
        set(entry, "name", name[0] != '\0' ? text(name) : keep(json_null()));
        set(entry, "value", hex(vcpu->msr[i].value));
        set(entry, "optional", json_boolean(vcpu->msr[i].flags & RESUME_MSR_OPTIONAL));
        append(json, entry);
    }
    return json;
}

/* A number of many bytes, low byte first in memory. */
static json_t *wide(const uint8_t *bytes, unsigned count)
{
    char buffer[2 + 128 + 1] = "0x";
    for (unsigned i = 0; i < count && i < 64; i++)
        snprintf(buffer + 2 + i * 2, 3, "%02x", bytes[count - 1 - i]);
    return text(buffer);
}

static json_t *words(const uint8_t *bytes, unsigned count, unsigned width)
{
    json_t *json = array();
    for (unsigned i = 0; i < count; i++)
        append(json, wide(bytes + (size_t)i * width, width));
    return json;
}

static json_t *fpu(const struct resume_xsave *xsave)
{
    const uint8_t *area = xsave->area;
    unsigned width = inspect_vector_width(xsave);
    json_t *json = object();
    json_t *list = array();
    set(json, "length", number(xsave->length));
    set(json, "xstate_bv", flags(DECODE_XCR0, inspect_le(area + 512, 8), true));
    for (uint32_t i = 0; i < xsave->comp_count && i < RESUME_XCOMP_MAX; i++) {
        const char *name = decode_component(xsave->comp[i].id);
        json_t *entry = object();
        set(entry, "id", number(xsave->comp[i].id));
        set(entry, "name", name != NULL ? text(name) : keep(json_null()));
        set(entry, "offset", number(xsave->comp[i].offset));
        set(entry, "size", number(xsave->comp[i].size));
        append(list, entry);
    }
    set(json, "components", list);
    set(json, "fcw", hex(inspect_le(area, 2)));
    set(json, "fsw", hex(inspect_le(area + 2, 2)));
    set(json, "ftw", hex(area[4]));
    set(json, "fop", hex(inspect_le(area + 6, 2)));
    set(json, "fip", hex(inspect_le(area + 8, 8)));
    set(json, "fdp", hex(inspect_le(area + 16, 8)));
    set(json, "mxcsr", hex(inspect_le(area + 24, 4)));
    list = array();
    for (unsigned i = 0; i < 8; i++)
        append(list, wide(area + 32 + (size_t)i * 16, 10));
    set(json, "st", list);
    list = array();
    for (unsigned i = 0; i < inspect_vector_count(xsave); i++) {
        uint8_t bytes[64];
        inspect_vector(xsave, i, width, bytes);
        append(list, wide(bytes, width));
    }
    set(json, width == 64 ? "zmm" : width == 32 ? "ymm" : "xmm", list);
    const uint8_t *component = inspect_component(xsave, 5, 64);
    if (component != NULL)
        set(json, "opmask", words(component, 8, 8));
    component = inspect_component(xsave, 3, 64);
    if (component != NULL)
        set(json, "bnd", words(component, 4, 16));
    component = inspect_component(xsave, 9, 8);
    if (component != NULL)
        set(json, "pkru", hex(inspect_le(component, 4)));
    return json;
}

static json_t *event(uint32_t vector)
{
    return vector == RESUME_NO_EVENT ? keep(json_null()) : number(vector);
}

static json_t *run(const struct resume_run *run)
{
    json_t *json = object();
    set(json, "state", text(decode_run_state(run->mp_state)));
    set(json, "sipi_vector", number(run->sipi_vector));
    set(json, "smm", json_boolean(run->smm));
    set(json, "apic_id", maybe_hex(run->apic_id, (run->valid & RESUME_RUN_APIC_ID) != 0));
    set(json, "interrupt_shadow", json_boolean(run->interrupt_shadow));
    set(json, "interrupt_shadow_kind", text(inspect_shadow(run->interrupt_shadow)));
    set(json, "nmi_masked", json_boolean(run->nmi_masked));
    set(json, "nmi_pending", json_boolean(run->nmi_pending));
    set(json, "exception", event(run->exception_vector));
    set(json, "interrupt", event(run->interrupt_vector));
    return json;
}

/* {"ok": true}, or what resume_vcpu_validate or resume_vcpu_check_scope object to. */
static json_t *verdict(int ret, const struct resume_diag *diag)
{
    json_t *json = object();
    set(json, "ok", json_boolean(ret == 0));
    if (ret == 0)
        return json;
    set(json, "reason", text(resume_strerror(ret)));
    set(json, "where", text(diag->where));
    set(json, "field", text(diag->field));
    set(json, "found", hex(diag->found));
    set(json, "expected", hex(diag->expected));
    return json;
}

static json_t *vcpu_json(const struct resume_vcpu *vcpu, uint32_t index)
{
    struct resume_diag diag;
    json_t *json = object();
    uint32_t levels = decode_paging_levels(vcpu);
    set(json, "index", number(index));
    set(json, "dormant", json_boolean(resume_vcpu_dormant(vcpu)));
    set(json, "mode", text(decode_mode(vcpu)));
    set(json, "cpl", number(decode_cpl(vcpu)));
    json_t *paging = object();
    set(paging, "mode", text(decode_paging(vcpu)));
    set(paging, "levels", number(levels));
    set(paging, "root", hex(vcpu->ctrl.cr3 & UINT64_C(0x000ffffffffff000)));
    set(json, "paging", paging);
    set(json, "registers", registers(&vcpu->regs));
    set(json, "segments", segments(&vcpu->segs));
    set(json, "control", control(&vcpu->ctrl));
    set(json, "debug", debug(&vcpu->debug));
    set(json, "msrs", msrs(vcpu));
    set(json, "fpu", vcpu->xsave.length != 0 ? fpu(&vcpu->xsave) : keep(json_null()));
    set(json, "run", run(&vcpu->run));
    set(json, "consistent", verdict(resume_vcpu_validate(vcpu, index, &diag), &diag));
    set(json, "restorable", verdict(resume_vcpu_check_scope(vcpu, index, &diag), &diag));
    return json;
}

static json_t *memory(const struct view *view, const struct memory_map *map)
{
    json_t *json = object();
    json_t *list = array();
    set(json, "source", text(inspect_map_source(view->map_source)));
    for (uint32_t i = 0; i < view->range_count; i++) {
        const struct manifest_range *range = &view->ranges[i];
        json_t *entry = object();
        set(entry, "base", hex(range->base_pa));
        set(entry, "length", number(range->length));
        set(entry, "kind", text(inspect_range_kind(range->kind)));
        if (range->block[0] != '\0') {
            set(entry, "block", text(range->block));
            set(entry, "offset", hex(range->offset));
        }
        append(list, entry);
    }
    set(json, "ranges", list);
    list = array();
    for (uint32_t i = 0; i < view->block_count; i++) {
        json_t *entry = object();
        set(entry, "name", text(view->blocks[i].name));
        set(entry, "length", number(view->blocks[i].length));
        append(list, entry);
    }
    set(json, "blocks", list);
    if (map == NULL)
        return json;
    if (map->have_pages) {
        uint64_t pages = 0;
        uint64_t data = 0;
        for (uint32_t i = 0; i < map->cell_count; i++) {
            pages += map->cells[i].pages;
            data += map->cells[i].data;
        }
        set(json, "pages", number(pages));
        set(json, "data_pages", number(data));
    }
    if (map->have_tables) {
        list = array();
        for (uint32_t i = 0; i < map->code_count; i++) {
            json_t *entry = object();
            set(entry, "va", hex(map->code[i].va));
            set(entry, "pa", hex(map->code[i].pa));
            set(entry, "length", number(map->code[i].length));
            append(list, entry);
        }
        set(json, "page_table_pages", number(map->table_pages));
        set(json, "mapped_bytes", number(map->mapped_bytes));
        set(json, "kernel_code_bytes", number(map->code_bytes));
        set(json, "kernel_code", list);
        set(json, "page_tables_of", number(map->tables_of));
        list = array();
        for (uint32_t i = 0; i < map->rip_count; i++) {
            json_t *entry = object();
            set(entry, "vcpu", number(map->rip[i].vcpu));
            set(entry, "pa", hex(map->rip[i].pa));
            append(list, entry);
        }
        set(json, "next_instructions", list);
    }
    return json;
}

static json_t *home_json(const struct view *view)
{
    const struct resume_home *home = &view->plan.home;
    json_t *json = object();
    set(json, "va", hex(home->va));
    set(json, "pa", hex(home->pa));
    set(json, "length", number(home->length));
    set(json, "kind", text(inspect_home_kind(home->kind)));
    set(json, "fill", hex(home->fill));
    if (!view->have_layout)
        return json;
    const struct resume_image_layout *layout = &view->layout;
    json_t *parts = object();
    json_t *list = array();
    set(parts, "blocks", number(RESUME_HOME_BLOCKS));
    set(parts, "block_length", number(layout->block_length));
    set(parts, "xsave_length", number(layout->xsave_length));
    set(parts, "landings", number(layout->landings));
    set(parts, "landing_length", number(RESUME_LANDING_MAX));
    set(json, "layout", parts);
    for (uint32_t i = 0; i < view->vcpu_count; i++) {
        const struct resume_landing *landing = &view->landings[i];
        const resume_va_t slot = view_slot_va(view, i);
        if (resume_vcpu_dormant(&view->vcpus[i]))
            continue;
        json_t *entry = object();
        set(entry, "vcpu", number(i));
        set(entry, "va", hex(slot + landing->entry));
        set(entry, "form", text(inspect_landing_form(landing->form)));
        set(entry, "leave", hex(slot + landing->leave));
        set(entry, "remains", hex(slot + landing->remains));
        set(entry, "differs", number(landing->differs));
        append(list, entry);
    }
    set(json, "landings", list);
    return json;
}

static json_t *devices(const struct view *view)
{
    json_t *list = array();
    for (uint32_t i = 0; i < view->device_count; i++) {
        json_t *entry = object();
        set(entry, "name", text(view->devices[i].name));
        set(entry, "instance", number(view->devices[i].instance));
        set(entry, "version", number(view->devices[i].version));
        set(entry, "length", number(view->devices[i].length));
        append(list, entry);
    }
    return list;
}

int inspect_print_json(const struct view *view, uint32_t vcpu, const struct memory_map *map,
                       FILE *out, struct report_failure *failure)
{
    json_t *root = NULL;
    json_t *list;
    json_t *machine;
    lost = false;
    root = object();
    machine = object();
    list = array();
    set(root, "format", number(JSON_FORMAT));
    set(root, "kind", text(view_kind_name(view->kind)));
    set(machine, "type", text(view->machine.type));
    set(machine, "accelerator", text(view_accel_name(view->machine.accel)));
    set(machine, "producer", text(view->machine.producer));
    set(root, "machine", machine);
    for (uint32_t i = 0; i < view->vcpu_count; i++) {
        if (vcpu == INSPECT_ALL || vcpu == i)
            append(list, vcpu_json(&view->vcpus[i], i));
    }
    set(root, "vcpus", list);
    set(root, "memory", memory(view, map));
    set(root, "home", view->have_plan ? home_json(view) : keep(json_null()));
    set(root, "devices", devices(view));
    int ret = lost ? report_fail_memory(failure, "inspect") : 0;
    if (ret == 0 && (json_dumpf(root, out, JSON_INDENT(2)) != 0 || fputc('\n', out) == EOF))
        ret = report_fail_errno(failure, errno, "write", "standard output");
    json_decref(root);
    return ret;
}
