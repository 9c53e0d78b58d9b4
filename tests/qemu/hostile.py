# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A hostile host, and what resume.efi makes of it. Each case is one machine, in which an application
starts resume.efi again and again, each time with another image. Every time it has to refuse, saying
what structure is wrong, and come back; it must give back all memory and leave nothing in it. What is
said is compared with the tables of docs/THREATS.md; RESUME_WRITE_TABLES=1 writes them anew."""

import collections
import configparser
import hashlib
import os
import pathlib
import re
import struct
import sys
import threading
import time
import uuid
from typing import NamedTuple, Optional

import hostile_host
import hostile_images
from guests import guest_of
from harness import Failure, Machine, Qmp, Settings, Skip, limit
from hostile_images import KEY, MARK, OTHER_KEY

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/gates"))
import table  # noqa: E402

RAM = "256M"
SHOWN = 3
OWN_TABLES = ("files", "memory", "disk")
DRIVERS_PAGES = 64
KEY_GUID, TABLE_GUID = ("e7aa8de2-cbd1-4ef5-8183-6279520f17b8", "1e74f542-71dd-4d66-963e-ef4287ff173b")
PARKED, DONE = "libresume: parked\n", "libresume: test: done\n"


class Run(NamedTuple):
    """One start of resume.efi."""

    what: str
    options: str
    words: str            # which have to be in what it says when it refuses
    accepted: bool = False  # it goes on, and so is the last one


class Boot(NamedTuple):
    """One machine."""

    runs: list
    files: dict = {}      # on the volume
    fw_cfg: dict = {}     # name -> content
    disk: Optional[tuple] = None  # content and policy
    changes: dict = {}    # of the machine
    extra: tuple = ()
    check_memory: bool = False
    after: Optional[object] = None  # called with the host of the disk; returns what to say


class Source:
    """The guest that all images are of; stopped once."""

    def __init__(self):
        self._lock = threading.Lock()
        self._parts = self._problem = None

    def parts(self):
        with self._lock:
            if self._problem:
                raise Failure(self._problem)
            if not self._parts:
                try:
                    self._parts = self._make()
                except Failure as failure:
                    self._problem = f"no image to begin with: {failure}"
                    raise Failure(self._problem) from None
            return self._parts

    def _make(self):
        machine = Machine("hostile-source", case_of("probe", variant="user"))
        try:
            machine.start()
            guest_of(machine).wait_up()
            snapshot = machine.snapshot()
            write(machine.path("key"), KEY)
            image = machine.path("vm.rsm")
            code, _, errors = machine.tool("seal", "--key", machine.path("key"), "-o", image, snapshot)
            if code != 0:
                raise Failure(f"resumectl seal: exit status {code}: {errors.strip()[-300:]}")
            parts = hostile_images.Parts(image, KEY)
            with open(os.path.join(snapshot, "state.rsm"), "rb") as state, \
                    open(os.path.join(snapshot, "plan.rsm"), "rb") as plan:
                parts.files = {"state": state.read(), "plan": plan.read()}
            return parts
        finally:
            machine.close()


SOURCE = Source()


def case_of(guest, **keys):
    parser = configparser.ConfigParser()
    parser.read_dict({"case": {"guest": guest, "cpu": "Haswell", "ram": RAM, "smp": "2", **keys}})
    return parser["case"]


def write(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    return path


# ---- One machine ------------------------------------------------------------------------------

def start(machine, boot, application):
    """Returns the host of the disk, if there is one."""
    extra = ["-debugcon", "file:" + machine.path("debug.log"), "-global", "isa-debugcon.iobase=0x402",
             *boot.extra]
    write(machine.path("debug.log"), b"")
    files = {"EFI/BOOT/BOOTX64.EFI": application, **boot.files}
    for name, content in files.items():
        write(machine.path("volume/" + name), content)
    extra += ["-drive", f"file=fat:{machine.path('volume')},format=raw,if=virtio,readonly=on"]
    fw_cfg = {"opt/org.libresume.test/runs":
              "".join(run.options + "\n" for run in boot.runs).encode(), **boot.fw_cfg}
    for number, (name, content) in enumerate(fw_cfg.items()):
        extra += ["-fw_cfg", f"name={name},file=" + write(machine.path(f"fw_cfg-{number}"), content)]
    host = None
    if boot.disk:
        path = os.path.join(machine.sockets, "disk")
        host = hostile_host.Host(path, boot.disk[0], machine.path("debug.log"), boot.disk[1])
        extra += ["-blockdev", f"driver=nbd,node-name=nbd,server.type=unix,server.path={path},"
                  "read-only=on", "-blockdev", "driver=raw,file=nbd,node-name=disk,read-only=on",
                  "-device", "virtio-blk-pci,drive=disk"]
    machine.spawn(machine.command(**boot.changes) + extra, "target")
    return host


def said_by(machine):
    with open(machine.path("debug.log"), encoding="latin-1") as file:
        return file.read()


def wait_end(machine, runs, seconds):
    """Until the application is done, or the last run has parked."""
    until = time.monotonic() + limit(seconds)
    end = PARKED if runs[-1].accepted else DONE
    while True:
        text = said_by(machine)
        if end in text:
            return text
        if PARKED in text or DONE in text or "libresume: fault" in text:
            raise Failure(f"it says {text[-300:]!r}")
        machine.alive()
        if time.monotonic() > until:
            raise Failure(f"not done within {limit(seconds):.0f} s; it says {text[-300:]!r}")
        time.sleep(0.05)  # between two looks


def check_run(number, run, text):
    """What a run has said when it refused."""
    begin = text.find(f"libresume: test: run {number}: ")
    end = re.search(rf"^libresume: test: run {number}: status (0x[0-9a-f]+|0), (\d+) pages", text, re.M)
    if run.accepted:
        mine = text[begin:]
        if begin < 0 or "libresume: refused" in mine or "libresume: leaving the firmware" not in mine:
            raise Failure(f"{run.what}: run {number} was not accepted: {mine[-300:]!r}")
        return None
    if begin < 0 or not end:
        raise Failure(f"{run.what}: run {number} did not come back: {text[-300:]!r}")
    mine = text[begin:end.start()]
    refusals = re.findall(r"^libresume: refused: (.*)$", mine, re.M)
    if len(refusals) != 1:
        raise Failure(f"{run.what}: run {number} says {mine!r}")
    if run.words not in refusals[0]:
        raise Failure(f"{run.what}: run {number} does not say {run.words!r}, but {refusals[0]!r}")
    if re.search(r"vCPU \d+: .* is 0x|home: .* at 0x", mine):
        raise Failure(f"{run.what}: run {number} tells the host what a register is: {mine!r}")
    if int(end.group(1), 16) == 0 or "leaving the firmware" in mine:
        raise Failure(f"{run.what}: run {number} refuses, and goes on: {mine!r}")
    return refusals[0]


def check_leaks(text):
    """What drivers of the firmware allocate at first use is all that may be missing."""
    missing = sum(map(int, re.findall(r"^libresume: test: run \d+: status .*, (\d+) pages", text, re.M)))
    if missing > DRIVERS_PAGES:
        raise Failure(f"{missing} pages of memory have not come back")


def check_memory(machine, boot):
    """Keys and decrypted content must not be anywhere."""
    qmp = Qmp(machine.qmp_path)
    qmp("stop")
    path = machine.path("memory")
    qmp("pmemsave", val=0, size=256 << 20, filename=path)
    qmp.close()
    with open(path, "rb") as file:
        memory = file.read()
    os.unlink(path)
    state = SOURCE.parts().state
    secrets = {"the key": KEY, "a page": MARK, "the state": state[len(state) // 2:][:64]}
    if "libresume".encode("utf-16-le") not in memory and b"libresume" not in memory:
        raise Failure("the copy of the memory is not what it should be")
    for what, value in secrets.items():
        if value in memory:
            raise Failure(f"{what} is still in memory, at {memory.index(value):#x}")


def rows_of(boot, refusals):
    """The table: a row for each kind of thing."""
    rows = collections.OrderedDict()
    for run, said in zip(boot.runs, refusals):
        row = rows.setdefault(run.what, [0, collections.Counter(), run.accepted])
        row[0] += 1
        if said:
            row[1][simple(said)] += 1
    out = "| What the host does | Tried | Refused | What is said, and how often |\n|---|---|---|---|\n"
    for what, (tried, said, accepted) in rows.items():
        most = sorted(said.items(), key=lambda item: -item[1])
        words = [text + (f" ({count})" if count != tried else "") for text, count in most[:SHOWN]]
        if len(most) > SHOWN:
            words.append(f"{len(most) - SHOWN} more")
        out += f"| {what} | {tried} | {'none' if accepted else 'all'} | {'; '.join(words)} |\n"
    return out


def simple(said):
    """Structure and reason, without values."""
    said = re.sub(r" at 0x[0-9a-f]+ is .*| is (0x[0-9a-f]+|\d+), expected .*", "", said)
    return re.sub(r"\b(0x[0-9a-f]+|\d+)\b", "N", said)


DOCUMENT = threading.Lock()


def compare_table(name, made):
    """Machines with few rows share a table."""
    path = pathlib.Path(ROOT) / "docs/THREATS.md"
    write_it = os.environ.get("RESUME_WRITE_TABLES") == "1"
    name = name if name in OWN_TABLES else "machines"
    with DOCUMENT:
        if name == "machines":
            made = table.merged(path, "hostile-machines", made)
        problem = table.compare(path, "hostile-" + name, made, write_it)
    if problem:
        raise Failure(problem)


def run_boot(name, make):
    path = os.path.join(Settings.secret_applications, "launch-secret-resume.efi")
    for needed in (path, Settings.resumectl):
        if not needed or not os.path.exists(needed):
            raise Skip(f"{needed}: not built")
    boot = make(SOURCE.parts())
    with open(path, "rb") as file:
        application = file.read()
    machine = Machine("hostile-" + name, case_of("none"))
    host = None
    try:
        host = start(machine, boot, application)
        text = wait_end(machine, boot.runs, 120 + 3 * len(boot.runs))
        refusals = [check_run(number, run, text) for number, run in enumerate(boot.runs, 1)]
        check_leaks(text)
        if boot.check_memory:
            check_memory(machine, boot)
        if host and host.problem:
            raise Failure(f"the disk's host: {host.problem}")
        more = boot.after(host) if boot.after else ""
        compare_table(name, rows_of(boot, refusals))
        return f"{sum(not run.accepted for run in boot.runs)} refused" + more
    finally:
        machine.close()
        if host:
            host.close()


# ---- What the machines are given --------------------------------------------------------------

KEY_FILE = "opt/org.libresume/key"


def files(parts):
    runs, volume = [], {}
    for number, (what, words, image) in enumerate(hostile_images.files(parts)):
        # Two folders' worth: the root of a FAT volume has room for few.
        name = f"D{number // 100}/I{number:03d}.RSM"
        volume[name] = image
        runs.append(Run(what, "image=file:\\" + name.replace("/", "\\"), words))
    return Boot(runs, volume, {KEY_FILE: KEY})


def sealed_only(parts):
    """Of files, those that get furthest: what was decrypted by then must be gone."""
    boot = files(parts)
    kept = [run for run in boot.runs if run.words == "chunk"]
    names = [run.options.removeprefix("image=file:\\").replace("\\", "/") for run in kept]
    return Boot(kept, {name: boot.files[name] for name in names}, {KEY_FILE: KEY}, check_memory=True)


def one(parts, what, words, accepted=False, image=None, **more):
    return Boot([Run(what, "image=file:\\VM.RSM", words, accepted)],
                {"VM.RSM": parts.image() if image is None else image}, **more)


def wrong_key(parts):
    return one(parts, "another key by fw_cfg", "another key", fw_cfg={KEY_FILE: OTHER_KEY})


def no_key(parts):
    return Boot([Run("no key, and the image is sealed", "image=file:\\VM.RSM", "key"),
                 Run("no key, and the image is not: control", "image=file:\\PLAIN.RSM", "", True)],
                {"VM.RSM": parts.image(), "PLAIN.RSM": parts.image(None)})


def identity(parts):
    newer = parts.image(salt=bytes(range(9, 41)))
    return Boot([Run("an older image, under the same key", "image=file:\\OLD.RSM", "another snapshot"),
                 Run("the image that is expected: control", "image=file:\\VM.RSM", "", True)],
                {"OLD.RSM": parts.image(), "VM.RSM": newer},
                {KEY_FILE: KEY, "opt/org.libresume/identity": hashlib.sha256(newer[:512]).digest()})


def fewer_vcpus(parts):
    return one(parts, "a machine of fewer vCPUs", "processors", fw_cfg={KEY_FILE: KEY},
               changes={"smp": "1"})


def less_ram(parts):
    return one(parts, "a machine of less RAM", "this machine", fw_cfg={KEY_FILE: KEY},
               changes={"ram": "192M"})


def other_cpu(parts):
    return one(parts, "a machine of other CPUs", "CPU", fw_cfg={KEY_FILE: KEY},
               changes={"cpu": "qemu64"})


def disk(parts):
    """The image on a disk whose host does not always serve the same. Where it is not known how often
    something is read, the last chunk is bad besides, so that no run goes on."""
    data = parts.image()
    data += bytes(-len(data) % hostile_host.SECTOR)
    last = (len(parts.image()) - 1) // hostile_host.SECTOR
    first = hostile_images.edges(data)
    runs, policies = [], []

    def add(what, words, policy, spoil=True, accepted=False):
        runs.append(Run(what, "image=partition", words, accepted))
        policies.append((policy, spoil))

    def again(begin, end, reading):
        """Sectors [begin, end) are garbage from this reading of theirs on."""
        def policy(_, counts, sector, content):
            bad = begin <= sector < end and counts[sector] >= reading
            return hostile_host.garbage(content) if bad else content
        return policy

    def failing(number):
        return lambda request, counts, sector, content: None if request == number else content

    plain = lambda request, counts, sector, content: content
    structures = first["structures"] // 512
    for reading in range(1, 5):
        salt = lambda request, counts, sector, content, reading=reading: (
            content[:64] + hostile_host.garbage(content[64:96]) + content[96:]
            if sector == 0 and counts[0] >= reading else content)
        add("the header is another from its nth reading on, n = 1 to 4", "", salt)
    for begin in range(structures, first["data"] // 512, 4):
        add("structures are garbage at the first reading", "image",
            again(begin, begin + 1, 1), spoil=False)
    for number in range(1, 9):
        add("the nth reading fails, n = 1 to 8", "", failing(number))
    add("all is read; garbage at the last chunk", "chunk", plain)
    add("every sector behind the header is right at its first reading only: control", "",
        again(1, len(data) // 512, 2), spoil=False, accepted=True)

    def policy(run, request, counts, offset, content):
        if not 1 <= run <= len(policies):
            return content
        out = b""
        chosen, spoil = policies[run - 1]
        for at in range(0, len(content), 512):
            sector = (offset + at) // 512
            piece = chosen(request, counts, sector, content[at:at + 512])
            if piece is None:
                return None
            out += hostile_host.garbage(piece) if spoil and sector == last else piece
        return out

    def after(host):
        counts = host.readings.get(len(runs) - 1, [])
        most = max(counts[1:len(data) // 512], default=0)
        if most != 1:
            raise Failure(f"a sector was read {most} times in one run")
        return f"; header read {counts[0]} times, all else once"

    return Boot(runs, {}, {KEY_FILE: KEY}, (data, policy), after=after)


def fw_cfg(parts):
    good = parts.image()
    return Boot([Run("a fw_cfg file that is too short", "image=fw_cfg", "image")], {},
                {KEY_FILE: KEY, "opt/org.libresume/image": good[:len(good) // 2]})


def secret_table(key):
    guid = lambda text: uuid.UUID(text).bytes_le
    entry = guid(KEY_GUID) + struct.pack("<I", 20 + len(key)) + key
    return guid(TABLE_GUID) + struct.pack("<I", 20 + len(entry)) + entry


def launch_secret(parts):
    """The key is a launch secret. It is gone after the first run: then a key by fw_cfg must not help."""
    return Boot([Run("launch secrets; a byte of a chunk changed", "image=file:\\BAD.RSM", "chunk"),
                 Run("launch secrets without a key, and one by fw_cfg", "image=file:\\VM.RSM", "key")],
                {"VM.RSM": parts.image(), "BAD.RSM": hostile_images.files(parts)[40][2]},
                {KEY_FILE: KEY, "opt/org.libresume.test/secret": secret_table(KEY)},
                check_memory=True)


def other_mode(parts):
    """State and plan by fw_cfg, where there are launch secrets: a way around the seal."""
    return Boot([Run("launch secrets; state and plan by fw_cfg", "", "launch secret")], {},
                {"opt/org.libresume/state": parts.files["state"],
                 "opt/org.libresume/plan": parts.files["plan"],
                 "opt/org.libresume.test/secret": secret_table(KEY)})


BOOTS = {"files": files, "memory": sealed_only, "wrong-key": wrong_key, "no-key": no_key,
         "identity": identity, "fewer-vcpus": fewer_vcpus, "less-ram": less_ram,
         "other-cpu": other_cpu, "disk": disk, "fw-cfg": fw_cfg,
         "launch-secret": launch_secret, "other-mode": other_mode}


# ---- Without an application around it ----------------------------------------------------------

def boot_manager():
    """resume.efi as the kernel, and a bad image: OVMF goes on to what else it could boot."""
    if not os.path.exists(Settings.resume_efi):
        raise Skip(f"{Settings.resume_efi}: not built")
    parts = SOURCE.parts()
    machine = Machine("hostile-boot-manager", case_of("none"))
    try:
        good = parts.image()
        image = write(machine.path("vm.rsm"), hostile_images.flipped(
            good, hostile_images.edges(good)["structures"]))
        machine.spawn(machine.command() + [
            "-kernel", Settings.resume_efi, "-append", "image=partition",
            "-fw_cfg", f"name={KEY_FILE},file=" + write(machine.path("key"), KEY),
            "-drive", f"if=none,id=image,format=raw,read-only=on,file={image}",
            "-device", "virtio-blk-pci,drive=image"], "target")
        machine.console.wait_for(r"libresume: refused: image: .*", 120, "refusal", alive=machine.alive)
        came = machine.console.wait_for(r"libresume: back to the firmware[\s\S]*(BdsDxe: .*\n|Shell> )", 120,
                                        "boot manager", alive=machine.alive, never="libresume: parked")
        return came.group(1).strip()
    finally:
        machine.close()


def names():
    return ["hostile-" + name for name in BOOTS] + ["hostile-boot-manager"]


def functions(wanted):
    return [(name, lambda name=name: run_boot(name.removeprefix("hostile-"),
                                              BOOTS[name.removeprefix("hostile-")]))
            for name in wanted if name.removeprefix("hostile-") in BOOTS] + [
                (name, boot_manager) for name in wanted if name == "hostile-boot-manager"]
