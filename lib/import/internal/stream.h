/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Reading a QEMU migration stream: one forward pass, constant memory.
 *
 * The parser is pulled: each stream_next() gives one event, from the header over every page of RAM
 * to the point where the device sections begin. From there on sections carry no length, so the rest
 * of the input is buffered (stream_tail) and handed to vmdesc.h. Pages are handed out by pointer
 * into a large buffer; nothing is done per byte.
 *
 * A sink may be attached. It is given the bytes that were consumed, in order and each exactly once,
 * in chunks as large as the buffer: a program that passes the stream through does no more work than
 * one that copies it. stream_sink_to and stream_sink_skip let it insert and leave out entries.
 *
 * The input is not trusted: whatever it says, the parser stays within its buffers and makes progress
 * with every event.
 */
#ifndef RESUME_IMPORT_STREAM_H
#define RESUME_IMPORT_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <resume/import.h>

struct import_file;

/*
 * The functions here return 0, a negative enum resume_err when the input is at fault,
 * RESUME_IMPORT_ERRNO when the environment is, or STREAM_ESINK.
 */
#define STREAM_ESINK (-130) /* the sink failed; it has its own diagnosis */

/* Returns true if @code says that the environment failed rather than that the input is bad. */
bool stream_error_is_io(int code);

/*
 * Why something was refused, for modules that read streams. Filled on failure only, and only
 * if the caller passes a non-NULL pointer. @why is a sentence without a full stop that names what
 * was found and what was expected; @hint says what to do and is a static string, never NULL.
 */
struct stream_error {
    int code;        /* what the function returned */
    uint64_t offset; /* byte offset in the stream, STREAM_NO_OFFSET when there is none to name */
    char why[240];
    const char *hint;
};
#define STREAM_NO_OFFSET UINT64_MAX

/*
 * stream_fail - fill @error (which may be NULL) and return @code.
 * @hint: static string, or NULL for the usual one ("take the snapshot again").
 */
int stream_fail(struct stream_error *error, int code, uint64_t offset, const char *hint,
                const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Limits. More than this is refused. */
#define STREAM_PAGE_SIZE 4096u
#define STREAM_BLOCK_MAX 1024u               /* RAM blocks */
#define STREAM_RAM_MAX (UINT64_C(1) << 44)   /* bytes of all RAM blocks together: 16 TiB */
#define STREAM_TAIL_MAX (UINT64_C(64) << 20) /* bytes of device sections and description */
#define STREAM_COMMAND_SWITCHOVER 11u        /* SWITCHOVER_START, sent by QEMU 10 */

/* Section types of the format. */
enum stream_type {
    STREAM_TYPE_EOF = 0x00,
    STREAM_TYPE_START = 0x01,
    STREAM_TYPE_PART = 0x02,
    STREAM_TYPE_END = 0x03,
    STREAM_TYPE_FULL = 0x04,
    STREAM_TYPE_SUBSECTION = 0x05,
    STREAM_TYPE_VMDESC = 0x06,
    STREAM_TYPE_CONFIGURATION = 0x07,
    STREAM_TYPE_COMMAND = 0x08,
    STREAM_TYPE_FOOTER = 0x7e
};

/* Flags in the low 12 bits of a RAM entry's address; for those who write entries. */
#define STREAM_RAM_ZERO UINT64_C(0x02)
#define STREAM_RAM_MEM_SIZE UINT64_C(0x04)
#define STREAM_RAM_PAGE UINT64_C(0x08)
#define STREAM_RAM_EOS UINT64_C(0x10)
#define STREAM_RAM_CONTINUE UINT64_C(0x20)

/* A RAM block as the stream announces it. */
struct stream_block {
    char name[256];  /* NUL-terminated: "pc.ram", "/rom@etc/acpi/tables" */
    uint64_t length; /* bytes, a multiple of 4 KiB */
    /* In a mapped-ram file, else 0: where a bit for each page is that says whether it is there, and
     * where all pages are, in order, with gaps. */
    uint64_t bitmap_offset;
    uint64_t pages_offset;
};

enum stream_event_kind {
    STREAM_HEADER,        /* "QEVM" and version 3 were read */
    STREAM_CONFIGURATION, /* the configuration section was read: stream_machine() is known */
    STREAM_COMMAND,       /* a command section; `command`; skipped */
    STREAM_SECTION,       /* the header of a section of the RAM: `type` START, PART or END */
    STREAM_MEMORY,        /* the list of RAM blocks: stream_blocks() is known */
    STREAM_ZERO,          /* a page of one byte: `block`, `page_offset`, `fill` */
    STREAM_PAGE,          /* a page of data: `block`, `page_offset`, `page` */
    STREAM_RAM_END,       /* the entry that ends this section's RAM entries (EOS) */
    STREAM_FOOTER,        /* the footer of a section of the RAM */
    STREAM_DEVICES        /* RAM is complete; the first device section begins at `offset` */
};

struct stream_event {
    enum stream_event_kind kind;
    uint32_t type;        /* SECTION: enum stream_type. Others: that of the section around them */
    uint32_t section_id;  /* SECTION and what follows up to its FOOTER */
    uint32_t version;     /* HEADER: stream version. SECTION START: section version */
    uint32_t command;     /* COMMAND */
    uint32_t block;       /* ZERO, PAGE: index into stream_blocks() */
    uint64_t page_offset; /* ZERO, PAGE: offset in the block, a multiple of 4 KiB */
    const uint8_t *page;  /* PAGE: 4096 bytes, any alignment, valid until the next call */
    uint8_t fill;         /* ZERO: the byte that the page is filled with */
    bool named;           /* ZERO, PAGE: the entry carries the block's name; else it is that of the
 entry before, which may be in an earlier section */
    uint64_t offset;      /* file offset of the entry's or section's first byte */
    uint64_t data_offset; /* PAGE: file offset of the 4096 bytes */
    uint64_t length;      /* bytes of the stream that the event covers, from `offset` */
};

/*
 * A sink: takes @length bytes, which it must not keep. Returns 0, or anything else to stop: the call
 * in progress then returns STREAM_ESINK.
 */
typedef int (*stream_sink_fn)(void *ctx, const void *data, size_t length);

/* A tap: sees @length bytes as they were read from the descriptor, in order, whatever becomes of them. */
typedef void (*stream_tap_fn)(void *ctx, const void *data, size_t length);

/* A stream being read. Owned by the caller, who treats the members as private. */
struct stream {
    int fd; /* -1 for memory and for `file` */
    const struct import_file *file;
    struct import_file *own_file; /* `file`, when stream_open_seekable has made it */
    stream_sink_fn sink;
    void *sink_ctx;
    stream_tap_fn tap;
    void *tap_ctx;
    uint8_t *buffer;     /* owned when fd >= 0 */
    const uint8_t *data; /* the window: buffer, or the whole memory */
    size_t capacity;
    size_t ahead;     /* of `file`: bytes to be read next */
    size_t start;     /* first byte of the current event in the window */
    size_t end;       /* consumed up to here */
    size_t filled;    /* bytes in the window */
    uint64_t base;    /* file offset of the window's first byte */
    uint64_t sunk;    /* file offset up to which the sink was served */
    bool at_eof;      /* the source is exhausted */
    bool failed;      /* an earlier call failed: so does every later one */
    uint32_t state;   /* private enumeration */
    uint32_t type;    /* of the section being read */
    uint32_t section; /* its id */
    uint32_t ram_id;  /* id of the RAM section, once started */
    bool configured;
    bool mapped; /* mapped-ram: the pages are not in the sections */
    bool ram_started;
    bool ram_ended;
    uint32_t last_block; /* for CONTINUE */
    bool have_block;
    uint32_t block_count;
    struct stream_block *blocks; /* owned */
    uint64_t shift;              /* mapped-ram: what its offsets count besides ours */
    char machine[256];
    uint8_t *tail; /* owned */
    size_t tail_length;
    uint64_t tail_offset;
};

/*
 * stream_open_fd - read from a descriptor: a file from its current position, a pipe or a socket.
 * The descriptor is borrowed and not closed. Offsets count from where reading starts.
 * Errors: RESUME_IMPORT_ERRNO. On success stream_close must be called in the end.
 */
int stream_open_fd(struct stream *stream, int fd, struct stream_error *error);

/*
 * stream_open_memory - read from @length bytes at @data, borrowed until stream_close. @data may be
 * NULL only if @length is 0.
 */
int stream_open_memory(struct stream *stream, const void *data, size_t length,
                       struct stream_error *error);

/*
 * stream_open_file - read from the begin of @file, borrowed until stream_close. Unlike with the others,
 * files of capability mapped-ram are read, and no sink may be attached. Little is read ahead at first.
 */
int stream_open_file(struct stream *stream, const struct import_file *file,
                     struct stream_error *error);

/*
 * stream_open_seekable - the same for who has a descriptor that can be read at any offset. It is
 * borrowed; its position is not used.  @length: of the file, in bytes.
 */
int stream_open_seekable(struct stream *stream, int fd, uint64_t length,
                         struct stream_error *error);

/* stream_is_mapped - is this a mapped-ram file? It has no events ZERO and PAGE. Known with MEMORY. */
bool stream_is_mapped(const struct stream *stream);

/* stream_close - free what the stream owns. A zeroed or closed stream is fine. */
void stream_close(struct stream *stream);

/*
 * stream_set_sink - attach a sink, before the first stream_next. NULL: none (the default).
 */
void stream_set_sink(struct stream *stream, stream_sink_fn sink, void *ctx);

/* stream_set_tap - attach a tap to a stream of stream_open_fd, before the first stream_next. When
 * stream_tail has returned it has seen the whole file. */
void stream_set_tap(struct stream *stream, stream_tap_fn tap, void *ctx);

/*
 * stream_next - read the next event.
 * @event: filled on success only. After STREAM_DEVICES every further call gives STREAM_DEVICES.
 * The order is HEADER [CONFIGURATION] then COMMANDs and sections; the RAM's are SECTION, then
 * MEMORY (in START), ZERO and PAGE in any number, RAM_END, FOOTER.
 * When STREAM_DEVICES is returned the sink has been served up to event->offset; the tail never goes
 * to it.
 * Errors, all naming the offset: ETRUNC (the input ends), EMAGIC, EVERSION, ELENGTH, ERESERVED,
 * ECONSISTENT (a footer, block or order that contradicts what came before), EUNSUPPORTED (a kind of
 * page, section, capability or command that is not read, named), RESUME_IMPORT_ERRNO, STREAM_ESINK.
 * A later entry for the same page replaces an earlier one.
 */
int stream_next(struct stream *stream, struct stream_event *event, struct stream_error *error);

/*
 * stream_sink_to - give the sink everything before file offset @offset, now.
 * stream_sink_skip - as if that were given, but leave it out.
 * @offset: from the sink's present position to the end of the current event. That is enough to
 * insert before an event (its offset), after it (offset + length), or to replace it (to, then
 * skip); only a list of blocks may have gone to the sink already. Whoever leaves out an entry that
 * is `named` must see to it that the next entry, if it is not, gets a name (even in the next
 * section); the simplest way to
 * change pages is to insert named ones before the STREAM_RAM_END of the section of type END.
 * Errors: EINVAL (offset outside that range), STREAM_ESINK.
 */
int stream_sink_to(struct stream *stream, uint64_t offset, struct stream_error *error);
int stream_sink_skip(struct stream *stream, uint64_t offset, struct stream_error *error);

/*
 * stream_tail - read the rest of the input, after STREAM_DEVICES.
 * @ret_data: from the first device section to the end of the input; owned by the stream, valid
 * until stream_close. @ret_length: bytes. @ret_offset: file offset of its first byte.
 * Errors: EINVAL (not there yet), ELENGTH (more than STREAM_TAIL_MAX), RESUME_IMPORT_ERRNO.
 */
int stream_tail(struct stream *stream, const uint8_t **ret_data, size_t *ret_length,
                uint64_t *ret_offset, struct stream_error *error);

/* The machine type, "pc-q35-7.2"; "" before STREAM_CONFIGURATION or when the stream has none. */
const char *stream_machine(const struct stream *stream);

/* The RAM blocks; none before STREAM_MEMORY. @ret_count may not be NULL. Valid until close. */
const struct stream_block *stream_blocks(const struct stream *stream, uint32_t *ret_count);

/* Index of the block with this name, or UINT32_MAX. */
uint32_t stream_block_find(const struct stream *stream, const char *name);

/* Big-endian loads, from any alignment. */
static inline uint16_t stream_be16(const uint8_t *p)
{
    return (uint16_t)((unsigned)p[0] << 8 | p[1]);
}

static inline uint32_t stream_be32(const uint8_t *p)
{
    return (uint32_t)stream_be16(p) << 16 | stream_be16(p + 2);
}

static inline uint64_t stream_be64(const uint8_t *p)
{
    return (uint64_t)stream_be32(p) << 32 | stream_be32(p + 4);
}

#endif
