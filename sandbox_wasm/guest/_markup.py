"""YAML, TOML and XML as plain dicts and lists. None of them can run code or reach for a file."""

from __future__ import annotations

import tomllib
from importlib import import_module
from typing import Any

from ._bounds import cause
from ._part import Part

_DEEPEST = 500
"""Levels of XML: what still can be shown and saved (a guess; no real document is near it)."""


def yaml_value(part: Part) -> Any:
    """The value of a YAML file; a list of values where it holds several documents.

    Raises:
        LoadError: it is not YAML, or holds tags that would need code.
    """
    yaml: Any = import_module("yaml")
    text = part.text()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        documents = list(yaml.load_all(text, Loader=loader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1:,}, column {mark.column + 1:,}" if mark else ""
        problem = getattr(error, "problem", None) or cause(error)
        message = f"invalid YAML{where}: {problem}"
    except RecursionError:
        message = "the YAML is nested too deeply to load"
    except (ValueError, TypeError, OverflowError) as error:  # of dates and numbers in it
        message = f"the YAML cannot be loaded: {cause(error)}"
    else:
        part.drop(text)
        if len(documents) == 1:
            return documents[0]
        part.note(f"The file holds {len(documents):,} YAML documents: a list of them.")
        return documents
    part.drop(text)
    raise part.error(f"{message}. Load it with format='text' and parse it in code.")


def toml_value(part: Part) -> dict[str, Any]:
    """The value of a TOML file.

    Raises:
        LoadError: it is not TOML.
    """
    text = part.text()
    try:
        return tomllib.loads(text)
    except ValueError as error:
        message = f"invalid TOML: {cause(error)}"
    except RecursionError:
        message = "the TOML is nested too deeply to load"
    finally:
        part.drop(text)
    raise part.error(f"{message}. Mend it, or load it with format='text'.")


class _EntitiesError(Exception):
    pass


class _TooDeepError(Exception):
    pass


class _Builder:
    """Takes the events of a parser and makes nested dicts."""

    def __init__(self) -> None:
        self.root: dict[str, Any] = {}
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
    hint = "Load it with format='text'"
    try:
        with part.stream() as stream:
            parser.ParseFile(stream)
    except expat.ExpatError as error:
        where = f"line {error.lineno:,}, column {error.offset + 1:,}"
        message = f"invalid XML at {where}: {expat.ErrorString(error.code)}"
        hint += ", or with format='html' if it is a page that browsers forgive"
    except _EntitiesError:
        message = "the XML declares entities, which are not expanded"
        hint += " and use lxml.etree in code"
    except _TooDeepError:
        message = f"the XML is nested over {_DEEPEST} levels deep"
    except (ValueError, LookupError) as error:
        message = f"the XML cannot be read: {cause(error)}"
    else:
        return builder.root
    raise part.error(f"{message}. {hint}.")
