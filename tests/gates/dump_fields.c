/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Prints the library's field table, a line each: tag, name, offset in the payload, size, bit. */
#include <stdio.h>

#include <resume/state.h>

int main(void)
{
    size_t count;
    const struct resume_field *table = resume_field_table(&count);

    for (size_t i = 0; i < count; i++) {
        printf("%u %s %u %u %u\n", table[i].tag, table[i].name,
               table[i].offset - table[i].valid_offset, table[i].size, table[i].valid_bit);
    }
    return 0;
}
