#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""format.py FORMAT.md format.h RESUME_FORMAT_ [DUMP_FIELDS]: the document, the constants and the code
agree.

In the document, a table row that ends in a `NAME` gives, in its first cell, the value of
RESUME_FORMAT_NAME, or with another prefix than that; if its second cell is a type, the comment in the header starts with it. Rows that
end in a lower-case `name` describe a field of the record that the section's heading names.
"""
import re
import subprocess
import sys

DEFINE = r"^#define {}(\w+) (.*?)\s*(?:/\*\s*(.*?)\s*\*/)?$"
NUMBER = re.compile(r"(?:UINT32_C\()?(0x[0-9a-fA-F]+|\d+)\)?$")
HEADING = re.compile(r"^#+ ([A-Z]+) \(tag (0x[0-9a-f]+)\)")
TYPE = re.compile(r"u(8|16|32|64)$|\d+ bytes$")
PARTS = (("base", 8), ("limit", 4), ("access", 4), ("selector", 2))


def read_header(path, prefix):
    """{name: (value, type or None)} of every constant."""
    constants = {}
    with open(path, encoding="utf-8") as file:
        for name, value, comment in re.findall(DEFINE.format(prefix), file.read(), re.MULTILINE):
            number = NUMBER.match(value)
            if value == "UINT32_MAX":
                value = 0xffffffff
            elif number:
                value = int(number.group(1), 0)
            elif value.startswith('"'):
                value = value.strip('"')
            else:
                sys.exit(f"gate: {path}: this gate does not understand {prefix}{name} {value}")
            kind = re.match(r"u(8|16|32|64)\b|\d+ bytes\b", comment)
            constants[name] = (value, kind.group(0) if kind else None)
    return constants


def cells_of(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def read_document(path):
    """The constants as in read_header, and {(tag, field): (offset, size, bit)}."""
    constants, fields, tag = {}, {}, None
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            heading = HEADING.match(line)
            if line.startswith("#"):
                tag = int(heading.group(2), 0) if heading else None
            if not line.startswith("|"):
                continue
            cells = cells_of(line)
            named = re.match(r"`(\w+)`$", cells[-1])
            if not named or len(cells) < 3:
                continue
            name = named.group(1)
            if name.isupper():
                value = cells[0].strip("`")
                kind = cells[1] if TYPE.match(cells[1]) else None
                if name in constants:
                    sys.exit(f"gate: {path}:{number}: {name} is there twice")
                constants[name] = (int(value, 0) if value[0].isdigit() else value, kind)
            elif tag is not None and len(cells) == 6:
                # A segment: bit, then the offsets of its parts; "-" where it has none.
                for (part, size), offset in zip(PARTS, cells[1:5]):
                    if offset != "-":
                        fields[tag, f"{name}.{part}"] = (int(offset), size, int(cells[0]))
            elif tag is not None:
                size = int(cells[1][1:]) // 8
                fields[tag, name] = (int(cells[0]), size, int(cells[2]))
    return constants, fields


def read_code(program):
    text = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    fields = {}
    for line in text.splitlines():
        tag, name, offset, size, bit = line.split()
        fields[int(tag), name] = (int(offset), int(size), int(bit))
    return fields


def differences(what, documented, real):
    for key in sorted(set(documented) | set(real), key=str):
        if key not in real:
            yield f"{what} {key} is only in the document"
        elif key not in documented:
            yield f"{what} {key} is not in the document"
        elif documented[key] != real[key]:
            yield f"{what} {key} is {documented[key]} in the document, {real[key]} in the code"


def main():
    document, header, prefix, *program = sys.argv[1:]
    documented, documented_fields = read_document(document)
    constants = read_header(header, prefix)
    for name, (value, kind) in documented.items():
        # Types are compared where the header gives one.
        if name in constants and constants[name][1] is None:
            documented[name] = (value, None)
    fields = read_code(program[0]) if program else {}
    if not constants or (program and not fields):
        sys.exit("gate: nothing to compare")
    found = list(differences("constant", documented, constants))
    found += differences("field", documented_fields, fields)
    for line in found:
        print(f"gate: {line}")
    sys.exit(1 if found else 0)


main()
