#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""measure_seal.py SOURCE BUILD SIZE GCC-VERSION BUILD-TYPE: what docs/INTEGRATION.md says of the stack and the
size of the firmware's build of the reader of snapshot images is so, of this very build: the compiler leaves
the call graph beside the objects (-fcallgraph-info=su).

Calls through pointers are those of BearSSL's classes and of the library's own; whoever makes others is
complained of. Figures are compared for the compiler and the build type that the document names, with others
only the bound."""
import pathlib
import re
import sys

import measure
from measure import bad, call_graph, check_at_most, check_row, complain, deepest, run

BUILD_TYPE = "RelWithDebInfo"
STRUCTS = ("resume_sealed_header", "resume_sealed")
# Who calls through pointers (a prefix), and what that can be.
POINTERS = {
    "br_gcm_": ("br_aes_ct64_ctr_run", "br_aes_x86ni_ctr_run", "br_ghash_ctmul64", "br_ghash_pclmul"),
    "br_hmac_": ("br_sha256_init", "br_sha224_update", "br_sha256_out", "br_sha224_state",
                 "br_sha224_set_state"),
    "process_key": ("br_sha256_init", "br_sha224_update", "br_sha256_out", "br_sha224_state"),
    "br_poly1305_ctmulq_run": ("br_chacha20_ct_run",),
    "keep": ("accelerated",),
    "ZSTD_custom": (),  # there is no heap: contexts are the caller's memory
    "read_all": (),     # the source: the caller's
}


# Functions that call themselves, once: Zstandard's, with a copy of input that is shorter than 8 bytes.
TWICE = {"FSE_readNCount_body_default"}


def resolve(own, calls):
    """Puts the functions that pointers lead to in the place of pointers."""
    for title in own:
        if title.rsplit(":", 1)[-1] in TWICE:
            own[title] *= 2
            calls[title].discard(title)
    names = {}
    for title in own:
        names.setdefault(title.rsplit(":", 1)[-1], []).append(title)
    for caller, callees in calls.items():
        if "__indirect_call" not in callees:
            continue
        name = caller.rsplit(":", 1)[-1]
        found = [targets for prefix, targets in POINTERS.items() if name.startswith(prefix)]
        if not found:
            complain(f"{caller}: calls through a pointer, and nobody has said to where")
        for target in found[0] if found else ():
            # Some are other names for one function.
            if target in names:
                callees.update(names[target])
            elif not target.startswith("br_sha"):
                complain(f"{caller}: calls {target} through a pointer, which is not there")


def main():
    source, build, size, version, build_type = sys.argv[1:]
    document = (pathlib.Path(source) / measure.DOCUMENT).read_text(encoding="utf-8")
    build = pathlib.Path(build)
    graphs = list(build.rglob("*.ci"))
    if len(graphs) < 30:
        sys.exit(f"gate: {build}: {len(graphs)} call graphs, expected those of reader and codecs")
    own, calls = call_graph(graphs)
    resolve(own, calls)
    stack = deepest(own, calls)
    listed = re.findall(r"^\| `(resume_(?:sealed|secret)_\w+)` \| \d", document, re.M)
    bound = re.search(r"stack of (\d+) KiB for each processor", document)
    if len(listed) < 5 or bound is None:
        sys.exit(f"gate: {measure.DOCUMENT}: no table of the reader's stack, or no bound")
    exact = version.split(".")[0] == measure.GCC_MAJOR and build_type == BUILD_TYPE
    for name in listed:
        if name not in stack:
            complain(f"{measure.DOCUMENT}: {name}: there is no such function")
        elif stack[name] > int(bound[1]) * 1024 - 2048:
            complain(f"{name}: {stack[name]} bytes of stack, too much for {bound[0]}")
        elif exact:
            check_row(document, f"`{name}`", [stack[name]])
    for title, pattern in (("Reader of images", "libresume_seal_firmware.a"),
                           ("Its codecs", "libresume_seal_codecs_firmware.a")):
        total = {"text": 0, "rodata": 0, "data": 0}
        for name, length in re.findall(r"^(\.\S+)\s+(\d+)", run(size, "-A", str(build / pattern)), re.M):
            for kind, prefixes in (("text", (".text",)), ("rodata", (".rodata", ".data.rel.ro")),
                                   ("data", (".data", ".bss"))):
                if name.startswith(prefixes):
                    total[kind] += int(length)
                    break
        if total["data"] != 0:
            complain(f"{pattern}: {total['data']} bytes of variables, expected none")
        if exact:
            check_at_most(document, title, [total["text"], total["rodata"]])
    if not exact:
        print(f"gate: gcc {version}, {build_type}: figures of gcc {measure.GCC_MAJOR}, {BUILD_TYPE} not "
              "compared, only bounds")
    for line in bad:
        print(f"gate: {line}")
    sys.exit(1 if bad else 0)


main()
