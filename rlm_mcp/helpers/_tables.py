"""Parquet and Arrow files, from and to the plain columns that the guest reads.

The form of the columns is described in `rlm_guest._columns`.
"""

from __future__ import annotations

import json
import mmap
import os
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather as feather
import pyarrow.parquet as pq

from ._inside import write_all

_MAX_COLUMNS = 10_000
_LINE = 16 << 20
_UNITS = ("s", "ms", "us", "ns")


def from_parquet(source: int, target: int, limit: int) -> list[str]:
    """Write the columns of a Parquet file."""
    reader = pa.BufferReader(_mapped(source))
    file = pq.ParquetFile(reader, thrift_string_size_limit=64 << 20)
    metadata = file.metadata
    groups = range(metadata.num_row_groups)
    size = sum(metadata.row_group(group).total_byte_size for group in groups)
    _check(metadata.num_rows, metadata.num_columns, size, limit)
    return _write(file.read(use_threads=False), target, limit)


def from_arrow(source: int, target: int, limit: int) -> list[str]:
    """Write the columns of an Arrow IPC or Feather file."""
    data = _mapped(source)
    table = feather.read_table(pa.BufferReader(data), use_threads=False)
    _check(table.num_rows, table.num_columns, table.nbytes, limit)
    return _write(table, target, limit)


def _mapped(source: int) -> pa.Buffer:
    size = os.lseek(source, 0, os.SEEK_END)  # fstat needs a call that is forbidden here
    return pa.py_buffer(mmap.mmap(source, size, prot=mmap.PROT_READ))


def _check(rows: int, columns: int, size: int, limit: int) -> None:
    if columns > _MAX_COLUMNS:
        raise ValueError(f"it has {columns:,} columns; at most {_MAX_COLUMNS:,} can be loaded")
    if max(size, rows) > limit:
        raise ValueError(
            f"its {rows:,} rows take {size:,} bytes, and {limit:,} fit into the space. Write a "
            "part of it into a file of its own"
        )


def _write(table: pa.Table, target: int, limit: int) -> list[str]:
    columns: list[dict[str, Any]] = []
    pieces: list[Any] = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        entry, parts = _parts(_combined(column))
        columns.append({"name": name, "parts": [len(part) for part in parts], **entry})
        pieces += parts
    size = sum(map(len, pieces))
    if size > limit:
        raise ValueError(f"the table takes {size:,} bytes, and {limit:,} fit into the space")
    head = json.dumps({"rows": table.num_rows, "columns": columns}).encode() + b"\n"
    for piece in (head, *pieces):
        write_all(target, piece)
    return []


def _combined(column: pa.ChunkedArray) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    array = column.combine_chunks()
    return array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)


def _parts(array: pa.Array) -> tuple[dict[str, Any], list[Any]]:
    kind = array.type
    mask = [_bytes(pc.cast(pc.is_null(array), pa.uint8()), 1)] if array.null_count else []
    if pa.types.is_date(kind):
        array, kind = pc.cast(array, pa.timestamp("s")), pa.timestamp("s")
    if pa.types.is_float16(kind):
        array, kind = pc.cast(array, pa.float32()), pa.float32()
    if pa.types.is_boolean(kind):
        values = pc.cast(pc.fill_null(array, False), pa.uint8())
        return {"kind": "number", "dtype": "bool"}, [_bytes(values, 1), *mask]
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        filled = pc.fill_null(array, 0) if array.null_count else array
        name = {"float": "float32", "double": "float64"}.get(str(kind), str(kind))
        return {"kind": "number", "dtype": name}, [_bytes(filled, kind.bit_width // 8), *mask]
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        name = "datetime64" if pa.types.is_timestamp(kind) else "timedelta64"
        entry = {"kind": "number", "dtype": f"{name}[{kind.unit}]"}
        if pa.types.is_timestamp(kind) and kind.tz:
            entry["zone"] = kind.tz
        whole = array.view(pa.int64())
        filled = pc.fill_null(whole, 0) if array.null_count else whole
        return entry, [_bytes(filled, 8), *mask]
    if pa.types.is_decimal(kind) or pa.types.is_time(kind):
        array, kind = pc.cast(array, pa.string()), pa.string()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return {"kind": "text"}, [*_text(pc.cast(array, pa.large_string())), *mask]
    lines = (json.dumps(value, default=_plain).encode() for value in array.to_pylist())
    return {"kind": "json"}, [b"\n".join(lines)]


def _bytes(array: pa.Array, width: int) -> memoryview:
    buffer = array.buffers()[1]
    if buffer is None:
        return memoryview(b"")
    return memoryview(buffer)[array.offset * width : (array.offset + len(array)) * width]


def _text(array: pa.LargeStringArray) -> list[Any]:
    _, offsets, data = array.buffers()
    if not len(array):
        return [b"", bytes(8)]
    view = memoryview(offsets).cast("B").cast("q")[array.offset : array.offset + len(array) + 1]
    first, last = view[0], view[-1]
    content = memoryview(data)[first:last] if data is not None else memoryview(b"")
    if not first:
        return [content, view.cast("B")]
    moved = pa.array([place - first for place in view], pa.int64())
    return [content, _bytes(moved, 8)]


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)


def to_parquet(source: int, target: int, _limit: int) -> list[str]:
    """Write a Parquet file of columns."""
    with os.fdopen(os.dup(target), "wb") as file:
        pq.write_table(_table(source), file, compression="zstd")
    return []


def to_arrow(source: int, target: int, _limit: int) -> list[str]:
    """Write an Arrow (Feather) file of columns."""
    with os.fdopen(os.dup(target), "wb") as file:
        feather.write_feather(_table(source), file, compression="zstd")
    return []


def _table(source: int) -> pa.Table:
    """The table that the guest described; nothing that it says is taken for granted."""
    with os.fdopen(os.dup(source), "rb") as file:
        header = json.loads(file.readline(_LINE))
        rows = int(header["rows"])
        names, arrays = [], []
        for column in header["columns"][:_MAX_COLUMNS]:
            parts = [file.read(int(length)) for length in column["parts"]]
            if [len(part) for part in parts] != column["parts"]:
                raise ValueError("the columns are cut short")
            arrays.append(_array(column, parts, rows))
            names.append(str(column["name"]))
    return pa.table(arrays, names=_distinct(names))


def _array(column: dict[str, Any], parts: list[bytes], rows: int) -> pa.Array:
    kind = column["kind"]
    if kind == "json":
        values = [json.loads(line) for line in parts[0].split(b"\n")] if rows else []
        try:
            return pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError):  # values of several types in one column
            return pa.array(
                [None if v is None else v if isinstance(v, str) else json.dumps(v) for v in values]
            )
    if kind == "text":
        data, offsets = pa.py_buffer(parts[0]), pa.py_buffer(parts[1])
        if offsets.size != 8 * (rows + 1):
            raise ValueError("a column of text has too few rows")
        array = pa.Array.from_buffers(pa.large_string(), rows, [None, offsets, data])
        array.validate(full=True)
        return _masked(array, parts[2:], rows)
    name, zone = column["dtype"], column.get("zone")
    if name == "bool":
        array = pc.cast(_fixed(pa.uint8(), parts[0], rows), pa.bool_())
    elif name.startswith(("datetime64[", "timedelta64[")):
        unit = name[name.index("[") + 1 : -1]
        if unit not in _UNITS:
            raise ValueError(f"unknown unit {unit!r}")
        times = pa.timestamp(unit, zone) if name.startswith("d") else pa.duration(unit)
        array = _fixed(times, parts[0], rows)
    else:
        array = _fixed(getattr(pa, name)(), parts[0], rows)
    return _masked(array, parts[1:], rows)


def _fixed(kind: pa.DataType, data: bytes, rows: int) -> pa.Array:
    if len(data) != rows * (kind.bit_width // 8):
        raise ValueError("a column has too few rows")
    return pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(data)])


def _masked(array: pa.Array, mask: list[bytes], rows: int) -> pa.Array:
    if not mask:
        return array
    nulls = pc.cast(_fixed(pa.uint8(), mask[0], rows), pa.bool_())
    return pc.if_else(nulls, pa.scalar(None, array.type), array)


def _distinct(names: list[str]) -> list[str]:
    seen: set[str] = set()
    for index, name in enumerate(names):
        number, free = 1, name
        while free in seen:
            number += 1
            free = f"{name}.{number}"
        seen.add(free)
        names[index] = free
    return names
