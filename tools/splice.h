/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The splice: one stream made of two. Memory and devices are the source's; the vCPUs that are resumed
 * and the home they wait in are the parked target's. A dormant vCPU, which the guest never started,
 * is like a device: it is the source's.
 *
 * The source's stream passes through in constant memory up to its device sections. There the home's
 * pages are inserted as one more part of the RAM section (a later copy of a page replaces an earlier
 * one), and then the device sections follow in the source's order, those of the resumed vCPUs with
 * the target's content.
 *
 * With a snapshot image the source is its device part, and the guest's memory is the target's, whose
 * firmware has loaded it: it is inserted at the same point, in constant memory too, but for a bit for
 * each page.
 */
#ifndef RESUME_TOOLS_SPLICE_H
#define RESUME_TOOLS_SPLICE_H

#include <stdbool.h>
#include <stdint.h>

#include <resume/handoff.h>
#include <resume/home.h>

#include "image_memory.h"
#include "manifest.h"
#include "progress.h"
#include "report.h"
#include "stream.h"
#include "vmdesc.h"

/* Where the home lies: for the guest, and in the stream. */
struct splice_home {
    resume_va_t va;
    bool va_unknown; /* of a sealed image without its key: `va` is 0, the target knows better */
    resume_pa_t pa;
    uint64_t length;                 /* whole pages, at most RESUME_HOME_LENGTH_MAX */
    uint64_t offset;                 /* of the home in the RAM block */
    char block[MANIFEST_STRING_MAX]; /* name of the RAM block */
};

/*
 * splice_locate - where guest-physical memory lies in the stream, by the manifest's memory map.
 * @length: bytes, > 0; the whole range must lie in one range of RAM.
 * @ret_offset: offset in the block.  Returns the range, or NULL.
 */
const struct manifest_range *splice_locate(const struct manifest *manifest, resume_pa_t pa,
                                           uint64_t length, uint64_t *ret_offset);

/* splice_home_locate - place the plan's home. Failure: EXIT_CODE_REFUSED (not in RAM). */
int splice_home_locate(struct splice_home *out, const struct resume_home *home,
                       const struct manifest *manifest, struct report_failure *failure);

/*
 * What a resume needs of the parked target's capture. Owned by the caller; members are read-only.
 * vCPU n is the n-th section "cpu" of the capture and the n-th vCPU of the state blob.
 */
struct splice_parked {
    struct stream stream;           /* the capture, read to its end */
    struct vmdesc desc;             /* its device sections */
    struct resume_control control;  /* the home's part for all vCPUs, decoded */
    struct resume_handoff *handoff; /* [control.vcpu_count], empty for dormant vCPUs */
    uint8_t *home;                  /* the home, home_length bytes */
    uint64_t home_length;
};

/*
 * splice_parked_read - read a capture of the parked target, once, front to back.
 * @fd: a file, pipe or socket; borrowed.
 * Checks that every page of the home came, that control and handoffs in it are of this version and
 * for this home, that every active vCPU is in it, and that all of them wait for `go`. Dormant vCPUs
 * may be anywhere.
 * Failures: EXIT_CODE_REFUSED, EXIT_CODE_ENVIRONMENT.
 */
int splice_parked_read(struct splice_parked *out, int fd, const struct splice_home *home,
                       struct progress *progress, struct report_failure *failure);

/* A wrong byte, planted on purpose: a testing aid for what is to find it. */
struct splice_poke {
    uint64_t offset; /* in the block */
    uint8_t mask;    /* XORed to the byte; 0 = none */
    char block[MANIFEST_STRING_MAX];
};

/* Where the memory goes that the target's firmware has loaded from an image. */
struct splice_pass {
    const struct image_memory *memory; /* of these pages, all but the home's go through */
    const struct splice_poke *poke;    /* optional: a byte of it */
    stream_sink_fn write; /* takes entries of a RAM section; the first one names its block */
    void *write_ctx;
};

/*
 * splice_parked_pass - splice_parked_read for a target that has loaded an image: its memory goes
 * through while the capture is read, before it is known whether the target is as it should be.
 * Takes a bit of memory for each page.
 * Failures: those of splice_parked_read; EXIT_CODE_REFUSED (a page of the memory is not there),
 * EXIT_CODE_ENVIRONMENT (the sink stopped).
 */
int splice_parked_pass(struct splice_parked *out, int fd, const struct splice_home *home,
                       const struct splice_pass *pass, struct progress *progress,
                       struct report_failure *failure);

/* splice_parked_close - free. A zeroed or closed one is fine. */
void splice_parked_close(struct splice_parked *parked);

/* splice_parked_active - is vCPU @index resumed? False for a dormant one, and for one that is not
 * there. */
bool splice_parked_active(const struct splice_parked *parked, uint32_t index);

/*
 * splice_parked_slot - the slot of an active vCPU's landing, as it is before the landing runs.
 * @ret_offset: its offset in the home.
 * Returns RESUME_LANDING_MAX bytes, borrowed from @parked; NULL for a vCPU that is not active.
 * After the landing, the slot is as it is here from handoff[@index].remains on, and below that filled
 * with the home's fill byte.
 */
const uint8_t *splice_parked_slot(const struct splice_parked *parked, uint32_t index,
                                  uint64_t *ret_offset);

/*
 * splice_parked_index - the number of the vCPU whose sections have this instance id, or UINT32_MAX.
 */
uint32_t splice_parked_index(const struct splice_parked *parked, uint32_t instance);

/*
 * splice_check - can the vCPUs of @parked take over the devices of @source?
 * Same machine type, RAM blocks of the same length, the same vCPUs with sections of the same
 * version, and, for each active vCPU, every field that the trampoline neither loads nor derives equal
 * in both.
 * @image: @source is the device part of an image. Of its active vCPUs there is "cpu_common" only, so
 * that the fields of "cpu" have nothing to be compared with: what remains for them is that both
 * machines have the same CPUID feature words (manifest_compare_machine), that the firmware refuses a
 * processor that cannot be given its state, and that each register is read back.
 * @source_stream: for machine type and blocks; NULL when only the sections are at hand.
 * Failure: EXIT_CODE_REFUSED with the field and both values.
 */
int splice_check(const struct vmdesc *source, const struct stream *source_stream, bool image,
                 const struct splice_parked *parked, struct report_failure *failure);

/* Bits of "cpu_common/interrupt_request", as QEMU numbers them for x86. */
#define SPLICE_IRQ_HARD UINT32_C(0x0002)   /* the interrupt line of the local APIC or the PIC */
#define SPLICE_IRQ_EXITTB UINT32_C(0x0004) /* leave the translated block: QEMU's own business */
#define SPLICE_IRQ_POLL UINT32_C(0x0010)   /* the local APIC asks to be looked at */
#define SPLICE_IRQ_HALT UINT32_C(0x0020)
#define SPLICE_IRQ_SMI UINT32_C(0x0040)
#define SPLICE_IRQ_DEBUG UINT32_C(0x0080) /* a debugger's stop */
#define SPLICE_IRQ_VIRQ UINT32_C(0x0100)
#define SPLICE_IRQ_NMI UINT32_C(0x0200)
#define SPLICE_IRQ_INIT UINT32_C(0x0400)
#define SPLICE_IRQ_SIPI UINT32_C(0x0800)
#define SPLICE_IRQ_MCE UINT32_C(0x1000)
#define SPLICE_IRQ_TPR UINT32_C(0x2000)

/*
 * splice_interrupt_request - the pending lines of a resumed vCPU.
 * They are the source's, because what drives them is the source's: a line that the parked target
 * had raised must not survive (with no interrupt behind it, QEMU delivers nonsense), and one that
 * the source had raised must not get lost. The parked vCPU has interrupts disabled, so that it is
 * taken after the landing.
 * @source: the source's bits.
 * @nmi_blocked: the parked vCPU has NMIs blocked, until the guest unblocks them: one that is
 * pending waits for that.
 * @ret: HARD, POLL and, with @nmi_blocked, NMI of them.
 * Failure: EXIT_CODE_REFUSED for a pending event that would be delivered before the landing (NMI,
 * SMI, INIT, SIPI, machine check) or that is not known.
 */
int splice_interrupt_request(uint32_t source, bool nmi_blocked, uint32_t *ret,
                             struct report_failure *failure);

/*
 * splice_pending - splice_interrupt_request for active vCPU @index of @source, from its sections. An NMI
 * that KVM had yet to deliver is one that is pending.
 * Failure: EXIT_CODE_REFUSED.
 */
int splice_pending(const struct vmdesc *source, uint32_t index, const struct splice_parked *parked,
                   uint32_t *ret, struct report_failure *failure);

/*
 * splice_apic - section "apic" of active vCPU @index of @source, with an interrupt given back that was
 * being delivered: what delivers it is part of the vCPU, and is not taken over.
 * @ret_payload: to be freed; NULL when the section is to stay as it is.
 * Failures: EXIT_CODE_REFUSED, EXIT_CODE_ENVIRONMENT.
 */
int splice_apic(const struct vmdesc *source, uint32_t index, uint8_t **ret_payload,
                struct report_failure *failure);

struct splice_options {
    int source_fd;           /* the source's stream from its first byte; borrowed */
    uint64_t source_size;    /* bytes, for progress and the check; 0 = not known */
    const char *source_hash; /* XXH3-128 as in the manifest; NULL = not checked */
    const struct splice_home *home;
    /* The source is the device part of an image: it has no sections "cpu" of active vCPUs. They are
     * added. */
    bool image;
    /* optional: called once, when all of the source's RAM has been passed, and before anything of
     * `parked` is looked at. With an image it gives the memory to @write, as splice_parked_pass does.
     * Returns 0, or a failure that ends the splice. */
    int (*await_parked)(void *ctx, stream_sink_fn write, void *write_ctx,
                        struct report_failure *failure);
    void *await_ctx;
    const struct splice_parked *parked; /* filled by then */
    const struct splice_poke *poke;     /* optional: a byte of the source's RAM */
    stream_sink_fn write;               /* takes the spliced stream */
    void *write_ctx;
    struct progress *progress; /* optional; its current step is updated */
};

/* What a splice did. */
struct splice_result {
    uint64_t source_bytes;
    uint64_t written;
    uint32_t sections;                             /* device sections */
    uint32_t replaced;                             /* of them, with the target's content */
    uint32_t interrupt_request[RESUME_HOME_VCPUS]; /* of each active vCPU, as it was written */
};

/*
 * splice_run - write the spliced stream.
 * The parked target need not be parked before the RAM has passed: see await_parked.
 * The source is hashed while it passes; unless size and hash are the expected ones, nothing is
 * written of the device sections, without which no VM starts. splice_check is made again on what
 * was hashed.
 * Memory does not grow with the RAM.
 * Failures: EXIT_CODE_REFUSED (source or check), EXIT_CODE_ENVIRONMENT (reading, or @write stopped:
 * then `why` says so and the sink knows the reason).
 */
int splice_run(const struct splice_options *options, struct splice_result *out,
               struct report_failure *failure);

/* splice_report - turn an error of the stream modules into a failure; returns like report_fail. */
int splice_report(struct report_failure *failure, const struct stream_error *error,
                  const char *what, const char *where);

#endif
