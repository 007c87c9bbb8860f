"""Turning what the host opened into a value.

Text keeps its characters as they are, newlines included. What had to be guessed or left out is
said in a note, never done silently.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

from . import _mail, _markup, _notebook, _office, _page, _pdf, _sheets, _sqlite
from ._archive import Skipped, load_archive, load_compressed
from ._bounds import BombError
from ._columns import read_columns
from ._part import Part, Stream
from ._recognise import COMPRESSIONS, FORMATS, TAR_HEAD, compression_of, recognise
from ._text import (
    WINDOW,
    LoadError,
    Source,
    by_mark,
    decode_small,
    drop_text,
    guess,
    read_exactly,
)

__all__ = ["FORMATS", "LoadError", "load"]

_EXCERPT = 60
_GUESSES = 20
"""Files of a folder whose encoding is guessed one by one (some ms each) before the commonest
guess is taken for the rest."""
_NAMED = 3

Entry = tuple[str, int, int]

_PARSERS: dict[str, Callable[[Part], Any]] = {
    "yaml": _markup.yaml_value,
    "toml": _markup.toml_value,
    "xml": _markup.xml_value,
    "html": _page.html_page,
    "pdf": _pdf.pdf_pages,
    "docx": _office.docx_document,
    "pptx": _office.pptx_slides,
    "xlsx": _sheets.xlsx_sheets,
    "epub": _page.epub_chapters,
    "eml": _mail.eml_message,
    "mbox": _mail.mbox_messages,
    "ipynb": _notebook.notebook_cells,
    "sqlite": _sqlite.sqlite_database,
    "columns": read_columns,
}
"""Formats of documents; of a folder or an archive, those that cannot be read are left out."""


def load(
    input: Source,
    entries: Sequence[Entry],
    kind: str,
    format: str,
    name_hint: str,
    pattern: str | None = None,
    charset: str | None = None,
) -> tuple[Any, list[str]]:
    """Build the value.

    Args:
        input: where the bytes are read from.
        entries: name, offset and length of each file.
        kind: `file`, or `folder` for a mapping of path to content.
        format: `auto` or one of `FORMATS`; `columns` for what the host's helper made of a table.
        name_hint: the file's name, whose suffix decides what `auto` means.
        pattern: which members of an archive; folders come with theirs applied.
        charset: the encoding that the source declared, if it did.

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
    part = Part(input, offset, length, name_hint, notes, pattern=pattern, charset=charset)
    return _file(part, format), notes


def _file(part: Part, format: str) -> Any:
    """The value of a file that was named alone."""
    if format == "bytes" and part.pattern is None:
        return part.data()
    head = part.head(TAR_HEAD)
    packed = compression_of(head)
    found = ""
    if packed is not None:
        inner = load_compressed(part, packed)
        if inner is not None:
            if part.pattern is not None:
                raise _no_folder(part)
            return _unpacked(*inner, format)
        found = "folder"
    else:
        quiet = part if format == "auto" else replace(part, notes=[])
        found = recognise(quiet)
    if found == "folder" or (format == "folder" and head.startswith(b"PK")):
        if format in ("auto", "text", "folder"):
            return load_archive(part, binaries=format == "folder")
        # A table in a zip, say: the format is that of the members.
        return load_archive(part, False, lambda member: _value(member, format))
    if part.pattern is not None:
        raise _no_folder(part)
    if format == "folder":
        raise part.error(f"{part.name!r} is no archive that can be read. Leave format out.")
    return _value(part, found if format == "auto" else format)


def _no_folder(part: Part) -> LoadError:
    return LoadError(
        f"{part.name!r} is a file and no archive; pattern= is for folders and archives. Leave it "
        "out."
    )


def _unpacked(inner: Part, data: bytes, format: str) -> Any:
    """The value of what was compressed; an archive in it stays as it is."""
    if format == "auto":
        format = recognise(inner)
        if format == "folder" or format in COMPRESSIONS.values():
            inner.note("What was compressed is an archive itself: it was loaded as bytes.")
            format = "bytes"
    if format in ("bytes", "folder"):
        return data
    value = _value(inner, format)
    inner.input.wipe(data)
    return value


def _value(part: Part, format: str) -> Any:
    if format == "bytes":
        return part.data()
    if format in ("csv", "tsv"):
        return _table(part, format)
    if format in _PARSERS:
        return _PARSERS[format](part)
    if format in ("parquet", "arrow"):
        raise part.error(
            f"{format} files can only be loaded one by one, from a file that is named alone."
        )
    if format not in FORMATS and format != "auto":
        raise LoadError(f"There is no format {format!r}. Formats: auto, {', '.join(FORMATS)}.")
    text = part.text()
    if format in ("auto", "text"):
        return text
    try:
        if format == "lines":
            return _lines(text)
        if format == "json":
            return _json(text, part.notes, part.label)
        return _json_lines(text, part.notes, part.label)
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


def _table(part: Part, format: str) -> Any:
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
        return _parsed_folder(input, entries, format, notes)
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


def _parsed_folder(
    input: Source, entries: Sequence[Entry], format: str, notes: list[str]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    skipped = Skipped()
    for name, offset, length in entries:
        part = Part(input, offset, length, name, notes, label=name)
        try:
            values[name] = _value(part, format)
        except BombError:
            raise
        except LoadError as error:
            if format not in _PARSERS:
                raise
            skipped.add("not readable", str(error))
    if skipped:
        if not values:
            raise LoadError(f"No file could be read as {format}: {skipped}.")
        notes.append(str(skipped))
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
