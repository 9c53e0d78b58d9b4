#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""paging_sample.py NASM-SOURCE DIRECTORY: runs paging_guest.nasm in QEMU, with four and with five levels of
page tables, and leaves in DIRECTORY the dump of each (cut down to notes and page tables) beside what
QEMU's monitor says of the mappings: `info tlb`, and with four levels `info mem` (QEMU 7.2 lists nothing there
with five). Needs nasm and qemu-system-x86_64."""
import os
import re
import struct
import subprocess
import sys
import tempfile
import time

from cut_dumps import elf_parts, page_at, write_elf

IMAGE = 0x100000


class Monitor:
    def __init__(self, image, cpu):
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-accel", "tcg", "-cpu", cpu, "-m", "16M", "-display", "none",
             "-nodefaults", "-kernel", image, "-monitor", "stdio"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=0)
        self.answer()

    def answer(self):
        text = ""
        while not text.endswith("(qemu) "):
            character = self.process.stdout.read(1)
            if not character:
                sys.exit("paging_sample: QEMU ended: " + text)
            text += character
        # The terminal echoes, with escape sequences, and ends its lines its own way.
        return re.sub(r"\x1b\[[A-Z0-9;]*", "", text[:-len("(qemu) ")]).replace("\r", "")

    def __call__(self, command):
        self.process.stdin.write(command + "\n")
        return self.answer().split("\n", 1)[1]


def wait_halted(monitor):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        registers = monitor("info registers")
        if re.search(r"HLT=1", registers) and re.search(r"EFER=0+d00", registers):
            return
        time.sleep(0.1)
    sys.exit("paging_sample: the guest has not reached its end within 60 s:\n" + registers)


def sample(source, directory, name, cpu, defines):
    with tempfile.TemporaryDirectory() as work:
        image, dump = os.path.join(work, "guest"), os.path.join(work, "dump")
        subprocess.run(["nasm", "-f", "bin", *defines, "-o", image, source], check=True)
        monitor = Monitor(image, cpu)
        wait_halted(monitor)
        monitor("stop")
        said = {"info-tlb": monitor("info tlb")}
        if "-DLA57" not in defines:
            said["info-mem"] = monitor("info mem")
        monitor("dump-guest-memory " + dump)
        monitor.process.stdin.write("quit\n")
        monitor.process.wait(timeout=60)
        file, header, notes, loads = elf_parts(dump)
        length = os.path.getsize(image)
        pages = {}
        # Tables begin at the first page after the code.
        for pa in range(IMAGE + 4096, IMAGE + length, 4096):
            pages[pa] = page_at(file, loads, pa)
        write_elf(os.path.join(directory, name), header, notes, pages)
        for what, text in said.items():
            with open(os.path.join(directory, f"{name}.{what}"), "w", encoding="ascii") as out:
                out.write(text)


def main():
    source, directory = sys.argv[1:]
    sample(source, directory, "four-levels", "max,la57=off", [])
    sample(source, directory, "five-levels", "max,la57=on", ["-DLA57"])


if __name__ == "__main__":
    main()
