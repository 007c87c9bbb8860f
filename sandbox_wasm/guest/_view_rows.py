"""The rows of a view: of a table in DataFrames, of JSON Lines one value after another."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from ._view_lines import Lines
from ._view_range import WINDOW, FileRange

_SEPARATORS = {"csv": ",", "tsv": "\t"}
_ENDINGS = {"jsonl": "jsonl", "ndjson": "jsonl", "csv": "csv", "tsv": "tsv"}


def format_of(name: str, asked: str) -> str:
    """What the rows of a file are: jsonl, csv, tsv, or nothing that is known.

    Args:
        name: the file's, whose ending says it.
        asked: the format that the caller asked for, which comes first.
    """
    if asked in _ENDINGS.values():
        return asked
    return _ENDINGS.get(name.rpartition("/")[2].rpartition(".")[2].lower(), "")


def rows(view: FileRange, chunk: int, format: str) -> Iterator[Any]:
    """See `FileView.rows`."""
    if format == "jsonl":
        return _values(view)
    if format not in _SEPARATORS:
        raise ValueError(
            "what are its rows? Say rows(format='csv'), 'tsv' or 'jsonl'; for lines iterate "
            "over the view itself"
        )
    return _frames(view, _SEPARATORS[format], chunk)


def _values(view: FileRange) -> Iterator[Any]:
    for number, line in enumerate(Lines(view), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number:,} is not JSON: {error}") from None


def _frames(view: FileRange, separator: str, chunk: int) -> Iterator[Any]:
    pandas: Any = import_module("pandas")

    if view._begin:
        raise ValueError("a part of a table has no header: read rows() of the whole view")
    head = view.read(0, 64 << 10).partition(b"\n")[0]
    if separator == "," and b"," not in head:
        separator = max(";\t|,", key=lambda mark: head.count(mark.encode()))
    stream = io.BufferedReader(_Stream(view), 1 << 20)
    encoding = view._encoding or "utf-8"
    with pandas.read_csv(
        stream, sep=separator, chunksize=chunk, encoding=encoding, encoding_errors="replace"
    ) as frames:
        yield from frames


class _Stream(io.RawIOBase):
    """A view as a file, for parsers that read from one."""

    def __init__(self, view: FileRange) -> None:
        super().__init__()
        self._view = view
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._view.read(self._at, self._at + min(len(buffer), WINDOW))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
