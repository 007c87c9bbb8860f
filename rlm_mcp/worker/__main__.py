"""A worker: one process that runs the guest of one space, `python -m rlm_mcp.worker`.

It is started with an empty environment and a socket, maps the compiled guest, gives up every
right it does not need, and then does what the server says. Its main thread reads the channel,
so that an interrupt or an answer arrives while the guest runs; everything that touches the
guest happens on one other thread, in order.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import socket
import struct
import sys
import threading
from dataclasses import astuple
from pathlib import Path

from wasmtime import Engine, Module, Trap, WasmtimeError

from ..errors import SandboxError
from ._channel import MAX_BODY, Header, WorkerChannel
from ._engine import THREAD_STACK, load_module, make_engine
from ._files import GuestFiles
from ._instance import Instance
from ._interrupt import Interrupter, StopPoint, find_stop_point, make_immortal
from ._layout import Layout, Run, unpack
from ._lockdown import lock_down, size_and_mtime
from ._memory import PAGE, Memory
from ._pages import DirtyPages, compare_pages
from ._wasi import GuestExitError

MAX_MAPPINGS = 24_000
"""Runs mapped for one memory before short ones are copied instead. The kernel's default limit
is 65,530, and splitting a mapping costs two."""
SHORT_RUN = 16
MAX_SAME = 8192
"""Pages that were written and ended as before, after which they are mapped again: reading
objects counts references to them, and what is compared at each commit takes time and memory."""
MAX_CRUMBS = 2048
"""Pages in short runs that stay private copies after a commit. Much the same few hundred pages
are written by every execution; mapping them each time costs more than comparing them again."""
_ENTRY_SOURCE = "_rlm_turn_()"
_CHECKED = b"{}"
_ROOM = 4 << 20
"""Bytes that the memory can still grow by where there is room for another turn without a look."""
_ASCII_STEP = 1 << 20
MAX_SLOTS = 64
"""Files of views that a guest has open during a turn."""
_IOV_MAX = 512


class _Guest:
    """The space that this worker runs: its instance, and what its memory is mapped from."""

    def __init__(self, worker: _Worker) -> None:
        self._worker = worker
        self._instance: Instance | None = None
        self._prepared: Instance | None = None
        self._stop: StopPoint | None = None
        self._layout = Layout()
        self._size = 0
        self._limit = 0
        self._files: list[int] = []
        self._scratch = -1
        self._collected: list[tuple[int, int]] = []
        self._crumbs: set[int] = set()
        self._mono = 0
        self.input = -1
        self.output = -1
        self.slots: dict[int, int] = {}
        """Descriptors of files that the guest reads parts of, by the number it chose."""

    @property
    def instance(self) -> Instance:
        if self._instance is None:
            raise SandboxError("no space is open in this worker")
        return self._instance

    def open(self, header: Header, body: bytes, descriptors: list[int]) -> Header:
        """Map a space: its files are the descriptors after the first, which takes commits."""
        self._size = int(header["size"])
        self._limit = int(header["limit"])
        stop = header["stop"]
        self._stop = StopPoint(*stop) if stop else None
        self._mono = int(header["mono"])
        for file in self._files:
            os.close(file)
        if self._scratch >= 0:
            os.close(self._scratch)
        self._scratch = descriptors[0]
        self._files = descriptors[1:]
        self._layout = Layout(unpack(body))
        self.reopen()
        return {}

    def prepare(self) -> None:
        """Make an instance before it is needed."""
        worker = self._worker
        self._prepared = Instance(worker.engine, worker.module, worker.files, worker.answer_guest)

    def reopen(self) -> None:
        """Take a fresh instance and map the last commit over its memory."""
        mono = self._mono
        self._crumbs.clear()
        if self._instance is not None:
            self._instance.close()
            self._instance = None
        if self._prepared is None:
            self.prepare()
        instance, self._prepared = self._prepared, None
        assert instance is not None
        instance.limit_memory(self._limit)
        instance.grow_to(self._size)
        mappings = len(self._layout)
        for run in self._layout:
            descriptor = self._files[run.file]
            address, length = run.page * PAGE, run.count * PAGE
            if mappings > MAX_MAPPINGS and run.count < SHORT_RUN:
                instance.memory.read_file(descriptor, run.origin * PAGE, address, length)
            else:
                instance.memory.map_file(descriptor, run.origin * PAGE, address, length)
        instance.wasi.monotonic_offset = max(0, mono - instance.wasi.monotonic_ns())
        self._instance = instance

    def install(self, header: Header, body: bytes) -> tuple[Header, bytes]:
        """Replace the project's code in the guest; the reply says where code is stopped now."""
        answer, result = self.turn(body, str(header["source"]))
        if "failed" in answer:
            return answer, b""
        installed = json.loads(result)
        memory = self.instance.memory
        self._stop = find_stop_point(memory, installed["exception"])
        if self._stop is not None:
            make_immortal(memory, installed["exception"], installed["immortal"])
        return {"stop": astuple(self._stop) if self._stop else None}, b""

    def turn(self, request: bytes, source: str = _ENTRY_SOURCE) -> tuple[Header, bytes]:
        """Run one turn; the result is what the guest handed in."""
        worker = self._worker
        worker.request, worker.result = request, None
        instance = self.instance
        try:
            try:
                status = instance.turn(source)
            finally:
                worker.interrupter.disarm()
                instance.wasi.clear_wake()
                self._close_descriptors()
        except Exception as error:  # of ours too: it ended the turn halfway
            stray = bytes(instance.wasi.stray).decode(errors="replace").strip()
            return {"failed": _cause(error), "stray": stray[-1000:]}, b""
        if status != 0 or worker.result is None:
            stray = bytes(instance.wasi.stray).decode(errors="replace").strip()
            instance.wasi.stray.clear()
            return {"failed": "broken", "stray": stray[-1000:]}, b""
        return {}, worker.result

    def check(self) -> tuple[Header, bytes]:
        """Run the turn that shows whether another can be run."""
        full = self.instance.memory.size + _ROOM > self._limit
        return self.turn(json.dumps({"op": "check", "full": full}).encode())

    def _close_descriptors(self) -> None:
        for descriptor in (self.input, self.output):
            if descriptor >= 0:
                os.close(descriptor)
        self.input = self.output = -1
        for descriptor in self.slots.values():
            os.close(descriptor)
        self.slots.clear()

    def keep(self, slot: int, descriptor: int) -> None:
        """Take a file that the guest asked for; it is open until the turn ends."""
        before = self.slots.pop(slot, -1)
        if before >= 0:
            os.close(before)
        self.slots[slot] = descriptor

    def arm(self) -> None:
        """Let an interrupt reach the code that the guest is about to run."""
        self._worker.interrupter.arm(self.instance.memory, self._stop)

    def collect(self) -> tuple[Header, bytes]:
        """Write the pages that differ from the last commit to the scratch file."""
        instance = self.instance
        memory = instance.memory
        written = compare_pages(memory, self._worker.dirty, self._layout, self._files)
        self._collected = written.changed
        if sum(count for _, count, _ in written.same) > MAX_SAME:
            self._give_back(memory, written.same)
        os.ftruncate(self._scratch, 0)
        os.lseek(self._scratch, 0, os.SEEK_SET)
        views = [memory.view(page * PAGE, count * PAGE) for page, count in self._collected]
        for start in range(0, len(views), _IOV_MAX):
            _write_all(self._scratch, views[start : start + _IOV_MAX])
        self._mono = instance.wasi.monotonic_ns()
        pages = sum(count for _, count in self._collected)
        header = {"pages": pages, "size": memory.size, "mono": self._mono}
        return header, b"".join(struct.pack("<II", *run) for run in self._collected)

    def _give_back(self, memory: Memory, same: list[tuple[int, int, Run | None]]) -> None:
        """Map pages again that were written and are as they were committed."""
        if len(same) > MAX_MAPPINGS // 2:
            return
        for page, count, run in same:
            self._map(memory, page, count, run)

    def adopt(self, header: Header, descriptors: list[int]) -> Header:
        """The pages last collected are committed: map them from the file they are in now."""
        number, origin = int(header["file"]), int(header["origin"])
        if descriptors:
            if number != len(self._files):
                raise SandboxError("the files of a space are numbered in order")
            self._files.append(descriptors[0])
        file = self._files[number]
        memory = self.instance.memory
        for page, count in self._collected:
            self._layout.overlay(Run(page, count, number, origin))
            if count >= SHORT_RUN:
                memory.map_file(file, origin * PAGE, page * PAGE, count * PAGE)
            else:
                self._crumbs.update(range(page, page + count))
            origin += count
        if len(self._crumbs) > MAX_CRUMBS and len(self._layout) < MAX_MAPPINGS:
            self._map_crumbs(memory)
        self._collected = []
        self._size = memory.size
        return {"mappings": len(self._layout)}

    def _map_crumbs(self, memory: Memory) -> None:
        """Map the pages that were left as private copies, so that they are compared no more."""
        for page in self._crumbs:
            for _, _, run in self._layout.covering(page, 1):
                if run is not None:
                    self._map(memory, page, 1, run)
        self._crumbs.clear()

    def discard(self) -> Header:
        """Go back to the last commit, from between two turns."""
        if self._instance is not None:
            self._mono = max(self._mono, self._instance.wasi.monotonic_ns())
        if not self._map_written():
            self.reopen()
        return {}

    def _map_written(self) -> bool:
        """Map again all that was written; a new instance would find none of its pages mapped.

        Returns:
            Whether that is possible: only the kernel can say what was written, and only a new
            instance is smaller.
        """
        if self._instance is None or not self._worker.dirty.exact:
            return False
        memory = self._instance.memory
        if memory.size > self._size:
            return False  # a memory never shrinks, and what it grew by would be missing later
        pieces = [
            piece
            for start, count in self._worker.dirty.candidates(memory)
            for piece in self._layout.covering(start, count)
        ]
        if len(pieces) > MAX_MAPPINGS // 2:
            return False
        for page, count, run in pieces:
            self._map(memory, page, count, run)
        self._crumbs.clear()
        self._instance.wasi.forget_files()
        return True

    def _map(self, memory: Memory, page: int, count: int, run: Run | None) -> None:
        """Map pages from where they are committed; of no file they are zero."""
        if run is None:
            memory.forget(page * PAGE, count * PAGE)
        else:
            origin = run.origin + page - run.page
            memory.map_file(self._files[run.file], origin * PAGE, page * PAGE, count * PAGE)


class _Worker:
    """The process: what the two threads share."""

    def __init__(self, channel: WorkerChannel) -> None:
        self.channel = channel
        self.engine: Engine
        self.module: Module
        self.files: GuestFiles
        self.dirty: DirtyPages
        self.interrupter = Interrupter()
        self.request = b""
        self.result: bytes | None = None
        self._guest = _Guest(self)
        self._work: queue.SimpleQueue[tuple[Header, bytes, list[int]]] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Header, bytes, list[int]]] = queue.SimpleQueue()

    def run(self) -> None:
        """Serve until the server closes the channel."""
        header, _, descriptors = self.channel.receive()
        self.files = GuestFiles(*descriptors)
        self.engine = make_engine()
        self.module = load_module(self.engine, Path(header["module"]))
        self.dirty = DirtyPages(not header["compare"])
        walls = lock_down() if header["lock_down"] else []
        threading.stack_size(THREAD_STACK)
        threading.Thread(target=self._serve_guest, name="guest", daemon=True).start()
        self.channel.send({"t": "ready", "walls": walls, "exact": self.dirty.exact})
        while True:
            header, body, descriptors = self.channel.receive()
            kind = header["t"]
            if kind == "interrupt":
                self._guest_wake()
            elif kind == "answer":
                self._answers.put((header, body, descriptors))
            else:
                self._work.put((header, body, descriptors))

    def _guest_wake(self) -> None:
        reached = self.interrupter.interrupt()
        if reached:
            self._guest.instance.wasi.wake()

    def _serve_guest(self) -> None:
        with contextlib.suppress(WasmtimeError, Trap):  # `open` will say what is wrong
            self._guest.prepare()
        while True:
            header, body, descriptors = self._work.get()
            try:
                answer, data = self._do(header, body, descriptors)
            except Exception as error:
                answer, data = {"error": f"{type(error).__name__}: {error}"[:2000]}, b""
            with contextlib.suppress(OSError):
                self.channel.send({"re": header["id"], **answer}, data)

    def _do(self, header: Header, body: bytes, descriptors: list[int]) -> tuple[Header, bytes]:
        guest, kind = self._guest, header["t"]
        if kind == "turn":
            if header.get("input"):
                guest.input = descriptors.pop(0)
            if header.get("output"):
                guest.output = descriptors.pop(0)
            answer, result = guest.turn(body)
            if header.get("check") and "failed" not in answer:
                # What the code left behind may stop every turn after it: it is not committed.
                answer, checked = guest.check()
                if "failed" not in answer and checked != _CHECKED:
                    answer = {"failed": "unusable"}
                elif answer.get("failed") == "broken":
                    answer["failed"] = "unusable"
            return answer, b"" if "failed" in answer else result
        if kind == "open":
            return guest.open(header, body, descriptors), b""
        if kind == "install":
            return guest.install(header, body)
        if kind == "collect":
            return guest.collect()
        if kind == "adopt":
            return guest.adopt(header, descriptors), b""
        if kind == "discard":
            return guest.discard(), b""
        raise SandboxError(f"a worker does not know {kind!r}")

    def answer_guest(self, frame: bytes) -> bytes | None:
        """What the guest asks through its door; see `rlm_guest._door`."""
        kind, body = frame[:1], frame[1:]
        try:
            return self._answer(kind, body)
        except (struct.error, IndexError, KeyError, OverflowError, OSError):
            return None

    def _answer(self, kind: bytes, body: bytes) -> bytes | None:
        guest = self._guest
        if kind == b"N":
            return self.request
        if kind == b"R":
            self.result = body if len(body) <= MAX_BODY else None
        elif kind == b"A":
            guest.arm()
        elif kind == b"Q":
            self.interrupter.disarm()
        elif kind == b"I":
            return self._read_input(*struct.unpack("<IIQ", body))
        elif kind == b"O":
            address, length = struct.unpack("<II", body)
            _write_all(guest.output, [guest.instance.memory.view(address, length)])
        elif kind == b"W":
            address, length = struct.unpack("<II", body)
            guest.instance.memory.wipe(address, length)
        elif kind == b"C":
            if len(body) > MAX_BODY:
                return b'{"refused": "the call is over 64 MB: send less at once"}'
            self.channel.send({"t": "call"}, body)
            header, answer, descriptors = self._answers.get()
            for descriptor in descriptors:
                guest.keep(int(header["slot"]), descriptor)
            return answer
        elif kind == b"V":
            slot, address, length, offset = struct.unpack("<IIIQ", body)
            return self._read_slot(guest.slots[slot], address, length, offset)
        else:
            return None
        return b""

    def _read_input(self, address: int, length: int, offset: int) -> bytes:
        return self._read(self._guest.input, address, length, offset)

    def _read_slot(self, descriptor: int, address: int, length: int, offset: int) -> bytes:
        """Read a part of a view's file; the answer also says what the file is like afterwards."""
        found = self._read(descriptor, address, length, offset)
        return found + struct.pack("<qq", *size_and_mtime(descriptor))

    def _read(self, descriptor: int, address: int, length: int, offset: int) -> bytes:
        memory, done, is_ascii = self._guest.instance.memory, 0, True
        while done < length:
            part = min(_ASCII_STEP, length - done)
            read = memory.read_file(descriptor, offset + done, address + done, part)
            if is_ascii:
                is_ascii = memory.read(address + done, read).isascii()
            done += read
            if read < part:
                break
        return struct.pack("<I?", done, is_ascii)


def _cause(error: Exception) -> str:
    if isinstance(error, GuestExitError):
        return f"exit {error.code}"
    if not isinstance(error, Trap | WasmtimeError):
        return f"trap: {type(error).__name__} in the host"
    text = str(error)
    return "stack" if "call stack exhausted" in text else f"trap: {text.splitlines()[-1][:300]}"


def _write_all(descriptor: int, views: list[memoryview]) -> None:
    while views:
        written = os.writev(descriptor, views)
        while views and written >= len(views[0]):
            written -= len(views.pop(0))
        if views and written:
            views[0] = views[0][written:]


def main() -> None:
    """Serve on the socket whose descriptor is the first argument."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    with contextlib.suppress(EOFError, OSError):
        _Worker(WorkerChannel(connection)).run()
    os._exit(0)


if __name__ == "__main__":
    main()
