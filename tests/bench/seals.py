#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""seals.py RESUMECTL SNAPSHOT [ROUNDS]: how fast `resumectl seal` and `open` are, and how much memory they take.

A rate is bytes of the guest's memory that are not zero in a second. Beside it stands that of "the library
alone": of the libraries in the chain, codec (LZ4, Zstandard) and cipher (BearSSL), each run alone in one thread
on the same memory in pieces of the same size, by as good as nothing but calls of it, in the same run, the
slowest. A cipher's bytes are what is stored; its rate is converted to what that is of the guest's memory.
`seal` and `open` also read, check, hash and write, and do all libraries' work of the chain.

Rates are given by CPU time, all threads together, which a busy machine changes little; "clock" is how fast the
command is beside the library by the clock, with all processors. The second cannot be less than the first on
an idle machine; on a busy one run this under `chrt -f 1`. Enough is RATIO_WANTED by either. The image is in
memory (/dev/shm) where that is possible, else a disk is measured too. Best of all rounds, in which commands and
libraries alternate."""
import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import large_snapshot  # noqa: E402
from image_oracle import LZ4, LZ4_LIBRARY, PAGE, ZSTD, ZSTD_LIBRARY, pages_of  # noqa: E402

CHUNK = 256 << 10
SAMPLE = 64 << 20
MEMORY_WANTED = 64 << 20
RATIO_WANTED = 0.5
CIPHERS = ("aes-256-gcm", "chacha20-poly1305")
# Bytes of RAM, and the share of its pages that are not zero: as many in both, none beside another.
LARGE = ((1 << 30, 2), (8 << 30, 16))


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


def mebibytes(peak):
    """A child's peak is never less than what this process has when it makes it."""
    floor = timed(["true"])[2]
    return f"{peak / (1 << 20):.1f}" if peak > floor * 1.02 else f"< {floor / (1 << 20):.1f}"


class Alone:
    """The libraries, on the memory of a snapshot that is not zero."""

    def __init__(self, snapshot):
        with open(os.path.join(snapshot, "stream"), "rb") as file:
            pages = [page for (block, _), page in sorted(pages_of(file.read())[0].items())
                     if block == "pc.ram" and page != bytes(PAGE)]
        self.content = len(pages) * PAGE
        memory = b"".join(pages[:SAMPLE // PAGE])
        self.chunks = [memory[at:at + CHUNK] for at in range(0, len(memory) - CHUNK + 1, CHUNK)]
        self.room = CHUNK + CHUNK // 128 + 1024
        self.out = ctypes.create_string_buffer(self.room)
        self.packed = {None: self.chunks}
        for kind in (LZ4, ZSTD):
            self.packed[kind] = [self.out.raw[:self.compress(kind, chunk)] for chunk in self.chunks]
        self.bearssl = ctypes.CDLL("libbearssl.so.0")
        for name in ("br_aes_x86ni_ctr_get_vtable", "br_ghash_pclmul_get"):
            getattr(self.bearssl, name).restype = ctypes.c_void_p
        self.key, self.tag = bytes(32), ctypes.create_string_buffer(16)
        self.keys, self.gcm = ctypes.create_string_buffer(1024), ctypes.create_string_buffer(1024)

    def compress(self, kind, chunk):
        if kind == LZ4:
            return LZ4_LIBRARY.LZ4_compress_default(chunk, self.out, len(chunk), self.room)
        return ZSTD_LIBRARY.ZSTD_compress(self.out, self.room, chunk, len(chunk), 1)

    def decompress(self, kind, data):
        if kind == LZ4:
            return LZ4_LIBRARY.LZ4_decompress_safe(data, self.out, len(data), CHUNK)
        return ZSTD_LIBRARY.ZSTD_decompress(self.out, CHUNK, data, len(data))

    def chacha20_poly1305(self, length):
        self.bearssl.br_poly1305_ctmulq_run(
            self.key, self.key, self.out, ctypes.c_size_t(length), self.key, ctypes.c_size_t(32),
            self.tag, ctypes.cast(self.bearssl.br_chacha20_ct_run, ctypes.c_void_p), 1)

    def aes_256_gcm(self, length):
        library = self.bearssl
        if library.br_aes_x86ni_ctr_get_vtable() and library.br_ghash_pclmul_get():
            library.br_aes_x86ni_ctr_init(self.keys, self.key, ctypes.c_size_t(32))
            ghash = library.br_ghash_pclmul
        else:
            library.br_aes_ct64_ctr_init(self.keys, self.key, ctypes.c_size_t(32))
            ghash = library.br_ghash_ctmul64
        library.br_gcm_init(self.gcm, self.keys, ctypes.cast(ghash, ctypes.c_void_p))
        library.br_gcm_reset(self.gcm, self.key, ctypes.c_size_t(12))
        library.br_gcm_aad_inject(self.gcm, self.key, ctypes.c_size_t(32))
        library.br_gcm_flip(self.gcm)
        library.br_gcm_run(self.gcm, 1, self.out, ctypes.c_size_t(length))
        library.br_gcm_get_tag(self.gcm, self.tag)

    def seconds(self, function, items):
        """CPU seconds and seconds."""
        cpu, began = time.process_time(), time.monotonic()
        for item in items:
            function(item)
        return [time.process_time() - cpu, time.monotonic() - began]

    def round(self):
        """{what: [CPU seconds, seconds]} for a byte of the guest's memory."""
        found = {}
        for name, kind in (("lz4", LZ4), ("zstd", ZSTD), ("none", None)):
            lengths = [len(data) for data in self.packed[kind]]
            if kind is not None:
                found[f"{name} seal"] = self.seconds(lambda data, k=kind: self.compress(k, data),
                                                     self.chunks)
                found[f"{name} open"] = self.seconds(lambda data, k=kind: self.decompress(k, data),
                                                     self.packed[kind])
            for cipher, function in zip(CIPHERS, (self.aes_256_gcm, self.chacha20_poly1305)):
                found[f"{name} {cipher}"] = self.seconds(function, lengths)
        size = len(self.chunks) * CHUNK
        return {what: [value / size for value in values] for what, values in found.items()}


def serve_alone(snapshot):
    """For bench_seal, in a process of its own: that one stays small, so that its children's memory is theirs."""
    alone = Alone(snapshot)
    print(json.dumps(alone.content), flush=True)
    for _ in sys.stdin:
        print(json.dumps(alone.round()), flush=True)


def best(left, right):
    return right if left is None else [min(pair) for pair in zip(left, right)]


def slowest(alone, name, command, cipher):
    """[CPU seconds, seconds] of the library that takes longest for a byte, or None."""
    parts = [alone[what] for what in (f"{name} {command}", f"{name} {cipher}") if what in alone]
    return [max(values) for values in zip(*parts)] if parts else None


def measure(resumectl, snapshot, rounds, folder, key):
    """Bytes of content, {(compression, cipher): what was found}, {library: [CPU seconds, seconds]}."""
    image = os.path.join(folder, "image")
    found, alone = {}, {}
    with subprocess.Popen([sys.executable, "-B", __file__, "--alone", snapshot], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as libraries:
        content = json.loads(libraries.stdout.readline())
        for _ in range(rounds):
            libraries.stdin.write("\n")
            libraries.stdin.flush()
            for what, values in json.loads(libraries.stdout.readline()).items():
                alone[what] = best(alone.get(what), values)
            for name in ("none", "lz4", "zstd"):
                for cipher in (None,) + CIPHERS:
                    keys = ["--key", key] if cipher else []
                    times = []
                    *times, peak = timed([resumectl, "seal", snapshot, "-o", image, "--compress", name,
                                          *keys, *(["--cipher", cipher] if cipher else [])])
                    *more, other = timed([resumectl, "open", image, *keys])
                    entry = found.setdefault((name, cipher), {"peak": 0})
                    entry["stored"] = os.path.getsize(image)
                    os.unlink(image)
                    entry["seal"] = best(entry.get("seal"), times)
                    entry["open"] = best(entry.get("open"), more)
                    entry["peak"] = max(entry["peak"], peak, other)
        libraries.stdin.close()
    return content, found, alone


def show(content, found, alone):
    missed = []
    print(f"  {'':24} {'seal':>7} {'of lib':>7} {'clock':>6} {'open':>7} {'of lib':>7} {'clock':>6} "
          f"{'peak MiB':>9} {'stored':>7}")
    for (name, cipher), entry in found.items():
        line = f"  {name + (', ' + cipher if cipher else ''):24}"
        for command in ("seal", "open"):
            line += f" {content / entry[command][0] / 1e6:7.0f}"
            library = slowest(alone, name, command, cipher)
            if library is None:
                line += f" {'':7} {'':6}"
                continue
            ratios = [content * own / taken for own, taken in zip(library, entry[command])]
            line += f" {ratios[0]:7.2f} {ratios[1]:6.2f}"
            if max(ratios) < RATIO_WANTED:
                missed.append(f"{name} {cipher or ''} {command}")
        print(line + f" {mebibytes(entry['peak']):>9} {entry['stored'] / content:7.3f}")
        if entry["peak"] > MEMORY_WANTED:
            missed.append(f"memory of {name} {cipher or ''}")
    print("  The libraries alone, MB/s of CPU time: " + ", ".join(
        f"{what} {1 / values[0] / 1e6:.0f}" for what, values in alone.items()))
    return missed


def measure_large(resumectl, snapshot, folder, key, logs):
    """The peak of the memory with larger guests."""
    missed = []
    for size, every in LARGE:
        with tempfile.TemporaryDirectory(dir=logs) as work:
            large, image = os.path.join(work, "snapshot"), os.path.join(work, "image")
            # In a process of its own too.
            subprocess.run([sys.executable, "-B", large_snapshot.__file__, snapshot, large, str(size),
                            str(every)], check=True)
            peaks = [timed(command)[2] for command in (
                [resumectl, "seal", large, "-o", image, "--key", key],
                [resumectl, "open", image, "--key", key])]
            print(f"  {size >> 30} GiB of RAM, of which one page in {every} is not zero: peak of seal "
                  f"{mebibytes(peaks[0])} MiB, of open {mebibytes(peaks[1])} MiB")
            if max(peaks) > MEMORY_WANTED:
                missed.append(f"memory with {size >> 30} GiB")
    return missed


def bench_seal(resumectl, snapshot, rounds, logs=None):
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) and \
        shutil.disk_usage("/dev/shm").free > 1 << 30 else logs
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        key = os.path.join(folder, "key")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(os.urandom(32))
        content, found, alone = measure(resumectl, snapshot, rounds, folder, key)
        print(f"Sealing {content >> 20} MiB of memory that is not zero; MB/s of CPU time, best of {rounds}")
        missed = show(content, found, alone)
        missed += measure_large(resumectl, snapshot, folder, key, logs)
        print(f"  Wanted: {RATIO_WANTED} of the library's rate, less than {MEMORY_WANTED >> 20} MiB" +
              (": missed by " + ", ".join(missed) if missed else ": so it is"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--alone"]:
        serve_alone(sys.argv[2])
        sys.exit(0)
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    try:
        bench_seal(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) == 4 else 3)
    except Bad as bad:
        sys.exit(f"bench: {bad}")
