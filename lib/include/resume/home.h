/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The home: guest memory in which the trampoline waits, and from which it leaves.
 *
 * It must be mapped, supervisor and executable, by the guest's own page tables (the instruction
 * that loads the guest's CR3 runs there), contiguous both virtually and physically, and dead:
 * nothing in the guest executes or reads it. Alignment padding of the guest kernel's text is all
 * of that; it is recognised by its fill byte.
 *
 * The same physical page may well be mapped a second time (kernels map all memory once more, for
 * their own use). That does not matter: no guest instruction runs while the home is in use, the
 * trampoline's own maps cover the home under the one address they need, and what is put back is
 * the physical content, which every alias then shows.
 */
#ifndef RESUME_HOME_H
#define RESUME_HOME_H

#include <resume/paging.h>

#ifdef __cplusplus
extern "C" {
#endif

enum resume_home_kind {
    RESUME_HOME_NONE = 0,
    RESUME_HOME_PADDING = 1, /* executable pages filled with INT3 (0xCC) */
    RESUME_HOME_ZERO = 2     /* executable pages filled with zeroes: wiped again before landing */
};

struct resume_home {
    resume_va_t va;  /* 4 KiB aligned */
    resume_pa_t pa;  /* 4 KiB aligned */
    uint64_t length; /* bytes, a multiple of 4 KiB */
    uint32_t kind;   /* enum resume_home_kind */
    uint8_t fill;    /* the byte it is filled with, and must be refilled with */
    /*
     * 1 when every entry that translates the home has its accessed flag set, and every leaf its
     * dirty flag. Otherwise the CPU sets the flag when it runs from, or writes to, the home at its
     * guest-virtual address: bytes of the guest's tables, outside the home, then differ.
     */
    uint8_t accessed;
    uint8_t dirty;
    uint8_t reserved;
};

/* The longest home that can be asked for, in bytes. */
#define RESUME_HOME_LENGTH_MAX (UINT64_C(16) << 20)

/* What a search looked at; for the message when it finds nothing. */
struct resume_home_search {
    uint64_t pages_executable; /* supervisor-executable 4 KiB units seen */
    uint64_t longest_padding;  /* longest usable run of 0xCC, in bytes */
    uint64_t longest_zero;     /* longest usable run of zeroes, in bytes */
    uint32_t complete;         /* 0: the search's bounds ended it; there is more to look at */
    uint32_t reserved;
};

/*
 * resume_home_find - find a home of @length bytes in the guest's memory.
 * @guest: the guest's page tables, as the CPU used them at the snapshot (user CR3 included). All of
 * the address space is searched: supervisor-executable means present, not user and not NX by all
 * levels taken together, wherever that is.
 * @length: bytes needed, a multiple of 4 KiB, > 0, at most RESUME_HOME_LENGTH_MAX.
 * @out: exactly @length bytes long; taken from the end of the longest run, padding before zeroes,
 * the lower address on a tie. The run's first and last page are not used when it is long enough
 * to spare them; when it can spare only one, that is the first. No page of it is a table page
 * reached from @guest's root: a home that would cover one (it can only be an empty table) is moved
 * down within its run, a few times at most.
 * @search: optional, filled also when nothing is found.
 * Zeroes are a guess where padding is not: an executable page of zeroes may be memory that the
 * guest uses, even an empty table of another address space, so whatever is left behind there is a
 * risk.
 * Bounds, for each half of the address space: 1 << 18 table pages and 8 GiB of executable pages.
 * What lies beyond is not looked at, `search->complete` says so, and the best found so far counts.
 * Errors: EINVAL, ENOHOME (diag: expected = length, found = the longest run), EUNREACHABLE (the
 * root table).
 */
int resume_home_find(const struct resume_paging *guest, uint64_t length, struct resume_home *out,
                     struct resume_home_search *search, struct resume_diag *diag);

/*
 * resume_home_check - is @home still what resume_home_find promises (mapping, rights, fill)?
 * `accessed` and `dirty` are not looked at.
 * Errors: EINVAL (a field of @home that resume_home_find never gives), those of resume_paging_walk,
 * ECONFLICT (rights or contiguity; diag: offset = VA), EUNREACHABLE (a page of the home; offset =
 * PA), ENOHOME (the fill differs; diag: offset = VA of the first wrong byte, found, expected).
 */
int resume_home_check(const struct resume_paging *guest, const struct resume_home *home,
                      struct resume_diag *diag);

#ifdef __cplusplus
}
#endif
#endif
