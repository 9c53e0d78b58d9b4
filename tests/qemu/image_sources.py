# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Where firmware reads snapshot images and keys from: each case starts OVMF with an application that
reads an image through one of the backends and says what it has read (tests/qemu/secret). What it
should say is known from here, where the images, disks and tables of secrets are made."""

import os
import random
import re
import struct
import shutil
import subprocess
import tempfile
import time
import uuid
import zlib
from typing import NamedTuple, Optional

from harness import Failure, Qmp, Settings, Skip, limit

KEY_GUID = "e7aa8de2-cbd1-4ef5-8183-6279520f17b8"
IDENTITY_GUID = "7a63506a-dca1-4007-867e-ef124e56b64a"
TABLE_GUID = "1e74f542-71dd-4d66-963e-ef4287ff173b"
OTHER_GUID = "736869e5-84f0-4973-92ec-06879ce3da0b"
PARTITION = "2b1c7d5e-97d1-4b9c-8e3f-5a6b7c8d9e0f"
PARTITION_TYPE = "4fbd7e29-9d25-41b8-afd0-062c0ceff05d"
EFI_ERROR = 1 << 63
NOT_FOUND, DEVICE_ERROR, END_OF_FILE, SECURITY, COMPROMISED, CORRUPTED = (
    EFI_ERROR | number for number in (14, 7, 31, 26, 33, 10))
DATA_LENGTH = 3 * 1024 * 1024 + 777
RAM = 256 << 20
BLOCK = 512


def guid_bytes(text):
    return uuid.UUID(text).bytes_le


def image_of(rng, length=DATA_LENGTH):
    """Not an image that could be opened: magic, its size where the header has it, and noise."""
    return b"RSMIMAGE" + rng.randbytes(8) + struct.pack("<Q", length) + rng.randbytes(length - 24)


def secret_table(*entries, padding=0, length=None):
    """GUID, data and, if it is to be wrong, length of each entry."""
    body = b"".join(guid_bytes(guid) + struct.pack("<I", wrong[0] if wrong else 20 + len(data)) + data
                    for guid, data, *wrong in entries) + bytes(padding)
    return guid_bytes(TABLE_GUID) + struct.pack("<I", length or 20 + len(body)) + body


def gpt_disk(content):
    """A disk with two partitions; `content` is on the second one."""
    first, blocks = 128, (len(content) + BLOCK - 1) // BLOCK + 16
    total = first + blocks + 64
    entry = lambda kind, own, begin, end: (guid_bytes(kind) + guid_bytes(own)
                                           + struct.pack("<QQQ", begin, end, 0) + bytes(72))
    entries = (entry("0fc63daf-8483-4772-8e79-3d69d8477de4",
                     "11111111-2222-3333-4444-555555555555", 64, first - 1)
               + entry(PARTITION_TYPE, PARTITION, first, first + blocks - 1)).ljust(128 * 128, b"\0")

    def header(own, other, table):
        fields = lambda crc: struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, crc, 0, own,
                                         other, 34, total - 34, guid_bytes(OTHER_GUID), table, 128,
                                         128, zlib.crc32(entries))
        return fields(zlib.crc32(fields(0))).ljust(BLOCK, b"\0")

    protective = bytes(446) + struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xee, b"\xff\xff\xff", 1,
                                          total - 1)
    disk = bytearray(total * BLOCK)
    disk[0:BLOCK] = protective.ljust(510, b"\0") + b"\x55\xaa"
    disk[BLOCK:2 * BLOCK] = header(1, total - 1, 2)
    disk[2 * BLOCK:34 * BLOCK] = entries
    disk[first * BLOCK:first * BLOCK + len(content)] = content
    disk[-33 * BLOCK:-BLOCK] = entries
    disk[-BLOCK:] = header(total - 1, 1, total - 33)
    return bytes(disk)


class Scene(NamedTuple):
    """What a VM is started with and has to say."""

    image: bytes = b""
    files: dict = {}            # fw_cfg file -> content
    volume: Optional[dict] = None  # path on a FAT volume -> content, None: the application
    disk: Optional[bytes] = None
    options: Optional[str] = None  # load options
    extra: tuple = ()
    bad_block: Optional[int] = None  # of the disk: reading it fails
    secret: Optional[bytes] = None   # launch secrets
    key: Optional[bytes] = None      # what the application is to find
    identity: Optional[bytes] = None
    key_status: int = NOT_FOUND
    identity_status: int = NOT_FOUND
    says: tuple = ()                 # texts
    read: bool = True                # it is to read the image


class Target:
    """One VM with OVMF and the application."""

    def __init__(self, name, scene):
        self.scene = scene
        self.directory = os.path.join(Settings.logs, "image-" + name)
        shutil.rmtree(self.directory, ignore_errors=True)
        os.makedirs(self.directory)
        # Socket paths have to be short.
        self.sockets = tempfile.mkdtemp(prefix="resume-test-")
        self.qmp_path = os.path.join(self.sockets, "qmp")
        self.log = self.path("debug.log")
        self.process = subprocess.Popen(self.command(), cwd=self.directory,
                                        stdin=subprocess.DEVNULL,
                                        stdout=open(self.path("qemu.log"), "wb"),
                                        stderr=subprocess.STDOUT)

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, content):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "wb") as file:
            file.write(content)
        return name

    def command(self):
        scene = self.scene
        with open(os.path.join(Settings.secret_applications, "launch-secret-read-image.efi"),
                  "rb") as file:
            application = file.read()
        command = [Settings.qemu, "-machine", "q35", "-accel", "tcg", "-m", str(RAM >> 20),
                   "-display", "none", "-no-reboot", "-nic", "none", "-bios", Settings.bios,
                   "-debugcon", "file:debug.log", "-global", "isa-debugcon.iobase=0x402",
                   "-qmp", f"unix:{self.qmp_path},server=on,wait=off", *scene.extra]
        files = dict(scene.files)
        if scene.secret is not None:
            files["opt/org.libresume.test/secret"] = scene.secret
        for number, (name, content) in enumerate(files.items()):
            command += ["-fw_cfg", f"name={name},file={self.write(f'fw_cfg-{number}', content)}"]
        if scene.volume is not None:
            for name, content in scene.volume.items():
                self.write("volume/" + name, application if content is None else content)
            command += ["-drive", "file=fat:volume,format=raw,if=virtio,readonly=on"]
        if scene.volume is None or None not in scene.volume.values():
            command += ["-kernel", self.write("application.efi", application)]
            if scene.options:
                command += ["-append", scene.options]
        if scene.disk is not None:
            name = self.write("disk.img", scene.disk)
            command += ["-blockdev", f"driver=file,filename={name},node-name=file,read-only=on"]
            top = "file"
            if scene.bad_block is not None:
                command += ["-blockdev", "driver=blkdebug,node-name=bad,image=file,read-only=on,"
                            "inject-error.0.event=read_aio,inject-error.0.errno=5,"
                            f"inject-error.0.sector={scene.bad_block}"]
                top = "bad"
            command += ["-blockdev", f"driver=raw,file={top},node-name=disk,read-only=on",
                        "-device", "virtio-blk-pci,drive=disk"]
        return command

    def said(self):
        if not os.path.exists(self.log):
            return ""
        with open(self.log, encoding="latin-1") as file:
            return file.read()

    def wait_done(self, seconds):
        until = time.monotonic() + limit(seconds)
        while "libresume: test: done\n" not in self.said():
            if self.process.poll() is not None:
                raise Failure(f"QEMU has ended; the application said {self.said()[-500:]!r}")
            if time.monotonic() > until:
                raise Failure(f"not done within {limit(seconds):.0f} s; the application said "
                              f"{self.said()[-500:]!r}")
            time.sleep(0.05)  # between two looks
        return self.said()

    def memory(self):
        qmp = Qmp(self.qmp_path)
        qmp("stop")
        path = self.path("memory")
        qmp("pmemsave", val=0, size=RAM, filename=path)
        qmp.close()
        with open(path, "rb") as file:
            content = file.read()
        os.unlink(path)
        return content

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.sockets, ignore_errors=True)


def expected(scene):
    """The lines that the application has to say, in any order."""
    lines = list(scene.says)
    for what, value, status in (("key", scene.key, scene.key_status),
                                ("identity", scene.identity, scene.identity_status)):
        lines.append(f"test: {what}: status {0 if value else status:#x}, "
                     f"CRC {zlib.crc32(value or bytes(32)):#x}")
    if scene.read:
        size = len(scene.image)
        lines += [f"test: image: {size} bytes, CRC {zlib.crc32(scene.image):#x}",
                  "test: backwards: 0 bytes are different",
                  f"test: end: 5 bytes, status 0x0; 5 of 100 at {size - 5:#x}, "
                  f"status {END_OF_FILE:#x}"]
    return lines


def run_scene(name, scene):
    for program in ("read-image", "launch-secret-read-image"):
        path = os.path.join(Settings.secret_applications, program + ".efi")
        if not os.path.exists(path):
            raise Skip(f"{path}: not built")
    target = Target(name, scene)
    try:
        said = target.wait_done(120)
        lines = [line.removeprefix("libresume: ") for line in said.splitlines()
                 if line.startswith("libresume: ")]
        missing = [line for line in expected(scene) if line not in lines]
        if missing:
            raise Failure(f"it does not say {missing[0]!r}, but {lines}")
        memory = target.memory()
        if len(memory) != RAM or b"read-image.efi" not in memory:
            raise Failure("the copy of the memory is not what it should be")
        for what, value in (("key", scene.key), ("identity", scene.identity)):
            if value and value in memory:
                raise Failure(f"the {what} is still in memory, at {memory.index(value):#x}")
    finally:
        target.close()
    found = [line for line in lines if re.match("image: |refused|test: failed", line)]
    return "; ".join(found)


def scenes():
    rng = random.Random(20)
    image = image_of(rng)
    small = image_of(rng, 100001)
    key, identity = rng.randbytes(32), rng.randbytes(32)
    name = "opt/org.libresume/image"
    boot = {"EFI/BOOT/BOOTX64.EFI": None}
    disk = gpt_disk(image)
    error_at = 128 + 2000
    both = secret_table((OTHER_GUID, b"of a disk\0"), (KEY_GUID, key), (IDENTITY_GUID, identity),
                        padding=7)
    table = lambda *entries, **more: secret_table(*entries, **more)
    none = {"read": False, "key_status": COMPROMISED, "identity_status": COMPROMISED}
    return {
        # ---- fw_cfg ----
        "fw-cfg": Scene(image, {name: image, "opt/org.libresume/key": key,
                                "opt/org.libresume/identity": identity}, key=key, identity=identity,
                        says=(f"image: {len(image)} bytes in the fw_cfg file {name}",
                              "warning: key: from fw_cfg file opt/org.libresume/key: the host can "
                              "read and replace it, nothing is confidential")),
        "fw-cfg-ports": Scene(small, {name: small}, extra=("-global", "fw_cfg_io.dma_enabled=off"),
                              says=("image: fw_cfg has no DMA here: it is read byte by byte",)),
        "fw-cfg-bad-key": Scene(small, {name: small, "opt/org.libresume/key": key + b"\n"},
                                key_status=COMPROMISED,
                                says=("refused: key: fw_cfg file opt/org.libresume/key has 33 bytes,"
                                      " it should have 32",)),
        # ---- Files ----
        "file-beside": Scene(image, volume={**boot, "EFI/BOOT/image.rsm": image},
                             secret=both, key=key, identity=identity,
                             says=(f"image: {len(image)} bytes in the file \\EFI\\BOOT\\image.rsm",)),
        "file-any-volume": Scene(small, volume={"image.rsm": small}, secret=both, key=key,
                                 identity=identity,
                                 says=(f"image: {len(small)} bytes in the file \\image.rsm",)),
        "file-path": Scene(small, volume={"deep/down/vm.rsm": small}, options="quiet "
                           "image=file:/deep/down/vm.rsm",
                           says=(f"image: {len(small)} bytes in the file \\deep\\down\\vm.rsm",)),
        # ---- Block devices ----
        "partition": Scene(image, disk=disk),
        "partition-guid": Scene(image, disk=disk, options="image=partition:" + PARTITION.upper(),
                                says=(f"image: {len(image)} bytes in the partition {PARTITION}",)),
        "partition-type": Scene(image, disk=disk, options=f"image=partition:{PARTITION_TYPE} x",
                                says=(f"image: {len(image)} bytes in the partition "
                                      + PARTITION_TYPE,)),
        "partition-empty": Scene(image, disk=disk, read=False,
                                 options="image=partition:11111111-2222-3333-4444-555555555555",
                                 says=(f"test: not opened: status {CORRUPTED:#x}",)),
        "disk": Scene(image, disk=image + bytes(-len(image) % BLOCK)),
        "disk-error": Scene(image, disk=disk, bad_block=error_at, read=False,
                            says=(read_error(image, (error_at - 128) * BLOCK),)),
        # ---- No image ----
        "none": Scene(read=False, says=(f"test: not opened: status {NOT_FOUND:#x}",)),
        "option": Scene(read=False, options="image=floppy", says=(
            "refused: load options: image=: not understood: give fw_cfg, file:PATH, partition or "
            "partition:GUID",)),
        # ---- Launch secrets that are not as they should be ----
        "secret-not-injected": Scene(read=False, secret=bytes(4096), key_status=SECURITY,
                                     files={"opt/org.libresume/key": key},
                                     says=("refused: key: it is not among the launch secrets of "
                                           "this machine: inject it",)),
        "secret-other": Scene(read=False, secret=table((OTHER_GUID, key)), key_status=SECURITY,
                              files={"opt/org.libresume/key": key}),
        "secret-table-length": Scene(secret=table((KEY_GUID, key), length=4097), says=(
            "refused: key: a length or count is impossible: table length of secret table at 0x10 is "
            "0x1001, expected 0x48",), **none),
        "secret-entry-length": Scene(secret=table((KEY_GUID, key, 0xffffffff)), says=(
            "refused: key: a length or count is impossible: entry length of secret table at 0x24 is "
            "0xffffffff, expected 0x34",), **none),
        "secret-short-key": Scene(read=False, secret=table((KEY_GUID, key[:16])),
                                  key_status=COMPROMISED,
                                  says=("refused: key: the launch secret has 16 bytes, it should "
                                        "have 32",)),
    }


def read_error(image, at):
    """Which of the application's pieces is the first that covers the byte at `at`, and how much of it
    can be read before."""
    pieces = (1, 7, 504, 512, 3, 4096, 65539, 513, 1048576, 12288)
    begin = number = 0
    while begin + min(pieces[number % 10], len(image) - begin) <= at:
        begin += pieces[number % 10]
        number += 1
    # The piece begins within a block, which is read by itself; then come whole blocks at once.
    got = -begin % BLOCK
    return (f"test: failed: status {DEVICE_ERROR:#x}, {pieces[number % 10]} bytes at {begin}: {got}")


def names():
    return ["image-" + name for name in scenes()]


def functions(wanted):
    known = scenes()
    return [(name, lambda name=name: run_scene(name.removeprefix("image-"),
                                               known[name.removeprefix("image-")]))
            for name in wanted if name.removeprefix("image-") in known]
