"""The server's side of a helper: start it, hand it its data, take what it hands in, end it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_PIPE = asyncio.subprocess.PIPE
_BLOCK = 1 << 18


@dataclass(frozen=True)
class Output:
    """What a helper handed in, which may be an attacker's.

    Args:
        data: all of it, or what came before it was ended.
        status: of its exit, negative for a signal.
        failure: why it is not all; empty when the helper came to its end with status 0.
    """

    data: bytes
    status: int
    failure: str = ""


async def run_helper(
    module: str,
    arguments: Sequence[str] = (),
    *,
    data: bytes = b"",
    source: int | None = None,
    target: int | None = None,
    descriptors: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
    seconds: float | None = None,
    idle_seconds: float | None = None,
    max_output: int = 0,
) -> Output:
    """Run a helper to its end; it is killed when this is cancelled.

    Args:
        module: of this package, such as `symbols`.
        arguments: of its command line; what came from a guest only where the helper knows it.
        data: for its standard input.
        source: descriptor that is its standard input instead.
        target: descriptor that is its standard output, of which then nothing is taken here.
        descriptors: further ones, which it has under the same numbers.
        environment: all of its variables.
        seconds: the longest that it may run.
        idle_seconds: the longest in which nothing comes from it.
        max_output: the most bytes that are taken of its standard output.
    """
    stdin = source if source is not None else _PIPE if data else asyncio.subprocess.DEVNULL
    process = await _start(module, arguments, stdin, target, descriptors, environment)
    taken = bytearray()
    sending = asyncio.ensure_future(_send(process, data))
    try:
        async with asyncio.timeout(seconds):
            failure = await _take(process, taken, idle_seconds, max_output)
            if not failure and await process.wait() != 0:
                failure = f"the helper died (status {process.returncode})"
    except TimeoutError:
        failure = "the helper took too long"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        sending.cancel()
        await asyncio.wait([sending])
        status = await ended(process)
    return Output(bytes(taken), status, failure)


async def start_helper(
    module: str,
    arguments: Sequence[str] = (),
    *,
    descriptors: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> asyncio.subprocess.Process:
    """Start a helper that answers more than once, over its standard input and output.

    Whoever starts it bounds and ends it. The arguments are those of `run_helper`.
    """
    return await _start(module, arguments, _PIPE, None, descriptors, environment)


async def ended(process: asyncio.subprocess.Process) -> int:
    """Wait for the end of a process that was killed, and return its status.

    asyncio says that a process has ended only when its pipes have, and a pipe whose data nobody
    takes any more never does; nor does one that a program which was left behind holds open.
    """
    transport: asyncio.SubprocessTransport = process._transport  # type: ignore[attr-defined]
    for number in (0, 1, 2):
        pipe = transport.get_pipe_transport(number)
        if pipe is not None:
            pipe.close()
    return await process.wait()


async def _start(
    module: str,
    arguments: Sequence[str],
    stdin: int,
    target: int | None,
    descriptors: Sequence[int],
    environment: Mapping[str, str] | None,
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", f"{__package__}.{module}", *arguments,
        env=dict(environment or {}), cwd="/", start_new_session=True, pass_fds=descriptors,
        stdin=stdin,
        stdout=_PIPE if target is None else target,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip


async def _send(process: asyncio.subprocess.Process, data: bytes) -> None:
    if process.stdin is None:
        return
    view = memoryview(data)
    with contextlib.suppress(ConnectionError):  # one that has died says so by its status
        for start in range(0, len(view), _BLOCK):
            process.stdin.write(view[start : start + _BLOCK])
            await process.stdin.drain()
    process.stdin.close()


async def _take(
    process: asyncio.subprocess.Process, taken: bytearray, idle: float | None, most: int
) -> str:
    """Read to the end, and say why if that was not reached."""
    while process.stdout is not None:
        async with asyncio.timeout(idle):
            block = await process.stdout.read(_BLOCK)
        if not block:
            break
        taken += block
        if len(taken) > most:
            return f"the helper handed in over {most:,} bytes"
    return ""
