"""The record of what happened: rows of the table `spans`, bounded by bytes.

A span's id is `TREE-NUMBER`: 32 hexadecimal digits that all spans of one tree share and that grow
with time, and 16 that grow within the tree. So a tree is one range of the table, the oldest
trees are at its beginning, and a parent stands before its children.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._database import Database

RUNNING = "running"
"""Status of a span that has not ended. `Store.hold` makes it `INTERRUPTED`, since whoever began
it has lost the space."""
INTERRUPTED = "interrupted"
TREE = 32
"""Characters of an id that name its tree."""
_ROW_BYTES = 300
"""About what a row takes beside its detail: ids, and its places in indices (by the schema)."""
_PAGE = 500
"""Rows read or removed at once; few, since commits wait while rows are being removed."""
_TRIMMED = 7 / 8
"""Part of the bound that is left after the oldest trees have gone (a guess)."""
_CHECK_AFTER = 1 / 32
"""Part of the bound after which the whole is measured again (a guess)."""

_WRITE = (
    "INSERT INTO spans (id, parent, space, kind, started, seconds, status, size, detail) "
    "SELECT * FROM (VALUES {rows}) "
    "WHERE EXISTS (SELECT 1 FROM spaces WHERE handle = column3) "
    "ON CONFLICT (id) DO UPDATE SET seconds = excluded.seconds, status = excluded.status, "
    "size = excluded.size, detail = excluded.detail"
)


@dataclass(frozen=True, slots=True)
class SpanRow:
    """Something that happened in a space, and how long it took.

    Args:
        id: of it.
        parent: the id of the span that it is a part of, or `None` at the top of a tree.
        space: handle of the space.
        kind: what it is, such as `execution` or `sub_llm`.
        started: seconds since 1970.
        seconds: it took; `None` if it has not ended.
        status: `running`, `interrupted`, `ok`, `failed`, ...
        detail: all else, by name; what JSON can hold.
    """

    id: str
    parent: str | None
    space: str
    kind: str
    started: float
    seconds: float | None
    status: str
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def tree(self) -> str:
        """The part of the id that its whole tree shares."""
        return self.id[:TREE]


class SpanTable:
    """The spans of a store, over a connection of its own, so that commits do not wait for it.

    Its methods may be called by any thread. Made by `Store.spans`.

    Args:
        path: of the database, which exists.
        limit: bytes that all spans may take; the oldest trees go first.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self._database = Database(path, sync=False)
        self._limit = limit
        self._unchecked = limit  # what is there already is measured at the first write

    def write(self, rows: Sequence[SpanRow]) -> None:
        """Add spans, or what became of them; those of spaces that do not exist are left out.

        Raises:
            StoreError: the disk is full or the database is damaged; nothing was added.
        """
        values = []
        for row in rows:
            detail = json.dumps(row.detail, ensure_ascii=False, separators=(",", ":"))
            size = len(detail.encode()) + _ROW_BYTES
            self._unchecked += size
            values.append(
                (
                    row.id, row.parent, row.space, row.kind, row.started, row.seconds, row.status,
                    size, detail,
                )
            )  # fmt: skip
        with self._database.transaction():
            self._database.put(_WRITE, values)
        if self._unchecked > self._limit * _CHECK_AFTER:
            self._trim()
            self._unchecked = 0

    def trees(self, space: str, limit: int | None = None) -> tuple[list[str], int]:
        """The trees that a space has a part in, the oldest first.

        Args:
            space: its handle.
            limit: how many of the newest; all if left out.

        Returns:
            The trees, and how many there are in all.
        """
        rows = self._database.rows(
            f"SELECT DISTINCT substr(id, 1, {TREE}) AS tree FROM spans WHERE space = ? "
            "ORDER BY tree DESC",
            space,
        )
        return [row["tree"] for row in rows[:limit]][::-1], len(rows)

    def of_tree(self, tree: str) -> Iterator[SpanRow]:
        """The spans of a tree in the order in which they began, a parent before its children."""
        after, end = tree, f"{tree}~"
        while True:
            rows = self._database.rows(
                "SELECT * FROM spans WHERE id > ? AND id < ? ORDER BY id LIMIT ?",
                after, end, _PAGE,
            )  # fmt: skip
            for row in rows:
                yield SpanRow(
                    row["id"], row["parent"], row["space"], row["kind"], row["started"],
                    row["seconds"], row["status"], json.loads(row["detail"]),
                )  # fmt: skip
            if len(rows) < _PAGE:
                return
            after = rows[-1]["id"]

    def remove(self, space: str) -> None:
        """Remove all spans of a space."""
        while True:
            rows = self._database.rows("SELECT id FROM spans WHERE space = ? LIMIT ?", space, _PAGE)
            self._remove([row["id"] for row in rows])
            if len(rows) < _PAGE:
                return

    def close(self) -> None:
        """Close the connection; may be called twice."""
        self._database.close()

    def _remove(self, ids: Sequence[str]) -> None:
        with self._database.transaction():
            for number in ids:
                self._database.change("DELETE FROM spans WHERE id = ?", number)

    def _trim(self) -> None:
        """Remove the oldest trees if all spans take more than they may.

        Of a tree that is being written, and of the newest, only parts that have ended go, the
        oldest first; what they were part of stays.
        """
        found = self._database.row("SELECT SUM(size) AS size, MAX(id) AS newest FROM spans")
        assert found is not None
        total = found["size"] or 0
        if total <= self._limit:
            return
        excess = total - int(self._limit * _TRIMMED)
        newest = found["newest"][:TREE]
        running = self._database.rows("SELECT id FROM spans WHERE status = ?", RUNNING)
        kept = {newest, *(row["id"][:TREE] for row in running)}
        after, tree = "", ""
        while True:
            rows = self._database.rows(
                "SELECT id, parent, size, status FROM spans WHERE id > ? ORDER BY id LIMIT ?",
                after, _PAGE,
            )  # fmt: skip
            doomed = []
            for row in rows:
                after = row["id"]
                if excess <= 0 and (after[:TREE] != tree or tree in kept):
                    rows = []
                    break
                tree = after[:TREE]
                if row["status"] == RUNNING or (tree == newest and row["parent"] is None):
                    continue
                doomed.append(after)
                excess -= row["size"]
            self._remove(doomed)
            if len(rows) < _PAGE:
                return
