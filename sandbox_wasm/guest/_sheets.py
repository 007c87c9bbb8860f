"""Spreadsheets: a DataFrame for each sheet."""

from __future__ import annotations

import datetime
import json
from importlib import import_module
from typing import Any

from ._bounds import open_zip
from ._outside import parsed
from ._part import Part
from ._text import LoadError


def xlsx_sheets(part: Part) -> dict[str, Any]:
    """The sheets of a workbook (.xlsx, .xlsb, .ods, or .xls of Excel 97 and later), by their names.

    Formulas come as the values that were saved with them.

    Raises:
        LoadError: it is damaged, or is no workbook.
    """
    if part.head(4) == b"PK\x03\x04":
        open_zip(part).close()  # for its bounds
    try:
        data = parsed(part, "xlsx")
    except LoadError as error:
        cause = str(error).rstrip(".")
        hint = "Get it again, or load it with format='bytes'."
        raise part.error(f"it is no workbook that can be read ({cause}). {hint}") from None
    sheets: dict[str, Any] = {}
    for line in data.split(b"\n") if data else ():
        name, rows = json.loads(line, object_hook=_cell)
        sheets[name] = _frame(rows)
        part.input.wipe(line)
    part.input.wipe(data)
    if empty := [name for name, frame in sheets.items() if frame.empty]:
        more = ", ..." if len(empty) > 3 else ""
        part.note(f"Sheets without rows: {', '.join(map(repr, empty[:3]))}{more}.")
    return sheets


def _cell(found: dict[str, Any]) -> Any:
    """A date, a time of day or a duration, which the helper writes as an object."""
    ((kind, value),) = found.items()
    if kind == "t":
        return datetime.datetime.fromisoformat(value)
    if kind == "c":
        return datetime.time.fromisoformat(value)
    days, seconds, microseconds = value
    return datetime.timedelta(days, seconds, microseconds)


def _frame(rows: list[list[Any]]) -> Any:
    """What pandas makes of the rows of a sheet: the first are the names of the columns."""
    pandas: Any = import_module("pandas")
    parsers: Any = import_module("pandas.io.parsers")
    if not rows:
        return pandas.DataFrame()
    width = max(map(len, rows))
    for row in rows:
        row[:] = ["" if cell is None else cell for cell in row]
        row += [""] * (width - len(row))
    try:
        return parsers.TextParser(rows, header=0).read()
    except pandas.errors.EmptyDataError:
        return pandas.DataFrame()
