"""Which files views stand for, by an id that nobody can guess."""

from __future__ import annotations

import datetime
import os
import secrets
import time
from dataclasses import dataclass

from ._database import Database

MAX_VIEWS = 10_000
"""Rows kept; those that were not used for longest go first. One is some 400 bytes."""
_USED_EVERY = 3600.0


@dataclass(frozen=True)
class ViewRow:
    """A file as it was when it was loaded or refreshed.

    Args:
        id: the view's, which is the right to read the file.
        lineage: the id of the first of the views that this one grew from, each of which is a
            beginning of the next.
        path: absolute, with links resolved.
        named: how the caller named it.
        inode: of the file, as the next four.
        size: bytes.
        mtime_ns: nanoseconds since the epoch.
        head: SHA-256 of its beginning.
        tail: SHA-256 of its end.
    """

    id: str
    lineage: str
    path: str
    named: str
    inode: int
    size: int
    mtime_ns: int
    head: str
    tail: str

    @property
    def modified(self) -> str:
        """The time of its last change in words, in UTC and whole seconds; empty if it is none."""
        try:
            moment = datetime.datetime.fromtimestamp(self.mtime_ns // 10**9, datetime.UTC)
        except (OverflowError, ValueError, OSError):  # of a year that no calendar has
            return ""
        return moment.isoformat()


class ViewRows:
    """The rows; its methods may be called by any thread.

    Args:
        database: of the store.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, id: str) -> ViewRow | None:
        """A view by its id."""
        row = self._database.row("SELECT * FROM views WHERE id = ?", id)
        if row is None:
            return None
        now = time.time()
        if now - row["used"] > _USED_EVERY:
            self._database.change("UPDATE views SET used = ? WHERE id = ?", now, id)
        return ViewRow(
            row["id"], row["lineage"], os.fsdecode(row["path"]), row["named"], int(row["inode"]),
            row["size"], row["mtime"], row["head"], row["tail"],
        )  # fmt: skip

    def newest(self, path: str) -> ViewRow | None:
        """The view of a path that was made last."""
        row = self._database.row(
            "SELECT id FROM views WHERE path = ? ORDER BY made DESC LIMIT 1", os.fsencode(path)
        )
        return self.get(row["id"]) if row is not None else None

    def add(
        self,
        *,
        lineage: str | None,
        path: str,
        named: str,
        inode: int,
        size: int,
        mtime_ns: int,
        head: str,
        tail: str,
    ) -> ViewRow:
        """Make a view; arguments as in `ViewRow`, a `lineage` of `None` begins one.

        Raises:
            StoreError: the disk is full.
        """
        id = secrets.token_hex(16)
        named = named.encode("utf-8", "replace").decode()
        row = ViewRow(id, lineage or id, path, named, inode, size, mtime_ns, head, tail)
        now = time.time()
        with self._database.transaction():
            # An inode may need all 64 bits, and the database has 63.
            self._database.change(
                "INSERT INTO views (id, lineage, path, named, inode, size, mtime, head, tail, "
                "made, used) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                id, row.lineage, os.fsencode(path), named, str(inode), size, mtime_ns, head, tail,
                now, now,
            )  # fmt: skip
            self._database.change(
                "DELETE FROM views WHERE id IN "
                "(SELECT id FROM views ORDER BY used DESC LIMIT -1 OFFSET ?)",
                MAX_VIEWS,
            )
        return row
