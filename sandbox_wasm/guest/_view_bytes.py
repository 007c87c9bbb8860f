"""Bytes of a view as text, and the bytes that a text has in the view."""

from __future__ import annotations

from ._view import FileView


def text_of(view: FileView, data: bytes) -> str:
    """Bytes of a view as text of which `width` knows the bytes."""
    if view._encoding in (None, "utf-8"):
        return data.decode("utf-8", "surrogateescape")
    return data.decode(view._encoding, "replace")


def width(view: FileView, text: str) -> int:
    """The bytes that a text has in a view."""
    if text.isascii() or view._encoding not in (None, "utf-8"):
        return len(text)
    return len(text.encode("utf-8", "surrogateescape"))
