/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Parts of a record that several formats have in the same form, and loads of bytes at any alignment. */
#ifndef RESUME_IMPORT_RECORD_H
#define RESUME_IMPORT_RECORD_H

#include <resume/state.h>

static inline uint16_t import_le16(const uint8_t *from)
{
    return (uint16_t)(from[0] | (uint32_t)from[1] << 8);
}

static inline uint32_t import_le32(const uint8_t *from)
{
    return import_le16(from) | (uint32_t)import_le16(from + 2) << 16;
}

static inline uint64_t import_le64(const uint8_t *from)
{
    return import_le32(from) | (uint64_t)import_le32(from + 4) << 32;
}

static inline uint32_t import_be32(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static inline uint64_t import_be64(const uint8_t *from)
{
    return (uint64_t)import_be32(from) << 32 | import_be32(from + 4);
}

static inline void import_put_le16(uint8_t *to, uint16_t value)
{
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
}

static inline void import_put_le32(uint8_t *to, uint32_t value)
{
    import_put_le16(to, (uint16_t)value);
    import_put_le16(to + 2, (uint16_t)(value >> 16));
}

static inline void import_put_le64(uint8_t *to, uint64_t value)
{
    import_put_le32(to, (uint32_t)value);
    import_put_le32(to + 4, (uint32_t)(value >> 32));
}

/* The components of an XSAVE image as Intel's CPUs place them, for a format that does not say. */
const struct resume_xcomp *import_xsave_layout(size_t *ret_count);

/*
 * import_xsave_components - fill in which components an image has, and how long it is.
 * @features: those that the guest may use (XCR0), with any bits of no meaning.  @xsave: its area is
 * @available bytes long, 576 or more; length and comp are set here. Components that are not known,
 * or lie beyond the image, are left out.
 * @layout: where they are; NULL for Intel's places.
 */
void import_xsave_components(struct resume_xsave *xsave, uint64_t features, uint32_t available,
                             const struct resume_xcomp *layout, size_t layout_count);

/*
 * import_access - access rights in the form of the record.
 * @flags: the high doubleword of a descriptor, with the parts of base and limit in it, which are
 * dropped. What is not present is unusable.
 */
uint32_t import_access(uint32_t flags);

/*
 * import_msr - note an MSR down.
 * What the record has a field for goes there, unless the field is known already: then, what
 * the MSR says is dropped. All others go into the list, in ascending order, with their flags.
 * An MSR that no resume restores and that is 0 is dropped: there are more of them than the list has
 * room for. Errors: EDUPLICATE, ENOSPC.
 */
int import_msr(struct resume_vcpu *vcpu, uint32_t index, uint64_t value);

#endif
