# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the QEMU tests are made of: a serial console that outlives QEMU, QMP, the gdbstub, and the
machine that is started, snapshotted and resumed. Only Python's standard library."""

import glob
import hashlib
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from typing import NamedTuple, Optional

# mke2fs lies where an ordinary user's shell does not look.
os.environ["PATH"] += os.pathsep + "/usr/sbin" + os.pathsep + "/sbin"


class Failure(Exception):
    """The test has failed; the message says why."""


class Skip(Exception):
    """The test cannot be run here; the message says why."""


class Patience:
    """All limits are in seconds and multiplied by this: slow machines need more."""

    factor = 1.0


def limit(seconds):
    return seconds * Patience.factor


class Console:
    """A serial console: QEMU connects to it, and may end and be followed by another QEMU. All that
    arrives is kept in order, byte for byte, and written to a log."""

    def __init__(self, path, log):
        self.path = path
        self.data = bytearray()
        self.starts = []  # where in data each connection's output begins
        self._log = open(log, "wb", buffering=0)
        self._changed = threading.Condition()
        self._connections = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(8)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                self._connections.append(connection)
                self.starts.append(len(self.data))
            threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection):
        while True:
            try:
                part = connection.recv(65536)
            except OSError:
                part = b""
            with self._changed:
                self.data += part
                self._log.write(part)
                if not part and connection in self._connections:
                    self._connections.remove(connection)
                self._changed.notify_all()
            if not part:
                connection.close()
                return

    def send(self, text):
        with self._changed:
            connections = list(self._connections)
        if not connections:
            raise Failure("console: nobody is connected, cannot send " + repr(text))
        connections[-1].sendall(text.encode())

    def position(self):
        with self._changed:
            return len(self.data)

    def text(self, start=0):
        with self._changed:
            return self.data[start:].decode("latin-1").replace("\r", "")

    def forget(self, start):
        """Leave out what was said from start on, by a VM that has ended. The log keeps it."""
        with self._changed:
            del self.data[start:]

    def wait_closed(self, seconds, what):
        """Wait until nobody is connected: all that was sent has arrived."""
        until = time.monotonic() + limit(seconds)
        with self._changed:
            while self._connections:
                if not self._changed.wait(max(0, until - time.monotonic())):
                    raise Failure(f"console: still connected after {limit(seconds):.0f} s ({what})")

    def wait_for(self, pattern, seconds, what, start=0, count=1, alive=None, never=None):
        """Wait until pattern has occurred count times from start on; returns the last match.
        alive: called now and then, raises when there is no use in waiting on. never: a pattern
        that ends the wait at once, as a failure."""
        wanted = re.compile(pattern, re.M)
        until = time.monotonic() + limit(seconds)
        while True:
            text = self.text(start)
            if never:
                found = re.search(never, text, re.M)
                if found:
                    raise Failure(f"console: {found.group(0)!r} while waiting for {what}")
            matches = list(wanted.finditer(text))
            if len(matches) >= count:
                return matches[count - 1]
            if alive:
                alive()
            with self._changed:
                left = until - time.monotonic()
                if left <= 0:
                    last = text[-160:]
                    raise Failure(f"console: no {what} within {limit(seconds):.0f} s; "
                                  f"the last it said was {last!r}")
                self._changed.wait(min(left, 0.5))

    def close(self):
        self._listener.close()
        with self._changed:
            for connection in self._connections:
                connection.shutdown(socket.SHUT_RDWR)


class Qmp:
    """A QMP monitor on a unix socket."""

    def __init__(self, path, seconds=20, alive=None):
        until = time.monotonic() + limit(seconds)
        while True:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(limit(60))
            try:
                self._socket.connect(path)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                self._socket.close()
                if alive:
                    alive()
                if time.monotonic() > until:
                    raise Failure(f"QMP: {path}: nobody listens") from None
                time.sleep(0.02)  # between two looks; a socket file gives no event
        self._file = self._socket.makefile("r")
        self._file.readline()
        self("qmp_capabilities")

    def __call__(self, command, **arguments):
        request = {"execute": command, "arguments": arguments}
        self._socket.sendall(json.dumps(request).encode())
        while True:
            line = self._file.readline()
            if not line:
                raise Failure(f"QMP: the connection ended during {command}")
            reply = json.loads(line)
            if "return" in reply:
                return reply["return"]
            if "error" in reply:
                raise Failure(f"QMP: {command}: {reply['error']['desc']}")

    def wait_event(self, name, seconds):
        self._socket.settimeout(limit(seconds))
        try:
            while True:
                line = self._file.readline()
                if not line:
                    raise Failure(f"QMP: the connection ended while waiting for {name}")
                if json.loads(line).get("event") == name:
                    return
        except socket.timeout:
            raise Failure(f"QMP: no event {name} within {limit(seconds):.0f} s") from None

    def human(self, command):
        return self("human-monitor-command", **{"command-line": command})

    def close(self):
        self._file.close()
        self._socket.close()


class Gdb:
    """QEMU's gdbstub, as far as planting wrong values takes it. Connecting stops the VM."""

    REGISTERS = {name: number for number, name in enumerate(
        "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip eflags "
        "cs ss ds es fs gs fs_base gs_base k_gs_base cr0 cr2 cr3 cr4 cr8 efer".split())}
    REGISTERS.update({f"xmm{number}": 49 + number for number in range(16)})
    REGISTERS["mxcsr"] = 65

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(limit(20))
        self._socket.connect(path)
        self._file = self._socket.makefile("rb")
        # The description of the registers has to be asked for, or only few are known.
        features = self.request("qSupported:xmlRegisters=i386")
        if "qXfer:features:read+" in features:
            self.request("qXfer:features:read:target.xml:0,ffb")

    def request(self, text):
        self._socket.sendall(b"$%s#%02x" % (text.encode(), sum(text.encode()) & 255))
        while True:
            reply = self._reply()
            # Connecting has stopped the VM, which QEMU tells without being asked.
            if not reply.startswith("T"):
                return reply

    def _reply(self):
        while self._file.read(1) not in (b"$", b""):
            pass
        reply = b""
        while True:
            byte = self._file.read(1)
            if byte in (b"#", b""):
                break
            reply += byte
        self._file.read(2)
        self._socket.sendall(b"+")
        return reply.decode("latin-1")

    def read(self, register):
        return self.request(f"p{self.REGISTERS[register]:x}")

    def write(self, register, value):
        reply = self.request(f"P{self.REGISTERS[register]:x}={value}")
        if reply != "OK":
            raise Failure(f"gdbstub: {register} cannot be written: {reply!r}")

    def close(self):
        """Detach; the VM goes on. Python keeps a socket open as long as its file is: QEMU would not
        take the next connection."""
        self.request("D")
        self._file.close()
        self._socket.close()


def checksums(directory):
    """The SHA-256 of every file in a directory."""
    sums = {}
    for name in sorted(os.listdir(directory)):
        digest = hashlib.sha256()
        with open(os.path.join(directory, name), "rb") as file:
            for part in iter(lambda: file.read(1 << 20), b""):
                digest.update(part)
        sums[name] = digest.hexdigest()
    return sums


class Qemu(NamedTuple):
    """A QEMU: its program (a wrapper will do, when it needs libraries of its own) and, when it does
    not find them by itself, the directory of its ROM images."""

    program: str
    data: Optional[str] = None


class Ovmf(NamedTuple):
    """Firmware, for -bios and as two flash images."""

    bios: str
    code: str
    vars: str


class Settings:
    """Where things are. Filled in once by the runner. A case names one of each by its keys qemu,
    ovmf and kernel; "default" is what the machine has installed and the guest's own directory."""

    qemus = {"default": Qemu("qemu-system-x86_64")}
    ovmfs = {"default": Ovmf("/usr/share/ovmf/OVMF.fd", "/usr/share/OVMF/OVMF_CODE_4M.fd",
                             "/usr/share/OVMF/OVMF_VARS_4M.fd")}
    kernels = {}  # directories with vmlinuz and initramfs.gz; "default" stands for guest
    qemu = qemus["default"].program
    bios = ovmfs["default"].bios
    resumectl = None  # path of the tool
    resume_efi = None
    secret_applications = None  # directory with what tests/qemu/secret makes
    unit_tests = None  # directory with what tests/unit makes
    guest = None  # directory with vmlinuz, initramfs.gz, probe.efi
    logs = None


def chosen(table, case, key):
    """What a case names by key, out of one of the tables of Settings. A name that nobody has
    entered there is something that is not here: the case cannot be run."""
    name = case.get(key, "default")
    if name not in table:
        raise Skip(f"{key} {name}: not here (there are: {', '.join(sorted(table)) or 'none'})")
    return table[name]


class Machine:
    """One VM through its life: started, snapshotted, ended, resumed, perhaps more than once."""

    def __init__(self, name, case):
        self.case = case
        self.qemu = chosen(Settings.qemus, case, "qemu")
        self.ovmf = chosen(Settings.ovmfs, case, "ovmf")
        self.kernel = chosen({"default": Settings.guest, **Settings.kernels}, case, "kernel")
        self.directory = os.path.join(Settings.logs, name)
        shutil.rmtree(self.directory, ignore_errors=True)
        os.makedirs(self.directory)
        # Socket paths have to be short.
        self.sockets = tempfile.mkdtemp(prefix="resume-test-")
        self.qmp_path = os.path.join(self.sockets, "qmp")
        self.gdb_path = os.path.join(self.sockets, "gdb")
        self.console = Console(os.path.join(self.sockets, "console"), self.path("console.log"))
        self.process = None
        self.registers = None  # `info registers` at the last stop, if there was one
        self.number = 0
        self._notes = open(self.path("commands.log"), "w", encoding="utf-8")
        self._make_files()

    def path(self, name):
        return os.path.join(self.directory, name)

    def note(self, text):
        self._notes.write(text + "\n")
        self._notes.flush()

    def _make_files(self):
        case = self.case
        if case.get("guest") == "linux" and case.getboolean("disk", True):
            subprocess.run(["mke2fs", "-q", "-t", "ext4", "-F", self.path("disk.img"), "32M"],
                           check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if case.get("guest") == "probe":
            with open(self.path("variant"), "w", encoding="ascii") as file:
                file.write(case.get("variant", "kernel"))
        if case.get("firmware") == "pflash":
            shutil.copy(self.ovmf.vars, self.path("vars.fd"))

    def command(self, **changes):
        """The command line of the VM. changes: machine, ram, cpu, smp, extra in place of the case's.
        smp is what -smp takes: "4", or "2,maxcpus=4"."""
        get = lambda key, default: changes.get(key, self.case.get(key, default))
        command = [self.qemu.program]
        if self.qemu.data:
            command += ["-L", self.qemu.data]
        command += ["-machine", get("machine", "q35"), "-accel", "tcg",
                    "-cpu", get("cpu", "qemu64"), "-m", get("ram", "512M"),
                    "-smp", get("smp", "1"), "-display", "none", "-no-reboot",
                    "-chardev", "socket,id=console,path=" + self.console.path,
                    "-serial", "chardev:console",
                    "-qmp", f"unix:{self.qmp_path},server=on,wait=off"]
        if self.case.get("firmware") == "pflash":
            command += ["-drive", "if=pflash,format=raw,readonly=on,file=" + self.ovmf.code,
                        "-drive", "if=pflash,format=raw,file=" + self.path("vars.fd")]
        else:
            command += ["-bios", self.ovmf.bios]
        if self.case.get("guest") == "linux":
            # Linux looks at its start whether the timer works, and a busy host makes it think not.
            append = "console=ttyS0 quiet no_timer_check " + self.case.get("append", "")
            programs = self.case.get("programs", "").split()
            if programs:
                append += " programs=" + ",".join(programs)
            command += ["-kernel", os.path.join(self.kernel, "vmlinuz"),
                        "-initrd", os.path.join(self.kernel, "initramfs.gz"),
                        "-append", append.strip()]
            if self.case.getboolean("disk", True):
                command += ["-drive", "if=virtio,format=raw,file=" + self.path("disk.img")]
        elif self.case.get("guest") == "probe":
            command += ["-kernel", os.path.join(Settings.guest, "probe.efi"),
                        "-fw_cfg", "name=opt/org.libresume.probe/variant,file="
                        + self.path("variant")]
        extra = shlex.split(get("extra", ""))
        if not any(word in ("-nic", "-netdev") for word in extra):
            extra += ["-nic", "none"]
        return command + extra

    def spawn(self, command, name):
        """Start a program whose output goes to the log NAME; it is the VM from now on."""
        self.number += 1
        log = self.path(f"{self.number:02d}-{name}.log")
        self.note(shlex.join(command))
        with open(log, "wb") as file:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file,
                                            stderr=subprocess.STDOUT)
        self.process_log = log
        return log

    def alive(self):
        """Raises when the VM's process is gone."""
        code = self.process.poll()
        if code is not None:
            raise Failure(f"the VM's process ended with status {code}: {self.last_output()}")

    def last_output(self):
        with open(self.process_log, "rb") as file:
            text = file.read().decode("latin-1")
        lines = [line for line in text.splitlines()
                 if line.strip() and "TCG doesn't support requested feature" not in line]
        return " / ".join(lines[-3:]) or "it said nothing"

    def start(self, extra=()):
        self.spawn(self.command() + list(extra), "source")

    def qmp(self):
        return Qmp(self.qmp_path, alive=self.alive)

    def tool(self, *arguments, seconds=120, name=None):
        """Run resumectl to its end. Returns exit status, stdout, stderr."""
        command = [Settings.resumectl, *arguments]
        self.note(shlex.join(command))
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=limit(seconds), check=False)
        except subprocess.TimeoutExpired:
            raise Failure(f"resumectl {arguments[0]}: not done after {limit(seconds):.0f} s") \
                from None
        self.number += 1
        with open(self.path(f"{self.number:02d}-{name or arguments[0]}.log"), "wb") as file:
            file.write(done.stdout + done.stderr)
        return (done.returncode, done.stdout.decode("utf-8", "replace"),
                done.stderr.decode("utf-8", "replace"))

    def snapshot(self, directory="snapshot"):
        """Take a snapshot that ends the VM. Returns its path."""
        path = self.path(directory)
        code, _, errors = self.tool("snapshot", "--qmp", self.qmp_path, "-o", path, "--quit")
        if code != 0:
            raise Failure(f"resumectl snapshot: exit status {code}: {errors.strip()[-400:]}")
        self.ended(30, "the source, after its snapshot")
        self.console.wait_closed(10, "the source's console")
        return path

    def resume(self, snapshot, more=(), verify=True):
        """Start a resume in the background, with more options. Returns the parked target's debug console, as a file that
        is still being written, if the case wants to know what it says."""
        self.ledger = self.path(f"ledger-{self.number + 1:02d}.json")
        options = list(more) + (["--verify", "--json", self.ledger] if verify else [])
        options += ["--firmware", self.case.get("shim", "efi")]
        if self.case.get("loader"):
            options += ["--efi", os.path.join(Settings.guest, self.case["loader"] + ".efi")]
        scratch = tempfile.mkdtemp(dir=self.sockets)
        self.spawn(["env", "TMPDIR=" + scratch, Settings.resumectl, "resume", snapshot, *options,
                    "--", *self.command()], "resume")
        return self._parking_log(scratch) if self.case.get("parking") else None

    def _parking_log(self, scratch):
        """The debug console of the target that is being parked, opened while it is there: resumectl
        removes it when all is well."""
        until = time.monotonic() + limit(60)
        while True:
            for path in glob.glob(os.path.join(scratch, "*", "target-debug.log")):
                return open(path, encoding="latin-1")
            self.alive()
            if time.monotonic() > until:
                raise Failure(f"the parked target's debug console: not there in {limit(60):.0f} s")
            time.sleep(0.02)  # between two looks

    def ended(self, seconds, what):
        """Wait for the VM's process to end by itself. Returns its exit status."""
        try:
            return self.process.wait(limit(seconds))
        except subprocess.TimeoutExpired:
            raise Failure(f"{what}: still there after {limit(seconds):.0f} s") from None

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.console.close()
        self._notes.close()
        shutil.rmtree(self.sockets, ignore_errors=True)
