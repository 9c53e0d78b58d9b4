/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "facts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ADVICE_QEMU "use QEMU 7.2 to 10 for x86-64, and its own monitor"
#define WHAT "read the VM's facts"

/* Copies a JSON string that must be there. */
static int take_string(const json_t *object, const char *key, const char *from, char *out,
                       size_t capacity, struct report_failure *failure)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (text == NULL || strlen(text) >= capacity)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, from, ADVICE_QEMU,
                           text == NULL ? "QEMU's answer has no \"%s\""
                                        : "QEMU's answer has an overlong \"%s\"",
                           key);
    snprintf(out, capacity, "%s", text);
    return 0;
}

/* The qom-path of the first vCPU, a new reference in *@ret_cpus, and the number of vCPUs. */
static int query_cpus(struct qmp *qmp, json_t **ret_cpus, uint32_t *ret_count,
                      struct report_failure *failure)
{
    json_t *cpus = NULL;
    int result = qmp_execute(qmp, "query-cpus-fast", NULL, &cpus, failure);
    if (result < 0)
        return result;
    size_t count = json_array_size(cpus);
    if (count == 0 || count > UINT32_MAX) {
        json_decref(cpus);
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, "query-cpus-fast", ADVICE_QEMU,
                           "QEMU tells of no vCPU");
    }
    *ret_count = (uint32_t)count;
    *ret_cpus = cpus;
    return 0;
}

int facts_cpu_count(struct qmp *qmp, uint32_t *ret_count, struct report_failure *failure)
{
    json_t *cpus = NULL;
    int result = query_cpus(qmp, &cpus, ret_count, failure);
    if (result == 0)
        json_decref(cpus);
    return result;
}

static int qom_get(struct qmp *qmp, const char *path, const char *property, json_t **ret,
                   struct report_failure *failure)
{
    return qmp_execute(qmp, "qom-get", json_pack("{s:s,s:s}", "path", path, "property", property),
                       ret, failure);
}

static int qom_get_string(struct qmp *qmp, const char *path, const char *property, char *out,
                          size_t capacity, struct report_failure *failure)
{
    json_t *value = NULL;
    int result = qom_get(qmp, path, property, &value, failure);
    if (result < 0)
        return result;
    const char *text = json_string_value(value);
    if (text == NULL || strlen(text) >= capacity)
        result = report_fail(failure, EXIT_CODE_REFUSED, WHAT, path, ADVICE_QEMU,
                             "its property \"%s\" is no string of a sensible length", property);
    else
        snprintf(out, capacity, "%s", text);
    json_decref(value);
    return result;
}

static int read_feature(const json_t *entry, struct manifest_feature *out,
                        struct report_failure *failure)
{
    const json_t *leaf = json_object_get(entry, "cpuid-input-eax");
    const json_t *subleaf = json_object_get(entry, "cpuid-input-ecx");
    const json_t *features = json_object_get(entry, "features");
    json_int_t leaf_value = json_integer_value(leaf);
    json_int_t value = json_integer_value(features);
    json_int_t subleaf_value = json_integer_value(subleaf);
    if (!json_is_integer(leaf) || !json_is_integer(features) || leaf_value < 0 ||
        leaf_value > UINT32_MAX || value < 0 || value > UINT32_MAX || subleaf_value < 0 ||
        subleaf_value > UINT32_MAX)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, "feature-words", ADVICE_QEMU,
                           "a CPUID word without leaf or value, or out of range");
    out->leaf = (uint32_t)leaf_value;
    out->has_subleaf = subleaf != NULL;
    out->subleaf = (uint32_t)subleaf_value;
    out->value = (uint32_t)value;
    return take_string(entry, "cpuid-register", "feature-words", out->reg, sizeof(out->reg),
                       failure);
}

static int read_features(const json_t *words, struct manifest *manifest,
                         struct report_failure *failure)
{
    size_t index;
    const json_t *entry;
    uint32_t count = 0;
    json_array_foreach(words, index, entry)
    {
        /* Newer versions list words that are MSRs in the same array, without a leaf. */
        if (json_object_get(entry, "cpuid-input-eax") == NULL)
            continue;
        if (count == MANIFEST_FEATURE_MAX)
            return report_fail(failure, EXIT_CODE_REFUSED, WHAT, "feature-words", ADVICE_QEMU,
                               "more than %d CPUID words", MANIFEST_FEATURE_MAX);
        int result = read_feature(entry, &manifest->feature[count], failure);
        if (result < 0)
            return result;
        count++;
    }
    if (count == 0)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, "feature-words", ADVICE_QEMU,
                           "QEMU tells of no CPUID word: is this an x86 machine?");
    manifest->feature_count = count;
    return 0;
}

static int read_cpu(struct qmp *qmp, struct manifest *manifest, struct report_failure *failure)
{
    json_t *cpus = NULL;
    int result = query_cpus(qmp, &cpus, &manifest->cpu_count, failure);
    if (result < 0)
        return result;
    char path[256];
    result = take_string(json_array_get(cpus, 0), "qom-path", "query-cpus-fast", path, sizeof(path),
                         failure);
    json_decref(cpus);
    if (result == 0)
        result = qom_get_string(qmp, path, "type", manifest->cpu_type, sizeof(manifest->cpu_type),
                                failure);
    json_t *words = NULL;
    if (result == 0)
        result = qom_get(qmp, path, "feature-words", &words, failure);
    if (result < 0)
        return result;
    result = read_features(words, manifest, failure);
    json_decref(words);
    return result;
}

static int read_memory_size(struct qmp *qmp, struct manifest *manifest,
                            struct report_failure *failure)
{
    json_t *value = NULL;
    int result = qmp_execute(qmp, "query-memory-size-summary", NULL, &value, failure);
    if (result < 0)
        return result;
    json_int_t base = json_integer_value(json_object_get(value, "base-memory"));
    json_int_t plugged = json_integer_value(json_object_get(value, "plugged-memory"));
    json_decref(value);
    if (base <= 0 || plugged < 0)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, "query-memory-size-summary",
                           ADVICE_QEMU, "QEMU tells of no memory");
    manifest->memory_size = (uint64_t)base + (uint64_t)plugged;
    return 0;
}

/* The accelerator: the type of the accelerator object, or what query-kvm says before 7.2 had it. */
static int read_accelerator(struct qmp *qmp, struct manifest *manifest,
                            struct report_failure *failure)
{
    json_t *value = NULL;
    int result = qmp_execute(qmp, "query-kvm", NULL, &value, failure);
    if (result < 0)
        return result;
    snprintf(manifest->accelerator, sizeof(manifest->accelerator), "%s",
             json_is_true(json_object_get(value, "enabled")) ? "kvm" : "tcg");
    json_decref(value);
    return 0;
}

static int read_memory_map(struct qmp *qmp, struct manifest *manifest,
                           struct report_failure *failure)
{
    char *text;
    int result = qmp_monitor_command(qmp, "info mtree -f", &text, failure);
    if (result < 0)
        return result;
    result = facts_parse_memory_map(text, manifest, failure);
    free(text);
    return result;
}

/* "pc-q35-7.2-machine" -> "pc-q35-7.2" */
static void cut_machine_suffix(char *type)
{
    static const char suffix[] = "-machine";
    size_t length = strlen(type);
    if (length > sizeof(suffix) - 1 && strcmp(type + length - (sizeof(suffix) - 1), suffix) == 0)
        type[length - (sizeof(suffix) - 1)] = '\0';
}

int facts_machine_type(struct qmp *qmp, char *out, size_t capacity, struct report_failure *failure)
{
    int result = qom_get_string(qmp, "/machine", "type", out, capacity, failure);
    if (result == 0)
        cut_machine_suffix(out);
    return result;
}

int facts_read(struct qmp *qmp, struct manifest *manifest, struct report_failure *failure)
{
    const struct qmp_version *version = qmp_version(qmp);
    manifest->format = MANIFEST_FORMAT;
    snprintf(manifest->tool, sizeof(manifest->tool), "resumectl %s", RESUMECTL_VERSION);
    manifest->qemu_version[0] = version->major;
    manifest->qemu_version[1] = version->minor;
    manifest->qemu_version[2] = version->micro;
    snprintf(manifest->qemu_package, sizeof(manifest->qemu_package), "%s", version->package);
    int result =
        facts_machine_type(qmp, manifest->machine_type, sizeof(manifest->machine_type), failure);
    if (result == 0)
        result = read_accelerator(qmp, manifest, failure);
    if (result == 0)
        result = read_memory_size(qmp, manifest, failure);
    if (result == 0)
        result = read_cpu(qmp, manifest, failure);
    if (result == 0)
        result = read_memory_map(qmp, manifest, failure);
    return result;
}

static int fail_line(const char *line, const char *why, struct report_failure *failure)
{
    return report_fail(failure, EXIT_CODE_REFUSED, "read memory map", "info mtree -f", ADVICE_QEMU,
                       "%s: \"%s\"", why, line);
}

/* Reads a number of exactly 16 hexadecimal digits. */
static bool read_address(const char **text, uint64_t *ret)
{
    uint64_t value = 0;
    const char *at = *text;
    for (unsigned i = 0; i < 16; i++, at++) {
        unsigned digit;
        if (*at >= '0' && *at <= '9')
            digit = (unsigned)(*at - '0');
        else if (*at >= 'a' && *at <= 'f')
            digit = (unsigned)(*at - 'a') + 10;
        else
            return false;
        value = value << 4 | digit;
    }
    *text = at;
    *ret = value;
    return true;
}

/* Takes @word off the front of *@text. */
static bool skip_word(const char **text, const char *word)
{
    size_t length = strlen(word);
    if (strncmp(*text, word, length) != 0)
        return false;
    *text += length;
    return true;
}

/* "(prio 0, ram): " -> the kind; UINT32_MAX when no RAM block is behind the range. */
static bool read_kind(const char **text, uint32_t *ret_kind)
{
    static const struct {
        const char *name;
        uint32_t kind;
    } kinds[] = {{"ram", MANIFEST_RANGE_RAM},    {"rom", MANIFEST_RANGE_ROM},
                 {"romd", MANIFEST_RANGE_ROMD},  {"i/o", UINT32_MAX},
                 {"container", UINT32_MAX},      {"ramd", UINT32_MAX},
                 {"nv-ram", MANIFEST_RANGE_RAM}, {"alias", UINT32_MAX}};
    if (!skip_word(text, " (prio "))
        return false;
    while (**text == '-' || (**text >= '0' && **text <= '9'))
        (*text)++;
    if (!skip_word(text, ", "))
        return false;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const char *rest = *text;
        if (skip_word(&rest, kinds[i].name) && skip_word(&rest, "): ")) {
            *text = rest;
            *ret_kind = kinds[i].kind;
            return true;
        }
    }
    return false;
}

/* "pc.ram @0000000000100000 KVM" -> name and offset. Names may hold spaces and '@'. */
static bool read_block(const char *text, struct manifest_range *out)
{
    char rest[512];
    if (strlen(text) >= sizeof(rest))
        return false;
    strcpy(rest, text);
    size_t length = strlen(rest);
    static const char *const marks[] = {" KVM", " [nonvolatile]"};
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        size_t mark = strlen(marks[i]);
        if (length > mark && strcmp(rest + length - mark, marks[i]) == 0)
            rest[length -= mark] = '\0';
    }
    out->offset = 0;
    if (length > 18 && rest[length - 17] == '@' && rest[length - 18] == ' ') {
        const char *number = rest + length - 16;
        if (!read_address(&number, &out->offset))
            return false;
        rest[length - 18] = '\0';
    }
    if (rest[0] == '\0' || strlen(rest) >= sizeof(out->block))
        return false;
    snprintf(out->block, sizeof(out->block), "%.*s", (int)sizeof(out->block) - 1, rest);
    return true;
}

static int read_range(const char *line, struct manifest *manifest, struct report_failure *failure)
{
    struct manifest_range range = {0};
    const char *text = line + strspn(line, " ");
    uint64_t last;
    uint32_t kind;
    if (!read_address(&text, &range.base_pa) || !skip_word(&text, "-") ||
        !read_address(&text, &last) || !read_kind(&text, &kind))
        return fail_line(line, "a line that cannot be read", failure);
    if (kind == UINT32_MAX)
        return 0;
    if (!read_block(text, &range))
        return fail_line(line, "a range whose block cannot be read", failure);
    if (last < range.base_pa || last - range.base_pa == UINT64_MAX)
        return fail_line(line, "a range that ends before it begins", failure);
    range.length = last - range.base_pa + 1;
    range.kind = kind;
    if (range.length > UINT64_MAX - range.offset)
        return fail_line(line, "a range that wraps around in its block", failure);
    if (manifest->range_count > 0) {
        const struct manifest_range *before = &manifest->range[manifest->range_count - 1];
        if (range.base_pa - before->base_pa < before->length || range.base_pa < before->base_pa)
            return fail_line(line, "a range that overlaps the one before", failure);
    }
    if (manifest->range_count == MANIFEST_RANGE_MAX)
        return fail_line(line, "too many ranges", failure);
    manifest->range[manifest->range_count++] = range;
    return 0;
}

int facts_parse_memory_map(const char *text, struct manifest *manifest,
                           struct report_failure *failure)
{
    bool named = false;   /* the view at hand is that of "memory" */
    bool listing = false; /* its ranges are being listed */
    bool found = false;
    manifest->range_count = 0;
    while (*text != '\0' && !(found && !listing)) {
        char line[640];
        size_t length = strcspn(text, "\n");
        if (length >= sizeof(line))
            return fail_line("", "an overlong line", failure);
        memcpy(line, text, length);
        line[length] = '\0';
        if (length > 0 && line[length - 1] == '\r')
            line[length - 1] = '\0';
        text += length + (text[length] == '\n' ? 1 : 0);
        if (strncmp(line, "FlatView #", 10) == 0) {
            named = false;
            listing = false;
        } else if (strncmp(line, " AS \"memory\", root: ", 20) == 0) {
            named = true;
        } else if (named && strncmp(line, " Root memory region: ", 21) == 0) {
            listing = true;
            found = true;
        } else if (listing && strncmp(line, "  ", 2) != 0) {
            listing = false;
        } else if (listing) {
            int result = read_range(line, manifest, failure);
            if (result < 0)
                return result;
        }
    }
    if (!found)
        return fail_line("", "no flat view of address space \"memory\"", failure);
    if (manifest->range_count == 0)
        return fail_line("", "no RAM in address space \"memory\"", failure);
    return 0;
}
