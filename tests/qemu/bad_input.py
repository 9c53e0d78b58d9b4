# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Bad input, end to end: each case does one thing wrong and looks at what comes of it. The tool
must end with the documented exit status and a message of the documented form, the snapshot must
stay as it is, and nothing that looks complete may be left behind."""

import configparser
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time

from guests import guest_of
from harness import Failure, Machine, Qmp, Settings, Skip, checksums, limit

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# resumectl's exit statuses (tools/exit_codes.h).
REFUSED, USAGE, ENVIRONMENT, DIFFERENT, TIMEOUT = 1, 2, 3, 4, 5
# WHAT: WHERE: WHY (what to do)
MESSAGE = re.compile(r"^resumectl: (?!warning:)[^:]+: .+: .+ \(.+\)$", re.M)


def case_of(**keys):
    parser = configparser.ConfigParser()
    parser.read_dict({"case": dict({"guest": "probe", "variant": "user", "cpu": "Haswell"}, **keys)})
    return parser["case"]


def expect(result, status, *words):
    """The outcome of a resumectl that was to fail."""
    code, _, errors = result
    errors = re.sub(r"\x1b\[[0-9;]*m", "", errors)
    if code != status:
        raise Failure(f"exit status {code} instead of {status}: {errors.strip()[-500:]!r}")
    message = MESSAGE.search(errors)
    if not message:
        raise Failure(f"no message of four parts: {errors.strip()[-500:]!r}")
    missing = [word for word in words if not re.search(word, errors, re.I)]
    if missing:
        raise Failure(f"the message does not say {missing[0]!r}: {errors.strip()[-500:]!r}")
    return message.group(0)


def no_remains(path):
    if os.path.exists(path):
        raise Failure(f"{path}: there, and looks like a snapshot")
    if os.path.exists(path + ".partial"):
        raise Failure(f"{path}.partial: left behind")


def wait_until(condition, seconds, what):
    until = time.monotonic() + limit(seconds)
    while not condition():
        if time.monotonic() > until:
            raise Failure(f"not within {limit(seconds):.0f} s: {what}")
        time.sleep(0.002)  # between two looks at the file system or the process table


def children(pid):
    """The direct children of a process."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                found += [int(word) for word in file.read().split()]
        except FileNotFoundError:
            pass
    return found


class Runner:
    """Holds the snapshot that the cases start from; taken once, by whoever needs it first."""

    def __init__(self, wanted):
        self.wanted = wanted
        self._lock = threading.Lock()
        self._machine = None
        self._snapshot = None
        self._problem = None

    def functions(self):
        return [(name, lambda name=name: self._run(name)) for name in self.wanted]

    def _run(self, name):
        for path in (Settings.resumectl, Settings.resume_efi):
            if not path or not os.path.exists(path):
                raise Skip(f"{path}: not built")
        return CASES[name](self)

    def good(self):
        """The machine and path of a good snapshot of the probe. Not to be changed."""
        with self._lock:
            if self._problem:
                raise Failure(self._problem)
            if not self._snapshot:
                try:
                    self._machine = Machine("bad-good-snapshot", case_of())
                    self._machine.start()
                    guest_of(self._machine).wait_up()
                    self._snapshot = self._machine.snapshot()
                except Failure as failure:
                    self._problem = f"no good snapshot to begin with: {failure}"
                    raise Failure(self._problem) from None
            return self._machine, self._snapshot

    def copy(self, name):
        """A machine whose directory holds a copy of the good snapshot, its path."""
        _, snapshot = self.good()
        machine = Machine(name, case_of())
        path = machine.path("snapshot")
        shutil.copytree(snapshot, path)
        return machine, path

    def close(self):
        if self._machine:
            self._machine.close()


def refuse_resume(machine, path, status, *words, command=None):
    """A resume that must fail and leave the snapshot alone."""
    before = checksums(path)
    result = machine.tool("resume", path, "--timeout", "60", "--", *(command or machine.command()),
                          seconds=150)
    said = expect(result, status, *words)
    if checksums(path) != before:
        raise Failure("the snapshot was altered")
    if machine.console.position():
        raise Failure("something was written to the guest's console: "
                      + repr(machine.console.text()[:100]))
    return said


# ---- A snapshot that is not as it was taken ---------------------------------------------------

def truncated(runner):
    machine, path = runner.copy("bad-stream-truncated")
    try:
        stream = os.path.join(path, "stream")
        size = os.path.getsize(stream)
        said = ""
        for cut in (size - 1, size - 70000, size // 2, 100, 0):
            os.truncate(stream, max(cut, 0))
            said = refuse_resume(machine, path, REFUSED, "stream")
        return said
    finally:
        machine.close()


def flipped(name):
    def run(runner):
        machine, path = runner.copy("bad-flipped-" + name)
        try:
            file_path = os.path.join(path, name)
            size = os.path.getsize(file_path)
            said = ""
            for offset in (0, size // 3, size - 2):
                with open(file_path, "r+b") as file:
                    file.seek(offset)
                    byte = file.read(1)[0]
                    file.seek(offset)
                    file.write(bytes([byte ^ 0x20]))
                said = refuse_resume(machine, path, REFUSED, re.escape(name))
                with open(file_path, "r+b") as file:
                    file.seek(offset)
                    file.write(bytes([byte]))
            return said
        finally:
            machine.close()
    return run


def missing_file(runner):
    machine, path = runner.copy("bad-missing-file")
    try:
        said = ""
        for name in ("manifest.json", "stream", "state.rsm", "plan.rsm"):
            os.rename(os.path.join(path, name), machine.path("aside"))
            said = refuse_resume(machine, path, REFUSED, re.escape(name))
            expect(machine.tool("inspect", path), REFUSED, re.escape(name))
            os.rename(machine.path("aside"), os.path.join(path, name))
        return said
    finally:
        machine.close()


def interrupted(runner):
    machine, path = runner.copy("bad-interrupted")
    try:
        os.unlink(os.path.join(path, "manifest.json"))
        refuse_resume(machine, path, REFUSED, "manifest")
        partial = machine.path("other.partial")
        os.rename(path, partial)
        return refuse_resume(machine, partial, REFUSED, "partial|interrupted|complete")
    finally:
        machine.close()


def not_there(runner):
    machine, path = runner.copy("bad-not-there")
    try:
        return expect(machine.tool("resume", path + "-not", "--", *machine.command()), REFUSED,
                      "snapshot-not")
    finally:
        machine.close()


# ---- A machine that is not the snapshot's -----------------------------------------------------

def other_machine(name, words, **changes):
    def run(runner):
        machine, path = runner.copy("bad-" + name)
        try:
            return refuse_resume(machine, path, REFUSED, *words,
                                 command=machine.command(**changes))
        finally:
            machine.close()
    return run


def detached(runner):
    """Options that --detach goes without; then a resume whose outputs end with resumectl."""
    machine, path = runner.copy("detach")
    try:
        said = expect(machine.tool("resume", path, "--detach", "--", *machine.command(),
                                   "-monitor", "stdio"), REFUSED, "--detach", "-monitor")
        # What QEMU minds must be shown, though it does not have the tool's outputs.
        expect(machine.tool("resume", path, "--detach", "--", *machine.command(),
                            "-drive", "file=/nonexistent,if=none", seconds=150),
               ENVIRONMENT, "Could not open '/nonexistent'")
        # That this comes back at all shows that nobody holds the pipes any more.
        code, _, errors = machine.tool("resume", path, "--detach", "--", *machine.command(),
                                       seconds=150)
        if code != 0:
            raise Failure(f"exit status {code}: {errors.strip()[-500:]!r}")
        pid = int(re.search(r"QEMU has process id (\d+)", errors).group(1))
        outputs = {number: os.readlink(f"/proc/{pid}/fd/{number}") for number in (0, 1, 2)}
        machine.console.wait_for(r"^probe: pass (\d+)\n", 60, "fourth pass after the resume",
                                 count=4, never="probe: FAIL.*|probe: stopped")
        qmp = Qmp(machine.qmp_path)
        qmp("quit")
        qmp.close()
        machine.console.wait_closed(20, "the detached QEMU's console")
        if outputs[0] != "/dev/null":
            raise Failure(f"the detached QEMU's standard input is {outputs[0]}")
        return said
    finally:
        machine.close()


def usage(runner):
    machine, path = runner.copy("bad-usage")
    try:
        said = ""
        for arguments in (["resume"], ["resume", path], ["snapshot"], ["inspect"],
                          ["resume", "--no-such-option", path, "--", "true"], ["no-such"]):
            code, _, errors = machine.tool(*arguments)
            if code != USAGE or not errors.strip():
                raise Failure(f"resumectl {' '.join(arguments)}: exit status {code} instead of "
                              f"{USAGE}: {errors.strip()!r}")
            said = errors.strip().splitlines()[0]
        for arguments in (["--help"], ["snapshot", "--help"], ["resume", "--help"],
                          ["inspect", "--help"]):
            code, output, _ = machine.tool(*arguments)
            if code != 0 or "xit code" not in output:
                raise Failure(f"resumectl {' '.join(arguments)}: exit status {code}, or the exit "
                              "codes are not explained")
        return said
    finally:
        machine.close()


# ---- Snapshots that cannot be taken -----------------------------------------------------------

def refuse_snapshot(machine, guest, status, *words):
    """A snapshot of a running VM that must fail; the VM must run on."""
    path = machine.path("snapshot")
    guest.wait_up()
    said = expect(machine.tool("snapshot", "--qmp", machine.qmp_path, "-o", path, "--quit"),
                  status, *words)
    no_remains(path)
    guest.wait_on(machine.console.position(), 60)
    return said


def no_home(_):
    """A guest with nothing executable but its own instructions."""
    machine = Machine("bad-no-home", case_of(variant="no-home"))
    try:
        machine.start()
        return refuse_snapshot(machine, guest_of(machine), REFUSED, "home")
    finally:
        machine.close()


def qmp_unreadable(runner):
    machine, _ = runner.copy("bad-qmp")
    try:
        path = machine.path("new")
        sayings = []
        for socket_path in (machine.path("no-such-socket"), os.path.abspath(__file__),
                            machine.console.path):
            # The last one listens but never speaks QMP.
            result = machine.tool("snapshot", "--qmp", socket_path, "-o", path, seconds=120)
            if result[0] not in (REFUSED, ENVIRONMENT, TIMEOUT):
                raise Failure(f"{socket_path}: exit status {result[0]}: {result[2].strip()!r}")
            sayings.append(expect(result, result[0], "."))
            no_remains(path)
        return sayings[0]
    finally:
        machine.close()


def snapshot_exists(_):
    machine = Machine("bad-exists", case_of())
    try:
        machine.start()
        guest = guest_of(machine)
        guest.wait_up()
        path = machine.path("snapshot")
        os.mkdir(path)
        with open(os.path.join(path, "precious"), "w", encoding="ascii") as file:
            file.write("keep me\n")
        before = checksums(path)
        said = expect(machine.tool("snapshot", "--qmp", machine.qmp_path, "-o", path), REFUSED,
                      "exist")
        if checksums(path) != before:
            raise Failure("what was there was altered")
        guest.wait_on(machine.console.position(), 60)
        return said
    finally:
        machine.close()


def disk_full(_):
    if os.geteuid() != 0:
        raise Skip("a small file system can only be mounted by root")
    machine = Machine("bad-disk-full", case_of())
    small = machine.path("small")
    os.mkdir(small)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "none", small],
                             capture_output=True, check=False)
    try:
        if mounted.returncode != 0:
            raise Skip("mount: " + mounted.stderr.decode().strip())
        machine.start()
        guest = guest_of(machine)
        guest.wait_up()
        path = os.path.join(small, "snapshot")
        said = expect(machine.tool("snapshot", "--qmp", machine.qmp_path, "-o", path, "--quit"),
                      ENVIRONMENT, "space|full")
        no_remains(path)
        guest.wait_on(machine.console.position(), 60)
        return said
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", small], check=False)
        machine.close()


# ---- Ends that nobody wanted ------------------------------------------------------------------

def run_and_kill(machine, arguments, victim, when, what):
    """Start resumectl, end the process that victim() gives as soon as when() says so."""
    command = [Settings.resumectl, *arguments]
    machine.note(" ".join(command))
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as tool:
        try:
            wait_until(lambda: tool.poll() is not None or when(tool), 60, what)
            if tool.poll() is not None:
                raise Failure(f"over before {what}: {tool.stderr.read()[-300:]!r}")
            for pid in victim(tool):
                os.kill(pid, signal.SIGKILL)
            output, errors = tool.communicate(timeout=limit(120))
            return tool.returncode, output.decode(), errors.decode()
        except subprocess.TimeoutExpired:
            raise Failure(f"resumectl did not end after {what}") from None
        finally:
            if tool.poll() is None:
                tool.kill()


def source_killed(_):
    machine = Machine("bad-source-killed", case_of())
    try:
        machine.start()
        guest_of(machine).wait_up()
        path = machine.path("snapshot")
        said = expect(run_and_kill(
            machine, ["snapshot", "--qmp", machine.qmp_path, "-o", path, "--quit"],
            lambda tool: [machine.process.pid],
            lambda tool: os.path.exists(path + ".partial"), "the beginning of the snapshot"),
            ENVIRONMENT, ".")
        no_remains(path)
        return said
    finally:
        machine.close()


def snapshot_killed(_):
    """The tool itself is killed: nothing may look complete, and another attempt must work."""
    machine = Machine("bad-snapshot-killed", case_of())
    try:
        machine.start()
        guest = guest_of(machine)
        guest.wait_up()
        path = machine.path("snapshot")
        run_and_kill(machine, ["snapshot", "--qmp", machine.qmp_path, "-o", path],
                     lambda tool: [tool.pid], lambda tool: os.path.exists(path + ".partial"),
                     "the beginning of the snapshot")
        if os.path.exists(path):
            raise Failure("what the killed snapshot left behind looks complete")
        code, _, errors = machine.tool("snapshot", "--qmp", machine.qmp_path, "-o", path, "--quit")
        if code != 0:
            # Refusing because of the remains is fine when it says so and how to go on.
            said = expect((code, "", errors), REFUSED, r"\.partial")
            shutil.rmtree(path + ".partial")
            machine.snapshot()
            return said
        machine.ended(30, "the source, after its snapshot")
        with open(os.path.join(path, "manifest.json"), encoding="utf-8") as file:
            json.load(file)
        return "the next attempt worked"
    finally:
        machine.close()


def target_killed(runner):
    machine, path = runner.copy("bad-target-killed")
    try:
        before = checksums(path)
        said = expect(run_and_kill(
            machine, ["resume", path, "--", *machine.command()],
            lambda tool: children(tool.pid), lambda tool: children(tool.pid),
            "the start of the parked target"), ENVIRONMENT, ".")
        if checksums(path) != before:
            raise Failure("the snapshot was altered")
        return said
    finally:
        machine.close()


def resume_killed(runner):
    """The tool is killed while it resumes; then the same snapshot is resumed for real."""
    machine, path = runner.copy("bad-resume-killed")
    try:
        before = checksums(path)
        targets = []

        def remember(tool):
            targets.extend(children(tool.pid))
            return [tool.pid]

        run_and_kill(machine, ["resume", path, "--", *machine.command()], remember,
                     lambda tool: children(tool.pid), "the start of the parked target")
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in targets), 20,
                   "the end of the parked target without its parent")
        if checksums(path) != before:
            raise Failure("the snapshot was altered")
        machine.resume(path, verify=False)
        guest = guest_of(machine)
        guest.wait_on(0, 240)
        problems = re.findall("probe: FAIL.*", machine.console.text())
        if problems:
            raise Failure("; ".join(problems))
        return "the next attempt worked" if guest.end() == 0 else machine.last_output()
    finally:
        machine.close()


# ---- The verification is itself verified ------------------------------------------------------

def planted(name, wish, found):
    """A resume spoiled on purpose: --verify must find it and end the VM."""
    def run(runner):
        machine, path = runner.copy("verify-planted-" + name)
        try:
            before = checksums(path)
            ledger = machine.path("ledger.json")
            said = expect(machine.tool("resume", path, "--verify", "--json", ledger, "--inject",
                                       wish, "--", *machine.command(), seconds=240),
                          DIFFERENT, "differ")
            with open(ledger, encoding="utf-8") as file:
                text = file.read()
            if not re.search(found, text):
                raise Failure(f"the ledger does not name {found}: {ledger}")
            if checksums(path) != before:
                raise Failure("the snapshot was altered")
            return said
        finally:
            machine.close()
    return run


# ---- The firmware alone -----------------------------------------------------------------------

def start_firmware(machine, name, *arguments):
    """OVMF with resume.efi and no host tool around it. Returns the log of the debug console."""
    log = machine.path(f"debug-{name}.log")
    machine.spawn([Settings.qemu, "-machine", "q35", "-accel", "tcg", "-cpu", "Haswell",
                   "-m", "512M", "-display", "none", "-nic", "none", "-no-reboot",
                   "-chardev", "socket,id=console,path=" + machine.console.path,
                   "-serial", "chardev:console", "-bios", Settings.bios,
                   "-chardev", "file,id=debug,path=" + log,
                   "-device", "isa-debugcon,iobase=0x402,chardev=debug", *arguments],
                  "firmware-" + name)
    return log


def firmware_says(log):
    """Whether it parks or refuses, and with which words."""
    found = []

    def look():
        try:
            with open(log, "rb") as file:
                found[:] = re.findall(rb"libresume: (refused: .*|parked)\r?\n", file.read())
        except FileNotFoundError:
            pass
        return found

    wait_until(look, 90, "parking or refusal on the debug console")
    return found[0].decode("latin-1").strip()


def end_firmware(machine):
    machine.process.terminate()
    machine.ended(20, "QEMU")
    machine.console.wait_closed(10, "QEMU's console")


def expect_boot_manager(machine, start):
    machine.console.wait_for(r"BdsDxe|Shell>|UEFI Interactive Shell|Boot Manager|Press any key", 90,
                             "boot manager after the refusal", start=start, alive=machine.alive)


def firmware_refuses(runner):
    """resume.efi itself gets a blob that is not whole: a message, and on to the boot manager."""
    machine, path = runner.copy("bad-firmware-refuses")
    try:
        sayings = []
        state = os.path.join(path, "state.rsm")
        size = os.path.getsize(state)
        for damage in ("flip", "cut", "empty", "none", "smp"):
            blob = machine.path(f"state-{damage}")
            with open(state, "rb") as file:
                data = bytearray(file.read())
            if damage == "flip":
                data[size // 2] ^= 1
            elif damage == "cut":
                del data[size - 5:]
            elif damage == "empty":
                data = bytearray(8)
            with open(blob, "wb") as file:
                file.write(data)
            arguments = ["-kernel", Settings.resume_efi, "-fw_cfg",
                         "name=opt/org.libresume/plan,file=" + os.path.join(path, "plan.rsm")]
            if damage != "none":
                arguments += ["-fw_cfg", "name=opt/org.libresume/state,file=" + blob]
            if damage == "smp":
                arguments += ["-smp", "2"]  # nothing wrong with the blob, but with the machine
            start = machine.console.position()
            sayings.append(firmware_says(start_firmware(machine, damage, *arguments)))
            if sayings[-1] == "parked":
                raise Failure(f"{damage}: the firmware parked with a damaged blob")
            expect_boot_manager(machine, start)
            end_firmware(machine)
        return sayings[0]
    finally:
        machine.close()


def firmware_from_disk(runner):
    """Without fw_cfg: loader, state and plan as files of an EFI system partition."""
    machine, path = runner.copy("firmware-from-disk")
    try:
        folder = machine.path("esp/EFI/BOOT")
        os.makedirs(folder)
        shutil.copy(Settings.resume_efi, os.path.join(folder, "BOOTX64.EFI"))
        for name in ("state.rsm", "plan.rsm"):
            shutil.copy(os.path.join(path, name), folder)
        disk = "file=fat:rw:" + machine.path("esp") + ",format=raw,if=virtio"
        said = firmware_says(start_firmware(machine, "disk", "-drive", disk))
        if said != "parked":
            raise Failure(f"the firmware did not park: {said}")
        end_firmware(machine)
        os.remove(os.path.join(folder, "plan.rsm"))
        start = machine.console.position()
        said = firmware_says(start_firmware(machine, "no-plan", "-drive", disk))
        if "plan.rsm" not in said:
            raise Failure(f"without a plan the firmware says: {said}")
        expect_boot_manager(machine, start)
        end_firmware(machine)
        return "parked; without its plan: " + said
    finally:
        machine.close()


def handoff_offset(field):
    """Of a field of struct resume_handoff, by docs/HANDOFF.md, which a gate compares with the code."""
    with open(os.path.join(ROOT, "docs/HANDOFF.md"), encoding="utf-8") as file:
        text = file.read()
    begin = text.index("## struct resume_handoff")
    found = re.search(rf"^\| (0x[0-9a-f]+) \| `{field}` \|", text[begin:], re.M)
    if not found:
        raise Failure(f"docs/HANDOFF.md does not list {field}")
    return int(found.group(1), 16)


def spoiled_home(name, field, value, status, *words, never=None):
    """Behind the point of no return nothing can be wrong that was checked before: so a kept capture
    of a parked target is spoiled, in the home of vCPU 0. The trampoline must stop and say why. With `never`
    the snapshot is sealed, and that must not be said by anybody."""
    def run(runner):
        machine, path = runner.copy("bad-trampoline-" + name)
        try:
            before = checksums(path)
            parked = machine.path("parked")
            source, key = path, []
            if never is not None:
                key = ["--key", machine.path("key")]
                with open(os.open(key[1], os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                    file.write(os.urandom(32))
                source = machine.path("vm.rsm")
                code, _, errors = machine.tool("seal", *key, "-o", source, path)
                if code != 0:
                    raise Failure(f"resumectl seal: exit status {code}: {errors.strip()[-300:]}")
            code, _, errors = machine.tool("resume", source, *key, "--save-parked", parked, "--splice-to",
                                           "/dev/null", "--", *machine.command(), seconds=240)
            if code != 0:
                raise Failure(f"parking ended with status {code}: {errors.strip()[-300:]}")
            with open(parked, "r+b") as file:
                data = file.read()
                place = data.index(b"MHANDOFF") + handoff_offset(field)
                file.seek(place)
                file.write(value.to_bytes(8, "little"))
            result = machine.tool("resume", source, *key, "--parked", parked, "--",
                                  *machine.command(), seconds=240)
            said = expect(result, status, *words)
            found = never and re.search(never, result[1] + result[2])
            if found:
                raise Failure(f"what nobody may know is said: {found.group()}")
            if checksums(path) != before:
                raise Failure("the snapshot was altered")
            return said
        finally:
            machine.close()
    return run


CASES = {
    "verify-planted-r12": planted("r12", "reg:r12^0x4000", r"env\.regs\[12\]"),
    "verify-planted-dr1": planted("dr1", "reg:dr1^0x10", r"env\.dr\[1\]"),
    "verify-planted-fs": planted("fs", "reg:fs.base^0x8000", r"env\.segs\[4\]\.base"),
    "verify-planted-ram": planted("ram", "ram:0x6000^0x10", r'"pa": 24576'),
    "bad-stream-truncated": truncated,
    "bad-stream-flipped": flipped("stream"),
    "bad-state-flipped": flipped("state.rsm"),
    "bad-plan-flipped": flipped("plan.rsm"),
    "bad-manifest-flipped": flipped("manifest.json"),
    "bad-missing-file": missing_file,
    "bad-interrupted": interrupted,
    "bad-not-there": not_there,
    "bad-ram-size": other_machine("ram-size", ["RAM|memory"], ram="1G"),
    "bad-machine": other_machine("machine", ["machine"], machine="pc"),
    "bad-cpu-model": other_machine("cpu-model", ["CPU"], cpu="qemu64"),
    "bad-cpu-count": other_machine("cpu-count", ["vCPU|CPU"], smp="2"),
    "bad-temporary-drives": other_machine("temporary-drives", ["-snapshot", "overlay"],
                                          extra="-snapshot"),
    "bad-temporary-drive": other_machine(
        "temporary-drive", ["snapshot=on", "overlay"],
        extra="-drive if=none,file=/dev/null,format=raw,snapshot=on"),
    "detach": detached,
    "bad-usage": usage,
    "bad-no-home": no_home,
    "bad-qmp": qmp_unreadable,
    "bad-exists": snapshot_exists,
    "bad-disk-full": disk_full,
    "bad-source-killed": source_killed,
    "bad-snapshot-killed": snapshot_killed,
    "bad-target-killed": target_killed,
    "bad-resume-killed": resume_killed,
    "bad-firmware-refuses": firmware_refuses,
    # XSETBV raises #GP for an XCR0 without x87.
    "bad-trampoline-fault": spoiled_home("fault", "xcr0", 0, ENVIRONMENT, "vector=0x0*d", "error=0x",
                                         "rip=0x", "cr2=0x", "stage=0x0*4", "cpu=0x0*0"),
    # DR6 has bits that always read as ones.
    "bad-trampoline-differs": spoiled_home("differs", "dr6", 0, DIFFERENT, "vCPU 0", "dr6",
                                           "0xffff0ff0"),
    "bad-trampoline-fault-sealed": spoiled_home(
        "fault-sealed", "xcr0", 0, ENVIRONMENT, "vector=0x0*d", "error=0x", "stage=0x0*4", "cpu=0x0*0",
        never="rip=|cr2="),
    "bad-trampoline-differs-sealed": spoiled_home(
        "differs-sealed", "dr6", 0, DIFFERENT, "vCPU 0", "dr6", "does not tell",
        never="wanted|(?i:ffff0ff0)"),
    "firmware-from-disk": firmware_from_disk,
}


def names():
    return list(CASES)
