"""Workbooks to rows, by a library in Rust: .xlsx, .xlsb, .xls and .ods.

What is made is a line of JSON for each sheet: its name and its rows, each a list of cells. A cell
is null, a text, a number, true or false, or an object with one key: `t`, a date with its time in
ISO 8601, `c`, a time of day, or `d`, a duration as days, seconds and microseconds. Rows end with
their last cell that holds something, sheets with their last row that does.
"""

from __future__ import annotations

import datetime
import io
import json
from typing import Any

import python_calamine as calamine

MAX_CELLS = 50_000_000
"""Of the rectangle that a sheet spans: each takes some bytes in a DataFrame, empty or not."""


def sheets(data: bytes, limit: int) -> bytes:
    """The sheets of a workbook as JSON; see above.

    Args:
        data: the file.
        limit: the most bytes that are made of it.

    Raises:
        ValueError: it is no workbook, needs a password, or is out of bounds.
    """
    try:
        book = calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
        lines, size = [], 0
        for sheet in book.sheets_metadata:
            if sheet.typ == calamine.SheetTypeEnum.WorkSheet:
                line = _line(sheet.name, book.get_sheet_by_name(sheet.name))
                size += len(line)
                if size > limit:
                    raise ValueError(f"its values take over {limit:,} bytes, and no more fit")
                lines.append(line)
    except calamine.PasswordError:
        raise ValueError("it needs a password") from None
    except (ValueError, MemoryError):
        raise
    except BaseException as error:  # a panic in Rust is not an Exception
        raise ValueError(f"{str(error) or type(error).__name__}") from None
    return b"\n".join(lines)


def _line(name: str, sheet: Any) -> bytes:
    # Only a rectangle that fits into memory gets this far.
    height, width = (sheet.end[0] + 1, sheet.end[1] + 1) if sheet.end else (0, 0)
    if height * width > MAX_CELLS:
        raise ValueError(
            f"its sheet {name!r} spans {height:,} rows by {width:,} columns, over "
            f"{MAX_CELLS:,} cells"
        )
    rows = [_row(cells) for cells in sheet.to_python(skip_empty_area=False)]
    while rows and not rows[-1]:
        rows.pop()
    return json.dumps([name, rows], ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )


def _row(cells: list[Any]) -> list[Any]:
    row = [_cell(value) for value in cells]
    while row and row[-1] is None:
        row.pop()
    return row


def _cell(value: Any) -> Any:
    kind = type(value)
    if kind is str:
        return value or None
    if kind is float:
        return int(value) if value.is_integer() else value
    if kind is datetime.datetime:
        return {"t": value.isoformat()}
    if kind is datetime.date:
        return {"t": f"{value.isoformat()}T00:00:00"}
    if kind is datetime.time:
        return {"c": value.isoformat()}
    if kind is datetime.timedelta:
        return {"d": [value.days, value.seconds, value.microseconds]}
    return value
