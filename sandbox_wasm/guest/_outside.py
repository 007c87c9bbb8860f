"""Documents that the host has parsed by a helper, which is native and locked down.

Parsers in the guest's own Python take a hundred times as long for some formats. The helper hands
back JSON, which is read here: what it says is data, whoever wrote the document.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

from . import _slots
from ._part import Memory, Part
from ._text import LoadError, Source

OUTSIDE = frozenset({"yaml", "xlsx", "pdf"})
"""Formats of which this is the parser."""
FILES = 2_000
"""That are handed in at once."""
TOGETHER = 2 << 20
"""Bytes of files out of an archive that are handed in at once (a guess): to start a helper takes as
long as to parse many small ones, and what is sent to it is left in the memory of the space."""
_BATCH = 32 << 20
"""Bytes of the files of a folder that are handed in at once; a single file may have more."""
_MAX_GIVEN = 40 << 20
"""Of a file that does not lie in the source: base64 of it fits into a call."""

Found = str | tuple[int, int]
"""Why there is nothing, or where what was made of a file lies."""


class Parsed:
    """A source whose files have been parsed in batches, as they are asked for.

    Args:
        input: the source.
        format: of all of them.
        entries: name, offset and length of each file.
    """

    def __init__(self, input: Source, format: str, entries: Iterable[tuple[str, int, int]]) -> None:
        self.size = input.size
        self.read, self.ascii, self.wipe = input.read, input.ascii, input.wipe
        self.input = input
        self._format = format
        # What lies in this memory is handed in with the places of the files in it.
        self._data = {"data": _encoded(input.data)} if isinstance(input, Memory) else {}
        self._waiting = [[offset, length] for _, offset, length in entries]
        self._waiting.reverse()
        self._found: dict[tuple[int, int], Found] = {}

    def found(self, offset: int, length: int) -> Found:
        """What became of a file; the one before it in the batches has been read."""
        while (offset, length) not in self._found:
            batch: list[list[int]] = []
            size = 0
            while self._waiting and len(batch) < FILES:
                if batch and size + self._waiting[-1][1] > _BATCH:
                    break
                batch.append(self._waiting.pop())
                size += batch[-1][1]
            if not batch:
                raise LoadError("The files were changed while they were read. Load them again.")
            found = _ask(self._format, _slots.FOUND, files=batch, **self._data)
            self._found = {(at, size): one for (at, size), one in zip(batch, found, strict=True)}
        return self._found[offset, length]


def parsed(part: Part, format: str) -> bytes:
    """What a helper makes of a file.

    Raises:
        LoadError: it cannot be parsed; the text is the cause alone.
    """
    input = part.input
    if isinstance(input, Parsed):
        found = input.found(part.offset, part.length)
    elif isinstance(input, Memory):
        return _given(format, part.data())
    else:
        found = _ask(format, _slots.FOUND, files=[[part.offset, part.length]])[0]
    return _read(found, _slots.FOUND)


def parsed_text(part: Part, format: str) -> bytes:
    """What a helper makes of a file of text, in whatever encoding it is.

    Raises:
        LoadError: it cannot be parsed; the text is the cause alone.
    """
    if part.encoding is None:
        try:
            return parsed(part, format)
        except LoadError as error:
            if str(error) != "encoding":
                raise
    text = part.text()
    data = text.encode("utf-8", "surrogatepass")
    part.drop(text)
    return _given(format, data)


def value_of(data: bytes, part: Part, hook: Any = None) -> Any:
    """The value of JSON that a helper made.

    Raises:
        LoadError: it is none.
    """
    try:
        return json.loads(data, object_hook=hook)
    except (ValueError, RecursionError):
        raise part.error(
            "what was made of it cannot be read. Load it with format='text'."
        ) from None
    finally:
        part.input.wipe(data)


def _given(format: str, data: bytes) -> bytes:
    if len(data) > _MAX_GIVEN:
        raise LoadError(
            f"it has {len(data):,} bytes; at most {_MAX_GIVEN:,} can be loaded out of what is "
            "compressed or not UTF-8. Unpack or convert it first"
        )
    # In a slot of its own: what was made of the other files of a batch is still to be read.
    found = _ask(format, _slots.GIVEN, data=_encoded(data))[0]
    return _read(found, _slots.GIVEN)


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _ask(format: str, slot: int, **what: Any) -> list[Found]:
    """Where what was made of each file lies, from the beginning of the file in the slot."""
    try:
        sizes = _slots.ask("parse", format=format, slot=slot, **what)["files"]
    except _slots.ViewError as error:
        raise LoadError(str(error)) from None
    found: list[Found] = []
    at = 0
    for size in sizes:
        if isinstance(size, str):
            found.append(size)
        else:
            found.append((at, size))
            at += size
    return found


def _read(found: Found, slot: int) -> bytes:
    if isinstance(found, str):
        raise LoadError(found)
    offset, size = found
    data = _slots.read_found(size, offset, slot)
    if len(data) != size:
        raise LoadError("what was made of it is cut short")
    return data
