/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A small guest with page tables, padding and several vCPUs, as a stream, and the snapshot that is
 * made of it. To be included after cmocka.h.
 */
#ifndef TESTS_SNAPSHOT_GUEST_H
#define TESTS_SNAPSHOT_GUEST_H

#include "manifest.h"
#include "pt_forge.h"
#include "qemu_machine.h"
#include "snapshot_state.h"

#define GUEST_VCPU_MAX 8u
#define GUEST_PAGES 1024u

/* Padding that only the kernel's tables map: 128 pages. */
#define GUEST_TEXT_VA UINT64_C(0xffffffff81100000)
#define GUEST_TEXT_PA UINT64_C(0x100000)
#define GUEST_TEXT_LENGTH UINT64_C(0x80000)
/* Padding that the isolated tables of user mode map too: 96 pages. */
#define GUEST_ENTRY_VA UINT64_C(0xffffffff81200000)
#define GUEST_ENTRY_PA UINT64_C(0x200000)
#define GUEST_ENTRY_LENGTH UINT64_C(0x60000)
/* Padding of tables that have nothing in common with the others: 96 pages. */
#define GUEST_OTHER_VA UINT64_C(0xffffffff81300000)
#define GUEST_GDT_PA UINT64_C(0x300000)
#define GUEST_CODE_PA UINT64_C(0x301000) /* the page of a user mode vCPU's RIP, 0x4ec5ac */

struct guest {
    uint32_t vcpus;
    struct phys phys; /* RAM from 0 */
    struct forge kernel;
    struct forge user;
    struct forge other;
    struct forge bare; /* no padding at all */
    struct machine *vcpu[GUEST_VCPU_MAX];
    struct manifest *manifest;
    struct snapshot_state made;
    bool transient;
    struct report_failure failure;
    char directory[64]; /* of guest_save */
};

/* guest_open - @vcpus in user mode, on the kernel's tables. */
struct guest *guest_open(uint32_t vcpus);

/* guest_close - free, and remove what guest_save wrote. */
void guest_close(struct guest *guest);

/* guest_use - vCPU @index uses these tables. */
void guest_use(struct guest *guest, uint32_t index, const struct forge *tables);

/* guest_in_kernel - vCPU @index is at CPL 0. */
void guest_in_kernel(struct guest *guest, uint32_t index);

/* guest_sleep - the guest has never started vCPU @index. */
void guest_sleep(struct guest *guest, uint32_t index);

/* guest_snapshot - what snapshot_state_make says to the guest as it is now. */
int guest_snapshot(struct guest *guest);

/* guest_save - a snapshot directory of it. guest_snapshot must have been good. */
void guest_save(struct guest *guest);

/* guest_assert_refused - @result is a refusal, and its message has @word in it. */
void guest_assert_refused(const struct guest *guest, int result, const char *word);

#endif
