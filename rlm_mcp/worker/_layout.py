"""Which page of which file each page of a memory comes from.

A layout is what a commit means once its parents are taken into account. The server works it
out from the store, the worker maps it, and both overlay new commits on it as they are made.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_RUN = struct.Struct("<IIII")


@dataclass(frozen=True, slots=True)
class Run:
    """Pages that lie one after another in the memory and in one file.

    Args:
        page: the first page in the memory.
        count: how many pages.
        file: number of the file, as the layout's user numbers them.
        origin: the first page in the file.
    """

    page: int
    count: int
    file: int
    origin: int

    @property
    def end(self) -> int:
        """The page after the last."""
        return self.page + self.count


class Layout:
    """Runs in the order of their pages, none overlapping another.

    Args:
        runs: to begin with, later ones over earlier ones.
    """

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self._runs: list[Run] = []
        self._pages: list[int] = []
        for run in runs:
            self.overlay(run)

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def overlay(self, new: Run) -> None:
        """Put a run over what was there."""
        if not self._runs or new.page >= self._runs[-1].end:
            self._append(new)
            return
        first = bisect_right(self._pages, new.page) - 1
        if first < 0 or self._runs[first].end <= new.page:
            first += 1
        last = bisect_left(self._pages, new.end)
        replaced = self._runs[first:last]
        put: list[Run] = []
        if replaced and replaced[0].page < new.page:
            head = replaced[0]
            put.append(Run(head.page, new.page - head.page, head.file, head.origin))
        put.append(new)
        if replaced and replaced[-1].end > new.end:
            tail = replaced[-1]
            skip = new.end - tail.page
            put.append(Run(new.end, tail.count - skip, tail.file, tail.origin + skip))
        self._runs[first:last] = put
        self._pages[first:last] = [run.page for run in put]

    def _append(self, new: Run) -> None:
        if self._runs:
            last = self._runs[-1]
            joins = last.end == new.page and last.file == new.file
            if joins and last.origin + last.count == new.origin:
                self._runs[-1] = Run(last.page, last.count + new.count, last.file, last.origin)
                return
        self._runs.append(new)
        self._pages.append(new.page)

    def covering(self, page: int, count: int) -> Iterator[tuple[int, int, Run | None]]:
        """Split a range by where its pages come from.

        Yields:
            First page, number of pages, and the run that has them all, or `None` where no run
            has any of them: those pages are zero.
        """
        end = page + count
        index = max(0, bisect_right(self._pages, page) - 1)
        while page < end:
            run = self._runs[index] if index < len(self._runs) else None
            if run is not None and run.end <= page:
                index += 1
            elif run is None or run.page >= end:
                yield page, end - page, None
                return
            elif run.page > page:
                yield page, run.page - page, None
                page = run.page
            else:
                stop = min(end, run.end)
                yield page, stop - page, run
                page = stop
                index += 1

    def files(self) -> set[int]:
        """The files that any page comes from."""
        return {run.file for run in self._runs}

    def pack(self) -> bytes:
        """The layout as bytes, for the channel and the store."""
        return b"".join(_RUN.pack(r.page, r.count, r.file, r.origin) for r in self._runs)


def unpack(data: bytes) -> Iterator[Run]:
    """The runs that `Layout.pack` packed.

    Raises:
        ValueError: the bytes are not a whole number of runs.
    """
    if len(data) % _RUN.size:
        raise ValueError("a packed layout has a broken length")
    return (Run(*fields) for fields in _RUN.iter_unpack(data))
