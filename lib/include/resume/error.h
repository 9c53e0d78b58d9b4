/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Errors and diagnoses.
 *
 * Every fallible function of libresume returns an int: 0 on success or one of the negative values
 * below. The values are part of the ABI: they are never renumbered and never reused. On failure no
 * output parameter has been written, except the optional diagnosis.
 */
#ifndef RESUME_ERROR_H
#define RESUME_ERROR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum resume_err {
    RESUME_OK = 0,

    /* The caller's arguments are wrong. */
    RESUME_EINVAL = -1, /* an argument is outside what its documentation allows */
    RESUME_ENOSPC = -2, /* the buffer, arena or table that the caller gave is too small */

    /* The bytes are not a well-formed blob. */
    RESUME_ETRUNC = -16,     /* the input ends before what it announces */
    RESUME_EMAGIC = -17,     /* not this kind of file */
    RESUME_EVERSION = -18,   /* a version that this library cannot read */
    RESUME_ECRC = -19,       /* the checksum does not match the content */
    RESUME_ELENGTH = -20,    /* a length field is impossible */
    RESUME_ERESERVED = -21,  /* a field that must be zero is not */
    RESUME_EMANDATORY = -22, /* an unknown record that the writer declared mandatory */
    RESUME_EDUPLICATE = -23, /* a record that may occur once occurs again */
    RESUME_EMISSING = -24,   /* a record or field that is needed is not there */
    RESUME_EORDER = -25,     /* a record out of its order, or of a vCPU that does not exist */

    /* The blob is well formed, but the state in it cannot be loaded. */
    RESUME_ECANON = -32,       /* an address is not canonical */
    RESUME_EREGISTER = -33,    /* reserved bits set, or a value no CPU can hold */
    RESUME_ECONSISTENT = -34,  /* two registers contradict each other */
    RESUME_EUNSUPPORTED = -35, /* legal state that this version does not restore */
    RESUME_ECPU = -36,         /* this machine's CPU lacks a feature the state uses */

    /* Guest memory. */
    RESUME_EUNMAPPED = -48,    /* no translation for this address */
    RESUME_EUNREACHABLE = -49, /* the physical-address callback returned NULL */
    RESUME_ENOHOME = -50,      /* no place for the trampoline in the guest's memory */
    RESUME_ECONFLICT = -51,    /* a mapping or range collides with an existing one */

    /* Snapshot images. */
    RESUME_EIO = -64,    /* what the input is read from failed */
    RESUME_EAUTH = -65,  /* the authentication failed: this is not what was sealed */
    RESUME_EKEY = -66,   /* sealed with another key */
    RESUME_ESTALE = -67, /* another snapshot than the one that is expected */
    RESUME_EDATA = -68   /* compressed data that does not give what it should */
};

/*
 * What exactly was wrong. Filled by a failing function when the caller passes a non-NULL pointer;
 * untouched on success. The strings are static and never NULL once filled.
 */
struct resume_diag {
    const char *where; /* the record, table or structure: "header", "CTRL record", "PML4" */
    const char *field; /* the field in it: "cr4", "length" */
    uint64_t offset;   /* byte offset in the input, or the guest address for memory errors */
    uint64_t found;    /* the value met */
    uint64_t expected; /* the value, limit or mask that was required */
    uint32_t vcpu;     /* the vCPU concerned, or RESUME_NO_VCPU */
    uint32_t code;     /* the enum resume_err that was returned, negated */
};

#define RESUME_NO_VCPU UINT32_MAX

/*
 * resume_strerror - one short English sentence, without a full stop, for an error value.
 * @err: a value returned by this library; anything else gives "unknown error".
 * Context: any. Never NULL; the string is static.
 */
const char *resume_strerror(int err);

#ifdef __cplusplus
}
#endif
#endif
