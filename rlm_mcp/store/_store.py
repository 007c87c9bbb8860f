"""The store: everything about spaces that must not be lost."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import SpaceError, StoreError
from ..worker._interrupt import StopPoint
from ..worker._layout import Layout, Run
from ..worker._memory import PAGE
from . import _faults, _history
from ._answers import Answers
from ._commits import (
    KEYFRAME_EVERY,
    Commit,
    ancestors,
    commit_of,
    depth,
    get_commit,
    layout_at,
    runs_of,
    stop_text,
)
from ._database import Database
from ._files import (
    Segment,
    copy_image,
    explained,
    identity,
    link_or_copy,
)
from ._locks import SpaceLock
from ._opening import Opened, open_commit
from ._spans import INTERRUPTED, SpanTable
from ._views import ViewRows

_log = logging.getLogger(__name__)
_SPACES = (
    "SELECT c.*, s.handle, s.created AS began, s.used, s.origin, s.fresh "
    "FROM spaces s JOIN commits c ON c.id = s.head"
)
SEGMENT_PAGES = (256 << 20) // PAGE
"""Pages after which a new segment is begun, so that old ones can be removed."""


@dataclass(frozen=True)
class SpaceRow:
    """A space as the store knows it.

    Args:
        handle: its name.
        created: seconds since 1970.
        used: the same, of its last commit or opening.
        head: its last commit.
        origin: the space that it was forked from, or empty.
        fresh: whether it has no commit of its own yet.
    """

    handle: str
    created: float
    used: float
    head: Commit
    origin: str
    fresh: bool


@dataclass
class Writer:
    """The right to add commits to one space, and the segment that takes their pages."""

    handle: str
    lock: SpaceLock
    segment: Segment | None = None
    file: int = 0
    since_keyframe: int = field(default=0)


class Store:
    """Spaces, commits and page data in a home folder. Its methods may be called by any thread.

    Args:
        home: the folder; made if it is missing.
        sync: whether a commit survives the loss of power, and not only the death of processes.

    Attributes:
        answers: of sub-models, and what spaces spent on them.

    Raises:
        StoreError: the folder cannot be used.
    """

    def __init__(self, home: Path, *, sync: bool = False) -> None:
        self.home = home
        self._sync = sync
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in ("pages", "locks"):
                (home / name).mkdir(mode=0o700, exist_ok=True)
            probe = home / f".probe-{os.getpid()}"
            probe.touch(mode=0o600)
            probe.unlink()
        except OSError as error:
            raise StoreError(
                f"the home folder {home} cannot be written ({error.strerror}); set RLM_MCP_HOME "
                "to a folder that you can write to"
            ) from error
        self._path = home / "store.sqlite"
        self._database = Database(self._path, sync=sync)
        self.answers = Answers(self._database)
        self.views = ViewRows(self._database)
        """Which files views stand for."""
        self._writers: dict[str, Writer] = {}

    # Spaces ------------------------------------------------------------------------------

    def spaces(self) -> list[SpaceRow]:
        """All spaces, the last used first."""
        rows = self._database.rows(f"{_SPACES} ORDER BY s.used DESC")
        return [_space_of(row) for row in rows]

    def space(self, handle: str) -> SpaceRow | None:
        """A space by its handle."""
        row = self._database.row(f"{_SPACES} WHERE s.handle = ?", handle)
        return _space_of(row) if row is not None else None

    def create(
        self, handle: str, image: Path, digest: str, size: int, stop: StopPoint | None, guest: str
    ) -> None:
        """Make a space whose first state is a base image; the image becomes part of the store.

        Args:
            handle: of the new space.
            image: the base image.
            digest: its SHA-256.
            size: its bytes.
            stop: where code is stopped in it.
            guest: version of the project's code in it.

        Raises:
            SpaceError: the handle is taken.
            StoreError: the disk is full, or the image is damaged.
        """
        root = self._root(image, digest, size, stop, guest)
        self._insert_space(handle, root, "")

    def _insert_space(self, handle: str, head: int, origin: str) -> None:
        now = time.time()
        with self._database.transaction():
            if self._database.row("SELECT 1 FROM spaces WHERE handle = ?", handle):
                raise SpaceError(f"space `{handle}` exists already; open it or choose another name")
            # A deletion of an earlier space of this name may have been cut short.
            self._database.change("DELETE FROM spans WHERE space = ?", handle)
            self._database.change(
                "INSERT INTO spaces (handle, created, used, head, origin) VALUES (?, ?, ?, ?, ?)",
                handle, now, now, head, origin,
            )  # fmt: skip

    def _root(self, image: Path, digest: str, size: int, stop: StopPoint | None, guest: str) -> int:
        name = f"{digest[:32]}.image"
        row = self._database.row(
            "SELECT c.id FROM commits c JOIN files f ON f.id = c.file "
            "WHERE c.parent IS NULL AND f.name = ? AND c.guest = ? AND c.label = 'new'",
            name, guest,
        )  # fmt: skip
        target = self.home / "pages" / name
        if row is not None and target.exists() and target.stat().st_size == size:
            return int(row["id"])
        copy_image(image, target, digest)
        descriptor = os.open(target, os.O_RDONLY)
        try:
            known = identity(descriptor)
        finally:
            os.close(descriptor)
        with self._database.transaction():
            self._database.change(
                "INSERT INTO files (name, identity) VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET identity = excluded.identity",
                name, known,
            )  # fmt: skip
            found = self._database.row("SELECT id FROM files WHERE name = ?", name)
            assert found is not None
            file, pages = int(found["id"]), size // PAGE
            self._database.change(
                "INSERT OR REPLACE INTO sections (file, origin, pages, digest) VALUES (?, 0, ?, ?)",
                file, pages, digest,
            )  # fmt: skip
            if row is not None:
                return int(row["id"])
            return self._database.change(
                "INSERT INTO commits (parent, created, label, execution, size, monotonic, stop, "
                "guest, file, runs, pages, layout) "
                "VALUES (NULL, ?, 'new', 0, ?, 0, ?, ?, ?, ?, 0, ?)",
                time.time(), size, stop_text(stop), guest, file, b"",
                Layout([Run(0, pages, file, 0)]).pack(),
            )  # fmt: skip

    def delete(self, handle: str) -> None:
        """Forget a space that nobody holds; what only it needed is removed by `tidy`.

        Raises:
            SpaceError: another server holds it.
        """
        lock = SpaceLock(self.home / "locks", handle)
        try:
            self._database.change("DELETE FROM spaces WHERE handle = ?", handle)
            with contextlib.closing(self.spans()) as spans:
                spans.remove(handle)
            (self.home / "locks" / f"{handle}.lock").unlink(missing_ok=True)
        finally:
            lock.release()

    def commit_of_space(self, handle: str, number: int) -> Commit:
        """A commit that is part of a space: one that it made, or one that led to it.

        Raises:
            SpaceError: it is not, or is no longer kept.
        """
        row = self._database.row("SELECT * FROM commits WHERE id = ?", number)
        if row is not None and row["space"] == handle:
            return commit_of(row)
        for commit in self.history(handle):
            if commit.id == number:
                return commit
        raise SpaceError(
            f"space `{handle}` has no commit {number}, or it is no longer kept; "
            f'spaces(action="info", space="{handle}") lists those that are'
        )

    def fork(self, source: str, handle: str, commit: int | None = None) -> Commit:
        """Make a space that begins where another is.

        Args:
            source: the other space; it may be in use.
            handle: of the new one.
            commit: the state to begin at, if not the last.

        Raises:
            SpaceError: the handle is taken, or the other space or commit is unknown.
        """
        head = self._required(source).head
        found = head if commit is None else self.commit_of_space(source, commit)
        self._insert_space(handle, found.id, source)
        return found

    def _required(self, handle: str) -> SpaceRow:
        found = self.space(handle)
        if found is None:
            raise SpaceError(f"there is no space `{handle}`")
        return found

    def root(self, image: Path, digest: str, size: int, stop: StopPoint | None, guest: str) -> int:
        """The commit that is a base image as it is; arguments as for `create`."""
        return self._root(image, digest, size, stop, guest)

    def keep_artefact(self, module: str, files: Sequence[Path]) -> None:
        """Keep what spaces are run with, so that they can be read after an upgrade of it.

        The files are linked where that is possible and copied where it is not.

        Args:
            module: SHA-256 of the guest's module.
            files: its module and its library.

        Raises:
            StoreError: the disk is full.
        """
        folder = self.artefact(module)
        if folder.is_dir():
            return
        part = folder.with_name(f"{folder.name}.part{os.getpid()}")
        try:
            part.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in files:
                link_or_copy(path, part / path.name)
            with contextlib.suppress(FileExistsError, OSError):
                part.rename(folder)
        except OSError as error:
            raise explained(error) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def artefact(self, module: str) -> Path:
        """Where the files of an artefact are kept, if they are."""
        return self.home / "artefacts" / module[:16]

    # History -----------------------------------------------------------------------------

    def history(self, handle: str) -> list[Commit]:
        """The commits that lead to a space's present state, the newest first."""
        return ancestors(self._database, self._required(handle).head.id)

    def move_head(self, handle: str, commit: int) -> Commit:
        """Make another commit the present state of a space.

        Raises:
            StoreError: the commit is not kept.
        """
        found = get_commit(self._database, commit)
        self._database.change(
            "UPDATE spaces SET head = ?, used = ? WHERE handle = ?", commit, time.time(), handle
        )
        if handle in self._writers:
            self._writers[handle].since_keyframe = depth(self._database, commit)
        return found

    def checkpoint(self, handle: str, name: str) -> Commit:
        """Give the present state of a space a name; the name moves if it was given before."""
        head = self._required(handle).head
        self._database.change(
            "INSERT OR REPLACE INTO checkpoints (space, name, head) VALUES (?, ?, ?)",
            handle, name, head.id,
        )  # fmt: skip
        return head

    def checkpoints(self, handle: str) -> dict[str, int]:
        """The named states of a space: name to commit."""
        rows = self._database.rows("SELECT name, head FROM checkpoints WHERE space = ?", handle)
        return {row["name"]: row["head"] for row in rows}

    # Opening -----------------------------------------------------------------------------

    def open(self, number: int) -> Opened:
        """Make a commit ready to be mapped; a damaged one gives way to the newest sound one.

        Raises:
            StoreError: no commit of this line is sound.
        """
        return open_commit(self._database, self.home / "pages", number, self._is_active)

    def _is_active(self, file: int) -> bool:
        return any(writer.file == file for writer in list(self._writers.values()))

    # Committing --------------------------------------------------------------------------

    def hold(self, handle: str) -> Writer:
        """Take the right to write to a space.

        Raises:
            SpaceError: another server has it, or there is no such space.
        """
        if handle in self._writers:
            return self._writers[handle]
        lock = SpaceLock(self.home / "locks", handle)
        try:
            head = self._required(handle).head
            since = depth(self._database, head.id)
            # Whoever began these held the space, and is gone.
            self._database.change(
                "UPDATE spans SET status = ? WHERE space = ? AND status = 'running'",
                INTERRUPTED, handle,
            )  # fmt: skip
        except BaseException:
            lock.release()
            raise
        writer = Writer(handle, lock, since_keyframe=since)
        self._writers[handle] = writer
        return writer

    def held(self, handle: str) -> bool:
        """Whether a server has the right to write to a space."""
        if handle in self._writers:
            return True
        try:
            SpaceLock(self.home / "locks", handle, shared=True).release()
        except SpaceError:
            return True
        return False

    def release(self, writer: Writer) -> None:
        """Give up the right to write; may be called twice."""
        self._writers.pop(writer.handle, None)
        if writer.segment is not None:
            writer.segment.close()
            writer.segment = None
        writer.lock.release()

    def commit(
        self,
        writer: Writer,
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
        """Add a commit to a space and make it its present state.

        Args:
            writer: from `hold`.
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
        segment = self._segment(writer)
        origin, digest = segment.append(source, pages) if pages else (segment.pages, "")
        _faults.point("commit:pages")
        runs = runs_of(changed, writer.file, origin)
        parent = self._required(writer.handle).head
        keyframe: bytes | None = None
        now = time.time()
        with self._database.transaction():
            if writer.since_keyframe + 1 >= KEYFRAME_EVERY:
                # Within the transaction: another server may be moving pages to other files.
                layout = layout_at(self._database, parent.id)
                for run in runs:
                    layout.overlay(run)
                keyframe = layout.pack()
            if pages:
                self._database.change(
                    "INSERT INTO sections (file, origin, pages, digest) VALUES (?, ?, ?, ?)",
                    writer.file, origin, pages, digest,
                )  # fmt: skip
            number = self._database.change(
                "INSERT INTO commits (parent, created, label, execution, size, monotonic, stop, "
                "guest, file, runs, pages, layout, space) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                parent.id, now, label, execution, size, monotonic_ns,
                stop_text(stop or parent.stop), guest or parent.guest, writer.file, runs.pack(),
                pages, keyframe, writer.handle,
            )  # fmt: skip
            self._database.change(
                "UPDATE files SET identity = ? WHERE id = ?",
                identity(segment.descriptor), writer.file,
            )  # fmt: skip
            self._database.change(
                "UPDATE spaces SET head = ?, used = ?, fresh = 0 WHERE handle = ?",
                number, now, writer.handle,
            )  # fmt: skip
            _faults.point("commit:row")
        _faults.point("commit:done")
        writer.since_keyframe = 0 if keyframe else writer.since_keyframe + 1
        return get_commit(self._database, number), writer.file, origin

    def _segment(self, writer: Writer) -> Segment:
        if writer.segment is not None and writer.segment.pages < SEGMENT_PAGES:
            return writer.segment
        name = f"{uuid.uuid4().hex}.pages"
        segment = Segment(self.home / "pages" / name, sync=self._sync)
        try:
            file = self._database.change("INSERT INTO files (name) VALUES (?)", name)
        except StoreError:
            segment.close()
            segment.path.unlink(missing_ok=True)
            raise
        if writer.segment is not None:
            writer.segment.close()
        writer.segment, writer.file = segment, file
        return segment

    def open_for_reading(self, file: int) -> int:
        """A descriptor of a file of the store, for reading; the caller closes it."""
        row = self._database.row("SELECT name FROM files WHERE id = ?", file)
        assert row is not None
        return os.open(self.home / "pages" / row["name"], os.O_RDONLY | os.O_CLOEXEC)

    def spans(self, limit: int = 1 << 62) -> SpanTable:
        """The record of what happened, over a connection of its own; the caller closes it.

        Args:
            limit: bytes that it is kept within when something is written to it.

        Raises:
            StoreError: the database cannot be opened.
        """
        return SpanTable(self._path, limit)

    # Keeping small -----------------------------------------------------------------------

    def tidy(self, *, entries: int, size: int) -> _history.Tidied:
        """Forget history beyond a budget, write sparse segments anew, remove unused files.

        Args:
            entries: how many commits to keep of each space.
            size: bytes of commits to keep of each space; the last commit is always kept.

        Returns:
            What was removed.
        """
        active = {
            writer.file for writer in list(self._writers.values()) if writer.segment is not None
        }
        tidied = _history.tidy(
            self._database, self.home / "pages", active, entries=entries, size=size
        )
        for writer in list(self._writers.values()):
            row = self.space(writer.handle)
            if row is not None:
                writer.since_keyframe = depth(self._database, row.head.id)
        return tidied

    def usage(self) -> tuple[int, int]:
        """Bytes that the page data takes on disk, and how many files it is in."""
        found = [path.stat() for path in (self.home / "pages").iterdir()]
        return sum(stat.st_blocks * 512 for stat in found), len(found)

    def close(self) -> None:
        """Release every space and close the database; may be called twice."""
        for writer in list(self._writers.values()):
            self.release(writer)
        self._database.close()


def _space_of(row: sqlite3.Row) -> SpaceRow:
    return SpaceRow(
        handle=row["handle"],
        created=row["began"],
        used=row["used"],
        head=commit_of(row),
        origin=row["origin"],
        fresh=bool(row["fresh"]),
    )
