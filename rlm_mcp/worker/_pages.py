"""Which pages of a mapped memory were written since they were mapped."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ._layout import Layout
from ._memory import HOST_PAGE, PAGE, Memory, memcmp

_PAGEMAP = Path("/proc/self/pagemap")
# The top byte of an entry: bit 63 present, 62 swapped, 61 a page of a file. A page that was
# written is a private copy: present or swapped, and of no file.
# Source: Documentation/admin-guide/mm/pagemap.rst.
_WRITTEN = bytes(1 if top & 0xC0 and not top & 0x20 else 0 for top in range(256))
_RUNS = re.compile(b"\x01+")
_ENTRIES_AT_ONCE = 1 << 18


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


def changed_runs(
    memory: Memory, dirty: DirtyPages, committed: Layout, address_of: dict[int, int], zero: int
) -> list[tuple[int, int]]:
    """The pages whose bytes differ from the last commit's.

    Args:
        memory: of an instance that is not running.
        dirty: tells the candidates.
        committed: the layout of the last commit.
        address_of: for each file of the layout, where it is mapped for reading.
        zero: address of a page of zeros.

    Returns:
        First page and number of pages of each run, in order.
    """
    changed: list[tuple[int, int]] = []
    compare, here = memcmp, memory.address
    for start, count in dirty.candidates(memory):
        for page, length, run in committed.covering(start, count):
            if run is None:
                base, step = zero, 0
            else:
                base, step = address_of[run.file] + (run.origin + page - run.page) * PAGE, PAGE
                if length > 1 and compare(here + page * PAGE, base, length * PAGE) == 0:
                    continue
            for index in range(page, page + length):
                if compare(here + index * PAGE, base, PAGE):
                    if changed and sum(changed[-1]) == index:
                        changed[-1] = (changed[-1][0], changed[-1][1] + 1)
                    else:
                        changed.append((index, 1))
                base += step
    return changed
