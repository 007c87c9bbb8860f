"""The one import of the guest that is not WASI: what it asks of this process and of the server."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable

from ..errors import SandboxError
from ._channel import MAX_BODY, Header
from ._interrupt import Interrupter, StopPoint
from ._lockdown import size_and_mtime
from ._memory import Memory

_ASCII_STEP = 1 << 20


class Door:
    """Answers the guest while one of its turns runs; see `rlm_guest._door` for what it asks.

    Args:
        ask: sends a call to the server and waits for the answer: its header, its body, and the
            descriptors that came with it.
        interrupter: stops the turn; it reaches the code that the guest says it runs.
    """

    def __init__(
        self, ask: Callable[[bytes], tuple[Header, bytes, list[int]]], interrupter: Interrupter
    ) -> None:
        self._ask = ask
        self._interrupter = interrupter
        self._open: Memory | None = None
        self._stop: StopPoint | None = None
        self._request = b""
        self.result: bytes | None = None
        """What the guest handed in during the turn."""
        self._input = self._output = -1
        self._slots: dict[int, int] = {}
        """Descriptors of files that the guest reads parts of, by the number that the server
        gave each."""

    def hand(self, source: int, target: int) -> None:
        """Give the next turn a file to read from and one to write to; -1 for none."""
        self._input, self._output = source, target

    def begin(self, memory: Memory, stop: StopPoint | None, request: bytes) -> None:
        """Open for a turn.

        Args:
            memory: of the guest.
            stop: where its code is stopped.
            request: what the turn is to do.
        """
        self._open, self._stop = memory, stop
        self._request, self.result = request, None

    def end(self) -> None:
        """Close after a turn, and what was handed to it."""
        self._interrupter.disarm()
        self._open = None
        for descriptor in (self._input, self._output):
            if descriptor >= 0:
                os.close(descriptor)
        self._input = self._output = -1
        for descriptor in self._slots.values():
            os.close(descriptor)
        self._slots.clear()

    def answer(self, frame: bytes) -> bytes | None:
        """Answer what the guest asks; `None` for what cannot be answered."""
        try:
            return self._answer(frame[:1], frame[1:])
        except (struct.error, IndexError, KeyError, OverflowError, OSError):
            return None

    @property
    def _memory(self) -> Memory:
        if self._open is None:
            raise SandboxError("no turn runs in this worker")
        return self._open

    def _answer(self, kind: bytes, body: bytes) -> bytes | None:
        if kind == b"N":
            return self._request
        if kind == b"R":
            self.result = body if len(body) <= MAX_BODY else None
        elif kind == b"A":
            self._interrupter.arm(self._memory, self._stop)
        elif kind == b"Q":
            self._interrupter.disarm()
        elif kind == b"I":
            return self._read(self._input, *struct.unpack("<IIQ", body))
        elif kind == b"O":
            self._memory.write_file(self._output, [struct.unpack("<II", body)])
        elif kind == b"W":
            self._memory.wipe(*struct.unpack("<II", body))
        elif kind == b"C":
            return self._call(body)
        elif kind == b"V":
            slot, address, length, offset = struct.unpack("<IIIQ", body)
            return self._read_slot(self._slots[slot], address, length, offset)
        else:
            return None
        return b""

    def _call(self, body: bytes) -> bytes:
        if len(body) > MAX_BODY:
            return b'{"refused": "the call is over 64 MB: send less at once"}'
        header, answer, descriptors = self._ask(body)
        for descriptor in descriptors:
            self._keep(int(header["slot"]), descriptor)
        return answer

    def _keep(self, slot: int, descriptor: int) -> None:
        """Take a file that the guest asked for; it is open until the turn ends."""
        before = self._slots.pop(slot, -1)
        if before >= 0:
            os.close(before)
        self._slots[slot] = descriptor

    def _read_slot(self, descriptor: int, address: int, length: int, offset: int) -> bytes:
        """Read a part of a view's file; the answer also says what the file is like afterwards."""
        found = self._read(descriptor, address, length, offset)
        return found + struct.pack("<qq", *size_and_mtime(descriptor))

    def _read(self, descriptor: int, address: int, length: int, offset: int) -> bytes:
        memory, done, is_ascii = self._memory, 0, True
        while done < length:
            part = min(_ASCII_STEP, length - done)
            read = memory.read_file(descriptor, offset + done, address + done, part)
            if is_ascii:
                is_ascii = memory.read(address + done, read).isascii()
            done += read
            if read < part:
                break
        return struct.pack("<I?", done, is_ascii)
