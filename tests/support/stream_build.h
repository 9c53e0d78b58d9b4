/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Builds small QEMU migration streams by hand: the bytes and, beside them, the description that
 * goes to the end. Knows nothing of the code that reads them.
 */
#ifndef RESUME_TEST_STREAM_BUILD_H
#define RESUME_TEST_STREAM_BUILD_H

#include <stddef.h>
#include <stdint.h>

struct builder {
    uint8_t *data;
    size_t length;
    size_t capacity;
    char *json; /* the list of devices so far */
    size_t json_length;
    size_t json_capacity;
    uint32_t next_id;
    uint32_t id; /* of the section being written */
    int devices;
    int fields;        /* of the list being written, for the comma */
    size_t devices_at; /* where the device area begins */
    size_t vmdesc_at;  /* where the VMDESC section begins */
};

void build_free(struct builder *b);

/* What was built, in a block of exactly its size, to be freed; @b is freed. */
uint8_t *build_take(struct builder *b, size_t *ret_length);

/* Raw bytes. */
void build_u8(struct builder *b, unsigned value);
void build_be(struct builder *b, uint64_t value, unsigned bytes);
void build_bytes(struct builder *b, const void *data, size_t length);
void build_name(struct builder *b, const char *name); /* one byte of length, then the name */

/* "QEVM", version 3, the configuration with this machine (NULL: none). */
void build_header(struct builder *b, const char *machine);

/* A section of the RAM (id 2): 1 start, 2 part, 3 end. */
void build_ram_section(struct builder *b, unsigned type);
void build_block_list(struct builder *b, uint64_t total); /* then build_block for each */
void build_block(struct builder *b, const char *name, uint64_t length);
/* @block NULL: continue the last one. */
void build_zero(struct builder *b, const char *block, uint64_t offset, uint8_t fill);
void build_page(struct builder *b, const char *block, uint64_t offset, uint8_t first);
void build_ram_section_end(struct builder *b); /* EOS and footer */

/* What build_page puts at index @i of a page that begins with @first. */
uint8_t build_page_byte(uint8_t first, size_t i);

/*
 * mapped-ram, with pages at multiples of BUILD_MAPPED_ALIGN (QEMU: of 1 MiB). The configuration's part
 * goes after build_header, a block in the list in place of build_block.
 * @kinds: for each page.  @first: as for build_page; it grows by 1 with each page.
 * @shift: how far into QEMU's file the stream is said to begin.
 * Returns the index of the block's header.
 */
#define BUILD_MAPPED_ALIGN 256u
enum build_mapped_kind {
    BUILD_MAPPED_ABSENT,
    BUILD_MAPPED_PRESENT,
    BUILD_MAPPED_STALE /* absent, but there are bytes in its place */
};
void build_mapped_capability(struct builder *b);
size_t build_mapped_block(struct builder *b, const char *name, const uint8_t *kinds, unsigned pages,
                          uint8_t first, uint64_t shift);

/* A whole RAM with one block "pc.ram" of @pages pages, all zero. */
void build_small_ram(struct builder *b, unsigned pages);

/* Device sections. */
void build_device(struct builder *b, const char *name, const char *vmsd, unsigned instance,
                  unsigned version);
void build_device_end(struct builder *b);
void build_field(struct builder *b, const char *name, const char *type, unsigned size,
                 uint64_t value);
/* The description of a field and nothing else; @rest is more JSON, from the comma on, or "". */
void build_describe(struct builder *b, const char *name, const char *type, unsigned size,
                    const char *rest);
/* After the fields, before build_device_end. */
void build_subsections(struct builder *b);
void build_subsection(struct builder *b, const char *name, unsigned version);
void build_subsection_end(struct builder *b);

/* EOF byte and VMDESC. */
void build_finish(struct builder *b);

/* Appends raw text to the description. */
void build_json(struct builder *b, const char *text);

/*
 * Sections cpu_common, cpu and apic of one vCPU with the fields that QEMU 7.2 has. @value gives the
 * value of each, called with its path as it is known to the outside ("cpu/env.regs[3]").
 * Subsections follow when the bits are set, those of versions up to 10.2 with them.
 */
#define BUILD_CPU_FPOP 1u
#define BUILD_CPU_AVX512 2u
#define BUILD_CPU_MPX 4u
#define BUILD_CPU_PKRU 8u
#define BUILD_CPU_XSS 16u
#define BUILD_CPU_NO_APIC 32u
#define BUILD_CPU_SIPI 64u
#define BUILD_CPU_MSRS 128u   /* model-specific registers but XSS and BNDCFGS */
#define BUILD_CPU_AMX 256u    /* tiles, and the registers of APX */
#define BUILD_CPU_EVENTS 512u /* of KVM, pending */
#define BUILD_CPU_COMMON 1024u
#define BUILD_CPU_OTHERS 2048u
#define BUILD_CPU_ALL (4095u & ~BUILD_CPU_NO_APIC)
typedef uint64_t (*build_value_fn)(void *ctx, const char *path);
void build_vcpu(struct builder *b, unsigned instance, unsigned parts, build_value_fn value,
                void *ctx);

#endif
