#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Installs libresume into a temporary prefix, moves it, and uses it from there as another project
would: with find_package and with pkg-config, on a host and freestanding; and the same once more from the
Debian packages, unpacked. Also: docs/INTEGRATION.md shows the very code that is compiled here,
docs/HANDOFF.md has the compiler's offsets and constants, and the man pages that are installed name
the options that the tool has."""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading

FOUR = {"memcpy", "memmove", "memset", "memcmp"}


def run(*command, **kwargs):
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            errors="replace", check=False, **kwargs)
    if result.returncode != 0:
        sys.exit(f"package: {shlex.join(command)}: exit status {result.returncode}\n"
                 f"{result.stdout}")
    return result.stdout


def want_files(prefix, names):
    there = {os.path.relpath(os.path.join(path, name), prefix)
             for path, _, files in os.walk(prefix) for name in files}
    for pattern in names:
        if not any(re.fullmatch(pattern, name) for name in there):
            sys.exit(f"package: {pattern}: not among what was installed:\n"
                     + "\n".join(sorted(there)))


def build(options, prefix, example, into, cflags):
    run(options.cmake, "-S", os.path.join(options.source, "examples", example), "-B", into,
        "-G", options.generator, f"-DCMAKE_MAKE_PROGRAM={options.make}",
        f"-DCMAKE_C_COMPILER={options.cc}", f"-DCMAKE_C_FLAGS={cflags}",
        f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF")
    where = [line for line in open(os.path.join(into, "CMakeCache.txt"), encoding="utf-8")
             if line.startswith("resume_DIR:")]
    if not where or prefix not in where[0]:
        sys.exit(f"package: {example}: found another libresume: {where}")
    run(options.cmake, "--build", into)


def read_blob(program, golden):
    """The values are those that docs/FORMAT.md's golden file is described with."""
    good = run(program, os.path.join(golden, "valid/user_mode.rsm"))
    if not re.search(r"^format 1\.1, 1 vCPU\(s\)$", good, re.M) or \
            not re.search(r"^vCPU 0: can be resumed$", good, re.M):
        sys.exit(f"package: {program}: unexpected output:\n{good}")
    bad = subprocess.run([program, os.path.join(golden, "invalid/crc.rsm")], check=False,
                         capture_output=True, text=True)
    if bad.returncode != 1 or "crc" not in bad.stderr.lower():
        sys.exit(f"package: {program}: a blob with a wrong checksum: exit status {bad.returncode}, "
                 f"{bad.stderr!r}")


def read_image(program, samples):
    """Images by the Python writer, of 60 pages each; the key of the sealed ones is the writer's."""
    key = os.path.join(samples, "key")
    with open(key, "wb") as file:
        file.write(bytes(range(100, 132)))
    for name, said in (("sealed-lz4", "sealed"), ("sealed-aes-zstd", "sealed"),
                       ("plain-none", "integrity only")):
        keys = [key] if said == "sealed" else []
        text = run(program, os.path.join(samples, name + ".rsm"), *keys)
        if text != f"{said}, 2 vCPU(s), 60 pages\n":
            sys.exit(f"package: {program} {name}: unexpected output:\n{text}")
    for name, keys, wanted in (("bad-tags-swapped", [key], "chunk, tag"),
                               ("sealed-lz4", [], "image header, protection")):
        bad = subprocess.run([program, os.path.join(samples, name + ".rsm"), *keys], check=False,
                             capture_output=True, text=True)
        if bad.returncode != 1 or wanted not in bad.stderr:
            sys.exit(f"package: {program} {name}: exit status {bad.returncode}, {bad.stderr!r}")


def firmware_symbols(options, archives):
    """What the example leaves undefined is in the two archives, or one of the four functions."""
    undefined, defined = set(), set()
    for archive in archives:
        for line in run(options.nm, archive).splitlines():
            words = line.split()
            if len(words) >= 2 and len(words[-2]) == 1:
                (undefined if words[-2] in "Uw" else defined).add(words[-1])
    foreign = undefined - defined - FOUR - {"_GLOBAL_OFFSET_TABLE_"}
    if not defined or foreign:
        sys.exit(f"package: examples/firmware: needs {sorted(foreign) or 'symbols at all'}")


def document(options):
    """Every C block of the document is, line for line, in the example that is compiled."""
    with open(os.path.join(options.source, "docs/INTEGRATION.md"), encoding="utf-8") as file:
        blocks = re.findall(r"^```c\n(.*?)^```$", file.read(), re.M | re.S)
    examples = os.path.join(options.source, "examples")
    if not blocks:
        sys.exit("package: docs/INTEGRATION.md: no C code in it")
    code = ""
    for name in ("firmware/firmware.h", "firmware/firmware.c", "read-image/load.c"):
        with open(os.path.join(examples, name), encoding="utf-8") as file:
            code += file.read()
    for block in blocks:
        if block not in code:
            sys.exit("package: docs/INTEGRATION.md: this code is not in the examples:\n" + block)


def start_firmware(firmware, work, *arguments):
    """What pvh-firmware.elf says last under QEMU, which starts it by its note."""
    command = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-cpu",
               "Haswell,-pcid,-x2apic,-tsc-deadline,-hle,-invpcid,-rtm", "-nodefaults", "-display",
               "none", "-no-reboot", "-kernel", firmware, "-debugcon", "stdio", "-global",
               "isa-debugcon.iobase=0x402", *arguments]
    said = [""]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=open(os.path.join(work, "qemu.log"), "wb"), text=True,
                          errors="replace") as process:
        watch = threading.Timer(120, process.kill)
        watch.start()
        for line in process.stdout:
            said += re.findall(r"libresume: (.*)", line)
            if re.match("parked|refused", said[-1]):
                break
        watch.cancel()
        process.kill()
    return said[-1]


def pvh_firmware(firmware, prepare, golden, work):
    """The firmware built against the package parks a good state, and says why it refuses others."""
    if not shutil.which("qemu-system-x86_64"):
        print("package: no qemu-system-x86_64 here: pvh-firmware.elf not started")
        return
    good = os.path.join(golden, "valid/first_minor.rsm")
    plan = os.path.join(work, "plan.rsm")
    run(prepare, good, plan)

    def files(state, plan):
        return ["-fw_cfg", "name=opt/org.libresume/state,file=" + state,
                "-fw_cfg", "name=opt/org.libresume/plan,file=" + plan]

    ram = ["-m", "512M"]
    other = os.path.join(golden, "valid/user_mode.rsm")
    for arguments, wanted in (
            (ram + files(good, plan), r"parked"),
            (["-bios", "qboot.rom"] + ram + files(good, plan), r"parked"),
            (ram, r"refused: state: there is no fw_cfg file opt/org\.libresume/state"),
            (ram + files(good, plan)[:2], r"refused: plan: there is no fw_cfg file "),
            (ram + files(os.path.join(golden, "invalid/crc.rsm"), plan),
             r"refused: state and plan: .*crc"),
            (ram + files(other, plan), r"refused: state and plan: .*plan.* is 0x"),
            (ram + ["-smp", "2"] + files(good, plan),
             r"refused: processors: the state has 1, this machine 2"),
            (["-m", "128M"] + files(good, plan), r"refused: home: address 0x12345000 "),
            (ram + ["-cpu", "qemu64"] + files(good, plan), r"refused: state and plan: .*CPU")):
        said = start_firmware(firmware, work, *arguments)
        if not re.match(wanted, said):
            sys.exit(f"package: pvh-firmware.elf {shlex.join(arguments)}: said {said!r} last, wanted "
                     f"{wanted!r}")
    # APIC IDs are compared where a state has them.
    run(prepare, other, plan)
    said = start_firmware(firmware, work, *ram, *files(other, plan))
    if not said.startswith("refused: processors: no processor of this machine has APIC ID 0x105"):
        sys.exit(f"package: pvh-firmware.elf: another APIC ID: said {said!r} last")


TYPES = {"u8": "uint8_t", "u16": "uint16_t", "u32": "uint32_t", "u64": "uint64_t", "char": "char",
         "operand": "struct resume_table_register", "far": "struct resume_far",
         "fault": "struct resume_fault", "span": "struct resume_span",
         "list": "struct resume_placement_list"}


def structure(name, fields, text):
    """What a C compiler has to say of the section of docs/HANDOFF.md about struct @name."""
    parts = re.findall(rf"^### struct {name}\n(.*?)(?=^##|\Z)", text, re.M | re.S)
    if len(parts) != 1:
        sys.exit(f"package: docs/HANDOFF.md: {len(parts)} sections about struct {name}")
    size = re.search(r"^(\d+) bytes", parts[0], re.M)
    rows = re.findall(r"^\| (0x[0-9a-f]+) \| `(\w+)` \| (\w+)(?:\[(\d+)\])? \|", parts[0], re.M)
    if fields != [row[1] for row in rows]:
        sys.exit(f"package: docs/HANDOFF.md: struct {name}: its fields are not those of "
                 f"resume/handoff.h, in order: {sorted(set(fields) ^ {row[1] for row in rows})}")
    if size is None:
        sys.exit(f"package: docs/HANDOFF.md: struct {name}: no size")
    yield f"sizeof(struct {name}) == {size[1]}", name
    for offset, field, kind, count in rows:
        yield f"offsetof(struct {name}, {field}) == {offset}", f"{name}.{field}: offset"
        yield (f"sizeof(((struct {name} *)0)->{field}) == {count or 1} * sizeof({TYPES[kind]})",
               f"{name}.{field}: size")


def handoff(options, work):
    """Every structure and constant of resume/handoff.h is in docs/HANDOFF.md, as it is."""
    with open(os.path.join(options.source, "docs/HANDOFF.md"), encoding="utf-8") as file:
        text = file.read()
    include = os.path.join(options.source, "lib/include")
    with open(os.path.join(include, "resume/handoff.h"), encoding="utf-8") as file:
        header = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    facts = []
    for name, body in re.findall(r"^struct (\w+) \{\n(.*?)^\};", header, re.M | re.S):
        facts += structure(name, re.findall(r"(\w+)(?:\[[^\]]*\])?;", body), text)
    constants = set(re.findall(r"^#define (RESUME_\w+) ", header, re.M))
    for body in re.findall(r"^enum \w+ \{\n(.*?)^\};", header, re.M | re.S):
        constants |= set(re.findall(r"^ *(RESUME_\w+)", body, re.M))
    # | value | `NAME` | ...: a number, or a character in backticks.
    rows = re.findall(r"^\| (?:(\d\w*)|`(.)`) \| `(RESUME_\w+)` \|", text, re.M)
    if sorted(row[2] for row in rows) != sorted(constants):
        sys.exit("package: docs/HANDOFF.md: its constants are not those of resume/handoff.h, each "
                 f"once: {sorted(constants ^ {row[2] for row in rows}) or 'some are there twice'}")
    facts += [(f"{name} == {number or repr(character)}", name)
              for number, character, name in rows]
    source = os.path.join(work, "handoff.c")
    with open(source, "w", encoding="utf-8") as file:
        file.write("#include <stddef.h>\n#include <resume/handoff.h>\n")
        for fact, what in facts:
            file.write(f"_Static_assert({fact}, \"docs/HANDOFF.md: {what}\");\n")
    run(options.cc, "-std=c11", "-I", include, "-fsyntax-only", source)


def manual(options, prefix):
    """Each long option of --help is in the page, and each of the page is in --help."""
    tool = os.path.join(prefix, "bin/resumectl")
    for name in ("snapshot", "resume", "inspect") + ("seal", "open") * (options.seal == "ON"):
        text = run(tool, name, "--help")
        help_options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - {"--help", "--usage"}
        path = os.path.join(prefix, "share/man/man1", f"resumectl-{name}.1")
        with open(path, encoding="utf-8") as file:
            page = set(re.findall(r"^\.TP\n\.B[RI]* .*?(--[a-z-]+)", file.read().replace("\\-", "-"),
                                  re.M))
        page -= {"--help", "--usage"}
        # Help texts may mention options of another program or subcommand.
        own = set(re.findall(r"^ +(?:-\w, )?(--[a-z][a-z-]+)", text, re.M)) - {"--help", "--usage"}
        if own - page or page - help_options:
            sys.exit(f"package: {path}: options of --help that it lacks: {sorted(own - page)}, "
                     f"options that do not exist: {sorted(page - help_options)}")


def headers(options, prefix):
    """What is installed compiles alone, as C and as C++, with every compiler that is here."""
    include = os.path.join(prefix, "include")
    names = sorted(os.path.relpath(os.path.join(path, name), include)
                   for path, _, files in os.walk(include) for name in files)
    compilers = {options.cc: "c"}
    for name, language in (("gcc", "c"), ("clang", "c"), ("g++", "c++"), ("clang++", "c++")):
        if shutil.which(name):
            compilers[name] = language
    source = os.path.join(prefix, "header.c")
    for compiler, language in compilers.items():
        standard = "-std=c11" if language == "c" else "-std=c++17"
        for name in names:
            with open(source, "w", encoding="utf-8") as file:
                file.write(f"#include <{name}>\n#include <{name}>\nextern int nothing;\n")
            run(compiler, standard, "-x", language, "-Wall", "-Wextra", "-Wpedantic", "-Werror",
                "-I", include, "-fsyntax-only", source)
    os.remove(source)


def read_input(program, golden):
    """The RIPs are those of the listing, which was taken of the same machine at the same stop."""
    listing = os.path.join(golden, "import/registers_text/qemu-7.2-haswell-two-vcpus")
    with open(listing, encoding="utf-8") as file:
        wanted = re.findall(r"\bRIP=([0-9a-f]{16})", file.read())
    for name, title, missing in ((listing, "listing", "xss"),
                                 (os.path.join(golden, "import/elf_dump/qemu-7.2-two-vcpus"),
                                  "QEMU ELF dump", "efer")):
        text = run(program, name)
        if len(wanted) != 2 or re.findall(r"RIP ([0-9a-f]{16})", text) != wanted or \
                title not in text or f"needs {missing}" not in text and title != "listing":
            sys.exit(f"package: {program} {name}: wanted RIPs {wanted}, found:\n{text}")
    bad = subprocess.run([program, os.path.join(golden, "import/kvm")], check=False,
                         capture_output=True, text=True)
    if bad.returncode != 1 or "import/kvm" not in bad.stderr:
        sys.exit(f"package: {program}: a directory that is no input: exit status "
                 f"{bad.returncode}, {bad.stderr!r}")


def with_find_package(options, prefix, work, golden):
    flags = options.cflags
    into = os.path.join(work, "read-blob")
    build(options, prefix, "read-blob", into, flags)
    read_blob(os.path.join(into, "read-blob"), golden)
    into = os.path.join(work, "firmware")
    build(options, prefix, "firmware", into, "")  # sanitizers are for hosts
    libraries = [os.path.join(path, name) for path, _, files in os.walk(prefix)
                 for name in files if name.endswith("_firmware.a")]
    firmware_symbols(options, libraries + [os.path.join(into, "libfirmware.a")])
    if options.pvh == "ON":
        build(options, prefix, "pvh-firmware", os.path.join(work, "pvh-firmware"), "")
    if options.tools == "ON":
        into = os.path.join(work, "read-input")
        build(options, prefix, "read-input", into, flags)
        read_input(os.path.join(into, "read-input"), golden)
    if options.seal == "ON":
        into = os.path.join(work, "read-image")
        build(options, prefix, "read-image", into, flags)
        read_image(os.path.join(into, "read-image"), options.samples)
        if options.efi == "ON":
            firmware_symbols(options, libraries + [os.path.join(into, "libload_firmware.a")])


def with_pkg_config(options, prefix, work, golden):
    """Returns the program that runs the firmware's calls on the host."""
    tool = options.__dict__["pkg_config"]
    source = os.path.join(options.source, "examples")
    flags = shlex.split(options.cflags)
    found = [path for path, _, files in os.walk(prefix) if "resume.pc" in files]
    system = run(tool, "--variable", "pc_path", "pkg-config").strip()
    environment = dict(os.environ, PKG_CONFIG_LIBDIR=f"{found[0]}:{system}", PKG_CONFIG_PATH="")

    def ask(*arguments):
        # What is said must be where the package is, also when that is /usr of another tree.
        return run(tool, *arguments, env=environment).split()

    for name in ["resume", "resume-firmware"] + ["resume-import"] * (options.tools == "ON") + \
            ["resume-seal"] * (options.seal == "ON"):
        if ask("--modversion", name) != [options.version]:
            sys.exit(f"package: {name}.pc: its version is not {options.version}")
        others = [line.split()[0] for line in run(
            tool, "--print-requires-private", name, env=environment).splitlines()]
        others = set(ask("--cflags", "--libs", *others)) if others else set()
        places = [word[2:] for word in ask("--cflags", "--libs", name)
                  if word[:2] in ("-I", "-L") and word not in others]
        if not places or any(os.path.commonpath([os.path.realpath(place), prefix]) != prefix
                             for place in places):
            sys.exit(f"package: {name}.pc: it names {places}, not places in {prefix}")
    cflags, libs = ask("--cflags", "resume"), ask("--libs", "resume")
    program = os.path.join(work, "pc-read-blob")
    run(options.cc, *flags, "-std=c11", *cflags, os.path.join(source, "read-blob/main.c"),
        "-o", program, *libs)
    read_blob(program, golden)
    if options.tools == "ON":
        program = os.path.join(work, "pc-read-input")
        run(options.cc, *flags, "-std=c11", *ask("--cflags", "resume-import"),
            os.path.join(source, "read-input/main.c"), "-o", program,
            *ask("--static", "--libs", "resume-import"))
        read_input(program, golden)
    if options.seal == "ON":
        program = os.path.join(work, "pc-read-image")
        sources = [os.path.join(source, "read-image", name) for name in ("main.c", "load.c")]
        run(options.cc, *flags, "-std=c11", *ask("--cflags", "resume-seal"), *sources, "-o", program,
            *ask("--static", "--libs", "resume-seal"))
        read_image(program, options.samples)
    # The firmware's calls, run on the host.
    prepare = os.path.join(work, "prepare")
    run(options.cc, *flags, "-std=c11", "-Wall", "-Wextra", "-Werror", *cflags,
        "-I", os.path.join(source, "firmware"),
        os.path.join(options.source, "tests/package/prepare.c"),
        os.path.join(source, "firmware/firmware.c"), "-o", prepare, *libs)
    run(prepare, os.path.join(golden, "valid/user_mode.rsm"))
    # The firmware build has the same names in its own archives.
    examples = [("resume-firmware", "firmware/firmware.c")]
    if options.seal == "ON" and options.efi == "ON":
        examples.append(("resume-seal-firmware", "read-image/load.c"))
    for name, path in examples:
        cflags, libs = ask("--cflags", name), ask("--libs", name)
        run(options.cc, "-std=c11", "-ffreestanding", "-fno-stack-protector", "-mno-red-zone",
            "-mgeneral-regs-only", "-fpic", *cflags, "-nostdlib", "-shared",
            os.path.join(source, path), "-o", os.path.join(work, "x.so"), *libs)
        used = run(options.nm, "-u", os.path.join(work, "x.so")).split()
        if set(used) - FOUR - {"U", "w"}:
            sys.exit(f"package: {name}.pc: undefined: {used}")
    return prepare


def deb_depends(path):
    return set(re.findall(r"[a-z0-9][a-z0-9.+-]+(?= \(|,|$)",
                          run("dpkg-deb", "-f", path, "Depends").strip()))


def debian(options, work, golden):
    """The Debian packages, unpacked but not installed, are good for the same."""
    for tool in ("dpkg-deb", "dpkg-shlibdeps", "gzip"):
        if not shutil.which(tool):
            print(f"package: no {tool} here: Debian packages not tried")
            return
    where, tree = os.path.join(work, "debs"), os.path.join(work, "unpacked")
    run(options.cpack, "-G", "DEB", "-B", where,
        "--config", os.path.join(options.build, "CPackConfig.cmake"))
    packages = {name.split("_")[0]: os.path.join(where, name)
                for name in os.listdir(where) if name.endswith(".deb")}
    wanted = {"libresume-dev"}
    if options.tools == "ON":
        wanted |= {"libresume-import-dev", "resumectl"}
    if options.seal == "ON":
        wanted.add("libresume-seal-dev")
    if set(packages) != wanted:
        sys.exit(f"package: cpack made {sorted(packages)}, wanted {sorted(wanted)}")
    for name, path in packages.items():
        run("dpkg-deb", "-x", path, tree)
        for document in ("copyright", "changelog.gz"):
            if not os.path.exists(os.path.join(tree, "usr/share/doc", name, document)):
                sys.exit(f"package: {name}: it has no {document}")
    prefix = os.path.join(tree, "usr")
    # Who can build libresume has what the packages need.
    setup = run("bash", os.path.join(options.source, "cmake/setup-debian.sh"), "--list")
    for name in {"libresume-import-dev", "libresume-seal-dev"} & wanted:
        needs = deb_depends(packages[name]) - {"libresume-dev"}
        if not needs or needs - set(setup.split()):
            sys.exit(f"package: {name}: depends on {sorted(needs)}, of which setup-debian.sh lacks "
                     f"{sorted(needs - set(setup.split()))}")
    if options.seal == "ON" and options.efi == "ON":
        with open(os.path.join(prefix, "share/doc/libresume-seal-dev/copyright"),
                  encoding="utf-8") as file:
            text = file.read()
        for name in ("Thomas Pornin", "Yann Collet", "Facebook"):
            if name not in text:
                sys.exit(f"package: libresume-seal-dev: its copyright does not name {name}")
    if options.tools == "ON":
        if not {"libc6", "libjansson4"} <= deb_depends(packages["resumectl"]):
            sys.exit("package: resumectl: it does not depend on the libraries that it uses")
        tool = os.path.join(prefix, "bin/resumectl")
        if options.version not in run(tool, "--version"):
            sys.exit(f"package: {tool}: its version is not {options.version}")
        pages = {os.path.basename(path) for path in os.listdir(os.path.join(
            options.source, "docs/man"))}
        want_files(prefix, [rf"share/man/man1/{re.escape(page)}\.gz" for page in pages])
    work = os.path.join(work, "from-debian")
    os.mkdir(work)
    with_find_package(options, prefix, work, golden)
    if not options.__dict__["pkg_config"].endswith("NOTFOUND"):
        with_pkg_config(options, prefix, work, golden)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("cmake", "cpack", "generator", "make", "build", "source", "cc", "cflags", "nm",
                 "pkg-config", "tools", "efi", "pvh", "seal", "version"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    golden = os.path.join(options.source, "tests/golden")

    document(options)
    with tempfile.TemporaryDirectory() as work:
        work = os.path.realpath(work)
        handoff(options, work)
        if options.seal == "ON":
            options.samples = os.path.join(work, "samples")
            run(sys.executable, "-B", os.path.join(options.source, "tests/support/image_oracle.py"),
                "samples", options.samples)
        first, prefix = os.path.join(work, "first"), os.path.join(work, "moved")
        run(options.cmake, "--install", options.build, "--prefix", first)
        # Nothing installed may depend on where it was put.
        os.rename(first, prefix)
        want_files(prefix, [
            r"include/resume/state\.h", r"include/resume/trampoline\.h",
            r"lib.*/libresume\.a", r"lib.*/libresume_firmware\.a",
            r"lib.*/cmake/resume/resumeConfig\.cmake", r"lib.*/pkgconfig/resume-firmware\.pc",
            r"share/doc/libresume/INTEGRATION\.md", r"share/doc/libresume/LICENSE"])
        if options.tools == "ON":
            want_files(prefix, [r"bin/resumectl", r"share/man/man1/resumectl\.1",
                                r"include/resume/import\.h", r"lib.*/libresume_import\.a"])
            manual(options, prefix)
        if options.seal == "ON":
            want_files(prefix, [r"include/resume/sealed\.h", r"include/resume/secret\.h",
                                r"lib.*/libresume_seal\.a", r"lib.*/pkgconfig/resume-seal\.pc"])
        if options.seal == "ON" and options.efi == "ON":
            want_files(prefix, [r"lib.*/libresume_seal_firmware\.a",
                                r"lib.*/libresume_seal_codecs_firmware\.a",
                                r"lib.*/pkgconfig/resume-seal-firmware\.pc",
                                r"share/doc/libresume/LICENSE\.bearssl"])
        if options.efi == "ON":
            want_files(prefix, [r"lib.*/libresume/resume\.efi"])
        if options.pvh == "ON":
            want_files(prefix, [r"lib.*/libresume/pvh-firmware\.elf"])
        headers(options, prefix)
        with_find_package(options, prefix, work, golden)
        if options.__dict__["pkg_config"].endswith("NOTFOUND"):
            print("package: no pkg-config here: not tried")
        else:
            prepare = with_pkg_config(options, prefix, work, golden)
            if options.pvh == "ON":
                pvh_firmware(os.path.join(work, "pvh-firmware/pvh-firmware.elf"), prepare, golden,
                             work)
        debian(options, work, golden)


main()
