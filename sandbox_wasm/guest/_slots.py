"""Files that the host has open for this turn, by the number that this guest gave them.

A file is opened through the server, which checks that it may be read and is still what it was;
then the worker reads from its descriptor straight into the guest, in microseconds.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from typing import Any

_READ, _WIPE = b"V", b"W"
_BYTES_HEADER = sys.getsizeof(b"") - 1
_MIN = 4096  # below this a bytes object may be one that the interpreter shares
_SLOTS = 62  # of 64; the others are those below
GIVEN, FOUND = 62, 63
"""For what was made of a file that was handed in, and for what a search or a parser found."""


class ViewError(Exception):
    """A view cannot be read, or cannot do what was asked; the text says why and what can."""


class ViewChangedError(ViewError):
    """The file of a view is no longer what it was when the view was made.

    A file that only grew is not changed: the view stands for what it had. `refresh()` takes the
    file as it is now.
    """


class _Open:
    __slots__ = ("mtime", "size", "slot")

    def __init__(self, slot: int, size: int, mtime: int) -> None:
        self.slot, self.size, self.mtime = slot, size, mtime


def _no_host(*_arguments: Any, **_fields: Any) -> Any:
    raise ViewError("a view can be read inside a space only")


_opened: dict[str, _Open] = {}
_raw: Callable[[bytes], bytes] = _no_host
_answer: Callable[..., dict[str, Any]] = _no_host


def connect(raw: Callable[[bytes], bytes], answer: Callable[..., dict[str, Any]]) -> None:
    """Say how the host is reached.

    Args:
        raw: the door.
        answer: asks the server.
    """
    global _raw, _answer
    _raw, _answer = raw, answer


def begin() -> None:
    """Forget what the turn before had open: the host has closed it."""
    _opened.clear()


def ask(op: str, **fields: Any) -> dict[str, Any]:
    """Ask the server something about a view.

    Raises:
        ViewChangedError: its file changed.
        ViewError: the server refused.
    """
    answer = _answer(op, **fields)
    if "refused" in answer:
        raise ViewError(answer["refused"])
    if "changed" in answer:
        raise ViewChangedError(answer["changed"])
    return answer


def read(id: str, offset: int, length: int) -> bytes:
    """Bytes of a view's file; fewer only at its end.

    Raises:
        ViewChangedError: the file changed.
        ViewError: it may not be read.
        MemoryError: they do not fit.
    """
    entry = _opened.get(id) or _open(id)
    buffer, size, mtime = _fill(entry.slot, offset, length)
    if size != entry.size or mtime != entry.mtime:
        _open(id)  # raises unless it only grew, which leaves what was read as it was
    return buffer


def read_index(id: str, entry: int) -> int:
    """An entry of the index of lines: the newlines up to the end of a block.

    Raises:
        ViewError: the lines cannot be counted.
    """
    opened = _opened.get(f"lines:{id}") or _open_index(id)
    data, _, _ = _fill(opened.slot, entry * 8, 8)
    if len(data) < 8:
        raise ViewError("the index of lines is shorter than it should be; load the file again")
    return int.from_bytes(data, "little")


def block_size(id: str) -> int:
    """Bytes between two entries of the index; waits until there is one."""
    opened = _opened.get(f"lines:{id}") or _open_index(id)
    return opened.size


def read_found(size: int, offset: int = 0, slot: int = FOUND) -> bytes:
    """What a search or a parser found."""
    data, _, _ = _fill(slot, offset, size)
    return data


def wipe(buffer: bytes) -> None:
    """Zero a buffer that is about to be dropped, so that it is no part of a commit."""
    if len(buffer) >= _MIN:
        _raw(_WIPE + struct.pack("<II", id(buffer) + _BYTES_HEADER, len(buffer)))


def _open(id: str) -> _Open:
    before = _opened.pop(id, None)
    slot = before.slot if before is not None else _free_slot()
    answer = ask("view_open", id=id, slot=slot)
    found = _opened[id] = _Open(slot, answer["actual"], answer["mtime"])
    return found


def _open_index(id: str) -> _Open:
    slot = _free_slot()
    answer = ask("view_index", id=id, slot=slot)
    found = _opened[f"lines:{id}"] = _Open(slot, answer["block"], 0)
    return found


def _free_slot() -> int:
    if len(_opened) >= _SLOTS:
        del _opened[next(iter(_opened))]
    used = {entry.slot for entry in _opened.values()}
    return next(slot for slot in range(_SLOTS) if slot not in used)


def _fill(slot: int, offset: int, length: int) -> tuple[bytes, int, int]:
    """Bytes at an offset, and the size and time of change of the file after they were read."""
    buffer = bytes(max(length, _MIN))
    place = struct.pack("<IIIQ", slot, id(buffer) + _BYTES_HEADER, length, offset)
    answer = _raw(_READ + place)
    read, _, size, mtime = struct.unpack("<I?qq", answer)
    return (buffer if read == len(buffer) else buffer[:read]), size, mtime
