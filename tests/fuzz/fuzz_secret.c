/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The table of launch secrets. What is found must lie in the area; once removed it must not be found
 * again, and nothing else may have changed.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <resume/secret.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(int condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t key[] = RESUME_SECRET_KEY_GUID;
    struct resume_secret secret = {0, 0, 0};
    struct resume_diag diag;
    if (resume_secret_find(data, size, key, &secret, &diag) != RESUME_OK)
        return 0;
    demand(secret.entry >= 20 && secret.data == secret.entry + 20);
    demand(secret.data <= size && secret.length <= size - secret.data);
    demand(memcmp(data + secret.entry, key, sizeof(key)) == 0);
    uint8_t *area = malloc(size);
    if (area == NULL)
        return 0;
    memcpy(area, data, size);
    resume_secret_remove(area, &secret);
    demand(memcmp(area, data, secret.entry) == 0);
    demand(memcmp(area + secret.entry + 16, data + secret.entry + 16, 4) == 0);
    for (size_t i = 0; i < secret.length; i++)
        demand(area[secret.data + i] == 0);
    const size_t end = secret.data + secret.length;
    demand(memcmp(area + end, data + end, size - end) == 0);
    demand(resume_secret_find(area, size, key, &secret, &diag) == RESUME_EMISSING);
    free(area);
    return 0;
}
