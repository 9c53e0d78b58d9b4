/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Small streams of one described machine, for tests that compare or combine two.
 */
#ifndef TESTS_MACHINE_STREAM_H
#define TESTS_MACHINE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MACHINE_STREAM_PAGE 4096u
#define MACHINE_STREAM_NO_PAGE UINT64_MAX

/* What one vCPU has for itself. */
struct machine_stream_cpu {
    uint64_t rbx;
    uint64_t rip;
    uint32_t halted;
    uint32_t interrupt_request;
    uint32_t hflags2;
    uint64_t mcg_cap;
    bool x87_pointers; /* subsection "cpu/fpop_ip_dp" */
    /* With machine_stream.apic: */
    uint32_t injected;   /* the interrupt that KVM is delivering, 0 = none */
    bool nmi_pending;    /* for KVM to deliver */
    uint32_t in_service; /* ISR of the local APIC, vectors 32 to 63 */
    uint32_t requested;  /* IRR, likewise */
};

/* A machine with RAM blocks "pc.ram" and "rom", a "timer", vCPUs and a device "widget". */
struct machine_stream {
    const char *machine;
    uint64_t pages; /* of pc.ram; the odd ones hold data, the even ones are filled with zeroes */
    uint8_t seed;   /* of the data */
    uint64_t missing_page; /* not sent, or MACHINE_STREAM_NO_PAGE */
    uint64_t poked_page;   /* one byte differs from what the seed gives, likewise */
    uint32_t poked_byte;
    uint64_t entry_page; /* this one has `entry` at byte 64, little-endian; likewise */
    uint64_t entry;
    bool no_rom;          /* without that block */
    const char *rom_name; /* its name, NULL = "rom" */
    uint64_t rom_pages;   /* its length, 0 = 2 */
    /* Pages that replace those of pc.ram from `home_page` on: in their place, or, with
     * `home_at_end`, behind all others, each with its block's name. */
    const uint8_t *home;
    uint64_t home_page;
    uint64_t home_pages;
    bool home_at_end;
    uint32_t cpus;
    /* One for each vCPU, in place of the members of these names below; NULL = all have those, and no
     * field for hflags2. */
    const struct machine_stream_cpu *cpu;
    bool apic;            /* with a section "apic" for each, and the events of KVM; needs `cpu` */
    bool reversed;        /* the last vCPU's sections come first */
    uint32_t first_id;    /* section id of the first vCPU */
    uint32_t cpu_version; /* 12 */
    uint32_t halted;
    uint32_t interrupt_request;
    uint64_t rbx;
    uint64_t rip;
    uint64_t mcg_cap;
    uint64_t ticks;           /* of the timer */
    uint32_t widget;          /* the device's value */
    bool x87_pointers;        /* subsection "cpu/fpop_ip_dp" */
    uint64_t spec_ctrl;       /* subsection "cpu/spec_ctrl"; 0 = none, as QEMU has it */
    uint64_t icount;          /* of the timer; 0 = none */
    bool novelty;             /* subsection "cpu/novelty", which nobody knows */
    bool no_widget;           /* without that device */
    const char *widget_field; /* name of its field; NULL = "value" */
    /* NULL = all pages of pc.ram are sent; else which of them, and whether those of the ROM. */
    bool (*sends)(bool rom, uint64_t page);
    uint32_t without_cpu; /* a bit for each vCPU whose section "cpu" is left out, not its id */
};

/* machine_stream_default - a machine of 40 pages with one running vCPU. */
struct machine_stream machine_stream_default(void);

/* machine_stream_page - what page @index of pc.ram holds by the seed. */
void machine_stream_page(const struct machine_stream *machine, uint64_t index,
                         uint8_t page[MACHINE_STREAM_PAGE]);

/*
 * machine_stream_build - the stream, to be freed; NULL when memory runs out.
 * @ret_devices: optional: where the first device section begins.
 */
uint8_t *machine_stream_build(const struct machine_stream *machine, size_t *ret_length,
                              size_t *ret_devices);

/* machine_stream_file - the bytes as a file without a name. Returns a descriptor at its begin, or
 * -1. */
int machine_stream_file(const uint8_t *data, size_t length);

#endif
