/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The value of a QEMU option as a list of key=value pairs: "q35,accel=kvm", or the JSON form that
 * -blockdev, -object and others take, flattened to dotted keys.
 */
#ifndef TOOLS_QEMU_PAIRS_H
#define TOOLS_QEMU_PAIRS_H

#include <stdbool.h>
#include <stddef.h>

#define QEMU_PAIRS_MAX 256

struct qemu_pair {
    char *key;
    char *value; /* NULL: there was no '=' (a flag, or the value of an implied key) */
};

struct qemu_pairs {
    size_t count;
    struct qemu_pair pair[QEMU_PAIRS_MAX];
};

/*
 * qemu_pairs_parse - take an option's value apart. `,,` is a comma in a value.
 * @implied: the key of a first part that has no '='; NULL when there is none.
 * @out: to be freed with qemu_pairs_free.
 * Returns 0; -1 when there are too many parts, the JSON is bad or memory runs out.
 */
int qemu_pairs_parse(const char *text, const char *implied, struct qemu_pairs *out);

/* qemu_pairs_free - fine on a zeroed one. */
void qemu_pairs_free(struct qemu_pairs *pairs);

/* qemu_pairs_get - the value of the last pair with this key, or NULL. */
const char *qemu_pairs_get(const struct qemu_pairs *pairs, const char *key);

/* qemu_pairs_on - is the switch @key on: "on", "yes", "true", "y", or given as a bare flag? */
bool qemu_pairs_on(const struct qemu_pairs *pairs, const char *key);

/* qemu_pairs_set - change the value of every pair with this key. Returns 0, -1 without memory. */
int qemu_pairs_set(struct qemu_pairs *pairs, const char *key, const char *value);

/* qemu_pairs_remove - take out every pair with this key. */
void qemu_pairs_remove(struct qemu_pairs *pairs, const char *key);

/* qemu_pairs_format - the text again, commas in values doubled; to be freed. NULL without memory. */
char *qemu_pairs_format(const struct qemu_pairs *pairs);

#endif
