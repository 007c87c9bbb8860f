"""Turning what the host opened into a value.

Text keeps its characters as they are, newlines included. What had to be guessed or left out is
said in a note, never done silently.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from . import _mail, _markup, _notebook, _office, _page, _pdf, _sheets, _sqlite
from ._archive import load_archive, load_compressed
from ._columns import read_columns
from ._folder import Entry, folder_bytes, folder_texts, folder_values
from ._json_text import json_lines, json_value
from ._part import Part
from ._places import UNITS, Contents
from ._recognise import COMPRESSIONS, FORMATS, TAR_HEAD, compression_of, recognise
from ._table import table
from ._text import LoadError, Source, drop_text

__all__ = ["FORMATS", "LoadError", "load"]

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
    contents: Contents | None = None,
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
        contents: gets what is to be known of the places in the value.

    Returns:
        The value, and notes for the caller, each a sentence.

    Raises:
        LoadError: the content is not what the format says.
        MemoryError: it does not fit.
    """
    notes: list[str] = []
    contents = Contents() if contents is None else contents
    if kind == "folder":
        return _folder(input, entries, format, notes, contents), notes
    _, offset, length = entries[0]
    part = Part(
        input, offset, length, name_hint, notes,
        pattern=pattern, charset=charset, contents=contents,
    )  # fmt: skip
    return _file(part, format), notes


def _folder(
    input: Source, entries: Sequence[Entry], format: str, notes: list[str], contents: Contents
) -> Any:
    if format == "bytes":
        return folder_bytes(input, entries)
    if format in ("auto", "text"):
        return folder_texts(input, entries, notes)
    return folder_values(
        input,
        entries,
        format,
        notes,
        lambda part: _value(replace(part, contents=contents), format),
        skip=format in _PARSERS,
    )


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
        return load_archive(part, False, lambda member: _value(member, format), format)
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
    part.contents.unit = UNITS.get(format, "")
    if format == "bytes":
        return part.data()
    if format in ("csv", "tsv"):
        return table(part, format)
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
            return json_value(text, part)
        return json_lines(text, part)
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
