"""Spreadsheets: a DataFrame for each sheet."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

from ._bounds import BombError, cause, open_zip
from ._part import Part


def xlsx_sheets(part: Part) -> dict[str, Any]:
    """The sheets of a workbook (.xlsx, or .xls of Excel 97 and later), by their names.

    Formulas come as the values that were saved with them.

    Raises:
        LoadError: it is damaged, or is no workbook.
    """
    pandas: Any = import_module("pandas")
    engine = "xlrd"
    if part.head(4) == b"PK\x03\x04":
        engine = "openpyxl"
        open_zip(part).close()  # for its bounds
    try:
        with warnings.catch_warnings(), part.stream() as stream:
            warnings.simplefilter("ignore")  # of styles and extensions that no value depends on
            sheets: dict[str, Any] = pandas.read_excel(stream, sheet_name=None, engine=engine)
    except (BombError, MemoryError):
        raise
    except Exception as error:  # the readers raise what their parts raise
        name = type(error).__name__
        hint = "Get it again, or load it with format='bytes'."
        raise part.error(
            f"it is no workbook that can be read ({name}: {cause(error)}). {hint}"
        ) from None
    if empty := [name for name, frame in sheets.items() if frame.empty]:
        more = ", ..." if len(empty) > 3 else ""
        part.note(f"Sheets without rows: {', '.join(map(repr, empty[:3]))}{more}.")
    return sheets
