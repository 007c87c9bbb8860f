"""CSV and TSV as DataFrames."""

from __future__ import annotations

import csv
import io
from collections import Counter
from importlib import import_module
from typing import Any

from ._garbage import all_kept
from ._part import Part, Stream
from ._text import WINDOW, LoadError, Source, by_mark, guess, read_exactly

_MAX_ALIKE, _MAX_MORE = 1_000, 50
"""Columns of the same name, and values of a row that have no name; pandas takes time by the square
of both."""
_FIRST_LINES = 16 << 20
_FIRST_SIZES = 64 << 10, 1 << 20, _FIRST_LINES
"""Bytes in which the first two rows are looked for, one after the other."""


def table(part: Part, format: str) -> Any:
    """A DataFrame of a file.

    Args:
        part: the file.
        format: csv, whose separator is guessed, or tsv.

    Raises:
        LoadError: it is no table with as many values in each row.
    """
    pandas: Any = import_module("pandas")

    input, offset, length, notes = part.input, part.offset, part.length, part.notes
    of = part.of
    head = part.head(64 << 10)
    encoding, skip = by_mark(head, length)
    if not skip:
        encoding = part.encoding or encoding
    separator = "\t" if format == "tsv" else _separator(head[skip:].decode(encoding, "replace"))
    if format == "csv" and separator != ",":
        notes.append(f"{of}the columns are separated by {separator!r}.")
    _check_columns(part, separator, encoding, skip)
    errors = "strict"
    for attempt in (0, 1):
        stream = io.BufferedReader(Stream(input, offset + skip, length - skip), 1 << 20)
        try:
            with all_kept():
                frame = pandas.read_csv(
                    stream,
                    sep=separator,
                    encoding=encoding,
                    encoding_errors=errors,
                    low_memory=False,
                )
            if not isinstance(frame.index, pandas.RangeIndex):
                notes.append(
                    f"{of}the rows have more values than the header has names: the first column "
                    "was taken for the index."
                )
            return frame
        except UnicodeDecodeError as error:
            if attempt or encoding != "utf-8":
                raise LoadError(f"{of}it is not {encoding}: {error.reason}.") from None
            encoding, errors = _guess_all(input, offset, length)
            notes.append(f"{of}it is not UTF-8: decoded as {encoding}, a guess.")
        except pandas.errors.EmptyDataError:
            raise LoadError(f"{of}there is no table in it. Load it with format='text'.") from None
        except (pandas.errors.ParserError, ValueError) as error:
            cause = str(error).removeprefix("Error tokenizing data. C error: ").strip()
            cause = cause.partition("\n")[0][:300].rstrip(".")
            raise LoadError(
                f"{of}it is no regular table: {cause}. Load it with format='lines' and parse it "
                "with csv or pandas in code."
            ) from None
    raise AssertionError("unreachable")


def _check_columns(part: Part, separator: str, encoding: str, skip: int) -> None:
    """Look at the first two rows, where pandas decides which columns there are.

    Raises:
        LoadError: they take it very long, or very much memory.
    """
    header: list[str] = []
    first: list[str] = []
    limit = csv.field_size_limit(_FIRST_LINES)
    try:
        for size in _FIRST_SIZES:
            lines = io.StringIO(part.head(skip + size)[skip:].decode(encoding, "replace"), "")
            rows = csv.reader(lines, delimiter=separator)
            header, first = next(rows, []), next(rows, [])
            if lines.read(1) or skip + size >= part.length:
                break
    except csv.Error:
        return  # pandas says what is wrong
    finally:
        csv.field_size_limit(limit)
    name, count = Counter(header).most_common(1)[0] if header else ("", 0)
    if count > _MAX_ALIKE:
        raise part.error(
            f"{count:,} of its columns have the same name, {name!r:.80}; at most {_MAX_ALIKE:,} "
            "can be told apart. Load it with format='lines' and parse it in code."
        )
    if len(first) - len(header) > _MAX_MORE:
        raise part.error(
            f"the first row has {len(first):,} values and the header {len(header):,} names. Load "
            "it with format='lines' and parse it with csv in code."
        )


def _separator(head: str) -> str:
    first = next((line for line in head.splitlines() if line.strip()), "")
    if "," in first:
        return ","
    return max(";\t|", key=first.count) if any(c in first for c in ";\t|") else ","


def _guess_all(input: Source, offset: int, length: int) -> tuple[str, str]:
    """Guess an encoding from around the first place that is not UTF-8."""
    for start in range(0, length, WINDOW):
        window = read_exactly(input, offset + start, min(WINDOW, length - start))
        try:
            # A character cut in two by the window's edge is no error of the file's.
            window[:-4].decode()
        except UnicodeDecodeError as error:
            if error.start < 4 and start:
                continue
            return guess(window[max(0, error.start - 4096) : error.start + 8192])
    return "latin-1", "strict"
