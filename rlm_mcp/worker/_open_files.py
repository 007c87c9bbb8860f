"""What a guest has open: descriptors that mean the same file when its space moves."""

from __future__ import annotations

from dataclasses import dataclass

from ._files import Entry, GuestFiles

_FIRST_FREE = 4
_MAX_OPEN = 64


@dataclass
class OpenFile:
    """A file or folder that is open.

    Args:
        entry: what it is.
        position: where the next read begins; `None` after a restart of the space, until the
            guest says where it wants to be.
    """

    entry: Entry
    position: int | None = 0


class OpenFiles:
    """The files that one guest has open.

    The number of a descriptor tells its file, so that what keeps files open for long, as fonts
    do, goes on working in another process.

    Args:
        known: all that can be opened.
    """

    def __init__(self, known: GuestFiles) -> None:
        self._known = known
        self._open: dict[int, OpenFile] = {}

    def open(self, entry: Entry) -> int | None:
        """A new descriptor of something; `None` if too many are open."""
        first = _FIRST_FREE + self._known.number(entry) * _MAX_OPEN
        for new in range(first, first + _MAX_OPEN):
            if new not in self._open and len(self._open) < _MAX_OPEN:
                self._open[new] = OpenFile(entry)
                return new
        return None

    def get(self, fd: int) -> OpenFile | None:
        """An open file; also one that was opened before the space moved to this process."""
        file = self._open.get(fd)
        if file is None and fd >= _FIRST_FREE and len(self._open) < _MAX_OPEN:
            entry = self._known.numbered((fd - _FIRST_FREE) // _MAX_OPEN)
            if entry is not None:
                file = self._open[fd] = OpenFile(entry, None)
        return file

    def close(self, fd: int) -> bool:
        """Close a file; whether it was open."""
        return self.get(fd) is not None and self._open.pop(fd, None) is not None

    def forget(self) -> None:
        """Take no file to be open: the guest is at another state, which knows what it has."""
        self._open.clear()
