/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "internal.h"

const char *resume_strerror(int err)
{
    switch (err) {
    case RESUME_OK:
        return "success";
    case RESUME_EINVAL:
        return "an argument is outside its documented range";
    case RESUME_ENOSPC:
        return "the space provided is too small";
    case RESUME_ETRUNC:
        return "the input ends too early";
    case RESUME_EMAGIC:
        return "not this kind of file";
    case RESUME_EVERSION:
        return "this version of the format cannot be read";
    case RESUME_ECRC:
        return "the checksum does not match the content";
    case RESUME_ELENGTH:
        return "a length or count is impossible";
    case RESUME_ERESERVED:
        return "a reserved field is not zero";
    case RESUME_EMANDATORY:
        return "a mandatory record is unknown";
    case RESUME_EDUPLICATE:
        return "something that may occur once occurs again";
    case RESUME_EMISSING:
        return "a required record or field is missing";
    case RESUME_EORDER:
        return "a record is not where it belongs";
    case RESUME_ECANON:
        return "an address is not canonical";
    case RESUME_EREGISTER:
        return "a register holds a value that no CPU can hold";
    case RESUME_ECONSISTENT:
        return "two values contradict each other";
    case RESUME_EUNSUPPORTED:
        return "this version does not restore such a state";
    case RESUME_ECPU:
        return "this CPU lacks a feature that the state uses";
    case RESUME_EUNMAPPED:
        return "the address is not mapped";
    case RESUME_EUNREACHABLE:
        return "the physical address is not reachable";
    case RESUME_ENOHOME:
        return "the guest's memory has no place for the trampoline";
    case RESUME_ECONFLICT:
        return "the range is already used differently";
    case RESUME_EIO:
        return "reading failed";
    case RESUME_EAUTH:
        return "this is not what was sealed";
    case RESUME_EKEY:
        return "sealed with another key";
    case RESUME_ESTALE:
        return "another snapshot than the one expected";
    case RESUME_EDATA:
        return "the compressed data is damaged";
    default:
        return "unknown error";
    }
}

int resume_fail(struct resume_diag *diag, int err, const char *where, const char *field,
                uint64_t offset, uint64_t found, uint64_t expected, uint32_t vcpu)
{
    if (diag != NULL) {
        diag->where = where;
        diag->field = field;
        diag->offset = offset;
        diag->found = found;
        diag->expected = expected;
        diag->vcpu = vcpu;
        diag->code = (uint32_t)-err;
    }
    return err;
}
