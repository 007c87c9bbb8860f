"""What bounds archives and compressed files, so that a small one cannot fill the space."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import Any

from ._part import Part
from ._text import LoadError

MAX_TOTAL = 1 << 30
"""Bytes that one source may become. Text of it takes as much again while it is decoded."""
MAX_RATIO = 1_000
"""Deflate cannot pass 1,032, and real logs stay below some hundred."""
FREE = 64 << 20
"""Bytes up to which the ratio is not looked at: what can do no harm."""
MAX_ENTRIES = 200_000
"""As of a folder."""
MAX_MEMBER = 64 << 20
"""As of a file in a folder."""
DAMAGE: tuple[type[Exception], ...] = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, struct.error, KeyError,
    NotImplementedError, RuntimeError, IndexError, OverflowError,
)  # fmt: skip
"""What the readers of archives raise for damaged ones."""

_BOMB = "Decompress it yourself, in parts, and load the files."


class BombError(LoadError):
    """An archive would become far larger than it is."""


def too_large(part: Part, size: int) -> BombError | None:
    """The error for content of a size, if it is out of bounds."""
    if size > MAX_TOTAL:
        return BombError(
            f"{part.of}decompressed it is over {MAX_TOTAL >> 20:,} MB (it is {part.length:,} bytes "
            f"itself). {_BOMB}"
        )
    if size > FREE and size > part.length * MAX_RATIO:
        return BombError(
            f"{part.of}it looks like an archive bomb: {part.length:,} bytes that become over "
            f"{size:,}. {_BOMB}"
        )
    return None


class Bounded(io.RawIOBase):
    """A stream that ends in an error when it has given too much.

    Args:
        stream: gives decompressed bytes.
        part: the compressed file.
    """

    def __init__(self, stream: Any, part: Part) -> None:
        super().__init__()
        self._stream = stream
        self._part = part
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._stream.read(min(len(buffer), 1 << 20))
        self._given += len(data)
        if (error := too_large(self._part, self._given)) is not None:
            raise error
        buffer[: len(data)] = data
        return len(data)


def open_zip(part: Part) -> zipfile.ZipFile:
    """Open a zip whose contents, by what it says of them, are within bounds.

    Raises:
        LoadError: it is damaged, or too large.
    """
    try:
        archive = zipfile.ZipFile(part.stream())
    except DAMAGE as error:
        raise part.error(f"the archive is damaged ({cause(error)}). Get it again.") from None
    members = archive.infolist()
    if len(members) > MAX_ENTRIES:
        raise part.error(f"the archive has {len(members):,} entries; at most {MAX_ENTRIES:,}.")
    if (bomb := too_large(part, sum(member.file_size for member in members))) is not None:
        raise bomb
    return archive


def read_member(part: Part, archive: zipfile.ZipFile, name: str) -> bytes | None:
    """A file in a zip, or `None` if there is none of that name.

    Raises:
        LoadError: it is damaged, encrypted or too large.
    """
    try:
        info = archive.getinfo(name)
    except KeyError:
        return None
    if info.file_size > MAX_MEMBER:
        raise part.error(f"{name!r} in it is over {MAX_MEMBER >> 20} MB.")
    if info.flag_bits & 1:
        raise part.error(f"{name!r} in it is encrypted. Save it without a password.")
    try:
        # zipfile stops at the length that the directory gives, and checks the sum.
        return archive.read(info)
    except DAMAGE as error:
        raise part.error(f"{name!r} in it is damaged ({cause(error)}). Get it again.") from None


def cause(error: BaseException) -> str:
    """What went wrong in a few words."""
    text = " ".join(str(error).split())[:200].rstrip(".")
    return text or type(error).__name__
