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

/* XSTATE_BV: the components of an image that are not in their initial state. */
uint64_t inspect_in_use(const struct resume_xsave *xsave);

/* Names of a home's kind and of a landing's form. */
const char *inspect_home_kind(uint32_t kind);
const char *inspect_landing_form(uint32_t form);
const char *inspect_range_kind(uint32_t kind);
const char *inspect_map_source(enum view_map_source source);

#endif
