"""Looking at part of a variable: access paths, ranges, regular expressions with context.

Every reply that leaves something out ends in a line that names the next call. That line comes on
top of `max_chars`, which bounds what is shown.
"""

import ast
import difflib
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from ._find import (
    Line,
    as_text,
    compiled,
    excerpt,
    is_text,
    neighbours,
    offset_of_line,
    plain,
    scan,
)
from ._preview import (
    base_of,
    clip,
    escape,
    guarded_repr,
    label,
    length_of,
    pass_interrupt,
    preview,
    short,
    type_name,
)

_COUNTED = 10_000  # matches
_ROW = 300  # characters of a line or item among others
_FORMS = 'allowed: names, subscripts and attributes, as in docs["src/a.py"], rows[-5:], df.columns'
_MISSING = object()


class PeekError(Exception):
    """A target or argument that cannot be used; the message says what would be."""


# Access paths


def resolve(target: str, namespace: dict[str, Any]) -> Any:
    """The value at an access path such as `rows[3]["text"]`.

    Raises:
        PeekError: for what is no access path, and for names, keys and indexes that do not exist.
    """
    if type(target) is not str or not target.strip() or len(target) > 2_000:
        raise PeekError(f"the target must be an access path of 1 to 2,000 characters: {_FORMS}")
    try:
        node: ast.expr = ast.parse(target.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise PeekError(f"{clip(target, 80)!r} is no access path: {_FORMS}") from None
    steps: list[ast.Attribute | ast.Subscript] = []
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        steps.append(node)
        node = node.value
    if not isinstance(node, ast.Name):
        what = "a call" if isinstance(node, ast.Call) else type(node).__name__
        raise PeekError(f"{clip(target, 80)!r} contains {what}: {_FORMS}; exec_code runs any code")
    if node.id.startswith("__"):
        raise PeekError(f"{node.id} is private to the interpreter: {_FORMS}")
    value = namespace.get(node.id, _MISSING)
    if value is _MISSING:
        names = [n for n in namespace if type(n) is str and n[:1] != "_"]
        raise PeekError(f"no variable {node.id!r}; {_nearest(node.id, names, len(names), 'names')}")
    path = node.id
    for step in reversed(steps):
        if isinstance(step, ast.Attribute):
            value = _attribute(value, step.attr, path)
            path += f".{step.attr}"
        else:
            key = _literal(step.slice)
            value = _item(value, key, path)
            path += f"[{_key_text(key)}]"
    return value


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Slice):
        parts = (node.lower, node.upper, node.step)
        return slice(*(None if part is None else _literal(part) for part in parts))
    if isinstance(node, ast.Tuple):
        return tuple(_literal(part) for part in node.elts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        number = _literal(node.operand)
        if type(number) in (int, float):
            return -number
    if isinstance(node, ast.Constant):
        return node.value
    raise PeekError(f"a subscript must be a literal key, index or slice: {_FORMS}")


def _key_text(key: Any) -> str:
    if isinstance(key, slice):
        parts = ["" if part is None else str(part) for part in (key.start, key.stop, key.step)]
        return ":".join(parts[: 2 if key.step is None else 3])
    return short(key, 60)


def _attribute(value: Any, name: str, path: str) -> Any:
    if name.startswith("_"):
        raise PeekError(f"attributes that begin with an underscore are not shown ({name})")
    try:
        return _guarded(getattr, value, name)
    except AttributeError:
        hint = (
            f'; it has the key: {path}["{name}"]'
            if (base_of(value) is dict and dict.get(value, name, _MISSING) is not _MISSING)
            else ""
        )
        names = [n for n in _guarded_names(value) if n[:1] != "_"]
        near = _nearest(name, names, len(names), "attributes")
        raise PeekError(f"{path} has no attribute {name!r}{hint}; {near}") from None
    except BaseException as error:
        raise _failed(f"{path}.{name}", error) from None


def _guarded(function: Any, *arguments: Any) -> Any:
    """Call what may run user code, with a bounded depth of recursion."""
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(min(limit, 1_000))
        return function(*arguments)
    finally:
        sys.setrecursionlimit(limit)


def _guarded_names(value: object) -> list[str]:
    try:
        return [name for name in _guarded(dir, value) if type(name) is str][:2_000]
    except BaseException as error:
        pass_interrupt(error)
        return []


def _failed(path: str, error: BaseException) -> PeekError:
    pass_interrupt(error)
    if isinstance(error, PeekError):
        return error
    return PeekError(f"{path} raised {type_name(type(error))}: {guarded_repr(error, 200)}")


def _item(value: Any, key: Any, path: str) -> Any:
    base: Any = base_of(value)
    at = f"{path}[{_key_text(key)}]"
    try:
        if base is dict:
            # Not value[key]: a defaultdict would make the key.
            found = dict.get(value, key, _MISSING)
            if found is not _MISSING:
                return found
            keys = [k for k in islice(dict.keys(value), 20_000) if type(k) is str]
            near = _nearest(str(key), keys, dict.__len__(value), "keys")
            raise PeekError(f"{path} has no key {short(key, 100)}; {near}")
        if base in (list, tuple, str, bytes, bytearray):
            if type(key) is not int and type(key) is not slice:
                first = base.__getitem__(value, 0) if base is list and length_of(value) else None
                hint = f", such as {path}[0][{short(key, 40)}]" if base_of(first) is dict else ""
                raise PeekError(
                    f"{path} is a {label(value)}: it takes an index or a slice{hint}, not {key!r}"
                )
            return base.__getitem__(value, key)
        return _guarded(lambda: value[key])
    except IndexError:
        size = length_of(value)
        raise PeekError(
            f"{at} is out of range: {label(value)}" + (f", 0 to {size - 1:,}" if size else "")
        ) from None
    except BaseException as error:
        raise _failed(at, error) from None


def _nearest(wanted: str, names: list[str], total: int, what: str) -> str:
    """The existing names most like the wanted one, at bounded cost, and how many there are."""
    low = wanted.lower()
    last = low.rsplit("/", 1)[-1]
    near = [n for n in names[:20_000] if n.lower() == low or (last and last in n.lower())][:3]
    if len(near) < 3:
        rest = sorted(names[:20_000], key=lambda n: abs(len(n) - len(wanted)))[:400]
        rest = [n for n in rest if len(n) <= 200 and n not in near]
        near += difflib.get_close_matches(wanted[:200], rest, 3 - len(near))
    shown = ", ".join(short(n, 100) for n in near or names[:5])
    if not total:
        return f"there are no {what}"
    return f"{'nearest' if near else 'there are'}: {shown} ({total:,} {what} in all)"


# The tool


def peek(
    namespace: dict[str, Any],
    target: str,
    start: int = 0,
    length: int | None = None,
    unit: str = "chars",
    find: str | None = None,
    context: int = 2,
    max_chars: int = 8_000,
) -> str:
    """Part of the value at an access path, as text; without a range or `find` its preview.

    Args:
        namespace: the variables.
        target: an access path.
        start: the first unit to show, from 0; negative counts from the end.
        length: how many units; None is as many as `max_chars` allows.
        unit: chars, lines or items. Bytes count for chars; what is no text has items only.
        find: a regular expression, `^` and `$` at every line; shows the lines that match.
        context: lines around each match.
        max_chars: of what is shown; the last line, which names the next call, comes on top.

    Raises:
        PeekError: for what cannot be used, with the fix.
    """
    if unit not in ("chars", "lines", "items"):
        raise PeekError(f"unit={unit!r}: use 'chars', 'lines' or 'items'")
    for name, number, least in (
        ("start", start, -sys.maxsize),
        ("length", 1 if length is None else length, 1),
        ("context", context, 0),
        ("max_chars", max_chars, 1),
    ):
        if type(number) is not int or not least <= number <= sys.maxsize:
            wish = "a whole number" if name == "start" else f"a whole number from {least}"
            raise PeekError(f"{name}={short(number, 40)}: must be {wish}")
    value = resolve(target, namespace)
    view = _View(target, value, start, length, unit, find, min(context, 50), max_chars)
    try:
        if find is not None:
            return view.find_text() if view.text is not None else view.find_items()
        if start == 0 and length is None:
            return view.preview()
        if view.text is None:
            return view.frame() if view.kind == "frame" else view.items()
        return view.lines() if unit == "lines" else view.chars()
    except BaseException as error:
        raise _failed(f"peek({_quoted(target)})", error) from None


def _quoted(text: str) -> str:
    plain_text = text.isprintable() and '"' not in text and "\\" not in text
    return f'"{text}"' if plain_text else repr(text)


class _View:
    """One value and the arguments of one call."""

    def __init__(
        self, target: str, value: Any, start: int, length: int | None, unit: str,
        find: str | None, context: int, room: int,
    ) -> None:  # fmt: skip
        self.target, self.value, self.start, self.length = target, value, start, length
        self.unit, self.pattern, self.context, self.room = unit, find, context, room
        self.text: Any = None
        self.kind = "items"
        if is_text(value):
            self.text = plain(value)
            self.byte = "" if isinstance(self.text, str) else "bytes"
        elif base_of(value) in (list, tuple, dict, set, frozenset, deque):
            self.size = length_of(value) or 0
        elif type(value) is range:
            self.size = len(value)
        elif self._table():
            self.kind = "frame"
        else:
            # Anything else is looked at as the text that shows it.
            self.text, self.byte = guarded_repr(value, 1_000_000, keep_lines=True), ""

    def _table(self) -> bool:
        pandas, numpy = sys.modules.get("pandas"), sys.modules.get("numpy")
        kinds = [getattr(pandas, n, None) for n in ("DataFrame", "Series", "Index")]
        kinds.append(getattr(numpy, "ndarray", None))
        kind = type(self.value)
        if any(type(k) is type and issubclass(kind, k) for k in kinds) and (
            getattr(self.value, "ndim", 1) > 0
        ):
            self.size = len(self.value)
            return True
        return False

    # Ranges

    def _range(self, total: int, what: str) -> tuple[int, int]:
        start = max(0, self.start + total) if self.start < 0 else self.start
        if start >= total and start > 0:
            raise PeekError(
                f"start={self.start:,} is past the end: {self.target} has {total:,} {what}; "
                f"the last ones: {self._call(start=-min(total, 20) or 0)}"
            )
        return start, total if self.length is None else min(total, start + self.length)

    def _call(self, target: str | None = None, **changed: Any) -> str:
        """The call with other arguments, naming only those that are not the default."""
        given: dict[str, Any] = {
            "start": self.start,
            "length": self.length,
            "unit": self.unit,
            "find": self.pattern,
            "context": self.context,
            "max_chars": self.room,
            **changed,
        }
        usual = {
            "start": 0,
            "length": None,
            "unit": "chars",
            "find": None,
            "context": 2,
            "max_chars": 8_000,
        }
        if given["find"] is None:
            given["context"] = 2
        if given["start"] == 0 and given["find"] is None and given["length"] is None:
            given["length"] = 8_000 if given["unit"] == "chars" else 100
        shown = [
            f"{name}={_quoted(v) if type(v) is str else v}"
            for name, v in given.items()
            if v != usual[name]
        ]
        return f"peek({', '.join([_quoted(target or self.target), *shown])})"

    def _footer(
        self, what: str, begin: int, end: int, stop: int, total: int, note: str = ""
    ) -> str:
        if begin == 0 and end == total and not note:
            return ""
        text = f"{what} {begin:,}-{end:,} of {total:,}"
        if end < total:
            # What is left of the range asked for, else as much again.
            left = stop - end if end < stop else self.length
            left = None if self.length is None else left
            text += f"; next: {self._call(start=end, length=left)}"
        return f"\n[{text}{note}]"

    def chars(self) -> str:
        what = self.byte or "chars"
        start, stop = self._range(len(self.text), what)
        count = min(stop - start, self.room)
        shown = escape(as_text(self.text[start : start + count]))
        while len(shown) > self.room:  # escapes are longer than what they stand for
            count = max(1, min(count - 1, count * self.room // len(shown)))
            shown = escape(as_text(self.text[start : start + count]))
            if count == 1:
                break
        self.unit = "chars"
        return shown + self._footer(what, start, start + count, stop, len(self.text))

    def _line_count(self) -> int:
        newline = "\n" if isinstance(self.text, str) else b"\n"
        ended = not self.text or self.text.endswith(newline)
        return int(self.text.count(newline)) + (0 if ended else 1)

    def lines(self) -> str:
        total = self._line_count()
        start, stop = self._range(total, "lines")
        newline = "\n" if isinstance(self.text, str) else b"\n"
        position, rows, room, number = offset_of_line(self.text, start + 1), [], self.room, start
        while number < stop:
            end = self.text.find(newline, position, position + self.room + 1)
            if end < 0:
                end = min(len(self.text), position + self.room + 1)
            row = escape(as_text(self.text[position:end])).removesuffix("\\r")
            if len(row) > room:
                break
            rows.append(row)
            room -= len(row) + 1
            position, number = end + 1, number + 1
        if not rows and start < stop:  # one line longer than the room
            self.start, self.length, self.unit = position, None, "chars"
            return f"[line {start + 1:,} is long; from its begin as chars:]\n{self.chars()}"
        return "\n".join(rows) + self._footer("lines", start, number, stop, total)

    def _pairs(self, begin: int, end: int) -> list[tuple[Any, Any]]:
        """Items of a container with their keys or positions."""
        base: Any = base_of(self.value)
        if base is dict:
            return list(islice(dict.items(self.value), begin, end))
        if base is list or base is tuple or type(self.value) is range:
            found = (base or range).__getitem__(self.value, slice(begin, end))
        else:
            found = islice(base.__iter__(self.value), begin, end)
        return list(enumerate(found, begin))

    def _where(self, key: object) -> str:
        """The subscript that leads to an item; sets have none."""
        if base_of(self.value) in (set, frozenset):
            return "-"
        at = ".iloc" if self.kind == "frame" and hasattr(self.value, "iloc") else ""
        return f"{at}[{_quoted(key) if type(key) is str else short(key, 200)}]"

    def items(self) -> str:
        start, stop = self._range(self.size, "items")
        rows: list[str] = []
        room, number, cut = self.room, start, ""
        for key, value in self._pairs(start, min(stop, start + self.room // 4 + 1)):
            where = self._where(key)
            share = max(_ROW, self.room // (stop - start)) - len(where) - 1
            row = clip(f"{where} {short(value, min(share, room))}", max(room, 1))
            if rows and (len(row) > room - 1 or room < 40):
                break
            cut = cut or (where if "…" in row or "..." in row else "")
            rows.append(row)
            room -= len(row) + 1
            number += 1
        self.unit = "chars"  # the default: items are all there is
        note = ""
        if cut and cut != "-":
            note = f"; whole: {_View._whole(self.target + cut)}"
        return "\n".join(rows) + self._footer("items", start, number, stop, self.size, note)

    @staticmethod
    def _whole(target: str) -> str:
        return f"peek({_quoted(target)}, length=8000)"

    def frame(self) -> str:
        start, stop = self._range(self.size, "rows")
        rows = self.value.iloc if hasattr(self.value, "iloc") else self.value
        count = min(stop - start, max(1, self.room // 8), 2_000)
        while True:
            piece = rows[start : start + count]
            if hasattr(piece, "columns"):
                text = piece.to_string(max_colwidth=80, max_cols=30)
            else:
                text = piece.to_string() if hasattr(piece, "to_string") else str(piece)
            if len(text) <= self.room or count == 1:
                break
            count = max(1, min(count - 1, count * self.room // len(text)))
        self.unit = "chars"
        shown = clip(escape(text), self.room)
        return shown + self._footer("rows", start, start + count, stop, self.size)

    def preview(self) -> str:
        shown = preview(self.value, min(self.room, 2_500))
        size = len(self.text) if self.text is not None else self.size
        if size > (2_000 if self.text is not None else 6):
            shown += f"\n[preview; all of it from the start: {self._call(start=0)}]"
        return shown

    # Regular expressions

    def _compiled(self, text: Any) -> re.Pattern[Any]:
        try:
            return compiled(self.pattern, text)
        except (re.error, RecursionError, OverflowError, ValueError) as error:
            raise PeekError(
                f"find={_quoted(clip(str(self.pattern), 100))} is no regular expression: {error}; "
                "put a backslash before ( ) [ ] { } . * + ? ^ $ | to mean the character"
            ) from None

    def find_text(self) -> str:
        text, pattern = self.text, self._compiled(self.text)
        if self.unit == "lines":
            start, stop = self._range(self._line_count(), "lines")
            begin, end = offset_of_line(text, start + 1), offset_of_line(text, stop + 1)
        else:
            begin, end = self._range(len(text), self.byte or "chars")
        page = self._page()
        page.add(text, pattern, begin, end, "")
        following = page.next_at
        left = None if self.length is None or following is None else end - following
        return self._found(page, "line:offset: text", following, left)

    def find_items(self) -> str:
        start, stop = self._range(self.size, "items")
        page = self._page()
        page.share = self.room // 3  # one item must not hide the others
        patterns: dict[type, re.Pattern[Any]] = {}
        following = None
        for number, (key, text, exact) in enumerate(self._texts(start, stop), start):
            if page.found >= _COUNTED:
                following = number if following is None else following
                break
            pattern = patterns.get(type(text)) or self._compiled(text)
            patterns[type(text)] = pattern
            if pattern.search(text) is None:
                continue
            where = self._where(key)
            # The path itself for a folder.
            name = clip(key, 300) if type(key) is str and key.isprintable() and key else where
            page.add(text, pattern, 0, len(text), name.removeprefix(".iloc"))
            if page.next_at is None:
                continue
            if page.here:
                after = page.next_at if exact else 0
                call = self._call(self.target + where, start=after, length=None, unit="chars")
                page.note(f"  more in {name}: {call}")
            if page.full and following is None:
                following = number + 1 if page.here else number
        left = None if self.length is None or following is None else stop - following
        following = None if following is None or following >= stop else following
        return self._found(page, "item:line:offset: text", following, left)

    def _page(self) -> "_Page":
        room = self.room - 50 - min(len(self.target) + len(str(self.pattern)), 300)
        return _Page(max(room, 40), self.context)

    def _found(self, page: "_Page", legend: str, following: int | None, left: int | None) -> str:
        page.flush()
        wanted = _quoted(escape(clip(str(self.pattern), 100)))
        number = page.counted()
        first = f"{number} match{'' if number == '1' else 'es'} of {wanted} in {self.target}"
        rows = [f"{first} ({legend})" if page.rows else first, *page.rows]
        if following is not None:
            self.unit = "chars"
            call = self._call(start=following, length=left)
            rows.append(f"[{page.shown:,} of {number} matches shown; next: {call}]")
        return "\n".join(rows)

    def _texts(self, begin: int, end: int) -> Iterator[tuple[Any, Any, bool]]:
        """Key and text of items, and whether offsets in the text are those of the item."""
        if self.kind != "frame":
            for key, value in self._pairs(begin, end):
                exact = is_text(value)
                yield key, plain(value) if exact else short(value, 4_000), exact
            return
        for first in range(begin, end, 1_000):
            rows = self.value.iloc if hasattr(self.value, "iloc") else self.value
            rows = rows[first : min(end, first + 1_000)]
            texts: Iterable[str]
            if hasattr(rows, "columns"):
                texts = _row_texts(rows)
            else:
                texts = (_cell(value) for value in rows.tolist())
            for i, text in enumerate(texts, first):
                yield i, text, False


def _row_texts(rows: Any) -> Iterator[str]:
    names = [str(name) for name in rows.columns]
    lists = [rows.iloc[:, i].tolist() for i in range(len(names))]
    for cells in zip(*lists, strict=True):
        yield ", ".join(f"{n}={_cell(c)}" for n, c in zip(names, cells, strict=True))


def _cell(value: object) -> str:
    return as_text(plain(value)) if is_text(value) else short(value, 1_000)


class _Page:
    """The matches found so far, as rows, until the room is used up; then they are counted only."""

    def __init__(self, room: int, context: int) -> None:
        self.room, self.context = room, context
        self.share = room
        self.rows: list[str] = []
        self.found = self.shown = 0  # matches
        self.here = 0  # of them shown in the text at hand
        self.full = False
        self.next_at: int | None = None
        self.after: list[tuple[int, str]] = []  # context that waits for the next match
        self.where = ""

    def counted(self) -> str:
        return f"{_COUNTED:,}+" if self.found >= _COUNTED else f"{self.found:,}"

    def note(self, text: str) -> None:
        self.flush()
        self.rows.append(text)
        self.room -= len(text) + 1

    def flush(self) -> None:
        for number, row in self.after:
            self._put(f"{self.where}{number}- {row}")
        self.after = []

    def _put(self, text: str) -> None:
        text = escape(text)
        if len(text) + 1 <= self.room:
            self.rows.append(text)
            self.room -= len(text) + 1

    def add(self, text: Any, pattern: re.Pattern[Any], begin: int, end: int, where: str) -> None:
        """Show the matches of one text; `where` is its subscript."""
        self.flush()
        self.where = f"{where}:" if where else ""
        self.here, self.next_at = 0, None
        last, printed = -1, 0  # begin of the last line that matched; number of the last line shown
        room = self.room
        for line in scan(pattern, text, begin, end):
            if self.found >= _COUNTED:
                self.next_at = line.start if self.next_at is None else self.next_at
                break
            self.found += 1
            if self.full or self.next_at is not None:
                continue
            if line.line_start == last and line.line_end - line.line_start <= _ROW:
                self.here += 1
                self.shown += 1
                continue
            row = escape(f"{self.where}{line.number}:{line.start}: {excerpt(text, line, _ROW)}")
            self.full = bool(self.rows) and len(row) + 2 > self.room
            if self.full or (self.here and room - self.room + len(row) > self.share):
                self.next_at = line.start
                self.after = []
                continue
            self._surround(text, line, printed, row)
            last, printed = line.line_start, max(printed, line.number)
            self.here += 1
            self.shown += 1

    def _surround(self, text: Any, line: Line, printed: int, row: str) -> None:
        """Put the row of a match after the context that it shares with the match before."""
        before, after = neighbours(text, line, self.context, _ROW)
        ahead = [(line.number - len(before) + i, r) for i, r in enumerate(before)]
        for number, old in self.after:
            if number < line.number:
                self._put(f"{self.where}{number}- {old}")
                printed = max(printed, number)
        self.after = []
        ahead = [(number, old) for number, old in ahead if number > printed]
        first = ahead[0][0] if ahead else line.number
        if self.context and printed and first > printed + 1:
            self._put("--")
        needed = len(row) + 2
        for number, old in ahead:
            if self.room - len(old) - 30 > needed:
                self._put(f"{self.where}{number}- {old}")
        self.rows.append(row)
        self.room -= len(row) + 1
        self.after = [(line.number + 1 + i, r) for i, r in enumerate(after)]
