/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Guest memory that lies in a file as ranges of bytes, page by page. */
#ifndef RESUME_IMPORT_MEMORY_H
#define RESUME_IMPORT_MEMORY_H

#include "importer.h"

/* [pa, pa + length) of the guest lies at @offset of the file, uncompressed. */
struct import_span {
    uint64_t pa;
    uint64_t length;
    uint64_t offset;
};

/* As many pages as resume_import_memory promises to keep. */
#define IMPORT_PAGES 17

/* Reads one page of 4 KiB at @pa into @page. Nonzero when there is none. */
typedef int import_page_reader(void *ctx, uint64_t pa, uint8_t *page);

/* The pages given out last. A zeroed one is empty; import_pages_close frees. */
struct import_pages {
    uint8_t *bytes;
    uint64_t at[IMPORT_PAGES];   /* page number + 1; 0 for none */
    uint64_t used[IMPORT_PAGES]; /* when it was asked for last */
    uint64_t clock;
    import_page_reader *read;
    void *ctx;
};

/* import_pages_open - @pages must stay where it is while @out is used. Errors: no memory. */
int import_pages_open(struct import_pages *pages, import_page_reader *read, void *ctx,
                      struct resume_phys *out, struct resume_import_error *error);
void import_pages_close(struct import_pages *pages);

/*
 * import_spans_read - copy a page out of @count spans, which ascend by pa and do not overlap. A page
 * of which only a part is in a span is zero elsewhere. Nonzero when nothing of it is there.
 */
int import_spans_read(const struct import_file *file, const struct import_span *spans, size_t count,
                      uint64_t pa, uint8_t *page);

/* import_spans_sort - in ascending order of pa. Returns nonzero when two overlap or one wraps. */
int import_spans_sort(struct import_span *spans, size_t count);

/* import_spans_ranges - the machine's RAM, in whole pages, joined; what is beyond the room is left out. */
void import_spans_ranges(const struct import_span *spans, size_t count, struct resume_machine *out);

#endif
