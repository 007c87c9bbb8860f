"""The server's side of a helper: start it, hand it its data, take its answer, end it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence

from ..errors import SandboxError

AT_ONCE = 2
"""Helpers that run at the same time; further calls wait (a guess: they are busy all the time)."""
SECONDS = 60.0
"""The longest that a helper may run: its input is bounded, and takes some seconds."""
MAX_OUTPUT = 48 << 20
"""Bytes of an answer; with what JSON adds it still fits into a message to a guest."""
_BLOCK = 1 << 18


class Helpers:
    """Runs helpers. Belongs to one event loop."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(AT_ONCE)

    async def run(self, module: str, arguments: Sequence[str], data: bytes) -> bytes:
        """Run a helper and return what it hands in, which may be an attacker's.

        Args:
            module: of this package, such as `symbols`.
            arguments: of its command line; never anything that came from a guest as it is.
            data: for its standard input.

        Raises:
            SandboxError: it failed, took too long, or handed in too much.
        """
        async with self._free:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", f"{__package__}.{module}", *arguments,
                env={}, cwd="/", start_new_session=True,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            try:
                async with asyncio.timeout(SECONDS):
                    sending = asyncio.ensure_future(_send(process, data))
                    try:
                        answer = await _take(process)
                    finally:
                        sending.cancel()
                        await asyncio.wait([sending])
                    status = await process.wait()
            except TimeoutError:
                raise SandboxError(f"the helper took over {SECONDS:.0f} s and was ended") from None
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if status != 0:
            raise SandboxError(f"the helper failed (status {status})")
        return answer


async def _send(process: asyncio.subprocess.Process, data: bytes) -> None:
    assert process.stdin is not None
    view = memoryview(data)
    with contextlib.suppress(ConnectionError):  # one that has died says so by its status
        for start in range(0, len(view), _BLOCK):
            process.stdin.write(view[start : start + _BLOCK])
            await process.stdin.drain()
    process.stdin.close()


async def _take(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    answer = bytearray()
    while block := await process.stdout.read(_BLOCK):
        answer += block
        if len(answer) > MAX_OUTPUT:
            raise SandboxError(f"the helper handed in over {MAX_OUTPUT >> 20} MB")
    return bytes(answer)
