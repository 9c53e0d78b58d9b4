#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""seals.py RESUMECTL SNAPSHOT [ROUNDS]: how fast `resumectl seal` and `open` are, beside LZ4 and Zstandard alone
on the same memory in blocks of the same size, and how much memory they take.

Rates count bytes of the guest's memory that are not zero in one second of CPU time: a busy machine does
not change that. `seal` and `open` also read, check and write; what is sealed they encrypt and decrypt."""
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from image_oracle import LZ4, LZ4_LIBRARY, PAGE, ZSTD, ZSTD_LIBRARY, compress, pages_of  # noqa: E402

CHUNK = 256 << 10
SAMPLE = 64 << 20
MEMORY_WANTED = 64 << 20
RATIO_WANTED = 0.5


class Bad(Exception):
    pass


def timed(command):
    """CPU seconds, seconds, and the peak of the memory, of one run."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Bad(f"{command[0]} {command[1]}: {errors[-300:]!r}")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - began, usage.ru_maxrss * 1024


def alone(snapshot):
    """Bytes of the memory that is not zero, and {name: rates} at which the libraries pack and unpack it."""
    with open(os.path.join(snapshot, "stream"), "rb") as file:
        pages = [page for (block, _), page in sorted(pages_of(file.read())[0].items())
                 if block == "pc.ram" and page != bytes(PAGE)]
    memory = b"".join(pages)
    chunks = [memory[at:at + CHUNK] for at in range(0, min(len(memory), SAMPLE) - CHUNK + 1, CHUNK)]
    out = ctypes.create_string_buffer(CHUNK)
    rates = {}
    for name, kind in (("lz4", LZ4), ("zstd", ZSTD)):
        best = [float("inf")] * 2
        for _ in range(5):
            began = time.process_time()
            packed = [compress(kind, chunk) for chunk in chunks]
            middle = time.process_time()
            for data in packed:
                if kind == LZ4:
                    LZ4_LIBRARY.LZ4_decompress_safe(data, out, len(data), CHUNK)
                else:
                    ZSTD_LIBRARY.ZSTD_decompress(out, CHUNK, data, len(data))
            best = [min(best[0], middle - began), min(best[1], time.process_time() - middle)]
        rates[name] = [len(chunks) * CHUNK / seconds for seconds in best]
    return {"content": len(pages) * PAGE, "rates": rates}


def bench_seal(resumectl, snapshot, rounds, logs=None):
    # In a process of its own: this one stays small, so that its children's memory is theirs.
    found = json.loads(subprocess.run([sys.executable, "-B", __file__, "--alone", snapshot], check=True,
                                      capture_output=True, text=True).stdout)
    content, reference = found["content"], found["rates"]
    with tempfile.TemporaryDirectory(dir=logs) as folder:
        key, image = (os.path.join(folder, name) for name in ("key", "image"))
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(os.urandom(32))
        print(f"Sealing {content >> 20} MiB of memory that is not zero; MB/s of CPU time, best of {rounds}")
        print(f"  {'':24} {'seal':>7} {'of lib':>7} {'open':>7} {'of lib':>7} {'wall':>7} "
              f"{'peak MiB':>9} {'stored':>7}")
        for name in ("none", "lz4", "zstd"):
            for sealed in (False, True):
                keys = ["--key", key] if sealed else []
                best, peak = [float("inf")] * 3, 0
                for _ in range(rounds):
                    cpu, _, memory = timed([resumectl, "seal", snapshot, "-o", image, "--compress", name,
                                            *keys])
                    opened, wall, more = timed([resumectl, "open", image, *keys])
                    stored = os.path.getsize(image)
                    os.unlink(image)
                    best = [min(best[0], cpu), min(best[1], opened), min(best[2], wall)]
                    peak = max(peak, memory, more)
                seal, opened, wall = (content / seconds for seconds in best)
                parts = [f"{seal / 1e6:7.0f}", "", f"{opened / 1e6:7.0f}", "", f"{wall / 1e6:7.0f}"]
                if name in reference:
                    parts[1] = f"{seal / reference[name][0]:.2f}"
                    parts[3] = f"{opened / reference[name][1]:.2f}"
                print(f"  {name + (', sealed' if sealed else ''):24} " +
                      " ".join(f"{part:>7}" for part in parts) +
                      f" {peak / (1 << 20):9.1f} {stored / content:7.3f}")
                if peak > MEMORY_WANTED:
                    print(f"  more than {MEMORY_WANTED >> 20} MiB of memory")
        print("  The libraries alone: " + ", ".join(
            f"{name} {rates[0] / 1e6:.0f} and {rates[1] / 1e6:.0f} MB/s" for name, rates in reference.items()))
        print(f"  Wanted: {RATIO_WANTED} of the library's rate, less than {MEMORY_WANTED >> 20} MiB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--alone"]:
        print(json.dumps(alone(sys.argv[2])))
        sys.exit(0)
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    try:
        bench_seal(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) == 4 else 3)
    except Bad as bad:
        sys.exit(f"bench: {bad}")
