"""Views: files that stay on the host, looked at as if they were text, bytes, lines or rows.

A view holds an id and a range of the file, nothing of its content, so it costs nothing to commit,
to fork, or to send to `pmap`.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NoReturn

from . import _slots, _text, _view_find, _view_rows
from ._slots import ViewChangedError, ViewError
from ._view_encoding import encoding_of
from ._view_lines import Lines
from ._view_range import FileRange

__all__ = ["FileView", "ViewChangedError", "ViewError", "is_view", "make"]

MAX_LEN = (1 << 31) - 1
"""The most that `len()` can say in the sandbox, which is a machine of 32 bits."""


def is_view(value: object) -> bool:
    """Whether a value is a view, and not only something that says so."""
    return type(value) is FileView


class FileView(FileRange):
    """A file on the host as text or bytes: slices, lines, search, rows; nothing is copied in whole.

    Offsets and sizes are in bytes. `view[a:b]` gives text whose ends are moved back to where a
    character begins, so that pieces joined are the text. `view.size` is the length, `len(view)`
    too up to 2 GB. `view.lines[a:b]` counts from 0 as lists do; `line_at(offset)`,
    `offset_of(line)`, `grep` and `lines` count lines from 1.
    """

    def __init__(
        self,
        id: str,
        name: str,
        begin: int,
        end: int,
        encoding: str | None,
        format: str,
        file: tuple[int, str] | None = None,
    ) -> None:
        super().__init__(id, name, begin, end, encoding)
        self._format = format
        self._file = file

    # What it is ----------------------------------------------------------------------------

    @property
    def file_size(self) -> int:
        """The bytes of its file when the view was made, also where this is a part of it."""
        file: tuple[int, str] | None = self.__dict__.get("_file")  # older views have none
        return file[0] if file else self._end

    @property
    def modified(self) -> str:
        """When its file had been changed last when the view was made, in UTC."""
        file: tuple[int, str] | None = self.__dict__.get("_file")
        return file[1] if file else ""

    def __getattr__(self, name: str) -> Any:
        """An error that says what a view has instead of what a text has."""
        if name.startswith("__") or not hasattr(str, name):
            raise AttributeError(f"a view has no attribute {name!r}")
        raise AttributeError(
            f"a view has no {name}(), it is larger than memory: use slices, .lines[a:b], "
            "grep(pattern, view), or view.to_str() where it fits"
        )

    def __len__(self) -> int:
        """The length in bytes, where `len` can say it."""
        if self.size > MAX_LEN:
            raise OverflowError(
                f"this view has {self.size:,} bytes, more than len() can say in the sandbox: use "
                "view.size"
            )
        return self.size

    def __bool__(self) -> bool:
        """Whether there is anything in it."""
        return self.size > 0

    def __repr__(self) -> str:
        """What it is, without looking at the file."""
        part = "" if not self._begin else f" from byte {self._begin:,}"
        kind = "bytes" if self.binary else "text"
        return f"<FileView of {kind} {self.name!r}{part}: {self.size:,} bytes on the host>"

    def __str__(self) -> str:
        """As `repr`: print slices or lines of a view, or `to_str()`."""
        return repr(self)

    # Slices --------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        """A slice, or the character (of bytes: the number) at an offset."""
        if isinstance(key, slice):
            start, stop, step = key.indices(self.size)
            if step != 1:
                if self.binary and step > 0:
                    return self.read(start, stop)[::step]
                raise ValueError("a view has no slices with a step: take one without, then step")
            return self.text(start, stop)
        if not hasattr(type(key), "__index__"):
            raise TypeError(f"a view takes an offset or a slice, not {type(key).__name__}")
        at = key.__index__()
        at += self.size if at < 0 else 0
        if not 0 <= at < self.size:
            raise IndexError(f"offset {key:,} is out of range: the view has {self.size:,} bytes")
        if self.binary:
            return self.read(at, at + 1)[0]
        begin = self.character(at)
        data = self.read(begin, begin + 4)
        return self.decode(data)[:1]

    def to_str(self) -> str:
        """All of it as a str.

        Raises:
            MemoryError: it does not fit; the text says what to do instead.
        """
        if self.binary:
            raise TypeError("this is a view of bytes: to_bytes() gives them")
        try:
            if self.size > MAX_LEN:
                raise MemoryError
            if self._encoding == "utf-8":
                text = _text.read_text(_Source(self), 0, self.size, [])
            else:
                text = self.decode(self.read(0, self.size))
        except MemoryError:
            self._too_large()
        return text

    def to_bytes(self) -> bytes:
        """All of it as bytes.

        Raises:
            MemoryError: it does not fit; the text says what to do instead.
        """
        try:
            if self.size > MAX_LEN:
                raise MemoryError
            return _text.read_exactly(_Source(self), 0, self.size)
        except MemoryError:
            self._too_large()

    def _too_large(self) -> NoReturn:
        raise MemoryError(
            f"the {self.size:,} bytes of {self.name!r} do not fit into this space: take slices, "
            "view.lines[a:b], grep(pattern, view), or pmap(function, view.parts(n))"
        ) from None

    # Lines ---------------------------------------------------------------------------------

    @property
    def lines(self) -> Lines:
        """The lines as a sequence that reads them when they are asked for."""
        return Lines(self)

    def __iter__(self) -> Iterator[Any]:
        """The lines, one after another, without their ends."""
        return iter(self.lines)

    def line_count(self) -> int:
        """The number of lines; what follows the last newline is one unless it is empty."""
        return self.lines.count()

    def line_at(self, offset: int) -> int:
        """The number of the line that holds a byte, counted from 1."""
        return self.lines.number_at(offset) + 1

    def offset_of(self, line: int) -> int:
        """The offset at which a line begins, counted from 1; the size where there are fewer."""
        if line < 1:
            raise IndexError(f"line {line}: lines count from 1")
        return self.lines.offset_of(line - 1)

    def lines_before(self) -> int:
        """Lines of the file before this; 0 unless it is one of `parts()`."""
        return self.lines.before()

    def head(self, count: int = 10) -> list[Any]:
        """The first lines."""
        return self.lines.head(count)

    def tail(self, count: int = 10) -> list[Any]:
        """The last lines."""
        return self.lines.tail(count)

    def sample(self, count: int = 10) -> list[Any]:
        """Lines from everywhere, in their order; the same ones each time."""
        return self.lines.sample(count)

    def parts(self, count: int) -> list[FileView]:
        """Views of parts of about the same size, cut at the ends of lines: for `pmap`.

        Offsets and lines of a part count from its own beginning, which is `part.begin` in the
        file.
        """
        if count < 1:
            raise ValueError(f"parts({count}): at least 1")
        edges = [0]
        for number in range(1, count):
            at = self.size * number // count
            end = at if self.binary else min(self.line_end(at) + 1, self.size)
            if edges[-1] < end < self.size:
                edges.append(end)
        edges.append(self.size)
        return [self._part(begin, end) for begin, end in pairwise(edges)]

    def _part(self, begin: int, end: int) -> FileView:
        first = self._begin
        return FileView(
            self._id, self.name, first + begin, first + end, self._encoding, self._format,
            self.__dict__.get("_file"),
        )  # fmt: skip

    # Rows ----------------------------------------------------------------------------------

    def rows(self, chunk: int = 100_000, format: str | None = None) -> Iterator[Any]:
        """The rows of a table: of CSV and TSV DataFrames of `chunk` rows, of JSON Lines each value.

        `format` is csv, tsv or jsonl; left out, the file's ending says it.
        """
        return _view_rows.rows(self, chunk, format or self._format)

    # Searching -----------------------------------------------------------------------------

    def find(self, what: Any, start: int = 0, stop: int | None = None) -> int:
        """The offset at which a text first occurs, or -1."""
        return _view_find.find(self, what, *self._range(start, stop))

    def rfind(self, what: Any, start: int = 0, stop: int | None = None) -> int:
        """The offset at which a text occurs last, or -1."""
        return _view_find.rfind(self, what, *self._range(start, stop))

    def count(self, what: Any, start: int = 0, stop: int | None = None) -> int:
        """How often a text occurs, without overlap."""
        return _view_find.count(self, what, *self._range(start, stop))

    def __contains__(self, what: Any) -> bool:
        """Whether a text occurs."""
        return self.find(what) >= 0

    def search(self, pattern: Any, start: int = 0, stop: int | None = None) -> Any:
        """The first match of a regular expression from an offset on, or None; as `re.search`."""
        return next(self.finditer(pattern, start, stop), None)

    def finditer(self, pattern: Any, start: int = 0, stop: int | None = None) -> Iterator[Any]:
        """The matches of a regular expression, whose offsets are those of bytes.

        As `re.finditer` over all of the text. One that reaches over lines is found if it has at
        most 1 MB.
        """
        return _view_find.finditer(self, pattern, *self._range(start, stop))

    def findall(self, pattern: Any, start: int = 0, stop: int | None = None) -> list[Any]:
        """What matches a regular expression, as `re.findall` gives it."""
        found = []
        for match in self.finditer(pattern, start, stop):
            groups = match.groups(b"" if self.binary else "")
            found.append(match.group() if not groups else groups[0] if len(groups) == 1 else groups)
        return found

    def _range(self, start: int, stop: int | None) -> tuple[int, int]:
        begin, end, _ = slice(start, stop).indices(self.size)
        return begin, end

    # The file ------------------------------------------------------------------------------

    def refresh(self) -> FileView:
        """Take the file as it is now: with what a log has grown by, or after a change."""
        answer = _slots.ask("view_refresh", id=self._id)
        if self._begin and not answer["grown"]:
            raise ViewChangedError(
                f"{self.name!r} was changed: its parts are not what they were; load the file again"
            )
        self._id, self._end = answer["id"], answer["size"]
        self._file = (answer["size"], answer["modified"])
        return self


class _Source:
    """A view as loaders read from it."""

    def __init__(self, view: FileView) -> None:
        self._view = view
        self.size = view.size

    def read(self, offset: int, length: int, /) -> bytes:
        return self._view.read(offset, offset + length)

    def ascii(self, offset: int, length: int, /) -> str | None:
        text = bytearray()
        for _, data in self._view.blocks(offset, offset + length):
            if not data.isascii():
                return None
            text += data
        return text.decode("ascii")

    def wipe(self, buffer: bytes, /) -> None:
        _slots.wipe(buffer)


def make(
    id: str, name: str, size: int, format: str, modified: str = ""
) -> tuple[FileView, list[str]]:
    """A view of a file, and notes on what had to be guessed.

    Args:
        id: the view's.
        name: of the file, whose ending says what its rows are.
        size: its bytes.
        format: as the caller asked for it.
        modified: when it was changed last.
    """
    notes: list[str] = []
    rows = _view_rows.format_of(name, format)
    view = FileView(id, name, 0, size, None, rows, (size, modified))
    if format != "bytes":
        view._encoding, view._begin = encoding_of(view, notes) if size else ("utf-8", 0)
    return view, notes


def adopt() -> None:
    """Give views that an older version of this code made the methods of this one."""
    classes: dict[str, type] = {"FileView": FileView, "Lines": Lines}
    gc.unfreeze()
    for value in gc.get_objects():
        kind = type(value)
        if type(kind) is not type:
            continue  # a metaclass of guest code may do anything when it is asked
        now = classes.get(kind.__name__)
        if now in (None, kind):
            continue
        if kind.__module__ in (FileView.__module__, Lines.__module__):
            value.__class__ = now
