/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What an import that is a QEMU stream, or has one in it, knows besides: for tools that show it. */
#ifndef RESUME_IMPORT_IMPORT_STREAM_H
#define RESUME_IMPORT_IMPORT_STREAM_H

#include <resume/import.h>

#include "stream.h"
#include "vmdesc.h"

struct qemu_stream;

/* import_stream - the stream, or NULL when there is none, or it cannot be read. Owned by @import. */
const struct qemu_stream *import_stream(const struct resume_import *import);

/* qemu_stream_devices - its device sections. Owned by @stream. */
const struct vmdesc *qemu_stream_devices(const struct qemu_stream *stream);

/* qemu_stream_blocks - its RAM blocks. Owned by @stream.  @ret_count: not NULL. */
const struct stream_block *qemu_stream_blocks(const struct qemu_stream *stream,
                                              uint32_t *ret_count);

#endif
