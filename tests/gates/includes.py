#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""includes.py LIB: the library includes compiler headers and itself, nothing else. The importers in
LIB/import are for hosts: they may include a C library's headers and others', but of the library only
what is public, and nothing of the tools. LIB/import/internal has headers that tools may include too.
LIB/seal is freestanding like the library, and may include the headers of the libraries that it
stands on.

Also: public headers do not include private ones, every file starts with the license line.
"""
import pathlib
import re
import sys

COMPILER = {"stdbool.h", "stddef.h", "stdint.h", "stdarg.h", "limits.h", "stdalign.h", "cpuid.h"}
GENERATED = {"importers.inc"}
# What the reader of snapshot images stands on; all of it can be had without a C library.
SEAL = {"bearssl.h", "lz4.h", "zstd.h", "xxhash.h"}
LICENSE = "/* SPDX-License-Identifier: BSD-2-Clause-Patent */"
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:<([^>]+)>|"([^"]+)"|(.*))', re.MULTILINE)


def problems(lib, path):
    text = path.read_text(encoding="utf-8")
    hosted = (lib / "import") in path.parents
    seal = (lib / "seal") in path.parents
    includes = [lib / "include"] + ([lib / "import" / "include"] if hosted else [])
    beside = [path.parent] + ([lib / "import" / "internal"] if hosted else [])
    if seal:
        includes.append(lib / "seal" / "include")
        beside += [lib / "seal" / "internal", lib / "src"]
    public = any(include in path.parents for include in includes)
    if not text.startswith(LICENSE):
        yield "does not start with the license line"
    for system, local, other in INCLUDE.findall(text):
        if other:
            yield f"includes {other.strip()}, which this gate cannot judge"
        elif local and public:
            yield f'includes the private "{local}"'
        elif local and not any((d / local).is_file() for d in beside) and local not in GENERATED:
            yield f'includes "{local}", which is not beside it'
        elif system.startswith("resume/"):
            if not any((include / system).is_file() for include in includes):
                yield f"includes <{system}>, which does not exist"
        elif system in SEAL and seal and not public:
            continue
        elif system and system not in COMPILER and (public or not hosted):
            yield f"includes <{system}>, which is no compiler header"


def main():
    lib = pathlib.Path(sys.argv[1])
    files = sorted(p for p in lib.rglob("*") if p.suffix in (".c", ".h"))
    if len(files) < 2:
        sys.exit(f"gate: {lib}: no sources found")
    bad = 0
    for path in files:
        for problem in problems(lib, path):
            print(f"gate: {path}: {problem}")
            bad = 1
    sys.exit(bad)


main()
