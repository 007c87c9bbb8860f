"""HTML as the text that a reader sees, with the tree beside it; and books made of pages."""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace
from importlib import import_module
from typing import Any
from urllib.parse import unquote

from ._bounds import open_zip, read_member
from ._part import Part
from ._text import LoadError, by_mark, decode_small

_UNSEEN = frozenset({"script", "style", "template", "noscript", "head", "svg", "iframe", "object"})
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "dd", "details", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6",
    "header", "hr", "html", "li", "main", "nav", "ol", "p", "pre", "section", "summary", "table",
    "tbody", "tfoot", "thead", "tr", "ul",
})  # fmt: skip
_APART = frozenset(
    {"p", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "blockquote", "pre"}
)


class Page(str):
    """The readable text of a page: a str, with what it was made from.

    Attributes:
        title: of the page.
        html: its source.
        links: text and address of each link.
        tree: its elements, as `lxml.html` has them; made when it is used.
        soup: its elements, as BeautifulSoup has them; made when it is used.
        tables: its tables as DataFrames; made when they are used.
    """

    title: str  # type: ignore[assignment]
    html: str
    links: list[tuple[str, str]]
    wide = False
    """Whether a tag has so many attributes that there is no tree."""

    def __new__(
        cls, text: str, title: str, html: str, links: list[tuple[str, str]], wide: bool = False
    ) -> Page:
        page = super().__new__(cls, text)
        page.title, page.html, page.links = title, html, links
        if wide:
            page.wide = True
        return page

    def __getnewargs__(self) -> tuple[str, str, str, list[tuple[str, str]], bool]:  # type: ignore[override]
        return str(self), self.title, self.html, self.links, self.wide

    @property
    def tree(self) -> Any:
        """The elements of the page (lxml).

        Raises:
            ValueError: a tag has too many attributes.
        """
        if self.wide:
            raise ValueError(
                f"a tag of the page has over {_ATTRIBUTES:,} attributes, of which lxml makes no "
                "tree in good time; use .soup or .html"
            )
        return _tree(self.html)

    @property
    def soup(self) -> Any:
        """The elements of the page (BeautifulSoup)."""
        bs4: Any = import_module("bs4")
        return bs4.BeautifulSoup(self.html, "lxml")

    @property
    def tables(self) -> list[Any]:
        """The tables of the page, each a DataFrame."""
        pandas: Any = import_module("pandas")
        tree = self.tree
        found = []
        for table in tree.iter("table") if tree is not None else ():
            rows = [
                [_squeezed("".join(cell.itertext())) for cell in row.iter("td", "th")]
                for row in table.iter("tr")
            ]
            rows = [row for row in rows if row]
            if not rows:
                continue
            width = max(map(len, rows))
            rows = [row + [""] * (width - len(row)) for row in rows]
            first = next(iter(table.iter("tr")), None)
            if (
                first is not None
                and len(rows) > 1
                and next(iter(first.iter("th")), None) is not None
            ):
                found.append(pandas.DataFrame(rows[1:], columns=rows[0]))
            else:
                found.append(pandas.DataFrame(rows))
        return found


def html_page(part: Part) -> Page:
    """An HTML file.

    Raises:
        LoadError: there is no text in it at all.
    """
    head = part.head(4096)
    if part.charset is None and by_mark(head, part.length)[1] == 0:
        part = replace(part, charset=_declared(head))
    page = page_of(part.text(), part)
    if not part.label:
        title = f"{page.title[:100]!r} is .title; " if page.title else ""
        part.note(
            f"{title}.links ({len(page.links):,}), .tables, .tree, .soup, .html are there too."
        )
    return page


def _declared(head: bytes) -> str | None:
    """The encoding that the page itself names."""
    found = re.search(rb"<meta[^>]{0,200}charset=[\"']?\s*([A-Za-z0-9_.:-]{2,40})", head, re.I)
    found = found or re.match(rb"<\?xml[^>]{0,100}encoding=[\"']([A-Za-z0-9_.:-]{2,40})", head)
    return found[1].decode() if found is not None else None


def page_of(html: str, part: Part) -> Page:
    """The page that a source makes."""
    lxml: Any = import_module("lxml.etree")
    reader = _Reader()
    # Without a tree: it takes longer, ends at some depth, and takes time by the square of the
    # attributes of a tag.
    parser = lxml.HTMLParser(encoding="utf-8", no_network=True, huge_tree=True, target=reader)
    try:
        lxml.fromstring(html.encode("utf-8", "replace"), parser)
    except (lxml.ParserError, lxml.XMLSyntaxError):
        if not reader.begun:  # nothing but blanks or comments
            return Page("" if html.lstrip().startswith("<") else html, "", html, [])
        part.note("The page is damaged: only the text before that could be read.")
    if reader.wide:
        part.note(f"A tag has over {_ATTRIBUTES:,} attributes: .tree and .tables do not work.")
    return Page(reader.text(), reader.title(), html, reader.links(), reader.wide)


def _tree(html: str) -> Any:
    """The root of the tree; it ends at 2,048 levels. None if there is nothing in it."""
    lxml: Any = import_module("lxml.html")
    etree: Any = import_module("lxml.etree")
    parser = lxml.HTMLParser(encoding="utf-8", no_network=True, huge_tree=True)
    try:
        return lxml.document_fromstring(html.encode("utf-8", "replace"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError):
        return None


_LINE, _GAP = "\0line", "\0gap"
"""Where a block begins or ends: on a new line, or after an empty one. Pages hold no NUL."""
_ATTRIBUTES = 10_000
"""Of a tag, in a tree: time goes by the square, and 20,000 take some seconds."""


class _Reader:
    """Takes the events of the parser and puts together what a reader sees."""

    def __init__(self) -> None:
        self.begun = self.wide = False
        self._pieces: list[str] = []
        self._text: list[str] = []
        self._unseen = 0  # how many elements are open since one that is not shown
        self._kept = 0  # how many are open in which blanks count
        self._title: list[str] | None = None
        self._in_title = False
        self._links: list[tuple[list[str], str]] = []
        self._link: list[str] | None = None

    def start(self, tag: str, attributes: Any) -> None:
        """An element begins."""
        self._flush()
        self.begun = True
        self.wide = self.wide or len(attributes) > _ATTRIBUTES
        if tag == "title" and self._title is None:
            self._title, self._in_title = [], True
        elif tag == "a":
            self._link = None  # one in another is a mistake, and ends it
            if address := attributes.get("href"):
                self._link = []
                self._links.append((self._link, address))
        if self._unseen or tag in _UNSEEN:
            self._unseen += 1
            return
        pieces = self._pieces
        if tag in _BLOCKS:
            pieces.append(_GAP if tag in _APART else _LINE)
        if tag == "br":
            pieces.append("\n")
        elif tag == "li":
            pieces.append("- ")
        elif tag[0] == "h" and tag[1:].isdigit():
            pieces.append("#" * min(int(tag[1:]), 9) + " ")
        elif tag == "img" and attributes.get("alt"):
            pieces.append(f"[{_squeezed(attributes.get('alt'))}]")
        self._kept += tag == "pre"

    def end(self, tag: str) -> None:
        """An element ends."""
        self._flush()
        if tag == "title":
            self._in_title = False
        elif tag == "a":
            self._link = None
        if self._unseen:
            self._unseen -= 1
            return
        self._kept -= tag == "pre"
        if tag in _BLOCKS:
            self._pieces.append(_GAP if tag in _APART else _LINE)
        elif tag in ("td", "th"):
            self._pieces.append("\t")

    def data(self, text: str) -> None:
        """A piece of text; a text may come in several."""
        if self._in_title and self._title is not None:
            self._title.append(text)
        if self._link is not None:
            self._link.append(text)
        if not self._unseen:
            self._text.append(text)

    def close(self) -> None:
        """The page ends."""
        self._flush()

    def text(self) -> str:
        """What a reader sees."""
        self._flush()
        return _joined(self._pieces)

    def title(self) -> str:
        """The first title."""
        return _squeezed("".join(self._title or ()))

    def links(self) -> list[tuple[str, str]]:
        """Text and address of each link."""
        return [(_squeezed("".join(text)), address) for text, address in self._links]

    def _flush(self) -> None:
        if self._text:
            self._pieces.append(_flat("".join(self._text), self._kept))
            self._text.clear()


def _flat(text: str, kept: int) -> str:
    if kept:
        return text
    words = " ".join(text.split())
    if not words:
        return " "
    return (" " if text[0].isspace() else "") + words + (" " if text[-1].isspace() else "")


def _joined(pieces: list[str]) -> str:
    lines: list[str] = []
    line: list[str] = []

    def end() -> None:
        text = "".join(line)
        line.clear()
        for row in text.split("\n"):
            row = row.rstrip().removeprefix(" ")
            if row.strip("#- \t") or (lines and lines[-1]):
                lines.append(row if row.strip("#- \t") else "")

    for piece in pieces:
        if piece not in (_LINE, _GAP):
            line.append(piece)
            continue
        text = "".join(line)
        if text.strip("#- \t\n"):
            end()
        elif not text.strip():
            line.clear()
        if piece == _GAP and lines and lines[-1] and not line:
            lines.append("")
    end()
    return "\n".join(lines).strip("\n")


def _squeezed(text: str) -> str:
    return " ".join(text.split())


def epub_chapters(part: Part) -> list[Page]:
    """The chapters of an EPUB book, in the order in which it is read.

    Raises:
        LoadError: it is damaged, or is no book.
    """
    etree: Any = import_module("lxml.etree")
    with open_zip(part) as archive:
        container = read_member(part, archive, "META-INF/container.xml")
        place = _xml(etree, container)
        root = (
            next((e.get("full-path") for e in place.iter("{*}rootfile")), None)
            if place is not None
            else None
        )
        package = _xml(etree, read_member(part, archive, root)) if root else None
        if root is None or package is None:
            raise part.error(
                "it has no list of chapters, so it is no EPUB book. Load it with format='folder'."
            )
        if read_member(part, archive, "META-INF/encryption.xml") is not None:
            part.note(
                "Parts of the book, or only its fonts, are encrypted (DRM); what is no text was "
                "left out."
            )
        folder = posixpath.dirname(root)
        items = {e.get("id"): e.get("href") for e in package.iter("{*}item")}
        chapters, missing = [], 0
        for reference in package.iter("{*}itemref"):
            href = unquote((items.get(reference.get("idref")) or "").partition("#")[0])
            data = (
                read_member(part, archive, posixpath.normpath(posixpath.join(folder, href)))
                if href
                else None
            )
            if data is None:
                missing += 1
                continue
            chapters.append(page_of(decode_small(data)[0], part))
    if missing:
        part.note(f"Chapters that the book lists and does not hold: {missing:,}.")
    if not chapters:
        raise part.error("the book has no chapters. Load it with format='folder'.")
    return chapters


def _xml(etree: Any, data: bytes | None) -> Any:
    if data is None:
        return None
    try:
        return etree.fromstring(data, xml_parser(etree))
    except (etree.XMLSyntaxError, ValueError):
        return None


def xml_parser(etree: Any) -> Any:
    """A parser that expands no entities and fetches nothing."""
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)


def parse_xml(part: Part, data: bytes | None, what: str) -> Any:
    """The tree of an XML file inside of a document.

    Raises:
        LoadError: it is missing or damaged.
    """
    etree: Any = import_module("lxml.etree")
    tree = _xml(etree, data)
    if tree is None:
        state = "missing" if data is None else "damaged"
        raise LoadError(
            f"{part.of}{what} is {state} in it. Get it again, or load it with format='folder'."
        )
    return tree
