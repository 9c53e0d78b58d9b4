/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Random access to the RAM in a stream file.
 *
 * An index with 8 bytes per page says where each page's last copy lies in the file; pages are read
 * from the file when asked for. Pages that the stream does not have read as zero. A mapped-ram file
 * has such an index itself, and needs none.
 */
#ifndef RESUME_IMPORT_RAM_H
#define RESUME_IMPORT_RAM_H

#include <resume/arena.h>

#include "stream.h"

#define RAM_RANGE_MAX 256u
#define RAM_CACHE_PAGES 256u

/* A range of guest-physical addresses that shows a part of a block. All in bytes, 4 KiB aligned. */
struct ram_range {
    uint64_t base_pa;
    uint64_t length;
    uint32_t block;        /* index of the block */
    uint64_t block_offset; /* what base_pa shows */
};

enum ram_page_kind {
    RAM_PAGE_ABSENT = 0, /* the stream has no entry for it */
    RAM_PAGE_FILL = 1,   /* one byte repeated */
    RAM_PAGE_DATA = 2    /* 4096 bytes in the file */
};

struct ram_page_info {
    enum ram_page_kind kind;
    uint8_t fill;    /* FILL: the byte */
    uint64_t offset; /* DATA: file offset of the 4096 bytes */
};

/* Owned by the caller, who treats the members as private except blocks and block_count. */
struct ram {
    int fd;                         /* borrowed; -1 for memory and for `file` */
    const struct import_file *file; /* borrowed */
    const uint8_t *memory;          /* borrowed */
    uint64_t length;                /* bytes of the file or memory */
    uint32_t block_count;
    struct stream_block *blocks; /* owned */
    uint64_t *first;             /* owned: block -> its first entry in `index` */
    uint64_t *index;             /* owned: one entry per page, all blocks in order */
    uint64_t page_count;
    uint32_t range_count;
    struct ram_range range[RAM_RANGE_MAX];
    uint8_t *cache;      /* owned: RAM_CACHE_PAGES pages */
    uint64_t *cache_tag; /* owned: page number + 1 of each slot, 0 for none */
    int io_error;        /* errno of the last failed read through ram_phys, 0 for none */
};

/*
 * ram_begin - an empty index.
 * @fd: the stream file, readable at any offset (pread), borrowed until ram_close; its position is
 * not used. Offsets in it are those of the events given to ram_add plus nothing: the stream begins
 * at byte 0.
 * Errors: RESUME_IMPORT_ERRNO.
 */
int ram_begin(struct ram *ram, int fd, struct stream_error *error);

/* ram_begin_memory - the same over @length bytes at @data, borrowed until ram_close. */
int ram_begin_memory(struct ram *ram, const void *data, size_t length, struct stream_error *error);

/* ram_begin_file - the same over @file, borrowed until ram_close. */
int ram_begin_file(struct ram *ram, const struct import_file *file, struct stream_error *error);

/*
 * ram_add - take notice of one event of the stream; those that do not concern the RAM are ignored.
 * For callers who walk the stream anyway (while it is captured, say): give it every event, in order.
 * Memory for the index is asked for with the first page.
 * Errors: RESUME_IMPORT_ERRNO, ECONSISTENT (a page without or outside a block), ELENGTH (much more
 * RAM is announced than the file can have pages of).
 */
int ram_add(struct ram *ram, const struct stream *stream, const struct stream_event *event,
            struct stream_error *error);

/*
 * ram_open - ram_begin, then walk the whole file and index it.
 * @ret_tail_offset: optional: file offset of the first device section.
 * Errors: those of ram_begin, stream_next and ram_add.
 */
int ram_open(struct ram *ram, int fd, uint64_t *ret_tail_offset, struct stream_error *error);

/*
 * ram_index - index the whole stream of ram_begin_file. Blocks that were added before stay.
 * Errors: those of stream_next and ram_add.
 */
int ram_index(struct ram *ram, struct stream_error *error);

/* ram_close - free. A zeroed or closed one is fine. */
void ram_close(struct ram *ram);

/*
 * Index of the block of this name, or UINT32_MAX. The memory region of a device, such as "vga.vram",
 * is found too when one device has it: in a stream its name follows the device's path and a slash.
 */
uint32_t ram_block_find(const struct ram *ram, const char *name);

/*
 * ram_page_info - what the stream has for one page. @block_offset: rounded down to its page.
 * Errors: EINVAL (no such block or offset), RESUME_IMPORT_ERRNO (a mapped-ram file cannot be read).
 */
int ram_page_info(const struct ram *ram, uint32_t block, uint64_t block_offset,
                  struct ram_page_info *out);

/*
 * ram_read_page - copy one page. @out: 4096 bytes; on failure it may have been written.
 * Errors: EINVAL (no such block or offset), ETRUNC (the file became shorter), RESUME_IMPORT_ERRNO.
 */
int ram_read_page(struct ram *ram, uint32_t block, uint64_t block_offset, void *out,
                  struct stream_error *error);

/*
 * ram_add_range - say where a part of a block appears in guest-physical memory. The stream does not
 * know; whoever asked QEMU (or knows the machine) does.
 * Errors: EINVAL (unaligned, empty, wrapping, outside the block, or overlapping an earlier range),
 * ENOSPC (more than RAM_RANGE_MAX).
 */
int ram_add_range(struct ram *ram, const struct ram_range *range, struct stream_error *error);

/*
 * ram_guess_ranges - the ranges of pc.ram on a PC, without asking QEMU: [0, L) and, if the block is
 * longer than L, the rest from 4 GiB up.
 * @machine: machine type as in the stream ("pc-q35-7.2", "pc-i440fx-7.2"). The split L is QEMU's
 * default for it and may be wrong for machines started with max-ram-below-4g; callers prefer the
 * truth where they have it. The legacy area below 1 MiB is taken as RAM throughout.
 * Errors: EMISSING (no block "pc.ram"), EUNSUPPORTED (not a PC), those of ram_add_range.
 */
int ram_guess_ranges(struct ram *ram, const char *machine, struct stream_error *error);

/* Translate a guest-physical address. Returns false when no range has it. */
bool ram_locate(const struct ram *ram, resume_pa_t pa, uint32_t *ret_block, uint64_t *ret_offset);

/*
 * ram_phys - access for the library's page walker, through the ranges. Pages are 8-byte aligned
 * copies in a cache: valid until the next call, and writes to them change nothing. A page that
 * cannot be read is NULL, and ram->io_error says why.
 */
struct resume_phys ram_phys(struct ram *ram);

#endif
