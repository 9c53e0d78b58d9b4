/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What the sections before the devices mean. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "importer.h"
#include "stream_internal.h"

/* Migration commands that make of the stream something else than a plain one. */
enum {
    COMMAND_POSTCOPY_LISTEN = 4,
    COMMAND_POSTCOPY_RUN = 5,
    COMMAND_POSTCOPY_DISCARD = 6,
    COMMAND_PACKAGED = 7,
    COMMAND_COLO = 8,
    COMMAND_POSTCOPY_RESUME = 9,
    COMMAND_RECV_BITMAP = 10
};

static int read_header(struct stream *stream, struct stream_event *event,
                       struct stream_error *error)
{
    static const struct {
        const char *magic;
        size_t length;
        const char *name;
    } others[] = {
        {"LibvirtQemudSave", 8, "a libvirt save file"},
        {"QFI\xfb", 4, "a qcow2 image"},
        {"\x7f"
         "ELF",
         4, "an ELF file"},
        {"RSMSTATE", 8, "a state blob"},
    };
    int ret = stream_want(stream, 8, "the header", error);
    if (ret != 0)
        return ret;
    const uint8_t *p = stream_cursor(stream);
    if (memcmp(p, "QEVM", 4) != 0) {
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
            if (memcmp(p, others[i].magic, others[i].length) == 0)
                return stream_fail(error, RESUME_EMAGIC, 0, "give a QEMU migration stream",
                                   "this is %s, not a QEMU migration stream", others[i].name);
        }
        return stream_fail(error, RESUME_EMAGIC, 0, "give a QEMU migration stream",
                           "not a QEMU migration stream: it begins with %02x %02x %02x %02x, "
                           "expected \"QEVM\"",
                           p[0], p[1], p[2], p[3]);
    }
    event->kind = STREAM_HEADER;
    event->version = stream_be32(p + 4);
    if (event->version != 3)
        return stream_fail(error, RESUME_EVERSION, 4, NULL,
                           "stream version %u, only version 3 is known", event->version);
    stream_take(stream, 8);
    stream->state = STREAM_STATE_TOP;
    return 0;
}

static int read_command(struct stream *stream, struct stream_event *event,
                        struct stream_error *error)
{
    static const char *const refused[] = {
        [COMMAND_POSTCOPY_LISTEN] = "POSTCOPY_LISTEN",
        [COMMAND_POSTCOPY_RUN] = "POSTCOPY_RUN",
        [COMMAND_POSTCOPY_DISCARD] = "POSTCOPY_RAM_DISCARD",
        [COMMAND_PACKAGED] = "PACKAGED",
        [COMMAND_COLO] = "ENABLE_COLO",
        [COMMAND_POSTCOPY_RESUME] = "POSTCOPY_RESUME",
        [COMMAND_RECV_BITMAP] = "RECV_BITMAP",
    };
    int ret = stream_want(stream, 5, "a command", error);
    if (ret != 0)
        return ret;
    uint32_t command = stream_be16(stream_cursor(stream) + 1);
    size_t length = stream_be16(stream_cursor(stream) + 3);
    if (command < sizeof(refused) / sizeof(refused[0]) && refused[command] != NULL)
        return stream_fail(error, RESUME_EUNSUPPORTED, stream_position(stream), stream_hint_plain,
                           "command %s: this is not a plain migration stream", refused[command]);
    stream_take(stream, 5);
    ret = stream_want(stream, length, "a command", error);
    if (ret != 0)
        return ret;
    stream_take(stream, length);
    event->kind = STREAM_COMMAND;
    event->command = command;
    return 0;
}

/* Header of a START, PART or END section. */
static int read_section(struct stream *stream, struct stream_event *event, uint8_t type,
                        struct stream_error *error)
{
    char name[256];
    uint32_t id;
    uint64_t offset = stream_position(stream);
    stream_take(stream, 1);
    int ret = stream_take_be32(stream, &id, "a section header", error);
    if (ret != 0)
        return ret;
    if (stream->ram_ended)
        return stream_fail(error, RESUME_ECONSISTENT, offset, NULL,
                           "a section of RAM after the end of the RAM");
    if (type == STREAM_TYPE_START) {
        uint32_t instance = 0;
        ret = stream_take_short_name(stream, name, "a section's name", error);
        if (ret == 0)
            ret = stream_take_be32(stream, &instance, "a section header", error);
        if (ret == 0)
            ret = stream_take_be32(stream, &event->version, "a section header", error);
        if (ret != 0)
            return ret;
        if (strcmp(name, "ram") != 0)
            return stream_fail(error, RESUME_EUNSUPPORTED, offset,
                               "detach the device or job that it belongs to, then take the "
                               "snapshot again",
                               "section \"%s\" is sent in parts; only that of the RAM is known",
                               name);
        if (stream->ram_started)
            return stream_fail(error, RESUME_ECONSISTENT, offset, NULL, "the RAM starts twice");
        if (event->version != 4 || instance != 0)
            return stream_fail(error, RESUME_EVERSION, offset, NULL,
                               "RAM section instance %u version %u, expected 0 and 4", instance,
                               event->version);
        stream->ram_started = true;
        stream->ram_id = id;
    } else if (!stream->ram_started || id != stream->ram_id) {
        return stream_fail(error, RESUME_ECONSISTENT, offset, NULL,
                           "a part of section %u, which has not been started", id);
    }
    stream->type = type;
    stream->section = id;
    stream->state = STREAM_STATE_RAM;
    event->kind = STREAM_SECTION;
    return 0;
}

static int read_top(struct stream *stream, struct stream_event *event, struct stream_error *error)
{
    int ret = stream_want(stream, 1, "the list of sections, before the device sections", error);
    if (ret != 0)
        return ret;
    uint8_t type = *stream_cursor(stream);
    switch (type) {
    case STREAM_TYPE_CONFIGURATION:
        return stream_read_configuration(stream, event, error);
    case STREAM_TYPE_COMMAND:
        return read_command(stream, event, error);
    case STREAM_TYPE_START:
    case STREAM_TYPE_PART:
    case STREAM_TYPE_END:
        return read_section(stream, event, type, error);
    case STREAM_TYPE_FULL:
    case STREAM_TYPE_EOF:
    case STREAM_TYPE_VMDESC:
        if (!stream->ram_ended)
            return stream_fail(error, RESUME_EUNSUPPORTED, stream_position(stream),
                               "remove virtio-mem and other devices that are set up early",
                               "%s before the end of the RAM",
                               type == STREAM_TYPE_FULL ? "a device section" : "the stream ends");
        ret = stream_drain(stream, stream_position(stream), true, error);
        if (ret != 0)
            return ret;
        event->kind = STREAM_DEVICES;
        stream->state = STREAM_STATE_DEVICES;
        return 0;
    default:
        return stream_fail(error, RESUME_ECONSISTENT, stream_position(stream), stream_hint_again,
                           "section type 0x%02x, expected the start of a section", type);
    }
}

static int read_footer(struct stream *stream, struct stream_event *event,
                       struct stream_error *error)
{
    int ret = stream_want(stream, 5, "a section's footer", error);
    if (ret != 0)
        return ret;
    if (*stream_cursor(stream) != STREAM_TYPE_FOOTER)
        return stream_fail(error, RESUME_ECONSISTENT, stream_position(stream),
                           "start QEMU without -global migration.send-section-footer=off",
                           "byte 0x%02x, expected the footer of section %u", *stream_cursor(stream),
                           stream->section);
    uint32_t id = stream_be32(stream_cursor(stream) + 1);
    if (id != stream->section)
        return stream_fail(error, RESUME_ECONSISTENT, stream_position(stream), NULL,
                           "the footer of section %u at the end of section %u", id,
                           stream->section);
    stream_take(stream, 5);
    if (stream->type == STREAM_TYPE_END)
        stream->ram_ended = true;
    stream->state = STREAM_STATE_TOP;
    event->kind = STREAM_FOOTER;
    return 0;
}

uint32_t stream_block_find(const struct stream *stream, const char *name)
{
    for (uint32_t i = 0; i < stream->block_count; i++) {
        if (strcmp(stream->blocks[i].name, name) == 0)
            return i;
    }
    return UINT32_MAX;
}

/*
 * What a mapped-ram file has with each block: version, page size, where bitmap and pages are. The
 * pages follow, and after them the next block. Offsets are those of the file that QEMU wrote, which
 * may have had something else before the stream.
 */
static int read_mapped_header(struct stream *stream, struct stream_block *block,
                              struct stream_error *error)
{
    uint64_t offset = stream_position(stream);
    uint64_t bitmap_bytes = (block->length / STREAM_PAGE_SIZE + 63) / 64 * 8;
    uint32_t version = 0;
    uint64_t page_size = 0;
    uint64_t bitmap = 0;
    uint64_t pages = 0;
    int ret = stream_take_be32(stream, &version, "the header of a RAM block's pages", error);
    if (ret == 0)
        ret = stream_take_be64(stream, &page_size, "the header of a RAM block's pages", error);
    if (ret == 0)
        ret = stream_take_be64(stream, &bitmap, "the header of a RAM block's pages", error);
    if (ret == 0)
        ret = stream_take_be64(stream, &pages, "the header of a RAM block's pages", error);
    if (ret != 0)
        return ret;
    if (version != 1 || page_size != STREAM_PAGE_SIZE)
        return stream_fail(error, RESUME_EVERSION, offset, NULL,
                           "mapped-ram of version %u with pages of %llu bytes, expected 1 and 4096",
                           version, (unsigned long long)page_size);
    uint64_t here = stream_position(stream);
    if (stream->block_count == 0)
        stream->shift = bitmap - here;
    if (bitmap < here || bitmap - here != stream->shift || pages < bitmap ||
        pages - bitmap < bitmap_bytes || pages - stream->shift > stream->file->size ||
        block->length > stream->file->size - (pages - stream->shift))
        return stream_fail(
            error, RESUME_ELENGTH, offset, NULL,
            "the pages of RAM block \"%s\" are said to be at 0x%llx, their bitmap at "
            "0x%llx, in a file of 0x%llx bytes",
            block->name, (unsigned long long)pages, (unsigned long long)bitmap,
            (unsigned long long)stream->file->size);
    block->bitmap_offset = here;
    block->pages_offset = pages - stream->shift;
    return stream_jump(stream, block->pages_offset + block->length, error);
}

static int read_block(struct stream *stream, uint64_t left, struct stream_error *error)
{
    struct stream_block block = {.length = 0};
    uint64_t offset = stream_position(stream);
    if (stream->block_count == STREAM_BLOCK_MAX)
        return stream_fail(error, RESUME_ELENGTH, offset, NULL, "more than %u RAM blocks",
                           STREAM_BLOCK_MAX);
    int ret = stream_take_short_name(stream, block.name, "a RAM block's name", error);
    if (ret == 0)
        ret = stream_take_be64(stream, &block.length, "a RAM block's length", error);
    if (ret != 0)
        return ret;
    if (block.length > left || block.length % STREAM_PAGE_SIZE != 0)
        return stream_fail(error, RESUME_ELENGTH, offset, stream_hint_plain,
                           "RAM block \"%s\" of 0x%llx bytes; the list says 0x%llx remain",
                           block.name, (unsigned long long)block.length, (unsigned long long)left);
    if (stream_block_find(stream, block.name) != UINT32_MAX)
        return stream_fail(error, RESUME_EDUPLICATE, offset, NULL,
                           "RAM block \"%s\" is listed twice", block.name);
    if (stream->mapped)
        ret = read_mapped_header(stream, &block, error);
    if (ret == 0)
        stream->blocks[stream->block_count++] = block;
    return ret;
}

/* The list of blocks; @total is the sum of their lengths. */
static int read_blocks(struct stream *stream, struct stream_event *event, uint64_t total,
                       struct stream_error *error)
{
    uint64_t sum = 0;
    if (stream->type != STREAM_TYPE_START || stream->blocks != NULL)
        return stream_fail(error, RESUME_ECONSISTENT, event->offset, NULL,
                           "a list of RAM blocks out of place");
    if (total == 0 || total > STREAM_RAM_MAX)
        return stream_fail(error, RESUME_ELENGTH, event->offset, NULL,
                           "0x%llx bytes of RAM, at most 0x%llx are read",
                           (unsigned long long)total, (unsigned long long)STREAM_RAM_MAX);
    stream->blocks = calloc(STREAM_BLOCK_MAX, sizeof(*stream->blocks));
    if (stream->blocks == NULL)
        return stream_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), event->offset, NULL,
                           "out of memory");
    while (sum < total) {
        stream_let_go(stream);
        int ret = read_block(stream, total - sum, error);
        if (ret != 0)
            return ret;
        sum += stream->blocks[stream->block_count - 1].length;
    }
    event->kind = STREAM_MEMORY;
    return 0;
}

static int read_page(struct stream *stream, struct stream_event *event, uint64_t address,
                     uint64_t flags, struct stream_error *error)
{
    int ret;
    size_t length = flags & STREAM_RAM_PAGE ? STREAM_PAGE_SIZE : 1;
    if ((flags & STREAM_RAM_CONTINUE) == 0) {
        char name[256];
        ret = stream_take_short_name(stream, name, "a page's RAM block", error);
        if (ret != 0)
            return ret;
        stream->last_block = stream_block_find(stream, name);
        if (stream->last_block == UINT32_MAX)
            return stream_fail(error, RESUME_ECONSISTENT, event->offset, NULL,
                               "a page of RAM block \"%s\", which is not in the list", name);
        stream->have_block = true;
        event->named = true;
    } else if (!stream->have_block) {
        return stream_fail(error, RESUME_ECONSISTENT, event->offset, NULL,
                           "a page that continues a RAM block before any block was named");
    }
    const struct stream_block *block = &stream->blocks[stream->last_block];
    if (stream->mapped)
        return stream_fail(error, RESUME_ECONSISTENT, event->offset, NULL,
                           "a page among the sections of a mapped-ram file");
    if (address >= block->length)
        return stream_fail(error, RESUME_ELENGTH, event->offset, NULL,
                           "page 0x%llx of RAM block \"%s\", which has 0x%llx bytes",
                           (unsigned long long)address, block->name,
                           (unsigned long long)block->length);
    ret = stream_want(stream, length, "a page of RAM", error);
    if (ret != 0)
        return ret;
    event->block = stream->last_block;
    event->page_offset = address;
    if (flags & STREAM_RAM_PAGE) {
        event->kind = STREAM_PAGE;
        event->page = stream_cursor(stream);
        event->data_offset = stream_position(stream);
    } else {
        event->kind = STREAM_ZERO;
        event->fill = *stream_cursor(stream);
    }
    stream_take(stream, length);
    return 0;
}

static int refuse_entry(uint64_t flags, uint64_t offset, struct stream_error *error)
{
    static const struct {
        uint64_t flag;
        const char *name;
    } names[] = {
        {0x40, "XBZRLE (capability xbzrle)"},
        {0x80, "HOOK (RDMA)"},
        {0x100, "COMPRESS_PAGE (capability compress)"},
        {0x200, "MULTIFD_FLUSH (capability multifd)"},
        {0x01, "FULL (an old QEMU)"},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (flags & names[i].flag)
            return stream_fail(error, RESUME_EUNSUPPORTED, offset, stream_hint_plain,
                               "a RAM entry of kind %s", names[i].name);
    }
    return stream_fail(error, RESUME_EUNSUPPORTED, offset, stream_hint_plain,
                       "a RAM entry with flags 0x%03llx, which is not a known kind",
                       (unsigned long long)flags);
}

static int read_ram(struct stream *stream, struct stream_event *event, struct stream_error *error)
{
    int ret = stream_want(stream, 8, "the RAM", error);
    if (ret != 0)
        return ret;
    uint64_t address = stream_be64(stream_cursor(stream));
    uint64_t flags = address % STREAM_PAGE_SIZE;
    address -= flags;
    stream_take(stream, 8);
    switch (flags) {
    case STREAM_RAM_PAGE:
    case STREAM_RAM_PAGE | STREAM_RAM_CONTINUE:
    case STREAM_RAM_ZERO:
    case STREAM_RAM_ZERO | STREAM_RAM_CONTINUE:
        return read_page(stream, event, address, flags, error);
    case STREAM_RAM_MEM_SIZE:
        return read_blocks(stream, event, address, error);
    case STREAM_RAM_EOS:
        if (address != 0)
            return stream_fail(error, RESUME_ERESERVED, event->offset, NULL,
                               "an end of RAM entries with address 0x%llx",
                               (unsigned long long)address);
        if (stream->type == STREAM_TYPE_START && stream->blocks == NULL)
            return stream_fail(error, RESUME_EMISSING, event->offset, NULL,
                               "the RAM starts without a list of its blocks");
        event->kind = STREAM_RAM_END;
        stream->state = STREAM_STATE_FOOTER;
        return 0;
    default:
        return refuse_entry(flags, event->offset, error);
    }
}

int stream_next(struct stream *stream, struct stream_event *event, struct stream_error *error)
{
    struct stream_event next;
    int ret = RESUME_EINVAL;

    if (stream->failed)
        return stream_fail(error, RESUME_EINVAL, stream_position(stream), NULL,
                           "the stream has failed before");
    stream_let_go(stream);
    memset(&next, 0, sizeof(next));
    next.offset = stream_position(stream);
    switch ((enum stream_state)stream->state) {
    case STREAM_STATE_HEADER:
        ret = read_header(stream, &next, error);
        break;
    case STREAM_STATE_TOP:
        ret = read_top(stream, &next, error);
        break;
    case STREAM_STATE_RAM:
        ret = read_ram(stream, &next, error);
        break;
    case STREAM_STATE_FOOTER:
        ret = read_footer(stream, &next, error);
        break;
    case STREAM_STATE_DEVICES:
        next.kind = STREAM_DEVICES;
        ret = 0;
        break;
    }
    if (ret != 0) {
        stream->failed = true;
        return ret;
    }
    next.type = stream->type;
    next.section_id = stream->section;
    next.length = stream_position(stream) - next.offset;
    *event = next;
    return 0;
}

const char *stream_machine(const struct stream *stream)
{
    return stream->machine;
}

const struct stream_block *stream_blocks(const struct stream *stream, uint32_t *ret_count)
{
    *ret_count = stream->block_count;
    return stream->blocks;
}

bool stream_is_mapped(const struct stream *stream)
{
    return stream->mapped;
}
