/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* resumectl maps: what the guest's page tables map. */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "guest_mode.h"
#include "input.h"
#include "json_build.h"
#include "maps.h"
#include "progress.h"
#include "subcommands.h"
#include "walk.h"

#define WHAT "maps"

/* Guests of some hundred GiB, mapped in small pages, have as many. */
#define TABLES_DEFAULT (UINT32_C(1) << 17)

enum { OPTION_TABLES = 't' };

struct arguments {
    struct input_arguments input;
    uint32_t tables;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->input;
        return 0;
    case OPTION_TABLES: {
        char *end;
        errno = 0;
        unsigned long number = strtoul(arg, &end, 10);
        if (arg[0] < '0' || arg[0] > '9' || *end != '\0' || errno != 0 || number == 0 ||
            number > UINT32_MAX)
            argp_error(state, "--tables takes a number, 1 or more");
        arguments->tables = (uint32_t)number;
        return 0;
    }
    case ARGP_KEY_ARG:
        if (arguments->input.path != NULL)
            argp_error(state, "one INPUT at a time");
        arguments->input.path = arg;
        return 0;
    case ARGP_KEY_END:
        if (arguments->input.path == NULL)
            argp_error(state, "no INPUT given");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char *const page_names[3] = {"4K", "2M", "1G"};

/* What printing one mapping after the other needs. */
struct printer {
    bool colour;
    bool any;
    struct report_failure *failure;
};

static int print_mapping(void *ctx, const struct maps_mapping *mapping)
{
    const struct printer *printer = ctx;
    const char *colour = "";
    const uint32_t dangerous = RESUME_MAP_WRITE | RESUME_MAP_EXEC;
    char rights[6];
    if (printer->colour && (mapping->rights & dangerous) == dangerous)
        colour = "\033[31m";
    else if (printer->colour && (mapping->rights & RESUME_MAP_EXEC) != 0)
        colour = "\033[32m";
    printf("%016" PRIx64 "-%016" PRIx64 " %s%s%s ", mapping->first_va,
           mapping->first_va + mapping->length, colour, walk_rights(mapping->rights, rights),
           colour[0] != '\0' ? "\033[0m" : "");
    if (mapping->contiguous)
        printf("%012" PRIx64, mapping->pa);
    else
        printf("%-12s", "scattered");
    for (unsigned i = 0; i < 3; i++) {
        if (mapping->pages[i] != 0)
            printf(" %" PRIu64 "x%s", mapping->pages[i], page_names[i]);
    }
    putchar('\n');
    return 0;
}

static int print_entry(void *ctx, const struct maps_mapping *mapping)
{
    struct printer *printer = ctx;
    json_t *json = json_build_object();
    json_t *pages = json_build_object();
    json_build_set(json, "start", json_build_hex(mapping->first_va));
    /* The last byte: the end of the last mapping would be 2^64. */
    json_build_set(json, "last", json_build_hex(mapping->first_va + (mapping->length - 1)));
    json_build_set(json, "length", json_build_number(mapping->length));
    json_build_set(json, "write", json_build_bool((mapping->rights & RESUME_MAP_WRITE) != 0));
    json_build_set(json, "execute", json_build_bool((mapping->rights & RESUME_MAP_EXEC) != 0));
    json_build_set(json, "user", json_build_bool((mapping->rights & RESUME_MAP_USER) != 0));
    json_build_set(json, "global", json_build_bool((mapping->rights & RESUME_MAP_GLOBAL) != 0));
    json_build_set(json, "pa", json_build_maybe_hex(mapping->pa, mapping->contiguous));
    for (unsigned i = 0; i < 3; i++)
        json_build_set(pages, page_names[i], json_build_number(mapping->pages[i]));
    json_build_set(json, "pages", pages);
    int ret = json_build_entry(json, !printer->any, stdout, WHAT, printer->failure);
    printer->any = true;
    return ret;
}

static const char *why_cut(enum maps_cut cut)
{
    return cut == MAPS_CUT_TABLES ? "more page tables than --tables allows"
                                  : "more mappings than are shown";
}

static void print_end(const struct maps_end *end)
{
    char size[32];
    printf("%" PRIu64 " mappings, %" PRIu64 " pages, %s\n", end->mappings, end->pages,
           progress_format_bytes(end->bytes, size, sizeof(size)));
}

static void print_end_json(const struct maps_end *end)
{
    printf("%s],\n  \"pages\": %" PRIu64 ",\n  \"bytes\": %" PRIu64
           ",\n  \"missing_tables\": %" PRIu64 ",\n  \"complete\": %s",
           end->mappings != 0 ? "\n  " : "", end->pages, end->bytes, end->missing_tables,
           end->cut == MAPS_COMPLETE ? "true" : "false");
    if (end->cut != MAPS_COMPLETE)
        printf(",\n  \"why\": \"%s\",\n  \"reached\": \"0x%" PRIx64 "\"", why_cut(end->cut),
               end->reached_va);
    fputs("\n}\n", stdout);
}

static int show(const struct arguments *arguments, const struct resume_paging *paging,
                const struct guest_mode *mode, uint32_t index, struct report_failure *failure)
{
    const bool json = arguments->input.json;
    struct printer printer = {.colour = report_colour(stdout), .failure = failure};
    struct maps_end end;
    if (json)
        printf("{\n  \"format\": 1,\n  \"vcpu\": %" PRIu32 ",\n  \"levels\": %" PRIu32
               ",\n  \"root\": \"0x%" PRIx64 "\",\n  \"efer_assumed\": %s,\n  \"mappings\": [",
               index, paging->levels, paging->root_pa, mode->efer_assumed ? "true" : "false");
    int ret =
        maps_run(paging, arguments->tables, json ? print_entry : print_mapping, &printer, &end);
    if (ret != 0)
        return failure->exit_code != 0
                   ? ret
                   : report_fail(failure, EXIT_CODE_REFUSED, WHAT, arguments->input.path, NULL,
                                 "the page tables cannot be read");
    if (json)
        print_end_json(&end);
    else
        print_end(&end);
    ret = input_finish_stdout(failure);
    if (ret == 0 && end.missing_tables != 0)
        report_warning(WHAT,
                       "%" PRIu64 " page tables are not in the input: what they map is left out",
                       end.missing_tables);
    if (ret == 0 && end.cut != MAPS_COMPLETE)
        report_warning(WHAT, "%s: the list ends before 0x%" PRIx64, why_cut(end.cut),
                       end.reached_va);
    return ret;
}

static int run(const struct arguments *arguments, struct input *input,
               struct report_failure *failure)
{
    uint32_t index;
    struct resume_paging paging;
    struct guest_mode mode;
    int ret = guest_mode_choose(&arguments->input, input, &index, &mode, &paging, failure);
    if (ret != 0)
        return ret;
    return show(arguments, &paging, &mode, index, failure);
}

int maps_main(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"tables", OPTION_TABLES, "N", 0, "Enter at most N page tables (default: 131072)", 0},
        {0},
    };
    static const struct argp_child children[] = {{&input_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        options,
        parse,
        "INPUT",
        "List what the guest's page tables map: addresses, rights (write, execute, user, global), "
        "where it begins in physical memory, how many pages of which size. Neighbours with the "
        "same "
        "rights are put together. INPUT is in any format that holds the guest's memory. Without "
        "--vcpu the tables are those of the first vCPU that the guest has "
        "started. " TOOL_HELP_SNAPSHOT "\v"
        "Exit codes:\n"
        "  0  done, or cut with a warning\n"
        "  1  the input was refused\n"
        "  2  the command line is wrong\n"
        "  3  the environment failed: I/O, memory\n",
        children,
        NULL,
        NULL};
    struct arguments arguments = {.tables = TABLES_DEFAULT};
    struct report_failure failure = {0};
    struct input input = {0};
    error_t error = argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    if (error != 0) {
        report_error(EXIT_CODE_ENVIRONMENT, WHAT, "arguments", "see resumectl maps --help", "%s",
                     strerror(error));
        return EXIT_CODE_ENVIRONMENT;
    }
    int ret = input_open(&input, WHAT, arguments.input.path, arguments.input.format, &failure);
    if (ret == 0) {
        ret = run(&arguments, &input, &failure);
        input_close(&input);
    }
    return ret == 0 ? EXIT_CODE_OK : report_print(&failure);
}
