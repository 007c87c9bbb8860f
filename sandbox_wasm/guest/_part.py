"""One file of what the host opened, as parsers take it: bytes, a stream, or text."""

from __future__ import annotations

import codecs
import io
from dataclasses import dataclass, field
from typing import Any

from ._fit import one_line
from ._places import Contents
from ._text import WINDOW, LoadError, Source, drop_text, read_exactly, read_text

_HEAD = 8192
"""Bytes that are read once and looked at several times."""


@dataclass
class Part:
    """A file in a source.

    Args:
        input: where its bytes are read from.
        offset: where it begins.
        length: its bytes.
        name: its path, or what the caller named; its suffix tells the format.
        notes: gets a sentence for all that was guessed or left out.
        label: put before each note and error, where there are several files.
        pattern: which members of an archive; `None` for all.
        charset: the encoding that its source declared, such as a web server.
        contents: gets what is to be known of the places in its value.
    """

    input: Source
    offset: int
    length: int
    name: str
    notes: list[str] = field(default_factory=list)
    label: str = ""
    pattern: str | None = None
    charset: str | None = None
    contents: Contents = field(default_factory=Contents)
    _head: bytes = field(default=b"", repr=False)

    @property
    def of(self) -> str:
        """What a sentence about this file begins with."""
        return f"{one_line(self.label)}: " if self.label else ""

    @property
    def suffix(self) -> str:
        """The ending of its name in small letters, without the dot."""
        base = self.name.rpartition("/")[2]
        return base.rpartition(".")[2].lower() if "." in base else ""

    @property
    def encoding(self) -> str | None:
        """The declared encoding, if it is one that is known and is not UTF-8 anyway."""
        try:
            name = codecs.lookup(self.charset or "utf-8").name
            "".encode(name)
        except (LookupError, TypeError, ValueError):  # not known, or no encoding of text
            return None
        name = "cp1252" if name in ("iso8859-1", "ascii") else name  # as browsers read it
        return None if name == "utf-8" else name

    def note(self, text: str) -> None:
        """Say something to the caller."""
        self.notes.append(self.of + text)

    def error(self, text: str) -> LoadError:
        """An error about this file."""
        return LoadError(self.of + text)

    def head(self, length: int) -> bytes:
        """Its first bytes."""
        if not self._head:
            self._head = read_exactly(self.input, self.offset, min(_HEAD, self.length))
        if length <= _HEAD:
            return self._head[:length]
        return read_exactly(self.input, self.offset, min(length, self.length))

    def data(self) -> bytes:
        """All of its bytes."""
        return read_exactly(self.input, self.offset, self.length)

    def text(self) -> str:
        """All of it as text; give it back with `drop` once it is parsed."""
        return read_text(
            self.input, self.offset, self.length, self.notes, self.label, self.encoding
        )

    def drop(self, text: str) -> None:
        """Zero a text that no value holds, so that it is no part of a commit."""
        drop_text(text)

    def stream(self) -> io.BufferedReader:
        """Its bytes as a file that can be sought in."""
        return io.BufferedReader(Stream(self.input, self.offset, self.length), 1 << 18)


class Stream(io.RawIOBase):
    """A part of the source as a file, for parsers that read from one."""

    def __init__(self, input: Source, offset: int, length: int) -> None:
        super().__init__()
        self._input = input
        self._start = offset
        self._length = length
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        if base + offset < 0:
            raise OSError(22, "Invalid argument")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        length = max(0, min(len(buffer), self._length - self._at, WINDOW))
        data = read_exactly(self._input, self._start + self._at, length)
        buffer[:length] = data
        self._at += length
        return length


class Memory:
    """A source that was made here, such as a file that was decompressed.

    Args:
        data: its bytes.
        outer: the source that it came out of, whose host can wipe.
    """

    def __init__(self, data: bytes, outer: Source) -> None:
        self.data = data
        self.size = len(data)
        self._outer = outer

    def read(self, offset: int, length: int, /) -> bytes:
        """A copy, which may be wiped."""
        return bytes(memoryview(self.data)[offset : offset + length])

    def ascii(self, offset: int, length: int, /) -> str | None:
        """Text, if all of it is ASCII."""
        data = memoryview(self.data)[offset : offset + length]
        try:
            return str(data, "ascii")
        except UnicodeDecodeError:
            return None

    def wipe(self, buffer: bytes, /) -> None:
        """Zero a buffer that is about to be dropped."""
        self._outer.wipe(buffer)
