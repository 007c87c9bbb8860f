"""YAML to JSON, by the C parser that the guest lacks: the same values as PyYAML's safe loader.

What is made is a JSON object: `documents`, their values, and `plain`, whether that is all of it.
Where it is not, an object with the one key NUL is a list that stands for something else:

- `["map", [[key, value], ...]]`, `["set", [...]]`, `["tuple", [...]]`, `["bytes", base64]`,
  `["int", hexadecimal]`, `["date", ISO 8601]`, `["time", ISO 8601]`;
- `["anchor", number, value]`, a value that occurs again, and `["alias", number, kind]`, where it
  does, with `list`, `dict`, `set` or another kind. An alias comes before its anchor has ended
  where a value holds itself.
"""

from __future__ import annotations

import base64
import datetime
import json
from typing import Any

import yaml

MAX_DEPTH = 500
"""Levels: what can still be shown and saved, as for XML (a guess; no real document is near it)."""
MAX_NUMBER = 4_300
"""Characters of a number: Python's own bound for decimal ones."""
MAX_MERGED = 1_000_000
"""Keys that `<<` may bring in, counted where they arrive: lists of merges can multiply."""
MAX_DIRECTIVES = 1_000
"""`%TAG` lines: each is compared with all before it."""
NUL = "\0"
_SHARED_TEXT = 1_000
"""Characters from which a text that is referred to again is written once."""
_WIDE = 14_000  # bits: about as many decimal digits as `MAX_NUMBER`
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN = frozenset({str, int, float, bool, type(None)})
# The codecs, while their modules can still be read.
"".encode("utf-16-le").decode("utf-16-le")


class _Loader(_LOADER):  # type: ignore[misc]
    """The safe loader, with bounds on what takes time by the square."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._merged = 0

    def flatten_mapping(self, node: Any) -> None:
        """Put in what `<<` refers to."""
        before = len(node.value)
        super().flatten_mapping(node)
        self._merged += max(0, len(node.value) - before)
        if self._merged > MAX_MERGED:
            raise ValueError(f"its merges (<<) bring in over {MAX_MERGED:,} keys")

    def construct_number(self, node: Any) -> Any:
        """A number."""
        if len(node.value) > MAX_NUMBER:
            line = node.start_mark.line + 1
            raise ValueError(f"the number on line {line:,} has over {MAX_NUMBER:,} characters")
        whole = node.tag.endswith(":int")
        return (self.construct_yaml_int if whole else self.construct_yaml_float)(node)


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_number)


def documents(data: bytes, limit: int) -> bytes:
    """The documents of a YAML file as JSON; see above.

    Args:
        data: the file, in UTF-8, UTF-16 or UTF-32.
        limit: the most bytes that are made of it.

    Raises:
        ValueError: it is no YAML, holds tags that would need code, or is out of bounds. The
            argument is `encoding` where it is no Unicode.
    """
    text = _decoded(data)
    try:
        _check(text)
        found = list(yaml.load_all(text, Loader=_Loader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1:,}, column {mark.column + 1:,}" if mark else ""
        raise ValueError(
            f"invalid YAML{where}: {getattr(error, 'problem', None) or error}"
        ) from None
    except RecursionError:
        raise ValueError("the YAML is nested too deeply to load") from None
    except (ValueError, TypeError, OverflowError) as error:  # of dates and numbers in it
        raise ValueError(f"the YAML cannot be loaded: {error}") from None
    writer = _Writer(limit)
    writer.look_at(found)
    plain = not writer.special and not writer.shared
    made = found if plain else [writer.made(value) for value in found]
    return json.dumps(
        {"plain": plain, "documents": made},
        ensure_ascii=False, check_circular=False, separators=(",", ":"),
    ).encode("utf-8", "surrogatepass")  # fmt: skip


def _decoded(data: bytes) -> str:
    marks = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16",
             b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}  # fmt: skip
    encoding = next((name for mark, name in marks.items() if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        raise ValueError("encoding") from None


def _check(text: str) -> None:
    """Look at the nesting before anything is built of it; what is deep takes time by the square."""
    if text.count("\n%TAG") > MAX_DIRECTIVES:
        raise ValueError(f"it has over {MAX_DIRECTIVES:,} %TAG lines")
    loader = _Loader(text)
    try:
        depth = 0
        while (event := loader.get_event()) is not None:
            kind = type(event)
            if kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                depth += 1
                if depth > MAX_DEPTH:
                    line = event.start_mark.line + 1
                    raise ValueError(f"it is nested too deeply: over {MAX_DEPTH} levels at "
                                     f"line {line:,}")  # fmt: skip
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                depth -= 1
    finally:
        loader.dispose()


class _Writer:
    """Makes values of JSON out of those of YAML.

    Args:
        limit: the most characters of text in them.
    """

    def __init__(self, limit: int) -> None:
        self.special = False
        self.shared: set[int] = set()
        self._left = limit
        self._numbers: dict[int, int] = {}

    def look_at(self, root: Any) -> None:
        """Find what JSON cannot say, and what occurs in several places.

        Raises:
            ValueError: there is too much of it.
        """
        seen: set[int] = set()
        waiting = [root]
        while waiting:
            value = waiting.pop()
            kind = type(value)
            if kind is str:
                if len(value) < _SHARED_TEXT:
                    self._count(len(value))
                    continue
            elif kind in _PLAIN:
                self.special |= kind is int and value.bit_length() > _WIDE
                continue
            if id(value) in seen:
                self.shared.add(id(value))
                continue
            seen.add(id(value))
            if kind is str:
                self._count(len(value))
            elif kind is dict:
                waiting += value.values()
                for key in value:
                    if type(key) is not str or key == NUL:
                        self.special = True
                        waiting.append(key)
                    else:
                        self._count(len(key))
            elif kind is list:
                waiting += value
            else:
                self.special = True
                if kind is set or kind is tuple:
                    waiting += value
                elif kind is bytes:
                    self._count(len(value))

    def _count(self, length: int) -> None:
        self._left -= length + 2
        if self._left < 0:
            raise ValueError("its aliases and merges make it too large to fit")

    def made(self, value: Any) -> Any:
        """The value of JSON."""
        kind = type(value)
        if id(value) in self.shared and (kind is not str or len(value) >= _SHARED_TEXT):
            number = self._numbers.get(id(value))
            if number is not None:
                return {NUL: ["alias", number, kind.__name__]}
            number = self._numbers[id(value)] = len(self._numbers)
            return {NUL: ["anchor", number, self._inside(value, kind)]}
        return self._inside(value, kind)

    def _inside(self, value: Any, kind: type) -> Any:
        if kind is dict:
            if NUL not in value and all(type(key) is str for key in value):
                return {key: self.made(inner) for key, inner in value.items()}
            pairs = [[self.made(key), self.made(inner)] for key, inner in value.items()]
            return {NUL: ["map", pairs]}
        if kind is list:
            return [self.made(inner) for inner in value]
        if kind is int:
            return {NUL: ["int", hex(value)]} if value.bit_length() > _WIDE else value
        if kind in _PLAIN:
            return value
        if kind is set or kind is tuple:
            return {NUL: [kind.__name__, [self.made(inner) for inner in value]]}
        if kind is bytes:
            return {NUL: ["bytes", base64.b64encode(value).decode("ascii")]}
        if kind is datetime.datetime:
            return {NUL: ["time", value.isoformat()]}
        if kind is datetime.date:
            return {NUL: ["date", value.isoformat()]}
        raise ValueError(f"a {kind.__name__} cannot be handed on")
