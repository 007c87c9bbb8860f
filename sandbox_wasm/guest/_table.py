"""CSV and TSV as DataFrames."""

from __future__ import annotations

import io
from importlib import import_module
from typing import Any

from ._part import Part, Stream
from ._text import WINDOW, LoadError, Source, by_mark, guess, read_exactly


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
    errors = "strict"
    for attempt in (0, 1):
        stream = io.BufferedReader(Stream(input, offset + skip, length - skip), 1 << 20)
        try:
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
