"""What `grep` and `search` find: lines or passages with their places, and the list of them."""

import sys
from abc import ABCMeta
from dataclasses import dataclass, field
from typing import Any, SupportsIndex, TypeVar, overload

from ._fit import clip, escape, one_line, plural

_SHOWN = 20  # hits that an echoed list shows
_ROOM = 300  # characters of a hit when shown


_T = TypeVar("_T", bound=type)
_Item = TypeVar("_Item")
_shown: set[type] = set()


def shown(kind: _T) -> _T:
    """Make a class of this package one whose values are shown by its own repr."""
    _shown.add(kind)
    return kind


def is_shown(kind: type) -> bool:
    """Whether this is a class whose values are shown by its own repr."""
    # Another metaclass could define __hash__.
    return (type(kind) is type or type(kind) is ABCMeta) and kind in _shown


def rest_of(value: list[_Item], count: int) -> str:
    """The row below the first items of a list that is shown: how many more there are, and where.

    The list is called by the variable that holds it; the last value of an execution is `_`.
    """
    variables = sys.modules["__main__"].__dict__
    names = [n for n, held in list(variables.items()) if held is value and type(n) is str]
    name = next((n for n in names if n[:1] != "_"), "_" if "_" in names else "")
    call = f"{name}[{count}:]" if name else f"keep it in a variable, as in x, then x[{count}:]"
    return f"... {len(value) - count:,} more: {call}"


@shown
@dataclass(frozen=True, slots=True)
class Hit:
    """One line that matched, or one passage. `start` is its offset in the text of `where`.

    Of a passage `line` is the first line and `end_line` the last, `score` is 1 for the best of a
    search, and `excerpt` the line that says most. `of` is the variable that was searched,
    `within` the function that a line found by `symbols` is in, `view` the view that it is in. Where
    `where` is a document of a folder, `item` is the index or key of the page, message or sheet.
    """

    where: str | int
    line: int
    text: str
    start: int
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    end_line: int | None = None
    score: float | None = None
    excerpt: str | None = None
    of: str = field(default="", compare=False)
    within: str = field(default="", compare=False)
    view: Any = field(default=None, compare=False, repr=False)
    item: str | int | None = None

    def __str__(self) -> str:
        """`path:12: text`, with the context lines as grep writes them."""
        first = self.line - len(self.before)
        rows = [_row(self.where, first + i, row, "-") for i, row in enumerate(self.before)]
        rows.append(row_of(self))
        rows += [_row(self.where, self.line + 1 + i, row, "-") for i, row in enumerate(self.after)]
        return "\n".join(rows)


def row_of(hit: Hit) -> str:
    """The line of a hit with its place, as `path:12: text`."""
    if hit.excerpt is None or hit.end_line is None:
        row = _row(hit.where, hit.line, hit.text, ":")
        return clip(f"{row}  (in {escape(hit.within)})", _ROOM) if hit.within else row
    item = "" if hit.item is None else f"[{clip(one_line(repr(hit.item)), 60)}]"
    place = _place(hit.where, f"{item}:")
    lines = f"{hit.line}-{hit.end_line}" if hit.end_line > hit.line else f"{hit.line}"
    return clip(escape(f"{place}{lines} ({hit.score}) {hit.excerpt}"), _ROOM)


def _row(where: str | int, number: int, text: str, mark: str) -> str:
    return clip(escape(f"{_place(where, mark)}{number}{mark} {text}"), _ROOM)


def _place(where: str | int, mark: str = ":") -> str:
    place = f"[{where}]" if isinstance(where, int) else one_line(where)
    return f"{place}{mark}" if place else ""


@shown
class Hits(list[Hit]):
    """What `grep` or `search` found. Echoed, it shows the first hits and the total."""

    complete: bool = True
    notes: tuple[str, ...] = ()

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Hit: ...
    @overload
    def __getitem__(self, index: slice, /) -> "Hits": ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> "Hit | Hits":
        """A hit, or for a slice a list that shows itself in the same way."""
        if isinstance(index, slice):
            return Hits(super().__getitem__(index))
        return super().__getitem__(index)

    def __repr__(self) -> str:
        """The first 20 hits, and how many there are."""
        total = plural(len(self), "hit")
        if not self.complete:
            total = f"first {total} (there are more: raise max_hits)"
        total = "; ".join([total, *map(escape, self.notes)])
        shown = [str(hit) for hit in list(self)[:_SHOWN]]
        if len(self) > len(shown):
            shown.append(rest_of(self, len(shown)))
        return "\n".join([total, *shown])

    __str__ = __repr__
