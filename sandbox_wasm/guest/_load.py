"""Turning what the host opened into a value.

Text keeps its characters as they are, newlines included. What had to be guessed or left out is
said in a note, never done silently.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from ._text import (
    WINDOW,
    LoadError,
    Source,
    by_mark,
    decode_small,
    drop_text,
    guess,
    read_exactly,
    read_text,
)

__all__ = ["FORMATS", "LoadError", "load"]

FORMATS = ("text", "bytes", "lines", "json", "jsonl", "csv", "tsv")

_BY_SUFFIX = {
    "json": "json", "geojson": "json", "ipynb": "json", "jsonl": "jsonl", "ndjson": "jsonl",
    "csv": "csv", "tsv": "tsv",
}  # fmt: skip
_BINARY_BYTES = 8192
_EXCERPT = 60
_GUESSES = 20
"""Files of a folder whose encoding is guessed one by one (some ms each) before the commonest
guess is taken for the rest."""
_NAMED = 3

Entry = tuple[str, int, int]


def load(
    input: Source, entries: Sequence[Entry], kind: str, format: str, name_hint: str
) -> tuple[Any, list[str]]:
    """Build the value.

    Args:
        input: where the bytes are read from.
        entries: name, offset and length of each file.
        kind: `file`, or `folder` for a mapping of path to content.
        format: `auto` or one of `FORMATS`.
        name_hint: the file's name, whose suffix decides what `auto` means.

    Returns:
        The value, and notes for the caller, each a sentence.

    Raises:
        LoadError: the content is not what the format says.
        MemoryError: it does not fit.
    """
    notes: list[str] = []
    if kind == "folder":
        return _folder(input, entries, format, notes), notes
    _, offset, length = entries[0]
    if format == "auto":
        format = _recognise(input, offset, length, name_hint, notes)
    return _value(input, offset, length, format, notes, ""), notes


def _recognise(input: Source, offset: int, length: int, name: str, notes: list[str]) -> str:
    if not length:
        notes.append("The file is empty.")
        return "text"
    suffix = name.rpartition("/")[2].rpartition(".")[2].lower()
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    head = read_exactly(input, offset, min(length, _BINARY_BYTES))
    encoding, _ = by_mark(head, length)
    if encoding == "utf-8" and b"\0" in head:
        notes.append("The file is binary (it has NUL bytes), so it was loaded as bytes.")
        return "bytes"
    return "text"


def _value(
    input: Source, offset: int, length: int, format: str, notes: list[str], name: str
) -> Any:
    if format == "bytes":
        return read_exactly(input, offset, length)
    if format in ("csv", "tsv"):
        return _table(input, offset, length, format, notes, name)
    if format not in FORMATS and format != "auto":
        raise LoadError(f"There is no format {format!r}. Formats: auto, {', '.join(FORMATS)}.")
    text = read_text(input, offset, length, notes, name)
    if format in ("auto", "text"):
        return text
    try:
        if format == "lines":
            return _lines(text)
        if format == "json":
            return _json(text, notes, name)
        return _json_lines(text, notes, name)
    finally:
        # A short text, or one that is its own only line, may be held by the value.
        if format != "lines" or text.find("\n", 0, len(text) - 1) >= 0:
            drop_text(text)


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    if "\r" in text:
        return [line.removesuffix("\r") for line in lines]
    return lines


class _Objects:
    """Makes dicts of what JSON has in braces, and counts keys that come twice in one.

    Slower than to leave it to the parser, so only up to a size (a guess: half as slow again).
    """

    MOST = 32 << 20

    def __init__(self) -> None:
        self.twice = 0
        self.key = ""

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            self.twice += 1
            names = [key for key, _ in pairs]
            self.key = self.key or next(key for key in names if names.count(key) > 1)
        return made

    def note(self, of: str) -> list[str]:
        """A sentence on keys that came twice, if any did."""
        if not self.twice:
            return []
        objects = "1 object has" if self.twice == 1 else f"{self.twice:,} objects have"
        return [f"{of}{objects} a key twice, such as {self.key!r:.80}: the last value was kept."]


def _json(text: str, notes: list[str], name: str) -> Any:
    of = f"{name}: " if name else ""
    objects = _Objects() if len(text) <= _Objects.MOST else None
    if not text or text.isspace():
        raise LoadError(f"{of}there is no JSON in it, it is empty. Load it with format='text'.")
    try:
        value = json.loads(text, object_pairs_hook=objects)
        notes += objects.note(of) if objects else []
        return value
    except json.JSONDecodeError as error:
        first = _first_line(text)
        if error.msg == "Extra data" and "\n" in text and _is_json(first):
            hint = "Each line is JSON by itself: load it with format='jsonl'."
        elif text[:1000].lstrip().startswith("<"):
            hint = "It looks like HTML or XML: load it with format='text'."
        else:
            hint = "Mend it, or load it with format='text' and parse it in code."
        where = f"line {error.lineno:,}, column {error.colno:,}"
        excerpt = _excerpt(text, error.pos)
        message = f"{of}invalid JSON at {where}: {error.msg}. There: {excerpt}. {hint}"
    except RecursionError:
        message = f"{of}the JSON is nested too deeply to load. Load it with format='text'."
    except ValueError as error:  # a number of thousands of digits
        message = f"{of}the JSON cannot be loaded: {error}. Load it with format='text'."
    raise LoadError(message)


def _json_lines(text: str, notes: list[str], name: str) -> list[Any]:
    values = []
    of = f"{name}: " if name else ""
    start, number, blank = 0, 0, 0
    objects = _Objects() if len(text) <= _Objects.MOST else None
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        line = text[start:end]
        number += 1
        if line.strip():
            try:
                values.append(json.loads(line, object_pairs_hook=objects))
            except json.JSONDecodeError as error:
                if number == 1 and line.strip() in ("[", "{"):
                    hint = "It looks like one JSON value over many lines: say format='json'."
                else:
                    hint = "Mend it, or load it with format='lines' and parse it in code."
                where = f"line {number:,}, column {error.colno:,}"
                excerpt = _excerpt(line, error.pos)
                message = f"{of}invalid JSON on {where}: {error.msg}. There: {excerpt}. {hint}"
                raise LoadError(message) from None
            except RecursionError:
                raise LoadError(
                    f"{of}line {number:,} is nested too deeply to load. Load it with "
                    "format='lines'."
                ) from None
            except ValueError as error:
                raise LoadError(
                    f"{of}line {number:,} cannot be loaded as JSON: {error}. Load it with "
                    "format='lines'."
                ) from None
        else:
            blank += 1
        start = end + 1
    if blank:
        notes.append(f"{of}blank lines were skipped: {blank:,}.")
    notes += objects.note(of) if objects else []
    return values


def _first_line(text: str) -> str:
    return text[:100_000].lstrip().partition("\n")[0]


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _excerpt(text: str, at: int) -> str:
    """What stands around a place, on its line alone."""
    start = max(text.rfind("\n", 0, at) + 1, at - _EXCERPT)
    end = text.find("\n", at)
    end = min(len(text) if end < 0 else end, at + _EXCERPT)
    return repr(text[start:end])


class _Stream(io.RawIOBase):
    """A part of the source as a file, for parsers that read from one."""

    def __init__(self, input: Source, offset: int, length: int) -> None:
        super().__init__()
        self._input = input
        self._at = offset
        self._end = offset + length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = read_exactly(self._input, self._at, min(len(buffer), self._end - self._at, WINDOW))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _table(
    input: Source, offset: int, length: int, format: str, notes: list[str], name: str
) -> Any:
    pandas: Any = import_module("pandas")

    of = f"{name}: " if name else ""
    head = read_exactly(input, offset, min(length, 64 << 10))
    encoding, skip = by_mark(head, length)
    separator = "\t" if format == "tsv" else _separator(head[skip:].decode(encoding, "replace"))
    if format == "csv" and separator != ",":
        notes.append(f"{of}the columns are separated by {separator!r}.")
    errors = "strict"
    for attempt in (0, 1):
        stream = io.BufferedReader(_Stream(input, offset + skip, length - skip), 1 << 20)
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


def _folder(input: Source, entries: Sequence[Entry], format: str, notes: list[str]) -> Any:
    values: dict[str, Any] = {}
    if format == "bytes":
        for group, window in _windows(input, entries):
            base = group[0][1]
            for name, offset, length in group:
                values[name] = window[offset - base : offset - base + length]
            _drop_window(input, window, group, values)
        return values
    if format not in ("auto", "text"):
        for name, offset, length in entries:
            values[name] = _value(input, offset, length, format, notes, name)
        return values
    guessed: list[tuple[str, str]] = []
    for group, window in _windows(input, entries):
        base = group[0][1]
        whole = window.decode("ascii") if window.isascii() else None
        for name, offset, length in group:
            start = offset - base
            if whole is not None:
                values[name] = whole[start : start + length]
                continue
            rest = _commonest(guessed) if len(guessed) >= _GUESSES else None
            values[name], encoding = decode_small(window[start : start + length], rest)
            if encoding is not None:
                guessed.append((name, encoding))
        if whole is not None and not any(values[name] is whole for name, _, _ in group):
            drop_text(whole)
        del whole
        _drop_window(input, window, group, values)
        del window
    if guessed:
        named = ", ".join(f"{name} ({encoding})" for name, encoding in guessed[:_NAMED])
        more = f" and {len(guessed) - _NAMED:,} more" if len(guessed) > _NAMED else ""
        notes.append(f"Not UTF-8, decoded by a guess: {named}{more}.")
    return values


def _windows(input: Source, entries: Sequence[Entry]) -> Iterator[tuple[list[Entry], bytes]]:
    """Runs of files that lie one after another, with their bytes."""
    group: list[Entry] = []
    size = 0
    for entry in entries:
        _, offset, length = entry
        if group and (size + length > WINDOW or offset != group[0][1] + size):
            yield group, read_exactly(input, group[0][1], size)
            group, size = [], 0
        group.append(entry)
        size += length
    if group:
        yield group, read_exactly(input, group[0][1], size)


def _drop_window(input: Source, window: bytes, group: list[Entry], values: dict[str, Any]) -> None:
    # A slice of all of it is the window itself, which must not be wiped under the value.
    if not any(values[name] is window for name, _, _ in group):
        input.wipe(window)


def _commonest(guessed: list[tuple[str, str]]) -> str:
    encodings = [encoding for _, encoding in guessed[:_GUESSES]]
    return max(set(encodings), key=encodings.count)
