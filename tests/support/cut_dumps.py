#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""cut_dumps.py ELF KDUMP OUT-ELF OUT-KDUMP: cuts dumps of one stopped VM, made by QEMU's
dump-guest-memory as ELF and as kdump-zlib, down to the pages on the way to vCPU 0's RIP.
Notes and page tables are kept as they are, the page that runs is replaced by a pattern; program headers, bitmaps and descriptors are made anew. The VM
has at most 256 MiB. Prints the translation, for the test that walks there."""
import struct
import sys
import zlib

from way_to_rip import way_to_rip

PAGE = 4096
BITMAP_PAGES = 2  # of each bitmap: 256 MiB


def elf_parts(path):
    file = open(path, "rb")
    header = file.read(64)
    offset, = struct.unpack_from("<Q", header, 32)
    count, = struct.unpack_from("<H", header, 56)
    file.seek(offset)
    segments = [struct.unpack("<IIQQQQQQ", file.read(56)) for _ in range(count)]
    notes = next(s for s in segments if s[0] == 4)
    file.seek(notes[2])
    return file, header, file.read(notes[5]), [s for s in segments if s[0] == 1]


def page_at(file, loads, pa):
    for _, _, offset, _, base, size, _, _ in loads:
        if base <= pa < base + size:
            file.seek(offset + pa - base)
            return file.read(PAGE)
    raise SystemExit(f"no page at {pa:#x}")


def first_vcpu(notes):
    """RIP and CR3 of the first of QEMU's notes."""
    at = 0
    while at < len(notes):
        name, size, _ = struct.unpack_from("<III", notes, at)
        body = at + 12 + (name + 3) // 4 * 4
        if notes[at + 12:at + 16] == b"QEMU":
            return (struct.unpack_from("<Q", notes, body + 136)[0],
                    struct.unpack_from("<Q", notes, body + 392 + 24)[0])
        at = body + (size + 3) // 4 * 4
    raise SystemExit("no note of QEMU's")


def write_elf(path, header, notes, pages):
    """Headers in QEMU's order, nothing aligned."""
    order = sorted(pages)
    header = bytearray(header)
    struct.pack_into("<QQ", header, 32, 64, 0)
    struct.pack_into("<HHH", header, 56, 1 + len(order), 0, 0)
    start = 64 + 56 * (1 + len(order))
    out = bytes(header) + struct.pack("<IIQQQQQQ", 4, 0, start, 0, 0, len(notes), len(notes), 0)
    for number, pa in enumerate(order):
        out += struct.pack("<IIQQQQQQ", 1, 0, start + len(notes) + PAGE * number, pa, pa, PAGE, PAGE, 0)
    out += notes + b"".join(pages[pa] for pa in order)
    open(path, "wb").write(out)


def logical(path, limit):
    """The first bytes of the file that was flattened."""
    data = bytearray(limit)
    with open(path, "rb") as file:
        first = file.read(PAGE)
        while True:
            offset, size = struct.unpack(">qq", file.read(16))
            if offset == -1:
                return first, bytes(data)
            part = file.read(size)
            if offset < limit:
                part = part[:limit - offset]
                data[offset:offset + len(part)] = part


def write_kdump(path, source, pages):
    first, data = logical(source, 1 << 20)
    header = bytearray(data[:464])
    sub_blocks, = struct.unpack_from("<I", header, 432)
    sub = data[PAGE:PAGE + 104]
    notes_at, notes_size = struct.unpack_from("<QQ", sub, 48)
    struct.pack_into("<I", header, 436, 2 * BITMAP_PAGES)
    bitmap = bytearray(BITMAP_PAGES * PAGE)
    for pa in pages:
        bitmap[pa // PAGE // 8] |= 1 << pa // PAGE % 8
    bitmap_at = (1 + sub_blocks) * PAGE
    descriptors_at = bitmap_at + 2 * len(bitmap)
    data_at = descriptors_at + 24 * len(pages)
    descriptors = bytearray()
    packed = bytearray()
    for number, pa in enumerate(sorted(pages)):
        # One page is left as it is, as QEMU does when compression does not help.
        body = zlib.compress(pages[pa], 1) if number else pages[pa]
        descriptors += struct.pack("<QIIQ", data_at + len(packed), len(body), 1 if number else 0, 0)
        packed += body
    pieces = [(0, bytes(header)), (PAGE, sub), (notes_at, data[notes_at:notes_at + notes_size])]
    for copy in range(2):
        for number in range(0, len(bitmap), 64):
            part = bytes(bitmap[number:number + 64])
            if any(part):  # what is in no piece is zero
                pieces.append((bitmap_at + copy * len(bitmap) + number, part))
    pieces += [(data_at, bytes(packed)), (descriptors_at, bytes(descriptors))]
    with open(path, "wb") as file:
        file.write(first)
        for offset, part in pieces:
            file.write(struct.pack(">qq", offset, len(part)) + part)
        file.write(struct.pack(">qq", -1, -1))


def main():
    elf, kdump, out_elf, out_kdump = sys.argv[1:]
    file, header, notes, loads = elf_parts(elf)
    pages = way_to_rip(lambda table: page_at(file, loads, table), *first_vcpu(notes))
    write_elf(out_elf, header, notes, pages)
    write_kdump(out_kdump, kdump, pages)


if __name__ == "__main__":
    main()
