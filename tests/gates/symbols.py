#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""symbols.py NM ARCHIVE...: firmware archives, together, need nothing but the four memory functions."""
import subprocess
import sys

ALLOWED = {"memcpy", "memmove", "memset", "memcmp"}
# Made by the linker itself, for position-independent code.
LINKER = {"_GLOBAL_OFFSET_TABLE_"}


def main():
    nm, *archives = sys.argv[1:]
    archive = " ".join(archives)
    text = subprocess.run([nm, *archives], check=True, capture_output=True, text=True).stdout
    undefined, defined = set(), set()
    writable = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2:
            continue
        kind, name = words[-2:]
        if len(kind) != 1:
            continue
        if kind in "Uwv":
            undefined.add(name)
        else:
            defined.add(name)
            # Relocated constants (.data.rel.ro) show as "d" too, so look only at what is zeroed.
            if kind in "bBcC":
                writable.append(name)
    if not defined:
        sys.exit(f"gate: {archive}: no symbols in it")
    foreign = undefined - defined - ALLOWED - LINKER
    for name in sorted(foreign):
        print(f"gate: {archive}: needs {name} (only {', '.join(sorted(ALLOWED))} may be undefined)")
    for name in sorted(writable):
        print(f"gate: {archive}: {name} is a variable that can be written (none is allowed)")
    sys.exit(1 if foreign or writable else 0)


main()
