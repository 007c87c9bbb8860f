"""The rows of the store: one SQLite database in the home folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import StoreError

_SCHEMA = """
CREATE TABLE files (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    identity TEXT NOT NULL DEFAULT ''
);
CREATE TABLE sections (
    file INTEGER NOT NULL REFERENCES files (id) ON DELETE CASCADE,
    origin INTEGER NOT NULL,
    pages INTEGER NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (file, origin)
) WITHOUT ROWID;
CREATE TABLE commits (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    parent INTEGER REFERENCES commits (id),
    created REAL NOT NULL,
    label TEXT NOT NULL,
    execution INTEGER NOT NULL,
    size INTEGER NOT NULL,
    monotonic INTEGER NOT NULL,
    stop TEXT NOT NULL,
    guest TEXT NOT NULL,
    file INTEGER REFERENCES files (id),
    runs BLOB NOT NULL,
    pages INTEGER NOT NULL,
    layout BLOB,
    space TEXT NOT NULL DEFAULT ''
);
CREATE INDEX commits_by_parent ON commits (parent);
CREATE TABLE spaces (
    handle TEXT PRIMARY KEY,
    created REAL NOT NULL,
    used REAL NOT NULL,
    head INTEGER NOT NULL REFERENCES commits (id),
    origin TEXT NOT NULL DEFAULT '',
    fresh INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE checkpoints (
    space TEXT NOT NULL REFERENCES spaces (handle) ON DELETE CASCADE,
    name TEXT NOT NULL,
    head INTEGER NOT NULL REFERENCES commits (id),
    PRIMARY KEY (space, name)
);
"""

_ANSWERS_AND_SPANS = """
CREATE TABLE answers (
    key TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    created REAL NOT NULL,
    used REAL NOT NULL,
    size INTEGER NOT NULL,
    answer BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX answers_by_use ON answers (used);
CREATE TABLE spending (
    space TEXT PRIMARY KEY REFERENCES spaces (handle) ON DELETE CASCADE,
    calls INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    cached INTEGER NOT NULL DEFAULT 0,
    input_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    usd REAL NOT NULL DEFAULT 0,
    unpriced INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE spans (
    id TEXT PRIMARY KEY,
    parent TEXT,
    space TEXT NOT NULL,
    kind TEXT NOT NULL,
    started REAL NOT NULL,
    seconds REAL,
    status TEXT NOT NULL,
    size INTEGER NOT NULL,
    detail TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX spans_by_space ON spans (space, size);
CREATE INDEX spans_running ON spans (space) WHERE status = 'running';
"""

_VIEWS = """
CREATE TABLE views (
    id TEXT PRIMARY KEY,
    lineage TEXT NOT NULL,
    path BLOB NOT NULL,
    named TEXT NOT NULL,
    inode TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime INTEGER NOT NULL,
    head TEXT NOT NULL,
    tail TEXT NOT NULL,
    made REAL NOT NULL,
    used REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX views_by_path ON views (path, made);
CREATE INDEX views_by_use ON views (used);
"""

# Without row ids a look for any key reads every answer that it passes, whole: 40 ms beside one of
# 12 MB (measured), where it now takes none.
_ANSWERS_BESIDE_KEYS = """
ALTER TABLE answers RENAME TO answers_before;
CREATE TABLE answers (
    key TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    created REAL NOT NULL,
    used REAL NOT NULL,
    size INTEGER NOT NULL,
    answer BLOB NOT NULL
);
INSERT INTO answers (key, model, created, used, size, answer)
    SELECT key, model, created, used, size, answer FROM answers_before;
DROP TABLE answers_before;
CREATE INDEX answers_by_use ON answers (used);
"""

_SECONDS = "ALTER TABLE spending ADD COLUMN seconds REAL NOT NULL DEFAULT 0;\n"

_UPGRADES = (_SCHEMA, _ANSWERS_AND_SPANS, _VIEWS, _ANSWERS_BESIDE_KEYS, _SECONDS)
"""What brings a store from each version to the next, from an empty file on."""
VERSION = len(_UPGRADES)
"""Of the schema. A store of a later version is refused; an older one is upgraded here."""
_VALUES = 999
"""In one statement; older builds of SQLite take no more."""


_ROOM = 1 << 16
"""Bytes: the shared memory of a database takes 32 KiB."""


class Database:
    """A connection that any thread may use, one at a time.

    Args:
        path: of the database; its folder exists.
        sync: whether a transaction survives the loss of power.
        reading: never write: the database is there, and is left as it is.
    """

    def __init__(self, path: Path, *, sync: bool = False, reading: bool = False) -> None:
        self._lock = threading.RLock()
        self._folder = path.parent
        try:
            if not reading:
                _make_private(path)
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro" if reading else path,
                timeout=30, isolation_level=None, check_same_thread=False, uri=reading,
            )  # fmt: skip
            self._connection.row_factory = sqlite3.Row
            if reading:
                self._check_version(path)
                return
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if sync else 'NORMAL'}")
            self._connection.execute("PRAGMA foreign_keys = ON")
            self._prepare(path)
        except sqlite3.Error as error:
            raise _explained(error, self._folder, named=True) from error
        except OSError as error:
            raise StoreError(f"the store {path.parent} cannot be used ({error})") from error

    def _check_version(self, path: Path) -> None:
        if self._version(path) < VERSION:
            raise StoreError(
                f"the store {path.parent} was written by an older rlm-mcp, and this only looks; "
                "`rlm-mcp spaces` brings it up to date"
            )

    def _version(self, path: Path) -> int:
        found = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        if found > VERSION:
            raise StoreError(
                f"the store {path.parent} was written by a newer rlm-mcp (format {found}); "
                "upgrade rlm-mcp, or set RLM_MCP_HOME to another folder"
            )
        return found

    def _prepare(self, path: Path) -> None:
        with self.transaction():
            found = self._version(path)
            for upgrade in _UPGRADES[found:]:
                for statement in upgrade.split(";\n"):
                    if statement.strip():
                        self._connection.execute(statement)
            if found < VERSION:
                self._connection.execute(f"PRAGMA user_version = {VERSION}")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block's changes, or none.

        Raises:
            StoreError: the disk is full or the database is damaged.
        """
        with self._lock:
            nested = self._connection.in_transaction
            try:
                if not nested:
                    self._connection.execute("BEGIN IMMEDIATE")
                yield
                if not nested:
                    self._connection.execute("COMMIT")
            except BaseException as error:
                if not nested and self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise _explained(error, self._folder) from error
                raise

    def rows(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._lock:
            try:
                return self._connection.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                raise _explained(error, self._folder) from error

    def row(self, statement: str, *values: Any) -> sqlite3.Row | None:
        """The first row of a query, if there is one."""
        found = self.rows(statement, *values)
        return found[0] if found else None

    def change(self, statement: str, *values: Any) -> int:
        """Run one statement that changes rows.

        Returns:
            The id of the row that was inserted last.
        """
        with self._lock:
            try:
                return self._connection.execute(statement, values).lastrowid or 0
            except sqlite3.Error as error:
                raise _explained(error, self._folder) from error

    def put(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement that puts rows in, for many at once.

        The interpreter's lock is given away for each statement, and beside a busy event loop it
        takes up to 5 ms until it comes back. An answer in a map of 1,000 waited for its write 120
        ms on average when rows were written one by one, and 50 ms since (on a busy machine).

        Args:
            statement: with `{rows}` where a list of rows belongs, as after `VALUES`.
            rows: all of the same length.
        """
        if not rows:
            return
        marks = f"({', '.join('?' * len(rows[0]))})"
        at_once = max(1, _VALUES // len(rows[0]))
        left = list(rows)
        while left:
            # Powers of two: what SQLite makes of a statement of some KB is kept for each length.
            count = 1 << min(len(left), at_once).bit_length() - 1
            part, left = left[:count], left[count:]
            filled = statement.format(rows=", ".join([marks] * count))
            self.change(filled, *(value for row in part for value in row))

    def close(self) -> None:
        """Close the connection; may be called twice."""
        with self._lock:
            self._connection.close()


def _make_private(path: Path) -> None:
    """Let only the user read it, also in a folder that others can read.

    SQLite gives the files beside it the same rights. A file that is there is not opened: closing
    it would drop the locks that another connection of this process has on it.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    for file in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        with contextlib.suppress(FileNotFoundError, PermissionError):
            if file.stat().st_mode & 0o077:
                file.chmod(0o600)


def _explained(error: sqlite3.Error, folder: Path, *, named: bool = False) -> StoreError:
    where = f" {folder}" if named else ""
    text = str(error)
    if "full" in text or ("disk I/O" in text and _is_full(folder)):
        return StoreError("the disk of RLM_MCP_HOME is full; make room, nothing else is lost")
    if "malformed" in text or "not a database" in text:
        return StoreError(
            f"the database of the store{where} is damaged ({text}); move the folder away, or set "
            "RLM_MCP_HOME to another"
        )
    return StoreError(f"the store{where} cannot be used ({text})")


def _is_full(folder: Path) -> bool:
    """Whether there is no room for what SQLite keeps beside its file, of which it says less."""
    with contextlib.suppress(OSError):
        return shutil.disk_usage(folder).free < _ROOM
    return False
