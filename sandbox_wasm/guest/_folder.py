"""A folder as a dict of path to content."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ._archive import Skipped
from ._bounds import BombError
from ._fit import one_line
from ._outside import OUTSIDE, Parsed
from ._part import Part
from ._text import WINDOW, LoadError, Source, decode_small, drop_text, read_exactly

_GUESSES = 20
"""Files of a folder whose encoding is guessed one by one (some ms each) before the commonest
guess is taken for the rest."""
_NAMED = 3

Entry = tuple[str, int, int]
"""Path, offset and length of a file."""


def folder_bytes(input: Source, entries: Sequence[Entry]) -> dict[str, bytes]:
    """The bytes of each file."""
    values: dict[str, bytes] = {}
    for group, window in _windows(input, entries):
        base = group[0][1]
        for name, offset, length in group:
            values[name] = window[offset - base : offset - base + length]
        _drop_window(input, window, group, values)
    return values


def folder_texts(input: Source, entries: Sequence[Entry], notes: list[str]) -> dict[str, str]:
    """The text of each file.

    Args:
        input: where the bytes are read from.
        entries: the files.
        notes: gets a sentence on encodings that were guessed.
    """
    values: dict[str, str] = {}
    guessed: list[tuple[str, str]] = []
    for group, window in _windows(input, entries):
        base = group[0][1]
        whole = window.decode("ascii") if window.isascii() else None
        for name, offset, length in group:
            start = offset - base
            if whole is not None:
                values[name] = whole[start : start + length]
                continue
            rest = _commonest(guessed) if len(guessed) >= _GUESSES else None
            values[name], encoding = decode_small(window[start : start + length], rest)
            if encoding is not None:
                guessed.append((name, encoding))
        if whole is not None and not any(values[name] is whole for name, _, _ in group):
            drop_text(whole)
        del whole
        _drop_window(input, window, group, values)
        del window
    if guessed:
        named = ", ".join(f"{one_line(name)} ({encoding})" for name, encoding in guessed[:_NAMED])
        more = f" and {len(guessed) - _NAMED:,} more" if len(guessed) > _NAMED else ""
        notes.append(f"Not UTF-8, decoded by a guess: {named}{more}.")
    return values


def folder_values(
    input: Source,
    entries: Sequence[Entry],
    format: str,
    notes: list[str],
    parse: Callable[[Part], Any],
    *,
    skip: bool,
) -> dict[str, Any]:
    """What a parser makes of each file.

    Args:
        input: where the bytes are read from.
        entries: the files.
        format: what they are read as, for errors.
        notes: gets what the parser has to say, and what was left out.
        parse: makes the value of a file.
        skip: leaves out what cannot be read, as long as something can.

    Raises:
        LoadError: a file cannot be read, or with `skip` none can.
        BombError: a file is too large unpacked.
    """
    values: dict[str, Any] = {}
    skipped = Skipped()
    if format in OUTSIDE:
        input = Parsed(input, format, entries)
    for name, offset, length in entries:
        part = Part(input, offset, length, name, notes, label=name)
        try:
            values[name] = parse(part)
        except BombError:
            raise
        except LoadError as error:
            if not skip:
                raise
            skipped.add("not readable", str(error).partition(". ")[0])
    if skipped:
        if not values:
            raise LoadError(f"No file could be read as {format}: {skipped}.")
        notes.append(str(skipped))
    return values


def _windows(input: Source, entries: Sequence[Entry]) -> Iterator[tuple[list[Entry], bytes]]:
    """Runs of files that lie one after another, with their bytes."""
    group: list[Entry] = []
    size = 0
    for entry in entries:
        _, offset, length = entry
        if group and (size + length > WINDOW or offset != group[0][1] + size):
            yield group, read_exactly(input, group[0][1], size)
            group, size = [], 0
        group.append(entry)
        size += length
    if group:
        yield group, read_exactly(input, group[0][1], size)


def _drop_window(
    input: Source, window: bytes, group: list[Entry], values: Mapping[str, object]
) -> None:
    # A slice of all of it is the window itself, which must not be wiped under the value.
    if not any(values[name] is window for name, _, _ in group):
        input.wipe(window)


def _commonest(guessed: list[tuple[str, str]]) -> str:
    encodings = [encoding for _, encoding in guessed[:_GUESSES]]
    return max(set(encodings), key=encodings.count)
