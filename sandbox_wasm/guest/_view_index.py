"""The index of a view: of all of it where it is small, else of pieces from everywhere.

The pieces tell which words there are, about how often, and in which forms; where the rare ones are
is then asked of the host's search program.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from . import _slots
from ._contents import prints_of
from ._index import Index
from ._view import FileView
from ._view_bytes import text_of

np: Any = import_module("numpy")

Array = Any  # numpy.ndarray

WHOLE = 16 << 20
"""Bytes of a view that is indexed whole: 0.8 s in the guest, and an index of some 30 MB."""
_PIECES, _SAMPLE = 128, 64 << 10  # of a larger one, and the bytes of each: 0.4 s
PIECE = 320 << 10
"""Bytes of a piece at most."""
_PART = 256 << 10  # of a piece where all of the view is indexed, about
_KEPT = 4


@dataclass(frozen=True, slots=True)
class ViewIndex:
    """An index of pieces of a view.

    Args:
        index: of the pieces.
        begins: the offset of each.
        lines: newlines before each, where they are all of the view; else empty.
        scale: how many times as much there is in the view.
        often: how many times each word is in the pieces.
    """

    index: Index
    begins: list[int]
    lines: list[int]
    scale: float
    often: Array

    @property
    def whole(self) -> bool:
        """Whether all of the view is in it."""
        return self.scale == 1


_kept: dict[Any, ViewIndex] = {}
"""By what a view is and the size of chunks; the one that was used last is at the end."""


def view_index(view: FileView, size: int) -> ViewIndex:
    """The index of a view, whose content is always the same.

    Args:
        view: a file, or a part of one.
        size: bytes of a chunk.

    Raises:
        ViewChangedError: its file is no longer what it was.
    """
    key = (view._id, view._begin, view._end, view._encoding, size)
    kept = _kept.pop(key, None)
    if kept is None:
        kept = _made(view, size)
    elif view.size:
        view.read(0, 1)  # a word that is not in the index may be in what the file is now
    while len(_kept) >= _KEPT:
        del _kept[next(iter(_kept))]
    _kept[key] = kept
    return kept


def _made(view: FileView, size: int) -> ViewIndex:
    whole = view.size <= WHOLE
    texts: list[str] = []
    begins: list[int] = []
    lines = [0] if whole else []
    read = 0
    for begin, data in _parts(view) if whole else _samples(view):
        begins.append(begin)
        texts.append(text_of(view, data))
        read += len(data)
        if whole:
            lines.append(lines[-1] + data.count(b"\n"))
    index = Index(size)
    index.update(texts, prints_of(texts))
    scale = 1.0 if whole else view.size / max(read, 1)
    return ViewIndex(index, begins, lines, scale, index.occurrences())


def _parts(view: FileView) -> Iterator[tuple[int, bytes]]:
    """All of a view, in pieces that end with lines where they can."""
    for at, data in view.line_blocks():
        begin = 0
        while begin < len(data):
            end = len(data)
            if end - begin > _PART + _PART // 4:
                end = data.rfind(b"\n", begin, begin + _PART) + 1 or begin + _PART
            yield at + begin, data[begin:end]
            begin = end


def _samples(view: FileView) -> Iterator[tuple[int, bytes]]:
    """Pieces from everywhere, of whole lines where there are any."""
    for number in range(_PIECES):
        at = (view.size - _SAMPLE) * number // (_PIECES - 1)
        data = view.read(at, at + _SAMPLE)
        begin = data.find(b"\n") + 1 if at else 0
        end = data.rfind(b"\n") + 1
        begin, end = (begin, end) if begin < end else (0, len(data))
        yield at + begin, data[begin:end]
        _slots.wipe(data)
