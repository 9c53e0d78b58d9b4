#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""headers.py INCLUDE CC CXX: every public header compiles alone, and twice, as C11 and C++17."""
import pathlib
import subprocess
import sys

FLAGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-ffreestanding"]


def main():
    include, cc, cxx = sys.argv[1:]
    compilers = [("c", [cc, "-std=c11"])]
    if cxx and not cxx.endswith("NOTFOUND"):
        compilers.append(("c++", [cxx, "-std=c++17"]))
    else:
        print("gate: no C++ compiler: headers are tried as C only")
    headers = sorted(pathlib.Path(include).rglob("*.h"))
    if not headers:
        sys.exit(f"gate: {include}: no headers found")
    bad = 0
    for header in headers:
        name = header.relative_to(include)
        # Twice, so that a missing include guard shows.
        source = f"#include <{name}>\n#include <{name}>\nextern int nothing;\n"
        for language, command in compilers:
            result = subprocess.run(
                command + FLAGS + ["-I", include, "-x", language, "-"],
                input=source, capture_output=True, text=True, check=False)
            if result.returncode != 0:
                print(f"gate: {name} does not compile alone as {language}:\n{result.stderr}")
                bad = 1
    sys.exit(bad)


main()
