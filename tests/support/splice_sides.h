/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A source and a parked target, described so that a test can change either, and what comes of
 * splicing them. To be included after cmocka.h.
 */
#ifndef TESTS_SPLICE_SIDES_H
#define TESTS_SPLICE_SIDES_H

#include "machine_stream.h"
#include "splice.h"

#define SIDES_VCPU_MAX 8u
#define SIDES_HOME_PAGE 8u /* where the home begins in pc.ram */
#define SIDES_HOME_PA UINT64_C(0x8000)
#define SIDES_HOME_VA UINT64_C(0xffffffff81be0000)

/* A home as docs/HANDOFF.md divides it, for XSAVE images of one page; the slots are its end. */
#define SIDES_BLOCKS 0x10000u
#define SIDES_BLOCK_LENGTH 0x7000u
#define SIDES_SLOT_LENGTH 256u
#define SIDES_HOME_LENGTH(vcpus)                                                                   \
    ((SIDES_BLOCKS + (vcpus) * (SIDES_BLOCK_LENGTH + SIDES_SLOT_LENGTH) + 4095u) / 4096u * 4096u)
#define SIDES_SLOTS(vcpus) (SIDES_HOME_LENGTH(vcpus) - (vcpus)*SIDES_SLOT_LENGTH)

/* Both sides of a splice, and what came out. */
struct sides {
    uint32_t vcpus;
    struct machine_stream source;
    struct machine_stream target;
    struct machine_stream_cpu
        source_cpu[SIDES_VCPU_MAX]; /* used when there is more than one vCPU */
    struct machine_stream_cpu target_cpu[SIDES_VCPU_MAX];
    size_t home_length;
    uint8_t home[SIDES_HOME_LENGTH(SIDES_VCPU_MAX)];
    struct resume_control control;
    struct resume_handoff handoff[SIDES_VCPU_MAX]; /* flags 0: dormant */
    struct splice_home place;
    struct splice_parked parked;
    struct splice_poke poke;
    struct splice_result result;
    struct report_failure failure;
    uint8_t *source_data;
    size_t source_length;
    size_t source_devices;
    size_t source_cut; /* bytes at the end that are left out */
    uint64_t claimed_size;
    const char *claimed_hash;
    uint8_t *out;
    size_t out_length;
    size_t out_limit; /* the sink fails beyond it */
    /* The source is an image's device part: this memory is the target's. NULL = it is a snapshot. */
    const struct image_memory *memory;
    bool late;         /* the target is parked only when it is waited for */
    bool never;        /* and then it fails */
    uint32_t awaited;  /* how often it was waited for */
    size_t awaited_at; /* out_length at that moment */
};

/* sides_open - two good sides with @vcpus active vCPUs. */
struct sides *sides_open(uint32_t vcpus);

void sides_close(struct sides *sides);

/* sides_sleep - vCPU @index was never started: dormant in the source, in the firmware's loop in the
 * target. */
void sides_sleep(struct sides *sides, uint32_t index);

/* sides_read_target - what splice_parked_read says to the target as it is described now. */
int sides_read_target(struct sides *sides);

/* sides_target_file - the target's capture as it is described now: a descriptor to be closed. */
int sides_target_file(struct sides *sides);

/* sides_splice - splice source and target as they are described now; the target must be good. */
int sides_splice(struct sides *sides);

/*
 * sides_expected - what the splice must be, to be freed: the source, with the home's pages last and
 * the target's active vCPUs in it.
 * @interrupt_request: of each active vCPU. Of the local APICs the source's ISR and IRR are expected.
 */
uint8_t *sides_expected(struct sides *sides, const uint32_t *interrupt_request, size_t *ret_length);

/* sides_assert_spliced - a splice gives exactly sides_expected. */
void sides_assert_spliced(struct sides *sides, const uint32_t *interrupt_request);

/* sides_assert_refused - @result is a refusal, and its message has @word in it. */
void sides_assert_refused(const struct sides *sides, int result, const char *word);

#endif
