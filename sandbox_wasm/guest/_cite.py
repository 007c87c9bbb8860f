"""References to what was found: `cite`, `evidence`, and the notes of a report."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, SupportsIndex, overload

from ._chunk import Chunk
from ._fit import clip, escape, plural
from ._hits import Hit, shown
from ._kept import table
from ._kinds import base_of, type_name
from ._lines import as_text, is_text, line_count, offset_of_line, plain
from ._path import PeekError
from ._slots import ViewError
from ._sources import entry_of, namespace, place_of
from ._view import FileView, is_view

_KEPT = 2_000  # characters of the cited text that are kept, should the variable go
_CHECKED = 16 << 20  # characters of a text whose digest is compared again: about 0.1 s
_SHOWN = 50
_SHOWN_BYTES = 1 << 20  # of a view
_MARK = re.compile(r"\[cite:(\d{1,6})\]")
_TARGET = re.compile(r"\[?cite:(\d{1,6})\]?")


@shown
@dataclass(frozen=True, slots=True)
class Citation:
    """A place that was cited. As text it is its mark, `[cite:3]`, to be put into a report.

    Args:
        number: counted in the space, from 1.
        variable: the variable it is in.
        where: path or index in the variable, or None.
        path: the source, as a person finds it.
        start_line: first line, from 1; None for the whole.
        end_line: last line.
        sha256: of the source's bytes, or None.
        note: what has to be known besides.
        text: the beginning of what stands there.
    """

    number: int
    variable: str
    where: Any
    path: str
    start_line: int | None
    end_line: int | None
    sha256: str | None
    note: str
    text: str

    @property
    def id(self) -> str:
        """The name that `peek` takes."""
        return f"cite:{self.number}"

    @property
    def place(self) -> str:
        """`logs/app.log:120-134 (sha256 ab12cd34...)`."""
        lines = ""
        if self.start_line is not None:
            last = self.end_line if self.end_line != self.start_line else None
            lines = f":{self.start_line}" + (f"-{last}" if last else "")
        facts = [f"sha256 {self.sha256}"] if self.sha256 else []
        facts += [self.note] if self.note else []
        return f"{self.path}{lines}" + (f" ({'; '.join(facts)})" if facts else "")

    def __str__(self) -> str:
        """The mark."""
        return f"[{self.id}]"

    def __repr__(self) -> str:
        """Mark and place."""
        return f"{self} {escape(self.place)}"


@shown
class Evidence(list[Citation]):
    """All that was cited. Echoed, it shows each with its place and what stands there."""

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Citation: ...
    @overload
    def __getitem__(self, index: slice, /) -> Evidence: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> Citation | Evidence:
        """A citation, or for a slice a list that shows itself in the same way."""
        if isinstance(index, slice):
            return Evidence(super().__getitem__(index))
        return super().__getitem__(index)

    def __repr__(self) -> str:
        """The first 50, and how many there are."""
        rows = [plural(len(self), "citation")]
        for found in list(self)[:_SHOWN]:
            words = " ".join(found.text[:300].split())
            rows.append(f"{clip(repr(found), 240)}: {clip(escape(words), 80)}")
        if len(self) > _SHOWN:
            rows.append(f"... {len(self) - _SHOWN:,} more: evidence()[{_SHOWN}:]")
        return "\n".join(rows)

    __str__ = __repr__


_cited: dict[int, tuple[Any, ...]] = table("cited")
"""By number: the other fields of a `Citation`."""


def _all() -> list[Citation]:
    return [Citation(number, *row) for number, row in _cited.items()]


def cite(what: Any, start_line: int | None = None, end_line: int | None = None) -> Citation:
    """A lasting reference to a place: of a hit, a chunk, a variable, or an access path.

    Put it into text as it is, `f"It expired {cite(hit)}."`: that writes its mark, `[cite:3]`, and
    `save_variable` of Markdown or text turns the marks into notes with path, lines and SHA-256.
    `peek("cite:3")` shows the place, `evidence()` lists all.

    Args:
        what: a hit of `grep` or `search`, a chunk, the name of a variable or an access path such
            as `'docs["src/a.py"]'`, or the value itself.
        start_line: first line, from 1; left out, that of the hit or chunk, or the whole.
        end_line: last line; left out, that of the hit or chunk, or the first.

    Raises:
        ValueError: there is no such place.
    """
    try:
        name, where = _place(what)
    except PeekError as error:
        raise ValueError(str(error)) from None
    if start_line is None and isinstance(what, Hit | Chunk):
        start_line, end_line = what.line, what.end_line
    value, text = _value(name, where)
    view = value if is_view(value) else None
    if start_line is not None and text is None and view is None:
        raise ValueError(f"{_path(name, where)} is a {type_name(type(value))}: it has no lines")
    shown_text = "" if text is None else text[:_KEPT]
    if view is not None:
        shown_text = as_text(view.text(0, _KEPT))
    if start_line is not None:
        end_line = start_line if end_line is None else end_line
        total = view.line_count() if view is not None else line_count(text)
        if not (isinstance(start_line, int) and isinstance(end_line, int)):
            raise ValueError("start_line and end_line are whole numbers, counted from 1")
        if not 1 <= start_line <= end_line <= max(total, 1):
            raise ValueError(
                f"lines {start_line}-{end_line} of {_path(name, where)}: it has lines 1 to {total}"
            )
        shown_text = _lines(value if text is None else text, start_line, end_line)[:_KEPT]
    for known in _all():
        if (
            (known.variable, known.start_line, known.end_line) == (name, start_line, end_line)
            and known.where == where
            and known.text == shown_text
        ):
            return known
    source = entry_of(name, where if base_of(namespace().get(name)) is dict else None)
    digest, note = source.sha256 if source else None, ""
    path = source.path if source else ""
    if source is None:
        path, note = _path(name, where), "made by code in the space"
    elif text is not None and digest is not None and _is_changed(text, value, digest):
        note = "the text was changed after it was loaded"
    if type(where) is int:
        path += f"[{where}]"
    number = len(_cited) + 1
    _cited[number] = (name, where, path, start_line, end_line, digest, note, shown_text)
    return Citation(number, *_cited[number])


def evidence() -> Evidence:
    """All that was cited in this space, in order."""
    return Evidence(_all())


def _place(what: Any) -> tuple[str, Any]:
    if isinstance(what, Hit | Chunk):
        if not what.of:
            raise ValueError(
                "the hit does not say in which variable it was found: search a variable itself, "
                "or cite(name, start_line, end_line)"
            )
        return what.of, None if what.where == "" else what.where
    place = place_of(what)
    if place is None:
        raise ValueError(
            "cite() takes a hit, a chunk, a variable's name, or an access path in quotes such as "
            "'docs[\"src/a.py\"]'; what it was given is none of these"
        )
    return place


def _path(name: str, where: Any) -> str:
    return name if where is None else f"{name}[{where!r:.200}]"


def _value(name: str, where: Any) -> tuple[Any, str | None]:
    """The value at a place, and its text if it is one."""
    variables = namespace()
    if name not in variables:
        raise ValueError(f"there is no variable {name!r} any more")
    value = variables[name]
    base: Any = base_of(value)
    if where is not None:
        try:
            if base is dict:
                value = dict.__getitem__(value, where)
            elif base is list or base is tuple:
                value = base.__getitem__(value, where)
            elif hasattr(value, "iloc"):
                value = value.iloc[where]
        except (KeyError, IndexError):
            raise ValueError(f"{name} has nothing at {where!r:.200} any more") from None
    return value, as_text(plain(value)) if is_text(value) else None


def _lines(text: str | FileView, start: int, end: int) -> str:
    """Lines of a text or a view; of a view at most a megabyte."""
    if isinstance(text, FileView):
        begin = text.offset_of(start)
        part = as_text(text.text(begin, min(text.offset_of(end + 1), begin + _SHOWN_BYTES)))
        return part.removesuffix("\n")
    begin = offset_of_line(text, start)
    return text[begin : offset_of_line(text, end - start + 2, begin)].removesuffix("\n")


def _is_changed(text: str, value: Any, digest: str) -> bool:
    """Whether a text is not what the file holds, in any of the encodings that are likely."""
    if len(text) > _CHECKED:
        return False
    for encoding in ("utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be"):
        try:
            data = plain(value) if not isinstance(value, str) else text.encode(encoding)
        except UnicodeEncodeError:
            continue
        if hashlib.sha256(data).hexdigest() == digest:
            return False
    return True


def exported() -> dict[int, tuple[Any, ...]]:
    """All citations, to be pickled."""
    return dict(_cited)


def imported(cited: dict[int, tuple[Any, ...]]) -> None:
    """Take over what `exported` gave."""
    _cited.update(cited)


def named(target: str) -> Citation | None:
    """The citation that a target of `peek` names, or None if it names none.

    Raises:
        PeekError: it has the form of one, but there is none of that number.
    """
    match = _TARGET.fullmatch(target.strip()) if type(target) is str else None
    if match is None:
        return None
    number = int(match[1])
    if not 1 <= number <= len(_cited):
        count = f"there are cite:1 to cite:{len(_cited)}" if _cited else "nothing was cited yet"
        raise PeekError(f"no cite:{number}; {count}: evidence() lists them")
    return Citation(number, *_cited[number])


def text_at(citation: Citation) -> tuple[str, str]:
    """What stands at a citation now, and a note when that is not what was cited."""
    try:
        value, text = _value(citation.variable, citation.where)
        if is_view(value):
            text = as_text(value.text(0, _SHOWN_BYTES))
        if text is None:
            return citation.text, ""
        if citation.start_line is not None and citation.end_line is not None:
            whole = value if is_view(value) else text
            text = _lines(whole, citation.start_line, citation.end_line)
    except (ValueError, ViewError) as error:
        return citation.text, f"{error}; this is what was kept of it"
    if text[: len(citation.text)] != citation.text:
        return citation.text, "the variable has changed since; this is what was cited"
    return text, ""


def report(value: Any, format: str, suffix: str) -> Any:
    """What is to be saved: text for people gets a list of its sources, if it cites any."""
    ending = suffix.lower().removeprefix(".")
    markdown = format == "md" or (format == "auto" and ending in ("md", "markdown"))
    plainly = format == "text" or (format == "auto" and ending in ("txt", "text", ""))
    if type(value) is str and (markdown or plainly) and "[cite:" in value:
        return _with_notes(value, markdown)
    return value


def _with_notes(text: str, markdown: bool) -> str:
    used = list(dict.fromkeys(n for n in map(int, _MARK.findall(text)) if 1 <= n <= len(_cited)))
    if not used:
        return text
    if markdown:
        known = set(used)
        text = _MARK.sub(lambda m: f"[^{int(m[1])}]" if int(m[1]) in known else m[0], text)
    return "".join([text.rstrip("\n"), "\n\n", *_notes(used, markdown)])


def _notes(used: list[int], markdown: bool) -> Iterator[str]:
    yield "## Sources\n\n" if markdown else "Sources\n"
    for number in used:
        mark = f"[^{number}]:" if markdown else f"[cite:{number}]"
        yield f"{mark} {escape(Citation(number, *_cited[number]).place)}\n"
