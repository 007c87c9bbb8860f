"""The server's side of a helper: start it, hand it its data, take its answer, end it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

AT_ONCE = 2
"""Helpers that run at the same time; further calls wait (a guess: they are busy all the time)."""
SECONDS = 60.0
"""The longest that a helper may run: its input is bounded, and takes some seconds."""
MAX_OUTPUT = 48 << 20
"""Bytes of an answer; with what JSON adds it still fits into a message to a guest."""
_BLOCK = 1 << 18


@dataclass(frozen=True)
class Answer:
    """What a helper handed in, which may be an attacker's.

    Args:
        data: all of it, or what came before it was ended.
        failure: why it is not all; empty when the helper came to its end.
    """

    data: bytes
    failure: str = ""


class Helpers:
    """Runs helpers. Belongs to one event loop."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(AT_ONCE)

    async def run(
        self,
        module: str,
        arguments: Sequence[str],
        data: bytes,
        idle_seconds: float = SECONDS,
    ) -> Answer:
        """Run a helper.

        Args:
            module: of this package, such as `symbols`.
            arguments: of its command line; never anything that came from a guest as it is.
            data: for its standard input.
            idle_seconds: it is ended when nothing has come from it for so long.
        """
        async with self._free:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", f"{__package__}.{module}", *arguments,
                env={}, cwd="/", start_new_session=True,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            taken = bytearray()
            sending = asyncio.ensure_future(_send(process, data))
            try:
                async with asyncio.timeout(SECONDS):
                    failure = await _take(process, taken, idle_seconds)
                    if not failure and await process.wait() != 0:
                        failure = f"the helper died (status {process.returncode})"
            except TimeoutError:
                failure = "the helper took too long"
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                sending.cancel()
                await asyncio.wait([sending])
                await process.wait()
        return Answer(bytes(taken), failure)


async def _send(process: asyncio.subprocess.Process, data: bytes) -> None:
    assert process.stdin is not None
    view = memoryview(data)
    with contextlib.suppress(ConnectionError):  # one that has died says so by its status
        for start in range(0, len(view), _BLOCK):
            process.stdin.write(view[start : start + _BLOCK])
            await process.stdin.drain()
    process.stdin.close()


async def _take(process: asyncio.subprocess.Process, taken: bytearray, idle: float) -> str:
    """Read to the end, and say why if that was not reached."""
    assert process.stdout is not None
    while True:
        async with asyncio.timeout(idle):
            block = await process.stdout.read(_BLOCK)
        if not block:
            return ""
        taken += block
        if len(taken) > MAX_OUTPUT:
            return f"the helper handed in over {MAX_OUTPUT >> 20} MB"
