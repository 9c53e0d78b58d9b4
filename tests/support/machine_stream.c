/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "machine_stream.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stream_build.h"

#define ROM_PAGES 2u

struct machine_stream machine_stream_default(void)
{
    struct machine_stream machine = {
        .machine = "pc-q35-7.2",
        .pages = 40,
        .seed = 0x11,
        .missing_page = MACHINE_STREAM_NO_PAGE,
        .poked_page = MACHINE_STREAM_NO_PAGE,
        .entry_page = MACHINE_STREAM_NO_PAGE,
        .cpus = 1,
        .first_id = 11,
        .cpu_version = 12,
        .rbx = 0x1111,
        .rip = 0xffffffff81000000,
        .mcg_cap = 0xc06,
        .ticks = 1000,
        .widget = 0x600d,
    };
    return machine;
}

void machine_stream_page(const struct machine_stream *machine, uint64_t index,
                         uint8_t page[MACHINE_STREAM_PAGE])
{
    memset(page, 0, MACHINE_STREAM_PAGE);
    if (index % 2 == 1) {
        for (uint32_t i = 0; i < MACHINE_STREAM_PAGE; i++)
            page[i] = (uint8_t)(machine->seed + index * 3 + i * 5 + (i >> 8));
    }
}

static void put_data(struct builder *b, const char *block, uint64_t index, const uint8_t *page)
{
    build_be(b, index * MACHINE_STREAM_PAGE | 0x08 | (block == NULL ? 0x20 : 0), 8);
    if (block != NULL)
        build_name(b, block);
    build_bytes(b, page, MACHINE_STREAM_PAGE);
}

/* @block: NULL to leave the name out. */
static void put_page(struct builder *b, const char *block, uint64_t index, const uint8_t *page)
{
    if (memcmp(page, page + 1, MACHINE_STREAM_PAGE - 1) == 0)
        build_zero(b, block, index * MACHINE_STREAM_PAGE, page[0]);
    else
        put_data(b, block, index, page);
}

static const char *rom_name(const struct machine_stream *machine)
{
    return machine->rom_name != NULL ? machine->rom_name : "rom";
}

static uint64_t rom_pages(const struct machine_stream *machine)
{
    if (machine->no_rom)
        return 0;
    return machine->rom_pages != 0 ? machine->rom_pages : ROM_PAGES;
}

static bool is_sent(const struct machine_stream *machine, bool rom, uint64_t page)
{
    return machine->sends == NULL || machine->sends(rom, page);
}

static void put_pages(struct builder *b, const struct machine_stream *machine)
{
    uint8_t page[MACHINE_STREAM_PAGE];
    const char *block = "pc.ram";
    for (uint64_t i = 0; i < machine->pages; i++) {
        if (i == machine->missing_page || !is_sent(machine, false, i))
            continue;
        machine_stream_page(machine, i, page);
        if (i == machine->poked_page)
            page[machine->poked_byte] ^= 0x80;
        for (uint32_t byte = 0; i == machine->entry_page && byte < 8; byte++)
            page[64 + byte] = (uint8_t)(machine->entry >> 8 * byte);
        if (machine->home != NULL && !machine->home_at_end && i >= machine->home_page &&
            i - machine->home_page < machine->home_pages)
            memcpy(page, machine->home + (i - machine->home_page) * MACHINE_STREAM_PAGE,
                   MACHINE_STREAM_PAGE);
        put_page(b, block, i, page);
        block = NULL;
    }
    block = rom_name(machine);
    for (uint64_t i = 0; i < rom_pages(machine); i++) {
        if (!is_sent(machine, true, i))
            continue;
        build_zero(b, block, i * MACHINE_STREAM_PAGE, 0xf4);
        block = NULL;
    }
}

static void put_ram(struct builder *b, const struct machine_stream *machine)
{
    uint64_t rom = rom_pages(machine);
    build_ram_section(b, 1);
    build_block_list(b, (machine->pages + rom) * MACHINE_STREAM_PAGE);
    build_block(b, "pc.ram", machine->pages * MACHINE_STREAM_PAGE);
    if (rom != 0)
        build_block(b, rom_name(machine), rom * MACHINE_STREAM_PAGE);
    build_ram_section_end(b);
    build_ram_section(b, 2);
    put_pages(b, machine);
    build_ram_section_end(b);
    build_ram_section(b, 3);
    for (uint64_t i = 0; machine->home_at_end && i < machine->home_pages; i++)
        put_data(b, "pc.ram", machine->home_page + i, machine->home + i * MACHINE_STREAM_PAGE);
    build_ram_section_end(b);
}

static void put_cpu(struct builder *b, const struct machine_stream *machine, uint32_t instance)
{
    const struct machine_stream_cpu same = {.rbx = machine->rbx,
                                            .rip = machine->rip,
                                            .halted = machine->halted,
                                            .interrupt_request = machine->interrupt_request,
                                            .mcg_cap = machine->mcg_cap,
                                            .x87_pointers = machine->x87_pointers};
    const struct machine_stream_cpu *cpu = machine->cpu != NULL ? &machine->cpu[instance] : &same;
    build_device(b, "cpu_common", "cpu_common", instance, 1);
    build_field(b, "halted", "uint32", 4, cpu->halted);
    build_field(b, "interrupt_request", "uint32", 4, cpu->interrupt_request);
    build_device_end(b);

    if ((machine->without_cpu >> instance & 1) != 0) {
        b->next_id++;
        return;
    }
    build_device(b, "cpu", "cpu", instance, machine->cpu_version);
    build_describe(b, "env.regs", "uint64", 8, ", \"array_len\": 16");
    for (uint64_t i = 0; i < 16; i++)
        build_be(b, i == 3 ? cpu->rbx : 0x1000 + i, 8);
    build_field(b, "env.eip", "uint64", 8, cpu->rip);
    build_field(b, "env.mcg_cap", "uint64", 8, cpu->mcg_cap);
    if (machine->cpu != NULL)
        build_field(b, "env.hflags2", "uint32", 4, cpu->hflags2);
    if (machine->apic) {
        build_field(b, "env.interrupt_injected", "int32", 4,
                    cpu->injected != 0 ? cpu->injected : UINT32_MAX);
        build_field(b, "env.soft_interrupt", "uint8", 1, 0);
        build_field(b, "env.nmi_pending", "uint8", 1, cpu->nmi_pending);
    }
    if (cpu->x87_pointers || machine->spec_ctrl != 0 || machine->novelty)
        build_subsections(b);
    if (cpu->x87_pointers) {
        build_subsection(b, "cpu/fpop_ip_dp", 1);
        build_field(b, "env.fpop", "uint16", 2, 0x7ff);
        build_field(b, "env.fpip", "uint64", 8, 0x1234567);
        build_field(b, "env.fpdp", "uint64", 8, 0x89abcde);
        build_subsection_end(b);
    }
    if (machine->spec_ctrl != 0) {
        build_subsection(b, "cpu/spec_ctrl", 1);
        build_field(b, "env.spec_ctrl", "uint64", 8, machine->spec_ctrl);
        build_subsection_end(b);
    }
    if (machine->novelty) {
        build_subsection(b, "cpu/novelty", 1);
        build_field(b, "env.novelty", "uint32", 4, 0xbeef);
        build_subsection_end(b);
    }
    build_device_end(b);
}

static void put_words(struct builder *b, const char *name, uint32_t word1)
{
    build_describe(b, name, "uint32", 4, ", \"array_len\": 8");
    for (uint32_t i = 0; i < 8; i++)
        build_be(b, i == 1 ? word1 : 0, 4);
}

static void put_apic(struct builder *b, const struct machine_stream_cpu *cpu, uint32_t instance)
{
    build_device(b, "apic", "apic", instance, 3);
    build_field(b, "id", "uint8", 1, instance);
    put_words(b, "isr", cpu->in_service);
    put_words(b, "irr", cpu->requested);
    build_device_end(b);
}

static void put_devices(struct builder *b, const struct machine_stream *machine)
{
    build_device(b, "timer", "timer", 0, 2);
    build_field(b, "cpu_ticks_offset", "int64", 8, machine->ticks);
    build_field(b, "cpu_clock_offset", "int64", 8, 77);
    if (machine->icount != 0) {
        build_subsections(b);
        build_subsection(b, "timer/icount", 1);
        build_field(b, "qemu_icount_bias", "int64", 8, 5);
        build_field(b, "qemu_icount", "int64", 8, machine->icount);
        build_subsection_end(b);
    }
    build_device_end(b);
    b->next_id = machine->first_id;
    for (uint32_t i = 0; i < machine->cpus; i++) {
        uint32_t instance = machine->reversed ? machine->cpus - 1 - i : i;
        put_cpu(b, machine, instance);
        if (machine->apic)
            put_apic(b, &machine->cpu[instance], instance);
    }
    if (!machine->no_widget) {
        build_device(b, "0000:00:03.0/widget", "widget", 0, 1);
        build_field(b, machine->widget_field != NULL ? machine->widget_field : "value", "uint32", 4,
                    machine->widget);
        build_device_end(b);
    }
}

uint8_t *machine_stream_build(const struct machine_stream *machine, size_t *ret_length,
                              size_t *ret_devices)
{
    struct builder b;
    memset(&b, 0, sizeof(b));
    build_header(&b, machine->machine);
    put_ram(&b, machine);
    put_devices(&b, machine);
    build_finish(&b);
    if (ret_devices != NULL)
        *ret_devices = b.devices_at;
    return build_take(&b, ret_length);
}

int machine_stream_file(const uint8_t *data, size_t length)
{
    int fd = memfd_create("stream", MFD_CLOEXEC);
    size_t done = 0;
    while (fd >= 0 && done < length) {
        ssize_t written = write(fd, data + done, length - done);
        if (written <= 0) {
            close(fd);
            return -1;
        }
        done += (size_t)written;
    }
    if (fd >= 0)
        lseek(fd, 0, SEEK_SET);
    return fd;
}
