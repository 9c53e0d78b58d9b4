#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""make_containers.py QEMU GOLDEN: makes the samples in GOLDEN/qcow2 and GOLDEN/libvirt. A machine of
QEMU (isapc, 16 MiB, firmware that only halts) is stopped at its reset vector and once it has halted; both
times it is saved with savevm, the second time it is migrated to a file too. The qcow2 image and the
listings of `info registers`, which go to GOLDEN/registers_text, are as QEMU wrote them. libvirt's header and XML are put before the stream
here, from the description in libvirt's source, and the stream is packed by the programs that libvirt
runs: gzip, bzip2, xz, zstd, without options but -c."""
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time

PATIENCE = 30  # seconds
XML = b"<domain type='qemu'>\n  <name>sample</name>\n</domain>\n\0"
COOKIE = b"<cookie/>\n\0"
FORMATS = {"raw": 0, "gzip": 1, "bzip2": 2, "xz": 3, "zstd": 5}


class Monitor:
    def __init__(self, path, process):
        until = time.monotonic() + PATIENCE
        self.socket = socket.socket(socket.AF_UNIX)
        while self.socket.connect_ex(path) != 0:
            if time.monotonic() > until or process.poll() is not None:
                raise SystemExit("QEMU's monitor: nobody answers")
            time.sleep(0.05)  # between two looks
        self.file = self.socket.makefile("r")
        self.file.readline()
        self("qmp_capabilities")

    def __call__(self, command, **arguments):
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            answer = json.loads(self.file.readline())
            if "error" in answer:
                raise SystemExit(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def human(self, line):
        return self("human-monitor-command", **{"command-line": line})

    def until(self, what, done):
        until = time.monotonic() + PATIENCE
        while not done():
            if time.monotonic() > until:
                raise SystemExit(f"{what}: not within {PATIENCE} s")
            time.sleep(0.05)  # between two looks


def save(monitor, name, listing):
    text = monitor.human("info registers -a")
    with open(listing, "w", encoding="ascii", newline="\n") as file:
        file.write(text.replace("\r\n", "\n"))
    said = monitor.human("savevm " + name)
    if said:
        raise SystemExit("savevm: " + said)


def run(qemu, directory, golden):
    image = os.path.join(golden, "qcow2", "qemu-7.2-two-snapshots")
    listing = os.path.join(golden, "registers_text", "qemu-7.2-isapc-")
    firmware = os.path.join(directory, "firmware")
    stream = os.path.join(directory, "stream")
    path = os.path.join(directory, "monitor")
    with open(firmware, "wb") as file:
        file.write(bytes(0xfff0) + b"\xf4\xeb\xfd" + bytes(13))  # hlt, again
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=4096", image, "1M"],
                   check=True)
    process = subprocess.Popen(
        [qemu, "-machine", "isapc", "-cpu", "qemu64", "-m", "16", "-nodefaults", "-vga", "none", "-bios",
         firmware, "-display", "none", "-accel", "tcg", "-S", "-drive",
         f"file={image},format=qcow2,if=none,id=disk", "-qmp", f"unix:{path},server=on,wait=off"])
    try:
        monitor = Monitor(path, process)
        save(monitor, "reset", listing + "reset")
        monitor("cont")
        monitor.until("halted", lambda: "HLT=1" in monitor.human("info registers"))
        monitor("stop")
        save(monitor, "halted", listing + "halted")
        monitor("migrate", uri="exec:cat >" + stream)
        monitor.until("migrated", lambda: monitor("query-migrate").get("status") == "completed")
        monitor("quit")
        process.wait(PATIENCE)
    finally:
        process.kill()
    with open(stream, "rb") as file:
        return file.read()


def wrap(stream, out):
    for name, number in FORMATS.items():
        data = stream
        if number:
            data = subprocess.run([name, "-c"], input=stream, capture_output=True, check=True).stdout
        text = XML + COOKIE
        header = b"LibvirtQemudSave" + struct.pack("<5I", 2, len(text) + 64, 1, number, len(XML))
        with open(os.path.join(out, name + ".save"), "wb") as file:
            file.write(header + bytes(56) + text + bytes(64) + data)


def main():
    qemu, golden = sys.argv[1:]
    for name in ("qcow2", "libvirt", "registers_text"):
        os.makedirs(os.path.join(golden, name), exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        stream = run(qemu, directory, golden)
    wrap(stream, os.path.join(golden, "libvirt"))


main()
