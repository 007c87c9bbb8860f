"""The search of a view's file: the search program in a helper, over all of the file or a part."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

from ..helpers._process import run_helper

MAX_LINE = 4096
"""Bytes of a line that a search hands over; of a longer one it says where it is."""
_REGEX_LIMIT = "50M"
_PIPE_BYTES = 1 << 20


@cache
def search_program() -> Path | None:
    """The search program that the package `ripgrep` brings, or `None` where it is not installed.

    Never one from the search path of the user: what runs over untrusted data is what this
    project was installed with.
    """
    try:
        files = metadata.files("ripgrep") or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name in ("rg", "rg.exe"):
            path = Path(str(file.locate())).resolve()
            return path if path.is_file() else None
    return None


async def search(
    program: Path, pattern: str, most: int, source: int, target: int, part: tuple[int, int, int]
) -> int:
    """Write lines that match to a file: `line:offset:text` as ripgrep has it, from the part on.

    Args:
        program: to be run.
        pattern: as ripgrep reads it.
        most: lines that are written.
        source: descriptor of the file.
        target: descriptor of what is written.
        part: of the file: where it begins and ends, and the size of all of it.

    Returns:
        The exit status: 0 found, 1 found nothing, other an error.
    """
    begin, end, size = part
    arguments = [
        str(program), "--no-config", "-j1", "--color=never", "--text", "--encoding=none",
        "--no-filename", "--no-ignore", "--line-number", "--byte-offset",
        f"--max-columns={MAX_LINE}", f"--max-count={most}",
        f"--regex-size-limit={_REGEX_LIMIT}", f"--dfa-size-limit={_REGEX_LIMIT}",
        "-e", pattern, "--",
    ]  # fmt: skip
    if (begin, end) == (0, size) and os.path.exists("/proc/self/fd"):  # noqa: PTH110, ASYNC240
        # By a path, so that the program maps the file instead of copying it.
        return await _run([*arguments, "/proc/self/fd/0"], source, target)
    os.lseek(source, begin, os.SEEK_SET)
    arguments.append("-")
    if end == size:
        return await _run(arguments, source, target)
    reader, writer = os.pipe()
    feeding = asyncio.ensure_future(asyncio.to_thread(_feed, source, writer, begin, end - begin))
    try:
        return await _run(arguments, reader, target)
    finally:
        os.close(reader)  # which ends the feeding, if it has not ended
        with contextlib.suppress(OSError):
            await asyncio.shield(feeding)


async def _run(arguments: Sequence[str], source: int, target: int) -> int:
    return (await run_helper("search", arguments, source=source, target=target)).status


def _feed(source: int, pipe: int, begin: int, length: int) -> None:
    """Write a part of a file into a pipe, and close it."""
    try:
        if not hasattr(os, "splice"):
            while length and (data := os.pread(source, min(length, _PIPE_BYTES), begin)):
                view = memoryview(data)
                while view:
                    view = view[os.write(pipe, view) :]
                begin, length = begin + len(data), length - len(data)
            return
        import fcntl

        with contextlib.suppress(OSError):  # a user may have too many large pipes
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        while length and (moved := os.splice(source, pipe, length, offset_src=begin)):
            begin, length = begin + moved, length - moved
    except OSError as error:
        if error.errno != errno.EPIPE:  # the search has found enough
            raise
    finally:
        os.close(pipe)
