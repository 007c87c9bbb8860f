"""The server's end of a worker: its process, and requests over the channel."""

from __future__ import annotations

import array
import asyncio
import contextlib
import itertools
import logging
import os
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SandboxError
from ..worker._channel import PREFIX, ChannelError, Header, decode_header, decode_prefix, encode
from ._read import text_of

_log = logging.getLogger(__name__)

START_SECONDS = 60
"""Until a worker must have said that it is ready; it takes 0.3 s, more on a loaded machine."""

AnswerCall = Callable[[bytes], Coroutine[Any, Any, tuple[bytes, "Handed | None"]]]


@dataclass
class Handed:
    """An open file that goes to the guest with an answer. Whoever holds it closes it.

    Args:
        descriptor: of the file, for reading.
        slot: by which number the guest knows it.
    """

    descriptor: int
    slot: int

    def close(self) -> None:
        """Close the descriptor here; may be called twice."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class WorkerDiedError(Exception):
    """The worker is gone, or broke the rules of the channel and was ended."""


class WorkerProcess:
    """A started worker. Made by `start`; owned by one space at a time."""

    def __init__(self, process: asyncio.subprocess.Process, connection: socket.socket) -> None:
        self._process = process
        self._socket = connection
        self._replies: dict[int, asyncio.Future[tuple[Header, bytes]]] = {}
        self._ids = itertools.count(1)
        self._write_lock = asyncio.Lock()
        self._dead = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._calls: set[asyncio.Future[tuple[bytes, Handed | None]]] = set()
        self._answering: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self.answer_call: AnswerCall | None = None
        """Answers what guest code asks of the server during a turn."""
        self.walls: tuple[str, ...] = ()
        """What confines the process: of `landlock`, `seccomp`, `rlimits`."""
        self.exact_pages = False
        """Whether the kernel tells which pages were written; else memories are compared."""

    @classmethod
    async def start(
        cls,
        compiled: Path,
        library: Path,
        *,
        data: Path | None = None,
        lock_down: bool = True,
        compare_pages: bool = False,
    ) -> WorkerProcess:
        """Start a worker and wait until it is ready.

        Args:
            compiled: the compiled guest.
            library: the zip with the guest's library.
            data: the archive with matplotlib's data, if the guest is to have it.
            lock_down: whether the process gives up its rights.
            compare_pages: find changed pages by comparing all, as where no kernel tells them.

        Raises:
            SandboxError: it did not come up.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "rlm_mcp.worker",
                str(theirs.fileno()),
                env={},
                cwd="/",
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        worker = cls(process, ours)
        try:
            async with asyncio.timeout(START_SECONDS):
                descriptors = []
                try:
                    for path in (library, data):
                        if path is not None:
                            descriptors.append(os.open(path, os.O_RDONLY))
                    start = {
                        "t": "start",
                        "module": str(compiled),
                        "lock_down": lock_down,
                        "compare": compare_pages,
                    }
                    await worker._send(start, b"", descriptors)
                finally:
                    for descriptor in descriptors:
                        os.close(descriptor)
                ready, _ = await worker._receive()
                if ready.get("t") != "ready" or not isinstance(ready.get("walls"), list):
                    raise ChannelError("the worker did not say that it is ready")
        except BaseException as error:
            await worker.kill()
            if isinstance(error, TimeoutError | ChannelError | OSError | EOFError):
                raise SandboxError(
                    f"a worker of the sandbox did not start ({error or type(error).__name__}); "
                    "run `rlm-mcp doctor`"
                ) from error
            raise
        worker.walls = tuple(str(wall) for wall in ready["walls"])
        worker.exact_pages = ready.get("exact") is True
        worker._reader = asyncio.create_task(worker._read())
        return worker

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return not self._dead.is_set()

    async def request(
        self,
        header: Header,
        body: bytes = b"",
        descriptors: Sequence[int] = (),
        seconds: float | None = None,
    ) -> tuple[Header, bytes]:
        """Send a request and wait for its reply.

        Args:
            header: with `t`, what is asked.
            body: its data.
            descriptors: handed to the worker; they stay open here.
            seconds: after which a worker that does not reply is ended; `None` for never.

        Raises:
            WorkerDiedError: the worker is gone.
            SandboxError: the worker refused.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._request(header, body, descriptors)
        except TimeoutError as error:
            await self.kill()
            raise WorkerDiedError("the worker did not reply in time") from error

    async def _request(
        self, header: Header, body: bytes, descriptors: Sequence[int]
    ) -> tuple[Header, bytes]:
        if not self.alive:
            raise WorkerDiedError("the worker is gone")
        number = next(self._ids)
        reply: asyncio.Future[tuple[Header, bytes]] = asyncio.get_running_loop().create_future()
        self._replies[number] = reply
        try:
            await self._send({**header, "id": number}, body, descriptors)
            answer, data = await reply
        except OSError as error:
            raise WorkerDiedError("the worker is gone") from error
        finally:
            self._replies.pop(number, None)
        if "error" in answer:
            cause = text_of(answer["error"], 2000) or "it does not say why"
            raise SandboxError(f"the sandbox failed: {cause}")
        return answer, data

    async def interrupt(self) -> None:
        """Raise the guest's stop exception in the code that runs, if any does.

        A call that the guest waits for is cancelled first.
        """
        for call in self._calls:
            call.cancel()
        with contextlib.suppress(OSError):
            await self._send({"t": "interrupt"})

    async def kill(self) -> None:
        """End the process and wait for its end; may be called twice."""
        self._fail()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        if self._ending is None:
            self._ending = asyncio.create_task(self._end())
        # A caller that is cancelled leaves no process behind that nobody waited for.
        await asyncio.shield(self._ending)

    async def _end(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
        # What waits to write wakes up with an error; only then is the descriptor free.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        async with self._write_lock:
            self._socket.close()
        await self._process.wait()

    def _fail(self) -> None:
        self._dead.set()
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(WorkerDiedError("the worker is gone"))
        for call in self._calls:
            call.cancel()

    async def _read(self) -> None:
        try:
            while True:
                header, body = await self._receive()
                if header.get("t") == "call":
                    self._start_call(body)
                    continue
                reply = self._replies.get(_number(header.get("re")))
                if reply is None or reply.done() or self._calls:
                    raise ChannelError("the worker replied to nothing")
                reply.set_result((header, body))
        except (ChannelError, OSError, EOFError):
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self._fail()

    def _start_call(self, body: bytes) -> None:
        # The guest has one thread, so a second call before the first was answered is a lie.
        if self._answering is not None or self.answer_call is None:
            raise ChannelError("the worker called out of turn")
        call = asyncio.ensure_future(self.answer_call(body))
        self._calls.add(call)
        self._answering = asyncio.create_task(self._answer(call))

    async def _answer(self, call: asyncio.Future[tuple[bytes, Handed | None]]) -> None:
        # A task of its own, which nobody cancels: a guest that gets no answer waits for ever.
        handed: Handed | None = None
        try:
            answer, handed = await call
        except asyncio.CancelledError:
            answer = b'{"refused": "the execution was stopped while it waited"}'
        except Exception:
            _log.exception("a call of the guest could not be answered")
            answer = b'{"refused": "the server failed to answer; see its log"}'
        self._calls.clear()
        try:
            header: Header = {"t": "answer"}
            if handed is not None:
                header["slot"] = handed.slot
            with contextlib.suppress(OSError):
                await self._send(header, answer, [handed.descriptor] if handed else ())
        finally:
            if handed is not None:
                handed.close()
        self._answering = None

    async def _send(
        self, header: Header, body: bytes = b"", descriptors: Sequence[int] = ()
    ) -> None:
        data = memoryview(encode(header, body, len(descriptors)) + body)
        loop = asyncio.get_running_loop()
        async with self._write_lock:
            if descriptors:
                packed = array.array("i", descriptors)
                ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, packed)]
                while True:
                    try:
                        sent = self._socket.sendmsg([data], ancillary)
                        break
                    except BlockingIOError:
                        await _writable(self._socket)
                data = data[sent:]
            await loop.sock_sendall(self._socket, data)

    async def _receive(self) -> tuple[Header, bytes]:
        header_length, body_length = decode_prefix(await self._take(PREFIX.size))
        header = decode_header(await self._take(header_length))
        return header, await self._take(body_length)

    async def _take(self, length: int) -> bytes:
        loop = asyncio.get_running_loop()
        data = bytearray(length)
        view, done = memoryview(data), 0
        while done < length:
            read = await loop.sock_recv_into(self._socket, view[done:])
            if read == 0:
                raise EOFError("the worker is gone")
            done += read
        return bytes(data)


def _number(value: object) -> int:
    return value if type(value) is int else -1


async def _writable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_writer(connection, wake)
    try:
        await ready
    finally:
        loop.remove_writer(connection)
