# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A host that serves a disk as it likes: an NBD server on a unix socket, which QEMU reads from. What it
serves may depend on how often it has been asked."""

import re
import socket
import struct
import threading

SECTOR = 512
MAGIC, OPTION, REPLY = 0x4e42444d41474943, 0x49484156454f5054, 0x3e889045565a9
GO, INFO, ABORT = 7, 6, 2
ACK, EXPORT, UNSUPPORTED = 1, 3, 0x80000001
REQUEST, SIMPLE_REPLY = 0x25609513, 0x67446698
READ, DISCONNECT = 0, 2
EIO = 5


class Host:
    """Serves `data`. policy(run, request, counts, offset, bytes) returns the bytes to serve, or None: an
    error. run: of the application's runs, by its log; request: number of the reading in this run, from 1;
    counts: how often each sector has been read in this run, this reading included."""

    def __init__(self, path, data, log, policy):
        self.data, self.log, self.policy = data, log, policy
        self.run = self.requests = 0
        self.counts = [0] * (len(data) // SECTOR)
        self.readings = {}  # run -> counts at its end
        self.problem = None
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(4)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            with connection, connection.makefile("rb") as file:
                self._negotiate(connection, file)
                self._transmit(connection, file)
        except (OSError, struct.error):
            pass  # QEMU has ended
        except Exception as problem:  # shown by the case
            self.problem = repr(problem)

    def _negotiate(self, connection, file):
        connection.sendall(struct.pack(">QQH", MAGIC, OPTION, 3))
        file.read(4)
        while True:
            _, option, length = struct.unpack(">QII", file.read(16))
            file.read(length)
            answer = lambda kind, data=b"": connection.sendall(
                struct.pack(">QIII", REPLY, option, kind, len(data)) + data)
            if option in (GO, INFO):
                answer(EXPORT, struct.pack(">HQH", 0, len(self.data), 3))
                answer(ACK)
                if option == GO:
                    return
            elif option == ABORT:
                answer(ACK)
                raise OSError
            else:
                answer(UNSUPPORTED)

    def _transmit(self, connection, file):
        while True:
            _, _, kind, handle, offset, length = struct.unpack(">IHHQQI", file.read(28))
            if kind == DISCONNECT:
                return
            data = self._read(offset, length) if kind == READ else b""
            header = struct.pack(">IIQ", SIMPLE_REPLY, 0 if data is not None else EIO, handle)
            connection.sendall(header + (data or b""))

    def _read(self, offset, length):
        self._look_at_run()
        self.requests += 1
        for sector in range(offset // SECTOR, -(-(offset + length) // SECTOR)):
            self.counts[sector] += 1
        return self.policy(self.run, self.requests, self.counts, offset,
                           self.data[offset:offset + length])

    def _look_at_run(self):
        """What the application has said by now: it says so before it reads."""
        with open(self.log, encoding="latin-1") as file:
            text = file.read()
        runs = re.findall(r"^libresume: test: run (\d+): (?!status)", text, re.M)
        run = int(runs[-1]) if runs else 0
        if run != self.run:
            self.readings[self.run] = self.counts
            self.run, self.requests, self.counts = run, 0, [0] * len(self.counts)


def garbage(data):
    return bytes(byte ^ 0x5a for byte in data)
