# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Completion for bash: sourced, and asked as bash asks it. And the manual pages: both know the options
that --help knows, no more and no fewer."""
import re
import subprocess

from tool import SOURCE, TOOL, Case, main

COMPLETION = SOURCE / "tools/completion/resumectl"
SUBCOMMANDS = ["snapshot", "resume", "inspect", "convert", "diff", "walk", "maps", "seal", "open"]
ALWAYS = {"--help", "--usage", "--version"}


class Completion(Case):
    def complete(self, *words, directory=None):
        """What is offered for the last of the words behind "resumectl"."""
        script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _resumectl; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        process = subprocess.run(["bash", "--norc", "-euc", script, "bash", str(COMPLETION),
                                  str(TOOL), *words], capture_output=True, text=True, timeout=60,
                                 cwd=directory or self.work, check=False)
        self.assertEqual((process.returncode, process.stderr), (0, ""))
        return set(process.stdout.split())

    def test_subcommands(self):
        listed = set(re.findall(r"^  ([a-z]+) ", self.tool("--help").out, re.M))
        self.assertEqual(listed, set(SUBCOMMANDS))
        self.assertEqual(self.complete(""), listed | {"--help", "--version"})
        self.assertEqual(self.complete("in"), {"inspect"})
        self.assertEqual(self.complete("no-such", ""), set())

    def test_options_are_those_of_the_help(self):
        for name in SUBCOMMANDS:
            text = self.tool(name, "--help").out
            known = set(re.findall(r"^ +(?:-\w, )?(--[a-z][a-z-]+)", text, re.M)) - ALWAYS
            self.assertEqual(self.complete(name, "--") - ALWAYS, known, name)
        self.assertEqual(self.complete("diff", "--format-"), {"--format-a", "--format-b"})

    def test_formats_are_those_that_are_read(self):
        listed = {line.split()[0] for line in self.tool("diff", "--format-a", "help")
                  .out.splitlines()} | {"help"}
        self.assertIn("elf-dump", listed)
        for words in (["inspect", "--format", ""], ["maps", "-f", ""], ["diff", "--format-b", ""],
                      ["convert", "x", "--format", "=", ""], ["walk", "--format", "="]):
            self.assertEqual(self.complete(*words), listed, words)
        self.assertEqual(self.complete("inspect", "--format", "elf"), {"elf-dump"})
        self.assertEqual(self.complete("inspect", "--format", "=", "elf"), {"elf-dump"})

    def test_files(self):
        (self.work / "dump").write_bytes(b"")
        (self.work / "snap").mkdir()
        for name in ("inspect", "convert", "diff", "walk", "maps"):
            self.assertEqual(self.complete(name, ""), {"dump", "snap"})
        self.assertEqual(self.complete("inspect", "--json", "d"), {"dump"})
        self.assertEqual(self.complete("inspect", "--svg", "d"), {"dump"})
        self.assertEqual(self.complete("resume", "--json", "d"), {"dump"})
        self.assertEqual(self.complete("resume", "--key", "d"), {"dump"})
        self.assertEqual(self.complete("resume", ""), {"dump", "snap"})
        self.assertEqual(self.complete("resume", "snap", "--", ""), {"dump", "snap"})
        self.assertEqual(self.complete("resume", "--firmware", "=", ""), {"efi", "pvh"})
        self.assertEqual(self.complete("inspect", "--vcpu", ""), set())
        self.assertEqual(self.complete("seal", ""), {"snap"})
        self.assertEqual(self.complete("open", "--key", "d"), {"dump"})
        self.assertEqual(self.complete("seal", "--compress", "=", "z"), {"zstd"})
        self.assertEqual(self.complete("seal", "--cipher", "a"), {"aes-256-gcm"})

    def test_manual_pages_have_the_options_of_the_help(self):
        for name in SUBCOMMANDS:
            text = self.tool(name, "--help").out
            known = set(re.findall(r"^ +(?:-\w, )?(--[a-z][a-z-]+)", text, re.M)) - ALWAYS
            path = SOURCE / f"docs/man/resumectl-{name}.1"
            page = path.read_text(encoding="utf-8").replace("\\-", "-")
            described = set(re.findall(r"^\.TP\n\.B[RI]* .*?(--[a-z-]+)", page, re.M)) - ALWAYS
            self.assertEqual(described, known, name)
            self.assertIn(f"resumectl-{name} - ", page)
        page = (SOURCE / "docs/man/resumectl.1").read_text(encoding="utf-8").replace("\\-", "-")
        for name in SUBCOMMANDS:
            self.assertIn(f"resumectl {name}", page)
            self.assertIn(f"resumectl-{name} (1)", page)


if __name__ == "__main__":
    main()
