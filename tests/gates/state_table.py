#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Compares the table of docs/STATE.md with the code: the rows with the table of fields that the splice
goes by, the MSRs with those that the decoder reads, the tests with those that there are. Every
field that QEMU writes must have a row. With --write the columns that the code knows are written.

usage: state_table.py [--write] STATE.md DUMP_PROGRAM TESTS_DIRECTORY"""

import configparser
import pathlib
import re
import subprocess
import sys

BEGIN = "<!-- The table of all fields: tests/gates/state_table.py -->"
HEADER = "| Field | Class | MSR | How, or why not | Tests |"
RULE = "|---|---|---|---|---|"
# Rows without a field in the stream that the dump program builds: a structure that a pointer leads
# to, and a field of another target.
NOT_BUILT = {"cpu/nested_state/*", "cpu/efer32/*"}


def fits(pattern, path):
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern


def show_msrs(numbers):
    """Numbers as ranges: "174H", "200H to 20FH"."""
    ranges = []
    for number in sorted(set(numbers)):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(f"{a:X}H" if a == b else f"{a:X}H to {b:X}H" for a, b in ranges)


def read_code(program):
    """The rows as the code has them: [pattern, class, MSRs, reason]."""
    lines = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    rows = []
    numbers = {}
    used = set()
    problems = []
    for line in lines.splitlines():
        kind, *columns = line.split("\t")
        if kind == "row":
            rows.append(columns)
            continue
        path, msr = columns
        pattern = next((row[0] for row in rows if fits(row[0], path)), None)
        if pattern is None:
            problems.append(f"{path} has no row")
            continue
        used.add(pattern)
        if msr != "-":
            numbers.setdefault(pattern, []).append(int(msr))
    problems += [f"no field fits the row {row[0]}" for row in rows
                 if row[0] not in used | NOT_BUILT]
    if not rows or not used:
        sys.exit("gate: nothing to compare")
    return [[p, c, show_msrs(numbers.get(p, [])), reason] for p, c, reason in rows], problems


def read_table(text):
    """The rows as documented: [pattern, class, MSRs, reason, tests], and where the table is."""
    if text.count(BEGIN) != 1:
        sys.exit(f"gate: the document lacks the line {BEGIN}")
    start = text.index(BEGIN) + len(BEGIN) + 1
    lines = []
    for line in text[start:].splitlines(keepends=True):
        if line.strip() and not line.startswith("|"):
            break
        lines.append(line)
    rows = []
    for line in lines:
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 5 and cells[0].startswith("`"):
            rows.append([cells[0].strip("`")] + cells[1:])
    return rows, start, start + sum(len(line) for line in lines)


def check_tests(rows, tests):
    cases = configparser.ConfigParser()
    cases.read(tests / "qemu" / "cases.conf")
    for pattern, *_, named in rows:
        names = re.findall(r"`([^`]+)`", named)
        if not names:
            yield f"{pattern}: no test is named"
        for name in names:
            program, _, function = name.partition(": ")
            if not function:
                if not cases.has_section(name):
                    yield f"{pattern}: {name} is no case of tests/qemu/cases.conf"
                continue
            source = tests / "unit" / f"{program}.c"
            if not source.is_file() or not re.search(rf"\b{re.escape(function)}\b",
                                                     source.read_text()):
                yield f"{pattern}: there is no test {name}"


def compare(documented, code):
    for row in code:
        if [row[0]] not in [d[:1] for d in documented]:
            yield f"{row[0]} is not documented"
    known = [row[0] for row in code]
    for row in documented:
        if row[0] not in known:
            yield f"{row[0]} is documented, but not in the code"
            continue
        for name, mine, theirs in zip(("class", "MSR", "reason"), row[1:4],
                                      code[known.index(row[0])][1:]):
            if mine != theirs:
                yield f"{row[0]}: {name} is documented as \"{mine}\", the code has \"{theirs}\""
    order = [row[0] for row in documented if row[0] in known]
    if len(order) != len(set(order)):
        yield "a row is documented twice"
    elif order != [p for p in known if p in order]:
        yield "the rows are not in the order of the code, where the first that fits counts"


def main():
    arguments = sys.argv[1:]
    write = arguments[:1] == ["--write"]
    if len(arguments) != 3 + write:
        sys.exit(__doc__)
    document, program, tests = map(pathlib.Path, arguments[write:])
    text = document.read_text()
    code, problems = read_code(program)
    documented, start, end = read_table(text)
    if write:
        kept = {row[0]: row[4] for row in documented}
        table = [HEADER, RULE] + [f"| `{p}` | {c} | {m} | {reason} | {kept.get(p, '')} |"
                                  for p, c, m, reason in code]
        document.write_text(text[:start] + "\n" + "\n".join(table) + "\n\n"
                            + text[end:].lstrip("\n"))
        return
    problems += compare(documented, code)
    problems += check_tests(documented, tests)
    for problem in problems:
        print(f"gate: {problem}")
    sys.exit(1 if problems else 0)


main()
