"""Tables between the guest and the helper process that reads and writes Parquet and Arrow.

A table is a line of JSON, then the columns' bytes one after another. The line is an object with
`rows` and `columns`; each column has `name`, `kind`, the length of its parts in bytes, and:

- `number`: `dtype`, numpy's name of it; parts: values, and one byte a row where it is null;
- `text`: parts: the UTF-8 of all rows, and int64 offsets of each (rows + 1);
- `json`: parts: one line of JSON a row, for all that is neither.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from typing import Any

from ._json_form import json_line
from ._part import Part

_LINE = 16 << 20
"""Bytes of the first line: some ten thousand columns."""
_NUMBERS = frozenset({
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64",
    "bool", "datetime64[s]", "datetime64[ms]", "datetime64[us]", "datetime64[ns]",
    "timedelta64[s]", "timedelta64[ms]", "timedelta64[us]", "timedelta64[ns]",
})  # fmt: skip


def read_columns(part: Part) -> Any:
    """A DataFrame of what the helper wrote."""
    pandas: Any = import_module("pandas")
    numpy: Any = import_module("numpy")
    stream = part.stream()
    header = json.loads(stream.readline(_LINE))
    rows = int(header["rows"])
    columns: dict[str, Any] = {}
    for column in header["columns"]:
        parts = [stream.read(length) for length in column["parts"]]
        name, kind = _free(str(column["name"]), columns), column["kind"]
        if kind == "number":
            values = numpy.frombuffer(parts[0], dtype=column["dtype"]).copy()
            mask = numpy.frombuffer(parts[1], dtype=bool) if len(parts) > 1 else None
            columns[name] = _with_nulls(pandas, numpy, values, mask)
            if column.get("zone"):
                columns[name] = (
                    pandas.Series(columns[name]).dt.tz_localize("UTC").dt.tz_convert(column["zone"])
                )
        elif kind == "text":
            offsets = numpy.frombuffer(parts[1], dtype="int64").tolist()
            mask = numpy.frombuffer(parts[2], dtype=bool) if len(parts) > 2 else None
            columns[name] = _texts(parts[0], offsets, mask)
        else:
            lines = parts[0].split(b"\n")
            values = numpy.empty(rows, dtype=object)
            for row in range(rows):
                values[row] = json.loads(lines[row])
            columns[name] = values
        for data in parts:
            part.input.wipe(data)
    return pandas.DataFrame(columns, index=pandas.RangeIndex(rows))


def _free(name: str, taken: dict[str, Any]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}.{number}"
    return free


def _with_nulls(pandas: Any, numpy: Any, values: Any, mask: Any) -> Any:
    if mask is None or not mask.any():
        return values
    kind = values.dtype.kind
    if kind in "mM":
        values[mask] = numpy.datetime64("NaT") if kind == "M" else numpy.timedelta64("NaT")
        return values
    if kind == "f":
        values[mask] = numpy.nan
        return values
    # Whole numbers stay whole: as floats they would lose their last digits.
    array = pandas.arrays.BooleanArray if kind == "b" else pandas.arrays.IntegerArray
    return array(values, mask.copy())


def _texts(data: bytes, offsets: list[int], mask: Any) -> list[Any]:
    if data.isascii():
        whole = data.decode("ascii")
        found: list[Any] = [whole[a:b] for a, b in pairwise(offsets)]
    else:
        found = [data[a:b].decode("utf-8", "replace") for a, b in pairwise(offsets)]
    if mask is not None:
        for row in mask.nonzero()[0].tolist():
            found[row] = None
    return found


def write_columns(frame: Any) -> Iterator[bytes]:
    """A DataFrame in pieces that the helper reads."""
    numpy: Any = import_module("numpy")
    columns = []
    pieces: list[bytes] = []
    for name, series in frame.items():
        entry, parts = _column(numpy, series)
        columns.append({"name": str(name), "parts": [len(data) for data in parts], **entry})
        pieces += parts
    yield json.dumps({"rows": len(frame), "columns": columns}).encode() + b"\n"
    yield from pieces


def _column(numpy: Any, series: Any) -> tuple[dict[str, Any], list[bytes]]:
    nulls = series.isna().to_numpy(dtype=bool)
    mask = [nulls.tobytes()] if nulls.any() else []
    zone = getattr(series.dtype, "tz", None)
    if zone is not None:
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    kind = str(series.dtype)
    plain = kind.lower().replace("boolean", "bool")
    if plain in _NUMBERS:
        if kind != plain:  # one of pandas' own types, with its nulls apart
            series = series.fillna(0)
        values = series.to_numpy(dtype=plain)
        entry = {"kind": "number", "dtype": plain}
        if zone is not None:
            entry["zone"] = str(zone)
        return entry, [numpy.ascontiguousarray(values).tobytes(), *mask]
    values = series.astype(object).tolist()
    if all(null or isinstance(value, str) for value, null in zip(values, nulls, strict=True)):
        encoded = [
            b"" if null else value.encode("utf-8", "replace")
            for value, null in zip(values, nulls, strict=True)
        ]
        offsets = numpy.zeros(len(encoded) + 1, dtype="int64")
        numpy.cumsum([len(data) for data in encoded], out=offsets[1:])
        return {"kind": "text"}, [b"".join(encoded), offsets.tobytes(), *mask]
    lines = [
        b"null" if null else json_line(value)
        for value, null in zip(values, _bools(nulls), strict=True)
    ]
    return {"kind": "json"}, [b"\n".join(lines)]


def _bools(array: Any) -> list[bool]:
    found: list[bool] = array.tolist()
    return found
