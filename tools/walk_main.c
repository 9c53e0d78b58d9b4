/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* resumectl walk: translates an address, showing every level. */
#define _GNU_SOURCE
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "guest_mode.h"
#include "input.h"
#include "json_build.h"
#include "subcommands.h"
#include "walk.h"

#define WHAT "walk"
#define ADDRESS_MASK UINT64_C(0x000ffffffffff000)

struct arguments {
    struct input_arguments input;
    bool has_va;
    resume_va_t va;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->input;
        return 0;
    case ARGP_KEY_ARG: {
        char *end;
        if (arguments->input.path == NULL) {
            arguments->input.path = arg;
            return 0;
        }
        if (arguments->has_va)
            argp_error(state, "one ADDRESS at a time");
        errno = 0;
        arguments->va = strtoull(arg, &end, 16);
        if (arg[0] == '-' || arg[0] == '+' || end == arg || *end != '\0' || errno != 0)
            argp_error(state, "ADDRESS is a hexadecimal number of up to 64 bits");
        arguments->has_va = true;
        return 0;
    }
    case ARGP_KEY_END:
        if (!arguments->has_va)
            argp_error(state, "give an INPUT and an ADDRESS");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static bool maps_page(const struct walk *walk, const struct walk_step *step)
{
    return walk->err == 0 ? step->level == walk->leaf.leaf_level
                          : step->level == 1 || (step->entry & RESUME_PTE_PS) != 0;
}

/* Why the walk ended, for people. */
static void format_end(const struct walk *walk, const struct resume_paging *paging, char *out,
                       size_t capacity)
{
    const struct walk_step *last = walk->step_count > 0 ? &walk->step[walk->step_count - 1] : NULL;
    const char *name = last != NULL ? walk_level_name(last->level) : "";
    switch (walk->err) {
    case RESUME_ECANON:
        snprintf(out, capacity, "the address is not canonical: bits 63 to %u must all be equal",
                 paging->levels == 5 ? 56u : 47u);
        break;
    case RESUME_EUNMAPPED:
        snprintf(out, capacity, "the %s is not present", name);
        break;
    case RESUME_EREGISTER:
        snprintf(out, capacity, "the %s has reserved bits set, 0x%" PRIx64 ": a CPU faults", name,
                 walk->reserved);
        break;
    default:
        snprintf(out, capacity, "the table of the %s is not in the input", name);
        break;
    }
}

static void print_step(const struct walk *walk, const struct walk_step *step, bool colour)
{
    const bool page = maps_page(walk, step);
    char bits[WALK_BITS_MAX];
    printf("  %-5s %3" PRIu32 " at %012" PRIx64 "  ", walk_level_name(step->level), step->index,
           step->entry_pa);
    if (!step->read) {
        printf("(not in the input)\n");
        return;
    }
    printf("%s%016" PRIx64 "%s", colour ? "\033[1m" : "", step->entry, colour ? "\033[0m" : "");
    if ((step->entry & RESUME_PTE_P) == 0)
        printf("  not present\n");
    else
        printf("  %s %012" PRIx64 "  %s\n", page ? "page " : "table",
               page && walk->err == 0 ? walk->leaf.pa : step->entry & ADDRESS_MASK,
               walk_entry_bits(step->entry, step->level, page, bits));
}

static void print_text(const struct walk *walk, const struct resume_paging *paging,
                       const struct guest_mode *mode, uint32_t index, bool colour)
{
    char text[160];
    char rights[6];
    printf("vCPU %" PRIu32 ": %s, root %012" PRIx64 "%s\n", index, guest_paging_name(mode->paging),
           paging->root_pa,
           mode->efer_assumed ? " (EFER is not carried: long mode with NX is assumed)" : "");
    printf("address %016" PRIx64 "\n", walk->va);
    for (uint32_t i = 0; i < walk->step_count; i++)
        print_step(walk, &walk->step[i], colour);
    if (walk->err != 0) {
        format_end(walk, paging, text, sizeof(text));
        printf("%snot mapped: %s%s\n", colour ? "\033[31m" : "", text, colour ? "\033[0m" : "");
        return;
    }
    printf("%sphysical %012" PRIx64 "%s, in a page of %s, %s: %s%s%s%s%s\n",
           colour ? "\033[32m" : "", walk->leaf.pa + (walk->va - walk->leaf.va),
           colour ? "\033[0m" : "", walk_page_size(walk->leaf.size),
           walk_rights(walk->leaf.rights, rights),
           (walk->leaf.rights & RESUME_MAP_USER) != 0 ? "user" : "supervisor",
           (walk->leaf.rights & RESUME_MAP_WRITE) != 0 ? ", writable" : ", read-only",
           (walk->leaf.rights & RESUME_MAP_EXEC) != 0 ? ", executable" : ", no execute",
           (walk->leaf.rights & RESUME_MAP_GLOBAL) != 0 ? ", global" : "", "");
}

static json_t *step_json(const struct walk *walk, const struct walk_step *step)
{
    const bool page = maps_page(walk, step);
    char bits[WALK_BITS_MAX];
    json_t *json = json_build_object();
    json_build_set(json, "level", json_build_number(step->level));
    json_build_set(json, "name", json_build_text(walk_level_name(step->level)));
    json_build_set(json, "index", json_build_number(step->index));
    json_build_set(json, "entry_pa", json_build_hex(step->entry_pa));
    json_build_set(json, "entry", json_build_maybe_hex(step->entry, step->read));
    json_t *list = json_build_array();
    char *next = walk_entry_bits(step->entry, step->level, page, bits);
    for (char *bit; (bit = strsep(&next, " ")) != NULL;) {
        if (*bit != '\0')
            json_build_append(list, json_build_text(bit));
    }
    json_build_set(json, "bits", list);
    return json;
}

static int print_json(const struct walk *walk, const struct resume_paging *paging,
                      const struct guest_mode *mode, uint32_t index, struct report_failure *failure)
{
    char text[160];
    json_t *json = json_build_object();
    json_t *steps = json_build_array();
    json_build_set(json, "format", json_build_number(1));
    json_build_set(json, "vcpu", json_build_number(index));
    json_build_set(json, "levels", json_build_number(paging->levels));
    json_build_set(json, "root", json_build_hex(paging->root_pa));
    json_build_set(json, "efer_assumed", json_build_bool(mode->efer_assumed));
    json_build_set(json, "va", json_build_hex(walk->va));
    for (uint32_t i = 0; i < walk->step_count; i++)
        json_build_append(steps, step_json(walk, &walk->step[i]));
    json_build_set(json, "steps", steps);
    json_build_set(json, "mapped", json_build_bool(walk->err == 0));
    if (walk->err != 0) {
        static const struct {
            int err;
            const char *name;
        } ends[] = {{RESUME_ECANON, "not canonical"},
                    {RESUME_EUNMAPPED, "not present"},
                    {RESUME_EREGISTER, "reserved bits"},
                    {RESUME_EUNREACHABLE, "not in the input"}};
        for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
            if (ends[i].err == walk->err)
                json_build_set(json, "end", json_build_text(ends[i].name));
        }
        format_end(walk, paging, text, sizeof(text));
        json_build_set(json, "why", json_build_text(text));
    } else {
        const uint32_t rights = walk->leaf.rights;
        json_build_set(json, "pa", json_build_hex(walk->leaf.pa + (walk->va - walk->leaf.va)));
        json_build_set(json, "page_va", json_build_hex(walk->leaf.va));
        json_build_set(json, "page_pa", json_build_hex(walk->leaf.pa));
        json_build_set(json, "page_size", json_build_number(walk->leaf.size));
        json_build_set(json, "write", json_build_bool((rights & RESUME_MAP_WRITE) != 0));
        json_build_set(json, "execute", json_build_bool((rights & RESUME_MAP_EXEC) != 0));
        json_build_set(json, "user", json_build_bool((rights & RESUME_MAP_USER) != 0));
        json_build_set(json, "global", json_build_bool((rights & RESUME_MAP_GLOBAL) != 0));
    }
    return json_build_print(json, stdout, WHAT, failure);
}

static int run(const struct arguments *arguments, struct input *input, bool *ret_mapped,
               struct report_failure *failure)
{
    uint32_t index;
    struct resume_paging paging;
    struct guest_mode mode;
    struct walk walk;
    int ret = guest_mode_choose(&arguments->input, input, &index, &mode, &paging, failure);
    if (ret != 0)
        return ret;
    if (walk_run(&paging, arguments->va, &walk) != 0)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, input->path, NULL,
                           "the page tables cannot be read");
    *ret_mapped = walk.err == 0;
    if (arguments->input.json)
        ret = print_json(&walk, &paging, &mode, index, failure);
    else
        print_text(&walk, &paging, &mode, index, report_colour(stdout));
    return ret == 0 ? input_finish_stdout(failure) : ret;
}

int walk_main(int argc, char **argv)
{
    static const struct argp_child children[] = {{&input_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        NULL,
        parse,
        "INPUT ADDRESS",
        "Translate a virtual address through the guest's page tables, showing the entry of every "
        "level, and why the walk ends where it does. INPUT is in any format that holds the guest's "
        "memory; ADDRESS is hexadecimal. Without --vcpu the tables are those of the first vCPU "
        "that "
        "the guest has started. " TOOL_HELP_SNAPSHOT "\v"
        "Exit codes:\n"
        "  0  the address is mapped\n"
        "  1  it is not mapped, or the input was refused\n"
        "  2  the command line is wrong\n"
        "  3  the environment failed: I/O, memory\n",
        children,
        NULL,
        NULL};
    struct arguments arguments = {0};
    struct report_failure failure = {0};
    struct input input = {0};
    bool mapped = false;
    error_t error = argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    if (error != 0) {
        report_error(EXIT_CODE_ENVIRONMENT, WHAT, "arguments", "see resumectl walk --help", "%s",
                     strerror(error));
        return EXIT_CODE_ENVIRONMENT;
    }
    int ret = input_open(&input, WHAT, arguments.input.path, arguments.input.format, &failure);
    if (ret == 0) {
        ret = run(&arguments, &input, &mapped, &failure);
        input_close(&input);
    }
    if (ret != 0)
        return report_print(&failure);
    return mapped ? EXIT_CODE_OK : EXIT_CODE_REFUSED;
}
