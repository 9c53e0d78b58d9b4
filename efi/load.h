/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Loading: the processor that runs the firmware reads the image from front to back, since only it may
 * call the firmware; all processors authenticate, decrypt and decompress the chunks, and put their
 * pages where they belong. When nothing is ready for them, they clear memory that is to be zero.
 *
 * Each byte is read once. What has been checked is what is used: a chunk lies in memory of the loader's,
 * or already where it belongs, and is not read again.
 */
#ifndef RESUME_EFI_LOAD_H
#define RESUME_EFI_LOAD_H

#include <efi.h>
#include <stdatomic.h>
#include <stdint.h>

#include <resume/placement.h>
#include <resume/sealed.h>

#include "image.h"
#include "progress.h"

/* Measured: docs/IMAGE.md, "Choices, measured". */
#define LOAD_READ (UINT64_C(1) << 20)    /* bytes at a time, or a chunk where that is more */
#define LOAD_SLOTS 8u                    /* reads that are not yet worked off, at most */
#define LOAD_MEMORY (UINT64_C(12) << 20) /* bytes for them; two there are always */
#define LOAD_WORKERS 16u                 /* processors that take part, at most */
#define LOAD_CLEAR_PAGES UINT64_C(256)   /* cleared at a time */

/* Some chunks that are in memory. */
struct load_slot {
    uint8_t *own;    /* memory for them */
    uint8_t *bytes;  /* where they are: there, or where they belong */
    uint64_t offset; /* of these bytes, in the image */
    uint64_t first;  /* chunk */
    uint64_t end;
    _Atomic uint64_t left; /* chunks that are not done; 0: the slot is free */
};

struct load_worker {
    uint8_t *pages; /* of a chunk */
    uint8_t *work;  /* RESUME_SEALED_WORK bytes */
};

struct load {
    struct image *image;
    const struct resume_placement *plan;
    uint64_t memory_pa;
    uint64_t memory_length;
    uint64_t chunk_bytes; /* of the longest chunk */
    uint32_t slot_count;
    uint32_t worker_count;

    /* Of the processor that reads. */
    uint64_t read_next; /* chunk */
    uint64_t batch;     /* slots that have been filled, counted */
    uint64_t position;  /* in the image: what lies before has been read */
    uint64_t carried;   /* bytes of carry: the last ones before position, of the next chunk */
    struct progress progress;

    /* Under the lock: what the next one who asks will get. */
    _Atomic uint32_t lock;
    uint64_t ready;      /* slots that have been filled, as the workers know it */
    uint64_t taken;      /* slots that have been handed out, but perhaps the last one in part */
    uint64_t chunk_next; /* in the slot handed out last */
    uint64_t chunk_end;
    uint64_t clear_index; /* range of plan->clear */
    uint64_t clear_done;  /* frames of it */
    int finished;         /* no more slots will come */
    int err;              /* the first failure, */
    struct resume_diag diag;

    _Atomic uint64_t pages_done;
    _Atomic uint32_t failed; /* an error has occurred: everybody stops */
    _Atomic uint32_t joined; /* workers counted as they begin */

    struct load_slot slots[LOAD_SLOTS];
    struct load_worker workers[LOAD_WORKERS];
    uint8_t carry[RESUME_SEALED_PAGE];
};

/*
 * load_allocate - memory for it, before place_make. @processors: of this machine.
 * @load: given; zeroed. Says what is wrong.
 */
EFI_STATUS load_allocate(EFI_SYSTEM_TABLE *system, struct image *image, uint64_t processors,
                         struct load *load);

/*
 * load_run - put all pages of @load's image where @plan says, and clear what is to be cleared before
 * the firmware goes.
 * Says from where and how fast, or what is wrong. When it returns no other processor is at work.
 */
EFI_STATUS load_run(EFI_SYSTEM_TABLE *system, struct load *load,
                    const struct resume_placement *plan);

/* load_free - wipe and free its memory, and wipe what the work has left on the stack. A zeroed one is
 * fine. */
void load_free(EFI_SYSTEM_TABLE *system, struct load *load);

#endif
