/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The device sections of a QEMU migration stream, read with the description at its end.
 *
 * A device section has no length of its own. The stream ends with a JSON text (VMDESC) that gives
 * the name, type and size of every field of every section; with it the sections are walked, and each
 * computed end must be the section's footer. The result is a flat list of fields.
 */
#ifndef RESUME_IMPORT_VMDESC_H
#define RESUME_IMPORT_VMDESC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stream.h"

struct json_t; /* jansson's */

/* Limits. More than this is refused. */
#define VMDESC_JSON_MAX (UINT64_C(64) << 20)
#define VMDESC_FIELD_MAX (1u << 20) /* fields of all sections together */
#define VMDESC_SECTION_MAX 65536u
#define VMDESC_EXPAND_MAX 1024u /* longer arrays of numbers stay one field */

/*
 * One field. Its path is
 *   SECTION/FIELD                     "cpu/env.eip"
 *   SECTION/FIELD[i]                  element of an array: "cpu/env.regs[3]"
 *   ... .FIELD                        member of a structure: "cpu/env.segs[1].base"
 *   ... /SUBSECTION/FIELD             "cpu/fpop_ip_dp/env.fpop" (the parent's name, which the format
 *                                     repeats in a subsection's name, is left out)
 * SECTION is the section's name without the instance. Where QEMU's description has several fields
 * of one name in one structure it numbers them itself ("env.xmm_regs[0]", "env.xmm_regs[1]": XMM and
 * the high halves of YMM), and an element index comes after that: "cpu/env.xmm_regs[1][15]...".
 * If two fields of a section have the same path nevertheless, `duplicate` counts 0, 1, ...
 *
 * Arrays of structures are always expanded, arrays of other things up to VMDESC_EXPAND_MAX elements;
 * a longer one is a single field with array_len > 1 and `size` bytes per element.
 */
struct vmdesc_field {
    const char *path;    /* owned by the vmdesc */
    const char *type;    /* QEMU's name: "uint64", "int32", "bool", "buffer", "timer", ... */
    const uint8_t *data; /* size * array_len bytes in the tail, big-endian */
    uint64_t offset;     /* file offset of the data */
    uint32_t size;       /* bytes of one element; may be 0 */
    uint32_t array_len;  /* elements, 1 or more */
    uint32_t duplicate;  /* 0, or how many fields of this path come before it in the section */
    uint32_t hash;       /* private: of the path */
};

/* One device section. */
struct vmdesc_section {
    const char *name;      /* "cpu", "0000:00:1f.0/ICH9LPC"; owned by the vmdesc */
    uint32_t instance;     /* instance id */
    uint32_t version;      /* version id */
    uint32_t id;           /* section id, unique in the stream */
    uint32_t device;       /* index in the description's "devices" array */
    size_t start;          /* first byte of the section's header, as an index into the tail */
    size_t payload;        /* first byte of the payload */
    size_t payload_length; /* bytes */
    size_t end;            /* one past the footer */
    uint32_t first_field;  /* its fields are fields[first_field .. first_field + field_count) */
    uint32_t field_count;
};

/* The device area, read. Owned by the caller; members are read-only for him. */
struct vmdesc {
    const uint8_t *tail; /* borrowed */
    size_t tail_length;
    uint64_t tail_offset; /* file offset of tail[0] */
    uint32_t section_count;
    uint32_t field_count;
    struct vmdesc_section *sections;
    struct vmdesc_field *fields;
    size_t eof;         /* index into the tail of the EOF byte that ends the sections */
    size_t vmdesc;      /* index of the VMDESC section's type byte (06) */
    size_t json;        /* index of the JSON text */
    size_t json_length; /* bytes */
    char *names;        /* private: storage for names and types */
    void *strings;      /* private: storage for paths */
    uint32_t *order;    /* private: the indices of each section's fields, by hash and path */
    uint8_t *owned;     /* private: the tail, when vmdesc_open_end has read it */
};

/*
 * vmdesc_open - read the device area.
 * @tail: from the first byte of the first device section to the end of the input (stream_tail),
 * borrowed until vmdesc_close. @offset: its file offset, for messages and fields.
 * Sections of type COMMAND before or between the devices are skipped.
 * Errors: EMISSING (no description, or a section in the stream that it does not have), ETRUNC,
 * ELENGTH (a length that does not land on the footer, or a limit above), ECONSISTENT (a header that
 * contradicts the description), ERESERVED (not JSON, or not of the expected form), RESUME_IMPORT_ERRNO.
 */
int vmdesc_open(struct vmdesc *desc, const uint8_t *tail, size_t length, uint64_t offset,
                struct stream_error *error);

/*
 * vmdesc_open_end - the same from a file, of which only the end is read: the description, and by it
 * the sections, which must be as described and follow upon the footer of section @before (the RAM).
 * Fails where vmdesc_find_tail may guess wrong.
 * @least: file offset before which the sections cannot begin. @wanted: names of the sections whose fields
 * are wanted, and NULL; all are walked and checked, and of the others no field is kept. Borrowed while it
 * runs, may be NULL: all.
 * Errors: those of vmdesc_open and vmdesc_find_tail; ECONSISTENT (no such footer there).
 */
int vmdesc_open_end(struct vmdesc *desc, const struct import_file *file, uint64_t least,
                    uint32_t before, const char *const *wanted, struct stream_error *error);

/* vmdesc_open_from - the same, when it is known where the sections begin. */
int vmdesc_open_from(struct vmdesc *desc, const struct import_file *file, uint64_t offset,
                     const char *const *wanted, struct stream_error *error);

/*
 * vmdesc_description - the description as a tree, for who writes another one. To be released with
 * json_decref. NULL when memory runs out, or when jansson has an objection to a part of the text that is
 * not read here (a string that is no UTF-8, a number beyond 64 bits).
 */
struct json_t *vmdesc_description(const struct vmdesc *desc);

/* vmdesc_close - free. A zeroed or closed one is fine. */
void vmdesc_close(struct vmdesc *desc);

/*
 * vmdesc_find_tail - where does the device area of a seekable file begin? Reads only its end, not
 * the RAM: the description gives the length of all sections.
 * @length: the file's length in bytes. @ret_offset: file offset of the first device section.
 * The result is an informed guess (it is wrong for streams without footers): read from there to the
 * end and give it to vmdesc_open, and if that fails walk the stream forward.
 * Errors: EMISSING, ELENGTH, ERESERVED, RESUME_IMPORT_ERRNO.
 */
int vmdesc_find_tail(int fd, uint64_t length, uint64_t *ret_offset, struct stream_error *error);

/* The @nth (from 0) section of this name in stream order, or NULL. */
const struct vmdesc_section *vmdesc_section_nth(const struct vmdesc *desc, const char *name,
                                                uint32_t nth);

/* The section of this name and instance id, or NULL. */
const struct vmdesc_section *vmdesc_section_find(const struct vmdesc *desc, const char *name,
                                                 uint32_t instance);

/* The number of sections of this name. */
uint32_t vmdesc_section_count(const struct vmdesc *desc, const char *name);

/* The first field of this path in a section, or NULL. @path: the whole path, section included. */
const struct vmdesc_field *vmdesc_field_find(const struct vmdesc *desc,
                                             const struct vmdesc_section *section,
                                             const char *path);

/* Does the section contain this subsection ("cpu/avx512")? */
bool vmdesc_has_subsection(const struct vmdesc *desc, const struct vmdesc_section *section,
                           const char *path);

/*
 * vmdesc_field_u64 - the value of a number: a field of 1, 2, 4 or 8 bytes and one element. Types
 * whose name begins with "int" are sign-extended.
 * Returns 0 and the value, or EINVAL for any other field.
 */
int vmdesc_field_u64(const struct vmdesc_field *field, uint64_t *ret_value);

#endif
