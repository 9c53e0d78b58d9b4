/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The ways in which `resumectl inspect` shows a view. */
#ifndef RESUME_TOOLS_INSPECT_H
#define RESUME_TOOLS_INSPECT_H

#include "memory_map.h"
#include "view.h"

#define INSPECT_ALL UINT32_MAX

/*
 * inspect_print_text - everything, for people.
 * @vcpu: the only vCPU to show, or INSPECT_ALL.
 * @map: the memory map, or NULL to leave it out.  @colour: with escape sequences.
 * @blocks: with UTF-8 block characters.
 */
void inspect_print_text(const struct view *view, uint32_t vcpu, const struct memory_map *map,
                        FILE *out, bool colour, bool blocks);

/*
 * inspect_print_json - everything, for programs.
 * @vcpu: the only vCPU to show, or INSPECT_ALL.
 * Failures: EXIT_CODE_ENVIRONMENT.
 */
int inspect_print_json(const struct view *view, uint32_t vcpu, const struct memory_map *map,
                       FILE *out, struct report_failure *failure);

/* The value of a wide register: @bytes (at most 64) of vector register @index, low byte first,
 * put together from the components of the XSAVE image. */
void inspect_vector(const struct resume_xsave *xsave, unsigned index, unsigned bytes,
                    uint8_t out[64]);

/* Bytes of the widest vector registers that the image has (16, 32 or 64), and how many there are. */
unsigned inspect_vector_width(const struct resume_xsave *xsave);
unsigned inspect_vector_count(const struct resume_xsave *xsave);

/* The place of a component in the image, or NULL when it is not there or does not fit. */
const uint8_t *inspect_component(const struct resume_xsave *xsave, uint32_t id, uint32_t size);

/* Little-endian load of 1 to 8 bytes. */
uint64_t inspect_le(const uint8_t *data, unsigned bytes);

/* Names of a home's kind and of a landing's form. */
const char *inspect_home_kind(uint32_t kind);
const char *inspect_landing_form(uint32_t form);
const char *inspect_range_kind(uint32_t kind);
const char *inspect_map_source(enum view_map_source source);
/* "none", "after STI", "after MOV SS or POP SS", "after an unknown instruction". */
const char *inspect_shadow(uint32_t interrupt_shadow);

#endif
