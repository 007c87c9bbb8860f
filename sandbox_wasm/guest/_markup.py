"""YAML, TOML and XML as plain dicts and lists. None of them can run code or reach for a file."""

from __future__ import annotations

import base64
import contextlib
import datetime
import tomllib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from ._bounds import cause
from ._outside import parsed_text, value_of
from ._part import Part
from ._text import LoadError

_KEY_PARTS = 500
_DECLARED = 1_000
"""Attributes that a document type declares; each is compared with all before it."""
_DEEPEST = 500
"""Levels of XML: what still can be shown and saved (a guess; no real document is near it)."""


def yaml_value(part: Part) -> Any:
    """The value of a YAML file; a list of values where it holds several documents.

    Raises:
        LoadError: it is not YAML, or holds tags that would need code.
    """
    try:
        data = parsed_text(part, "yaml")
    except LoadError as error:
        cause = str(error).rstrip(".")
        raise part.error(f"{cause}. Load it with format='text' and parse it in code.") from None
    plain = data.startswith(_PLAIN)
    documents = value_of(data, part, None if plain else _Named())["documents"]
    if len(documents) == 1:
        return documents[0]
    part.note(f"The file holds {len(documents):,} YAML documents: a list of them.")
    return documents


_PLAIN = b'{"plain":true'


class _Named:
    """Makes what JSON cannot say of the objects with the one key NUL that stand for it."""

    def __init__(self) -> None:
        self._shared: dict[int, Any] = {}

    def __call__(self, found: dict[str, Any]) -> Any:
        if len(found) != 1 or "\0" not in found:
            return found
        kind, *values = found["\0"]
        if kind in ("anchor", "alias"):
            return getattr(self, f"_{kind}")(*values)
        return _MADE[kind](values[0])

    def _anchor(self, number: int, value: Any) -> Any:
        begun = self._shared.setdefault(number, value)
        if begun is not value:  # the value holds itself, and was begun where it does
            if type(begun) is list:
                begun.extend(value)
            else:
                begun.update(value)
        return begun

    def _alias(self, number: int, kind: str) -> Any:
        if number not in self._shared:
            self._shared[number] = {"list": list, "dict": dict, "set": set}[kind]()
        return self._shared[number]


_MADE: dict[str, Callable[[Any], Any]] = {
    "map": dict,
    "set": set,
    "tuple": tuple,
    "bytes": base64.b64decode,
    "int": lambda text: int(text, 16),
    "date": datetime.date.fromisoformat,
    "time": datetime.datetime.fromisoformat,
}


def toml_value(part: Part) -> dict[str, Any]:
    """The value of a TOML file.

    Raises:
        LoadError: it is not TOML.
    """
    text = part.text()
    try:
        with _short_keys():
            return tomllib.loads(text)
    except ValueError as error:
        message = f"invalid TOML: {cause(error)}"
    except RecursionError:
        message = "the TOML is nested too deeply to load"
    finally:
        part.drop(text)
    raise part.error(f"{message}. Mend it, or load it with format='text'.")


@contextlib.contextmanager
def _short_keys() -> Iterator[None]:
    """Have tomllib refuse keys of very many parts, for which it takes time by the square."""
    parser: Any = import_module("tomllib._parser")
    whole = parser.parse_key

    def parse_key(text: str, at: int) -> tuple[int, tuple[str, ...]]:
        parts: list[str] = []
        while True:
            at, part = parser.parse_key_part(text, at)
            parts.append(part)
            at = parser.skip_chars(text, at, " \t")
            if text[at : at + 1] != ".":
                return at, tuple(parts)
            if len(parts) >= _KEY_PARTS:
                raise ValueError(f"a key has over {_KEY_PARTS} parts")
            at = parser.skip_chars(text, at + 1, " \t")

    parser.parse_key = parse_key
    try:
        yield
    finally:
        parser.parse_key = whole


class _EntitiesError(Exception):
    pass


class _DeclaredError(Exception):
    pass


class _TooDeepError(Exception):
    pass


class _Builder:
    """Takes the events of a parser and makes nested dicts."""

    def __init__(self) -> None:
        self.root: dict[str, Any] = {}
        self._declared = 0
        self._open: list[tuple[str, dict[str, Any], list[str]]] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) >= _DEEPEST:
            raise _TooDeepError
        self._open.append((name, {f"@{key}": value for key, value in attributes.items()}, []))

    def text(self, text: str) -> None:
        if self._open:
            self._open[-1][2].append(text)

    def end(self, _name: str) -> None:
        name, found, texts = self._open.pop()
        text = "".join(texts).strip()
        value: Any = found
        if text and found:
            found["#text"] = text
        elif not found:
            value = text or None
        into = self._open[-1][1] if self._open else self.root
        if name not in into:
            into[name] = value
        elif isinstance(before := into[name], list):
            before.append(value)
        else:
            into[name] = [before, value]

    def refuse(self, *_: Any) -> None:
        raise _EntitiesError

    def declare(self, *_: Any) -> None:
        self._declared += 1
        if self._declared > _DECLARED:
            raise _DeclaredError


def xml_value(part: Part) -> dict[str, Any]:
    """An XML document as nested dicts.

    An attribute is `@name`, text beside attributes or elements is `#text`, an element that
    occurs several times is a list, an empty one is None.

    Raises:
        LoadError: it is no XML, or it declares entities.
    """
    expat: Any = import_module("xml.parsers.expat")
    builder = _Builder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    # Entities can make a few bytes into gigabytes, or name files. Nothing needs them here.
    parser.EntityDeclHandler = builder.refuse
    parser.ExternalEntityRefHandler = builder.refuse
    parser.AttlistDeclHandler = builder.declare
    hint = "Load it with format='text'"
    try:
        # In one piece: a comment or a tag that is cut is looked at from its beginning each time.
        data = part.data()
        parser.Parse(data, True)
        part.input.wipe(data)
    except expat.ExpatError as error:
        where = f"line {error.lineno:,}, column {error.offset + 1:,}"
        message = f"invalid XML at {where}: {expat.ErrorString(error.code)}"
        hint += ", or with format='html' if it is a page that browsers forgive"
    except _EntitiesError:
        message = "the XML declares entities, which are not expanded"
        hint += " and use lxml.etree in code"
    except _DeclaredError:
        message = f"the XML declares over {_DECLARED:,} attributes"
    except _TooDeepError:
        message = f"the XML is nested over {_DEEPEST} levels deep"
    except (ValueError, LookupError) as error:
        message = f"the XML cannot be read: {cause(error)}"
    else:
        return builder.root
    raise part.error(f"{message}. {hint}.")
