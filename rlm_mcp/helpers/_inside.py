"""What a helper does with its process: bound it, lock it down, and only then read its data."""

from __future__ import annotations

import gc
import os
import resource
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from ..worker._lockdown import die_with_parent, lock_down, lock_down_program

_BLOCK = 1 << 20


class ThreadsError(Exception):
    """A library began a thread, which no wall would reach."""


def give_up_rights(*, max_memory: int | None = None, cpu_seconds: int | None = None) -> None:
    """Keep the right to compute over open descriptors, and to end with the server.

    Everything that is needed must have been imported: after this nothing can be opened.

    Args:
        max_memory: bytes of address space.
        cpu_seconds: of processor time.

    Raises:
        ThreadsError: the process has more than one thread.
    """
    die_with_parent()
    for kind, limit in ((resource.RLIMIT_AS, max_memory), (resource.RLIMIT_CPU, cpu_seconds)):
        if limit is None:
            continue
        try:
            resource.setrlimit(kind, (limit, limit))
        except (ValueError, OSError):  # macOS knows the limit and may refuse to set it
            if sys.platform == "linux":
                raise
    # Neither wall reaches threads that exist already.
    if sys.platform == "linux" and len(os.listdir("/proc/self/task")) != 1:  # noqa: PTH208
        raise ThreadsError("a library began a thread before the walls were up")
    lock_down()


def become(
    program: Path, arguments: Sequence[str], *, max_output: int, max_memory: int
) -> NoReturn:
    """Execute a program that reaches its standard input and output and nothing else.

    Args:
        program: which is executed.
        arguments: for it.
        max_output: bytes that it may write to a file.
        max_memory: bytes of memory of its own.
    """
    die_with_parent()
    lock_down_program(program, 0, max_output=max_output, max_memory=max_memory)
    os.execve(program, [str(program), *arguments], {})


def serve(work: Callable[[bytes], Iterable[bytes]], *, max_memory: int, cpu_seconds: int) -> None:
    """Carry out one piece of work: standard input to its end, the answer to standard output.

    What `work` yields goes out at once, so that it is not lost if what comes next ends the process.

    Args:
        work: makes the parts of the answer of the input.
        max_memory: bytes of address space.
        cpu_seconds: of processor time.
    """
    give_up_rights(max_memory=max_memory, cpu_seconds=cpu_seconds)
    gc.disable()  # it lives for one answer
    data = bytearray()
    while block := os.read(0, _BLOCK):
        data += block
    for part in work(bytes(data)):
        write_all(1, part)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write all of some bytes."""
    view = memoryview(data).cast("B")
    while view:
        view = view[os.write(descriptor, view) :]
