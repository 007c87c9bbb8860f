"""The store of a home folder, which may come, go and be another while somebody looks."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

from ..errors import SpaceError
from ..store import StoreReader


class Home:
    """Gives the reader of the store that is there now. Its methods may be called by any thread.

    Args:
        folder: that has the store, or will have it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._reader: StoreReader | None = None
        self._file: tuple[int, int] | None = None
        self._opened = 0

    def reader(self) -> StoreReader | None:
        """The reader, or `None` where there is no store.

        Raises:
            StoreError: the store cannot be read.
        """
        with self._lock:
            try:
                found = (self.folder / "store.sqlite").stat()
                file = (found.st_dev, found.st_ino) if found.st_size else None
            except OSError:
                file = None
            if file != self._file:
                self._forget()
                if file is not None:
                    self._reader = StoreReader(self.folder)
                    self._opened += 1
                self._file = file
            return self._reader

    def stamp(self) -> str:
        """A text that is another one whenever a page may have become another.

        Raises:
            StoreError: the store cannot be read.
        """
        reader = self.reader()
        if reader is None:
            return "none"
        # A server that is killed writes nothing, and what it was doing is no longer running.
        at_work = sum(map(reader.held, reader.running()))
        return f"{self._opened}-{reader.stamp()}-{at_work}"

    def close(self) -> None:
        """Close the reader; may be called twice."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        reader, self._reader, self._file = self._reader, None, None
        if reader is not None:
            reader.close()


def check_space(folder: Path, handle: str) -> None:
    """See that a store has a space.

    Raises:
        SpaceError: it has not; the text names those that it has.
        StoreError: the store cannot be read.
    """
    with contextlib.closing(Home(folder)) as home:
        reader = home.reader()
        if reader is None or reader.space(handle) is None:
            rows = reader.spaces() if reader is not None else []
            known = ", ".join(row.handle for row in rows[:10]) or "none"
            raise SpaceError(f"there is no space `{handle}` in {folder}; known: {known}")
