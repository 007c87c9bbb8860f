"""Runs a command to its end: fed, bounded, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, Process

MAX_OUTPUT_BYTES = 16 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024


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
    process = await anyio.open_process(
        command, cwd=folder, env=dict(environ), start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    output, errors = bytearray(), bytearray()
    done = False
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_feed, process.stdin, given)
            group.start_soon(_collect, process.stderr, errors, MAX_ERROR_BYTES)
            whole = await _collect(process.stdout, output, MAX_OUTPUT_BYTES)
            if not whole:
                _kill(process)
            await process.wait()
            done = whole
    finally:
        with anyio.CancelScope(shield=True):
            if not done:
                _kill(process)
            await process.aclose()
    return Finished(
        process.returncode if process.returncode is not None else -1,
        output.decode("utf-8", "replace"),
        errors.decode("utf-8", "replace"),
        not whole,
    )


async def _feed(stream: ByteSendStream, data: bytes) -> None:
    # A command may end, or close its input, before it has read all.
    with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        await stream.send(data)
        await stream.aclose()


async def _collect(stream: ByteReceiveStream, into: bytearray, limit: int) -> bool:
    """Read to the end and keep at most `limit` bytes; whether that was all.

    Standard output is not read on beyond that; standard error is, so that the command is not held
    up by it.
    """
    whole = True
    with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError, OSError):
        while True:
            data = await stream.receive()
            room = limit - len(into)
            into += data[:room]
            if len(data) > room:
                whole = False
                if limit == MAX_OUTPUT_BYTES:
                    return whole
    return whole


def _kill(process: Process) -> None:
    # Its children too: agents of this kind start helpers.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
