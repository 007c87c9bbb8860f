"""A store as who looks at it sees it: nothing is written, no space is locked."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ._answers import Spending
from ._commits import Commit
from ._database import Database
from ._locks import is_held
from ._spaces import SpaceRow, SpaceRows
from ._spans import RUNNING, TREE, SpanRow

_COMMIT = "id, parent, created, label, execution, size, monotonic, guest, pages"
"""All of a commit but where its pages lie, which may be large, and where code is stopped."""
_SHAPE = "id, parent, space, kind, started, seconds, status"
"""All of a span but its detail, which holds texts."""
_TOO_LARGE = {"error": "(too large to be shown among others)"}
_VALUES = 500
"""In one query; older builds of SQLite take 999."""


@dataclass(frozen=True, slots=True)
class Step:
    """A commit that a space made, and whether it is part of its present state.

    Args:
        commit: without where code is stopped.
        undone: whether the space went back to before it.
    """

    commit: Commit
    undone: bool


class StoreReader:
    """Reads a store beside servers that write to it. Its methods may be called by any thread.

    Args:
        home: of a store that is there.

    Raises:
        StoreError: there is none, it is damaged, or it is of another version.
    """

    def __init__(self, home: Path) -> None:
        self._locks = home / "locks"
        self._database = Database(home / "store.sqlite", reading=True)
        self._spaces = SpaceRows(self._database)

    def stamp(self) -> int:
        """A number that is another one whenever something was written since; costs next to
        nothing."""
        row = self._database.row("PRAGMA data_version")
        return int(row[0]) if row is not None else 0

    # Spaces ------------------------------------------------------------------------------

    def spaces(self) -> list[SpaceRow]:
        """All spaces, the last used first."""
        return self._spaces.all()

    def space(self, handle: str) -> SpaceRow | None:
        """A space by its handle."""
        return self._spaces.get(handle)

    def forks(self, handle: str) -> list[str]:
        """The spaces that were forked from one, the oldest first."""
        rows = self._database.rows(
            "SELECT handle FROM spaces WHERE origin = ? ORDER BY created", handle
        )
        return [row["handle"] for row in rows]

    def held(self, handle: str) -> bool:
        """Whether a server has the right to write to a space; see `is_held`."""
        return is_held(self._locks, handle)

    def running(self) -> set[str]:
        """The spaces in which something has begun and not ended, as far as is recorded."""
        rows = self._database.rows("SELECT DISTINCT space FROM spans WHERE status = ?", RUNNING)
        return {row["space"] for row in rows}

    def spending(self) -> dict[str, Spending]:
        """What each space has spent; those that have not are left out."""
        names = [item.name for item in fields(Spending)]
        rows = self._database.rows("SELECT * FROM spending")
        return {row["space"]: Spending(*(row[name] for name in names)) for row in rows}

    # Commits -----------------------------------------------------------------------------

    def checkpoints(self, handle: str) -> dict[str, int]:
        """The named states of a space: name to commit."""
        return self._spaces.checkpoints(handle)

    def steps(self, handle: str) -> list[Step]:
        """The commits that a space has made and that are kept, the newest first."""
        line = self._database.rows(
            """
            WITH RECURSIVE line (id) AS (
                SELECT head FROM spaces WHERE handle = ? UNION ALL
                SELECT parent FROM commits JOIN line USING (id) WHERE parent IS NOT NULL
            )
            SELECT id FROM line
            """,
            handle,
        )
        kept = {row["id"] for row in line}
        rows = self._database.rows(
            f"SELECT {_COMMIT} FROM commits WHERE space = ? ORDER BY id DESC", handle
        )
        return [Step(_commit_of(row), row["id"] not in kept) for row in rows]

    # What happened -----------------------------------------------------------------------

    def trees(
        self, space: str, limit: int, *, beyond: str | None = None, oldest_first: bool = False
    ) -> tuple[list[str], int]:
        """Trees of spans that a space has a part in, in order.

        Args:
            space: its handle.
            limit: how many.
            beyond: the tree that they come after in this order; the first ones if left out.
            oldest_first: the order.

        Returns:
            The trees, and how many there are in all.
        """
        sign, order = (">", "ASC") if oldest_first else ("<", "DESC")
        rows = self._database.rows(
            f"""
            WITH found AS MATERIALIZED (
                SELECT DISTINCT substr(id, 1, {TREE}) AS tree FROM spans WHERE space = ?1
            )
            SELECT tree, (SELECT COUNT(*) FROM found) AS total FROM found
            WHERE ?2 IS NULL OR tree {sign} ?2 ORDER BY tree {order} LIMIT ?3
            """,
            space, beyond, limit,
        )  # fmt: skip
        if not rows:
            count = self._database.row(
                f"SELECT COUNT(DISTINCT substr(id, 1, {TREE})) FROM spans WHERE space = ?", space
            )
            return [], int(count[0]) if count is not None else 0
        return [row["tree"] for row in rows], int(rows[0]["total"])

    def span(self, number: str) -> SpanRow | None:
        """A span by its id."""
        row = self._database.row("SELECT * FROM spans WHERE id = ?", number)
        return _span_of(row) if row is not None else None

    def first_of(self, tree: str, space: str) -> str | None:
        """The id of the first span of a tree that belongs to a space."""
        # By the tree's range: the index of spaces would be read as far as the space goes.
        row = self._database.row(
            "SELECT id FROM spans WHERE id > ? AND id < ? AND +space = ? ORDER BY id LIMIT 1",
            tree, _end(tree), space,
        )  # fmt: skip
        return row["id"] if row is not None else None

    def shape(self, tree: str, begin: str, kinds_but: str, limit: int) -> list[SpanRow]:
        """The spans of a tree without their details, in the order in which they began.

        Args:
            tree: that they are of.
            begin: the id to begin with.
            kinds_but: a kind that is left out.
            limit: how many.
        """
        rows = self._database.rows(
            f"SELECT {_SHAPE} FROM spans WHERE id >= ? AND id < ? AND kind != ? ORDER BY id "
            "LIMIT ?",
            begin, _end(tree), kinds_but, limit,
        )  # fmt: skip
        return [_shape_of(row) for row in rows]

    def counts(self, tree: str, begin: str, kind: str) -> dict[str, dict[str, int]]:
        """How many spans of a kind each span has as its parts, by their status.

        Args:
            tree: that they are of.
            begin: the id to begin with.
            kind: of the parts.
        """
        found: dict[str, dict[str, int]] = {}
        for row in self._database.rows(
            "SELECT parent, status, COUNT(*) AS count FROM spans "
            "WHERE id >= ? AND id < ? AND kind = ? GROUP BY parent, status",
            begin, _end(tree), kind,
        ):  # fmt: skip
            found.setdefault(row["parent"], {})[row["status"]] = row["count"]
        return found

    def parts(
        self,
        parents: Collection[str],
        *,
        kind: str | None = None,
        statuses: Sequence[str] | None = None,
        after: str = "",
        limit: int,
    ) -> list[SpanRow]:
        """Parts of spans of one tree, without their details, in the order in which they began.

        Args:
            parents: the ids of the spans, all of one tree.
            kind: of the parts; all if left out.
            statuses: that they may have; any if left out.
            after: the id that they come after.
            limit: how many.
        """
        found: list[SpanRow] = []
        for some in _some(sorted(parents)):
            wanted, given = f"parent IN ({_marks(some)})", list(some)
            if kind is not None:
                wanted, given = f"{wanted} AND kind = ?", [*given, kind]
            if statuses is not None:
                wanted, given = f"{wanted} AND status IN ({_marks(statuses)})", [*given, *statuses]
            rows = self._database.rows(
                f"SELECT {_SHAPE} FROM spans WHERE id > ? AND id < ? AND {wanted} "
                "ORDER BY id LIMIT ?",
                max(after, some[0]), _end(some[0][:TREE]), *given, limit,
            )  # fmt: skip
            found += [_shape_of(row) for row in rows]
        return sorted(found, key=lambda span: span.id)[:limit]

    def details(self, ids: Collection[str], most: int) -> dict[str, dict[str, Any]]:
        """What is known of spans, by their ids; of those that are gone nothing.

        Args:
            ids: of the spans.
            most: bytes of one that are read.
        """
        found: dict[str, dict[str, Any]] = {}
        for some in _some(sorted(ids)):
            for row in self._database.rows(
                "SELECT id, CASE WHEN size <= ? THEN detail END AS detail FROM spans "
                f"WHERE id IN ({_marks(some)})",
                most, *some,
            ):  # fmt: skip
                text = row["detail"]
                found[row["id"]] = _TOO_LARGE if text is None else _detail_of(text)
        return found

    def close(self) -> None:
        """Close the database; may be called twice."""
        self._database.close()


def _end(tree: str) -> str:
    """What lies behind all ids of a tree."""
    return f"{tree}~"


def _some(values: Sequence[str]) -> list[Sequence[str]]:
    return [values[at : at + _VALUES] for at in range(0, len(values), _VALUES)]


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))


def _commit_of(row: sqlite3.Row) -> Commit:
    return Commit(
        row["id"], row["parent"], row["created"], row["label"], row["execution"], row["size"],
        row["monotonic"], None, row["guest"], row["pages"],
    )  # fmt: skip


def _shape_of(row: sqlite3.Row) -> SpanRow:
    return SpanRow(*(row[name] for name in _SHAPE.split(", ")))


def _span_of(row: sqlite3.Row) -> SpanRow:
    return replace(_shape_of(row), detail=_detail_of(row["detail"]))


def _detail_of(text: str) -> dict[str, Any]:
    """The detail of a span; of a damaged row what can be said of it."""
    try:
        found = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"error": "(what is kept of this is damaged)"}
