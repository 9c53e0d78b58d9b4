/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "qemu_options.h"

#include <stddef.h>
#include <string.h>

/*
 * One line per option. The parked target keeps what shapes CPU, memory and firmware, and what
 * confines the process; the resumed VM keeps all but what would start it in another way.
 */
#define OPTION(name, argument, id, park, resume)                                                   \
    {                                                                                              \
        name, argument, QEMU_OPT_##id, QEMU_FATE_##park, QEMU_FATE_##resume, NULL, NULL            \
    }
#define BOTH(name, argument) OPTION(name, argument, OTHER, KEEP, KEEP)
#define DEVICE(name, argument) OPTION(name, argument, OTHER, DROP, KEEP)
#define NEITHER(name, argument) OPTION(name, argument, OTHER, DROP, DROP)
#define REFUSED(name, argument, why, advice)                                                       \
    {                                                                                              \
        name, argument, QEMU_OPT_OTHER, QEMU_FATE_DROP, QEMU_FATE_DROP, why, advice                \
    }

#define ONLY_PRINTS "it makes QEMU print something and exit"
#define GIVE_THE_VMS "give the command line that started the VM"
#define IS_XEN "guests of Xen cannot be resumed"
#define NOT_X86 "it is not for x86 machines"

static const struct qemu_option options[] = {
    /* the machine, its CPU and memory */
    OPTION("M", true, MACHINE, ADAPT, KEEP),
    OPTION("machine", true, MACHINE, ADAPT, KEEP),
    OPTION("accel", true, ACCEL, KEEP, KEEP),
    OPTION("enable-kvm", false, ENABLE_KVM, KEEP, KEEP),
    OPTION("cpu", true, CPU, KEEP, KEEP),
    OPTION("smp", true, SMP, KEEP, KEEP),
    OPTION("m", true, MEMORY, KEEP, KEEP),
    OPTION("numa", true, NUMA, KEEP, KEEP),
    OPTION("global", true, GLOBAL, KEEP, KEEP),
    OPTION("object", true, OBJECT, ADAPT, KEEP),
    BOTH("no-acpi", false),
    BOTH("no-hpet", false),
    DEVICE("mem-path", true),
    DEVICE("mem-prealloc", false),
    DEVICE("overcommit", true),

    /* firmware */
    OPTION("bios", true, BIOS, KEEP, KEEP),
    OPTION("pflash", true, PFLASH, ADAPT, KEEP),
    OPTION("drive", true, DRIVE, ADAPT, KEEP),
    OPTION("blockdev", true, BLOCKDEV, ADAPT, KEEP),
    BOTH("L", true),

    /* what confines the process */
    BOTH("sandbox", true),
    BOTH("runas", true),
    BOTH("chroot", true),
    BOTH("run-with", true),
    BOTH("no-user-config", false),

    OPTION("nodefaults", false, NODEFAULTS, DROP, KEEP), /* the parked target has its own */

    /* boot: the resumed VM's next reboot goes as it always went */
    DEVICE("boot", true),
    DEVICE("kernel", true),
    DEVICE("initrd", true),
    DEVICE("append", true),
    DEVICE("shim", true),
    DEVICE("dtb", true),
    DEVICE("option-rom", true),
    DEVICE("acpitable", true),
    DEVICE("smbios", true),
    DEVICE("fw_cfg", true),
    DEVICE("no-fd-bootchk", false),

    /* drives and file systems */
    DEVICE("fda", true),
    DEVICE("fdb", true),
    DEVICE("hda", true),
    DEVICE("hdb", true),
    DEVICE("hdc", true),
    DEVICE("hdd", true),
    DEVICE("cdrom", true),
    DEVICE("mtdblock", true),
    DEVICE("sd", true),
    DEVICE("iscsi", true),
    DEVICE("fsdev", true),
    DEVICE("virtfs", true),
    DEVICE("add-fd", true),
    OPTION("snapshot", false, SNAPSHOT, DROP, KEEP),

    /* devices */
    OPTION("device", true, DEVICE, DROP, KEEP),
    DEVICE("set", true),
    DEVICE("usb", false),
    DEVICE("usbdevice", true),
    DEVICE("audio", true),
    DEVICE("audiodev", true),
    DEVICE("netdev", true),
    DEVICE("nic", true),
    DEVICE("net", true),
    DEVICE("tpmdev", true),
    DEVICE("watchdog-action", true),
    DEVICE("rtc", true),
    DEVICE("icount", true),

    /* consoles and display */
    OPTION("serial", true, SERIAL, DROP, KEEP),
    DEVICE("parallel", true),
    DEVICE("chardev", true),
    OPTION("monitor", true, MONITOR, DROP, KEEP),
    OPTION("mon", true, MONITOR, DROP, KEEP),
    OPTION("qmp", true, MONITOR, DROP, KEEP),
    OPTION("qmp-pretty", true, MONITOR, DROP, KEEP),
    OPTION("debugcon", true, DEBUGCON, DROP, KEEP),
    OPTION("gdb", true, GDB, DROP, ADAPT),
    OPTION("s", false, GDB, DROP, ADAPT),
    OPTION("nographic", false, NOGRAPHIC, DROP, KEEP),
    DEVICE("display", true),
    DEVICE("vga", true),
    DEVICE("vnc", true),
    DEVICE("spice", true),
    DEVICE("full-screen", false),
    DEVICE("portrait", false),
    DEVICE("rotate", true),
    DEVICE("g", true),
    DEVICE("k", true),
    DEVICE("echr", true),
    DEVICE("win2k-hack", false),

    /* the process, its logs and its protocol */
    DEVICE("name", true),
    DEVICE("uuid", true),
    DEVICE("pidfile", true),
    DEVICE("compat", true),
    DEVICE("action", true),
    DEVICE("no-reboot", false),
    DEVICE("no-shutdown", false),
    DEVICE("only-migratable", false),
    DEVICE("async-teardown", false),
    DEVICE("seed", true),
    DEVICE("msg", true),
    DEVICE("d", true),
    DEVICE("D", true),
    DEVICE("dfilter", true),
    DEVICE("trace", true),
    DEVICE("plugin", true),
    DEVICE("singlestep", false),
    DEVICE("enable-sync-profile", false),
    DEVICE("perfmap", false),
    DEVICE("jitdump", false),
    DEVICE("qtest", true),
    DEVICE("qtest-log", true),

    /* other ways to start */
    NEITHER("S", false),
    NEITHER("incoming", true),
    NEITHER("loadvm", true),
    NEITHER("daemonize", false),

    /* refused */
    REFUSED("readconfig", true, "options in a configuration file are not seen here",
            "write them out on the command line"),
    REFUSED("preconfig", false, "it waits for commands before there is a machine",
            "leave it out, and give the machine's options on the command line"),
    REFUSED("h", false, ONLY_PRINTS, GIVE_THE_VMS),
    REFUSED("help", false, ONLY_PRINTS, GIVE_THE_VMS),
    REFUSED("version", false, ONLY_PRINTS, GIVE_THE_VMS),
    REFUSED("audio-help", false, ONLY_PRINTS, GIVE_THE_VMS),
    REFUSED("dump-vmstate", true, ONLY_PRINTS, GIVE_THE_VMS),
    REFUSED("xen-domid", true, IS_XEN, "snapshot a guest of KVM or TCG"),
    REFUSED("xen-attach", false, IS_XEN, "snapshot a guest of KVM or TCG"),
    REFUSED("xen-domid-restrict", false, IS_XEN, "snapshot a guest of KVM or TCG"),
    REFUSED("prom-env", true, NOT_X86, GIVE_THE_VMS),
    REFUSED("old-param", false, NOT_X86, GIVE_THE_VMS),
    REFUSED("semihosting", false, NOT_X86, GIVE_THE_VMS),
    REFUSED("semihosting-config", true, NOT_X86, GIVE_THE_VMS),
};

const struct qemu_option *qemu_option_find(const char *name)
{
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        if (strcmp(options[i].name, name) == 0)
            return &options[i];
    return NULL;
}
