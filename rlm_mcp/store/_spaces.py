"""Spaces as rows: their handles, their heads, and the names of their states."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass

from ..errors import SpaceError
from ._commits import Commit, ancestors, commit_of, get_commit
from ._database import Database

_SPACES = (
    "SELECT c.*, s.handle, s.created AS began, s.used, s.origin, s.fresh "
    "FROM spaces s JOIN commits c ON c.id = s.head"
)


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


class SpaceRows:
    """The spaces of a store.

    Args:
        database: of the store.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[SpaceRow]:
        """All of them, the last used first."""
        rows = self._database.rows(f"{_SPACES} ORDER BY s.used DESC")
        return [_space_of(row) for row in rows]

    def get(self, handle: str) -> SpaceRow | None:
        """A space by its handle."""
        row = self._database.row(f"{_SPACES} WHERE s.handle = ?", handle)
        return _space_of(row) if row is not None else None

    def required(self, handle: str) -> SpaceRow:
        """A space that there is.

        Raises:
            SpaceError: there is none.
        """
        found = self.get(handle)
        if found is None:
            raise SpaceError(f"there is no space `{handle}`")
        return found

    def insert(self, handle: str, head: int, origin: str) -> None:
        """Make a space.

        Args:
            handle: its name.
            head: its first commit.
            origin: the space that it is forked from, or empty.

        Raises:
            SpaceError: the handle is taken.
        """
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

    def remove(self, handle: str) -> None:
        """Forget a space; its commits stay until the store is tidied."""
        self._database.change("DELETE FROM spaces WHERE handle = ?", handle)

    # States --------------------------------------------------------------------------------

    def history(self, handle: str) -> list[Commit]:
        """The commits that lead to a space's present state, the newest first."""
        return ancestors(self._database, self.required(handle).head.id)

    def commit(self, handle: str, number: int) -> Commit:
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

    def move_head(self, handle: str, commit: int) -> Commit:
        """Make another commit the present state of a space.

        Raises:
            StoreError: the commit is not kept.
        """
        found = get_commit(self._database, commit)
        self._database.change(
            "UPDATE spaces SET head = ?, used = ? WHERE handle = ?", commit, time.time(), handle
        )
        return found

    def checkpoint(self, handle: str, name: str) -> Commit:
        """Give the present state of a space a name; the name moves if it was given before."""
        head = self.required(handle).head
        self._database.change(
            "INSERT OR REPLACE INTO checkpoints (space, name, head) VALUES (?, ?, ?)",
            handle, name, head.id,
        )  # fmt: skip
        return head

    def checkpoints(self, handle: str) -> dict[str, int]:
        """The named states of a space: name to commit."""
        rows = self._database.rows("SELECT name, head FROM checkpoints WHERE space = ?", handle)
        return {row["name"]: row["head"] for row in rows}


def _space_of(row: sqlite3.Row) -> SpaceRow:
    return SpaceRow(
        handle=row["handle"],
        created=row["began"],
        used=row["used"],
        head=commit_of(row),
        origin=row["origin"],
        fresh=bool(row["fresh"]),
    )
