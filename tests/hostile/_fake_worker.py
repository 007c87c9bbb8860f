"""A worker that breaks the rules of the channel: run in the place of a true one.

It is started as the true one is; the environment cannot tell it how to behave, since it has
none, so the test writes that into the script that it starts.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from typing import Any

from rlm_mcp.worker._channel import PREFIX, WorkerChannel

HUGE = 0xFFFFFFFF


class Fake:
    """One end of a channel, and what may be done with it."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.channel = WorkerChannel(connection)
        self.scratch = -1

    def serve(self, how: str) -> None:
        """Behave well until the moment comes, then do what is said."""
        moment, _, deed = how.partition(": ")
        self.channel.receive()
        if moment == "start":
            self.do(deed, 0)
        self.channel.send({"t": "ready", "walls": ["seccomp"], "exact": True})
        while True:
            header, _, descriptors = self.channel.receive()
            kind, number = header["t"], header.get("id", 0)
            if kind == "open":
                self.scratch = descriptors[0]
            if kind == moment:
                self.do(deed, number)
            elif kind == "turn":
                self.reply(number, b'{"output": "", "total": 0}')
            elif kind == "collect":
                self.collected(number, [(0, 1)])
            elif kind not in ("interrupt", "answer"):
                self.reply(number)

    def reply(self, number: int, body: bytes = b"", **fields: Any) -> None:
        self.channel.send({"re": number, **fields}, body)

    def collected(self, number: int, runs: list[tuple[int, int]], **fields: Any) -> None:
        os.ftruncate(self.scratch, 4096)
        body = b"".join(struct.pack("<II", *run) for run in runs)
        self.reply(number, body, **{"size": 1 << 28, "mono": 5, **fields})

    def do(self, deed: str, number: int) -> None:
        send = self.socket.sendall
        if deed == "die":
            os._exit(1)
        elif deed == "close":
            self.socket.shutdown(socket.SHUT_RDWR)
            time.sleep(60)
        elif deed == "say nothing":
            time.sleep(60)
        elif deed == "half a frame":
            send(PREFIX.pack(100, 100) + b"{")
            time.sleep(60)
        elif deed == "huge header":
            send(PREFIX.pack(HUGE, 0))
        elif deed == "huge body":
            send(PREFIX.pack(2, HUGE) + b"{}")
        elif deed == "no JSON":
            send(PREFIX.pack(5, 0) + b"\xff{{{{")
        elif deed == "no object":
            send(PREFIX.pack(2, 0) + b"[]")
        elif deed == "deep":
            send(PREFIX.pack(60_000, 0) + b"[" * 60_000)
        elif deed == "number":
            send(PREFIX.pack(60_000, 0) + b"9" * 60_000)
        elif deed == "to nothing":
            self.channel.send({"re": 12345})
        elif deed == "to itself":
            values: list[object] = [[], {}, "1", True, None, -1, 1.5]
            for value in values:
                self.channel.send({"re": value})
        elif deed == "twice":
            self.reply(number, b"{}")
            self.reply(number, b"{}")
        elif deed == "calls":
            for _ in range(3):
                self.channel.send({"t": "call"}, b'{"op": "x"}')
        elif deed == "calls and replies":
            self.channel.send({"t": "call"}, b'{"op": "sub_llm", "requests": [{"prompt": "slow"}]}')
            self.reply(number, b"{}")
        elif deed == "calls and never reads":
            while True:
                self.channel.send({"t": "call"}, b'{"op": "' + b"x" * 1000 + b'"}')
        elif deed == "failed of every type":
            self.reply(number, failed=[[[{"a": [1]}]]], stray=5)
        elif deed == "an error of every type":
            self.reply(number, error={"a": "x" * 1000})
        elif deed == "results of every type":
            self.reply(number, b'{"output": {}, "total": [], "changes": {"a": 1}, "notes": "abc"}')
        elif deed == "result of 60 MB":
            self.reply(number, b'{"output": [' + b"[]," * 20_000_000 + b"0]}")
        elif deed == "descriptors":
            for _ in range(100):
                socket.send_fds(self.socket, [b"\x02"], [self.scratch] * 100)
        elif deed == "runs that overlap":
            self.collected(number, [(0, 3), (2, 3)])
        elif deed == "runs out of order":
            self.collected(number, [(9, 1), (2, 1)])
        elif deed == "runs beyond the end":
            self.collected(number, [(HUGE, HUGE)])
        elif deed == "empty runs":
            self.collected(number, [(0, 0)])
        elif deed == "eight million runs":
            self.reply(number, struct.pack("<II", 0, 1) * 8_000_000, size=1 << 28, mono=5)
        elif deed == "half a run":
            self.reply(number, b"abc", size=1 << 28, mono=5)
        elif deed == "no size":
            self.reply(number)
        elif deed.startswith("size "):
            size = {"text": "5", "true": True, "huge": 1 << 62, "none": 0, "less": 1 << 20,
                    "odd": (1 << 28) + 1, "more": 4 << 30}[deed[5:]]  # fmt: skip
            self.reply(number, size=size, mono=5)
        elif deed == "clock":
            self.reply(number, size=1 << 28, mono=-(1 << 70))
        elif deed == "short scratch":
            self.collected(number, [(0, 1000)])
        elif deed == "scratch cut while it is read":
            os.ftruncate(self.scratch, 200 << 20)
            body = struct.pack("<II", 0, 50_000)
            self.reply(number, body, size=1 << 28, mono=5)
            os.ftruncate(self.scratch, 0)
        else:
            raise AssertionError(deed)


def main(how: str) -> None:
    fake = Fake(socket.socket(fileno=int(sys.argv[1])))
    try:
        fake.serve(how)
    except (OSError, EOFError):
        os._exit(0)
