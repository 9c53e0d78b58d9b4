/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What a running QEMU tells of its machine: the facts that go into a manifest. */
#ifndef TOOLS_FACTS_H
#define TOOLS_FACTS_H

#include "manifest.h"
#include "qmp.h"

/* facts_cpu_count - the number of vCPUs (query-cpus-fast). */
int facts_cpu_count(struct qmp *qmp, uint32_t *ret_count, struct report_failure *failure);

/* facts_machine_type - the machine's type, "pc-q35-7.2". Failures: those of QMP. */
int facts_machine_type(struct qmp *qmp, char *out, size_t capacity, struct report_failure *failure);

/*
 * facts_read - fill in everything of @manifest but its file list. The VM may run or be stopped; the
 * memory map is that of the moment (firmware and guest can change it), so stop it first.
 * Failures: those of QMP; EXIT_CODE_REFUSED when QEMU's answers lack something.
 */
int facts_read(struct qmp *qmp, struct manifest *manifest, struct report_failure *failure);

/*
 * facts_parse_memory_map - read the output of `info mtree -f`: the flat view of address space
 * "memory", of which lines that a RAM block backs are kept.
 * @text: NUL-terminated.  Writes ranges and range_count of @manifest.
 * Failure: EXIT_CODE_REFUSED with the line that could not be read; nothing is guessed.
 */
int facts_parse_memory_map(const char *text, struct manifest *manifest,
                           struct report_failure *failure);

#endif
