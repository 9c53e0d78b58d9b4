/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <resume/sealed.h>

#include "internal.h"

void resume_sealed_wipe(void *memory, size_t length)
{
    memset(memory, 0, length);
    /* As far as a compiler knows, this reads all memory: it cannot drop the stores before it, even
     * when it sees that @memory is not used any more (tests/gates/wipe.py). */
    __asm__ volatile("" : : "r"(memory) : "memory");
}
