"""What was cited in a space: the references, whether they still hold, and how they are shown."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Any, SupportsIndex, overload

from ._fit import clip, escape, one_line, plural
from ._hits import shown
from ._kept import table
from ._lines import as_text, is_text, offset_of_line, plain
from ._path import PeekError
from ._places import Keys
from ._slots import ViewChangedError, ViewError
from ._sources import namespace, value_at
from ._view import FileView, is_view

KEPT = 2_000  # characters of the cited text that are kept, should the variable go
MOST = 16 << 20  # characters of a cited text of which a digest is taken: about 0.1 s
_SHOWN = 50
_TARGET = re.compile(r"\[?cite:(\d{1,6})\]?")


@shown
@dataclass(frozen=True, slots=True)
class Citation:
    """A place that was cited. As text it is its mark, `[cite:3]`, to be put into a report.

    Args:
        number: counted in the space, from 1.
        variable: the variable it is in; empty for a view that is in none.
        where: path or index in the variable, several in a tuple, or None.
        path: the source, as a person finds it, such as `logs.zip!/a.log` or `report.pdf#page=3`.
        start_line: first line, from 1; None for the whole.
        end_line: last line.
        sha256: of the source's bytes, or None.
        note: what has to be known besides.
        text: the beginning of what stands there.
        text_sha256: of the cited lines in UTF-8 with their ends, of a view of its bytes, as
            `sed -n 3,5p FILE | sha256sum` gives it; None where they are over 16 MB or no text.
        view: of a view its id, name, encoding, and where what is cited begins and ends.
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
    text_sha256: str | None = None
    view: tuple[str, str, str | None, int, int] | None = None

    @property
    def id(self) -> str:
        """The name that `peek` takes."""
        return f"cite:{self.number}"

    @property
    def reference(self) -> str:
        """`logs/app.log:120-134`, which `peek` takes too."""
        if self.start_line is None:
            return self.path
        last = f"-{self.end_line}" if self.end_line != self.start_line else ""
        return f"{self.path}:{self.start_line}{last}"

    @property
    def first_line(self) -> int:
        """The number of the first line that is cited; of an item of a list of lines its own."""
        if self.start_line is not None:
            return self.start_line
        last = _keys(self.where)[-1:]
        found = re.search(r":(\d+)(-\d+)?$", self.path)
        return int(found[1]) if found and last and type(last[0]) in (int, range) else 1

    @property
    def place(self) -> str:
        """`logs/app.log:120-134 (sha256 ab12cd34...)`."""
        facts = [f"sha256 {self.sha256}"] if self.sha256 else []
        facts += [self.note] if self.note else []
        if self.view is not None and self.text_sha256:
            facts.append(f"sha256 of these lines {self.text_sha256}")
        return self.reference + (f" ({'; '.join(facts)})" if facts else "")

    def __str__(self) -> str:
        """The mark."""
        return f"[{self.id}]"

    def __repr__(self) -> str:
        """Mark and place."""
        return f"{self} {one_line(self.place)}"


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


def all_cited() -> list[Citation]:
    """All of them, in order."""
    return [Citation(number, *row) for number, row in _cited.items()]


def keep(made: Citation) -> Citation:
    """A citation with its number: that of one that is the same, or the next."""
    row = (
        made.variable, made.where, made.path, made.start_line, made.end_line, made.sha256,
        made.note, made.text, made.text_sha256, made.view,
    )  # fmt: skip
    for number, known in _cited.items():
        if known[1:5] == row[1:5] and known[0] == row[0] and known[7:] == row[7:]:
            return Citation(number, *known)
    number = len(_cited) + 1
    _cited[number] = row
    return replace(made, number=number)


def cited(number: int) -> Citation | None:
    """The citation of a number, if there is one."""
    return Citation(number, *_cited[number]) if number in _cited else None


def _keys(where: Any) -> Keys:
    return () if where is None else where if type(where) is tuple else (where,)


def lines_of(text: str, start: int, end: int) -> str:
    """Lines with their ends."""
    begin = offset_of_line(text, start)
    return text[begin : offset_of_line(text, end - start + 2, begin)]


def digest_of(text: str) -> str | None:
    if len(text) > MOST:
        return None
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


_CHANGED = "the file has changed since"


def as_of_now(citation: Citation) -> Citation:
    """A citation; of a view, with a note where its file is no longer what was cited."""
    if citation.view is None:
        return citation
    _, _, state = _text_in_view(citation, citation.view)
    return replace(citation, note=f"{citation.note}; {state}") if state else citation


def named(target: str) -> Citation | None:
    """The citation that a target of `peek` names, or None if it names none.

    Args:
        target: `cite:3`, or its reference as reports show it, such as `logs.zip!/a.log:12-14`.

    Raises:
        PeekError: it has the form of one, but there is none of that number.
    """
    if type(target) is not str:
        return None
    match = _TARGET.fullmatch(target.strip())
    if match is None:
        if target.strip() in namespace():
            return None
        return next((one for one in all_cited()[::-1] if one.reference == target.strip()), None)
    number = int(match[1])
    if not 1 <= number <= len(_cited):
        count = f"there are cite:1 to cite:{len(_cited)}" if _cited else "nothing was cited yet"
        raise PeekError(f"no cite:{number}; {count}: evidence() lists them")
    return Citation(number, *_cited[number])


def text_at(citation: Citation) -> tuple[str, str]:
    """What stands at a citation now, and a note when that is not what was cited."""
    if citation.view is not None:
        return _text_in_view(citation, citation.view)[:2]
    try:
        value = value_at(citation.variable, _keys(citation.where))
    except ValueError as error:
        return citation.text, f"{error}; this is what was kept of it"
    if not is_text(value):
        return citation.text, ""
    text = as_text(plain(value))
    if citation.start_line is not None and citation.end_line is not None:
        text = lines_of(text, citation.start_line, citation.end_line)
    if citation.text_sha256 is not None and len(text) <= MOST:
        same = digest_of(text) == citation.text_sha256
    else:
        same = text[: len(citation.text)] == citation.text
    if not same:
        return citation.text, "the variable has changed since; this is what was cited"
    return text.removesuffix("\n") if citation.start_line is not None else text, ""


def _text_in_view(
    citation: Citation, kept: tuple[str, str, str | None, int, int]
) -> tuple[str, str, str]:
    """What stands there now, a note where that is not what was cited, and the note in short."""
    id, name, encoding, begin, end = kept
    try:
        held: Any = (
            value_at(citation.variable, _keys(citation.where)) if citation.variable else None
        )
    except ValueError:
        held = None
    if is_view(held) and held.name == name:
        id = held._id  # that of the file as it is now, once it has been refreshed
    view = FileView(id, name, begin, end, encoding, "")
    whole = citation.text_sha256 is not None
    try:
        text = as_text(view.text(0, min(view.size, MOST if whole else KEPT)))
        if whole:
            data = view.read(0, view.size)
            same = hashlib.sha256(data).hexdigest() == citation.text_sha256
        else:
            same = text.startswith(citation.text)
    except ViewError as error:
        state = _CHANGED if isinstance(error, ViewChangedError) else "its file cannot be read now"
        return citation.text, f"{error}; this is what was cited", state
    if not same:
        return citation.text, f"{_CHANGED}; this is what was cited", _CHANGED
    return text.removesuffix("\n") if citation.start_line is not None else text, "", ""


def exported() -> dict[int, tuple[Any, ...]]:
    """All citations, to be pickled."""
    return dict(_cited)


def imported(cited: dict[int, tuple[Any, ...]]) -> None:
    """Take over what `exported` gave."""
    _cited.update(cited)
