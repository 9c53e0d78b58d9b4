/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The only file of this library that is compiled with XMM registers. */
#include "registers.h"

/* In Microsoft's convention XMM6 to XMM15 are the callee's to keep, in the other one they are not: so
 * the compiler saves them around the call. */
__attribute__((ms_abi, noinline)) static void keep(void (*function)(const void *context),
                                                   const void *context)
{
    function(context);
    /* What is left in the others is of the key. */
    __asm__ volatile("pxor %%xmm0, %%xmm0\n\tpxor %%xmm1, %%xmm1\n\tpxor %%xmm2, %%xmm2\n\t"
                     "pxor %%xmm3, %%xmm3\n\tpxor %%xmm4, %%xmm4\n\tpxor %%xmm5, %%xmm5"
                     :
                     :
                     : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5");
}

void registers_keep(void (*function)(const void *context), const void *context)
{
    keep(function, context);
}
