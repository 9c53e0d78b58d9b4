/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Command lines of QEMU in, command lines out, both written out. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "qemu_command.h"
#include "qemu_options.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ARGUMENT_MAX 64

/* What is added to every parked target and to every resumed VM here. */
#define PARKED                                                                                     \
    "|-nodefaults|-display|none|-no-reboot|-S|-kernel|resume.efi"                                  \
    "|-fw_cfg|name=opt/org.libresume/state,file=/s/state.rsm"                                      \
    "|-fw_cfg|name=opt/org.libresume/plan,file=/s,,1/plan.rsm"                                     \
    "|-chardev|socket,id=libresume-qmp,fd=7|-mon|chardev=libresume-qmp,mode=control"               \
    "|-chardev|socket,id=libresume-debug,fd=8"                                                     \
    "|-device|isa-debugcon,iobase=0x402,chardev=libresume-debug"
#define MONITOR "|-chardev|socket,id=libresume-qmp,fd=7|-mon|chardev=libresume-qmp,mode=control"
#define DEBUG                                                                                      \
    "|-chardev|socket,id=libresume-debug,fd=8"                                                     \
    "|-device|isa-debugcon,iobase=0x402,chardev=libresume-debug"
#define INCOMING "|-incoming|fd:9"
#define OTHER_FIRMWARE                                                                             \
    "|-nodefaults|-display|none|-no-reboot|-S|-bios|b.rom|-kernel|k.elf"                           \
    "|-fw_cfg|name=opt/org.libresume/state,file=s|-fw_cfg|name=opt/org.libresume/plan,file=p"      \
    "|-chardev|socket,id=libresume-qmp,fd=3|-mon|chardev=libresume-qmp,mode=control"               \
    "|-chardev|socket,id=libresume-debug,fd=4"                                                     \
    "|-device|isa-debugcon,iobase=0x402,chardev=libresume-debug"

/* A command line as one string, its arguments separated by bars. */
struct line {
    char *text;
    const char *argv[ARGUMENT_MAX];
    int argc;
};

static void split(struct line *line, const char *text)
{
    line->argc = 0;
    line->text = strdup(text);
    assert_non_null(line->text);
    char *rest = line->text;
    while (rest != NULL) {
        assert_true(line->argc < ARGUMENT_MAX);
        line->argv[line->argc++] = strsep(&rest, "|");
    }
}

static struct qemu_command *parse(const char *text)
{
    struct line line;
    struct qemu_command *command = NULL;
    struct report_failure failure = {0};
    split(&line, text);
    if (qemu_command_parse(&command, line.argc, line.argv, &failure) != 0)
        fail_msg("%s: %s: %s", text, failure.where, failure.why);
    free(line.text);
    return command;
}

static void assert_line(const struct qemu_argv *argv, const char *expected)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    for (size_t i = 0; i < argv->count; i++)
        fprintf(out, "%s%s", i > 0 ? "|" : "", argv->argv[i]);
    fclose(out);
    assert_null(argv->argv[argv->count]);
    assert_string_equal(text, expected);
    free(text);
}

static const struct {
    const char *given;
    const char *parked;  /* with flash images replaced by /f/0, /f/1 … */
    const char *resumed; /* everything on */
} lines[] = {
    /* nothing at all: QEMU's own monitor is written out, since ours would switch it off */
    {"qemu", "qemu" PARKED, "qemu|-monitor|vc:80Cx24C" MONITOR DEBUG INCOMING},
    /* what users start guests with */
    {"qemu-system-x86_64|-machine|q35,accel=kvm|-cpu|host|-m|512M|-smp|1|-nodefaults|-display|none"
     "|-drive|if=pflash,format=raw,readonly=on,file=/o/CODE.fd"
     "|-drive|if=pflash,format=raw,file=/o/VARS.fd"
     "|-drive|file=disk.img,format=raw,if=virtio|-kernel|vmlinuz|-initrd|i|-append|console=ttyS0 q"
     "|-serial|stdio|-qmp|unix:q,server=on,wait=off",
     "qemu-system-x86_64|-machine|q35,accel=kvm|-cpu|host|-m|512M|-smp|1"
     "|-drive|if=pflash,format=raw,readonly=on,file=/f/0"
     "|-drive|if=pflash,format=raw,file=/f/1" PARKED,
     "qemu-system-x86_64|-machine|q35,accel=kvm|-cpu|host|-m|512M|-smp|1|-nodefaults|-display|none"
     "|-drive|if=pflash,format=raw,readonly=on,file=/o/CODE.fd"
     "|-drive|if=pflash,format=raw,file=/o/VARS.fd"
     "|-drive|file=disk.img,format=raw,if=virtio|-kernel|vmlinuz|-initrd|i|-append|console=ttyS0 q"
     "|-serial|stdio|-qmp|unix:q,server=on,wait=off" MONITOR DEBUG INCOMING},
    /* two dashes, boot in the machine's properties, other ways to start, a bare disk image */
    {"q|--machine|pc,kernel=k,initrd=i,append=a,,b=c,dtb=d,hpet=off|--enable-kvm|-S|-incoming|defer"
     "|-daemonize|-loadvm|x|disk.qcow2|--no-hpet|-monitor|none",
     "q|--machine|type=pc,hpet=off|--enable-kvm|--no-hpet" PARKED,
     "q|--machine|pc,kernel=k,initrd=i,append=a,,b=c,dtb=d,hpet=off|--enable-kvm"
     "|disk.qcow2|--no-hpet|-monitor|none" MONITOR DEBUG INCOMING},
    {"q|-nodefaults|-M|kernel=k", "q" PARKED, "q|-nodefaults|-M|kernel=k" MONITOR DEBUG INCOMING},
    /* -nographic: the serial port is shared with QEMU's monitor */
    {"q|-nographic", "q" PARKED, "q|-nographic|-serial|mon:stdio" MONITOR DEBUG INCOMING},
    {"q|-nographic|-serial|null", "q" PARKED,
     "q|-nographic|-serial|null|-monitor|stdio" MONITOR DEBUG INCOMING},
    {"q|-nographic|-device|isa-serial,chardev=c", "q" PARKED,
     "q|-nographic|-device|isa-serial,chardev=c|-monitor|stdio" MONITOR DEBUG INCOMING},
    /* a debug console of the user's own stays alone */
    {"q|-nodefaults|-device|isa-debugcon,iobase=0x402,chardev=c", "q" PARKED,
     "q|-nodefaults|-device|isa-debugcon,iobase=0x402,chardev=c" MONITOR INCOMING},
    {"q|-nodefaults|-debugcon|file:x|-global|isa-debugcon.iobase=0x402",
     "q|-global|isa-debugcon.iobase=0x402" PARKED,
     "q|-nodefaults|-debugcon|file:x|-global|isa-debugcon.iobase=0x402" MONITOR INCOMING},
    {"q|-nodefaults|-debugcon|file:x", "q" PARKED,
     "q|-nodefaults|-debugcon|file:x" MONITOR DEBUG INCOMING},
    /* flash: commas in names, the short option, a path inside dotted keys */
    {"q|-nodefaults|-drive|file=/a,,b/CODE.fd,if=pflash,readonly,id=x,,y|-pflash|/c,d",
     "q|-drive|file=/f/0,if=pflash,readonly,id=x,,y|-pflash|/f/1" PARKED,
     "q|-nodefaults|-drive|file=/a,,b/CODE.fd,if=pflash,readonly,id=x,,y|-pflash|/c,d" MONITOR DEBUG
         INCOMING},
    {"q|-nodefaults|-drive|if=pflash,driver=raw,file.driver=file,file.filename=V",
     "q|-drive|if=pflash,driver=raw,file.driver=file,file.filename=/f/0" PARKED,
     "q|-nodefaults|-drive|if=pflash,driver=raw,file.driver=file,file.filename=V" MONITOR DEBUG
         INCOMING},
    /* flash as block nodes: inline, by reference, in JSON; other nodes go */
    {"q|-nodefaults|-machine|q35,pflash0=code,pflash1=vars"
     "|-blockdev|node-name=code,driver=raw,read-only=on,file.driver=file,file.filename=C.fd"
     "|-blockdev|{\"driver\":\"file\",\"filename\":\"V,1.fd\",\"node-name\":\"vars-file\"}"
     "|-blockdev|{\"node-name\":\"vars\",\"read-only\":false,\"driver\":\"raw\",\"file\":\"vars-"
     "file\"}"
     "|-blockdev|driver=qcow2,node-name=disk,file.driver=file,file.filename=d",
     "q|-machine|q35,pflash0=code,pflash1=vars"
     "|-blockdev|driver=raw,node-name=code,read-only=on,file.driver=file,file.filename=/f/0"
     "|-blockdev|driver=raw,node-name=vars,read-only=off,file.driver=file,file.filename=/f/"
     "1" PARKED,
     NULL},
    {"q|-nodefaults|-machine|q35,pflash0=f|-drive|if=none,id=f,file=F,format=raw|-drive|id=g,file="
     "G",
     "q|-machine|q35,pflash0=f|-drive|if=none,id=f,file=/f/0,format=raw" PARKED, NULL},
    /* RAM as objects: private memory of the same name; other objects go */
    {"q|-nodefaults|-machine|pc,memory-backend=m|-object|memory-backend-file,id=m,size=1G,mem-path="
     "/dev/shm/x,share=on|-object|rng-random,id=r|-object|memory-backend-ram,id=other,size=1G",
     "q|-machine|pc,memory-backend=m|-object|memory-backend-ram,id=m,size=1G" PARKED, NULL},
    {"q|-nodefaults|-machine|pc|-object|{\"qom-type\":\"memory-backend-memfd\",\"id\":\"n0\","
     "\"size\":536870912,\"x-use-canonical-path-for-ramblock-id\":false}"
     "|-numa|node,nodeid=0,memdev=n0",
     "q|-machine|pc|-object|memory-backend-ram,id=n0,size=536870912,"
     "x-use-canonical-path-for-ramblock-id=off|-numa|node,nodeid=0,memdev=n0" PARKED,
     NULL},
    /* what confines the process stays; logs, names and the like go */
    {"q|-nodefaults|-sandbox|on|-runas|nobody|-run-with|chroot=/x|-L|/fw|-bios|OVMF.fd|-name|n"
     "|-pidfile|p|-D|log|-d|int|-netdev|user,id=n|-fw_cfg|name=opt/a,string=b|-boot|d|-icount|1",
     "q|-sandbox|on|-runas|nobody|-run-with|chroot=/x|-L|/fw|-bios|OVMF.fd" PARKED,
     "q|-nodefaults|-sandbox|on|-runas|nobody|-run-with|chroot=/x|-L|/fw|-bios|OVMF.fd|-name|n"
     "|-pidfile|p|-D|log|-d|int|-netdev|user,id=n|-fw_cfg|name=opt/"
     "a,string=b|-boot|d|-icount|1" MONITOR DEBUG INCOMING},
};

static void lines_become_what_they_should(void **context)
{
    (void)context;
    static const char *const flash[] = {"/f/0", "/f/1"};
    const struct qemu_park_options park = {.kernel = "resume.efi",
                                           .state_file = "/s/state.rsm",
                                           .plan_file = "/s,1/plan.rsm",
                                           .flash_paths = flash,
                                           .qmp_fd = 7,
                                           .debug_fd = 8};
    const struct qemu_resume_options resume = {
        .incoming_fd = 9, .qmp_fd = 7, .debug_fd = 8, .gdb_fd = -1};
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct report_failure failure = {0};
        struct qemu_argv argv = {NULL, 0};
        struct qemu_command *command = parse(lines[i].given);
        assert_int_equal(qemu_command_park(command, &park, &argv, &failure), 0);
        assert_line(&argv, lines[i].parked);
        qemu_argv_free(&argv);
        if (lines[i].resumed != NULL) {
            assert_int_equal(qemu_command_resume(command, &resume, &argv, &failure), 0);
            assert_line(&argv, lines[i].resumed);
            qemu_argv_free(&argv);
        }
        qemu_command_free(command);
    }
}

static void parts_can_be_left_out_or_added(void **context)
{
    (void)context;
    struct report_failure failure = {0};
    struct qemu_argv argv = {NULL, 0};
    struct qemu_command *command = parse("q|-nodefaults|-s|-gdb|tcp::1");
    struct qemu_resume_options resume = {
        .incoming_fd = -1, .qmp_fd = -1, .debug_fd = -1, .gdb_fd = -1};
    assert_int_equal(qemu_command_resume(command, &resume, &argv, &failure), 0);
    assert_line(&argv, "q|-nodefaults|-s|-gdb|tcp::1");
    qemu_argv_free(&argv);
    resume.gdb_fd = 5;
    resume.start_paused = true;
    assert_int_equal(qemu_command_resume(command, &resume, &argv, &failure), 0);
    assert_line(&argv, "q|-nodefaults|-chardev|socket,id=libresume-gdb,fd=5"
                       "|-gdb|chardev:libresume-gdb|-S");
    qemu_argv_free(&argv);
    const struct qemu_park_options park = {.kernel = "k,1",
                                           .state_file = "s",
                                           .plan_file = "p",
                                           .console_log = "/l,og",
                                           .qmp_fd = 3,
                                           .debug_fd = 4};
    assert_int_equal(qemu_command_park(command, &park, &argv, &failure), 0);
    assert_line(&argv, "q|-nodefaults|-display|none|-no-reboot|-S|-kernel|k,1"
                       "|-fw_cfg|name=opt/org.libresume/state,file=s"
                       "|-fw_cfg|name=opt/org.libresume/plan,file=p"
                       "|-chardev|socket,id=libresume-qmp,fd=3"
                       "|-mon|chardev=libresume-qmp,mode=control"
                       "|-chardev|socket,id=libresume-debug,fd=4"
                       "|-device|isa-debugcon,iobase=0x402,chardev=libresume-debug"
                       "|-chardev|file,id=libresume-console,path=/l,,og"
                       "|-serial|chardev:libresume-console");
    char *text = qemu_argv_format(&argv);
    assert_non_null(strstr(text, "q -nodefaults -display none"));
    free(text);
    qemu_argv_free(&argv);
    qemu_command_free(command);
}

/* An image is a disk behind all else, which no option of the user's changes the place of. */
static void an_image_is_a_disk(void **context)
{
    (void)context;
    static const struct {
        struct qemu_park_options park;
        const char *line;
    } cases[] = {
        {{.kernel = "k",
          .image = "/i,1/vm.rsm",
          .key_file = "key,",
          .identity_file = "/w/identity"},
         "|-fw_cfg|name=opt/org.libresume/key,file=key,,"
         "|-fw_cfg|name=opt/org.libresume/identity,file=/w/identity"
         "|-append|image=partition"
         "|-drive|if=none,id=libresume-image,format=raw,read-only=on,file=/i,,1/vm.rsm"},
        {{.kernel = "k", .image = "a:b.rsm"},
         "|-append|image=partition"
         "|-drive|if=none,id=libresume-image,format=raw,read-only=on,file=./a:b.rsm"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct report_failure failure = {0};
        struct qemu_argv argv = {NULL, 0};
        struct qemu_command *command =
            parse("q|-nodefaults|-m|1G|-drive|file=d,if=virtio|-kernel|x|-append|y");
        struct qemu_park_options park = cases[i].park;
        char line[1024];
        park.qmp_fd = 3;
        park.debug_fd = 4;
        snprintf(line, sizeof(line),
                 "q|-m|1G|-nodefaults|-display|none|-no-reboot|-S|-kernel|k%s"
                 "|-device|virtio-blk-pci,drive=libresume-image"
                 "|-chardev|socket,id=libresume-qmp,fd=3"
                 "|-mon|chardev=libresume-qmp,mode=control"
                 "|-chardev|socket,id=libresume-debug,fd=4"
                 "|-device|isa-debugcon,iobase=0x402,chardev=libresume-debug",
                 cases[i].line);
        assert_int_equal(qemu_command_park(command, &park, &argv, &failure), 0);
        assert_line(&argv, line);
        qemu_argv_free(&argv);
        qemu_command_free(command);
    }
}

/* Firmware of one's own takes the place of the command line's, in all the ways that can be given. */
static void other_firmware_takes_the_place(void **context)
{
    (void)context;
    static const char *const given[] = {
        "q|-M|q35|-bios|OVMF.fd|-m|1G",
        "q|-M|q35|--bios|OVMF.fd|-m|1G|-bios|x",
        "q|-M|q35|-drive|if=pflash,format=raw,readonly=on,file=C|-pflash|V|-m|1G",
        "q|-M|q35,pflash0=c,pflash1=v|-m|1G|-blockdev|node-name=c,driver=raw,file=f"
        "|-blockdev|node-name=f,driver=file,filename=C"
        "|-blockdev|node-name=v,driver=raw,file.driver=file,file.filename=V",
        "q|-M|q35|-m|1G|-drive|file=disk,if=virtio",
    };
    for (size_t i = 0; i < COUNT(given); i++) {
        struct report_failure failure = {0};
        struct qemu_argv argv = {NULL, 0};
        struct qemu_command *command = parse(given[i]);
        const struct qemu_park_options park = {.kernel = "k.elf",
                                               .bios = "b.rom",
                                               .state_file = "s",
                                               .plan_file = "p",
                                               .qmp_fd = 3,
                                               .debug_fd = 4};
        assert_int_equal(qemu_command_park(command, &park, &argv, &failure), 0);
        assert_line(&argv, i == 3 ? "q|-M|type=q35|-m|1G" OTHER_FIRMWARE
                                  : "q|-M|q35|-m|1G" OTHER_FIRMWARE);
        qemu_argv_free(&argv);
        qemu_command_free(command);
    }
}

static void formats_for_a_shell(void **context)
{
    (void)context;
    char *words[] = {strdup("q"), strdup("a b"), strdup("it's"), strdup(""), NULL};
    const struct qemu_argv argv = {words, 4};
    char *text = qemu_argv_format(&argv);
    assert_string_equal(text, "q 'a b' 'it'\\''s' ''");
    free(text);
    for (size_t i = 0; i < 4; i++)
        free(words[i]);
}

static void facts_are_read(void **context)
{
    (void)context;
    static const struct {
        const char *given;
        const char *machine;
        const char *cpu;
        const char *accelerator;
        uint64_t memory;
        uint32_t cpus;
    } cases[] = {
        {"q", "", "", "", UINT64_C(128) << 20, 1},
        {"q|-M|pc|-m|1024|-smp|2", "pc", "", "", UINT64_C(1) << 30, 2},
        {"q|-machine|type=q35,accel=kvm:tcg|-cpu|Haswell,-hle|-m|size=4G,slots=2,maxmem=8G"
         "|-smp|cpus=1,maxcpus=4",
         "q35", "Haswell", "kvm", UINT64_C(4) << 30, 1},
        {"q|-machine|accel=tcg|-machine|q35|-accel|tcg,thread=single|-m|1048576k"
         "|-smp|sockets=2,cores=2,threads=1",
         "q35", "", "tcg", UINT64_C(1) << 30, 4},
        {"q|-enable-kvm|-m|0x200|-smp|maxcpus=3", "", "", "kvm", UINT64_C(512) << 20, 3},
        {"q|-machine|pc,memory.size=268435456", "pc", "", "", UINT64_C(256) << 20, 1},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct qemu_command *command = parse(cases[i].given);
        const struct qemu_command_facts *facts = qemu_command_facts(command);
        assert_string_equal(facts->binary, "q");
        assert_string_equal(facts->machine, cases[i].machine);
        assert_string_equal(facts->cpu_model, cases[i].cpu);
        assert_string_equal(facts->accelerator, cases[i].accelerator);
        assert_int_equal(facts->memory_size, cases[i].memory);
        assert_int_equal(facts->cpu_count, cases[i].cpus);
        assert_int_equal(facts->flash_count, 0);
        qemu_command_free(command);
    }
    struct qemu_command *command =
        parse("q|-snapshot|-s|-bios|b|-drive|if=pflash,file=C,readonly=on,format=raw"
              "|-drive|if=pflash,format=raw,file=V,readonly=off|-device|isa-debugcon,iobase=1026");
    const struct qemu_command_facts *facts = qemu_command_facts(command);
    assert_true(facts->temporary_drives && facts->has_gdb && facts->has_bios);
    assert_true(facts->has_debug_console);
    assert_int_equal(facts->flash_count, 2);
    assert_string_equal(facts->flash[0].path, "C");
    assert_true(facts->flash[0].readonly);
    assert_string_equal(facts->flash[1].path, "V");
    assert_false(facts->flash[1].readonly);
    qemu_command_free(command);
}

static void drives_that_do_not_last_are_told(void **context)
{
    (void)context;
    static const struct {
        const char *given;
        bool temporary;
    } cases[] = {
        {"q|-drive|file=a", false},           {"q|-drive|file=a,snapshot=off", false},
        {"q|-drive|file=snapshot=on", false}, {"q|-drive|file=a,snapshot=on", true},
        {"q|--snapshot|-drive|file=a", true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct qemu_command *command = parse(cases[i].given);
        assert_int_equal(qemu_command_facts(command)->temporary_drives, cases[i].temporary);
        qemu_command_free(command);
    }
}

static void users_of_standard_input_are_told(void **context)
{
    (void)context;
    static const struct {
        const char *given;
        const char *option;
    } cases[] = {
        {"q", ""},
        {"q|-serial|chardev:stdio|-name|stdio|-drive|file=stdio", ""},
        {"q|-serial|stdio", "-serial"},
        {"q|-serial|mon:stdio", "-serial"},
        {"q|-serial|none|--monitor|stdio", "--monitor"},
        {"q|-qmp|stdio", "-qmp"},
        {"q|-chardev|stdio,id=a,signal=off", "-chardev"},
        {"q|-chardev|id=a,backend=stdio", "-chardev"},
        {"q|-chardev|file,id=stdio,path=a", ""},
        {"q|-display|curses,charset=CP437", "-display"},
        {"q|-nographic", "-nographic"},
        {"q|-nographic|-serial|file:a", "-nographic"}, /* the monitor */
        {"q|-nographic|-monitor|none", "-nographic"},  /* the serial port */
        {"q|-nographic|-serial|file:a|-monitor|none", ""},
        {"q|-nographic|-nodefaults", ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct qemu_command *command = parse(cases[i].given);
        assert_string_equal(qemu_command_facts(command)->stdio, cases[i].option);
        qemu_command_free(command);
    }
}

/*
 * What QEMU itself says of its options: 7.2 was asked with `qemu-system-x86_64 -version -OPTION`,
 * which complains when an argument is missing; the last lines are those that came until 10.
 */
static void arguments_are_taken_where_qemu_takes_them(void **context)
{
    (void)context;
    static const char *const with[] = {
        "machine",    "M",
        "cpu",        "accel",
        "smp",        "set",
        "global",     "boot",
        "m",          "mem-path",
        "k",          "audio",
        "audiodev",   "device",
        "name",       "uuid",
        "fda",        "fdb",
        "hda",        "hdb",
        "hdc",        "hdd",
        "cdrom",      "blockdev",
        "drive",      "mtdblock",
        "sd",         "fsdev",
        "virtfs",     "iscsi",
        "usbdevice",  "display",
        "spice",      "rotate",
        "vga",        "g",
        "vnc",        "acpitable",
        "smbios",     "netdev",
        "nic",        "net",
        "chardev",    "tpmdev",
        "bios",       "pflash",
        "kernel",     "append",
        "initrd",     "dtb",
        "compat",     "fw_cfg",
        "serial",     "parallel",
        "monitor",    "qmp",
        "qmp-pretty", "mon",
        "debugcon",   "pidfile",
        "overcommit", "gdb",
        "d",          "D",
        "dfilter",    "seed",
        "L",          "xen-domid",
        "action",     "loadvm",
        "option-rom", "rtc",
        "icount",     "watchdog-action",
        "echr",       "incoming",
        "chroot",     "runas",
        "prom-env",   "semihosting-config",
        "sandbox",    "readconfig",
        "trace",      "plugin",
        "qtest",      "qtest-log",
        "msg",        "dump-vmstate",
        "object",     "numa",
        "add-fd",     "shim",
        "run-with",
    };
    static const char *const without[] = {
        "h",
        "help",
        "version",
        "mem-prealloc",
        "audio-help",
        "snapshot",
        "usb",
        "nographic",
        "portrait",
        "full-screen",
        "win2k-hack",
        "no-fd-bootchk",
        "no-acpi",
        "no-hpet",
        "singlestep",
        "preconfig",
        "S",
        "s",
        "enable-kvm",
        "xen-attach",
        "xen-domid-restrict",
        "no-reboot",
        "no-shutdown",
        "daemonize",
        "only-migratable",
        "nodefaults",
        "semihosting",
        "old-param",
        "no-user-config",
        "async-teardown",
        "enable-sync-profile",
        "perfmap",
        "jitdump",
    };
    for (size_t i = 0; i < COUNT(with) + COUNT(without); i++) {
        const char *name = i < COUNT(with) ? with[i] : without[i - COUNT(with)];
        const struct qemu_option *option = qemu_option_find(name);
        if (option == NULL || option->has_argument != (i < COUNT(with)))
            fail_msg("-%s is wrong or missing", name);
    }
}

static void unfit_lines_are_refused(void **context)
{
    (void)context;
    static const struct {
        const char *given;
        const char *where;
        const char *why; /* a part of it */
    } cases[] = {
        {"q|-nix", "-nix", "is not known"},
        {"q|-machine=q35", "-machine=q35", "is not known"},
        {"q|-", "-", "is not known"},
        {"q|-m|512|-cpu", "-cpu", "requires an argument"},
        {"q|-readconfig|vm.cfg", "-readconfig", "are not seen here"},
        {"q|--preconfig", "--preconfig", "before there is a machine"},
        {"q|-version", "-version", "print something and exit"},
        {"q|-xen-attach", "-xen-attach", "Xen"},
        {"q|-m|lots", "-m", "\"lots\" is no memory size"},
        {"q|-m|17179869184G", "-m", "is no memory size"},
        {"q|-smp|0", "-smp", "is no number of CPUs"},
        {"q|-smp|two", "-smp", "\"two\" is no number of CPUs"},
        {"q|-machine|microvm", "-machine", "only pc and q35"},
        {"q|-M|pc|-machine|none", "-machine", "only pc and q35"},
        {"q|-machine|q35,confidential-guest-support=sev0", "-machine", "encrypted memory"},
        {"q|-machine|q35,memory-encryption=sev0", "-machine", "encrypted memory"},
        {"q|-drive|if=pflash,format=qcow2,file=x", "-drive", "is not raw"},
        {"q|-drive|if=pflash,format=raw", "-drive", "names no file"},
        {"q|-machine|q35,pflash0=a", "-machine", "defined by no -blockdev"},
        {"q|-machine|q35,pflash0=a|-blockdev|driver=raw,node-name=a,file=a", "-machine",
         "nested too deeply"},
        {"q|-machine|q35,pflash0=a|-blockdev|driver=qcow2,node-name=a,file=b", "-blockdev",
         "is not raw"},
        {"q|-machine|q35,pflash0=a|-blockdev|driver=raw,node-name=a,offset=4096,file=b",
         "-blockdev", "a part of a file"},
        {"q|-machine|q35,pflash0=a|-blockdev|driver=raw,node-name=a,file.driver=nbd", "-blockdev",
         "plain file"},
        {"q|-blockdev|{bad|-machine|pc,pflash0=a", "-blockdev", "cannot be read"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct line line;
        struct qemu_command *command = NULL;
        struct report_failure failure = {0};
        split(&line, cases[i].given);
        int result = qemu_command_parse(&command, line.argc, line.argv, &failure);
        if (result != -EXIT_CODE_REFUSED || command != NULL)
            fail_msg("%s: %d", cases[i].given, result);
        assert_string_equal(failure.where, cases[i].where);
        if (strstr(failure.why, cases[i].why) == NULL)
            fail_msg("\"%s\" is not in \"%s\"", cases[i].why, failure.why);
        free(line.text);
    }
    struct qemu_command *command = NULL;
    struct report_failure failure = {0};
    assert_int_equal(qemu_command_parse(&command, 0, NULL, &failure), -EXIT_CODE_REFUSED);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void flash_images_are_copied(void **context)
{
    (void)context;
    char directory[] = "/tmp/test-flash-XXXXXX";
    char code[64];
    char variables[64];
    char text[256];
    char read_back[16] = "";
    assert_non_null(mkdtemp(directory));
    snprintf(code, sizeof(code), "%s/CODE.fd", directory);
    snprintf(variables, sizeof(variables), "%s/VARS.fd", directory);
    write_file(code, "code");
    write_file(variables, "variables");
    snprintf(
        text, sizeof(text),
        "q|-drive|if=pflash,format=raw,readonly=on,file=%s|-drive|if=pflash,format=raw,file=%s",
        code, variables);
    struct qemu_command *command = parse(text);
    struct report_failure failure = {0};
    char *paths[QEMU_COMMAND_FLASH_MAX];
    assert_int_equal(qemu_command_copy_flash(command, directory, paths, &failure), 0);
    assert_null(paths[0]);
    assert_non_null(paths[1]);
    FILE *copy = fopen(paths[1], "re");
    assert_non_null(copy);
    assert_non_null(fgets(read_back, sizeof(read_back), copy));
    fclose(copy);
    assert_string_equal(read_back, "variables");
    free(paths[1]);

    /* a copy that is there already is not written over */
    assert_int_equal(qemu_command_copy_flash(command, directory, paths, &failure),
                     -EXIT_CODE_ENVIRONMENT);
    assert_int_equal(unlink(paths[1]), 0);
    free(paths[1]);
    assert_int_equal(unlink(variables), 0);
    assert_int_equal(mkfifo(variables, 0600), 0);
    assert_int_equal(qemu_command_copy_flash(command, directory, paths, &failure),
                     -EXIT_CODE_REFUSED);
    assert_non_null(strstr(failure.why, "not a regular file"));
    free(paths[1]);
    qemu_command_free(command);
    unlink(code);
    unlink(variables);
    assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_become_what_they_should),
        cmocka_unit_test(parts_can_be_left_out_or_added),
        cmocka_unit_test(an_image_is_a_disk),
        cmocka_unit_test(other_firmware_takes_the_place),
        cmocka_unit_test(formats_for_a_shell),
        cmocka_unit_test(facts_are_read),
        cmocka_unit_test(drives_that_do_not_last_are_told),
        cmocka_unit_test(users_of_standard_input_are_told),
        cmocka_unit_test(arguments_are_taken_where_qemu_takes_them),
        cmocka_unit_test(unfit_lines_are_refused),
        cmocka_unit_test(flash_images_are_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
