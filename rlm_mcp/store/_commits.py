"""Commits as values, and what a memory looks like at one."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, dataclass

from ..errors import StoreError
from ..worker._interrupt import StopPoint
from ..worker._layout import Layout, Run, unpack
from ._database import Database

KEYFRAME_EVERY = 64
"""Commits between two that carry their whole layout, so that opening never walks further."""


@dataclass(frozen=True)
class Commit:
    """One state of a space.

    Args:
        id: larger for later ones.
        parent: the state before, or `None` where history begins.
        created: seconds since 1970.
        label: what made it, in a few words.
        execution: how many executions led to it.
        size: bytes of the memory.
        monotonic_ns: the guest's monotonic clock.
        stop: where code is stopped.
        guest: version of the project's code inside.
        pages: how many pages it added to the disk.
    """

    id: int
    parent: int | None
    created: float
    label: str
    execution: int
    size: int
    monotonic_ns: int
    stop: StopPoint | None
    guest: str
    pages: int


def commit_of(row: sqlite3.Row) -> Commit:
    """A row of the table `commits` as a value."""
    stop = json.loads(row["stop"])
    return Commit(
        id=row["id"],
        parent=row["parent"],
        created=row["created"],
        label=row["label"],
        execution=row["execution"],
        size=row["size"],
        monotonic_ns=row["monotonic"],
        stop=StopPoint(**stop) if stop else None,
        guest=row["guest"],
        pages=row["pages"],
    )


def stop_text(stop: StopPoint | None) -> str:
    """A stop point as the table `commits` holds it."""
    return json.dumps(asdict(stop) if stop else None)


def get_commit(database: Database, number: int) -> Commit:
    """A commit by its id.

    Raises:
        StoreError: there is none.
    """
    row = database.row("SELECT * FROM commits WHERE id = ?", number)
    if row is None:
        raise StoreError(f"commit {number} is no longer kept")
    return commit_of(row)


def ancestors(database: Database, head: int) -> list[Commit]:
    """A commit and those before it, the newest first."""
    rows = database.rows(
        """
        WITH RECURSIVE line (id) AS (
            SELECT ? UNION ALL
            SELECT parent FROM commits JOIN line USING (id) WHERE parent IS NOT NULL
        )
        SELECT commits.* FROM commits JOIN line USING (id) ORDER BY id DESC
        """,
        head,
    )
    return [commit_of(row) for row in rows]


def layout_at(database: Database, number: int) -> Layout:
    """Where each page of the memory lies at a commit; files are numbered by their ids.

    Raises:
        StoreError: the commit, or one that it needs, is gone.
    """
    rows = database.rows(
        """
        WITH RECURSIVE line (id, parent, file, runs, layout) AS (
            SELECT id, parent, file, runs, layout FROM commits WHERE id = ?
            UNION ALL
            SELECT c.id, c.parent, c.file, c.runs, c.layout FROM commits c
            JOIN line ON c.id = line.parent WHERE line.layout IS NULL
        )
        SELECT * FROM line ORDER BY id
        """,
        number,
    )
    if not rows or rows[0]["layout"] is None:
        raise StoreError(f"commit {number} is no longer whole")
    layout = Layout(unpack(rows[0]["layout"]))
    for row in rows[1:]:
        for run in unpack(row["runs"]):
            layout.overlay(run)
    return layout


def depth(database: Database, number: int) -> int:
    """How many commits lie between a commit and the layout it builds on."""
    row = database.row(
        """
        WITH RECURSIVE line (id, parent, layout, depth) AS (
            SELECT id, parent, layout, 0 FROM commits WHERE id = ?
            UNION ALL
            SELECT c.id, c.parent, c.layout, line.depth + 1 FROM commits c
            JOIN line ON c.id = line.parent WHERE line.layout IS NULL
        )
        SELECT MAX(depth) AS depth FROM line
        """,
        number,
    )
    return int(row["depth"] or 0) if row else 0


def runs_of(changed: tuple[tuple[int, int], ...], file: int, origin: int) -> Layout:
    """The runs of changed pages that were appended to a file at a page."""
    layout = Layout()
    for page, count in changed:
        layout.overlay(Run(page, count, file, origin))
        origin += count
    return layout
