"""A helper, `python -m rlm_mcp.helpers.symbols LANGUAGE...`: definitions, references and calls.

Input: a JSON list of `[language, text]`. Output: for each a line with a JSON object in ASCII:
`d` definitions as `[name, kind, first line, last line, column, parent, signature]` (lines from 1,
parent a position in the list or -1), `n` names, `r` references as four numbers each (position of
the name, line, 1 for a call, position of the definition around it or -1); or `e`, why there is
nothing.
"""

from __future__ import annotations

import array
import base64
import bisect
import itertools
import json
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import tree_sitter

from ._inside import serve
from ._languages import LANGUAGES

MAX_MEMORY = 2 << 30
"""Bytes of address space; the tree of a source file takes some twenty times its size."""
CPU_SECONDS = 50
MAX_TEXT = 4 << 20
"""Bytes of one text; generated code above that is not worth its time (a guess)."""
TEXT_SECONDS = 5.0
"""Of processor time for the tree of one text: 2 MB of statements take two."""
MAX_DEPTH = 500
"""Open brackets. Grammars and queries take time by the square of it: 100,000 take minutes."""
MAX_DEFINITIONS, MAX_REFERENCES, MAX_NAME = 20_000, 300_000, 200
_SIGNATURE = 120
_BLOCK = 1 << 16


class _SlowError(Exception):
    """A text takes too long."""


class _Grammar:
    """A language, ready to parse."""

    def __init__(self, name: str) -> None:
        known = LANGUAGES[name]
        package: Any = import_module(known.package)
        language = tree_sitter.Language(getattr(package, known.function)())
        self.parser = tree_sitter.Parser(language)
        self.definitions = tree_sitter.Query(language, known.definitions)
        self.calls = tree_sitter.Query(language, known.calls)
        names = " ".join(f"({node})" for node in known.names)
        self.names = tree_sitter.Query(language, f"[{names}] @name")


def _symbols(grammar: _Grammar, data: bytes) -> dict[str, Any]:
    end = time.process_time() + TEXT_SECONDS

    def is_late(*_: object) -> bool:
        return time.process_time() > end

    # A query is not watched like this: with a callback, tree_sitter 0.26 loses captures.
    try:
        tree = grammar.parser.parse(lambda at, _: data[at : at + _BLOCK], progress_callback=is_late)
    except ValueError:
        grammar.parser.reset()
        raise _SlowError from None
    root = tree.root_node
    found = _definitions(grammar, root)
    calls = tree_sitter.QueryCursor(grammar.calls).captures(root)
    called = {node.start_byte for node in calls.get("call", ())}
    names = tree_sitter.QueryCursor(grammar.names).captures(root)
    nodes = sorted(
        {(node.start_byte, node.end_byte) for node in names.get("name", ())}
        | {(node.start_byte, node.end_byte) for node in calls.get("call", ())}
    )
    if is_late():
        raise _SlowError
    own = {name.start_byte for _, _, name in found}
    lines = [0]
    at = data.find(b"\n")
    while at >= 0:
        lines.append(at + 1)
        at = data.find(b"\n", at + 1)
    numbers: dict[bytes, int] = {}
    references = array.array("i")
    inside: list[int] = []
    following = 0
    for begin, stop in nodes[:MAX_REFERENCES]:
        while following < len(found) and found[following][0].start_byte <= begin:
            inside.append(following)
            following += 1
        while inside and found[inside[-1]][0].end_byte <= begin:
            inside.pop()
        if begin in own or stop - begin > MAX_NAME or stop == begin:
            continue
        number = numbers.setdefault(data[begin:stop], len(numbers))
        around = inside[-1] if inside else -1
        references.extend((number, bisect.bisect_right(lines, begin), begin in called, around))
    if sys.byteorder == "big":
        references.byteswap()
    return {
        "d": _rows(found, data),
        "n": [name.decode("utf-8", "replace") for name in numbers],
        "r": base64.b64encode(references.tobytes()).decode("ascii"),
        "cut": len(nodes) > MAX_REFERENCES or len(found) >= MAX_DEFINITIONS,
    }


_Found = tuple[Any, str, Any]  # node, kind, node of the name


def _definitions(grammar: _Grammar, root: Any) -> list[_Found]:
    """Definitions in the order of their places, each name once, outer ones first."""
    matches = tree_sitter.QueryCursor(grammar.definitions).matches(root)
    found: dict[int, _Found] = {}
    for _, captures in matches:
        name = captures["name"][0]
        ((kind, nodes),) = ((key, nodes) for key, nodes in captures.items() if key != "name")
        # A constant that holds a function is found twice, and is a function.
        if name.start_byte not in found or found[name.start_byte][1] == "constant":
            found[name.start_byte] = (nodes[0], kind, name)
    ordered = sorted(found.values(), key=lambda entry: (entry[0].start_byte, -entry[0].end_byte))
    return ordered[:MAX_DEFINITIONS]


def _rows(found: list[_Found], data: bytes) -> list[list[Any]]:
    rows: list[list[Any]] = []
    inside: list[int] = []
    for at, (node, kind, name) in enumerate(found):
        while inside and found[inside[-1]][0].end_byte <= node.start_byte:
            inside.pop()
        parent = inside[-1] if inside else -1
        if kind == "function" and parent >= 0 and found[parent][1] in _OWNERS:
            kind = "method"
        text = data[name.start_byte : min(name.end_byte, name.start_byte + MAX_NAME)]
        last = node.end_point.row + (node.end_point.column > 0 or node.end_byte == node.start_byte)
        rows.append([
            text.decode("utf-8", "replace"),
            kind,
            node.start_point.row + 1,
            max(last, node.start_point.row + 1),
            name.start_point.column,
            parent,
            _signature(data, node, name),
        ])  # fmt: skip
        inside.append(at)
    return rows


_OWNERS = frozenset({"class", "struct", "interface", "trait", "impl", "protocol", "enum"})


def _signature(data: bytes, node: Any, name: Any) -> str:
    """The line of the name, from the definition's beginning if that is on it."""
    begin = max(node.start_byte, data.rfind(b"\n", 0, name.start_byte) + 1)
    end = min(node.end_byte, begin + 8 * _SIGNATURE)
    line = data.find(b"\n", name.start_byte, end)
    text = data[begin : line if line >= 0 else end].decode("utf-8", "replace")
    return " ".join(text.split())[:_SIGNATURE].rstrip("{ ")


def work(data: bytes, grammars: dict[str, _Grammar]) -> Iterator[bytes]:
    """Answer one request."""
    for language, text in json.loads(data):
        row = _answer(grammars[language], text.encode("utf-8", "replace"))
        yield json.dumps(row, separators=(",", ":")).encode("ascii") + b"\n"


def _answer(grammar: _Grammar, data: bytes) -> dict[str, Any]:
    if len(data) > MAX_TEXT:
        return {"e": f"over {MAX_TEXT >> 20} MB"}
    steps = data.translate(_STEPS, _NO_BRACKETS)
    if max(itertools.accumulate(step - 1 for step in steps), default=0) > MAX_DEPTH:
        return {"e": "nested too deeply"}
    try:
        return _symbols(grammar, data)
    except _SlowError:
        return {"e": "takes too long to parse"}


_STEPS = bytes(2 if byte in b"([{" else 0 for byte in range(256))
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"()[]{}")


def main() -> None:
    """Load the grammars that were asked for, give up all rights, and parse."""
    grammars = {name: _Grammar(name) for name in sys.argv[1:]}
    "".encode("utf-8", "replace").decode("utf-8", "replace")
    serve(
        lambda data: work(data, grammars),
        max_memory=MAX_MEMORY,
        cpu_seconds=CPU_SECONDS,
    )


if __name__ == "__main__":
    main()
