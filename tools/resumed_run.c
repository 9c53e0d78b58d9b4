/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* From "go" to the landing, and what is said when it does not come. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "deadline.h"
#include "resumed_internal.h"

/* How often the home is looked at when the guest's debug console is not ours. */
#define LOOK_MS 20
/* vCPUs that a message lists one by one. */
#define LIST_MAX 16u

const char *resumed_stage_name(uint32_t stage)
{
    static const char *const names[] = {
        [RESUME_STAGE_NONE] = "not started",
        [RESUME_STAGE_ENTER] = "leaving the firmware",
        [RESUME_STAGE_PARKED] = "parked, \"go\" not seen",
        [RESUME_STAGE_MODES] = "CR4, EFER, CR0",
        [RESUME_STAGE_FPU] = "XCR0, XRSTOR",
        [RESUME_STAGE_MSRS] = "the MSRs",
        [RESUME_STAGE_DEBUG] = "the debug registers",
        [RESUME_STAGE_SEGMENTS] = "the segments",
        [RESUME_STAGE_PAGING] = "PCID, CR4, CR8, CR2, DR7",
        [RESUME_STAGE_READ_BACK] = "reading back",
        [RESUME_STAGE_BARRIER] = "waiting for the other vCPUs",
        [RESUME_STAGE_LAST] = "the guest's IDT, GDT, CR3 and general registers",
        [RESUME_STAGE_FAILED] = "stopped: a register does not read back",
    };
    if (stage >= sizeof(names) / sizeof(names[0]) || names[stage] == NULL)
        return "unknown";
    return names[stage];
}

char *resumed_list(const uint32_t *indexes, uint32_t count, char *buffer, size_t capacity)
{
    size_t length = (size_t)snprintf(buffer, capacity, "vCPU%s", count == 1 ? "" : "s");
    for (uint32_t i = 0; i < count && length < capacity; i++) {
        if (i == LIST_MAX) {
            snprintf(buffer + length, capacity - length, " and %" PRIu32 " more", count - i);
            break;
        }
        length += (size_t)snprintf(buffer + length, capacity - length, "%s %" PRIu32,
                                   i == 0 ? "" : ",", indexes[i]);
    }
    return buffer;
}

/* A word of 4 or 8 bytes of the home, by the monitor. */
static int read_home(struct resumed *resumed, uint64_t offset, unsigned bytes, uint64_t *ret,
                     struct report_failure *failure)
{
    char command[64];
    char *text = NULL;
    uint64_t pa = resumed->parked->control.home_pa + offset;
    snprintf(command, sizeof(command), "xp /1%cx 0x%" PRIx64, bytes == 8 ? 'g' : 'w', pa);
    int result = qmp_monitor_command(resumed->qmp, command, &text, failure);
    if (result < 0)
        return result;
    const char *colon = strchr(text, ':');
    char *end = NULL;
    unsigned long long value = colon != NULL ? strtoull(colon + 1, &end, 16) : 0;
    bool good = colon != NULL && end != colon + 1;
    free(text);
    if (!good)
        return report_fail(failure, EXIT_CODE_ENVIRONMENT, "read the home", RESUMED_NAME,
                           "use QEMU's human monitor as it comes",
                           "the monitor does not show physical 0x%" PRIx64, pa);
    *ret = value;
    return 0;
}

static uint64_t block_of(const struct resumed *resumed, uint32_t index)
{
    return RESUME_HOME_BLOCKS + (uint64_t)index * resumed->parked->control.block_length +
           RESUME_BLOCK_HANDOFF;
}

/* The stages of all vCPUs that are to be resumed: "vCPUs 0, 2 in stage 10 (...); vCPU 1 in ...". */
static void describe_stages(struct resumed *resumed, char *buffer, size_t capacity)
{
    uint32_t indexes[RESUME_STAGE_FAILED + 1][RESUME_HOME_VCPUS];
    uint32_t count[RESUME_STAGE_FAILED + 1] = {0};
    struct report_failure ignored = {0};
    uint64_t value;
    size_t length = 0;
    snprintf(buffer, capacity, "the home cannot be read");
    if (read_home(resumed, offsetof(struct resume_control, magic), 8, &value, &ignored) != 0)
        return;
    if (value != RESUME_CONTROL_MAGIC) {
        snprintf(buffer, capacity, "the home has been refilled");
        return;
    }
    for (uint32_t i = 0; i < resumed->parked->control.vcpu_count && i < RESUME_HOME_VCPUS; i++) {
        if (!splice_parked_active(resumed->parked, i))
            continue;
        if (read_home(resumed, block_of(resumed, i) + offsetof(struct resume_handoff, stage), 4,
                      &value, &ignored) != 0)
            return;
        uint32_t stage = value <= RESUME_STAGE_FAILED ? (uint32_t)value : RESUME_STAGE_NONE;
        indexes[stage][count[stage]++] = i;
    }
    for (uint32_t stage = 0; stage <= RESUME_STAGE_FAILED && length < capacity; stage++) {
        char list[160];
        if (count[stage] != 0)
            length +=
                (size_t)snprintf(buffer + length, capacity - length,
                                 "%s%s in stage %" PRIu32 " (%s)", length != 0 ? "; " : "",
                                 resumed_list(indexes[stage], count[stage], list, sizeof(list)),
                                 stage, resumed_stage_name(stage));
    }
}

static int fail_timeout(struct resumed *resumed, struct report_failure *failure)
{
    char stages[800];
    describe_stages(resumed, stages, sizeof(stages));
    return report_fail(failure, EXIT_CODE_TIMEOUT, RESUMED_RESTORE, RESUMED_NAME, RESUMED_ADVICE,
                       "the guest was not entered within %d s: %s", resumed->timeout_ms / 1000,
                       stages);
}

/* A fault that the trampoline cannot even report resets the machine: then the firmware would boot
 * whatever the drives hold. */
static int check_reset(struct resumed *resumed, struct report_failure *failure)
{
    json_t *event = NULL;
    char stages[800];
    int result = qmp_poll_event(resumed->qmp, "RESET", 0, &event, failure);
    if (result < 0)
        return resumed_explain(resumed, RESUMED_RESTORE, result, failure);
    if (event == NULL)
        return 0;
    json_decref(event);
    describe_stages(resumed, stages, sizeof(stages));
    return report_fail(failure, EXIT_CODE_ENVIRONMENT, RESUMED_RESTORE, RESUMED_NAME,
                       RESUMED_ADVICE, "the machine was reset: %s", stages);
}

/* One of the vCPUs has given up, and has no debug console to say so: what do the handoffs say? */
static int fail_silent(struct resumed *resumed, struct report_failure *failure)
{
    struct report_failure ignored = {0};
    char stages[800];
    for (uint32_t i = 0; i < resumed->parked->control.vcpu_count; i++) {
        struct readback_difference differs = {.vcpu = i, .told = true};
        const uint64_t block = block_of(resumed, i);
        uint64_t field;
        uint64_t stage;
        uint64_t rip;
        uint64_t vector;
        uint64_t cr2;
        if (!splice_parked_active(resumed->parked, i) ||
            read_home(resumed, block + offsetof(struct resume_handoff, stage), 4, &stage,
                      &ignored) != 0 ||
            read_home(resumed, block + offsetof(struct resume_handoff, fault.rip), 8, &rip,
                      &ignored) != 0)
            continue;
        if (stage == RESUME_STAGE_FAILED &&
            read_home(resumed, block + offsetof(struct resume_handoff, differs_field), 4, &field,
                      &ignored) == 0 &&
            read_home(resumed, block + offsetof(struct resume_handoff, differs_wanted), 8,
                      &differs.wanted, &ignored) == 0 &&
            read_home(resumed, block + offsetof(struct resume_handoff, differs_got), 8,
                      &differs.got, &ignored) == 0) {
            differs.field = (uint32_t)field;
            return readback_differs(resumed->readback, &differs, failure);
        }
        if (rip != 0 &&
            read_home(resumed, block + offsetof(struct resume_handoff, fault.vector), 8, &vector,
                      &ignored) == 0 &&
            read_home(resumed, block + offsetof(struct resume_handoff, fault.cr2), 8, &cr2,
                      &ignored) == 0)
            return report_fail(failure, EXIT_CODE_ENVIRONMENT, RESUMED_RESTORE, RESUMED_NAME,
                               "the guest was not entered; the snapshot is as it was",
                               "the trampoline met a fault on vCPU %" PRIu32 ": vector %" PRIu64
                               ", RIP 0x%" PRIx64 ", CR2 0x%" PRIx64 ", stage %" PRIu64 " (%s)",
                               i, vector, rip, cr2, stage, resumed_stage_name((uint32_t)stage));
    }
    describe_stages(resumed, stages, sizeof(stages));
    return report_fail(failure, EXIT_CODE_ENVIRONMENT, RESUMED_RESTORE, RESUMED_NAME,
                       RESUMED_ADVICE, "the trampoline has stopped: %s", stages);
}

/*
 * Without a debug console of ours: the last vCPU's first act in its landing is to refill the home,
 * control first. Nothing announces that, so it is looked at.
 */
static int await_refill(struct resumed *resumed, uint64_t since, int also_fd,
                        struct report_failure *failure)
{
    deadline_t deadline = since + (uint64_t)resumed->timeout_ms * UINT64_C(1000000);
    for (;;) {
        uint64_t magic = 0;
        uint64_t failed = 0;
        int result = read_home(resumed, offsetof(struct resume_control, magic), 8, &magic, failure);
        if (result == 0)
            result =
                read_home(resumed, offsetof(struct resume_control, failed), 4, &failed, failure);
        if (result < 0)
            return resumed_explain(resumed, RESUMED_RESTORE, result, failure);
        if (magic != RESUME_CONTROL_MAGIC)
            return 0;
        /* It may have been refilled in between the two. */
        if (failed != 0 && failed <= resumed->parked->control.vcpu_count)
            return fail_silent(resumed, failure);
        if (deadline_now() >= deadline)
            return fail_timeout(resumed, failure);
        if (also_fd >= 0) {
            int ready = deadline_poll(deadline_in(LOOK_MS), also_fd, POLLIN);
            if (ready < 0)
                return report_fail_errno(failure, -ready, RESUMED_RESTORE, RESUMED_NAME);
            if (ready > 0)
                return 1;
        }
        json_t *event = NULL;
        result =
            qmp_poll_event(resumed->qmp, "SHUTDOWN", also_fd >= 0 ? 0 : LOOK_MS, &event, failure);
        json_decref(event);
        if (result < 0)
            return resumed_explain(resumed, RESUMED_RESTORE, result, failure);
        result = check_reset(resumed, failure);
        if (result < 0)
            return result;
    }
}

int resumed_await(struct resumed *resumed, uint64_t since, int also_fd,
                  struct report_failure *failure)
{
    if (resumed->bell.fd < 0)
        return await_refill(resumed, since, also_fd, failure);
    for (;;) {
        const int also[] = {qmp_fd(resumed->qmp), also_fd};
        int result = doorbell_wait(&resumed->bell, &resumed->process, "landing", RESUMED_RESTORE,
                                   since, resumed->timeout_ms, also, 2, failure);
        if (result == -EXIT_CODE_TIMEOUT)
            return fail_timeout(resumed, failure);
        if (result == -EXIT_CODE_DIFFERENT && resumed->readback->differs.came)
            return readback_differs(resumed->readback, &resumed->readback->differs, failure);
        if (result != 1)
            return result;
        result = check_reset(resumed, failure);
        if (result < 0)
            return result;
        if (also_fd >= 0 && deadline_poll(0, also_fd, POLLIN) > 0)
            return 1;
    }
}

int resumed_prepare(struct resumed *resumed, const struct splice_parked *parked,
                    struct readback *readback, struct report_failure *failure)
{
    resumed->parked = parked;
    resumed->readback = readback;
    int result = readback_open(readback, parked, resumed->bell.fd >= 0, failure);
    resumed->bell.line_fn = readback_take;
    resumed->bell.line_ctx = readback;
    return result;
}

int resumed_run(struct resumed *resumed, const struct splice_parked *parked,
                struct readback *readback, struct report_failure *failure)
{
    int result = resumed_prepare(resumed, parked, readback, failure);
    uint64_t since = deadline_now();
    if (result == 0)
        result = resumed_explain(resumed, "start the guest",
                                 capture_continue(resumed->qmp, failure), failure);
    if (result == 0)
        result = resumed_await(resumed, since, -1, failure);
    return result == 0 ? readback_check(readback, failure) : result;
}
