/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* A vCPU in the making, for tests of what is decoded: change fields of a stream, then decode it. */
#ifndef RESUME_TEST_QEMU_MACHINE_H
#define RESUME_TEST_QEMU_MACHINE_H

#include "qemu_cpu.h"
#include "stream_build.h"

/* Values of fields; the rest is zero. An entry that comes later wins. */
struct setting {
    const char *path;
    uint64_t value;
};

struct values {
    const struct setting *base;
    size_t base_count;
    struct setting changes[96];
    size_t change_count;
};

/* One vCPU: a Linux guest in user mode under TCG. */
struct machine {
    struct values values;
    unsigned parts;     /* BUILD_CPU_* */
    const char *device; /* one more device section, or NULL */
    struct resume_vcpu vcpu;
    uint8_t area[QEMU_CPU_XSAVE_SIZE];
    uint32_t accel;
    struct stream_error error;
    /* The stream, after machine_open. */
    struct builder builder;
    struct vmdesc desc;
};

struct machine *machine_make(void);
void machine_free(struct machine *m);

/* Changes a field; at most 96 of them. */
void machine_set(struct machine *m, const char *path, uint64_t value);

/* Builds the stream, and leaves it open in m->desc until machine_close. */
void machine_open(struct machine *m);
void machine_close(struct machine *m);

/* Builds the stream and decodes its only vCPU into m->vcpu; returns what qemu_cpu_decode does. */
int machine_decode(struct machine *m);

/* The build_value_fn of a machine: @ctx is a struct values. */
uint64_t machine_value(void *ctx, const char *path);

/* A little-endian number. */
uint64_t machine_le(const uint8_t *p, unsigned bytes);

#endif
