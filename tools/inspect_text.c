/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#include <resume/landing.h>

#include "decode.h"
#include "inspect.h"
#include "msr_name.h"

struct text {
    FILE *out;
    bool colour;
};

typedef unsigned long long ull;

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

static void upper(const char *name, char out[8])
{
    size_t i = 0;
    for (; i < 7 && name[i] != '\0'; i++)
        out[i] = (char)toupper((unsigned char)name[i]);
    out[i] = '\0';
}

/* A register with the names of its bits. */
static void flags(const struct text *text, const char *name, enum decode_register reg,
                  uint64_t value, bool known)
{
    char names[512];
    if (!known) {
        fprintf(text->out, "  %-6s unknown\n", name);
        return;
    }
    decode_bits(reg, value, names, sizeof(names));
    fprintf(text->out, "  %-6s %016llx%s%s\n", name, (ull)value, names[0] != '\0' ? "  " : "",
            names);
}

static void value(const struct text *text, const char *name, uint64_t number, bool known)
{
    if (known)
        fprintf(text->out, "  %-6s %016llx\n", name, (ull)number);
    else
        fprintf(text->out, "  %-6s unknown\n", name);
}

static void print_registers(const struct text *text, const struct resume_regs *regs)
{
    /* In the order that people know from other tools. */
    static const uint8_t order[RESUME_GPR_COUNT] = {RESUME_RAX, RESUME_RBX, RESUME_RCX, RESUME_RDX,
                                                    RESUME_RSI, RESUME_RDI, RESUME_RBP, RESUME_RSP,
                                                    RESUME_R8,  RESUME_R9,  RESUME_R10, RESUME_R11,
                                                    RESUME_R12, RESUME_R13, RESUME_R14, RESUME_R15};
    heading(text, "General registers");
    for (unsigned i = 0; i < RESUME_GPR_COUNT; i++) {
        char name[8];
        upper(decode_gpr(order[i]), name);
        if ((regs->valid >> order[i] & 1) != 0)
            fprintf(text->out, "  %-4s %016llx", name, (ull)regs->gpr[order[i]]);
        else
            fprintf(text->out, "  %-4s %-16s", name, "unknown");
        if (i % 4 == 3)
            fputc('\n', text->out);
    }
    value(text, "RIP", regs->rip, (regs->valid & RESUME_REGS_RIP) != 0);
    flags(text, "RFLAGS", DECODE_RFLAGS, regs->rflags, (regs->valid & RESUME_REGS_RFLAGS) != 0);
    if ((regs->valid & RESUME_REGS_RFLAGS) != 0 && (regs->rflags >> 12 & 3) != 0)
        fprintf(text->out, "         IOPL %u\n", (unsigned)(regs->rflags >> 12 & 3));
}

static void print_segments(const struct text *text, const struct resume_segs *segs)
{
    heading(text, "Segments and descriptor tables");
    for (unsigned i = 0; i < RESUME_SEG_COUNT; i++) {
        const struct resume_segment *segment = &segs->seg[i];
        char name[8];
        char names[64];
        upper(decode_segment(i), name);
        if ((segs->valid >> i & 1) == 0) {
            fprintf(text->out, "  %-4s unknown\n", name);
        } else if (i >= RESUME_GDTR) {
            fprintf(text->out, "  %-4s      base %016llx limit %08x\n", name, (ull)segment->base,
                    segment->limit);
        } else {
            decode_bits(DECODE_SEGMENT, segment->access & ~RESUME_SEG_UNUSABLE, names,
                        sizeof(names));
            fprintf(text->out, "  %-4s %04x base %016llx limit %08x access %05x  %s, DPL %u%s%s\n",
                    name, segment->selector, (ull)segment->base, segment->limit, segment->access,
                    decode_segment_type(segment->access),
                    (segment->access & RESUME_SEG_DPL) >> RESUME_SEG_DPL_SHIFT,
                    names[0] != '\0' ? ", " : "", names);
        }
    }
}

static void print_control(const struct text *text, const struct resume_vcpu *vcpu)
{
    const struct resume_ctrl *ctrl = &vcpu->ctrl;
    heading(text, "Control registers (%s)", decode_paging(vcpu));
    flags(text, "CR0", DECODE_CR0, ctrl->cr0, (ctrl->valid & RESUME_CTRL_CR0) != 0);
    value(text, "CR2", ctrl->cr2, (ctrl->valid & RESUME_CTRL_CR2) != 0);
    fprintf(text->out, "  CR3    %016llx  root %llx, %s %llx\n", (ull)ctrl->cr3,
            (ull)(ctrl->cr3 & UINT64_C(0x000ffffffffff000)),
            (ctrl->cr4 >> 17 & 1) != 0 ? "PCID" : "flags", (ull)(ctrl->cr3 & 0xfff));
    flags(text, "CR4", DECODE_CR4, ctrl->cr4, (ctrl->valid & RESUME_CTRL_CR4) != 0);
    value(text, "CR8", ctrl->cr8, (ctrl->valid & RESUME_CTRL_CR8) != 0);
    flags(text, "EFER", DECODE_EFER, ctrl->efer, (ctrl->valid & RESUME_CTRL_EFER) != 0);
    flags(text, "XCR0", DECODE_XCR0, ctrl->xcr0, (ctrl->valid & RESUME_CTRL_XCR0) != 0);
    flags(text, "XSS", DECODE_XCR0, ctrl->xss, (ctrl->valid & RESUME_CTRL_XSS) != 0);
    flags(text, "APIC", DECODE_APIC_BASE, ctrl->apic_base,
          (ctrl->valid & RESUME_CTRL_APIC_BASE) != 0);
}

static void print_debug(const struct text *text, const struct resume_debug *debug)
{
    static const char *const kinds[4] = {"on execution", "on write", "on I/O", "on access"};
    static const unsigned lengths[4] = {1, 2, 8, 4};
    heading(text, "Debug registers");
    for (unsigned i = 0; i < 4; i++) {
        char name[8];
        snprintf(name, sizeof(name), "DR%u", i);
        value(text, name, debug->dr[i], (debug->valid >> i & 1) != 0);
    }
    flags(text, "DR6", DECODE_DR6, debug->dr6, (debug->valid & RESUME_DEBUG_DR6) != 0);
    flags(text, "DR7", DECODE_DR7, debug->dr7, (debug->valid & RESUME_DEBUG_DR7) != 0);
    for (unsigned i = 0; i < 4; i++) {
        if ((debug->dr7 >> (2 * i) & 3) != 0)
            fprintf(text->out, "         breakpoint %u: %u byte(s) %s\n", i,
                    lengths[debug->dr7 >> (18 + 4 * i) & 3], kinds[debug->dr7 >> (16 + 4 * i) & 3]);
    }
}

static void print_msrs(const struct text *text, const struct resume_vcpu *vcpu)
{
    heading(text, "MSRs");
    for (uint32_t i = 0; i < vcpu->msr_count; i++) {
        const struct resume_msr *msr = &vcpu->msr[i];
        char buffer[MSR_NAME_MAX];
        fprintf(text->out, "  %08x %-14s %016llx%s\n", msr->index, msr_name(msr->index, buffer),
                (ull)msr->value, msr->flags & RESUME_MSR_OPTIONAL ? "  optional" : "");
    }
}

static void print_vector(const struct text *text, const uint8_t *bytes, unsigned count)
{
    for (unsigned i = count; i > 0; i -= 8)
        fprintf(text->out, " %016llx", (ull)inspect_le(bytes + i - 8, 8));
    fputc('\n', text->out);
}

static void print_fpu(const struct text *text, const struct resume_xsave *xsave)
{
    const uint8_t *area = xsave->area;
    unsigned width = inspect_vector_width(xsave);
    char names[256];
    heading(text, "Floating point and vectors (XSAVE image of %u bytes)", xsave->length);
    fprintf(text->out, "  in use: %s\n",
            decode_bits(DECODE_XCR0, inspect_le(area + 512, 8), names, sizeof(names)));
    fprintf(text->out, "  FCW %04x FSW %04x (top %u) FTW %02x FOP %04x FIP %016llx FDP %016llx\n",
            (unsigned)inspect_le(area, 2), (unsigned)inspect_le(area + 2, 2),
            (unsigned)(area[3] >> 3 & 7), area[4], (unsigned)inspect_le(area + 6, 2),
            (ull)inspect_le(area + 8, 8), (ull)inspect_le(area + 16, 8));
    fprintf(text->out, "  MXCSR %08x\n", (unsigned)inspect_le(area + 24, 4));
    for (unsigned i = 0; i < 8; i++)
        fprintf(text->out, "  ST%u %04x %016llx%s", i,
                (unsigned)inspect_le(area + 32 + i * 16 + 8, 2),
                (ull)inspect_le(area + 32 + i * 16, 8), i % 2 == 1 ? "\n" : "   ");
    for (unsigned i = 0; i < inspect_vector_count(xsave); i++) {
        uint8_t bytes[64];
        inspect_vector(xsave, i, width, bytes);
        fprintf(text->out, "  %cMM%02u", width == 64 ? 'Z' : width == 32 ? 'Y' : 'X', i);
        print_vector(text, bytes, width);
    }
    const uint8_t *opmask = inspect_component(xsave, 5, 64);
    for (unsigned i = 0; opmask != NULL && i < 8; i++)
        fprintf(text->out, "  K%u %016llx%s", i, (ull)inspect_le(opmask + i * 8, 8),
                i % 4 == 3 ? "\n" : "");
    const uint8_t *bounds = inspect_component(xsave, 3, 64);
    for (unsigned i = 0; bounds != NULL && i < 4; i++)
        fprintf(text->out, "  BND%u %016llx %016llx\n", i, (ull)inspect_le(bounds + i * 16, 8),
                (ull)inspect_le(bounds + i * 16 + 8, 8));
    const uint8_t *pkru = inspect_component(xsave, 9, 8);
    if (pkru != NULL)
        fprintf(text->out, "  PKRU %08x\n", (unsigned)inspect_le(pkru, 4));
}

static void print_events(const struct text *text, const struct resume_run *run)
{
    heading(text, "Run state and events");
    if ((run->valid & RESUME_RUN_MP_STATE) != 0)
        fprintf(text->out, "  %s%s\n", decode_run_state(run->mp_state),
                run->smm != 0 ? ", in system management mode" : "");
    if ((run->valid & RESUME_RUN_APIC_ID) != 0)
        fprintf(text->out, "  APIC ID %u\n", run->apic_id);
    fprintf(text->out, "  interrupt shadow: %s, NMIs: %s%s\n",
            inspect_shadow(run->interrupt_shadow), run->nmi_masked != 0 ? "blocked" : "not blocked",
            run->nmi_pending != 0 ? ", one pending" : "");
    if (run->exception_vector != RESUME_NO_EVENT)
        fprintf(text->out, "  exception %u pending\n", run->exception_vector);
    if (run->interrupt_vector != RESUME_NO_EVENT)
        fprintf(text->out, "  interrupt %u being injected\n", run->interrupt_vector);
}

static void print_verdict(const struct text *text, const struct resume_vcpu *vcpu, uint32_t index)
{
    struct resume_diag diag;
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

static void print_vcpu(const struct text *text, const struct resume_vcpu *vcpu, uint32_t index)
{
    heading(text, "vCPU %u: %s%s, CPL %u, %s, %s", index,
            resume_vcpu_dormant(vcpu) ? "dormant, " : "", decode_mode(vcpu), decode_cpl(vcpu),
            decode_paging(vcpu), decode_run_state(vcpu->run.mp_state));
    print_verdict(text, vcpu, index);
    print_registers(text, &vcpu->regs);
    print_segments(text, &vcpu->segs);
    print_control(text, vcpu);
    print_debug(text, &vcpu->debug);
    print_msrs(text, vcpu);
    if (vcpu->xsave.length != 0)
        print_fpu(text, &vcpu->xsave);
    print_events(text, &vcpu->run);
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
    static const char *const sources[] = {"", "", ", as the state blob has it",
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
    const struct text text = {.out = out, .colour = colour};
    char size[32];
    fprintf(out, "%s: %s", view->path, view_kind_text(view->kind));
    if (view->file_size > 0)
        fprintf(out, ", %s", progress_format_bytes(view->file_size, size, sizeof(size)));
    fprintf(out, "\n  machine %s under %s, %u vCPU%s\n",
            view->machine.type[0] != '\0' ? view->machine.type : "unknown",
            view_accel_name(view->machine.accel), view->vcpu_count,
            view->vcpu_count == 1 ? "" : "s");
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
