"""What a loader hands to a worker: one descriptor and where each file's bytes lie in it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal

from ..errors import BadRequestError, SourceError
from ..sandbox import scratch_file

Entry = tuple[str, int, int]
"""Name, offset and length of a file in a bundle."""


@dataclass(frozen=True)
class Origin:
    """Where a bundle comes from.

    Args:
        path: as the caller named it; empty for an inline value.
        size: bytes in all.
        mtime: when it was last changed, in seconds since the epoch; 0 when there is no telling.
        note: what has to be known of it besides.
    """

    path: str
    size: int
    mtime: float
    note: str = ""


@dataclass
class Bundle:
    """An open source. It owns the descriptor; closing it twice is fine.

    Args:
        fd: the descriptor; for a single file that of the file itself.
        entries: what lies in it, in the order of the names.
        kind: whether it is one file or a folder's; `view` for a file that is to stay outside.
        origin: where it comes from.
        skipped: how many files were left out, by reason.
        notes: what the caller should know besides, in sentences.
        format: what `format="auto"` means for it; `auto` leaves it to the name and the content.
        hint: a name whose ending tells the format; the origin's path if it is empty.
        charset: the encoding of text that the source declared.
        pattern: which members, should it turn out to be an archive.
        path: of a view's file, absolute and with links resolved.
    """

    fd: int
    entries: list[Entry]
    kind: Literal["file", "folder", "view"]
    origin: Origin
    skipped: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    format: str = "auto"
    hint: str = ""
    charset: str | None = None
    pattern: str | None = None
    path: str = ""
    _opened: os.stat_result | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self.origin.size

    def verify(self) -> None:
        """Check, after a single file was read, that it is still what was opened.

        A file that only grew is noted, because logs do; what was there at first was read.

        Raises:
            SourceError: it was cut short or written over meanwhile.
        """
        if self._opened is None or self.fd < 0:
            return
        before, now = self._opened, os.fstat(self.fd)
        if now.st_size > before.st_size:
            grown = now.st_size - before.st_size
            self.notes.append(f"The file grew by {grown:,} bytes meanwhile; they were left out.")
        elif now.st_size != before.st_size or now.st_mtime_ns != before.st_mtime_ns:
            raise SourceError(
                f"{self.origin.path!r} was changed while it was read. Load it again when nothing "
                "writes to it, or load a copy."
            )

    def close(self) -> None:
        """Close the descriptor."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def file_bundle(fd: int, info: os.stat_result, path: str) -> Bundle:
    """A bundle of one open file, whose descriptor it takes over."""
    name = PurePath(path).name
    return Bundle(
        fd,
        [(name, 0, info.st_size)],
        "file",
        Origin(path, info.st_size, info.st_mtime),
        _opened=info,
    )


def view_bundle(fd: int, info: os.stat_result, named: str, path: str) -> Bundle:
    """A bundle of one open file that is not to be read in whole; it takes the descriptor over."""
    return Bundle(fd, [], "view", Origin(named, info.st_size, info.st_mtime), path=path)


def inline(value: Any) -> Bundle:
    """A bundle of a value that came with the call itself: text, or a value of JSON.

    Raises:
        BadRequestError: it is neither.
        SourceError: there is no room for it.
    """
    try:
        if isinstance(value, str):
            data, means = value.encode(), "text"
        else:
            data, means = json.dumps(value).encode(), "json"
    except UnicodeEncodeError as error:
        raise BadRequestError(
            f"The text holds half of a surrogate pair at character {error.start:,}, so it is not "
            "text that can be stored. Send it without, or save it to a file and load that."
        ) from None
    except RecursionError:
        raise BadRequestError("The value is nested too deeply.") from None
    except (TypeError, ValueError) as error:
        raise BadRequestError(f"The value is neither text nor JSON: {error}.") from None
    fd = scratch()
    try:
        write_all(fd, memoryview(data))
    except BaseException:
        os.close(fd)
        raise
    return Bundle(fd, [("value", 0, len(data))], "file", Origin("", len(data), 0.0), format=means)


def scratch() -> int:
    """An open file without a name, in memory where the system has such.

    Raises:
        SourceError: none can be made.
    """
    try:
        return scratch_file()
    except OSError as error:
        raise SourceError(f"No room for what is loaded: {error.strerror}.") from None


def write_all(fd: int, data: memoryview) -> None:
    """Write all of a buffer.

    Raises:
        SourceError: there is no room for it.
    """
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError as error:
        raise SourceError(f"No room for what is loaded: {error.strerror}.") from None
