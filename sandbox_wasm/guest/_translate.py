"""Python's regular expressions in the notation of the host's search program.

The program only finds lines in which there may be a match; `re` itself then says whether there is
one, and where. So what cannot be said there (looking around, references to groups, Python's own
idea of a word) is left out or widened: the lines found are never too few.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

_parser: Any = import_module("re._parser")
_MOST_REPEATS = 1_000
_NEWLINE = 10
_ANY_BYTE = r"(?-u:[\x80-\xff])"  # what is no UTF-8 reads as U+FFFD, which `.` matches
_ANYTHING = rf"(?:[^\x0a]|{_ANY_BYTE})*"
_CATEGORIES = {
    # as text and as bytes; Python counts all numbers as parts of words, and no marks
    "DIGIT": (r"\d", r"0-9"),
    "SPACE": (r"\s\x1c-\x1f", r"\x09-\x0d\x20"),
    "WORD": (r"\p{L}\p{N}_", r"0-9A-Za-z_"),
}
_CASES = r"\x{130}\x{131}\x{17f}\x{212a}"  # letters that Python takes for i, s and k


class _ImpossibleError(Exception):
    """The pattern cannot be searched for line by line."""


@dataclass(frozen=True, slots=True)
class Translation:
    """A pattern for the search program.

    `crosses` says that a match may reach over the end of a line.
    """

    text: str
    crosses: bool


def translate(pattern: re.Pattern[Any]) -> Translation | None:
    """A pattern whose lines are those in which there may be a match, or None where lines cannot
    be told one by one: it names a newline, or the text's beginning or end."""
    try:
        tree = _parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)
        writer = _Writer(isinstance(pattern.pattern, bytes))
        text = writer.sequence(tree, tree.state.flags)
    except (_ImpossibleError, re.error, RecursionError, OverflowError):
        return None
    return Translation(text or "(?:)", writer.crosses)


def literal(text: str | bytes) -> str:
    """The pattern that a text itself is."""
    writer = _Writer(isinstance(text, bytes))
    codes = text if isinstance(text, bytes) else map(ord, text)
    return "".join(writer.character(code) for code in codes)


class _Writer:
    def __init__(self, binary: bool) -> None:
        self.crosses = False
        self._binary = binary

    def sequence(self, nodes: Iterable[tuple[Any, Any]], flags: int, repeated: bool = False) -> str:
        """Nodes one after another; `repeated` says that they may be there no time at all."""
        return "".join(self._node(str(op), value, flags, repeated) for op, value in nodes)

    def _node(self, op: str, value: Any, flags: int, repeated: bool) -> str:
        match op:
            case "LITERAL":
                return self._literal(value, flags)
            case "NOT_LITERAL":
                return self._set([("NEGATE", None), ("LITERAL", value)], flags, repeated)
            case "ANY":
                if flags & re.DOTALL:
                    return self._line_end("(?:" + self._dot() + ")", repeated)
                return f"(?:{self._dot()})"
            case "IN":
                return self._set([(str(kind), item) for kind, item in value], flags, repeated)
            case "BRANCH":
                return f"(?:{'|'.join(self.sequence(p, flags, repeated) for p in value[1])})"
            case "SUBPATTERN":
                _, add, remove, nodes = value
                return f"(?:{self.sequence(nodes, (flags | add) & ~remove, repeated)})"
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                return self._repeat(value, flags, repeated)
            case "ATOMIC_GROUP":
                return f"(?:{self.sequence(value, flags, repeated)})"
            case "ASSERT" | "ASSERT_NOT":
                self._look(value[1], flags)
                return ""
            case "AT":
                return self._at(str(value), flags)
            case "GROUPREF":
                return _ANYTHING
            case "GROUPREF_EXISTS":
                _, yes, no = value
                other = self.sequence(no or (), flags, repeated)
                return f"(?:{self.sequence(yes, flags, repeated)}|{other})"
        raise _ImpossibleError

    def _look(self, nodes: Any, flags: int) -> None:
        """What an assertion looks at is not searched for, but it may be beyond the line."""
        try:
            self.sequence(nodes, flags)
        except _ImpossibleError:
            self.crosses = True

    def _at(self, where: str, flags: int) -> str:
        if where in ("AT_BOUNDARY", "AT_NON_BOUNDARY"):
            return ""
        if where == "AT_BEGINNING" and flags & re.MULTILINE:
            return "(?m:^)"
        if where == "AT_END" and flags & re.MULTILINE:
            return "(?m:$)"
        raise _ImpossibleError

    def _repeat(self, value: Any, flags: int, repeated: bool) -> str:
        least, most, nodes = value
        inner = self.sequence(nodes, flags, repeated or least == 0)
        if most == 0 or not inner:
            return ""
        low = min(int(least), _MOST_REPEATS)
        endless = most is _parser.MAXREPEAT or int(most) > _MOST_REPEATS
        return f"(?:{inner}){{{low},{'' if endless else int(most)}}}"

    def _literal(self, code: int, flags: int) -> str:
        if code == _NEWLINE:
            raise _ImpossibleError
        if not flags & re.IGNORECASE:
            return self.character(code)
        if self._binary or flags & re.ASCII:
            return f"(?i-u:{self.character(code)})" if code < 128 else self.character(code)
        if code in (0x49, 0x69, 0x130, 0x131):
            return r"[iI\x{130}\x{131}]"
        return f"(?i:{self.character(code)})"

    def character(self, code: int) -> str:
        """One character, or one byte of a binary pattern."""
        if 0xD800 <= code < 0xE000:
            raise _ImpossibleError  # no file holds it as UTF-8
        if code < 128 and chr(code).isalnum():
            return chr(code)
        return rf"(?-u:\x{code:02x})" if self._binary else rf"\x{{{code:x}}}"

    def _set(self, items: list[tuple[str, Any]], flags: int, repeated: bool) -> str:
        negated = items[0][0] == "NEGATE"
        items = items[1:] if negated else items
        parts = "".join(self._item(kind, item, flags) for kind, item in items)
        has_newline = any(_holds_newline(kind, item) for kind, item in items) != negated
        if negated:
            # Without the other cases of what is left out, which takes in too much at worst.
            parts = f"[^{parts}]"
        elif flags & re.IGNORECASE and not self._binary:
            parts += _CASES
        text = rf"[{parts}&&[^\x0a]]"
        if self._binary:
            text = f"(?{'i' if flags & re.IGNORECASE else ''}-u:{text})"
        elif not negated and flags & re.IGNORECASE:
            text = f"(?i:{text})"
        if not self._binary and (negated or any("NOT" in str(item) for _, item in items)):
            text = f"(?:{text}|{_ANY_BYTE})"
        return self._line_end(text, repeated) if has_newline else text

    def _line_end(self, text: str, repeated: bool) -> str:
        """What may be the line's end: there it holds without a character."""
        self.crosses = True
        return text if repeated else f"(?:{text}|(?m:$))"

    def _item(self, kind: str, item: Any, flags: int) -> str:
        if kind == "LITERAL":
            return self._code(item)
        if kind == "RANGE":
            low, high = item
            low = 0xE000 if 0xD800 <= low < 0xE000 else low
            high = 0xD7FF if 0xD800 <= high < 0xE000 else high
            return f"{self._code(low)}-{self._code(high)}" if low <= high else ""
        if kind == "CATEGORY":
            name = str(item).removeprefix("CATEGORY_")
            text, plain = _CATEGORIES[name.removeprefix("NOT_")]
            text = plain if self._binary or flags & re.ASCII else text
            return f"[^{text}]" if name.startswith("NOT_") else text
        raise _ImpossibleError

    def _code(self, code: int) -> str:
        if 0xD800 <= code < 0xE000:
            raise _ImpossibleError
        return rf"\x{code:02x}" if self._binary else rf"\x{{{code:x}}}"

    def _dot(self) -> str:
        return r"(?-u:[^\x0a])" if self._binary else rf"[^\x0a]|{_ANY_BYTE}"


def _holds_newline(kind: str, item: Any) -> bool:
    if kind == "LITERAL":
        return bool(item == _NEWLINE)
    if kind == "RANGE":
        return bool(item[0] <= _NEWLINE <= item[1])
    return str(item).removeprefix("CATEGORY_") in ("SPACE", "NOT_WORD", "NOT_DIGIT")
