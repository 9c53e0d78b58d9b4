#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""resumectl seal and open as they are used: ciphers, defaults, JSON by its schema, exit codes."""
import json
import os
import shutil
import subprocess
import unittest

import tool

TRANSLATED, WITHOUT, WITH = range(3)
# CPUID leaf 1, ECX: AES-NI, SSE4.1, SSSE3, PCLMULQDQ.
ACCELERATED = 1 << 25 | 1 << 19 | 1 << 9 | 1 << 1


class Seal(tool.Case):
    @classmethod
    def setUpClass(cls):
        said = subprocess.run([os.environ["RESUME_MAKE_SNAPSHOT"]], capture_output=True, text=True,
                              timeout=tool.SECONDS, check=True)
        cls.snapshot = next(line for line in said.stdout.splitlines() if line.startswith("/"))
        cls.addClassCleanup(shutil.rmtree, cls.snapshot)

    def setUp(self):
        super().setUp()
        self.key, self.image = self.work / "key", self.work / "vm.rsm"
        with open(os.open(self.key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(bytes(range(32)))

    def on(self, accelerator, word):
        """The snapshot, as if it were of another machine. Checksums are of other files."""
        directory = self.work / f"of-{accelerator}-{word:x}"
        shutil.copytree(self.snapshot, directory)
        path = directory / "manifest.json"
        manifest = json.loads(path.read_text(encoding="utf-8"))
        manifest["machine"]["accelerator"] = accelerator
        features = manifest["machine"]["cpu_features"]
        features[:] = [entry for entry in features
                       if (int(entry["leaf"], 16), entry["register"]) != (1, "ECX")]
        features.append({"leaf": "0x1", "register": "ECX", "value": hex(word)})
        path.write_text(json.dumps(manifest), encoding="utf-8")
        return directory

    def sealed(self, *arguments, snapshot=None):
        """What both print as JSON, which must agree."""
        self.image.unlink(missing_ok=True)
        keys = ["--key", self.key] if "--key" in arguments else []
        arguments = [argument for argument in arguments if argument != "--key"]
        made = self.json("seal", snapshot or self.snapshot, "-o", self.image, *keys, *arguments)
        opened = self.json("open", self.image, *keys)
        self.assertEqual(made, {name: opened[name] for name in made})
        self.assertEqual(made["total"], self.image.stat().st_size)
        self.assertEqual(made["path"], str(self.image))
        return opened

    def test_json_says_what_was_asked_for(self):
        for cipher in ("aes-256-gcm", "chacha20-poly1305"):
            for method in ("none", "lz4", "zstd"):
                found = self.sealed("--key", "--cipher", cipher, "--compress", method, "--chunk", "16")
                self.assertEqual((found["sealed"], found["protection"], found["compression"]),
                                 (True, cipher, method))
                self.assertEqual((found["chunk_size"], found["vcpus"], found["active"]), (16384, 4, 2))
                self.assertEqual(found["compressed_chunks"] > 0, method != "none")
        found = self.sealed()
        self.assertEqual((found["sealed"], found["protection"]), (False, "none"))

    def test_default_cipher_is_the_machines(self):
        for accelerator, word, cipher in (
                ("kvm", ACCELERATED, "aes-256-gcm"), ("kvm", 0xffffffff, "aes-256-gcm"),
                ("tcg", ACCELERATED, "chacha20-poly1305"), ("kvm", 0, "chacha20-poly1305"),
                *(("kvm", ACCELERATED & ~(1 << bit), "chacha20-poly1305") for bit in (1, 9, 19, 25))):
            found = self.sealed("--key", snapshot=self.on(accelerator, word))
            self.assertEqual(found["protection"], cipher, f"{accelerator} {word:#x}")

    def test_text_names_the_cipher(self):
        self.sealed("--key", "--cipher", "aes-256-gcm")
        said = tool.run("open", self.image, "--key", self.key)
        self.assertEqual(said.code, 0, said.err)
        self.assertRegex(said.out, r"protection +sealed \(AES-256-GCM\)")

    def test_identity_is_printed_alone_without_json(self):
        said = tool.run("seal", self.snapshot, "-o", self.image, "--key", self.key)
        self.assertRegex(said.out, r"\Aidentity [0-9a-f]{64}\n\Z")
        self.assertEqual(self.json("open", self.image, "--key", self.key)["identity"],
                         said.out.split()[1])

    def test_wrong_arguments(self):
        for arguments, word in ((["--cipher", "aes", "--key", self.key], "--cipher takes"),
                                (["--cipher", "aes-256-gcm"], "give --key")):
            said = tool.run("seal", self.snapshot, "-o", self.image, *arguments)
            self.assertNotEqual(said.code, 0)
            self.assertIn(word, said.err)
            self.assertFalse(self.image.exists())


if __name__ == "__main__":
    tool.main()
