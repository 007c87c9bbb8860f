"""SQLite database files: their tables by name, and queries."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from ._bounds import cause
from ._fit import plural
from ._hits import shown
from ._part import Part

_WRITE_VERSION, _WAL = 18, 2
_SHOWN = 50


@shown
class Database(Mapping[str, Any]):
    """A database, by the names of its tables: `db["orders"]` is a DataFrame.

    It lives in memory: changes do not reach the file that it was loaded from.

    Attributes:
        tables: the number of rows and the columns of each table.
        connection: for anything else that sqlite3 can do.
    """

    def __init__(self, data: bytes) -> None:
        self.connection = sqlite3.connect(":memory:")
        self.connection.deserialize(data)
        # What a file defines is not to run as if the reader had written it.
        self.connection.execute("PRAGMA trusted_schema = OFF")
        self.tables: dict[str, dict[str, Any]] = {}
        query = "SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view') ORDER BY 1"
        for name, kind in self.connection.execute(query).fetchall():
            if not name.startswith("sqlite_"):
                self.tables[name] = self._described(name, kind)

    def _described(self, name: str, kind: str) -> dict[str, Any]:
        quoted = _quoted(name)
        try:
            columns = self.connection.execute(f"PRAGMA table_info({quoted})").fetchall()
            entry: dict[str, Any] = {"columns": {column[1]: column[2] for column in columns}}
            if kind == "table":
                count = self.connection.execute(f"SELECT count(*) FROM {quoted}").fetchone()[0]
                return {"rows": count, **entry}
        except sqlite3.Error as error:
            return {"error": cause(error)}
        return {"view": True, **entry}

    def query(self, sql: str, parameters: Any = ()) -> Any:
        """The rows that a query gives, as a DataFrame."""
        pandas: Any = import_module("pandas")
        cursor = self.connection.execute(sql, parameters)
        columns = [column[0] for column in cursor.description or ()]
        return pandas.DataFrame(cursor.fetchall(), columns=columns)

    def __getitem__(self, name: str) -> Any:
        if name not in self.tables:
            raise KeyError(f"{name!r}; there are: {', '.join(list(self.tables)[:_SHOWN])}")
        return self.query(f"SELECT * FROM {_quoted(name)}")

    def __iter__(self) -> Iterator[str]:
        return iter(self.tables)

    def __len__(self) -> int:
        return len(self.tables)

    def __reduce__(self) -> tuple[Any, ...]:
        return Database, (self.connection.serialize(),)

    def __repr__(self) -> str:
        lines = [
            f"SQLite database, {plural(len(self.tables), 'table')}: "
            "x[name] and x.query(sql) give DataFrames"
        ]
        for name, entry in list(self.tables.items())[:_SHOWN]:
            rows = "view" if "view" in entry else f"{entry.get('rows', 0):,} rows"
            columns = ", ".join(
                f"{key} {kind}".strip() for key, kind in entry.get("columns", {}).items()
            )
            lines.append(f"  {name} ({rows}): {entry.get('error') or columns}")
        return "\n".join(lines)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def sqlite_database(part: Part) -> Database:
    """A database file.

    Raises:
        LoadError: it is damaged, or is none.
    """
    data = part.data()
    if _WAL in data[_WRITE_VERSION : _WRITE_VERSION + 2]:
        # A database in memory has no second file for its log.
        whole = bytearray(data)
        part.input.wipe(data)
        whole[_WRITE_VERSION : _WRITE_VERSION + 2] = b"\1\1"
        data = bytes(whole)
        part.note("The database was in WAL mode: what was only in its -wal file is not there.")
    try:
        database = Database(data)
        checked = database.connection.execute("PRAGMA quick_check(1)").fetchone()
        broken = str(checked[0]) if checked and checked[0] != "ok" else ""
    except sqlite3.Error as error:
        raise part.error(
            f"it is no SQLite database that can be read ({cause(error)}). Load it with "
            "format='bytes'."
        ) from None
    finally:
        part.input.wipe(data)
    if broken:
        part.note(f"The database is damaged ({broken[:150]}); some rows may be missing.")
    return database
