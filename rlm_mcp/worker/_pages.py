"""Which pages of a mapped memory were written since they were mapped."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ._layout import Layout, Run
from ._memory import HOST_PAGE, PAGE, Memory, memcmp

_PAGEMAP = Path("/proc/self/pagemap")
# The top byte of an entry: bit 63 present, 62 swapped, 61 a page of a file. A page that was
# written is a private copy: present or swapped, and of no file.
# Source: Documentation/admin-guide/mm/pagemap.rst.
_WRITTEN = bytes(1 if top & 0xC0 and not top & 0x20 else 0 for top in range(256))
_RUNS = re.compile(b"\x01+")
_ENTRIES_AT_ONCE = 1 << 18
_CHUNK = 64
"""Pages compared at a time."""


class DirtyPages:
    """Tells pages that may differ from their file from those that cannot.

    Linux says which pages are private copies. Where nothing says so, every page is a
    candidate; the comparison that follows makes the result the same, only later.

    Args:
        ask: whether to ask the kernel at all.
    """

    def __init__(self, ask: bool = True) -> None:
        self._pagemap: int | None = None
        if ask:
            with contextlib.suppress(OSError):
                self._pagemap = os.open(_PAGEMAP, os.O_RDONLY)

    @property
    def exact(self) -> bool:
        """Whether the kernel tells; else whole memories are compared."""
        return self._pagemap is not None

    def candidates(self, memory: Memory) -> Iterator[tuple[int, int]]:
        """Runs of pages that may have been written: first page and number of pages."""
        if self._pagemap is None:
            yield 0, memory.size // PAGE
            return
        total, first = memory.size // HOST_PAGE, memory.address // HOST_PAGE
        ours = HOST_PAGE // PAGE
        for start in range(0, total, _ENTRIES_AT_ONCE):
            count = min(_ENTRIES_AT_ONCE, total - start)
            entries = os.pread(self._pagemap, count * 8, (first + start) * 8)
            for found in _RUNS.finditer(entries[7::8].translate(_WRITTEN)):
                yield (start + found.start()) * ours, (found.end() - found.start()) * ours


@dataclass(frozen=True)
class Written:
    """What was written since the memory was mapped.

    Args:
        changed: first page and number of pages of each run that differs from the last commit.
        same: of each run that is as it was committed; with the run of the layout that it is
            as, or `None` where it is zero and of no file.
    """

    changed: list[tuple[int, int]]
    same: list[tuple[int, int, Run | None]]


def compare_pages(
    memory: Memory, dirty: DirtyPages, committed: Layout, files: Sequence[int]
) -> Written:
    """Tell the pages whose bytes differ from the last commit's.

    What was committed is read and not mapped: that is faster for short runs, and a page that
    is only compared does not stay in this process.

    Args:
        memory: of an instance that is not running.
        dirty: tells the candidates.
        committed: the layout of the last commit.
        files: descriptors of its files, by number.
    """
    changed: list[tuple[int, int]] = []
    same: list[tuple[int, int, Run | None]] = []
    with mmap.mmap(-1, _CHUNK * PAGE) as held:
        anchor = ctypes.c_char.from_buffer(held)
        view, other = memoryview(held), ctypes.addressof(anchor)
        for start, count in dirty.candidates(memory):
            for page, length, run in _pieces(committed.covering(start, count)):
                size = length * PAGE
                if run is None:
                    ctypes.memset(other, 0, size)
                else:
                    offset = (run.origin + page - run.page) * PAGE
                    if os.preadv(files[run.file], [view[:size]], offset) != size:
                        raise OSError("a file of the store became shorter")
                here = memory.address + page * PAGE
                if memcmp(here, other, size) == 0:
                    same.append((page, length, run))
                    continue
                for index in range(length):
                    if memcmp(here + index * PAGE, other + index * PAGE, PAGE):
                        if changed and sum(changed[-1]) == page + index:
                            changed[-1] = (changed[-1][0], changed[-1][1] + 1)
                        else:
                            changed.append((page + index, 1))
        del anchor
        view.release()
    return Written(changed, same)


def _pieces(
    parts: Iterable[tuple[int, int, Run | None]],
) -> Iterator[tuple[int, int, Run | None]]:
    for page, count, run in parts:
        for start in range(page, page + count, _CHUNK):
            yield start, min(_CHUNK, page + count - start), run
