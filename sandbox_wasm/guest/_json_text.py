"""JSON and JSON Lines as values, with errors that say where and what to do."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ._garbage import all_kept
from ._part import Part
from ._text import LoadError

_EXCERPT = 60


class _Objects:
    """Makes dicts of what JSON has in braces, and counts keys that come twice in one.

    It takes twice as long as to leave that to the parser, so it is only used where keys are missing
    from what that made.
    """

    def __init__(self) -> None:
        self.twice = 0
        self.key = ""

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            self.twice += 1
            self.key = self.key or Counter(key for key, _ in pairs).most_common(1)[0][0]
        return made

    def note(self, part: Part) -> None:
        """Say something on keys that came twice, if any did."""
        if self.twice:
            objects = "1 object has" if self.twice == 1 else f"{self.twice:,} objects have"
            part.note(f"{objects} a key twice, such as {self.key!r:.80}: the last value was kept.")


_MOST = 32 << 20
"""Characters of a text in which keys are counted (a guess: half a second)."""


def _is_complete(value: Any, text: str) -> bool:
    """Whether a value has as many keys as its text has colons after quotation marks.

    What cannot be counted so, such as keys with a blank before the colon, is said to be incomplete.
    """
    if len(text) > _MOST:
        return True
    if '\\\\":' in text or (any(mark in text for mark in _APART) and _SPACED.search(text)):
        return False
    left = text.count('":') - text.count('\\":')
    level = [value]
    while level:
        below: list[Any] = []
        for some in level:
            if type(some) is dict:
                left -= len(some)
                below += some.values()
            elif type(some) is list:
                below += some
        level = below
    return not left


_APART = (" :", "\t:", "\n:", "\r:")
_SPACED = re.compile(r'"\s+:')


def json_value(text: str, part: Part) -> Any:
    """The value of a text.

    Args:
        text: all of it.
        part: the file that it is of, for notes and errors.

    Raises:
        LoadError: it is no JSON.
    """
    if not text or text.isspace():
        raise part.error("there is no JSON in it, it is empty. Load it with format='text'.")
    try:
        with all_kept():
            value = json.loads(text)
        if not _is_complete(value, text):
            objects = _Objects()
            json.loads(text, object_pairs_hook=objects)
            objects.note(part)
        return value
    except json.JSONDecodeError as error:
        first = _first_line(text)
        if error.msg == "Extra data" and "\n" in text and _is_json(first):
            hint = "Each line is JSON by itself: load it with format='jsonl'."
        elif text[:1000].lstrip().startswith("<"):
            hint = "It looks like HTML or XML: load it with format='text'."
        else:
            hint = "Mend it, or load it with format='text' and parse it in code."
        where = f"line {error.lineno:,}, column {error.colno:,}"
        excerpt = _excerpt(text, error.pos)
        message = f"invalid JSON at {where}: {error.msg}. There: {excerpt}. {hint}"
    except RecursionError:
        message = "the JSON is nested too deeply to load. Load it with format='text'."
    except ValueError as error:  # a number of thousands of digits
        message = f"the JSON cannot be loaded: {error}. Load it with format='text'."
    raise part.error(message)


def json_lines(text: str, part: Part) -> list[Any]:
    """The values of the lines of a text, blank ones left out.

    Args:
        text: all of it.
        part: the file that it is of, for notes and errors.

    Raises:
        LoadError: a line is no JSON.
    """
    values: list[Any] = []
    blank = 0
    with all_kept():
        decoder = json.JSONDecoder()
        decode, begin = decoder.decode, decoder.raw_decode
        for number, line in enumerate(_lines_of(text), 1):
            try:
                value, end = begin(line)  # most lines are nothing but a value
                if end == len(line):
                    values.append(value)
                    continue
            except (ValueError, RecursionError):
                pass
            if not line or line.isspace():
                blank += 1
                continue
            try:
                values.append(decode(line))
            except (ValueError, RecursionError) as error:
                raise _line_error(error, line, number, part) from None
    if blank:
        part.note(f"blank lines were skipped: {blank:,}.")
    part.contents.unit = "" if blank or part.label else "line"
    if not _is_complete(values, text):
        objects = _Objects()
        decode = json.JSONDecoder(object_pairs_hook=objects).decode
        for line in _lines_of(text):
            if line and not line.isspace():
                decode(line)
        objects.note(part)
    return values


def _lines_of(text: str) -> Iterator[str]:
    """The lines of a text without their ends, one at a time: together they are as large as it."""
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield text[start:end]
        start = end + 1


def _line_error(error: Exception, line: str, number: int, part: Part) -> LoadError:
    if isinstance(error, json.JSONDecodeError):
        if number == 1 and line.strip() in ("[", "{"):
            hint = "It looks like one JSON value over many lines: say format='json'."
        else:
            hint = "Mend it, or load it with format='lines' and parse it in code."
        where = f"line {number:,}, column {error.colno:,}"
        excerpt = _excerpt(line, error.pos)
        return part.error(f"invalid JSON on {where}: {error.msg}. There: {excerpt}. {hint}")
    if isinstance(error, RecursionError):
        what = f"line {number:,} is nested too deeply to load"
    else:  # a number of thousands of digits
        what = f"line {number:,} cannot be loaded as JSON: {error}"
    return part.error(f"{what}. Load it with format='lines'.")


def _first_line(text: str) -> str:
    return text[:100_000].lstrip().partition("\n")[0]


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _excerpt(text: str, at: int) -> str:
    """What stands around a place, on its line alone."""
    start = max(text.rfind("\n", 0, at) + 1, at - _EXCERPT)
    end = text.find("\n", at)
    end = min(len(text) if end < 0 else end, at + _EXCERPT)
    return repr(text[start:end])
