"""What a space's memory is mapped from: its last commit, in files of the store."""

from __future__ import annotations

import os

from ..errors import SandboxError
from ._layout import Layout, Run
from ._memory import PAGE, Memory
from ._pages import DirtyPages, compare_pages

MAX_MAPPINGS = 24_000
"""Runs mapped for one memory before short ones are copied instead. The kernel's default limit
is 65,530, and splitting a mapping costs two."""
SHORT_RUN = 16
MAX_SAME = 8192
"""Pages that were written and ended as before, after which they are mapped again: reading
objects counts references to them, and what is compared at each commit takes time and memory."""
MAX_CRUMBS = 256
"""Pages in short runs that stay private copies after a commit. Much the same hundred pages are
written by every execution; mapping them each time costs more than comparing them again."""


class Backing:
    """The files of a space's last commit, and what its memory differs from them in.

    Args:
        dirty: tells which pages were written.
    """

    def __init__(self, dirty: DirtyPages) -> None:
        self._dirty = dirty
        self.size = 0
        """Bytes of the memory at the last commit."""
        self._layout = Layout()
        self._files: list[int] = []
        self._scratch = -1
        self._collected: list[tuple[int, int]] = []
        self._crumbs: set[int] = set()

    def open(self, size: int, layout: Layout, scratch: int, files: list[int]) -> None:
        """Take a space in place of the one before.

        Args:
            size: bytes of its memory.
            layout: where each page lies.
            scratch: descriptor of the file that takes what is to be committed.
            files: descriptors of the files, numbered as in the layout.
        """
        self.close()
        self.size, self._layout = size, layout
        self._scratch, self._files = scratch, files

    def close(self) -> None:
        """Close the files; may be called twice."""
        for file in self._files:
            os.close(file)
        if self._scratch >= 0:
            os.close(self._scratch)
        self._files, self._scratch = [], -1

    def map_over(self, memory: Memory) -> None:
        """Map the last commit over a fresh memory that is large enough."""
        self._crumbs.clear()
        mappings = len(self._layout)
        for run in self._layout:
            descriptor = self._files[run.file]
            address, length = run.page * PAGE, run.count * PAGE
            if mappings > MAX_MAPPINGS and run.count < SHORT_RUN:
                memory.read_file(descriptor, run.origin * PAGE, address, length)
            else:
                memory.map_file(descriptor, run.origin * PAGE, address, length)

    def collect(self, memory: Memory) -> list[tuple[int, int]]:
        """Write the pages that differ from the last commit to the scratch file.

        Returns:
            First page and number of pages of each run, in the order of the file.
        """
        written = compare_pages(memory, self._dirty, self._layout, self._files)
        self._collected = written.changed
        if sum(count for _, count, _ in written.same) > MAX_SAME:
            self._give_back(memory, written.same)
        os.ftruncate(self._scratch, 0)
        os.lseek(self._scratch, 0, os.SEEK_SET)
        ranges = [(page * PAGE, count * PAGE) for page, count in self._collected]
        memory.write_file(self._scratch, ranges)
        return self._collected

    def adopt(self, memory: Memory, number: int, origin: int, descriptors: list[int]) -> int:
        """The pages last collected are committed: map them from the file they are in now.

        Args:
            memory: that they were collected from.
            number: of the file.
            origin: the first page of them there.
            descriptors: one of the file, if it is a new one.

        Returns:
            How many runs the memory is mapped in.
        """
        if descriptors:
            if number != len(self._files):
                raise SandboxError("the files of a space are numbered in order")
            self._files.append(descriptors[0])
        file = self._files[number]
        for page, count in self._collected:
            self._layout.overlay(Run(page, count, number, origin))
            if count >= SHORT_RUN:
                memory.map_file(file, origin * PAGE, page * PAGE, count * PAGE)
            else:
                self._crumbs.update(range(page, page + count))
            origin += count
        if len(self._crumbs) > MAX_CRUMBS and len(self._layout) < MAX_MAPPINGS:
            self._map_crumbs(memory)
        self._collected = []
        self.size = memory.size
        return len(self._layout)

    def map_written(self, memory: Memory) -> bool:
        """Map again all that was written; a new instance would find none of its pages mapped.

        Returns:
            Whether that is possible: only the kernel can say what was written, and only a new
            instance is smaller.
        """
        if not self._dirty.exact:
            return False
        if memory.size > self.size:
            return False  # a memory never shrinks, and what it grew by would be missing later
        pieces = [
            piece
            for start, count in self._dirty.candidates(memory)
            for piece in self._layout.covering(start, count)
        ]
        if len(pieces) > MAX_MAPPINGS // 2:
            return False
        for page, count, run in pieces:
            self._map(memory, page, count, run)
        self._crumbs.clear()
        return True

    def _give_back(self, memory: Memory, same: list[tuple[int, int, Run | None]]) -> None:
        """Map pages again that were written and are as they were committed."""
        if len(same) > MAX_MAPPINGS // 2:
            return
        for page, count, run in same:
            self._map(memory, page, count, run)

    def _map_crumbs(self, memory: Memory) -> None:
        """Map the pages that were left as private copies, so that they are compared no more."""
        for page in self._crumbs:
            for _, _, run in self._layout.covering(page, 1):
                if run is not None:
                    self._map(memory, page, 1, run)
        self._crumbs.clear()

    def _map(self, memory: Memory, page: int, count: int, run: Run | None) -> None:
        """Map pages from where they are committed; of no file they are zero."""
        if run is None:
            memory.forget(page * PAGE, count * PAGE)
        else:
            origin = run.origin + page - run.page
            memory.map_file(self._files[run.file], origin * PAGE, page * PAGE, count * PAGE)
