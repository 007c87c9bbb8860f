"""What a helper does with its process: bound it, lock it down, and only then read its data."""

from __future__ import annotations

import gc
import os
import resource
import sys
from collections.abc import Callable, Iterable

from ..worker._lockdown import lock_down

MEMORY = 2 << 30
"""Bytes of address space; the tree of a source file takes some twenty times its size."""
CPU_SECONDS = 50
_BLOCK = 1 << 20


def serve(work: Callable[[bytes], Iterable[bytes]]) -> None:
    """Carry out one piece of work: standard input to its end, the answer to standard output.

    What `work` yields goes out at once, so that it is not lost if what comes next ends the process.

    Everything that `work` needs must have been imported: after this nothing can be opened.
    """
    for kind, limit in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, CPU_SECONDS),
    ):
        try:
            resource.setrlimit(kind, (limit, limit))
        except (ValueError, OSError):  # macOS knows the limit and may refuse to set it
            if sys.platform == "linux":
                raise
    lock_down()
    gc.disable()  # it lives for one answer
    data = bytearray()
    while block := os.read(0, _BLOCK):
        data += block
    for part in work(bytes(data)):
        answer = memoryview(part)
        while answer:
            answer = answer[os.write(1, answer) :]
