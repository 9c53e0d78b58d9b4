# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A libvirt that nobody else has: libvirtd as an ordinary user's session (`qemu:///session`), whose
sockets, settings and files are all in one temporary directory; and a VM that it runs. It takes no
service, no network and no privileges. Only Python's standard library."""

import os
import pwd
import shutil
import signal
import subprocess
import time

from harness import Failure, Machine, Skip, limit

DAEMON = "libvirtd"
PROGRAMS = (DAEMON, "virsh")

# The file keeps libvirt from starting its daemon for logs, the driver from asking for AppArmor.
SETTINGS = """stdio_handler = "file"
security_driver = "none"
save_image_format = "{}"
"""

DOMAIN = """<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <memory unit='MiB'>{ram}</memory>
  <vcpu>{smp}</vcpu>
  <os>
    <type arch='x86_64' machine='{machine}'>hvm</type>
    <kernel>{directory}/vmlinuz</kernel>
    <initrd>{directory}/initramfs.gz</initrd>
    <cmdline>console=ttyS0 quiet no_timer_check</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>{cpu}</model></cpu>
  <devices>
    <emulator>{emulator}</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <serial type='unix'><source mode='connect' path='{console}'/></serial>
  </devices>
  <qemu:commandline>
    <qemu:arg value='-qmp'/>
    <qemu:arg value='unix:{qmp},server=on,wait=off'/>
  </qemu:commandline>
</domain>
"""


def find(program):
    path = shutil.which(program)
    if not path:
        raise Skip(f"{program}: not installed (cmake/setup-debian.sh --qemu)")
    return path


def account():
    """Whom libvirt runs as. With root's rights it would be the host's own libvirt, with files in
    /etc, /run and /var; so root starts it as nobody."""
    if os.geteuid() != 0:
        return {}
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise Skip("libvirt: run by root, and there is no user nobody to run it as") from None
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


class Domain(Machine):
    """A VM of a libvirt of its own. Both are there from start to close."""

    def __init__(self, name, case):
        self.programs = [find(program) for program in PROGRAMS]
        self.account = account()
        super().__init__(name, case)
        self.name = case.get("domain", "agree")
        self.home = self.sockets
        self.environment = {
            "PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": self.home,
            **{f"XDG_{kind}_HOME": os.path.join(self.home, kind.lower())
               for kind in ("CONFIG", "CACHE", "DATA", "STATE")},
            "XDG_RUNTIME_DIR": os.path.join(self.home, "run")}
        for name in ("run", "config/libvirt"):
            os.makedirs(os.path.join(self.home, name), mode=0o700)
        if case.get("guest") == "linux":
            for name in ("vmlinuz", "initramfs.gz"):
                shutil.copy(os.path.join(self.kernel, name), self.home)
        self._give_away()

    def _give_away(self):
        """All in the directory is the account's."""
        if not self.account:
            return
        for directory, _, files in os.walk(self.home):
            for path in (directory, *(os.path.join(directory, name) for name in files)):
                os.chown(path, self.account["user"], self.account["group"])

    def file(self, name):
        """The path of a file that libvirt can write."""
        return os.path.join(self.home, name)

    def virsh(self, *arguments, seconds=120):
        socket = os.path.join(self.environment["XDG_RUNTIME_DIR"], "libvirt/libvirt-sock")
        command = [self.programs[1], "-q", "-c", "qemu+unix:///session?socket=" + socket,
                   *arguments]
        self.note(" ".join(command))
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=limit(seconds), check=False, env=self.environment,
                                  cwd="/", **self.account)
        except subprocess.TimeoutExpired:
            raise Failure(f"virsh {arguments[0]}: not done after {limit(seconds):.0f} s") from None
        if done.returncode != 0:
            raise Failure(f"virsh {arguments[0]}: {done.stderr.strip()[-300:]}")
        return done.stdout

    def serve(self, save_format):
        """Start libvirtd, or start it again; it looks at its settings only then."""
        self.halt()
        with open(self.file("config/libvirt/qemu.conf"), "w", encoding="ascii") as file:
            file.write(SETTINGS.format(save_format))
        self._give_away()
        self.number += 1
        self.process_log = self.path(f"{self.number:02d}-{DAEMON}.log")
        with open(self.process_log, "wb") as log:
            self.process = subprocess.Popen([self.programs[0]], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=subprocess.STDOUT, cwd="/",
                                            env=self.environment, **self.account)
        until = time.monotonic() + limit(60)
        while True:
            try:
                self.virsh("list", seconds=60)
                return
            except Failure as failure:
                self.alive()
                if time.monotonic() > until:
                    raise Failure(f"{DAEMON}: does not answer: {failure}") from None
            time.sleep(0.05)  # between two looks; the daemon tells nobody

    def describe(self):
        """The domain's XML."""
        case = self.case
        return DOMAIN.format(
            name=self.name, ram=case["ram"].rstrip("M"), smp=case["smp"], machine=case["machine"],
            cpu=case["cpu"], emulator=find(self.qemu.program), directory=self.home,
            console=self.console.path, qmp=self.qmp_path)

    def start(self, extra=()):
        self.serve("raw")
        with open(self.file("domain.xml"), "w", encoding="ascii") as file:
            file.write(self.describe())
        self._give_away()
        self.virsh("create", self.file("domain.xml"))

    def halt(self):
        """End the daemon; it leaves its VMs alone."""
        if not self.process or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(limit(20))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failure(f"{DAEMON}: does not end") from None

    def end_vm(self):
        """End the VM as libvirt's file names it: it is not a child of this process."""
        try:
            with open(self.file(f"run/libvirt/qemu/run/{self.name}.pid"), encoding="ascii") as file:
                number = int(file.read())
            with open(f"/proc/{number}/cmdline", "rb") as file:
                if self.home.encode() in file.read():
                    os.kill(number, signal.SIGKILL)
        except (OSError, ValueError):
            pass  # there is none

    def close(self):
        self.end_vm()
        super().close()
