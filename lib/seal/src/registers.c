/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The only file of this library that is compiled with XMM registers. */
#include "registers.h"

/* In Microsoft's convention XMM6 to XMM15 are the callee's to keep, in the other one they are not: so
 * the compiler saves them around the call. */
__attribute__((ms_abi, noinline)) static void keep(void (*function)(const void *context),
                                                   const void *context)
{
    function(context);
}

void registers_keep(void (*function)(const void *context), const void *context)
{
    keep(function, context);
}
