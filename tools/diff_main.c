/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* resumectl diff: compares the CPU state of two inputs. Its exit codes are those of diff(1). */
#include <argp.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "diff.h"
#include "input.h"
#include "json_build.h"
#include "msr_name.h"
#include "subcommands.h"

#define WHAT "diff"

enum { DIFF_EXIT_SAME = 0, DIFF_EXIT_DIFFERENT = 1, DIFF_EXIT_TROUBLE = 2 };
enum {
    OPTION_FORMAT_A = 'a',
    OPTION_FORMAT_B = 'b',
    OPTION_JSON = 'j',
    OPTION_QUIET = 'q',
    OPTION_VCPU = 'c'
};

struct arguments {
    const char *path[2];
    const char *format[2];
    bool json;
    bool quiet;
    bool has_vcpu;
    uint32_t vcpu;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case OPTION_FORMAT_A:
    case OPTION_FORMAT_B:
        arguments->format[key == OPTION_FORMAT_B] = input_format_argument(arg, state);
        return 0;
    case OPTION_JSON:
        arguments->json = true;
        return 0;
    case OPTION_QUIET:
        arguments->quiet = true;
        return 0;
    case OPTION_VCPU:
        arguments->vcpu = input_vcpu_argument(arg, state);
        arguments->has_vcpu = true;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->path[1] != NULL)
            argp_error(state, "two inputs at a time");
        arguments->path[arguments->path[0] != NULL] = arg;
        return 0;
    case ARGP_KEY_END:
        if (arguments->path[1] == NULL)
            argp_error(state, "give two inputs");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Two inputs, and what is compared of them at the moment. */
struct sides {
    struct input input[2];
    struct fields *fields[2]; /* owned */
    struct diff *diff;        /* owned */
    bool colour;
    uint64_t totals[DIFF_NEITHER + 1];
    json_t *list; /* with --json */
};

static const char *title_of(const struct field *field, char buffer[FIELD_NAME_MAX + MSR_NAME_MAX])
{
    char number[MSR_NAME_MAX];
    const char *name = field->group == FIELD_MSRS ? msr_name(field->number, number) : "";
    snprintf(buffer, FIELD_NAME_MAX + MSR_NAME_MAX, name[0] != '\0' ? "%s %s" : "%s%s", field->name,
             name);
    return buffer;
}

static void print_names(const struct diff *diff, enum diff_verdict verdict, const char *what)
{
    unsigned column = 0;
    if (diff->totals[verdict] == 0)
        return;
    printf("  %s (%" PRIu32 "):", what, diff->totals[verdict]);
    column = 80;
    for (uint32_t i = 0; i < diff->count; i++) {
        if (diff->entry[i].verdict != verdict)
            continue;
        const char *name = diff_field(&diff->entry[i])->name;
        const unsigned length = (unsigned)strlen(name) + 1;
        if (column + length > 78) {
            printf("\n   ");
            column = 3;
        }
        printf(" %s", name);
        column += length;
    }
    putchar('\n');
}

static void print_vcpu(const struct sides *sides, uint32_t index)
{
    const struct diff *diff = sides->diff;
    char title[FIELD_NAME_MAX + MSR_NAME_MAX];
    char text[FIELD_TEXT_MAX];
    printf("%svCPU %" PRIu32 "%s: %" PRIu32 " fields the same, %" PRIu32 " different\n",
           sides->colour ? "\033[1m" : "", index, sides->colour ? "\033[0m" : "",
           diff->totals[DIFF_SAME], diff->totals[DIFF_DIFFERENT]);
    for (uint32_t i = 0; i < diff->count; i++) {
        const struct diff_entry *entry = &diff->entry[i];
        if (entry->verdict != DIFF_DIFFERENT)
            continue;
        printf("  %s\n", title_of(entry->a, title));
        printf("%s    A %s%s\n", sides->colour ? "\033[31m" : "", field_format(entry->a, text),
               sides->colour ? "\033[0m" : "");
        printf("%s    B %s%s\n", sides->colour ? "\033[32m" : "", field_format(entry->b, text),
               sides->colour ? "\033[0m" : "");
    }
    print_names(diff, DIFF_ONLY_A, "not carried by B");
    print_names(diff, DIFF_ONLY_B, "not carried by A");
    print_names(diff, DIFF_NEITHER, "not carried by either");
}

static json_t *names_json(const struct diff *diff, enum diff_verdict verdict)
{
    json_t *names = json_build_array();
    for (uint32_t i = 0; i < diff->count; i++) {
        if (diff->entry[i].verdict == verdict)
            json_build_append(names, json_build_text(diff_field(&diff->entry[i])->name));
    }
    return names;
}

static json_t *value_json(const struct field *field)
{
    return field->size > 8 ? json_build_wide(field->value, field->size)
                           : json_build_hex(field_value(field));
}

static json_t *vcpu_json(const struct diff *diff, uint32_t index)
{
    char text[FIELD_TEXT_MAX];
    char name[MSR_NAME_MAX];
    json_t *json = json_build_object();
    json_t *list = json_build_array();
    json_build_set(json, "index", json_build_number(index));
    json_build_set(json, "same", json_build_number(diff->totals[DIFF_SAME]));
    for (uint32_t i = 0; i < diff->count; i++) {
        const struct diff_entry *entry = &diff->entry[i];
        if (entry->verdict != DIFF_DIFFERENT)
            continue;
        json_t *json_entry = json_build_object();
        json_build_set(json_entry, "group", json_build_text(field_group_name(entry->a->group)));
        json_build_set(json_entry, "name", json_build_text(entry->a->name));
        if (entry->a->group == FIELD_MSRS)
            json_build_set(json_entry, "msr", json_build_text(msr_name(entry->a->number, name)));
        json_build_set(json_entry, "a", value_json(entry->a));
        json_build_set(json_entry, "b", value_json(entry->b));
        json_build_set(json_entry, "a_text", json_build_text(field_format(entry->a, text)));
        json_build_set(json_entry, "b_text", json_build_text(field_format(entry->b, text)));
        json_build_append(list, json_entry);
    }
    json_build_set(json, "different", list);
    json_build_set(json, "only_a", names_json(diff, DIFF_ONLY_A));
    json_build_set(json, "only_b", names_json(diff, DIFF_ONLY_B));
    json_build_set(json, "neither", names_json(diff, DIFF_NEITHER));
    return json;
}

static int compare_vcpu(struct sides *sides, const struct arguments *arguments, uint32_t index,
                        struct report_failure *failure)
{
    struct resume_vcpu vcpu;
    for (unsigned i = 0; i < 2; i++) {
        int ret = input_vcpu(&sides->input[i], index, &vcpu, failure);
        if (ret != 0)
            return ret;
        fields_list(&vcpu, sides->fields[i]);
        fields_lack(sides->fields[i], sides->input[i].format->name);
    }
    diff_fields(sides->fields[0], sides->fields[1], sides->diff);
    for (unsigned i = 0; i <= DIFF_NEITHER; i++)
        sides->totals[i] += sides->diff->totals[i];
    if (arguments->json)
        json_build_append(sides->list, vcpu_json(sides->diff, index));
    else if (!arguments->quiet)
        print_vcpu(sides, index);
    return 0;
}

static json_t *input_json(const struct input *input)
{
    json_t *json = json_build_object();
    json_build_set(json, "path", json_build_text(input->path));
    json_build_set(json, "format", json_build_text(input->format->name));
    json_build_set(json, "detail", json_build_text(input->detail));
    json_build_set(json, "vcpus", json_build_number(input->vcpu_count));
    return json;
}

static int finish_json(struct sides *sides, bool is_same, struct report_failure *failure)
{
    json_t *root = json_build_object();
    json_build_set(root, "format", json_build_number(1));
    json_build_set(root, "a", input_json(&sides->input[0]));
    json_build_set(root, "b", input_json(&sides->input[1]));
    json_build_set(root, "same", json_build_bool(is_same));
    json_build_set(root, "vcpus", sides->list);
    sides->list = NULL;
    return json_build_print(root, stdout, WHAT, failure);
}

static int compare(struct sides *sides, const struct arguments *arguments, bool *ret_same,
                   struct report_failure *failure)
{
    const uint32_t count_a = sides->input[0].vcpu_count;
    const uint32_t count_b = sides->input[1].vcpu_count;
    const uint32_t shared = count_a < count_b ? count_a : count_b;
    const bool text = !arguments->json && !arguments->quiet;
    char title[INPUT_TITLE_MAX];
    int ret = 0;
    for (unsigned i = 0; text && i < 2; i++)
        printf("%c %s: %s\n", "AB"[i], arguments -> path[i], input_title(&sides->input[i], title));
    if (arguments->json)
        sides->list = json_build_array();
    if (arguments->has_vcpu)
        ret = compare_vcpu(sides, arguments, arguments->vcpu, failure);
    for (uint32_t i = 0; ret == 0 && !arguments->has_vcpu && i < shared; i++)
        ret = compare_vcpu(sides, arguments, i, failure);
    if (ret != 0)
        return ret;
    const bool counts_differ = !arguments->has_vcpu && count_a != count_b;
    *ret_same = sides->totals[DIFF_DIFFERENT] == 0 && !counts_differ;
    if (text && counts_differ)
        printf("A has %" PRIu32 " vCPUs, B has %" PRIu32 "\n", count_a, count_b);
    if (arguments->json)
        ret = finish_json(sides, *ret_same, failure);
    return ret == 0 ? input_finish_stdout(failure) : ret;
}

static int run(const struct arguments *arguments, bool *ret_same, struct report_failure *failure)
{
    struct sides sides = {.colour = report_colour(stdout)};
    int ret = 0;
    for (unsigned i = 0; ret == 0 && i < 2; i++)
        ret = input_open(&sides.input[i], WHAT, arguments->path[i], arguments->format[i], failure);
    sides.fields[0] = calloc(1, sizeof(*sides.fields[0]));
    sides.fields[1] = calloc(1, sizeof(*sides.fields[1]));
    sides.diff = calloc(1, sizeof(*sides.diff));
    if (sides.fields[0] == NULL || sides.fields[1] == NULL || sides.diff == NULL)
        ret = ret != 0 ? ret : report_fail_memory(failure, WHAT);
    if (ret == 0)
        ret = compare(&sides, arguments, ret_same, failure);
    json_decref(sides.list);
    free(sides.diff);
    for (unsigned i = 0; i < 2; i++) {
        free(sides.fields[i]);
        input_close(&sides.input[i]);
    }
    return ret;
}

int diff_main(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"format-a", OPTION_FORMAT_A, "NAME", 0,
         "The format of A, if it is not to be found out; \"help\" lists those that are read", 0},
        {"format-b", OPTION_FORMAT_B, "NAME", 0, "The same for B", 0},
        {"json", OPTION_JSON, NULL, 0, "Print JSON instead of text", 0},
        {"quiet", OPTION_QUIET, NULL, 0, "Print nothing: the exit code says it", 0},
        {"vcpu", OPTION_VCPU, "N", 0, "Compare vCPU N only, counted from 0", 0},
        {0},
    };
    static const struct argp argp = {
        options,
        parse,
        "A B",
        "Compare the CPU state of two inputs, in any two formats that are read, field by field. A "
        "field that one of them does not carry is listed, and is no difference; another number of "
        "vCPUs is one. " TOOL_HELP_SNAPSHOT "\v"
        "Exit codes, which are those of diff(1):\n"
        "  0  nothing differs\n"
        "  1  something differs\n"
        "  2  trouble: the command line is wrong, an input was refused, I/O or memory failed\n",
        NULL,
        NULL,
        NULL};
    struct arguments arguments = {0};
    struct report_failure failure = {0};
    bool is_same = false;
    error_t error = argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    if (error != 0) {
        report_error(EXIT_CODE_ENVIRONMENT, WHAT, "arguments", "see resumectl diff --help", "%s",
                     strerror(error));
        return DIFF_EXIT_TROUBLE;
    }
    if (run(&arguments, &is_same, &failure) != 0) {
        report_print(&failure);
        return DIFF_EXIT_TROUBLE;
    }
    return is_same ? DIFF_EXIT_SAME : DIFF_EXIT_DIFFERENT;
}
