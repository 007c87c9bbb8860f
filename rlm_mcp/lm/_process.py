"""Runs a command to its end: fed, bounded, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from ..helpers._process import ended

MAX_OUTPUT_BYTES = 16 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Finished:
    """What a command left.

    Args:
        status: its exit status; below 0 for a signal.
        output: what it wrote to standard output.
        errors: the beginning of what it wrote to standard error.
        too_long: its output was more than is read, and it was ended.
    """

    status: int
    output: str
    errors: str
    too_long: bool


async def run_command(
    command: Sequence[str], given: bytes, folder: Path, environ: Mapping[str, str]
) -> Finished:
    """Run a command in a process group of its own; being cancelled kills the group.

    Args:
        command: the program and its arguments.
        given: to its standard input.
        folder: that it runs in.
        environ: all of its environment.

    Raises:
        OSError: it cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=dict(environ),
        start_new_session=True,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    output, errors = bytearray(), bytearray()
    feeding = asyncio.ensure_future(_feed(process.stdin, given))
    saying = asyncio.ensure_future(_collect(process.stderr, errors))
    done = False
    try:
        whole = await _take(process.stdout, output)
        if whole:
            await saying
            await process.wait()
        done = whole
    finally:
        with anyio.CancelScope(shield=True):
            if not done:
                _kill(process)
            feeding.cancel()
            status = await ended(process)
            await asyncio.wait([feeding, saying])
    return Finished(
        status, output.decode("utf-8", "replace"), errors.decode("utf-8", "replace"), not whole
    )


async def _feed(stream: asyncio.StreamWriter, data: bytes) -> None:
    # A command may end, or close its input, before it has read all.
    with contextlib.suppress(OSError):
        stream.write(data)
        await stream.drain()
    stream.close()


async def _take(stream: asyncio.StreamReader, into: bytearray) -> bool:
    """Read to the end, or until it is too much; whether that was all."""
    while data := await stream.read(_BLOCK):
        into += data[: MAX_OUTPUT_BYTES - len(into)]
        if len(into) == MAX_OUTPUT_BYTES:
            return False
    return True


async def _collect(stream: asyncio.StreamReader, into: bytearray) -> None:
    """Keep what comes first, and read the rest too, so that the command is not held up by it."""
    while data := await stream.read(_BLOCK):
        into += data[: MAX_ERROR_BYTES - len(into)]


def _kill(process: asyncio.subprocess.Process) -> None:
    # Its children too: agents of this kind start helpers.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
