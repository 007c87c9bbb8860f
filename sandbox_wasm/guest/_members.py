"""Values of the files of an archive: those that a helper parses many at once."""

from __future__ import annotations

from collections.abc import Callable

from ._outside import FILES, OUTSIDE, TOGETHER, Parsed
from ._part import Memory, Part
from ._text import Source

Taken = Callable[[Part, bytes, bytes], None]
"""Takes a file, its bytes and their SHA-256."""


class Members:
    """Files that wait until it is worth to parse them.

    Args:
        part: the archive.
        format: that they are of.
        take: makes the value of each.
    """

    def __init__(self, part: Part, format: str, take: Taken) -> None:
        self._part = part
        self._format = format
        self._take = take
        self._together = TOGETHER if format in OUTSIDE else 0
        self._waiting: dict[str, tuple[bytes, bytes]] = {}
        self._size = 0

    def __contains__(self, path: str) -> bool:
        """Whether a file waits."""
        return path in self._waiting

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def add(self, path: str, data: bytes, digest: bytes) -> None:
        """Take a file, of a path that none has that waits."""
        if self._size + len(data) > self._together or len(self._waiting) >= FILES:
            self.finish()
        self._waiting[path] = data, digest
        self._size += len(data)

    def finish(self) -> None:
        """Have the values made of all that wait."""
        waiting, self._waiting, self._size = self._waiting, {}, 0
        outer = self._part.input
        together: Source | None = None
        if len(waiting) > 1:
            memory = Memory(b"".join(data for data, _ in waiting.values()), outer)
            places = []
            offset = 0
            for path, (data, _) in waiting.items():
                places.append((path, offset, len(data)))
                offset += len(data)
            together = Parsed(memory, self._format, places)
        at = 0
        for path, (data, digest) in waiting.items():
            input = together or Memory(data, outer)
            inner = Part(
                input, at if together else 0, len(data), path, self._part.notes, path,
                contents=self._part.contents,
            )  # fmt: skip
            self._take(inner, data, digest)
            at += len(data)
        if together is not None:
            outer.wipe(memory.data)
