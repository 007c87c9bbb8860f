"""Word and PowerPoint files, read from the XML that they are zips of."""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from ._bounds import open_zip, read_member
from ._page import parse_xml
from ._part import Part

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_MAX_SLIDES = 10_000


class Document(str):
    """The text of a document in Markdown: headings, lists and tables; a str.

    Attributes:
        headings: level, text, and where each begins in the str.
        tables: each table as a list of rows.
    """

    headings: list[tuple[int, str, int]]
    tables: list[list[list[str]]]

    def __new__(
        cls,
        text: str,
        headings: list[tuple[int, str, int]],
        tables: list[list[list[str]]],
    ) -> Document:
        document = super().__new__(cls, text)
        document.headings, document.tables = headings, tables
        return document

    def __getnewargs__(self) -> tuple[Any, ...]:
        return str(self), self.headings, self.tables


def docx_document(part: Part) -> Document:
    """The text of a Word document.

    Raises:
        LoadError: it is damaged, or is no such document.
    """
    with open_zip(part) as archive:
        tree = parse_xml(part, read_member(part, archive, "word/document.xml"), "the text")
        styles = _styles(part, archive)
        notes = [
            text for name in ("footnotes", "endnotes") for text in _footnotes(part, archive, name)
        ]
        if read_member(part, archive, "word/comments.xml") is not None:
            part.note(
                "The document has comments, which were left out; they are in word/comments.xml."
            )
    body = tree.find(f"{_W}body")
    blocks: list[str] = []
    headings: list[tuple[int, str, int]] = []
    tables: list[list[list[str]]] = []
    at = 0
    for element in body if body is not None else ():
        for block, level in _blocks(element, styles, tables):
            if level:
                headings.append((level, block.lstrip("# "), at))
            blocks.append(block)
            at += len(block) + 2
    blocks += [f"[^{number}]: {text}" for number, text in enumerate(notes, 1)]
    if not part.label and (headings or tables):
        part.note(f".headings ({len(headings):,}) and .tables ({len(tables):,}) are there too.")
    return Document("\n\n".join(blocks), headings, tables)


def _styles(part: Part, archive: zipfile.ZipFile) -> dict[str, int]:
    """The level of each style that is one of headings."""
    data = read_member(part, archive, "word/styles.xml")
    if data is None:
        return {}
    levels: dict[str, int] = {}
    for style in parse_xml(part, data, "the list of styles").iter(f"{_W}style"):
        name = style.find(f"{_W}name")
        label = (name.get(f"{_W}val") or "").lower() if name is not None else ""
        outline = style.find(f"{_W}pPr/{_W}outlineLvl")
        if found := re.fullmatch(r"heading (\d)", label):
            levels[style.get(f"{_W}styleId")] = int(found[1])
        elif label == "title":
            levels[style.get(f"{_W}styleId")] = 1
        elif outline is not None and (outline.get(f"{_W}val") or "").isdigit():
            level = int(outline.get(f"{_W}val")) + 1
            if level <= 9:
                levels[style.get(f"{_W}styleId")] = level
    return levels


def _footnotes(part: Part, archive: zipfile.ZipFile, name: str) -> Iterator[str]:
    data = read_member(part, archive, f"word/{name}.xml")
    if data is None:
        return
    for note in parse_xml(part, data, name):
        if note.get(f"{_W}type") in (None, "normal"):
            text = " ".join(filter(None, (_runs(p) for p in note.iter(f"{_W}p")))).strip()
            if text:
                yield text


def _blocks(
    element: Any, styles: dict[str, int], tables: list[list[list[str]]]
) -> Iterator[tuple[str, int]]:
    """Paragraphs and tables, each with the level of a heading or 0."""
    if element.tag == f"{_W}p":
        text = _runs(element)
        if text.strip():
            yield _paragraph(element, text.strip(), styles)
    elif element.tag == f"{_W}tbl":
        rows = [
            [
                "\n".join(filter(None, (_runs(p).strip() for p in cell.iter(f"{_W}p"))))
                for cell in row.iterchildren(f"{_W}tc")
            ]
            for row in element.iter(f"{_W}tr")
        ]
        tables.append(rows)
        if text := markdown_rows(rows):
            yield text, 0
    elif element.tag in (f"{_W}sdt", f"{_W}sdtContent", f"{_W}customXml", f"{_W}ins"):
        for child in element:
            yield from _blocks(child, styles, tables)


def _paragraph(element: Any, text: str, styles: dict[str, int]) -> tuple[str, int]:
    properties = element.find(f"{_W}pPr")
    if properties is None:
        return text, 0
    style = properties.find(f"{_W}pStyle")
    level = styles.get(style.get(f"{_W}val"), 0) if style is not None else 0
    if level:
        return f"{'#' * level} {' '.join(text.split())}", level
    numbered = properties.find(f"{_W}numPr")
    if numbered is None:
        return text, 0
    depth = numbered.find(f"{_W}ilvl")
    indent = depth.get(f"{_W}val") if depth is not None else "0"
    return "  " * min(int(indent) if indent.isdigit() else 0, 9) + f"- {text}", 0


def _runs(paragraph: Any) -> str:
    """The text of a paragraph as it reads now: without what was deleted, and once only."""
    pieces: list[str] = []
    waiting = [paragraph]
    while waiting:
        element = waiting.pop()
        tag = element.tag
        if tag == f"{_W}t":
            pieces.append(element.text or "")
        elif tag == f"{_W}tab":
            pieces.append("\t")
        elif tag in (f"{_W}br", f"{_W}cr"):
            pieces.append("\n")
        elif tag == f"{_W}noBreakHyphen":
            pieces.append("-")
        elif tag not in (f"{_W}del", f"{_W}moveFrom", f"{_W}pPr", f"{_W}instrText", _FALLBACK):
            waiting += reversed(element)
    return "".join(pieces)


def markdown_rows(rows: list[list[str]]) -> str:
    """Rows as a Markdown table, the first as its header."""
    rows = [row for row in rows if row]
    if not rows:
        return ""
    width = max(map(len, rows))
    lines = []
    for number, row in enumerate(rows):
        cells = [cell.replace("|", "\\|").replace("\n", "<br>") for cell in row]
        cells += [""] * (width - len(cells))
        lines.append("| " + " | ".join(cells) + " |")
        if not number:
            lines.append("|" + " --- |" * width)
    return "\n".join(lines)


def pptx_slides(part: Part) -> list[str]:
    """The text of each slide of a presentation, its title as a heading and its notes at the end.

    Raises:
        LoadError: it is damaged, or is no presentation.
    """
    with open_zip(part) as archive:
        name = "ppt/presentation.xml"
        tree = parse_xml(part, read_member(part, archive, name), "the list of slides")
        places = _relations(part, archive, name)
        slides, missing, hidden = [], 0, 0
        for slide in list(tree.iter(f"{_P}sldId"))[:_MAX_SLIDES]:
            place = places.get(slide.get(f"{_R}id"), ("", ""))[1]
            data = read_member(part, archive, place) if place else None
            if data is None:
                missing += 1
                continue
            found = parse_xml(part, data, place)
            hidden += found.get("show") == "0"
            slides.append(_slide(part, archive, place, found))
    if missing:
        part.note(f"Slides that are listed and not there: {missing:,}.")
    if hidden:
        part.note(f"Slides that are hidden when it is shown: {hidden:,}; they are in the list.")
    return slides


def _relations(part: Part, archive: zipfile.ZipFile, name: str) -> dict[str, tuple[str, str]]:
    """Kind and place of what a file in the zip refers to."""
    folder, base = posixpath.split(name)
    data = read_member(part, archive, f"{folder}/_rels/{base}.rels")
    if data is None:
        return {}
    found = {}
    for entry in parse_xml(part, data, "a list of relations"):
        target = entry.get("Target") or ""
        place = target.lstrip("/") if target.startswith("/") else posixpath.join(folder, target)
        kind = (entry.get("Type") or "").rpartition("/")[2]
        found[entry.get("Id")] = (kind, posixpath.normpath(place))
    return found


def _slide(part: Part, archive: zipfile.ZipFile, place: str, tree: Any) -> str:
    blocks = list(_shapes(tree))
    for kind, target in _relations(part, archive, place).values():
        if kind == "notesSlide" and (data := read_member(part, archive, target)) is not None:
            notes = "\n".join(_shapes(parse_xml(part, data, target), notes=True))
            if notes.strip():
                blocks.append(f"Notes: {notes}")
    return "\n\n".join(blocks)


def _shapes(tree: Any, notes: bool = False) -> Iterator[str]:
    for shape in tree.iter(f"{_P}sp", f"{_A}tbl"):
        if shape.tag == f"{_A}tbl":
            rows = [
                [_paragraphs(cell) for cell in row.iterchildren(f"{_A}tc")]
                for row in shape.iter(f"{_A}tr")
            ]
            if text := markdown_rows(rows):
                yield text
            continue
        holder = next(shape.iter(f"{_P}ph"), None)
        kind = holder.get("type") if holder is not None else None
        if kind in ("sldNum", "dt", "ftr", "hdr", "sldImg") or (notes and kind != "body"):
            continue
        if text := _paragraphs(shape):
            yield f"# {' '.join(text.split())}" if kind in ("title", "ctrTitle") else text


def _paragraphs(shape: Any) -> str:
    lines = []
    for paragraph in shape.iter(f"{_A}p"):
        pieces = [
            "\n" if piece.tag == f"{_A}br" else piece.text or ""
            for piece in paragraph.iter(f"{_A}t", f"{_A}br")
        ]
        lines.append("".join(pieces))
    return "\n".join(lines).strip()
