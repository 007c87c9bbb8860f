"""The structure of code: what it defines, and which names it uses where.

Python is parsed here. For other languages, and for Python that this version cannot parse, the text
goes to a helper process of the host, which has their grammars.
"""

from __future__ import annotations

import ast
import base64
import json
import sys
import warnings
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex, overload

from ._fit import clip, escape, plural
from ._hits import rest_of, shown
from ._kinds import type_name
from ._lines import as_text, is_text, plain

LANGUAGES = {
    "py": "python", "pyi": "python", "pyw": "python",
    "js": "javascript", "mjs": "javascript", "cjs": "javascript", "jsx": "javascript",
    "ts": "typescript", "mts": "typescript", "cts": "typescript", "tsx": "tsx",
    "go": "go", "rs": "rust", "java": "java", "c": "c", "h": "cpp", "cc": "cpp", "cpp": "cpp",
    "cxx": "cpp", "hpp": "cpp", "hh": "cpp", "hxx": "cpp", "cs": "csharp", "rb": "ruby",
    "php": "php", "kt": "kotlin", "kts": "kotlin", "swift": "swift", "scala": "scala",
    "sc": "scala", "lua": "lua", "sh": "bash", "bash": "bash",
}  # fmt: skip
"""By the ending of a path."""
NAMES = tuple(dict.fromkeys(LANGUAGES.values()))
BODIES = frozenset({
    "class", "function", "method", "constructor", "struct", "union", "interface", "trait", "impl",
    "protocol", "enum", "module",
})  # fmt: skip
"""Kinds of definition that `chunks` takes as pieces."""
_SIGNATURE = 120
_BATCH, _BATCH_TEXTS = 6 << 20, 2_000  # characters and texts that go to the host at once
_SHOWN = 200
_OWNERS = frozenset({"class"})


class SymbolsError(Exception):
    """The structure of code cannot be found; the text says why and what to do."""


@shown
@dataclass(frozen=True, slots=True)
class Definition:
    """Something that code defines.

    Args:
        name: of it.
        kind: class, function, method, constant, struct, interface, ...
        where: path or index of the text, "" for a text alone.
        line: first line, from 1, decorators included.
        end_line: last line.
        parent: position, among those of the same text, of what it is defined in; -1 for none.
        signature: the line that names it.
        owner: the names of what it is defined in, with dots between.
    """

    name: str
    kind: str
    where: str | int
    line: int
    end_line: int
    parent: int
    signature: str
    owner: str = ""

    @property
    def path(self) -> str:
        """Its name after those it is defined in: `Store.get`."""
        return f"{self.owner}.{self.name}" if self.owner else self.name

    def __repr__(self) -> str:
        """`src/a.py:12-30 function load(key)`."""
        place = f"[{self.where}]:" if isinstance(self.where, int) else f"{self.where}:"
        lines = f"{self.line}-{self.end_line}"
        owner = f" in {self.owner}" if self.owner else ""
        return escape(f"{place.removeprefix(':')}{lines} {self.kind} {self.signature}{owner}")


@shown
class Outline(list[Definition]):
    """The definitions of a text. Echoed, they are shown as a tree."""

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Definition: ...
    @overload
    def __getitem__(self, index: slice, /) -> Outline: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> Definition | Outline:
        """A definition, or for a slice a list that shows itself in the same way."""
        if isinstance(index, slice):
            return Outline(super().__getitem__(index))
        return super().__getitem__(index)

    def __repr__(self) -> str:
        """The first 200 definitions, each under what it is in, and how many there are."""
        rows = [plural(len(self), "definition")]
        for one in list(self)[:_SHOWN]:
            indent = "  " * (one.owner.count(".") + 1 if one.owner else 0)
            kind = "" if one.kind in one.signature.split() else f"{one.kind} "
            rows.append(
                clip(escape(f"{indent}{one.line}-{one.end_line} {kind}{one.signature}"), 160)
            )
        if len(self) > _SHOWN:
            rows.append(rest_of(self, _SHOWN))
        return "\n".join(rows)

    __str__ = __repr__


@dataclass(slots=True)
class Parsed:
    """What was found in one text.

    Args:
        definitions: in the order of their places.
        names: that are used.
        references: four numbers each: position of the name, line, whether it is called, position
            of the definition around it or -1.
        problem: why there is nothing, or "".
    """

    definitions: list[Definition]
    names: list[str]
    references: array[int]
    problem: str = ""


def outline(code: Any, language: str | None = None) -> Outline:
    """The classes, functions and the like that a text of code defines, with their lines.

    Args:
        code: the text.
        language: such as `python`, `typescript`, `go`; left out it is taken for Python, or for
            what the path of a loaded file says.

    Raises:
        SymbolsError: it is in no language that is known, or cannot be parsed.
    """
    if not is_text(code):
        raise TypeError(f"outline() takes the text of one file, not {type_name(type(code))}: "
                        "for a folder use symbols(folder)")  # fmt: skip
    text = as_text(plain(code))
    (found,) = parse([("", text, language or _language_of(code) or "python")])
    if found.problem:
        hint = "" if language else f"; if it is not Python say language=: {', '.join(NAMES)}"
        raise SymbolsError(f"{found.problem}{hint}")
    return Outline(found.definitions)


def _language_of(code: Any) -> str | None:
    from ._sources import entry_of, place_of

    place = place_of(code) if len(code) > 2_000 else None
    source = entry_of(*place) if place else None
    if place and place[1] and isinstance(place[1][0], str):
        return language_of(place[1][0])
    return language_of(source.path) if source else None


def language_of(path: str) -> str | None:
    """The language of a file, by the ending of its path."""
    return LANGUAGES.get(path.rpartition("/")[2].rpartition(".")[2].lower())


def outlines(texts: Sequence[tuple[str | int, str, str | None]]) -> list[list[Definition]]:
    """The definitions of texts; nothing for one that has no known language or does not parse.

    Args:
        texts: path or index, text, and language if it is known.
    """
    chosen = [
        (where, text, language or (language_of(where) if isinstance(where, str) else None))
        for where, text, language in texts
    ]
    if len(chosen) == 1 and chosen[0][2] is None:
        where, text, _ = chosen[0]
        chosen = [(where, text, _language_of(text) or "python")]
    known = [(where, text, language) for where, text, language in chosen if language]
    found = iter(parse(known))
    return [next(found).definitions if language else [] for _, _, language in chosen]


def parse(texts: Sequence[tuple[str | int, str, str]]) -> list[Parsed]:
    """Find definitions and references in texts.

    Args:
        texts: path or index, text and language.

    Raises:
        SymbolsError: the host has no helper for it.
    """
    found: list[Parsed | None] = []
    for where, text, language in texts:
        if language not in NAMES:
            raise SymbolsError(f"language={language!r}: use {', '.join(NAMES)}")
        found.append(_python(where, text) if language == "python" else None)
    left = [at for at, one in enumerate(found) if one is None]
    for batch in _batches(left, texts):
        for at, one in zip(batch, _by_host([texts[at] for at in batch]), strict=True):
            found[at] = one
    return [one for one in found if one is not None]


def _batches(left: list[int], texts: Sequence[tuple[str | int, str, str]]) -> Iterator[list[int]]:
    batch: list[int] = []
    size = 0
    for at in left:
        length = len(texts[at][1])
        if batch and (size + length > _BATCH or len(batch) >= _BATCH_TEXTS):
            yield batch
            batch, size = [], 0
        batch.append(at)
        size += length
    if batch:
        yield batch


def _by_host(texts: list[tuple[str | int, str, str]]) -> list[Parsed]:
    # The door exists in the guest alone; parsing Python does not need it.
    from . import _door

    files = [(language, text) for _, text, language in texts if len(text) <= _BATCH]
    if len(files) < len(texts):
        return [_nothing("over 6 MB") if len(t[1]) > _BATCH else _by_host([t])[0] for t in texts]
    try:
        answer = _door.ask("symbols", files=files)
    except _door.HostError as error:
        raise SymbolsError(str(error)) from None
    rows = answer["rows"]
    if len(rows) != len(texts):
        raise SymbolsError("the helper answered for other texts than it was asked about")
    return [_read(where, json.loads(row)) for (where, _, _), row in zip(texts, rows, strict=True)]


def _read(where: str | int, row: dict[str, Any]) -> Parsed:
    if "e" in row:
        return _nothing(row["e"])
    references = array("i")
    references.frombytes(base64.b64decode(row["r"]))
    return Parsed(_definitions(where, row["d"]), row["n"], references)


def _nothing(problem: str) -> Parsed:
    return Parsed([], [], array("i"), problem)


def _definitions(where: str | int, rows: list[list[Any]]) -> list[Definition]:
    found: list[Definition] = []
    for name, kind, line, end_line, _, parent, signature in rows:
        owner = found[parent].path if parent >= 0 else ""
        found.append(Definition(name, kind, where, line, end_line, parent, signature, owner))
    return found


def _python(where: str | int, text: str) -> Parsed | None:
    """What Python's own parser finds, or None where it cannot parse the text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.removeprefix("\ufeff"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    lines = text.split("\n")
    rows: list[list[Any]] = []
    names: dict[str, int] = {}
    references = array("i")
    called: set[int] = set()

    def refer(name: str, node: Any, around: int) -> None:
        number = names.setdefault(sys.intern(name), len(names))
        references.extend((number, node.end_lineno, id(node) in called, around))

    waiting: list[tuple[ast.AST, int]] = [(tree, -1)]
    while waiting:
        node, around = waiting.pop()
        inner = around
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = len(rows)
            rows.append(_row(node, around, rows, lines))
            called.update(id(decorator) for decorator in node.decorator_list)
            outside = node.decorator_list
        elif isinstance(node, ast.Name):
            refer(node.id, node, around)
        elif isinstance(node, ast.Attribute):
            refer(node.attr, node, around)
        elif isinstance(node, ast.alias):
            refer(node.name.rpartition(".")[2], node, around)
        elif isinstance(node, ast.Call):
            called.add(id(node.func))
        elif around < 0 and isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    rows.append(_constant(target.id, node, lines))
        children = list(ast.iter_child_nodes(node))
        for child in reversed(children):
            is_outside = inner != around and child in outside
            waiting.append((child, around if is_outside else inner))
    return Parsed(_definitions(where, rows), list(names), references)


def _row(node: Any, parent: int, rows: list[list[Any]], lines: list[str]) -> list[Any]:
    kind = "class" if isinstance(node, ast.ClassDef) else "function"
    if kind == "function" and parent >= 0 and rows[parent][1] == "class":
        kind = "method"
    first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
    return [
        node.name, kind, first, node.end_lineno, node.col_offset, parent,
        _signature(node.lineno, node.body[0].lineno, lines),
    ]  # fmt: skip


def _constant(name: str, node: Any, lines: list[str]) -> list[Any]:
    signature = _signature(node.lineno, node.lineno, lines)
    return [name, "constant", node.lineno, node.end_lineno, node.col_offset, -1, signature]


def _signature(first: int, body: int, lines: list[str]) -> str:
    """A definition up to its body, on one line."""
    shown = lines[first - 1 : max(first, min(body - 1, first + 7))]
    return clip(" ".join(" ".join(shown).split()), _SIGNATURE)
