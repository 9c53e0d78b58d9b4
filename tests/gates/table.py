#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Compares a table in a document with what a program prints. With --write it is written anew. Figures
are not compared: lengths of what is compressed differ from library to library.

usage: table.py [--write] DOCUMENT NAME PROGRAM [ARGUMENT...]

The table stands between the lines <!-- table: NAME --> and <!-- end of table -->."""

import pathlib
import re
import subprocess
import sys


def begin_of(name):
    return f"<!-- table: {name} -->\n"


END = "<!-- end of table -->\n"


def compare(path, name, made, write):
    """Returns what is wrong, or None."""
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(begin_of(name))
    there, end, after = rest.partition(END)
    if not begin or not end:
        return f"{path.name} has no table {name}"
    if write:
        path.write_text(before + begin + made + end + after, encoding="utf-8")
        return None
    plain = lambda table: re.sub(r"\d+", "N", table).splitlines()
    for old, new in zip(plain(there) + [""], plain(made) + [""]):
        if old != new:
            return (f"{path.name}, table {name}: it says\n  {old}\nbut the program\n  {new}\n"
                    "(if the program is right: table.py --write)")
    if len(plain(there)) != len(plain(made)):
        return f"{path.name}, table {name}: another number of rows (table.py --write)"
    return None


def merged(path, name, made):
    """The table that is there, with the rows of another one in place of those with the same first
    columns, or behind all others."""
    text = path.read_text(encoding="utf-8")
    there = text.partition(begin_of(name))[2].partition(END)[0].splitlines()
    first = lambda row: re.sub(r"\d+", "N", row).split("|")[1]
    new = {first(row): row for row in made.splitlines()}
    rows = [new.pop(first(row), row) for row in there] + list(new.values())
    return "".join(row + "\n" for row in rows)


def main():
    arguments = sys.argv[1:]
    write = arguments[:1] == ["--write"]
    if write:
        arguments = arguments[1:]
    if len(arguments) < 3:
        sys.exit(__doc__)
    path, name, *command = arguments
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    print(run.stdout, end="")
    if run.returncode != 0:
        sys.exit(f"{command[0]}: exit status {run.returncode}")
    sys.exit(compare(pathlib.Path(path), name, run.stdout, write))


if __name__ == "__main__":
    main()
