"""Turning a value into the bytes of a file.

Nothing is pickled.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

from . import _figures
from ._columns import write_columns
from ._json_form import SaveError, framed, is_frame, json_text, kind_of, records
from ._page import Page
from ._view import is_view

__all__ = ["FORMATS", "SaveError", "serialize"]

FORMATS = (
    "text", "json", "jsonl", "csv", "tsv", "md", "bytes", "html", "xlsx", "png", "svg", "parquet",
    "arrow",
)  # fmt: skip

_BY_SUFFIX = {
    "json": "json", "geojson": "json", "ipynb": "json", "jsonl": "jsonl", "ndjson": "jsonl",
    "csv": "csv", "tsv": "tsv", "md": "md", "markdown": "md", "txt": "text", "text": "text",
    "log": "text", "html": "html", "htm": "html", "xlsx": "xlsx", "png": "png", "svg": "svg",
}  # fmt: skip
_CHUNK = 4 << 20
_INDENTED = 200_000
"""Characters of JSON up to which it is indented for people."""
_ROWS = 10_000


def serialize(value: Any, format: str, path_suffix: str) -> tuple[Iterator[bytes], str]:
    """Write a value in a format.

    Args:
        value: the value.
        format: `auto` or one of `FORMATS`.
        path_suffix: the suffix of the file's name, which decides what `auto` means.

    Returns:
        The file's content in pieces of a few MB, and the format. Going through the pieces may
        raise too.

    Raises:
        SaveError: the value has no form in this format.
    """
    if is_view(value):
        if format not in ("auto", "text", "bytes"):
            raise SaveError(f"A view is saved as it is, not as {format}: say format='auto'.")
        return (data for _, data in value.blocks()), "bytes" if value.binary else "text"
    if format == "auto":
        format = _recognise(value, path_suffix.lower().removeprefix("."))
    writers: dict[str, Callable[[Any], Iterator[bytes]]] = {
        "text": _text,
        "json": _json,
        "jsonl": _json_lines,
        "csv": lambda value: _table(value, ","),
        "tsv": lambda value: _table(value, "\t"),
        "md": _markdown,
        "bytes": _bytes,
        "html": _html,
        "xlsx": _xlsx,
        "png": lambda value: _image(value, _figures.png_of, "png"),
        "svg": lambda value: _image(value, _figures.svg_of, "svg"),
        "columns": _columns_of,
    }
    if format not in writers:
        raise SaveError(f"There is no format {format!r}. Formats: auto, {', '.join(FORMATS)}.")
    return writers[format](value), format


def _recognise(value: Any, suffix: str) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "bytes"
    if isinstance(value, Page) and _BY_SUFFIX.get(suffix) == "html":
        return "html"
    if isinstance(value, str):
        # Text for a .csv or .jsonl file is what the code has made itself; only JSON is unclear.
        return "json" if _BY_SUFFIX.get(suffix) == "json" and not _is_json(value) else "text"
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    if is_frame(value):
        return "csv"
    if _is_text_list(value):
        return "text"
    return "json"


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("{", "[", '"')):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _text(value: Any) -> Iterator[bytes]:
    if isinstance(value, str):
        return _encoded(value)
    if _is_text_list(value):
        return _joined(line + "\n" for line in value)
    if isinstance(value, (int, float)):
        return iter([f"{value}\n".encode()])
    raise SaveError(
        f"As text a str or a list of str can be saved, not {kind_of(value)}. Say format='json' "
        "(or end the name in .json), or make it a str first."
    )


def _bytes(value: Any) -> Iterator[bytes]:
    if type(value) is bytes:
        return iter([value])
    if isinstance(value, (bytes, bytearray, memoryview)):
        return iter([bytes(value)])
    raise SaveError(
        f"As bytes only bytes can be saved, not {kind_of(value)}. Say format='text' or 'json'."
    )


def _html(value: Any) -> Iterator[bytes]:
    if isinstance(value, Page):
        return _encoded(value.html)
    if isinstance(value, str):
        return _encoded(value)
    text: str = _table_of(value, "html").to_html(index=False)
    return _encoded(f'<!doctype html>\n<meta charset="utf-8">\n{text}\n')


def _image(value: Any, draw: Callable[..., bytes], format: str) -> Iterator[bytes]:
    try:
        return iter([draw(value, None) if format == "png" else draw(value)])
    except _figures.ImageError as error:
        raise SaveError(f"As {format} a figure can be saved: {error}.") from None


def _table_of(value: Any, format: str) -> Any:
    """A DataFrame of anything that is a table."""
    pandas: Any = import_module("pandas")
    if is_frame(value):
        return framed(value)
    if not _is_table(value):
        raise SaveError(
            f"As {format} a DataFrame, a list of dicts or a list of lists can be saved, not "
            f"{kind_of(value)}."
        )
    rows = _rows(value, "table")
    header = next(rows, [])
    return pandas.DataFrame(list(rows), columns=[str(name) for name in header])


def _columns_of(value: Any) -> Iterator[bytes]:
    return write_columns(_table_of(value, "parquet"))


def _xlsx(value: Any) -> Iterator[bytes]:
    """A workbook: of a dict of tables one sheet each, else one sheet."""
    pandas: Any = import_module("pandas")
    sheets = {"Sheet1": value}
    if isinstance(value, Mapping) and value and all(is_frame(sheet) for sheet in value.values()):
        sheets = {str(name): sheet for name, sheet in value.items()}
    out = io.BytesIO()
    # Text that begins with = is text: it may come from anywhere, and a formula can do things.
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    taken: set[str] = set()
    try:
        with pandas.ExcelWriter(
            out, engine="xlsxwriter", engine_kwargs={"options": options}
        ) as writer:
            for name, sheet in sheets.items():
                frame = _plain_cells(_table_of(sheet, "xlsx"))
                frame.to_excel(writer, sheet_name=_sheet_name(name, taken), index=False)
    except ValueError as error:
        raise SaveError(f"The table cannot be a workbook: {str(error)[:300]}.") from None
    return iter([out.getvalue()])


def _plain_cells(frame: Any) -> Any:
    """The table with text for what a cell cannot hold: nested values, times with a zone."""
    frame = frame.copy(deep=False)
    frame.columns = [str(column) for column in frame.columns]
    for at, column in enumerate(frame.columns):
        series = frame.iloc[:, at]
        if getattr(series.dtype, "tz", None) is not None:
            frame[column] = series.astype(str)
        elif str(series.dtype) == "object":
            frame[column] = series.map(
                lambda cell: (
                    json_text(cell) if isinstance(cell, (Mapping, list, tuple, set)) else cell
                )
            )
    return frame


def _sheet_name(name: str, taken: set[str]) -> str:
    """A name that Excel takes: 31 characters, none of []:*?/\\, not twice."""
    plain = "".join("_" if c in "[]:*?/\\" else c for c in name).strip("'")[:31] or "Sheet"
    free, number = plain, 1
    while free.lower() in taken:
        number += 1
        free = f"{plain[: 31 - len(str(number)) - 1]}_{number}"
    taken.add(free.lower())
    return free


def _encoded(text: str) -> Iterator[bytes]:
    for start in range(0, len(text), _CHUNK):
        try:
            yield text[start : start + _CHUNK].encode()
        except UnicodeEncodeError as error:
            raise SaveError(
                f"The text holds half of a surrogate pair at character {start + error.start:,}. "
                "Save text.encode('utf-8', 'replace') instead."
            ) from None


def _joined(pieces: Iterable[str]) -> Iterator[bytes]:
    """Put short pieces together into long ones."""
    waiting: list[str] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _CHUNK:
            yield from _encoded("".join(waiting))
            waiting, size = [], 0
    yield from _encoded("".join(waiting))


def _json(value: Any) -> Iterator[bytes]:
    text = json_text(value)
    if len(text) <= _INDENTED and isinstance(value, (Mapping, list, tuple)):
        text = json_text(value, indent=2)
    return _joined((text, "\n"))


def _json_lines(value: Any) -> Iterator[bytes]:
    if isinstance(value, str):
        return _encoded(value)
    if is_frame(value):
        return _joined(json_text(row) + "\n" for row in records(value))
    if isinstance(value, (Mapping, bytes, bytearray)) or not isinstance(value, Iterable):
        raise SaveError(
            f"As JSON Lines a list can be saved, not {kind_of(value)}. Save a list, such as "
            "list(x.items()) of a dict, or say format='json'."
        )
    return _joined(json_text(item) + "\n" for item in value)


def _is_text_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)


def _rows(value: Any, what: str) -> Iterator[list[Any]]:
    """The rows of a table, its header first."""
    if isinstance(value, Mapping):
        columns = list(value)
        lists = [value[column] for column in columns]
        if not columns or not all(isinstance(one, (list, tuple)) for one in lists):
            yield ["key", "value"]
            yield from ([key, item] for key, item in value.items())
        elif len({len(one) for one in lists}) > 1:
            raise SaveError(f"The columns have different lengths, so they are no {what}.")
        else:
            yield columns
            yield from (list(row) for row in zip(*lists, strict=True))
        return
    rows = [_row(row) for row in value]
    if rows and all(isinstance(row, dict) for row in rows):
        columns = list(dict.fromkeys(key for row in rows for key in row))
        yield columns
        yield from ([row.get(column) for column in columns] for row in rows)
    elif all(isinstance(row, (list, tuple)) for row in rows):
        yield from (list(row) for row in rows)
    elif not any(isinstance(row, (dict, list, tuple)) for row in rows):
        yield ["value"]
        yield from ([row] for row in rows)
    else:
        raise SaveError(
            f"The rows are of different kinds, so they are no {what}. Make them all dicts or all "
            "lists."
        )


def _row(row: Any) -> Any:
    if dataclasses.is_dataclass(row) and not isinstance(row, type):
        return {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    if hasattr(row, "_asdict"):
        return dict(row._asdict())
    return dict(row) if isinstance(row, Mapping) else row


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if type(value).__name__ in ("NAType", "NaTType"):
        return ""
    if isinstance(value, (Mapping, list, tuple, set, frozenset)):
        return json_text(value)
    if isinstance(value, str):
        return value
    if isinstance(value, (bytes, bytearray)):
        raise SaveError("A cell holds bytes. Decode them to text first.")
    return str(value)


def _is_table(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, bytearray))


def _table(value: Any, separator: str) -> Iterator[bytes]:
    if isinstance(value, str):
        return _encoded(value)
    if is_frame(value):
        return _frame_table(framed(value), separator)
    if not _is_table(value):
        raise SaveError(
            f"As a table a DataFrame, a list of dicts or a list of lists can be saved, not "
            f"{kind_of(value)}. Say format='json'."
        )
    return _joined(_written(_rows(value, "table"), separator))


def _written(rows: Iterator[list[Any]], separator: str) -> Iterator[str]:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator="\n")
    for row in rows:
        writer.writerow([_cell(cell) for cell in row])
        if out.tell() >= _CHUNK:
            yield out.getvalue()
            out.seek(0)
            out.truncate()
    yield out.getvalue()


def _frame_table(frame: Any, separator: str) -> Iterator[bytes]:
    for start in range(0, max(len(frame), 1), _ROWS):
        part = frame.iloc[start : start + _ROWS]
        text = part.to_csv(sep=separator, index=False, header=not start, lineterminator="\n")
        yield from _encoded(text)


def _markdown(value: Any) -> Iterator[bytes]:
    if isinstance(value, str):
        return _encoded(value)
    if is_frame(value):
        frame = framed(value)
        rows = iter([list(frame.columns), *frame.astype(object).values.tolist()])
        return _joined(_markdown_table(rows))
    if _is_text_list(value):
        return _joined("- " + line.replace("\n", "\n  ") + "\n" for line in value)
    if not _is_table(value):
        raise SaveError(
            f"As Markdown a str, a list of dicts or a DataFrame can be saved, not "
            f"{kind_of(value)}. Make it a str first."
        )
    return _joined(_markdown_table(_rows(value, "table")))


def _markdown_table(rows: Iterator[list[Any]]) -> Iterator[str]:
    width = 0
    for row in rows:
        cells = [_markdown_cell(cell) for cell in row]
        if not width:
            width = len(cells)
            yield "| " + " | ".join(cells) + " |\n" + "|" + " --- |" * width + "\n"
        else:
            cells += [""] * (width - len(cells))
            yield "| " + " | ".join(cells) + " |\n"


def _markdown_cell(value: Any) -> str:
    text = str(_cell(value)).replace("\\", "\\\\").replace("|", "\\|")
    return text.replace("\r\n", "<br>").replace("\n", "<br>").replace("\r", "<br>")
