# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Firmware puts a guest's memory back from an image: a Linux guest is stopped, all its memory is read
through QEMU's monitor, a snapshot is taken and sealed. Then OVMF starts with resume.efi and the image,
until the vCPUs are parked, and all memory is read once more: every byte has to be what it was, but for
the home, and for [0xA0000, 0x100000), which the chipset shows something else in."""

import configparser
import json
import os
import random
import re
import time
from typing import NamedTuple

from guests import guest_of
from harness import Failure, Machine, Settings, Skip, limit

PAGE = 4096
HOLE = (0xa0000, 0x100000)
PART = 16 << 20
PARKED = "libresume: parked\n"


class Scene(NamedTuple):
    guest: str = "linux"
    variant: str = ""        # of the probe
    machine: str = "q35"
    smp: int = 1
    cpu: str = "qemu64"
    ram: str = "512M"
    programs: str = ""
    seal: tuple = ()         # options of resumectl seal
    key: bool = True
    where: str = "partition"  # or file, fw_cfg
    target: dict = {}        # what is different on the target's command line
    says: tuple = ()         # expressions


PROBE = {"guest": "probe", "variant": "smp", "smp": 2, "cpu": "Haswell"}
SCENES = {
    "linux-1": Scene(where="file", seal=("--compress", "zstd")),
    "linux-2": Scene(machine="pc", smp=2, cpu="Haswell", programs="cpus threads"),
    "probe-2": Scene(**PROBE, seal=("--compress", "none")),
    "probe-4": Scene(**PROBE | {"machine": "pc", "smp": 4}),
    # With five levels of paging in the guest, and four in the firmware.
    "probe-8": Scene(**PROBE | {"variant": "smp-la57", "smp": 8, "cpu": "max"}, where="file"),
    "unsealed": Scene(**PROBE, key=False, where="fw_cfg", seal=("--compress", "none"), says=(
        r"warning: image: NOT SEALED, integrity only: .*",)),
    # Machines whose firmware has another memory map than the source's.
    "more-ram": Scene(**PROBE, target={"ram": "768M"}),
    "more-devices": Scene(**PROBE, target={
        "extra": "-device virtio-rng-pci -device qemu-xhci -device virtio-net-pci"}),
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
    with open(os.path.join(snapshot, "manifest.json"), encoding="utf-8") as file:
        return image, json.load(file)


def target_command(machine, scene, image):
    """The source's command line without drives and with resume.efi in place of the guest's kernel,
    and the image."""
    words = iter(machine.command(**scene.target))
    cleaned = []
    for word in words:
        if word in ("-kernel", "-initrd", "-append", "-drive"):
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


def wait_parked(machine, seconds):
    log = machine.path("debug.log")
    until = time.monotonic() + limit(seconds)
    while True:
        text = ""
        if os.path.exists(log):
            with open(log, encoding="latin-1") as file:
                text = file.read()
        if PARKED in text:
            return text
        wrong = re.search(r"libresume: (refused|fault|back to).*\n", text)
        if wrong:
            raise Failure(f"the target says {wrong.group(0)!r}; {text[-600:]!r}")
        machine.alive()
        if time.monotonic() > until:
            raise Failure(f"not parked within {limit(seconds):.0f} s; the target says {text[-600:]!r}")
        time.sleep(0.05)  # between two looks


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


def run_scene(name, scene):
    for path in (Settings.resumectl, Settings.resume_efi):
        if not path or not os.path.exists(path):
            raise Skip(f"{path}: not built")
    parser = configparser.ConfigParser()
    parser.read_dict({"case": {"guest": scene.guest, "variant": scene.variant,
                               "machine": scene.machine, "smp": str(scene.smp), "cpu": scene.cpu, "ram": scene.ram,
                               "programs": scene.programs}})
    machine = Machine("image-park-" + name, parser["case"])
    try:
        machine.start()
        guest = guest_of(machine)
        guest.wait_up()
        source, snapshot = stopped_source(machine, guest, random.Random())
        image, manifest = seal(machine, snapshot, scene)
        machine.spawn(target_command(machine, scene, image), "target")
        said = wait_parked(machine, 180)
        for wanted in scene.says:
            if not re.search(f"^libresume: {wanted}$", said, re.M):
                raise Failure(f"the target does not say {wanted!r}, but {said!r}")
        qmp = machine.qmp()
        qmp("stop")
        target = Memory(qmp, ram_ranges(qmp.human("info mtree -f")), machine.path("target"))
        qmp.close()
        home = home_of(said)
        text = compare(source, target, home)
        source.remove()
        target.remove()
        loaded = re.search(r"^libresume: (loaded: .*)$", said, re.M)
        return text + "; " + (loaded.group(1) if loaded else "")
    finally:
        machine.close()


def home_of(said):
    found = re.search(r"^libresume: home: (\d+) KiB at 0x[0-9a-f]+ \(physical 0x([0-9a-f]+)\)$", said,
                      re.M)
    if not found:
        raise Failure(f"the target does not say where the home is: {said!r}")
    return int(found.group(2), 16), int(found.group(1)) * 1024


def names():
    return ["image-park-" + name for name in SCENES]


def functions(wanted):
    return [(name, lambda name=name: run_scene(name.removeprefix("image-park-"),
                                               SCENES[name.removeprefix("image-park-")]))
            for name in wanted if name.removeprefix("image-park-") in SCENES]
