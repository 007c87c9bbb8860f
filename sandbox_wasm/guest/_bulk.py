"""Large data between the guest's memory and a descriptor of the host, without a copy between.

The host reads straight into an object that this module has just made and that nobody else has
seen yet, so that a text of 100 MB is never held twice.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable

from . import _door

_BYTES_HEADER = sys.getsizeof(b"") - 1
_ASCII_HEADER = sys.getsizeof("") - 1
_MIN = 4096
"""Below this a string may be one that the interpreter shares; those are read the plain way."""


class Input:
    """The source that the host opened for this turn.

    Args:
        size: its length in bytes.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from the source; fewer only when it has become shorter.

        Raises:
            MemoryError: they do not fit.
        """
        length = max(0, min(length, self.size - offset))
        buffer = bytes(max(length, _MIN))
        read, _ = self._fill(id(buffer) + _BYTES_HEADER, offset, length)
        return buffer if read == len(buffer) else buffer[:read]

    def ascii(self, offset: int, length: int) -> str | None:
        """Text from the source if all of it is ASCII, else `None`.

        Raises:
            MemoryError: it does not fit.
        """
        length = max(0, min(length, self.size - offset))
        if length < _MIN:
            data = self.read(offset, length)
            return data.decode("ascii") if data.isascii() else None
        text = "\0" * length
        read, is_ascii = self._fill(id(text) + _ASCII_HEADER, offset, length)
        if read == length and is_ascii:
            return text
        # Wide bytes in an ASCII string would break the interpreter's rules: out with them.
        _door.raw(_door.WIPE + struct.pack("<II", id(text) + _ASCII_HEADER, length))
        return None

    def wipe(self, buffer: bytes) -> None:
        """Zero a buffer that is about to be dropped, so that it is no part of a commit."""
        if len(buffer) >= _MIN:
            _door.raw(_door.WIPE + struct.pack("<II", id(buffer) + _BYTES_HEADER, len(buffer)))

    def _fill(self, address: int, offset: int, length: int) -> tuple[int, bool]:
        answer = _door.raw(_door.READ + struct.pack("<IIQ", address, length, offset))
        read, is_ascii = struct.unpack("<I?", answer)
        return read, is_ascii


def write_output(chunks: Iterable[bytes]) -> int:
    """Write to the target that the host opened for this turn.

    Returns:
        The bytes written.
    """
    total = 0
    for chunk in chunks:
        if chunk:
            address = id(chunk) + _BYTES_HEADER
            _door.raw(_door.WRITE + struct.pack("<II", address, len(chunk)))
            total += len(chunk)
    return total
