"""A worker: one process that runs the guest of one space, `python -m rlm_mcp.worker`.

It is started with an empty environment and a socket, maps the compiled guest, gives up every
right it does not need, and then does what the server says. Its main thread reads the channel,
so that an interrupt or an answer arrives while the guest runs; everything that touches the
guest happens on one other thread, in order.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import sys
import threading
from pathlib import Path

from wasmtime import Trap, WasmtimeError

from ..errors import SandboxError
from ._channel import Header, WorkerChannel
from ._door import Door
from ._engine import THREAD_STACK, load_module, make_engine
from ._files import GuestFiles
from ._guest import Guest
from ._interrupt import Interrupter
from ._lockdown import lock_down
from ._pages import DirtyPages

_Frame = tuple[Header, bytes, list[int]]


class _Worker:
    """The process: its two threads, and what passes between them."""

    def __init__(self, channel: WorkerChannel) -> None:
        self._channel = channel
        self._interrupter = Interrupter()
        self._work: queue.SimpleQueue[_Frame] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[_Frame] = queue.SimpleQueue()

    def run(self) -> None:
        """Serve until the server closes the channel."""
        header, _, descriptors = self._channel.receive()
        files = GuestFiles(*descriptors)
        engine = make_engine()
        module = load_module(engine, Path(header["module"]))
        dirty = DirtyPages(not header["compare"])
        door = Door(self._ask_server, self._interrupter)
        guest = Guest(engine, module, files, dirty, door)
        walls = lock_down() if header["lock_down"] else []
        threading.stack_size(THREAD_STACK)
        threading.Thread(target=self._serve, args=(guest,), name="guest", daemon=True).start()
        self._channel.send({"t": "ready", "walls": walls, "exact": dirty.exact})
        while True:
            header, body, descriptors = self._channel.receive()
            kind = header["t"]
            if kind == "interrupt":
                if self._interrupter.interrupt():
                    guest.wake()
            elif kind == "answer":
                self._answers.put((header, body, descriptors))
            else:
                self._work.put((header, body, descriptors))

    def _serve(self, guest: Guest) -> None:
        """Do what the server says, on the thread that touches the guest."""
        with contextlib.suppress(WasmtimeError, Trap):  # `open` will say what is wrong
            guest.prepare()
        while True:
            header, body, descriptors = self._work.get()
            try:
                answer, data = _do(guest, header, body, descriptors)
            except Exception as error:
                answer, data = {"error": f"{type(error).__name__}: {error}"[:2000]}, b""
            with contextlib.suppress(OSError):
                self._channel.send({"re": header["id"], **answer}, data)

    def _ask_server(self, body: bytes) -> _Frame:
        self._channel.send({"t": "call"}, body)
        return self._answers.get()


def _do(guest: Guest, header: Header, body: bytes, descriptors: list[int]) -> tuple[Header, bytes]:
    kind = header["t"]
    if kind == "turn":
        return guest.turn(header, body, descriptors)
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
