"""The right to write to a space, and the commits that are made with it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path

from ..errors import SpaceError, StoreError
from ..worker._interrupt import StopPoint
from ..worker._memory import PAGE
from . import _faults
from ._commits import (
    KEYFRAME_EVERY,
    Commit,
    depth,
    get_commit,
    layout_at,
    runs_of,
    stop_text,
)
from ._database import Database
from ._files import Segment, identity
from ._locks import SpaceLock
from ._spaces import SpaceRows
from ._spans import INTERRUPTED

SEGMENT_PAGES = (256 << 20) // PAGE
"""Pages after which a new segment is begun, so that old ones can be removed."""


class Writer:
    """Adds commits to one space, until `release`. Made by `Writers`.

    Args:
        handle: of the space.
        lock: that keeps other servers out; given up by `release`.
        database: of the store.
        folder: that has the page data.
        sync: whether a commit survives the loss of power, and not only the death of processes.
        released: is called by `release`.
    """

    def __init__(
        self,
        handle: str,
        lock: SpaceLock,
        database: Database,
        folder: Path,
        sync: bool,
        released: Callable[[Writer], None],
    ) -> None:
        self.handle = handle
        self._lock = lock
        self._database = database
        self._spaces = SpaceRows(database)
        self._folder = folder
        self._sync = sync
        self._released = released
        self._segment: Segment | None = None
        self._file = 0
        self._since_keyframe = 0

    @property
    def file(self) -> int | None:
        """The file, by its id, that takes pages; `None` before the first commit."""
        return self._file if self._segment is not None else None

    def commit(
        self,
        *,
        changed: tuple[tuple[int, int], ...],
        source: int,
        label: str,
        execution: int,
        size: int,
        monotonic_ns: int,
        stop: StopPoint | None = None,
        guest: str | None = None,
    ) -> tuple[Commit, int, int]:
        """Add a commit to the space and make it its present state.

        Args:
            changed: first page and number of pages of each run that differs.
            source: descriptor of a file that begins with those pages.
            label: what made it, in a few words.
            execution: how many executions led to it.
            size: bytes of the memory.
            monotonic_ns: the guest's monotonic clock.
            stop: where code is stopped, if that has changed.
            guest: version of the project's code inside, if that has changed.

        Returns:
            The commit, the id of the file that has its pages, and the first of them there.

        Raises:
            StoreError: the disk is full; the store is as it was before.
        """
        pages = sum(count for _, count in changed)
        segment = self._segment_with_room()
        origin, digest = segment.append(source, pages) if pages else (segment.pages, "")
        _faults.point("commit:pages")
        runs = runs_of(changed, self._file, origin)
        parent = self._spaces.required(self.handle).head
        keyframe: bytes | None = None
        now = time.time()
        with self._database.transaction():
            if self._since_keyframe + 1 >= KEYFRAME_EVERY:
                # Within the transaction: another server may be moving pages to other files.
                layout = layout_at(self._database, parent.id)
                for run in runs:
                    layout.overlay(run)
                keyframe = layout.pack()
            if pages:
                self._database.change(
                    "INSERT INTO sections (file, origin, pages, digest) VALUES (?, ?, ?, ?)",
                    self._file, origin, pages, digest,
                )  # fmt: skip
            number = self._database.change(
                "INSERT INTO commits (parent, created, label, execution, size, monotonic, stop, "
                "guest, file, runs, pages, layout, space) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                parent.id, now, label, execution, size, monotonic_ns,
                stop_text(stop or parent.stop), guest or parent.guest, self._file, runs.pack(),
                pages, keyframe, self.handle,
            )  # fmt: skip
            self._database.change(
                "UPDATE files SET identity = ? WHERE id = ?",
                identity(segment.descriptor), self._file,
            )  # fmt: skip
            self._database.change(
                "UPDATE spaces SET head = ?, used = ?, fresh = 0 WHERE handle = ?",
                number, now, self.handle,
            )  # fmt: skip
            _faults.point("commit:row")
        _faults.point("commit:done")
        self._since_keyframe = 0 if keyframe else self._since_keyframe + 1
        return get_commit(self._database, number), self._file, origin

    def _segment_with_room(self) -> Segment:
        if self._segment is not None and self._segment.pages < SEGMENT_PAGES:
            return self._segment
        name = f"{uuid.uuid4().hex}.pages"
        segment = Segment(self._folder / name, sync=self._sync)
        try:
            file = self._database.change("INSERT INTO files (name) VALUES (?)", name)
        except StoreError:
            segment.close()
            segment.path.unlink(missing_ok=True)
            raise
        if self._segment is not None:
            self._segment.close()
        self._segment, self._file = segment, file
        return segment

    def count(self, head: int) -> None:
        """Count the commits since the last that has its whole layout; the head was moved."""
        self._since_keyframe = depth(self._database, head)

    def release(self) -> None:
        """Give up the right to write; may be called twice."""
        self._released(self)
        if self._segment is not None:
            self._segment.close()
            self._segment = None
        self._lock.release()


class Writers:
    """The spaces that this process may write to.

    Args:
        database: of the store.
        home: the store's folder.
        sync: see `Writer`.
    """

    def __init__(self, database: Database, home: Path, *, sync: bool) -> None:
        self._database = database
        self._spaces = SpaceRows(database)
        self._home = home
        self._sync = sync
        self._writers: dict[str, Writer] = {}

    def hold(self, handle: str) -> Writer:
        """Take the right to write to a space.

        Raises:
            SpaceError: another server has it, or there is no such space.
        """
        if handle in self._writers:
            return self._writers[handle]
        lock = self.lock(handle)
        try:
            head = self._spaces.required(handle).head
            pages = self._home / "pages"
            writer = Writer(handle, lock, self._database, pages, self._sync, self._released)
            writer.count(head.id)
            # Whoever began these held the space, and is gone.
            self._database.change(
                "UPDATE spans SET status = ? WHERE space = ? AND status = 'running'",
                INTERRUPTED, handle,
            )  # fmt: skip
        except BaseException:
            lock.release()
            raise
        self._writers[handle] = writer
        return writer

    def lock(self, handle: str, *, shared: bool = False) -> SpaceLock:
        """The lock of a space; see `SpaceLock`."""
        return SpaceLock(self._home / "locks", handle, shared=shared)

    def held(self, handle: str) -> bool:
        """Whether a server has the right to write to a space."""
        if handle in self._writers:
            return True
        try:
            self.lock(handle, shared=True).release()
        except SpaceError:
            return True
        return False

    def files(self) -> set[int]:
        """The files, by their ids, that take pages now."""
        files = [writer.file for writer in list(self._writers.values())]
        return {file for file in files if file is not None}

    def head_moved(self, handle: str, head: int) -> None:
        """Take note that another commit is the present state of a space."""
        if handle in self._writers:
            self._writers[handle].count(head)

    def tidied(self) -> None:
        """Take note that older commits are gone."""
        for writer in list(self._writers.values()):
            row = self._spaces.get(writer.handle)
            if row is not None:
                writer.count(row.head.id)

    def _released(self, writer: Writer) -> None:
        self._writers.pop(writer.handle, None)

    def close(self) -> None:
        """Release all of them; may be called twice."""
        for writer in list(self._writers.values()):
            writer.release()
