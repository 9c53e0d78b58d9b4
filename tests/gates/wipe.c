/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Has a secret on its stack, wipes it, returns; then looks at what is there. To be compiled with the
 * library's wipe.c and optimized across both: the wiped memory is dead, so that a compiler may drop an
 * ordinary memset. WIPE: what is called, resume_sealed_wipe unless given.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <resume/sealed.h>

#ifndef WIPE
#define WIPE resume_sealed_wipe
#endif

#define LENGTH 256

static uintptr_t where;
static volatile unsigned sum;

static void forget(void *memory, size_t length)
{
    memset(memory, 0, length);
}

__attribute__((noinline)) static void use(const char *argument)
{
    uint8_t secret[LENGTH];
    for (unsigned i = 0; i < LENGTH; i++)
        secret[i] = (uint8_t)(0xa5 ^ argument[0]);
    /* So that it is there at all. */
    __asm__ volatile("" : : "r"(secret) : "memory");
    for (unsigned i = 0; i < LENGTH; i++)
        sum += secret[i];
    where = (uintptr_t)secret;
    WIPE(secret, LENGTH);
}

int main(int argc, char **argv)
{
    unsigned left = 0;
    (void)forget;
    use(argv[argc - 1]);
    /* Nothing has been called since. */
    const volatile uint8_t *secret = (const volatile uint8_t *)where;
    for (unsigned i = 0; i < LENGTH; i++)
        left += secret[i] != 0;
    printf("%u\n", left);
    return left != 0;
}
