# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The pages that a cut sample keeps: those on the way to the page that runs."""
import struct

PAGE = 4096


def way_to_rip(page_at, rip, cr3):
    """Page tables as page_at gives them, and a pattern in place of the page that runs, by their
    addresses. Prints the translation, for the test that walks there."""
    table = cr3 & 0xFFFFFFFFFF000
    kept = {}
    for level in (4, 3, 2, 1):
        kept[table] = page_at(table)
        entry, = struct.unpack_from("<Q", kept[table], (rip >> (12 + 9 * (level - 1)) & 511) * 8)
        target = entry & 0xFFFFFFFFFF000
        if level == 1 or entry & 0x80:
            size = PAGE << 9 * (level - 1)
            leaf = (target & ~(size - 1)) + (rip & (size - 1) & ~(PAGE - 1))
            kept[leaf] = bytes(index * 7 + index // 256 & 255 for index in range(PAGE))
            print(f"rip {rip:#x} page at {leaf:#x}, leaf level {level}, "
                  f"byte there {kept[leaf][rip % PAGE]:#x}")
            return kept
        table = target
    raise AssertionError
