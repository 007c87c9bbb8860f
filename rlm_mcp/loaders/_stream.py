"""What comes through a pipe, such as the standard input of a command."""

from __future__ import annotations

import os
import secrets
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import SourceError
from ._bundle import Bundle, Origin, scratch, view_bundle, write_all
from ._open import stays_outside

_READ = 1 << 18
_LOOK_SECONDS = 0.2
"""Between looks at whether somebody has given up waiting."""
_LOOK_BYTES = 64 << 20
"""Between looks at the room on the disk."""
FREE_BYTES = 1 << 30
"""Of a disk that stay free (a guess: what other programs need until someone notices)."""


@dataclass(frozen=True)
class Spool:
    """Where a pipe goes that is larger than what is to be held in memory.

    Args:
        folder: for its file; made if it is missing. What is in it belongs to a space.
        above: bytes from which on it goes there; what then can stay outside becomes a view.
        free_bytes: of the disk, that are left free.
    """

    folder: Path
    above: int
    free_bytes: int = FREE_BYTES


def from_stream(
    fd: int,
    *,
    max_bytes: int,
    spool: Spool | None = None,
    format: str = "auto",
    name: str = "standard input",
    stopped: Callable[[], bool] = lambda: False,
) -> Bundle:
    """Read a pipe to its end.

    Args:
        fd: its descriptor, which stays open.
        max_bytes: the most that is loaded.
        spool: where to put what is larger than memory; without it that is refused.
        format: as the caller asked for it; text and the like can stay outside, as a view.
        name: what to call it; its ending may tell the format.
        stopped: asked now and then; once it says so, reading is given up.

    Raises:
        SourceError: it is empty, cannot be read, or gives more than there is room for.
    """
    taking = _Taking(max_bytes, spool, format, name)
    try:
        if format == "view":
            taking.to_disk()
        while not stopped():
            if not select.select([fd], [], [], _LOOK_SECONDS)[0]:
                continue
            if not (data := os.read(fd, _READ)):
                return taking.bundle()
            taking.add(data)
        raise SourceError(f"Reading {name} was given up.")
    except (OSError, ValueError) as error:
        taking.drop()
        cause = getattr(error, "strerror", None) or "it is closed"
        raise SourceError(f"{name} cannot be read: {cause}.") from None
    except BaseException:
        taking.drop()
        raise


class _Taking:
    """What has come so far: in memory, and from some size on in a file."""

    def __init__(self, max_bytes: int, spool: Spool | None, format: str, name: str) -> None:
        self._max_bytes = max_bytes
        self._spool = spool
        self._format = format
        self._name = name
        self._fd = scratch()
        self._size = 0
        self._path: Path | None = None
        self._looked = 0

    def add(self, data: bytes) -> None:
        spool = self._spool
        size = self._size + len(data)
        if spool is not None and self._path is None and size > min(spool.above, self._max_bytes):
            self.to_disk()
        if size > self._max_bytes and (self._path is None or not self._can_stay_outside(size)):
            raise self._too_large()
        if self._path is not None and size - self._looked >= _LOOK_BYTES:
            self._look_at_disk(size)
        write_all(self._fd, memoryview(data))
        self._size = size

    def _too_large(self) -> SourceError:
        return SourceError(
            f"{self._name} has over {self._max_bytes:,} bytes, which is what fits into this "
            "space. Write it to a file and load a part of that."
        )

    def _can_stay_outside(self, size: int) -> bool:
        return self._spool is not None and stays_outside(
            self._fd, size, self._format, self._max_bytes, self._spool.above
        )

    def to_disk(self) -> None:
        """Go on in a file.

        Raises:
            OSError: it cannot be made.
        """
        assert self._spool is not None
        folder = self._spool.folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / secrets.token_hex(8)
        into = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        before, self._fd, self._path = self._fd, into, path
        try:
            for at in range(0, self._size, _READ):
                write_all(into, memoryview(os.pread(before, _READ, at)))
        finally:
            os.close(before)
        self._look_at_disk(self._size)

    def _look_at_disk(self, size: int) -> None:
        assert self._spool is not None
        self._looked = size
        disk = os.statvfs(self._spool.folder)
        if disk.f_bavail * disk.f_frsize < self._spool.free_bytes + _LOOK_BYTES:
            raise SourceError(
                f"{self._name} is larger than the disk has room for: {size:,} bytes have come, "
                f"and {self._spool.free_bytes >> 20:,} MB stay free. Pipe in less of it, or set "
                "RLM_MCP_HOME to a larger disk."
            )

    def bundle(self) -> Bundle:
        """What has come, once that is all; its file stays where it is to be a view."""
        if not self._size:
            raise SourceError(
                f"{self._name} is empty: the command before the `|` gave nothing. Run it alone to "
                "see why."
            )
        if self._path is not None and self._can_stay_outside(self._size):
            info = os.fstat(self._fd)
            return view_bundle(self._fd, info, self._name, os.path.realpath(self._path))
        if self._size > self._max_bytes:
            raise self._too_large()
        if self._path is not None:
            self._path.unlink()  # its descriptor is enough to load it
        entries = [(self._name, 0, self._size)]
        origin = Origin(self._name, self._size, time.time())
        return Bundle(self._fd, entries, "file", origin, hint=self._name)

    def drop(self) -> None:
        """Give up what has come."""
        os.close(self._fd)
        if self._path is not None:
            self._path.unlink(missing_ok=True)
