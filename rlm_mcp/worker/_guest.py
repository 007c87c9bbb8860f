"""The guest of a worker: its instance, its turns, and its way back to the last commit."""

from __future__ import annotations

import json
import struct
from dataclasses import astuple

from wasmtime import Engine, Module, Trap, WasmtimeError

from ..errors import SandboxError
from ._backing import Backing
from ._channel import Header
from ._door import Door
from ._files import GuestFiles
from ._instance import Instance
from ._interrupt import StopPoint, find_stop_point, make_immortal
from ._layout import Layout, unpack
from ._pages import DirtyPages
from ._wasi import GuestExitError

_ENTRY_SOURCE = "_rlm_turn_()"
_CHECKED = b"{}"
_ROOM = 4 << 20
"""Bytes that the memory can still grow by where there is room for another turn without a look."""


class Guest:
    """The space that this worker runs. Used by one thread, but for `wake`.

    What its methods take and return are frames of the channel: a header, and bytes.

    Args:
        engine: from `make_engine`.
        module: the compiled guest.
        files: what the guest can open.
        dirty: tells which pages were written.
        door: answers the guest.
    """

    def __init__(
        self, engine: Engine, module: Module, files: GuestFiles, dirty: DirtyPages, door: Door
    ) -> None:
        self._engine = engine
        self._module = module
        self._files = files
        self._door = door
        self._backing = Backing(dirty)
        self._instance: Instance | None = None
        self._prepared: Instance | None = None
        self._stop: StopPoint | None = None
        self._limit = 0
        self._mono = 0

    def wake(self) -> None:
        """End a sleep of the guest early."""
        self._running.wasi.wake()

    @property
    def _running(self) -> Instance:
        if self._instance is None:
            raise SandboxError("no space is open in this worker")
        return self._instance

    def prepare(self) -> None:
        """Make an instance before it is needed."""
        self._prepared = Instance(self._engine, self._module, self._files, self._door.answer)

    def open(self, header: Header, body: bytes, descriptors: list[int]) -> Header:
        """Map a space: its files are the descriptors after the first, which takes commits."""
        size = int(header["size"])
        self._limit = int(header["limit"])
        stop = header["stop"]
        self._stop = StopPoint(*stop) if stop else None
        self._mono = int(header["mono"])
        self._backing.open(size, Layout(unpack(body)), descriptors[0], descriptors[1:])
        self._reopen()
        return {}

    def _reopen(self) -> None:
        """Take a fresh instance and map the last commit over its memory."""
        mono = self._mono
        if self._instance is not None:
            self._instance.close()
            self._instance = None
        if self._prepared is None:
            self.prepare()
        instance, self._prepared = self._prepared, None
        assert instance is not None
        instance.limit_memory(self._limit)
        instance.grow_to(self._backing.size)
        self._backing.map_over(instance.memory)
        instance.wasi.monotonic_offset = max(0, mono - instance.wasi.monotonic_ns())
        self._instance = instance

    # Turns ---------------------------------------------------------------------------------

    def turn(self, header: Header, request: bytes, descriptors: list[int]) -> tuple[Header, bytes]:
        """Run one turn; the result is what the guest handed in.

        The descriptors are of a file to read and of one to write, as the header says. Where it
        says `check`, a turn is lost that leaves no other possible.
        """
        source = descriptors.pop(0) if header.get("input") else -1
        target = descriptors.pop(0) if header.get("output") else -1
        self._door.hand(source, target)
        answer, result = self._run(request)
        if header.get("check") and "failed" not in answer:
            # What the code left behind may stop every turn after it: it is not committed.
            answer, checked = self._check()
            if "failed" not in answer and checked != _CHECKED:
                answer = {"failed": "unusable"}
            elif answer.get("failed") == "broken":
                answer["failed"] = "unusable"
        return answer, b"" if "failed" in answer else result

    def install(self, header: Header, body: bytes) -> tuple[Header, bytes]:
        """Replace the project's code in the guest; the reply says where code is stopped now."""
        answer, result = self._run(body, str(header["source"]))
        if "failed" in answer:
            return answer, b""
        installed = json.loads(result)
        memory = self._running.memory
        self._stop = find_stop_point(memory, installed["exception"])
        if self._stop is not None:
            make_immortal(memory, installed["exception"], installed["immortal"])
        return {"stop": astuple(self._stop) if self._stop else None}, b""

    def _check(self) -> tuple[Header, bytes]:
        """Run the turn that shows whether another can be run."""
        full = self._running.memory.size + _ROOM > self._limit
        return self._run(json.dumps({"op": "check", "full": full}).encode())

    def _run(self, request: bytes, source: str = _ENTRY_SOURCE) -> tuple[Header, bytes]:
        instance, door = self._running, self._door
        door.begin(instance.memory, self._stop, request)
        try:
            try:
                status = instance.turn(source)
            finally:
                door.end()
                instance.wasi.clear_wake()
        except Exception as error:  # of ours too: it ended the turn halfway
            stray = bytes(instance.wasi.stray).decode(errors="replace").strip()
            return {"failed": _cause(error), "stray": stray[-1000:]}, b""
        if status != 0 or door.result is None:
            stray = bytes(instance.wasi.stray).decode(errors="replace").strip()
            instance.wasi.stray.clear()
            return {"failed": "broken", "stray": stray[-1000:]}, b""
        return {}, door.result

    # Commits -------------------------------------------------------------------------------

    def collect(self) -> tuple[Header, bytes]:
        """Write the pages that differ from the last commit to the file that takes commits."""
        instance = self._running
        collected = self._backing.collect(instance.memory)
        self._mono = instance.wasi.monotonic_ns()
        pages = sum(count for _, count in collected)
        header = {"pages": pages, "size": instance.memory.size, "mono": self._mono}
        return header, b"".join(struct.pack("<II", *run) for run in collected)

    def adopt(self, header: Header, descriptors: list[int]) -> Header:
        """The pages last collected are committed, in a file that may be new."""
        number, origin = int(header["file"]), int(header["origin"])
        mappings = self._backing.adopt(self._running.memory, number, origin, descriptors)
        return {"mappings": mappings}

    def discard(self) -> Header:
        """Go back to the last commit, from between two turns."""
        instance = self._instance
        if instance is not None:
            self._mono = max(self._mono, instance.wasi.monotonic_ns())
        if instance is not None and self._backing.map_written(instance.memory):
            instance.wasi.forget_files()
        else:
            self._reopen()
        return {}


def _cause(error: Exception) -> str:
    if isinstance(error, GuestExitError):
        return f"exit {error.code}"
    if not isinstance(error, Trap | WasmtimeError):
        return f"trap: {type(error).__name__} in the host"
    text = str(error)
    return "stack" if "call stack exhausted" in text else f"trap: {text.splitlines()[-1][:300]}"
