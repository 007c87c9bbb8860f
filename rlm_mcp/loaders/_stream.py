"""What comes through a pipe, such as the standard input of a command."""

from __future__ import annotations

import os
import time

from ..errors import SourceError
from ._bundle import Bundle, Origin, scratch, write_all

_READ = 1 << 18


def from_stream(fd: int, *, max_bytes: int, name: str = "standard input") -> Bundle:
    """Read a pipe to its end.

    Args:
        fd: its descriptor, which stays open.
        max_bytes: the most that is taken.
        name: what to call it; its ending may tell the format.

    Raises:
        SourceError: it cannot be read, or gives more.
    """
    into, size = scratch(), 0
    try:
        while data := os.read(fd, _READ):
            size += len(data)
            if size > max_bytes:
                raise SourceError(
                    f"{name} has over {max_bytes:,} bytes, which is what fits into this space. "
                    "Write it to a file and load a part of that."
                )
            write_all(into, memoryview(data))
    except OSError as error:
        os.close(into)
        raise SourceError(f"{name} cannot be read: {error.strerror}.") from None
    except BaseException:
        os.close(into)
        raise
    return Bundle(into, [(name, 0, size)], "file", Origin(name, size, time.time()), hint=name)
