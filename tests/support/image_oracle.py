#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""image_oracle.py samples DIRECTORY | compare SNAPSHOT IMAGE [KEY-FILE] | same STREAM STREAM

Writes and reads snapshot images from docs/IMAGE.md alone, with other implementations of everything:
the cryptography of Python's `cryptography`, hashes and compression of shared libraries.

samples: images for the tests, good and bad, and `cases`: a line for each with its file, its key or "-",
the number of the error that reading it must end in, and the structure that must be named.
compare: does the image have, bit for bit, what the snapshot directory has? The stream is read here too.
same: have two streams the same content? All pages and all that is before and behind the RAM; only the order
of the pages may differ.
"""
import ctypes
import ctypes.util
import hashlib
import json
import os
import struct
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PAGE = 4096
HEADER = 512
NONE, LZ4, ZSTD = range(3)
CHACHA20_POLY1305, AES_256_GCM = 1, 2
OK, ETRUNC, EMAGIC, EVERSION, ECRC, ELENGTH, ERESERVED = 0, -16, -17, -18, -19, -20, -21
EMISSING, EORDER, ECONSISTENT, EUNSUPPORTED = -24, -25, -34, -35
EAUTH, EKEY, EDATA = -65, -66, -68
KEY = bytes(range(100, 132))


class Hash128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


def library(name, *names):
    for candidate in names + (ctypes.util.find_library(name),):
        try:
            return ctypes.CDLL(candidate)
        except (OSError, TypeError):
            continue
    sys.exit(f"image_oracle.py: there is no shared library {name}")


XXHASH = library("xxhash", "libxxhash.so.0")
LZ4_LIBRARY = library("lz4", "liblz4.so.1")
ZSTD_LIBRARY = library("zstd", "libzstd.so.1")
XXHASH.XXH3_128bits.restype = Hash128
XXHASH.XXH3_128bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
for function in (ZSTD_LIBRARY.ZSTD_compress, ZSTD_LIBRARY.ZSTD_decompress):
    function.restype = ctypes.c_size_t
ZSTD_LIBRARY.ZSTD_compress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p,
                                       ctypes.c_size_t, ctypes.c_int]
ZSTD_LIBRARY.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p,
                                         ctypes.c_size_t]


def xxh128(data):
    value = XXHASH.XXH3_128bits(data, len(data))
    return struct.pack(">QQ", value.high, value.low)


def compress(kind, data):
    room = len(data) + len(data) // 8 + 1024
    out = ctypes.create_string_buffer(room)
    if kind == LZ4:
        length = LZ4_LIBRARY.LZ4_compress_default(data, out, len(data), room)
    elif kind == ZSTD:
        length = ZSTD_LIBRARY.ZSTD_compress(out, room, data, len(data), 1)
    else:
        return data
    return out.raw[:length]


def decompress(kind, data, length):
    out = ctypes.create_string_buffer(length + 1)
    if kind == LZ4:
        got = LZ4_LIBRARY.LZ4_decompress_safe(data, out, len(data), length)
    else:
        got = ZSTD_LIBRARY.ZSTD_decompress(out, length, data, len(data))
    if got != length:
        raise ValueError("the compressed data gives something else")
    return out.raw[:length]


def derive(key, salt, purpose, length):
    return HKDF(algorithm=SHA256(), length=length, salt=salt,
                info=b"libresume image v1 " + purpose).derive(key)


def keys_of(protection, key, salt):
    """A function for structures and one for chunks: each a cipher with its key."""
    kind, prefix = {CHACHA20_POLY1305: (ChaCha20Poly1305, b""),
                    AES_256_GCM: (AESGCM, b"aes-256-gcm ")}[protection]
    return [kind(derive(key, salt, prefix + name, 32)) for name in (b"structures", b"chunks")]


def protect(cipher, purpose, number, aad, data):
    """The protected data, and its tag. Without a cipher: the data and its checksum."""
    if cipher is None:
        return data, xxh128(aad + xxh128(data))
    out = cipher.encrypt(struct.pack("<IQ", purpose, number), data, aad)
    return out[:-16], out[-16:]


def unprotect(cipher, purpose, number, aad, data, tag):
    if cipher is None:
        if tag != xxh128(aad + xxh128(data)):
            raise InvalidTag
        return data
    return cipher.decrypt(struct.pack("<IQ", purpose, number), data + tag, aad)


def page_of(number):
    """The page that the samples have at guest-physical page `number`; the tests know it too."""
    if number % 3 == 0:  # does not compress
        state = number * 2654435761 + 12345 & 0xffffffff
        out = bytearray()
        for _ in range(PAGE):
            state = state * 1664525 + 1013904223 & 0xffffffff
            out.append(state >> 24)
        return bytes(out)
    return bytes(((number + (i >> 6)) & 0xff) for i in range(PAGE))


class Image:
    """What an image is made of. Members may be changed, and hooks replaced, to make bad ones."""

    def __init__(self, key=KEY, compression=LZ4, chunk_pages=4, salt=bytes(range(32)),
                 protection=CHACHA20_POLY1305):
        self.protection = protection if key is not None else 0
        self.key, self.compression, self.chunk_pages, self.salt = key, compression, chunk_pages, salt
        self.map = [(0, 160), (256, 4000), (0x100000, 64)]
        self.runs = [(1, 1), (5, 3), (20, 10), (159, 1), (256, 30), (300, 1), (0x100000, 13),
                     (0x10003f, 1)]
        self.state, self.plan = b"a state blob" * 30, b"a plan!" * 5
        # Offset in the device part, bytes removed there, bytes added.
        self.changes = [(10, 4, b"four"), (14, 0, b"twenty-one more bytes"), (600, 50, b"")]
        self.host, self.devices = b'{"facts": "of the host"}', b"a device part" * 50
        self.vcpus = 2
        self.header_hook = self.index_hook = self.structures_hook = self.chunk_hook = None
        self.bytes_hook = None
        self.page_of = page_of

    def pages(self):
        return [page for first, count in self.runs for page in range(first, first + count)]

    def chunk(self, plain):
        packed = compress(self.compression, plain)
        return packed if len(packed) < len(plain) else plain

    def build(self):
        keys = [None, None]
        check = bytes(16)
        if self.key is not None:
            keys = keys_of(self.protection, self.key, self.salt)
            check = derive(self.key, self.salt, b"check", 16)
        pages = self.pages()
        groups = [pages[i:i + self.chunk_pages] for i in range(0, len(pages), self.chunk_pages)]
        content = 0
        runs = b""
        for first, count in self.runs:
            runs += struct.pack("<QQQ", first, count, content)
            content += count
        parts = [self.state, self.plan, b"".join(struct.pack("<QQ", *entry) for entry in self.map),
                 runs, bytes(32 * len(groups)), b"".join(
                     struct.pack("<QII", offset, removed, len(added)) + added + bytes(-len(added) % 8)
                     for offset, removed, added in self.changes)]
        table, plain = b"", b""
        for part in parts:
            plain += bytes(-len(plain) % 8)
            table += struct.pack("<QQ", len(plain), len(part))
            plain += part
        structures = HEADER + len(self.host) + len(self.devices)
        plain += bytes(-(structures + len(plain) + 16) % PAGE)
        data = structures + len(plain) + 16

        stored, index, offset = b"", [], data
        for number, group in enumerate(groups):
            packed = self.chunk(b"".join(map(self.page_of, group)))
            if self.chunk_hook:
                packed = self.chunk_hook(number, packed)
            aad = self.salt + struct.pack("<QQQII", number, len(groups), group[0], len(group),
                                          len(packed))
            packed, tag = protect(keys[1], 2, number, aad, packed)
            index.append([offset, len(packed), 0, tag])
            offset += len(packed)
            stored += packed
        if self.index_hook:
            self.index_hook(index)
        entries = b"".join(struct.pack("<QII", *entry[:3]) + entry[3] for entry in index)
        at = struct.unpack_from("<Q", table, 4 * 16)[0]
        plain = plain[:at] + entries + plain[at + len(entries):]
        if self.structures_hook:
            plain = self.structures_hook(bytearray(plain))
        total = data + len(stored)
        header = struct.pack("<8sHHHHQIIIIQQQ", b"RSMIMAGE", 1, 0, 0, HEADER, total,
                             self.protection, self.compression, self.chunk_pages, self.vcpus,
                             len(pages), len(groups), 0)
        header += self.salt + check
        header += struct.pack("<QQ", HEADER, len(self.host)) + hashlib.sha256(self.host).digest()
        header += struct.pack("<QQ", HEADER + len(self.host), len(self.devices))
        header += hashlib.sha256(self.devices).digest()
        header += struct.pack("<QQQQ", structures, len(plain) + 16, data, len(stored)) + table
        header = bytearray(header + bytes(HEADER - len(header)))
        if self.header_hook:
            self.header_hook(header)
        plain, tag = protect(keys[0], 1, 0, bytes(header), bytes(plain))
        out = bytes(header) + self.host + self.devices + plain + tag + stored
        return self.bytes_hook(bytearray(out)) if self.bytes_hook else out


def read(data, key):
    """{page number: content}, and the parts (host, devices, state, plan, map, changes). Raises on
    damage."""
    header = data[:HEADER]
    (magic, major, _, compatible, length, total, protection, compression, chunk_pages, vcpus, content,
     chunks, _) = struct.unpack_from("<8sHHHHQIIIIQQQ", header)
    assert (magic, major, compatible, length) == (b"RSMIMAGE", 1, 0, HEADER), "header"
    assert total == len(data) and (protection != 0) == (key is not None), "length or protection"
    assert vcpus > 0 and header[336:] == bytes(HEADER - 336), "reserved"
    salt = header[64:96]
    keys = [None, None]
    if key is not None:
        assert header[96:112] == derive(key, salt, b"check", 16), "key check"
        keys = keys_of(protection, key, salt)
    host, host_length = struct.unpack_from("<QQ", header, 112)
    devices, devices_length = struct.unpack_from("<QQ", header, 160)
    at, at_length, begin, data_length = struct.unpack_from("<QQQQ", header, 208)
    assert host == HEADER and devices == host + host_length and at == devices + devices_length
    assert begin == at + at_length and begin % PAGE == 0 and begin + data_length == total
    public = [data[host:devices], data[devices:at]]
    assert hashlib.sha256(public[0]).digest() == header[128:160], "hash of the host's facts"
    assert hashlib.sha256(public[1]).digest() == header[176:208], "hash of the device part"
    plain = unprotect(keys[0], 1, 0, header, data[at:begin - 16], data[begin - 16:begin])
    parts = []
    for i in range(6):
        offset, length = struct.unpack_from("<QQ", header, 240 + 16 * i)
        parts.append(plain[offset:offset + length])
    state, plan, memory, runs, index, changes = parts
    places = []
    for first, count, before in struct.iter_unpack("<QQQ", runs):
        assert before == len(places), "content of a run"
        places += range(first, first + count)
    assert len(places) == content and places == sorted(set(places)), "runs"
    ranges = list(struct.iter_unpack("<QQ", memory))
    pages, end = {}, begin
    for number, (offset, stored, zero, tag) in enumerate(struct.iter_unpack("<QII16s", index)):
        group = places[number * chunk_pages:(number + 1) * chunk_pages]
        assert offset == end and zero == 0 and group, "index"
        aad = salt + struct.pack("<QQQII", number, chunks, group[0], len(group), stored)
        chunk = unprotect(keys[1], 2, number, aad, data[offset:offset + stored], tag)
        if stored != len(group) * PAGE:
            chunk = decompress(compression, chunk, len(group) * PAGE)
        for i, page in enumerate(group):
            pages[page] = chunk[i * PAGE:(i + 1) * PAGE]
        end += stored
    assert end == total and len(pages) == content, "chunks"
    return pages, public + [state, plan, ranges, changes_of(changes)]


def changes_of(part):
    changes, at = [], 0
    while at < len(part):
        offset, removed, added = struct.unpack_from("<QII", part, at)
        changes.append((offset, removed, part[at + 16:at + 16 + added]))
        at += 16 + added + -added % 8
    assert at == len(part), "changes"
    return changes


def apply(changes, data):
    """The device part as it was, but for the pages."""
    out, at = b"", 0
    for offset, removed, added in changes:
        assert offset >= at and offset + removed <= len(data), "order of the changes"
        out += data[at:offset] + added
        at = offset + removed
    return out + data[at:]


def field(offset, layout, value):
    def change(header):
        struct.pack_into(layout, header, offset, value)
    return change


def word(part, offset, value, layout="<Q"):
    """A hook that changes a number in a part of the structures, before they are protected."""
    def change(image):
        def hook(plain):
            lengths = [len(image.state), len(image.plan), 16 * len(image.map), 24 * len(image.runs),
                       32 * -(-len(image.pages()) // image.chunk_pages)]
            at = 0
            for length in lengths[:part]:
                at += length + -length % 8
            struct.pack_into(layout, plain, at + offset, value)
            return plain
        image.structures_hook = hook
    return change


def padding(image):
    def hook(plain):
        plain[-1] = 1
        return plain
    image.structures_hook = hook


def hooked(name, hook):
    def change(image):
        setattr(image, name, hook)
    return change


def swap(index):
    index[1][0], index[2][0] = index[2][0], index[1][0]


def repeat(index):
    index[2] = list(index[1])


def overlap(index):
    index[2][0] -= 16


def swap_tags(index):
    index[1][3], index[2][3] = index[2][3], index[1][3]


def lengthen(index):
    index[1][1] = 4 * PAGE + 1


def empty(index):
    index[1][1] = 0


def reserve(index):
    index[1][2] = 1


def bomb(kind, length):
    """A chunk of the right look that decompresses to `length` bytes."""
    def hook(number, packed):
        return compress(kind, bytes(length)) if number == 1 else packed
    return hook


def frames(number, packed):
    """Two frames, the first of which alone gives what the chunk should."""
    return compress(ZSTD, bytes(4 * PAGE)) + compress(ZSTD, b"x") if number == 1 else packed


def rubbish(number, packed):
    return b"\x55" * 100 if number == 1 else packed


def cut_last(data):
    return data[:-1]


def longer(data):
    return data + b"\0"


STRUCTURES = "image header and structures"
# Name, change, error, structure: written by somebody who has the key.
BAD = [
    ("version", hooked("header_hook", field(8, "<H", 2)), EVERSION, "image header"),
    ("compatible", hooked("header_hook", field(12, "<H", 1)), EVERSION, "image header"),
    ("header-length", hooked("header_hook", field(14, "<H", 520)), ELENGTH, "image header"),
    ("total", hooked("header_hook", field(16, "<Q", 100)), ELENGTH, "image header"),
    ("total-more", hooked("header_hook", field(16, "<Q", 1 << 40)), ETRUNC, "image"),
    ("protection", hooked("header_hook", field(24, "<I", 3)), EUNSUPPORTED, "image header"),
    ("compression", hooked("header_hook", field(28, "<I", 3)), EUNSUPPORTED, "image header"),
    ("chunk-zero", hooked("header_hook", field(32, "<I", 0)), ELENGTH, "image header"),
    ("chunk-odd", hooked("header_hook", field(32, "<I", 12)), ELENGTH, "image header"),
    ("chunk-large", hooked("header_hook", field(32, "<I", 2048)), ELENGTH, "image header"),
    ("vcpus-none", hooked("header_hook", field(36, "<I", 0)), ELENGTH, "image header"),
    ("content-none", hooked("header_hook", field(40, "<Q", 0)), ELENGTH, "image header"),
    ("content-more", hooked("header_hook", field(40, "<Q", 59)), ECONSISTENT, "runs"),
    ("content-huge", hooked("header_hook", field(40, "<Q", 1 << 60)), ELENGTH, "image header"),
    ("chunks-more", hooked("header_hook", field(48, "<Q", 16)), ECONSISTENT, "image header"),
    ("reserved", hooked("header_hook", field(56, "<Q", 1)), ERESERVED, "image header"),
    ("reserved-end", hooked("header_hook", field(511, "<B", 1)), ERESERVED, "image header"),
    ("host-gap", hooked("header_hook", field(112, "<Q", 513)), ECONSISTENT, "image header"),
    ("host-huge", hooked("header_hook", field(120, "<Q", 1 << 63)), ELENGTH, "image header"),
    ("devices-huge", hooked("header_hook", field(168, "<Q", (1 << 64) - 1)), ELENGTH,
     "image header"),
    ("structures-huge", hooked("header_hook", field(216, "<Q", 1 << 62)), ELENGTH, "image header"),
    ("data-more", hooked("header_hook", field(232, "<Q", 1)), ECONSISTENT, "image header"),
    ("part-overlap", hooked("header_hook", field(256, "<Q", 8)), ECONSISTENT, "image header"),
    ("part-long", hooked("header_hook", field(312, "<Q", 1 << 20)), ELENGTH, "image header"),
    ("padding", padding, ERESERVED, "image structures"),
    ("map-order", word(2, 16, 0), EORDER, "memory map"),
    ("map-touch", word(2, 16, 160), EORDER, "memory map"),
    ("map-empty", word(2, 8, 0), ELENGTH, "memory map"),
    ("map-wrap", word(2, 40, (1 << 64) - 1), ELENGTH, "memory map"),
    ("run-order", word(3, 24, 1), EORDER, "runs"),
    ("run-touch", word(3, 24, 2), EORDER, "runs"),
    ("run-outside", word(3, 3 * 24, 170), ECONSISTENT, "runs"),
    ("run-across", word(3, 3 * 24, 255), ECONSISTENT, "runs"),
    ("run-content", word(3, 24 + 16, 2), EORDER, "runs"),
    ("run-empty", word(3, 8, 0), ELENGTH, "runs"),
    ("run-huge", word(3, 8, 1 << 39), ECONSISTENT, "runs"),
    ("index-swapped", hooked("index_hook", swap), EORDER, "chunk index"),
    ("index-repeated", hooked("index_hook", repeat), EORDER, "chunk index"),
    ("index-overlap", hooked("index_hook", overlap), EORDER, "chunk index"),
    ("index-long", hooked("index_hook", lengthen), ELENGTH, "chunk index"),
    ("index-empty", hooked("index_hook", empty), ELENGTH, "chunk index"),
    ("index-reserved", hooked("index_hook", reserve), ERESERVED, "chunk index"),
    ("change-order", word(5, 24, 13), EORDER, "changes"),
    ("change-outside", word(5, 64, 650), ECONSISTENT, "changes"),
    ("change-huge", word(5, 64, (1 << 64) - 1), ECONSISTENT, "changes"),
    ("change-removed", word(5, 64 + 8, 51, "<I"), ECONSISTENT, "changes"),
    ("change-added", word(5, 64 + 12, 1, "<I"), ELENGTH, "changes"),
    ("change-added-huge", word(5, 12, (1 << 32) - 1, "<I"), ELENGTH, "changes"),
    ("change-empty", word(5, 64 + 8, 0, "<I"), ELENGTH, "changes"),
    ("change-padding", word(5, 20, 1, "<B"), ERESERVED, "changes"),
    ("change-rest", hooked("header_hook", field(328, "<Q", 88)), ELENGTH, "changes"),
    ("tags-swapped", hooked("index_hook", swap_tags), EAUTH, "chunk"),
    ("bomb", hooked("chunk_hook", bomb(LZ4, 256 * PAGE)), EDATA, "chunk"),
    ("short", hooked("chunk_hook", bomb(LZ4, 100)), EDATA, "chunk"),
    ("rubbish", hooked("chunk_hook", rubbish), EDATA, "chunk"),
    ("cut", hooked("bytes_hook", cut_last), ETRUNC, "image"),
    ("longer", hooked("bytes_hook", longer), ELENGTH, "image"),
]
BAD_ZSTD = [
    ("zstd-bomb", hooked("chunk_hook", bomb(ZSTD, 64 << 20)), EDATA, "chunk"),
    ("zstd-short", hooked("chunk_hook", bomb(ZSTD, 100)), EDATA, "chunk"),
    ("zstd-frames", hooked("chunk_hook", frames), EDATA, "chunk"),
    ("zstd-rubbish", hooked("chunk_hook", rubbish), EDATA, "chunk"),
]


def samples(directory):
    os.makedirs(directory, exist_ok=True)
    cases = []

    def put(name, data, key, error, where="-"):
        with open(os.path.join(directory, name + ".rsm"), "wb") as file:
            file.write(data)
        cases.append(f"{name}.rsm\t{key.hex() if key else '-'}\t{error}\t{where}\n")

    for key in (KEY, None):
        for name, kind in (("none", NONE), ("lz4", LZ4), ("zstd", ZSTD)):
            put(("sealed-" if key else "plain-") + name, Image(key, kind).build(), key, OK)
    for name, kind in (("none", NONE), ("lz4", LZ4), ("zstd", ZSTD)):
        put("sealed-aes-" + name, Image(compression=kind, protection=AES_256_GCM).build(), KEY, OK)
    put("sealed-again", Image(salt=bytes(range(7, 39))).build(), KEY, OK)
    put("sealed-wide", Image(compression=ZSTD, chunk_pages=1024).build(), KEY, OK)
    single = Image()
    single.runs, single.map = [(3, 1)], [(3, 1)]
    put("sealed-single", single.build(), KEY, OK)
    put("wrong-key", Image().build(), bytes(32), EKEY, "image header")
    for table, kind in ((BAD, LZ4), (BAD_ZSTD, ZSTD)):
        for name, change, error, where in table:
            for key in (KEY, None):
                image = Image(key, kind)
                change(image)
                expected = error if key else {EAUTH: ECRC}.get(error, error)
                put(("bad-" if key else "bad-plain-") + name, image.build(), key, expected, where)
    uncompressed = Image(compression=NONE)
    uncompressed.chunk_hook = rubbish
    put("bad-none-stored", uncompressed.build(), KEY, ECONSISTENT, "chunk index")
    stateless = Image()
    stateless.state = b""
    put("bad-no-state", stateless.build(), KEY, EMISSING, "image structures")
    unchanged = Image()
    unchanged.changes = []
    put("sealed-unchanged", unchanged.build(), KEY, OK)
    magic = Image()
    magic.header_hook = field(0, "<B", 0)
    put("bad-magic", magic.build(), KEY, EMAGIC, "image header")
    # The same bytes, said to be another cipher's.
    for name, claimed, made in (("aes-claimed", AES_256_GCM, CHACHA20_POLY1305),
                                ("chacha-claimed", CHACHA20_POLY1305, AES_256_GCM)):
        claim = Image(protection=made)
        claim.header_hook = field(24, "<I", claimed)
        put("bad-" + name, claim.build(), KEY, EAUTH, STRUCTURES)
    check = Image(None)
    check.header_hook = field(100, "<B", 1)
    put("bad-plain-check", check.build(), None, ERESERVED, "image header")
    with open(os.path.join(directory, "cases"), "w", encoding="ascii") as file:
        file.writelines(cases)


def pages_of(stream):
    """{(block, offset): page} of QEMU's stream, and the offset of what follows the RAM."""
    at = stream.index(b"\x03ram") + 4 + 8
    blocks, pages, block, at = {}, {}, None, at
    while True:
        word = struct.unpack_from(">Q", stream, at)[0]
        offset, flags = word & ~0xfff, word & 0xfff
        at += 8
        if flags == 0x04:  # the list of blocks, all of them of `offset` bytes together
            total = 0
            while total < word - flags:
                length = stream[at]
                name = stream[at + 1:at + 1 + length].decode()
                blocks[name] = struct.unpack_from(">Q", stream, at + 1 + length)[0]
                total += blocks[name]
                at += 1 + length + 8
            continue
        if flags == 0x10:
            if stream[at] == 0x7e:
                at += 5
            if stream[at] not in (2, 3) or stream[at + 1:at + 5] != stream[at - 4:at]:
                return pages, blocks, at
            at += 5
            continue
        if not flags & 0x20:
            block = stream[at + 1:at + 1 + stream[at]].decode()
            at += 1 + stream[at]
        if flags & 0x08:
            pages[block, offset] = stream[at:at + PAGE]
            at += PAGE
        elif flags & 0x02:
            pages[block, offset] = stream[at:at + 1] * PAGE
            at += 1
        else:
            sys.exit(f"image_oracle.py: flags {flags:#x} in the stream")


def sections_of(stream):
    """Names of the devices that the description at the end of a stream lists, with their instances."""
    text = stream[stream.rindex(b"\x06", 0, stream.rindex(b'"devices"')) + 5:]
    return [(device["name"], device["instance_id"]) for device in json.loads(text)["devices"]]


def compare(snapshot, image, key):
    def load(name):
        with open(os.path.join(snapshot, name), "rb") as file:
            return file.read()

    with open(image, "rb") as file:
        pages, (host, devices, state, plan, ranges, changes) = read(file.read(), key)
    facts, manifest = json.loads(host), json.loads(load("manifest.json"))
    stream = load("stream")
    source, blocks, tail = pages_of(stream)
    kept, kept_blocks, kept_tail = pages_of(devices)
    assert state == load("state.rsm") and plan == load("plan.rsm"), "state or plan differ"
    assert facts["kind"] == "libresume image" and "files" not in facts, "facts of the host"
    assert facts["machine"] == manifest["machine"], "machine"
    assert kept_blocks == blocks, "the device part has other blocks"
    assert not changes or changes[0][0] >= kept_tail, "a change before the device sections"
    assert apply(changes, devices)[kept_tail:] == stream[tail:], "what the changes give"
    wanted, places = {}, set()
    for entry in facts["machine"]["memory_map"]:
        base, length, offset = (int(entry[name], 16) for name in ("base", "length", "offset"))
        if entry["kind"] != "ram" or entry["block"] != "pc.ram":
            continue
        for at in range(0, length, PAGE):
            if 0xa0000 <= base + at < 0x100000:
                continue
            places.add(("pc.ram", offset + at))
            page = source.get(("pc.ram", offset + at), bytes(PAGE))
            if page != bytes(PAGE):
                wanted[(base + at) // PAGE] = page
    assert pages == wanted, "pages differ"
    mapped = {page for first, count in ranges for page in range(first, first + count)}
    assert len(mapped) == len(places) and set(pages) <= mapped, "memory map"
    left = {place: page for place, page in source.items() if place not in places}
    assert kept == left, "the device part has other pages"
    vcpus = [section for section in sections_of(stream) if section[0] == "cpu"]
    hidden = [section for i, section in enumerate(vcpus) if i not in facts["dormant"]]
    assert sections_of(devices) == [s for s in sections_of(stream) if s not in hidden], "devices"
    print(f"{len(pages)} pages, {len(kept)} of the host's, {len(hidden)} vCPUs hidden")


def same(left, right):
    found = []
    for name in (left, right):
        with open(name, "rb") as file:
            stream = file.read()
        pages, blocks, tail = pages_of(stream)
        begin = stream.index(b"\x03ram")
        # Pages that are not there are zero.
        pages = {place: page for place, page in pages.items() if page != bytes(PAGE)}
        found.append((stream[:begin], list(blocks.items()), pages, stream[tail:]))
    for name, one, other in zip(("header", "RAM blocks", "pages", "device sections or description"),
                                *found):
        assert one == other, f"{name} differ"
    print(f"{len(found[0][2])} pages that are not zero, and {len(found[0][3])} bytes behind them")


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "samples":
        samples(sys.argv[2])
    elif len(sys.argv) in (4, 5) and sys.argv[1] == "compare":
        key = None
        if len(sys.argv) == 5:
            with open(sys.argv[4], "rb") as file:
                key = file.read()
        compare(sys.argv[2], sys.argv[3], key)
    elif len(sys.argv) == 4 and sys.argv[1] == "same":
        same(sys.argv[2], sys.argv[3])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
