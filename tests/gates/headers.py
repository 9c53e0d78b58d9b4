#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""headers.py CC CXX INCLUDE...: every public header compiles alone, and twice, as C11 and C++17."""
import pathlib
import subprocess
import sys

FLAGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-ffreestanding"]


def main():
    cc, cxx, *directories = sys.argv[1:]
    compilers = [("c", [cc, "-std=c11"])]
    if cxx and not cxx.endswith("NOTFOUND"):
        compilers.append(("c++", [cxx, "-std=c++17"]))
    else:
        print("gate: no C++ compiler: headers are tried as C only")
    headers = []
    for directory in directories:
        found = sorted(pathlib.Path(directory).rglob("*.h"))
        if not found:
            sys.exit(f"gate: {directory}: no headers found")
        headers += [path.relative_to(directory) for path in found]
    search = [word for directory in directories for word in ("-I", directory)]
    bad = 0
    for name in headers:
        # Twice, so that a missing include guard shows.
        source = f"#include <{name}>\n#include <{name}>\nextern int nothing;\n"
        for language, command in compilers:
            result = subprocess.run(
                command + FLAGS + search + ["-x", language, "-"],
                input=source, capture_output=True, text=True, check=False)
            if result.returncode != 0:
                print(f"gate: {name} does not compile alone as {language}:\n{result.stderr}")
                bad = 1
    sys.exit(bad)


main()
