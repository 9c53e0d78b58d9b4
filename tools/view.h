/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * What `resumectl inspect` knows of an input: what every format has, through input.h, and what only a
 * snapshot directory or a stream has: a plan, device sections, which pages hold something.
 */
#ifndef RESUME_TOOLS_VIEW_H
#define RESUME_TOOLS_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include <resume/guest.h>

#include "input.h"
#include "manifest.h"
#include "ram.h"
#include "report.h"
#include "stream.h"

enum view_kind { VIEW_SNAPSHOT, VIEW_STREAM, VIEW_OTHER };

/* Where the memory map comes from. */
enum view_map_source {
    VIEW_MAP_NONE,     /* there is none */
    VIEW_MAP_MANIFEST, /* the snapshot's manifest, which has it from QEMU */
    VIEW_MAP_INPUT,    /* the state blob, the dump */
    VIEW_MAP_GUESS     /* the machine type and the length of its RAM */
};

/* A device section, in brief. */
struct view_device {
    char name[256];
    uint32_t instance;
    uint32_t version;
    uint64_t length; /* bytes of payload */
};

/* Owned by the caller; a zeroed one is empty. */
struct view {
    enum view_kind kind;
    struct input input; /* open as long as the view is */
    const char *path;   /* as given; borrowed */
    uint64_t file_size; /* of a file; 0 when not known */
    struct resume_machine machine;
    uint32_t vcpu_count;
    struct input_vcpus decoded; /* owned */
    struct resume_vcpu *vcpus;  /* those in `decoded` */

    uint32_t range_count;
    struct manifest_range *ranges; /* owned */
    enum view_map_source map_source;
    uint32_t block_count;
    struct stream_block *blocks; /* owned; none for a state blob */
    uint32_t device_count;
    struct view_device *devices; /* owned */

    int stream_fd; /* owned; -1 when there is none */
    bool have_ram; /* `ram` is indexed, its ranges are those of the map */
    struct ram ram;

    bool have_plan;
    struct resume_plan plan;
    bool have_layout; /* state and plan fit each other: */
    struct resume_image_layout layout;
    struct resume_landing *landings; /* owned: [vcpu_count], of those that are not dormant */
};

/*
 * view_open - look at @path.
 * @format: a name, or NULL to find out by the content.
 * @with_memory: index the RAM of a stream too, which means reading through it; else only its ends are
 * read, if it describes itself.
 * Failures: EXIT_CODE_REFUSED, EXIT_CODE_ENVIRONMENT. On failure nothing needs to be closed.
 */
int view_open(struct view *view, const char *path, const char *format, bool with_memory,
              struct report_failure *failure);

/* view_close - free. A zeroed or closed one is fine. */
void view_close(struct view *view);

/* "snapshot directory", "QEMU migration stream", or the title of the format. */
const char *view_kind_text(const struct view *view);
/* "snapshot", "stream", or the name of the format. */
const char *view_kind_name(const struct view *view);

/* "unknown", "TCG", "KVM". */
const char *view_accel_name(uint32_t accel);

/* The first vCPU that is not dormant; 0 when all are. */
uint32_t view_first_vcpu(const struct view *view);

/* Where the slot of a vCPU's landing begins. @view: with have_layout. */
resume_va_t view_slot_va(const struct view *view, uint32_t index);

/* The page tables of vCPU @index. Returns false when it has no long-mode paging or there is no memory
 * (of a stream: it is not indexed). @out borrows @view. */
bool view_paging(struct view *view, uint32_t index, struct resume_paging *out);

#endif
