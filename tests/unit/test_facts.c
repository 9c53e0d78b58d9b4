/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The memory map that QEMU's monitor prints, and the other facts from a server played by script. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "facts.h"
#include "fake_peer.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* As QEMU 7.2 prints it: another view first, names with blanks, what is no RAM, and KVM's mark. */
static const char map[] =
    "FlatView #0\r\n"
    " AS \"I/O\", root: io\r\n"
    " Root memory region: io\r\n"
    "  0000000000000000-0000000000000007 (prio 0, i/o): dma-chan\r\n"
    "\r\n"
    "FlatView #1\r\n"
    " AS \"cpu-memory-0\", root: system\r\n"
    " AS \"memory\", root: system\r\n"
    " AS \"bus @ 1\", root: bus master container\r\n"
    " Root memory region: system\r\n"
    "  0000000000000000-00000000000bffff (prio 0, ram): pc.ram KVM\r\n"
    "  00000000000c0000-00000000000dffff (prio 1, rom): pc.rom\r\n"
    "  0000000000100000-00000000bfffffff (prio 0, ram): pc.ram @0000000000100000\r\n"
    "  00000000fec00000-00000000fec00fff (prio -5, i/o): ioapic @0000000000000010\r\n"
    "  00000000ffe00000-00000000ffffffff (prio 0, romd): system.flash0\r\n"
    "  0000000100000000-000000013fffffff (prio 0, ram): odd @ name @00000000c0000000 KVM\r\n"
    "\r\n"
    "FlatView #2\r\n"
    " AS \"cpu-smm-0\", root: memory\r\n"
    " Root memory region: memory\r\n"
    "  0000000000000000-0000000000000fff (prio 0, ram): smram\r\n";

static void a_map_is_read(void **context)
{
    (void)context;
    static const struct manifest_range expected[] = {
        {0, 0xc0000, 0, MANIFEST_RANGE_RAM, "pc.ram"},
        {0xc0000, 0x20000, 0, MANIFEST_RANGE_ROM, "pc.rom"},
        {0x100000, 0xbff00000, 0x100000, MANIFEST_RANGE_RAM, "pc.ram"},
        {0xffe00000, 0x200000, 0, MANIFEST_RANGE_ROMD, "system.flash0"},
        {UINT64_C(0x100000000), 0x40000000, 0xc0000000, MANIFEST_RANGE_RAM, "odd @ name"},
    };
    static struct manifest manifest;
    struct report_failure failure = {0};
    if (facts_parse_memory_map(map, &manifest, &failure) != 0)
        fail_msg("%s", failure.why);
    assert_int_equal(manifest.range_count, COUNT(expected));
    for (size_t i = 0; i < COUNT(expected); i++) {
        assert_int_equal(manifest.range[i].base_pa, expected[i].base_pa);
        assert_int_equal(manifest.range[i].length, expected[i].length);
        assert_int_equal(manifest.range[i].offset, expected[i].offset);
        assert_int_equal(manifest.range[i].kind, expected[i].kind);
        assert_string_equal(manifest.range[i].block, expected[i].block);
    }
}

static void unreadable_maps_are_refused(void **context)
{
    (void)context;
#define HEAD "FlatView #0\n AS \"memory\", root: system\n Root memory region: system\n"
#define RANGE "  0000000000000000-0000000000000fff (prio 0, ram): a\n"
    static const struct {
        const char *text;
        const char *why;
    } cases[] = {
        {"", "no flat view"},
        {"unknown command: 'info mtree'\r\n", "no flat view"},
        {"FlatView #0\n AS \"I/O\", root: io\n Root memory region: io\n" RANGE, "no flat view"},
        {"FlatView #0\n AS \"memory\", root: system\n"
         "FlatView #1\n AS \"I/O\", root: io\n Root memory region: io\n" RANGE,
         "no flat view"},
        {HEAD, "no RAM"},
        {HEAD "  0000000000000000-0000000000000fff (prio 0, i/o): a\n", "no RAM"},
        {HEAD "  No rendered FlatView\n", "cannot be read"},
        {HEAD "  0000000000000000-000000000000fff (prio 0, ram): a\n", "cannot be read"},
        {HEAD "  0000000000000000-0000000000000fff (prio 0, new): a\n", "cannot be read"},
        {HEAD "  0000000000000000-0000000000000fff (ram): a\n", "cannot be read"},
        {HEAD "  0000000000000000-0000000000000fff (prio 0, ram): \n", "block cannot be read"},
        {HEAD "  0000000000000000-0000000000000fff (prio 0, ram): a @000000000000000g\n",
         "block cannot be read"},
        {HEAD "  0000000000001000-0000000000000fff (prio 0, ram): a\n", "ends before"},
        {HEAD "  0000000000000000-ffffffffffffffff (prio 0, ram): a\n", "ends before"},
        {HEAD "  0000000000000000-0000000000000fff (prio 0, ram): a @fffffffffffff001\n", "wraps"},
        {HEAD RANGE RANGE, "overlaps"},
        {HEAD RANGE "  0000000000000fff-0000000000001fff (prio 0, ram): a\n", "overlaps"},
    };
    static struct manifest manifest;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct report_failure failure = {0};
        int result = facts_parse_memory_map(cases[i].text, &manifest, &failure);
        if (result != -EXIT_CODE_REFUSED || strstr(failure.why, cases[i].why) == NULL)
            fail_msg("case %zu: %d \"%s\"", i, result, failure.why);
    }
    /* more ranges than there is room for */
    char *text = NULL;
    size_t length = 0;
    struct report_failure failure = {0};
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    fputs(HEAD, out);
    for (unsigned i = 0; i <= MANIFEST_RANGE_MAX; i++)
        fprintf(out, "  %016x-%016x (prio 0, ram): a\n", i * 0x1000, i * 0x1000 + 0xfff);
    fclose(out);
    assert_int_equal(facts_parse_memory_map(text, &manifest, &failure), -EXIT_CODE_REFUSED);
    assert_non_null(strstr(failure.why, "too many ranges"));
    free(text);
}

static void a_vm_is_read(void **context)
{
    (void)context;
    static const struct fake_step steps[] = {
        {.send = "{\"QMP\":{\"version\":{\"qemu\":{\"micro\":1,\"minor\":0,\"major\":10},"
                 "\"package\":\"\"},\"capabilities\":[]}}\n"},
        {.expect = "\"id\":1}\n", .send = "{\"return\":{},\"id\":1}\n"},
        {.expect = "{\"execute\":\"qom-get\",\"id\":2,\"arguments\":{\"path\":\"/machine\","
                   "\"property\":\"type\"}}\n",
         .send = "{\"return\":\"pc-q35-10.0-machine\",\"id\":2}\n"},
        {.expect = "{\"execute\":\"query-kvm\",\"id\":3}\n",
         .send = "{\"return\":{\"enabled\":true,\"present\":true},\"id\":3}\n"},
        {.expect = "{\"execute\":\"query-memory-size-summary\",\"id\":4}\n",
         .send = "{\"return\":{\"base-memory\":536870912,\"plugged-memory\":4096},\"id\":4}\n"},
        {.expect = "{\"execute\":\"query-cpus-fast\",\"id\":5}\n",
         .send = "{\"return\":[{\"cpu-index\":0,\"qom-path\":\"/machine/unattached/device[0]\"},"
                 "{\"cpu-index\":1,\"qom-path\":\"/x\"}],\"id\":5}\n"},
        {.expect = "{\"path\":\"/machine/unattached/device[0]\",\"property\":\"type\"}}\n",
         .send = "{\"return\":\"Haswell-x86_64-cpu\",\"id\":6}\n"},
        {.expect = "{\"path\":\"/machine/unattached/device[0]\",\"property\":\"feature-words\"}}\n",
         .send = "{\"return\":[{\"cpuid-register\":\"EAX\",\"cpuid-input-eax\":13,"
                 "\"cpuid-input-ecx\":1,\"features\":5},{\"msr\":266,\"features\":1},"
                 "{\"cpuid-register\":\"EDX\",\"cpuid-input-eax\":2147483649,"
                 "\"features\":4294967295}],\"id\":7}\n"},
        {.expect = "{\"command-line\":\"info mtree -f\"}}\n",
         .send = "{\"return\":\"FlatView #0\\r\\n AS \\\"memory\\\", root: system\\r\\n"
                 " Root memory region: system\\r\\n"
                 "  0000000000000000-000000001fffffff (prio 0, ram): pc.ram\\r\\n\",\"id\":8}\n"},
    };
    static struct manifest manifest;
    struct fake_peer peer;
    struct qmp *qmp = NULL;
    struct report_failure failure = {0};
    int fd = fake_peer_start(&peer, steps, COUNT(steps));
    assert_int_equal(qmp_open_fd(&qmp, fd, "the peer", 20000, &failure), 0);
    if (facts_read(qmp, &manifest, &failure) != 0)
        fail_msg("%s", failure.why);
    qmp_close(qmp);
    fake_peer_finish(&peer);
    assert_int_equal(manifest.format, MANIFEST_FORMAT);
    assert_string_equal(manifest.tool, "resumectl " RESUMECTL_VERSION);
    assert_int_equal(manifest.qemu_version[0], 10);
    assert_int_equal(manifest.qemu_version[2], 1);
    assert_string_equal(manifest.machine_type, "pc-q35-10.0");
    assert_string_equal(manifest.accelerator, "kvm");
    assert_int_equal(manifest.memory_size, 536875008);
    assert_int_equal(manifest.cpu_count, 2);
    assert_string_equal(manifest.cpu_type, "Haswell-x86_64-cpu");
    assert_int_equal(manifest.feature_count, 2);
    assert_int_equal(manifest.feature[0].leaf, 13);
    assert_true(manifest.feature[0].has_subleaf);
    assert_int_equal(manifest.feature[0].subleaf, 1);
    assert_int_equal(manifest.feature[0].value, 5);
    assert_string_equal(manifest.feature[0].reg, "EAX");
    assert_int_equal(manifest.feature[1].leaf, 0x80000001);
    assert_false(manifest.feature[1].has_subleaf);
    assert_int_equal(manifest.feature[1].value, 0xffffffff);
    assert_int_equal(manifest.range_count, 1);
    assert_int_equal(manifest.range[0].length, 0x20000000);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_is_read),
        cmocka_unit_test(unreadable_maps_are_refused),
        cmocka_unit_test(a_vm_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
