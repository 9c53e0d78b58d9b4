#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""exports.py NM LIST INCLUDE[:INCLUDE...] NAME=ARCHIVE...: what each installed archive defines for others is,
name for name, in LIST; what is marked as public there is declared in a public header, and no other."""
import pathlib
import re
import subprocess
import sys


def read_list(path):
    """{library: {symbol: what the list says of it; nothing: it is public}}"""
    libraries, current = {}, None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        if line.startswith("["):
            current = libraries.setdefault(line.strip("[]"), {})
            continue
        words = line.split()
        if current is None or words[0] in current or \
                words[1:] not in ([], ["internal"], ["internal", "unprefixed"]):
            sys.exit(f"gate: {path}:{number}: {line!r} is no symbol of a library, or is there twice")
        current[words[0]] = words[1:]
    return libraries


def defined(nm, archive):
    text = subprocess.run([nm, "-g", "--defined-only", archive], check=True, capture_output=True,
                          text=True).stdout
    names = {line.split()[-1] for line in text.splitlines() if len(line.split()) == 3}
    # A sanitizer's own.
    return {name for name in names if not name.startswith("__")}


def declared(directories):
    names = set()
    for directory in directories:
        for path in pathlib.Path(directory).rglob("*.h"):
            text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.S)
            text = re.sub(r"^[ \t]*#.*?(?<!\\)$", "", text, flags=re.M | re.S)
            text = re.sub(r"static inline.*?^\}", "", text, flags=re.M | re.S)
            names |= set(re.findall(r"\b(resume_\w+)\s*\([^*]", text))
            names |= set(re.findall(r'^extern [^(;"]*?\b(resume_\w+)\s*(?:\[[^;]*)?;', text, re.M))
    return names


def main():
    nm, path, include, *archives = sys.argv[1:]
    libraries = read_list(pathlib.Path(path))
    headers = declared(include.split(":"))
    bad = []
    public = set()
    for argument in archives:
        name, archive = argument.split("=", 1)
        listed = libraries.get(name, {})
        there = defined(nm, archive)
        if not there:
            sys.exit(f"gate: {archive}: it defines nothing")
        bad += [f"{archive}: {symbol} is not in the list" for symbol in there - set(listed)]
        bad += [f"{archive}: {symbol} of the list is not defined" for symbol in set(listed) - there]
        public |= {symbol for symbol, marks in listed.items() if not marks}
        bad += [f"{name}: {symbol} is internal, but a public header declares it"
                for symbol, marks in listed.items() if marks and symbol in headers]
        bad += [f"{name}: {symbol} does not begin with resume_" for symbol in there
                if not symbol.startswith("resume_") and "unprefixed" not in listed.get(symbol, [])]
    bad += [f"{symbol} is public, but no header declares it" for symbol in public - headers]
    bad += [f"{symbol} is declared, but no library has it" for symbol in headers - public]
    for line in sorted(bad):
        print(f"gate: {line}")
    sys.exit(1 if bad else 0)


main()
