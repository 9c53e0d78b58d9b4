/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A firmware that puts a made-up guest's memory back itself (resume/moving.h): moving.py tells it which
 * frames are whose, which pages the guest has and which of them hold something, and looks at the memory
 * afterwards. What a page holds follows from its number.
 */
#include <resume/moving.h>

#include <trampoline.h>

#include <platform.h>

#define RANGES_MAX 4096
#define STEPS_MAX 8192
#define INPUT_MAX 0x10000
#define APIC_PA UINT64_C(0xfee00000)
#define SPINNER_PA UINT64_C(0x8000)
#define SPINNER_STARTED 0xff0
#define CONTENT_MARK (UINT64_C(0xc0de) << 48)
#define GARBAGE_MARK (UINT64_C(0xdead) << 48)
#define WORDS (RESUME_PAGE_SIZE / 8)

extern uint8_t image_begin[];
extern uint8_t image_end[];

static uint8_t state[INPUT_MAX];
static uint8_t plan_file[RESUME_PLAN_SIZE_MAX];
static uint64_t told[4 + 3 * RANGES_MAX];
static struct resume_frames frames[RANGES_MAX];
static struct resume_page_run ram[RANGES_MAX];
static struct resume_page_run content[RANGES_MAX];
static struct resume_placement_step steps[STEPS_MAX];
static struct resume_placement_step final[STEPS_MAX];
static struct resume_page_run clear[STEPS_MAX];
static uint64_t check_scratch[UINT32_C(0x100000) / 8];
static struct resume_vcpu scratch;
static struct resume_guest guest;
static struct resume_cpu cpu;
static struct resume_placement plan;

static size_t load(const char *name, void *buffer, size_t capacity)
{
    const size_t length = fw_cfg_load(name, buffer, capacity);

    if (length == 0)
        refuse("%s: there is none", name);
    return length;
}

static void need(const char *what, int err, const struct resume_diag *diag)
{
    if (err != RESUME_OK)
        refuse_error(what, err, diag);
}

static uint64_t *frame_at(uint64_t frame)
{
    return (uint64_t *)(uintptr_t)(frame << RESUME_PAGE_SHIFT);
}

static void fill_page(uint64_t frame, uint64_t value)
{
    for (uint32_t i = 0; i < WORDS; i++)
        frame_at(frame)[i] = value;
    /* So that a page that comes shifted is another. */
    if (value != 0)
        frame_at(frame)[WORDS - 1] = ~value;
}

static uint64_t take_ranges(struct resume_placement_input *input)
{
    const uint64_t *at = told + 4;

    input->frames_count = (uint32_t)told[0];
    input->ram_count = (uint32_t)told[1];
    input->content_count = (uint32_t)told[2];
    if (told[0] > RANGES_MAX || told[1] > RANGES_MAX || told[2] > RANGES_MAX)
        refuse("ranges: too many");
    for (uint32_t i = 0; i < input->frames_count; i++, at += 3)
        frames[i] = (struct resume_frames){at[0], at[1], (uint32_t)at[2], 0};
    for (uint32_t i = 0; i < input->ram_count; i++, at += 2)
        ram[i] = (struct resume_page_run){at[0], at[1]};
    for (uint32_t i = 0; i < input->content_count; i++, at += 2)
        content[i] = (struct resume_page_run){at[0], at[1]};
    input->frames = frames;
    input->ram = ram;
    input->content = content;
    input->home.first = guest.plan.home.pa >> RESUME_PAGE_SHIFT;
    input->home.count = guest.plan.home.length >> RESUME_PAGE_SHIFT;
    return told[3];
}

/* The tables that this program was started with end at 4 GiB: one GiB more. */
static void map_high_memory(void)
{
    static _Alignas(4096) uint64_t directory[512];
    uint64_t *table;
    uint64_t root;

    __asm__ volatile("movq %%cr3, %0" : "=r"(root));
    table = (uint64_t *)(uintptr_t)(*(uint64_t *)(uintptr_t)root & ~UINT64_C(0xfff));
    for (uint64_t i = 0; i < 512; i++)
        directory[i] =
            (UINT64_C(0x100000000) + i * 0x200000) | RESUME_PTE_P | RESUME_PTE_RW | RESUME_PTE_PS;
    table[4] = (uintptr_t)directory | RESUME_PTE_P | RESUME_PTE_RW;
}

/* All memory but this program's, so that whatever is not written shows. */
static void soil_memory(const struct resume_placement_input *input)
{
    const uint64_t own = (uintptr_t)image_begin >> RESUME_PAGE_SHIFT;
    const uint64_t own_end = ((uintptr_t)image_end + RESUME_PAGE_SIZE - 1) >> RESUME_PAGE_SHIFT;

    for (uint32_t i = 0; i < input->frames_count; i++) {
        const uint64_t end = frames[i].first + frames[i].count;

        for (uint64_t frame = frames[i].first; frame < end; frame++) {
            if (frame >= own && frame < own_end) {
                if (frames[i].kind != RESUME_FRAME_FIRMWARE)
                    refuse("frames: this program is in frame %x", frame);
            } else {
                fill_page(frame, GARBAGE_MARK | frame);
            }
        }
    }
}

/* What a loader does with an image, before boot services end. */
static void load_pages(const struct resume_placement_input *input)
{
    for (uint32_t i = 0; i < input->content_count; i++) {
        const uint64_t end = content[i].first + content[i].count;

        for (uint64_t page = content[i].first; page < end;) {
            struct resume_placement_spot spot;

            need("locate", resume_placement_locate(&plan, page, end - page, &spot), NULL);
            for (uint64_t j = 0; j < spot.pages; j++)
                if (spot.where != RESUME_PLACEMENT_DROPPED)
                    fill_page(spot.frame + j, CONTENT_MARK | (page + j));
            page += spot.pages;
        }
    }
    for (uint32_t i = 0; i < plan.clear_count; i++)
        for (uint64_t j = 0; j < clear[i].count; j++)
            fill_page(clear[i].first + j, 0);
}

static void make_plan(struct resume_placement_input *input, struct resume_placement_area *areas)
{
    struct resume_diag diag = {0};

    plan.steps = steps;
    plan.final = final;
    plan.clear = clear;
    plan.step_capacity = STEPS_MAX;
    plan.final_capacity = STEPS_MAX;
    plan.clear_capacity = STEPS_MAX;
    need("areas", resume_moving_areas(&guest, input, areas, &diag), &diag);
    input->areas = areas;
    input->area_count = RESUME_MOVING_AREAS;
    need("placement", resume_placement_make(input, &plan, &diag), &diag);
    need("check of the placement",
         resume_placement_check(input, &plan, check_scratch, sizeof(check_scratch), &diag), &diag);
}

static void send_to_others(uint32_t command)
{
    *(volatile uint32_t *)(uintptr_t)(APIC_PA + 0x300) = command;
    for (uint32_t i = 0; i < 10000; i++)
        io_write8(0x80, 0);
}

/*
 * Have the other processors be busy in memory that is about to be overwritten, as those of a firmware
 * may be. Whatever they find there instead, zeroes at least, adds to memory.
 */
static void start_spinning(void)
{
    /* cli; xor ax, ax; mov ds, ax; mov bx, 0x8ff0; mov si, ax; inc al; lock inc byte [bx]; jmp $ */
    static const uint8_t code[] = {0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0xbb, 0xf0, 0x8f, 0x89,
                                   0xc6, 0xfe, 0xc0, 0xf0, 0xfe, 0x07, 0xeb, 0xfe};
    volatile uint8_t *started = (uint8_t *)(uintptr_t)(SPINNER_PA + SPINNER_STARTED);

    memcpy((void *)(uintptr_t)SPINNER_PA, code, sizeof(code));
    *started = 0;
    send_to_others(0xc4500);
    send_to_others(0xc4600 | SPINNER_PA >> RESUME_PAGE_SHIFT);
    /* All of them: a startup interrupt that waits outlasts the INIT in QEMU. */
    for (uint32_t i = 0; *started != guest.state.vcpu_count - 1; i++) {
        if (i == 10000000)
            refuse("processors: the others do not start");
        io_write8(0x80, 0);
    }
}

static void enter(uint64_t staging_pa)
{
    typedef void (*enter_fn)(struct resume_transit *);
    const struct resume_trampoline_header *header =
        (const struct resume_trampoline_header *)(uintptr_t)(staging_pa + RESUME_HOME_CODE);
    const enter_fn go = (enter_fn)(uintptr_t)(staging_pa + RESUME_HOME_CODE + header->enter);

    go((struct resume_transit *)(uintptr_t)(staging_pa + guest.staging.transit));
}

void firmware_main(const void *info) __attribute__((noreturn));

void firmware_main(const void *info)
{
    const struct resume_cpuid cpuid = {cpu_query_cpuid, NULL};
    struct resume_placement_area areas[RESUME_MOVING_AREAS];
    struct resume_placement_input input = {0};
    struct resume_moving moving;
    struct resume_diag diag = {0};
    struct resume_transit_input transit = {
        .home = &guest.plan.home,
        .area = &guest.staging,
        .trampoline = resume_trampoline,
        .trampoline_length = resume_trampoline_length,
        .apic_pa = APIC_PA,
        .cr4 = cpu_read_cr4(),
    };
    uint64_t spinning;
    size_t length;

    (void)info;
    length = load("opt/org.libresume/state", state, sizeof(state));
    need("state", resume_guest_open(state, length, &scratch, &guest, &diag), &diag);
    length = load("opt/org.libresume/plan", plan_file, sizeof(plan_file));
    need("plan", resume_guest_plan(&guest, plan_file, length, &diag), &diag);
    need("CPU", resume_cpu_identify(&cpuid, &cpu, &diag), &diag);
    need("CPU", resume_guest_check_cpu(&guest, &cpu, &scratch, &diag), &diag);
    load("opt/org.libresume/ranges", told, sizeof(told));
    spinning = take_ranges(&input);
    make_plan(&input, areas);

    map_high_memory();
    soil_memory(&input);
    load_pages(&input);
    resume_moving_from_plan(&input, &plan, (uint8_t *)frame_at(plan.area[RESUME_MOVING_TABLES]),
                            &moving);
    memcpy((void *)(uintptr_t)moving.steps.steps, steps, plan.step_count * sizeof(steps[0]));
    memcpy((void *)(uintptr_t)moving.final.steps, final, plan.final_count * sizeof(final[0]));
    transit.staging_pa = plan.area[RESUME_MOVING_STAGING] << RESUME_PAGE_SHIFT;
    transit.startup_pa = plan.area[RESUME_MOVING_STARTUP] << RESUME_PAGE_SHIFT;
    transit.levels = guest.set.levels;
    transit.moving = &moving;
    need("transit",
         resume_transit_build(&transit, (uint8_t *)(uintptr_t)transit.staging_pa,
                              (uint8_t *)(uintptr_t)transit.startup_pa, &diag),
         &diag);
    resume_guest_set_moving(&guest, &moving);
    need("image",
         resume_guest_build(&guest, &cpu, resume_trampoline, resume_trampoline_length,
                            console_port(), &scratch, (uint8_t *)(uintptr_t)transit.staging_pa,
                            &diag),
         &diag);
    console_line("%u steps, %u final, %u last; %u pages moved, %u filled", plan.step_count,
                 plan.final_count, plan.last.count, plan.pages_moved, plan.pages_filled);
    for (uint32_t i = 0; i < RESUME_MOVING_AREAS; i++)
        console_line("area %u: %x, %u pages", i, plan.area[i], areas[i].pages);
    if (spinning)
        start_spinning();
    enter(transit.staging_pa);
    refuse("trampoline: it has come back");
}
