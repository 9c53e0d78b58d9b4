/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Firmware that does nothing but resume: what resume.efi is under UEFI, without UEFI. QEMU starts it
 * by its PVH note. The calls of libresume are those of ../firmware; here is what they need: inputs,
 * the list of processors, and memory.
 */
#include <firmware.h>

#include "platform.h"

#define START_MAGIC UINT32_C(0x336ec578)
#define MEMORY_RAM 1
#define MEMORY_RANGES_MAX 64
#define INPUT_MAX UINT32_C(0x100000)
#define TABLES_MAX UINT32_C(0x100000)
#define TRIES 8
#define BELOW_640_KIB UINT64_C(0xa0000)
#define BELOW_4_GIB UINT64_C(0x100000000)
#define FW_CFG_CPU_COUNT 0x0005
#define MSR_APIC_BASE 0x1b
#define APIC_BASE_X2APIC (UINT64_C(1) << 10)
#define APIC_BASE_ADDRESS UINT64_C(0x000ffffffffff000)

/* Xen's public headers, arch-x86/hvm/start_info.h. */
struct memory_range {
    uint64_t address;
    uint64_t length;
    uint32_t type;
    uint32_t reserved;
};

struct start_info {
    uint32_t magic;
    uint32_t version; /* 1 and up have the memory map */
    uint32_t flags;
    uint32_t module_count;
    uint64_t modules;
    uint64_t command_line;
    uint64_t rsdp;
    uint64_t map;
    uint32_t map_count;
    uint32_t reserved;
};

extern uint8_t image_begin[];
extern uint8_t image_end[];

static struct memory_range map[MEMORY_RANGES_MAX];
static uint32_t map_count;
static uint8_t state[INPUT_MAX];
static uint8_t plan[RESUME_PLAN_SIZE_MAX];
static uint8_t tables[TABLES_MAX];
static uint32_t apic_id[RESUME_HOME_VCPUS];
static uint32_t apic_id_count;
static struct resume_vcpu scratch;
static struct resume_guest guest;
static struct resume_cpu cpu;

static void take_memory_map(const struct start_info *info)
{
    if (info->magic != START_MAGIC || info->version < 1 || info->map_count == 0 ||
        info->map_count > MEMORY_RANGES_MAX)
        refuse("start information: at %x is %x, version %u, with %u memory ranges: start this by "
               "its PVH note",
               (uint64_t)(uintptr_t)info, (uint64_t)info->magic, (uint64_t)info->version,
               (uint64_t)info->map_count);
    map_count = info->map_count;
    memcpy(map, (const void *)(uintptr_t)info->map, map_count * sizeof(map[0]));
}

static uint32_t load32(const uint8_t *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

/* The processors' APIC IDs: structures 0 and 9 of the MADT (ACPI specification, 5.2.12). */
static void read_madt(const uint8_t *madt, uint32_t length)
{
    uint32_t step;

    for (uint32_t at = 44; at + 2 <= length; at += step) {
        const uint8_t *entry = madt + at;

        step = entry[1];
        if (step < 2 || step > length - at)
            return;
        if (apic_id_count == RESUME_HOME_VCPUS)
            return;
        if (entry[0] == 0 && step >= 8)
            apic_id[apic_id_count++] = entry[3];
        else if (entry[0] == 9 && step >= 16)
            apic_id[apic_id_count++] = load32(entry + 4);
    }
}

static void find_processors(void)
{
    const size_t length = fw_cfg_load("etc/acpi/tables", tables, sizeof(tables));
    uint32_t step;

    for (size_t at = 0; at + 36 <= length; at += step) {
        step = load32(tables + at + 4);
        if (step < 36 || step > length - at)
            return;
        if (memcmp(tables + at, "APIC", 4) == 0)
            read_madt(tables + at, step);
    }
}

static void check_processors(void)
{
    const uint64_t count = fw_cfg_number(FW_CFG_CPU_COUNT);

    if (count != guest.state.vcpu_count)
        refuse("processors: the state has %u, this machine %u: start it with as many as the "
               "snapshot's",
               (uint64_t)guest.state.vcpu_count, count);
    find_processors(); /* none are found on a machine without ACPI */
    for (uint32_t i = 0; apic_id_count != 0 && i < guest.set.known; i++) {
        uint32_t j = 0;

        while (j < apic_id_count && apic_id[j] != guest.set.apic_id[i])
            j++;
        if (j == apic_id_count)
            refuse("processors: no processor of this machine has APIC ID %x: give it the topology "
                   "(-smp) of the snapshot's",
                   (uint64_t)guest.set.apic_id[i]);
    }
}

static void check_home(void)
{
    const uint64_t end = guest.plan.home.pa + guest.plan.home.length;
    uint64_t at = guest.plan.home.pa;
    uint32_t i = 0;

    /* Ranges may adjoin: begin anew after each that was found. */
    while (at < end && i < map_count) {
        if (map[i].type == MEMORY_RAM && at >= map[i].address &&
            at - map[i].address < map[i].length) {
            at = map[i].address + map[i].length;
            i = 0;
        } else {
            i++;
        }
    }
    if (at < end)
        refuse("home: address %x is not usable RAM on this machine: give the machine as much RAM "
               "as the snapshot's",
               at);
}

/* The highest pages of RAM, @length bytes that end at @end at most, outside this program; 0 = none. */
static uint64_t find_memory(uint64_t length, uint64_t end)
{
    const uint64_t own = (uintptr_t)image_begin;
    uint64_t found = 0;

    for (uint32_t i = 0; i < map_count; i++) {
        const uint64_t first = map[i].address;
        uint64_t last = first + map[i].length < end ? first + map[i].length : end;

        if (map[i].type != MEMORY_RAM || last < length)
            continue;
        uint64_t at = (last - length) & ~(uint64_t)0xfff;
        if (at < (uintptr_t)image_end && at + length > own)
            at = own < length ? 0 : (own - length) & ~(uint64_t)0xfff;
        if (at >= first && at > found)
            found = at;
    }
    return found;
}

/* Memory for the way into the home. What collides with the home is passed by. */
static void prepare(struct firmware_inputs *inputs)
{
    struct resume_diag diag = {0};
    int err = RESUME_ECONFLICT;

    inputs->staging_pa = BELOW_4_GIB;
    inputs->startup_pa = BELOW_640_KIB;
    for (uint32_t i = 0; err == RESUME_ECONFLICT && i < TRIES; i++) {
        inputs->staging_pa = find_memory(guest.staging.length, inputs->staging_pa);
        if (inputs->staging_pa == 0)
            refuse("memory: no %u bytes below 4 GiB for the staging area", guest.staging.length);
        if (guest.set.active > 1) {
            inputs->startup_pa = find_memory(RESUME_PAGE_SIZE, inputs->startup_pa);
            if (inputs->startup_pa == 0)
                refuse("memory: no page below 1 MiB, where the other processors have to begin");
        } else {
            inputs->startup_pa = 0;
        }
        inputs->staging = (uint8_t *)(uintptr_t)inputs->staging_pa;
        inputs->startup = (uint8_t *)(uintptr_t)inputs->startup_pa;
        err = firmware_prepare(inputs, &scratch, &guest, &cpu, &diag);
    }
    if (err != RESUME_OK)
        refuse_error("preparation", err, &diag);
}

static size_t load(const char *what, const char *name, uint8_t *buffer, size_t capacity)
{
    const size_t length = fw_cfg_load(name, buffer, capacity);

    if (length == 0)
        refuse("%s: there is no fw_cfg file %s: give it", what, name);
    console_line("%s: %u bytes from fw_cfg file %s", what, (uint64_t)length, name);
    return length;
}

void firmware_main(const struct start_info *info) __attribute__((noreturn));

void firmware_main(const struct start_info *info)
{
    const uint64_t apic_base = cpu_read_msr(MSR_APIC_BASE);
    struct firmware_inputs inputs = {
        .state = state,
        .plan = plan,
        .cpuid = {cpu_query_cpuid, NULL},
        .cr4 = cpu_read_cr4(),
        .debug_port = console_port(),
        .apic_pa = (apic_base & APIC_BASE_X2APIC) != 0 ? 0 : apic_base & APIC_BASE_ADDRESS,
    };
    struct resume_diag diag = {0};

    console_line("pvh-firmware " PVH_FIRMWARE_VERSION);
    take_memory_map(info);
    inputs.state_length = load("state", "opt/org.libresume/state", state, sizeof(state));
    inputs.plan_length = load("plan", "opt/org.libresume/plan", plan, sizeof(plan));
    int err = firmware_open(&inputs, &scratch, &guest, &cpu, &diag);
    if (err != RESUME_OK)
        refuse_error("state and plan", err, &diag);
    check_processors();
    check_home();
    console_line("home: %u KiB at %x (physical %x), %u of %u processors",
                 guest.plan.home.length / 1024, guest.plan.home.va, guest.plan.home.pa,
                 (uint64_t)guest.set.active, (uint64_t)guest.state.vcpu_count);
    prepare(&inputs);
    console_line("leaving the firmware");
    memset(&scratch, 0, sizeof(scratch));
    memset(state, 0, sizeof(state));
    memset(plan, 0, sizeof(plan));
    firmware_enter(&inputs, &guest);
    refuse("trampoline: it has come back");
}
