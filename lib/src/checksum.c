/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "checksum.h"

/*
 * What four bits of the message, shifted out, leave in the register: entry n is n taken through
 * four steps with the reflected polynomial 0x82F63B78. Sixteen words keep firmware small.
 */
static const uint32_t remainders[16] = {
    UINT32_C(0x00000000), UINT32_C(0x105ec76f), UINT32_C(0x20bd8ede), UINT32_C(0x30e349b1),
    UINT32_C(0x417b1dbc), UINT32_C(0x5125dad3), UINT32_C(0x61c69362), UINT32_C(0x7198540d),
    UINT32_C(0x82f63b78), UINT32_C(0x92a8fc17), UINT32_C(0xa24bb5a6), UINT32_C(0xb21572c9),
    UINT32_C(0xc38d26c4), UINT32_C(0xd3d3e1ab), UINT32_C(0xe330a81a), UINT32_C(0xf36e6f75),
};

uint32_t resume_crc32c(uint32_t crc, const void *data, size_t length)
{
    const uint8_t *bytes = data;

    crc = ~crc;
    for (size_t i = 0; i < length; i++) {
        crc ^= bytes[i];
        crc = (crc >> 4) ^ remainders[crc & 15];
        crc = (crc >> 4) ^ remainders[crc & 15];
    }
    return ~crc;
}
