/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <resume/landing.h>

#include "fields.h"
#include "guest_mode.h"
#include "inspect.h"
#include "msr_name.h"

struct text {
    FILE *out;
    bool colour;
    const char *format;          /* its name */
    const struct fields *fields; /* of the vCPU that is being printed */
};

typedef unsigned long long ull;

static const char not_carried[] = "not carried";

static void heading(const struct text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void heading(const struct text *text, const char *format, ...)
{
    va_list args;
    fputs(text->colour ? "\n\033[1m" : "\n", text->out);
    va_start(args, format);
    vfprintf(text->out, format, args);
    va_end(args);
    fputs(text->colour ? "\033[0m\n" : "\n", text->out);
}

static void upper(const char *name, char out[FIELD_NAME_MAX])
{
    size_t i = 0;
    for (; i < FIELD_NAME_MAX - 1 && name[i] != '\0'; i++)
        out[i] = (char)toupper((unsigned char)name[i]);
    out[i] = '\0';
}

static const struct field *find(const struct text *text, const char *name)
{
    return fields_find(text->fields, name);
}

/* A register in a line, with the names of its bits if it has any. */
static void print_field(const struct text *text, const struct field *field)
{
    char name[FIELD_NAME_MAX];
    char bits[512] = "";
    upper(strcmp(field->name, "apic_base") == 0 ? "APIC" : field->name, name);
    if (!field->known) {
        fprintf(text->out, "  %-6s %s\n", name, not_carried);
        return;
    }
    if (field->form == FIELD_FLAGS)
        decode_bits(field->bits, field_value(field), bits, sizeof(bits));
    fprintf(text->out, "  %-6s %016llx%s%s\n", name, (ull)field_value(field),
            bits[0] != '\0' ? "  " : "", bits);
}

static void print_group(const struct text *text, enum field_group group)
{
    for (uint32_t i = 0; i < text->fields->count; i++) {
        if (text->fields->field[i].group == group)
            print_field(text, &text->fields->field[i]);
    }
}

static void print_registers(const struct text *text)
{
    /* In the order that people know from other tools. */
    static const uint8_t order[RESUME_GPR_COUNT] = {RESUME_RAX, RESUME_RBX, RESUME_RCX, RESUME_RDX,
                                                    RESUME_RSI, RESUME_RDI, RESUME_RBP, RESUME_RSP,
                                                    RESUME_R8,  RESUME_R9,  RESUME_R10, RESUME_R11,
                                                    RESUME_R12, RESUME_R13, RESUME_R14, RESUME_R15};
    const struct field *rflags = find(text, "rflags");
    heading(text, "General registers");
    for (unsigned i = 0; i < RESUME_GPR_COUNT; i++) {
        const struct field *field = find(text, decode_gpr(order[i]));
        char name[FIELD_NAME_MAX];
        upper(field->name, name);
        if (field->known)
            fprintf(text->out, "  %-4s %016llx", name, (ull)field_value(field));
        else
            fprintf(text->out, "  %-4s %-16s", name, not_carried);
        if (i % 4 == 3)
            fputc('\n', text->out);
    }
    print_field(text, find(text, "rip"));
    print_field(text, rflags);
    if (rflags->known && (field_value(rflags) >> 12 & 3) != 0)
        fprintf(text->out, "         IOPL %u\n", (unsigned)(field_value(rflags) >> 12 & 3));
}

static void print_segments(const struct text *text)
{
    heading(text, "Segments and descriptor tables");
    for (unsigned i = 0; i < RESUME_SEG_COUNT; i++) {
        const char *segment = decode_segment(i);
        const struct field *base = fields_segment(text->fields, segment, "base");
        const struct field *limit = fields_segment(text->fields, segment, "limit");
        const struct field *access = fields_segment(text->fields, segment, "access");
        const struct field *selector = fields_segment(text->fields, segment, "selector");
        char name[FIELD_NAME_MAX];
        char names[64];
        upper(segment, name);
        if (!base->known) {
            fprintf(text->out, "  %-4s %s\n", name, not_carried);
        } else if (access == NULL) {
            fprintf(text->out, "  %-4s      base %016llx limit %08llx\n", name,
                    (ull)field_value(base), (ull)field_value(limit));
        } else {
            const uint32_t rights = (uint32_t)field_value(access);
            decode_bits(DECODE_SEGMENT, rights & ~RESUME_SEG_UNUSABLE, names, sizeof(names));
            fprintf(text->out,
                    "  %-4s %04llx base %016llx limit %08llx access %05x  %s, DPL %u%s%s\n", name,
                    (ull)field_value(selector), (ull)field_value(base), (ull)field_value(limit),
                    rights, decode_segment_type(rights),
                    (rights & RESUME_SEG_DPL) >> RESUME_SEG_DPL_SHIFT, names[0] != '\0' ? ", " : "",
                    names);
        }
    }
}

static void print_control(const struct text *text, const struct guest_mode *mode)
{
    const struct field *cr3 = find(text, "cr3");
    const struct field *cr4 = find(text, "cr4");
    heading(text, "Control registers (%s)", guest_paging_name(mode->paging));
    print_group(text, FIELD_CONTROL);
    if (cr3->known)
        fprintf(text->out, "         root %llx, %s %llx\n",
                (ull)(field_value(cr3) & UINT64_C(0x000ffffffffff000)),
                (field_value(cr4) >> 17 & 1) != 0 ? "PCID" : "flags",
                (ull)(field_value(cr3) & 0xfff));
}

static void print_debug(const struct text *text)
{
    static const char *const kinds[4] = {"on execution", "on write", "on I/O", "on access"};
    static const unsigned lengths[4] = {1, 2, 8, 4};
    const uint64_t dr7 = field_value(find(text, "dr7"));
    heading(text, "Debug registers");
    print_group(text, FIELD_DEBUG);
    for (unsigned i = 0; i < 4; i++) {
        if ((dr7 >> (2 * i) & 3) != 0)
            fprintf(text->out, "         breakpoint %u: %u byte(s) %s\n", i,
                    lengths[dr7 >> (18 + 4 * i) & 3], kinds[dr7 >> (16 + 4 * i) & 3]);
    }
}

static void print_msrs(const struct text *text, const struct resume_vcpu *vcpu)
{
    uint32_t index = 0;
    heading(text, "MSRs");
    if (vcpu->msr_count == 0)
        fprintf(text->out, "  %s\n", not_carried);
    for (uint32_t i = 0; i < text->fields->count; i++) {
        const struct field *field = &text->fields->field[i];
        char buffer[MSR_NAME_MAX];
        if (field->group != FIELD_MSRS)
            continue;
        fprintf(text->out, "  %08x %-14s %016llx%s\n", field->number,
                msr_name(field->number, buffer), (ull)field_value(field),
                vcpu->msr[index].flags & RESUME_MSR_OPTIONAL ? "  optional" : "");
        index++;
    }
}

/* In groups of 16 digits, high ones first. */
static void print_wide(const struct text *text, const uint8_t *bytes, unsigned count)
{
    for (unsigned i = count; i > 0; i -= 8) {
        uint64_t part = 0;
        for (unsigned k = 8; k-- > 0;)
            part = part << 8 | bytes[i - 8 + k];
        fprintf(text->out, " %016llx", (ull)part);
    }
    fputc('\n', text->out);
}

/* What has a line or a place of its own in print_fpu. */
static bool printed_apart(const char *name)
{
    static const char *const apart[] = {"st",  "xmm", "ymm", "zmm", "fcw",  "fsw",
                                        "ftw", "fop", "fip", "fdp", "mxcsr"};
    for (size_t i = 0; i < sizeof(apart) / sizeof(apart[0]); i++) {
        if (strncmp(name, apart[i], strlen(apart[i])) == 0)
            return true;
    }
    return false;
}

static void print_x87(const struct text *text)
{
    const uint64_t fsw = field_value(find(text, "fsw"));
    fprintf(text->out, "  FCW %04llx FSW %04llx (top %u) FTW %02llx",
            (ull)field_value(find(text, "fcw")), (ull)fsw, (unsigned)(fsw >> 11 & 7),
            (ull)field_value(find(text, "ftw")));
    if (find(text, "fip")->known)
        fprintf(text->out, " FOP %04llx FIP %016llx FDP %016llx",
                (ull)field_value(find(text, "fop")), (ull)field_value(find(text, "fip")),
                (ull)field_value(find(text, "fdp")));
    fputc('\n', text->out);
    fprintf(text->out, "  MXCSR %08llx\n", (ull)field_value(find(text, "mxcsr")));
    for (unsigned i = 0; i < 8; i++) {
        char name[8];
        snprintf(name, sizeof(name), "st%u", i);
        const struct field *field = find(text, name);
        fprintf(text->out, "  ST%u %02x%02x %016llx%s", i, field->value[9], field->value[8],
                (ull)field_value(field), i % 2 == 1 ? "\n" : "   ");
    }
}

static void print_fpu(const struct text *text, const struct resume_xsave *xsave)
{
    uint8_t bytes[64];
    unsigned width;
    char names[256];
    if (xsave->length == 0) {
        heading(text, "Floating point and vectors");
        fprintf(text->out, "  %s\n", not_carried);
        return;
    }
    heading(text, "Floating point and vectors (XSAVE image of %u bytes)", xsave->length);
    fprintf(text->out, "  in use: %s\n",
            decode_bits(DECODE_XCR0, inspect_in_use(xsave), names, sizeof(names)));
    print_x87(text);
    for (unsigned i = 0; fields_vector(text->fields, i, bytes, &width); i++) {
        fprintf(text->out, "  %cMM%02u", width == 64 ? 'Z' : width == 32 ? 'Y' : 'X', i);
        print_wide(text, bytes, width);
    }
    for (uint32_t i = 0; i < text->fields->count; i++) {
        const struct field *field = &text->fields->field[i];
        char name[FIELD_NAME_MAX];
        char value[FIELD_TEXT_MAX];
        if (field->group != FIELD_FPU || printed_apart(field->name))
            continue;
        upper(field->name, name);
        fprintf(text->out, "  %s %s\n", name, field_format(field, value) + 2);
    }
}

static void print_events(const struct text *text)
{
    heading(text, "Run state and events");
    for (uint32_t i = 0; i < text->fields->count; i++) {
        const struct field *field = &text->fields->field[i];
        char name[FIELD_NAME_MAX + 1];
        char value[FIELD_TEXT_MAX];
        if (field->group != FIELD_RUN)
            continue;
        snprintf(name, sizeof(name), "%s:", field->name);
        for (char *at = name; *at != '\0'; at++)
            *at = *at == '_' ? ' ' : *at;
        fprintf(text->out, "  %-17s %s\n", name, field_format(field, value));
    }
}

static void print_verdict(const struct text *text, const struct resume_vcpu *vcpu, uint32_t index)
{
    struct resume_diag diag;
    char missing[INPUT_MISSING_MAX];
    if (input_missing(vcpu, missing) != 0) {
        fprintf(text->out, "  it lacks what a resume needs: %s\n", missing);
        return;
    }
    int ret = resume_vcpu_validate(vcpu, index, &diag);
    const char *what = "cannot be loaded into a CPU";
    if (ret == 0) {
        ret = resume_vcpu_check_scope(vcpu, index, &diag);
        what = "is not restored by this version";
    }
    if (ret == 0 && resume_vcpu_dormant(vcpu))
        fputs(
            "  the guest has not started it: it stays with the devices, and waits for the guest\n",
            text->out);
    else if (ret == 0)
        fputs("  the state is consistent, and this version can restore it\n", text->out);
    else
        fprintf(text->out, "  the state %s: %s, %s: %s (found 0x%llx, expected 0x%llx)\n", what,
                diag.where, diag.field, resume_strerror(ret), (ull)diag.found, (ull)diag.expected);
}

static void print_vcpu(struct text *text, const struct resume_vcpu *vcpu, uint32_t index)
{
    static struct fields fields;
    struct guest_mode mode;
    char cpl[8] = "CPL ?";
    fields_list(vcpu, &fields);
    fields_lack(&fields, text->format);
    text->fields = &fields;
    guest_mode_of(vcpu, &mode);
    if (mode.cpl_known)
        snprintf(cpl, sizeof(cpl), "CPL %u", mode.cpl);
    heading(text, "vCPU %u: %s%s, %s, %s, %s", index, resume_vcpu_dormant(vcpu) ? "dormant, " : "",
            mode.mode, cpl, guest_paging_name(mode.paging),
            (vcpu->run.valid & RESUME_RUN_MP_STATE) != 0 ? decode_run_state(vcpu->run.mp_state)
                                                         : "run state not carried");
    if (mode.efer_assumed)
        fputs("  EFER is not carried: long mode is told from the segments\n", text->out);
    print_verdict(text, vcpu, index);
    print_registers(text);
    print_segments(text);
    print_control(text, &mode);
    print_debug(text);
    print_msrs(text, vcpu);
    print_fpu(text, &vcpu->xsave);
    print_events(text);
}

static void print_part(const struct text *text, const struct view *view, const char *name,
                       uint64_t offset, uint64_t length, const char *what)
{
    fprintf(text->out, "  %-8s %016llx at physical %llx, %llu bytes %s\n", name,
            (ull)(view->plan.home.va + offset), (ull)(view->plan.home.pa + offset), (ull)length,
            what);
}

static void print_home(const struct text *text, const struct view *view)
{
    const struct resume_home *home = &view->plan.home;
    const struct resume_image_layout *layout = &view->layout;
    char what[64];
    heading(text, "Home and landings");
    snprintf(what, sizeof(what), "of %s (0x%02x)", inspect_home_kind(home->kind), home->fill);
    print_part(text, view, "home", 0, home->length, what);
    if (!view->have_layout)
        return;
    print_part(text, view, "  common", 0, RESUME_HOME_BLOCKS, "for all vCPUs");
    for (uint32_t i = 0; i < view->vcpu_count; i++) {
        snprintf(what, sizeof(what), "for vCPU %u%s", i,
                 resume_vcpu_dormant(&view->vcpus[i]) ? ", which is dormant" : "");
        print_part(text, view, "  block", RESUME_HOME_BLOCKS + (uint64_t)i * layout->block_length,
                   layout->block_length, what);
    }
    print_part(text, view, "  slots", layout->landings, layout->length - layout->landings,
               "for the landings");
    for (uint32_t i = 0; i < view->vcpu_count; i++) {
        const struct resume_landing *landing = &view->landings[i];
        const resume_va_t slot = view_slot_va(view, i);
        if (!resume_vcpu_dormant(&view->vcpus[i]))
            fprintf(text->out,
                    "  landing  %016llx of vCPU %u; leaves with %s at %016llx; %u bytes stay "
                    "changed\n",
                    (ull)(slot + landing->entry), i, inspect_landing_form(landing->form),
                    (ull)(slot + landing->leave), landing->differs);
    }
}

static void print_memory(const struct text *text, const struct view *view,
                         const struct memory_map *map, bool blocks)
{
    static const char *const sources[] = {"", "", ", as the input has it",
                                          ", guessed from the machine type"};
    char size[32];
    heading(text, "Memory map%s", sources[view->map_source]);
    for (uint32_t i = 0; i < view->range_count; i++) {
        const struct manifest_range *range = &view->ranges[i];
        fprintf(text->out, "  %012llx-%012llx  %-10s  %-4s  %s\n", (ull)range->base_pa,
                (ull)(range->base_pa + range->length - 1),
                progress_format_bytes(range->length, size, sizeof(size)),
                inspect_range_kind(range->kind), range->block);
    }
    if (map->have_tables) {
        fprintf(text->out, "  page tables of vCPU %u: %llu pages, mapping %s\n", map->tables_of,
                (ull)map->table_pages,
                progress_format_bytes(map->mapped_bytes, size, sizeof(size)));
        for (uint32_t i = 0; i < map->code_count; i++)
            fprintf(text->out, "  kernel code %016llx at physical %llx, %s\n", (ull)map->code[i].va,
                    (ull)map->code[i].pa,
                    progress_format_bytes(map->code[i].length, size, sizeof(size)));
        for (uint32_t i = 0; i < map->rip_count; i++)
            fprintf(text->out, "  next instruction of vCPU %u at physical %llx\n", map->rip[i].vcpu,
                    (ull)map->rip[i].pa);
    }
    if (!map->have_pages)
        return; /* nothing to see but the ranges again */
    fputc('\n', text->out);
    memory_map_print(map, text->out, text->colour, blocks);
}

void inspect_print_text(const struct view *view, uint32_t vcpu, const struct memory_map *map,
                        FILE *out, bool colour, bool blocks)
{
    struct text text = {.out = out, .colour = colour, .format = view->input.format->name};
    char size[32];
    fprintf(out, "%s: %s", view->path, view_kind_text(view));
    if (view->input.detail[0] != '\0')
        fprintf(out, " (%s)", view->input.detail);
    if (view->file_size > 0)
        fprintf(out, ", %s", progress_format_bytes(view->file_size, size, sizeof(size)));
    fputs("\n  ", out);
    if (view->machine.type[0] != '\0' || view->machine.accel != RESUME_ACCEL_UNKNOWN)
        fprintf(out, "machine %s under %s, ",
                view->machine.type[0] != '\0' ? view->machine.type : "of no known type",
                view_accel_name(view->machine.accel));
    fprintf(out, "%u vCPU%s\n", view->vcpu_count, view->vcpu_count == 1 ? "" : "s");
    if (view->machine.producer[0] != '\0')
        fprintf(out, "  written by %s\n", view->machine.producer);
    for (uint32_t i = 0; i < view->vcpu_count; i++) {
        if (vcpu == INSPECT_ALL || vcpu == i)
            print_vcpu(&text, &view->vcpus[i], i);
    }
    if (view->have_plan)
        print_home(&text, view);
    if (map != NULL && map->cell_count > 0)
        print_memory(&text, view, map, blocks);
    if (view->device_count > 0) {
        heading(&text, "Device sections");
        for (uint32_t i = 0; i < view->device_count; i++)
            fprintf(out, "  %-28s instance %-3u version %-3u %llu bytes\n", view->devices[i].name,
                    view->devices[i].instance, view->devices[i].version,
                    (ull)view->devices[i].length);
    }
}
