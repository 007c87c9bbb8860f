"""Which pages of a mapped memory were written since they were mapped."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ._layout import Layout, Run
from ._lockdown import PAGEMAP_SCAN
from ._memory import HOST_PAGE, PAGE, Memory, memcmp

_PAGEMAP = Path("/proc/self/pagemap")
# The top byte of an entry: bit 63 present, 62 swapped, 61 a page of a file. A page that was
# written is a private copy: present or swapped, and of no file.
# Source: Documentation/admin-guide/mm/pagemap.rst.
_WRITTEN = bytes(1 if top & 0xC0 and not top & 0x20 else 0 for top in range(256))
_RUNS = re.compile(b"\x01+")
_ENTRIES_AT_ONCE = 1 << 18
# struct pm_scan_arg of PAGEMAP_SCAN, from Linux 6.7 on: size, flags, start, end, where it ended,
# address and length of the table, most pages, categories to invert, that all must be there, of
# which one must be there, to report. Source: include/uapi/linux/fs.h.
_SCAN = struct.Struct("<12Q")
_FILE, _PRESENT, _SWAPPED, _ZERO = 1 << 2, 1 << 3, 1 << 4, 1 << 5
_REGIONS = 512
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
        self._scans = False
        self._regions = (ctypes.c_uint64 * (3 * _REGIONS))()
        if ask:
            with contextlib.suppress(OSError):
                self._pagemap = os.open(_PAGEMAP, os.O_RDONLY)
                self._scan(0, HOST_PAGE)
                self._scans = True

    @property
    def exact(self) -> bool:
        """Whether the kernel tells; else whole memories are compared."""
        return self._pagemap is not None

    def candidates(self, memory: Memory) -> Iterator[tuple[int, int]]:
        """Runs of pages that may have been written: first page and number of pages."""
        if self._pagemap is None:
            yield 0, memory.size // PAGE
            return
        if self._scans:
            yield from self._scanned(memory)
            return
        total, first = memory.size // HOST_PAGE, memory.address // HOST_PAGE
        ours = HOST_PAGE // PAGE
        for start in range(0, total, _ENTRIES_AT_ONCE):
            count = min(_ENTRIES_AT_ONCE, total - start)
            entries = os.pread(self._pagemap, count * 8, (first + start) * 8)
            for found in _RUNS.finditer(entries[7::8].translate(_WRITTEN)):
                yield (start + found.start()) * ours, (found.end() - found.start()) * ours

    def _scanned(self, memory: Memory) -> Iterator[tuple[int, int]]:
        """As `candidates`, from a kernel that looks for them itself: it skips what was never
        touched, and a memory is mostly that."""
        at, end = memory.address, memory.address + memory.size
        while at < end:
            found, reached = self._scan(at, end)
            if reached <= at:  # no kernel should; then the rest is compared
                yield (at - memory.address) // PAGE, (end - at) // PAGE
                return
            at = reached
            for index in range(0, 3 * found, 3):
                start, stop, _ = self._regions[index : index + 3]
                yield (start - memory.address) // PAGE, (stop - start) // PAGE

    def _scan(self, start: int, end: int) -> tuple[int, int]:
        """Put regions of private copies into the table: how many, and where the search ended.

        Raises:
            OSError: the kernel does not know how.
        """
        assert self._pagemap is not None
        none_of, one_of = _FILE | _ZERO, _PRESENT | _SWAPPED
        asked = bytearray(
            _SCAN.pack(
                _SCAN.size, 0, start, end, 0, ctypes.addressof(self._regions), _REGIONS, 0,
                none_of, none_of, one_of, 0,
            )
        )  # fmt: skip
        found = fcntl.ioctl(self._pagemap, PAGEMAP_SCAN, asked, True)
        return found, _SCAN.unpack(asked)[4]


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
