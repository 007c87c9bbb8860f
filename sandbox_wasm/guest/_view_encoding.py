"""How the bytes of a view are read: as text of an encoding, or as they are."""

from __future__ import annotations

from . import _text
from ._view_range import FileRange

_HEAD = 64 << 10  # bytes that are looked at in one place


def encoding_of(view: FileRange, notes: list[str]) -> tuple[str | None, int]:
    """The encoding of a view of bytes, and how many of them say so at its beginning.

    Args:
        view: what is looked at; it is not empty.
        notes: gets a sentence on what had to be guessed.

    Returns:
        None where it is to stay a view of bytes.
    """
    head = view.read(0, _HEAD)
    encoding, mark = _text.by_mark(head, view.size)
    if encoding != "utf-8":
        notes.append(f"It is {encoding}, which a view gives as bytes: .decode() the slices.")
    elif b"\0" in head[:8192]:
        notes.append("The file is binary (it has NUL bytes), so it is a view of bytes.")
    else:
        return _by_samples(view, notes), mark
    return None, 0


def _by_samples(view: FileRange, notes: list[str]) -> str:
    """UTF-8, unless samples of the file speak for something else of one byte a character."""
    step = max(_text.WINDOW // 128, view.size // 16)
    for at in range(0, view.size, step):
        data = view.read(at, at + _HEAD)
        start = next((i for i, byte in enumerate(data[:4]) if byte & 0xC0 != 0x80), 0)
        try:
            data[start : len(data) - 3].decode()
        except UnicodeDecodeError as error:
            if error.end >= len(data) - 3 - start:
                continue  # a character that the end of the sample cuts
            near = data[max(0, error.start - 4096) : error.start + 8192]
            encoding, _ = _text.guess(near)
            if encoding.startswith(("cp125", "iso8859", "latin", "mac", "koi8")):
                notes.append(f"It is not UTF-8: read as {encoding}, a guess.")
                return encoding
            notes.append("Some of it is not UTF-8 and reads as U+FFFD.")
            break
    return "utf-8"
