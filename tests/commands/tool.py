# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the tests of resumectl's subcommands share: running it, samples, schemas.

A test is run as: TEST RESUMECTL SOURCE-DIRECTORY [what unittest takes]."""
import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOL = pathlib.Path(sys.argv[1]).resolve()
SOURCE = pathlib.Path(sys.argv[2]).resolve()
GOLDEN = SOURCE / "tests/golden"
IMPORT = GOLDEN / "import"
ELF = IMPORT / "elf_dump/qemu-7.2-two-vcpus"
LISTING = IMPORT / "registers_text/qemu-7.2-haswell-two-vcpus"
KVM = IMPORT / "kvm/two-vcpus.tar"
SECONDS = 120


def samples():
    """One file for each sample of a machine. Containers may hold several, and are chosen from by name."""
    return sorted(path for path in IMPORT.glob("*/*")
                  if path.parent.name not in ("qcow2", "libvirt"))


class Result:
    def __init__(self, process):
        self.code, self.out, self.err = process.returncode, process.stdout, process.stderr


def run(*arguments, environment=None):
    """Run the tool without a terminal."""
    return Result(subprocess.run([str(TOOL), *map(str, arguments)], stdin=subprocess.DEVNULL,
                                 capture_output=True, text=True, timeout=SECONDS, check=False,
                                 env={**os.environ, **(environment or {})}))


@functools.lru_cache
def schema(name):
    try:
        import jsonschema  # pylint: disable=import-outside-toplevel
    except ImportError:
        sys.exit("the Python module jsonschema is missing (cmake/setup-debian.sh --tests)")
    text = json.loads((SOURCE / f"docs/schemas/{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(text)
    return jsonschema.Draft202012Validator(text)


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.work = pathlib.Path(directory.name)

    def tool(self, *arguments, code=0, **keys):
        """Run the tool; it must end with @code. Errors are told, and only they."""
        result = run(*arguments, **keys)
        self.assertEqual(result.code, code, result.err)
        return result

    def json(self, name, *arguments, code=0):
        """The subcommand's JSON, checked against its schema."""
        result = self.tool(name, "--json", *arguments, code=code)
        value = json.loads(result.out)
        wrong = [f"{list(error.path)}: {error.message}" for error in schema(name).iter_errors(value)]
        self.assertEqual(wrong, [])
        return value

    def refused(self, *arguments, code=1, words=()):
        """The tool must refuse, in the form that all its messages have."""
        result = self.tool(*arguments, code=code)
        self.assertRegex(result.err, r"\Aresumectl: [^:]+: .+ \(.+\)\n\Z")
        for word in words:
            self.assertIn(word, result.err)
        return result


def main():
    del sys.argv[1:3]
    unittest.main(module="__main__")
