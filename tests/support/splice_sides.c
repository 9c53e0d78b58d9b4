/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "splice_sides.h"

static void describe_vcpu(struct sides *sides, uint32_t index)
{
    const uint64_t slot =
        SIDES_HOME_VA + SIDES_SLOTS(sides->vcpus) + (uint64_t)index * SIDES_SLOT_LENGTH;
    struct resume_handoff *handoff = &sides->handoff[index];
    handoff->magic = RESUME_HANDOFF_MAGIC;
    handoff->version = RESUME_HANDOFF_VERSION;
    handoff->size = sizeof(*handoff);
    handoff->flags = RESUME_HANDOFF_ACTIVE;
    handoff->stage = RESUME_STAGE_PARKED;
    handoff->index = index;
    handoff->landing_va = slot + 0x60;
    handoff->leave_va = slot + 0xf0;
    sides->source_cpu[index] = (struct machine_stream_cpu){
        .rbx = 0x1111 + index * 0x10000,
        .rip = 0xffffffff81000000 + index * 0x100,
        .mcg_cap = 0xc06,
    };
    sides->target_cpu[index] = (struct machine_stream_cpu){
        .rbx = 0x2222 + index * 0x10000,
        .rip = SIDES_HOME_VA + 0x1010 + index * 2,
        .mcg_cap = 0xc06,
    };
}

struct sides *sides_open(uint32_t vcpus)
{
    struct sides *sides = calloc(1, sizeof(*sides));
    assert_non_null(sides);
    sides->vcpus = vcpus;
    sides->home_length = SIDES_HOME_LENGTH(vcpus);
    sides->source = machine_stream_default();
    sides->source.cpus = vcpus;
    if (vcpus > 1)
        sides->source.pages = 96;
    sides->target = sides->source;
    sides->target.seed = 0x77;
    sides->target.rbx = 0x2222;
    sides->target.rip = SIDES_HOME_VA + 0x1010;
    sides->target.ticks = 2000;
    sides->target.widget = 0xbad;
    sides->target.home = sides->home;
    sides->target.home_page = SIDES_HOME_PAGE;
    sides->target.home_pages = sides->home_length / MACHINE_STREAM_PAGE;
    if (vcpus > 1) {
        sides->source.cpu = sides->source_cpu;
        sides->target.cpu = sides->target_cpu;
    }
    for (size_t i = 0; i < sizeof(sides->home); i++)
        sides->home[i] = (uint8_t)(i / 4096 + i * 11);
    sides->control = (struct resume_control){
        .magic = RESUME_CONTROL_MAGIC,
        .version = RESUME_HANDOFF_VERSION,
        .size = sizeof(sides->control),
        .vcpu_count = vcpus,
        .active_count = vcpus,
        .parked = vcpus,
        .block_length = SIDES_BLOCK_LENGTH,
        .xsave_length = 0x1000,
        .home_va = SIDES_HOME_VA,
        .home_pa = SIDES_HOME_PA,
        .home_length = sides->home_length,
    };
    for (uint32_t i = 0; i < vcpus; i++)
        describe_vcpu(sides, i);
    sides->place.va = SIDES_HOME_VA;
    sides->place.pa = SIDES_HOME_PA;
    sides->place.length = sides->home_length;
    sides->place.offset = SIDES_HOME_PAGE * 4096u;
    strcpy(sides->place.block, "pc.ram");
    sides->out_limit = SIZE_MAX;
    return sides;
}

void sides_close(struct sides *sides)
{
    splice_parked_close(&sides->parked);
    free(sides->source_data);
    free(sides->out);
    free(sides);
}

void sides_sleep(struct sides *sides, uint32_t index)
{
    memset(&sides->handoff[index], 0, sizeof(sides->handoff[index]));
    sides->control.active_count--;
    sides->control.parked--;
    sides->source_cpu[index].rip = 0xfff0;
    sides->source_cpu[index].halted = 1;
    sides->target_cpu[index].rip = 0x7ea12345;
    sides->target_cpu[index].halted = 1;
}

static int keep(void *ctx, const void *data, size_t length)
{
    struct sides *sides = ctx;
    if (sides->out_length + length > sides->out_limit)
        return -1;
    sides->out = realloc(sides->out, sides->out_length + length + 1);
    assert_non_null(sides->out);
    memcpy(sides->out + sides->out_length, data, length);
    sides->out_length += length;
    return 0;
}

int sides_target_file(struct sides *sides)
{
    size_t length;
    memcpy(sides->home, &sides->control, sizeof(sides->control));
    for (uint32_t i = 0; i < sides->vcpus; i++)
        memcpy(sides->home + SIDES_BLOCKS + i * SIDES_BLOCK_LENGTH, &sides->handoff[i],
               sizeof(sides->handoff[i]));
    uint8_t *data = machine_stream_build(&sides->target, &length, NULL);
    int fd = machine_stream_file(data, length);
    assert_true(fd >= 0);
    free(data);
    return fd;
}

int sides_read_target(struct sides *sides)
{
    int fd = sides_target_file(sides);
    splice_parked_close(&sides->parked);
    memset(&sides->failure, 0, sizeof(sides->failure));
    int result = splice_parked_read(&sides->parked, fd, &sides->place, NULL, &sides->failure);
    close(fd);
    return result;
}

/* A target whose memory goes through. */
static int pass_on(void *ctx, stream_sink_fn write, void *write_ctx, struct report_failure *failure)
{
    struct sides *sides = ctx;
    const struct splice_pass pass = {
        .memory = sides->memory, .poke = &sides->poke, .write = write, .write_ctx = write_ctx};
    int fd = sides_target_file(sides);
    sides->awaited++;
    sides->awaited_at = sides->out_length;
    splice_parked_close(&sides->parked);
    int result = splice_parked_pass(&sides->parked, fd, &sides->place, &pass, NULL, failure);
    close(fd);
    return result;
}

/* A target that is parked at last: `kept` is it. */
struct late_target {
    struct sides *sides;
    struct splice_parked kept;
};

static int arrive(void *ctx, stream_sink_fn write, void *write_ctx, struct report_failure *failure)
{
    struct late_target *late = ctx;
    (void)write;
    (void)write_ctx;
    late->sides->awaited++;
    late->sides->awaited_at = late->sides->out_length;
    if (late->sides->never)
        return report_fail(failure, EXIT_CODE_TIMEOUT, "park", "the target", "wait longer",
                           "it never came");
    late->sides->parked = late->kept;
    memset(&late->kept, 0, sizeof(late->kept));
    return 0;
}

int sides_splice(struct sides *sides)
{
    struct late_target late = {.sides = sides};
    if (sides->memory == NULL)
        assert_int_equal(sides_read_target(sides), 0);
    free(sides->source_data);
    sides->source_data =
        machine_stream_build(&sides->source, &sides->source_length, &sides->source_devices);
    int fd = machine_stream_file(sides->source_data, sides->source_length - sides->source_cut);
    assert_true(fd >= 0);
    const struct splice_options options = {
        .source_fd = fd,
        .source_size = sides->claimed_size,
        .source_hash = sides->claimed_hash,
        .home = &sides->place,
        .image = sides->memory != NULL,
        .await_parked = sides->late             ? arrive
                        : sides->memory != NULL ? pass_on
                                                : NULL,
        .await_ctx = sides->late ? (void *)&late : sides,
        .parked = &sides->parked,
        .poke = sides->memory == NULL ? &sides->poke : NULL,
        .write = keep,
        .write_ctx = sides,
    };
    if (sides->late) {
        late.kept = sides->parked;
        memset(&sides->parked, 0, sizeof(sides->parked));
    }
    sides->out_length = 0;
    sides->awaited = 0;
    int result = splice_run(&options, &sides->result, &sides->failure);
    splice_parked_close(&late.kept);
    close(fd);
    return result;
}

uint8_t *sides_expected(struct sides *sides, const uint32_t *interrupt_request, size_t *ret_length)
{
    static uint8_t home[sizeof(sides->home)];
    struct machine_stream_cpu cpu[SIDES_VCPU_MAX];
    struct machine_stream machine = sides->source;
    memcpy(home, sides->home, sizeof(home));
    home[offsetof(struct resume_control, go)] = 1;
    machine.home = home;
    machine.home_page = SIDES_HOME_PAGE;
    machine.home_pages = sides->target.home_pages;
    machine.home_at_end = true;
    if (sides->vcpus == 1) {
        machine.rbx = sides->target.rbx;
        machine.rip = sides->target.rip;
        machine.halted = 0;
        machine.interrupt_request = interrupt_request[0];
        machine.x87_pointers = sides->target.x87_pointers;
    } else {
        machine.cpu = cpu;
    }
    for (uint32_t i = 0; i < sides->vcpus; i++) {
        cpu[i] = sides->source_cpu[i];
        if (sides->handoff[i].flags != 0) {
            cpu[i] = sides->target_cpu[i];
            cpu[i].interrupt_request = interrupt_request[i];
            cpu[i].in_service = sides->source_cpu[i].in_service;
            cpu[i].requested = sides->source_cpu[i].requested;
        }
    }
    return machine_stream_build(&machine, ret_length, NULL);
}

void sides_assert_spliced(struct sides *sides, const uint32_t *interrupt_request)
{
    size_t length;
    int result = sides_splice(sides);
    if (result != 0)
        fail_msg("refused: %s", sides->failure.why);
    uint8_t *wanted = sides_expected(sides, interrupt_request, &length);
    for (size_t i = 0; i < length && i < sides->out_length; i++) {
        if (sides->out[i] != wanted[i])
            fail_msg("byte 0x%zx is %02x, expected %02x", i, sides->out[i], wanted[i]);
    }
    assert_int_equal(sides->out_length, length);
    free(wanted);
}

void sides_assert_refused(const struct sides *sides, int result, const char *word)
{
    char text[2048];
    assert_int_equal(result, -EXIT_CODE_REFUSED);
    report_format(&sides->failure, text, sizeof(text));
    if (strstr(text, word) == NULL)
        fail_msg("the message does not say \"%s\": %s", word, text);
}
