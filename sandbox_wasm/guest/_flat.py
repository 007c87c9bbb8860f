"""The text in a value, such as a record, and whether it may have changed since it was read."""

from __future__ import annotations

import io
import marshal
import pickle
from typing import Any

from ._chunk import Chunk
from ._kinds import base_of, table_kind
from ._lines import as_text, is_text, plain
from ._render import short
from ._view import is_view

_DEEP = 20
"""Levels of a value whose text is searched (a guess: those of a Kubernetes object are below 15)."""
_VALUES = 500_000
"""That are looked at in a value: those that hold others many times over are without end."""
_LONGEST = 1 << 63  # of whole numbers that are written without being measured first
_FORM = 4
"""Of what `marshal` writes. It notes where something comes again, so what holds itself has an end.
"""
_TELLING = frozenset(
    ("builtins", "collections", "datetime", "decimal", "numpy", "pandas", "uuid", "zoneinfo")
)
"""Packages whose values hand all of themselves to a pickle."""
_COMPILED = "_cython"  # what functions of theirs are of
UNKNOWN = -1
"""The mark of a value that has none."""


def mark_of(value: Any) -> int:
    """A number that differs when anything in a value does, but for one case in 2**32.

    The interpreter writes the value down in C, which takes a fifth of the time of `flat`. Something
    that is referred to from elsewhere may be written in another way; then the value is read again,
    and found to be the same. Dates and tables are pickled; what is of another class has no mark,
    since it may tell less of itself than it shows.
    """
    kind = type(value)
    if kind is str or kind is Chunk:
        return hash(value) << 32 | len(value)
    data: bytes | None
    try:
        data = marshal.dumps(value, _FORM)
    except (ValueError, MemoryError):
        data = _pickled(value)
    return UNKNOWN if data is None else hash(data) << 32 | len(data)


class _Pickler(pickle.Pickler):
    """Pickles what `marshal` writes, and values of the libraries that tell all of themselves."""

    def reducer_override(self, value: Any) -> Any:
        package = type(value).__module__.partition(".")[0]
        if package in _TELLING or package.startswith(_COMPILED):
            return NotImplemented
        raise pickle.PicklingError


def _pickled(value: Any) -> bytes | None:
    written = io.BytesIO()
    try:
        _Pickler(written, pickle.HIGHEST_PROTOCOL).dump(value)
    except Exception:
        return None
    return written.getvalue()


def flat(value: Any) -> str:
    """The text in a value, such as that in the fields of a record; of a view none.

    A table, such as a sheet of a workbook, has a line for each row.
    """
    return _flat(value, _DEEP, [_VALUES])


def _flat(value: Any, deep: int, left: list[int]) -> str:
    # Values come by the million: what JSON has is told by its type alone, the rest is looked at.
    kind = type(value)
    if kind is str:
        return value  # type: ignore[no-any-return]
    if value is None or left[0] < 0:
        return ""
    if kind is dict and deep > 1:
        return _fields(dict.items(value), deep - 1, left)
    if kind is list and deep > 1:
        return _items(value, deep - 1, left)
    if kind is float or kind is bool or (kind is int and -_LONGEST < value < _LONGEST):
        return repr(value)
    return _other(value, deep - 1, left)


def _fields(items: Any, deep: int, left: list[int]) -> str:
    """Fields with what they are called, which those who look for one may know alone."""
    out = []
    left[0] -= len(items)
    for key, value in items:
        text = value if type(value) is str else _flat(value, deep, left)
        name = key if type(key) is str else short(key, 200)
        out.append(f"{name}:\n{text}" if "\n" in text else f"{name}: {text}")
    return "\n".join(out)


def _items(values: Any, deep: int, left: list[int]) -> str:
    left[0] -= len(values)
    return "\n".join([v if type(v) is str else _flat(v, deep, left) for v in values])


def _other(value: Any, deep: int, left: list[int]) -> str:
    if is_view(value):
        return ""
    if is_text(value):
        return as_text(plain(value))
    base: Any = base_of(value)
    if deep and base is dict:
        return _fields(dict.items(value), deep, left)
    if deep and base in (list, tuple, set, frozenset):
        return _items(list(base.__iter__(value)), deep, left)
    kind = table_kind(value) if base is None else None
    if kind == "frame":
        return "\n".join([row.replace("\n", " ") for row in rows_of(value)])
    if deep and kind == "series" and value.ndim == 1:
        return _items(value.tolist(), deep, left)
    return short(value, 200)


def rows_of(frame: Any) -> list[str]:
    """The text in each row of a DataFrame; numbers with fractions are none."""
    columns = [frame.iloc[:, i] for i in range(frame.shape[1])]
    cells = [c.astype(str).tolist() for c in columns if c.dtype.kind not in "fc"]
    return [" | ".join(row) for row in zip(*cells, strict=True)]
