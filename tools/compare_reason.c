/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Which fields may differ after a resume, and why: the one place that says so. */
#define _GNU_SOURCE
#include "compare.h"

#include <string.h>

#include "qemu_cpu.h"
#include "qemu_fields.h"

#define HFLAGS_SS32 UINT64_C(0x20)
#define DESCRIPTOR_L UINT64_C(0x00200000)

static const char clock_moved[] = "a clock: it went on while the trampoline ran";
static const char interrupt_came[] = "an interrupt came in while the trampoline ran";
static const char retry[] = "QEMU loads it only while it repeats a disk request that failed";

/* May the value differ in this way? Both fields have the same size. */
typedef bool (*difference_fn)(const struct vmdesc_field *source,
                              const struct vmdesc_field *resumed);

struct rule {
    const char *section;  /* last component of the section's name */
    const char *prefix;   /* of the field's path within the section */
    const char *suffix;   /* NULL = any */
    difference_fn allows; /* NULL = any difference */
    const char *reason;
};

static bool numbers(const struct vmdesc_field *source, const struct vmdesc_field *resumed,
                    uint64_t *a, uint64_t *b)
{
    return vmdesc_field_u64(source, a) == 0 && vmdesc_field_u64(resumed, b) == 0;
}

/* Bits may have been set, none cleared. */
static bool only_set(const struct vmdesc_field *source, const struct vmdesc_field *resumed)
{
    uint64_t a;
    uint64_t b;
    return numbers(source, resumed, &a, &b) && (a & ~b) == 0;
}

/* The interrupt line may have been raised, a request to look at the local APIC been served. */
static bool only_lines(const struct vmdesc_field *source, const struct vmdesc_field *resumed)
{
    uint64_t a;
    uint64_t b;
    const uint64_t polled = SPLICE_IRQ_HARD | SPLICE_IRQ_POLL;
    const uint64_t not_the_guests = SPLICE_IRQ_EXITTB | SPLICE_IRQ_DEBUG;
    if (!numbers(source, resumed, &a, &b) || ((a ^ b) & ~(polled | not_the_guests)) != 0)
        return false;
    return (a & SPLICE_IRQ_HARD) == 0 || (b & SPLICE_IRQ_HARD) != 0;
}

/* Delivery status (12) and remote IRR (14) of a redirection entry. */
static bool only_delivery(const struct vmdesc_field *source, const struct vmdesc_field *resumed)
{
    uint64_t a;
    uint64_t b;
    return numbers(source, resumed, &a, &b) && ((a ^ b) & ~UINT64_C(0x5000)) == 0;
}

/* Time and date, the century, update in progress (register A) and interrupt flags (register C). */
static bool only_time(const struct vmdesc_field *source, const struct vmdesc_field *resumed)
{
    uint64_t length = (uint64_t)source->size * source->array_len;
    for (uint64_t i = 0; i < length; i++) {
        uint8_t changed = source->data[i] ^ resumed->data[i];
        bool time = (i <= 9 && i != 1 && i != 3 && i != 5) || i == 0x32;
        bool flags = (i == 0x0a && (changed & 0x7f) == 0) || i == 0x0c;
        if (changed != 0 && !time && !flags)
            return false;
    }
    return true;
}

/* What is left is zero. */
static bool only_dropped(const struct vmdesc_field *source, const struct vmdesc_field *resumed)
{
    uint64_t a;
    uint64_t b;
    return numbers(source, resumed, &a, &b) && b == 0;
}

static const struct rule rules[] = {
    {"timer", "cpu_ticks_offset", NULL, NULL, clock_moved},
    {"timer", "cpu_clock_offset", NULL, NULL, clock_moved},
    {"timer", "icount/", NULL, NULL, clock_moved}, /* there under -icount only */
    {"apic", "next_time", NULL, NULL, clock_moved},
    {"apic", "timer_expiry", NULL, NULL, clock_moved},
    {"apic", "irr[", NULL, only_set, interrupt_came},
    {"ioapic", "irr", NULL, only_set, interrupt_came},
    {"ioapic", "ioredtbl[", NULL, only_delivery, interrupt_came},
    {"i8259", "irr", NULL, only_set, interrupt_came},
    {"i8259", "last_irr", NULL, NULL, interrupt_came},
    {"hpet", "hpet_counter", NULL, NULL, clock_moved},
    {"hpet", "offset/", NULL, NULL, clock_moved},
    {"hpet", "isr", NULL, only_set, interrupt_came},
    {"hpet", "timer[", ".cmp", NULL, clock_moved},
    {"hpet", "timer[", ".qemu_timer", NULL, clock_moved},
    {"hpet", "timer[", ".wrap_flag", NULL, clock_moved},
    {"mc146818rtc", "cmos_data", NULL, only_time, clock_moved},
    {"mc146818rtc", "periodic_timer", NULL, NULL, clock_moved},
    {"mc146818rtc", "next_periodic_time", NULL, NULL, clock_moved},
    {"mc146818rtc", "irq_coalesced", NULL, NULL, clock_moved},
    {"mc146818rtc", "base_rtc", NULL, NULL, clock_moved},
    {"mc146818rtc", "last_update", NULL, NULL, clock_moved},
    {"mc146818rtc", "offset", NULL, NULL, clock_moved},
    {"mc146818rtc", "update_timer", NULL, NULL, clock_moved},
    {"mc146818rtc", "next_alarm_time", NULL, NULL, clock_moved},
    {"mc146818rtc", "irq_reinject_on_ack_count/", NULL, NULL, clock_moved},
    {"i8254", "channels[", "next_transition_time", NULL, clock_moved},
    {"ICH9LPC", "pm.acpi_regs.tmr.", NULL, NULL, clock_moved},
    {"ICH9LPC", "pm.acpi_regs.pm1.evt.sts", NULL, only_set, clock_moved},
    {"ICH9LPC", "pm/tco/tco_regs.tco.tmr", NULL, NULL, clock_moved},
    {"ICH9LPC", "pm/tco/tco_regs.tco_timer", NULL, NULL, clock_moved},
    {"ICH9LPC", "pm/tco/tco_regs.expire_time", NULL, NULL, clock_moved},
    {"piix4_pm", "ar.tmr.", NULL, NULL, clock_moved},
    {"piix4_pm", "ar.pm1.evt.sts", NULL, only_set, clock_moved},
    /* "bmdma[0]" and "bmdma[1]"; QEMU 10 leaves the index of the last one away. */
    {"ide", "bmdma", ".migration_retry_sector_num", only_dropped, retry},
    {"ide", "bmdma", ".migration_retry_nsector", only_dropped, retry},
    {"globalstate", "", NULL, NULL, "it says why the VM is stopped, which is another reason now"},
    {"cpu_common", "interrupt_request", NULL, only_lines, interrupt_came},
};

static bool ends_with(const char *text, const char *suffix)
{
    size_t length = strlen(text);
    size_t wanted = strlen(suffix);
    return length >= wanted && strcmp(text + length - wanted, suffix) == 0;
}

static bool is_path(const struct vmdesc_field *a, const struct vmdesc_field *b, const char *path)
{
    return strcmp(a != NULL ? a->path : b->path, path) == 0;
}

bool compare_tpr_copy(const struct vmdesc_field *field, const struct vmdesc_field *other)
{
    uint64_t a = 0;
    uint64_t b = 0;
    if (!is_path(field, other, "cpu/env.v_tpr") &&
        !is_path(field, other, "cpu/svm_guest/env.int_ctl"))
        return false;
    if ((field != NULL && vmdesc_field_u64(field, &a) != 0) ||
        (other != NULL && vmdesc_field_u64(other, &b) != 0))
        return false;
    return ((a ^ b) & ~UINT64_C(0xf)) == 0;
}

/* The field of the same segment: "cpu/env.segs[1]" of "cpu/env.segs[1].limit" and @name. */
static bool segment_value(const struct vmdesc *desc, const struct vmdesc_section *section,
                          const char *path, size_t stem, const char *name, uint64_t *ret)
{
    char wanted[256];
    if (stem + strlen(name) + 1 >= sizeof(wanted))
        return false;
    memcpy(wanted, path, stem);
    strcpy(wanted + stem, name);
    const struct vmdesc_field *field = vmdesc_field_find(desc, section, wanted);
    return field != NULL && vmdesc_field_u64(field, ret) == 0;
}

/*
 * Bits of a cached descriptor that hold base and limit, which QEMU keeps apart as well. An instruction
 * that sets these without reading a descriptor leaves them zero: WRMSR for the bases of FS and GS;
 * SYSCALL, SYSRET and SYSENTER for the limits of CS and SS.
 */
#define DESCRIPTOR_BASE UINT64_C(0xff0000ff)
#define DESCRIPTOR_LIMIT UINT64_C(0x000f0000)

static uint64_t kept_twice(const char *path)
{
    if (strncmp(path, "cpu/env.segs[4]", 15) == 0 || strncmp(path, "cpu/env.segs[5]", 15) == 0)
        return DESCRIPTOR_BASE;
    if (strncmp(path, "cpu/env.segs[1]", 15) == 0 || strncmp(path, "cpu/env.segs[2]", 15) == 0)
        return DESCRIPTOR_LIMIT;
    return 0;
}

/*
 * Hidden parts of segments that no instruction can set and nothing in 64-bit mode looks at. FS's
 * and GS's bases are not among them. All others the trampoline sets as the snapshot has them.
 */
static const char *segment_reason(const struct vmdesc *desc, const struct vmdesc_section *section,
                                  const struct vmdesc_field *field,
                                  const struct vmdesc_field *other)
{
    static const char cs[] = "cpu/env.segs[1]";
    const char *path = field->path;
    const char *dot = strrchr(path, '.');
    if (dot == NULL ||
        (strncmp(path, "cpu/env.segs[", 13) != 0 && strncmp(path, "cpu/env.ldt.", 12) != 0))
        return NULL;
    size_t stem = (size_t)(dot - path);
    uint64_t a;
    uint64_t b;
    uint64_t selector;
    uint64_t code;
    if (!numbers(field, other, &a, &b) || strcmp(dot, ".selector") == 0 ||
        !segment_value(desc, section, path, stem, ".selector", &selector) ||
        !segment_value(desc, section, cs, strlen(cs), ".flags", &code))
        return NULL;
    if (strcmp(dot, ".flags") == 0 && ((a ^ b) & ~kept_twice(path)) == 0)
        return "bits of the cached descriptor that are part of base and limit, kept twice";
    if ((code & DESCRIPTOR_L) == 0)
        return NULL;
    bool keeps_base =
        strncmp(path, "cpu/env.segs[4]", 15) == 0 || strncmp(path, "cpu/env.segs[5]", 15) == 0;
    if ((selector & ~UINT64_C(3)) == 0 && !(keeps_base && strcmp(dot, ".base") == 0))
        return "hidden part of a null segment: no instruction sets it, nothing uses it";
    if (strncmp(path, cs, sizeof(cs) - 1) == 0 && strcmp(dot, ".limit") == 0)
        return "limit of a 64-bit code segment: nothing uses it";
    return NULL;
}

/* QEMU's digest of the segments has SS's D/B bit, which a null SS has or not: see above. */
static const char *digest_reason(const struct vmdesc *desc, const struct vmdesc_section *section,
                                 const struct vmdesc_field *field, const struct vmdesc_field *other)
{
    static const char cs[] = "cpu/env.segs[1]";
    static const char ss[] = "cpu/env.segs[2]";
    uint64_t a;
    uint64_t b;
    uint64_t code;
    uint64_t selector;
    if (strcmp(field->path, "cpu/env.hflags") != 0 || !numbers(field, other, &a, &b) ||
        (a ^ b) != HFLAGS_SS32 || !segment_value(desc, section, cs, strlen(cs), ".flags", &code) ||
        !segment_value(desc, section, ss, strlen(ss), ".selector", &selector))
        return NULL;
    return (code & DESCRIPTOR_L) != 0 && (selector & ~UINT64_C(3)) == 0
               ? "hidden part of a null SS, in QEMU's digest: nothing in 64-bit mode uses it"
               : NULL;
}

/* The reason of the first of the rules that allows this difference. */
static const char *match(const struct rule *from, size_t count, const char *name, const char *path,
                         const struct vmdesc_field *field, const struct vmdesc_field *other)
{
    for (size_t i = 0; i < count; i++) {
        const struct rule *rule = &from[i];
        if (strcmp(name, rule->section) == 0 &&
            strncmp(path, rule->prefix, strlen(rule->prefix)) == 0 &&
            (rule->suffix == NULL || ends_with(path, rule->suffix)) &&
            (rule->allows == NULL || rule->allows(field, other)))
            return rule->reason;
    }
    return NULL;
}

/* The enable bit (0) may have been cleared: the timer has expired. */
static bool only_expired(const struct vmdesc_field *source, const struct vmdesc_field *resumed)
{
    uint64_t a;
    uint64_t b;
    return numbers(source, resumed, &a, &b) && (a & ~b) == 1 && (b & ~a) == 0;
}

/* Clocks and counters of a vCPU, which TCG either has none of or keeps with the devices. */
static const struct rule kvm_rules[] = {
    {"cpu", "env.tsc", NULL, NULL, clock_moved},
    {"cpu", "msr_tsc_adjust/", NULL, NULL, "it changes when the TSC is set"},
    {"cpu", "msr_tscdeadline/", NULL, only_dropped, "the deadline has passed"},
    {"cpu", "msr_architectural_pmu/env.msr_fixed_counters[", NULL, NULL, clock_moved},
    {"cpu", "msr_architectural_pmu/env.msr_gp_counters[", NULL, NULL, clock_moved},
    {"cpu", "msr_architectural_pmu/env.msr_global_status", NULL, NULL,
     "a counter's flag, which only the hardware sets"},
    {"cpu", "msr_hyperv_stimer/env.msr_hv_stimer_config[", NULL, only_expired,
     "the timer has expired"},
};

/* Without a field there is zero, as QEMU leaves a subsection out that holds nothing. */
static const char *kvm_reason(const struct vmdesc_field *field, const struct vmdesc_field *other)
{
    static const uint8_t zeroes[8];
    struct vmdesc_field absent = field != NULL ? *field : *other;
    absent.data = zeroes;
    if ((uint64_t)absent.size * absent.array_len > sizeof(zeroes))
        return NULL;
    return match(kvm_rules, sizeof(kvm_rules) / sizeof(kvm_rules[0]), "cpu",
                 absent.path + strlen("cpu/"), field != NULL ? field : &absent,
                 other != NULL ? other : &absent);
}

static const char *rule_reason(const struct vmdesc_section *section,
                               const struct vmdesc_field *field, const struct vmdesc_field *other)
{
    const char *slash = strrchr(section->name, '/');
    return match(rules, sizeof(rules) / sizeof(rules[0]), slash != NULL ? slash + 1 : section->name,
                 field->path + strlen(section->name) + 1, field, other);
}

const char *compare_reason(const struct vmdesc *desc, const struct vmdesc_section *section,
                           const struct vmdesc_field *field, const struct vmdesc_field *other)
{
    const struct vmdesc_field *either = field != NULL ? field : other;
    const char *reason;
    bool is_cpu = strcmp(section->name, "cpu") == 0;
    bool is_vcpu = is_cpu || strcmp(section->name, "cpu_common") == 0;
    const bool is_kvm = qemu_cpu_accel(desc) == RESUME_ACCEL_KVM;
    if (is_vcpu && qemu_field_class(either->path, &reason) == FIELD_IRRELEVANT)
        return reason;
    if (is_cpu && compare_tpr_copy(field, other))
        return "a second copy of CR8 that only guests of AMD's nested virtualization see";
    if (is_cpu && strncmp(either->path, "cpu/fpop_ip_dp/", 15) == 0 && !is_kvm)
        return "where the last x87 instruction was: TCG has no instruction that loads it";
    if (is_cpu && is_kvm) {
        reason = kvm_reason(field, other);
        if (reason != NULL)
            return reason;
    }
    /* Nothing else may be there on one side only, or have another size. */
    if (field == NULL || other == NULL || field->size != other->size ||
        field->array_len != other->array_len)
        return NULL;
    if (is_cpu) {
        reason = digest_reason(desc, section, field, other);
        return reason != NULL ? reason : segment_reason(desc, section, field, other);
    }
    return rule_reason(section, field, other);
}
