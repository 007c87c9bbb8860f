"""Texts that hold half of a character: found in what clients send."""

from __future__ import annotations

from collections.abc import Iterator


def half_in(value: object) -> int | None:
    """Where the first text of a value of JSON that has half of a character has it, or `None`."""
    for text in _texts(value):
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                return error.start
    return None


def _texts(value: object) -> Iterator[str]:
    rest = [value]
    while rest:
        part = rest.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            yield from (key for key in part if isinstance(key, str))
            rest.extend(part.values())
        elif isinstance(part, list):
            rest.extend(part)
