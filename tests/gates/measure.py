#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""measure.py GCC SIZE SOURCE TRAMPOLINE FLAG...: what docs/INTEGRATION.md says of stack and memory is so, and
what it and the firmware's README say of lines of code.

The stack: each function's own use and its calls, from -fcallgraph-info=su. Without recursion and without
arrays of variable length the largest sum along a path is exact; callbacks count as nothing. The figures
are those of one compiler version; with another one only the bound is checked that the document gives."""
import pathlib
import re
import subprocess
import sys
import tempfile

DOCUMENT = "docs/INTEGRATION.md"
FIRMWARE = "examples/pvh-firmware"
GCC_MAJOR = "12"
LEVELS = ("-O2", "-O0")
STRUCTS = ("resume_vcpu", "resume_guest", "resume_cpu")
bad = []


def complain(text):
    bad.append(text)


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def compile_all(gcc, source, flags, level, into):
    for path in sorted((source / "lib/src").glob("*.c")):
        run(gcc, "-std=c11", level, *flags, "-fcallgraph-info=su", "-I", str(source / "lib/include"),
            "-I", str(source / "lib/src"), "-c", str(path), "-o", str(into / (path.stem + ".o")))


def call_graph(files):
    """({function: bytes}, {function: functions that it calls})"""
    own, calls = {}, {}
    for path in files:
        text = path.read_text(encoding="utf-8")
        for title, label in re.findall(r'^node: \{ title: "([^"]+)" label: "([^"]*)"', text, re.M):
            found = re.search(r"\\n(\d+) bytes \(([^)]*)\)", label)
            if found is None:
                continue
            # "dynamic,bounded" is what is pushed for a call's arguments: the bound is in the figure.
            if found[2] not in ("static", "dynamic,bounded"):
                complain(f"{title}: its stack is {found[2]}, which has no bound")
            own[title] = int(found[1])
        for caller, callee in re.findall(
                r'^edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"', text, re.M):
            calls.setdefault(caller, set()).add(callee)
    return own, calls


def deepest(own, calls):
    """{function: bytes along its deepest path of calls}"""
    result, path = {}, []

    def visit(name):
        if name in path:
            complain("recursion: " + " -> ".join(path[path.index(name):] + [name]))
            return 0
        if name not in result:
            path.append(name)
            result[name] = own.get(name, 0) + max(
                (visit(callee) for callee in calls.get(name, ())), default=0)
            path.pop()
        return result[name]

    for name in own:
        visit(name)
    return result


def sections(size, into):
    """{"code", "constants", "variables": bytes} of all objects."""
    total = {"code": 0, "constants": 0, "variables": 0}
    for path in into.glob("*.o"):
        for name, length in re.findall(r"^(\.\S+)\s+(\d+)", run(size, "-A", str(path)), re.M):
            if name.startswith(".text"):
                total["code"] += int(length)
            elif name.startswith((".rodata", ".data.rel.ro")):
                total["constants"] += int(length)
            elif name.startswith((".data", ".bss")):
                total["variables"] += int(length)
    return total


def struct_sizes(gcc, source, into):
    """The compiler says the sizes itself, as lengths of arrays."""
    code = "".join(f"#include <resume/{name}.h>\n" for name in ("state", "guest", "cpu"))
    code += "".join(f"char {name}[sizeof(struct {name})];\n" for name in STRUCTS)
    path = into / "sizes.c"
    path.write_text(code, encoding="utf-8")
    run(gcc, "-std=c11", "-fno-common", "-I", str(source / "lib/include"), "-c", str(path), "-o",
        str(path.with_suffix(".elf")))
    text = run("nm", "-S", str(path.with_suffix(".elf")))
    return {name: int(re.search(rf" (\w+) B {name}$", text, re.M)[1], 16) for name in STRUCTS}


def lines_of_code(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix in (".c", ".h"):
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
        text = re.sub(r"//.*", "", text)
    else:
        text = re.sub(r";.*", "", text)
    return sum(bool(line.strip()) for line in text.splitlines())


def check_lines(source, document):
    """Rows of the README that begin with the names of files, and the sum in the document."""
    readme = (source / FIRMWARE / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+`) \| (\d+) \|", readme, re.M)
    counted = set()
    total = 0
    for names, stated in rows:
        paths = [source / FIRMWARE / name for name in re.findall(r"`([^`]+)`", names)]
        counted |= {path.name for path in paths}
        lines = sum(lines_of_code(path) for path in paths)
        total += lines
        if lines != int(stated):
            complain(f"{FIRMWARE}/README.md: {names}: {stated} lines, counted {lines}")
    there = {path.name for path in (source / FIRMWARE).iterdir()
             if path.suffix in (".c", ".h", ".nasm")}
    if there - counted:
        complain(f"{FIRMWARE}/README.md: no lines of {sorted(there - counted)}")
    said = re.findall(r"(\d+) lines of code", document)
    if said != [str(total)]:
        complain(f"{DOCUMENT}: lines of code of {FIRMWARE}: {said}, counted {total}")


def check_row(document, what, wanted):
    found = re.search(rf"^\| {re.escape(what)}[^|]*\|((?:[^|\n]*\|)+)$", document, re.M)
    stated = re.findall(r"\d+", found[1]) if found else None
    if stated != [str(number) for number in wanted]:
        complain(f"{DOCUMENT}: {what}: {stated}, measured {wanted}")


def check_at_most(document, what, measured):
    """Whole KiB that the document gives: enough, and not much too much."""
    found = re.search(rf"^\| {re.escape(what)}[^|]*\|((?:[^|\n]*\|)+)$", document, re.M)
    stated = [int(number) for number in re.findall(r"\d+", found[1])] if found else []
    if len(stated) != len(measured) or any(
            not need <= kib * 1024 <= need * 5 // 4 + 1024
            for kib, need in zip(stated, measured)):
        complain(f"{DOCUMENT}: {what}: {stated} KiB, measured {measured} bytes")


def main():
    gcc, size, source, trampoline, *flags = sys.argv[1:]
    source = pathlib.Path(source)
    document = (source / DOCUMENT).read_text(encoding="utf-8")
    check_lines(source, document)
    major = run(gcc, "-dumpversion").strip().split(".")[0]
    stack = {}
    with tempfile.TemporaryDirectory() as work:
        for level in LEVELS:
            into = pathlib.Path(work) / level
            into.mkdir()
            compile_all(gcc, source, flags, level, into)
            stack[level] = deepest(*call_graph(into.glob("*.ci")))
            if level == "-O2":
                total = sections(size, into)
                structs = struct_sizes(gcc, source, into)
    listed = re.findall(r"^\| `(resume_(?!sealed_|secret_)\w+)` \| \d", document, re.M)
    bound = re.search(r"one\s+of (\d+) KiB", document)
    if len(listed) < 6 or bound is None:
        sys.exit(f"gate: {DOCUMENT}: no table of the calls' stack, or no bound")
    for name in listed:
        measured = [stack[level].get(name) for level in LEVELS]
        if None in measured:
            complain(f"{DOCUMENT}: {name}: there is no such function")
        elif max(measured) > int(bound[1]) * 1024 - 4096:
            complain(f"{name}: {max(measured)} bytes of stack, too much for {bound[0]}")
        if major == GCC_MAJOR:
            check_row(document, f"`{name}`", measured)
    if total["variables"] != 0:
        complain(f"the library has {total['variables']} bytes of variables, expected none")
    check_row(document, "`struct resume_vcpu`, `resume_guest`, `resume_cpu`",
              [structs[name] for name in STRUCTS])
    check_at_most(document, "The trampoline", [pathlib.Path(trampoline).stat().st_size])
    if major == GCC_MAJOR:
        check_at_most(document, "Code, constants", [total["code"], total["constants"]])
    else:
        print(f"gate: gcc {major}: figures of gcc {GCC_MAJOR} not compared, only bounds")
    for line in bad:
        print(f"gate: {line}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
