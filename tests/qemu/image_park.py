# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Firmware puts a guest's memory back from an image: a guest is stopped, all its memory is read
through QEMU's monitor, a snapshot is taken and sealed. Then OVMF starts with resume.efi and the image,
until the vCPUs are parked, and all memory is read once more: every byte has to be what it was, but for
the home, and for [0xA0000, 0x100000), which the chipset shows something else in.

When the image is refused, nothing of the guest's memory may be left in the target's. (That resume.efi
wipes it cannot be told from outside with Debian's OVMF, which overwrites all memory that is freed.)"""

import configparser
import hashlib
import os
import random
import re
import time
from typing import NamedTuple

from guests import guest_of
from harness import Failure, Machine, Settings, Skip, chosen, limit

PAGE = 4096
HOLE = (0xa0000, 0x100000)
PART = 16 << 20
DATA = 224  # offset in an image's header of where its first chunk is (docs/IMAGE.md)
PARKED = "libresume: parked\n"
WRONG = r"libresume: (refused|fault|back to).*\n"


class Scene(NamedTuple):
    guest: str = "linux"
    variant: str = ""        # of the probe
    machine: str = "q35"
    smp: int = 1
    cpu: str = "qemu64"
    ram: str = "512M"
    firmware: str = "bios"
    programs: str = ""
    seal: tuple = ()         # options of resumectl seal
    key: bool = True
    where: str = "partition"  # or file, fw_cfg
    target: dict = {}        # what is different on the target's command line
    target_ovmf: str = "default"  # its firmware
    says: tuple = ()         # expressions


PROBE = {"guest": "probe", "variant": "smp", "smp": 2, "cpu": "Haswell"}
SCENES = {
    "park-linux-1": Scene(where="file", seal=("--compress", "zstd")),
    "park-linux-2": Scene(machine="pc", smp=2, cpu="Haswell", programs="cpus threads"),
    "park-probe-2": Scene(**PROBE, seal=("--compress", "none")),
    "park-probe-4": Scene(**PROBE | {"machine": "pc", "smp": 4, "firmware": "pflash"}),
    # With five levels of paging in the guest, and four in the firmware.
    "park-probe-8": Scene(**PROBE | {"variant": "smp-la57", "smp": 8, "cpu": "max"}, where="file"),
    "park-unsealed": Scene(**PROBE, key=False, where="fw_cfg", seal=("--compress", "none"), says=(
        r"warning: image: NOT SEALED, integrity only: .*",)),
    # Half of the RAM above 4 GiB.
    "park-high": Scene(**PROBE | {"machine": "q35,max-ram-below-4g=256M"}),
    # Machines whose firmware has another memory map than the source's.
    "park-more-ram": Scene(**PROBE, target={"ram": "768M"}),
    "park-more-devices": Scene(**PROBE, target={
        "extra": "-device virtio-rng-pci -device qemu-xhci -device virtio-net-pci"}),
    "park-other-firmware": Scene(**PROBE, target_ovmf="2025.02"),
}
REFUSED = {
    "refused-1": Scene(**PROBE | {"smp": 1, "variant": "kernel-timer"}, seal=("--compress", "none")),
    "refused-2": Scene(**PROBE),
}


def ram_ranges(mtree):
    """The RAM that the processors see below and above 4 GiB, from `info mtree -f`: (address, bytes)."""
    views = [view for view in mtree.replace("\r", "").split("FlatView #")
             if ' AS "memory", root: system\n' in view]
    if len(views) != 1:
        raise Failure("info mtree: no address space of memory")
    ranges = [(int(first, 16), int(last, 16) + 1 - int(first, 16)) for first, last in re.findall(
        r"^  ([0-9a-f]{16})-([0-9a-f]{16}) \(prio \d+, ram\): pc\.ram\b", views[0], re.M)]
    ranges = [(first, min(length, HOLE[0] - first) if first < HOLE[0] else length)
              for first, length in ranges]
    return [(first, length) for first, length in ranges
            if first < HOLE[0] or first >= HOLE[1]]


class Memory:
    """All of a stopped machine's memory, in files."""

    def __init__(self, qmp, ranges, path):
        self.files = []
        for first, length in ranges:
            name = f"{path}-{first:x}"
            qmp("pmemsave", val=first, size=length, filename=name)
            self.files.append((first, length, name))

    def remove(self):
        for _, _, name in self.files:
            os.unlink(name)

    def parts(self):
        for _, _, name in self.files:
            with open(name, "rb") as file:
                while part := file.read(PART):
                    yield part

    def pages(self):
        for part in self.parts():
            for at in range(0, len(part), PAGE):
                yield part[at:at + PAGE]

    def hashes(self, where=None):
        """Of all pages; or of those in whose place the other memory has but one byte, repeated."""
        pages = self.pages() if where is None else (
            page for page, other in zip(self.pages(), where.pages()) if other == other[:1] * PAGE)
        return {hashlib.blake2b(page, digest_size=16).digest() for page in pages}

    def has(self, secret):
        return any(secret in part for part in self.parts())

    def read(self, address, length):
        for first, size, name in self.files:
            if first <= address and address + length <= first + size:
                with open(name, "rb") as file:
                    file.seek(address - first)
                    return file.read(length)
        raise Failure(f"the target has no RAM at {address:#x}")

    def pages_unlike(self, other):
        """Numbers of the pages that are different there, of those that are here."""
        pages = []
        for first, length, name in self.files:
            with open(name, "rb") as file:
                at = first
                while at < first + length:
                    mine = file.read(min(PART, first + length - at))
                    theirs = other.read(at, len(mine))
                    if mine != theirs:
                        pages += [(at + into) // PAGE for into in range(0, len(mine), PAGE)
                                  if mine[into:into + PAGE] != theirs[into:into + PAGE]]
                    at += len(mine)
        return pages


def stopped_source(machine, guest, rng):
    """Stop the guest at an instant that nobody chose, and take memory and snapshot. Instants at which
    a vCPU cannot be resumed happen: then another one."""
    for attempt in range(1, 21):
        time.sleep(rng.uniform(0, 1))  # not in place of an event: the instant itself is what is drawn
        qmp = machine.qmp()
        qmp("stop")
        ranges = ram_ranges(qmp.human("info mtree -f"))
        memory = Memory(qmp, ranges, machine.path("source"))
        qmp.close()
        try:
            return memory, machine.snapshot(f"snapshot-{attempt}")
        except Failure:
            memory.remove()
            if attempt == 20 or machine.process.poll() is not None:
                raise
        qmp = machine.qmp()
        qmp("cont")
        qmp.close()
    raise Failure("unreachable")


def seal(machine, snapshot, scene):
    image = machine.path("vm.rsm")
    options = list(scene.seal)
    if scene.key:
        with open(machine.path("key"), "wb") as file:
            file.write(bytes(random.Random(5).randbytes(32)))
        options += ["--key", machine.path("key")]
    code, _, errors = machine.tool("seal", *options, "-o", image, snapshot)
    if code != 0:
        raise Failure(f"resumectl seal: exit status {code}: {errors.strip()[-300:]}")
    return image


def target_command(machine, scene, image):
    """The source's command line without drives and with resume.efi in place of the guest's kernel,
    and the image."""
    words = iter(machine.command(**scene.target))
    cleaned = []
    for word in words:
        if word in ("-kernel", "-initrd", "-append"):
            next(words)
        elif word == "-drive":
            drive = next(words)
            cleaned += [word, drive] if "if=pflash" in drive else []
        elif word == "-bios" and scene.target_ovmf != "default":
            cleaned += [word, chosen(Settings.ovmfs, {"ovmf": scene.target_ovmf}, "ovmf").bios]
            next(words)
        else:
            cleaned.append(word)
    options = "image=" + {"partition": "partition", "file": "file:\\vm.rsm",
                          "fw_cfg": "fw_cfg"}[scene.where]
    cleaned += ["-kernel", Settings.resume_efi, "-append", options,
                "-debugcon", "file:" + machine.path("debug.log"),
                "-global", "isa-debugcon.iobase=0x402"]
    if scene.key:
        cleaned += ["-fw_cfg", "name=opt/org.libresume/key,file=" + machine.path("key")]
    if scene.where == "partition":
        cleaned += ["-drive", f"if=none,id=image,format=raw,read-only=on,file={image}",
                    "-device", "virtio-blk-pci,drive=image"]
    elif scene.where == "file":
        folder = machine.path("volume")
        os.makedirs(folder)
        os.rename(image, os.path.join(folder, "vm.rsm"))
        cleaned += ["-drive", f"if=none,id=image,format=raw,readonly=on,file=fat:{folder}",
                    "-device", "virtio-blk-pci,drive=image"]
    else:
        cleaned += ["-fw_cfg", "name=opt/org.libresume/image,file=" + image]
    return cleaned


def wait_said(machine, seconds, line, never):
    """All that the target has said, once it has said the line."""
    log = machine.path("debug.log")
    until = time.monotonic() + limit(seconds)
    while True:
        text = ""
        if os.path.exists(log):
            with open(log, encoding="latin-1") as file:
                text = file.read()
        if line in text:
            return text
        wrong = re.search(never, text)
        if wrong:
            raise Failure(f"the target says {wrong.group(0)!r}; {text[-600:]!r}")
        machine.alive()
        if time.monotonic() > until:
            raise Failure(f"no {line!r} within {limit(seconds):.0f} s; the target says {text[-600:]!r}")
        time.sleep(0.05)  # between two looks


def stopped_memory(machine, name):
    qmp = machine.qmp()
    qmp("stop")
    memory = Memory(qmp, ram_ranges(qmp.human("info mtree -f")), machine.path(name))
    qmp.close()
    return memory


def runs(pages):
    text = []
    first = last = None
    for page in pages + [None]:
        if first is not None and page == last + 1:
            last = page
            continue
        if first is not None:
            text.append(f"{first * PAGE:#x}+{last - first + 1}")
        first = last = page
    return ", ".join(text[:20])


def compare(source, target, home):
    """Returns what to say. Every byte must be what it was."""
    inside = range(home[0] // PAGE, (home[0] + home[1]) // PAGE)
    wrong = [page for page in source.pages_unlike(target) if page not in inside]
    if wrong:
        raise Failure(f"{len(wrong)} pages are not what they were: {runs(wrong)}")
    total = sum(length for _, length, _ in source.files)
    return f"{total // PAGE} pages as they were, but for {len(inside)} of the home"


def new_machine(name, scene):
    for path in (Settings.resumectl, Settings.resume_efi):
        if not path or not os.path.exists(path):
            raise Skip(f"{path}: not built")
    parser = configparser.ConfigParser()
    parser.read_dict({"case": {
        "guest": scene.guest, "variant": scene.variant, "machine": scene.machine,
        "smp": str(scene.smp), "cpu": scene.cpu, "ram": scene.ram,
        "firmware": scene.firmware, "programs": scene.programs}})
    return Machine("image-" + name, parser["case"])


def sealed_source(machine, scene):
    """Boot the guest, stop it, seal it. Returns its memory and the image's path."""
    machine.start()
    guest = guest_of(machine)
    guest.wait_up()
    source, snapshot = stopped_source(machine, guest, random.Random())
    return source, seal(machine, snapshot, scene)


def check_says(scene, said):
    for wanted in scene.says:
        if not re.search(f"^libresume: {wanted}$", said, re.M):
            raise Failure(f"the target does not say {wanted!r}, but {said!r}")


def run_park(name, scene):
    machine = new_machine(name, scene)
    try:
        source, image = sealed_source(machine, scene)
        machine.spawn(target_command(machine, scene, image), "target")
        said = wait_said(machine, 180, PARKED, WRONG)
        check_says(scene, said)
        target = stopped_memory(machine, "target")
        text = compare(source, target, home_of(said))
        if scene.key and target.has(random.Random(5).randbytes(32)):
            raise Failure("the key is still in memory")
        source.remove()
        target.remove()
        loaded = re.search(r"^libresume: (loaded: .*)$", said, re.M)
        return text + "; " + (loaded.group(1) if loaded else "")
    finally:
        machine.close()


def home_of(said):
    found = re.search(r"^libresume: home: (\d+) KiB(?: at 0x[0-9a-f]+)? \(physical 0x([0-9a-f]+)\)$", said,
                      re.M)
    if not found:
        raise Failure(f"the target does not say where the home is: {said!r}")
    return int(found.group(2), 16), int(found.group(1)) * 1024


def refused_target(machine, command, name, says):
    """Start a target that has to refuse. Returns its memory."""
    log = machine.path("debug.log")
    if os.path.exists(log):
        os.unlink(log)
    machine.spawn(command, name)
    said = wait_said(machine, 180, "libresume: back to the firmware\n", r"libresume: (parked|fault).*")
    memory = stopped_memory(machine, name)
    if not re.search(f"^libresume: refused: {says}$", said, re.M):
        raise Failure(f"the target does not refuse by {says!r}, but says {said!r}")
    machine.process.kill()
    machine.process.wait()
    return memory


def flip(image, at):
    with open(image, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def run_refused(name, scene):
    """Refused when nearly all is loaded, beside the same machine, which refuses after one chunk: what
    is in the memory of both is the firmware's, which was the guest's too. Where that machine's
    memory is in use it is the firmware's own, and may become by chance what it was in the source."""
    machine = new_machine(name, scene)
    try:
        source, image = sealed_source(machine, scene)
        command = target_command(machine, scene, image)
        with open(machine.path("key"), "rb") as file:
            key = file.read()
        with open(image, "rb") as file:
            file.seek(DATA)
            first = int.from_bytes(file.read(8), "little")
        flip(image, first)
        early = refused_target(machine, command, "early", "image: .*tag of chunk at 0x0 .*")
        flip(image, first)
        flip(image, os.path.getsize(image) - 1)
        late = refused_target(machine, command, "late", r"image: .*tag of chunk at 0x[1-9a-f].*")
        secret = source.hashes(where=early) - early.hashes()
        left = secret & late.hashes()
        if len(secret) < 20:
            raise Failure(f"only {len(secret)} pages of the guest are not the firmware's")
        if left:
            raise Failure(f"{len(left)} pages of the guest are still in memory")
        for memory in (early, late):
            if memory.has(key):
                raise Failure("the key is still in memory")
        for memory in (source, early, late):
            memory.remove()
        return f"none of {len(secret)} pages are left"
    finally:
        machine.close()


def names():
    return ["image-" + name for name in SCENES | REFUSED]


def functions(wanted):
    known = {name: lambda name=name, scene=scene: run_park(name, scene)
             for name, scene in SCENES.items()}
    known.update({name: lambda name=name, scene=scene: run_refused(name, scene)
                  for name, scene in REFUSED.items()})
    return [(name, known[name.removeprefix("image-")]) for name in wanted
            if name.removeprefix("image-") in known]
