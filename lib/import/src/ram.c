/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _DEFAULT_SOURCE /* mmap without a file */
#include "ram.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "importer.h"
#include "stream_internal.h"

/* An index entry: the low byte says what it is, the rest is the file offset or the fill byte. */
#define ENTRY_SHIFT 8
#define OFFSET_MAX (UINT64_MAX >> ENTRY_SHIFT)

/* Where the RAM below 4 GiB ends on QEMU's PCs, by default. */
#define LOW_RAM_Q35_SMALL UINT64_C(0xb0000000) /* as long as all of it fits below */
#define LOW_RAM_Q35 UINT64_C(0x80000000)
#define LOW_RAM_PC_SMALL UINT64_C(0xe0000000)
#define LOW_RAM_PC UINT64_C(0xc0000000)
#define FOUR_GIB (UINT64_C(4) << 30)

/* An index of more than this many times the file's length is not for pages that are in it. */
#define INDEX_PER_LENGTH 64u

static int no_memory(struct stream_error *error)
{
    return stream_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), STREAM_NO_OFFSET, NULL, "out of memory");
}

static int invalid(struct stream_error *error, const char *why)
{
    return stream_fail(error, RESUME_EINVAL, STREAM_NO_OFFSET, NULL, "%s", why);
}

static int begin(struct ram *ram, struct stream_error *error)
{
    ram->cache = aligned_alloc(4096, (size_t)RAM_CACHE_PAGES * STREAM_PAGE_SIZE);
    ram->cache_tag = calloc(RAM_CACHE_PAGES, sizeof(*ram->cache_tag));
    if (ram->cache != NULL && ram->cache_tag != NULL)
        return 0;
    ram_close(ram);
    return no_memory(error);
}

int ram_begin(struct ram *ram, int fd, struct stream_error *error)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return stream_fail(error, RESUME_IMPORT_ERRNO(errno), STREAM_NO_OFFSET, "see the cause",
                           "the file cannot be examined: %s", strerror(errno));
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return stream_fail(error, RESUME_IMPORT_ERRNO(ESPIPE), STREAM_NO_OFFSET,
                           "give a regular file",
                           "this is not a file that can be read at any offset");
    memset(ram, 0, sizeof(*ram));
    ram->fd = fd;
    ram->length = (uint64_t)st.st_size;
    return begin(ram, error);
}

int ram_begin_file(struct ram *ram, const struct import_file *file, struct stream_error *error)
{
    memset(ram, 0, sizeof(*ram));
    ram->fd = -1;
    ram->file = file;
    ram->length = file->size;
    return begin(ram, error);
}

int ram_begin_memory(struct ram *ram, const void *data, size_t length, struct stream_error *error)
{
    memset(ram, 0, sizeof(*ram));
    ram->fd = -1;
    ram->memory = data;
    ram->length = length;
    return begin(ram, error);
}

void ram_close(struct ram *ram)
{
    if (ram->index != NULL)
        munmap(ram->index, (size_t)ram->page_count * sizeof(*ram->index));
    free(ram->blocks);
    free(ram->first);
    free(ram->cache);
    free(ram->cache_tag);
    memset(ram, 0, sizeof(*ram));
    ram->fd = -1;
}

static int add_blocks(struct ram *ram, const struct stream *stream, struct stream_error *error)
{
    uint32_t count;
    const struct stream_block *blocks = stream_blocks(stream, &count);
    if (ram->blocks != NULL)
        return invalid(error, "the RAM blocks are known already");
    ram->blocks = calloc(count + 1, sizeof(*ram->blocks));
    ram->first = calloc(count + 1, sizeof(*ram->first));
    if (ram->blocks == NULL || ram->first == NULL)
        return no_memory(error);
    for (uint32_t i = 0; i < count; i++) {
        ram->blocks[i] = blocks[i];
        ram->first[i] = ram->page_count;
        ram->page_count += blocks[i].length / STREAM_PAGE_SIZE;
    }
    ram->block_count = count;
    return 0;
}

/*
 * The index is as long as the stream says that the RAM is, but only pages that really occur in the
 * stream make it take up memory: the mapping is not reserved.
 */
static int make_index(struct ram *ram, struct stream_error *error)
{
    uint64_t bytes = ram->page_count * sizeof(*ram->index);
    if (bytes / INDEX_PER_LENGTH > ram->length)
        return stream_fail(error, RESUME_ELENGTH, STREAM_NO_OFFSET, NULL,
                           "0x%llx pages of RAM are announced, in a file of 0x%llx bytes",
                           (unsigned long long)ram->page_count, (unsigned long long)ram->length);
    void *index = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (index == MAP_FAILED)
        return no_memory(error);
    ram->index = index;
    return 0;
}

int ram_add(struct ram *ram, const struct stream *stream, const struct stream_event *event,
            struct stream_error *error)
{
    if (event->kind == STREAM_MEMORY)
        return add_blocks(ram, stream, error);
    if (event->kind != STREAM_PAGE && event->kind != STREAM_ZERO)
        return 0;
    if (event->block >= ram->block_count ||
        event->page_offset >= ram->blocks[event->block].length || event->data_offset > OFFSET_MAX)
        return stream_fail(error, RESUME_ECONSISTENT, event->offset, NULL,
                           "a page that is in no RAM block");
    if (ram->index == NULL) {
        int ret = make_index(ram, error);
        if (ret != 0)
            return ret;
    }
    uint64_t *entry = &ram->index[ram->first[event->block] + event->page_offset / STREAM_PAGE_SIZE];
    if (event->kind == STREAM_PAGE)
        *entry = event->data_offset << ENTRY_SHIFT | RAM_PAGE_DATA;
    else
        *entry = (uint64_t)event->fill << ENTRY_SHIFT | RAM_PAGE_FILL;
    return 0;
}

static int walk(struct ram *ram, struct stream *stream, uint64_t *ret_tail_offset,
                struct stream_error *error)
{
    struct stream_event event;
    do {
        int ret = stream_next(stream, &event, error);
        if (ret == 0 && !(event.kind == STREAM_MEMORY && ram->blocks != NULL))
            ret = ram_add(ram, stream, &event, error);
        if (ret != 0)
            return ret;
    } while (event.kind != STREAM_DEVICES);
    if (ret_tail_offset != NULL)
        *ret_tail_offset = event.offset;
    return 0;
}

int ram_index(struct ram *ram, struct stream_error *error)
{
    struct stream stream;
    int ret = stream_open_file(&stream, ram->file, error);
    if (ret != 0)
        return ret;
    ret = walk(ram, &stream, NULL, error);
    stream_close(&stream);
    return ret;
}

int ram_open(struct ram *ram, int fd, uint64_t *ret_tail_offset, struct stream_error *error)
{
    struct stream stream;
    int ret = ram_begin(ram, fd, error);
    if (ret != 0)
        return ret;
    ret = stream_open_seekable(&stream, fd, ram->length, error);
    if (ret == 0) {
        ret = walk(ram, &stream, ret_tail_offset, error);
        stream_close(&stream);
    }
    if (ret != 0)
        ram_close(ram);
    return ret;
}

/* "0000:00:01.0/vga.vram" ends in "/vga.vram". */
static bool is_of_device(const char *block, const char *region)
{
    size_t length = strlen(block);
    size_t tail = strlen(region);
    return length > tail && block[length - tail - 1] == '/' &&
           strcmp(block + length - tail, region) == 0;
}

uint32_t ram_block_find(const struct ram *ram, const char *name)
{
    uint32_t found = UINT32_MAX;
    uint32_t count = 0;
    for (uint32_t i = 0; i < ram->block_count; i++) {
        if (strcmp(ram->blocks[i].name, name) == 0)
            return i;
        if (is_of_device(ram->blocks[i].name, name)) {
            found = i;
            count++;
        }
    }
    return count == 1 ? found : UINT32_MAX;
}

static bool inside(const struct ram *ram, uint32_t block, uint64_t offset)
{
    return block < ram->block_count && offset < ram->blocks[block].length;
}

static uint64_t page_number(const struct ram *ram, uint32_t block, uint64_t offset)
{
    return ram->first[block] + offset / STREAM_PAGE_SIZE;
}

static int read_bytes(const struct ram *ram, uint64_t offset, void *out, size_t length,
                      struct stream_error *error)
{
    const struct import_file own = {.fd = ram->fd, .size = ram->length, .name = "the stream"};
    if (ram->memory == NULL)
        return stream_read_at(ram->file != NULL ? ram->file : &own, offset, out, length, error);
    if (offset > ram->length || ram->length - offset < length)
        return stream_fail(error, RESUME_ETRUNC, offset, NULL, "the page is beyond the end");
    memcpy(out, ram->memory + offset, length);
    return 0;
}

/* Of a mapped-ram file: pages whose bit is clear are zero, whatever lies in their place. */
static int mapped_info(const struct ram *ram, const struct stream_block *block, uint64_t page,
                       struct ram_page_info *out, struct stream_error *error)
{
    uint8_t bits;
    int ret = read_bytes(ram, block->bitmap_offset + page / 8, &bits, sizeof(bits), error);
    if (ret != 0)
        return ret;
    *out = (struct ram_page_info){.kind = RAM_PAGE_FILL};
    if (bits >> page % 8 & 1) {
        out->kind = RAM_PAGE_DATA;
        out->offset = block->pages_offset + page * STREAM_PAGE_SIZE;
    }
    return 0;
}

static int page_info(const struct ram *ram, uint32_t number, uint64_t page,
                     struct ram_page_info *out, struct stream_error *error)
{
    const struct stream_block *block = &ram->blocks[number];
    if (block->pages_offset != 0)
        return mapped_info(ram, block, page, out, error);
    uint64_t entry = ram->index != NULL ? ram->index[ram->first[number] + page] : 0;
    *out = (struct ram_page_info){.kind = (enum ram_page_kind)(entry & 0xff)};
    if (out->kind == RAM_PAGE_DATA)
        out->offset = entry >> ENTRY_SHIFT;
    else
        out->fill = (uint8_t)(entry >> ENTRY_SHIFT);
    return 0;
}

int ram_page_info(const struct ram *ram, uint32_t block, uint64_t block_offset,
                  struct ram_page_info *out)
{
    if (!inside(ram, block, block_offset))
        return RESUME_EINVAL;
    return page_info(ram, block, block_offset / STREAM_PAGE_SIZE, out, NULL);
}

static int read_page(const struct ram *ram, uint32_t block, uint64_t page, uint8_t *out,
                     struct stream_error *error)
{
    struct ram_page_info info;
    int ret = page_info(ram, block, page, &info, error);
    if (ret != 0)
        return ret;
    if (info.kind == RAM_PAGE_DATA)
        return read_bytes(ram, info.offset, out, STREAM_PAGE_SIZE, error);
    memset(out, info.fill, STREAM_PAGE_SIZE);
    return 0;
}

int ram_read_page(struct ram *ram, uint32_t block, uint64_t block_offset, void *out,
                  struct stream_error *error)
{
    if (!inside(ram, block, block_offset))
        return invalid(error, "a page that is in no RAM block");
    return read_page(ram, block, block_offset / STREAM_PAGE_SIZE, out, error);
}

int ram_add_range(struct ram *ram, const struct ram_range *range, struct stream_error *error)
{
    if ((range->base_pa | range->length | range->block_offset) % STREAM_PAGE_SIZE != 0)
        return invalid(error, "a memory range that is not page-aligned");
    if (range->length == 0 || range->base_pa + range->length < range->base_pa)
        return invalid(error, "a memory range that is empty or wraps");
    if (range->block >= ram->block_count ||
        range->block_offset > ram->blocks[range->block].length ||
        range->length > ram->blocks[range->block].length - range->block_offset)
        return invalid(error, "a memory range beyond its RAM block");
    for (uint32_t i = 0; i < ram->range_count; i++) {
        const struct ram_range *other = &ram->range[i];
        if (range->base_pa < other->base_pa + other->length &&
            other->base_pa < range->base_pa + range->length)
            return invalid(error, "memory ranges that overlap");
    }
    if (ram->range_count == RAM_RANGE_MAX)
        return stream_fail(error, RESUME_ENOSPC, STREAM_NO_OFFSET, NULL,
                           "more than %u memory ranges", RAM_RANGE_MAX);
    ram->range[ram->range_count++] = *range;
    return 0;
}

int ram_guess_ranges(struct ram *ram, const char *machine, struct stream_error *error)
{
    uint32_t block = ram_block_find(ram, "pc.ram");
    uint64_t low;
    if (block == UINT32_MAX)
        return stream_fail(error, RESUME_EMISSING, STREAM_NO_OFFSET, NULL,
                           "there is no RAM block \"pc.ram\"");
    uint64_t total = ram->blocks[block].length;
    if (strncmp(machine, "pc-q35-", 7) == 0)
        low = total >= LOW_RAM_Q35_SMALL ? LOW_RAM_Q35 : total;
    else if (strncmp(machine, "pc-i440fx-", 10) == 0)
        low = total >= LOW_RAM_PC_SMALL ? LOW_RAM_PC : total;
    else
        return stream_fail(error, RESUME_EUNSUPPORTED, STREAM_NO_OFFSET,
                           "give a snapshot directory, which has the memory map",
                           "where the RAM of machine \"%.64s\" lies is not known", machine);
    struct ram_range range = {.base_pa = 0, .length = low, .block = block};
    int ret = ram_add_range(ram, &range, error);
    if (ret != 0 || low == total)
        return ret;
    range = (struct ram_range){
        .base_pa = FOUR_GIB, .length = total - low, .block = block, .block_offset = low};
    return ram_add_range(ram, &range, error);
}

bool ram_locate(const struct ram *ram, resume_pa_t pa, uint32_t *ret_block, uint64_t *ret_offset)
{
    for (uint32_t i = 0; i < ram->range_count; i++) {
        const struct ram_range *range = &ram->range[i];
        if (pa >= range->base_pa && pa - range->base_pa < range->length) {
            *ret_block = range->block;
            *ret_offset = range->block_offset + (pa - range->base_pa);
            return true;
        }
    }
    return false;
}

static void *phys_page(void *ctx, resume_pa_t pa)
{
    struct ram *ram = ctx;
    uint32_t block;
    uint64_t offset;
    if (!ram_locate(ram, pa, &block, &offset))
        return NULL;
    uint64_t number = page_number(ram, block, offset);
    size_t slot = (size_t)(number % RAM_CACHE_PAGES);
    uint8_t *page = ram->cache + slot * STREAM_PAGE_SIZE;
    if (ram->cache_tag[slot] != number + 1) {
        ram->cache_tag[slot] = 0;
        int ret = read_page(ram, block, offset / STREAM_PAGE_SIZE, page, NULL);
        if (stream_error_is_io(ret))
            ram->io_error = RESUME_IMPORT_ERRNO(ret); /* which is its own inverse */
        if (ret != 0)
            return NULL;
        ram->cache_tag[slot] = number + 1;
    }
    return page;
}

struct resume_phys ram_phys(struct ram *ram)
{
    return (struct resume_phys){.page = phys_page, .ctx = ram};
}
