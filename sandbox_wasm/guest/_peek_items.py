"""Ranges of what has items: containers, ranges and tables, with the way to each item."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from ._call import Call, Shown, quoted
from ._fit import clip, escape
from ._kinds import base_of, length_of, table_kind
from ._lines import as_text, is_text, plain
from ._render import short

_ROW = 300  # characters of an item among others


def items_of(value: Any) -> "Container | Table | None":
    """The value as items, or None where it has none."""
    if table_kind(value) and value.ndim > 0:
        return Table(value)
    if is_text(value) or (length_of(value) is None and type(value) is not range):
        return None
    return Container(value)


class Container:
    """A builtin container or a range."""

    def __init__(self, value: Any) -> None:
        self._value = value
        base: Any = base_of(value) or range
        self._base = base
        self.size: int = base.__len__(value)

    def _pairs(self, begin: int, end: int) -> list[tuple[Any, Any]]:
        """Items with their keys or positions."""
        if self._base is dict:
            return list(islice(dict.items(self._value), begin, end))
        if self._base in (list, tuple, range):
            found = self._base.__getitem__(self._value, slice(begin, end))
        else:
            found = islice(self._base.__iter__(self._value), begin, end)
        return list(enumerate(found, begin))

    def subscript(self, key: object) -> str:
        """The subscript that leads to an item; sets have none."""
        if self._base in (set, frozenset):
            return "-"
        return f"[{quoted(key) if type(key) is str else short(key, 200)}]"

    def texts(self, begin: int, end: int) -> Iterator[tuple[Any, Any, bool]]:
        """Key and text of items, and whether offsets in the text are those of the item."""
        for key, value in self._pairs(begin, end):
            exact = is_text(value)
            yield key, plain(value) if exact else short(value, 4_000), exact

    def show(self, call: Call) -> str:
        """A range of items, one in a row, each with its subscript."""
        start, stop = call.bounds(self.size, "item")
        rows: list[str] = []
        room, cut = call.max_chars, ""
        for key, value in self._pairs(start, min(stop, start + room // 4 + 1)):
            where = self.subscript(key)
            share = max(_ROW, call.max_chars // (stop - start)) - len(where) - 1
            row = clip(f"{where} {short(value, min(share, room))}", max(room, 1))
            if rows and (len(row) > room - 1 or room < 40):
                break
            cut = cut or (where if "…" in row or "..." in row else "")
            rows.append(row)
            room -= len(row) + 1
        whole = Call(call.target + cut, space=call.space)
        note = f"; whole: {whole}" if cut not in ("", "-") else ""
        part = Shown("item", start, start + len(rows), stop, self.size)
        return "\n".join(rows) + part.footer(call.but(unit="chars"), note)


class Table:
    """A table, series or array of pandas or numpy, as rows."""

    def __init__(self, value: Any) -> None:
        self._rows = value.iloc if hasattr(value, "iloc") else value
        self._at = ".iloc" if hasattr(value, "iloc") else ""
        self.size = len(value)

    def subscript(self, key: object) -> str:
        """The subscript that leads to a row."""
        return f"{self._at}[{key}]"

    def texts(self, begin: int, end: int) -> Iterator[tuple[Any, Any, bool]]:
        """Position and text of rows, and that offsets in the text are not those of the row."""
        for first in range(begin, end, 1_000):
            rows = self._rows[first : min(end, first + 1_000)]
            cells = _row_texts(rows) if hasattr(rows, "columns") else map(_cell, rows.tolist())
            for i, text in enumerate(cells, first):
                yield i, text, False

    def show(self, call: Call) -> str:
        """A range of rows, as pandas or numpy shows it."""
        start, stop = call.bounds(self.size, "row")
        room = call.max_chars
        count = min(stop - start, max(1, room // 8), 2_000)
        text = self._shown(start, count)
        while len(text) > room and count > 1:
            count = max(1, min(count - 1, count * room // len(text)))
            text = self._shown(start, count)
        part = Shown("row", start, start + count, stop, self.size)
        return clip(escape(text), room) + part.footer(call.but(unit="chars"))

    def _shown(self, start: int, count: int) -> str:
        rows = self._rows[start : start + count]
        if hasattr(rows, "columns"):
            return str(rows.to_string(max_colwidth=80, max_cols=30))
        return str(rows.to_string() if hasattr(rows, "to_string") else rows)


def _row_texts(rows: Any) -> Iterator[str]:
    names = [str(name) for name in rows.columns]
    lists = [rows.iloc[:, i].tolist() for i in range(len(names))]
    for cells in zip(*lists, strict=True):
        yield ", ".join(f"{n}={_cell(c)}" for n, c in zip(names, cells, strict=True))


def _cell(value: object) -> str:
    return as_text(plain(value)) if is_text(value) else short(value, 1_000)
