"""What `grep` finds: the lines that matched, and the list of them."""

from dataclasses import dataclass
from typing import SupportsIndex, overload

from ._fit import clip, escape, plural

_SHOWN = 20  # hits that an echoed list shows
_ROOM = 300  # characters of a hit when shown


@dataclass(frozen=True, slots=True)
class Hit:
    """One line that matched. `start` is the offset of the match in the text of `where`."""

    where: str | int
    line: int
    text: str
    start: int
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def __str__(self) -> str:
        """`path:12: text`, with the context lines as grep writes them."""
        first = self.line - len(self.before)
        rows = [_row(self.where, first + i, row, "-") for i, row in enumerate(self.before)]
        rows.append(row_of(self))
        rows += [_row(self.where, self.line + 1 + i, row, "-") for i, row in enumerate(self.after)]
        return "\n".join(rows)


def row_of(hit: Hit) -> str:
    """The line of a hit with its place, as `path:12: text`."""
    return _row(hit.where, hit.line, hit.text, ":")


def _row(where: str | int, number: int, text: str, mark: str) -> str:
    place = f"[{where}]" if isinstance(where, int) else where
    return clip(escape(f"{place}{mark if place else ''}{number}{mark} {text}"), _ROOM)


class Hits(list[Hit]):
    """What `grep` found. Echoed, it shows the first hits and the total."""

    complete: bool = True

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
        shown = [str(hit) for hit in list(self)[:_SHOWN]]
        if len(self) > len(shown):
            shown.append(f"... {len(self) - len(shown):,} more: hits[{len(shown)}:]")
        return "\n".join([total, *shown])

    __str__ = __repr__
