"""What a file was when it was looked at, and whether it still is: for files that stay outside."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Literal

EDGE = 64 << 10
"""Bytes of each end that a digest is taken of: two reads, and a log that was begun anew or
written over has other ends (a guess)."""

Difference = Literal["same", "grown", "shorter", "changed", "replaced"]


@dataclass(frozen=True)
class Identity:
    """What tells a file from what it may become.

    Args:
        inode: of the file.
        size: its bytes.
        mtime_ns: when it was last changed, in nanoseconds since the epoch.
        head: SHA-256 of its beginning.
        tail: SHA-256 of its end.
    """

    inode: int
    size: int
    mtime_ns: int
    head: str
    tail: str


def identify(descriptor: int) -> Identity:
    """Look at an open file.

    Raises:
        OSError: it cannot be read.
    """
    info = os.fstat(descriptor)
    head, tail = _ends(descriptor, info.st_size)
    return Identity(info.st_ino, info.st_size, info.st_mtime_ns, head, tail)


def difference(known: Identity, descriptor: int) -> Difference:
    """What has become of a file.

    One that only grew, as logs do, still has both ends of what is known. One of the same size
    but with another time of change counts as changed, since its middle is not looked at.

    Raises:
        OSError: it cannot be read.
    """
    info = os.fstat(descriptor)
    if info.st_ino != known.inode:
        return "replaced"
    if info.st_size < known.size:
        return "shorter"
    if info.st_size == known.size:
        return "same" if info.st_mtime_ns == known.mtime_ns else "changed"
    ends = _ends(descriptor, known.size)
    return "grown" if ends == (known.head, known.tail) else "changed"


def _ends(descriptor: int, size: int) -> tuple[str, str]:
    length = min(size, EDGE)
    head, tail = os.pread(descriptor, length, 0), os.pread(descriptor, length, size - length)
    return hashlib.sha256(head).hexdigest(), hashlib.sha256(tail).hexdigest()
