/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Can one machine take over what ran on another? */
#define _GNU_SOURCE
#include "manifest.h"

#include <inttypes.h>
#include <string.h>

#define WHAT "compare machines"
#define SAME_COMMAND "start it with the command line that started the source"

static const struct manifest_feature *find_feature(const struct manifest *manifest,
                                                   const struct manifest_feature *wanted)
{
    for (uint32_t i = 0; i < manifest->feature_count; i++) {
        const struct manifest_feature *feature = &manifest->feature[i];
        if (feature->leaf == wanted->leaf && feature->has_subleaf == wanted->has_subleaf &&
            feature->subleaf == wanted->subleaf && strcmp(feature->reg, wanted->reg) == 0)
            return feature;
    }
    return NULL;
}

/* More features than the source's CPU had do no harm to a guest that does not look again. */
static int compare_features(const struct manifest *source, const struct manifest *target,
                            struct report_failure *failure)
{
    for (uint32_t i = 0; i < source->feature_count; i++) {
        const struct manifest_feature *wanted = &source->feature[i];
        const struct manifest_feature *found = find_feature(target, wanted);
        uint32_t missing = wanted->value & ~(found != NULL ? found->value : 0);
        char subleaf[32] = "";
        if (missing == 0)
            continue;
        if (wanted->has_subleaf)
            snprintf(subleaf, sizeof(subleaf), " subleaf 0x%" PRIx32, wanted->subleaf);
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, "CPU",
                           "use the same -cpu as for the source, on a host that has its features",
                           "the target (%s) lacks features of the source (%s): CPUID leaf "
                           "0x%" PRIx32 "%s %s, bits 0x%08" PRIx32,
                           target->cpu_type, source->cpu_type, wanted->leaf, subleaf, wanted->reg,
                           missing);
    }
    return 0;
}

/* Below this, firmware and guest switch between RAM and ROM as they like. */
#define LEGACY_END (UINT64_C(1) << 20)

/* The next range of RAM above the legacy area. All zero, with no block, after the last. */
static struct manifest_range next_ram(const struct manifest *manifest, uint32_t *index)
{
    while (*index < manifest->range_count) {
        struct manifest_range range = manifest->range[(*index)++];
        if (range.kind != MANIFEST_RANGE_RAM)
            continue;
        if (range.base_pa < LEGACY_END) {
            uint64_t cut = LEGACY_END - range.base_pa;
            if (range.length <= cut)
                continue;
            range.base_pa += cut;
            range.offset += cut;
            range.length -= cut;
        }
        return range;
    }
    return (struct manifest_range){.block = "nothing"};
}

static int compare_memory(const struct manifest *source, const struct manifest *target,
                          struct report_failure *failure)
{
    uint32_t source_index = 0;
    uint32_t target_index = 0;
    for (;;) {
        struct manifest_range ours = next_ram(source, &source_index);
        struct manifest_range theirs = next_ram(target, &target_index);
        if (ours.length == 0 && theirs.length == 0)
            return 0;
        if (ours.base_pa != theirs.base_pa || ours.length != theirs.length ||
            ours.offset != theirs.offset || strcmp(ours.block, theirs.block) != 0)
            return report_fail(failure, EXIT_CODE_REFUSED, WHAT, "memory map", SAME_COMMAND,
                               "the source has 0x%" PRIx64 " bytes of %s at 0x%" PRIx64
                               ", the target 0x%" PRIx64 " bytes of %s at 0x%" PRIx64,
                               ours.length, ours.block, ours.base_pa, theirs.length, theirs.block,
                               theirs.base_pa);
    }
}

int manifest_compare_machine(const struct manifest *source, const struct manifest *target,
                             struct report_failure *failure)
{
    if (strcmp(source->machine_type, target->machine_type) != 0)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, "machine type", SAME_COMMAND,
                           "the source is a %s, the target a %s", source->machine_type,
                           target->machine_type);
    if (source->memory_size != target->memory_size)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, "memory", SAME_COMMAND,
                           "the source has %" PRIu64 " bytes, the target %" PRIu64,
                           source->memory_size, target->memory_size);
    if (source->cpu_count != target->cpu_count)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, "vCPUs", SAME_COMMAND,
                           "the source has %" PRIu32 ", the target %" PRIu32, source->cpu_count,
                           target->cpu_count);
    int result = compare_features(source, target, failure);
    if (result == 0)
        result = compare_memory(source, target, failure);
    return result;
}
