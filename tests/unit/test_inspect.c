/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What inspect shows of several vCPUs and of the home that they leave from. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inspect.h"
#include "snapshot_guest.h"

/* Text or JSON of a path, to be freed. */
static char *shown(const char *path, uint32_t vcpu, bool json)
{
    struct view view;
    struct memory_map map;
    struct report_failure failure = {0};
    char *text = NULL;
    size_t length;
    if (view_open(&view, path, NULL, true, &failure) != 0)
        fail_msg("refused: %s", failure.why);
    assert_int_equal(memory_map_make(&map, &view, 64, 24, &failure), 0);
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    if (json)
        assert_int_equal(inspect_print_json(&view, vcpu, &map, out, &failure), 0);
    else
        inspect_print_text(&view, vcpu, &map, out, false, false);
    fclose(out);
    memory_map_free(&map);
    view_close(&view);
    return text;
}

static struct guest *save_four(void)
{
    struct guest *guest = guest_open(4);
    guest_in_kernel(guest, 2);
    guest_sleep(guest, 1);
    assert_int_equal(guest_snapshot(guest), 0);
    guest_save(guest);
    return guest;
}

static void assert_says(const char *text, const char *line)
{
    if (strstr(text, line) == NULL)
        fail_msg("\"%s\" is not in: %s", line, text);
}

static void shows_every_vcpu(void **state)
{
    (void)state;
    struct guest *guest = save_four();
    char *text = shown(guest->directory, INSPECT_ALL, false);
    assert_says(text, "\nvCPU 0: 64-bit mode, CPL 3, 4-level paging, running\n");
    assert_says(text, "\nvCPU 1: dormant, real mode, CPL 0, no paging, waiting for SIPI\n"
                      "  the guest has not started it: it stays with the devices");
    assert_says(text, "\nvCPU 2: 64-bit mode, CPL 0, 4-level paging, running\n");
    assert_says(text, "\nvCPU 3: 64-bit mode, CPL 3");
    assert_says(text, "RBX  0000000000001003");
    assert_says(text, "  next instruction of vCPU 2 at physical 100000\n");
    assert_says(text, "  next instruction of vCPU 3 at physical 3015ac\n");
    assert_null(strstr(text, "next instruction of vCPU 1"));
    free(text);
    text = shown(guest->directory, 2, false);
    assert_says(text, "\nvCPU 2: ");
    assert_null(strstr(text, "\nvCPU 0: "));
    assert_null(strstr(text, "\nvCPU 3: "));
    free(text);
    guest_close(guest);
}

/* 0x2d000 bytes, ending a page before the padding does: see test_snapshot_state. */
static void shows_the_parts_of_the_home(void **state)
{
    (void)state;
    struct guest *guest = save_four();
    char *text = shown(guest->directory, INSPECT_ALL, false);
    assert_says(text,
                "home     ffffffff81152000 at physical 152000, 184320 bytes of padding (0xcc)\n");
    assert_says(text, "common ffffffff81152000 at physical 152000, 65536 bytes for all vCPUs\n");
    assert_says(text, "block  ffffffff81169000 at physical 169000, 28672 bytes for vCPU 1, which "
                      "is dormant\n");
    assert_says(text, "block  ffffffff81177000 at physical 177000, 28672 bytes for vCPU 3\n");
    assert_says(text, "slots  ffffffff8117ec00 at physical 17ec00, 1024 bytes for the landings\n");
    assert_says(text, " of vCPU 0; leaves with RETFQ at ffffffff8117ec");
    assert_says(text, " of vCPU 2; leaves with JMP at ffffffff8117ee");
    assert_says(text, " of vCPU 3; leaves with RETFQ at ffffffff8117ef");
    assert_null(strstr(text, " of vCPU 1; leaves"));
    free(text);
    guest_close(guest);
}

static void tells_programs_the_same(void **state)
{
    (void)state;
    struct guest *guest = save_four();
    char *text = shown(guest->directory, INSPECT_ALL, true);
    json_t *root = json_loads(text, 0, NULL);
    free(text);
    assert_non_null(root);
    const json_t *vcpus = json_object_get(root, "vcpus");
    assert_int_equal(json_array_size(vcpus), 4);
    for (size_t i = 0; i < 4; i++) {
        const json_t *vcpu = json_array_get(vcpus, i);
        assert_int_equal(json_is_true(json_object_get(vcpu, "dormant")), i == 1);
        assert_int_equal(json_integer_value(json_object_get(vcpu, "index")), i);
    }
    const json_t *home = json_object_get(root, "home");
    const json_t *layout = json_object_get(home, "layout");
    const json_t *landings = json_object_get(home, "landings");
    assert_int_equal(json_integer_value(json_object_get(layout, "block_length")), 0x7000);
    assert_int_equal(json_integer_value(json_object_get(layout, "landings")), 0x2d000 - 1024);
    assert_int_equal(json_array_size(landings), 3);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(landings, 1), "vcpu")), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(landings, 1), "form")),
                        "JMP");
    const json_t *next = json_object_get(json_object_get(root, "memory"), "next_instructions");
    assert_int_equal(json_array_size(next), 3);
    assert_string_equal(json_string_value(json_object_get(json_array_get(next, 1), "pa")),
                        "0x100000");
    json_decref(root);
    text = shown(guest->directory, 1, true);
    root = json_loads(text, 0, NULL);
    free(text);
    assert_int_equal(json_array_size(json_object_get(root, "vcpus")), 1);
    json_decref(root);
    guest_close(guest);
}

/* The first vCPU is dormant: whose tables are shown is the next one. */
static void draws_the_tables_of_an_active_vcpu(void **state)
{
    (void)state;
    struct guest *guest = guest_open(2);
    char path[128];
    guest_sleep(guest, 0);
    assert_int_equal(guest_snapshot(guest), 0);
    guest_save(guest);
    char *text = shown(guest->directory, INSPECT_ALL, false);
    assert_says(text, "  page tables of vCPU 1: ");
    assert_says(text, "  kernel code ffffffff81100000 at physical 100000");
    free(text);
    snprintf(path, sizeof(path), "%s/%s", guest->directory, MANIFEST_STREAM);
    text = shown(path, INSPECT_ALL, false);
    assert_says(text, "\nvCPU 0: dormant, ");
    assert_says(text, "  page tables of vCPU 1: ");
    free(text);
    guest_close(guest);
}

/* Of a stream alone, as of a snapshot, what made an interrupt shadow is looked up in memory. */
static void looks_up_the_interrupt_shadow(void **state)
{
    (void)state;
    struct guest *guest = guest_open(2);
    char path[128];
    guest->phys.bytes[GUEST_CODE_PA + 0x5ab] = 0xfb;
    machine_set(guest->vcpu[1], "cpu/env.hflags", 0x1040c2b3 | 8);
    assert_int_equal(guest_snapshot(guest), 0);
    guest_save(guest);
    snprintf(path, sizeof(path), "%s/%s", guest->directory, MANIFEST_STREAM);
    char *text = shown(path, 1, false);
    assert_says(text, "the state is consistent, and this version can restore it");
    assert_says(text, "interrupt shadow: after STI\n");
    free(text);
    guest_close(guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_every_vcpu),
        cmocka_unit_test(shows_the_parts_of_the_home),
        cmocka_unit_test(tells_programs_the_same),
        cmocka_unit_test(draws_the_tables_of_an_active_vcpu),
        cmocka_unit_test(looks_up_the_interrupt_shadow),
    };
    return cmocka_run_group_tests_name("inspect", tests, NULL, NULL);
}
