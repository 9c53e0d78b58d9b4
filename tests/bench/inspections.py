# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Inspecting a stream must not cost more when the guest has more RAM. The streams have the head and
the device sections of a real one, and RAM of any size: a page of data in 4, the rest zero. Beside it,
QEMU's own scripts/analyze-migration.py reads the same files, if there is one. What is compared is CPU
time, which says the same on a busy machine."""

import os
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests/support"))
from cut_stream import DATA, END, PAGE, SAME, ZERO, Stream  # noqa: E402

SAMPLE = os.path.join(ROOT, "tests/golden/import/qemu_stream/qemu-10.0-q35-two-vcpus")
SIZES = [256 << 20, 1 << 30, 8 << 30]
DATA_PAGES = 4  # one in so many, as in a Linux guest that has just started
RATIO_WANTED = 100
FLAT_WANTED = 1.5
ANALYZE = ["/usr/share/qemu/scripts/analyze-migration.py", "/usr/lib/qemu/analyze-migration.py"]


def stretch(path, ram):
    """A stream with `ram` bytes in block pc.ram."""
    sample = Stream(SAMPLE)
    section = sample.head()
    head = bytearray(sample.data[:sample.at])
    sample.pages()
    name = head.index(b"\x06pc.ram") + 7
    old, = struct.unpack_from(">Q", head, name)
    total = head.index(b"\x03ram") + 4 + 8
    struct.pack_into(">Q", head, total, struct.unpack_from(">Q", head, total)[0] + ram - old)
    struct.pack_into(">Q", head, name, ram)
    end = struct.pack(">QBI", END, 0x7E, section)
    page = bytes(index * 7 + 1 & 255 for index in range(PAGE))
    with open(path, "wb") as file:
        file.write(bytes(head) + end + struct.pack(">BI", 3, section))
        for first in range(0, ram, DATA_PAGES * PAGE):
            flags = DATA | (SAME if first else 0)
            file.write(struct.pack(">Q", first | flags) + (b"" if first else b"\x06pc.ram") + page)
            file.write(b"".join(struct.pack(">QB", first + number * PAGE | ZERO | SAME, 0)
                                for number in range(1, DATA_PAGES)))
        file.write(end + sample.data[sample.at:])


def run(command):
    """Seconds of a run, those of CPU time in it, and the bytes that it read."""
    began = time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE) as process:
        errors = process.stderr.read()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        seconds = time.monotonic() - began
        # It has ended, and is still there for its figures.
        with open(f"/proc/{process.pid}/io", encoding="ascii") as file:
            read = int(file.readline().split()[1])
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {errors[-300:]!r}")
    return seconds, usage.ru_utime + usage.ru_stime, read


def measure(command, rounds):
    """The least of each figure of run()."""
    return [min(figures) for figures in zip(*(run(command) for _ in range(rounds)))]


def find_analyze(named):
    if named is not None:
        return named
    return next((path for path in ANALYZE if os.path.exists(path)), None)


def bench_inspect(resumectl, analyze, rounds, folder):
    """Prints the figures."""
    analyze = find_analyze(analyze)
    figures = {}
    os.makedirs(folder, exist_ok=True)
    print("inspect --registers, of streams with 1 page of data in 4:", flush=True)
    for size in SIZES:
        with tempfile.TemporaryDirectory(dir=folder) as work:
            path = os.path.join(work, "stream")
            stretch(path, size)
            seconds, cpu, read = figures[size] = measure(
                [resumectl, "inspect", "--registers", path], 4 * rounds)
            line = (f"  {size >> 20:5} MiB of RAM, file of {os.path.getsize(path) >> 20} MiB: "
                    f"{seconds * 1000:.1f} ms, CPU {cpu * 1000:.1f} ms, {read >> 10} KiB read")
            if analyze is not None:
                theirs = measure([sys.executable, analyze, "-d", "state", "-f", path],
                                 1 if size > 1 << 30 else rounds)
                ratio = theirs[1] / cpu
                line += (f"; analyze-migration.py {theirs[0]:.2f} s, CPU {theirs[1]:.2f} s, "
                         f"{theirs[2] >> 10} KiB: {ratio:.0f} times the CPU time (wanted at least "
                         f"{RATIO_WANTED}: {'yes' if ratio >= RATIO_WANTED else 'NO'}), "
                         f"{theirs[0] / seconds:.0f} times as long")
            print(line, flush=True)
    if analyze is None:
        print("  not compared: name QEMU's script with --analyze-migration")
    first, last = figures[SIZES[0]], figures[SIZES[-1]]
    flat = last[1] / first[1] <= FLAT_WANTED and last[2] - first[2] < 4096
    print(f"  from {SIZES[0] >> 20} to {SIZES[-1] >> 20} MiB: CPU time x {last[1] / first[1]:.2f}, "
          f"bytes read {last[2] - first[2]:+}: flat: {'yes' if flat else 'NO'}", flush=True)
